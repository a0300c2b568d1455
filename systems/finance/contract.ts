import { z } from 'zod';
import { instantSchema, moneySchema } from '../../values/schemas.ts';
import { amountSchema, caseRefSchema, defineSystem, idSchema, reasonSchema, undoArgs, undoResult } from '../contract.ts';

const method = z.enum(['card', 'wallet', 'giftCard', 'transfer']);
/** What the payment system reports of a refund: taken by the gateway; on the customer's account; come back to us. */
export const refundStates = ['accepted', 'arrived', 'failed'] as const;
/** A refund may fail at the customer's bank after it was accepted, never after it arrived; both are final. */
const refundRank = { accepted: 1, failed: 2, arrived: 3 } as const satisfies Record<(typeof refundStates)[number], number>;
/** What becomes of a payment link without us; both are final. */
export const linkStates = ['expired', 'paid'] as const;

export const finance = defineSystem({
  name: 'finance',
  title: { zh: '财务', en: 'Finance: payments, refunds, invoices' },
  operations: {
    payments: {
      title: { zh: '查询付款记录', en: 'Look up the payments' },
      about:
        'The payments of an order and what of them was refunded, in all and by the refunds of the case that asks: after a restore from a back-up a case has forgotten those, and must not take them for somebody else’s',
      done: { zh: '已查询订单 {orderId} 的 {payments.length} 笔付款', en: '{payments.length} payment(s) of order {orderId} were looked up' },
      args: z.object({ orderId: idSchema, caseRef: caseRefSchema.optional() }),
      result: z.object({
        payments: z.array(
          z.object({
            paymentId: idSchema,
            method,
            amount: moneySchema,
            refunded: moneySchema,
            refundedByCase: moneySchema.optional().meta({
              description:
                'The part of `refunded` that `refund` was asked for with this `caseRef`; what a voided link gave back is none of it. Absent: nothing',
            }),
            paidAt: instantSchema,
          }),
        ),
      }),
      money: { as: 'payments' },
      kind: 'read',
      repeat: 'keyed',
      pace: 'quick',
    },
    refund: {
      title: { zh: '退款', en: 'Refund' },
      about: 'Refund part of a payment by its original route, or by the one finance chose after that failed',
      done: { zh: '已提交退款 {amount}（付款 {paymentId}，{via}）', en: 'A refund of {amount} was submitted (payment {paymentId}, {via})' },
      args: z.object({
        caseRef: caseRefSchema,
        orderId: idSchema,
        paymentId: idSchema,
        amount: amountSchema,
        reason: reasonSchema,
        via: z.enum(['original', 'transfer']).default('original'),
      }),
      result: z.object({ refundId: idSchema, state: z.literal('submitted') }),
      // The refunds of this payment, by whomever, would pass what was paid.
      errors: ['abovePayment'],
      money: { as: 'refund', reports: { event: 'refundState', id: 'refundId' } },
      kind: 'effect',
      repeat: 'keyed',
      // It is submitted only; what the gateway and the bank make of it comes as `refundState`.
      pace: 'quick',
    },
    redLetter: {
      title: { zh: '开具红字发票', en: 'Issue a red-letter invoice' },
      about: 'Issue a red-letter invoice (红字发票) for part of an invoiced order',
      done: { zh: '已开具红字发票 {redLetterNo}，金额 {amount}', en: 'Red-letter invoice {redLetterNo} over {amount} was issued' },
      args: z.object({ caseRef: caseRefSchema, orderId: idSchema, amount: amountSchema, reason: reasonSchema }),
      result: z.object({ redLetterNo: idSchema, invoiceNo: idSchema }),
      kind: 'effect',
      repeat: 'keyed',
      // The tax office's platform takes part in it, and takes its time.
      pace: 'slow',
    },
    paymentLink: {
      title: { zh: '发起补款', en: 'Ask the customer to pay' },
      about: 'Ask the customer for money: the difference of an exchange',
      done: { zh: '已生成补款链接，金额 {amount}，{expiresAt} 前有效', en: 'A payment link over {amount} was made, valid until {expiresAt}' },
      args: z.object({ caseRef: caseRefSchema, orderId: idSchema, amount: amountSchema, reason: reasonSchema }),
      result: z.object({ linkId: idSchema, url: z.url(), expiresAt: instantSchema }),
      money: { as: 'charge', reports: { event: 'paymentState', id: 'linkId' } },
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
      undo: 'voidLink',
    },
    voidLink: {
      // Whether the customer has just paid, nobody but finance can know: so the money goes back by the same call.
      title: { zh: '作废补款链接', en: 'Void the payment link' },
      about: 'Void a payment link; what was paid by it goes back the way it came',
      args: undoArgs,
      result: undoResult,
      kind: 'effect',
      repeat: 'keyed',
      pace: 'slow',
    },
    goodwill: {
      title: { zh: '补偿付款', en: 'Pay out of goodwill' },
      about: 'Pay a customer out of goodwill, beside any payment',
      done: { zh: '已提交补偿付款 {amount}', en: 'A goodwill payment of {amount} was submitted' },
      args: z.object({ caseRef: caseRefSchema, customer: idSchema, amount: amountSchema, reason: reasonSchema }),
      result: z.object({ payoutId: idSchema }),
      // Above what finance pays without a paper.
      errors: ['refused'],
      money: { as: 'payout' },
      kind: 'effect',
      repeat: 'keyed',
      // Submitted only, like a refund.
      pace: 'quick',
    },
  },
  words: {
    card: { zh: '银行卡', en: 'bank card' },
    wallet: { zh: '支付钱包', en: 'wallet' },
    giftCard: { zh: '礼品卡', en: 'gift card' },
    transfer: { zh: '银行转账', en: 'bank transfer' },
    original: { zh: '原路退回', en: 'the way it was paid' },
    submitted: { zh: '已提交', en: 'submitted' },
    accepted: { zh: '已受理', en: 'was accepted' },
    arrived: { zh: '已到账', en: 'has arrived' },
    failed: { zh: '未成功', en: 'failed' },
    expired: { zh: '已过期', en: 'has expired' },
    paid: { zh: '已支付', en: 'was paid' },
    abovePayment: { zh: '超过该笔付款的可退金额', en: 'more than what is left of the payment' },
    refused: { zh: '财务未同意', en: 'finance refuses without a paper' },
  },
  events: {
    refundState: {
      title: { zh: '退款进展', en: 'What became of a refund' },
      told: {
        zh: '支付系统通知：退款 {amount}（付款 {paymentId}）{state}',
        en: 'The payment system reports: refund of {amount} (payment {paymentId}) {state}',
      },
      payload: z.object({
        refundId: idSchema,
        key: z.string().meta({ description: 'The Idempotency-Key of the refund' }),
        orderId: idSchema,
        paymentId: idSchema,
        amount: moneySchema,
        state: z.enum(refundStates),
        at: instantSchema,
        reason: reasonSchema.optional().meta({ description: 'Why it failed' }),
      }),
      key: (payload: { refundId: string }) => payload.refundId,
      state: (payload: { at: string; state: (typeof refundStates)[number] }) => ({ at: payload.at, state: payload.state, rank: refundRank[payload.state] }),
    },
    paymentState: {
      title: { zh: '补款进展', en: 'What became of a payment link' },
      told: { zh: '支付系统通知：补款 {amount} {state}', en: 'The payment system reports: payment link over {amount} {state}' },
      payload: z.object({
        linkId: idSchema,
        orderId: idSchema,
        amount: moneySchema,
        state: z.enum(linkStates),
        at: instantSchema,
        paymentId: idSchema.optional().meta({ description: 'The payment that came in; it can be refunded like the others of the order' }),
      }),
      key: (payload: { linkId: string }) => payload.linkId,
      state: (payload: { at: string; state: (typeof linkStates)[number] }) => ({
        at: payload.at,
        state: payload.state,
        rank: linkStates.indexOf(payload.state),
      }),
    },
  },
});
export type RefundState = z.output<typeof finance.events.refundState.payload>;
export type PaymentState = z.output<typeof finance.events.paymentState.payload>;
