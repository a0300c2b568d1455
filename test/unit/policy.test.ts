import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { durationText, fits, parseDuration } from '../../policies/duration.ts';
import type { LoadedPolicy } from '../../policies/load.ts';
import { loadPolicy, PolicyError } from '../../policies/load.ts';
import { authorityFor, clockOf, policyFor, windowOf } from '../../policies/lookup.ts';
import type { PolicyValues } from '../../policies/schema.ts';
import { money } from '../../values/money.ts';

const file = (name: string): string => fileURLToPath(new URL(`../../policies/${name}.yaml`, import.meta.url));
const { policy, version } = loadPolicy(file('default'));
const demo = loadPolicy(file('demo'));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'policy-'));
  // What the tests extend is the shipped policy itself.
  writeFileSync(join(folder, 'default.yaml'), loadPolicy(file('default')).source[0]?.text ?? '');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Loads a text that stands beside the default policy. */
function load(text: string, name = 'own.yaml'): LoadedPolicy {
  writeFileSync(join(folder, name), text);
  return loadPolicy(join(folder, name));
}
/** `line:column path: reason` of every problem. */
function problemsOf(text: string): string[] {
  try {
    load(text);
  } catch (error) {
    if (error instanceof PolicyError) return error.problems.map((p) => `${p.file.slice(folder.length + 1)}:${p.line}:${p.column} ${p.path}: ${p.reason}`);
    throw error;
  }
  return [];
}

const day = 86_400_000;

describe('the default policy', () => {
  test('has every clock of the requirements with its number and calendar', () => {
    expect(Object.fromEntries(Object.entries(policy.clocks).map(([name, { within, calendar }]) => [name, [within, calendar]]))).toEqual({
      T1: [{ ms: 30_000 }, 'service'],
      T2: [{ ms: 180_000 }, 'service'],
      T3: [{ ms: 15_000 }, 'service'],
      T4: [{ ms: 300_000 }, 'service'],
      T5: [{ ms: 600_000 }, '24/7'],
      T6: [{ ms: 8 * 3_600_000 }, 'service'],
      T7: [{ ms: 3_600_000 }, 'service'],
      T8: [{ ms: day }, '24/7'],
      T9: [{ workingDays: 7 }, 'working-days'],
      T10: [{ ms: day }, '24/7'],
      T11: [{ workingDays: 3 }, 'working-days'],
      T12: [{ ms: 3 * day }, '24/7'],
      T13: [{ calendarDays: 0 }, 'calendar-day'],
      T14: [{ warehouseDays: 1 }, 'warehouse'],
      T15: [{ calendarMonths: 1 }, 'calendar-month'],
      T16: [{ ms: 600_000 }, '24/7'],
      T17: [{ ms: 600_000 }, '24/7'],
      L1: [{ ms: 7 * day }, '24/7'],
    });
  });

  test('warns at 50 and 75 % and climbs from agent to supervisor to manager, unless a clock says otherwise', () => {
    expect(clockOf(policy, 'T10')).toMatchObject({ warnAt: [50, 75], escalation: [{ to: 'agent' }, { to: 'supervisor' }, { to: 'manager' }] });
    expect(clockOf(policy, 'T1')).toMatchObject({ warnAt: [], escalation: [{ to: 'agent' }] });
  });

  test('gives seven days without a reason, and pays the return only when the fault is ours', () => {
    expect(policy.returns.reasons['noReason']).toMatchObject({ within: { calendarDays: 7 }, returnFreight: 'customer' });
    expect(policy.returns.reasons['quality']).toMatchObject({ returnFreight: 'seller', evidence: 'required' });
  });

  test('has every kind of periodic work', () => {
    expect(new Set(Object.values(policy.periodic).map(({ every }) => every))).toEqual(new Set(['day', 'week', 'month']));
  });

  test('an unknown clock or window is an error that names the known ones', () => {
    expect(() => clockOf(policy, 'T99')).toThrow(/no clock "T99"; it has T1, T2/);
    expect(() => windowOf(policy, 'toString')).toThrow(/no window "toString"; it has evidence/);
    expect(windowOf(policy, 'evidence')).toBe(3 * day);
  });
});

describe('the demo policy', () => {
  test('has the same shape', () => {
    const shape = (values: PolicyValues) => [
      Object.keys(values.clocks),
      Object.keys(values.windows),
      Object.keys(values.returns.reasons),
      Object.keys(values.periodic),
    ];
    expect(shape(demo.policy)).toEqual(shape(policy));
  });
  test('has every clock and window within four minutes of plain time', () => {
    for (const { within, calendar } of Object.values(demo.policy.clocks)) {
      expect(calendar).toBe('24/7');
      expect('ms' in within && within.ms <= 240_000).toBe(true);
    }
    for (const { ms } of Object.values(demo.policy.windows)) expect(ms).toBeLessThanOrEqual(240_000);
  });
  test('is read from two files, and is another version', () => {
    expect(demo.source.map(({ file: from }) => from)).toEqual([file('demo'), file('default')]);
    expect(demo.version).not.toBe(version);
  });
});

