/** A customer who changes their mind, at every point of a return (EF5): all is taken back, all that is here or comes goes back, once. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { day, cny, returnsInTime, type ReturnsInTime } from './returns.ts';
import { settling, stages, type Reached } from './return-stages.ts';

let world: ReturnsInTime;
let kit: ReturnsInTime['kit'];
let r: ReturnsInTime['r'];
let pass: ReturnsInTime['pass'];
beforeAll(async () => {
  world = await returnsInTime();
  ({ kit, r, pass } = world);
});
afterAll(() => world.stop());
afterEach(() => r.stock('pot', 100));

/** Nothing of the case is left anywhere but what it told and the goods that went back. */
async function allTakenBack({ id, open }: Reached): Promise<void> {
  expect(await kit.row(id)).toMatchObject({ status: 'withdrawn', outcome: { result: 'withdrawn' } });
  expect(await kit.openTasks(id)).toEqual([]);
  expect((await kit.rows<{ path: string }>(`select path from tasks where case_id = $1 and status = 'withdrawn'`, id)).map((t) => t.path)).toEqual([...open]);
  expect(Object.values(await r.clocksOf(id))).not.toContain('running');
  expect(Object.values(await r.clocksOf(id))).not.toContain('paused');
  expect(await r.allowanceOf(id)).not.toContain('held');
  expect(await kit.rows('select 1 from allowance_units where hold like $1', `${id}/%`)).toEqual([]);
  expect(await kit.rows(`select 1 from tallies where tally like $1 and status = 'counted'`, `${id}/%`)).toEqual([]);
  expect(await kit.rows(`select 1 from sandbox.reservations where case_ref = $1 and state = 'held'`, id)).toEqual([]);
  expect(await kit.rows(`select 1 from sandbox.payment_links where case_ref = $1 and state in ('open', 'paid')`, id)).toEqual([]);
  expect(await kit.rows(`select 1 from sandbox.dispatches where case_ref = $1 and lines->0->>'sku' is not null and not recalled`, id)).toEqual([]);
  expect(await r.refundsOf(id)).toEqual([]);
  expect((await r.told(id)).at(-1)).toBe('withdrawn');
  expect(await r.lateParcels(id)).toEqual([]);
}

describe('withdrawal (EF5)', () => {
  test.each(stages)('%s takes everything back', async (_, to) => {
    const reached = await to(world);
    const { id, here, onTheWay, open } = reached;
    await kit.opened(id, ...open);
    await kit.parked(id);
    await r.withdraw(id);
    const units = here.flat();
    // Goods on their way are waited for, whichever comes first.
    for (const trackingNo of onTheWay.toReversed()) {
      await r.isTold(id, 'withdrawnWithGoods');
      units.push(...(await r.receive(trackingNo)));
    }
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    await allTakenBack(reached);
    expect(await r.fateOf(units)).toEqual(units.map(() => 'sentBack'));
  });

  test('with an unused label cancels it, newest first; a used one is left', async () => {
    const unused = await r.toParcel();
    await r.withdraw(unused.id);
    await kit.outcome(unused.id);
    expect(await r.undone(unused.id)).toEqual(['label-1/label', 'allowance', 'tally']);
    expect(await kit.rows('select cancelled from sandbox.labels where tracking_no = $1', unused.label)).toEqual([{ cancelled: true }]);
  });

  test('with goods of other couriers waits for all of them together no longer than one window', async () => {
    const { id } = await r.toParcel();
    await r.ownCourier(id);
    await r.ownCourier(id);
    await r.isTold(id, 'courierNoted', 2);
    await r.withdraw(id);
    await r.isTold(id, 'withdrawnWithGoods');
    await pass(id, 10 * day + 1000);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
  });

  test('while the new goods are being sent, because the difference was just paid, stops them and gives the difference back', async () => {
    const { id, units } = await r.toInspection({}, { wish: 'exchange', lines: [{ line: 1, quantity: 1, replacement: 'pot-1' }] }, ['cup'], 'agent', 'exchange');
    await r.inspect(id, units.map(r.accept));
    await r.isTold(id, 'differenceDue');
    // The warehouse is away for a moment: the dispatch is under way until it is back.
    kit.fault('warehouse', { outage: true });
    await r.link(id, 'paid');
    await kit.until(
      'the dispatch under way',
      () => kit.history(id),
      (events) => Boolean(events.at(-1)?.activityTaskScheduledEventAttributes),
    );
    await r.withdraw(id);
    await kit.parked(id);
    kit.fault('warehouse', {});
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect((await r.refundsOf(id)).map((refund) => refund.minor)).toEqual([3_000]);
    expect(await kit.rows(`select 1 from sandbox.dispatches where case_ref = $1 and lines->0->>'sku' is not null and not recalled`, id)).toEqual([]);
    expect(await r.fateOf(units)).toEqual(['sentBack']);
    expect(await r.allowanceOf(id)).toEqual(['released']);
    expect(await r.reserved('pot')).toBe(0);
  });

  test('while the value is worked out, just before the refund, still takes everything back', async () => {
    const reached = await stageNamed('during inspection');
    const units = reached.here.flat();
    // The withdrawal is there before the decision, and both reach the case at once.
    await kit.commitDecision(reached.id, 'inspect', { units: units.map(r.accept) }, 'zhao', 'quality');
    await r.withdraw(reached.id);
    expect(await kit.outcome(reached.id)).toEqual({ result: 'withdrawn' });
    expect(await r.allowanceOf(reached.id)).toEqual(['released']);
    expect(await r.fateOf(units)).toEqual(['sentBack']);
    expect(await r.refundsOf(reached.id)).toEqual([]);
  });

  test('once the refund is under way is refused, and the customer is refunded', async () => {
    const { id, here } = await settling(world);
    await r.withdraw(id);
    await kit.until(
      'the refusal',
      () => kit.rows<{ became: string }>(`select became from inbox where case_id = $1 and kind = 'withdraw'`, id),
      ([row]) => row?.became === 'refused',
    );
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect(await r.undone(id)).toEqual([]);
    expect(await r.fateOf(here.flat())).toEqual(['restock']);
  });
});

const stageNamed = async (name: string): Promise<Reached> => {
  const [, to] = stages.find(([n]) => n === name) ?? [];
  if (to === undefined) throw new Error(`no stage ${name}`);
  const reached = await to(world);
  await kit.opened(reached.id, ...reached.open);
  return reached;
};

test('every message that these cases sent can be read in both languages', async () => {
  expect(await r.unreadable()).toEqual([]);
});
