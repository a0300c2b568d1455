/** 迟到或无主包裹 on a Temporal that skips time: whose it is, what becomes of it, and who wins when a return names its number. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { correlate } from '../../db/inbox.ts';
import { inTransaction } from '../../db/pool.ts';
import { redeliver } from '../../delivery/inbox.ts';
import { openUnclaimed, settleLate } from '../../delivery/late.ts';
import { startUnstarted } from '../../delivery/start.ts';
import type { CaseId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import type { Kit } from './harness.ts';
import { day, returnsInTime, type ReturnsInTime, type Sku } from './returns.ts';

let world: ReturnsInTime;
let kit: Kit;
let r: ReturnsInTime['r'];
beforeAll(async () => {
  world = await returnsInTime();
  ({ kit, r } = world);
});
afterAll(() => world.stop());

const source = 'warehouse.parcelReceived';
let count = 0;
/** Waits for a case's last record without skipping time, as awaiting its result would. */
async function endOf(of: CaseId): Promise<unknown> {
  const row = await kit.until(
    `the end of ${of}`,
    () => kit.row(of),
    (seen) => seen.status !== 'open',
  );
  return row.outcome;
}
/** A parcel comes whose number nobody has named, perhaps with a slip that names an order. */
async function arrives(goods: readonly (Sku | undefined)[] = ['cup'], slip?: string, trackingNo = `YT-late-${++count}`) {
  const units = goods.map((of) => (of === undefined ? {} : { sku: `${of}-1` }));
  const { receiptId, unitIds } = (await r.act('warehouse', 'receive', { trackingNo, units })) as { receiptId: string; unitIds: string[] };
  const body = {
    receiptId,
    trackingNo,
    receivedAt: instant(Date.now()),
    units: unitIds.map((unitId, i) => ({ unitId, ...units[i] })),
    ...(slip === undefined ? {} : { orderId: slip }),
  };
  await kit.send({ source, eventId: `arrives-${receiptId}`, kind: 'event', name: source, correlationKey: trackingNo, body });
  return { trackingNo, receiptId, units: unitIds };
}
/** A day passes for what nobody has claimed. */
const dayLater = () =>
  kit.pool.query(`update inbox set received_at = received_at - interval '1 day' where case_id is null and became is null and source = $1`, [source]);
const sweep = async (): Promise<CaseId[]> => {
  const opened = await openUnclaimed(kit.pool, kit.processes, kit.engine.policy);
  await startUnstarted(kit.pool, kit.temporal, 0);
  return opened.map(({ id }) => id);
};
/** A parcel that nobody asked about has become a case. */
async function ownerless(goods?: readonly (Sku | undefined)[], slip?: string) {
  const parcel = await arrives(goods, slip);
  await dayLater();
  const [id] = await sweep();
  if (id === undefined) throw new Error('no case was opened');
  return { id, ...parcel };
}
/** A parcel for a return that has expired has become a case. */
async function late(goods?: readonly (Sku | undefined)[]) {
  const { id: of, label } = await r.toParcel();
  await world.pass(of, 11 * day);
  expect(await endOf(of)).toEqual({ result: 'expired' });
  const units = await r.receive(label, goods);
  const [row] = await kit.rows<{ became: string }>(`select became from inbox where case_id = $1 and name = 'parcelReceived'`, of);
  await startUnstarted(kit.pool, kit.temporal, 0);
  const { order_id: order, customer } = await kit.row(of);
  return { id: row?.became.replace('start:', '') as CaseId, of, order: order ?? '', customer, trackingNo: label, units };
}
const handedOn = async (id: CaseId): Promise<CaseId> => {
  const outcome = (await endOf(id)) as { result: string; case: CaseId };
  expect(outcome.result).toBe('handedOn');
  return outcome.case;
};
const dispose = (of: CaseId, units: readonly string[], disposition = 'scrap', n = 1) =>
  r.decide(of, `dispose-${n}/dispose`, { units: units.map((unitId) => ({ unitId, disposition })) }, 'zhao', 'quality');
const identified = (of: CaseId, form: object, n = 1) => r.decide(of, `look-${n}/desk/identify`, form, 'chen', 'warehouse');

