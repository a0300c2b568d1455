/** What follows an accepted return: money by every payment, invoice, coupons and points, freight, causes and losses, thanks. None of them holds another up. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { CaseId } from '../../values/ids.ts';
import { cny, returnsInTime, type ReturnsInTime } from './returns.ts';

let world: ReturnsInTime;
let kit: ReturnsInTime['kit'];
let r: ReturnsInTime['r'];
beforeAll(async () => {
  world = await returnsInTime();
  ({ kit, r } = world);
});
afterAll(() => world.stop());

/** A return of one unit of an order that is there: approved, received, accepted; its money arrives. */
async function returned(order: string, asked: Parameters<typeof r.ask>[1] = {}): Promise<CaseId> {
  const id = await r.ask(order, asked);
  await r.decide(id, 'review-1/review', r.approve(asked?.reason));
  await r.inspect(id, (await r.receive(await r.label(id))).map(r.accept));
  await r.refundState(id, 'arrived');
  return id;
}
const amountOf = async (id: CaseId): Promise<unknown> => ((await kit.outcome(id)) as { amount: unknown }).amount;

describe('money', () => {
  test('goes back by every payment; a route that fails is tried again, taken another way or closed by finance, each by itself', async () => {
    const { id, units } = await r.toInspection({
      payments: [
        ['wallet', 2_000],
        ['card', 5_000],
        ['giftCard', 3_000],
      ],
    });
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'failed', 'money/p2/route-1/refund');
    await r.refundState(id, 'failed', 'money/p3/route-1/refund');
    await r.decide(id, 'money/p3/route-1/otherRoute', { via: 'none' }, 'qian', 'finance');
    await r.decide(id, 'money/p2/route-1/otherRoute', { via: 'original' }, 'qian', 'finance');
    await r.refundState(id, 'failed', 'money/p2/route-2/refund');
    await r.decide(id, 'money/p2/route-2/otherRoute', { via: 'transfer' }, 'qian', 'finance');
    await r.refundState(id, 'accepted', 'money/p2/route-3/refund');
    await r.refundState(id, 'arrived', 'money/p2/route-3/refund');
    await r.refundState(id, 'arrived', 'money/p1/route-1/refund');
    expect(await amountOf(id)).toEqual(cny(7_000));
    expect((await r.refundsOf(id)).map((refund) => [refund.payment, refund.via, refund.state])).toEqual([
      ['p1', 'original', 'arrived'],
      ['p2', 'original', 'failed'],
      ['p2', 'original', 'failed'],
      ['p2', 'transfer', 'arrived'],
      ['p3', 'original', 'failed'],
    ]);
    expect(
      await kit.rows(
        'select payment_id as payment, refunded::int from sandbox.payments where order_id = (select order_id from cases where id = $1) order by 1',
        id,
      ),
    ).toEqual([
      { payment: 'p1', refunded: 2_000 },
      { payment: 'p2', refunded: 5_000 },
      { payment: 'p3', refunded: 0 },
    ]);
  });

  test('does not bring the original shipping back when a part of the order was replaced', async () => {
    const order = await r.buy({ lines: [['cup', 2, 5_000]], freight: 800 });
    const first = await r.ask(order, { wish: 'exchange' });
    await r.decide(first, 'review-1/review', r.approve('quality', 'exchange'));
    await r.inspect(first, (await r.receive(await r.label(first))).map(r.accept));
    await r.carrier(await r.sent(first), 'pickedUp');
    await kit.outcome(first);
    expect(await amountOf(await returned(order))).toEqual(cny(5_000));
  });
});

