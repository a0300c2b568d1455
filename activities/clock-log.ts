/** Clocks of cases as rows: the log of commands, the state it makes, and one job for the next point. */
import type { CaseRow } from '../db/cases.ts';
import { addJob, removeJob } from '../db/jobs.ts';
import { queueMessage } from '../db/messages.ts';
import { inTransaction, type Sql } from '../db/pool.ts';
import { escalateTasks, lockCase } from '../db/tasks.ts';
import { note } from '../db/timeline.ts';
import type { PolicyValues } from '../policies/schema.ts';
import type { CaseId } from '../values/ids.ts';
import { instant, plus, type Instant } from '../values/instant.ts';
import type { ClockCommand } from '../workflows/kit/protocol.ts';
import { clockState, declareClock, dueActions, type ClockCommand as LogEntry, type ClockState } from './clock.ts';
import { policyOf, type Engine } from './context.ts';

interface ClockRow {
  readonly clock: string;
  readonly name: string;
  readonly policy_clock: string;
  readonly notices: readonly string[];
}
type CaseOfClock = Pick<CaseRow, 'id' | 'shop' | 'customer' | 'manifest'>;

const jobKey = (of: CaseId, clock: string): string => `clock:${of}:${clock}`;

/** Appends commands and brings the rows up to date; the clocks whose extension was refused. Commands recorded before are skipped. */
export async function recordClocks(
  tx: Sql,
  of: CaseOfClock,
  policy: PolicyValues,
  declared: Readonly<Record<string, string>>,
  commands: readonly ClockCommand[],
): Promise<string[]> {
  const refused: string[] = [];
  for (const clock of new Set(commands.map((c) => c.clock))) {
    const mine = commands.filter((c) => c.clock === clock);
    const [first] = mine;
    if (first === undefined) continue;
    const policyClock = declared[first.name];
    if (policyClock === undefined) throw new Error(`clock ${first.name} is not declared`);
    await tx.query(`insert into clocks (case_id, clock, name, policy_clock, status, state) values ($1, $2, $3, $4, 'stopped', '{}') on conflict do nothing`, [
      of.id,
      clock,
      first.name,
      policyClock,
    ]);
    for (const c of mine) await append(tx, of.id, clock, c);
    const state = await recompute(tx, of, policy, clock, instant(Date.now()));
    if (mine.some((c) => c.command.kind === 'extend' && state.refused.some((r) => r.seq === c.seq))) refused.push(clock);
  }
  return refused;
}

const append = (tx: Sql, of: CaseId, clock: string, { seq, at, command }: LogEntry) =>
  tx.query('insert into clock_log (case_id, clock, seq, command, at) values ($1, $2, $3, $4, $5) on conflict do nothing', [
    of,
    clock,
    seq,
    JSON.stringify(command),
    at,
  ]);

/** When the case ends, what still runs is abandoned: neither met nor broken, unless its deadline has passed. */
export async function abandonClocks(tx: Sql, of: CaseOfClock, policy: PolicyValues, at: Instant): Promise<void> {
  const { rows } = await tx.query<{ clock: string; next: number }>(
    `select c.clock, max(l.seq) + 1 as next from clocks c join clock_log l using (case_id, clock) where c.case_id = $1 and c.state->>'endedAt' is null group by c.clock`,
    [of.id],
  );
  for (const { clock, next } of rows) {
    await append(tx, of.id, clock, { seq: next, at, command: { kind: 'abandon' } });
    await recompute(tx, of, policy, clock, at);
  }
}

/** The case goes on after all: what was abandoned with it counts again, and its notices are due. */
export async function reviveClocks(tx: Sql, of: CaseOfClock, policy: PolicyValues): Promise<void> {
  await tx.query(`delete from clock_log where case_id = $1 and command->>'kind' = 'abandon'`, [of.id]);
  const { rows } = await tx.query<{ clock: string }>('select clock from clocks where case_id = $1 order by clock', [of.id]);
  for (const { clock } of rows) await recompute(tx, of, policy, clock, instant(Date.now()));
}