describe('a parcel that comes when its return has ended', () => {
  test('is its own case, which knows order and customer; the customer hears of it', async () => {
    const { id, of, order, customer } = await late();
    expect(await kit.row(id)).toMatchObject({ process: 'late-parcel', shop: 'shop-1', order_id: order, customer, parent: of });
    await kit.opened(id, 'decide');
    expect(await r.told(id)).toEqual(['parcelHere']);
    expect(await r.clocksOf(id)).toEqual({ handle: 'running' });
    await r.decide(id, 'decide', { decision: 'sendBack' });
    await endOf(id);
    expect(await r.clocksOf(id)).toEqual({ handle: 'met' });
  });

  test('goes back to the customer when the agent says so', async () => {
    const { id, units } = await late(['cup', undefined]);
    await r.decide(id, 'decide', { decision: 'sendBack' });
    expect(await endOf(id)).toEqual({ result: 'sentBack', units: 2 });
    expect(await r.fateOf(units)).toEqual(['sentBack', 'sentBack']);
    expect(await r.told(id)).toEqual(['parcelHere', 'goodsGoingBack']);
  });

  test('that is empty has nothing to go back', async () => {
    const { id } = await late([]);
    await r.decide(id, 'decide', { decision: 'sendBack' });
    expect(await endOf(id)).toEqual({ result: 'sentBack', units: 0 });
    expect(await r.told(id)).toEqual(['parcelHere']);
  });

  test('is taken back as a return for which the goods are here: reviewed, inspected, refunded', async () => {
    const { id, order, units } = await late();
    await r.decide(id, 'decide', { decision: 'takeBack', reason: 'quality', lines: [{ line: 1, quantity: 1 }] });
    const outcome = (await endOf(id)) as { result: string; case: CaseId };
    expect(outcome).toEqual({ result: 'takenBack', case: expect.stringMatching(`^return-exchange\\.${order}\\.late-rc_`) });
    expect(await r.told(id)).toEqual(['parcelHere', 'takenBack']);
    expect(await kit.row(outcome.case)).toMatchObject({ parent: id, order_id: order });
    await r.decide(outcome.case, 'review-1/review', r.approve());
    await r.inspect(outcome.case, units.map(r.accept));
    await r.refundState(outcome.case, 'arrived');
    expect(await endOf(outcome.case)).toMatchObject({ result: 'refunded' });
    expect(await r.fateOf(units)).toEqual(['restock']);
  });

  test('is kept when others have refunded it; quality says what becomes of each unit, and is asked again for what was left out or cannot be sold', async () => {
    const { id, units } = await late(['cup', 'pan', undefined]);
    const [cup = '', pan = '', unknown = ''] = units;
    await r.decide(id, 'decide', { decision: 'keep' });
    await dispose(id, [cup, unknown], 'restock');
    await kit.opened(id, 'dispose-2/dispose');
    expect(await r.fateOf(units)).toEqual(['restock', null, null]);
    await dispose(id, [pan, unknown], 'scrap', 2);
    expect(await endOf(id)).toEqual({ result: 'kept', units: 3 });
    expect(await r.fateOf(units)).toEqual(['restock', 'scrap', 'scrap']);
    expect(await r.told(id)).toEqual(['parcelHere', 'kept']);
  });

  test('that the platform closed is ours to look at: the case takes the number over from the return that started it', async () => {
    const { id: of, units } = await r.toInspection();
    await kit.opened(of, 'inspect');
    await r.tell(of, 'closedByPlatform', { how: 'refunded' });
    expect(await endOf(of)).toEqual({ result: 'closedByPlatform', how: 'refunded' });
    await startUnstarted(kit.pool, kit.temporal, 0);
    const [next] = await kit.rows<{ id: CaseId }>('select id from cases where parent = $1', of);
    if (next === undefined) throw new Error('the goods have no case');
    await r.decide(next.id, 'decide', { decision: 'keep' });
    await dispose(next.id, units);
    expect(await endOf(next.id)).toEqual({ result: 'kept', units: 1 });
    expect(await r.fateOf(units)).toEqual(['scrap']);
  });

  test('and another of the same number after it are two cases, each with its own goods', async () => {
    const { id, trackingNo, units } = await late();
    await kit.opened(id, 'decide');
    const second = await arrives(['pan'], undefined, trackingNo);
    await kit.parked(id);
    await r.decide(id, 'decide', { decision: 'sendBack' });
    expect(await endOf(id)).toEqual({ result: 'sentBack', units: 1 });
    await startUnstarted(kit.pool, kit.temporal, 0);
    const [next] = await kit.rows<{ id: CaseId }>('select id from cases where parent = $1', id);
    if (next === undefined) throw new Error('the second parcel has no case');
    await r.decide(next.id, 'decide', { decision: 'sendBack' });
    expect(await endOf(next.id)).toEqual({ result: 'sentBack', units: 1 });
    expect(await r.fateOf([...units, ...second.units])).toEqual(['sentBack', 'sentBack']);
  });
});

