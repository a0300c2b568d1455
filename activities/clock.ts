/** What a clock says: a pure function of its declaration and the log of commands that a case sent it. */
import type { Role } from '../values/role.ts';
import type { Instant } from '../values/instant.ts';
import { later, plus } from '../values/instant.ts';
import type { ClockRules } from '../policies/lookup.ts';
import { clockOf } from '../policies/lookup.ts';
import type { PolicyValues } from '../policies/schema.ts';
import type { ClockCommand as RecordedCommand } from '../workflows/kit/protocol.ts';
import type { Calendars, Explanation, StatutoryDays } from './calendar.ts';
import { calendarsOf, deadline, elapsed } from './calendar.ts';

export type ClockDeclaration = ClockRules & { readonly calendars: Calendars };

/** The clock that a policy declares under this name (T10), ready to count; throws RangeError on an unknown one. */
export const declareClock = (policy: PolicyValues, name: string, statutory?: StatutoryDays): ClockDeclaration => ({
  ...clockOf(policy, name),
  calendars: calendarsOf(policy, statutory),
});

/** One entry of a clock's log. `abandon` is written when the case ends while the clock runs: what was in time until then is neither met nor broken. */
export type ClockCommand = Pick<RecordedCommand, 'seq' | 'at'> & { readonly command: RecordedCommand['command'] | { readonly kind: 'abandon' } };

/**
 * What stands of the logs of a case's runs. A run that a reset began has the commands of the run before up to where it was reset to, and its own from there:
 * what the run before had sent after that is not what happened, whether the new run sends the same again, something else, or nothing yet. A start that is
 * sent again keeps its first instant: whoever waits has waited since then.
 */
export function whatStands(logs: readonly (ClockCommand & { readonly run: number })[]): ClockCommand[] {
  let stands: readonly ClockCommand[] = [];
  for (const run of [...new Set(logs.map((entry) => entry.run))].toSorted((a, b) => a - b)) {
    const own = logs.filter((entry) => entry.run === run);
    const from = Math.min(...own.map((entry) => entry.seq));
    const before = stands;
    stands = [
      ...before.filter((entry) => entry.seq < from),
      ...own.map(({ seq, at, command }) => {
        const first = before.find((entry) => entry.seq === seq);
        return { seq, at: command.kind === 'start' && first?.command.kind === 'start' ? first.at : at, command };
      }),
    ];
  }
  return stands.toSorted((a, b) => a.seq - b.seq);
}

export type ClockStatus = 'running' | 'paused' | 'met' | 'broken' | 'stopped';

/** A moment at which people are told. `key` names it for ever: it is sent once. */
interface Point {
  readonly key: string;
  /** Null while it cannot be known: the clock is paused before it. */
  readonly at: Instant | null;
  readonly sent: boolean;
}
export interface WarnPoint extends Point {
  readonly percent: number;
}
export interface EscalationPoint extends Point {
  readonly to: Role;
}

/** JSON, as kept in the clock's row. */
export interface ClockState {
  /** `stopped`: not started, or abandoned in time. `broken` while not ended: still open, and escalating. */
  readonly status: ClockStatus;
  /** 1 for the first start, one more for each restart; 0 before. */
  readonly run: number;
  readonly startedAt: Instant | null;
  readonly endedAt: Instant | null;
  /** Null before the start and while paused. */
  readonly deadline: Instant | null;
  readonly provisional: boolean;
  /** Reasons of the pause, sorted; empty when not paused. */
  readonly pausedFor: readonly string[];
  /** Open milliseconds left: at the pause, at the end, or at `now`; 0 once past. */
  readonly remaining: number | null;
  /** Open milliseconds from start to deadline, pauses left out. */
  readonly total: number | null;
  readonly warnPoints: readonly WarnPoint[];
  readonly escalationPoints: readonly EscalationPoint[];
  /** When the next notice is due, possibly in the past; null when nothing more is: ended, paused, or all told. */
  readonly nextPoint: Instant | null;
  /** Commands without effect, with the reason. */
  readonly refused: readonly { readonly seq: number; readonly why: string }[];
  /** Runs that a restart ended. */
  readonly earlier: readonly {
    readonly run: number;
    readonly status: ClockStatus;
    readonly startedAt: Instant;
    readonly deadline: Instant | null;
    readonly endedAt: Instant;
  }[];
  readonly explanation: readonly Explanation[];
}

