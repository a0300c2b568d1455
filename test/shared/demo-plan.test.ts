import { resolve } from 'node:path';
import { expect, test } from '@jest/globals';
import { branches } from '../../cli/demo/branches.ts';
import { notInData, planReturns } from '../../cli/demo/plan.ts';
import { loadPolicy } from '../../policies/load.ts';
import { policyFor } from '../../policies/lookup.ts';
import { orders as ordersContract } from '../../systems/orders/contract.ts';
import { fromTauRetail, readTauRetail } from '../../systems/orders/tau-retail.ts';
import type { Instant } from '../../values/instant.ts';

test('the 373 delivered orders of tau-retail go every branch at least 5 times by seed 2, but what they do not know', async () => {
  const files = await readTauRetail(resolve(import.meta.dirname, '../../../shared/data/tau-retail'));
  const shop = fromTauRetail(files, { seed: 2, asOf: '2026-11-23T00:00:00.000Z' as Instant });
  const { policy } = loadPolicy('policies/demo.yaml');
  const orders = shop.orders
    .filter((order) => order.status === 'delivered')
    .map(({ address, payments, ...order }) =>
      ordersContract.operations.facts.facts.of({
        ...order,
        payments: payments.map(({ paymentId, method, amount, refunded }) => ({ paymentId, method, amount, refunded })),
        buyer: { account: 'a', reach: { name: 'n', language: 'en' }, address },
      }),
    )
    .toSorted((a, b) => (a.orderId < b.orderId ? -1 : 1));
  const world = {
    goods: shop.products.map(({ sku, shop: of, price, onHand }) => ({ sku, shop: of, price, stock: onHand })),
    policyOf: (of: string) => policyFor(policy, of),
  };
  expect(orders).toHaveLength(373);
  // It has no coupons or points, and every order was paid at once.
  expect([...notInData(orders, world).keys()]).toEqual(['severalPayments', 'couponsOrPointsBack']);
  const plans = planReturns(2, orders, world);
  const seldom = branches
    .map((branch) => [branch, plans.filter((plan) => plan.branches.includes(branch)).length] as const)
    .filter(([branch, times]) => times < 5 && !notInData(orders, world).has(branch));
  expect(seldom).toEqual([]);
}, 120_000);
