/** 退换货(+质检): reads top to bottom as the business process. */
import type { OrderFacts as Order } from '../../systems/orders/contract.ts';
import { effectKey } from '../../values/ids.ts';
import { money, type Money } from '../../values/money.ts';
import { defineCase } from '../kit/case.ts';
import type { Payload } from '../kit/declare.ts';
import { processOf, rulesOf } from '../kit/references.ts';
import type { Case, Withdrawn } from '../kit/surface.ts';
import type { LateParcel } from '../late-parcel/process.ts';
import { allowance, finance, orders } from '../systems.ts';
import type { End, Rejection, ReturnExchange } from './process.ts';
import type { Accepted, Back } from './rules.ts';
import { broughtBack, parcelsHere, sentBack, underWay } from './steps/parcels.ts';
import { refunded } from './steps/refund.ts';
import { left, replaced, reserved } from './steps/replacement.ts';
import { counted, couponsBack, dealtWith, invoiced, thanks } from './steps/settlement.ts';

const rules = rulesOf<typeof import('./rules.ts')>();
type C = Case<ReturnExchange>;
const byUnit = (u: { readonly unitId: string }): string => u.unitId;

export const returnExchange = defineCase<ReturnExchange>('returnExchange', requested, { withdrawn, closedByPlatform });

async function requested(c: C): Promise<End> {
  const { orderId, customer, requestedAt, reason, wish, lines } = c.input;
  c.stage('review');
  c.clock('handle').start(requestedAt);
  c.tell('received', { order: orderId, reason, wish });
  const order = await c.do('order', orders.facts, { orderId });
  if (!order.ok) return rejected(c, order.error);
  const { bought, asked } = linesOf(c, order);
  if (asked.length < lines.length) return rejected(c, 'unknownLine');
  const review = await reviewed(c, order);
  c.clock('handle').stop();
  if (review.decision === 'reject') return rejected(c, review.reason);

  // What is promised is held: units of the order, so that no other case returns them, and the new goods.
  const held = await c.do('allowance', allowance.reserve, { orderId, lines: asked });
  if (!held.ok) return rejected(c, held.error);
  const hold = remedies[review.remedy].replaced ? await reserved(c.in('new-goods'), review.wanted) : undefined;
  const back = remedies[review.remedy].goodsStay ? theyStay(c) : await broughtBack(c, order, review.freight);
  if (back === undefined) return ended(c, 'expired', {}, { result: 'expired' });

  const accepted = [...(await inspected(c, order, back)), ...back.lost.flatMap(({ line, quantity }) => Array<Accepted>(quantity).fill({ line }))];
  const { reason: established, role: reviewer } = review;
  const facts = { order, held: held.units, asked, accepted, reason: established, by: back.by, freights: back.freights };
  const value = await c.decide('settlement', rules.settlement, facts);
  if (value.units.length === 0) return rejected(c, back.units.length === 0 ? 'emptyParcel' : 'inspection');
  const kept = back.by === 'kept' ? await c.do('kept', allowance.tally, { customer, kind: 'refundOnly', amount: value.refund }) : undefined;
  const authority = await c.decide('authority', rules.authority, { refund: value.refund, by: back.by, earlier: kept?.earlier ?? [], reviewer });
  // Above the reviewer's limit a higher role approves; who asked never does.
  const { approver: role, doubtful } = authority;
  const approval = role && (await c.task('approveRefund', { value, authority }, { role, amount: value.refund, clocks: ['refundDue'] }));
  if (approval?.form.decision === 'refuse') return rejected(c, 'notApproved');
  const sent = hold === undefined ? undefined : await replaced(c.in('new-goods'), order, hold, value);

  c.stage('settlement');
  c.noReturn();
  const { whole } = await c.do('commit', allowance.commit, { hold: held.hold, orderId, units: value.units, order: bought, refunded: !sent });
  const { payments } = await c.do('payments', finance.payments, { orderId, caseRef: c.id });
  const due = sent?.back ?? value.refund;
  const refund = await c.decide('refund', rules.refundParts, { order, units: value.units, due, replaced: sent !== undefined, whole, payments });
  const settled = { order, reason: established, goods: back.units, accepted, value, refund, sent, thanked: value.welcome && !doubtful };
  // None of these holds another up: what a person gives up in one leaves the others be.
  const [paid] = await c.each(afterwards, stepName, (b, [, step]): Promise<Money | undefined> => step(b, settled));
  const amount = (paid?.ok && paid.value) || money(0, order.currency);
  if (sent) return remedies[review.remedy].goodsStay ? { result: 'reissued' } : { result: 'exchanged', paid: sent.pay, refunded: amount };
  return { result: 'refunded', amount };
}

/** 退货退款、仅退款、换货、补发. */
const remedies = {
  refund: { replaced: false, goodsStay: false },
  refundOnly: { replaced: false, goodsStay: true },
  exchange: { replaced: true, goodsStay: false },
  reissue: { replaced: true, goodsStay: true },
} as const;

/** 旧的您不用寄回: what was asked for counts as if it had come and been accepted. */
function theyStay(c: C): Back {
  c.tell('goodsStay', { order: c.input.orderId });
  return { units: [], lost: c.input.lines, by: 'kept', freights: [] };
}

