import { describe, expect, test } from '@jest/globals';
import type { AuditedTask, AuditRows, Finding, LedgerEntry, OwnRecords, TimelineRow, WebhookSent } from '../../cli/demo/audit.ts';
import { ofRecords } from '../../cli/demo/records.ts';
import { loadPolicy } from '../../policies/load.ts';
import { systems } from '../../systems/index.ts';
import { contentHash } from '../../values/hash.ts';
import { parseInstant } from '../../values/instant.ts';
import { noRecords } from './audited.ts';

type Rows = Parameters<typeof ofRecords>[0];
type InboxRow = OwnRecords['inbox'][number];
type Effect = OwnRecords['effects'][number];

const id = 'return-exchange.O-1.demo-1';
const at = noRecords.at;
const { policy } = loadPolicy('policies/default.yaml');

const task: AuditedTask = {
  id: `${id}:review`,
  name: 'review',
  path: 'review',
  status: 'done',
  decidedBy: 'wang',
  decidedRole: 'agent',
  decidedAt: at,
  expiresAt: null,
  assignee: 'wang',
  notBy: [],
  form: {},
  context: {},
};
const approval: AuditedTask = { ...task, id: `${id}:approve`, name: 'approve', path: 'approve', decidedBy: 'li', notBy: ['review'] };

const line = (n: number, kind: string, data: TimelineRow['data'] = {}): TimelineRow => ({ case: id, id: n, key: `${kind}:${n}`, kind, data, at });
const did = (n: number, path: string, kind = 'effect'): TimelineRow => line(n, kind, { path });
const effect = (path: string, system: string, operation: string, more: Partial<Effect> = {}): Effect => ({
  case: id,
  path,
  system,
  operation,
  args: { caseRef: id, orderId: 'O-1' },
  undoes: null,
  status: 'done',
  ok: true,
  answer: {},
  enteredBy: null,
  ...more,
});
const undo = (of: string, system: string, operation: string): Effect =>
  effect(`${of}!undo`, system, operation, { undoes: of, args: { of: `${id}/${of}` }, answer: { was: 'done' } });
const entry = (system: string, path: string, operation: string, more: Partial<LedgerEntry> = {}): LedgerEntry => ({
  system,
  key: `${id}/${path}`,
  operation,
  state: 'executed',
  args: { caseRef: id, orderId: 'O-1' },
  answer: {},
  attempts: 1,
  executions: 1,
  undoneAt: null,
  ...more,
});
const label = { labelId: 'lb_1', trackingNo: 'SF1', carrier: 'SF' };
const reserve = { caseRef: id, lines: [{ sku: 'MUG', quantity: 1 }] };
const letter = (path: string, text: string, channel = 'wechat'): LedgerEntry => ({
  ...entry('notifications', '', 'send', { args: { to: 'wx-1', text } }),
  key: `${id}:${path}/${channel}`,
});
const message = (path: string, more: Partial<OwnRecords['messages'][number]> = {}): OwnRecords['messages'][number] => ({
  id: `${id}:${path}`,
  case: id,
  recipient: 'customer',
  status: 'sent',
  bundle: null,
  ...more,
});
const scan = { trackingNo: 'SF1', state: 'lost', at: '2026-11-23T03:10:00.000Z' };
const inbox = (n: number, more: Partial<InboxRow> = {}): InboxRow => ({
  id: n,
  source: 'logistics.tracking',
  eventId: 'evt_1',
  bodyHash: contentHash({ kind: 'event', name: 'tracking', body: scan }),
  kind: 'event',
  name: 'parcelFailed',
  key: 'SF1',
  case: id,
  at,
  seen: true,
  became: null,
  ...more,
});
const decisionOf = (one: AuditedTask, n: number): InboxRow =>
  inbox(n, { source: 'task', eventId: one.id, kind: 'decision', name: one.name, key: null, bodyHash: one.id });
const webhook = (more: Partial<WebhookSent> = {}): WebhookSent => ({
  system: 'logistics',
  id: 'evt_1',
  event: 'tracking',
  subject: 'SF1',
  payload: scan,
  attempts: 1,
  delivered: true,
  ...more,
});

