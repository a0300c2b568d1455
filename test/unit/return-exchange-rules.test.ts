/** The decisions of a return: examples for each branch, and properties that hold whatever the order. Negative controls show that the properties can fail. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { loadPolicy } from '../../policies/load.ts';
import type { PolicyValues } from '../../policies/schema.ts';
import { instant, parseInstant, plus } from '../../values/instant.ts';
import { money, prorate, type Money } from '../../values/money.ts';
import { ladder } from '../../values/role.ts';
import {
  authority,
  eligibility,
  losses,
  matchReceipt,
  reasonCodes,
  refundParts,
  settlement,
  swap,
  type AuthorityFacts,
  type EligibilityFacts,
  type LossFacts,
  type PaidOrder,
  type RefundFacts,
  type Settlement,
  type SettlementFacts,
  type SwapFacts,
} from '../../workflows/return-exchange/rules.ts';

const { policy } = loadPolicy('policies/default.yaml');
const asOf = instant(Date.UTC(2026, 10, 10));
const context = { policy: policy as PolicyValues, asOf };
/** The context with other values under `returns`. */
const returning = (values: Partial<PolicyValues['returns']>) => ({
  ...context,
  policy: { ...context.policy, returns: { ...context.policy.returns, ...values } },
});
const cny = (minor: number): Money => money(minor, 'CNY');
const total = (amounts: readonly Money[]): number => amounts.reduce((so, a) => so + a.minor, 0);
const day = 86_400_000;

// ── orders, as the shop platform keeps them ────────────────────────────────
interface LineUnit {
  readonly line: number;
  readonly unit: number;
}
type Line = SettlementFacts['order']['lines'][number] & { readonly sku: string; readonly productId: string };
type Order = Omit<SettlementFacts['order'], 'lines'> & { readonly lines: readonly Line[]; readonly payments: RefundFacts['payments'] };

/** Splits a whole number at random places. */
const splitBy = (whole: number, cuts: readonly number[]): number[] => {
  const at = [0, ...cuts.map((c) => Math.floor(c * whole)).sort((a, b) => a - b), whole];
  return at.slice(1).map((to, i) => to - (at[i] ?? 0));
};
const fraction = fc.double({ min: 0, max: 1, noNaN: true });

/** Orders in currencies of two, none and three decimals; discounts of every kind, some limited to lines, with or without the platform's shares; several payments; some paid too much. */
const orderArbitrary: fc.Arbitrary<Order> = fc
  .record({
    currency: fc.constantFrom('CNY', 'JPY', 'KWD'),
    lines: fc.array(fc.record({ quantity: fc.integer({ min: 1, max: 5 }), unitPrice: fc.integer({ min: 0, max: 50_000 }) }), { minLength: 1, maxLength: 5 }),
    discounts: fc.array(
      fc.record({
        part: fraction,
        only: fc.option(fc.nat(4)),
        kind: fc.constantFrom('promotion', 'coupon', 'points'),
        ref: fc.constantFrom('a', 'b', 'c'),
        points: fc.integer({ min: 1, max: 9_999 }),
      }),
      { maxLength: 3 },
    ),
    stated: fc.boolean(),
    freight: fc.integer({ min: 0, max: 2_000 }),
    tooMuch: fc.constantFrom(0, 0, 0, 777),
    paymentCuts: fc.array(fraction, { maxLength: 2 }),
    methods: fc.array(fc.constantFrom('card', 'wallet', 'giftCard', 'transfer'), { minLength: 3, maxLength: 3 }),
    atOnce: fc.boolean(),
    insured: fc.boolean(),
  })
  .map(({ currency, lines, discounts, stated, freight, tooMuch, paymentCuts, methods, atOnce, insured }) => {
    const of = (minor: number): Money => money(minor, currency);
    const listed = lines.map((l, i) => ({ line: i + 1, quantity: l.quantity, listTotal: l.quantity * l.unitPrice }));
    // Each discount takes at most its part of the lines it is limited to, so that no line is sold for less than nothing.
    const given = discounts.map(({ part, only, kind, ref, points }) => {
      const on = only === null ? listed : listed.filter((_, i) => i === only % listed.length);
      return {
        kind,
        amount: of(Math.floor((part / discounts.length) * on.reduce((so, l) => so + l.listTotal, 0))),
        ...(only === null ? {} : { lines: on.map((l) => l.line) }),
        ...(kind === 'coupon' ? { ref } : kind === 'points' ? { points } : {}),
      };
    });
    const off = total(given.map((d) => d.amount));
    const list = listed.reduce((so, l) => so + l.listTotal, 0);
    const shares = splitBy(
      off,
      listed.slice(1).map((_, i) => (list === 0 ? 0 : listed.slice(0, i + 1).reduce((so, l) => so + l.listTotal, 0) / list)),
    );
    const paid = list - off + freight + tooMuch;
    return {
      currency,
      lines: listed.map((l, i) => ({
        line: l.line,
        sku: `sku-${l.line}`,
        productId: `product-${l.line}`,
        category: 'things',
        quantity: l.quantity,
        listTotal: of(l.listTotal),
        ...(stated ? { discountShare: of(shares[i] ?? 0) } : {}),
      })),
      discounts: given,
      freight: { paid: of(freight), returnInsured: insured },
      total: of(paid),
      payments: splitBy(paid, paymentCuts).map((minor, i) => ({
        paymentId: `pay-${i}`,
        method: methods[i] ?? 'card',
        amount: of(minor),
        refunded: of(0),
        paidAt: instant(Date.UTC(2026, 9, 1, atOnce ? 0 : i)),
      })),
    };
  });

const unitsOf = (order: Order): LineUnit[] => order.lines.flatMap(({ line, quantity }) => Array.from({ length: quantity }, (_, n) => ({ line, unit: n + 1 })));
/** What was paid for goods and freight; what is beyond was paid by mistake. */
const priceOf = (order: Order): number => Math.min(order.total.minor, total(order.lines.map((l) => l.listTotal)) + order.freight.paid.minor);
const numbers = [0, 1, 2, 3];
/** Every unit with the case that returns it: -1, none. Cases hold disjoint numbers, as the allowance guarantees; they end in any order. */
const casesArbitrary = orderArbitrary.chain((order) =>
  fc.record({
    order: fc.constant(order),
    caseOf: fc.array(fc.integer({ min: -1, max: 3 }), { minLength: unitsOf(order).length, maxLength: unitsOf(order).length }),
    ending: fc.shuffledSubarray(numbers, { minLength: 4 }),
  }),
);
const reasons = fc.constantFrom('quality', 'wrongItem', 'wrongSize', 'noReason', 'other');
const ways = fc.constantFrom('label', 'ownCourier', 'kept');

/** The rules of money, so that a property can be shown to fail on wrong ones. */
const real = { settlement, refundParts, swap, authority };
type MoneyRules = typeof real;
const asked = (units: readonly LineUnit[]) =>
  [...new Set(units.map((u) => u.line))].map((line) => ({ line, quantity: units.filter((u) => u.line === line).length }));
const settle = (order: Order, held: readonly LineUnit[], more: Partial<SettlementFacts> = {}, rules: MoneyRules = real) =>
  rules.settlement({ order, held, asked: asked(held), accepted: held, reason: 'quality', by: 'label', freights: [], ...more }, context);
const refund = (order: Order, { units, refund: due }: Pick<Settlement, 'units' | 'refund'>, more: Partial<RefundFacts> = {}, rules: MoneyRules = real) =>
  rules.refundParts({ order, units, due, replaced: false, whole: false, payments: order.payments, ...more }, context);
/** Payments as finance tells them after some refunds. */
const after = (order: Order, refunds: readonly ReturnType<typeof refund>[]) =>
  order.payments.map((p) => ({
    ...p,
    refunded: money(total(refunds.flatMap((r) => r.parts.filter((part) => part.paymentId === p.paymentId)).map((part) => part.amount)), order.currency),
  }));

