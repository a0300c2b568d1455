import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Explanation, LocalDate, StatutoryDays } from '../../activities/calendar.ts';
import { elapsed, explain } from '../../activities/calendar.ts';
import type { ClockCommand, ClockDeclaration, ClockState, DueAction } from '../../activities/clock.ts';
import { clockState, declareClock, dueActions, whatStands } from '../../activities/clock.ts';
import { loadPolicy } from '../../policies/load.ts';
import { instant, millis, parseInstant, plus } from '../../values/instant.ts';
import type { Instant } from '../../values/instant.ts';

const { policy } = loadPolicy(fileURLToPath(new URL('../../policies/default.yaml', import.meta.url)));
const at = (local: string): Instant => parseInstant(`${local.replace(' ', 'T')}+08:00`);
const endOf = (date: LocalDate): Instant => at(`${date} 23:59:59.999`);
const hour = 3_600_000;
const refund = declareClock(policy, 'T10');
const resolution = declareClock(policy, 'T9');
const callBack = declareClock(policy, 'T6');

/** Commands as they would be logged, one after another. */
const log = (...entries: readonly [at: string | Instant, command: ClockCommand['command']][]): ClockCommand[] =>
  entries.map(([moment, command], seq) => ({ seq, at: moment.endsWith('Z') ? parseInstant(moment) : at(moment), command }));
const start = { kind: 'start' } as const;
const stop = { kind: 'stop' } as const;
const pause = (why: string) => ({ kind: 'pause', why }) as const;
const resume = (why: string) => ({ kind: 'resume', why }) as const;
const extend = (to: string) => ({ kind: 'extend', to: at(to), by: 'wang', why: 'agreed with the customer' }) as const;

describe('met or broken', () => {
  test('CL1: done exactly at the deadline is met, a millisecond after is broken', () => {
    const began = at('2026-11-23 10:00');
    const { deadline } = clockState(refund, log([began, start]));
    expect(deadline).toBe(at('2026-11-24 10:00'));
    expect(clockState(refund, log([began, start], [at('2026-11-24 10:00'), stop])).status).toBe('met');
    expect(clockState(refund, log([began, start], [plus(at('2026-11-24 10:00'), 1), stop])).status).toBe('broken');
  });

  test('CL1: a working day ends with its last millisecond', () => {
    const lastly = endOf('2026-12-02');
    const state = (done: Instant) => clockState(resolution, log(['2026-11-23 10:00', start], [done, stop])).status;
    expect([state(lastly), state(plus(lastly, 1))]).toEqual(['met', 'broken']);
  });

  test('CL2: what was decided in time is met, however late it is delivered', () => {
    expect(clockState(refund, log(['2026-11-23 10:00', start], ['2026-11-24 09:59', stop]), at('2026-11-30 10:00'))).toMatchObject({
      status: 'met',
      nextPoint: null,
    });
  });

  test('an open clock past its deadline is broken, and says so only when asked with a time', () => {
    const running = log(['2026-11-23 10:00', start]);
    expect(clockState(refund, running).status).toBe('running');
    expect(clockState(refund, running, at('2026-11-24 10:00')).status).toBe('running');
    expect(clockState(refund, running, plus(at('2026-11-24 10:00'), 1))).toMatchObject({ status: 'broken', endedAt: null, remaining: 0 });
  });

  test('abandoned in time is neither met nor broken; abandoned too late is broken', () => {
    expect(clockState(refund, log(['2026-11-23 10:00', start], ['2026-11-23 11:00', { kind: 'abandon' }])).status).toBe('stopped');
    expect(clockState(refund, log(['2026-11-23 10:00', start], ['2026-11-25 11:00', { kind: 'abandon' }])).status).toBe('broken');
  });

  test('stopped while paused is met', () => {
    expect(clockState(refund, log(['2026-11-23 10:00', start], ['2026-11-23 11:00', pause('evidence')], ['2026-12-23 11:00', stop]))).toMatchObject({
      status: 'met',
      pausedFor: [],
    });
  });
});

