/** Puts a shop with its customers, goods and orders into the sandbox: the world before the first case. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { instantSchema, moneySchema } from '../../values/schemas.ts';
import { sum } from '../../values/money.ts';
import { tiers } from '../crm/contract.ts';
import { idSchema } from '../contract.ts';
import type { Sql } from '../sandbox/database.ts';
import { orderRecord, paymentMethods, returnExceptions } from './contract.ts';

const customer = z.object({
  customer: idSchema,
  shop: idSchema,
  account: z.string().max(200),
  reach: orderRecord.shape.buyer.shape.reach,
  address: orderRecord.shape.buyer.shape.address,
  tier: z.enum(tiers),
  birthday: z.iso.date().optional(),
  marketing: z.boolean(),
});

const product = z.object({
  sku: idSchema,
  productId: idSchema,
  shop: idSchema,
  name: z.string().max(200),
  category: z.string().max(100),
  options: z.record(z.string(), z.string()),
  price: moneySchema,
  exceptions: z.array(z.enum(returnExceptions)),
  onHand: z.int().min(0),
  restockAt: instantSchema.optional(),
});

const order = orderRecord.omit({ buyer: true, payments: true }).extend({
  address: orderRecord.shape.buyer.shape.address,
  payments: z.array(z.object({ paymentId: idSchema, method: z.enum(paymentMethods), amount: moneySchema, refunded: moneySchema, paidAt: instantSchema })),
});

/** A campaign that coupons are issued from. */
const template = z.object({
  template: idSchema,
  title: z.string().max(200),
  amount: moneySchema,
  threshold: moneySchema.optional(),
  remaining: z.int().min(0),
});

export const shopData = z.object({
  source: idSchema,
  customers: z.array(customer),
  products: z.array(product),
  orders: z.array(order),
  templates: z.array(template),
});
export type ShopData = z.output<typeof shopData>;
export type ShopOrder = z.output<typeof order>;

/** The pseudonym that a shop gives for an account, as platforms give an open id: stable, and different from shop to shop. */
export const pseudonym = (shop: string, account: string): string => `c_${createHash('sha256').update(`${shop}\n${account}`).digest('hex').slice(0, 20)}`;

/** Throws an Error that names the order when its amounts do not add up. */
export function checkOrder(order: ShopOrder): void {
  const { currency, lines, discounts, freight, total, payments } = order;
  const minor = (amounts: readonly { minor: number; currency: string }[]): number => sum(amounts, currency).minor;
  const wrong = (what: string): Error => new Error(`order ${order.orderId}: ${what}`);
  lines.forEach(({ line, quantity, unitPrice, listTotal }, index) => {
    if (line !== index + 1) throw wrong(`line ${line} stands at position ${index + 1}`);
    if (unitPrice.minor * quantity !== listTotal.minor) throw wrong(`line ${line} is not unit price × quantity`);
  });
  const due = minor(lines.map((line) => line.listTotal)) - minor(discounts.map((discount) => discount.amount)) + minor([freight.paid]);
  if (due !== minor([total])) throw wrong(`goods − discounts + freight is ${due}, not the total ${total.minor}`);
  const paid = minor(payments.map((payment) => payment.amount));
  if (payments.length > 0 && paid !== total.minor) throw wrong(`payments are ${paid}, not the total ${total.minor}`);
  if ((order.status === 'unpaid') !== (payments.length === 0)) throw wrong(`is ${order.status} with ${payments.length} payments`);
  if ((order.status === 'delivered') !== (order.signedAt !== undefined)) throw wrong(`is ${order.status} and ${order.signedAt ? '' : 'not '}signed for`);
  const shares = lines.flatMap((line) => (line.discountShare ? [line.discountShare] : []));
  if (shares.length > 0 && minor(shares) !== minor(discounts.map((discount) => discount.amount)))
    throw wrong('the discount shares do not add up to the discounts');
  for (const payment of payments)
    if (payment.refunded.minor > payment.amount.minor) throw wrong(`payment ${payment.paymentId} is refunded above what was paid`);
}

