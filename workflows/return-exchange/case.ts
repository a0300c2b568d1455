/** 退换货(+质检): reads top to bottom as the business process. */
import type { OrderFacts as Order } from '../../systems/orders/contract.ts';
import { add, money, type Money } from '../../values/money.ts';
import { defineCase } from '../kit/case.ts';
import type { Payload } from '../kit/declare.ts';
import { rulesOf, system } from '../kit/references.ts';
import type { Case, Withdrawn } from '../kit/surface.ts';
import type { End, Parcel, Reason, Rejection, ReturnExchange, Unit } from './process.ts';
import type { RefundPart } from './rules.ts';

const rules = rulesOf<typeof import('./rules.ts')>();
const orders = system<typeof import('../../systems/orders/contract.ts').orders>('orders');
const allowance = system<typeof import('../../systems/allowance/contract.ts').allowance>('allowance');
const logistics = system<typeof import('../../systems/logistics/contract.ts').logistics>('logistics');
const warehouse = system<typeof import('../../systems/warehouse/contract.ts').warehouse>('warehouse');
const finance = system<typeof import('../../systems/finance/contract.ts').finance>('finance');

type C = Case<ReturnExchange>;
const byUnit = (u: { readonly unitId: string }): string => u.unitId;
const byPayment = (p: RefundPart): string => p.paymentId;

export const returnExchange = defineCase<ReturnExchange>('returnExchange', requested, {
  withdrawn,
  closedByPlatform: (c, { how }) => ended(c, 'platformDecided', { how }, { result: 'closedByPlatform', how }),
});

async function requested(c: C): Promise<End> {
  const { orderId, requestedAt, reason, wish, lines } = c.input;
  c.stage('review');
  c.clock('handle').start(requestedAt);
  c.tell('received', { order: orderId, reason, wish });
  const order = await c.do('order', orders.facts, { orderId });
  if (!order.ok) return rejected(c, order.error);
  const bought = order.lines.map((l) => ({ line: l.line, bought: l.quantity, returned: l.returned }));
  const asked = lines.flatMap(({ line, quantity }) => bought.filter((b) => b.line === line).map((b) => ({ ...b, quantity })));
  if (asked.length < lines.length) return rejected(c, 'unknownLine');
  const review = await reviewed(c, order);
  c.clock('handle').stop();
  if (review.decision === 'reject') return rejected(c, review.reason);

  const held = await c.do('allowance', allowance.reserve, { orderId, lines: asked });
  if (!held.ok) return rejected(c, held.error);
  c.stage('parcel');
  const parcel = await returned(c, review.freight);
  if (parcel === undefined) return ended(c, 'expired', {}, { result: 'expired' });

  c.stage('inspection');
  const { receivedAt, units: goods, by, freight } = parcel;
  c.clock('refundDue').start(receivedAt);
  c.tell('parcelArrived', { order: orderId, units: goods.length });
  const accepted = await inspected(c, goods, order);
  const facts = { order, held: held.units, accepted, reason: review.reason, by, freight, reviewer: review.role };
  const value = await c.decide('settlement', rules.settlement, facts);
  if (value.units.length === 0) return rejected(c, goods.length === 0 ? 'emptyParcel' : 'inspection', goods);
  // Above the reviewer's limit a higher role approves; who asked never does.
  const approval = value.approver && (await c.task('approveRefund', value, { role: value.approver, amount: value.refund, clocks: ['refundDue'] }));
  if (approval?.form.decision === 'refuse') return rejected(c, 'notApproved', goods);

  c.stage('settlement');
  c.noReturn();
  const { whole } = await c.do('commit', allowance.commit, { hold: held.hold, orderId, units: value.units, order: bought });
  const { payments } = await c.do('payments', finance.payments, { orderId });
  const refund = await c.decide('refund', rules.refundParts, { order, units: value.units, deducted: value.deducted, whole, payments });
  c.tell('refundApproved', { order: orderId, amount: refund.total });
  await dealtWith(c, goods, accepted, value.freightOwed);
  const parts = await c.each(refund.parts, byPayment, (b, part) => refunded(b, part, review.reason));
  c.clock('refundDue').stop();
  return { result: 'refunded', amount: parts.reduce((so, p) => (p.ok ? add(so, p.value) : so), money(0, order.currency)) };
}