describe('pauses', () => {
  test('keep the time left and resume with it', () => {
    const paused = log(['2026-11-23 10:00', start], ['2026-11-23 20:00', pause('evidence')]);
    expect(clockState(refund, paused)).toMatchObject({ status: 'paused', deadline: null, remaining: 14 * hour, pausedFor: ['evidence'], nextPoint: null });
    const resumed = log(['2026-11-23 10:00', start], ['2026-11-23 20:00', pause('evidence')], ['2026-11-25 20:00', resume('evidence')]);
    expect(clockState(refund, resumed)).toMatchObject({ status: 'running', deadline: at('2026-11-26 10:00'), pausedFor: [], total: 24 * hour });
  });

  test('CL3: overlap by reason: the clock runs again when the last one is gone', () => {
    const entries: [string, ClockCommand['command']][] = [
      ['2026-11-23 10:00', start],
      ['2026-11-23 12:00', pause('evidence')],
      ['2026-11-23 13:00', pause('customer')],
      ['2026-11-23 15:00', resume('evidence')],
    ];
    expect(clockState(refund, log(...entries))).toMatchObject({ status: 'paused', pausedFor: ['customer'], remaining: 22 * hour });
    expect(clockState(refund, log(...entries, ['2026-11-23 18:00', resume('customer')]))).toMatchObject({
      status: 'running',
      deadline: at('2026-11-24 16:00'),
    });
  });

  test('CL3: at the very deadline a pause still counts, a millisecond later it is refused', () => {
    const due = at('2026-11-24 10:00');
    const resumedAt = at('2026-11-26 08:00');
    const inTime = log([at('2026-11-23 10:00'), start], [due, pause('evidence')], [resumedAt, resume('evidence')]);
    expect(clockState(refund, inTime)).toMatchObject({ deadline: resumedAt, refused: [] });
    expect(clockState(refund, [...inTime, { seq: 3, at: resumedAt, command: stop }]).status).toBe('met');
    const late = log([at('2026-11-23 10:00'), start], [plus(due, 1), pause('evidence')]);
    expect(clockState(refund, late, plus(due, 1))).toMatchObject({ status: 'broken', deadline: due, refused: [{ seq: 1 }] });
  });

  test('CL3: a resume on a holiday goes on with the next working day', () => {
    // Without the pause: the end of 13 October. The pause took the afternoon of 30 September, the only working time in it.
    const state = clockState(resolution, log(['2026-09-28 12:00', start], ['2026-09-30 12:00', pause('customer')], ['2026-10-03 09:00', resume('customer')]));
    expect(state.deadline).toBe(plus(at('2026-10-14 12:00'), -1));
    expect(
      clockState(resolution, log(['2026-09-28 12:00', start], ['2026-09-30 12:00', pause('customer')], ['2026-09-30 12:00', resume('customer')])).deadline,
    ).toBe(endOf('2026-10-13'));
  });

  test('CL3: before and after a warn point', () => {
    const before = log(['2026-11-23 10:00', start], ['2026-11-23 20:00', pause('evidence')]);
    expect(clockState(refund, before).warnPoints.map(({ at: when }) => when)).toEqual([null, null]);
    const resumed = clockState(refund, log(['2026-11-23 10:00', start], ['2026-11-23 20:00', pause('evidence')], ['2026-11-24 20:00', resume('evidence')]));
    expect(resumed.warnPoints.map(({ at: when }) => when)).toEqual([at('2026-11-24 22:00'), at('2026-11-25 04:00')]);
    const after = clockState(refund, log(['2026-11-23 10:00', start], ['2026-11-23 23:00', pause('evidence')]));
    expect(after.warnPoints.map(({ at: when }) => when)).toEqual([at('2026-11-23 22:00'), null]);
  });
});

