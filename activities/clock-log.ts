/**
 * Clocks of cases as rows: the log of commands, the state it makes, and one job for the next point. What time it is, Postgres says: all workers ask the same one, and one
 * whose own clock is off by an hour would warn of what is not due, and call broken what is not.
 */
import { lockCase, type CaseRow } from '../db/cases.ts';
import { addJob, removeJob } from '../db/jobs.ts';
import { queueMessage } from '../db/messages.ts';
import { inTransaction, whenCommitted, type Sql } from '../db/pool.ts';
import { escalateTasks } from '../db/tasks.ts';
import { note } from '../db/timeline.ts';
import { clockOf } from '../policies/lookup.ts';
import type { PolicyValues } from '../policies/schema.ts';
import type { CaseId } from '../values/ids.ts';
import { instant, later, plus, type Instant } from '../values/instant.ts';
import type { ClockCommand } from '../workflows/kit/protocol.ts';
import { clockState, declareClock, dueActions, whatStands, type ClockCommand as LogEntry, type ClockState } from './clock.ts';
import { policyOf, type Engine } from './context.ts';
import { clockNotices } from './counted.ts';

interface ClockRow {
  readonly clock: string;
  readonly name: string;
  readonly policy_clock: string;
  readonly notices: readonly string[];
  /** When the transaction began: the moment that its lines in the timeline have too. */
  readonly now: Date;
}
interface LogRow {
  readonly clock: string;
  readonly run: number;
  readonly seq: number;
  readonly at: Date;
  readonly command: LogEntry['command'];
}
type CaseOfClock = Pick<CaseRow, 'id' | 'shop' | 'customer' | 'manifest' | 'reset_runs'>;

const jobKey = (of: CaseId, clock: string): string => `clock:${of}:${clock}`;

/**
 * Appends commands and brings the rows up to date; the clocks whose extension was refused. Commands recorded before are skipped. `reset`: the run that sent
 * them, when a reset began it. The case is locked: its records, its decisions and its clocks' jobs take turns.
 */
export async function recordClocks(
  tx: Sql,
  of: CaseOfClock,
  policy: PolicyValues,
  declared: Readonly<Record<string, string>>,
  commands: readonly ClockCommand[],
  reset?: string,
): Promise<string[]> {
  const names = [...new Map(commands.map(({ clock, name }) => [clock, name]))];
  const rows = await tx.query<ClockRow>(
    `insert into clocks (case_id, clock, name, policy_clock, status, state)
     select $1, c.clock, c.name, c.policy_clock, 'stopped', '{}' from unnest($2::text[], $3::text[], $4::text[]) as c (clock, name, policy_clock)
     -- Changes nothing, and returns what stands.
     on conflict (case_id, clock) do update set name = clocks.name returning clock, name, policy_clock, notices, now() as now`,
    [of.id, names.map(([clock]) => clock), names.map(([, name]) => name), names.map(([, name]) => policyClockOf(declared, name))],
  );
  const run = reset === undefined ? 0 : of.reset_runs.indexOf(reset) + 1;
  const log = await append(
    tx,
    of.id,
    commands.map((c) => ({ ...c, run })),
  );
  const [first] = rows.rows;
  if (first === undefined) return [];
  const now = instant(first.now);
  const clocks = rows.rows.map((row) => computed(policy, row, log, now));
  // A run that a reset began does again what the one before did: until it has caught up, its clocks know less than people do, and say nothing.
  await write(tx, of.id, clocks, run === 0 ? undefined : plus(now, takenInWithin));
  await noteCommands(tx, of.id, clocks, commands);
  const refused = (clock: string, seq: number): boolean => clocks.some((c) => c.row.clock === clock && c.state.refused.some((r) => r.seq === seq));
  return commands.filter((c) => c.command.kind === 'extend' && refused(c.clock, c.seq)).map((c) => c.clock);
}

function policyClockOf(declared: Readonly<Record<string, string>>, name: string): string {
  const found = declared[name];
  if (found === undefined) throw new Error(`clock ${name} is not declared`);
  return found;
}

