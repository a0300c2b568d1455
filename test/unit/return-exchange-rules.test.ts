import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { loadPolicy } from '../../policies/load.ts';
import type { PolicyValues } from '../../policies/schema.ts';
import { instant, parseInstant, type Instant } from '../../values/instant.ts';
import { money, type Money } from '../../values/money.ts';
import { eligibility, matchReceipt, refundParts, settlement, type EligibilityFacts, type PaidOrder } from '../../workflows/return-exchange/rules.ts';

const { policy } = loadPolicy('policies/default.yaml');
const context = { policy: policy as PolicyValues, asOf: instant(Date.UTC(2026, 10, 10)) };
const cny = (minor: number): Money => money(minor, 'CNY');
const total = (amounts: readonly Money[]): number => amounts.reduce((so, a) => so + a.minor, 0);

// ── orders, as the shop platform keeps them ────────────────────────────────
type Order = PaidOrder & { readonly freight: { readonly returnInsured: boolean }; readonly payments: readonly Payment[] };
interface Payment {
  readonly paymentId: string;
  readonly method: string;
  readonly amount: Money;
  readonly refunded: Money;
  readonly paidAt: Instant;
}

/** Splits a whole number at random places. */
const splitBy = (whole: number, cuts: readonly number[]): number[] => {
  const at = [0, ...cuts.map((c) => Math.floor(c * whole)).sort((a, b) => a - b), whole];
  return at.slice(1).map((to, i) => to - (at[i] ?? 0));
};
const fraction = fc.double({ min: 0, max: 1, noNaN: true });

const orderArbitrary: fc.Arbitrary<Order> = fc
  .record({
    lines: fc.array(fc.record({ quantity: fc.integer({ min: 1, max: 5 }), unitPrice: fc.integer({ min: 0, max: 50_000 }) }), { minLength: 1, maxLength: 5 }),
    discounts: fc.array(fc.record({ part: fraction, only: fc.option(fc.nat(4)) }), { maxLength: 3 }),
    stated: fc.boolean(),
    freight: fc.integer({ min: 0, max: 2_000 }),
    paymentCuts: fc.array(fraction, { maxLength: 2 }),
    methods: fc.array(fc.constantFrom('card', 'wallet', 'giftCard', 'transfer'), { minLength: 3, maxLength: 3 }),
    insured: fc.boolean(),
  })
  .map(({ lines, discounts, stated, freight, paymentCuts, methods, insured }) => {
    const listed = lines.map((l, i) => ({ line: i + 1, quantity: l.quantity, listTotal: l.quantity * l.unitPrice }));
    // Each discount takes at most what is left of the lines it is limited to, so that no line is sold for less than nothing.
    const left = listed.map((l) => l.listTotal);
    const given = discounts.map(({ part, only }) => {
      const on = only === null ? listed.map((_, i) => i) : [only % listed.length];
      const amount = Math.floor((part / discounts.length) * on.reduce((so, i) => so + (left[i] ?? 0), 0));
      return { amount: cny(amount), ...(only === null ? {} : { lines: on.map((i) => i + 1) }) };
    });
    const off = total(given.map((d) => d.amount));
    const list = listed.reduce((so, l) => so + l.listTotal, 0);
    const shares =
      list === 0
        ? listed.map(() => 0)
        : splitBy(
            off,
            listed.slice(1).map((_, i) => listed.slice(0, i + 1).reduce((so, l) => so + l.listTotal, 0) / list),
          );
    const paid = list - off + freight;
    const payments = splitBy(paid, paymentCuts).map((minor, i) => ({
      paymentId: `pay-${i}`,
      method: methods[i] ?? 'card',
      amount: cny(minor),
      refunded: cny(0),
      paidAt: instant(Date.UTC(2026, 9, 1, i)),
    }));
    return {
      currency: 'CNY',
      lines: listed.map((l, i) => ({
        line: l.line,
        quantity: l.quantity,
        listTotal: cny(l.listTotal),
        ...(stated ? { discountShare: cny(shares[i] ?? 0) } : {}),
      })),
      discounts: given,
      freight: { paid: cny(freight), returnInsured: insured },
      total: cny(paid),
      payments,
    };
  });