/** A return that was withdrawn: it was counted, new goods were set aside and a label was made; all was taken back, the newest first. */
const own: OwnRecords = {
  ...noRecords,
  cases: [{ id, shop: 'mx', starter: 'shop', status: 'withdrawn', policy: 'p1' }],
  policies: new Map([['p1', policy]]),
  rules: (_, name) => (name === 'sum' ? (facts: { a: number; b: number }) => ({ sum: facts.a + facts.b, reasons: [] }) : undefined),
  used: new Set(['logistics.tracking', 'warehouse.parcelReceived']),
  unclaimed: new Set(['warehouse.parcelReceived']),
  undoOf: new Map([
    ['allowance.tally', 'untally'],
    ['warehouse.reserve', 'release'],
    ['logistics.label', 'cancelLabel'],
  ]),
  timeline: [
    line(1, 'opened'),
    did(2, 'tally'),
    did(3, 'hold/reserve'),
    line(4, 'decision', { step: 'sum' }),
    did(5, 'label'),
    line(6, 'taskOpened', { task: 'review' }),
    line(7, 'withdrawAsked'),
    did(8, 'label!undo', 'undone'),
    // The system was away for long: a person had to look. What the clocks say meanwhile is nobody's going on.
    line(9, 'taskOpened', { task: 'hold/reserve!undo!repair-1' }),
    line(10, 'told', { message: 'kit.clockWarned' }),
    did(11, 'hold/reserve!undo', 'undone'),
    did(12, 'tally!undo', 'undone'),
    line(13, 'told', { message: 'withdrawn' }),
    line(14, 'closed'),
    line(15, 'late'),
    did(16, 'label#2'),
  ],
  inbox: [inbox(1), decisionOf(task, 2), decisionOf(approval, 3), inbox(4, { eventId: 'evt_2', bodyHash: 'h', became: 'start:late-parcel.4', seen: false })],
  states: [{ source: 'logistics.tracking', key: 'SF1', state: 'lost', at: parseInstant(scan.at) }],
  effects: [
    effect('tally', 'allowance', 'tally'),
    effect('hold/reserve', 'warehouse', 'reserve', { args: reserve, answer: { reservationId: 'rs_1' } }),
    effect('label', 'logistics', 'label', { answer: label }),
    undo('label', 'logistics', 'cancelLabel'),
    undo('hold/reserve', 'warehouse', 'release'),
    undo('tally', 'allowance', 'untally'),
    // Once more on purpose, and what a person had entered.
    effect('label#2', 'logistics', 'label', { answer: label }),
  ],
  decisions: [
    { case: id, step: 'sum', process: 'return-exchange', rule: 'sum', policy: 'p1', facts: { a: 1, b: 2 }, output: { sum: 3, reasons: [] }, asOf: at },
  ],
  messages: [
    message('withdrawn'),
    message('refundSubmitted'),
    message('refundSubmitted~2'),
    message('notice', { recipient: 'agent' }),
    message('notice~2', { recipient: 'agent', bundle: `${id}:notice` }),
  ],
  holds: [{ hold: `${id}/allowance`, status: 'released' }],
  tallies: [{ tally: `${id}/tally`, status: 'released' }],
  jobs: [{ kind: 'send-message', key: `message:${id}:x`, attempts: 0, most: 25, runAt: parseInstant('2026-11-23T09:00:00.000Z') }],
};
const also = { id: 'late-parcel.4', shop: 'mx', starter: `case:${id}`, status: 'completed', policy: 'p1' };
const sound: Rows = {
  own: { ...own, cases: [...own.cases, also] },
  cases: new Map([[id, { id, order: 'O-1', status: 'withdrawn', trouble: null, tasks: [task, approval], timeline: [] }]]),
  ledger: [
    entry('warehouse', 'hold/reserve', 'reserve', { args: reserve, answer: { reservationId: 'rs_1' }, undoneAt: '2026-11-23T03:00:03.000Z' }),
    entry('logistics', 'label', 'label', { answer: label, undoneAt: '2026-11-23T03:00:02.000Z' }),
    entry('logistics', 'label!undo', 'cancelLabel', { args: { of: `${id}/label` }, answer: { was: 'done' } }),
    entry('warehouse', 'hold/reserve!undo', 'release', { args: { of: `${id}/hold/reserve` }, answer: { was: 'done' } }),
    entry('logistics', 'label#2', 'label', { answer: label }),
    // Never done.
    entry('finance', 'refund', 'refund', { executions: 0, state: 'refused' }),
    letter('withdrawn', 'We have noted it. https://x.example/c/one'),
    // Of two payments: the same place, other words.
    letter('refundSubmitted', '5.00'),
    letter('refundSubmitted~2', '6.00'),
    { ...letter('notice', 'T10'), args: { to: 'role:agent@mx', text: 'T10' } },
    // Of nobody whom we know.
    { ...entry('logistics', 'label', 'label'), key: 'elsewhere/label' },
  ],
  webhooks: [webhook(), webhook({ id: 'evt_3', event: 'other' })],
  systems,
};

