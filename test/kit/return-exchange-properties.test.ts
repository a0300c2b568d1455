/** Several returns of one order at once, whatever becomes of each: nothing is refunded beyond what was paid, no unit is lost, nothing stays promised. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { CaseId } from '../../values/ids.ts';
import type { Kit } from './harness.ts';
import { live, type Story } from './return-life.ts';
import { returnsOf, startReturns, type Sku } from './returns.ts';
import { surroundings } from './surroundings.ts';

let kit: Kit;
let r: ReturnType<typeof returnsOf>;
beforeAll(async () => {
  kit = await startReturns(await surroundings());
  r = returnsOf(kit, () => Promise.resolve(Date.now()));
});
afterAll(() => kit.stop());

const bought = [
  ['cup', 3, 5_000],
  ['pot', 3, 3_333],
] as const;
const story: fc.Arbitrary<Story> = fc.record({
  remedy: fc.constantFrom('refund', 'refund', 'refundOnly', 'exchange', 'reissue'),
  wants: fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 1 })),
  replacement: fc.constantFrom<(Sku | undefined)[]>(undefined, 'pot', 'pan'),
  leaves: fc.option(fc.record({ after: fc.integer({ min: 0, max: 8 }), how: fc.constantFrom('withdraw', 'withdraw', 'closed', 'refunded') }), {
    nil: undefined,
    freq: 3,
  }),
  fates: fc.array(fc.integer({ min: 0, max: 99 }), { minLength: 30, maxLength: 30 }),
});

interface Ended {
  readonly id: CaseId;
  readonly status: string;
  readonly outcome: { readonly result: string; readonly amount?: { minor: number }; readonly refunded?: { minor: number } };
}

async function order(stories: readonly Story[]): Promise<void> {
  const discounts = [{ kind: 'coupon' as const, ref: 'cp-1', amount: { minor: 1_001, currency: 'CNY' } }];
  const paid = 15_000 + 9_999 + 800 - 1_001;
  const payments = [['wallet', 4_001] as const, ['card', paid - 4_001] as const];
  const orderId = await r.buy({ lines: [...bought], freight: 800, discounts, payments });
  const stock = await kit.rows<{ sku: string; on_hand: number }>('select sku, on_hand from sandbox.stock order by sku');
  await Promise.all(
    stories.map(async (one) => {
      const wants = one.wants.some((n) => n > 0) ? one.wants : [1, 0];
      const lines = wants.flatMap((quantity, i) =>
        quantity === 0 ? [] : [{ line: i + 1, quantity, ...(one.replacement && one.remedy === 'exchange' ? { replacement: `${one.replacement}-1` } : {}) }],
      );
      const goods = wants.flatMap((quantity, i) => Array<Sku>(quantity).fill(bought[i]?.[0] ?? 'cup'));
      await live(kit, r, await r.ask(orderId, { lines }), one, goods);
    }),
  );

  const cases = await kit.rows<Ended>(`select id, status, outcome from cases where order_id = $1 and process = 'return-exchange'`, orderId);
  expect(cases.filter((c) => c.status !== 'completed' && c.status !== 'withdrawn')).toEqual([]);
  const ids = cases.map((c) => c.id);
  expect(await kit.rows('select path from tasks where case_id = any($1) and status = $2', ids, 'open')).toEqual([]);

  // Money. What arrived is what the cases say, and by no payment more than it was; a unit's money goes back once, and the shipping with the last of them.
  const back = await kit.rows<{ payment: string; minor: number; of: CaseId }>(
    `select payment_id as payment, amount::int as minor, case_ref as of from sandbox.refunds where order_id = $1 and state <> 'failed'`,
    orderId,
  );
  const ours = back.filter((b) => !b.payment.startsWith('pay_'));
  for (const { id, outcome } of cases)
    expect(ours.filter((b) => b.of === id).reduce((so, b) => so + b.minor, 0)).toBe(outcome.amount?.minor ?? outcome.refunded?.minor ?? 0);
  payments.forEach(([, minor], i) => expect(ours.filter((b) => b.payment === `p${i + 1}`).reduce((so, b) => so + b.minor, 0)).toBeLessThanOrEqual(minor));
  const settled = await kit.rows<{ of: CaseId; minor: number }>(
    `select d.case_id as of, (u->'amount'->>'minor')::int as minor from decision_log d, jsonb_array_elements(d.output->'units') u
     where d.rule = 'settlement' and d.case_id = any($1)`,
    ids,
  );
  const refunded = cases.filter((c) => c.outcome.result === 'refunded');
  for (const { id } of refunded) {
    const worth = settled.filter((s) => s.of === id).reduce((so, s) => so + s.minor, 0);
    expect(ours.filter((b) => b.of === id).reduce((so, b) => so + b.minor, 0)).toBeLessThanOrEqual(worth + 800);
  }
  // A difference that was paid has bought goods, or has gone back.
  const links = await kit.rows<{ of: CaseId; kept: number }>(
    `select l.case_ref as of, (p.amount - p.refunded)::int as kept from sandbox.payment_links l join sandbox.payments p on p.payment_id = 'pay_' || l.link_id
     where l.order_id = $1`,
    orderId,
  );
  for (const { of, kept } of links) if (cases.find((c) => c.id === of)?.outcome.result !== 'exchanged') expect(kept).toBe(0);
  expect(await kit.rows(`select 1 from sandbox.payment_links where order_id = $1 and state = 'open'`, orderId)).toEqual([]);

  // Units of the order: one case's each, used or let go.
  expect(await kit.rows(`select hold from allowance_holds where order_id = $1 and status = 'held'`, orderId)).toEqual([]);
  expect(await kit.rows(`select unit from allowance_units where order_id = $1 and not used`, orderId)).toEqual([]);

  // New goods: sent or let go, and the shelves add up.
  expect(await kit.rows(`select 1 from sandbox.reservations where case_ref = any($1) and state = 'held'`, ids)).toEqual([]);
  const sent = await kit.rows<{ sku: string; n: number }>(
    `select l->>'sku' as sku, sum((l->>'quantity')::int)::int as n from sandbox.dispatches d, jsonb_array_elements(d.lines) l
     where d.order_id = $1 and not d.recalled and l->>'sku' is not null group by 1`,
    orderId,
  );
  // Goods that came: each unit is kept or sent back, or waits in the one case that looks at it.
  const came = await kit.rows<{ unit: string; sku: string; kept: boolean; back: boolean; late: number }>(
    `select u.unit_id as unit, u.sku, u.disposition is not null as kept, u.sent_back_by is not null as back,
            (select count(*)::int from cases c where c.process = 'late-parcel' and c.input->'payload'->>'receiptId' = u.receipt_id and c.status = 'open') as late
     from sandbox.units u join sandbox.receipts p using (receipt_id) join correlations k on k.source = 'warehouse.parcelReceived' and k.key = p.tracking_no
     where k.case_id = any($1)`,
    ids,
  );
  expect(came.filter((u) => Number(u.kept) + Number(u.back) + u.late !== 1)).toEqual([]);
  const restocked = await kit.rows<{ sku: string; n: number }>(
    `select sku, count(*)::int as n from sandbox.units where unit_id = any($1) and disposition = 'restock' group by 1`,
    came.map((u) => u.unit),
  );
  const of = (all: readonly { sku: string; n: number }[], sku: string): number => all.find((s) => s.sku === sku)?.n ?? 0;
  expect(await kit.rows('select sku, on_hand, reserved from sandbox.stock order by sku')).toEqual(
    stock.map(({ sku, on_hand }) => ({ sku, on_hand: on_hand - of(sent, sku) + of(restocked, sku), reserved: 0 })),
  );

  // Every unit refunded by our cases, and every route good in the end: exactly what was paid.
  if (settled.length === 6 && refunded.length === cases.length) {
    const closed = await kit.rows(`select 1 from tasks where case_id = any($1) and name = 'otherRoute' and form->>'via' = 'none'`, ids);
    if (closed.length === 0) expect(ours.reduce((so, b) => so + b.minor, 0)).toBe(paid);
  }
}

test(
  'returns of one order, at once and however each ends, give back no more than was paid and lose no unit',
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(story, { minLength: 1, maxLength: 4 }), order),
      // Each run is seconds of a real engine on a small machine; what fails is told as it is, and not shrunk for an hour.
      { numRuns: Number(process.env['RETURN_RUNS'] ?? 10), endOnFailure: true },
    );
    const ends = await kit.rows<{ result: string; n: number }>(
      `select coalesce(outcome->>'result', status) as result, count(*)::int as n from cases where process in ('return-exchange', 'late-parcel') group by process, 1 order by 2 desc`,
    );
    console.log(`returns that lived: ${ends.map(({ result, n }) => `${n} ${result}`).join(', ')}`);
    expect(ends.length).toBeGreaterThan(2);
    expect(await r.unreadable()).toEqual([]);
  },
  15 * 60_000,
);