interface Simple {
  readonly lines: readonly { readonly quantity: number; readonly listTotal: number; readonly discountShare?: number; readonly category?: string }[];
  readonly total: number;
  readonly discounts?: PaidOrder['discounts'];
  readonly freight?: number;
  readonly insured?: boolean;
  readonly payments?: readonly (readonly [method: string, minor: number])[];
}
function simple({ lines, total: paid, discounts = [], freight = 0, insured = false, payments = [['card', paid]] }: Simple, currency = 'CNY'): Order {
  const of = (minor: number): Money => money(minor, currency);
  return {
    currency,
    lines: lines.map((l, i) => ({
      line: i + 1,
      sku: `sku-${i + 1}`,
      productId: `product-${i + 1}`,
      category: l.category ?? 'things',
      quantity: l.quantity,
      listTotal: of(l.listTotal),
      ...(l.discountShare === undefined ? {} : { discountShare: of(l.discountShare) }),
    })),
    discounts,
    freight: { paid: of(freight), returnInsured: insured },
    total: of(paid),
    payments: payments.map(([method, minor], i) => ({
      paymentId: `pay-${i}`,
      method,
      amount: of(minor),
      refunded: of(0),
      paidAt: instant(Date.UTC(2026, 9, 1, i)),
    })),
  };
}

/** What the wrong rules of the negative controls do: each is a mistake that is easily made. */
const wrong = {
  /** Every unit of a line is a rounded even share of it. */
  roundedUnits: {
    ...real,
    settlement: (facts, c) => {
      const right = settlement(facts, c);
      const units = right.units.map((u) => {
        const line = facts.order.lines.find((l) => l.line === u.line);
        return {
          ...u,
          amount: money(Math.round(((line?.listTotal.minor ?? 0) - (line?.discountShare?.minor ?? 0)) / (line?.quantity ?? 1)), facts.order.currency),
        };
      });
      return { ...right, units, refund: money(total(units.map((u) => u.amount)) - right.deducted.minor, facts.order.currency) };
    },
    refundParts: (facts, c) => firstPaymentFirst(facts, facts.due.minor + (facts.whole ? facts.order.freight.paid.minor : 0), refundParts(facts, c)),
  },
  /** Each case draws on the first payment that has room. */
  firstPaymentFirst: { ...real, refundParts: (facts, c) => firstPaymentFirst(facts, refundParts(facts, c).total.minor, refundParts(facts, c)) },
  /** Every case that returns all it holds of an order gives the freight back. */
  freightEachTime: { ...real, refundParts: (facts, c) => refundParts({ ...facts, whole: true }, c) },
  /** What others refunded meanwhile is refunded again. */
  othersForgotten: {
    ...real,
    refundParts: (facts, c) => refundParts({ ...facts, payments: facts.payments.map((p) => ({ ...p, refunded: money(0, p.amount.currency) })) }, c),
  },
  /** New goods are compared with the list price of the old, not with what was paid for them. */
  listPrices: {
    ...real,
    swap: (facts, c) => {
      const listed = (line: number): number => {
        const of = (facts.order as Order).lines.find((l) => l.line === line);
        return (of?.listTotal.minor ?? 0) / (of?.quantity ?? 1);
      };
      const units = facts.value.units.map((u) => ({ ...u, amount: money(Math.round(listed(u.line)), u.amount.currency) }));
      return swap({ ...facts, value: { ...facts.value, units } }, c);
    },
  },
  /** Goods that are kept above their threshold are a supervisor's, however high the amount. */
  keptIsSupervisors: {
    ...real,
    authority: (facts, c) => {
      const right = authority(facts, c);
      return right.approver === 'manager' && facts.by === 'kept' ? { ...right, approver: facts.reviewer === 'agent' ? 'supervisor' : null } : right;
    },
  },
  /** A large refund needs nobody where a smaller one needs a supervisor. */
  largeIsFree: {
    ...real,
    authority: (facts, c) => {
      const right = authority(facts, c);
      return right.approver === 'supervisor' && facts.refund.minor > 100_000 ? { ...right, approver: null } : right;
    },
  },
  /** Coupons and points are prorated over each case's own share of what was paid, and rounded. */
  roundedShares: {
    ...real,
    refundParts: (facts, c) => {
      const part = total(facts.units.map((u) => u.amount)) / Math.max(1, facts.order.total.minor - facts.order.freight.paid.minor);
      const { discounts, currency } = facts.order;
      return {
        ...refundParts(facts, c),
        coupons: discounts.flatMap((d) =>
          d.kind === 'coupon' && d.ref !== undefined ? [{ couponId: d.ref, amount: money(Math.round(d.amount.minor * part), currency) }] : [],
        ),
        points: discounts.reduce((so, d) => so + Math.round((d.points ?? 0) * part), 0),
      };
    },
  },
} satisfies Readonly<Record<string, MoneyRules>>;
function firstPaymentFirst(facts: RefundFacts, minor: number, right: ReturnType<typeof refundParts>): ReturnType<typeof refundParts> {
  let rest = minor;
  const parts = facts.payments.flatMap(({ paymentId, method, amount, refunded }) => {
    const take = Math.min(rest, amount.minor - refunded.minor);
    rest -= take;
    return take > 0 ? [{ paymentId, method, amount: money(take, amount.currency), atOnce: false }] : [];
  });
  return { ...right, parts, total: money(total(parts.map((p) => p.amount)), facts.order.currency) };
}
/** A property holds for the rules, and is seen to fail for each wrong variant of them. */
function holds<T>(arbitrary: fc.Arbitrary<T>, check: (drawn: T, rules: MoneyRules) => void, controls: readonly MoneyRules[]): void {
  fc.assert(fc.property(arbitrary, (drawn) => check(drawn, real)));
  for (const control of controls)
    expect(
      fc.check(
        fc.property(arbitrary, (drawn) => check(drawn, control)),
        // Enough for the mistake to show; no need to find its smallest example.
        { numRuns: 2000, endOnFailure: true },
      ).failed,
    ).toBe(true);
}