describe('authority', () => {
  test('goes to the lowest role whose limit covers the amount; the limit itself is covered', () => {
    const roles = [0, 20_000, 20_001, 200_000, 200_001].map((minor) => authorityFor(policy, 'refund', money(minor, 'CNY')));
    expect(roles).toEqual(['agent', 'agent', 'supervisor', 'supervisor', 'manager']);
  });
  test('is the manager’s in a currency without a limit', () => {
    expect(authorityFor(policy, 'refund', money(1, 'JPY'))).toBe('manager');
  });
  test('in dollars is larger in the demo', () => {
    expect([policy, demo.policy].map((p) => authorityFor(p, 'refund', money(29_999, 'USD')))).toEqual(['supervisor', 'agent']);
  });
});

describe('shops', () => {
  const text = 'extends: default\nshops:\n  tmall:\n    windows: { evidence: 7d }\n    authority: { refund: { agent: { CNY: "500.00" } } }\n';
  test('differ only in what they name', () => {
    const { policy: own } = load(text);
    const tmall = policyFor(own, 'tmall');
    expect([windowOf(tmall, 'evidence'), windowOf(tmall, 'parcelSent'), tmall.authority.refund.agent]).toEqual([
      7 * day,
      10 * day,
      { CNY: 50_000, USD: 3_000 },
    ]);
  });
  test('that the policy does not name have everybody’s values', () => {
    const { policy: own } = load(text);
    expect(policyFor(own, 'jd')).toBe(own);
    expect(policyFor(own, 'constructor')).toBe(own);
  });
});

describe('version', () => {
  test('is that of the values: comments, order and layout do not change it, a value does', () => {
    const a = load('extends: default\nwindows: { evidence: 7d, parcelSent: 9d }\n').version;
    const b = load('# a comment\nwindows:\n  parcelSent: 216h\n  evidence: 7d\nextends: default\n').version;
    const c = load('extends: default\nwindows: { evidence: 8d, parcelSent: 9d }\n').version;
    expect([a === b, a === c]).toEqual([true, false]);
    expect(load('extends: default\n').version).toBe(version);
  });
});

