/** The clocks of a return: what is due from whom and when, who is told when it is late, and what stands still while the customer has the next move. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { clockDue } from '../../activities/clock-log.ts';
import { putPerson } from '../../db/people.ts';
import type { CaseId, PersonId } from '../../values/ids.ts';
import { day, returnsInTime, type ReturnsInTime } from './returns.ts';

let world: ReturnsInTime;
let kit: ReturnsInTime['kit'];
let r: ReturnsInTime['r'];
beforeAll(async () => {
  world = await returnsInTime();
  ({ kit, r } = world);
  // Without one, what is a supervisor's is the manager's at once.
  await putPerson(kit.pool, { id: 'li' as PersonId, name: 'li', roles: ['supervisor'], shops: ['*'], active: true, absentUntil: null });
});
afterAll(() => world.stop());

const hour = 3_600_000;
/** As if everything that a clock knows had happened earlier, and its job had run then: jobs run on the machine's clock, which does not skip. */
async function late(of: CaseId, clock: string, ms: number): Promise<void> {
  await kit.parked(of);
  await kit.pool.query(`update clock_log set at = at - $3 * interval '1 millisecond' where case_id = $1 and clock = $2`, [of, clock, ms]);
  await clockDue(kit.engine, of, clock);
}
const roleOf = async (of: CaseId, path: string) =>
  (await kit.rows<{ role: string }>('select role from tasks where case_id = $1 and path = $2', of, path))[0]?.role;
const toldOf = async (of: CaseId, clock: string) =>
  (
    await kit.rows<{ kind: string; to: string }>(
      `select kind, data->>'to' as to from timeline where case_id = $1 and kind like 'clock%' and data->>'clock' = $2 and data->>'to' is not null order by id`,
      of,
      clock,
    )
  ).map(({ kind, to }) => `${kind} ${to}`);

describe('the decision on a request (T10)', () => {
  test('that is not made within a day climbs to the supervisor and the manager; the clock stays broken', async () => {
    const id = await r.ask(await r.buy());
    await kit.opened(id, 'review-1/review');
    await late(id, 'handle', 24 * hour + 1000);
    expect(await roleOf(id, 'review-1/review')).toBe('agent');
    await late(id, 'handle', hour);
    expect(await roleOf(id, 'review-1/review')).toBe('supervisor');
    await late(id, 'handle', 3 * hour);
    expect(await roleOf(id, 'review-1/review')).toBe('manager');
    expect(await toldOf(id, 'handle')).toEqual(['clockEscalated agent', 'clockEscalated supervisor', 'clockEscalated manager']);
    await r.decide(id, 'review-1/review', { decision: 'reject', reason: 'other' }, 'chen', 'manager');
    await kit.outcome(id);
    expect(await r.clocksOf(id)).toEqual({ handle: 'broken' });
  });

  test('stands still while the customer looks for evidence, however long that takes, and goes on with it', async () => {
    const id = await r.ask(await r.buy());
    await kit.opened(id, 'review-1/review');
    await late(id, 'handle', 20 * hour);
    await r.decide(id, 'review-1/review', { decision: 'moreEvidence', what: ['video'] });
    await r.isTold(id, 'evidenceAsked');
    await late(id, 'handle', 2 * day);
    expect(await r.clocksOf(id)).toEqual({ handle: 'paused' });
    await r.tell(id, 'evidenceAdded', { files: ['video-1'] });
    await r.decide(id, 'review-2/review', { decision: 'reject', reason: 'other' });
    await kit.outcome(id);
    expect((await toldOf(id, 'handle')).filter((what) => what.startsWith('clockEscalated'))).toEqual([]);
    expect(await r.clocksOf(id)).toEqual({ handle: 'met' });
  });

  test('counts from the request, and is met by a decision in time', async () => {
    const id = await r.ask(await r.buy());
    await r.decide(id, 'review-1/review', { decision: 'reject', reason: 'other' });
    await kit.outcome(id);
    expect(await r.clocksOf(id)).toEqual({ handle: 'met' });
    expect(await kit.rows(`select at from clock_log where case_id = $1 and command->>'kind' = 'start'`, id)).toEqual([
      { at: new Date((await kit.rows<{ at: string }>(`select input->>'requestedAt' as at from cases where id = $1`, id))[0]?.at ?? 0) },
    ]);
  });
});