const withOwn = (change: Partial<OwnRecords>): Rows => ({ ...sound, own: { ...sound.own, ...change } });
const withInbox = (n: number, change: Partial<InboxRow>): Rows => withOwn({ inbox: own.inbox.map((row) => (row.id === n ? { ...row, ...change } : row)) });
const withEffect = (path: string, change: Partial<Effect>): Rows =>
  withOwn({ effects: own.effects.map((one) => (one.path === path ? { ...one, ...change } : one)) });
const withTimeline = (timeline: readonly TimelineRow[]): Rows => withOwn({ timeline });
const withTasks = (...tasks: readonly AuditedTask[]): Rows => ({
  ...sound,
  cases: new Map([...sound.cases].map(([of, row]): [string, AuditRows['cases'] extends ReadonlyMap<string, infer C> ? C : never] => [of, { ...row, tasks }])),
});
const withEntry = (path: string, change: Partial<LedgerEntry>): Rows => ({
  ...sound,
  ledger: sound.ledger.map((one) => (one.key === `${id}/${path}` ? { ...one, ...change } : one)),
});
const and = (...entries: readonly LedgerEntry[]): Rows => ({ ...sound, ledger: [...sound.ledger, ...entries] });
/** The lines of the timeline with these numbers in this order. */
const inOrder = (...numbers: readonly number[]): readonly TimelineRow[] => {
  const chosen = numbers.flatMap((n) => own.timeline.find((row) => row.id === n) ?? []);
  return chosen.map((row, i) => ({ ...row, id: i + 1 }));
};
const due = { kind: 'send-message', key: `message:${id}:x`, attempts: 0, most: 25, runAt: parseInstant('2026-11-23T03:00:00.000Z') };

