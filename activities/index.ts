/** The activities of every case. Each is one transaction that may be repeated: what stands is adopted. */
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { findCase, idOf, lockCase, nowLocked, openCase, type CaseRow } from '../db/cases.ts';
import { correlate, KeyTaken, storeInbound } from '../db/inbox.ts';
import { tellBroken } from '../db/messages.ts';
import { inTransaction, refusalCode, timeOf, whenCommitted, type Sql } from '../db/pool.ts';
import { closeAllTasks, closeTasks, openTask } from '../db/tasks.ts';
import { note } from '../db/timeline.ts';
import { deliverInbox } from '../delivery/inbox.ts';
import { settleLate } from '../delivery/late.ts';
import { startWorkflow } from '../delivery/start.ts';
import type { CaseId } from '../values/ids.ts';
import { canonicalJson } from '../values/hash.ts';
import { manifestOf, type RegisteredProcess } from '../workflows/registry.ts';
import { failures, repairTask, type CloseCaseRequest, type DecideRequest, type KitActivities } from '../workflows/kit/protocol.ts';
import { abandonClocks } from './clock-log.ts';
import { policyOf, type Engine } from './context.ts';
import { casesEnded, rulesDecided } from './counted.ts';
import { runEffect } from './effects.ts';
import { applyPending } from './pending.ts';
import { authorityFor, policyFor } from '../policies/lookup.ts';
import { pinnedPolicy } from '../db/policies.ts';

/** The activities, bound to what they work with. */
export function createActivities(engine: Engine): KitActivities {
  const { pool, temporal } = engine;
  const processOf = (name: string): RegisteredProcess => {
    const found = engine.processes.get(name);
    if (found === undefined) throw ApplicationFailure.nonRetryable(`there is no process "${name}"`, 'NoSuchProcess');
    return found;
  };

  /** What is committed is brought to Temporal at once. Whatever hinders that must not fail the record: the sweep brings it. */
  const bring = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      engine.log.error({ err: error }, 'committed, and not brought to Temporal: left to the sweep');
    }
  };

  return refusing({
    record: async ({ case: of, pending }) => ({ refusedClocks: await inTransaction(pool, (tx) => applyPending(engine, tx, of, pending)) }),

    runEffect: (request) => runEffect(engine, request),

    decide: (request) => inTransaction(pool, (tx) => decide(engine, tx, request, processOf(request.process))),

    openTask: (request) =>
      inTransaction(pool, async (tx) => {
        await applyPending(engine, tx, request.case, request.pending);
        const row = await lockCase(tx, request.case);
        const { declaration } = processOf(row.process);
        const declared = declaration.tasks[request.name];
        const { path, name, context, amount } = request;
        return openTask(tx, {
          caseId: row.id,
          path,
          name,
          process: row.process,
          shop: row.shop,
          // The one built-in task, repair, is a supervisor's.
          role: request.role ?? (name === repairTask ? 'supervisor' : declared?.role),
          amount,
          amountRole: amount && authorityFor(await policyOf(tx, row), 'refund', amount),
          context,
          formVersion: declaration.formVersion ?? 1,
          notBy: declared?.notBy ?? [],
          clocks: request.clocks ?? [],
          expiresAt: request.expiresAt,
          run: Context.current().info.workflowExecution?.runId ?? '',
        });
      }),

    closeTasks: ({ case: of, pending, paths, as }) =>
      inTransaction(pool, async (tx) => {
        await applyPending(engine, tx, of, pending);
        return closeTasks(tx, of, paths, as);
      }),

    expect: async ({ case: of, pending, process, event, key }) => {
      const { from: source, states } = processOf(process).declaration.events[event] ?? {};
      if (source === undefined) throw ApplicationFailure.nonRetryable(`event "${event}" comes from no system`, 'NoSuchEvent');
      const early = await inTransaction(pool, async (tx) => {
        // Before anything that locks the case: who stores an event locks its key, then the case.
        const ours = await correlate(tx, source, key, of, event, states).catch((error: unknown) => {
          if (error instanceof KeyTaken) return undefined;
          throw error;
        });
        await applyPending(engine, tx, of, pending);
        return ours;
      });
      if (early !== undefined && early > 0) await bring(() => deliverInbox(pool, temporal, of));
      return early !== undefined;
    },

    startCase: async ({ case: of, pending, process, input, at }) => {
      const child = await inTransaction(pool, async (tx) => {
        await applyPending(engine, tx, of, pending);
        const parent = await lockCase(tx, of);
        const { declaration } = processOf(process);
        const valid: unknown = declaration.input.parse(input);
        const { shop } = declaration.subject(valid as never);
        const version = parent.manifest.policy;
        const manifest = manifestOf(declaration, shop, { policy: await pinnedPolicy(tx, version), version }, engine.systems);
        const opened = await openCase(tx, { declaration, input: valid, manifest, starter: `case:${of}`, parent: of, ...(at ? { runAt: at } : {}) });
        if (opened.status === 'conflict') throw ApplicationFailure.nonRetryable(`${idOf(declaration, valid)} exists with another input`, 'CaseConflict');
        await note(tx, of, `started:${opened.case.id}`, 'started', { case: opened.case.id });
        if (opened.case.status !== 'open') await tellParent(tx, opened.case, opened.case.outcome);
        return opened.case;
      });
      if (child.started_at === null && at === undefined) await bring(() => startWorkflow(pool, temporal, child));
      return child.id;
    },

    closeCase: async (request) => {
      const { parent, successors } = await inTransaction(pool, (tx) => closeCase(engine, tx, request));
      if (parent) await bring(() => deliverInbox(pool, temporal, parent));
      for (const id of successors)
        await bring(async () => {
          const row = await findCase(pool, id);
          if (row) await startWorkflow(pool, temporal, row);
        });
    },
  });
}