describe('the invoice', () => {
  const letters = (id: CaseId) => kit.rows('select amount::int from sandbox.red_letters where order_id = (select order_id from cases where id = $1)', id);
  /** The tax platform refuses: the invoice was used up by a letter that finance wrote by hand. */
  async function refused(): Promise<{ id: CaseId; order: string }> {
    const order = await r.buy({ invoiced: true });
    await kit.pool.query(`insert into sandbox.red_letters (red_letter_no, order_id, amount) values ($1, $1, 10000)`, [order]);
    return { id: await returned(order), order };
  }

  test('of an invoiced order gets a red letter over what is refunded', async () => {
    const id = await returned(await r.buy({ lines: [['cup', 2, 5_000]], invoiced: true }));
    expect(await amountOf(id)).toEqual(cny(5_000));
    expect(await letters(id)).toEqual([{ amount: 5_000 }]);
    expect(await r.told(id)).toContain('invoiceCorrected');
  });

  test('gets none where there was no invoice', async () => {
    const id = await returned(await r.buy());
    await kit.outcome(id);
    expect(await letters(id)).toEqual([]);
    expect(await r.told(id)).not.toContain('invoiceCorrected');
  });

  test('that is refused its red letter is a person’s, who repairs it; the money has arrived meanwhile', async () => {
    const { id, order } = await refused();
    await kit.opened(id, 'invoice/red-letter!repair-1');
    await r.isTold(id, 'refundArrived');
    await kit.pool.query('delete from sandbox.red_letters where order_id = $1', [order]);
    await r.decide(id, 'invoice/red-letter!repair-1', { action: 'retry' }, 'li', 'supervisor');
    expect(await amountOf(id)).toEqual(cny(10_000));
    expect(await letters(id)).toEqual([{ amount: 10_000 }]);
  });

  test('that is given up leaves the refund, the goods and the thanks as they are', async () => {
    const { id } = await refused();
    await r.decide(id, 'invoice/red-letter!repair-1', { action: 'giveUp' }, 'li', 'supervisor');
    expect(await amountOf(id)).toEqual(cny(10_000));
    expect((await kit.row(id)).status).toBe('completed');
    expect(await r.told(id)).toEqual(expect.arrayContaining(['refundArrived', 'thanks']));
    expect(await r.told(id)).not.toContain('invoiceCorrected');
  });
});

describe('coupons and points', () => {
  const withDiscounts = {
    lines: [['cup', 2, 5_000]],
    discounts: [
      { kind: 'coupon', ref: 'cp-1', amount: cny(1_001) },
      { kind: 'points', amount: cny(100), points: 101 },
    ],
  } as const;
  const givenBack = async (order: string): Promise<Record<string, number>> =>
    Object.fromEntries(
      (await kit.rows<{ what: string; amount: number }>('select what, amount::int from sandbox.given_back where order_id = $1', order)).map((g) => [
        g.what,
        g.amount,
      ]),
    );

  test('come back pro rata; over all units of the order they are what was used, to the unit and the point', async () => {
    const order = await r.buy({ ...withDiscounts, discounts: [...withDiscounts.discounts] });
    const first = await returned(order);
    const amounts = [await amountOf(first)];
    expect(await r.told(first)).toContain('couponsBack');
    const half = await givenBack(order);
    expect(half['cp-1']).toBeLessThan(1_001);
    amounts.push(await amountOf(await returned(order)));
    expect(await givenBack(order)).toEqual({ 'cp-1': 1_001, points: 101 });
    expect(amounts.reduce<number>((so, a) => so + (a as { minor: number }).minor, 0)).toBe(8_899);
  });

  test('that an agent gave back by hand are told to an agent, and the refund goes on', async () => {
    const order = await r.buy({ ...withDiscounts, discounts: [...withDiscounts.discounts] });
    await kit.pool.query(`insert into sandbox.given_back (order_id, what, amount) values ($1, 'cp-1', 1001)`, [order]);
    const id = await returned(order);
    await kit.outcome(id);
    expect(await kit.rows(`select recipient from messages where case_id = $1 and message = 'couponsOwed'`, id)).toEqual([{ recipient: 'agent' }]);
    expect(await r.told(id)).not.toContain('couponsBack');
    // All or nothing: points are not given back without their coupon.
    expect(await givenBack(order)).toEqual({ 'cp-1': 1_001 });
  });

  test('stay used when the goods are replaced', async () => {
    const order = await r.buy({ ...withDiscounts, discounts: [...withDiscounts.discounts] });
    const id = await r.ask(order, { wish: 'reissue' });
    await r.decide(id, 'review-1/review', r.approve('quality', 'reissue'));
    await r.carrier(await r.sent(id), 'pickedUp');
    expect(await kit.outcome(id)).toEqual({ result: 'reissued' });
    expect(await givenBack(order)).toEqual({});
  });
});