describe('money over the life of an order', () => {
  test('parts add up to the unit: when everything comes back, over any cases in any order, exactly what was paid is refunded, payment by payment, and exactly the coupons and points that were used', () => {
    holds(
      casesArbitrary,
      ({ order, caseOf, ending }, rules) => {
        const all = unitsOf(order);
        const cases = ending.map((n) => all.filter((_, i) => Math.max(0, caseOf[i] ?? 0) === n)).filter((units) => units.length > 0);
        const refunds: ReturnType<typeof refund>[] = [];
        for (const [i, held] of cases.entries())
          refunds.push(refund(order, settle(order, held, {}, rules), { whole: i === cases.length - 1, payments: after(order, refunds) }, rules));
        expect(total(refunds.map((r) => r.total))).toBe(priceOf(order));
        // What was paid by mistake came last, and stays.
        if (priceOf(order) === order.total.minor) for (const p of after(order, refunds)) expect(p.refunded).toEqual(p.amount);
        for (const ref of ['a', 'b', 'c'])
          expect(total(refunds.flatMap((r) => r.coupons.filter((c) => c.couponId === ref).map((c) => c.amount)))).toBe(
            total(order.discounts.filter((d) => d.kind === 'coupon' && d.ref === ref).map((d) => d.amount)),
          );
        expect(refunds.reduce((so, r) => so + r.points, 0)).toBe(order.discounts.reduce((so, d) => so + (d.points ?? 0), 0));
      },
      [wrong.roundedUnits, wrong.freightEachTime, wrong.roundedShares],
    );
  });

  test('every minor unit is accounted for: what cases refund is what was paid for their units, less our labels, and original freight once at most', () => {
    holds(
      fc.record({ cases: casesArbitrary, reason: reasons, by: ways, wholeAtEnd: fc.boolean() }),
      ({ cases: { order, caseOf, ending }, reason, by, wholeAtEnd }, rules) => {
        const price = new Map(settle(order, unitsOf(order)).units.map((u) => [`${u.line}/${u.unit}`, u.amount.minor]));
        const refunds: ReturnType<typeof refund>[] = [];
        let expected = 0;
        for (const [i, n] of ending.entries()) {
          const held = unitsOf(order).filter((_, at) => caseOf[at] === n);
          const settled = settle(order, held, { reason, by }, rules);
          const whole = wholeAtEnd && i === ending.length - 1;
          refunds.push(refund(order, settled, { whole, payments: after(order, refunds) }, rules));
          expected += held.reduce((so, u) => so + (price.get(`${u.line}/${u.unit}`) ?? 0), 0) - settled.deducted.minor + (whole ? order.freight.paid.minor : 0);
        }
        expect(total(refunds.map((r) => r.total))).toBe(expected);
        for (const r of refunds) expect(r.total.minor).toBe(total(r.parts.map((p) => p.amount)));
        expect(expected).toBeLessThanOrEqual(priceOf(order));
      },
      [wrong.freightEachTime],
    );
  });

  test('never more than paid: whatever cases return whatever units, and whatever others refunded meanwhile, no payment gives back more than it was', () => {
    const returns = fc.record({
      cases: casesArbitrary,
      by: ways,
      reason: reasons,
      elsewhere: fc.array(fc.double({ min: 0, max: 1.5, noNaN: true }), { minLength: 3, maxLength: 3 }),
      wholeEveryTime: fc.boolean(),
    });
    holds(
      returns,
      ({ cases: { order, caseOf, ending }, by, reason, elsewhere, wholeEveryTime }, rules) => {
        // Finance may even have sent more than a payment was: that is its own to put right.
        const refunded = new Map(order.payments.map((p, i) => [p.paymentId, Math.floor((elsewhere[i] ?? 0) * p.amount.minor)]));
        const before = new Map(refunded);
        for (const n of ending) {
          const held = unitsOf(order).filter((_, i) => caseOf[i] === n);
          const settled = settle(order, held, { by, reason }, rules);
          const payments = order.payments.map((p) => ({ ...p, refunded: money(refunded.get(p.paymentId) ?? 0, order.currency) }));
          const { parts, total: sum } = refund(order, settled, { whole: wholeEveryTime, payments }, rules);
          expect(sum.minor).toBe(total(parts.map((p) => p.amount)));
          expect(sum.minor).toBeLessThanOrEqual(settled.refund.minor + (wholeEveryTime ? order.freight.paid.minor : 0));
          for (const p of parts) refunded.set(p.paymentId, (refunded.get(p.paymentId) ?? 0) + p.amount.minor);
        }
        for (const p of order.payments) expect(refunded.get(p.paymentId)).toBeLessThanOrEqual(Math.max(p.amount.minor, before.get(p.paymentId) ?? 0));
      },
      [wrong.othersForgotten],
    );
  });

  test('cases that refund at once, each seeing none of the others, still never draw on the same minor unit of a payment', () => {
    holds(
      casesArbitrary,
      ({ order, caseOf, ending }, rules) => {
        const refunds = ending.map((n) => {
          const held = unitsOf(order).filter((_, i) => caseOf[i] === n);
          const settled = settle(order, held, { reason: 'noReason' }, rules);
          const made = refund(order, settled, {}, rules);
          // Nobody else refunded, so it is all there: the units less our label, once.
          expect(made.total).toEqual(settled.refund);
          return made;
        });
        for (const p of after(order, refunds)) expect(p.refunded.minor).toBeLessThanOrEqual(p.amount.minor);
      },
      [wrong.firstPaymentFirst],
    );
  });

  test('the order of receipts does not matter: the same accepted units settle the same, however they arrived', () => {
    fc.assert(
      fc.property(
        casesArbitrary.chain(({ order }) => fc.record({ order: fc.constant(order), arrived: fc.shuffledSubarray(unitsOf(order)) })),
        ({ order, arrived }) => {
          const held = unitsOf(order);
          const sorted = arrived.toSorted((a, b) => a.line - b.line);
          expect(settle(order, held, { accepted: arrived })).toEqual(settle(order, held, { accepted: sorted }));
          expect(settle(order, held.toReversed(), { accepted: sorted })).toEqual(settle(order, held, { accepted: sorted }));
        },
      ),
    );
  });
});