/** All is taken back. Goods that are here, or on their way, are waited for and sent back. */
async function withdrawn(c: C): Promise<Withdrawn> {
  await c.undo();
  for (const trackingNo of c.expected('parcelReceived')) {
    const b = c.in(trackingNo);
    if (!(await underWay(b, trackingNo))) continue;
    b.tell('withdrawnWithGoods', { order: c.input.orderId, trackingNo });
    const parcel = await b.event('parcelReceived', { where: (p) => p.trackingNo === trackingNo, within: 'parcelSent' });
    if (parcel) await sentBack(b, parcel.units);
  }
  c.tell('withdrawn', { order: c.input.orderId });
  return { result: 'withdrawn' };
}

/** Eligibility advises and only a person decides. While the customer looks for more evidence, our clock stands still. */
async function reviewed(c: C, order: Order) {
  const { shop, customer, requestedAt, reason, lines } = c.input;
  let { evidence } = c.input;
  for (let round = 1; ; round++) {
    const b = c.in(`review-${round}`);
    const advice = await b.decide('eligibility', rules.eligibility, { order, shop, customer, requestedAt, reason, lines, evidence: evidence.length });
    const role = round > advice.evidenceRounds ? 'supervisor' : 'agent';
    const review = await b.task('review', { order, advice, evidence, round }, { role, clocks: ['handle'] });
    if (review.form.decision === 'approve') return { ...review.form, role: review.role, freight: advice.freight[review.form.reason] };
    if (review.form.decision === 'reject') return review.form;
    const until = b.window('evidence');
    b.tell('evidenceAsked', { order: order.orderId, what: review.form.what, until: until.ends });
    c.clock('handle').pause('evidence');
    const added = await b.event('evidenceAdded', { until });
    c.clock('handle').resume('evidence');
    evidence = [...evidence, ...(added?.files ?? [])];
  }
}

/** One parcel, with our label or by the customer's own courier; nothing when none came in time. */
async function returned(c: C, payer: string): Promise<(Parcel & { by: 'label' | 'ownCourier'; freight?: Money | undefined }) | undefined> {
  const order = c.input.orderId;
  const label = await c.do('label', logistics.label, { caseRef: c.id, orderId: order });
  await c.expect('parcelReceived', label.trackingNo);
  let until = c.window('parcelSent');
  c.tell('sendGoods', { order, carrier: label.carrier, trackingNo: label.trackingNo, freight: payer, until: until.ends });
  let own: Payload<ReturnExchange, 'ownCourier'> | undefined;
  for (let late = false, n = 1; ; n++) {
    const b = c.in(`parcel-${n}`);
    const next = await b.first({ parcel: (w) => w.event('parcelReceived', { until }), own: (w) => w.event('ownCourier') });
    if (next.value === undefined) {
      // A parcel that a carrier has when the window ends gets its time once more.
      if (late || !(await underWay(b, own?.trackingNo ?? label.trackingNo))) return undefined;
      [late, until] = [true, c.window('parcelSent')];
    } else if (next.won === 'parcel') return { ...next.value, by: next.value.trackingNo === label.trackingNo ? 'label' : 'ownCourier', freight: own?.freight };
    else if (await c.expect('parcelReceived', next.value.trackingNo)) {
      own = next.value;
      await c.undo('label');
      b.tell('courierNoted', { order, trackingNo: own.trackingNo, until: until.ends });
    } else b.tell('courierUnclear', { order, trackingNo: next.value.trackingNo });
  }
}

/** Whether a parcel is here, or a carrier has it. The customer's own courier may be one that our logistics does not know. */
async function underWay(c: C, trackingNo: string): Promise<boolean> {
  if (c.arrived('parcelReceived').some((p) => p.trackingNo === trackingNo)) return true;
  const parcel = await c.do('parcel', logistics.parcel, { trackingNo });
  return !parcel.ok || !['labelled', 'refused', 'returned', 'lost'].includes(parcel.state);
}