/** A stretch of running between two changes. */
interface Stretch {
  readonly from: Instant;
  readonly to: Instant;
  readonly ms: number;
}

/** The run as the log is read; local to the reducer. */
interface Run {
  readonly n: number;
  readonly startedAt: Instant;
  /** Past stretches; the present one, when running, goes from `from` to `deadline`. */
  readonly past: Stretch[];
  from: Instant;
  deadline: Instant;
  provisional: boolean;
  /** Open time left since the pause; meaningful while `reasons` is not empty. */
  left: number;
  readonly reasons: Set<string>;
  pause: { readonly from: Instant; readonly reasons: Set<string> } | undefined;
  /** The latest command that had an effect: the log may not run backwards. */
  last: Instant;
  extensions: number;
  extendedAt: Instant | undefined;
  end: { readonly at: Instant; readonly status: 'met' | 'broken' | 'stopped' } | undefined;
  /** Steps of what is past, and of the present stretch. */
  readonly story: Explanation[];
  present: readonly Explanation[];
}

const isPaused = (run: Run): boolean => run.reasons.size > 0;
const sumOf = (stretches: readonly Stretch[]): number => stretches.reduce((sum, s) => sum + s.ms, 0);
const isStep = (step: Explanation): boolean => step.what !== 'rule' && step.what !== 'span' && step.what !== 'deadline';

/**
 * The clock's state after its log (in order of `seq`). A pause keeps the open time left, a resume counts on from it; pauses overlap by reason. Once the
 * deadline has passed nothing moves it: pause, resume and extend are refused, and a stop is met up to and at the deadline, broken from the next millisecond.
 * `now` turns a running clock past its deadline into `broken`; without it only the log speaks. `sent` are the keys of notices already given.
 */