describe('the refund of goods that are back (L1)', () => {
  test('counts from the first parcel, and is met when the money has arrived within the law’s seven days', async () => {
    const { id, units } = await r.toInspection();
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    await kit.outcome(id);
    expect(await r.clocksOf(id)).toMatchObject({ refundDue: 'met' });
  });

  test('that inspection holds up is told up to the manager, though only quality can inspect, and is broken when it comes after all', async () => {
    const { id, units } = await r.toInspection();
    await kit.opened(id, 'inspect');
    await late(id, 'refundDue', 7 * day + 4 * hour + 1000);
    expect(await toldOf(id, 'refundDue')).toEqual(['clockEscalated manager']);
    expect(await roleOf(id, 'inspect')).toBe('quality');
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    await kit.outcome(id);
    expect(await r.clocksOf(id)).toMatchObject({ refundDue: 'broken' });
  });

  test.each(['ruleUnit', 'approveRefund'])('that %s holds up climbs as well', async (name) => {
    const { id, units } = await r.toInspection({ lines: [['cup', 1, 30_000]] });
    await r.inspect(id, name === 'ruleUnit' ? [] : units.map(r.accept));
    const path = name === 'ruleUnit' ? `${units[0] ?? ''}/ruleUnit` : name;
    await kit.opened(id, path);
    expect(await roleOf(id, path)).toBe('supervisor');
    await late(id, 'refundDue', 7 * day + 4 * hour + 1000);
    expect(await roleOf(id, path)).toBe('manager');
  });

  test('ends without being due when nothing was accepted', async () => {
    const { id, units } = await r.toInspection();
    await r.inspect(id, units.map(r.reject));
    await kit.outcome(id);
    expect(await r.clocksOf(id)).toMatchObject({ refundDue: 'stopped' });
  });
});

describe('the arrival of the money (T11)', () => {
  test('is late when a card refund takes longer than three working days, and is told; it goes on waiting', async () => {
    const { id, units } = await r.toInspection();
    await r.inspect(id, units.map(r.accept));
    await r.isTold(id, 'refundSubmitted');
    await late(id, 'money/p1/route-1/arrival', 14 * day);
    expect(await toldOf(id, 'money/p1/route-1/arrival')).toContain('clockEscalated manager');
    await r.refundState(id, 'arrived');
    await kit.outcome(id);
    expect(await r.clocksOf(id)).toMatchObject({ 'money/p1/route-1/arrival': 'broken' });
  });

  test('has a clock for every route that is tried', async () => {
    const { id, units } = await r.toInspection();
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'failed');
    await r.decide(id, 'money/p1/route-1/otherRoute', { via: 'transfer' }, 'qian', 'finance');
    await r.refundState(id, 'arrived', 'money/p1/route-2/refund');
    await kit.outcome(id);
    expect(await r.clocksOf(id)).toMatchObject({ 'money/p1/route-1/arrival': 'met', 'money/p1/route-2/arrival': 'met' });
  });
});

describe('the shipping of new goods (T14)', () => {
  test('is late from the end of the next day of the warehouse, and those are told who can do something', async () => {
    const id = await r.ask(await r.buy({ lines: [['cup', 1, 4_000]] }), { wish: 'reissue' });
    await r.decide(id, 'review-1/review', r.approve('quality', 'reissue'));
    const trackingNo = await r.sent(id);
    await late(id, 'new-goods/ship', 14 * day);
    expect(await toldOf(id, 'new-goods/ship')).toContain('clockEscalated manager');
    await r.carrier(trackingNo, 'pickedUp');
    expect(await kit.outcome(id)).toEqual({ result: 'reissued' });
    expect(await r.clocksOf(id)).toMatchObject({ 'new-goods/ship': 'broken' });
  });
});
