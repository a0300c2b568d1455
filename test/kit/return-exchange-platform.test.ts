/** The platform decides first, at every point of a return (IN10): we follow it, refund nothing that it refunded, and lose no goods. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { CaseId } from '../../values/ids.ts';
import { cny, returnsInTime, type ReturnsInTime } from './returns.ts';
import { settling, stages, type Reached } from './return-stages.ts';

let world: ReturnsInTime;
let kit: ReturnsInTime['kit'];
let r: ReturnsInTime['r'];
beforeAll(async () => {
  world = await returnsInTime();
  ({ kit, r } = world);
});
afterAll(() => world.stop());
afterEach(() => r.stock('pot', 100));

const orderOf = async (of: CaseId): Promise<string> =>
  (await kit.rows<{ order: string }>('select order_id as "order" from cases where id = $1', of))[0]?.order ?? '';

/** The platform decides; the case has followed. */
async function decided({ id, open }: Reached, how: string): Promise<void> {
  await kit.opened(id, ...open);
  await kit.parked(id);
  await r.tell(id, 'closedByPlatform', { how });
  expect(await kit.outcome(id)).toEqual({ result: 'closedByPlatform', how });
  expect(await kit.openTasks(id)).toEqual([]);
  expect((await r.told(id)).at(-1)).toBe('platformDecided');
  // Nothing of ours is left: no money, no promise, no clock.
  expect(await r.refundsOf(id)).toEqual([]);
  expect(await kit.rows(`select 1 from sandbox.reservations where case_ref = $1 and state = 'held'`, id)).toEqual([]);
  expect(await kit.rows(`select 1 from sandbox.payment_links where case_ref = $1 and state in ('open', 'paid')`, id)).toEqual([]);
  expect(Object.values(await r.clocksOf(id))).not.toContain('running');
  expect(Object.values(await r.clocksOf(id))).not.toContain('paused');
}
/** Another case asks for one of the units. */
async function another(order: string): Promise<CaseId> {
  const id = await r.ask(order);
  await r.decide(id, 'review-1/review', r.approve());
  return id;
}
/** What came is one case's, per parcel. */
async function late(of: CaseId, parcels: readonly (readonly string[])[]): Promise<void> {
  await kit.until(
    'late parcels',
    () => r.lateParcels(of),
    (all) => all.length === parcels.length,
  );
  expect((await r.lateParcels(of)).map((c) => c.units).toSorted((a, b) => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1))).toEqual(
    parcels.map((units) => [...units]).toSorted((a, b) => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1)),
  );
}

describe('the platform (IN10) has refunded', () => {
  test.each(stages)('%s: what it refunded is used up, goods that are here or come are looked at', async (_, to) => {
    const reached = await to(world);
    const { id, here, onTheWay } = reached;
    await decided(reached, 'refunded');
    expect(await r.allowanceOf(id)).toEqual(['used']);
    await late(id, here);
    expect(await r.fateOf(here.flat())).toEqual(here.flat().map(() => null));
    const came: string[][] = [];
    for (const trackingNo of onTheWay) came.push(await r.receive(trackingNo));
    await late(id, [...here, ...came]);
    // Nobody is refunded the same units again.
    expect(await kit.outcome(await another(await orderOf(id)))).toEqual({ result: 'rejected', reason: 'alreadyReturned' });
  });

  test('in our stead, because we were too late: the same', async () => {
    const id = await r.ask(await r.buy());
    await decided({ id, here: [], onTheWay: [], open: ['review-1/review'] }, 'merchantOverdue');
    expect(await kit.outcome(await another(await orderOf(id)))).toEqual({ result: 'rejected', reason: 'alreadyReturned' });
  });

  test('some of the units: the others can still be returned', async () => {
    const order = await r.buy({ lines: [['cup', 2, 5_000]] });
    const id = await r.ask(order);
    await decided({ id, here: [], onTheWay: [], open: ['review-1/review'] }, 'refunded');
    const other = await another(order);
    await r.inspect(other, (await r.receive(await r.label(other))).map(r.accept));
    await r.refundState(other, 'arrived');
    expect(await kit.outcome(other)).toEqual({ result: 'refunded', amount: cny(5_000) });
    expect(await kit.outcome(await another(order))).toEqual({ result: 'rejected', reason: 'alreadyReturned' });
  });

  test('an order that our shop does not know: the case follows all the same', async () => {
    const id = await r.ask(await r.buy());
    await kit.opened(id, 'review-1/review');
    await kit.pool.query(`delete from sandbox.payments where order_id = $1`, [await orderOf(id)]);
    await kit.pool.query(`delete from sandbox.orders where order_id = $1`, [await orderOf(id)]);
    await r.tell(id, 'closedByPlatform', { how: 'refunded' });
    expect(await kit.outcome(id)).toEqual({ result: 'closedByPlatform', how: 'refunded' });
    expect(await r.allowanceOf(id)).toEqual([]);
  });
});

describe('the platform has closed the request', () => {
  test.each(stages)('%s: everything is taken back, goods that are here go back, goods that come are looked at', async (_, to) => {
    const reached = await to(world);
    const { id, here, onTheWay } = reached;
    await decided(reached, 'closed');
    expect(await r.allowanceOf(id)).not.toContain('held');
    expect(await kit.rows('select 1 from allowance_units where hold like $1', `${id}/%`)).toEqual([]);
    expect(await r.fateOf(here.flat())).toEqual(here.flat().map(() => 'sentBack'));
    const came: string[][] = [];
    for (const trackingNo of onTheWay) came.push(await r.receive(trackingNo));
    await late(id, came);
  });
});

describe('a platform that decides too late', () => {
  test.each(['closed', 'refunded'])('(%s), with our refund under way, changes nothing', async (how) => {
    const { id, here } = await settling(world);
    await r.tell(id, 'closedByPlatform', { how });
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect(await r.undone(id)).toEqual([]);
    expect(await r.fateOf(here.flat())).toEqual(['restock']);
    expect(await r.lateParcels(id)).toEqual([]);
  });
});

test('every message that these cases sent can be read in both languages', async () => {
  expect(await r.unreadable()).toEqual([]);
});
