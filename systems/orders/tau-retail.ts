/**
 * The made-up shop of tau-bench (orders.json, products.json, users.json) as rows of ours. Ids are kept; the line id is the position, since some orders
 * repeat an item; prices are turned into cents digit by digit. What the source does not say is drawn from a seed: when things were paid and signed for, how many
 * of an available variant there are, which orders were invoiced, and which have freight insurance.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Instant } from '../../values/instant.ts';
import { plus } from '../../values/instant.ts';
import type { Money } from '../../values/money.ts';
import { money, sum } from '../../values/money.ts';
import type { Pool } from '../sandbox/database.ts';
import { inTransaction } from '../sandbox/database.ts';
import type { LoadCounts, ShopData, ShopOrder } from './load.ts';
import { loadShop, pseudonym, shopData } from './load.ts';

const shop = 'tau-retail';
const day = 24 * 3600_000;

const address = z.object({ address1: z.string(), address2: z.string(), city: z.string(), country: z.string(), state: z.string(), zip: z.string() });
const options = z.record(z.string(), z.string());
const tauOrder = z.object({
  order_id: z.string(),
  user_id: z.string(),
  address,
  items: z.array(z.object({ name: z.string(), product_id: z.string(), item_id: z.string(), price: z.number(), options })).min(1),
  fulfillments: z.array(z.object({ tracking_id: z.array(z.string()), item_ids: z.array(z.string()) })),
  status: z.enum(['pending', 'processed', 'delivered', 'cancelled']),
  payment_history: z.array(z.object({ transaction_type: z.enum(['payment', 'refund']), amount: z.number(), payment_method_id: z.string() })).min(1),
});
/** The three files, parsed as JSON. */
export const tauFiles = z.object({
  orders: z.record(z.string(), tauOrder),
  products: z.record(
    z.string(),
    z.object({
      name: z.string(),
      product_id: z.string(),
      variants: z.record(z.string(), z.object({ item_id: z.string(), options, available: z.boolean(), price: z.number() })),
    }),
  ),
  users: z.record(
    z.string(),
    z.object({
      name: z.object({ first_name: z.string(), last_name: z.string() }),
      address,
      email: z.string(),
      payment_methods: z.record(z.string(), z.object({ source: z.enum(['credit_card', 'paypal', 'gift_card']) })),
    }),
  ),
});
export type TauFiles = z.output<typeof tauFiles>;

/**
 * Dollars as the JSON has them, in cents: by the digits, because 1.15 × 100 is 114.99999999999999. A number's shortest decimal form is what the file says
 * as long as it has at most two decimals; RangeError for any other.
 */
export function cents(dollars: number): Money {
  const match = /^(\d{1,12})(?:\.(\d{1,2}))?$/.exec(String(dollars));
  if (!match) throw new RangeError(`${dollars} is no amount of dollars and cents`);
  return money(Number(`${match[1] ?? ''}${(match[2] ?? '').padEnd(2, '0')}`), 'USD');
}

const methods = { credit_card: 'card', paypal: 'wallet', gift_card: 'giftCard' } as const;
const statuses = { pending: 'paid', processed: 'shipped', delivered: 'delivered', cancelled: 'cancelled' } as const;

/** A number in [0, 1) that depends on nothing but the seed and the names: the same for an order whatever else is loaded. */
const drawn = (seed: number, ...names: readonly string[]): number =>
  createHash('sha256')
    .update([seed, ...names].join('\n'))
    .digest()
    .readUInt32BE(0) /
  2 ** 32;

const addressOf = ({ address1, address2, city, country, state, zip }: z.output<typeof address>) => ({
  country,
  province: state,
  city,
  street: `${address1}, ${address2}`,
  postcode: zip,
});

const category = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');

