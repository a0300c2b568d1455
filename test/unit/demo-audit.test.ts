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
} from '../../cli/demo/audit.ts';
import { systems } from '../../systems/index.ts';

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
const task = { id: `${id}:review-1/review`, name: 'review', path: 'review-1/review', status: 'done', decidedBy: 'wang', decidedRole: 'agent', form: review };
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
    effect('warehouse', 'rc-1-001/dispose', 'dispose'),
    effect('finance', 'p1/route-1/refund', 'refund'),
    { kind: 'told', data: { message: 'received', to: 'customer' } },
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
  lines: [{ quantity: 1, returned: 0 }],
  payments: [{ paymentId: 'p1', amount: usd(5000), refunded: usd(5000) }],
  refunds: [refundRow()],
};
const sound: AuditRows = {
  planned: [id],
  accepted,
  cases: new Map([[id, ended]]),
  ledger: [
    ledgerEntry('logistics', 'label', 'label'),
    ledgerEntry('warehouse', 'rc-1-001/dispose', 'dispose', { args: { caseRef: id, unitId: 'rc-1-001', disposition: 'restock' } }),
    // Asked for three times, done once: what keys are for.
    ledgerEntry('finance', 'p1/route-1/refund', 'refund', { attempts: 3 }),
    { ...ledgerEntry('notifications', '', 'send'), key: `${id}:received/wechat` },
  ],
  orders: new Map([['O-1', order]]),
  systems,
};

const withCase = (change: Partial<AuditedCase>): AuditRows => ({ ...sound, cases: new Map([[id, { ...ended, ...change }]]) });
const withOrder = (change: Partial<typeof order>): AuditRows => ({ ...sound, orders: new Map([['O-1', { ...order, ...change }]]) });
const withLedger = (operation: string, change: Partial<LedgerEntry>): AuditRows => ({
  ...sound,
  ledger: sound.ledger.map((entry) => (entry.operation === operation ? { ...entry, ...change } : entry)),
});
const without = (operation: string): AuditRows => ({ ...sound, ledger: sound.ledger.filter((entry) => entry.operation !== operation) });
const withoutEntry = (kind: string): AuditRows => withCase({ timeline: ended.timeline.filter((entry) => entry.kind !== kind) });
const open = { ...task, id: `${id}:inspect`, path: 'inspect', name: 'inspect', status: 'open', decidedBy: null, decidedRole: null };

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
    ['two labels under two keys', 'doubled', { ...sound, ledger: [...sound.ledger, ledgerEntry('logistics', 'label-again', 'label')] }],
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
    [
      'a message that was sent twice',
      'doubled',
      { ...sound, ledger: [...sound.ledger, { ...ledgerEntry('notifications', '', 'send'), key: `${id}:received~2/wechat` }] },
    ],
    [
      'one payment refunded twice by one case',
      'doubled',
      withOrder({ refunds: [refundRow({ minor: 2500 }), refundRow({ refundId: 'rf_2', key: `${id}/p1/route-2/refund`, minor: 2500 })] }),
    ],
    ['more refunded than the case reports', 'doubled', withCase({ outcome: { result: 'refunded', amount: usd(4000) } })],
    ['more refunded than was paid', 'abovePaid', withOrder({ payments: [{ paymentId: 'p1', amount: usd(4999), refunded: usd(0) }] })],
    ['more refunded than was paid, by whomever', 'abovePaid', withOrder({ payments: [{ paymentId: 'p1', amount: usd(5000), refunded: usd(5001) }] })],
    ['more refunded than the order cost', 'abovePaid', withOrder({ total: usd(4999) })],
    ['more units accepted than could come back', 'abovePaid', withOrder({ lines: [{ quantity: 1, returned: 1 }] })],
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
    for (const finding of found) expect(finding.case).toMatch(/^return-exchange\.O-[12]\.demo-1$/);
  });

  test('lets pass what is on purpose: a redo, a route that failed before another held, a key undone and used again', () => {
    const redo = { ...sound, ledger: [...sound.ledger, ledgerEntry('logistics', 'label#2', 'label')] };
    expect(audit(redo)).toEqual([]);
    const otherRoute = withOrder({ refunds: [refundRow({ refundId: 'rf_0', state: 'failed' }), refundRow({ key: `${id}/p1/route-2/refund` })] });
    expect(audit(otherRoute)).toEqual([]);
    const again = { ...sound, ledger: [...sound.ledger, ledgerEntry('logistics', 'label-2', 'label', { undoneAt: '2026-11-23T00:00:00.000Z' })] };
    expect(audit(again)).toEqual([]);
  });

  test('lets pass a withdrawal that the case refused, or that the platform was faster than', () => {
    const withdrawal: readonly Accepted[] = [...accepted, { what: 'withdrawal', case: id }];
    const asked = { kind: 'withdrawAsked', data: {} };
    expect(audit({ ...withCase({ timeline: [...ended.timeline, asked, { kind: 'withdrawalRefused', data: {} }] }), accepted: withdrawal })).toEqual([]);
    expect(
      audit({
        ...withCase({ timeline: [...ended.timeline, asked], outcome: { result: 'closedByPlatform', how: 'refunded' } }),
        accepted: withdrawal,
        orders: new Map(),
      }),
    ).toEqual([]);
  });

  test('counts a case once per kind, however much is wrong with it', () => {
    const found = audit({ ...sound, ledger: [] });
    expect(found.length).toBeGreaterThan(1);
    expect(auditLine(1, found)).toBe('1 cases: 1 lost, 0 doubled, 0 above paid, 0 stuck');
  });
});