describe('commands without effect say why', () => {
  test.each<[string, ClockCommand[], string]>([
    ['a pause before the start', log(['2026-11-23 10:00', pause('evidence')]), 'the clock has not started'],
    ['a second start', log(['2026-11-23 10:00', start], ['2026-11-23 11:00', start]), 'the clock has started before; restart it'],
    ['the same reason twice', log(['2026-11-23 10:00', start], ['2026-11-23 11:00', pause('a')], ['2026-11-23 12:00', pause('a')]), 'already paused for a'],
    ['a resume for another reason', log(['2026-11-23 10:00', start], ['2026-11-23 11:00', pause('a')], ['2026-11-23 12:00', resume('b')]), 'not paused for b'],
    [
      'anything after the end',
      log(['2026-11-23 10:00', start], ['2026-11-23 11:00', stop], ['2026-11-23 12:00', pause('a')]),
      'the clock ended at 2026-11-23T03:00:00.000Z',
    ],
    [
      'CL8: an extension after the breach',
      log(['2026-11-23 10:00', start], ['2026-11-24 10:00:00.001', extend('2026-11-30 10:00')]),
      'the deadline passed at 2026-11-24T02:00:00.000Z',
    ],
    [
      'an extension to an earlier date',
      log(['2026-11-23 10:00', start], ['2026-11-23 11:00', extend('2026-11-24 10:00')]),
      '2026-11-24T02:00:00.000Z is not after the deadline 2026-11-24T02:00:00.000Z',
    ],
  ])('%s', (_, commands, why) => {
    const state = clockState(refund, commands);
    expect(state.refused).toEqual([{ seq: commands.at(-1)?.seq, why }]);
    expect(clockState(refund, commands.slice(0, -1))).toEqual({ ...state, refused: [] });
  });

  test('a command whose instant lies before the latest counts as simultaneous', () => {
    const state = clockState(refund, log(['2026-11-23 10:00', start], ['2026-11-23 12:00', pause('a')], ['2026-11-23 11:59', resume('a')]));
    expect(state).toMatchObject({ status: 'running', deadline: at('2026-11-24 10:00') });
  });
});

describe('extension and restart', () => {
  test('an agreed date is the deadline; a pause afterwards moves it on', () => {
    const extended = log(['2026-11-23 10:00', start], ['2026-11-24 09:00', extend('2026-11-27 10:00')]);
    expect(clockState(refund, extended)).toMatchObject({ deadline: at('2026-11-27 10:00'), total: 96 * hour });
    const paused = [...extended, ...log(['2026-11-25 10:00', pause('customer')], ['2026-11-26 10:00', resume('customer')])];
    expect(clockState(refund, paused).deadline).toBe(at('2026-11-28 10:00'));
  });

  test('an agreed date may be a day off; a pause of no time does not bring it forward', () => {
    const entries = log(
      ['2026-11-23 10:00', start],
      ['2026-11-24 09:00', extend('2026-12-06 12:00')],
      ['2026-11-25 10:00', pause('a')],
      ['2026-11-25 10:00', resume('a')],
    );
    expect(clockState(resolution, entries).deadline).toBe(at('2026-12-06 12:00'));
  });

  test('while paused it sets what is left', () => {
    const entries = log(['2026-11-23 10:00', start], ['2026-11-24 09:00', pause('customer')], ['2026-11-24 10:00', extend('2026-11-26 10:00')]);
    expect(clockState(refund, entries)).toMatchObject({ status: 'paused', remaining: 48 * hour });
    expect(clockState(refund, [...entries, ...log(['2026-11-24 12:00', resume('customer')])]).deadline).toBe(at('2026-11-26 12:00'));
  });

  test('renews the warnings, except what had been passed before it', () => {
    const entries = log(['2026-11-23 10:00', start], ['2026-11-24 08:00', extend('2026-11-27 10:00')]);
    const state = clockState(refund, entries, undefined, ['1/warn-50', '1/warn-75']);
    expect(state.warnPoints).toEqual([
      { key: '1x1/warn-50', percent: 50, at: at('2026-11-25 10:00'), sent: false },
      { key: '1x1/warn-75', percent: 75, at: at('2026-11-26 10:00'), sent: false },
    ]);
    const slight = clockState(refund, log(['2026-11-23 10:00', start], ['2026-11-24 08:00', extend('2026-11-24 11:00')]), undefined, [
      '1/warn-50',
      '1/warn-75',
    ]);
    expect(slight.warnPoints.map((p) => p.sent)).toEqual([true, true]);
    expect(slight.nextPoint).toBe(plus(at('2026-11-24 11:00'), 1));
  });

  test('a restart begins anew and keeps what became of the run before', () => {
    const state = clockState(refund, log(['2026-11-23 10:00', start], ['2026-11-25 10:00', { kind: 'restart' }]), undefined, [
      '1/warn-50',
      '1/warn-75',
      '1/breach-0',
    ]);
    expect(state).toMatchObject({
      status: 'running',
      run: 2,
      startedAt: at('2026-11-25 10:00'),
      deadline: at('2026-11-26 10:00'),
      nextPoint: at('2026-11-25 22:00'),
    });
    expect(state.earlier).toEqual([
      { run: 1, status: 'broken', startedAt: at('2026-11-23 10:00'), deadline: at('2026-11-24 10:00'), endedAt: at('2026-11-25 10:00') },
    ]);
  });
});

