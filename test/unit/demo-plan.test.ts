import { beforeAll, describe, expect, test } from '@jest/globals';
import { answerTo, repairOf, type Reply, type Scene } from '../../cli/demo/actors.ts';
import { branches, type Branch } from '../../cli/demo/branches.ts';
import type { Caller } from '../../cli/demo/calls.ts';
import { notInData, planReturns, type Act, type Plan, type World } from '../../cli/demo/plan.ts';
import { loadPolicy } from '../../policies/load.ts';
import { policyFor } from '../../policies/lookup.ts';
import { orders as ordersContract, type OrderFacts } from '../../systems/orders/contract.ts';
import { drawnShop } from '../../systems/orders/drawn.ts';
import type { ShopData, ShopOrder } from '../../systems/orders/load.ts';
import type { Instant } from '../../values/instant.ts';
import { failures } from '../../workflows/kit/protocol.ts';
import { returnExchange } from '../../workflows/return-exchange/process.ts';

const { policy } = loadPolicy('policies/demo.yaml');
const at = '2026-11-20T03:00:00.000Z' as Instant;

/** An order as the sandbox lists it. */
const factsOf = ({ address, payments, ...order }: ShopOrder): OrderFacts =>
  ordersContract.operations.facts.facts.of({
    ...order,
    payments: payments.map(({ paymentId, method, amount, refunded }) => ({ paymentId, method, amount, refunded })),
    buyer: { account: 'a', reach: { name: 'n', language: 'zh' }, address },
  });
const worldOf = ({ products }: Pick<ShopData, 'products'>): World => ({
  goods: products.map(({ sku, shop, price, onHand }) => ({ sku, shop, price, stock: onHand })),
  policyOf: (shop) => policyFor(policy, shop),
});
let shop: ShopData;
let orders: readonly OrderFacts[];
let world: World;
let plans: readonly Plan[];
beforeAll(async () => {
  // As `npm run demo -- returns --source own --cases 500 --seed 1` has them.
  shop = await drawnShop({ seed: 1, orders: 500, asOf: at });
  orders = shop.orders.map(factsOf).toSorted((a, b) => (a.orderId < b.orderId ? -1 : 1));
  world = worldOf(shop);
  plans = planReturns(1, orders, world);
}, 60_000);

const often = (all: readonly Plan[], branch: Branch): number => all.filter((plan) => plan.branches.includes(branch)).length;
const formOf = (task: keyof typeof returnExchange.tasks) => returnExchange.tasks[task].form;
const formIn = (reply: Reply): unknown => (typeof reply === 'object' ? reply.form : reply);
const acts = <A extends Act['act']>(plan: Plan, act: A): Extract<Act, { act: A }>[] =>
  plan.way.filter((one): one is Extract<Act, { act: A }> => one.act === act);

