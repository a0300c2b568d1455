/** 退换货(+质检): what starts a return, who decides, what the world reports, and how it ends. */
import { z } from 'zod';
import { returnReasons } from '../../values/goods.ts';
import { freeText, instantSchema, moneySchema, parcelSchema as parcel, typedTrackingNo, unitsOnce } from '../../values/schemas.ts';
import { defineProcess } from '../kit/declare.ts';

const id = z.string().min(1).max(200);
const line = z.int().min(1).meta({ description: 'Position in the order, from 1' });
const reason = z.enum(returnReasons);
/** 退款、换货、补发. */
const wish = z.enum(['refund', 'exchange', 'reissue']);
/** 退货退款、仅退款、换货、补发. With `refundOnly` and `reissue` the goods stay with the customer (旧的您不用寄回). */
const remedy = z.enum(['refund', 'refundOnly', 'exchange', 'reissue']);
/** An uploaded photo or video: a reference into the store of evidence, never the file. */
const evidence = z.array(id).max(20);
/** 照片、视频、订单号. */
const evidenceKind = z.enum(['photo', 'video', 'orderNumber']);
const refusal = z.enum(['pastWindow', 'excepted', 'noEvidence', 'notAsDescribed', 'usedOrDamaged', 'alreadyReturned', 'abuse', 'other']);

const disposition = z.enum(['restock', 'refurbish', 'scrap']).meta({ description: 'A rejected unit has none: it goes back to the customer' });
/** What inspection found to be the cause: counted, and who pays freight follows from the reason that the review established. */
const cause = z.enum(['none', 'manufacturing', 'wrongItemSent', 'transport', 'customer']);
const accepted = z.strictObject({ verdict: z.literal('accept'), disposition, cause });
const rejected = z.strictObject({ verdict: z.literal('reject'), cause });
/** A parcel that a carrier has brought to an end without us. */
const lostWays = ['refused', 'returned', 'lost'] as const;
/** A parcel that has left our house. */
const underWay = ['pickedUp', 'inTransit', 'outForDelivery', 'delivered'] as const;