/** All is taken back. Goods that are here go back at once, those on their way once they have come. */
async function withdrawn(c: C): Promise<Withdrawn> {
  const { orderId } = c.input;
  await c.undo();
  const here = parcelsHere(c);
  await sentBack(c, here);
  const until = c.window('parcelSent');
  for (const trackingNo of c.expected('parcelReceived')) {
    const b = c.in(trackingNo);
    if (here.some((p) => p.trackingNo === trackingNo) || !(await underWay(b, trackingNo))) continue;
    b.tell('withdrawnWithGoods', { order: orderId, trackingNo });
    const parcel = await b.event('parcelReceived', { where: (p) => p.trackingNo === trackingNo, until });
    if (parcel) await sentBack(b, [parcel]);
  }
  c.tell('withdrawn', { order: orderId });
  return { result: 'withdrawn' };
}

/** 平台介入: what the platform refunded is used up, so that no case of ours refunds it again, and goods that are here are ours to look at. */
async function closedByPlatform(c: C, { how }: Payload<ReturnExchange, 'closedByPlatform'>): Promise<End> {
  const { orderId, shop, customer } = c.input;
  const end = { result: 'closedByPlatform', how } as const;
  const order = how === 'closed' ? undefined : await c.do('order', orders.facts, { orderId });
  if (!order?.ok) return ended(c, 'platformDecided', { how }, end);
  const { asked: lines } = linesOf(c, order);
  if (lines.length > 0) await c.do('spent', allowance.spend, { hold: effectKey(c.id, 'allowance'), orderId, lines });
  for (const payload of parcelsHere(c)) {
    const input = { shop, customer, order: orderId, of: c.id, event: 'parcelReceived', eventId: `platform-${payload.receiptId}`, payload };
    await c.in(payload.receiptId).start(processOf<LateParcel>('late-parcel'), input);
  }
  return ended(c, 'platformDecided', { how }, end, []);
}

/** Eligibility advises and only a person decides. While the customer looks for more evidence, our clock stands still. */
async function reviewed(c: C, order: Order) {
  const { shop, customer, requestedAt, reason, lines } = c.input;
  const { earlier } = await c.do('tally', allowance.tally, { customer, kind: 'return' });
  let { evidence } = c.input;
  for (let round = 1; ; round++) {
    const b = c.in(`review-${round}`);
    const facts = { order, shop, customer, requestedAt, reason, lines, evidence: evidence.length, earlier, round };
    const advice = await b.decide('eligibility', rules.eligibility, facts);
    const { form, role } = await b.task('review', { order, advice, evidence, round }, { role: advice.reviewer, clocks: ['handle'] });
    if (form.decision === 'approve') return { ...form, role, freight: advice.freight[form.reason], wanted: advice.wanted };
    if (form.decision === 'reject') return form;
    const until = b.window('evidence');
    b.tell('evidenceAsked', { order: order.orderId, what: form.what, until: until.ends });
    c.clock('handle').pause('evidence');
    const added = await b.event('evidenceAdded', { until });
    c.clock('handle').resume('evidence');
    evidence = [...evidence, ...(added?.files ?? [])];
  }
}

/** What was asked for is inspected unit by unit; what inspection is unsure of, or left out, a supervisor rules on. */
async function inspected(c: C, order: Order, { units, match: known }: Back): Promise<Accepted[]> {
  if (units.length === 0 && !known) return [];
  c.stage('inspection');
  const match = known ?? (await c.decide('match', rules.matchReceipt, { order, lines: c.input.lines, units }));
  const ours = match.problem ? (await c.task('receiptProblem', { match, units }, { clocks: ['refundDue'] })).form.units : match.units;
  const there = asAsked(
    c.input.lines,
    ours.filter((u) => units.some(({ unitId }) => unitId === u.unitId)),
  );
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

/** Of each line no more than was asked for: what a person names beyond it goes back with the rest. */
const asAsked = <U extends { readonly line: number }>(lines: C['input']['lines'], units: readonly U[]): U[] =>
  lines.flatMap(({ line, quantity }) => units.filter((u) => u.line === line).slice(0, quantity));

/** What follows a settlement. The money first: its sum is the outcome. */
const afterwards = [
  ['money', refunded],
  ['goods', dealtWith],
  ['new-goods', left],
  ['invoice', invoiced],
  ['coupons', couponsBack],
  ['causes', counted],
  ['thanks', thanks],
] as const;
const stepName = ([name]: (typeof afterwards)[number]): string => name;
/** The lines of the order as the allowance knows them, and those that were asked for. */
function linesOf({ input: { lines } }: C, order: Order) {
  const bought = order.lines.map((l) => ({ line: l.line, bought: l.quantity, returned: l.returned }));
  return { bought, asked: lines.flatMap(({ line, quantity }) => bought.filter((b) => b.line === line).map((b) => ({ ...b, quantity }))) };
}

/** An end without a remedy: what was held is let go, an unused label is void, goods that are here go back, and the customer is told. */
async function ended(c: C, message: 'expired' | 'rejected' | 'platformDecided', data: object, outcome: End, goods = parcelsHere(c)): Promise<End> {
  await c.undo();
  await sentBack(c, goods);
  c.tell(message, { order: c.input.orderId, ...data });
  return outcome;
}
const rejected = (c: C, reason: Rejection) => ended(c, 'rejected', { reason }, { result: 'rejected', reason });