describe('a parcel that nobody has asked about', () => {
  test('waits for its time, then becomes one case, however many sweep at once', async () => {
    await arrives();
    expect(await sweep()).toEqual([]);
    await dayLater();
    const opened = (await Promise.all(Array.from({ length: 6 }, sweep))).flat();
    expect(opened).toHaveLength(1);
    expect(await sweep()).toEqual([]);
    const [id = '' as CaseId] = opened;
    expect(await kit.row(id)).toMatchObject({ shop: '*', customer: null, order_id: null, starter: 'warehouse' });
    expect(await kit.rows('select became from inbox where case_id = $1', id)).toEqual([{ became: `start:${id}` }]);
    await r.withdraw(id);
    await kit.opened(id, 'withdrawn/dispose-1/dispose');
  });

  test('and names its order on a slip, is decided in the shop of that order', async () => {
    const order = await r.buy();
    const { id, units } = await ownerless(['cup'], order);
    const next = await handedOn(id);
    expect(await kit.row(next)).toMatchObject({ shop: 'shop-1', order_id: order, customer: expect.stringMatching(/^c_/), parent: id });
    await r.decide(next, 'decide', { decision: 'sendBack' });
    expect(await endOf(next)).toEqual({ result: 'sentBack', units: 1 });
    expect(await r.fateOf(units)).toEqual(['sentBack']);
  });

  test('is somebody’s once the warehouse has found out; an order that does not exist is asked for again', async () => {
    const order = await r.buy();
    const { id } = await ownerless(['cup'], 'no-such-order');
    await identified(id, { owner: 'found', orderId: 'nor-this' });
    await kit.opened(id, 'look-2/desk/identify');
    expect(await kit.rows(`select context->>'noSuchOrder' as named from tasks where case_id = $1 order by opened_at`, id)).toEqual([
      { named: 'no-such-order' },
      { named: 'nor-this' },
    ]);
    await identified(id, { owner: 'found', orderId: order }, 2);
    const next = await handedOn(id);
    await r.decide(next, 'decide', { decision: 'keep' });
    const { input } = await kit.row(next);
    await dispose(
      next,
      (input as { payload: { units: { unitId: string }[] } }).payload.units.map((u) => u.unitId),
    );
    expect(await endOf(next)).toEqual({ result: 'kept', units: 1 });
  });

  test('is somebody’s when the owner calls, before the warehouse has looked or after it found nothing', async () => {
    const order = await r.buy();
    const before = await ownerless();
    await kit.opened(before.id, 'look-1/desk/identify');
    await r.tell(before.id, 'ownerFound', { orderId: order });
    await handedOn(before.id);
    expect(await kit.openTasks(before.id)).toEqual([]);

    const after = await ownerless();
    await identified(after.id, { owner: 'unknown' });
    await r.tell(after.id, 'ownerFound', { orderId: order });
    await handedOn(after.id);
  });

  test.each(['silence', 'nothing was found'])('and is nobody’s when its time is over (%s) is disposed of, unit by unit', async (what) => {
    const { id, units } = await ownerless(['cup', undefined]);
    await kit.opened(id, 'look-1/desk/identify');
    if (what !== 'silence') await identified(id, { owner: 'unknown' });
    await world.pass(id, 31 * day);
    await dispose(id, units);
    expect(await endOf(id)).toEqual({ result: 'givenUp', units: 2 });
    expect(await r.fateOf(units)).toEqual(['scrap', 'scrap']);
    expect(await r.told(id)).toEqual([]);
  });

  test('and that a person lets be goes back where its slip says, or is disposed of', async () => {
    const nobodys = await ownerless();
    await kit.opened(nobodys.id, 'look-1/desk/identify');
    await r.withdraw(nobodys.id);
    await r.decide(nobodys.id, 'withdrawn/dispose-1/dispose', { units: [{ unitId: nobodys.units[0], disposition: 'refurbish' }] }, 'zhao', 'quality');
    expect(await endOf(nobodys.id)).toEqual({ result: 'withdrawn' });
    expect(await r.fateOf(nobodys.units)).toEqual(['refurbish']);

    const { id, units } = await late();
    await kit.opened(id, 'decide');
    await r.withdraw(id);
    expect(await endOf(id)).toEqual({ result: 'withdrawn' });
    expect(await r.fateOf(units)).toEqual(['sentBack']);
  });
});