describe('errors name file, line, column, value and reason', () => {
  const problems: [what: string, text: string, expected: string[]][] = [
    ['a duration', 'extends: default\nclocks:\n  T10:\n    within: 24 hours\n', ['own.yaml:4:13 clocks.T10.within: "24 hours" is no duration: write 30s']],
    [
      'an unquoted span',
      'extends: default\ncalendars:\n  service:\n    hours:\n      monday: [9-18]\n',
      ['own.yaml:5:16 calendars.service.hours.monday.0: "9" is no time of day: write 00:00 to 24:00, in quotes'],
    ],
    [
      'overlapping spans',
      "extends: default\ncalendars:\n  service:\n    holidays: ['09:00-12:00', '11:00-13:00']\n",
      ['own.yaml:4:5 calendars.service.holidays: spans of a day stand in order'],
    ],
    [
      'a misspelt value',
      'extends: default\nreturns:\n  evidenceRound: 3\n',
      ['own.yaml:3:3 returns.evidenceRound: is no value of the policy; is it misspelt?'],
    ],
    [
      'a calendar that cannot count the time',
      'extends: default\nclocks:\n  T9: { calendar: 24/7 }\n',
      ['own.yaml:3:19 clocks.T9.calendar: "24/7" does not count workingDays'],
    ],
    [
      'a window that needs a calendar',
      'extends: default\nwindows: { evidence: 2 working days }\n',
      ['own.yaml:2:22 windows.evidence: "2 working days" needs a calendar'],
    ],
    [
      'too many decimals',
      "extends: default\nauthority: { refund: { agent: { CNY: '1.005' } } }\n",
      ['own.yaml:2:38 authority.refund.agent.CNY: "1.005" is no amount of CNY: write \'50.00\', in quotes'],
    ],
    ['limits upside down', "extends: default\nauthority:\n  refund:\n    agent: { CNY: '3000.00' }\n", ['default.yaml:']],
    [
      'a shop’s value',
      'extends: default\nshops:\n  tmall:\n    windows:\n      evidence: soon\n',
      ['own.yaml:5:17 shops.tmall.windows.evidence: "soon" is no duration'],
    ],
    ['a shop’s misspelt value', 'extends: default\nshops:\n  tmall: { window: {} }\n', ['own.yaml:3:12 shops.tmall.window: is no value of the policy']],
    [
      'several at once',
      'extends: default\nwindows:\n  evidence: soon\n  parcelSent: 0s\nwarnAt: [75, 50]\n',
      ['own.yaml:3:13 windows.evidence', 'own.yaml:4:15 windows.parcelSent: must be more than nothing', 'own.yaml:5:1 warnAt: percentages rise'],
    ],
    [
      'a clock that lacks a part',
      'extends: default\nclocks:\n  T99:\n    within: 3d\n',
      ['own.yaml:3:3 clocks.T99.title: is missing', 'own.yaml:3:3 clocks.T99.calendar: '],
    ],
    ['a key given twice', 'extends: default\nwindows:\n  evidence: 3d\n  evidence: 4d\n', ['own.yaml:4:3 : Map keys must be unique']],
    ['broken YAML', 'extends: default\nwindows: { evidence: 3d\n', ['own.yaml:3:1 : ']],
    ['a list instead of values', '- extends: default\n', ['own.yaml:1:1 : must be a map of values']],
    ['a policy that is not there', 'extends: nothing\n', ['nothing.yaml:1:1 : cannot be read: ENOENT']],
    ['an alias without an anchor', 'extends: default\nwindows: *base\n', ['own.yaml:1:1 : cannot be read: Unresolved alias']],
    ['a path instead of a name', 'extends: ../default\n', ['own.yaml:1:10 extends: must name a policy file of the same folder']],
    ['a policy that extends itself', 'extends: own\n', ['own.yaml:1:10 extends: goes round in a circle']],
  ];
  test.each(problems)('%s', (_, text, expected) => {
    const found = problemsOf(text);
    expect(found).toHaveLength(expected.length);
    for (const [i, start] of expected.entries()) expect(found[i]?.slice(0, start.length)).toBe(start);
  });

  test('a value of the extended file is named there', () => {
    writeFileSync(join(folder, 'base.yaml'), 'extends: default\nwindows:\n  evidence: soon\n');
    expect(problemsOf('extends: base\nwindows:\n  parcelSent: 9d\n')).toEqual([expect.stringMatching(/^base\.yaml:3:13 windows\.evidence: /)]);
  });

  test('all of them stand in the message', () => {
    expect(() => load('extends: default\nwindows:\n  evidence: soon\n  parcelSent: later\n')).toThrow(/own\.yaml:3:13 .*\n.*own\.yaml:4:15 /);
  });
});

describe('durations', () => {
  test.each([
    ['500ms', { ms: 500 }, '500ms', '500 毫秒'],
    ['90s', { ms: 90_000 }, '1m 30s', '1 分钟 30 秒'],
    ['10m', { ms: 600_000 }, '10m', '10 分钟'],
    ['24h', { ms: day }, '24h', '24 小时'],
    ['3d', { ms: 3 * day }, '72h', '72 小时'],
    ['0s', { ms: 0 }, '0s', '0 秒'],
    ['1 working day', { workingDays: 1 }, '1 working day', '1 个工作日'],
    ['7 working days', { workingDays: 7 }, '7 working days', '7 个工作日'],
    ['1 warehouse day', { warehouseDays: 1 }, '1 warehouse day', '1 个仓库工作日'],
    ['7 calendar days', { calendarDays: 7 }, '7 calendar days', '7 个自然日'],
    ['same day', { calendarDays: 0 }, 'the same day', '当天'],
    ['1 month', { calendarMonths: 1 }, '1 month', '1 个月'],
  ])('"%s"', (text, amount, en, zh) => {
    expect(parseDuration(text)).toEqual(amount);
    expect([durationText(amount, 'en'), durationText(amount, 'zh')]).toEqual([en, zh]);
  });

  test.each(['', '24', '-1d', '1.5h', '24 hours', '1w', 'working day', '1 Working Day', '2000d', '99999999999999s', '50 months'])('"%s" is refused', (text) => {
    expect(() => parseDuration(text)).toThrow(RangeError);
  });

  test('days belong to their own calendar, open time to any', () => {
    expect([fits({ workingDays: 1 }, 'working-days'), fits({ workingDays: 1 }, 'service'), fits({ ms: 1 }, 'working-days')]).toEqual([true, false, true]);
  });

  test('amounts are exact whatever their digits', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 999_999_999 }), (minor) => {
        const text = `${Math.floor(minor / 100)}.${String(minor % 100).padStart(2, '0')}`;
        expect(load(`extends: default\nreturns: { keepGoodsUpTo: { CNY: '${text}' } }\n`).policy.returns.keepGoodsUpTo['CNY']).toBe(minor);
      }),
      { numRuns: 20 },
    );
  });
});