describe('notices', () => {
  const sentBy = (actions: readonly DueAction[]): string[] => actions.flatMap(({ covers }) => covers);

  test('warn at half and at three quarters, then climb from agent to supervisor to manager', () => {
    const commands = log(['2026-11-23 10:00', start]);
    const told: [Instant, string, string][] = [];
    let sent: string[] = [];
    for (let state = clockState(refund, commands, undefined, sent); state.nextPoint !== null; state = clockState(refund, commands, undefined, sent)) {
      const actions = dueActions(state, state.nextPoint, sent);
      for (const { kind, to } of actions) told.push([state.nextPoint, kind, to]);
      expect(dueActions(state, plus(state.nextPoint, -1), sent)).toEqual([]);
      sent = [...sent, ...sentBy(actions)];
    }
    expect(told).toEqual([
      [at('2026-11-23 22:00'), 'warn', 'agent'],
      [at('2026-11-24 04:00'), 'warn', 'agent'],
      [plus(at('2026-11-24 10:00'), 1), 'escalate', 'agent'],
      [plus(at('2026-11-24 11:00'), 1), 'escalate', 'supervisor'],
      [plus(at('2026-11-24 14:00'), 1), 'escalate', 'manager'],
    ]);
  });

  test('CL4: both warn points past at the resume are one notice', () => {
    // Nobody was told before the pause, say because everything was down.
    const state = clockState(refund, log(['2026-11-23 10:00', start], ['2026-11-24 06:00', pause('evidence')], ['2026-11-25 06:00', resume('evidence')]));
    const now = at('2026-11-25 06:00');
    expect(state.nextPoint).toBe(at('2026-11-23 22:00'));
    expect(dueActions(state, now, [])).toEqual([
      { kind: 'warn', at: at('2026-11-24 04:00'), percent: 75, to: 'agent', tell: ['agent'], covers: ['1/warn-50', '1/warn-75'] },
    ]);
    expect(dueActions(state, now, ['1/warn-50', '1/warn-75'])).toEqual([]);
  });

  test('after downtime one notice tells everyone whose turn has come', () => {
    const state = clockState(refund, log(['2026-11-23 10:00', start]));
    expect(dueActions(state, at('2026-11-24 12:00'), ['1/warn-50'])).toEqual([
      {
        kind: 'escalate',
        at: plus(at('2026-11-24 11:00'), 1),
        percent: 100,
        to: 'supervisor',
        tell: ['agent', 'supervisor'],
        covers: ['1/warn-75', '1/breach-0', '1/breach-1'],
      },
    ]);
  });

  test('none while paused, none once ended', () => {
    const paused = clockState(refund, log(['2026-11-23 10:00', start], ['2026-11-24 06:00', pause('evidence')]));
    const ended = clockState(refund, log(['2026-11-23 10:00', start], ['2026-11-25 06:00', stop]));
    expect([paused.nextPoint, ended.nextPoint]).toEqual([null, null]);
    expect(dueActions(paused, at('2026-11-30 10:00'), [])).toEqual([]);
    expect(dueActions(ended, at('2026-11-30 10:00'), [])).toEqual([]);
  });

  test('CL5: at the deadline nobody is told yet, since the task may be completed in that very moment', () => {
    const state = clockState(refund, log(['2026-11-23 10:00', start]));
    expect(dueActions(state, at('2026-11-24 10:00'), ['1/warn-75'])).toEqual([]);
    expect(dueActions(state, plus(at('2026-11-24 10:00'), 1), ['1/warn-75'])).toHaveLength(1);
  });

  test('escalation of a service clock waits for service hours', () => {
    const state = clockState(callBack, log(['2026-11-23 12:30', start]));
    expect(state.deadline).toBe(at('2026-11-23 20:30'));
    expect(state.escalationPoints.map((p) => p.at)).toEqual(['2026-11-23 20:30', '2026-11-24 09:30', '2026-11-24 12:30'].map((local) => plus(at(local), 1)));
  });
});

