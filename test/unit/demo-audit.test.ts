import { describe, expect, test } from '@jest/globals';
import {
  audit,
  auditLine,
  counts,
  type Accepted,
  type AuditedCase,
  type AuditRows,
  type Finding,
  type LedgerEntry,
  type RefundRow,
  type UnitRow,
} from '../../cli/demo/audit.ts';
import { systems } from '../../systems/index.ts';
import { noRecords } from './audited.ts';

const id = 'return-exchange.O-1.demo-1';
const usd = (minor: number) => ({ minor, currency: 'USD' });

const ledgerEntry = (system: string, path: string, operation: string, more: Partial<LedgerEntry> = {}): LedgerEntry => ({
  system,
  key: `${id}/${path}`,
  operation,
  state: 'executed',
  attempts: 1,
  executions: 1,
  undoneAt: null,
  ...more,
});
const letter = (path: string): LedgerEntry => ({
  ...ledgerEntry('notifications', '', 'send', { args: { to: 'wx-1', text: path } }),
  key: `${id}:${path}/wechat`,
});
const refundRow = (more: Partial<RefundRow> = {}): RefundRow => ({
  refundId: 'rf_1',
  key: `${id}/p1/route-1/refund`,
  caseRef: id,
  paymentId: 'p1',
  minor: 5000,
  currency: 'USD',
  state: 'arrived',
  ...more,
});
const review = { decision: 'approve', reason: 'quality', wish: 'refund' };
const task = {
  id: `${id}:review-1/review`,
  name: 'review',
  path: 'review-1/review',
  status: 'done',
  decidedBy: 'wang',
  decidedRole: 'agent',
  decidedAt: '2026-11-23T03:00:00.000Z',
  expiresAt: null,
  assignee: 'wang',
  notBy: [],
  form: review,
  context: {},
};
const effect = (system: string, path: string, operation: string, kind = 'effect') => ({ kind, data: { system, operation, path } });
const ended: AuditedCase = {
  id,
  order: 'O-1',
  status: 'completed',
  trouble: null,
  outcome: { result: 'refunded', amount: usd(5000) },
  tasks: [task],
  timeline: [
    { kind: 'opened', data: { by: 'shop' } },
    { kind: 'taskDecided', data: { task: 'review-1/review', name: 'review', by: 'wang' } },
    effect('orders', 'order', 'facts'),
    effect('allowance', 'allowance', 'reserve'),
    effect('logistics', 'label', 'label'),
    { kind: 'event', data: { event: 'ownCourier' } },
    effect('warehouse', 'goods/rc-1-001/dispose', 'dispose'),
    effect('finance', 'p1/route-1/refund', 'refund'),
    { kind: 'told', data: { message: 'received', to: 'customer' } },
    { kind: 'told', data: { message: 'refundArrived', to: 'customer' } },
    { kind: 'closed', data: {} },
  ],
};
const accepted: readonly Accepted[] = [
  { what: 'start', case: id },
  { what: 'start', case: id },
  { what: 'decision', case: id, task: task.id, by: 'wang', form: review },
  { what: 'decision', case: id, task: task.id, by: 'wang', form: review },
  { what: 'event', case: id, event: 'ownCourier', eventId: 'e-1' },
  { what: 'event', case: id, event: 'ownCourier', eventId: 'e-1' },
];
const order = {
  total: usd(5000),
  invoiced: true,
  lines: [{ line: 1, quantity: 2, returned: 1, listTotal: usd(12_000) }],
  discounts: [
    { kind: 'coupon', ref: 'cp-1', amount: usd(1000) },
    { kind: 'points', amount: usd(1000), points: 100 },
  ],
  payments: [
    { paymentId: 'p1', amount: usd(5000), refunded: usd(5000) },
    { paymentId: 'pay_pl_1', amount: usd(100), refunded: usd(100) },
  ],
  refunds: [refundRow(), refundRow({ refundId: 'rf_9', key: `${id}/new-goods/difference!undo`, paymentId: 'pay_pl_1', minor: 100 })],
};
const unit = (more: Partial<UnitRow> = {}): UnitRow => ({ order: 'O-1', line: 1, unit: 1, hold: `${id}/allowance`, used: true, refunded: true, ...more });
const sound: AuditRows = {
  planned: [id],
  accepted,
  cases: new Map([[id, ended]]),
  ledger: [
    ledgerEntry('logistics', 'label', 'label'),
    ledgerEntry('warehouse', 'goods/rc-1-001/dispose', 'dispose', { args: { caseRef: id, unitId: 'rc-1-001', disposition: 'restock' } }),
    ledgerEntry('finance', 'invoice/red-letter', 'redLetter', { args: { orderId: 'O-1', amount: usd(5000) } }),
    ledgerEntry('coupons', 'coupons/give-back', 'giveBack', { args: { orderId: 'O-1', coupons: [{ couponId: 'cp-1', amount: usd(500) }], points: 50 } }),
    ledgerEntry('crm', 'thanks/gift', 'giftAndCard', { args: { caseRef: id, orderId: 'O-1' } }),
    // New goods were set aside and let go, and a link was paid and went back with it; another's goods had vanished when they were to be sent.
    ledgerEntry('warehouse', 'new-goods/hold-1/reserve', 'reserve', { answer: { reservationId: 'rs_1' }, undoneAt: '2026-11-23T00:00:00.000Z' }),
    ledgerEntry('finance', 'new-goods/difference', 'paymentLink', {
      args: { amount: usd(100) },
      answer: { linkId: 'pl_1' },
      undoneAt: '2026-11-23T00:00:00.000Z',
    }),
    ledgerEntry('warehouse', 'new-goods/hold-2/reserve', 'reserve', { answer: { reservationId: 'rs_2' } }),
    ledgerEntry('warehouse', 'new-goods/send-1/dispatch', 'dispatch', { args: { reservationId: 'rs_2' }, state: 'refused', executions: 0 }),
    // Asked for three times, done once: what keys are for.
    ledgerEntry('finance', 'p1/route-1/refund', 'refund', { attempts: 3 }),
    letter('received'),
    letter('p1/route-1/refundArrived'),
  ],
  orders: new Map([['O-1', order]]),
  units: [unit(), unit({ unit: 2, hold: null })],
  causes: [{ case: id, line: 1, unit: 1 }],
  received: ['rc-1-001'],
  links: new Map([['pl_1', 'paid']]),
  setAside: [],
  webhooks: [],
  own: {
    ...noRecords,
    inbox: [task.id, `${id}:inspect`].map((eventId, n) => ({
      id: n + 1,
      source: 'task',
      eventId,
      bodyHash: eventId,
      kind: 'decision',
      name: 'review',
      key: null,
      case: id,
      at: noRecords.at,
      seen: true,
      became: null,
    })),
    decisions: [
      {
        case: id,
        step: 'refund',
        process: 'return-exchange',
        rule: 'refundParts',
        policy: 'p',
        facts: {},
        output: { parts: [{ paymentId: 'p1', amount: usd(5000) }], reasons: [] },
        asOf: noRecords.at,
      },
    ],
  },
  systems,
};