/** The whole logs of the clocks that the entries are of, the new ones included. */
async function append(tx: Sql, of: CaseId, entries: readonly (LogEntry & { readonly clock: string; readonly run: number })[]): Promise<LogRow[]> {
  const { rows } = await tx.query<LogRow>(
    `with added as (
       insert into clock_log (case_id, clock, run, seq, command, at) select $1, * from unnest($2::text[], $3::int[], $4::int[], $5::jsonb[], $6::timestamptz[])
       on conflict do nothing returning clock, run, seq, at, command
     )
     select clock, run, seq, at, command from clock_log where case_id = $1 and clock = any($2) union all select * from added`,
    [
      of,
      entries.map((e) => e.clock),
      entries.map((e) => e.run),
      entries.map((e) => e.seq),
      entries.map((e) => JSON.stringify(e.command)),
      entries.map((e) => e.at),
    ],
  );
  return rows;
}

/** A line of the timeline for each command, with how its clock stands after the record. What a run that a reset began only does again is there already. */
async function noteCommands(tx: Sql, of: CaseId, clocks: readonly Computed[], commands: readonly (LogEntry & { readonly clock: string })[]): Promise<void> {
  for (const { clock, seq, at, command } of commands) {
    const found = clocks.find((c) => c.row.clock === clock);
    if (found === undefined) continue;
    const { kind, ...said } = command;
    const { status, deadline, provisional, refused } = found.state;
    // A start that is sent again keeps its first instant.
    await note(tx, of, `clock:${clock}:${seq}:${kind}${kind === 'start' ? '' : `:${at}`}`, 'clock', {
      clock,
      policyClock: found.row.policy_clock,
      command: kind,
      ...said,
      status,
      deadline,
      provisional,
      ...(refused.some((r) => r.seq === seq) ? { refused: true } : {}),
    });
  }
}

/** When the case ends, what still runs is abandoned: neither met nor broken, unless its deadline has passed. */
export async function abandonClocks(tx: Sql, of: CaseOfClock, policy: PolicyValues): Promise<void> {
  const { rows } = await tx.query<ClockRow & { readonly next: number }>(
    `select c.clock, c.name, c.policy_clock, c.notices, now() as now, (select max(seq) + 1 from clock_log l where l.case_id = c.case_id and l.clock = c.clock) as next
     from clocks c where c.case_id = $1 and c.state->>'endedAt' is null`,
    [of.id],
  );
  const [first] = rows;
  if (first === undefined) return;
  const at = instant(first.now);
  const commands = rows.map(({ clock, next }) => ({ clock, run: of.reset_runs.length, seq: next, at, command: { kind: 'abandon' } as const }));
  const log = await append(tx, of.id, commands);
  const clocks = rows.map((row) => computed(policy, row, log, at));
  await write(tx, of.id, clocks);
  await noteCommands(tx, of.id, clocks, commands);
}

/** The case goes on after all: what was abandoned with it counts again, and its notices are due. */
export async function reviveClocks(tx: Sql, of: CaseOfClock, policy: PolicyValues): Promise<void> {
  await tx.query(`delete from clock_log where case_id = $1 and command->>'kind' = 'abandon'`, [of.id]);
  const { rows, log } = await read(tx, of.id);
  const [first] = rows;
  if (first === undefined) return;
  const now = instant(first.now);
  await write(
    tx,
    of.id,
    rows.map((row) => computed(policy, row, log, now)),
    plus(now, takenInWithin),
  );
}

/** The clocks of a locked case, or one of them, with what they were told. */
async function read(tx: Sql, of: CaseId, clock?: string): Promise<{ readonly rows: readonly ClockRow[]; readonly log: readonly LogRow[] }> {
  const { rows } = await tx.query<ClockRow>(
    'select clock, name, policy_clock, notices, now() as now from clocks where case_id = $1 and clock = coalesce($2, clock) order by clock for update',
    [of, clock ?? null],
  );
  const log = await tx.query<LogRow>('select clock, run, seq, at, command from clock_log where case_id = $1 and clock = any($2)', [
    of,
    rows.map((row) => row.clock),
  ]);
  return { rows, log: log.rows };
}

interface Computed {
  readonly row: ClockRow;
  readonly state: ClockState;
  readonly notices: readonly string[];
}