export const loadCounts = z.object({
  source: z.string(),
  orders: z.int(),
  customers: z.int(),
  products: z.int(),
  unavailable: z.int().meta({ description: 'Products of which nothing was in stock in the source' }),
  newOrders: z.int().meta({ description: 'Orders that were not there before' }),
});
export type LoadCounts = z.output<typeof loadCounts>;

/** Loads a shop; rows that are there already stay as they are, so a second load changes nothing. Throws when an order does not add up: nothing is loaded then. */
export async function loadShop(sql: Sql, data: ShopData): Promise<LoadCounts> {
  for (const order of data.orders) checkOrder(order);
  await sql.query(
    `insert into sandbox.customers (customer, shop, account, reach, address, tier, birthday, marketing)
     select * from jsonb_to_recordset($1::jsonb) as r(customer text, shop text, account text, reach jsonb, address jsonb, tier text, birthday text, marketing boolean)
     on conflict do nothing`,
    [JSON.stringify(data.customers)],
  );
  const products = data.products.map(({ price, ...row }) => ({ ...row, price: price.minor, currency: price.currency }));
  await sql.query(
    `insert into sandbox.products (sku, product_id, shop, name, category, options, price, currency, exceptions)
     select * from jsonb_to_recordset($1::jsonb)
       as r(sku text, "productId" text, shop text, name text, category text, options jsonb, price bigint, currency text, exceptions text[])
     on conflict do nothing`,
    [JSON.stringify(products)],
  );
  await sql.query(
    `insert into sandbox.stock (sku, on_hand, restock_at)
     select * from jsonb_to_recordset($1::jsonb) as r(sku text, "onHand" int, "restockAt" timestamptz) on conflict do nothing`,
    [JSON.stringify(products)],
  );
  const { rowCount } = await sql.query(
    `insert into sandbox.orders (order_id, source, shop, customer, status, record, address)
     select r."orderId", $2, r.shop, r.customer, r.status, r.record, r.address
       from jsonb_to_recordset($1::jsonb) as r("orderId" text, shop text, customer text, status text, record jsonb, address jsonb)
     on conflict do nothing`,
    [
      JSON.stringify(
        data.orders.map(({ address, payments: _payments, customer, status, ...record }) => ({
          orderId: record.orderId,
          shop: record.shop,
          customer,
          status,
          address,
          record,
        })),
      ),
      data.source,
    ],
  );
  const payments = data.orders.flatMap(({ orderId, payments: paid }) =>
    paid.map(({ paymentId, method, amount, refunded, paidAt }, index) => ({
      orderId,
      paymentId,
      seq: index + 1,
      method,
      currency: amount.currency,
      amount: amount.minor,
      refunded: refunded.minor,
      paidAt,
    })),
  );
  await sql.query(
    `insert into sandbox.payments (order_id, payment_id, seq, method, currency, amount, refunded, paid_at)
     select * from jsonb_to_recordset($1::jsonb)
       as r("orderId" text, "paymentId" text, seq int, method text, currency text, amount bigint, refunded bigint, "paidAt" timestamptz)
     on conflict do nothing`,
    [JSON.stringify(payments)],
  );
  await sql.query(
    `insert into sandbox.coupon_templates (template, title, amount, currency, threshold, remaining)
     select r.template, r.title, (r.amount->>'minor')::bigint, r.amount->>'currency', (r.threshold->>'minor')::bigint, r.remaining
       from jsonb_to_recordset($1::jsonb) as r(template text, title text, amount jsonb, threshold jsonb, remaining int)
     on conflict do nothing`,
    [JSON.stringify(data.templates)],
  );
  return {
    source: data.source,
    orders: data.orders.length,
    customers: data.customers.length,
    products: data.products.length,
    unavailable: data.products.filter((row) => row.onHand === 0).length,
    newOrders: rowCount ?? 0,
  };
}
