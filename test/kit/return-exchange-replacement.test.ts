/** New goods for old: exchange and reissue, differences both ways, goods that are gone, and until when they have to leave. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { CaseId } from '../../values/ids.ts';
import { cny, day, returnsInTime, type ReturnsInTime, type Sku } from './returns.ts';

let world: ReturnsInTime;
let kit: ReturnsInTime['kit'];
let r: ReturnsInTime['r'];
let pass: ReturnsInTime['pass'];
beforeAll(async () => {
  world = await returnsInTime();
  ({ kit, r, pass } = world);
});
afterAll(() => world.stop());
afterEach(async () => {
  // Whatever a case was promised is sent or let go by its end, in each of these tests.
  expect(await kit.rows(`select case_ref, lines from sandbox.reservations where state = 'held'`)).toEqual([]);
  for (const goods of ['cup', 'pot', 'pan'] as const) {
    expect(await r.reserved(goods)).toBe(0);
    await r.stock(goods, 100);
  }
});

const for1 = (replacement?: Sku) => ({ wish: 'exchange', lines: [{ line: 1, quantity: 1, ...(replacement ? { replacement: `${replacement}-1` } : {}) }] });
/** To where the old goods are accepted. */
async function exchanged(bought: Parameters<typeof r.buy>[0], asked: Parameters<typeof r.ask>[1]): Promise<{ id: CaseId; units: string[] }> {
  const { id, units } = await r.toInspection(bought, asked, ['cup'], 'agent', 'exchange');
  await r.inspect(id, units.map(r.accept));
  return { id, units };
}
const dispatched = (of: CaseId) =>
  kit.rows<{ lines: unknown; recalled: boolean }>(`select lines, recalled from sandbox.dispatches where case_ref = $1 order by dispatch_id`, of);
/** The case to its end, by way of a refund of everything. */
async function refunded(id: CaseId, minor = 10_000): Promise<void> {
  await r.refundState(id, 'arrived');
  expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(minor) });
}