describe('plans of returns', () => {
  test('go every branch at least 5 times in 500 orders of the own shops', () => {
    const missing = branches.map((branch) => [branch, often(plans, branch)] as const).filter(([, times]) => times < 5);
    expect(missing).toEqual([]);
    expect(notInData(orders, world)).toEqual(new Map());
  });

  test('go every branch at least 5 times in 373 orders as tau-retail has them, but what its orders do not know', () => {
    // One of each thing, in dollars, paid at once, without discounts or freight: test/shared holds the same for the files themselves.
    const usd = (minor: number) => ({ minor, currency: 'USD' });
    const bare = orders.slice(0, 373).map((order, i): OrderFacts => {
      const lines = order.lines.map(({ discountShare, ...line }) => ({
        ...line,
        ...(discountShare === undefined ? {} : { discountShare: usd(0) }),
        quantity: 1,
        returned: 0,
        unitPrice: usd(line.unitPrice.minor),
        listTotal: usd(line.unitPrice.minor),
      }));
      const total = usd(lines.reduce((so, line) => so + line.listTotal.minor, 0));
      return {
        ...order,
        shop: order.shop,
        customer: `c-${i}`,
        currency: 'USD',
        lines,
        discounts: [],
        freight: { paid: usd(0), returnInsured: i % 7 === 0 },
        total,
        payments: [{ paymentId: 'p1', method: 'card', amount: total, refunded: usd(0) }],
      };
    });
    const there: World = { ...world, goods: world.goods.map((one) => ({ ...one, price: usd(one.price.minor) })) };
    const absent = notInData(bare, there);
    expect([...absent.keys()]).toEqual(['frequentCustomer', 'severalPayments', 'couponsOrPointsBack']);
    const made = planReturns(2, bare, there);
    const missing = branches.filter((branch) => !absent.has(branch)).map((branch) => [branch, often(made, branch)] as const);
    expect(missing.filter(([, times]) => times < 5)).toEqual([]);
    for (const branch of absent.keys()) expect(often(made, branch)).toBe(0);
  }, 60_000);

  test('go as many different branches as they can when there are few cases', () => {
    const few = new Set(planReturns(1, orders.slice(0, 40), world).flatMap((plan) => plan.branches));
    expect(few.size).toBeGreaterThan(0.7 * branches.length);
  });

  test('are the same for the same seed, orders, goods and policy, whatever has happened to the orders since; and others for another seed', () => {
    const some = orders.slice(0, 50);
    const since = some.map((order) => ({ ...order, payments: order.payments.map((payment) => ({ ...payment, refunded: payment.amount })) }));
    expect(planReturns(1, since, world)).toEqual(planReturns(1, structuredClone(some), world));
    expect(planReturns(2, some, world).map((plan) => plan.branches)).not.toEqual(planReturns(1, some, world).map((plan) => plan.branches));
  });

  test('ask for what the process takes, one case for each order, and for more units than can come back only where that is the branch', () => {
    expect(new Set(plans.map((plan) => plan.caseId)).size).toBe(plans.length);
    for (const plan of plans) {
      expect(returnExchange.input.safeParse({ ...plan.request, requestedAt: at }).error).toBeUndefined();
      const order = orders.find((one) => one.orderId === plan.order);
      const left = (line: number): number => {
        const bought = order?.lines.find((one) => one.line === line);
        return bought === undefined ? 0 : bought.quantity - bought.returned;
      };
      const tooMuch = plan.request.lines.some(({ line, quantity }) => quantity > left(line));
      expect(tooMuch).toBe(
        plan.branches.includes('alreadyReturned') || plan.branches.includes('unknownLine') || plan.request.lines.some(({ line }) => left(line) === 0),
      );
    }
  });

  test('have a repair tried again, but entered from what the system shows where that has refused it', async () => {
    const shown = { executed: { answer: { labelId: 'l_1' } }, refused: { answer: { code: 'soldOut' } }, barred: { answer: null } };
    const task = (failure: string) => ({ case: 'return-exchange.x', context: { failure, system: 'logistics', step: 'label' } });
    const asked: string[] = [];
    const seeing = (state?: keyof typeof shown): Pick<Scene, 'systems'> => ({
      systems: {
        get: (path: string) => {
          asked.push(path);
          return Promise.resolve({ entries: state === undefined ? [] : [{ state, ...shown[state] }] });
        },
      } as unknown as Caller,
    });
    expect(await repairOf(seeing('executed'), task(failures.unavailable))).toEqual({ action: 'retry' });
    expect(asked).toEqual([]);
    for (const failure of [failures.refused, failures.keyReused]) {
      expect(await repairOf(seeing('executed'), task(failure))).toEqual({ action: 'enterResult', result: { labelId: 'l_1' } });
      expect(await repairOf(seeing('refused'), task(failure))).toEqual({ action: 'enterError', error: 'soldOut' });
      for (const state of ['barred', undefined] as const) expect(await repairOf(seeing(state), task(failure))).toEqual({ action: 'retry' });
    }
    expect(new Set(asked)).toEqual(new Set(['/logistics/ledger?key=return-exchange.x%2Flabel']));
  });

  test('have an answer to every task that fits its form, unless the case is to end otherwise', () => {
    for (const plan of plans) {
      const units = acts(plan, 'receive').flatMap((act, p) =>
        act.units.map((_, i) => ({ unitId: `rc-x-${p + 1}-${String(i + 1).padStart(3, '0')}`, line: 1 })),
      );
      const contexts = {
        receiptProblem: { match: { units } },
        parcelTrouble: { state: 'lost', here: 0 },
        inspect: { units },
        ruleUnit: { unit: { unitId: units[0]?.unitId ?? 'rc-x-1-001' } },
        approveRefund: {},
        choose: {},
        otherRoute: { problem: 'failed' },
      } as const;
      for (const name of Object.keys(contexts) as (keyof typeof contexts)[]) {
        const reply = answerTo(plan, { name, path: name, context: contexts[name] });
        if (reply === 'endEarly') expect(plan.ends).toBeDefined();
        else if (reply === 'leave') expect([name, plan.choices]).toEqual(['choose', ['silence']]);
        else expect(formOf(name).safeParse(formIn(reply)).error).toBeUndefined();
      }
      for (const round of [1, 2, 3, 4, 5]) {
        const reply = answerTo(plan, { name: 'review', path: `review-${round}/review`, context: {} });
        if (reply === 'leave') expect(plan.ends?.at).toBe('review');
        else expect(formOf('review').safeParse(formIn(reply)).error).toBeUndefined();
      }
    }
  });

  test('always come to an end: a review that is not the last asks for evidence, the last decides; goods are sent only where one approves them to come', () => {
    for (const { reviews, way, ends, request } of plans) {
      const [last, ...before] = reviews.toReversed();
      expect(before.every((form) => form.decision === 'moreEvidence')).toBe(true);
      if (last === undefined) expect(ends?.at).toBe('review');
      else expect(['approve', 'reject']).toContain(last.decision);
      if (way.length > 0 && last !== undefined) expect(last).toMatchObject({ decision: 'approve', remedy: expect.stringMatching(/^(refund|exchange)$/) });
      expect(request.lines.length).toBeGreaterThan(0);
    }
  });

  test('receive no parcel twice, and nothing by a courier that was not told before', () => {
    for (const { way } of plans) {
      const told = new Set<string>();
      const received = new Set<string>();
      for (const act of way) {
        if (act.act === 'courier') told.add(act.parcel);
        if (act.act !== 'receive') continue;
        expect(received).not.toContain(act.parcel);
        received.add(act.parcel);
        expect(act.parcel.startsWith('own-') && !told.has(act.parcel)).toBe(act.unnamed === true);
      }
    }
  });
});