export const returnExchange = defineProcess({
  name: 'return-exchange',
  title: { zh: '退换货', en: 'Return or exchange' },
  input: z.strictObject({
    shop: id,
    customer: id.meta({ description: "The shop's pseudonym of the customer: no name, no account" }),
    orderId: id,
    requestId: id.meta({ description: "The caller's id of this request: the same order and id are the same case" }),
    requestedAt: instantSchema,
    lines: z
      .array(
        z.strictObject({
          line,
          quantity: z.int().min(1).max(10_000),
          opened: z.boolean().default(false).meta({ description: "The goods' own seal is broken; opening the parcel does not count" }),
          replacement: id.optional().meta({ description: 'The sku that the customer wants instead; absent: the same goods' }),
        }),
      )
      .min(1)
      .max(200)
      .refine((lines) => new Set(lines.map((l) => l.line)).size === lines.length, 'each line once'),
    reason,
    wish,
    evidence: evidence.default([]),
    received: parcel.optional().meta({ description: 'The goods are here already: a parcel that came late, or that nobody had asked about' }),
    description: freeText(),
  }),
  key: (input: { orderId: string; requestId: string }) => [input.orderId, input.requestId],
  subject: (input: { shop: string; customer: string; orderId: string }) => ({ shop: input.shop, customer: input.customer, order: input.orderId }),
  stages: ['review', 'parcel', 'inspection', 'settlement'],
  tasks: {
    review: {
      title: { zh: '审核退换货申请', en: 'Review the request' },
      stage: 'review',
      role: 'agent',
      form: z.discriminatedUnion('decision', [
        z.strictObject({
          decision: z.literal('approve'),
          reason: reason.meta({ description: 'As the review established it: who pays the freight follows from it' }),
          remedy,
          note: freeText(),
        }),
        z.strictObject({ decision: z.literal('reject'), reason: refusal, note: freeText() }),
        z.strictObject({ decision: z.literal('moreEvidence'), what: z.array(evidenceKind).min(1).max(3), note: freeText() }),
      ]),
    },
    receiptProblem: {
      title: { zh: '核对异常包裹', en: 'Look into a parcel that does not match' },
      stage: 'inspection',
      role: 'warehouse',
      form: z.strictObject({
        units: z
          .array(z.strictObject({ unitId: id, line }))
          .max(200)
          .refine(unitsOnce, 'each unit once')
          .meta({ description: 'Units that belong to the return, each with its order line; all others go back to the customer' }),
        note: freeText(),
      }),
    },
    parcelTrouble: {
      title: { zh: '处理寄回途中出问题的包裹', en: 'See to a parcel that did not reach us' },
      stage: 'parcel',
      role: 'agent',
      form: z.strictObject({
        decision: z.enum(['newLabel', 'wait', 'asReceived', 'end']).meta({
          description: 'Another label; wait for it all the same; refund what it held, because the loss is ours; or end here with what has come',
        }),
        note: freeText(),
      }),
    },
    inspect: {
      title: { zh: '逐件质检', en: 'Inspect each unit' },
      stage: 'inspection',
      role: 'quality',
      form: z.strictObject({
        units: z
          .array(
            z.discriminatedUnion('verdict', [
              accepted.extend({ unitId: id }),
              rejected.extend({ unitId: id }),
              z.strictObject({ verdict: z.literal('unsure'), unitId: id }),
            ]),
          )
          .max(200)
          .refine(unitsOnce, 'each unit once')
          .meta({ description: 'A unit that is left out counts as unsure: a supervisor decides' }),
        note: freeText(),
      }),
    },
    ruleUnit: {
      title: { zh: '裁定存疑商品', en: 'Rule on a unit that inspection was unsure of' },
      stage: 'inspection',
      role: 'supervisor',
      form: z.discriminatedUnion('verdict', [accepted.extend({ note: freeText() }), rejected.extend({ note: freeText() })]),
    },
    approveRefund: {
      title: { zh: '审批退款', en: 'Approve a refund above the limit' },
      stage: 'settlement',
      form: z.discriminatedUnion('decision', [
        z.strictObject({ decision: z.literal('approve'), note: freeText() }),
        z.strictObject({ decision: z.literal('refuse'), note: freeText() }),
      ]),
      notBy: ['review'],
    },
    choose: {
      title: { zh: '选择处理方式', en: 'Choose what happens instead' },
      stage: 'inspection',
      role: 'customer',
      form: z.strictObject({ choice: z.enum(['refund', 'again']).meta({ description: 'The money instead; or we look for the goods once more' }) }),
    },
    otherRoute: {
      title: { zh: '退款原路失败，另选途径', en: 'Find another route for a refund that failed' },
      stage: 'settlement',
      role: 'finance',
      form: z.strictObject({
        via: z
          .enum(['original', 'transfer', 'none'])
          .meta({ description: 'Try the original route again, transfer to a bank account, or nothing is left to refund here' }),
        note: freeText(),
      }),
    },
  },
  events: {
    evidenceAdded: { title: { zh: '补充凭证', en: 'Evidence added' }, payload: z.strictObject({ files: evidence.min(1) }), afterEnd: 'note' },
    ownCourier: {
      title: { zh: '客户自行寄回', en: 'Sent by a courier of the customer' },
      payload: z.strictObject({ trackingNo: typedTrackingNo, freight: moneySchema.optional().meta({ description: 'What the customer paid the courier' }) }),
      early: true,
      byCustomer: ['parcel'],
      afterEnd: 'note',
    },
    parcelReceived: {
      title: { zh: '仓库收货', en: 'Parcel received' },
      from: 'warehouse.parcelReceived',
      payload: parcel,
      afterEnd: 'start:late-parcel',
      unclaimed: 'start:late-parcel',
    },
    parcelFailed: {
      title: { zh: '寄回包裹被拒收、退回或丢失', en: 'The parcel to us was refused, returned or lost' },
      from: 'logistics.tracking',
      states: lostWays,
      payload: z.object({ trackingNo: id, state: z.enum(lostWays), at: instantSchema }),
      afterEnd: 'note',
    },
    shipped: {
      title: { zh: '新商品已揽收', en: 'The new goods have left' },
      from: 'logistics.tracking',
      states: underWay,
      payload: z.object({ trackingNo: id, state: z.enum(underWay), at: instantSchema }),
      afterEnd: 'note',
    },
    refundState: {
      title: { zh: '退款状态', en: 'State of a refund' },
      from: 'finance.refundState',
      payload: z.object({ refundId: id, state: z.enum(['accepted', 'arrived', 'failed']), at: instantSchema }),
      afterEnd: 'note',
    },
    paymentState: {
      title: { zh: '补差价支付状态', en: 'State of a payment link' },
      from: 'finance.paymentState',
      payload: z.object({ linkId: id, state: z.enum(['expired', 'paid']), at: instantSchema, paymentId: id.optional() }),
      afterEnd: 'note',
    },
    closedByPlatform: {
      title: { zh: '平台介入处理', en: 'Decided by the platform' },
      payload: z.strictObject({ how: z.enum(['merchantOverdue', 'refunded', 'closed']) }),
      ends: true,
      afterEnd: 'note',
    },
  },
  evidence: 'evidenceAdded',
  clocks: { handle: 'T10', arrival: 'T11', refundDue: 'L1', ship: 'T14' },
  windows: ['evidence', 'parcelSent', 'restOfGoods', 'customerChoice', 'payDifference'],
  messages: [
    'received',
    'evidenceAsked',
    'rejected',
    'sendGoods',
    'courierNoted',
    'courierUnclear',
    'parcelArrived',
    'restAwaited',
    'parcelLost',
    'goodsStay',
    'inspected',
    'goodsGoingBack',
    'refundApproved',
    'refundSubmitted',
    'refundAccepted',
    'refundArrived',
    'refundFailed',
    'freightPaid',
    'freightOwed',
    'expired',
    'withdrawnWithGoods',
    'withdrawn',
    'platformDecided',
    'replacementGone',
    'differenceDue',
    'moneyInstead',
    'replacementSent',
    'replacementLeft',
    'invoiceCorrected',
    'couponsBack',
    'couponsOwed',
    'thanks',
  ],
  outcome: z.discriminatedUnion('result', [
    z.object({ result: z.literal('refunded'), amount: moneySchema }),
    z.object({ result: z.literal('exchanged'), paid: moneySchema, refunded: moneySchema }),
    z.object({ result: z.literal('reissued') }),
    z.object({
      result: z.literal('rejected'),
      reason: z.union([refusal, z.enum(['unknownOrder', 'unknownLine', 'emptyParcel', 'inspection', 'notApproved'])]),
    }),
    z.object({ result: z.literal('expired') }),
    z.object({ result: z.literal('closedByPlatform'), how: z.string() }),
  ]),
});
export type ReturnExchange = typeof returnExchange;
export type Reason = z.output<typeof reason>;
export type Remedy = z.output<typeof remedy>;
export type Parcel = z.output<typeof parcel>;
export type Unit = Parcel['units'][number];
export type End = z.output<ReturnExchange['outcome']>;
export type Rejection = Extract<End, { result: 'rejected' }>['reason'];
