import { z } from 'zod';
import { instant } from '../../values/instant.ts';
import { businessError, defineSandbox, Refusal, routesOf } from '../sandbox/define.ts';
import type { Sql } from '../sandbox/database.ts';
import { idSchema } from '../contract.ts';
import type { OrderRecord } from './contract.ts';
import { orders, orderStatuses } from './contract.ts';
import { importBody, importSource } from './import.ts';
import { loadCounts } from './load.ts';

const tables = `
create table if not exists sandbox.customers (
  customer text primary key,
  shop text not null,
  account text not null,
  reach jsonb not null,
  address jsonb not null,
  tier text not null,
  birthday text,
  marketing boolean not null
);
create table if not exists sandbox.products (
  sku text primary key,
  product_id text not null,
  shop text not null,
  name text not null,
  category text not null,
  options jsonb not null,
  price bigint not null check (price > 0),
  currency text not null,
  exceptions text[] not null
);
create index if not exists products_of on sandbox.products (product_id);
create table if not exists sandbox.orders (
  order_id text collate "C" primary key,
  source text not null,
  shop text not null,
  customer text not null references sandbox.customers,
  status text not null,
  -- The rest of the record, but for what finance and the customer's row hold.
  record jsonb not null,
  address jsonb not null
);
create index if not exists orders_of on sandbox.orders (customer);
`;

interface OrderRow {
  readonly record: Omit<OrderRecord, 'payments' | 'buyer' | 'customer' | 'status'>;
  readonly status: OrderRecord['status'];
  readonly customer: string;
  readonly account: string;
  readonly reach: OrderRecord['buyer']['reach'];
  readonly address: OrderRecord['buyer']['address'];
  readonly payments: readonly { paymentId: string; method: OrderRecord['payments'][number]['method']; amount: number; refunded: number; currency: string }[];
}

const selectOrders = `
  select o.record, o.status, o.customer, o.address, c.account, c.reach,
         coalesce((select jsonb_agg(jsonb_build_object('paymentId', p.payment_id, 'method', p.method, 'amount', p.amount, 'refunded', p.refunded, 'currency', p.currency) order by p.seq)
                     from sandbox.payments p where p.order_id = o.order_id), '[]') as payments
    from sandbox.orders o join sandbox.customers c using (customer)`;

const recordOf = ({ record, status, customer, account, reach, address, payments }: OrderRow): OrderRecord => ({
  ...record,
  customer,
  status,
  payments: payments.map(({ paymentId, method, amount, refunded, currency }) => ({
    paymentId,
    method,
    amount: { minor: amount, currency },
    refunded: { minor: refunded, currency },
  })),
  buyer: { account, reach, address },
});

/** Throws Refusal when the shop has no such order: for effects of the other systems, which refuse what is impossible. */
export async function requireOrder(sql: Sql, orderId: string): Promise<OrderRow['record'] & { readonly customer: string }> {
  // Locked: what an order allows is counted one effect after the other.
  const { rows } = await sql.query<{ record: OrderRow['record']; customer: string }>(
    'select record, customer from sandbox.orders where order_id = $1 for update',
    [orderId],
  );
  const row = rows[0];
  if (!row) throw new Refusal('unknownOrder', `There is no order ${orderId}`);
  return { ...row.record, customer: row.customer };
}

const productRow = z.object({
  sku: z.string(),
  productId: z.string(),
  shop: z.string(),
  name: z.string(),
  category: z.string(),
  options: z.record(z.string(), z.string()),
  price: z.object({ minor: z.int(), currency: z.string() }),
  available: z.int(),
});

const route = routesOf<typeof orders>();

export const ordersSandbox = defineSandbox({
  contract: orders,
  tables,
  operations: {
    facts: async ({ orderId }, { sql }) => {
      const { rows } = await sql.query<OrderRow>(`${selectOrders} where o.order_id = $1`, [orderId]);
      if (!rows[0]) throw businessError(orders, 'facts', 'unknownOrder', `There is no order ${orderId}`);
      return recordOf(rows[0]);
    },
    prices: async ({ shop, skus }, { sql }) => {
      const { rows } = await sql.query<{ sku: string; price: number; currency: string }>(
        'select sku, price, currency from sandbox.products where shop = $1 and sku = any($2) order by sku',
        [shop, skus],
      );
      return { prices: rows.map(({ sku, price, currency }) => ({ sku, unitPrice: { minor: price, currency } })) };
    },
    contact: async (args, { sql }) => {
      const byOrder = 'orderId' in args;
      const { rows } = await sql.query<{ customer: string; reach: OrderRow['reach'] }>(
        byOrder
          ? 'select customer, reach from sandbox.customers join sandbox.orders using (customer) where order_id = $1'
          : 'select customer, reach from sandbox.customers where customer = $1',
        [byOrder ? args.orderId : args.customer],
      );
      if (!rows[0]) throw businessError(orders, 'contact', byOrder ? 'unknownOrder' : 'unknownCustomer', 'Nobody to reach');
      return rows[0];
    },
  },
  undo: {},
  routes: [
    route({
      method: 'get',
      path: 'acts/orders',
      title: 'Orders without personal data, by id: what a demo acts on',
      query: z.object({
        source: z.string().max(100).optional(),
        shop: z.string().max(100).optional(),
        status: z.enum(orderStatuses).optional(),
        after: z.string().max(200).default('').meta({ description: 'The last orderId of the page before' }),
        limit: z.coerce.number().int().min(1).max(500).default(100),
      }),
      result: z.object({ orders: z.array(z.unknown()) }),
      run: async ({ query }, { sql }) => {
        const { rows } = await sql.query<OrderRow>(
          `${selectOrders} where ($1::text is null or o.source = $1) and ($2::text is null or o.shop = $2) and ($3::text is null or o.status = $3) and o.order_id > $4
            order by o.order_id limit $5`,
          [query.source ?? null, query.shop ?? null, query.status ?? null, query.after, query.limit],
        );
        return { orders: rows.map((row) => orders.operations.facts.facts.of(recordOf(row))) };
      },
    }),
    route({
      method: 'get',
      path: 'acts/products',
      title: 'Products and what is available of them',
      query: z.object({
        productId: idSchema.optional(),
        shop: z.string().max(100).optional(),
        after: z.string().max(200).default('').meta({ description: 'The last sku of the page before' }),
        limit: z.coerce.number().int().min(1).max(500).default(100),
      }),
      result: z.object({ products: z.array(productRow) }),
      run: async ({ query }, { sql }) => {
        const { rows } = await sql.query<Omit<z.input<typeof productRow>, 'price'> & { price: number; currency: string }>(
          `select sku, product_id as "productId", shop, name, category, options, price, currency, coalesce(on_hand - reserved, 0) as available
             from sandbox.products left join sandbox.stock using (sku)
            where ($1::text is null or product_id = $1) and ($2::text is null or shop = $2) and sku > $3 order by sku limit $4`,
          [query.productId ?? null, query.shop ?? null, query.after, query.limit],
        );
        return { products: rows.map(({ price, currency, ...row }) => ({ ...row, price: { minor: price, currency } })) };
      },
    }),
    route({
      method: 'post',
      path: 'import',
      title: 'Load a shop of another source; what is there already stays as it is',
      body: importBody,
      result: loadCounts,
      // The whole of tau-retail is 2.3 MB.
      limit: 8 * 1024 * 1024,
      loopback: true,
      run: ({ body }, { sql, at }) => importSource(sql, body, instant(new Date(at))),
    }),
  ],
});