test('a parcel that was nobody’s, then a return’s, and then came too late for it, becomes a case once more', async () => {
  const { id: nobodys } = await ownerless();
  const { of } = await late();
  const tx = await kit.pool.connect();
  try {
    await tx.query('begin');
    await tx.query(`update inbox set case_id = $2, name = 'parcelReceived', became = 'late' where became = $1`, [`start:${nobodys}`, of]);
    const opened = await settleLate(tx, kit.processes, of);
    expect(opened).toEqual([expect.stringMatching(/^late-parcel\./)]);
    expect(opened).not.toContain(nobodys);
  } finally {
    await tx.query('rollback');
    tx.release();
  }
});

describe('a return that names the number of a parcel', () => {
  const names = (of: CaseId, trackingNo: string) => r.tell(of, 'ownCourier', { trackingNo });

  test('in time gets it, and no case is opened for it', async () => {
    const { id } = await r.toParcel();
    const { trackingNo, units } = await arrives();
    await names(id, trackingNo);
    await r.isTold(id, 'parcelArrived');
    await dayLater();
    expect(await sweep()).toEqual([]);
    await r.inspect(id, units.map(r.accept));
  });

  test.each(['nobody’s', 'handed on', 'late'])('gets it while nobody has decided, also when it is %s: that case ends', async (what) => {
    // First: time passes until it is late.
    const parcel = what === 'late' ? await late() : await ownerless(['cup'], what === 'handed on' ? await r.buy() : undefined);
    const { id } = await r.toParcel();
    const holder = what === 'handed on' ? await handedOn(parcel.id) : parcel.id;
    const waits = what === 'nobody’s' ? 'look-1/desk/identify' : 'decide';
    await kit.opened(holder, waits);
    await names(id, parcel.trackingNo);
    await r.isTold(id, 'parcelArrived');
    await redeliver(kit.pool, kit.temporal, 0);
    expect(await endOf(holder)).toEqual({ result: 'claimed' });
    expect(await kit.openTasks(holder)).toEqual([]);
    await r.inspect(id, parcel.units.map(r.accept));
    await kit.until(
      'the goods on the shelf',
      () => r.fateOf(parcel.units),
      (fates) => fates[0] === 'restock',
    );
  });

  test('does not get it once it was decided', async () => {
    const parcel = await late();
    const { id } = await r.toParcel();
    await r.decide(parcel.id, 'decide', { decision: 'keep' });
    await kit.opened(parcel.id, 'dispose-1/dispose');
    await names(id, parcel.trackingNo);
    await r.isTold(id, 'courierUnclear');
    await dispose(parcel.id, parcel.units);
    expect(await endOf(parcel.id)).toEqual({ result: 'kept', units: 1 });
    expect(await kit.rows(`select 1 from inbox where case_id = $1 and name = 'parcelReceived'`, id)).toEqual([]);
  });

  test('at the moment in which it is decided gets it, or it goes back: never both, never neither', async () => {
    const ends: unknown[] = [];
    for (let n = 0; n < 6; n++) {
      const { id } = await r.toParcel();
      const parcel = await ownerless(['cup'], await r.buy());
      const holder = await handedOn(parcel.id);
      await kit.opened(holder, 'decide');
      await Promise.all([r.decide(holder, 'decide', { decision: 'sendBack' }), names(id, parcel.trackingNo)]);
      await redeliver(kit.pool, kit.temporal, 0);
      const end = (await endOf(holder)) as { result: string };
      ends.push(end.result);
      await r.isTold(id, end.result === 'claimed' ? 'parcelArrived' : 'courierUnclear');
      expect(await r.fateOf(parcel.units)).toEqual([end.result === 'claimed' ? null : 'sentBack']);
    }
    for (const end of ends) expect(['claimed', 'sentBack']).toContain(end);
  });

  test('at the moment in which the sweep takes it on gets it all the same', async () => {
    const { id } = await r.toParcel();
    const parcels = await Promise.all(Array.from({ length: 12 }, () => arrives()));
    await dayLater();
    await Promise.all([
      ...parcels.map(({ trackingNo }) => inTransaction(kit.pool, (tx) => correlate(tx, source, trackingNo, id, 'parcelReceived'))),
      sweep(),
      sweep(),
    ]);
    const rows = await kit.rows<{ case_id: CaseId; became: string | null }>(
      'select case_id, became from inbox where correlation_key = any($1)',
      parcels.map(({ trackingNo }) => trackingNo),
    );
    expect(rows).toEqual(parcels.map(() => ({ case_id: id, became: null })));
    await redeliver(kit.pool, kit.temporal, 0);
    const holders = await kit.rows<{ id: CaseId }>(
      `select id from cases where process = 'late-parcel' and input->'payload'->>'trackingNo' = any($1)`,
      parcels.map(({ trackingNo }) => trackingNo),
    );
    for (const { id: holder } of holders) expect(await endOf(holder)).toEqual({ result: 'claimed' });
  });
});