/** What Postgres refuses for what it holds is not tried again and again: the failure says which constraint or kind of value, and none of the values. */
function refusing(activities: KitActivities): KitActivities {
  const named = Object.entries(activities).map(([name, run]: [string, (request: never) => Promise<unknown>]) => {
    const guarded = async (request: never): Promise<unknown> => {
      try {
        return await run(request);
      } catch (error) {
        const code = refusalCode(error);
        throw code === undefined ? error : ApplicationFailure.nonRetryable(`Postgres refuses the ${name} record: ${code}`, failures.recordRefused);
      }
    };
    return [name, guarded] as const;
  });
  return Object.fromEntries(named) as unknown as KitActivities;
}

/** Runs a rule once per step: the logged decision stands, whatever rule or facts a later run would bring. */
async function decide(engine: Engine, tx: Sql, request: DecideRequest, process: RegisteredProcess): Promise<unknown> {
  const { case: of, step, rule: name, facts, asOf } = request;
  await applyPending(engine, tx, of, request.pending);
  const before = await tx.query<{ output: unknown }>('select output from decision_log where case_id = $1 and step = $2', [of, step]);
  if (before.rows[0]) return before.rows[0].output;
  const rule = process.rules[name];
  if (rule === undefined) throw ApplicationFailure.nonRetryable(`${request.process} has no rule "${name}"`, 'NoSuchRule');
  const row = await lockCase(tx, of);
  const version = row.manifest.policy;
  const output = rule(facts as never, { policy: policyFor(await pinnedPolicy(tx, version), row.shop), asOf });
  const reasons = (output as { reasons: readonly string[] }).reasons;
  await tx.query('insert into decision_log (case_id, step, process, rule, policy, facts, output, reasons, as_of) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)', [
    of,
    step,
    request.process,
    name,
    version,
    canonicalJson(facts),
    JSON.stringify(output),
    reasons,
    asOf,
  ]);
  await note(tx, of, `decision:${step}`, 'decision', { rule: name, step, reasons });
  whenCommitted(tx, () => rulesDecided.inc({ process: request.process, rule: name }));
  return output;
}

/** The case's last record: tasks closed, clocks stopped, what arrived and was not taken in settled, the parent told. */
async function closeCase(engine: Engine, tx: Sql, request: CloseCaseRequest): Promise<{ parent: CaseId | undefined; successors: CaseId[] }> {
  const { case: of, status, outcome } = request;
  await applyPending(engine, tx, of, request.pending);
  const { rows } = await tx.query<CaseRow>(
    `update cases set status = $2, outcome = $3, closed_at = now(), changed_at = now(), trouble = case when $2 in ('failed', 'broken') then $3::jsonb->>'reason' end
     where id = $1 and status in ('open', 'broken') returning *`,
    [of, status, JSON.stringify(outcome)],
  );
  const [closed] = rows;
  if (closed === undefined) return { parent: undefined, successors: [] };
  nowLocked(tx, closed);
  await closeAllTasks(tx, of);
  await abandonClocks(tx, closed, await policyOf(tx, closed));
  // What the case saw and had no use for is late too, where a process of its own takes it on: a parcel that came while its case was settling.
  const followed = Object.entries(engine.processes.get(closed.process)?.declaration.events ?? {}).flatMap(([name, e]) => (e.afterEnd === 'note' ? [] : [name]));
  await tx.query(
    `update inbox set became = case when kind = 'event' then 'late' else 'note' end
     where case_id = $1 and became is null and (seen_at is null or (kind = 'event' and id = any ($2::bigint[]) and name = any ($3)))`,
    [of, request.left ?? [], followed],
  );
  const successors = await settleLate(tx, engine.processes, of);
  if (closed.status === 'broken') await tellBroken(tx, closed);
  const { reset } = request.pending;
  await note(tx, of, reset === undefined ? 'closed' : `closed:${reset}`, 'closed', { status, outcome });
  await tellParent(tx, closed, outcome);
  whenCommitted(tx, () => casesEnded.inc({ process: closed.process, status, result: resultOf(outcome) }));
  return { parent: closed.parent ?? undefined, successors };
}

/** One of the results that the declaration names; an outcome has no other word in it that is fit for a label. */
const resultOf = (outcome: unknown): string =>
  typeof outcome === 'object' && outcome !== null && 'result' in outcome && typeof outcome.result === 'string' ? outcome.result : '';

/** A case that another one started is waited for: its outcome enters the parent's inbox, once. */
async function tellParent(tx: Sql, child: CaseRow, outcome: unknown): Promise<void> {
  if (child.parent === null) return;
  await storeInbound(tx, {
    source: `case:${child.id}`,
    eventId: 'outcome',
    kind: 'outcome',
    name: 'outcome',
    caseId: child.parent,
    body: { of: child.id, outcome },
    at: await timeOf(tx),
  });
}
