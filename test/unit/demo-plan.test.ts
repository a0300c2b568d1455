import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { answerTo } from '../../cli/demo/actors.ts';
import { planKills, targets } from '../../cli/demo/kills.ts';
import { branches, planReturn } from '../../cli/demo/plan.ts';
import { readArguments } from '../../cli/demo.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { OrderFacts } from '../../systems/orders/contract.ts';
import { money } from '../../values/money.ts';
import type { Instant } from '../../values/instant.ts';
import { returnExchange } from '../../workflows/return-exchange/process.ts';

const { policy } = loadPolicy('policies/demo.yaml');
const at = '2026-11-20T03:00:00.000Z' as Instant;

const orderOf = (orderId: string, currency: string, lines: readonly { sku: string; quantity: number; returned: number; price: number }[]): OrderFacts => {
  const total = money(
    lines.reduce((so, line) => so + line.price * line.quantity, 0),
    currency,
  );
  return {
    orderId,
    shop: 'shop-1',
    customer: 'c_1',
    currency,
    status: 'delivered',
    placedAt: at,
    paidAt: at,
    signedAt: at,
    lines: lines.map(({ sku, quantity, returned, price }, i) => ({
      line: i + 1,
      sku,
      productId: 'p',
      name: 'thing',
      category: 'things',
      quantity,
      unitPrice: money(price, currency),
      listTotal: money(price * quantity, currency),
      returned,
      exceptions: [],
    })),
    discounts: [],
    freight: { paid: money(0, currency), returnInsured: false },
    total,
    payments: [{ paymentId: 'p1', method: 'card', amount: total, refunded: money(0, currency) }],
    invoiced: false,
    trackingNos: [],
  };
};
const anyLine = fc
  .record({
    sku: fc.constantFrom('A', 'B', 'C'),
    quantity: fc.integer({ min: 1, max: 4 }),
    price: fc.integer({ min: 1, max: 400_000 }),
    back: fc.integer({ min: 0, max: 4 }),
  })
  .map(({ back, ...line }) => ({ ...line, returned: Math.min(back, line.quantity) }));
const anyOrder = fc
  .record({ id: fc.string({ minLength: 1, maxLength: 20 }), currency: fc.constantFrom('USD', 'CNY'), lines: fc.array(anyLine, { minLength: 1, maxLength: 5 }) })
  .map(({ id, currency, lines }) => orderOf(id, currency, lines));
const anySeed = fc.integer({ min: 0, max: 2 ** 31 });
const planned = fc.record({ seed: anySeed, order: anyOrder });

const formOf = (task: keyof typeof returnExchange.tasks) => returnExchange.tasks[task].form;

