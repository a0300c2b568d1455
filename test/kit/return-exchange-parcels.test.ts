/** The goods' way back: in several parcels, in parts, too many, late, lost, refused at the door, and goods that are here before anybody asked. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { instant } from '../../values/instant.ts';
import { cny, day, returnsInTime, type ReturnsInTime } from './returns.ts';

let world: ReturnsInTime;
let kit: ReturnsInTime['kit'];
let r: ReturnsInTime['r'];
let pass: ReturnsInTime['pass'];
beforeAll(async () => {
  world = await returnsInTime();
  ({ kit, r, pass } = world);
});
afterAll(() => world.stop());

const twoCups = [{ lines: [['cup', 2, 5_000]] }, { lines: [{ line: 1, quantity: 2 }] }] as const;
const threeCups = [{ lines: [['cup', 3, 5_000]] }, { lines: [{ line: 1, quantity: 3 }] }] as const;

describe('goods in several parcels', () => {
  test.each([
    ['ours first', [0, 1]],
    ['the other first', [1, 0]],
  ])('with our label and by another courier, %s, are one return: inspected together, all refunded', async (_, order) => {
    const { id, label } = await r.toParcel(...twoCups);
    const parcels = [label, await r.ownCourier(id, 500)];
    const units: string[] = [];
    for (const n of order) {
      units.push(...(await r.receive(parcels[n] ?? '')));
      await r.isTold(id, 'parcelArrived', units.length);
    }
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect((await r.told(id)).filter((m) => m === 'restAwaited')).toHaveLength(1);
    expect(await r.fateOf(units)).toEqual(['restock', 'restock']);
    expect(await kit.rows('select amount::int from sandbox.payouts where case_ref = $1', id)).toEqual([{ amount: 500 }]);
  });

  test('by three couriers of the customer are paid for together, at most what one return costs; a number told twice is one courier', async () => {
    const { id } = await r.toParcel(...threeCups);
    const parcels = [await r.ownCourier(id, 500), await r.ownCourier(id, 400), await r.ownCourier(id, 450)];
    await r.tell(id, 'ownCourier', { trackingNo: parcels[0], freight: cny(500) });
    await r.isTold(id, 'courierNoted', 4);
    const units: string[] = [];
    for (const parcel of parcels) units.push(...(await r.receive(parcel)));
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(15_000) });
    expect(await kit.rows(`select facts->'freights' as freights from decision_log where case_id = $1 and rule = 'settlement'`, id)).toEqual([
      { freights: [cny(500), cny(400), cny(450)] },
    ]);
    expect(await kit.rows('select amount::int from sandbox.payouts where case_ref = $1', id)).toEqual([{ amount: 1_200 }]);
    // Our label was void with the first of them.
    expect(await r.undone(id)).toEqual(['label-1/label']);
  });

  test('when the customer gives us the number of our own label, it stays good', async () => {
    const { id, label } = await r.toParcel();
    await r.tell(id, 'ownCourier', { trackingNo: label, freight: cny(900) });
    await r.isTold(id, 'courierNoted');
    await r.inspect(id, (await r.receive(label)).map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect(await r.undone(id)).toEqual([]);
    expect(await kit.rows('select 1 from sandbox.payouts where case_ref = $1', id)).toEqual([]);
  });

  test('of which one never comes: what is here is settled in its time, the rest is free again, and has a case of its own when it comes', async () => {
    const { id, label } = await r.toParcel(...twoCups);
    const own = await r.ownCourier(id);
    const units = await r.receive(label);
    await r.isTold(id, 'restAwaited');
    await pass(id, 3 * day + 1000);
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(5_000) });
    expect(await r.clocksOf(id)).toMatchObject({ refundDue: 'met' });
    expect(await kit.rows(`select unit, used from allowance_units where hold like $1`, `${id}/%`)).toEqual([{ unit: 1, used: true }]);
    const late = await r.receive(own);
    expect(await r.lateParcels(id)).toMatchObject([{ units: late }]);
    expect(await r.fateOf(late)).toEqual([null]);
  });

  test('of which one comes while the others are inspected is not forgotten: a case of its own has it', async () => {
    const { id, label } = await r.toParcel();
    const own = await r.ownCourier(id);
    const units = await r.receive(label);
    await kit.opened(id, 'inspect');
    const more = await r.receive(own, ['pan']);
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    await kit.outcome(id);
    expect(await r.fateOf(units)).toEqual(['restock']);
    expect(await r.lateParcels(id)).toMatchObject([{ units: more }]);
  });

  test('that come and get lost at the same moment are both heard of, in the order in which it happened', async () => {
    const { id, label } = await r.toParcel(...twoCups);
    const own = await r.ownCourier(id);
    const units = await r.receive(label, ['cup'], 'store');
    await r.carrier(own, 'lost');
    await r.decide(id, 'parcel-3/parcelTrouble', { decision: 'wait' });
    await r.isTold(id, 'restAwaited');
    await pass(id, 3 * day + 1000);
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(5_000) });
    expect(await r.told(id)).toEqual(expect.arrayContaining(['parcelArrived', 'parcelLost']));
  });
});

describe('a parcel with more than was asked for', () => {
  test('brings no more money: what a person names beyond it goes back with the rest', async () => {
    const { id, units } = await r.toInspection({ lines: [['cup', 3, 5_000]] }, {}, ['cup', 'cup', 'cup']);
    await r.decide(id, 'receiptProblem', { units: units.map((unitId) => ({ unitId, line: 1 })) }, 'chen', 'warehouse');
    expect(await kit.rows(`select reasons from decision_log where case_id = $1 and rule = 'matchReceipt'`, id)).toEqual([{ reasons: ['tooManyUnits'] }]);
    await r.inspect(id, units.slice(0, 1).map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(5_000) });
    expect(await r.fateOf(units)).toEqual(['restock', 'sentBack', 'sentBack']);
  });

  test('of other goods only ends the return, after a person has looked, and the goods go back', async () => {
    const { id, units } = await r.toInspection({}, {}, ['pan']);
    await r.decide(id, 'receiptProblem', { units: [] }, 'chen', 'warehouse');
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'inspection' });
    expect(await r.fateOf(units)).toEqual(['sentBack']);
  });
});

describe('a parcel that does not reach us', () => {
  const trouble = (decision: string) => ({ decision, note: '联系过快递' });

  test('refused at the door gets another label; that it is returned later is no news', async () => {
    const { id, label } = await r.toParcel();
    await r.carrier(label, 'refused');
    await r.decide(id, 'parcel-1/parcelTrouble', trouble('newLabel'));
    const second = await r.label(id, 2);
    await r.isTold(id, 'sendGoods', 2);
    await r.carrier(label, 'returned');
    const units = await r.receive(second);
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect((await r.told(id)).filter((m) => m === 'parcelLost')).toHaveLength(1);
  });

  test('that is waited for all the same has its time from the decision, however long that took', async () => {
    const { id, label } = await r.toParcel();
    await r.carrier(label, 'returned');
    await kit.opened(id, 'parcel-1/parcelTrouble');
    await kit.parked(id);
    await world.skip(11 * day);
    await r.decide(id, 'parcel-1/parcelTrouble', trouble('wait'));
    const units = await r.receive(label);
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
  });

  test('and never does, though it was waited for, ends the return', async () => {
    const { id, label } = await r.toParcel();
    await r.carrier(label, 'lost');
    await r.decide(id, 'parcel-1/parcelTrouble', trouble('wait'));
    await pass(id, 10 * day + 1000);
    expect(await kit.outcome(id)).toEqual({ result: 'expired' });
    expect(await r.allowanceOf(id)).toEqual(['released']);
  });

  test('is refunded as received when the loss is ours: nothing to inspect, the loss is booked', async () => {
    const { id, label } = await r.toParcel(...twoCups);
    await r.carrier(label, 'lost');
    await r.decide(id, 'parcel-1/parcelTrouble', trouble('asReceived'));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect(await kit.rows(`select 1 from tasks where case_id = $1 and name = 'inspect'`, id)).toEqual([]);
    expect(await kit.rows('select disposition, loss_minor::int as loss from return_causes where case_id = $1', id)).toEqual([
      { disposition: 'kept', loss: 5_000 },
      { disposition: 'kept', loss: 5_000 },
    ]);
    expect(await kit.executions(id, 'warehouse')).toEqual({});
  });

  test('with part of the goods here: what is here is inspected, what was lost is refunded as received', async () => {
    const { id, label } = await r.toParcel(...twoCups);
    const own = await r.ownCourier(id);
    const units = await r.receive(label);
    await r.isTold(id, 'restAwaited');
    await r.carrier(own, 'lost');
    await r.decide(id, 'parcel-3/parcelTrouble', trouble('asReceived'));
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect(await r.fateOf(units)).toEqual(['restock']);
  });

  test('with part of the goods here: what is here goes back when it is rejected, and the lost part is refunded all the same', async () => {
    const { id, label } = await r.toParcel(...twoCups);
    const own = await r.ownCourier(id);
    const units = await r.receive(label);
    await r.isTold(id, 'restAwaited');
    await r.carrier(own, 'lost');
    await r.decide(id, 'parcel-3/parcelTrouble', trouble('asReceived'));
    await r.inspect(id, units.map(r.reject));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(5_000) });
    expect(await r.fateOf(units)).toEqual(['sentBack']);
  });

  test('with part of the goods here: the rest may come by another label', async () => {
    const { id, label } = await r.toParcel(...twoCups);
    const own = await r.ownCourier(id);
    const units = await r.receive(label);
    await r.isTold(id, 'restAwaited');
    await r.carrier(own, 'returned');
    await r.decide(id, 'parcel-3/parcelTrouble', trouble('newLabel'));
    units.push(...(await r.receive(await r.label(id, 4))));
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
  });

  test('may end the return: with nothing here it has expired, with part of the goods here that part is settled', async () => {
    const none = await r.toParcel();
    await r.carrier(none.label, 'lost');
    await r.decide(none.id, 'parcel-1/parcelTrouble', trouble('end'));
    expect(await kit.outcome(none.id)).toEqual({ result: 'expired' });

    const { id, label } = await r.toParcel(...twoCups);
    const own = await r.ownCourier(id);
    const units = await r.receive(label);
    await r.isTold(id, 'restAwaited');
    await r.carrier(own, 'refused');
    await r.decide(id, 'parcel-3/parcelTrouble', trouble('end'));
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(5_000) });
  });
});

describe('goods that are here already', () => {
  /** A parcel that nobody had asked about. */
  async function here() {
    const trackingNo = `ownerless-${Math.random()}`;
    const receipt = (await r.act('warehouse', 'receive', { trackingNo, units: [{ sku: 'cup-1' }] })) as { receiptId: string; unitIds: string[] };
    const receivedAt = instant((await r.now()) - day);
    const received = { receiptId: receipt.receiptId, trackingNo, receivedAt, units: receipt.unitIds.map((unitId) => ({ unitId, sku: 'cup-1' })) };
    return { received, units: receipt.unitIds };
  }

  test('need no label, and none is taken off; the refund is due from when they came', async () => {
    const { received, units } = await here();
    const id = await r.ask(await r.buy(), { reason: 'noReason', evidence: [], received });
    await r.decide(id, 'review-1/review', r.approve('noReason'));
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect(await r.fateOf(units)).toEqual(['restock']);
    expect(await kit.executions(id, 'logistics')).toEqual({});
    expect(await kit.rows(`select at from clock_log where case_id = $1 and clock = 'refundDue' and command->>'kind' = 'start'`, id)).toEqual([
      { at: new Date(received.receivedAt) },
    ]);
  });

  test.each(['rejected', 'withdrawn'])('go back when the return is %s', async (how) => {
    const { received, units } = await here();
    const id = await r.ask(await r.buy(), { received });
    await kit.opened(id, 'review-1/review');
    if (how === 'rejected') await r.decide(id, 'review-1/review', { decision: 'reject', reason: 'usedOrDamaged' });
    else await r.withdraw(id);
    expect(await kit.outcome(id)).toMatchObject({ result: how });
    expect(await r.fateOf(units)).toEqual(['sentBack']);
  });
});

test('every message that these cases sent can be read in both languages', async () => {
  expect(await r.unreadable()).toEqual([]);
});