const withCase = (change: Partial<AuditedCase>): AuditRows => ({ ...sound, cases: new Map([[id, { ...ended, ...change }]]) });
const withOrder = (change: Partial<typeof order>): AuditRows => ({ ...sound, orders: new Map([['O-1', { ...order, ...change }]]) });
const withLedger = (operation: string, change: Partial<LedgerEntry>): AuditRows => ({
  ...sound,
  ledger: sound.ledger.map((entry) => (entry.operation === operation ? { ...entry, ...change } : entry)),
});
const bought = (quantity: number, returned: number) => [{ line: 1, quantity, returned, listTotal: usd(12_000) }];
const withPayment = (change: object): AuditRows => withOrder({ payments: order.payments.map((payment, i) => (i === 0 ? { ...payment, ...change } : payment)) });
const without = (operation: string): AuditRows => ({ ...sound, ledger: sound.ledger.filter((entry) => entry.operation !== operation) });
const withEntry = (entry: LedgerEntry): AuditRows => ({ ...sound, ledger: [...sound.ledger, entry] });
const withArgs = (operation: string, args: object): AuditRows => withLedger(operation, { args });
const withoutEntry = (kind: string): AuditRows => withCase({ timeline: ended.timeline.filter((entry) => entry.kind !== kind) });
const untold = (message: string): AuditRows => withCase({ timeline: ended.timeline.filter(({ data }) => data['message'] !== message) });
const withoutLetter = (message: string): readonly LedgerEntry[] => sound.ledger.filter((entry) => !entry.key.includes(message));
const withParts = (parts: readonly object[]): AuditRows => ({
  ...sound,
  own: { ...sound.own, decisions: sound.own.decisions.map((decision) => ({ ...decision, output: { parts } })) },
});
const open = { ...task, id: `${id}:inspect`, path: 'inspect', name: 'inspect', status: 'open', decidedBy: null, decidedRole: null };