describe('the settlement', () => {
  test('of the units a case holds only the accepted are used and paid for', () => {
    const order = simple({ total: 1000, lines: [{ quantity: 4, listTotal: 1000 }] });
    const held = [3, 2, 4].map((unit) => ({ line: 1, unit }));
    expect(settle(order, held, { accepted: [{ line: 1 }, { line: 1 }] })).toMatchObject({ units: [{ unit: 2 }, { unit: 3 }], refund: cny(500) });
  });

  test('more accepted units than the case holds of a line are not paid for', () => {
    const order = simple({ total: 1000, lines: [{ quantity: 2, listTotal: 1000 }] });
    const held = [{ line: 1, unit: 2 }];
    expect(settle(order, held, { accepted: [{ line: 1 }, { line: 1 }, { line: 7 }] })).toMatchObject({
      units: [{ line: 1, unit: 2, amount: cny(500) }],
      refund: cny(500),
    });
  });

  test('a discount on the order is prorated over its lines and units, and the cent that does not divide goes to one of them', () => {
    const order = simple({
      lines: [
        { quantity: 3, listTotal: 9000 },
        { quantity: 1, listTotal: 1000 },
      ],
      discounts: [{ kind: 'promotion', amount: cny(1001) }],
      total: 8999,
    });
    // 9000/10000 of 1001 is 900.9: 901 off line 1, 100 off line 2.
    expect(settle(order, unitsOf(order)).units.map((u) => u.amount.minor)).toEqual([2700, 2700, 2699, 900]);
  });

  test('a discount of one line is not taken off the others, and what the platform says of its shares is taken as said', () => {
    const lines = [
      { quantity: 1, listTotal: 1000 },
      { quantity: 1, listTotal: 1000 },
    ];
    const limited = simple({ lines, discounts: [{ kind: 'promotion', amount: cny(300), lines: [2] }], total: 1700 });
    expect(settle(limited, unitsOf(limited)).units.map((u) => u.amount.minor)).toEqual([1000, 700]);
    const discounts = [{ kind: 'promotion', amount: cny(300) }];
    const stated = simple({ lines: lines.map((l, i) => ({ ...l, discountShare: i === 0 ? 250 : 50 })), discounts, total: 1700 });
    expect(settle(stated, unitsOf(stated)).units.map((u) => u.amount.minor)).toEqual([750, 950]);
  });

  test('yen have no smaller unit and dinars a thousandth: nothing is lost or made in either', () => {
    for (const [currency, minor] of [
      ['JPY', 1000],
      ['KWD', 1001],
    ] as const) {
      const order = simple({ lines: [{ quantity: 3, listTotal: minor }], total: minor }, currency);
      expect(settle(order, unitsOf(order)).units.map((u) => u.amount)).toEqual(prorate(minor, [1, 1, 1]).map((m) => money(m, currency)));
    }
  });

  test('money paid by mistake beyond price and freight is not part of a return', () => {
    const order = simple({ lines: [{ quantity: 1, listTotal: 1000 }], total: 1500, freight: 200 });
    expect(settle(order, unitsOf(order)).refund).toEqual(cny(1000));
  });

  test('freight: the customer pays the return of what was not our fault, by our label off the refund; for our fault we pay the courier up to the policy', () => {
    const order = simple({ lines: [{ quantity: 1, listTotal: 10_000 }], total: 10_000, insured: true });
    const held = unitsOf(order);
    expect(settle(order, held, { reason: 'noReason', by: 'label' })).toMatchObject({
      refund: cny(8800),
      deducted: cny(1200),
      reasons: ['shareOfPaid', 'customerPaysFreight', 'labelDeducted', 'freightInsured'],
    });
    expect(settle(order, held, { reason: 'noReason', by: 'ownCourier', freights: [cny(900)] })).toMatchObject({ refund: cny(10_000), freightOwed: cny(0) });
    expect(settle(order, held, { reason: 'quality', by: 'label' })).toMatchObject({
      refund: cny(10_000),
      deducted: cny(0),
      reasons: ['shareOfPaid', 'sellerPaysFreight'],
    });
    expect(settle(order, held, { reason: 'quality', by: 'ownCourier', freights: [cny(900)] }).freightOwed).toEqual(cny(900));
    expect(settle(order, held, { reason: 'quality', by: 'ownCourier', freights: [cny(900), cny(200)] }).freightOwed).toEqual(cny(1100));
    expect(settle(order, held, { reason: 'quality', by: 'ownCourier', freights: [cny(900), cny(9_000)] }).freightOwed).toEqual(cny(1200));
    expect(settle(order, held, { reason: 'quality', by: 'ownCourier', freights: [money(900, 'USD')] }).freightOwed).toEqual(cny(0));
    expect(settle(order, held, { reason: 'noReason', by: 'kept' })).toMatchObject({
      refund: cny(10_000),
      deducted: cny(0),
      reasons: ['shareOfPaid', 'goodsKept'],
    });
  });

  test('our label is never dearer than the goods', () => {
    const order = simple({ lines: [{ quantity: 1, listTotal: 700 }], total: 700 });
    expect(settle(order, unitsOf(order), { reason: 'noReason', by: 'label' })).toMatchObject({ refund: cny(0), deducted: cny(700) });
  });

  test('goods of several categories in one return: we pay the way back when that holds for all of them', () => {
    const order = simple({
      lines: [
        { quantity: 1, listTotal: 5000, category: 'shoes' },
        { quantity: 1, listTotal: 5000, category: 'lamps' },
      ],
      total: 10_000,
    });
    const free = returning({ categories: { shoes: { reasons: { noReason: { returnFreight: 'seller' } } } } });
    const deducted = (lines: number[]) => {
      const held = lines.map((line) => ({ line, unit: 1 }));
      return settlement({ order, held, asked: asked(held), accepted: held, reason: 'noReason', by: 'label', freights: [] }, free).deducted.minor;
    };
    expect([deducted([1]), deducted([2]), deducted([1, 2])]).toEqual([0, 1200, 1200]);
  });

  test('it ended well when all that was asked for was accepted, for a reason that the policy thanks for', () => {
    const order = simple({ lines: [{ quantity: 2, listTotal: 1000 }], total: 1000 });
    const held = unitsOf(order);
    expect(settle(order, held).welcome).toBe(true);
    expect(settle(order, held, { reason: 'noReason' }).welcome).toBe(false);
    expect(settle(order, held, { accepted: [{ line: 1 }] }).welcome).toBe(false);
  });

  test('nothing accepted: nothing refunded', () => {
    const order = simple({ lines: [{ quantity: 1, listTotal: 500_000 }], total: 500_000 });
    expect(settle(order, unitsOf(order), { accepted: [] })).toMatchObject({
      units: [],
      refund: cny(0),
      deducted: cny(0),
      welcome: false,
      reasons: ['nothingAccepted', 'sellerPaysFreight'],
    });
  });
});

describe('authority', () => {
  const facts: AuthorityFacts = { refund: cny(0), by: 'label', earlier: [], reviewer: 'agent' };
  const decide = (more: Partial<AuthorityFacts>) => authority({ ...facts, ...more }, context);
  const kept = (minor: number, earlier: AuthorityFacts['earlier'] = [], reviewer: AuthorityFacts['reviewer'] = 'agent') =>
    decide({ refund: cny(minor), by: 'kept', earlier, reviewer });
  const before = (...minors: number[]) => minors.map((minor, i) => ({ at: plus(asOf, -(i + 1) * day), amount: cny(minor) }));

  test('nobody up to the reviewer’s limit, then the lowest role whose limit covers it; in a currency without limits the manager', () => {
    const at = (minor: number, reviewer: AuthorityFacts['reviewer'], currency = 'CNY') => decide({ refund: money(minor, currency), reviewer }).approver;
    expect([at(20_000, 'agent'), at(20_001, 'agent'), at(200_000, 'agent'), at(200_001, 'agent')]).toEqual([null, 'supervisor', 'supervisor', 'manager']);
    expect([at(200_000, 'supervisor'), at(200_001, 'supervisor'), at(900_000, 'manager'), at(1, 'agent', 'JPY')]).toEqual([null, 'manager', null, 'manager']);
    expect(decide({ refund: cny(20_000) }).reasons).toEqual(['withinAuthority']);
    expect(decide({ refund: cny(20_001) })).toEqual({ approver: 'supervisor', doubtful: false, reasons: ['aboveAuthority'] });
  });

  test('goods kept above their own threshold need a supervisor although the amount would not', () => {
    expect(kept(5000)).toEqual({ approver: null, doubtful: false, reasons: ['withinAuthority'] });
    expect(kept(5001)).toEqual({ approver: 'supervisor', doubtful: false, reasons: ['keptAboveLimit'] });
    expect(decide({ refund: cny(5001) }).approver).toBeNull();
    expect(decide({ refund: money(1, 'KWD'), by: 'kept' })).toMatchObject({ approver: 'manager', reasons: ['manyKept', 'keptAboveLimit', 'aboveAuthority'] });
  });

  test('the fourth time within 90 days that goods are kept is a supervisor’s, whatever the amount; what was longer ago does not count', () => {
    expect(kept(100, before(100, 100))).toMatchObject({ approver: null, doubtful: false });
    expect(kept(100, before(100, 100, 100))).toEqual({ approver: 'supervisor', doubtful: true, reasons: ['manyKept'] });
    expect(kept(100, [...before(100, 100), { at: plus(asOf, -90 * day), amount: cny(100) }]).doubtful).toBe(false);
    expect(kept(100, [...before(100, 100), { at: plus(asOf, -90 * day + 1), amount: cny(100) }]).doubtful).toBe(true);
    expect(kept(100, before(100, 100, 100), 'supervisor')).toMatchObject({ approver: null, doubtful: true });
  });

  test('all that a customer kept within the time adds up, each currency by itself', () => {
    expect(kept(4000, before(16_000)).doubtful).toBe(false);
    expect(kept(4001, before(16_000))).toMatchObject({ approver: 'supervisor', doubtful: true, reasons: ['manyKept'] });
    expect(kept(4001, [{ at: plus(asOf, -day), amount: money(16_000, 'USD') }, { at: plus(asOf, -day) }]).doubtful).toBe(false);
  });

  test('goods that came back are never doubtful, however many were kept before', () => {
    expect(decide({ refund: cny(100), earlier: before(100, 100, 100, 99_999) })).toMatchObject({ approver: null, doubtful: false });
  });

  test('is monotone: a higher amount, more cases before, or a lower reviewer never needs a lower role', () => {
    const rank = (role: string | null): number => ladder.findIndex((r) => r === role);
    const drawn = fc.record({
      minor: fc.integer({ min: 0, max: 300_000 }),
      more: fc.integer({ min: 0, max: 300_000 }),
      by: ways,
      earlier: fc.array(fc.record({ days: fc.integer({ min: 0, max: 120 }), minor: fc.integer({ min: 0, max: 30_000 }) }), { maxLength: 5 }),
      reviewer: fc.constantFrom(...ladder),
      currency: fc.constantFrom('CNY', 'USD', 'JPY'),
    });
    holds(
      drawn,
      ({ minor, more, by, earlier: history, reviewer, currency }, rules) => {
        const asked = (given: AuthorityFacts) => rules.authority(given, context).approver;
        const earlier = history.map((e) => ({ at: plus(asOf, -e.days * day), amount: money(e.minor, currency) }));
        const refunding = { refund: money(minor, currency), by, earlier, reviewer };
        const now = asked(refunding);
        expect(rank(asked({ ...refunding, refund: money(minor + more, currency) }))).toBeGreaterThanOrEqual(rank(now));
        expect(rank(now)).toBeGreaterThanOrEqual(rank(asked({ ...refunding, earlier: earlier.slice(1) })));
        // What stays with the customer never needs a lower role than what came back.
        expect(rank(asked({ ...refunding, by: 'kept' }))).toBeGreaterThanOrEqual(rank(asked({ ...refunding, by: 'label' })));
        // Who approves is always above who asked; and once somebody high enough reviewed, nobody has to.
        if (now !== null) expect(rank(now)).toBeGreaterThan(rank(reviewer));
        for (const higher of ladder.slice(rank(reviewer))) expect([null, now]).toContain(asked({ ...refunding, reviewer: higher }));
        expect(asked({ ...refunding, reviewer: 'manager' })).toBeNull();
      },
      [wrong.keptIsSupervisors, wrong.largeIsFree],
    );
  });
});

