/** The made-up shop of tau-bench, as it lies beside the checkout, in the sandbox: everything there, to the cent. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { instant } from '../../values/instant.ts';
import { checkOrder } from '../../systems/orders/load.ts';
import type { TauFiles } from '../../systems/orders/tau-retail.ts';
import { fromTauRetail, importTauRetail, readTauRetail } from '../../systems/orders/tau-retail.ts';
import { connectSandbox } from '../../systems/sandbox/database.ts';
import { startSandbox } from '../../systems/server.ts';
import { freshDatabase } from '../stack/env.ts';

const folder = fileURLToPath(new URL('../../../shared/data/tau-retail', import.meta.url));
const asOf = instant(Date.UTC(2026, 10, 23));
const options = { seed: 1, asOf };

let files: TauFiles;
beforeAll(async () => {
  files = await readTauRetail(folder);
});

/** The amounts behind a field, in cents, from the text of the file: by other means than the import's. */
async function centsInText(file: string, field: string): Promise<bigint> {
  const text = await readFile(`${folder}/${file}`, 'utf8');
  let total = 0n;
  for (const [, whole = '', part = ''] of text.matchAll(new RegExp(`"${field}": (\\d+)(?:\\.(\\d+))?`, 'g'))) {
    expect(part.length).toBeLessThanOrEqual(2);
    total += BigInt(whole) * 100n + BigInt(part.padEnd(2, '0'));
  }
  return total;
}

describe('tau-retail as rows of ours', () => {
  test('has every order, user and variant under its own id, and every order adds up', () => {
    const shop = fromTauRetail(files, options);
    expect(shop.orders.map((order) => order.orderId)).toEqual(Object.keys(files.orders));
    expect(shop.customers.map((customer) => customer.account)).toEqual(Object.keys(files.users));
    expect(new Set(shop.customers.map((customer) => customer.customer)).size).toBe(500);
    expect([shop.orders.length, shop.customers.length, shop.products.length]).toEqual([1000, 500, 591]);
    expect(shop.products.filter((product) => product.onHand === 0)).toHaveLength(212);
    for (const order of shop.orders) expect(() => checkOrder(order)).not.toThrow();
  });

  test('has the totals of the source, to the cent: prices of items and variants, payments and refunds', async () => {
    const shop = fromTauRetail(files, options);
    const total = (amounts: readonly number[]): bigint => amounts.reduce((sum, minor) => sum + BigInt(minor), 0n);
    const lines = total(shop.orders.flatMap((order) => order.lines.map((line) => line.listTotal.minor)));
    const paid = total(shop.orders.flatMap((order) => order.payments.map((payment) => payment.amount.minor)));
    const refunded = total(shop.orders.flatMap((order) => order.payments.map((payment) => payment.refunded.minor)));
    expect(lines).toBe(await centsInText('orders.json', 'price'));
    expect(paid + refunded).toBe(await centsInText('orders.json', 'amount'));
    expect(paid).toBe(lines);
    expect(refunded).toBe(total(shop.orders.filter((order) => order.status === 'cancelled').map((order) => order.total.minor)));
    expect(total(shop.products.map((product) => product.price.minor))).toBe(await centsInText('products.json', 'price'));
  });

  test('keeps statuses, payment methods and repeated items; a line is a position', () => {
    const shop = fromTauRetail(files, options);
    const count = <T>(values: readonly T[]): Map<T, number> =>
      values.reduce((counts, value) => counts.set(value, (counts.get(value) ?? 0) + 1), new Map<T, number>());
    expect(Object.fromEntries(count(shop.orders.map((order) => order.status)))).toEqual({ delivered: 373, paid: 423, shipped: 102, cancelled: 102 });
    expect(Object.fromEntries(count(shop.orders.flatMap((order) => order.payments.map((payment) => payment.method))))).toEqual(
      Object.fromEntries(
        count(
          Object.values(files.orders).map(
            (order) => ({ credit: 'card', paypal: 'wallet', gift: 'giftCard' })[order.payment_history[0]?.payment_method_id.split('_')[0] ?? ''],
          ),
        ),
      ),
    );
    const repeated = shop.orders.filter((order) => new Set(order.lines.map((line) => line.sku)).size < order.lines.length);
    expect(repeated.length).toBeGreaterThanOrEqual(5);
    for (const order of repeated) expect(order.lines.map((line) => line.line)).toEqual(order.lines.map((_, index) => index + 1));
  });

  test('draws receipt dates from the seed: the same for the same seed and day, most within seven days, none in the future', () => {
    const dates = (seed: number): (string | undefined)[] => fromTauRetail(files, { seed, asOf }).orders.map((order) => order.signedAt);
    expect(dates(1)).toEqual(dates(1));
    expect(dates(1)).not.toEqual(dates(2));
    const signed = dates(1).filter((date) => date !== undefined);
    expect(signed).toHaveLength(373);
    const days = signed.map((date) => (Date.parse(asOf) - Date.parse(date)) / (24 * 3600_000));
    expect(Math.min(...days)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...days)).toBeLessThan(12);
    const within = days.filter((age) => age < 7).length;
    expect(within).toBeGreaterThan(373 / 2);
    expect(within).toBeLessThan(373);
  });
});