function orderOf(order: z.output<typeof tauOrder>, users: TauFiles['users'], { seed, asOf }: { readonly seed: number; readonly asOf: Instant }): ShopOrder {
  const { order_id: orderId, user_id: account, items, status, payment_history: history } = order;
  const user = users[account];
  if (!user) throw new Error(`order ${orderId}: no user ${account}`);
  const lines = items.map(({ name, product_id: productId, item_id: sku, price }, index) => ({
    line: index + 1,
    sku,
    productId,
    name,
    category: category(name),
    quantity: 1,
    unitPrice: cents(price),
    listTotal: cents(price),
    returned: 0,
    exceptions: [],
  }));
  // Delivered goods were signed for within the last twelve days, so that most are inside the seven days of a return without a reason and some are not.
  const signedAt = plus(asOf, -Math.floor(drawn(seed, orderId, 'signed') * 12 * day));
  const placedAt = plus(status === 'pending' ? asOf : signedAt, -Math.floor((status === 'pending' ? 1 : 2 + 4 * drawn(seed, orderId, 'placed')) * day));
  const total = sum(
    lines.map((line) => line.listTotal),
    'USD',
  );
  const invoiced = drawn(seed, orderId, 'invoiced') < 0.25;
  const of = (type: 'payment' | 'refund') => history.filter((entry) => entry.transaction_type === type);
  return {
    orderId,
    shop,
    customer: pseudonym(shop, account),
    currency: 'USD',
    status: statuses[status],
    placedAt,
    paidAt: placedAt,
    ...(status === 'delivered' ? { signedAt } : {}),
    lines,
    discounts: [],
    freight: { paid: money(0, 'USD'), returnInsured: drawn(seed, orderId, 'insured') < 0.15 },
    total,
    ...(invoiced
      ? { invoice: { invoiceNo: `INV-${orderId}`, title: `${user.name.first_name} ${user.name.last_name}`, amount: total, issuedAt: placedAt } }
      : {}),
    trackingNos: order.fulfillments.flatMap((fulfillment) => fulfillment.tracking_id),
    address: addressOf(order.address),
    payments: of('payment').map(({ payment_method_id: paymentId, amount }) => {
      const source = user.payment_methods[paymentId]?.source;
      if (!source) throw new Error(`order ${orderId}: user ${account} has no payment method ${paymentId}`);
      const refunded = of('refund').filter((refund) => refund.payment_method_id === paymentId);
      return {
        paymentId,
        method: methods[source],
        amount: cents(amount),
        refunded: sum(
          refunded.map((refund) => cents(refund.amount)),
          'USD',
        ),
        paidAt: placedAt,
      };
    }),
  };
}

/** The files as a shop. `seed` and `asOf` settle what the source does not say; the same two give the same shop. */
export function fromTauRetail(files: TauFiles, options: { readonly seed: number; readonly asOf: Instant }): ShopData {
  return shopData.parse({
    source: 'tau-retail',
    customers: Object.entries(files.users).map(([account, { name, address: home, email }]) => ({
      customer: pseudonym(shop, account),
      shop,
      account,
      reach: { name: `${name.first_name} ${name.last_name}`, email, language: 'en' },
      address: addressOf(home),
      tier: 'promising',
      marketing: false,
    })),
    products: Object.values(files.products).flatMap(({ name, product_id: productId, variants }) =>
      Object.values(variants).map(({ item_id: sku, options: of, available, price }) => ({
        sku,
        productId,
        shop,
        name,
        category: category(name),
        options: of,
        price: cents(price),
        exceptions: [],
        // Few enough that reservations run out at times.
        onHand: available ? 1 + Math.floor(drawn(options.seed, sku, 'stock') * 30) : 0,
      })),
    ),
    orders: Object.values(files.orders).map((order) => orderOf(order, files.users, options)),
    templates: [],
  } satisfies ShopData);
}

/** Reads the three files of a folder; the error says which one is missing or does not fit. */
export async function readTauRetail(folder: string): Promise<TauFiles> {
  const file = async (name: string): Promise<unknown> => JSON.parse(await readFile(join(folder, name), 'utf8'));
  return tauFiles.parse({ orders: await file('orders.json'), products: await file('products.json'), users: await file('users.json') });
}

/** Loads a tau-retail folder into the sandbox. */
export async function importTauRetail(pool: Pool, folder: string, options: { readonly seed: number; readonly asOf: Instant }): Promise<LoadCounts> {
  const shopOf = fromTauRetail(await readTauRetail(folder), options);
  return inTransaction(pool, (sql) => loadShop(sql, shopOf));
}
