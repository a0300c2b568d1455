/** Whether clocks say what their logs say, stopped when what they wait for happened, and told people when it was time: a part of the audit. */
import { clockState, declareClock, whatStands, type ClockCommand, type ClockDeclaration, type ClockState } from '../../activities/clock.ts';
import { policyFor } from '../../policies/lookup.ts';
import { contentHash } from '../../values/hash.ts';
import { later, plus, type Instant } from '../../values/instant.ts';
import type { AuditedCase, AuditRows, Finding, OwnRecords, RecordedCase, TimelineRow } from './audit.ts';
import { groupBy, hasEnded } from './records.ts';

/** A clock as its row has it. */
export interface ClockRow {
  readonly case: string;
  readonly clock: string;
  readonly policyClock: string;
  readonly status: string;
  readonly deadline: Instant | null;
  readonly provisional: boolean;
  readonly nextPoint: Instant | null;
  readonly state: Readonly<Record<string, unknown>>;
  readonly notices: readonly string[];
}
export interface ClockLogRow extends ClockCommand {
  readonly case: string;
  readonly clock: string;
  readonly run: number;
}

/**
 * A notice is late from here on: the job of a worker that was killed is given back after 40 s, a notice that waits for what came in time waits 10 s more, and what was
 * killed, paused or cut off comes back within a minute.
 */
const noticedWithinMs = 120_000;

/** What is wrong with the clocks of all cases. */
export function* ofClocks({ own, cases }: Pick<AuditRows, 'own' | 'cases'>): Generator<Finding> {
  const known = new Map(own.cases.map((row) => [row.id, row]));
  // Of thousands of cases each is looked at alone.
  const logs = groupBy(own.clockLog, (entry) => entry.case);
  const timelines = groupBy(own.timeline, (entry) => entry.case);
  const inboxes = groupBy(own.inbox, (entry) => entry.case ?? '');
  for (const row of own.clocks) {
    const of = known.get(row.case);
    if (of === undefined) continue;
    const policy = own.policies.get(of.policy);
    const say = (why: string): Finding => ({ kind: 'wrong', case: of.id, why: `clock ${row.clock}: ${why}` });
    if (policy === undefined) {
      yield say(`the policy ${of.policy} that its case is pinned to is not there`);
      continue;
    }
    const declaration = declareClock(policyFor(policy, of.shop), row.policyClock);
    const log = (logs.get(row.case) ?? []).filter((entry) => entry.clock === row.clock);
    const stands = whatStands(log);
    const state = clockState(declaration, stands, undefined, row.notices);
    for (const why of [
      ...asRecomputed(row, state),
      ...ofItsLog(log, stands, of, state),
      ...stoppedAtNothing(stands, inboxes.get(of.id) ?? [], cases.get(of.id)),
      // A run that a reset began does again what the one before did: what was known when, its log no longer tells.
      ...(log.some((entry) => entry.run > 0) ? [] : ofNotices(row, declaration, stands, state, timelines.get(of.id) ?? [], own.at)),
    ])
      yield say(why);
  }
}

/** The row against its log: nothing but the log and the pinned policy makes a deadline, and whether it was met. */
function* asRecomputed(row: ClockRow, state: ClockState): Generator<string> {
  // While it runs, these two depend on when they were written.
  const dependent = (name: string): boolean => state.endedAt === null && (name === 'status' || name === 'remaining');
  for (const [name, value] of Object.entries(state))
    if (!dependent(name) && contentHash(row.state[name] ?? null) !== contentHash(value ?? null))
      yield `${name} is ${JSON.stringify(row.state[name] ?? null)}, and its log makes it ${JSON.stringify(value ?? null)}`;
  const { status, deadline, provisional, nextPoint } = row;
  for (const [name, value] of Object.entries({ status, deadline, provisional, nextPoint }))
    if (contentHash(row.state[name] ?? null) !== contentHash(value)) yield `${name} is ${JSON.stringify(value)} in its row and another in its state`;
}

