/** The money of a case as people see it: each amount in one state, with how it came there. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { accountView, moneyOperations } from '../../api/account.ts';
import { readerOf } from '../../api/sentences.ts';
import type { MoneyRow } from '../../db/account.ts';
import { callable } from '../../systems/index.ts';
import { loadProcesses } from '../../workflows/registry.ts';

const processes = await loadProcesses();
const reader = (language: 'zh' | 'en') => readerOf({ process: 'return-exchange', shop: 'main' }, { processes, systems: callable }, language);
const cny = (minor: number) => ({ minor, currency: 'CNY' });
const at = (minute: number) => new Date(Date.UTC(2026, 10, 23, 2, minute));
const row = (operation: 'refund' | 'paymentLink' | 'goodwill' | 'payments', args: object, more: Partial<MoneyRow> = {}): MoneyRow => ({
  path: operation,
  system: 'finance',
  operation,
  as: ({ refund: 'refund', paymentLink: 'charge', goodwill: 'payout', payments: 'payments' } as const)[operation],
  source: ({ refund: 'finance.refundState', paymentLink: 'finance.paymentState', goodwill: null, payments: null } as const)[operation],
  args,
  status: 'done',
  ok: true,
  answer: {},
  sentAt: at(0),
  doneAt: at(0),
  state: null,
  stateAt: null,
  reports: [],
  undoneAt: null,
  ...more,
});
const linkReport = (state: 'paid' | 'expired', minute: number) => ({
  linkId: 'l1',
  orderId: 'W1',
  amount: cny(3_000),
  state,
  at: at(minute).toISOString(),
  ...(state === 'paid' ? { paymentId: 'p9' } : {}),
});
const view = (rows: readonly MoneyRow[], language: 'zh' | 'en' = 'en') => accountView(rows, [], reader(language));
const states = (rows: readonly MoneyRow[]) => view(rows).charges.map(({ history }) => history.map(({ state }) => state));

describe('the money of a case', () => {
  test('is what the contracts say moves it', () => {
    expect(moneyOperations(callable).map(({ system, operation, as, source }) => [`${system}.${operation}`, as, source])).toEqual([
      ['finance.payments', 'payments', null],
      ['finance.refund', 'refund', 'finance.refundState'],
      ['finance.paymentLink', 'charge', 'finance.paymentState'],
      ['finance.goodwill', 'payout', null],
    ]);
  });

  test('shows what a customer was asked to pay until it is paid, and the payment that came in, of which something may go back', () => {
    const link = row('paymentLink', { orderId: 'W1', amount: cny(3_000) }, { answer: { linkId: 'l1' } });
    expect(states([link])).toEqual([['asked']]);
    expect(states([{ ...link, reports: [linkReport('expired', 9)] }])).toEqual([['asked', 'expired']]);
    expect(states([{ ...link, undoneAt: at(4) }])).toEqual([['asked', 'takenBack']]);
    const paid = { ...link, reports: [linkReport('paid', 5)], state: 'paid', stateAt: at(5) };
    const back = row('refund', { orderId: 'W1', paymentId: 'p9', amount: cny(1_000), via: 'original' }, { path: 'back', doneAt: at(7) });
    const { charges, payments, sums } = view([paid, back], 'zh');
    expect(charges).toEqual([
      expect.objectContaining({ payment: 'p9', state: 'paid', text: expect.stringMatching(/^发起补款 ¥30\.00：已支付，2026年11月23日 10:05$/) }),
    ]);
    expect(payments).toEqual([
      expect.objectContaining({ payment: 'p9', paid: cny(3_000), refunds: [expect.objectContaining({ amount: cny(1_000), state: 'submitted' })] }),
    ]);
    expect(sums.map(({ text }) => text)).toEqual(['发起补款，已支付：¥30.00', '退款，已提交：¥10.00']);
  });

  test('shows a payout that finance refused with its reason, and one that waits for an answer', () => {
    const refused = row('goodwill', { customer: 'c', amount: cny(500) }, { ok: false, answer: 'refused' });
    const waiting = row('goodwill', { customer: 'c', amount: cny(700) }, { path: 'later', status: 'sending', ok: null, doneAt: null });
    expect(view([refused, waiting]).payouts.map(({ state, text }) => [state, text])).toEqual([
      ['refused', expect.stringMatching(/^Pay out of goodwill CN¥5\.00: finance refuses without a paper,/)],
      ['sent', expect.stringMatching(/^Pay out of goodwill CN¥7\.00: sent, no answer yet,/)],
    ]);
  });

  test('knows a state that was told beside the case, and the order of reports by when they happened', () => {
    const report = (state: string, minute: number) => ({
      refundId: 'r1',
      key: 'k',
      orderId: 'W1',
      paymentId: 'p1',
      amount: cny(100),
      state,
      at: at(minute).toISOString(),
    });
    const refund = row('refund', { paymentId: 'p1', amount: cny(100) }, { answer: { refundId: 'r1' } });
    const history = (more: Partial<MoneyRow>) => view([{ ...refund, ...more }]).payments[0]?.refunds[0]?.history.map(({ state }) => state);
    expect(history({ state: 'arrived', stateAt: at(9) })).toEqual(['submitted', 'arrived']);
    expect(history({ reports: [report('arrived', 9), report('accepted', 3)], state: 'arrived', stateAt: at(9) })).toEqual(['submitted', 'accepted', 'arrived']);
    expect(history({ reports: [{ nonsense: true }] })).toEqual(['submitted']);
  });

  test('counts every amount once, in the state where it stands, each currency by itself', () => {
    const amount = fc.record({ minor: fc.integer({ min: 1, max: 1_000_000 }), currency: fc.constantFrom('CNY', 'USD') });
    const state = fc.constantFrom(null, 'accepted', 'arrived', 'failed');
    fc.assert(
      fc.property(fc.array(fc.record({ amount, state, payment: fc.constantFrom('p1', 'p2') }), { maxLength: 12 }), (refunds) => {
        const rows = refunds.map((one, i) =>
          row('refund', { paymentId: one.payment, amount: one.amount }, { path: `r${i}`, state: one.state, stateAt: one.state === null ? null : at(5) }),
        );
        const { sums, payments } = view(rows);
        for (const currency of ['CNY', 'USD']) {
          const all = refunds.reduce((so, one) => so + (one.amount.currency === currency ? one.amount.minor : 0), 0);
          expect(sums.reduce((so, one) => so + (one.amount.currency === currency ? one.amount.minor : 0), 0)).toBe(all);
        }
        expect(payments.flatMap((one) => one.refunds)).toHaveLength(refunds.length);
        expect(new Set(sums.map((one) => `${one.state} ${one.amount.currency}`)).size).toBe(sums.length);
      }),
    );
  });
});