describe('freight', () => {
  const payouts = (id: CaseId) => kit.rows('select amount::int from sandbox.payouts where case_ref = $1', id);
  async function byCourier(reason: string): Promise<CaseId> {
    const { id } = await r.toParcel({}, { reason });
    const own = await r.ownCourier(id, 900);
    await r.inspect(id, (await r.receive(own)).map(r.accept));
    await r.refundState(id, 'arrived');
    return id;
  }

  test('of the customer’s courier is ours to pay for a fault of ours', async () => {
    const id = await byCourier('quality');
    expect(await amountOf(id)).toEqual(cny(10_000));
    expect(await payouts(id)).toEqual([{ amount: 900 }]);
    expect(await r.told(id)).toContain('freightPaid');
  });

  test('of the customer’s courier is the customer’s without a fault of ours, and no label is taken off', async () => {
    const id = await byCourier('noReason');
    expect(await amountOf(id)).toEqual(cny(10_000));
    expect(await payouts(id)).toEqual([]);
  });

  test('that finance does not pay by itself is told to finance, not promised to the customer', async () => {
    await r.settings('finance', { goodwillLimit: 100 });
    const id = await byCourier('wrongItem');
    await kit.outcome(id);
    await r.settings('finance', {});
    expect(await kit.rows(`select recipient from messages where case_id = $1 and message like 'freight%'`, id)).toEqual([{ recipient: 'finance' }]);
    expect(await payouts(id)).toEqual([]);
  });
});

describe('causes and losses', () => {
  test('are booked by unit: why it came back, what became of it, and what that loses of its price', async () => {
    const { id, units } = await r.toInspection({ lines: [['cup', 3, 5_000]] }, { lines: [{ line: 1, quantity: 3 }] }, ['cup', 'cup', 'cup']);
    const [sold = '', mended = '', thrown = ''] = units;
    await r.inspect(id, [
      { unitId: sold, verdict: 'accept', disposition: 'restock', cause: 'none' },
      { unitId: mended, verdict: 'accept', disposition: 'refurbish', cause: 'manufacturing' },
      { unitId: thrown, verdict: 'accept', disposition: 'scrap', cause: 'transport' },
    ]);
    await r.refundState(id, 'arrived');
    await kit.outcome(id);
    expect(
      await kit.rows('select reason, product, cause, disposition, loss_minor::int as loss from return_causes where case_id = $1 order by unit', id),
    ).toEqual([
      { reason: 'quality', product: 'cup', cause: 'none', disposition: 'restock', loss: 0 },
      { reason: 'quality', product: 'cup', cause: 'manufacturing', disposition: 'refurbish', loss: 2_000 },
      { reason: 'quality', product: 'cup', cause: 'transport', disposition: 'scrap', loss: 5_000 },
    ]);
  });

  test('are those of the reason that the review established, not of the one the customer named; nothing is booked of what was rejected', async () => {
    const id = await r.ask(await r.buy(), { reason: 'noReason', evidence: [] });
    await r.decide(id, 'review-1/review', r.approve('wrongItem'));
    await r.inspect(id, (await r.receive(await r.label(id))).map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await amountOf(id)).toEqual(cny(10_000));
    expect(await kit.rows('select reason from return_causes where case_id = $1', id)).toEqual([{ reason: 'wrongItem' }]);
    const no = await r.toInspection();
    await r.inspect(no.id, no.units.map(r.reject));
    await kit.outcome(no.id);
    expect(await kit.rows('select 1 from return_causes where case_id = $1', no.id)).toEqual([]);
  });
});

describe('a gift and a card', () => {
  const gifts = (order: string) => kit.rows('select case_ref from sandbox.gifts where order_id = $1', order);

  test('thank for a return that ended well, once for an order, however many returns it has', async () => {
    const order = await r.buy({ lines: [['cup', 2, 5_000]] });
    const first = await returned(order);
    await kit.outcome(first);
    expect(await r.told(first)).toContain('thanks');
    const second = await returned(order);
    await kit.outcome(second);
    expect(await r.told(second)).not.toContain('thanks');
    expect(await gifts(order)).toEqual([{ case_ref: first }]);
  });

  test('are not sent when inspection rejected a part', async () => {
    const { id, units } = await r.toInspection({ lines: [['cup', 2, 5_000]] }, { lines: [{ line: 1, quantity: 2 }] }, ['cup', 'cup']);
    const [good = '', bad = ''] = units;
    await r.inspect(id, [r.accept(good), r.reject(bad)]);
    await r.refundState(id, 'arrived');
    await kit.outcome(id);
    expect(await kit.executions(id, 'crm')).toEqual({});
  });

  test('are not sent for a return without a fault of ours', async () => {
    const id = await returned(await r.buy(), { reason: 'noReason', evidence: [] });
    await kit.outcome(id);
    expect(await kit.executions(id, 'crm')).toEqual({});
  });
});

test('every message that these cases sent can be read in both languages', async () => {
  expect(await r.unreadable()).toEqual([]);
});
