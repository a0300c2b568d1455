import { beforeAll, describe, expect, test } from '@jest/globals';
import type { AuditRows, UnitRow } from '../../cli/demo/audit.ts';
import { planOneOrder, prove } from '../../cli/demo/one-order.ts';
import { loadPolicy } from '../../policies/load.ts';
import { policyFor } from '../../policies/lookup.ts';
import { ownShops } from '../../systems/orders/catalogue.ts';
import { orders as ordersContract, type OrderFacts } from '../../systems/orders/contract.ts';
import { systems } from '../../systems/index.ts';
import type { Instant } from '../../values/instant.ts';
import { returnExchange } from '../../workflows/return-exchange/process.ts';
import { refundParts, settlement } from '../../workflows/return-exchange/rules.ts';
import { noRecords } from './audited.ts';

const at = '2026-11-20T03:00:00.000Z' as Instant;
const context = { policy: policyFor(loadPolicy('policies/demo.yaml').policy, 'qingfan'), asOf: at };
let order: OrderFacts;
beforeAll(async () => {
  const found = (await ownShops(at)).orders.find((one) => one.orderId === 'QF-8001');
  if (found === undefined) throw new Error('the own shops have no order QF-8001');
  const { address, payments, ...rest } = found;
  order = ordersContract.operations.facts.facts.of({
    ...rest,
    payments: payments.map(({ paymentId, method, amount, refunded }) => ({ paymentId, method, amount, refunded })),
    buyer: { account: 'a', reach: { name: 'n', language: 'zh' }, address },
  });
});

describe('cases at one order', () => {
  test('ask together for more units of every line than were bought, each for no more than that', () => {
    const plans = planOneOrder(1, order, 64);
    expect(new Set(plans.map((plan) => plan.caseId)).size).toBe(64);
    for (const { line, quantity } of order.lines) {
      const asked = plans.flatMap((plan) => plan.request.lines).filter((one) => one.line === line);
      expect(asked.reduce((so, one) => so + one.quantity, 0)).toBeGreaterThan(quantity);
      // Who asks for one unit each could empty the line, so that all of it comes back whoever is first.
      expect(asked.filter((one) => one.quantity === 1)).toHaveLength(quantity);
      for (const one of asked) expect(one.quantity).toBeLessThanOrEqual(quantity);
    }
    for (const plan of plans) expect(returnExchange.input.safeParse({ ...plan.request, requestedAt: at }).error).toBeUndefined();
  });

  test('are the same for the same seed', () => {
    expect(planOneOrder(3, order, 64)).toEqual(planOneOrder(3, order, 64));
    expect(planOneOrder(3, order, 64)).not.toEqual(planOneOrder(4, order, 64));
  });
});