describe('tau-retail in the sandbox', () => {
  let databaseUrl: string;
  let sandbox: Awaited<ReturnType<typeof startSandbox>>;
  beforeAll(async () => {
    databaseUrl = await freshDatabase();
    sandbox = await startSandbox({ databaseUrl, port: 0 });
  });
  afterAll(async () => {
    await sandbox.close();
  });

  const post = async (path: string, body: unknown): Promise<{ status: number; body: Record<string, unknown> }> => {
    const response = await fetch(`${sandbox.url}/${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  test('is loaded by one call, once: a second changes nothing, not even what has happened since', async () => {
    const body = { source: 'tau-retail', seed: 1, files };
    expect(await post('orders/import', body)).toEqual({
      status: 200,
      body: { source: 'tau-retail', orders: 1000, customers: 500, products: 591, unavailable: 212, newOrders: 1000 },
    });
    const sold = Object.values(files.products)
      .flatMap((product) => Object.values(product.variants))
      .find((variant) => variant.available)?.item_id;
    const pool = connectSandbox(databaseUrl);
    await pool.query('update sandbox.stock set on_hand = 777 where sku = $1', [sold]);
    expect(await importTauRetail(pool, folder, { seed: 2, asOf })).toMatchObject({ newOrders: 0 });
    const stands = await pool.query<{ orders: number; paid: number; unavailable: number; counted: number }>(
      `select (select count(*) from sandbox.orders where source = 'tau-retail') as orders,
              (select sum(amount)::bigint from sandbox.payments join sandbox.orders using (order_id) where source = 'tau-retail') as paid,
              (select count(*) from sandbox.products join sandbox.stock using (sku) where shop = 'tau-retail' and on_hand = 0) as unavailable,
              (select on_hand from sandbox.stock where sku = $1) as counted`,
      [sold],
    );
    await pool.end();
    expect(stands.rows[0]).toEqual({ orders: 1000, paid: Number(await centsInText('orders.json', 'price')), unavailable: 212, counted: 777 });
  });

  test('every delivered order can be read as a process reads it', async () => {
    const ids: string[] = [];
    for (let after = ''; ;) {
      const page = (await (
        await fetch(`${sandbox.url}/orders/acts/orders?source=tau-retail&status=delivered&limit=500&after=${encodeURIComponent(after)}`)
      ).json()) as {
        orders: { orderId: string }[];
      };
      if (page.orders.length === 0) break;
      ids.push(...page.orders.map((order) => order.orderId));
      after = ids.at(-1) ?? '';
    }
    expect(ids.toSorted((a, b) => a.localeCompare(b))).toEqual(
      Object.values(files.orders)
        .filter((order) => order.status === 'delivered')
        .map((order) => order.order_id)
        .toSorted((a, b) => a.localeCompare(b)),
    );
    expect(await post('orders/facts', { orderId: ids[0] })).toMatchObject({
      status: 200,
      body: { orderId: ids[0], shop: 'tau-retail', currency: 'USD', status: 'delivered' },
    });
  });

  test('files that do not fit are refused by path, and nothing is loaded', async () => {
    const [id = '', order] = Object.entries(files.orders)[0] ?? [];
    const broken = { ...files, orders: { [id]: { ...order, status: 'lost' } } };
    expect(await post('orders/import', { source: 'tau-retail', files: broken })).toMatchObject({
      status: 422,
      body: { code: 'misfit', errors: [{ path: `files.orders.${id}.status` }] },
    });
  });
});