const inspected = {
  ...task,
  id: `${id}:inspect`,
  path: 'inspect',
  name: 'inspect',
  form: { units: [{ unitId: 'rc-1-001', verdict: 'reject', cause: 'customer' }] },
};

describe('audit', () => {
  test('finds nothing where all took place once, however often it was asked for', () => {
    expect(audit(sound)).toEqual([]);
    expect(auditLine(1, [])).toBe('1 cases: 0 lost, 0 doubled, 0 above paid, 0 stuck');
  });

  const controls: readonly [what: string, kind: Finding['kind'], rows: AuditRows][] = [
    ['a start that was accepted and is not there', 'lost', { ...sound, cases: new Map() }],
    ['a decision that was accepted and is not in its task', 'lost', withCase({ tasks: [open] })],
    ['a decision that stands with another form', 'lost', withCase({ tasks: [{ ...task, form: { decision: 'reject' } }] })],
    ['a decision that the timeline does not know', 'lost', withoutEntry('taskDecided')],
    ['an event that was accepted and is not there', 'lost', withoutEntry('event')],
    ['the second of two events', 'lost', { ...sound, accepted: [...accepted, { what: 'event', case: id, event: 'ownCourier', eventId: 'e-2' }] }],
    ['a withdrawal that left no trace', 'lost', { ...sound, accepted: [...accepted, { what: 'withdrawal', case: id }] }],
    [
      'a withdrawal that was heard and ignored',
      'lost',
      { ...withCase({ timeline: [...ended.timeline, { kind: 'withdrawAsked', data: {} }] }), accepted: [...accepted, { what: 'withdrawal', case: id }] },
    ],
    [
      'a withdrawal that was refused before anybody had decided',
      'lost',
      {
        ...withCase({
          timeline: [{ kind: 'withdrawAsked', data: {} }, { kind: 'withdrawalRefused', data: {} }, { kind: 'taskOpened', data: {} }, ...ended.timeline],
        }),
        accepted: [...accepted, { what: 'withdrawal', case: id }],
      },
    ],
    ['an effect that the case has and the system has not', 'lost', without('label')],
    ['an effect that the system barred', 'lost', withLedger('label', { state: 'barred', executions: 0 })],
    [
      'an undo that the case has and the system has not',
      'lost',
      withCase({ timeline: [...ended.timeline, effect('logistics', 'label!undo', 'cancelLabel', 'undone')] }),
    ],
    ['a message that was written and not sent', 'lost', without('send')],
    ['a refund that the case reports and finance did not make', 'lost', withOrder({ refunds: [refundRow({ state: 'failed' })] })],
    ['an effect that took place twice', 'doubled', withLedger('label', { executions: 2 })],
    ['a second label that nobody asked for', 'doubled', withEntry(ledgerEntry('logistics', 'label-again', 'label'))],
    [
      'one unit disposed of under two keys',
      'doubled',
      {
        ...sound,
        ledger: [...sound.ledger, ledgerEntry('warehouse', 'again/dispose', 'dispose', { args: { caseRef: id, unitId: 'rc-1-001', disposition: 'scrap' } })],
      },
    ],
    [
      'one unit that was disposed of and sent back',
      'doubled',
      {
        ...sound,
        ledger: [...sound.ledger, ledgerEntry('warehouse', 'send-back', 'sendBack', { args: { caseRef: id, orderId: 'O-1', unitIds: ['rc-1-001'] } })],
      },
    ],
    ['a task that two people decided', 'doubled', { ...sound, accepted: [...accepted, { what: 'decision', case: id, task: task.id, by: 'li', form: review }] }],
    ['a message that was sent twice', 'doubled', withEntry(letter('received~2'))],
    [
      'a notice to a department that was sent and not written',
      'doubled',
      withEntry({ ...ledgerEntry('notifications', '', 'send', { args: { to: 'role:agent@shop' } }), key: `${id}:handle:50/agent/wecom` }),
    ],
    [
      'one payment refunded twice by one case',
      'doubled',
      withOrder({ refunds: [refundRow({ minor: 2500 }), refundRow({ refundId: 'rf_2', key: `${id}/p1/route-2/refund`, minor: 2500 })] }),
    ],
    ['less refunded of a payment than our cases refunded', 'lost', withPayment({ refunded: usd(4999) })],
    [
      'more refunded of a payment than our cases refunded',
      'doubled',
      withOrder({ lines: bought(1, 0), payments: [{ paymentId: 'p1', amount: usd(6000), refunded: usd(5001) }] }),
    ],
    ['a unit that two cases used', 'doubled', { ...sound, units: [...sound.units, unit()] }],
    ['more units used than were bought', 'abovePaid', { ...sound, units: [...sound.units, unit({ unit: 3, hold: null })] }],
    ['a settled case that used no unit', 'lost', { ...sound, units: [] }],
    ['a case that ended and still holds units', 'stuck', { ...sound, units: [...sound.units, unit({ line: 2, used: false })] }],
    [
      'more units disposed of than were used',
      'abovePaid',
      withEntry(ledgerEntry('warehouse', 'x/dispose', 'dispose', { args: { caseRef: id, unitId: 'rc-1-002', disposition: 'scrap' } })),
    ],
    ['a settled unit whose cause is not booked', 'lost', { ...sound, causes: [] }],
    ['a cause that is booked for a unit that was not settled', 'doubled', { ...sound, causes: [...sound.causes, { case: id, line: 1, unit: 2 }] }],
    ['a received unit of which nothing became', 'lost', { ...sound, received: ['rc-1-001', 'rc-1-002'] }],
    [
      'goods set aside that were neither sent nor let go',
      'stuck',
      withEntry(ledgerEntry('warehouse', 'new-goods/hold-3/reserve', 'reserve', { answer: { reservationId: 'rs_3' } })),
    ],
    ['goods that the warehouse still sets aside', 'stuck', { ...sound, setAside: [{ sku: 'MX-MUG-SKY', quantity: 1 }] }],
    ['a refund of another amount than was decided', 'wrong', withParts([{ paymentId: 'p1', amount: usd(4999) }])],
    ['a refund in another currency than was decided', 'wrong', withParts([{ paymentId: 'p1', amount: { minor: 5000, currency: 'CNY' } }])],
    ['a refund of another payment than was decided', 'wrong', withParts([{ paymentId: 'p2', amount: usd(5000) }])],
    ['a refund that nobody had decided', 'wrong', withParts([])],
    ['a refund that arrived, of which the customer was not told', 'lost', { ...untold('refundArrived'), ledger: withoutLetter('refundArrived') }],
    [
      'a refund that arrived once and was told twice',
      'doubled',
      {
        ...withCase({ timeline: [...ended.timeline, { kind: 'told', data: { message: 'refundArrived', to: 'customer' } }] }),
        ledger: [...sound.ledger, letter('p1/route-1/refundArrived~2')],
      },
    ],
    [
      'an open payment link',
      'stuck',
      withEntry(ledgerEntry('finance', 'x/difference', 'paymentLink', { args: { amount: usd(1) }, answer: { linkId: 'pl_2' } })),
    ],
    ['a void link whose money did not go back', 'lost', withOrder({ refunds: [refundRow()], payments: order.payments.slice(0, 1) })],
    ['red letters above the invoice', 'abovePaid', withArgs('redLetter', { orderId: 'O-1', amount: usd(5001) })],
    ['a red letter for an order without invoice', 'abovePaid', withOrder({ invoiced: false })],
    ['a refund of an invoiced order without red letter', 'lost', without('redLetter')],
    [
      'more of a coupon given back than the share of what was returned',
      'abovePaid',
      withArgs('giveBack', { orderId: 'O-1', coupons: [{ couponId: 'cp-1', amount: usd(501) }], points: 50 }),
    ],
    [
      'fewer points given back than the share of what was returned',
      'lost',
      withArgs('giveBack', { orderId: 'O-1', coupons: [{ couponId: 'cp-1', amount: usd(500) }], points: 49 }),
    ],
    ['a gift after a rejected unit', 'abovePaid', withCase({ tasks: [task, inspected] })],
    ['more refunded than the case reports', 'doubled', withCase({ outcome: { result: 'refunded', amount: usd(4000) } })],
    ['more refunded than was paid', 'abovePaid', withPayment({ amount: usd(4999) })],
    ['more refunded than was paid, by whomever', 'abovePaid', withPayment({ refunded: usd(5001) })],
    ['more units accepted than could come back', 'abovePaid', withOrder({ lines: bought(1, 1) })],
    ['a case that is open', 'stuck', withCase({ status: 'open' })],
    ['a case that broke', 'stuck', withCase({ status: 'broken', trouble: 'terminated' })],
    ['a case that failed', 'stuck', withCase({ status: 'failed' })],
    ['an open task of a case that ended', 'stuck', withCase({ tasks: [task, open] })],
    ['a case that was never started', 'stuck', { ...sound, planned: [id, 'return-exchange.O-2.demo-1'] }],
  ];
  test.each(controls)('reports %s', (_, kind, rows) => {
    const found = audit(rows);
    expect(found.map((finding) => finding.kind)).toContain(kind);
    expect(counts(found)[kind]).toBe(1);
    // What is no case's is told by the order, the unit or the goods.
    for (const finding of found) expect(finding.case).toMatch(/^(return-exchange\.O-[12]\.demo-1|O-1|rc-1-002|MX-MUG-SKY)$/);
  });

  test('lets pass what is on purpose: a redo, a route that failed before another held, a key undone and used again', () => {
    const redo = { ...sound, ledger: [...sound.ledger, ledgerEntry('logistics', 'label#2', 'label')] };
    expect(audit(redo)).toEqual([]);
    const otherRoute = withOrder({
      refunds: [...order.refunds.slice(1), refundRow({ refundId: 'rf_0', state: 'failed' }), refundRow({ key: `${id}/p1/route-2/refund` })],
    });
    const toldOfIt = withCase({ timeline: [...ended.timeline, { kind: 'told', data: { message: 'refundFailed', to: 'customer' } }] });
    expect(audit({ ...otherRoute, cases: toldOfIt.cases, ledger: [...sound.ledger, letter('p1/route-1/refundFailed')] })).toEqual([]);
    const again = { ...sound, ledger: [...sound.ledger, ledgerEntry('logistics', 'label-2', 'label', { undoneAt: '2026-11-23T00:00:00.000Z' })] };
    expect(audit(again)).toEqual([]);
  });

  test('lets pass a withdrawal that the case refused, or that the platform was faster than', () => {
    const withdrawal: readonly Accepted[] = [...accepted, { what: 'withdrawal', case: id }];
    const asked = { kind: 'withdrawAsked', data: {} };
    expect(audit({ ...withCase({ timeline: [...ended.timeline, asked, { kind: 'withdrawalRefused', data: {} }] }), accepted: withdrawal })).toEqual([]);
    expect(
      audit({
        ...withCase({
          timeline: [...ended.timeline.filter(({ data }) => data['message'] !== 'refundArrived'), asked],
          outcome: { result: 'closedByPlatform', how: 'refunded' },
        }),
        accepted: withdrawal,
        ledger: sound.ledger.filter((entry) => ['label', 'dispose', 'refund', 'send'].includes(entry.operation ?? '') && !entry.key.includes('refundArrived')),
        causes: [],
        received: [],
        orders: new Map(),
      }),
    ).toEqual([]);
  });

  test('counts a case once per kind, however much is wrong with it', () => {
    const found = audit({ ...sound, ledger: [], received: [] });
    expect(found.length).toBeGreaterThan(1);
    expect(auditLine(1, found)).toBe('1 cases: 1 lost, 0 doubled, 0 above paid, 0 stuck');
  });
});
