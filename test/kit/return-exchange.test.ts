/** A return on a Temporal that skips time: from the request to the money, the review, the parcel, the inspection, the approval. Its other branches have files of their own. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { CaseId } from '../../values/ids.ts';
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

describe('a return that is refunded', () => {
  test('runs from the request to the money, and tells the customer every stage', async () => {
    const { id, units } = await r.toInspection();
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'accepted');
    await r.isTold(id, 'refundAccepted');
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    const told = await r.told(id);
    expect(told.filter((m) => m !== 'thanks')).toEqual([
      'received',
      'sendGoods',
      'parcelArrived',
      'inspected',
      'refundApproved',
      'refundSubmitted',
      'refundAccepted',
      'refundArrived',
    ]);
    expect(told).toContain('thanks');
    expect(await r.refundsOf(id)).toEqual([{ payment: 'p1', minor: 10_000, via: 'original', state: 'arrived' }]);
    expect(await r.undone(id)).toEqual([]);
    expect(await r.allowanceOf(id)).toEqual(['used']);
    expect(await r.clocksOf(id)).toEqual({ handle: 'met', refundDue: 'met', 'money/p1/route-1/arrival': 'met' });
    expect(
      (await kit.rows<{ stage: string }>(`select data->>'stage' as stage from timeline where case_id = $1 and kind = 'stage' order by id`, id)).map(
        (r) => r.stage,
      ),
    ).toEqual(['review', 'parcel', 'inspection', 'settlement']);
    expect(await kit.rows('select disposition from sandbox.units where unit_id = $1', units[0])).toEqual([{ disposition: 'restock' }]);
  });

  test('goes back by every payment that paid, whichever arrives first; a wallet has no clock', async () => {
    const { id, units } = await r.toInspection({
      payments: [
        ['card', 6_000],
        ['wallet', 4_000],
      ],
    });
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived', 'money/p2/route-1/refund');
    await r.refundState(id, 'arrived', 'money/p1/route-1/refund');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect((await r.refundsOf(id)).map((r) => [r.payment, r.minor])).toEqual([
      ['p1', 6_000],
      ['p2', 4_000],
    ]);
    expect(Object.keys(await r.clocksOf(id)).sort()).toEqual(['handle', 'money/p1/route-1/arrival', 'refundDue']);
  });

  test('without a fault of ours is less our label, and says so to the customer', async () => {
    const { id, units } = await r.toInspection({}, { reason: 'noReason', evidence: [] });
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(8_800) });
    expect(await kit.rows(`select data->>'freight' as freight from messages where case_id = $1 and message = 'sendGoods'`, id)).toEqual([
      { freight: 'customerPaysFreight' },
    ]);
  });

  test('brings the original shipping back with the last unit of the order, over two cases', async () => {
    const orderId = await r.buy({ lines: [['cup', 2, 5_000]], freight: 800 });
    const amounts: unknown[] = [];
    for (let n = 1; n <= 2; n++) {
      const id = await r.ask(orderId);
      await r.decide(id, 'review-1/review', r.approve());
      await r.inspect(id, (await r.receive(await r.label(id))).map(r.accept));
      for (const state of ['arrived'] as const) await r.refundState(id, state);
      amounts.push(await kit.outcome(id));
    }
    expect(amounts).toEqual([
      { result: 'refunded', amount: cny(5_000) },
      { result: 'refunded', amount: cny(5_800) },
    ]);
  });

  test('that the bank sends back goes another way, which finance chooses; nothing is paid twice', async () => {
    const { id, units } = await r.toInspection();
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'failed');
    await r.decide(id, 'money/p1/route-1/otherRoute', { via: 'transfer' }, 'qian', 'finance');
    await r.refundState(id, 'arrived', 'money/p1/route-2/refund');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect(await r.refundsOf(id)).toEqual([
      { payment: 'p1', minor: 10_000, via: 'original', state: 'failed' },
      { payment: 'p1', minor: 10_000, via: 'transfer', state: 'arrived' },
    ]);
    expect((await r.told(id)).filter((m) => m !== 'thanks').slice(-4)).toEqual(['refundSubmitted', 'refundFailed', 'refundSubmitted', 'refundArrived']);
  });

  test('by somebody else meanwhile is not refunded again: what is left is, and finance closes what finance refuses', async () => {
    const { id, units } = await r.toInspection({ payments: [['card', 10_000]] });
    await kit.pool.query(`update sandbox.payments set refunded = 9000 where order_id = (select order_id from cases where id = $1)`, [id]);
    await r.inspect(id, units.map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(1_000) });
  });

  test('is not held up by goods that cannot be sent back: a person gives that up, and the refund goes on', async () => {
    const { id, units } = await r.toInspection({}, {}, ['cup', 'pan']);
    const [cup = '', pan = ''] = units;
    await r.decide(id, 'receiptProblem', { units: [{ unitId: cup, line: 1 }] }, 'chen', 'warehouse');
    // The other unit has gone missing: the warehouse refuses to send it.
    await kit.pool.query(`update sandbox.units set disposition = 'scrap' where unit_id = $1`, [pan]);
    await r.inspect(id, [r.accept(cup)]);
    await r.decide(id, 'goods/others/send-back!repair-1', { action: 'giveUp' }, 'li', 'supervisor');
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect((await kit.row(id)).status).toBe('completed');
  });

  test('refused by the payment system as above the payment goes to finance, who may close it', async () => {
    const { id, units } = await r.toInspection();
    // Somebody refunds between our look at the payment and our refund.
    kit.fault('finance', { latencyMs: 300, operations: ['refund'] });
    await r.inspect(id, units.map(r.accept));
    await r.answerOf(id, 'payments');
    await kit.pool.query(`update sandbox.payments set refunded = 10000 where order_id = (select order_id from cases where id = $1)`, [id]);
    await kit.opened(id, 'money/p1/route-1/otherRoute');
    kit.fault('finance', {});
    expect(await kit.rows(`select context->>'problem' as problem from tasks where case_id = $1 and name = 'otherRoute'`, id)).toEqual([
      { problem: 'abovePayment' },
    ]);
    await r.decide(id, 'money/p1/route-1/otherRoute', { via: 'none' }, 'qian', 'finance');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(0) });
  });
});

describe('the review', () => {
  test('is a person’s: advice against it does not reject, and a rejection has a reason', async () => {
    const id = await r.ask(await r.buy(), { lines: [{ line: 1, quantity: 5 }] });
    await kit.opened(id, 'review-1/review');
    expect(await kit.rows(`select output->>'advice' as advice from decision_log where case_id = $1`, id)).toEqual([{ advice: 'reject' }]);
    await r.decide(id, 'review-1/review', { decision: 'reject', reason: 'alreadyReturned', note: '只买了一件' });
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'alreadyReturned' });
    expect(await r.told(id)).toEqual(['received', 'rejected']);
    expect(await kit.executions(id, 'logistics')).toEqual({});
    expect(await r.clocksOf(id)).toEqual({ handle: 'met' });
  });

  test('asks for evidence while its clock stands, and goes on with what came', async () => {
    const id = await r.ask(await r.buy(), { evidence: [] });
    await r.tell(id, 'evidenceAdded', { files: ['before-it-was-asked-for'] });
    await r.decide(id, 'review-1/review', { decision: 'moreEvidence', what: ['photo'] });
    await r.isTold(id, 'evidenceAsked');
    expect(await r.clocksOf(id)).toEqual({ handle: 'paused' });
    await r.tell(id, 'evidenceAdded', { files: ['photo-1', 'photo-2'] });
    await kit.opened(id, 'review-2/review');
    expect(await r.clocksOf(id)).toEqual({ handle: 'running' });
    expect(await kit.rows(`select context->'evidence' as evidence from tasks where case_id = $1 and path = 'review-2/review'`, id)).toEqual([
      { evidence: ['photo-1', 'photo-2'] },
    ]);
    await r.decide(id, 'review-2/review', { decision: 'reject', reason: 'noEvidence' });
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'noEvidence' });
  });

  test('goes on without evidence when none comes in time, and after three rounds it is a supervisor’s', async () => {
    const id = await r.ask(await r.buy(), { evidence: [] });
    for (const n of [1, 2, 3]) {
      await r.decide(id, `review-${n}/review`, { decision: 'moreEvidence', what: ['video'] });
      await kit.until(
        'the ask',
        () => r.told(id),
        (all) => all.filter((m) => m === 'evidenceAsked').length === n,
      );
      await pass(id, 3 * day + 1000);
    }
    await kit.opened(id, 'review-4/review');
    expect(await kit.rows('select path, role from tasks where case_id = $1 order by path', id)).toEqual([
      { path: 'review-1/review', role: 'agent' },
      { path: 'review-2/review', role: 'agent' },
      { path: 'review-3/review', role: 'agent' },
      { path: 'review-4/review', role: 'supervisor' },
    ]);
    await r.decide(id, 'review-4/review', { decision: 'reject', reason: 'noEvidence' }, 'li', 'supervisor');
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'noEvidence' });
  });

  test('does not take place for an order or a line that does not exist', async () => {
    const unknownOrder = await r.ask('W-none');
    expect(await kit.outcome(unknownOrder)).toEqual({ result: 'rejected', reason: 'unknownOrder' });
    const unknownLine = await r.ask(await r.buy(), {
      lines: [
        { line: 1, quantity: 1 },
        { line: 2, quantity: 1 },
      ],
    });
    expect(await kit.outcome(unknownLine)).toEqual({ result: 'rejected', reason: 'unknownLine' });
    expect(await kit.rows('select 1 from tasks where case_id = any($1)', [unknownOrder, unknownLine])).toEqual([]);
  });

  test('that approves at once what eight cases ask of three units gives each unit to one case, and what one lets go another gets (EF8)', async () => {
    const orderId = await r.buy({ lines: [['cup', 3, 5_000]] });
    const cases = await Promise.all(Array.from({ length: 8 }, () => r.ask(orderId)));
    await Promise.all(cases.map((id) => r.decide(id, 'review-1/review', r.approve())));
    const held = () => kit.rows<{ id: CaseId }>(`select case_id as id from effects where case_id = any($1) and path = 'label-1/label'`, cases);
    const ended = () => kit.rows<{ outcome: unknown }>(`select outcome from cases where id = any($1) and status = 'completed'`, cases);
    await kit.until(
      'all answered',
      async () => (await held()).length + (await ended()).length,
      (n) => n === 8,
    );
    expect(await ended()).toEqual(Array.from({ length: 5 }, () => ({ outcome: { result: 'rejected', reason: 'alreadyReturned' } })));
    const [first] = await held();
    if (first === undefined) throw new Error('no case has a unit');
    await r.withdraw(first.id);
    expect(await kit.outcome(first.id)).toEqual({ result: 'withdrawn' });
    const again = await r.ask(orderId);
    await r.decide(again, 'review-1/review', r.approve());
    await r.label(again);
    expect(await kit.rows(`select unit, count(*)::int as holders from allowance_units where order_id = $1 group by unit order by unit`, orderId)).toEqual([
      { unit: 1, holders: 1 },
      { unit: 2, holders: 1 },
      { unit: 3, holders: 1 },
    ]);
  });
});

describe('the parcel', () => {
  test('that is never sent: the label is cancelled, the units are free again, the customer is told', async () => {
    const id = await r.ask(await r.buy());
    await r.decide(id, 'review-1/review', r.approve());
    const trackingNo = await r.label(id);
    await r.isTold(id, 'sendGoods');
    await pass(id, 10 * day + 1000);
    expect(await kit.outcome(id)).toEqual({ result: 'expired' });
    expect(await r.told(id)).toEqual(['received', 'sendGoods', 'expired']);
    expect(await r.undone(id)).toEqual(['label-1/label', 'allowance', 'tally']);
    expect(await r.allowanceOf(id)).toEqual(['released']);
    expect(await kit.rows('select cancelled from sandbox.labels where tracking_no = $1', trackingNo)).toEqual([{ cancelled: true }]);
  });

  test('that a carrier has when the time is over gets the time once more', async () => {
    const id = await r.ask(await r.buy());
    await r.decide(id, 'review-1/review', r.approve());
    const trackingNo = await r.label(id);
    await r.isTold(id, 'sendGoods');
    await r.scan(trackingNo, 'inTransit');
    await pass(id, 10 * day + 1000);
    await r.answerOf(id, `parcel-1/${trackingNo}/parcel`);
    await r.receive(trackingNo);
    await kit.opened(id, 'inspect');
  });

  test('that a carrier lost ends with the second window', async () => {
    const id = await r.ask(await r.buy());
    await r.decide(id, 'review-1/review', r.approve());
    const trackingNo = await r.label(id);
    await r.scan(trackingNo, 'inTransit');
    await r.isTold(id, 'sendGoods');
    await pass(id, 10 * day + 1000);
    await r.answerOf(id, `parcel-1/${trackingNo}/parcel`);
    await pass(id, 10 * day + 1000);
    expect(await kit.outcome(id)).toEqual({ result: 'expired' });
    expect(await r.undone(id)).toEqual(['label-1/label', 'allowance', 'tally']);
  });

  test('by the customer’s own courier: our label is void, and for our fault we pay the courier up to the policy', async () => {
    const id = await r.ask(await r.buy());
    await r.decide(id, 'review-1/review', r.approve());
    await r.label(id);
    await r.isTold(id, 'sendGoods');
    const own = await r.ownCourier(id, 1_500);
    await r.isTold(id, 'courierNoted');
    await r.inspect(id, (await r.receive(own)).map(r.accept));
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect(await r.undone(id)).toEqual(['label-1/label']);
    expect(await kit.rows('select amount::int from sandbox.payouts where case_ref = $1', id)).toEqual([{ amount: 1_200 }]);
    expect(await r.told(id)).toContain('freightPaid');
  });

  test('under a number that is another case’s is not taken for ours', async () => {
    const [first, second] = [await r.ask(await r.buy()), await r.ask(await r.buy())];
    await r.decide(first, 'review-1/review', r.approve());
    const taken = await r.label(first);
    await r.decide(second, 'review-1/review', r.approve());
    const ours = await r.label(second);
    await r.isTold(second, 'sendGoods');
    await r.tell(second, 'ownCourier', { trackingNo: taken });
    await r.isTold(second, 'courierUnclear');
    await r.receive(ours);
    await kit.opened(second, 'inspect');
    expect(await kit.openTasks(first)).toEqual([]);
    expect(await r.undone(second)).toEqual([]);
  });

  test('that holds less, more and other goods than asked for is looked into; what is not part of it goes back', async () => {
    const { id, units } = await r.toInspection({ lines: [['cup', 2, 5_000]] }, { lines: [{ line: 1, quantity: 2 }] }, ['cup', 'pan', undefined]);
    await kit.opened(id, 'receiptProblem');
    expect(await kit.rows(`select reasons from decision_log where case_id = $1 and rule = 'matchReceipt'`, id)).toEqual([
      { reasons: ['missingUnits', 'wrongUnits'] },
    ]);
    const [cup = '', ...others] = units;
    await r.decide(
      id,
      'receiptProblem',
      {
        units: [
          { unitId: cup, line: 1 },
          { unitId: 'not-in-the-parcel', line: 1 },
        ],
      },
      'chen',
      'warehouse',
    );
    await r.inspect(id, [r.accept(cup)]);
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(5_000) });
    expect(await kit.rows('select unit_id as unit from sandbox.units where unit_id = any($1) and sent_back_by is not null order by 1', units)).toEqual(
      others.map((unit) => ({ unit })),
    );
    expect(await r.allowanceOf(id)).toEqual(['used']);
  });

  test('that is empty ends the return, after a person has looked', async () => {
    const { id } = await r.toInspection({}, {}, []);
    await r.decide(id, 'receiptProblem', { units: [] }, 'chen', 'warehouse');
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'emptyParcel' });
    expect(await r.undone(id)).toEqual(['label-1/label', 'allowance', 'tally']);
    expect(await kit.executions(id, 'warehouse')).toEqual({});
  });
});

describe('inspection', () => {
  test('that accepts nothing sends the goods back and refunds nothing', async () => {
    const { id, units } = await r.toInspection();
    await r.inspect(id, units.map(r.reject));
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'inspection' });
    expect(await r.undone(id)).toEqual(['label-1/label', 'allowance', 'tally']);
    expect((await r.told(id)).slice(-3)).toEqual(['inspected', 'goodsGoingBack', 'rejected']);
    expect(await r.refundsOf(id)).toEqual([]);
    expect(await r.clocksOf(id)).toEqual({ handle: 'met', refundDue: 'stopped' });
  });

  test('that is unsure, or leaves a unit out, has a supervisor rule on it; only accepted units are refunded', async () => {
    const { id, units } = await r.toInspection({ lines: [['cup', 3, 3_000]] }, { lines: [{ line: 1, quantity: 3 }] }, ['cup', 'cup', 'cup']);
    const [sure = '', unsure = '', leftOut = ''] = units;
    await r.inspect(id, [r.accept(sure), { unitId: unsure, verdict: 'unsure' }]);
    await kit.opened(id, `${unsure}/ruleUnit`, `${leftOut}/ruleUnit`);
    await r.decide(id, `${leftOut}/ruleUnit`, { verdict: 'reject', cause: 'customer' }, 'li', 'supervisor');
    await r.decide(id, `${unsure}/ruleUnit`, { verdict: 'accept', disposition: 'scrap', cause: 'transport' }, 'li', 'supervisor');
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(6_000) });
    expect(await kit.rows('select disposition, sent_back_by is not null as back from sandbox.units where unit_id = any($1) order by unit_id', units)).toEqual([
      { disposition: 'restock', back: false },
      { disposition: 'scrap', back: false },
      { disposition: null, back: true },
    ]);
  });
});

describe('approval', () => {
  const expensive = { lines: [['cup', 1, 30_000]] } as const;

  test('above the reviewer’s limit is a supervisor’s, and never the reviewer’s own', async () => {
    const { id, units } = await r.toInspection(expensive);
    await r.inspect(id, units.map(r.accept));
    await kit.opened(id, 'approveRefund');
    await expect(kit.decide(id, 'approveRefund', { decision: 'approve' }, 'wang', 'supervisor')).rejects.toMatchObject({ why: 'fourEyes' });
    await r.decide(id, 'approveRefund', { decision: 'approve' }, 'li', 'supervisor');
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(30_000) });
  });

  test('refused: the goods go back, the units are free again, nothing is refunded', async () => {
    const { id, units } = await r.toInspection(expensive);
    await r.inspect(id, units.map(r.accept));
    await r.decide(id, 'approveRefund', { decision: 'refuse' }, 'li', 'supervisor');
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'notApproved' });
    expect(await r.undone(id)).toEqual(['label-1/label', 'allowance', 'tally']);
    expect(await r.allowanceOf(id)).toEqual(['released']);
    expect(await kit.rows('select sent_back_by is not null as back from sandbox.units where unit_id = any($1)', units)).toEqual([{ back: true }]);
    expect(await r.refundsOf(id)).toEqual([]);
  });

  test('above a supervisor’s limit is the manager’s; what a supervisor reviewed within the limit needs nobody else', async () => {
    const big = await r.toInspection({ lines: [['cup', 1, 300_000]] });
    await r.inspect(big.id, big.units.map(r.accept));
    await kit.opened(big.id, 'approveRefund');
    expect(await kit.rows(`select role, amount_minor::int as amount from tasks where case_id = $1 and name = 'approveRefund'`, big.id)).toEqual([
      { role: 'manager', amount: 300_000 },
    ]);
    const reviewed = await r.toInspection(expensive, {}, ['cup'], 'supervisor');
    await r.inspect(reviewed.id, reviewed.units.map(r.accept));
    await r.refundState(reviewed.id, 'arrived');
    expect(await kit.outcome(reviewed.id)).toEqual({ result: 'refunded', amount: cny(30_000) });
  });
});

describe('an event after the end (IN5)', () => {
  test('is not lost: a parcel that comes after all has a case of its own', async () => {
    const id = await r.ask(await r.buy());
    await r.decide(id, 'review-1/review', r.approve());
    const trackingNo = await r.label(id);
    await r.isTold(id, 'sendGoods');
    await pass(id, 10 * day + 1000);
    await kit.outcome(id);
    await r.receive(trackingNo);
    expect(await r.lateParcels(id)).toHaveLength(1);
  });
});