/** Reads the whole log of a clock and writes its state and next job. The row is locked: commands and the due job take turns. */
async function recompute(tx: Sql, of: CaseOfClock, policy: PolicyValues, clock: string, now: Instant, told: readonly string[] = []): Promise<ClockState> {
  const { rows } = await tx.query<ClockRow>('select clock, name, policy_clock, notices from clocks where case_id = $1 and clock = $2 for update', [
    of.id,
    clock,
  ]);
  const [row] = rows;
  if (row === undefined) throw new Error(`clock ${clock} of ${of.id} has no row`);
  const log = await tx.query<{ seq: number; at: Date; command: LogEntry['command'] }>(
    'select seq, at, command from clock_log where case_id = $1 and clock = $2 order by seq',
    [of.id, clock],
  );
  const notices = [...row.notices, ...told];
  const entries = log.rows.map((entry): LogEntry => ({ seq: entry.seq, at: instant(entry.at), command: entry.command }));
  const state = clockState(declareClock(policy, row.policy_clock), entries, now, notices);
  await tx.query(
    'update clocks set status = $3, deadline = $4, provisional = $5, next_point = $6, state = $7, notices = $8 where case_id = $1 and clock = $2',
    [of.id, clock, state.status, state.deadline, state.provisional, state.nextPoint, JSON.stringify(state), JSON.stringify(notices)],
  );
  if (state.nextPoint === null) await removeJob(tx, jobKey(of.id, clock));
  else await addJob(tx, 'clock-due', jobKey(of.id, clock), { caseId: of.id, clock }, state.nextPoint);
  return state;
}

/** What came in time and is not yet taken in may stop the clock at its own instant: nobody is told while nobody has anything left to do about it. */
const takenInWithin = 10_000;

/** The job of a clock's point: warns or escalates, once each, and sets the next point. */
export async function clockDue(engine: Engine, caseId: CaseId, clock: string): Promise<void> {
  await inTransaction(engine.pool, async (tx) => {
    // Locked first, as in every record: tasks are locked after it.
    const of = await lockCase(tx, caseId);
    if (of.status !== 'open') return;
    const policy = await policyOf(tx, of);
    const now = instant(Date.now());
    const state = await recompute(tx, of, policy, clock, now);
    const [action] = dueActions(state, now, []);
    if (action === undefined) return;
    const { rows } = await tx.query(
      `select 1 from inbox where case_id = $1 and seen_at is null and became is null and at <= $2
         and not exists (select 1 from tasks where case_id = $1 and status = 'open' and $3 = any(clocks)) limit 1`,
      [caseId, state.deadline, clock],
    );
    if (rows.length > 0) {
      await addJob(tx, 'clock-due', jobKey(caseId, clock), { caseId, clock }, plus(now, takenInWithin));
      return;
    }
    const raised = action.kind === 'escalate' ? await escalateTasks(tx, caseId, clock, action.to) : await holders(tx, caseId, clock);
    const key = `clock:${clock}:${action.covers.at(-1) ?? ''}`;
    await note(tx, caseId, key, action.kind === 'warn' ? 'clockWarned' : 'clockEscalated', {
      clock,
      percent: action.percent,
      deadline: state.deadline,
      to: action.to,
      tasks: raised,
    });
    for (const role of action.tell)
      await queueMessage(tx, of, {
        path: `${key}:${role}`,
        message: action.kind === 'warn' ? 'kit.clockWarned' : 'kit.clockEscalated',
        to: role,
        data: { case: caseId, clock, deadline: state.deadline, percent: action.percent },
      });
    await recompute(tx, of, policy, clock, now, action.covers);
  });
}

async function holders(tx: Sql, of: CaseId, clock: string): Promise<readonly string[]> {
  return (await tx.query<{ id: string }>(`select id from tasks where case_id = $1 and $2 = any(clocks) and status = 'open'`, [of, clock])).rows.map(
    (r) => r.id,
  );
}
