/** What a crash or an outage left, found and mended. The work depends on what is left, not on how many cases are parked. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { Counter, Gauge } from 'prom-client';
import { forgetUnclaimed } from '../db/inbox.ts';
import { everyShop } from '../db/people.ts';
import { policyFor } from '../policies/lookup.ts';
import { closeAllTasks } from '../db/tasks.ts';
import { tellBroken } from '../db/messages.ts';
import { inTransaction } from '../db/pool.ts';
import { note } from '../db/timeline.ts';
import { isTemporalAway } from '../delivery/temporal.ts';
import { redeliver } from '../delivery/inbox.ts';
import { openUnclaimed } from '../delivery/late.ts';
import { startUnstarted, startWorkflow } from '../delivery/start.ts';
import type { CaseRow } from '../db/cases.ts';
import type { Engine } from '../activities/context.ts';
import { reopenCase } from '../activities/reopen.ts';

export interface SweepSettings {
  /** Between two sweeps. */
  readonly intervalMs: number;
  /** A start or delivery younger than this is left to who made it. */
  readonly graceMs: number;
  /** A delivered row whose mark has not come back is sent again after this. */
  readonly redeliverAfterMs: number;
  /** An ended workflow is looked at after this: a record that was under way when it was terminated has been written. */
  readonly settleMs: number;
  /** How far back from the last look ended workflows are looked at. */
  readonly lookBackMs: number;
}
/**
 * 5 s and 20 s: what a crash left is delivered within a minute, and a worker that is only slow is not sent everything twice. 10 s: no try of a record is longer.
 * 15 minutes: longer than any pause between two sweeps that goes unnoticed, since looking again costs nothing.
 */
export const sweepSettings: SweepSettings = { intervalMs: 5000, graceMs: 5000, redeliverAfterMs: 20_000, settleMs: 10_000, lookBackMs: 15 * 60_000 };
/** The first sweep of a process: nobody may have swept since the day before. */
const firstLookBackMs = 24 * 3_600_000;

export interface Swept {
  readonly unclaimed: number;
  readonly forgotten: number;
  readonly started: number;
  readonly redelivered: number;
  readonly broken: number;
  readonly mended: number;
}

/** One sweep; what it did, for log and metrics. A part that fails does not keep the others from their work; then it throws. */
export const sweep = async (engine: Engine, settings: SweepSettings = sweepSettings): Promise<Swept> => (await sweepAll(engine, settings)).swept;

/** `looked`: Temporal has answered which workflows ended. */
async function sweepAll(engine: Engine, settings: SweepSettings): Promise<{ readonly swept: Swept; readonly looked: boolean }> {
  const parts = [
    takeOnUnclaimed(engine),
    forget(engine),
    startUnstarted(engine.pool, engine.temporal, settings.graceMs),
    redeliver(engine.pool, engine.temporal, settings.redeliverAfterMs, Math.min(settings.graceMs, settings.redeliverAfterMs)),
    whileTemporalAnswers(() => findBroken(engine, settings)),
    whileTemporalAnswers(() => findMended(engine)),
  ] as const;
  const failed = (await Promise.allSettled(parts)).flatMap((part): unknown[] => (part.status === 'rejected' ? [part.reason] : []));
  if (failed.length > 0) throw new AggregateError(failed, 'parts of a sweep failed');
  const [unclaimed, forgotten, started, redelivered, broken, mended] = await Promise.all(parts);
  return { swept: { unclaimed, forgotten, started, redelivered, broken: broken ?? 0, mended: mended ?? 0 }, looked: broken !== undefined };
}

/** What came and nobody asked for becomes a case of its own; one that cannot be started now, the next sweep starts. */
async function takeOnUnclaimed({ pool, temporal, processes, policy }: Engine): Promise<number> {
  const opened = await openUnclaimed(pool, processes, policy);
  for (const row of opened) if ((await startWorkflow(pool, temporal, row)) === 'unreachable') break;
  return opened.length;
}

/** Rows that one sweep deletes: at one sweep in 5 s that is 8 million a day, and each statement takes some milliseconds. */
const forgottenAtOnce = 500;
const forget = ({ pool, policy }: Engine): Promise<number> =>
  forgetUnclaimed(pool, policyFor(policy.policy, everyShop).inbox.keepUnclaimed.ms, forgottenAtOnce);

async function whileTemporalAnswers(work: () => Promise<number>): Promise<number | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isTemporalAway(error)) throw error;
    return undefined;
  }
}

async function listed(engine: Engine, query: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const execution of engine.temporal.workflow.list({ query })) ids.push(execution.workflowId);
  return ids;
}

/** A workflow that fails by its code at five tries in a row, about a minute: Temporal reports it by itself. Time-outs are not meant: those are a worker's end. */
const failing = `TemporalReportedProblems = "category=WorkflowTaskFailed"`;