describe('plan of a return', () => {
  test('is the same for the same seed, order and policy, whatever was planned before', () => {
    fc.assert(
      fc.property(planned, anyOrder, ({ seed, order }, other) => {
        const first = planReturn(seed, order, policy);
        planReturn(seed, other, policy);
        expect(planReturn(seed, structuredClone(order), policy)).toEqual(first);
      }),
    );
  });

  test('asks for what the process takes, and never for more units than can come back', () => {
    fc.assert(
      fc.property(planned, ({ seed, order }) => {
        const { request, branch } = planReturn(seed, order, policy);
        expect(returnExchange.input.safeParse({ ...request, requestedAt: at }).success).toBe(true);
        const left = order.lines.filter((line) => line.quantity > line.returned);
        if (left.length === 0) return expect(branch).toBe('rejected');
        for (const { line, quantity } of request.lines) {
          const bought = order.lines[line - 1];
          expect(quantity).toBeLessThanOrEqual((bought?.quantity ?? 0) - (bought?.returned ?? 0));
        }
      }),
    );
  });

  test('has an answer to every task that fits the form, unless the case is to end before', () => {
    fc.assert(
      fc.property(planned, ({ seed, order }) => {
        const plan = planReturn(seed, order, policy);
        const units = (plan.parcel?.units ?? []).map((_, i) => ({ unitId: `rc-1-${String(i + 1).padStart(3, '0')}`, line: 1 }));
        const contexts = {
          receiptProblem: { match: { units } },
          inspect: { units },
          ruleUnit: { unit: { unitId: 'rc-1-001' } },
          approveRefund: {},
          otherRoute: {},
        } as const;
        for (const [name, context] of Object.entries(contexts)) {
          const form = answerTo(plan, { name, path: name, context });
          expect(formOf(name as keyof typeof contexts).safeParse(form).success).toBe(true);
        }
        for (const round of [1, 2, 3]) {
          const form = answerTo(plan, { name: 'review', path: `review-${round}/review`, context: {} });
          if (form === undefined) expect(plan.ends?.when).toBe('atOnce');
          else expect(formOf('review').safeParse(form).success).toBe(true);
        }
      }),
    );
  });

  test('always comes to an end: a review that is not the last asks for evidence, the last decides', () => {
    fc.assert(
      fc.property(planned, ({ seed, order }) => {
        const { reviews, parcel, branch, ends } = planReturn(seed, order, policy);
        const [last, ...before] = reviews.map((form) => form.decision).toReversed();
        expect(before.every((decision) => decision === 'moreEvidence')).toBe(true);
        expect(['approve', 'reject', undefined]).toContain(last);
        if (parcel) expect(last).toBe('approve');
        if (last === undefined) expect(ends?.when).toBe('atOnce');
        if (branch === 'unsureRuled') expect(parcel?.units.some((unit) => unit.verdict === 'unsure')).toBe(true);
        if (branch === 'partlyRejected') expect(new Set(parcel?.units.map((unit) => unit.verdict))).toEqual(new Set(['accept', 'reject']));
      }),
    );
  });

  test('373 orders go every way', () => {
    const taken = new Set(
      Array.from({ length: 373 }, (_, i) => {
        const lines = [
          { sku: 'A', quantity: 1, returned: 0, price: 20_000 + 1000 * (i % 200) },
          { sku: 'B', quantity: 1, returned: 0, price: 15_000 },
        ];
        return planReturn(1, orderOf(`#W${i}`, 'USD', lines), policy).branch;
      }),
    );
    expect([...taken].toSorted()).toEqual([...branches].toSorted());
  });
});

describe('planned kills', () => {
  test('hit every kind as often as the others, give or take one, and at least twice from six on', () => {
    fc.assert(
      fc.property(anySeed, fc.integer({ min: 6, max: 60 }), (seed, count) => {
        const plan = planKills(seed, count);
        const of = targets.map((target) => plan.filter((kill) => kill.process === target).length);
        expect(plan).toHaveLength(count);
        expect(Math.min(...of)).toBeGreaterThanOrEqual(2);
        expect(Math.max(...of) - Math.min(...of)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('are spread over the run: one in each part of it, in order, before it ends', () => {
    fc.assert(
      fc.property(anySeed, fc.integer({ min: 6, max: 60 }), (seed, count) => {
        planKills(seed, count).forEach(({ at: when }, i) => {
          expect(when).toBeGreaterThanOrEqual((i / count) * 0.95);
          expect(when).toBeLessThan(((i + 1) / count) * 0.95);
        });
      }),
    );
  });

  test('are the same for the same seed, and others for another', () => {
    expect(planKills(1, 10)).toEqual(planKills(1, 10));
    expect(planKills(1, 10)).not.toEqual(planKills(2, 10));
  });
});

describe('command line of the demo', () => {
  test('has values for everything but the demo', () => {
    expect(readArguments(['returns'])).toEqual({
      mode: 'run',
      options: { demo: 'returns', source: 'own', folder: '../shared/data/tau-retail', cases: 100_000, seed: 1, kill: false, kills: 10, concurrency: 48 },
    });
  });

  test.each([
    [[], 'Name a demo: returns.'],
    [['refunds'], 'There is no demo "refunds"'],
    [['returns', 'one-order'], 'One demo at a time'],
    [['returns', '--source', 'elsewhere'], '--source is own or tau-retail'],
    [['returns', '--cases', 'many'], '--cases is a number'],
    [['returns', '--cases', '0'], '--cases is at least 1'],
    [['returns', '--kill', '--kills', '2'], '--kills is at least 3'],
    [['returns', '--status', '--resume'], '--status goes alone'],
    [['returns', '--quick'], "Unknown option '--quick'"],
  ])('%j is refused with words that say what to do', (argv, words) => {
    expect(() => readArguments(argv)).toThrow(words);
  });
});
