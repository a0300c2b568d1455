import { beforeAll, describe, expect, test } from '@jest/globals';
import { drawnShop } from '../../systems/orders/drawn.ts';
import { checkOrder, type ShopData } from '../../systems/orders/load.ts';
import type { Instant } from '../../values/instant.ts';

const asOf = '2026-11-23T03:00:00.000Z' as Instant;
let shop: ShopData;
beforeAll(async () => {
  shop = await drawnShop({ seed: 1, orders: 500, asOf });
});

describe('orders drawn from a seed', () => {
  test('add up, are delivered, and belong to customers and goods that are there', () => {
    const customers = new Set(shop.customers.map((customer) => customer.customer));
    const goods = new Map(shop.products.map((product) => [product.sku, product.shop]));
    expect(new Set(shop.orders.map((order) => order.orderId)).size).toBe(500);
    for (const order of shop.orders) {
      checkOrder(order);
      expect(order.status).toBe('delivered');
      expect(order.total.minor).toBeGreaterThan(0);
      for (const payment of order.payments) expect(payment.amount.minor).toBeGreaterThan(0);
      expect(customers).toContain(order.customer);
      for (const line of order.lines) expect(goods.get(line.sku)).toBe(order.shop);
    }
  });

  test('have everything that orders have: lines, quantities, discounts of every kind, freight, several payments, invoices', () => {
    const often = (what: (order: ShopData['orders'][number]) => boolean): number => shop.orders.filter(what).length;
    for (const kind of ['promotion', 'coupon', 'points'])
      expect(often((order) => order.discounts.some((discount) => discount.kind === kind))).toBeGreaterThan(50);
    for (const count of [1, 2, 3, 4, 5]) expect(often((order) => order.lines.length === count)).toBeGreaterThan(10);
    for (const count of [1, 2, 3, 4]) expect(often((order) => order.lines.some((line) => line.quantity === count))).toBeGreaterThan(10);
    for (const count of [1, 2, 3]) expect(often((order) => order.payments.length === count)).toBeGreaterThan(20);
    expect(often((order) => order.freight.paid.minor > 0)).toBeGreaterThan(100);
    expect(often((order) => order.freight.returnInsured)).toBeGreaterThan(20);
    expect(often((order) => order.invoice !== undefined)).toBeGreaterThan(50);
    expect(often((order) => order.lines.some((line) => line.returned > 0))).toBeGreaterThan(5);
  });

  test('are the same for the same seed, however many are drawn, and others for another seed', async () => {
    const fewer = await drawnShop({ seed: 1, orders: 20, asOf });
    expect(fewer.orders).toEqual(shop.orders.slice(0, 20));
    const other = await drawnShop({ seed: 2, orders: 20, asOf });
    const bare = (data: ShopData) => data.orders.map(({ lines, total }) => ({ lines, total }));
    expect(bare(other)).not.toEqual(bare(fewer));
    expect(other.orders.some((order) => shop.orders.some((known) => known.orderId === order.orderId))).toBe(false);
  });
});
