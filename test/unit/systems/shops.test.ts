import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { instant } from '../../../values/instant.ts';
import { ownShops } from '../../../systems/orders/catalogue.ts';
import type { ShopOrder } from '../../../systems/orders/load.ts';
import { checkOrder, pseudonym } from '../../../systems/orders/load.ts';
import { cents } from '../../../systems/orders/tau-retail.ts';
import { drawsFrom, Faults, faultsSchema } from '../../../systems/sandbox/faults.ts';

const asOf = instant(Date.UTC(2026, 10, 23));

describe('the own shops', () => {
  test('add up, to the 分', async () => {
    const { orders } = await ownShops(asOf);
    expect(orders.length).toBeGreaterThanOrEqual(60);
    for (const order of orders) expect(() => checkOrder(order)).not.toThrow();
  });

  test('have what returns are about: every exception, discount, payment method and status; freight, invoices, split payments, told and untold shares', async () => {
    const { orders, products } = await ownShops(asOf);
    const seen = {
      shops: new Set(orders.map((order) => order.shop)),
      statuses: new Set(orders.map((order) => order.status)),
      exceptions: new Set(orders.flatMap((order) => order.lines.flatMap((line) => line.exceptions))),
      discounts: new Set(orders.flatMap((order) => order.discounts.map((discount) => discount.kind))),
      methods: new Set(orders.flatMap((order) => order.payments.map((payment) => payment.method))),
    };
    expect(seen.shops.size).toBe(3);
    expect(seen.statuses).toEqual(new Set(['unpaid', 'paid', 'shipped', 'delivered', 'cancelled']));
    expect(seen.exceptions).toEqual(new Set(['customMade', 'perishable', 'digital', 'periodical', 'confirmedAtPurchase']));
    expect(seen.discounts).toEqual(new Set(['promotion', 'coupon', 'points']));
    expect(seen.methods).toEqual(new Set(['card', 'wallet', 'giftCard']));
    const some = (what: (order: ShopOrder) => boolean): boolean => orders.some(what);
    expect(some((order) => order.payments.length === 3)).toBe(true);
    expect(some((order) => order.freight.paid.minor > 0 && order.discounts.length === 3)).toBe(true);
    expect(some((order) => order.invoice !== undefined && order.payments.length > 1)).toBe(true);
    expect(some((order) => order.lines.some((line) => line.returned > 0))).toBe(true);
    expect(some((order) => new Set(order.lines.map((line) => line.sku)).size < order.lines.length)).toBe(true);
    expect(some((order) => order.discounts.length > 0 && order.lines.every((line) => line.discountShare === undefined))).toBe(true);
    expect(products.some((product) => product.onHand === 0)).toBe(true);
  });

  test('are the same for the same day, and move with it', async () => {
    expect(await ownShops(asOf)).toEqual(await ownShops(asOf));
    const [first] = (await ownShops(asOf)).orders;
    const [next] = (await ownShops(instant(Date.UTC(2026, 10, 24)))).orders;
    expect(Date.parse(next?.signedAt ?? '') - Date.parse(first?.signedAt ?? '')).toBe(24 * 3600_000);
  });

  test('an order that does not add up is refused with its number', async () => {
    const [order] = (await ownShops(asOf)).orders;
    if (!order) throw new Error('no order');
    const cny = (minor: number) => ({ minor, currency: 'CNY' });
    const broken: Partial<ShopOrder>[] = [
      { total: cny(order.total.minor + 1) },
      { freight: { ...order.freight, paid: cny(1) } },
      { discounts: [{ kind: 'coupon', ref: 'x', amount: cny(1) }] },
      { payments: order.payments.map((payment) => ({ ...payment, amount: cny(payment.amount.minor - 1) })) },
      { payments: order.payments.map((payment) => ({ ...payment, refunded: cny(payment.amount.minor + 1) })) },
      { lines: order.lines.map((line) => ({ ...line, quantity: line.quantity + 1 })) },
      { lines: order.lines.map((line) => ({ ...line, line: line.line + 1 })) },
      { status: 'shipped' },
      { payments: [] },
    ];
    for (const change of broken) expect(() => checkOrder({ ...order, ...change })).toThrow(order.orderId);
  });
});

describe('amounts of another source', () => {
  test('every number of cents comes back from its decimal form, where × 100 would be off', () => {
    expect(1.15 * 100).not.toBe(115);
    expect(cents(1.15)).toEqual({ minor: 115, currency: 'USD' });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 10 ** 11 }),
        (minor) => cents(Number(`${Math.floor(minor / 100)}.${String(minor % 100).padStart(2, '0')}`)).minor === minor,
      ),
    );
  });

  test('what is no whole number of cents is refused', () => {
    for (const bad of [1.005, -1, 1e-7, 1e21, Number.NaN, Number.POSITIVE_INFINITY]) expect(() => cents(bad)).toThrow(RangeError);
  });
});

test('a customer has another pseudonym in every shop, which says nothing of the account', () => {
  expect(pseudonym('mingxi', 'lin-xiaoyu')).toMatch(/^c_[0-9a-f]{20}$/);
  expect(pseudonym('mingxi', 'lin-xiaoyu')).toBe(pseudonym('mingxi', 'lin-xiaoyu'));
  expect(pseudonym('mingxi', 'lin-xiaoyu')).not.toBe(pseudonym('qingfan', 'lin-xiaoyu'));
});

describe('faults', () => {
  test('the same seed draws the same fates, another seed others', () => {
    const draws = (seed: number): number[] => Array.from({ length: 50 }, drawsFrom(seed));
    expect(draws(1)).toEqual(draws(1));
    expect(draws(1)).not.toEqual(draws(2));
    expect(draws(1).every((draw) => draw >= 0 && draw < 1)).toBe(true);
  });

  test('strike at their rate', () => {
    const faults = new Faults(faultsSchema.parse({ errorRate: 0.3, seed: 5 }));
    const struck = Array.from({ length: 2000 }, () => faults.strikes('errorRate')).filter(Boolean).length;
    expect(struck).toBeGreaterThan(500);
    expect(struck).toBeLessThan(700);
    expect(faults.strikes('loseAnswerAfterCommit')).toBe(false);
  });
});