export function clockState(declaration: ClockDeclaration, log: readonly ClockCommand[], now?: Instant, sent: readonly string[] = []): ClockState {
  const { within, calendar, calendars } = declaration;
  const openBetween = (start: Instant, end: Instant) => elapsed({ start, end, calendar, calendars });
  const openAfter = (start: Instant, ms: number) => deadline({ start, amount: { ms }, calendar, calendars });
  const refused: { seq: number; why: string }[] = [];
  const earlier: ClockState['earlier'][number][] = [];
  let run: Run | undefined;

  const begin = (n: number, at: Instant): Run => {
    const first = deadline({ start: at, amount: within, calendar, calendars });
    const [rule] = first.explanation;
    return {
      n,
      startedAt: at,
      past: [],
      from: at,
      deadline: first.deadline,
      provisional: first.provisional,
      left: 0,
      reasons: new Set(),
      pause: undefined,
      last: at,
      extensions: 0,
      extendedAt: undefined,
      end: undefined,
      story: rule ? [rule] : [],
      present: first.explanation.filter(isStep),
    };
  };
  const isPast = (r: Run, at: Instant): boolean => !isPaused(r) && at > r.deadline;

  /** Applies one command; answers why not, when it has no effect. */
  const apply = ({ at: asked, command }: ClockCommand): string | undefined => {
    if (command.kind === 'restart' || (command.kind === 'start' && run === undefined)) {
      if (run) {
        const end = run.end ?? { at: later(asked, run.last), status: isPast(run, asked) ? 'broken' : 'stopped' };
        earlier.push({ run: run.n, status: end.status, startedAt: run.startedAt, deadline: isPaused(run) ? null : run.deadline, endedAt: end.at });
      }
      run = begin((run?.n ?? 0) + 1, asked);
      return undefined;
    }
    if (!run) return 'the clock has not started';
    if (command.kind === 'start') return 'the clock has started before; restart it';
    if (run.end) return `the clock ended at ${run.end.at}`;
    // Instants come from several machines. An earlier one counts as the latest: that never turns met into broken, since what is refused does not move it.
    const at = later(asked, run.last);
    if (command.kind === 'stop' || command.kind === 'abandon') {
      run.end = { at, status: isPast(run, at) ? 'broken' : command.kind === 'stop' ? 'met' : 'stopped' };
      return undefined;
    }
    if (isPast(run, at)) return `the deadline passed at ${run.deadline}`;
    switch (command.kind) {
      case 'pause': {
        if (run.reasons.has(command.why)) return `already paused for ${command.why}`;
        if (!run.pause) {
          const ran = openBetween(run.from, at).ms;
          run.past.push({ from: run.from, to: at, ms: ran });
          run.story.push({ what: 'ran', from: run.from, to: at, ms: ran });
          run.left = openBetween(at, run.deadline).ms;
          run.pause = { from: at, reasons: new Set() };
          run.present = [];
        }
        run.reasons.add(command.why);
        run.pause.reasons.add(command.why);
        break;
      }
      case 'resume': {
        if (!run.pause || !run.reasons.delete(command.why)) return `not paused for ${command.why}`;
        if (isPaused(run)) break;
        const next = openAfter(at, run.left);
        run.story.push({ what: 'paused', from: run.pause.from, to: at, reasons: [...run.pause.reasons].toSorted(), remaining: run.left });
        // A deadline agreed outside open time has no open time of its own: a pause never brings it forward.
        run.deadline = later(next.deadline, run.deadline);
        run.provisional ||= next.provisional;
        run.from = at;
        run.pause = undefined;
        run.present = next.explanation.filter(isStep);
        break;
      }
      case 'extend': {
        const present = isPaused(run) ? openAfter(at, run.left).deadline : run.deadline;
        if (command.to <= present) return `${command.to} is not after the deadline ${present}`;
        const counted = openBetween(isPaused(run) ? at : run.from, command.to);
        run.story.push({ what: 'extended', at, to: command.to, by: command.by, why: command.why });
        run.deadline = command.to;
        // An agreed date is what it is; what is left of it at a pause may still await a notice.
        run.provisional = isPaused(run) && counted.provisional;
        run.extensions += 1;
        run.extendedAt = at;
        if (isPaused(run)) run.left = counted.ms;
        else run.present = openAfter(run.from, counted.ms).explanation.filter(isStep);
        break;
      }
    }
    run.last = at;
    return undefined;
  };
  for (const entry of log) {
    const why = apply(entry);
    if (why !== undefined) refused.push({ seq: entry.seq, why });
  }
  const latest = run;
  if (!latest) return { ...notStarted, refused };

  const paused = isPaused(latest) && !latest.end;
  const used = sumOf(latest.past);
  const total = used + (isPaused(latest) ? latest.left : openBetween(latest.from, latest.deadline).ms);
  // An extension renews the notices, except those whose time had come before it.
  const round = latest.extensions === 0 ? `${latest.n}` : `${latest.n}x${latest.extensions}`;
  const point = (name: string, at: Instant | null): Point => {
    const key = `${round}/${name}`;
    return { key, at, sent: sent.includes(key) || (at !== null && latest.extendedAt !== undefined && at <= latest.extendedAt) };
  };
  /** When this much open time was used up. */
  const usedUp = (ms: number): Instant | null => {
    let before = 0;
    for (const stretch of latest.past) {
      if (ms <= before + stretch.ms) return openAfter(stretch.from, ms - before).deadline;
      before += stretch.ms;
    }
    return isPaused(latest) ? null : openAfter(latest.from, ms - before).deadline;
  };
  const warnPoints = declaration.warnAt.map((percent): WarnPoint => ({ percent, ...point(`warn-${percent}`, usedUp(Math.round((total * percent) / 100))) }));
  const escalationPoints = declaration.escalation.map(({ to, after }, level): EscalationPoint => {
    // A millisecond later: at the deadline itself the clock is still met.
    return { to, ...point(`breach-${level}`, isPaused(latest) ? null : plus(openAfter(latest.deadline, after.ms).deadline, 1)) };
  });
  const status = latest.end?.status ?? (paused ? 'paused' : now !== undefined && isPast(latest, now) ? 'broken' : 'running');
  const present: Explanation[] = latest.pause
    ? [{ what: 'paused', from: latest.pause.from, to: latest.end?.at ?? null, reasons: [...latest.pause.reasons].toSorted(), remaining: latest.left }]
    : [...latest.present, { what: 'deadline', at: latest.deadline, provisional: latest.provisional }];
  const points = pending([...warnPoints, ...escalationPoints]);
  return {
    status,
    run: latest.n,
    startedAt: latest.startedAt,
    endedAt: latest.end?.at ?? null,
    deadline: isPaused(latest) ? null : latest.deadline,
    provisional: latest.provisional,
    pausedFor: paused ? [...latest.reasons].toSorted() : [],
    remaining: isPaused(latest) ? latest.left : openBetween(latest.end?.at ?? later(now ?? latest.from, latest.from), latest.deadline).ms,
    total,
    warnPoints,
    escalationPoints,
    nextPoint: latest.end || paused ? null : (points[0]?.at ?? null),
    refused,
    earlier,
    explanation: [...latest.story, ...present],
  };
}