describe('the swap', () => {
  const order = simple({
    lines: [
      { quantity: 2, listTotal: 10_000 },
      { quantity: 1, listTotal: 3000 },
    ],
    discounts: [{ kind: 'promotion', amount: cny(1300) }],
    total: 11_700,
  });
  const swapped = (replacements: readonly (string | undefined)[], prices: readonly [sku: string, minor: number][], more: Partial<SettlementFacts> = {}) =>
    swap(
      {
        order,
        lines: replacements.map((replacement, i) => ({ line: i + 1, ...(replacement === undefined ? {} : { replacement }) })),
        value: settle(order, unitsOf(order), more),
        prices: prices.map(([sku, minor]) => ({ sku, unitPrice: cny(minor) })),
      },
      context,
    );

  test('the same goods again are worth the same, whatever they cost now', () => {
    expect(swapped([undefined, 'sku-2'], [['sku-2', 99_999]])).toEqual({
      pay: cny(0),
      back: cny(0),
      lines: [
        { sku: 'sku-1', quantity: 2 },
        { sku: 'sku-2', quantity: 1 },
      ],
      reasons: ['noDifference'],
    });
  });

  test('dearer goods: the customer pays what they cost above what was paid for the old, discount included; cheaper goods: it goes back', () => {
    // Two units of 45.00 and one of 27.00 were paid.
    expect(swapped(['new'], [['new', 5000]])).toMatchObject({ pay: cny(1000), back: cny(0), reasons: ['differencePaid'] });
    expect(swapped(['new'], [['new', 4000]])).toMatchObject({ pay: cny(0), back: cny(1000), reasons: ['differenceRefunded'] });
    expect(
      swapped(
        ['new', 'other'],
        [
          ['new', 5000],
          ['other', 1700],
        ],
      ),
    ).toMatchObject({ pay: cny(0), back: cny(0), reasons: ['noDifference'] });
  });

  test('what is sent is what was accepted, each sku once', () => {
    expect(swapped(['new', 'new'], [['new', 100]], { accepted: [{ line: 1 }, { line: 2 }] }).lines).toEqual([{ sku: 'new', quantity: 2 }]);
  });

  test('goods without a price, or with one in another currency, are worth what they replace', () => {
    expect(swapped(['new'], [])).toMatchObject({ pay: cny(0), back: cny(0) });
    const facts: SwapFacts = {
      order,
      lines: [{ line: 1, replacement: 'new' }],
      value: settle(order, unitsOf(order)),
      prices: [{ sku: 'new', unitPrice: money(1, 'USD') }],
    };
    expect(swap(facts, context)).toMatchObject({ pay: cny(0), back: cny(0) });
  });

  test('our label, where the customer pays it, is part of the difference', () => {
    expect(swapped([], [], { reason: 'noReason' })).toMatchObject({ pay: cny(1200), back: cny(0) });
    expect(swapped(['new'], [['new', 4000]], { reason: 'noReason' })).toMatchObject({ pay: cny(200), back: cny(0) });
  });

  const exchanges = fc.record({
    cases: casesArbitrary,
    wanted: fc.array(fc.option(fc.constantFrom('sku-1', 'x', 'y', 'unpriced'), { nil: undefined }), { minLength: 5, maxLength: 5 }),
    prices: fc.record({ x: fc.integer({ min: 0, max: 80_000 }), y: fc.integer({ min: 0, max: 80_000 }) }),
    reason: reasons,
    by: ways,
  });

  test('nobody pays both ways; old goods and what is paid are worth the new goods, the label and what goes back, to the minor unit; and the refund of it fits the payments', () => {
    holds(
      exchanges,
      ({ cases: { order: bought, caseOf }, wanted, prices, reason, by }, rules) => {
        const held = unitsOf(bought).filter((_, i) => caseOf[i] === 0);
        const value = settle(bought, held, { reason, by });
        const lines = bought.lines.map(({ line }, i) => ({ line, replacement: wanted[i] }));
        const asks = Object.entries(prices).map(([sku, minor]) => ({ sku, unitPrice: money(minor, bought.currency) }));
        const { pay, back, lines: sent } = rules.swap({ order: bought, lines, value, prices: asks }, context);
        expect(Math.min(pay.minor, back.minor)).toBe(0);
        expect(sent.reduce((so, l) => so + l.quantity, 0)).toBe(value.units.length);
        const worth = value.units.reduce((so, { line, amount }) => {
          const sku = wanted[line - 1];
          return so + (sku === 'x' || sku === 'y' ? prices[sku] : amount.minor);
        }, 0);
        expect(total(value.units.map((u) => u.amount)) + pay.minor).toBe(worth + value.deducted.minor + back.minor);
        expect(back.minor).toBeLessThanOrEqual(value.refund.minor);
        if (wanted.every((w) => w === undefined)) expect([pay.minor, back.minor]).toEqual([value.deducted.minor, 0]);
        const { total: refunded, coupons, points } = refund(bought, { units: value.units, refund: back }, { replaced: true });
        expect([refunded, coupons, points]).toEqual([back, [], 0]);
      },
      [wrong.listPrices],
    );
  });
});

