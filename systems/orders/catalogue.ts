/** The project's own small shops (`catalogue/*.yaml`), as rows of the sandbox; and orders drawn from a seed in the same form (`drawn.ts`). */
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { z } from 'zod';
import type { Instant } from '../../values/instant.ts';
import { plus } from '../../values/instant.ts';
import type { Money } from '../../values/money.ts';
import { money, prorate, sum } from '../../values/money.ts';
import { tiers } from '../crm/contract.ts';
import { orderStatuses, paymentMethods, returnExceptions } from './contract.ts';
import type { ShopData, ShopOrder } from './load.ts';
import { pseudonym, shopData } from './load.ts';

const day = 24 * 3600_000;
const cny = (minor: number): Money => money(minor, 'CNY');
const fen = z.int().min(0);

const productFile = z.array(
  z.strictObject({
    shop: z.string(),
    product: z.string(),
    name: z.string(),
    category: z.string(),
    price: fen,
    exceptions: z.array(z.enum(returnExceptions)).default([]),
    variants: z.record(z.string(), z.object({ stock: z.int().min(0) }).catchall(z.string())),
  }),
);
const customerFile = z.array(
  z.strictObject({
    shop: z.string(),
    account: z.string(),
    name: z.string(),
    phone: z.string(),
    email: z.string().optional(),
    wechat: z.string().optional(),
    language: z.enum(['zh', 'en']).default('zh'),
    province: z.string(),
    city: z.string(),
    district: z.string(),
    street: z.string(),
    tier: z.enum(tiers),
    birthday: z.string().optional(),
    marketing: z.boolean(),
  }),
);
const discountFile = z.strictObject({ ref: z.string(), amount: fen, threshold: fen.optional(), lines: z.array(z.int()).optional() });
const orderFile = z.array(
  z.strictObject({
    order: z.string(),
    shop: z.string(),
    customer: z.string(),
    status: z.enum(orderStatuses),
    daysAgo: z.number().min(0),
    lines: z.array(z.strictObject({ sku: z.string(), quantity: z.int().min(1), returned: z.int().default(0) })),
    promotion: discountFile.optional(),
    coupon: discountFile.optional(),
    points: z.strictObject({ points: z.int().min(1), amount: fen }).optional(),
    freight: fen.default(0),
    returnInsured: z.boolean().default(false),
    pay: z.array(z.strictObject({ method: z.enum(paymentMethods), amount: z.union([fen, z.literal('rest')]) })).default([]),
    invoice: z.string().optional(),
  }),
);
const couponFile = z.array(z.strictObject({ template: z.string(), title: z.string(), amount: fen, threshold: fen.optional(), remaining: z.int().min(0) }));

/** The catalogue's files, parsed. */
export interface Catalogue {
  readonly products: z.output<typeof productFile>;
  readonly customers: z.output<typeof customerFile>;
  readonly orders: z.output<typeof orderFile>;
  readonly coupons: z.output<typeof couponFile>;
}
export type OrderEntry = Catalogue['orders'][number];

/** Shops whose platform tells each line's share of the discounts. */
const sharesTold = new Set(['mingxi']);

const read = async <Z extends z.ZodType>(name: string, schema: Z): Promise<z.output<Z>> =>
  schema.parse(parse(await readFile(new URL(`catalogue/${name}.yaml`, import.meta.url), 'utf8')));

/** Each discount spread over the lines it is for, by their list totals; the shares of a line added up. */
function discountShares(lines: readonly { readonly listTotal: Money }[], discounts: ShopOrder['discounts']): number[] {
  const shares = lines.map(() => 0);
  for (const { amount, lines: only } of discounts) {
    const weights = lines.map((line, index) => (only === undefined || only.includes(index + 1) ? line.listTotal.minor : 0));
    prorate(amount.minor, weights).forEach((part, index) => (shares[index] = (shares[index] ?? 0) + part));
  }
  return shares;
}

type Products = ReadonlyMap<string, z.output<typeof productFile>[number]>;