/** What a clock's log says now. `told`: notices that are being given. */
function computed(policy: PolicyValues, row: ClockRow, log: readonly LogRow[], now: Instant, told: readonly string[] = []): Computed {
  const entries = log.filter((entry) => entry.clock === row.clock).map(({ run, seq, at, command }) => ({ run, seq, at: instant(at), command }));
  const notices = [...row.notices, ...told];
  return { row, state: clockState(declareClock(policy, row.policy_clock), whatStands(entries), now, notices), notices };
}

/** Writes what clocks say, and sets the job of each one's next point, not before `notBefore`. */
async function write(tx: Sql, of: CaseId, clocks: readonly Computed[], notBefore?: Instant): Promise<void> {
  if (clocks.length === 0) return;
  await tx.query(
    `update clocks c set status = s.status, deadline = s.deadline, provisional = s.provisional, next_point = s.next_point, state = s.state, notices = s.notices
     from unnest($2::text[], $3::text[], $4::timestamptz[], $5::bool[], $6::timestamptz[], $7::jsonb[], $8::jsonb[])
       as s (clock, status, deadline, provisional, next_point, state, notices)
     where c.case_id = $1 and c.clock = s.clock`,
    [
      of,
      clocks.map((c) => c.row.clock),
      clocks.map((c) => c.state.status),
      clocks.map((c) => c.state.deadline),
      clocks.map((c) => c.state.provisional),
      clocks.map((c) => c.state.nextPoint),
      clocks.map((c) => JSON.stringify(c.state)),
      clocks.map((c) => JSON.stringify(c.notices)),
    ],
  );
  for (const {
    row: { clock },
    state: { nextPoint },
  } of clocks) {
    if (nextPoint === null) await removeJob(tx, jobKey(of, clock));
    else await addJob(tx, 'clock-due', jobKey(of, clock), { caseId: of, clock }, notBefore === undefined ? nextPoint : later(nextPoint, notBefore));
  }
}

/** What came in time and is not yet taken in may stop the clock at its own instant: nobody is told while nobody has anything left to do about it. */
const takenInWithin = 10_000;

/** The job of a clock's point: warns or escalates, once each, and sets the next point. */
export async function clockDue(engine: Engine, caseId: CaseId, clock: string): Promise<void> {
  await inTransaction(engine.pool, async (tx): Promise<void> => {
    // Locked first, as in every record: tasks are locked after it.
    const of = await lockCase(tx, caseId);
    if (of.status !== 'open') return;
    const policy = await policyOf(tx, of);
    const { rows: clocks, log } = await read(tx, caseId, clock);
    const [row] = clocks;
    if (row === undefined) throw new Error(`clock ${clock} of ${caseId} has no row`);
    const now = instant(row.now);
    const before = computed(policy, row, log, now);
    const { state } = before;
    const [action] = dueActions(state, now, []);
    if (action === undefined) return write(tx, caseId, [before]);
    const { rows } = await tx.query(
      `select 1 from inbox where case_id = $1 and seen_at is null and became is null and at <= $2
         and not exists (select 1 from tasks where case_id = $1 and status = 'open' and $3 = any(clocks)) limit 1`,
      [caseId, state.deadline, clock],
    );
    if (rows.length > 0) return write(tx, caseId, [before], plus(now, takenInWithin));
    const raised = action.kind === 'escalate' ? await escalateTasks(tx, caseId, clock, action.to) : await holders(tx, caseId, clock);
    const key = `clock:${clock}:${action.covers.at(-1) ?? ''}`;
    await note(tx, caseId, key, action.kind === 'warn' ? 'clockWarned' : 'clockEscalated', {
      clock,
      policyClock: row.policy_clock,
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
        data: { case: caseId, clock: clockOf(policy, row.policy_clock).title, deadline: state.deadline, percent: action.percent },
      });
    whenCommitted(tx, () => clockNotices.inc({ clock: row.policy_clock, kind: action.kind }));
    return write(tx, caseId, [computed(policy, row, log, now, action.covers)]);
  });
}

async function holders(tx: Sql, of: CaseId, clock: string): Promise<readonly string[]> {
  return (await tx.query<{ id: string }>(`select id from tasks where case_id = $1 and $2 = any(clocks) and status = 'open'`, [of, clock])).rows.map(
    (r) => r.id,
  );
}