describe('the refund', () => {
  test('original shipping comes back with the last unit of the order, and never when the policy says so', () => {
    const order = simple({ lines: [{ quantity: 1, listTotal: 1000 }], total: 1200, freight: 200 });
    const settled = settle(order, unitsOf(order));
    expect(refund(order, settled)).toMatchObject({ total: cny(1000), reasons: ['partOfOrder'] });
    expect(refund(order, settled, { whole: true })).toMatchObject({ total: cny(1200), reasons: ['wholeOrder'] });
    const facts = { order, units: settled.units, due: settled.refund, replaced: false, whole: true, payments: order.payments };
    expect(refundParts(facts, returning({ originalFreight: 'never' }))).toMatchObject({ total: cny(1000), reasons: ['partOfOrder'] });
  });

  test('each payment is refunded what it paid, wallets and gift cards at once; what another refund left short is made up by the other payment', () => {
    const order = simple({
      lines: [
        { quantity: 1, listTotal: 600 },
        { quantity: 1, listTotal: 400 },
      ],
      total: 1000,
      payments: [
        ['card', 700],
        ['giftCard', 300],
      ],
    });
    const of = (lines: number[], payments = order.payments) =>
      refund(
        order,
        settle(
          order,
          lines.map((line) => ({ line, unit: 1 })),
        ),
        { payments },
      );
    expect(of([1]).parts).toEqual([{ paymentId: 'pay-0', method: 'card', amount: cny(600), atOnce: false }]);
    expect(of([2]).parts).toEqual([
      { paymentId: 'pay-0', method: 'card', amount: cny(100), atOnce: false },
      { paymentId: 'pay-1', method: 'giftCard', amount: cny(300), atOnce: true },
    ]);
    const refunded = (minor: number) => order.payments.map((p, i) => (i === 1 ? { ...p, refunded: cny(minor) } : p));
    expect(of([2], refunded(250))).toMatchObject({
      parts: [
        { paymentId: 'pay-0', amount: cny(350) },
        { paymentId: 'pay-1', amount: cny(50) },
      ],
      reasons: ['partOfOrder', 'refundedBefore'],
    });
    // More than the payment was: what is too much there is not paid once more from here.
    expect(of([2], refunded(900))).toMatchObject({ parts: [{ paymentId: 'pay-0', amount: cny(400) }], total: cny(400) });
    // What the case has refunded itself, in a life that it has forgotten, it asks for again, part for part: its keys are known, and nothing is paid twice.
    const forgotten = refunded(250).map((p) => ({ ...p, refundedByCase: p.refunded }));
    expect(of([2], forgotten)).toEqual(of([2]));
    const spent = order.payments.map((p) => ({ ...p, refunded: p.amount }));
    expect(of([1, 2], spent)).toMatchObject({ parts: [], total: cny(0), reasons: ['partOfOrder', 'refundedBefore'] });
  });

  test('goods that were replaced: only the difference goes back, and coupons and points stay used', () => {
    const order = simple({
      lines: [{ quantity: 1, listTotal: 1000 }],
      discounts: [
        { kind: 'coupon', ref: 'C1', amount: cny(100) },
        { kind: 'points', amount: cny(100), points: 50 },
      ],
      total: 800,
    });
    const settled = settle(order, unitsOf(order));
    expect(refund(order, { ...settled, refund: cny(300) }, { replaced: true })).toMatchObject({
      total: cny(300),
      coupons: [],
      points: 0,
      reasons: ['partOfOrder', 'goodsReplaced'],
    });
    expect(refund(order, { ...settled, refund: cny(0) }, { replaced: true }).parts).toEqual([]);
  });

  test('coupons and points come back for the units they were for, by list price; promotions do not', () => {
    const order = simple({
      lines: [
        { quantity: 2, listTotal: 6000 },
        { quantity: 1, listTotal: 4000 },
      ],
      discounts: [
        { kind: 'promotion', ref: 'P1', amount: cny(500) },
        { kind: 'coupon', ref: 'C1', amount: cny(1000) },
        { kind: 'coupon', ref: 'C2', amount: cny(300), lines: [2] },
        { kind: 'points', amount: cny(101), points: 101 },
      ],
      total: 8099,
    });
    const back = (...units: LineUnit[]) => refund(order, settle(order, units));
    expect(back({ line: 1, unit: 1 })).toMatchObject({ coupons: [{ couponId: 'C1', amount: cny(300) }], points: 30 });
    expect(back({ line: 2, unit: 1 })).toMatchObject({
      coupons: [
        { couponId: 'C1', amount: cny(400) },
        { couponId: 'C2', amount: cny(300) },
      ],
      points: 41,
    });
  });

  test('a coupon that the platform tells as two discounts comes back once, with both', () => {
    const order = simple({
      lines: [
        { quantity: 1, listTotal: 1000 },
        { quantity: 1, listTotal: 1000 },
      ],
      discounts: [
        { kind: 'coupon', ref: 'C1', amount: cny(100), lines: [1] },
        { kind: 'coupon', ref: 'C1', amount: cny(70), lines: [2] },
      ],
      total: 1830,
    });
    expect(refund(order, settle(order, unitsOf(order))).coupons).toEqual([{ couponId: 'C1', amount: cny(170) }]);
  });
});

describe('causes and losses', () => {
  const order = simple({ lines: [{ quantity: 3, listTotal: 3001, category: 'cups' }], total: 3001 });
  const { units } = settle(order, unitsOf(order));
  const booked = (accepted: LossFacts['accepted']) => losses({ order, accepted, units: units.slice(0, accepted.length) }, context);

  test('what each disposition loses of what was paid; what stayed or was lost is lost whole', () => {
    const found = booked([
      { line: 1, unitId: 'a', disposition: 'restock', cause: 'none' },
      { line: 1, unitId: 'b', disposition: 'refurbish', cause: 'transport' },
      { line: 1 },
    ]);
    expect(found.units).toEqual([
      { line: 1, unit: 1, product: 'product-1', category: 'cups', cause: 'none', disposition: 'restock', loss: cny(0) },
      { line: 1, unit: 2, product: 'product-1', category: 'cups', cause: 'transport', disposition: 'refurbish', loss: cny(400) },
      { line: 1, unit: 3, product: 'product-1', category: 'cups', cause: 'none', disposition: 'kept', loss: cny(1000) },
    ]);
    expect(found.reasons).toEqual(['lossBooked']);
    expect(booked([{ line: 1, unitId: 'a', disposition: 'restock', cause: 'customer' }]).reasons).toEqual(['soldAgain']);
  });

  test('a unit loses between nothing and what was paid for it, and every accepted unit is booked once', () => {
    const accepted = fc.record({ disposition: fc.constantFrom('restock', 'refurbish', 'scrap', undefined), cause: fc.constantFrom('none', 'transport') });
    fc.assert(
      fc.property(orderArbitrary, fc.infiniteStream(accepted), (bought, found) => {
        const value = settle(bought, unitsOf(bought));
        const given = value.units.map(({ line }, i) => {
          const { disposition, cause } = found.next().value as { disposition: 'restock' | undefined; cause: string };
          return disposition === undefined ? { line } : { line, unitId: `u${i}`, disposition, cause };
        });
        const all = losses({ order: bought, accepted: given, units: value.units }, context).units;
        expect(all.map((u) => [u.line, u.unit])).toEqual(value.units.map((u) => [u.line, u.unit]));
        for (const [i, u] of all.entries()) {
          expect(u.loss.minor).toBeGreaterThanOrEqual(0);
          expect(u.loss.minor).toBeLessThanOrEqual(value.units[i]?.amount.minor ?? 0);
        }
        const counted = (codes: readonly (string | undefined)[]) => codes.map((code) => code ?? 'kept').toSorted();
        expect(counted(all.map((u) => u.disposition))).toEqual(counted(given.map((a) => ('disposition' in a ? a.disposition : undefined))));
      }),
    );
  });
});