function orderOf(entry: OrderEntry, products: Products, addresses: ReadonlyMap<string, ShopOrder['address']>, asOf: Instant): ShopOrder {
  const { order: orderId, shop, status, promotion, coupon, points, freight } = entry;
  const address = addresses.get(`${shop}/${entry.customer}`);
  if (!address) throw new Error(`order ${orderId}: no customer ${entry.customer} in ${shop}`);
  const bare = entry.lines.map(({ sku, quantity, returned }, index) => {
    const product = products.get(sku);
    if (product?.shop !== shop) throw new Error(`order ${orderId}: ${shop} has no ${sku}`);
    const { product: productId, name, category, price, exceptions } = product;
    return { line: index + 1, sku, productId, name, category, quantity, unitPrice: cny(price), listTotal: cny(price * quantity), returned, exceptions };
  });
  const discount = (kind: 'promotion' | 'coupon', of: z.output<typeof discountFile>) => ({
    kind,
    ref: of.ref,
    amount: cny(of.amount),
    ...(of.threshold === undefined ? {} : { threshold: cny(of.threshold) }),
    ...(of.lines ? { lines: of.lines } : {}),
  });
  const discounts: ShopOrder['discounts'] = [
    ...(promotion ? [discount('promotion', promotion)] : []),
    ...(coupon ? [discount('coupon', coupon)] : []),
    ...(points ? [{ kind: 'points' as const, points: points.points, amount: cny(points.amount) }] : []),
  ];
  const shares = discountShares(bare, discounts);
  const lines = sharesTold.has(shop) ? bare.map((line, index) => ({ ...line, discountShare: cny(shares[index] ?? 0) })) : bare;
  const total = cny(
    sum(
      bare.map((line) => line.listTotal),
      'CNY',
    ).minor -
      sum(
        discounts.map(({ amount }) => amount),
        'CNY',
      ).minor +
      freight,
  );
  // Units that came back were refunded then, from the payments in their order.
  let refunded =
    status === 'cancelled'
      ? total.minor
      : lines.reduce((amount, line, index) => amount + Math.floor(((line.listTotal.minor - (shares[index] ?? 0)) * line.returned) / line.quantity), 0);
  const known = entry.pay.reduce((amount, part) => amount + (part.amount === 'rest' ? 0 : part.amount), 0);
  const at = plus(asOf, -Math.round(entry.daysAgo * day));
  const delivered = status === 'delivered';
  // Two days on the road, and a minute from the order to the payment.
  const paidAt = delivered ? plus(at, -2 * day) : at;
  const payments = entry.pay.map((part, index) => {
    const amount = part.amount === 'rest' ? total.minor - known : part.amount;
    const back = Math.min(amount, refunded);
    refunded -= back;
    return { paymentId: `${orderId}-p${index + 1}`, method: part.method, amount: cny(amount), refunded: cny(back), paidAt };
  });
  return {
    orderId,
    shop,
    customer: pseudonym(shop, entry.customer),
    currency: 'CNY',
    status,
    placedAt: plus(paidAt, -60_000),
    ...(payments.length > 0 ? { paidAt } : {}),
    ...(delivered ? { signedAt: at } : {}),
    lines,
    discounts,
    freight: { paid: cny(freight), returnInsured: entry.returnInsured },
    total,
    ...(entry.invoice === undefined ? {} : { invoice: { invoiceNo: `FP-${orderId}`, title: entry.invoice, amount: total, issuedAt: paidAt } }),
    trackingNos: status === 'delivered' || status === 'shipped' ? [`YT-${orderId}`] : [],
    address,
    payments,
  };
}

export async function readCatalogue(): Promise<Catalogue> {
  const [products, customers, orders, coupons] = await Promise.all([
    read('products', productFile),
    read('customers', customerFile),
    read('orders', orderFile),
    read('coupons', couponFile),
  ]);
  return { products, customers, orders, coupons };
}

/** A catalogue as a shop's rows, as of a day: the same day gives the same rows. */
export function shopOf(source: string, { products: productEntries, customers, orders, coupons }: Catalogue, asOf: Instant): ShopData {
  const products = new Map(productEntries.flatMap((product) => Object.keys(product.variants).map((sku) => [sku, product])));
  const addressOf = ({ province, city, district, street }: Catalogue['customers'][number]) => ({ country: '中国', province, city, district, street });
  const addresses = new Map(customers.map((customer) => [`${customer.shop}/${customer.account}`, addressOf(customer)]));
  return shopData.parse({
    source,
    customers: customers.map((customer) => {
      const { shop, account, name, phone, email, wechat, language, tier, birthday, marketing } = customer;
      return {
        customer: pseudonym(shop, account),
        shop,
        account,
        reach: { name, phone, email, wechat, language },
        address: addressOf(customer),
        tier,
        birthday,
        marketing,
      };
    }),
    products: productEntries.flatMap(({ shop, product, name, category, price, exceptions, variants }) =>
      Object.entries(variants).map(([sku, { stock, ...options }]) => ({
        sku,
        productId: product,
        shop,
        name,
        category,
        options,
        price: cny(price),
        exceptions,
        onHand: stock,
      })),
    ),
    orders: orders.map((entry) => orderOf(entry, products, addresses, asOf)),
    templates: coupons.map(({ template, title, amount, threshold, remaining }) => ({
      template,
      title,
      amount: cny(amount),
      ...(threshold === undefined ? {} : { threshold: cny(threshold) }),
      remaining,
    })),
  });
}

/** The shops as they come with the project. */
export const ownShops = async (asOf: Instant): Promise<ShopData> => shopOf('own', await readCatalogue(), asOf);
