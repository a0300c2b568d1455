import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { instant } from '../../../values/instant.ts';
import type { OperationContract, SystemContract } from '../../../systems/contract.ts';
import { undoArgs, undoResult } from '../../../systems/contract.ts';
import { crm } from '../../../systems/crm/contract.ts';
import { finance } from '../../../systems/finance/contract.ts';
import { systems } from '../../../systems/index.ts';
import { logistics, trackingStates } from '../../../systems/logistics/contract.ts';
import { openApiOf } from '../../../systems/openapi.ts';
import { ownShops } from '../../../systems/orders/catalogue.ts';
import { orders } from '../../../systems/orders/contract.ts';

const all: readonly SystemContract[] = Object.values(systems);
const operations = (system: SystemContract): [string, OperationContract][] => Object.entries(system.operations);

describe('contracts', () => {
  test('the registry names each system by its own name', () => {
    for (const [name, system] of Object.entries(systems)) expect(system.name).toBe(name);
  });

  test('every undo is an effect of the same system, with the arguments and result of an undo, and is not undone itself', () => {
    const undos = all.flatMap((system) =>
      operations(system).flatMap(([name, { undo }]) => (undo === undefined ? [] : [{ of: `${system.name}.${name}`, undo: system.operations[undo] }])),
    );
    expect(undos.map(({ of }) => of).toSorted()).toEqual([
      'coupons.giveBack',
      'coupons.issue',
      'finance.paymentLink',
      'logistics.label',
      'warehouse.dispatch',
      'warehouse.reserve',
    ]);
    for (const { undo } of undos) {
      // Slow: what it takes back is in the history before it is sent.
      expect(undo).toMatchObject({ kind: 'effect', repeat: 'keyed', pace: 'slow' });
      expect(undo?.args).toBe(undoArgs);
      expect(undo?.result).toBe(undoResult);
      expect(undo?.undo).toBeUndefined();
    }
  });

  test('a refund is sent again under its key after a lost answer, never blindly', () => {
    expect(finance.operations.refund).toMatchObject({ kind: 'effect', repeat: 'keyed' });
  });

  test('states have distinct ranks, in the order in which things happen', () => {
    const rank = (state: (typeof trackingStates)[number]): number => logistics.events.tracking.state({ at: '', state }).rank;
    expect(trackingStates.map(rank)).toEqual(trackingStates.map((_, index) => index));
    const refundRank = (state: 'accepted' | 'arrived' | 'failed'): number => finance.events.refundState.state({ at: '', state }).rank;
    expect(new Set([refundRank('accepted'), refundRank('arrived'), refundRank('failed')]).size).toBe(3);
    expect(refundRank('accepted')).toBeLessThan(refundRank('failed'));
    expect(refundRank('failed')).toBeLessThan(refundRank('arrived'));
  });

  test('amounts that an effect moves are above zero and whole', () => {
    const refund = { caseRef: 'c', orderId: 'o', paymentId: 'p', reason: 'quality' };
    for (const minor of [0, -1, 0.5, Number.NaN])
      expect(finance.operations.refund.args.safeParse({ ...refund, amount: { minor, currency: 'CNY' } }).success).toBe(false);
    expect(finance.operations.refund.args.safeParse({ ...refund, amount: { minor: 1, currency: 'CNY' } }).success).toBe(true);
  });

  test('a reason is a code: free text, which could hold personal data, does not fit', () => {
    const refund = { caseRef: 'c', orderId: 'o', paymentId: 'p', amount: { minor: 1, currency: 'CNY' } };
    expect(finance.operations.refund.args.safeParse({ ...refund, reason: '王女士说杯子碎了' }).success).toBe(false);
  });
});

describe('what a process may see', () => {
  test('the facts of an order hold no name, account, number, address or invoice title of any order of ours', async () => {
    const shops = await ownShops(instant(Date.UTC(2026, 10, 23)));
    const customers = new Map(shops.customers.map((customer) => [customer.customer, customer]));
    let seen = 0;
    for (const { address, payments, ...order } of shops.orders) {
      const { account, reach } = customers.get(order.customer) ?? {};
      const record = orders.operations.facts.result.parse({ ...order, payments, buyer: { account, reach, address } });
      const facts = JSON.stringify(orders.operations.facts.facts.of(record));
      const personal = [
        account,
        ...Object.values(reach ?? {}).filter((value) => value !== 'zh' && value !== 'en'),
        ...Object.values(address),
        order.invoice?.title,
      ];
      for (const value of personal.filter((given) => given !== undefined)) {
        // The record does hold it, so the check can fail.
        expect(JSON.stringify(record)).toContain(value);
        expect(facts).not.toContain(value);
        seen++;
      }
      expect(JSON.parse(facts)).toMatchObject({ orderId: order.orderId, invoiced: order.invoice !== undefined });
    }
    expect(seen).toBeGreaterThan(300);
  });

  test('the facts of a customer hold neither name nor birthday', () => {
    const facts = crm.operations.facts.facts.of({
      customer: 'c_1',
      tier: 'vip',
      tenureDays: 1,
      orders: 1,
      spend: [],
      consent: { marketing: true },
      name: '林晓雨',
      birthday: '1992-03-08',
    });
    expect(facts).toEqual({ customer: 'c_1', tier: 'vip', tenureDays: 1, orders: 1, spend: [], consent: { marketing: true } });
  });
});

describe('the OpenAPI document of a system', () => {
  const documentSchema = z.object({
    openapi: z.literal('3.1.0'),
    paths: z.record(z.string(), z.record(z.string(), z.looseObject({ responses: z.record(z.string(), z.unknown()) }))),
    webhooks: z.record(z.string(), z.unknown()),
  });

  test('has every operation with its key, answers and refusals, a lookup for every effect, and every event', () => {
    for (const system of all) {
      const document = documentSchema.parse(openApiOf(system));
      expect(Object.keys(document.webhooks)).toEqual(Object.keys(system.events));
      for (const [name, { kind, errors }] of operations(system)) {
        const path = document.paths[`/${name}`];
        expect(Object.keys(path ?? {})).toEqual(kind === 'effect' ? ['post', 'get'] : ['post']);
        expect(Object.keys(path?.['post']?.responses ?? {})).toEqual(
          expect.arrayContaining(['200', '422', '503', ...(errors || kind === 'effect' ? ['409'] : [])]),
        );
        expect(JSON.stringify(path?.['post']).includes('Idempotency-Key')).toBe(kind === 'effect');
        for (const error of errors ?? []) expect(JSON.stringify(path)).toContain(error);
      }
    }
  });
});