describe('eligibility', () => {
  const signedAt = parseInstant('2026-11-01T10:00:00+08:00');
  const facts: EligibilityFacts = {
    order: {
      shop: 's1',
      customer: 'c1',
      signedAt,
      lines: [
        { line: 1, sku: 'cup', category: 'drinkware', quantity: 2, returned: 0, exceptions: [] },
        { line: 2, sku: 'pot', category: 'drinkware', quantity: 1, returned: 1, exceptions: [] },
      ],
    },
    shop: 's1',
    customer: 'c1',
    requestedAt: parseInstant('2026-11-03T10:00:00+08:00'),
    reason: 'noReason',
    lines: [{ line: 1, quantity: 1, opened: false }],
    evidence: 0,
    earlier: [],
    round: 1,
  };
  const advise = (more: Partial<EligibilityFacts>) => eligibility({ ...facts, ...more }, context);
  const excepted = (exceptions: string[], opened: boolean, reason: EligibilityFacts['reason'] = 'noReason') =>
    advise({
      reason,
      evidence: 1,
      lines: [{ line: 1, quantity: 1, opened }],
      order: { ...facts.order, lines: [{ line: 1, sku: 'cup', category: 'drinkware', quantity: 1, returned: 0, exceptions }] },
    });

  test('seven days count from the day after signing and end with the seventh, at midnight in Shanghai', () => {
    const signings = ['2026-11-01T00:00:00+08:00', '2026-11-01T23:59:59.999+08:00'].map(parseInstant);
    for (const signed of signings) {
      const at = (requestedAt: string) => advise({ order: { ...facts.order, signedAt: signed }, requestedAt: parseInstant(requestedAt) });
      expect(at('2026-11-01T23:59:59.999+08:00')).toMatchObject({ advice: 'approve', days: 0 });
      expect(at('2026-11-08T23:59:59.999+08:00')).toMatchObject({ advice: 'approve', days: 7, lastDay: '2026-11-08', reasons: ['withinTime'] });
      expect(at('2026-11-09T00:00:00+08:00')).toMatchObject({ advice: 'reject', days: 8, lastDay: '2026-11-08', reasons: ['pastTime'] });
    }
  });

  test('only the two calendar days count, wherever in them signing and request fall', () => {
    const at = fc.integer({ min: 0, max: 86_399_999 });
    const midnight = Date.parse('2026-11-01T00:00:00+08:00');
    fc.assert(
      fc.property(at, at, fc.integer({ min: 0, max: 20 }), (signed, requested, days) => {
        const answer = advise({
          order: { ...facts.order, signedAt: instant(midnight + signed) },
          requestedAt: instant(midnight + days * 86_400_000 + requested),
        });
        expect(answer).toMatchObject({ days, advice: days <= 7 ? 'approve' : 'reject' });
      }),
    );
  });

  test('our fault has its own, longer time', () => {
    const quality = { reason: 'quality', evidence: 1 } as const;
    expect(advise({ ...quality, requestedAt: parseInstant('2026-11-16T12:00:00+08:00') }).advice).toBe('approve');
    expect(advise({ ...quality, requestedAt: parseInstant('2026-11-17T00:00:00+08:00') }).advice).toBe('reject');
  });

  test('a fault has to be shown: without evidence more is asked for', () => {
    expect(advise({ reason: 'quality' })).toMatchObject({
      advice: 'moreEvidence',
      freight: { quality: 'sellerPaysFreight', noReason: 'customerPaysFreight' },
      reasons: ['withinTime', 'evidenceMissing'],
    });
    expect(advise({ reason: 'quality', evidence: 1 }).advice).toBe('approve');
  });

  test.each(['customMade', 'perishable', 'periodical', 'confirmedAtPurchase'])(
    '%s goods are excepted from the return without a reason, but not from our fault',
    (exception) => {
      expect(excepted([exception], false)).toMatchObject({ advice: 'reject', reasons: [exception, 'withinTime'] });
      expect(excepted([exception], false, 'quality').advice).toBe('approve');
    },
  );

  test('audio-visual, software and digital goods are excepted once their own seal is broken', () => {
    expect(excepted(['digital'], false).advice).toBe('approve');
    expect(excepted(['digital'], true)).toMatchObject({ advice: 'reject', reasons: ['digital', 'withinTime'] });
  });

  test('opening a parcel to inspect the goods is no ground for a refusal', () => {
    expect(excepted([], true)).toMatchObject({ advice: 'approve', reasons: ['withinTime', 'openedIsNoGround'] });
  });

  test('an exception that the policy does not know does not count', () => {
    expect(excepted(['hazardous'], true).advice).toBe('approve');
  });

  test('what already came back, or is not in the order, is advised against', () => {
    expect(advise({ lines: [{ line: 1, quantity: 2, opened: false }] }).advice).toBe('approve');
    expect(advise({ lines: [{ line: 1, quantity: 3, opened: false }] }).reasons).toContain('alreadyReturned');
    expect(advise({ lines: [{ line: 2, quantity: 1, opened: false }] })).toMatchObject({ advice: 'reject', reasons: ['alreadyReturned', 'withinTime'] });
    expect(advise({ lines: [{ line: 9, quantity: 1, opened: false }] })).toMatchObject({ advice: 'reject', reasons: ['unknownLine', 'withinTime'] });
  });

  test('an order of another shop or customer, and one nobody has signed for, is advised against', () => {
    expect(advise({ shop: 's2' }).reasons).toContain('otherShop');
    expect(advise({ customer: 'c2' }).reasons).toContain('otherCustomer');
    const { signedAt: _, ...unsigned } = facts.order;
    expect(advise({ order: unsigned })).toMatchObject({ advice: 'reject', days: null, lastDay: null, reasons: ['notSigned'] });
  });

  test('a customer who returns more than the policy’s frequency is a supervisor’s to review, and so is the fourth round', () => {
    const times = (n: number, ago: number) => Array.from({ length: n }, () => ({ at: plus(asOf, -ago) }));
    expect(advise({ earlier: times(9, day) })).toMatchObject({ reviewer: 'agent', advice: 'approve' });
    expect(advise({ earlier: times(10, 30 * day - 1) })).toMatchObject({ reviewer: 'supervisor', advice: 'approve', reasons: ['withinTime', 'manyReturns'] });
    expect(advise({ earlier: times(10, 30 * day) }).reviewer).toBe('agent');
    expect([advise({ round: 3 }).reviewer, advise({ round: 4 }).reviewer]).toEqual(['agent', 'supervisor']);
  });

  test('what a replacement takes: the same goods, or what is wanted instead, each sku once', () => {
    const lines = [
      { line: 1, quantity: 2, opened: false },
      { line: 2, quantity: 1, opened: false, replacement: 'cup' },
    ];
    expect(advise({ lines }).wanted).toEqual([{ sku: 'cup', quantity: 3 }]);
    expect(advise({ lines: [{ line: 1, quantity: 1, opened: false, replacement: 'pan' }] }).wanted).toEqual([{ sku: 'pan', quantity: 1 }]);
    expect(advise({ lines: [{ line: 9, quantity: 1, opened: false }] }).wanted).toEqual([]);
  });

  describe('by category', () => {
    const order = {
      ...facts.order,
      lines: ['fresh', 'phones', 'cups'].map((category, i) => ({ line: i + 1, sku: category, category, quantity: 1, returned: 0, exceptions: [] })),
    };
    const ask = (lines: number[], more: Partial<EligibilityFacts> = {}, under = context) =>
      eligibility({ ...facts, order, lines: lines.map((line) => ({ line, quantity: 1, opened: false })), ...more }, under);

    test('a category that is excepted is advised against for no reason, named by line; not for our fault', () => {
      expect(ask([1, 3])).toMatchObject({
        advice: 'reject',
        lines: [
          { line: 1, lastDay: '2026-11-08', against: ['perishable'] },
          { line: 3, lastDay: '2026-11-08', against: [] },
        ],
        reasons: ['perishable', 'withinTime'],
      });
      expect(ask([1], { reason: 'quality', evidence: 1 }).advice).toBe('approve');
    });

    test('what the shop says of the line and its category says too is one reason', () => {
      const twice = { ...order, lines: order.lines.map((l) => ({ ...l, exceptions: ['perishable'] })) };
      expect(ask([1, 2], { order: twice }).reasons).toEqual(['perishable', 'withinTime']);
    });

    test('a shorter time of a category ends its line’s, and the shortest of all lines the request’s', () => {
      const late = { reason: 'quality', evidence: 1, requestedAt: parseInstant('2026-11-04T08:00:00+08:00') } as const;
      expect(ask([1, 3], late)).toMatchObject({
        advice: 'reject',
        days: 3,
        lastDay: '2026-11-03',
        lines: [
          { line: 1, lastDay: '2026-11-03', against: ['pastTime'] },
          { line: 3, lastDay: '2026-11-16', against: [] },
        ],
        reasons: ['pastTime'],
      });
      expect(ask([3], late)).toMatchObject({ advice: 'approve', lastDay: '2026-11-16' });
    });

    const phones = (terms: PolicyValues['returns']['categories'][string]) => returning({ categories: { phones: terms } });
    test('a category may lengthen a time, demand evidence, pay the freight, and waive exceptions', () => {
      const longer = phones({ reasons: { noReason: { within: { calendarDays: 30 } } } });
      expect(ask([2], { requestedAt: parseInstant('2026-11-20T08:00:00+08:00') }, longer)).toMatchObject({ advice: 'approve', lastDay: '2026-12-01' });
      const shown = phones({ reasons: { noReason: { evidence: 'required' } } });
      expect([ask([2, 3], {}, shown).advice, ask([3], {}, shown).advice, ask([2], { evidence: 1 }, shown).advice]).toEqual([
        'moreEvidence',
        'approve',
        'approve',
      ]);
      const paid = phones({ reasons: { noReason: { returnFreight: 'seller' } } });
      expect([ask([2], {}, paid).freight.noReason, ask([2, 3], {}, paid).freight.noReason]).toEqual(['sellerPaysFreight', 'customerPaysFreight']);
      const made = { ...order, lines: order.lines.map((l) => ({ ...l, exceptions: ['customMade'] })) };
      const waived = phones({ reasons: { noReason: { exceptions: 'waived' } } });
      expect([ask([2], { order: made }, waived).advice, ask([3], { order: made }, waived).advice]).toEqual(['approve', 'reject']);
    });

    test('a shop that pays the freight of every return keeps its exceptions', () => {
      const { noReason } = context.policy.returns.reasons;
      const generous = returning({ reasons: { ...context.policy.returns.reasons, noReason: { ...noReason, returnFreight: 'seller' } } });
      expect(ask([1], {}, generous)).toMatchObject({ advice: 'reject', reasons: ['perishable', 'withinTime'] });
    });

    test('an exception of the shop’s own holds like those of the law', () => {
      const own = returning({
        noReasonExceptions: { hygiene: { title: { zh: '贴身用品', en: 'Worn next to the skin' }, when: 'opened' } },
        categories: { phones: { excepted: 'hygiene', reasons: {} } },
      });
      expect(ask([2], {}, own).advice).toBe('approve');
      expect(ask([2], { lines: [{ line: 2, quantity: 1, opened: true }] }, own)).toMatchObject({ advice: 'reject', reasons: ['hygiene', 'withinTime'] });
    });

    test('a category called like a property of every object is no category of the policy', () => {
      const odd = { ...order, lines: order.lines.map((l) => ({ ...l, category: 'constructor' })) };
      expect(ask([2], { order: odd }).advice).toBe('approve');
    });

    test('more lines never make it easier: what speaks against a line speaks against every request with it', () => {
      const drawn = fc.record({
        lines: fc.uniqueArray(fc.integer({ min: 1, max: 3 }), { minLength: 1 }),
        reason: reasons,
        days: fc.integer({ min: 0, max: 20 }),
        evidence: fc.nat(1),
      });
      fc.assert(
        fc.property(drawn, ({ lines, reason, days, evidence }) => {
          const more = { reason, evidence, requestedAt: plus(signedAt, days * day) };
          const weight = { approve: 0, moreEvidence: 1, reject: 2 };
          const together = ask(lines, more);
          const alone = lines.map((line) => ask([line], more));
          expect(weight[together.advice]).toBe(Math.max(...alone.map((a) => weight[a.advice])));
          expect(together.lastDay).toBe(alone.map((a) => a.lastDay ?? '').toSorted()[0]);
        }),
      );
    });
  });
});

