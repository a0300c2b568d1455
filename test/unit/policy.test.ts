import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { durationText, fits, parseDuration } from '../../policies/duration.ts';
import type { LoadedPolicy } from '../../policies/load.ts';
import { loadPolicy, PolicyError } from '../../policies/load.ts';
import { authorityFor, clockOf, completed, policyFor, returnTermsOf, titlesOf, windowOf } from '../../policies/lookup.ts';
import type { Policy, PolicyValues } from '../../policies/schema.ts';
import { money } from '../../values/money.ts';
import { checkPolicy } from '../../workflows/policy-check.ts';
import { loadProcesses } from '../../workflows/registry.ts';
import { kit, renderMessage } from '../../workflows/texts.ts';

const file = (name: string): string => fileURLToPath(new URL(`../../policies/${name}.yaml`, import.meta.url));
const { policy, version } = loadPolicy(file('default'));
const demo = loadPolicy(file('demo'));

const folder = mkdtempSync(join(tmpdir(), 'policy-'));
// What the tests extend is the shipped policy itself.
copyFileSync(file('default'), join(folder, 'default.yaml'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Loads a text that stands beside the default policy. */
function load(text: string, name = 'own.yaml'): LoadedPolicy {
  writeFileSync(join(folder, name), text);
  return loadPolicy(join(folder, name));
}
/** `line:column path: reason` of every problem of a text, or of what is tried with one. */
function problemsOf(tried: string | (() => void)): string[] {
  try {
    if (typeof tried === 'string') load(tried);
    else tried();
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

describe('a version that was published before a value existed', () => {
  const now = load(
    "extends: default\nreturns: { keepGoodsUpTo: { EUR: '9.00' } }\nwindows: { evidence: 9d }\nshops: { tmall: { inbox: { unclaimedAfter: 2h } } }\n",
  ).policy;
  /** What an older engine stored: no `inbox`, no `messages.texts`, no window for goods without an owner. */
  const old = (): Policy => {
    type Stored = Record<string, Record<string, unknown>>;
    const before = JSON.parse(JSON.stringify(load('extends: default\nshops: { tmall: {}, jd: {} }\n').policy)) as Stored & {
      readonly shops: Record<string, Stored>;
    };
    for (const values of [before, ...Object.values(before.shops)]) {
      delete values['inbox'];
      delete values['windows']?.['ownerless'];
      delete values['messages']?.['texts'];
    }
    return before as unknown as Policy;
  };

  test('has it from the policy in force, in each shop that shop’s; what it says and what it leaves out further down stays', () => {
    const { shops, inbox, windows, messages, returns } = completed(old(), now);
    expect([inbox.unclaimedAfter.ms, shops['tmall']?.inbox.unclaimedAfter.ms, shops['jd']?.inbox.unclaimedAfter.ms]).toEqual([day, day / 12, day]);
    expect([windowOf({ ...policy, windows }, 'ownerless'), windows['evidence']?.ms, messages.texts]).toEqual([30 * day, 3 * day, {}]);
    expect(returns.keepGoodsUpTo).toEqual({ CNY: 5000, USD: 800 });
  });

  test('a whole one is what it was', () => {
    expect(completed(policy, now)).toEqual(policy);
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
      ['own.yaml:3:3 returns.evidenceRound: is no value of the policy; did you mean evidenceRounds?'],
    ],
    [
      'a value that nothing is like',
      'extends: default\nrefunds: { giveMore: true }\n',
      ['own.yaml:2:12 refunds.giveMore: is no value of the policy; it is one of arriveAtOnce'],
    ],
    [
      'a calendar that cannot count the time',
      'extends: default\nclocks:\n  T9: { calendar: 24/7 }\n',
      ['own.yaml:3:19 clocks.T9.calendar: the calendar 24/7 cannot count 7 working days'],
    ],
    [
      'a time that the calendar from below cannot count, at the time',
      'extends: default\nclocks:\n  T10: { within: 3 working days }\n',
      ['own.yaml:3:18 clocks.T10.within: the calendar 24/7 cannot count 3 working days'],
    ],
    [
      'an unknown calendar',
      'extends: default\nclocks:\n  T9: { calendar: workingdays }\n',
      ['own.yaml:3:19 clocks.T9.calendar: "workingdays" is not known here; did you mean working-days?'],
    ],
    ['an unknown zone', 'extends: default\ncalendars: { zone: Asia/Shangai }\n', ['own.yaml:2:20 calendars.zone: is no IANA time zone: write one such as']],
    [
      'a date that does not exist',
      'extends: default\ncalendars: { service: { special: { 2026-02-30: [] } } }\n',
      ['own.yaml:2:36 calendars.service.special.2026-02-30: the key is not a date such as 2026-10-01'],
    ],
    [
      'an escalation out of order',
      'extends: default\nescalation:\n  - { to: supervisor, after: 1h }\n  - { to: manager, after: 30m }\n',
      ['own.yaml:2:1 escalation: steps stand in the order of their times'],
    ],
    [
      'an escalation to nobody on the ladder',
      'extends: default\nescalation: [{ to: boss, after: 0s }]\n',
      ['own.yaml:2:20 escalation.0.to: "boss" is not known here; it is one of agent, supervisor, manager'],
    ],
    ['a wrong type', 'extends: default\ncases: 10m\n', ['own.yaml:2:8 cases: is "10m", not a map of values']],
    [
      'text where a number belongs',
      "extends: default\nreturns:\n  evidenceRounds: 'three'\n",
      ['own.yaml:3:19 returns.evidenceRounds: is "three", not a number'],
    ],
    ['a number out of bounds', 'extends: default\ncases: { inboxLimit: 5 }\n', ['own.yaml:2:22 cases.inboxLimit: is the number 5: it must be at least 10']],
    [
      'a percentage above all',
      'extends: default\nreturns: { lossPercent: { scrap: 101 } }\n',
      ['own.yaml:2:34 returns.lossPercent.scrap: is the number 101: it must be at most 100'],
    ],
    ['a list where one value belongs', 'extends: default\nwindows: { evidence: [3d] }\n', ['own.yaml:2:12 windows.evidence: is a list, not text']],
    ['an emptied value', 'extends: default\nwindows:\n  evidence:\n', ['own.yaml:3:12 windows.evidence: is empty: text expected']],
    [
      'a window that nobody has',
      'extends: default\nwindows: { evidense: 3d }\n',
      ['own.yaml:2:12 windows.evidense: default.yaml has no window of this name; did you mean evidence?'],
    ],
    [
      'periodic work that nobody does',
      'extends: default\nperiodic: { sing: { every: day, at: "09:00" } }\n',
      ['own.yaml:2:13 periodic.sing: default.yaml has no periodic work of this name; it is one of dailySummary,'],
    ],
    [
      'periodic work at no known time',
      'extends: default\nperiodic:\n  dailySummary: { every: dya }\n  weeklyReport: { at: 25:00 }\n',
      [
        'own.yaml:3:26 periodic.dailySummary.every: "dya" is not known here; did you mean day?',
        'own.yaml:4:23 periodic.weeklyReport.at: "25:00" is no time of day: write 00:00 to 24:00, in quotes',
      ],
    ],
    [
      'a reason to thank for that does not exist',
      'extends: default\nreturns:\n  thanksFor: [quality, wrongItm]\n',
      ['own.yaml:3:24 returns.thanksFor.1: "wrongItm" is not known here; did you mean wrongItem?'],
    ],
    [
      'a reason that does not exist',
      'extends: default\nreturns:\n  reasons: { noReson: { within: 3 calendar days } }\n',
      ['own.yaml:3:14 returns.reasons.noReson: is no value of the policy; did you mean noReason?'],
    ],
    [
      'a category’s reason and term that do not exist',
      'extends: default\nreturns:\n  categories:\n    fresh: { reasons: { qualty: {} } }\n    shoes: { reasons: { noReason: { days: 7 } } }\n',
      [
        'own.yaml:4:25 returns.categories.fresh.reasons.qualty: is no value of the policy; did you mean quality?',
        'own.yaml:5:37 returns.categories.shoes.reasons.noReason.days: is no value of the policy; it is one of within, returnFreight, evidence, exceptions',
      ],
    ],
    [
      'a category’s exception that does not exist',
      'extends: default\nreturns:\n  categories:\n    fish: { excepted: perisable }\n',
      ['own.yaml:4:23 returns.categories.fish.excepted: "perisable" is none of the noReasonExceptions; did you mean perishable?'],
    ],
    [
      'a return’s time in hours',
      'extends: default\nreturns:\n  reasons: { quality: { within: 15d } }\n',
      ['own.yaml:3:33 returns.reasons.quality.within: "15d" does not count from the day after signing: write "7 calendar days"'],
    ],
    [
      'a type of file that is none',
      'extends: default\nevidence: { photo: { types: [jpeg] } }\n',
      ['own.yaml:2:30 evidence.photo.types.0: "jpeg" is not a type such as'],
    ],
    [
      'words in no language',
      'extends: default\nmessages: { texts: { a: { b: {} } } }\n',
      ['own.yaml:2:27 messages.texts.a.b: has no text: give zh, en or both'],
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
    [
      'an amount without quotes',
      'extends: default\nauthority: { refund: { agent: { CNY: 100.50 } } }\n',
      ['own.yaml:2:38 authority.refund.agent.CNY: is the number 100.5, not text: write it in quotes'],
    ],
    [
      'decimals of a currency that has none',
      "extends: default\nreturns: { keepGoodsUpTo: { JPY: '500.00' } }\n",
      ['own.yaml:2:34 returns.keepGoodsUpTo.JPY: "500.00" is no amount of JPY: write \'50\', in quotes'],
    ],
    [
      'a currency that does not exist',
      "extends: default\nreturns: { keepGoodsUpTo: { CNT: '5.00' } }\n",
      ['own.yaml:2:29 returns.keepGoodsUpTo.CNT: the key is not an ISO 4217 code such as CNY'],
    ],
    [
      'limits upside down, where they were changed',
      "extends: default\nauthority:\n  refund:\n    agent: { CNY: '3000.00' }\n",
      ['own.yaml:4:19 authority.refund.agent.CNY: a supervisor may not decide less than an agent'],
    ],
    [
      'limits upside down in a shop only',
      "extends: default\nauthority: { refund: { agent: { CNY: '300.00' } } }\nshops:\n  jd: { authority: { refund: { supervisor: { CNY: '299.99' } } } }\n",
      ['own.yaml:4:51 shops.jd.authority.refund.supervisor.CNY: a supervisor may not decide less than an agent'],
    ],
    [
      'a shop’s window that nobody has',
      'extends: default\nshops:\n  tmall: { windows: { evidense: 3d } }\n',
      ['own.yaml:3:23 shops.tmall.windows.evidense: the policy has no window of this name; did you mean evidence?'],
    ],
    ['a shop without values', 'extends: default\nshops:\n  tmall: 7\n', ['own.yaml:3:10 shops.tmall: must be a map of the values that differ']],
    ['shops as a list', 'extends: default\nshops: [tmall]\n', ['own.yaml:2:1 shops: must be a map from shop to the values that differ']],
    [
      'what is wrong for everybody once, and what is wrong in a shop beside it',
      'extends: default\nwindows: { evidence: soon }\nshops:\n  tmall: { windows: { parcelSent: later } }\n  jd: {}\n',
      ['own.yaml:2:22 windows.evidence: "soon" is no duration', 'own.yaml:4:35 shops.tmall.windows.parcelSent: "later" is no duration'],
    ],
    [
      'a shop’s value',
      'extends: default\nshops:\n  tmall:\n    windows:\n      evidence: soon\n',
      ['own.yaml:5:17 shops.tmall.windows.evidence: "soon" is no duration'],
    ],
    [
      'a shop’s misspelt value',
      'extends: default\nshops:\n  tmall: { window: {} }\n',
      ['own.yaml:3:12 shops.tmall.window: is no value of the policy; did you mean windows?'],
    ],
    [
      'several at once',
      'extends: default\nwindows:\n  evidence: soon\n  parcelSent: 0s\nwarnAt: [75, 50]\n',
      ['own.yaml:3:13 windows.evidence', 'own.yaml:4:15 windows.parcelSent: must be more than nothing', 'own.yaml:5:1 warnAt: percentages rise'],
    ],
    [
      'a clock that lacks a part',
      'extends: default\nclocks:\n  T99:\n    within: 3d\n',
      [
        'own.yaml:3:3 clocks.T99: default.yaml has no clock of this name; did you mean T9?',
        'own.yaml:3:3 clocks.T99.title: is missing: a map of values expected',
        'own.yaml:3:3 clocks.T99.calendar: is missing: one of 24/7, service, working-days,',
      ],
    ],
    ['a key given twice', 'extends: default\nwindows:\n  evidence: 3d\n  evidence: 4d\n', ['own.yaml:4:3 : Map keys must be unique']],
    ['tabs', 'extends: default\nwindows:\n\tevidence: 3d\n', ['own.yaml:3:1 : Tabs are not allowed as indentation']],
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

  test('a policy that is kept elsewhere extends the one that is shipped; one that stands beside it comes first', () => {
    const elsewhere = mkdtempSync(join(folder, 'elsewhere-'));
    const own = join(elsewhere, 'own.yaml');
    writeFileSync(own, 'extends: default\nwindows: { evidence: 7d }\n');
    expect(loadPolicy(own).source.map((s) => s.file)).toEqual([own, file('default')]);
    copyFileSync(file('default'), join(elsewhere, 'default.yaml'));
    expect(loadPolicy(own).source.map((s) => s.file)).toEqual([own, join(elsewhere, 'default.yaml')]);
  });

  test('all of them stand in the message', () => {
    expect(() => load('extends: default\nwindows:\n  evidence: soon\n  parcelSent: later\n')).toThrow(/own\.yaml:3:13 .*\n.*own\.yaml:4:15 /);
  });
});

describe('the policy and the processes', () => {
  const processes = loadProcesses();
  const misfits = async (text: string): Promise<string[]> => {
    const loaded = load(text);
    const known = await processes;
    return problemsOf(() => checkPolicy(loaded, known));
  };

  test('the default and the demo policy fit them', async () => {
    const known = await processes;
    for (const loaded of [loadPolicy(file('default')), demo]) expect(() => checkPolicy(loaded, known)).not.toThrow();
  });

  test('words for an unknown process or message, or with other places, are named with line and reason', async () => {
    expect(
      await misfits(
        `extends: default
messages:
  texts:
    return-exchnge: {}
    kit: { caseBroken: { en: 'Case {case} is stuck' }, caseBrokn: { en: '{case}' } }
    return-exchange:
      rejected: { zh: '订单 {order} 未通过：{reson}', en: 'No: {order}, {reason}' }
shops:
  tmall:
    messages: { texts: { return-exchange: { thanks: { zh: 谢谢 } } } }
  jd: {}
`,
      ),
    ).toEqual([
      'own.yaml:4:5 messages.texts.return-exchnge: there is no process of this name; did you mean return-exchange?',
      'own.yaml:5:56 messages.texts.kit.caseBrokn: kit tells no message of this name; did you mean caseBroken?',
      'own.yaml:7:23 messages.texts.return-exchange.rejected.zh: {reson} is no data of the message; did you mean reason?',
      'own.yaml:7:23 messages.texts.return-exchange.rejected.zh: does not use {reason}',
      'own.yaml:10:59 shops.tmall.messages.texts.return-exchange.thanks.zh: does not use {order}',
    ]);
  });

  test('a clock or a window that a process declares and the policy lacks is named', () => {
    const needy = { ...kit.declaration, name: 'needy', clocks: { ours: 'T98' }, windows: ['evidence', 'naps'] };
    expect(problemsOf(() => checkPolicy(load('extends: default\nwindows: { evidence: 7d }\n'), new Map([['needy', { ...kit, declaration: needy }]])))).toEqual([
      expect.stringMatching(/^default\.yaml:\d+:1 clocks: has no T98, which the process needy declares$/),
      'own.yaml:2:1 windows: has no naps, which the process needy declares',
    ]);
  });

  test('a shop’s own words are told in its place, in each language that has some; elsewhere the process’s are', async () => {
    const { policy: own } = load(`extends: default
messages: { texts: { return-exchange: { withdrawn: { en: 'All shops: {order} is off.' } } } }
shops:
  tmall: { messages: { texts: { return-exchange: { withdrawn: { zh: '亲，订单 {order} 的申请已撤回哦～' } } } } }
`);
    const process = (await processes).get('return-exchange');
    if (!process) throw new Error('no return-exchange');
    const told = (shop: string, locale: 'zh-CN' | 'en') =>
      renderMessage(process, 'withdrawn', { order: 'W-1' }, locale, policyFor(own, shop).messages.texts).text;
    expect(told('tmall', 'zh-CN')).toBe('亲，订单 W-1 的申请已撤回哦～');
    expect([told('tmall', 'en'), told('jd', 'en')]).toEqual(['All shops: W-1 is off.', 'All shops: W-1 is off.']);
    expect(told('jd', 'zh-CN')).toBe(renderMessage(process, 'withdrawn', { order: 'W-1' }, 'zh-CN').text);
  });

  test('words of a pinned policy whose message has other data by now give way to the process’s', async () => {
    const process = (await processes).get('return-exchange');
    if (!process) throw new Error('no return-exchange');
    const old = { 'return-exchange': { withdrawn: { en: 'Gone: {parcel}' } } };
    expect(renderMessage(process, 'withdrawn', { order: 'W-1' }, 'en', old).text).toBe(renderMessage(process, 'withdrawn', { order: 'W-1' }, 'en').text);
  });
});

describe('terms of a return', () => {
  const { policy: own } = load(`extends: default
returns:
  noReasonExceptions: { hygiene: { title: { zh: 贴身用品, en: Worn next to the skin }, when: opened } }
  categories: { intimates: { excepted: hygiene }, phones: { reasons: { noReason: { within: 3 calendar days, evidence: required } } } }
shops:
  mingxi: { returns: { categories: { phones: { reasons: { noReason: { within: 30 calendar days } } } }, reasons: { noReason: { returnFreight: seller } } } }
`);
  test('are a category’s own before everybody’s, and a shop’s before both', () => {
    const terms = (shop: string, category: string) => {
      const { within, returnFreight, evidence } = returnTermsOf(policyFor(own, shop), 'noReason', category);
      return [within.calendarDays, returnFreight, evidence];
    };
    expect(terms('qingfan', 'cups')).toEqual([7, 'customer', 'optional']);
    expect(terms('qingfan', 'phones')).toEqual([3, 'customer', 'required']);
    expect(terms('mingxi', 'phones')).toEqual([30, 'seller', 'required']);
    expect(terms('mingxi', 'constructor')).toEqual([7, 'seller', 'optional']);
  });

  test('of a shop’s own exceptions have their words in the policy', () => {
    expect(titlesOf(own)['hygiene']).toEqual({ zh: '贴身用品', en: 'Worn next to the skin' });
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