describe('CL6: a newly published notice', () => {
  const notices = (years: readonly number[], off: readonly LocalDate[], worked: readonly LocalDate[] = []): StatutoryDays => ({
    published: (year) => years.includes(year),
    day: (date) =>
      off.includes(date)
        ? { work: false, name: { zh: '元旦', en: 'New Year' } }
        : worked.includes(date)
          ? { work: true, name: { zh: '元旦', en: 'New Year' } }
          : undefined,
  });
  const before = declareClock(policy, 'T9', notices([2030], []));
  const running = log(['2030-12-26 10:00', start]);

  test('moves the deadline of a running clock and takes the flag away', () => {
    expect(clockState(before, running)).toMatchObject({ deadline: endOf('2031-01-06'), provisional: true });
    expect(clockState(declareClock(policy, 'T9', notices([2030, 2031], ['2031-01-01'])), running)).toMatchObject({
      deadline: endOf('2031-01-07'),
      provisional: false,
    });
    expect(clockState(declareClock(policy, 'T9', notices([2030, 2031], [], ['2031-01-04'])), running)).toMatchObject({
      deadline: endOf('2031-01-04'),
      provisional: false,
    });
  });

  test('that makes it earlier than now breaks it', () => {
    const earlier = declareClock(policy, 'T9', notices([2030, 2031], [], ['2031-01-04']));
    const now = at('2031-01-06 10:00');
    expect([clockState(before, running, now).status, clockState(earlier, running, now).status]).toEqual(['running', 'broken']);
  });

  test('changes what is left of a paused one', () => {
    const paused = log(['2030-12-26 10:00', start], ['2030-12-27 00:00', pause('customer')]);
    expect(clockState(before, paused)).toMatchObject({ status: 'paused', provisional: true });
    const after = clockState(declareClock(policy, 'T9', notices([2030, 2031], ['2031-01-01'])), paused);
    expect(after).toMatchObject({ status: 'paused', provisional: false, remaining: clockState(before, paused).remaining });
  });
});

