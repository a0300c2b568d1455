import { describe, expect, test } from '@jest/globals';
import { clockState, declareClock, type ClockCommand } from '../../activities/clock.ts';
import type { AuditedCase, AuditedTask, AuditRows, TimelineRow } from '../../cli/demo/audit.ts';
import { ofClocks, type ClockRow } from '../../cli/demo/clocks.ts';
import { loadPolicy } from '../../policies/load.ts';
import { parseInstant, plus, type Instant } from '../../values/instant.ts';
import { noRecords } from './audited.ts';

type Rows = Pick<AuditRows, 'own' | 'cases'>;
const { policy } = loadPolicy('policies/default.yaml');
const declaration = declareClock(policy, 'T10');
const id = 'return-exchange.O-1.demo-1';
const began = parseInstant('2026-11-23T02:00:00.000Z');
const after = (ms: number): Instant => plus(began, ms);
const hour = 3_600_000;
const deadline = clockState(declaration, [{ seq: 1, at: began, command: { kind: 'start' } }]).deadline ?? began;
const warn = clockState(declaration, [{ seq: 1, at: began, command: { kind: 'start' } }]).warnPoints[0] ?? { key: '', at: began };
const firstDue = warn.at ?? began;

/** A command and when it was recorded; or a notice and when it was given. */
type Said =
  | { readonly command: ClockCommand['command']; readonly at: Instant; readonly recorded?: Instant }
  | { readonly notice: string; readonly at: Instant };

/** Rows as the engine writes them for what was said, in this order. */
function rowsOf(said: readonly Said[], of: { readonly status?: string; readonly facts?: readonly Instant[] } = {}): Rows {
  const commands: ClockCommand[] = [];
  const notices: string[] = [];
  const timeline = said.map((one, n): TimelineRow => {
    const base = { case: id, id: n + 1, data: { clock: 'handle' } };
    if ('notice' in one) {
      notices.push(one.notice);
      return { ...base, key: `clock:handle:${one.notice}`, kind: one.notice.includes('warn') ? 'clockWarned' : 'clockEscalated', at: one.at };
    }
    commands.push({ seq: commands.length + 1, at: one.at, command: one.command });
    return { ...base, key: `clock:handle:${commands.length}:${one.command.kind}:${one.at}`, kind: 'clock', at: one.recorded ?? one.at };
  });
  const state = clockState(declaration, commands, undefined, notices);
  const { status, provisional, nextPoint } = state;
  const row: ClockRow = {
    case: id,
    clock: 'handle',
    policyClock: 'T10',
    status,
    deadline: state.deadline,
    provisional,
    nextPoint,
    notices,
    state: JSON.parse(JSON.stringify(state)) as ClockRow['state'],
  };
  const task = (decidedAt: Instant): AuditedTask => ({
    id: `${id}:review`,
    name: 'review',
    path: 'review',
    status: 'done',
    decidedBy: 'wang',
    decidedRole: 'agent',
    decidedAt,
    expiresAt: null,
    assignee: null,
    notBy: [],
    context: {},
  });
  const facts = of.facts ?? commands.flatMap(({ command, at }) => (command.kind === 'stop' ? [at] : []));
  const row1: AuditedCase = { id, order: 'O-1', status: of.status ?? 'completed', trouble: null, tasks: facts.map(task), timeline: [] };
  return {
    own: {
      ...noRecords,
      at: after(1000 * hour),
      cases: [{ id, shop: 'mx', starter: 'shop', status: row1.status, policy: 'p1' }],
      policies: new Map([['p1', policy]]),
      timeline,
      clocks: [row],
      clockLog: commands.map((command) => ({ ...command, case: id, clock: 'handle', run: 0 })),
    },
    cases: new Map([[id, row1]]),
  };
}
const start: Said = { command: { kind: 'start' }, at: began };
const stop = (at: Instant, recorded = at): Said => ({ command: { kind: 'stop' }, at, recorded });
const pause = (at: Instant, recorded = at): Said => ({ command: { kind: 'pause', why: 'evidence' }, at, recorded });
const resume = (at: Instant, recorded = at): Said => ({ command: { kind: 'resume', why: 'evidence' }, at, recorded });
const warned: Said = { notice: warn.key, at: firstDue };
const changed = (rows: Rows, change: Partial<ClockRow>): Rows => ({
  ...rows,
  own: { ...rows.own, clocks: rows.own.clocks.map((row) => ({ ...row, ...change })) },
});
const sound = rowsOf([start, warned, stop(plus(firstDue, 1000))]);
const whyOf = (rows: Rows): string[] => [...ofClocks(rows)].map(({ kind, why }) => `${kind}: ${why}`);