describe('our own records', () => {
  test('are sound where all was taken in, sent and taken back once, the newest first', () => {
    expect([...ofRecords(sound)]).toEqual([]);
  });

  const controls: readonly [what: string, kind: Finding['kind'], why: RegExp, rows: Rows][] = [
    ['an event that an ended case never took in', 'lost', /inbox row 1 .* never taken in/, withInbox(1, { seen: false })],
    [
      'an event that was never brought to its case',
      'stuck',
      /inbox row 1 .* never brought/,
      { ...withInbox(1, { seen: false }), own: { ...withInbox(1, { seen: false }).own, cases: [also, { ...also, id, status: 'open' }] } },
    ],
    ['a decision that an ended case never took in', 'lost', /inbox row 2 .* never taken in/, withInbox(2, { seen: false })],
    ['an event that came late and of which nothing became', 'lost', /came late/, withInbox(4, { became: 'late' })],
    ['an event whose case of its own is not there', 'lost', /which is not there/, withOwn({ cases: own.cases })],
    [
      'a parcel that nobody claimed and no case was opened for',
      'lost',
      /nobody's/,
      withInbox(4, { source: 'warehouse.parcelReceived', case: null, became: null }),
    ],
    ['an event that is stored twice', 'doubled', /same event/, withOwn({ inbox: [...own.inbox, inbox(9, { bodyHash: 'other' })] })],
    ['a fact that is stored twice under two ids', 'doubled', /same parcelFailed/, withOwn({ inbox: [...own.inbox, inbox(9, { eventId: 'evt_9' })] })],
    ['a webhook that was never delivered', 'stuck', /never taken from/, { ...sound, webhooks: [webhook({ delivered: false })] }],
    [
      'a webhook that was delivered and is not stored',
      'lost',
      /does not have it/,
      { ...sound, webhooks: [webhook({ id: 'evt_7', payload: { ...scan, at: '2026-11-23T03:09:00.000Z' } })] },
    ],
    ['a decision that never entered its case', 'lost', /decision of approve/, withOwn({ inbox: own.inbox.filter((row) => row.id !== 3) })],
    [
      'an older state that stands for the newest',
      'wrong',
      /it is lost outside/,
      withOwn({ states: [{ source: 'logistics.tracking', key: 'SF1', state: 'inTransit', at: parseInstant('2026-11-23T03:09:59.999Z') }] }),
    ],
    ['a state that is not kept', 'wrong', /as unknown/, withOwn({ states: [] })],
    ['an effect whose outcome nobody knows', 'stuck', /nobody knows what came of it/, withEffect('label', { status: 'sending', ok: null })],
    ['an effect that the timeline does not tell', 'lost', /does not tell it/, withTimeline(own.timeline.filter((row) => row.data['path'] !== 'label#2'))],
    [
      'an effect that took place and that its case does not know',
      'lost',
      /the case does not know/,
      withOwn({ effects: own.effects.filter((one) => one.path !== 'label#2') }),
    ],
    ['an effect that was done with other arguments', 'wrong', /other arguments/, withEntry('label', { args: { caseRef: id, orderId: 'O-2' } })],
    ['an effect that was answered otherwise', 'wrong', /answered otherwise/, withEntry('label', { answer: { ...label, trackingNo: 'SF2' } })],
    ['an effect that took place and counts as refused', 'wrong', /was refused as it says/, withEffect('label#2', { ok: false, answer: 'x' })],
    ['an effect that was another one', 'wrong', /did parcel/, withEntry('label', { operation: 'parcel' })],
    [
      'the same done twice under two keys',
      'doubled',
      /did the same goodwill 2 times/,
      and(entry('finance', 'freight', 'goodwill'), entry('finance', 'freight-again', 'goodwill')),
    ],
    [
      'an effect that was left behind by a case that came to nothing',
      'stuck',
      /label was not taken back/,
      withOwn({ effects: own.effects.filter((one) => one.path !== 'label!undo') }),
    ],
    ['undos in the order of what they undo', 'wrong', /took back hold\/reserve before label/, withTimeline(inOrder(1, 2, 3, 4, 5, 6, 7, 11, 8, 12, 13, 14))],
    [
      'undos in the wrong order with a repair between them',
      'wrong',
      /took back hold\/reserve before label/,
      withTimeline(inOrder(1, 2, 3, 4, 5, 6, 7, 11, 9, 10, 8, 12, 13, 14)),
    ],
    [
      'undos that the systems saw in another order than we recorded',
      'wrong',
      /took back label before hold\/reserve/,
      withEntry('label', { undoneAt: '2026-11-23T03:00:09.000Z' }),
    ],
    ['a case that acts after its end', 'wrong', /had ended when it went on: effect label/, withTimeline([...own.timeline, did(20, 'label')])],
    [
      'a case that escalates after its end',
      'wrong',
      /had ended when it went on: clockEscalated/,
      withTimeline([...own.timeline, line(20, 'clockEscalated', { clock: 'handle' })]),
    ],
    [
      'a decision that its facts do not make',
      'wrong',
      /another one than its facts/,
      withOwn({ decisions: own.decisions.map((d) => ({ ...d, output: { sum: 4, reasons: [] } })) }),
    ],
    ['a decision of no rule', 'wrong', /rule or of a policy/, withOwn({ decisions: own.decisions.map((d) => ({ ...d, rule: 'guess' })) })],
    ['a decision of no policy', 'wrong', /rule or of a policy/, withOwn({ policies: new Map() })],
    ['a decision that is told and not logged', 'lost', /told and not logged/, withOwn({ decisions: [] })],
    ['a decision that is told twice', 'wrong', /decision .*sum once/, withTimeline([...own.timeline, line(20, 'decision', { step: 'sum' })])],
    ['a message that is still queued', 'stuck', /still to be sent/, withOwn({ messages: [...own.messages, message('x', { status: 'queued' })] })],
    [
      'a notice that nobody could get',
      'lost',
      /could not be sent/,
      withOwn({ messages: [...own.messages, message('x', { status: 'failed', recipient: 'ops' })] }),
    ],
    ['a message that counts as sent and was not', 'lost', /nobody got it/, withOwn({ messages: [...own.messages, message('x')] })],
    [
      'a notice that went with one that was not sent',
      'lost',
      /nobody got it/,
      withOwn({ messages: [...own.messages, message('x', { recipient: 'agent', bundle: `${id}:y` })] }),
    ],
    ['a message by two channels', 'doubled', /by 2 channels/, and(letter('withdrawn', 'We have noted it.', 'sms'))],
    [
      'the same words twice, each with a link of its own',
      'doubled',
      /told the same 2 times/,
      {
        ...withOwn({ messages: [...own.messages, message('withdrawn~2')] }),
        ledger: [...sound.ledger, letter('withdrawn~2', 'We have noted it. https://x.example/c/two')],
      },
    ],
    ['units that an ended case holds', 'stuck', /holds units/, withOwn({ holds: [{ hold: `${id}/allowance`, status: 'held' }] })],
    ['a count that was taken back and counts', 'wrong', /still counts/, withOwn({ tallies: [{ tally: `${id}/tally`, status: 'counted' }] })],
    ['a count that nobody took back and that does not count', 'lost', /does not count/, withOwn({ tallies: [{ tally: `${id}/kept`, status: 'released' }] })],
    ['a job that was given up', 'stuck', /given up after 25 tries/, withOwn({ jobs: [{ ...due, attempts: 25 }] })],
    ['a job without a key that was given up', 'stuck', /given up/, withOwn({ jobs: [{ ...due, key: null, attempts: 25 }] })],
    ['a job that nobody takes', 'stuck', /nobody took it/, withOwn({ jobs: [due] })],
    [
      "a clock's job of an ended case",
      'stuck',
      /has ended/,
      withOwn({ jobs: own.jobs.map((job) => ({ ...job, kind: 'clock-due', key: `clock:${id}:handle` })) }),
    ],
    ['an open task of an ended case', 'stuck', /its task review is open$/, withTasks({ ...task, status: 'open', assignee: null }, approval)],
    ['a claimed task of an ended case', 'stuck', /its task review is open and wang's/, withTasks({ ...task, status: 'open' }, approval)],
    ['a task that was decided by who decided what it checks', 'wrong', /what it checks too/, withTasks(task, { ...approval, decidedBy: 'wang' })],
    ['a checked task that who started the case decided', 'wrong', /what it checks too/, withTasks(task, { ...approval, decidedBy: 'shop' })],
  ];
  test.each(controls)('show %s', (_, kind, why, rows) => {
    const found = [...ofRecords(rows)].filter((finding) => why.test(finding.why));
    expect(found.map((finding) => finding.kind)).toEqual([kind]);
  });

  const innocent: readonly [what: string, rows: Rows][] = [
    [
      'what an open case holds and is at',
      {
        ...withOwn({
          cases: [{ ...also }, { ...own.cases[0], id, shop: 'mx', starter: 'shop', policy: 'p1', status: 'open' }],
          holds: [{ hold: `${id}/allowance`, status: 'held' }],
          effects: own.effects.map((one) => (one.path === 'tally' ? { ...one, status: 'sending', ok: null } : one)),
        }),
      },
    ],
    [
      'a redo that waits for a second person after the end',
      withTasks(task, approval, { ...task, id: `${id}:redo`, name: 'redo', path: 'label#3!redo', status: 'open', assignee: null }),
    ],
    [
      'an answer that a person entered',
      withOwn({ effects: own.effects.map((one) => (one.path === 'label#2' ? { ...one, enteredBy: 'li', answer: { trackingNo: 'by hand' } } : one)) }),
    ],
    [
      'undos of two occasions',
      withTimeline([
        ...inOrder(1, 2, 3, 5, 4, 6),
        did(20, 'hold/reserve!undo', 'undone'),
        line(21, 'decision', { step: 'sum-2' }),
        did(22, 'label!undo', 'undone'),
        did(23, 'tally!undo', 'undone'),
        did(24, 'label#2'),
      ]),
    ],
    [
      'a case past no return that keeps what it did',
      withOwn({
        timeline: [line(0, 'noReturn'), ...own.timeline],
        effects: own.effects.filter((one) => one.undoes !== 'tally'),
        tallies: [{ tally: `${id}/tally`, status: 'counted' }],
      }),
    ],
    [
      'a broken case, which may be mended and go on',
      withOwn({
        cases: [also, { ...also, id, status: 'broken' }],
        inbox: own.inbox.map((row) => ({ ...row, seen: false })),
        holds: [{ hold: `${id}/allowance`, status: 'held' }],
        jobs: [{ ...due, kind: 'clock-due', key: `clock:${id}:handle`, runAt: noRecords.at }],
      }),
    ],
    [
      'webhooks and states of others, on a stack that is not of the run alone',
      { ...withOwn({ used: new Set(), states: [] }), webhooks: [webhook({ delivered: false }), webhook({ id: 'evt_5', subject: 'SF5' })] },
    ],
    [
      'a parcel that has travelled on since the webhooks were read',
      withOwn({ states: [{ source: 'logistics.tracking', key: 'SF1', state: 'returned', at: parseInstant('2026-11-23T03:10:00.001Z') }] }),
    ],
    ['a webhook that came under another id', { ...sound, webhooks: [webhook({ id: 'evt_again' })] }],
    ['a case that a reset has opened again after its end', withTimeline([...own.timeline, line(20, 'reopened'), line(21, 'stage')])],
  ];
  test.each(innocent)('do not blame %s', (_, rows) => {
    expect([...ofRecords(rows)].filter(({ why }) => !/told and not logged/.test(why))).toEqual([]);
  });
});