describe('the parcel', () => {
  const order = {
    lines: [
      { line: 1, sku: 'cup' },
      { line: 2, sku: 'pot' },
      { line: 3, sku: 'cup' },
    ],
  };
  const match = (lines: [number, number][], skus: (string | undefined)[]) =>
    matchReceipt(
      {
        order,
        lines: lines.map(([line, quantity]) => ({ line, quantity })),
        units: skus.map((sku, i) => ({ unitId: `u${i}`, ...(sku === undefined ? {} : { sku }) })),
      },
      context,
    );

  test('what was asked for and came, matches', () => {
    expect(
      match(
        [
          [1, 1],
          [2, 1],
        ],
        ['pot', 'cup'],
      ),
    ).toEqual({
      units: [
        { unitId: 'u0', line: 2 },
        { unitId: 'u1', line: 1 },
      ],
      strange: [],
      missing: [],
      problem: false,
      restToCome: false,
      reasons: ['matches'],
    });
  });

  test('an empty parcel, missing, surplus, wrong and unknown units are each named', () => {
    expect(match([[1, 2]], [])).toMatchObject({ units: [], missing: [{ line: 1, quantity: 2 }], problem: true, reasons: ['emptyParcel'] });
    expect(match([[1, 1]], ['cup', 'cup'])).toMatchObject({ strange: [{ unitId: 'u1', sku: 'cup' }], problem: true, reasons: ['tooManyUnits'] });
    expect(match([[1, 1]], ['cup', 'pot'])).toMatchObject({ strange: [{ unitId: 'u1', sku: 'pot' }], problem: true, reasons: ['wrongUnits'] });
    expect(match([[1, 1]], ['pot', undefined])).toMatchObject({ units: [], problem: true, reasons: ['missingUnits', 'wrongUnits'] });
  });

  test('a part of what was asked for is no problem: the rest is waited for; with anything strange a person looks first', () => {
    expect(match([[1, 2]], ['cup'])).toMatchObject({ missing: [{ line: 1, quantity: 1 }], problem: false, restToCome: true, reasons: ['missingUnits'] });
    expect(match([[1, 2]], ['cup', 'pot'])).toMatchObject({ problem: true, restToCome: false, reasons: ['missingUnits', 'wrongUnits'] });
    expect(match([[1, 2]], [])).toMatchObject({ problem: true, restToCome: false });
    expect(match([[1, 2]], ['cup', 'cup'])).toMatchObject({ problem: false, restToCome: false });
  });

  test('a sku on two lines fills the lines in their order', () => {
    expect(
      match(
        [
          [3, 1],
          [1, 1],
        ],
        ['cup', 'cup'],
      ).units,
    ).toEqual([
      { unitId: 'u0', line: 1 },
      { unitId: 'u1', line: 3 },
    ]);
  });

  test('the order in which units were taken out of the parcel does not matter, and every unit is matched or strange', () => {
    const sku = fc.constantFrom('cup', 'pot', 'pan', undefined);
    const asked = fc.uniqueArray(fc.record({ line: fc.integer({ min: 1, max: 3 }), quantity: fc.integer({ min: 1, max: 4 }) }), {
      selector: (l) => l.line,
      minLength: 1,
    });
    fc.assert(
      fc.property(asked, fc.array(sku, { maxLength: 12 }), fc.infiniteStream(fc.nat()), (lines, skus, random) => {
        const units = skus.map((s, i) => ({ unitId: `u${i}`, sku: s }));
        const shuffled = units
          .map((u) => ({ u, at: random.next().value as number }))
          .toSorted((a, b) => a.at - b.at)
          .map(({ u }) => u);
        const one = matchReceipt({ order, lines, units }, context);
        expect(matchReceipt({ order, lines, units: shuffled }, context)).toEqual(one);
        expect([...one.units, ...one.strange].map((u) => u.unitId).toSorted()).toEqual(units.map((u) => u.unitId).toSorted());
        expect(one.restToCome).toBe(!one.problem && one.missing.length > 0);
        expect(one.problem).toBe(units.length === 0 || one.strange.length > 0);
        for (const { line, quantity } of lines)
          expect(one.units.filter((u) => u.line === line).length + (one.missing.find((m) => m.line === line)?.quantity ?? 0)).toBe(quantity);
      }),
    );
  });
});

test('reason codes are told once each', () => {
  expect(new Set(reasonCodes).size).toBe(reasonCodes.length);
});