describe('an exchange', () => {
  test('for the same goods holds them from the approval, sends them once the old are accepted, and ends when they have left', async () => {
    const { id } = await r.toParcel({ freight: 800 }, for1(), 'exchange');
    expect(await r.reserved('cup')).toBe(1);
    const units = await r.receive(await r.label(id));
    await r.inspect(id, units.map(r.accept));
    const trackingNo = await r.sent(id);
    await r.carrier(trackingNo, 'labelled');
    expect((await kit.row(id)).status).toBe('open');
    await r.carrier(trackingNo, 'pickedUp');
    expect(await kit.outcome(id)).toEqual({ result: 'exchanged', paid: cny(0), refunded: cny(0) });
    expect(await dispatched(id)).toEqual([{ lines: [{ sku: 'cup-1', quantity: 1 }], recalled: false }]);
    expect(await r.fateOf(units)).toEqual(['restock']);
    // The whole order came back, and none of its money: the original shipping stays paid.
    expect(await r.refundsOf(id)).toEqual([]);
    expect(await r.allowanceOf(id)).toEqual(['used']);
    expect(await r.told(id)).toEqual(expect.arrayContaining(['replacementSent', 'replacementLeft', 'thanks']));
    expect(await r.clocksOf(id)).toMatchObject({ 'new-goods/ship': 'met', refundDue: 'met' });
  });

  test('for dearer goods sends them when the difference is paid, and refunds nothing', async () => {
    const { id } = await exchanged({}, for1('pot'));
    await r.isTold(id, 'differenceDue');
    expect(await dispatched(id)).toEqual([]);
    await r.link(id, 'paid');
    await r.carrier(await r.sent(id), 'pickedUp');
    expect(await kit.outcome(id)).toEqual({ result: 'exchanged', paid: cny(3_000), refunded: cny(0) });
    expect(await dispatched(id)).toEqual([{ lines: [{ sku: 'pot-1', quantity: 1 }], recalled: false }]);
    expect(await r.refundsOf(id)).toEqual([]);
  });

  test('charges our label with the difference where the customer pays the way back', async () => {
    const { id } = await exchanged({}, { ...for1(), reason: 'noReason', evidence: [] });
    await r.isTold(id, 'differenceDue');
    await r.link(id, 'paid');
    await r.carrier(await r.sent(id), 'pickedUp');
    expect(await kit.outcome(id)).toEqual({ result: 'exchanged', paid: cny(1_200), refunded: cny(0) });
  });

  test('whose link expires is the money instead, and the new goods are let go', async () => {
    const { id } = await exchanged({}, for1('pot'));
    await r.isTold(id, 'differenceDue');
    await r.link(id, 'expired');
    await refunded(id);
    expect(await r.told(id)).toContain('moneyInstead');
    expect(await dispatched(id)).toEqual([]);
    expect(await r.undone(id)).toEqual(['new-goods/difference', 'new-goods/hold-1/reserve']);
  });

  test('that is not paid in time is the money instead: the link is void', async () => {
    const { id } = await exchanged({}, for1('pot'));
    await r.isTold(id, 'differenceDue');
    await pass(id, 3 * day + 1000);
    await refunded(id);
    expect(await kit.rows('select state from sandbox.payment_links where case_ref = $1', id)).toEqual([{ state: 'voided' }]);
  });

  test('that is paid in the very moment in which its time ends gives that money back too', async () => {
    const { id } = await exchanged({}, for1('pot'));
    await r.isTold(id, 'differenceDue');
    const { linkId } = await r.answerOf(id, 'new-goods/difference');
    // The payment system knows before we are told.
    await r.act('finance', 'pay', { linkId });
    await pass(id, 3 * day + 1000);
    await refunded(id);
    expect((await r.refundsOf(id)).map((refund) => [refund.payment, refund.minor])).toEqual([
      ['p1', 10_000],
      [`pay_${String(linkId)}`, 3_000],
    ]);
    expect(await dispatched(id)).toEqual([]);
  });

  test('for cheaper goods refunds the rest by the payments that paid first', async () => {
    const payments = [['wallet', 2_000] as const, ['card', 8_000] as const];
    const { id } = await exchanged({ payments }, for1('pan'));
    await r.carrier(await r.sent(id), 'inTransit');
    await r.refundState(id, 'arrived', 'money/p1/route-1/refund');
    await r.refundState(id, 'arrived', 'money/p2/route-1/refund');
    expect(await kit.outcome(id)).toEqual({ result: 'exchanged', paid: cny(0), refunded: cny(3_000) });
    expect((await r.refundsOf(id)).map((refund) => [refund.payment, refund.minor])).toEqual([
      ['p1', 2_000],
      ['p2', 1_000],
    ]);
  });

  test('that is accepted in part replaces what was accepted; the other old unit goes back and the other new one is let go', async () => {
    const { id, units } = await r.toInspection(
      { lines: [['cup', 2, 10_000]] },
      { wish: 'exchange', lines: [{ line: 1, quantity: 2, replacement: 'pan-1' }] },
      ['cup', 'cup'],
      'agent',
      'exchange',
    );
    expect(await r.reserved('pan')).toBe(2);
    const [good = '', bad = ''] = units;
    await r.inspect(id, [r.accept(good), r.reject(bad)]);
    await r.carrier(await r.sent(id), 'pickedUp');
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'exchanged', paid: cny(0), refunded: cny(3_000) });
    expect(await dispatched(id)).toContainEqual({ lines: [{ sku: 'pan-1', quantity: 1 }], recalled: false });
    expect(await r.fateOf(units)).toEqual(['restock', 'sentBack']);
  });

  test('of which nothing is accepted lets the new goods go', async () => {
    const { id, units } = await r.toInspection({}, for1('pot'), ['cup'], 'agent', 'exchange');
    await r.inspect(id, units.map(r.reject));
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'inspection' });
    expect(await r.undone(id)).toEqual(['label-1/label', 'new-goods/hold-1/reserve', 'allowance', 'tally']);
  });

  test('above the reviewer’s limit that is not approved lets the new goods go', async () => {
    const { id, units } = await r.toInspection({ lines: [['cup', 1, 30_000]] }, for1('pot'), ['cup'], 'agent', 'exchange');
    await r.inspect(id, units.map(r.accept));
    await r.decide(id, 'approveRefund', { decision: 'refuse' }, 'li', 'supervisor');
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'notApproved' });
  });
});

describe('new goods that are gone when they are promised', () => {
  async function gone(): Promise<CaseId> {
    await r.stock('pot', 0);
    const id = await r.ask(await r.buy(), for1('pot'));
    await r.decide(id, 'review-1/review', r.approve('quality', 'exchange'));
    await kit.opened(id, 'new-goods/hold-1/choose');
    return id;
  }
  const toMoney = async (id: CaseId): Promise<void> => {
    await r.inspect(id, (await r.receive(await r.label(id))).map(r.accept));
    await refunded(id);
  };

  test('are the money instead when the customer says so', async () => {
    const id = await gone();
    await r.decide(id, 'new-goods/hold-1/choose', { choice: 'refund' }, 'customer-1', 'customer');
    await toMoney(id);
  });

  test('are the money instead when the customer says nothing', async () => {
    const id = await gone();
    await pass(id, 3 * day + 1000);
    await toMoney(id);
  });

  test('are looked for as often as the customer wants', async () => {
    const id = await gone();
    await r.decide(id, 'new-goods/hold-1/choose', { choice: 'again' }, 'customer-1', 'customer');
    await kit.opened(id, 'new-goods/hold-2/choose');
    await r.stock('pot', 1);
    await r.decide(id, 'new-goods/hold-2/choose', { choice: 'again' }, 'customer-1', 'customer');
    await r.inspect(id, (await r.receive(await r.label(id))).map(r.accept));
    await r.link(id, 'paid');
    await r.carrier(await r.sent(id), 'pickedUp');
    expect(await kit.outcome(id)).toMatchObject({ result: 'exchanged' });
  });
});