test('whatever is decided, each unit is disposed of or sent back, once', async () => {
  const dispositions = ['restock', 'refurbish', 'scrap'] as const;
  const story = fc.record({
    goods: fc.array(fc.constantFrom<(Sku | undefined)[]>('cup', 'pan', undefined), { maxLength: 4 }),
    decision: fc.constantFrom('sendBack', 'keep', 'withdraw', 'claim'),
    said: fc.array(fc.constantFrom(...dispositions), { minLength: 4, maxLength: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(story, async ({ goods, decision, said }) => {
      const parcel = await ownerless(goods, await r.buy());
      const id = await handedOn(parcel.id);
      await kit.opened(id, 'decide');
      if (decision === 'withdraw') await r.withdraw(id);
      else if (decision === 'claim') {
        const other = await r.toParcel();
        await r.tell(other.id, 'ownCourier', { trackingNo: parcel.trackingNo });
        await r.isTold(other.id, goods.length === 0 ? 'courierNoted' : 'parcelArrived');
        await redeliver(kit.pool, kit.temporal, 0);
      } else await r.decide(id, 'decide', { decision });
      if (decision === 'keep') {
        for (let n = 1; (await kit.row(id)).status === 'open'; n++) {
          const path = `dispose-${n}/dispose`;
          await kit.until(
            'the next question or the end',
            async () => [...(await kit.openTasks(id)), (await kit.row(id)).status],
            (seen) => seen.includes(path) || !seen.includes('open'),
          );
          if ((await kit.row(id)).status !== 'open') break;
          const units = parcel.units.map((unitId, i) => ({ unitId, disposition: n === 1 ? said[i] : 'scrap' }));
          await r.decide(id, path, { units }, 'zhao', 'quality');
        }
      }
      await endOf(id);
      const deeds = (await kit.ledger('warehouse', `${id}/`)).filter(({ operation }) => ['dispose', 'sendBack'].includes(operation));
      expect(deeds.every(({ executions }) => executions === 1)).toBe(true);
      const fates = await r.fateOf(parcel.units);
      const expected = { sendBack: ['sentBack'], withdraw: ['sentBack'], keep: [...dispositions], claim: [null] }[decision] as readonly (string | null)[];
      for (const fate of fates) expect(expected).toContain(fate);
      // Nothing that went back was disposed of besides.
      expect(
        await kit.rows('select 1 from sandbox.units where unit_id = any($1) and disposition is not null and sent_back_by is not null', parcel.units),
      ).toEqual([]);
    }),
    { numRuns: 10 },
  );
});