describe('always', () => {
  const clocks = fc.constantFrom(...['T4', 'T6', 'T9', 'T10', 'T13', 'T14', 'T15', 'L1'].map((name) => declareClock(policy, name)));
  const starts = fc.integer({ min: millis(at('2024-01-01 00:00')), max: millis(at('2026-10-01 00:00')) }).map((ms) => instant(ms));
  const openMs = ({ calendar, calendars }: ClockDeclaration, from: Instant, to: Instant): number => elapsed({ start: from, end: to, calendar, calendars }).ms;

  test('a pause and a resume conserve the business time', () => {
    fc.assert(
      fc.property(clocks, starts, fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 20 * 24 * hour }), (clock, began, share, away) => {
        const planned = clockState(clock, log([began, start]));
        if (planned.deadline === null) throw new Error('a running clock has a deadline');
        const left = plus(began, Math.floor((millis(planned.deadline) - millis(began)) * share));
        const back = plus(left, away);
        const moved = clockState(clock, log([began, start], [left, pause('customer')], [back, resume('customer')]));
        if (moved.deadline === null) throw new Error('a resumed clock has a deadline');
        expect(openMs(clock, began, left) + openMs(clock, back, moved.deadline)).toBe(planned.total);
        expect(moved.deadline >= planned.deadline).toBe(true);
        expect(moved.total).toBe(planned.total);
      }),
    );
  });

  const reasons = fc.constantFrom('evidence', 'customer');
  const commands = fc.oneof(
    fc.record({ kind: fc.constant('pause' as const), why: reasons }),
    fc.record({ kind: fc.constant('resume' as const), why: reasons }),
    fc.record({ kind: fc.constant('extend' as const), by: fc.constant('wang'), why: fc.constant('agreed'), hours: fc.integer({ min: -20, max: 200 }) }),
    fc.constant({ kind: 'restart' as const }),
    fc.constant({ kind: 'stop' as const }),
  );
  const logs = fc
    .tuple(clocks, starts, fc.array(fc.tuple(fc.integer({ min: 0, max: 40 * hour }), commands), { maxLength: 8 }))
    .map(([clock, began, later]): [ClockDeclaration, ClockCommand[]] => {
      const entries: ClockCommand[] = [{ seq: 0, at: began, command: start }];
      let now = began;
      for (const [gap, command] of later) {
        now = plus(now, gap);
        entries.push({ seq: entries.length, at: now, command: command.kind === 'extend' ? { ...command, to: plus(now, command.hours * hour) } : command });
      }
      return [clock, entries];
    });
  const msOf = (steps: readonly Explanation[]): number => steps.reduce((sum, step) => sum + (step.what === 'ran' || step.what === 'counted' ? step.ms : 0), 0);

  test('CL11: the explanation adds up to the computation, whatever happened', () => {
    fc.assert(
      fc.property(logs, ([clock, entries]) => {
        const state = clockState(clock, entries);
        const undisturbed = state.explanation.every((step) => step.what !== 'ran' && step.what !== 'extended');
        // An undisturbed clock of days is explained in days, which its calendar's own test adds up.
        if (undisturbed && !('ms' in clock.within)) return;
        const last = state.explanation.at(-1);
        if (state.deadline === null) {
          expect(last?.what).toBe('paused');
          expect(msOf(state.explanation) + (state.remaining ?? NaN)).toBe(state.total);
        } else {
          expect(last).toEqual({ what: 'deadline', at: state.deadline, provisional: state.provisional });
          expect(msOf(state.explanation)).toBe(state.total);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('replaying the log a command at a time never brings a deadline forward, nor revives an ended run', () => {
    fc.assert(
      fc.property(logs, ([clock, entries]) => {
        let before: ClockState = clockState(clock, []);
        for (const n of entries.keys()) {
          const state = clockState(clock, entries.slice(0, n + 1));
          if (state.run === before.run && before.endedAt !== null) expect({ ...state, refused: [] }).toEqual({ ...before, refused: [] });
          if (state.run === before.run && before.deadline !== null && state.deadline !== null) expect(state.deadline >= before.deadline).toBe(true);
          before = state;
        }
      }),
    );
  });

  test('points come in order, and what was sent is never due again', () => {
    fc.assert(
      fc.property(logs, fc.integer({ min: 0, max: 60 * 24 * hour }), ([clock, entries], wait) => {
        const state = clockState(clock, entries);
        const points = [...state.warnPoints, ...state.escalationPoints].flatMap((p) => (p.at === null ? [] : [p.at]));
        expect(points).toEqual(points.toSorted());
        const now = plus(entries.at(-1)?.at ?? at('2024-01-01 00:00'), wait);
        const covered = dueActions(state, now, []).flatMap(({ covers }) => covers);
        expect(dueActions(state, now, covered)).toEqual([]);
        const next = clockState(clock, entries, now, covered).nextPoint;
        if (next !== null) expect(next > now).toBe(true);
      }),
    );
  });

  test('the state is JSON', () => {
    fc.assert(
      fc.property(logs, ([clock, entries]) => {
        const state = clockState(clock, entries);
        expect(JSON.parse(JSON.stringify(state))).toEqual(state);
      }),
      { numRuns: 30 },
    );
  });
});

test('a clock is explained in sentences, pauses and extensions included', () => {
  const entries = log(
    ['2026-11-23 10:00', start],
    ['2026-11-23 20:00', pause('evidence')],
    ['2026-11-24 20:00', resume('evidence')],
    ['2026-11-24 21:00', extend('2026-11-26 10:00')],
  );
  expect(explain(clockState(refund, entries).explanation, 'zh', 'Asia/Shanghai')).toEqual([
    '自 2026-11-23 10:00:00 起算 24 小时，按全天候计',
    '2026-11-23 10:00:00 至 2026-11-23 20:00:00 计时 10 小时',
    '2026-11-23 20:00:00 至 2026-11-24 20:00:00 暂停（evidence），剩余 14 小时',
    '2026-11-24 21:00:00 由 wang 延期至 2026-11-26 10:00:00（agreed with the customer）',
    '2026-11-24 至 2026-11-26（每天计）计入 3 天，38 小时',
    '截止 2026-11-26 10:00:00',
  ]);
});

describe('HT6: the logs of runs that resets began', () => {
  const entries = (run: number, from: number, commands: readonly ClockCommand['command'][]) =>
    commands.map((command, i) => ({ run, seq: from + i, at: plus(at('2026-11-23 09:00'), run * hour + i), command }));

  test('of one run stand as they are', () => {
    const one = entries(0, 1, [start, pause('customer'), stop]);
    expect(whatStands(one.toReversed())).toEqual(one.map((entry) => ({ seq: entry.seq, at: entry.at, command: entry.command })));
  });

  test('of a later run count from where it was reset to, whatever the earlier one had sent there', () => {
    const both = [...entries(0, 1, [start, pause('customer'), stop]), ...entries(1, 2, [stop])];
    expect(whatStands(both).map(({ command }) => command)).toEqual([start, stop]);
    expect(whatStands([...both, ...entries(2, 3, [{ kind: 'restart' }])]).map(({ command }) => command.kind)).toEqual(['start', 'stop', 'restart']);
  });

  test('keep the first instant of a start that is sent again, and take the new one of all else', () => {
    const first = entries(0, 1, [start, pause('customer')]);
    const again = entries(1, 1, [start, pause('customer')]);
    expect(whatStands([...first, ...again]).map((entry) => entry.at)).toEqual([first[0]?.at, again[1]?.at]);
  });

  test('say of every position what the latest run says that had come so far', () => {
    const runs = fc.array(fc.record({ from: fc.integer({ min: 1, max: 5 }), length: fc.integer({ min: 1, max: 5 }) }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(runs, (all) => {
        const logs = all.flatMap(({ from, length }, run) =>
          entries(
            run,
            run === 0 ? 1 : from,
            Array.from({ length }, () => pause(`${run}`)),
          ),
        );
        for (const { seq, command } of whatStands(logs)) {
          const latest = logs.filter((entry) => entry.seq <= seq).reduce((most, entry) => Math.max(most, entry.run), 0);
          expect(command).toEqual(pause(`${latest}`));
        }
      }),
    );
  });
});