const unitsOf = (order: Order) => order.lines.flatMap(({ line, quantity }) => Array.from({ length: quantity }, (_, n) => ({ line, unit: n + 1 })));
/** Every unit with the case that returns it: -1, none. Cases hold disjoint numbers, as the allowance guarantees. */
const casesArbitrary = orderArbitrary.chain((order) =>
  fc.record({
    order: fc.constant(order),
    caseOf: fc.array(fc.integer({ min: -1, max: 3 }), { minLength: unitsOf(order).length, maxLength: unitsOf(order).length }),
  }),
);
const settle = (order: Order, held: readonly { line: number; unit: number }[], more: Partial<Parameters<typeof settlement>[0]> = {}) =>
  settlement({ order, held, accepted: held, reason: 'quality', by: 'label', reviewer: 'agent', ...more }, context);

describe('money', () => {
  test('parts add up to the unit: when everything comes back, over any number of cases, exactly what was paid is refunded, payment by payment', () => {
    fc.assert(
      fc.property(casesArbitrary, ({ order, caseOf }) => {
        const all = unitsOf(order);
        const returning = [0, 1, 2, 3].map((n) => all.filter((_, i) => Math.max(0, caseOf[i] ?? 0) === n)).filter((units) => units.length > 0);
        const refunds = returning.map((held, i) => {
          const { units, deducted } = settle(order, held);
          return refundParts({ order, units, deducted, whole: i === returning.length - 1, payments: order.payments }, context);
        });
        expect(total(refunds.map((r) => r.total))).toBe(order.total.minor);
        for (const { paymentId, amount } of order.payments)
          expect(total(refunds.flatMap((r) => r.parts.filter((p) => p.paymentId === paymentId).map((p) => p.amount)))).toBe(amount.minor);
      }),
    );
  });

  test('never more than paid: whatever cases return whatever units for whatever reason, and whatever others refunded meanwhile, no payment gives back more than it was', () => {
    const returns = fc.record({
      cases: casesArbitrary,
      by: fc.constantFrom('label', 'ownCourier', 'kept'),
      reason: fc.constantFrom('quality', 'wrongItem', 'wrongSize', 'noReason', 'other'),
      elsewhere: fc.array(fraction, { minLength: 3, maxLength: 3 }),
      wholeEveryTime: fc.boolean(),
    } as const);
    fc.assert(
      fc.property(returns, ({ cases: { order, caseOf }, by, reason, elsewhere, wholeEveryTime }) => {
        const refunded = new Map(order.payments.map((p, i) => [p.paymentId, Math.floor((elsewhere[i] ?? 0) * p.amount.minor)]));
        for (const n of [0, 1, 2, 3]) {
          const held = unitsOf(order).filter((_, i) => caseOf[i] === n);
          const { units, deducted, refund } = settle(order, held, { by, reason });
          const payments = order.payments.map((p) => ({ ...p, refunded: cny(refunded.get(p.paymentId) ?? 0) }));
          const { parts, total: sum } = refundParts({ order, units, deducted, whole: wholeEveryTime, payments }, context);
          expect(sum.minor).toBe(total(parts.map((p) => p.amount)));
          expect(sum.minor).toBeLessThanOrEqual(refund.minor + order.freight.paid.minor);
          for (const p of parts) refunded.set(p.paymentId, (refunded.get(p.paymentId) ?? 0) + p.amount.minor);
        }
        for (const p of order.payments) expect(refunded.get(p.paymentId)).toBeLessThanOrEqual(p.amount.minor);
      }),
    );
  });

  test('cases that refund at once, each seeing none of the others, still never draw on the same minor unit of a payment', () => {
    fc.assert(
      fc.property(casesArbitrary, ({ order, caseOf }) => {
        const taken = new Map<string, number>();
        for (const n of [0, 1, 2, 3]) {
          const held = unitsOf(order).filter((_, i) => caseOf[i] === n);
          const { units, deducted, refund } = settle(order, held, { reason: 'noReason' });
          const { parts, total: sum } = refundParts({ order, units, deducted, whole: false, payments: order.payments }, context);
          // Nobody else refunded, so it is all there: the units less our label, once.
          expect(sum).toEqual(refund);
          for (const p of parts) taken.set(p.paymentId, (taken.get(p.paymentId) ?? 0) + p.amount.minor);
        }
        for (const p of order.payments) expect(taken.get(p.paymentId) ?? 0).toBeLessThanOrEqual(p.amount.minor);
      }),
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
      discounts: [{ amount: cny(1001) }],
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
    const limited = simple({ lines, discounts: [{ amount: cny(300), lines: [2] }], total: 1700 });
    expect(settle(limited, unitsOf(limited)).units.map((u) => u.amount.minor)).toEqual([1000, 700]);
    const stated = simple({ lines: lines.map((l, i) => ({ ...l, discountShare: i === 0 ? 250 : 50 })), discounts: [{ amount: cny(300) }], total: 1700 });
    expect(settle(stated, unitsOf(stated)).units.map((u) => u.amount.minor)).toEqual([750, 950]);
  });

  test('money paid by mistake beyond price and freight is not part of a return', () => {
    const order = simple({ lines: [{ quantity: 1, listTotal: 1000 }], total: 1500, freight: 200 });
    expect(settle(order, unitsOf(order)).refund).toEqual(cny(1000));
  });

  test('original shipping comes back with the last unit of the order, and never when the policy says so', () => {
    const order = simple({ lines: [{ quantity: 1, listTotal: 1000 }], total: 1200, freight: 200 });
    const facts = { order, units: [{ line: 1, unit: 1 }], deducted: cny(0), payments: order.payments };
    expect(refundParts({ ...facts, whole: false }, context)).toMatchObject({ total: cny(1000), reasons: ['partOfOrder'] });
    expect(refundParts({ ...facts, whole: true }, context)).toMatchObject({ total: cny(1200), reasons: ['wholeOrder'] });
    const never = { ...context, policy: { ...context.policy, returns: { ...context.policy.returns, originalFreight: 'never' as const } } };
    expect(refundParts({ ...facts, whole: true }, never).total).toEqual(cny(1000));
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
    const facts = { order, deducted: cny(0), whole: false, payments: order.payments };
    const parts = (units: number[], payments = order.payments) => refundParts({ ...facts, payments, units: units.map((line) => ({ line, unit: 1 })) }, context);
    expect(parts([1]).parts).toEqual([{ paymentId: 'pay-0', method: 'card', amount: cny(600), atOnce: false }]);
    expect(parts([2]).parts).toEqual([
      { paymentId: 'pay-0', method: 'card', amount: cny(100), atOnce: false },
      { paymentId: 'pay-1', method: 'giftCard', amount: cny(300), atOnce: true },
    ]);
    const spent = order.payments.map((p, i) => (i === 1 ? { ...p, refunded: cny(250) } : p));
    expect(parts([2], spent)).toMatchObject({
      parts: [
        { paymentId: 'pay-0', amount: cny(350) },
        { paymentId: 'pay-1', amount: cny(50) },
      ],
      reasons: ['partOfOrder', 'refundedBefore'],
    });
  });

  test('freight: the customer pays the return of what was not our fault, by our label off the refund; for our fault we pay the courier up to the policy', () => {
    const order = simple({ lines: [{ quantity: 1, listTotal: 10_000 }], total: 10_000, insured: true });
    const held = unitsOf(order);
    expect(settle(order, held, { reason: 'noReason', by: 'label' })).toMatchObject({
      refund: cny(8800),
      deducted: cny(1200),
      reasons: ['shareOfPaid', 'customerPaysFreight', 'labelDeducted', 'freightInsured'],
    });
    expect(settle(order, held, { reason: 'noReason', by: 'ownCourier', freight: cny(900) })).toMatchObject({ refund: cny(10_000), freightOwed: cny(0) });
    expect(settle(order, held, { reason: 'quality', by: 'label' })).toMatchObject({
      refund: cny(10_000),
      deducted: cny(0),
      reasons: ['shareOfPaid', 'sellerPaysFreight'],
    });
    expect(settle(order, held, { reason: 'quality', by: 'ownCourier', freight: cny(900) }).freightOwed).toEqual(cny(900));
    expect(settle(order, held, { reason: 'quality', by: 'ownCourier', freight: cny(9_000) }).freightOwed).toEqual(cny(1200));
    expect(settle(order, held, { reason: 'quality', by: 'ownCourier', freight: money(900, 'USD') }).freightOwed).toEqual(cny(0));
    expect(settle(order, held, { reason: 'noReason', by: 'kept' })).toMatchObject({ refund: cny(10_000), deducted: cny(0) });
  });

  test('who approves: nobody up to the reviewer’s limit, then the lowest role whose limit covers it; in a currency without limits the manager', () => {
    const at = (minor: number, reviewer: 'agent' | 'supervisor' | 'manager', currency = 'CNY') => {
      const order = simple({ lines: [{ quantity: 1, listTotal: minor }], total: minor }, currency);
      return settle(order, unitsOf(order), { reviewer }).approver;
    };
    expect([at(20_000, 'agent'), at(20_001, 'agent'), at(200_000, 'agent'), at(200_001, 'agent')]).toEqual([null, 'supervisor', 'supervisor', 'manager']);
    expect([at(200_000, 'supervisor'), at(200_001, 'supervisor'), at(900_000, 'manager'), at(1, 'agent', 'JPY')]).toEqual([null, 'manager', null, 'manager']);
  });

  test('goods kept above their limit need a supervisor although the amount would not', () => {
    const at = (minor: number) => {
      const order = simple({ lines: [{ quantity: 1, listTotal: minor }], total: minor });
      return settle(order, unitsOf(order), { by: 'kept' });
    };
    expect([at(5000).approver, at(5001).approver]).toEqual([null, 'supervisor']);
    expect(at(5001).reasons).toEqual(['shareOfPaid', 'goodsKept', 'aboveAuthority']);
  });

  test('nothing accepted: nothing refunded, nobody asked', () => {
    const order = simple({ lines: [{ quantity: 1, listTotal: 500_000 }], total: 500_000 });
    expect(settle(order, unitsOf(order), { accepted: [] })).toMatchObject({
      units: [],
      refund: cny(0),
      deducted: cny(0),
      approver: null,
      reasons: ['nothingAccepted', 'sellerPaysFreight'],
    });
  });
});

interface Simple {
  readonly lines: readonly { readonly quantity: number; readonly listTotal: number; readonly discountShare?: number }[];
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

describe('eligibility', () => {
  const signedAt = parseInstant('2026-11-01T10:00:00+08:00');
  const facts: EligibilityFacts = {
    order: {
      shop: 's1',
      customer: 'c1',
      signedAt,
      lines: [
        { line: 1, quantity: 2, returned: 0, exceptions: [] },
        { line: 2, quantity: 1, returned: 1, exceptions: [] },
      ],
    },
    shop: 's1',
    customer: 'c1',
    requestedAt: parseInstant('2026-11-03T10:00:00+08:00'),
    reason: 'noReason',
    lines: [{ line: 1, quantity: 1, opened: false }],
    evidence: 0,
  };
  const advise = (more: Partial<EligibilityFacts>) => eligibility({ ...facts, ...more }, context);
  const excepted = (exceptions: string[], opened: boolean, reason: EligibilityFacts['reason'] = 'noReason') =>
    advise({
      reason,
      evidence: 1,
      lines: [{ line: 1, quantity: 1, opened }],
      order: { ...facts.order, lines: [{ line: 1, quantity: 1, returned: 0, exceptions }] },
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

  test('a policy without the reason is refused by name', () => {
    const bare = { ...context, policy: { ...context.policy, returns: { ...context.policy.returns, reasons: {} } } };
    expect(() => eligibility(facts, bare)).toThrow('the policy\'s returns.reasons has no "noReason"');
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
      reasons: ['matches'],
    });
  });

  test('an empty parcel, missing, surplus, wrong and unknown units are each named', () => {
    expect(match([[1, 2]], [])).toMatchObject({ units: [], missing: [{ line: 1, quantity: 2 }], problem: true, reasons: ['emptyParcel'] });
    expect(match([[1, 2]], ['cup'])).toMatchObject({ missing: [{ line: 1, quantity: 1 }], problem: true, reasons: ['missingUnits'] });
    expect(match([[1, 1]], ['cup', 'cup'])).toMatchObject({ strange: [{ unitId: 'u1', sku: 'cup' }], problem: true, reasons: ['tooManyUnits'] });
    expect(match([[1, 1]], ['cup', 'pot'])).toMatchObject({ strange: [{ unitId: 'u1', sku: 'pot' }], problem: true, reasons: ['wrongUnits'] });
    expect(match([[1, 1]], ['pot', undefined])).toMatchObject({ units: [], problem: true, reasons: ['missingUnits', 'wrongUnits'] });
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
        for (const { line, quantity } of lines)
          expect(one.units.filter((u) => u.line === line).length + (one.missing.find((m) => m.line === line)?.quantity ?? 0)).toBe(quantity);
      }),
    );
  });
});