describe('the proof of one order', () => {
  const worth = (facts: Parameters<typeof settlement>[0]): number => settlement(facts, context).refund.minor;
  const caseOf = (n: number, outcome: object, reasons: string[] = []): AuditRows['cases'] extends ReadonlyMap<string, infer C> ? C : never => ({
    id: `c-${n}`,
    order: order.orderId,
    status: 'completed',
    trouble: null,
    outcome,
    tasks: [],
    timeline: [{ kind: 'decision', data: { rule: 'refundParts', step: 'refund', reasons } }],
  });

  /** Two cases: the first returned one unit of the first line, the second all others; a third came too late. */
  function sound(): AuditRows {
    const units: UnitRow[] = order.lines.flatMap(({ line, quantity }) =>
      Array.from({ length: quantity }, (_, i) => ({
        order: order.orderId,
        line,
        unit: i + 1,
        hold: line === 1 && i === 0 ? 'c-1/allowance' : 'c-2/allowance',
        used: true,
        refunded: true,
      })),
    );
    const refunds = ['c-1', 'c-2'].flatMap((of) => {
      const held = units.filter((unit) => unit.hold === `${of}/allowance`);
      const value = settlement({ order, held, asked: [], accepted: held, reason: 'quality', by: 'kept', freights: [] }, context);
      const payments = order.payments.map((payment) => ({ ...payment, paidAt: at }));
      const { parts } = refundParts({ order, units: value.units, due: value.refund, replaced: false, whole: of === 'c-2', payments }, context);
      return parts.map((part) => ({
        refundId: `${of}-${part.paymentId}`,
        key: `${of}/${part.paymentId}/route-1/refund`,
        caseRef: of,
        paymentId: part.paymentId,
        minor: part.amount.minor,
        currency: order.currency,
        state: 'arrived',
      }));
    });
    const cases = [
      caseOf(1, { result: 'refunded', amount: { minor: 1, currency: 'CNY' } }, ['partOfOrder']),
      caseOf(2, { result: 'refunded', amount: { minor: 1, currency: 'CNY' } }, ['wholeOrder']),
      caseOf(3, { result: 'rejected', reason: 'alreadyReturned' }),
    ];
    return {
      planned: [],
      accepted: [],
      cases: new Map(cases.map((one) => [one.id, one])),
      ledger: [],
      orders: new Map([[order.orderId, { ...order, refunds }]]),
      units,
      causes: [],
      received: [],
      links: new Map(),
      setAside: [],
      webhooks: [],
      own: noRecords,
      systems,
    };
  }
  const failing = (rows: AuditRows, asked = 64): string[] =>
    prove(rows, order.orderId, worth, order, asked)
      .lines.filter((line) => line.includes('FAILS'))
      .map((line) => line.trim().split(/ {2,}/)[0] ?? '');
  const withRefunds = (change: (refunds: NonNullable<ReturnType<AuditRows['orders']['get']>>['refunds']) => typeof refunds): AuditRows => {
    const rows = sound();
    const known = rows.orders.get(order.orderId);
    if (known === undefined) throw new Error('the order is there');
    return { ...rows, orders: new Map([[order.orderId, { ...known, refunds: change(known.refunds) }]]) };
  };

  test('holds where every unit was used once and its money went back to the cent, the freight with the last of them', () => {
    const { lines, ok } = prove(sound(), order.orderId, worth, order, 64);
    expect(ok).toBe(true);
    expect(lines.join('\n')).toContain('40 of 40 used');
    expect(failing(sound())).toEqual([]);
  });

  test('fails for a cent too much, a cent too little, and a refund that is missing', () => {
    expect(failing(withRefunds((refunds) => refunds.map((one, i) => (i === 0 ? { ...one, minor: one.minor + 1 } : one))))).toEqual(
      expect.arrayContaining(['money', 'whole']),
    );
    expect(failing(withRefunds((refunds) => refunds.map((one, i) => (i === 0 ? { ...one, minor: one.minor - 1 } : one))))).toEqual(
      expect.arrayContaining(['money', 'whole']),
    );
    expect(failing(withRefunds((refunds) => refunds.slice(1)))).toEqual(expect.arrayContaining(['money', 'whole']));
  });

  test('fails for money that went back by another payment than it came', () => {
    const moved = withRefunds((refunds) => refunds.map((one, i) => ({ ...one, paymentId: refunds[(i + 1) % refunds.length]?.paymentId ?? '' })));
    expect(failing(moved).length).toBeGreaterThan(0);
    expect(failing(moved)).not.toContain('money');
  });

  test('fails for a unit that two cases used, one that nobody bought, freight that two cases refunded, and a latecomer who was not told', () => {
    const rows = sound();
    const [first] = rows.units;
    if (first === undefined) throw new Error('there are units');
    expect(failing({ ...rows, units: [...rows.units, first] })).toContain('units');
    expect(failing({ ...rows, units: [...rows.units, { ...first, unit: 14 }] })).toEqual(expect.arrayContaining(['units', 'line 1']));
    const cases = (...more: ReturnType<typeof caseOf>[]): AuditRows => ({
      ...rows,
      cases: new Map([...rows.cases, ...more.map((one) => [one.id, one] as const)]),
    });
    expect(failing(cases(caseOf(4, { result: 'refunded', amount: { minor: 1, currency: 'CNY' } }, ['wholeOrder'])))).toEqual(['freight']);
    expect(failing(cases(caseOf(3, { result: 'expired' })))).toEqual(['cases']);
  });
});
