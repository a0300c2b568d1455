import { z } from 'zod';
import { instantSchema, moneySchema } from '../../values/schemas.ts';
import { defineSystem, idSchema } from '../contract.ts';

/**
 * Why goods are excepted from the return without a reason: the four kinds of the Consumer Rights Law, article 25 (made to order; fresh and perishable;
 * audio-visual, software and digital goods once opened; newspapers and periodicals), and what the customer confirmed as such at purchase.
 */
export const returnExceptions = ['customMade', 'perishable', 'digital', 'periodical', 'confirmedAtPurchase'] as const;
/** `paid` is not yet sent; `delivered` is signed for (签收). */
export const orderStatuses = ['unpaid', 'paid', 'shipped', 'delivered', 'cancelled'] as const;
/** Cards come back through the bank (T11), wallets (支付宝, 微信支付, PayPal) and gift cards at once; a transfer is what finance sends to a bank account. */
export const paymentMethods = ['card', 'wallet', 'giftCard', 'transfer'] as const;

const count = z.int().min(0);

const line = z.object({
  line: z.int().min(1).meta({ description: 'Position in the order, from 1: an order may hold the same sku on two lines' }),
  sku: idSchema,
  productId: idSchema,
  name: z.string().max(200),
  category: z.string().max(100),
  quantity: z.int().min(1),
  unitPrice: moneySchema.meta({ description: 'What one unit was sold for, before discounts on the order' }),
  listTotal: moneySchema.meta({ description: 'unitPrice × quantity' }),
  discountShare: moneySchema
    .optional()
    .meta({ description: "The line's share of the order's discounts, where the platform says it; otherwise ours to prorate" }),
  returned: count.meta({ description: 'Units that came back already' }),
  exceptions: z.array(z.enum(returnExceptions)),
});

const discount = z.object({
  kind: z.enum(['promotion', 'coupon', 'points']),
  /** The coupon's or promotion's id. */
  ref: idSchema.optional(),
  amount: moneySchema,
  points: count.optional().meta({ description: 'Points that were used for this amount' }),
  threshold: moneySchema.optional().meta({ description: '满减: the goods total from which it holds' }),
  lines: z.array(z.int().min(1)).optional().meta({ description: 'The lines it is limited to; absent: all' }),
});

const payment = z.object({
  paymentId: idSchema.meta({ description: 'Unique within the order' }),
  method: z.enum(paymentMethods),
  amount: moneySchema,
  refunded: moneySchema.meta({ description: 'Refunds submitted and not failed, by whomever' }),
});

const address = z.object({
  country: z.string().max(100),
  province: z.string().max(100),
  city: z.string().max(100),
  district: z.string().max(100).optional(),
  street: z.string().max(300),
  postcode: z.string().max(20).optional(),
});

/** How a person can be reached. Personal through and through. */
const reach = z.object({
  name: z.string().max(200),
  phone: z.string().max(30).optional(),
  email: z.string().max(200).optional(),
  wechat: z.string().max(100).optional(),
  wecom: z.string().max(100).optional(),
  push: z.string().max(200).optional().meta({ description: 'Device token of the shop app' }),
  language: z.enum(['zh', 'en']),
});

/**
 * An order as the shop platform keeps it. total = Σ listTotal − Σ discounts + freight.paid = Σ payments, all in `currency`.
 */
export const orderRecord = z.object({
  orderId: idSchema,
  shop: idSchema,
  customer: idSchema.meta({ description: "The shop's pseudonym of the customer (an open id): no name, no account" }),
  currency: z.string().regex(/^[A-Z]{3}$/),
  status: z.enum(orderStatuses),
  placedAt: instantSchema,
  paidAt: instantSchema.optional(),
  signedAt: instantSchema.optional().meta({ description: 'When the customer signed for the goods' }),
  lines: z.array(line).min(1),
  discounts: z.array(discount),
  freight: z.object({ paid: moneySchema, returnInsured: z.boolean().meta({ description: '运费险: an insurer pays the return freight' }) }),
  total: moneySchema,
  payments: z.array(payment),
  invoice: z.object({ invoiceNo: idSchema, title: z.string().max(200), amount: moneySchema, issuedAt: instantSchema }).optional(),
  trackingNos: z.array(idSchema).meta({ description: 'Parcels to the customer' }),
  buyer: z.object({ account: z.string().max(200), reach, address }).meta({ description: 'Personal data' }),
});
export type OrderRecord = z.output<typeof orderRecord>;

export const orders = defineSystem({
  name: 'orders',
  title: { zh: '订单/店铺平台', en: 'Order and shop platform' },
  operations: {
    facts: {
      title: { zh: '查询订单', en: 'Look up the order' },
      about: 'One order: goods, prices, discounts, payments, and who bought',
      done: { zh: '已查询订单 {orderId}：{status}，实付 {total}', en: 'Order {orderId} was looked up: {status}, {total} paid' },
      args: z.object({ orderId: idSchema }),
      result: orderRecord,
      errors: ['unknownOrder'],
      kind: 'read',
      repeat: 'keyed',
      // One row by its primary key.
      pace: 'quick',
      // Neither the buyer nor the invoice's title, which is a person's name as often as a company's.
      facts: {
        schema: orderRecord.omit({ buyer: true, invoice: true }).extend({ invoiced: z.boolean() }),
        of: ({ buyer: _buyer, invoice, ...order }: OrderRecord) => ({ ...order, invoiced: invoice !== undefined }),
      },
    },
    prices: {
      title: { zh: '查询售价', en: 'Look up prices' },
      about: 'What the shop asks for some goods now: what an exchange for other goods is worth',
      done: { zh: '已查询 {prices.length} 种商品的现价', en: 'Current prices of {prices.length} item(s) were looked up' },
      args: z.object({ shop: idSchema, skus: z.array(idSchema).min(1).max(200) }),
      result: z.object({
        prices: z.array(z.object({ sku: idSchema, unitPrice: moneySchema })).meta({ description: 'A sku that the shop does not sell is absent' }),
      }),
      kind: 'read',
      repeat: 'keyed',
      pace: 'quick',
    },
    contact: {
      title: { zh: '查询联系方式', en: 'Look up how to reach the customer' },
      about: 'How to reach the buyer of an order, or a customer: for senders of messages only',
      done: { zh: '已查询客户的联系方式', en: 'It was looked up how to reach the customer' },
      args: z.union([z.object({ orderId: idSchema }), z.object({ customer: idSchema })]),
      result: z.object({ customer: idSchema, reach }),
      errors: ['unknownOrder', 'unknownCustomer'],
      kind: 'read',
      repeat: 'keyed',
      pace: 'quick',
      facts: { schema: z.object({ customer: idSchema }), of: ({ customer }: { customer: string }) => ({ customer }) },
    },
  },
  words: {
    unpaid: { zh: '未付款', en: 'unpaid' },
    paid: { zh: '已付款', en: 'paid' },
    shipped: { zh: '已发货', en: 'shipped' },
    delivered: { zh: '已签收', en: 'delivered' },
    cancelled: { zh: '已取消', en: 'cancelled' },
    unknownOrder: { zh: '查不到该订单', en: 'there is no such order' },
    unknownCustomer: { zh: '查不到该客户', en: 'there is no such customer' },
  },
  events: {},
});
/** An order as a process and its rules see it. */
export type OrderFacts = ReturnType<typeof orders.operations.facts.facts.of>;