const notStarted: ClockState = {
  status: 'stopped',
  run: 0,
  startedAt: null,
  endedAt: null,
  deadline: null,
  provisional: false,
  pausedFor: [],
  remaining: null,
  total: null,
  warnPoints: [],
  escalationPoints: [],
  nextPoint: null,
  refused: [],
  earlier: [],
  explanation: [],
};

/** What is still to be told: points stand in rising order, so everything up to the last that was sent is done. */
function pending<P extends Point>(points: readonly P[]): P[] {
  return points.slice(points.findLastIndex((point) => point.sent) + 1);
}

export interface DueAction {
  readonly kind: 'warn' | 'escalate';
  /** When it was due. */
  readonly at: Instant;
  /** Share of the time used, for a warning; 100 for an escalation. */
  readonly percent: number;
  /** Where the open tasks that name the clock climb to; for a warning those who have them. */
  readonly to: Role;
  /** All who are told: on the way up everyone whose turn has come. */
  readonly tell: readonly Role[];
  /** Every point that this notice covers; recorded as sent with it. */
  readonly covers: readonly string[];
}

/**
 * What has to be told now. Points that came due together (after downtime, at a resume) are one notice, the gravest: a breach covers the warnings.
 * Nothing while paused or once ended.
 */
export function dueActions(state: ClockState, now: Instant, alreadySent: readonly string[]): readonly DueAction[] {
  if (state.endedAt !== null || state.status === 'paused') return [];
  const points = [...state.warnPoints, ...state.escalationPoints].map((point) => ({ ...point, sent: point.sent || alreadySent.includes(point.key) }));
  const due = pending(points).flatMap((point) => (point.at !== null && point.at <= now ? [{ ...point, at: point.at }] : []));
  const gravest = due.at(-1);
  if (!gravest) return [];
  const covers = due.map(({ key }) => key);
  if ('percent' in gravest) return [{ kind: 'warn', at: gravest.at, percent: gravest.percent, to: 'agent', tell: ['agent'], covers }];
  return [{ kind: 'escalate', at: gravest.at, percent: 100, to: gravest.to, tell: due.flatMap((point) => ('to' in point ? [point.to] : [])), covers }];
}