describe('new goods that are gone when they are to leave', () => {
  /** The difference is paid, and then the warehouse finds that what it held is not there. */
  async function gone(): Promise<CaseId> {
    const { id } = await exchanged({}, for1('pot'));
    await r.isTold(id, 'differenceDue');
    await kit.pool.query(`update sandbox.reservations set state = 'released' where case_ref = $1`, [id]);
    await kit.pool.query(`update sandbox.stock set on_hand = 0, reserved = 0 where sku = 'pot-1'`);
    await r.link(id, 'paid');
    await kit.opened(id, 'new-goods/send-1/hold-1/choose');
    return id;
  }
  const choose = (id: CaseId, choice: string) => r.decide(id, 'new-goods/send-1/hold-1/choose', { choice }, 'customer-1', 'customer');
  const moneys = async (id: CaseId) => (await r.refundsOf(id)).map((refund) => refund.minor).toSorted((a, b) => a - b);

  test('are the money instead when the customer says so, the difference with it', async () => {
    const id = await gone();
    await choose(id, 'refund');
    await refunded(id);
    expect(await moneys(id)).toEqual([3_000, 10_000]);
  });

  test('are the money instead when the customer says nothing', async () => {
    const id = await gone();
    await pass(id, 3 * day + 1000);
    await refunded(id);
    expect(await moneys(id)).toEqual([3_000, 10_000]);
  });

  test('are looked for once more, and nothing is paid a second time', async () => {
    const id = await gone();
    await r.stock('pot', 1);
    await choose(id, 'again');
    await r.carrier(await r.sent(id, 2), 'pickedUp');
    expect(await kit.outcome(id)).toEqual({ result: 'exchanged', paid: cny(3_000), refunded: cny(0) });
    expect((await r.told(id)).filter((m) => m === 'differenceDue')).toHaveLength(1);
  });
});

describe('a reissue', () => {
  const reissue = async (): Promise<CaseId> => {
    const id = await r.ask(await r.buy({ lines: [['cup', 1, 4_000]] }), { wish: 'reissue' });
    await r.decide(id, 'review-1/review', r.approve('quality', 'reissue'));
    return id;
  };

  test('leaves the old goods with the customer and sends new ones in time', async () => {
    const id = await reissue();
    await r.carrier(await r.sent(id), 'pickedUp');
    expect(await kit.outcome(id)).toEqual({ result: 'reissued' });
    expect((await r.told(id)).filter((m) => m !== 'thanks')).toEqual(['received', 'goodsStay', 'replacementSent', 'replacementLeft']);
    expect(await r.clocksOf(id)).toEqual({ handle: 'met', 'new-goods/ship': 'met' });
    expect(await kit.executions(id, 'logistics')).toEqual({});
    expect(await kit.rows('select disposition, loss_minor::int as loss from return_causes where case_id = $1', id)).toEqual([
      { disposition: 'kept', loss: 4_000 },
    ]);
  });

  test('that leaves later than the next day of the warehouse has broken its clock, and goes on', async () => {
    const id = await reissue();
    const trackingNo = await r.sent(id);
    await kit.parked(id);
    await world.skip(10 * day);
    await r.carrier(trackingNo, 'pickedUp');
    expect(await kit.outcome(id)).toEqual({ result: 'reissued' });
    expect(await r.clocksOf(id)).toEqual({ handle: 'met', 'new-goods/ship': 'broken' });
  });

  test('of goods that are gone is the money, and the old goods stay all the same', async () => {
    await r.stock('cup', 0);
    const id = await reissue();
    await r.decide(id, 'new-goods/hold-1/choose', { choice: 'refund' }, 'customer-1', 'customer');
    await refunded(id, 4_000);
    expect(await r.told(id)).toContain('goodsStay');
  });
});

test('every message that these cases sent can be read in both languages', async () => {
  expect(await r.unreadable()).toEqual([]);
});
