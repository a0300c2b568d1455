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
      title: 'The payments of an order and what of them was refunded',
      args: z.object({ orderId: idSchema }),
      result: z.object({ payments: z.array(z.object({ paymentId: idSchema, method, amount: moneySchema, refunded: moneySchema, paidAt: instantSchema })) }),
      kind: 'read',
      repeat: 'keyed',
      pace: 'quick',
    },
    refund: {
      title: 'Refund part of a payment by its original route, or by the one finance chose after that failed',
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
      kind: 'effect',
      repeat: 'keyed',
      // It is submitted only; what the gateway and the bank make of it comes as `refundState`.
      pace: 'quick',
    },
    redLetter: {
      title: 'Issue a red-letter invoice (红字发票) for part of an invoiced order',
      args: z.object({ caseRef: caseRefSchema, orderId: idSchema, amount: amountSchema, reason: reasonSchema }),
      result: z.object({ redLetterNo: idSchema, invoiceNo: idSchema }),
      kind: 'effect',
      repeat: 'keyed',
      // The tax office's platform takes part in it, and takes its time.
      pace: 'slow',
    },
    paymentLink: {
      title: 'Ask the customer for money: the difference of an exchange',
      args: z.object({ caseRef: caseRefSchema, orderId: idSchema, amount: amountSchema, reason: reasonSchema }),
      result: z.object({ linkId: idSchema, url: z.url(), expiresAt: instantSchema }),
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
      undo: 'voidLink',
    },
    voidLink: { title: 'Void a payment link; refused once it was paid', args: undoArgs, result: undoResult, kind: 'effect', repeat: 'keyed', pace: 'quick' },
    goodwill: {
      title: 'Pay a customer out of goodwill, beside any payment',
      args: z.object({ caseRef: caseRefSchema, customer: idSchema, amount: amountSchema, reason: reasonSchema }),
      result: z.object({ payoutId: idSchema }),
      // Above what finance pays without a paper.
      errors: ['refused'],
      kind: 'effect',
      repeat: 'keyed',
      // Submitted only, like a refund.
      pace: 'quick',
    },
  },
  events: {
    refundState: {
      title: 'What became of a refund',
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
      title: 'What became of a payment link',
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