/** A command that was lost, and a clock that outlives its case. */
function* ofItsLog(log: readonly ClockLogRow[], stands: readonly ClockCommand[], of: RecordedCase, state: ClockState): Generator<string> {
  if (stands.length === 0) yield 'it has a row and no command';
  for (const [i, { seq }] of stands.entries())
    if (seq !== i + 1) {
      yield `its log goes from command ${i} to command ${seq}`;
      break;
    }
  if (hasEnded(of.status) && state.startedAt !== null && state.endedAt === null) yield `it is ${state.status}, and its case has ended`;
  if (of.status === 'open' && log.some((entry) => entry.command.kind === 'abandon')) yield 'it was abandoned, and its case is open';
}

/**
 * A clock stops at the instant of what it waited for (a decision, something that came, a window's end), not when we heard of it: else what was decided in time and
 * delivered late would count as broken.
 */
function* stoppedAtNothing(stands: readonly ClockCommand[], inbox: OwnRecords['inbox'], of: AuditedCase | undefined): Generator<string> {
  if (of === undefined) return;
  const facts = new Set<string>([
    ...of.tasks.flatMap(({ decidedAt, expiresAt }) => [decidedAt, expiresAt].filter((at) => at !== null)),
    ...inbox.map((row) => row.at),
  ]);
  for (const { command, at } of stands) if (command.kind === 'stop' && !facts.has(at)) yield `it was stopped at ${at}, when nothing happened`;
}

const nameOfPoint = (notice: TimelineRow, clock: string): string => notice.key.slice(`clock:${clock}:`.length);
const isNotice = ({ kind }: TimelineRow): boolean => kind === 'clockWarned' || kind === 'clockEscalated';

/** Notices against what was known when they were given: none before its time, none of a clock that stood still, and none left out. */
function* ofNotices(
  row: ClockRow,
  declaration: ClockDeclaration,
  stands: readonly ClockCommand[],
  state: ClockState,
  timeline: readonly TimelineRow[],
  now: Instant,
): Generator<string> {
  const entries = timeline.filter((entry) => entry.data['clock'] === row.clock);
  /** When a command was recorded: its line in the timeline is of the same transaction. */
  const recorded = new Map(entries.flatMap((entry) => (entry.kind === 'clock' ? [[Number(nameOfPoint(entry, row.clock).split(':')[0]), entry] as const] : [])));
  for (const { seq } of stands) if (!recorded.has(seq)) yield `the timeline does not know of its command ${seq}`;

  const notices = entries.filter(isNotice);
  for (const notice of notices) {
    const name = nameOfPoint(notice, row.clock);
    const before = stands.filter(({ seq }) => (recorded.get(seq)?.id ?? Infinity) < notice.id);
    const then = clockState(declaration, before);
    const point = [...then.warnPoints, ...then.escalationPoints].find(({ key }) => key === name);
    if (then.endedAt !== null || then.status === 'paused') yield `notice ${name} was given when it was ${then.status}`;
    else if (point === undefined || point.at === null || point.at > notice.at)
      yield `notice ${name} was given at ${notice.at}, and is due ${point?.at ?? 'never'}`;
    if (!row.notices.includes(name)) yield `notice ${name} was given, and its row does not know`;
  }
  for (const name of new Set(row.notices)) if (row.notices.filter((one) => one === name).length > 1) yield `notice ${name} is in its row twice`;

  // What makes a point due may itself have been recorded late.
  const commands = stands.flatMap(({ seq }) => recorded.get(seq) ?? []);
  const end = state.endedAt === null ? undefined : commands.at(-1);
  const changed = commands.filter((entry) => entry !== end).at(-1)?.at;
  const until = end?.at ?? now;
  const points = [...state.warnPoints, ...state.escalationPoints];
  const told = points.findLastIndex((point) => point.sent);
  for (const { key, at } of points.slice(told + 1))
    if (at !== null && changed !== undefined && plus(later(at, changed), noticedWithinMs) < until)
      yield `notice ${key} was due at ${at}, and by ${until} nobody was told`;
}