describe('clocks', () => {
  const innocent: readonly [what: string, rows: Rows][] = [
    ['was warned of in time and stopped', sound],
    ['was stopped before anything was due', rowsOf([start, stop(after(1000))])],
    [
      'was decided in time, and heard of long after its deadline: nobody was told meanwhile, as what came in time was waited for',
      rowsOf([start, warned, { notice: '1/warn-75', at: plus(deadline, -1000) }, stop(plus(deadline, -1000), plus(deadline, 20_000))]),
    ],
    ['was paused and went on', rowsOf([start, pause(after(1000)), resume(after(2 * hour)), stop(after(3 * hour))])],
    [
      'was warned of, and paused before that as one learned afterwards',
      rowsOf([start, warned, pause(plus(firstDue, -1000), plus(firstDue, 1000)), resume(plus(firstDue, hour)), stop(plus(firstDue, hour + 1))]),
    ],
    [
      'runs in a case that runs',
      rowsOf([start, ...['warn-50', 'warn-75', 'breach-0', 'breach-1', 'breach-2'].map((name): Said => ({ notice: `1/${name}`, at: after(900 * hour) }))], {
        status: 'open',
      }),
    ],
    ['ended with its case', rowsOf([start, { command: { kind: 'abandon' }, at: after(1000) }])],
  ];
  test.each(innocent)('are sound where one %s', (_, rows) => {
    expect(whyOf(rows)).toEqual([]);
  });

  const { state } = sound.own.clocks[0] ?? { state: {} };
  const controls: readonly [what: string, why: RegExp, rows: Rows][] = [
    [
      'a deadline that the log does not make',
      /deadline is .* its log makes it/,
      changed(sound, { deadline: after(1), state: { ...state, deadline: after(1) } }),
    ],
    [
      'a broken clock that was met',
      /status is "broken", and its log makes it "met"/,
      changed(sound, { status: 'broken', state: { ...state, status: 'broken' } }),
    ],
    ['a row that says another thing than its state', /status is "broken" in its row/, changed(sound, { status: 'broken' })],
    ['a clock that still runs when its case has ended', /it is running, and its case has ended/, rowsOf([start])],
    ['a clock that is paused when its case has ended', /it is paused, and its case has ended/, rowsOf([start, pause(after(1000))])],
    [
      'a clock that was abandoned although its case runs',
      /its case is open/,
      rowsOf([start, { command: { kind: 'abandon' }, at: after(1000) }], { status: 'open' }),
    ],
    [
      'a command that was lost',
      /from command 1 to command 3/,
      { ...sound, own: { ...sound.own, clockLog: sound.own.clockLog.map((entry) => (entry.seq === 2 ? { ...entry, seq: 3 } : entry)) } },
    ],
    ['a clock without commands', /no command/, { ...sound, own: { ...sound.own, clockLog: [] } }],
    ['a policy that is not there', /is pinned to is not there/, { ...sound, own: { ...sound.own, policies: new Map() } }],
    // What was decided in time would count as broken, or the reverse.
    ['a stop at another instant than the decision', /when nothing happened/, rowsOf([start, stop(after(2000))], { facts: [after(1000)] })],
    ['a notice before its time', /is due/, rowsOf([start, { notice: warn.key, at: plus(firstDue, -1) }, stop(plus(firstDue, 1000))])],
    ['a breach that was none', /notice 1\/breach-0 was given at .*, and is due/, rowsOf([start, { notice: '1/breach-0', at: deadline }, stop(deadline)])],
    [
      'a notice of a clock that was paused',
      /when it was paused/,
      rowsOf([start, pause(after(1000)), { notice: warn.key, at: firstDue }, resume(plus(firstDue, 1)), stop(plus(firstDue, 2))]),
    ],
    ['a notice after the end', /when it was met/, rowsOf([start, stop(after(1000)), { notice: warn.key, at: firstDue }])],
    ['a notice of no point', /is due never/, rowsOf([start, { notice: '7/warn-50', at: firstDue }, stop(plus(firstDue, 1000))])],
    ['a notice that the row forgot', /its row does not know/, changed(sound, { notices: [] })],
    ['a breach that nobody was told of', /notice 1\/breach-\d was due at .* nobody was told/, rowsOf([start, warned, stop(plus(deadline, 20 * hour))])],
    ['a breach in an open case that nobody was told of', /nobody was told/, rowsOf([start], { status: 'open' })],
    [
      'a command that the timeline does not tell',
      /does not know of its command 2/,
      { ...sound, own: { ...sound.own, timeline: sound.own.timeline.filter(({ key }) => !key.includes(':stop:')) } },
    ],
  ];
  test.each(controls)('show %s', (_, why, rows) => {
    const found = whyOf(rows).filter((line) => why.test(line));
    expect(found.length).toBeGreaterThan(0);
    for (const line of found) expect(line).toMatch(/^wrong: clock handle: /);
  });
});