/** What was asked for is inspected unit by unit; what inspection is unsure of, or left out, a supervisor rules on. */
async function inspected(c: C, units: readonly Unit[], order: Order) {
  const match = await c.decide('match', rules.matchReceipt, { order, lines: c.input.lines, units });
  const ours = match.problem ? (await c.task('receiptProblem', { match, units }, { clocks: ['refundDue'] })).form.units : match.units;
  const there = ours.filter((u) => units.some(({ unitId }) => unitId === u.unitId));
  if (there.length === 0) return [];
  const { form } = await c.task('inspect', { units: there, reason: c.input.reason }, { clocks: ['refundDue'] });
  const found = new Map(form.units.map((u) => [u.unitId, u]));
  const judged = await c.each(there, byUnit, async (b, unit) => {
    const verdict = found.get(unit.unitId) ?? { verdict: 'unsure' };
    return { ...unit, ...(verdict.verdict === 'unsure' ? (await b.task('ruleUnit', { unit }, { clocks: ['refundDue'] })).form : verdict) };
  });
  const accepted = judged.flatMap((u) => (u.ok && u.value.verdict === 'accept' ? [u.value] : []));
  c.tell('inspected', { order: order.orderId, accepted: accepted.length, rejected: units.length - accepted.length });
  return accepted;
}

/** Accepted units go where inspection said, all others back to the customer; a courier that was ours to pay is paid. None of it may hold the refund up. */
async function dealtWith(c: C, units: readonly Unit[], accepted: Awaited<ReturnType<typeof inspected>>, owed: Money): Promise<void> {
  await c.each(accepted, byUnit, (b, { unitId, disposition }) => b.do('dispose', warehouse.dispose, { caseRef: c.id, unitId, disposition }));
  const goods = units.filter((u) => accepted.every((a) => a.unitId !== u.unitId));
  await c.each(['others'], String, (b) => sentBack(b, goods));
  await c.each(owed.minor > 0 ? ['courier'] : [], String, async (b) => {
    const { ok } = await b.do('freight', finance.goodwill, { caseRef: c.id, customer: c.input.customer, amount: owed, reason: 'return-freight' });
    b.tell(ok ? 'freightPaid' : 'freightOwed', { order: c.input.orderId, amount: owed }, { to: ok ? 'customer' : 'finance' });
  });
}

async function sentBack(c: C, units: readonly Unit[]): Promise<void> {
  if (units.length === 0) return;
  const { trackingNo } = await c.do('send-back', warehouse.sendBack, { caseRef: c.id, orderId: c.input.orderId, unitIds: units.map(byUnit) });
  c.tell('goodsGoingBack', { order: c.input.orderId, units: units.length, trackingNo });
}

/** One payment's part, told as the payment system reports it, never promised. What does not go back the way it came, finance sends another way. */
async function refunded(c: C, part: RefundPart, reason: Reason, via: 'original' | 'transfer' = 'original', n = 1): Promise<Money> {
  const [b, { paymentId, amount, method }, orderId] = [c.in(`route-${n}`), part, c.input.orderId];
  const made = await b.do('refund', finance.refund, { caseRef: c.id, orderId, paymentId, amount, reason, via });
  const data = { order: orderId, amount, method: via === 'original' ? method : via };
  if (made.ok && (await arrived(b, made.refundId, data, part.atOnce))) return amount;
  const { form } = await b.task('otherRoute', { paymentId, amount, problem: made.ok ? 'failed' : made.error }, { clocks: ['refundDue'] });
  return form.via === 'none' ? money(0, amount.currency) : refunded(c, part, reason, form.via, n + 1);
}

/** Whether a refund arrived in the end. One that arrives at once has no time to be late in. */
async function arrived(c: C, refundId: string, data: object, atOnce: boolean): Promise<boolean> {
  await c.expect('refundState', refundId);
  c.tell('refundSubmitted', data);
  if (!atOnce) c.clock('arrival').start();
  for (;;) {
    const { state } = await c.event('refundState', { where: (e) => e.refundId === refundId });
    c.tell(({ accepted: 'refundAccepted', arrived: 'refundArrived', failed: 'refundFailed' } as const)[state], data);
    if (state !== 'accepted' && !atOnce) c.clock('arrival').stop();
    if (state !== 'accepted') return state === 'arrived';
  }
}

/** An end without a refund: what was held is let go, an unused label is void, goods that are here go back, and the customer is told. */
async function ended(c: C, message: 'expired' | 'rejected' | 'platformDecided', data: object, outcome: End, goods: readonly Unit[] = []): Promise<End> {
  await c.undo();
  await sentBack(c, goods);
  c.tell(message, { order: c.input.orderId, ...data });
  return outcome;
}
const rejected = (c: C, reason: Rejection, goods?: readonly Unit[]) => ended(c, 'rejected', { reason }, { result: 'rejected', reason }, goods);