/** Workflows that ended without their last record (terminated in the UI), or whose code fails again and again. */
async function findBroken(engine: Engine, { lookBackMs, settleMs }: SweepSettings): Promise<number> {
  // Postgres' time, as everywhere: a worker whose own clock is an hour ahead would look at an hour that has not been.
  const { rows: times } = await engine.pool.query<{ now: Date }>('select now() as now');
  const ago = (ms: number): string => new Date(Number(times[0]?.now ?? Date.now()) - ms).toISOString();
  // A completed workflow has written its last record; the many that complete need not be looked at.
  const ended = await listed(
    engine,
    `ExecutionStatus IN ("Terminated", "Failed", "TimedOut", "Canceled") AND CloseTime BETWEEN "${ago(lookBackMs)}" AND "${ago(settleMs)}"`,
  );
  const stuck = await listed(engine, `ExecutionStatus = "Running" AND ${failing}`);
  const { rows } = await engine.pool.query<CaseRow>(`select * from cases where id = any($1) and status = 'open'`, [[...ended, ...stuck]]);
  let broken = 0;
  for (const row of rows) {
    const trouble = stuck.includes(row.id)
      ? 'the workflow fails at every try: look at its last workflow task'
      : 'the workflow ended without its last record: it was terminated or failed';
    // A reset ends a run and begins another: only the latest one counts.
    if (!stuck.includes(row.id) && (await isRunning(engine, row))) continue;
    if (await breakCase(engine, row, trouble)) broken += 1;
  }
  return broken;
}

async function isRunning(engine: Engine, { id }: CaseRow): Promise<boolean> {
  try {
    return (await engine.temporal.workflow.getHandle(id).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** A case that cannot go on: its tasks are withdrawn, so that nobody decides into the void, and operators are told. */
async function breakCase(engine: Engine, row: CaseRow, trouble: string): Promise<boolean> {
  return inTransaction(engine.pool, async (tx) => {
    const { rowCount } = await tx.query(
      `update cases set status = 'broken', trouble = $2, closed_at = now(), changed_at = now() where id = $1 and status = 'open'`,
      [row.id, trouble],
    );
    if (rowCount !== 1) return false;
    await closeAllTasks(tx, row.id);
    await note(tx, row.id, 'broken', 'broken', { trouble });
    await tellBroken(tx, row);
    return true;
  });
}

/** Broken cases whose workflow goes on: a deployment has mended their code, or an operator has reset them. */
async function findMended(engine: Engine): Promise<number> {
  // At random: those that stay broken must not hide the others. Served by index cases_broken.
  const { rows } = await engine.pool.query<CaseRow>(`select * from cases where status = 'broken' order by random() limit 100`);
  if (rows.length === 0) return 0;
  // A quotation mark is percent-encoded in an id.
  const running = await listed(engine, `ExecutionStatus = "Running" AND WorkflowId IN (${rows.map(({ id }) => `"${id}"`).join(', ')})`);
  const stuck = running.length === 0 ? [] : await listed(engine, `ExecutionStatus = "Running" AND ${failing}`);
  let mended = 0;
  for (const { id } of rows) {
    if (!running.includes(id) || stuck.includes(id)) continue;
    if (await inTransaction(engine.pool, (tx) => reopenCase(tx, id))) mended += 1;
  }
  return mended;
}

const sweeps = new Counter({ name: 'kefu_sweeps_total', help: 'Sweeps: ok, or failed in a part', labelNames: ['result'] });
const sweepFound = new Counter({ name: 'kefu_sweep_found_total', help: 'What sweeps found and mended, or found broken', labelNames: ['what'] });
const lastSweep = new Gauge({ name: 'kefu_sweep_last_success_seconds', help: 'When a sweep of this worker last went through, in Unix time' });

/** Sweeps until stopped. A sweep that fails is logged and the next one tries again; two never run at once in one process. */
export function startSweeping(engine: Engine, settings: SweepSettings = sweepSettings): { stop: () => Promise<void> } {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  /** When a sweep last looked for broken cases, by a clock that nobody sets. */
  let lookedAt: number | undefined;
  const round = async (): Promise<void> => {
    const began = performance.now();
    // Also over what was missed: while Postgres is away for longer than `lookBackMs`, workflows are terminated all the same.
    const lookBackMs = lookedAt === undefined ? firstLookBackMs : settings.lookBackMs + began - lookedAt;
    try {
      const { swept: done, looked } = await sweepAll(engine, { ...settings, lookBackMs });
      if (looked) lookedAt = began;
      sweeps.inc({ result: 'ok' });
      lastSweep.setToCurrentTime();
      for (const [what, n] of Object.entries<number>({ ...done })) sweepFound.inc({ what }, n);
      if (Object.values(done).some((n) => n > 0)) engine.log.info(done, 'swept');
    } catch (error) {
      sweeps.inc({ result: 'failed' });
      engine.log.warn({ err: error }, 'a sweep failed; the next one tries again');
    }
    if (!stopped) {
      timer = setTimeout(() => {
        running = round();
      }, settings.intervalMs);
    }
  };
  running = round();
  return {
    stop: async () => {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
