/** A return, branch by branch, on a Temporal that skips time: every window, every point of withdrawal, and what is taken back in which order. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { couponsSandbox } from '../../systems/coupons/sandbox.ts';
import { financeSandbox } from '../../systems/finance/sandbox.ts';
import { logisticsSandbox } from '../../systems/logistics/sandbox.ts';
import { loadShop, type ShopOrder } from '../../systems/orders/load.ts';
import { ordersSandbox } from '../../systems/orders/sandbox.ts';
import { warehouseSandbox } from '../../systems/warehouse/sandbox.ts';
import type { TrackingState } from '../../systems/logistics/contract.ts';
import type { CaseId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import type { Role } from '../../values/role.ts';
import { timeSkipping } from '../stack/env.ts';
import { startKit, type Kit } from './harness.ts';
import { surroundings } from './surroundings.ts';

const day = 86_400_000;
const cny = (minor: number) => ({ minor, currency: 'CNY' });
const customer = 'c_1';
const shop = 'shop-1';
const sku = { cup: 'cup-1', pot: 'pot-1', pan: 'pan-1' } as const;
type Sku = keyof typeof sku;

let world: TestWorkflowEnvironment;
let kit: Kit;
beforeAll(async () => {
  world = await timeSkipping();
  const systems = {
    orders: ordersSandbox,
    warehouse: warehouseSandbox,
    finance: financeSandbox({ settleMs: day }),
    logistics: logisticsSandbox,
    coupons: couponsSandbox,
  };
  kit = await startKit({ ...(await surroundings()), temporal: { address: world.address, namespace: 'default', skipsTime: true } }, systems);
  const address = { country: '中国', province: '浙江', city: '杭州', street: '1' };
  await loadShop(kit.pool, {
    source: 'test',
    customers: [{ customer, shop, account: 'a', reach: { name: 'A', language: 'zh' }, address, tier: 'new', marketing: false }],
    products: Object.values(sku).map((of) => ({
      sku: of,
      productId: of,
      shop,
      name: of,
      category: 'kitchen',
      options: {},
      price: cny(10_000),
      exceptions: [],
      onHand: 100,
    })),
    orders: [],
    templates: [],
  });
});
afterAll(async () => {
  await kit.stop();
  await world.teardown();
});

// ── the people and systems around a return ─────────────────────────────────
interface Bought {
  readonly lines?: readonly (readonly [of: Sku, quantity: number, price: number])[];
  readonly payments?: readonly (readonly [method: 'card' | 'wallet' | 'giftCard', minor: number])[];
  readonly freight?: number;
}
let count = 0;

async function buy({ lines = [['cup', 1, 10_000]], freight = 0, payments }: Bought = {}): Promise<string> {
  const orderId = `W${++count}`;
  const listed = lines.map(([of, quantity, price], i) => ({
    line: i + 1,
    sku: sku[of],
    productId: sku[of],
    name: of,
    category: 'kitchen',
    quantity,
    unitPrice: cny(price),
    listTotal: cny(price * quantity),
    returned: 0,
    exceptions: [],
  }));
  const total = listed.reduce((so, l) => so + l.listTotal.minor, freight);
  const now = await world.currentTimeMs();
  const order: ShopOrder = {
    orderId,
    shop,
    customer,
    currency: 'CNY',
    status: 'delivered',
    placedAt: instant(now - 5 * day),
    paidAt: instant(now - 5 * day),
    signedAt: instant(now - 2 * day),
    lines: listed,
    discounts: [],
    freight: { paid: cny(freight), returnInsured: false },
    total: cny(total),
    payments: (payments ?? [['card', total]]).map(([method, minor], i) => ({
      paymentId: `p${i + 1}`,
      method,
      amount: cny(minor),
      refunded: cny(0),
      paidAt: instant(now - 5 * day + i),
    })),
    trackingNos: [],
    address: { country: '中国', province: '浙江', city: '杭州', street: '1' },
  };
  await loadShop(kit.pool, { source: 'test', customers: [], products: [], orders: [order], templates: [] });
  return orderId;
}

interface Asked {
  readonly reason?: string;
  readonly lines?: readonly { readonly line: number; readonly quantity: number }[];
  readonly evidence?: readonly string[];
}
async function ask(orderId: string, { reason = 'quality', lines = [{ line: 1, quantity: 1 }], evidence = ['photo-1'] }: Asked = {}): Promise<CaseId> {
  const requestedAt = instant(await world.currentTimeMs());
  const input = { shop, customer, orderId, requestId: `r${++count}`, requestedAt, lines, reason, wish: 'refund', evidence };
  return (await kit.open('return-exchange', input)).id;
}

const approve = (reason = 'quality') => ({ decision: 'approve', reason, wish: 'refund' });
/** Decides once the task is open. */
async function decide(of: CaseId, path: string, form: object, by = 'wang', role: Role = 'agent'): Promise<void> {
  await kit.opened(of, path);
  await kit.decide(of, path, form, by, role);
}
const act = async (system: string, what: string, body: object): Promise<Record<string, unknown>> => {
  const answer = await fetch(`${kit.engine.target(system).baseUrl}/acts/${what}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const said = (await answer.json()) as Record<string, unknown>;
  if (!answer.ok) throw new Error(`${system} ${what}: ${JSON.stringify(said)}`);
  return said;
};
/** Something the outside world says at the moment that the cases' clock shows. */
const say = async (event: { source: string; name: string; correlationKey?: string; caseId?: CaseId; body: object }): Promise<void> => {
  await kit.send({ ...event, eventId: `e${++count}`, kind: 'event', at: instant(await world.currentTimeMs()) });
};
const tell = (of: CaseId, name: string, body: object) => say({ source: 'upstream', name, caseId: of, body });
const withdraw = async (of: CaseId): Promise<void> => {
  await kit.send({ source: 'upstream', eventId: `w${++count}`, kind: 'withdraw', name: 'withdraw', caseId: of, body: { reason: 'changedMind' } });
};

async function answerOf(of: CaseId, path: string): Promise<Record<string, unknown>> {
  const [row] = await kit.until(
    `effect ${path} of ${of}`,
    () => kit.rows<{ answer: Record<string, unknown> }>(`select answer from effects where case_id = $1 and path = $2 and status = 'done'`, of, path),
    (rows) => rows.length === 1,
  );
  return row?.answer ?? {};
}
/** The label's tracking number, once the case waits for it. */
async function label(of: CaseId): Promise<string> {
  const trackingNo = String((await answerOf(of, 'label'))['trackingNo']);
  await expected(trackingNo);
  return trackingNo;
}
const expected = (key: string) =>
  kit.until(
    `somebody expects ${key}`,
    () => kit.rows('select 1 from correlations where key = $1', key),
    (rows) => rows.length === 1,
  );
const told = async (of: CaseId): Promise<string[]> =>
  (await kit.rows<{ message: string }>(`select data->>'message' as message from timeline where case_id = $1 and kind = 'told' order by id`, of)).map(
    (r) => r.message,
  );
const isTold = (of: CaseId, message: string) =>
  kit.until(
    `${message} told in ${of}`,
    () => told(of),
    (all) => all.includes(message),
  );
/** What was taken back, in the order in which it was. */
const undone = async (of: CaseId): Promise<string[]> =>
  (await kit.rows<{ path: string }>('select undoes as path from effects where case_id = $1 and undoes is not null order by done_at', of)).map((r) => r.path);
const scan = (trackingNo: string, state: TrackingState) => act('logistics', 'scan', { trackingNo, state });

/** The warehouse opens a parcel: the ids of its units. */
async function receive(trackingNo: string, goods: readonly (Sku | undefined)[] = ['cup']): Promise<string[]> {
  const units = goods.map((of) => (of === undefined ? {} : { sku: sku[of] }));
  const { receiptId, unitIds } = (await act('warehouse', 'receive', { trackingNo, units })) as { receiptId: string; unitIds: string[] };
  const body = {
    receiptId,
    trackingNo,
    receivedAt: instant(await world.currentTimeMs()),
    units: unitIds.map((unitId, i) => ({ unitId, ...units[i] })),
  };
  await say({ source: 'warehouse.parcelReceived', name: 'warehouse.parcelReceived', correlationKey: trackingNo, body });
  return unitIds;
}
const accept = (unitId: string) => ({ unitId, verdict: 'accept', disposition: 'restock', cause: 'manufacturing' });
const reject = (unitId: string) => ({ unitId, verdict: 'reject', cause: 'customer' });
const inspect = (of: CaseId, units: readonly object[]) => decide(of, 'inspect', { units }, 'zhao', 'quality');

async function refundState(of: CaseId, state: 'accepted' | 'arrived' | 'failed', path = 'p1/route-1/refund'): Promise<void> {
  const refundId = String((await answerOf(of, path))['refundId']);
  if (state !== 'accepted') await act('finance', state === 'arrived' ? 'settle' : 'fail', { refundId });
  const body = { refundId, state, at: instant(await world.currentTimeMs()) };
  await say({ source: 'finance.refundState', name: 'finance.refundState', correlationKey: refundId, body });
}
/** Moves time on, once the case waits for it: a window that opens while time is skipped would count from the other end. */
async function pass(of: CaseId, ms: number): Promise<void> {
  const pending = async () =>
    (await kit.history(of)).reduce(
      (so, e) => so + (e.timerStartedEventAttributes ? 1 : e.timerFiredEventAttributes || e.timerCanceledEventAttributes ? -1 : 0),
      0,
    );
  await kit.until(`a timer of ${of}`, pending, (timers) => timers > 0);
  await world.sleep(ms);
}
/** All the way to the parcel: asked, approved, received. */
async function toInspection(
  bought: Bought = {},
  asked: Asked = {},
  goods: readonly (Sku | undefined)[] = ['cup'],
  reviewer: Role = 'agent',
): Promise<{ id: CaseId; units: string[] }> {
  const id = await ask(await buy(bought), asked);
  await decide(id, 'review-1/review', approve(asked.reason), 'wang', reviewer);
  return { id, units: await receive(await label(id), goods) };
}
const refundsOf = async (of: CaseId): Promise<{ payment: string; minor: number; via: string; state: string }[]> =>
  kit.rows('select payment_id as payment, amount::int as minor, via, state from sandbox.refunds where case_ref = $1 order by payment_id, via', of);
const allowanceOf = async (of: CaseId): Promise<string[]> =>
  (await kit.rows<{ status: string }>('select status from allowance_holds where hold like $1', `${of}/%`)).map((r) => r.status);
const clocksOf = async (of: CaseId): Promise<Record<string, string>> =>
  Object.fromEntries(
    (await kit.rows<{ clock: string; status: string }>('select clock, status from clocks where case_id = $1', of)).map((r) => [r.clock, r.status]),
  );

describe('a return that is refunded', () => {
  test('runs from the request to the money, and tells the customer every stage', async () => {
    const { id, units } = await toInspection();
    await inspect(id, units.map(accept));
    await refundState(id, 'accepted');
    await isTold(id, 'refundAccepted');
    await refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect(await told(id)).toEqual([
      'received',
      'sendGoods',
      'parcelArrived',
      'inspected',
      'refundApproved',
      'refundSubmitted',
      'refundAccepted',
      'refundArrived',
    ]);
    expect(await refundsOf(id)).toEqual([{ payment: 'p1', minor: 10_000, via: 'original', state: 'arrived' }]);
    expect(await undone(id)).toEqual([]);
    expect(await allowanceOf(id)).toEqual(['used']);
    expect(await clocksOf(id)).toEqual({ handle: 'met', refundDue: 'met', 'p1/route-1/arrival': 'met' });
    expect(
      (await kit.rows<{ stage: string }>(`select data->>'stage' as stage from timeline where case_id = $1 and kind = 'stage' order by id`, id)).map(
        (r) => r.stage,
      ),
    ).toEqual(['review', 'parcel', 'inspection', 'settlement']);
    expect(await kit.rows('select disposition from sandbox.units where unit_id = $1', units[0])).toEqual([{ disposition: 'restock' }]);
  });

  test('goes back by every payment that paid, whichever arrives first; a wallet has no clock', async () => {
    const { id, units } = await toInspection({
      payments: [
        ['card', 6_000],
        ['wallet', 4_000],
      ],
    });
    await inspect(id, units.map(accept));
    await refundState(id, 'arrived', 'p2/route-1/refund');
    await refundState(id, 'arrived', 'p1/route-1/refund');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect((await refundsOf(id)).map((r) => [r.payment, r.minor])).toEqual([
      ['p1', 6_000],
      ['p2', 4_000],
    ]);
    expect(Object.keys(await clocksOf(id)).sort()).toEqual(['handle', 'p1/route-1/arrival', 'refundDue']);
  });

  test('without a fault of ours is less our label, and says so to the customer', async () => {
    const { id, units } = await toInspection({}, { reason: 'noReason', evidence: [] });
    await inspect(id, units.map(accept));
    await refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(8_800) });
    expect(await kit.rows(`select data->>'freight' as freight from messages where case_id = $1 and message = 'sendGoods'`, id)).toEqual([
      { freight: 'customerPaysFreight' },
    ]);
  });

  test('brings the original shipping back with the last unit of the order, over two cases', async () => {
    const orderId = await buy({ lines: [['cup', 2, 5_000]], freight: 800 });
    const amounts: unknown[] = [];
    for (let n = 1; n <= 2; n++) {
      const id = await ask(orderId);
      await decide(id, 'review-1/review', approve());
      await inspect(id, (await receive(await label(id))).map(accept));
      for (const state of ['arrived'] as const) await refundState(id, state);
      amounts.push(await kit.outcome(id));
    }
    expect(amounts).toEqual([
      { result: 'refunded', amount: cny(5_000) },
      { result: 'refunded', amount: cny(5_800) },
    ]);
  });

  test('that the bank sends back goes another way, which finance chooses; nothing is paid twice', async () => {
    const { id, units } = await toInspection();
    await inspect(id, units.map(accept));
    await refundState(id, 'failed');
    await decide(id, 'p1/route-1/otherRoute', { via: 'transfer' }, 'qian', 'finance');
    await refundState(id, 'arrived', 'p1/route-2/refund');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect(await refundsOf(id)).toEqual([
      { payment: 'p1', minor: 10_000, via: 'original', state: 'failed' },
      { payment: 'p1', minor: 10_000, via: 'transfer', state: 'arrived' },
    ]);
    expect((await told(id)).slice(-4)).toEqual(['refundSubmitted', 'refundFailed', 'refundSubmitted', 'refundArrived']);
  });

  test('by somebody else meanwhile is not refunded again: what is left is, and finance closes what finance refuses', async () => {
    const { id, units } = await toInspection({ payments: [['card', 10_000]] });
    await kit.pool.query(`update sandbox.payments set refunded = 9000 where order_id = (select order_id from cases where id = $1)`, [id]);
    await inspect(id, units.map(accept));
    await refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(1_000) });
  });

  test('is not held up by goods that cannot be sent back: a person gives that up, and the refund goes on', async () => {
    const { id, units } = await toInspection({}, {}, ['cup', 'pan']);
    const [cup = '', pan = ''] = units;
    await decide(id, 'receiptProblem', { units: [{ unitId: cup, line: 1 }] }, 'chen', 'warehouse');
    // The other unit has gone missing: the warehouse refuses to send it.
    await kit.pool.query(`update sandbox.units set disposition = 'scrap' where unit_id = $1`, [pan]);
    await inspect(id, [accept(cup)]);
    await decide(id, 'others/send-back!repair-1', { action: 'giveUp' }, 'li', 'supervisor');
    await refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect((await kit.row(id)).status).toBe('completed');
  });

  test('refused by the payment system as above the payment goes to finance, who may close it', async () => {
    const { id, units } = await toInspection();
    // Somebody refunds between our look at the payment and our refund.
    kit.fault('finance', { latencyMs: 300, operations: ['refund'] });
    await inspect(id, units.map(accept));
    await answerOf(id, 'payments');
    await kit.pool.query(`update sandbox.payments set refunded = 10000 where order_id = (select order_id from cases where id = $1)`, [id]);
    await kit.opened(id, 'p1/route-1/otherRoute');
    kit.fault('finance', {});
    expect(await kit.rows(`select context->>'problem' as problem from tasks where case_id = $1 and name = 'otherRoute'`, id)).toEqual([
      { problem: 'abovePayment' },
    ]);
    await decide(id, 'p1/route-1/otherRoute', { via: 'none' }, 'qian', 'finance');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(0) });
  });
});

describe('the review', () => {
  test('is a person’s: advice against it does not reject, and a rejection has a reason', async () => {
    const id = await ask(await buy(), { lines: [{ line: 1, quantity: 5 }] });
    await kit.opened(id, 'review-1/review');
    expect(await kit.rows(`select output->>'advice' as advice from decision_log where case_id = $1`, id)).toEqual([{ advice: 'reject' }]);
    await decide(id, 'review-1/review', { decision: 'reject', reason: 'alreadyReturned', note: '只买了一件' });
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'alreadyReturned' });
    expect(await told(id)).toEqual(['received', 'rejected']);
    expect(await kit.executions(id, 'logistics')).toEqual({});
    expect(await clocksOf(id)).toEqual({ handle: 'met' });
  });

  test('asks for evidence while its clock stands, and goes on with what came', async () => {
    const id = await ask(await buy(), { evidence: [] });
    await tell(id, 'evidenceAdded', { files: ['before-it-was-asked-for'] });
    await decide(id, 'review-1/review', { decision: 'moreEvidence', what: ['photo'] });
    await isTold(id, 'evidenceAsked');
    expect(await clocksOf(id)).toEqual({ handle: 'paused' });
    await tell(id, 'evidenceAdded', { files: ['photo-1', 'photo-2'] });
    await kit.opened(id, 'review-2/review');
    expect(await clocksOf(id)).toEqual({ handle: 'running' });
    expect(await kit.rows(`select context->'evidence' as evidence from tasks where case_id = $1 and path = 'review-2/review'`, id)).toEqual([
      { evidence: ['photo-1', 'photo-2'] },
    ]);
    await decide(id, 'review-2/review', { decision: 'reject', reason: 'noEvidence' });
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'noEvidence' });
  });

  test('goes on without evidence when none comes in time, and after three rounds it is a supervisor’s', async () => {
    const id = await ask(await buy(), { evidence: [] });
    for (const n of [1, 2, 3]) {
      await decide(id, `review-${n}/review`, { decision: 'moreEvidence', what: ['video'] });
      await kit.until(
        'the ask',
        () => told(id),
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
    await decide(id, 'review-4/review', { decision: 'reject', reason: 'noEvidence' }, 'li', 'supervisor');
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'noEvidence' });
  });

  test('does not take place for an order or a line that does not exist', async () => {
    const unknownOrder = await ask('W-none');
    expect(await kit.outcome(unknownOrder)).toEqual({ result: 'rejected', reason: 'unknownOrder' });
    const unknownLine = await ask(await buy(), {
      lines: [
        { line: 1, quantity: 1 },
        { line: 2, quantity: 1 },
      ],
    });
    expect(await kit.outcome(unknownLine)).toEqual({ result: 'rejected', reason: 'unknownLine' });
    expect(await kit.rows('select 1 from tasks where case_id = any($1)', [unknownOrder, unknownLine])).toEqual([]);
  });

  test('cannot give a unit to two cases: the second one is rejected, and may come again when the first has let go', async () => {
    const orderId = await buy();
    const [first, second] = [await ask(orderId), await ask(orderId)];
    await decide(first, 'review-1/review', approve());
    await label(first);
    await decide(second, 'review-1/review', approve());
    expect(await kit.outcome(second)).toEqual({ result: 'rejected', reason: 'alreadyReturned' });
    await withdraw(first);
    expect(await kit.outcome(first)).toEqual({ result: 'withdrawn' });
    const third = await ask(orderId);
    await decide(third, 'review-1/review', approve());
    await label(third);
  });
});

describe('the parcel', () => {
  test('that is never sent: the label is cancelled, the units are free again, the customer is told', async () => {
    const id = await ask(await buy());
    await decide(id, 'review-1/review', approve());
    const trackingNo = await label(id);
    await isTold(id, 'sendGoods');
    await pass(id, 10 * day + 1000);
    expect(await kit.outcome(id)).toEqual({ result: 'expired' });
    expect(await told(id)).toEqual(['received', 'sendGoods', 'expired']);
    expect(await undone(id)).toEqual(['label', 'allowance']);
    expect(await allowanceOf(id)).toEqual(['released']);
    expect(await kit.rows('select cancelled from sandbox.labels where tracking_no = $1', trackingNo)).toEqual([{ cancelled: true }]);
  });

  test('that a carrier has when the time is over gets the time once more', async () => {
    const id = await ask(await buy());
    await decide(id, 'review-1/review', approve());
    const trackingNo = await label(id);
    await isTold(id, 'sendGoods');
    await scan(trackingNo, 'inTransit');
    await pass(id, 10 * day + 1000);
    await answerOf(id, 'parcel-1/parcel');
    await receive(trackingNo);
    await kit.opened(id, 'inspect');
  });

  test('that a carrier lost ends with the second window', async () => {
    const id = await ask(await buy());
    await decide(id, 'review-1/review', approve());
    await scan(await label(id), 'inTransit');
    await isTold(id, 'sendGoods');
    await pass(id, 10 * day + 1000);
    await answerOf(id, 'parcel-1/parcel');
    await pass(id, 10 * day + 1000);
    expect(await kit.outcome(id)).toEqual({ result: 'expired' });
    expect(await undone(id)).toEqual(['label', 'allowance']);
  });

  test('by the customer’s own courier: our label is void, and for our fault we pay the courier up to the policy', async () => {
    const id = await ask(await buy());
    await decide(id, 'review-1/review', approve());
    await label(id);
    await isTold(id, 'sendGoods');
    const own = `YT${++count}`;
    await tell(id, 'ownCourier', { trackingNo: own, freight: cny(1_500) });
    await expected(own);
    await isTold(id, 'courierNoted');
    await inspect(id, (await receive(own)).map(accept));
    await refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect(await undone(id)).toEqual(['label']);
    expect(await kit.rows('select amount::int from sandbox.payouts where case_ref = $1', id)).toEqual([{ amount: 1_200 }]);
    expect(await told(id)).toContain('freightPaid');
  });

  test('under a number that is another case’s is not taken for ours', async () => {
    const [first, second] = [await ask(await buy()), await ask(await buy())];
    await decide(first, 'review-1/review', approve());
    const taken = await label(first);
    await decide(second, 'review-1/review', approve());
    const ours = await label(second);
    await isTold(second, 'sendGoods');
    await tell(second, 'ownCourier', { trackingNo: taken });
    await isTold(second, 'courierUnclear');
    await receive(ours);
    await kit.opened(second, 'inspect');
    expect(await kit.openTasks(first)).toEqual([]);
    expect(await undone(second)).toEqual([]);
  });

  test('that holds less, more and other goods than asked for is looked into; what is not part of it goes back', async () => {
    const { id, units } = await toInspection({ lines: [['cup', 2, 5_000]] }, { lines: [{ line: 1, quantity: 2 }] }, ['cup', 'pan', undefined]);
    await kit.opened(id, 'receiptProblem');
    expect(await kit.rows(`select reasons from decision_log where case_id = $1 and rule = 'matchReceipt'`, id)).toEqual([
      { reasons: ['missingUnits', 'wrongUnits'] },
    ]);
    const [cup = '', ...others] = units;
    await decide(
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
    await inspect(id, [accept(cup)]);
    await refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(5_000) });
    expect(await kit.rows('select unit_id as unit from sandbox.units where unit_id = any($1) and sent_back_by is not null order by 1', units)).toEqual(
      others.map((unit) => ({ unit })),
    );
    expect(await allowanceOf(id)).toEqual(['used']);
  });

  test('that is empty ends the return, after a person has looked', async () => {
    const { id } = await toInspection({}, {}, []);
    await decide(id, 'receiptProblem', { units: [] }, 'chen', 'warehouse');
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'emptyParcel' });
    expect(await undone(id)).toEqual(['label', 'allowance']);
    expect(await kit.executions(id, 'warehouse')).toEqual({});
  });
});

describe('inspection', () => {
  test('that accepts nothing sends the goods back and refunds nothing', async () => {
    const { id, units } = await toInspection();
    await inspect(id, units.map(reject));
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'inspection' });
    expect(await undone(id)).toEqual(['label', 'allowance']);
    expect((await told(id)).slice(-3)).toEqual(['inspected', 'goodsGoingBack', 'rejected']);
    expect(await refundsOf(id)).toEqual([]);
    expect(await clocksOf(id)).toEqual({ handle: 'met', refundDue: 'stopped' });
  });

  test('that is unsure, or leaves a unit out, has a supervisor rule on it; only accepted units are refunded', async () => {
    const { id, units } = await toInspection({ lines: [['cup', 3, 3_000]] }, { lines: [{ line: 1, quantity: 3 }] }, ['cup', 'cup', 'cup']);
    const [sure = '', unsure = '', leftOut = ''] = units;
    await inspect(id, [accept(sure), { unitId: unsure, verdict: 'unsure' }]);
    await kit.opened(id, `${unsure}/ruleUnit`, `${leftOut}/ruleUnit`);
    await decide(id, `${leftOut}/ruleUnit`, { verdict: 'reject', cause: 'customer' }, 'li', 'supervisor');
    await decide(id, `${unsure}/ruleUnit`, { verdict: 'accept', disposition: 'scrap', cause: 'transport' }, 'li', 'supervisor');
    await refundState(id, 'arrived');
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
    const { id, units } = await toInspection(expensive);
    await inspect(id, units.map(accept));
    await kit.opened(id, 'approveRefund');
    await expect(kit.decide(id, 'approveRefund', { decision: 'approve' }, 'wang', 'supervisor')).rejects.toMatchObject({ why: 'fourEyes' });
    await decide(id, 'approveRefund', { decision: 'approve' }, 'li', 'supervisor');
    await refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(30_000) });
  });

  test('refused: the goods go back, the units are free again, nothing is refunded', async () => {
    const { id, units } = await toInspection(expensive);
    await inspect(id, units.map(accept));
    await decide(id, 'approveRefund', { decision: 'refuse' }, 'li', 'supervisor');
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'notApproved' });
    expect(await undone(id)).toEqual(['label', 'allowance']);
    expect(await allowanceOf(id)).toEqual(['released']);
    expect(await kit.rows('select sent_back_by is not null as back from sandbox.units where unit_id = any($1)', units)).toEqual([{ back: true }]);
    expect(await refundsOf(id)).toEqual([]);
  });

  test('above a supervisor’s limit is the manager’s; what a supervisor reviewed within the limit needs nobody else', async () => {
    const big = await toInspection({ lines: [['cup', 1, 300_000]] });
    await inspect(big.id, big.units.map(accept));
    await kit.opened(big.id, 'approveRefund');
    expect(await kit.rows(`select role, amount_minor::int as amount from tasks where case_id = $1 and name = 'approveRefund'`, big.id)).toEqual([
      { role: 'manager', amount: 300_000 },
    ]);
    const reviewed = await toInspection(expensive, {}, ['cup'], 'supervisor');
    await inspect(reviewed.id, reviewed.units.map(accept));
    await refundState(reviewed.id, 'arrived');
    expect(await kit.outcome(reviewed.id)).toEqual({ result: 'refunded', amount: cny(30_000) });
  });
});

describe('withdrawal', () => {
  test('before the decision ends at once, with the review closed', async () => {
    const id = await ask(await buy());
    await kit.opened(id, 'review-1/review');
    await withdraw(id);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await kit.rows('select status from tasks where case_id = $1', id)).toEqual([{ status: 'withdrawn' }]);
    expect(await told(id)).toEqual(['received', 'withdrawn']);
  });

  test('while evidence is awaited ends at once', async () => {
    const id = await ask(await buy());
    await decide(id, 'review-1/review', { decision: 'moreEvidence', what: ['photo'] });
    await isTold(id, 'evidenceAsked');
    await withdraw(id);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await clocksOf(id)).toEqual({ handle: 'stopped' });
  });

  test('with an unused label takes back label and units, newest first', async () => {
    const id = await ask(await buy());
    await decide(id, 'review-1/review', approve());
    await label(id);
    await isTold(id, 'sendGoods');
    await withdraw(id);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await undone(id)).toEqual(['label', 'allowance']);
    expect(await told(id)).toEqual(['received', 'sendGoods', 'withdrawn']);
  });

  test('with goods in transit waits for them and sends them back', async () => {
    const id = await ask(await buy());
    await decide(id, 'review-1/review', approve());
    const trackingNo = await label(id);
    await isTold(id, 'sendGoods');
    await scan(trackingNo, 'pickedUp');
    await withdraw(id);
    await isTold(id, 'withdrawnWithGoods');
    const units = await receive(trackingNo);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await told(id)).toEqual(['received', 'sendGoods', 'withdrawnWithGoods', 'goodsGoingBack', 'withdrawn']);
    expect(await kit.rows('select sent_back_by is not null as back from sandbox.units where unit_id = any($1)', units)).toEqual([{ back: true }]);
  });

  test('with goods of another courier, of which our logistics knows nothing, waits no longer than the window', async () => {
    const id = await ask(await buy());
    await decide(id, 'review-1/review', approve());
    await label(id);
    await isTold(id, 'sendGoods');
    await tell(id, 'ownCourier', { trackingNo: `YT${++count}` });
    await isTold(id, 'courierNoted');
    await withdraw(id);
    await isTold(id, 'withdrawnWithGoods');
    await pass(id, 10 * day + 1000);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await undone(id)).toEqual(['label', 'allowance']);
  });

  test.each(['inspect', 'approveRefund'])('while %s is open sends back the goods that are here', async (task) => {
    const { id, units } = await toInspection({ lines: [['cup', 1, 30_000]] });
    await kit.opened(id, 'inspect');
    if (task === 'approveRefund') await inspect(id, units.map(accept));
    await kit.opened(id, task);
    await withdraw(id);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await undone(id)).toEqual(['label', 'allowance']);
    expect(await kit.executions(id, 'warehouse')).toMatchObject({ [`withdrawn/${await label(id)}/send-back`]: 1 });
    expect(await kit.rows('select sent_back_by is not null as back from sandbox.units where unit_id = any($1)', units)).toEqual([{ back: true }]);
    expect(await allowanceOf(id)).toEqual(['released']);
  });

  test('once the refund is under way is refused, and the customer is refunded', async () => {
    const { id, units } = await toInspection();
    await inspect(id, units.map(accept));
    await answerOf(id, 'p1/route-1/refund');
    await isTold(id, 'refundSubmitted');
    await withdraw(id);
    await kit.until(
      'the refusal',
      () => kit.rows<{ became: string }>(`select became from inbox where case_id = $1 and kind = 'withdraw'`, id),
      ([row]) => row?.became === 'refused',
    );
    await refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
    expect(await undone(id)).toEqual([]);
  });
});

describe('the platform', () => {
  test.each(['review', 'parcel', 'inspection'])('may decide first while the case is at %s: everything is taken back, and the case follows', async (stage) => {
    const id = await ask(await buy());
    await kit.opened(id, 'review-1/review');
    if (stage !== 'review') await decide(id, 'review-1/review', approve());
    const trackingNo = stage === 'review' ? '' : await label(id);
    if (stage === 'inspection') await receive(trackingNo);
    await kit.until(
      stage,
      () => kit.row(id),
      (row) => row.stage === stage,
    );
    await tell(id, 'closedByPlatform', { how: 'refunded' });
    expect(await kit.outcome(id)).toEqual({ result: 'closedByPlatform', how: 'refunded' });
    expect(await undone(id)).toEqual(stage === 'review' ? [] : ['label', 'allowance']);
    expect((await told(id)).at(-1)).toBe('platformDecided');
    expect(await kit.openTasks(id)).toEqual([]);
  });

  test('that decides while our refund is under way changes nothing', async () => {
    const { id, units } = await toInspection();
    await inspect(id, units.map(accept));
    await isTold(id, 'refundSubmitted');
    await tell(id, 'closedByPlatform', { how: 'refunded' });
    await refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
  });
});

describe('an event after the end', () => {
  test('is kept with the case: a parcel that comes after all is not lost', async () => {
    const id = await ask(await buy());
    await decide(id, 'review-1/review', approve());
    const trackingNo = await label(id);
    await isTold(id, 'sendGoods');
    await pass(id, 10 * day + 1000);
    await kit.outcome(id);
    await receive(trackingNo);
    expect(await kit.rows(`select name, became from inbox where case_id = $1 and kind = 'event'`, id)).toEqual([{ name: 'parcelReceived', became: 'note' }]);
  });
});
