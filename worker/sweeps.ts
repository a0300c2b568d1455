/** What a crash or an outage left, found and mended. The work depends on what is left, not on how many cases are parked. */
import { closeAllTasks } from '../db/tasks.ts';
import { queueMessage } from '../db/messages.ts';
import { inTransaction } from '../db/pool.ts';
import { note } from '../db/timeline.ts';
import { isTemporalAway } from '../delivery/temporal.ts';
import { redeliver } from '../delivery/inbox.ts';
import { startUnstarted } from '../delivery/start.ts';
import type { CaseRow } from '../db/cases.ts';
import type { Engine } from '../activities/context.ts';

export interface SweepSettings {
  /** Between two sweeps. */
  readonly intervalMs: number;
  /** A start or delivery younger than this is left to who made it. */
  readonly graceMs: number;
  /** A delivered row whose mark has not come back is sent again after this. */
  readonly redeliverAfterMs: number;
}
/** 5 s and 20 s: what a crash left is delivered within a minute, and a worker that is only slow is not sent everything twice. */
export const sweepSettings: SweepSettings = { intervalMs: 5000, graceMs: 5000, redeliverAfterMs: 20_000 };

/** How far back closed workflows are looked at: longer than any pause of the sweep that goes unnoticed, since looking again costs nothing. */
const lookBackMs = 15 * 60_000;

/** One sweep; what it did, for log and metrics. */
export async function sweep(engine: Engine, settings: SweepSettings = sweepSettings): Promise<{ started: number; redelivered: number; broken: number }> {
  const started = await startUnstarted(engine.pool, engine.temporal, settings.graceMs);
  const redelivered = await redeliver(engine.pool, engine.temporal, settings.redeliverAfterMs);
  return { started, redelivered, broken: await findBroken(engine) };
}

/** Workflows that ended without their last record (terminated in the UI), or whose code fails again and again. */
async function findBroken(engine: Engine): Promise<number> {
  const since = new Date(Date.now() - lookBackMs).toISOString();
  const queries = [
    // The status stands there for its own sake: a running workflow's empty close time counts as later than any.
    [`ExecutionStatus != "Running" AND CloseTime > "${since}"`, 'the workflow ended without its last record: it was terminated or failed'],
    [`ExecutionStatus = "Running" AND TemporalReportedProblems IS NOT NULL`, 'the workflow fails at every try: look at its last workflow task'],
  ] as const;
  let broken = 0;
  for (const [query, trouble] of queries) {
    try {
      const ids: string[] = [];
      for await (const execution of engine.temporal.workflow.list({ query })) ids.push(execution.workflowId);
      // A workflow that just ended is writing nothing any more, but its last record may still be on its way to our eyes: 10 s.
      const { rows } = await engine.pool.query<CaseRow>(
        `select * from cases where id = any($1) and status = 'open' and changed_at < now() - interval '10 seconds'`,
        [ids],
      );
      for (const row of rows) if (await breakCase(engine, row, trouble)) broken += 1;
    } catch (error) {
      if (!isTemporalAway(error)) throw error;
      return broken;
    }
  }
  return broken;
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
    await queueMessage(tx, row, { path: 'broken', message: 'kit.caseBroken', to: 'ops', data: { case: row.id } });
    return true;
  });
}

/** Sweeps until stopped. A sweep that fails is logged and the next one tries again; two never run at once in one process. */
export function startSweeping(engine: Engine, settings: SweepSettings = sweepSettings): { stop: () => Promise<void> } {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  const round = async (): Promise<void> => {
    try {
      const done = await sweep(engine, settings);
      if (done.started + done.redelivered + done.broken > 0) engine.log.info(done, 'swept');
    } catch (error) {
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
