/** What each case of the demo will do: a pure function of seed, orders, goods and policy, so that a run can be repeated and gone on with. */
import type { z } from 'zod';
import type { PolicyValues } from '../../policies/schema.ts';
import type { OrderFacts } from '../../systems/orders/contract.ts';
import { drawsFrom } from '../../systems/sandbox/faults.ts';
import { contentHash } from '../../values/hash.ts';
import { caseId, type CaseId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import type { Money } from '../../values/money.ts';
import { money } from '../../values/money.ts';
import type { Role } from '../../values/role.ts';
import { returnExchange } from '../../workflows/return-exchange/process.ts';
import { authority, refundParts, settlement, swap, type Accepted, type Settlement } from '../../workflows/return-exchange/rules.ts';
import type { Decided } from '../../workflows/kit/rule.ts';
import { branches, type Branch, type Interrupted } from './branches.ts';

type Input = z.input<typeof returnExchange.input>;
type TaskForm<T extends keyof typeof returnExchange.tasks> = z.input<(typeof returnExchange.tasks)[T]['form']>;
export type ReviewForm = TaskForm<'review'>;
export type Disposition = 'restock' | 'refurbish' | 'scrap';

/** Goods as the shop sells them when the run begins. */
export interface Goods {
  readonly sku: string;
  readonly shop: string;
  readonly price: Money;
  readonly stock: number;
}

/** One unit in a parcel: what it is, what inspection says, and what a supervisor says where inspection is unsure or left it out. */
export interface PlannedUnit {
  /** Absent: goods that nobody knows. */
  readonly sku?: string;
  readonly verdict: 'accept' | 'reject' | 'unsure' | 'leftOut';
  readonly ruling: 'accept' | 'reject';
  readonly disposition: Disposition;
}

/** What parcels go by: our labels and the customer's own couriers, each from 1. */
export type ParcelName = `label-${number}` | `own-${number}`;
/** One thing that the customer, a carrier or the goods-in desk does; they come one after the other. */
export type Act =
  /** The customer tells us a courier's number (or, by mistake, one that is another case's), and waits until we have noted it. */
  | { readonly act: 'courier'; readonly parcel: ParcelName; readonly freight: boolean }
  | { readonly act: 'courierOfAnother' }
  | { readonly act: 'scan'; readonly parcel: ParcelName; readonly state: 'pickedUp' | 'inTransit' | 'delivered' | 'refused' | 'returned' | 'lost' }
  /** `unnamed`: nothing on the parcel says whose it is. */
  | { readonly act: 'receive'; readonly parcel: ParcelName; readonly units: readonly PlannedUnit[]; readonly unnamed?: true }
  /** Until the parcel's time is over, and a little more. */
  | { readonly act: 'pastWindow' }
  | { readonly act: 'untilEnded' };

export interface Plan {
  readonly caseId: CaseId;
  readonly order: string;
  /** What it is to go through. */
  readonly branches: readonly Branch[];
  readonly currency: string;
  /** All but `requestedAt`, which is the moment it is sent. */
  readonly request: Omit<Input, 'requestedAt'>;
  /** What the reviewer says, round by round; the last one stands for all that follow. Empty: nobody reviews, the case ends otherwise. */
  readonly reviews: readonly ReviewForm[];
  /** Whether the customer sends the evidence that the review asks for. */
  readonly evidenceComes: boolean;
  /** New goods that are sold out: so many have to come in. */
  readonly lacking: readonly { readonly sku: string; readonly quantity: number }[];
  /** What is lacking comes in before it is promised, and what was set aside turns out to be gone before it is sent. */
  readonly goodsVanish: boolean;
  /** What the customer says each time that new goods are gone; `found`: again, and then they are there. */
  readonly choices: readonly ('refund' | 'found' | 'again' | 'silence')[];
  readonly difference: 'paid' | 'expired' | 'never';
  readonly way: readonly Act[];
  /** What is said of each parcel that did not reach us. */
  readonly troubles: readonly TaskForm<'parcelTrouble'>['decision'][];
  readonly approval: 'approve' | 'refuse';
  /** The bank sends the first refund of each payment back; finance then finds this route. */
  readonly otherRoute?: TaskForm<'otherRoute'>['via'];
  /** How one finds out whose an unnamed parcel is: the customer claims it for the case; the warehouse or the shop finds the order; nobody ever does. */
  readonly owner: 'claims' | 'found' | 'told' | 'unknown';
  /** What becomes of a parcel that came too late for the case. */
  readonly late: 'takeBack' | 'sendBack' | 'keep';
  /** Who ends it early, and what it is waiting for then. */
  readonly ends?: { readonly by: 'customer' | 'platform'; readonly how: 'merchantOverdue' | 'refunded' | 'closed'; readonly at: Interrupted | 'underWay' };
  /** How long each act of the customer and of the carrier takes, in milliseconds. */
  readonly pauseMs: number;
  /** Windows that it waits out, in milliseconds: the longest cases begin first. */
  readonly waitsMs: number;
  /** What is done twice, as people and systems do: each has to count once. */
  readonly twice: { readonly start: boolean; readonly decisions: 'no' | 'samePerson' | 'twoPeople'; readonly events: boolean; readonly receipt: boolean };
}

export interface World {
  /** What the shops sell. */
  readonly goods: readonly Goods[];
  readonly policyOf: (shop: string) => PolicyValues;
}

/** What one courier costs the customer, and the most that finance pays out without a paper: two couriers are above it. Minor units of any currency. */
export const courierMinor = 500;
export const goodwillLimit = 700;

/** The order of what happens: a case that ends early goes no branch behind its end. */
const course = ['request', 'review', 'evidence', 'choice', 'parcel', 'underWay', 'inspection', 'ruling', 'approval', 'difference', 'settlement'] as const;
type Place = (typeof course)[number];

const some = <const T>(draw: () => number, from: readonly [T, ...T[]]): T => from[Math.floor(draw() * from.length)] ?? from[0];
const sumOf = (numbers: readonly number[]): number => numbers.reduce((so, n) => so + n, 0);

/** What a shop sells, in the ways that plans look at it. */
interface Shelves {
  readonly policy: PolicyValues;
  readonly fromStock: readonly Goods[];
  readonly onSale: ReadonlySet<string>;
  /** Sold out: one half stays so; of the other some come in when a plan says so, for that case. */
  readonly gone: readonly Goods[];
  readonly onTheWay: readonly Goods[];
  readonly prices: readonly { readonly sku: string; readonly unitPrice: Money }[];
}
function shelvesOf({ goods, policyOf }: World, shop: string): Shelves {
  const sold = goods.filter((one) => one.shop === shop);
  const fromStock = sold.filter((one) => one.stock > 0);
  const out = sold.filter((one) => one.stock === 0);
  return {
    policy: policyOf(shop),
    fromStock,
    onSale: new Set(fromStock.map((one) => one.sku)),
    gone: out.filter((_, i) => i % 2 === 0),
    onTheWay: out.filter((_, i) => i % 2 === 1),
    prices: sold.map(({ sku, price }) => ({ sku, unitPrice: price })),
  };
}

/**
 * Draws a plan for the return of one order. What the order's own data do not allow is left out: `branches` says what the case will go through.
 * `frequent`: its customer has asked so often that a supervisor reviews.
 */
function drawPlan(draw: () => number, seed: number, order: OrderFacts, shelves: Shelves, frequent: boolean): Plan {
  const { policy, fromStock, onSale, gone, onTheWay, prices } = shelves;
  const chance = (of: number): boolean => draw() < of;
  const pick = <const T>(from: readonly [T, ...T[]]): T => some(draw, from);
  const went: { readonly at: Place; readonly branch: Branch }[] = [];
  const goes = (at: Place, ...all: readonly Branch[]): void => void went.push(...all.map((branch) => ({ at, branch })));
  let waitsMs = 0;

  // ── the request: some or all of the order
  const open = order.lines.filter((line) => line.quantity > line.returned);
  const whole = chance(0.5);
  const only = Math.floor(draw() * open.length);
  const wrong = open.length === 0 ? 'alreadyReturned' : chance(0.08) ? pick(['unknownOrder', 'unknownLine', 'alreadyReturned']) : undefined;
  const remedy = pick(['refund', 'refund', 'refund', 'refundOnly', 'exchange', 'exchange', 'reissue']);
  const replaced = remedy === 'exchange' || remedy === 'reissue';
  const faulty = chance(0.5);
  const reason = faulty ? pick(['quality', 'wrongItem']) : pick(['noReason', 'wrongSize', 'other']);
  /** Other goods for old: some in stock, some sold out, some that come in and vanish again. */
  // What is reissued is the same again.
  const wanted = remedy === 'exchange' ? pick(['same', 'same', 'other', 'other', 'gone', 'comesIn', 'vanishes', 'vanishes']) : 'same';
  const chooseFrom = wanted === 'other' ? fromStock : wanted === 'gone' ? gone : wanted === 'same' ? [] : onTheWay;
  const replacement = chooseFrom[Math.floor(draw() * chooseFrom.length)]?.sku;
  const asked = (whole || wrong === 'alreadyReturned' ? open : open.filter((_, i) => i === only)).map(({ line, quantity, returned }) => ({
    line,
    quantity: chance(0.7) ? quantity - returned : 1,
    opened: chance(0.3),
  }));
  const first = asked[0]?.line;
  const skuOf = (line: number): string => order.lines.find((l) => l.line === line)?.sku ?? '';
  const lines = asked.map((l) => (l.line === first && replacement !== undefined && replacement !== skuOf(l.line) ? { ...l, replacement } : l));
  const evidenceStyle = wrong === undefined ? pick(['none', 'none', 'none', 'none', 'none', 'sent', 'never', 'rounds']) : 'none';
  const request: Plan['request'] = {
    shop: order.shop,
    customer: order.customer,
    orderId: wrong === 'unknownOrder' ? `${order.orderId}-unknown` : order.orderId,
    requestId: `demo-${seed}`,
    lines:
      wrong === 'unknownLine'
        ? [{ line: order.lines.length + 1, quantity: 1 }]
        : wrong === 'alreadyReturned'
          ? order.lines.slice(0, 1).map(({ line, quantity, returned }) => ({ line, quantity: quantity - returned + 1 }))
          : lines,
    reason,
    wish: remedy === 'refundOnly' ? 'refund' : remedy,
    evidence: faulty && evidenceStyle === 'none' ? [`photo-${order.orderId.replaceAll(/[^\w-]/g, '')}-1`] : [],
  };
  if (wrong !== undefined) goes('request', wrong);
  if (frequent && wrong !== 'unknownOrder' && wrong !== 'unknownLine') goes('review', 'frequentCustomer');

  // ── the review
  const ask: ReviewForm = { decision: 'moreEvidence', what: ['photo'] };
  const rejects = wrong === undefined && chance(evidenceStyle === 'none' ? 0.08 : 0.3);
  const last: ReviewForm = rejects
    ? {
        decision: 'reject',
        reason: evidenceStyle === 'never' ? 'noEvidence' : pick(['pastWindow', 'excepted', 'notAsDescribed', 'usedOrDamaged', 'abuse', 'other']),
      }
    : { decision: 'approve', reason, remedy };
  const rounds = evidenceStyle === 'rounds' ? policy.returns.evidenceRounds : evidenceStyle === 'none' ? 0 : 1;
  if (evidenceStyle === 'never') {
    goes('evidence', 'evidenceNever');
    waitsMs += policy.windows['evidence']?.ms ?? 0;
  }
  if (rounds > 1) goes('evidence', 'evidenceRounds');
  if (evidenceStyle !== 'none' && evidenceStyle !== 'never' && !rejects) goes('evidence', 'evidenceSent');
  if (rejects) goes('evidence', 'reviewRejects');
  const approves = wrong === undefined && !rejects;

  // ── new goods: held when promised
  const need = new Map<string, number>();
  for (const { line, quantity, replacement: other = skuOf(line) } of lines.map((l) => ({ replacement: undefined, ...l })))
    need.set(other, (need.get(other) ?? 0) + quantity);
  const lacking = [...need].filter(([sku]) => !onSale.has(sku)).map(([sku, quantity]) => ({ sku, quantity }));
  const promised = approves && replaced;
  // Of what somebody returns that is sold out by now, all is lacking; only what is drawn to come in does.
  const comesIn = lacking.length > 0 && lacking.every(({ sku }) => sku === replacement) && (wanted === 'comesIn' || wanted === 'vanishes');
  const lacksAtApproval = promised && lacking.length > 0 && !(comesIn && wanted === 'vanishes');
  const said = pick(['refund', 'found', 'silence']);
  const choice = said === 'found' && !comesIn ? 'refund' : said;
  const goodsVanish = promised && comesIn && wanted === 'vanishes' && remedy === 'exchange';
  if (lacksAtApproval) {
    goes('choice', choice === 'refund' ? 'goneAtApprovalRefund' : choice === 'silence' ? 'goneAtApprovalSilence' : 'goneAtApprovalAgain');
    if (choice === 'silence') waitsMs += policy.windows['customerChoice']?.ms ?? 0;
  }
  const held = promised && (!lacksAtApproval || choice === 'found');

  // ── the goods' way back
  const back = approves && (remedy === 'refund' || remedy === 'exchange');
  const journey = back ? drawJourney(draw, order, lines, onSale) : undefined;
  if (journey) {
    for (const { at, branch } of journey.went) if (at !== 'settlement') goes(at, branch);
    waitsMs += sumOf(journey.windows.map((window) => policy.windows[window]?.ms ?? 0));
  }

  // ── what is settled, by the rules themselves
  const kept = approves && !back;
  const accepted: readonly Accepted[] = kept ? lines.flatMap(({ line, quantity }) => Array<Accepted>(quantity).fill({ line })) : (journey?.accepted ?? []);
  const context = { policy, asOf: instant(0) };
  const by = kept ? ('kept' as const) : (journey?.by ?? 'label');
  const units = order.lines.flatMap(({ line, quantity }) => Array.from({ length: quantity }, (_, i) => ({ line, unit: i + 1 })));
  const settles = approves && (kept || journey?.settles === true);
  const freights = Array.from({ length: journey?.couriers ?? 0 }, () => money(courierMinor, order.currency));
  const value: Decided<Settlement> | undefined =
    settles && accepted.length > 0 ? settlement({ order, held: units, asked: lines, accepted, reason, by, freights }, context) : undefined;
  const reviewer: Role = rounds > 1 ? 'supervisor' : 'agent';
  const needs = value && authority({ refund: value.refund, by, earlier: [], reviewer }, context);
  const approval = needs?.approver && chance(0.3) ? 'refuse' : 'approve';
  if (needs?.approver === 'supervisor' || needs?.approver === 'manager') {
    goes(
      'approval',
      needs.approver === 'supervisor'
        ? approval === 'approve'
          ? 'supervisorApproves'
          : 'supervisorRefuses'
        : approval === 'approve'
          ? 'managerApproves'
          : 'managerRefuses',
    );
  }
  if (needs?.reasons.includes('keptAboveLimit')) goes('ruling', 'keptAboveLimit');
  if (needs?.reasons.includes('manyKept')) goes('ruling', 'keptTooOften');
  const settled = approval === 'approve' ? value : undefined;
  const exchange = settled && held ? swap({ order, lines, value: settled, prices }, context) : undefined;
  const pays = (exchange?.pay.minor ?? 0) > 0;
  const difference = pick(['paid', 'paid', 'expired', 'never']);
  const paid = !pays || difference === 'paid';
  let sent = exchange !== undefined && paid;
  if (exchange && pays && difference === 'expired') goes('difference', 'exchangeDearerExpired');
  if (exchange && pays && difference === 'never') {
    goes('difference', 'exchangeDearerNeverPaid');
    waitsMs += policy.windows['payDifference']?.ms ?? 0;
  }
  if (sent && goodsVanish) {
    goes('difference', choice === 'refund' ? 'goneAtDispatchRefund' : choice === 'silence' ? 'goneAtDispatchSilence' : 'goneAtDispatchAgain');
    if (choice === 'silence') waitsMs += policy.windows['customerChoice']?.ms ?? 0;
    sent = choice === 'found';
    if (pays && !sent) goes('difference', 'exchangePaidThenGone');
  }
  let otherRoute: Plan['otherRoute'];
  let refunds = false;
  if (settled) {
    for (const { at, branch } of journey?.went ?? []) if (at === 'settlement') goes(at, branch);
    if (sent) goes('settlement', remedy === 'reissue' ? 'reissue' : 'exchange');
    else if (remedy === 'refund' || remedy === 'refundOnly') goes('settlement', remedy);
    // What we owe for couriers, and what finance refuses above its limit.
    if (settled.freightOwed.minor > 0) goes('settlement', settled.freightOwed.minor > goodwillLimit ? 'courierOwed' : 'courierPaid');
    if (sent && exchange && remedy === 'exchange') {
      if (pays) goes('settlement', 'exchangeDearerPaid');
      else if (exchange.back.minor > 0) goes('settlement', 'exchangeCheaper');
      else goes('settlement', 'exchangeSameWorth');
    }
    const returned = sumOf(order.lines.map((l) => l.returned));
    const full = !sent && settled.units.length + returned === units.length;
    const due = sent ? (exchange?.back ?? money(0, order.currency)) : settled.refund;
    const payments = order.payments.map((p) => ({ ...p, refunded: money(0, order.currency), paidAt: instant(0) }));
    const refund = refundParts({ order, units: settled.units, due, replaced: sent, whole: full, payments }, context);
    refunds = refund.total.minor > 0;
    if (full) goes('settlement', 'wholeOrder');
    if (refund.parts.length > 1) goes('settlement', 'severalPayments');
    if (refunds && chance(0.15)) {
      otherRoute = pick(['transfer', 'original', 'none']);
      goes('settlement', otherRoute === 'transfer' ? 'routeFailsTransfer' : otherRoute === 'original' ? 'routeFailsOriginal' : 'routeFailsNone');
    }
    if (refunds && order.invoiced) goes('settlement', 'redLetter');
    if (refund.coupons.length > 0 || refund.points > 0) goes('settlement', 'couponsOrPointsBack');
    if (settled.welcome && needs?.doubtful === false) goes('settlement', 'gift');
    if (settled.reasons.includes('labelDeducted')) goes('settlement', 'labelDeducted');
    if (settled.reasons.includes('freightInsured')) goes('settlement', 'freightInsured');
    const lost = accepted.some((unit) => unit.disposition !== 'restock') && settled.refund.minor > 0;
    if (lost) goes('settlement', 'lossBooked');
  }
  if (approves && journey?.settles && accepted.length === 0) goes('settlement', journey.nothing ? 'emptyParcel' : 'inspectionRejects');

  // ── an end that comes from outside
  const places: Interrupted[] = [];
  if (rounds > 0) places.push('evidence');
  if (lacksAtApproval) places.push('choice');
  if (journey) places.push('parcel');
  if (journey?.inspected) places.push('inspection');
  if (journey?.ruled) places.push('ruling');
  if (needs?.approver) places.push('approval');
  if (pays && settled) places.push('difference');
  if (refunds && !otherRoute) places.push('settlement');
  const interrupted = wrong === undefined && chance(0.35);
  // Late ones are rare: few cases come so far.
  const at = interrupted ? some(draw, ['review', ...places, ...places.slice(-2), ...places.slice(-2)]) : undefined;
  const travelling = at === 'parcel' && chance(0.5);
  const end: Plan['ends'] =
    at === undefined
      ? undefined
      : { by: chance(0.6) ? 'customer' : 'platform', how: pick(['merchantOverdue', 'refunded', 'closed']), at: travelling ? 'underWay' : at };
  let way = journey?.way ?? [];
  let planned = went;
  if (end && at) {
    const until = course.indexOf(travelling ? 'underWay' : at);
    if (at !== 'settlement') {
      planned = went.filter((w) => course.indexOf(w.at) < until);
      waitsMs = planned.some((w) => w.branch === 'evidenceNever') ? waitsMs : 0;
    }
    const travels: ParcelName = 'label-1';
    const arrives = end.by === 'platform' || chance(0.6);
    if (at === 'parcel')
      way = travelling
        ? [
            { act: 'scan', parcel: travels, state: 'pickedUp' },
            // The platform's word ends the case at once: what comes then, comes late.
            ...(end.by === 'platform' ? [{ act: 'untilEnded' } as const] : []),
            ...(arrives ? [{ act: 'receive', parcel: travels, units: unitsOf(order, lines) } as const] : []),
          ]
        : [];
    if (travelling && !arrives) waitsMs = policy.windows['parcelSent']?.ms ?? 0;
    planned = [...planned, { at: 'settlement', branch: endBranch(end, arrives) }];
    if (end.by === 'platform' && at !== 'settlement')
      planned.push({ at: 'settlement', branch: end.how === 'closed' ? 'platformClosed' : end.how === 'refunded' ? 'platformRefunded' : 'platformOverdue' });
  }

  // ── what comes too late
  const late = pick(['takeBack', 'sendBack', 'keep']);
  const comesLate = planned.some((w) => w.branch === 'lateAfterExpiry');
  // What the platform refunded is nobody's to return again.
  const comesAfterPlatform =
    end?.by === 'platform' && end.how !== 'closed' && planned.some((w) => w.branch === 'platformUnderWay' || w.branch === 'platformAtInspection');
  const owned = planned.some((w) => w.branch === 'ownerFound' || w.branch === 'ownerTold');
  const decision = comesLate ? late : late === 'takeBack' ? 'keep' : late;
  if (comesLate || comesAfterPlatform || owned)
    planned = [...planned, { at: 'settlement', branch: decision === 'takeBack' ? 'lateTakenBack' : decision === 'keep' ? 'lateKept' : 'lateSentBack' }];

  return {
    caseId: caseId(returnExchange.name, returnExchange.key(request)),
    order: order.orderId,
    branches: [...new Set(planned.map((w) => w.branch))],
    currency: order.currency,
    request,
    reviews: end?.at === 'review' ? [] : [...Array<ReviewForm>(rounds).fill(ask), last],
    evidenceComes: evidenceStyle !== 'never',
    lacking,
    goodsVanish,
    choices: choice === 'found' ? ['found', 'refund'] : [choice],
    difference,
    way,
    troubles: journey?.troubles ?? [],
    approval,
    ...(otherRoute ? { otherRoute } : {}),
    owner: journey?.owner ?? 'unknown',
    late: decision,
    ...(end ? { ends: end } : {}),
    pauseMs: 100 + Math.floor(draw() * 500),
    waitsMs,
    twice: { start: chance(0.2), decisions: pick(['no', 'no', 'no', 'no', 'no', 'no', 'samePerson', 'twoPeople']), events: chance(0.3), receipt: chance(0.2) },
  };
}

/** The branch of an end from outside. */
function endBranch({ by, at }: NonNullable<Plan['ends']>, arrives: boolean): Branch {
  if (by === 'platform') {
    switch (at) {
      case 'review':
      case 'evidence':
      case 'choice':
        return 'platformAtReview';
      case 'parcel':
        return 'platformWithLabel';
      case 'underWay':
        return 'platformUnderWay';
      case 'inspection':
      case 'ruling':
        return 'platformAtInspection';
      case 'approval':
        return 'platformAtApproval';
      case 'difference':
        return 'platformAtDifference';
      case 'settlement':
        return 'platformTooLate';
    }
  }
  switch (at) {
    case 'review':
      return 'withdrawnAtReview';
    case 'evidence':
      return 'withdrawnAtEvidence';
    case 'choice':
      return 'withdrawnAtChoice';
    case 'parcel':
      return 'withdrawnWithLabel';
    case 'underWay':
      return arrives ? 'withdrawnUnderWay' : 'withdrawnNeverCame';
    case 'inspection':
      return 'withdrawnAtInspection';
    case 'ruling':
      return 'withdrawnAtRuling';
    case 'approval':
      return 'withdrawnAtApproval';
    case 'difference':
      return 'withdrawnAtDifference';
    case 'settlement':
      return 'withdrawalTooLate';
  }
}

type Asked = readonly { readonly line: number; readonly quantity: number }[];
interface Unit extends PlannedUnit {
  readonly line: number;
}
interface Journey {
  readonly way: readonly Act[];
  readonly troubles: Plan['troubles'];
  readonly went: readonly { readonly at: Place; readonly branch: Branch }[];
  readonly accepted: readonly Accepted[];
  readonly by: 'label' | 'ownCourier';
  /** Something that is ours came. */
  readonly inspected: boolean;
  readonly ruled: boolean;
  /** It comes to a settlement, or to an end for want of anything accepted. */
  readonly settles: boolean;
  /** An empty parcel. */
  readonly nothing: boolean;
  readonly couriers: number;
  readonly owner: Plan['owner'];
  /** Windows that are waited out. */
  readonly windows: readonly string[];
}

const plainUnits = (order: OrderFacts, lines: Asked): Unit[] =>
  lines.flatMap(({ line, quantity }) =>
    Array.from({ length: quantity }, () => ({
      line,
      sku: order.lines.find((l) => l.line === line)?.sku ?? '',
      verdict: 'accept' as const,
      ruling: 'accept' as const,
      disposition: 'restock' as const,
    })),
  );
const bare = ({ sku, verdict, ruling, disposition }: PlannedUnit): PlannedUnit => ({ ...(sku === undefined ? {} : { sku }), verdict, ruling, disposition });
const unitsOf = (order: OrderFacts, lines: Asked): readonly PlannedUnit[] => plainUnits(order, lines).map(bare);

/** How the goods come back, what is in the parcels, and what inspection finds. */
function drawJourney(draw: () => number, order: OrderFacts, lines: Asked, onSale: ReadonlySet<string>): Journey {
  const chance = (of: number): boolean => draw() < of;
  const pick = <const T>(from: readonly [T, ...T[]]): T => some(draw, from);
  const went: { at: Place; branch: Branch }[] = [];
  const look = pick(['fine', 'fine', 'fine', 'rejected', 'partly', 'unsure', 'unsure', 'leftOut']);
  const all = plainUnits(order, lines).map((unit, i): Unit => {
    const ruling = chance(0.5) ? 'accept' : 'reject';
    // What is sold out stays so: nothing of it goes back on sale.
    const disposition = pick(unit.sku !== undefined && onSale.has(unit.sku) ? ['restock', 'restock', 'refurbish', 'scrap'] : ['refurbish', 'scrap']);
    const verdict =
      look === 'rejected'
        ? 'reject'
        : look === 'partly' && i % 2 === 1
          ? 'reject'
          : look === 'unsure' && (i === 0 || chance(0.4))
            ? 'unsure'
            : look === 'leftOut' && i === 0
              ? 'leftOut'
              : 'accept';
    return { ...unit, verdict, ruling, disposition };
  });
  const drawn = pick([
    'label',
    'label',
    'label',
    'courier',
    'courier',
    'couriers',
    'anothers',
    'twoParcels',
    'restNever',
    'tooMany',
    'wrong',
    'nothingOfOurs',
    'empty',
    'newLabel',
    'wait',
    'asReceived',
    'end',
    'restAsReceived',
    'restEnd',
    'never',
    'late',
    'forEver',
    'afterwards',
    'claimed',
    'ownerFound',
    'ownerTold',
    'ownerUnknown',
  ]);
  // One unit cannot be sent in two parcels.
  const inTwo = drawn === 'couriers' || drawn === 'twoParcels' || drawn === 'restNever' || drawn === 'restAsReceived' || drawn === 'restEnd';
  const how = inTwo && all.length === 1 ? 'label' : drawn;
  const cut = inTwo && all.length > 1 ? 1 + Math.floor(draw() * (all.length - 1)) : all.length;
  const [one, two] = [all.slice(0, cut), all.slice(cut)];
  const failing = pick(['refused', 'returned', 'lost']);

  const scan = (parcel: ParcelName, ...states: Extract<Act, { act: 'scan' }>['state'][]): Act[] => states.map((state) => ({ act: 'scan', parcel, state }));
  const receive = (parcel: ParcelName, units: readonly PlannedUnit[]): Act[] => [
    ...scan(parcel, 'delivered'),
    {
      act: 'receive',
      parcel,
      units: units.map(bare),
    },
  ];
  const sends = (parcel: ParcelName, units: readonly PlannedUnit[]): Act[] => [...scan(parcel, 'pickedUp', 'inTransit'), ...receive(parcel, units)];
  const courier = (n: number): Act => ({ act: 'courier', parcel: `own-${n}`, freight: true });
  const strange: PlannedUnit = { verdict: 'reject', ruling: 'reject', disposition: 'scrap' };
  const spare: PlannedUnit = { ...strange, ...(all[0]?.sku === undefined ? {} : { sku: all[0].sku }) };

  /** By a courier that nobody was told of, and nothing in it says whose it is. */
  const unnamed = (): Act[] => receive('own-1', all).map((act) => (act.act === 'receive' ? { ...act, unnamed: true as const } : act));

  let owner: Journey['owner'] = 'unknown';
  let way: Act[] = [];
  let here: readonly Unit[] = all;
  let lost: readonly Unit[] = [];
  let by: Journey['by'] = 'label';
  let couriers = 0;
  let settles = true;
  const troubles: Plan['troubles'][number][] = [];
  const windows: string[] = [];
  const takes = (branch: Branch, at: Place = 'underWay'): void => void went.push({ at, branch });
  const failed = (): void => takes(failing === 'refused' ? 'parcelRefused' : failing === 'returned' ? 'parcelReturned' : 'parcelLost');
  switch (how) {
    case 'courier':
      way = [courier(1), ...sends('own-1', all)];
      [by, couriers] = ['ownCourier', 1];
      takes('ownCourier');
      break;
    case 'couriers':
      way = [courier(1), courier(2), ...sends('own-1', one), ...sends('own-2', two)];
      [by, couriers] = ['ownCourier', 2];
      takes('ownCourier');
      takes('twoCouriers');
      takes('twoParcels');
      break;
    case 'anothers':
      way = [{ act: 'courierOfAnother' }, ...sends('label-1', all)];
      takes('courierOfAnother');
      break;
    case 'twoParcels':
      // The label is used before the courier is told, or it would be void.
      way = [...scan('label-1', 'pickedUp'), courier(1), ...receive('label-1', one), ...sends('own-1', two)];
      couriers = 1;
      takes('ownCourier');
      takes('twoParcels');
      break;
    case 'restNever':
      way = sends('label-1', one);
      here = one;
      windows.push('restOfGoods');
      takes('restNever');
      break;
    case 'tooMany':
      way = sends('label-1', [...all, spare]);
      takes('tooManyUnits');
      break;
    case 'wrong':
      way = sends('label-1', [...all, strange]);
      takes('wrongUnits');
      break;
    case 'nothingOfOurs':
      way = sends('label-1', [strange, strange]);
      [here, settles] = [[], false];
      takes('wrongUnits');
      takes('nothingOfOurs');
      break;
    case 'empty':
      way = sends('label-1', []);
      here = [];
      break;
    case 'newLabel':
      way = [...scan('label-1', 'pickedUp', failing), ...sends('label-2', all)];
      troubles.push('newLabel');
      failed();
      takes('troubleNewLabel');
      break;
    case 'wait':
      way = [...scan('label-1', 'pickedUp', failing, 'inTransit'), ...receive('label-1', all)];
      troubles.push('wait');
      failed();
      takes('troubleWait');
      break;
    case 'asReceived':
      way = scan('label-1', 'pickedUp', failing);
      [here, lost, by] = [[], all, 'ownCourier'];
      troubles.push('asReceived');
      failed();
      takes('troubleAsReceived');
      break;
    case 'end':
      way = scan('label-1', 'pickedUp', failing);
      [here, settles] = [[], false];
      troubles.push('end');
      failed();
      takes('troubleEnd');
      break;
    case 'restAsReceived':
      way = [...scan('label-1', 'pickedUp'), courier(1), ...receive('label-1', one), ...scan('own-1', 'pickedUp', failing)];
      [here, lost] = [one, two];
      couriers = 1;
      troubles.push('asReceived');
      failed();
      takes('restAsReceived');
      break;
    case 'restEnd':
      way = [...scan('label-1', 'pickedUp'), courier(1), ...receive('label-1', one), ...scan('own-1', 'pickedUp', failing)];
      here = one;
      couriers = 1;
      troubles.push('end');
      failed();
      takes('restEnd');
      break;
    case 'never':
      [here, settles] = [[], false];
      windows.push('parcelSent');
      takes('neverSent');
      break;
    case 'late':
      way = [...scan('label-1', 'pickedUp'), { act: 'pastWindow' }, ...receive('label-1', all)];
      windows.push('parcelSent');
      takes('lateInTime');
      break;
    case 'forEver':
      way = scan('label-1', 'pickedUp');
      [here, settles] = [[], false];
      windows.push('parcelSent', 'parcelSent');
      takes('underWayForEver');
      break;
    case 'afterwards':
      way = [{ act: 'untilEnded' }, ...sends('label-1', all)];
      [here, settles] = [[], false];
      windows.push('parcelSent');
      takes('lateAfterExpiry');
      break;
    case 'claimed':
      way = unnamed();
      [by, owner] = ['ownCourier', 'claims'];
      takes('lateClaimed');
      break;
    case 'ownerFound':
    case 'ownerTold':
    case 'ownerUnknown':
      way = unnamed();
      [here, settles] = [[], false];
      owner = how === 'ownerFound' ? 'found' : how === 'ownerTold' ? 'told' : 'unknown';
      windows.push('parcelSent');
      takes(how);
      takes('neverSent');
      break;
    case 'label':
    default:
      way = sends('label-1', all);
      takes('ourLabel');
  }

  const verdicts = new Set(here.map((unit) => unit.verdict));
  const finally_ = (unit: Unit): 'accept' | 'reject' => (unit.verdict === 'accept' || unit.verdict === 'reject' ? unit.verdict : unit.ruling);
  const good = here.filter((unit) => finally_(unit) === 'accept');
  const ruled = here.filter((unit) => unit.verdict === 'unsure' || unit.verdict === 'leftOut');
  if (ruled.some((unit) => unit.ruling === 'accept')) takes('unsureAccepted', 'ruling');
  if (ruled.some((unit) => unit.ruling === 'reject')) takes('unsureRejected', 'ruling');
  if (verdicts.has('leftOut')) takes('leftOut', 'ruling');
  if (verdicts.has('accept') && verdicts.has('reject')) takes('partlyRejected', 'settlement');
  for (const { disposition } of good) takes(disposition === 'restock' ? 'restocked' : disposition === 'refurbish' ? 'refurbished' : 'scrapped', 'settlement');
  return {
    way,
    troubles,
    went,
    accepted: [...good.map(({ line, disposition }) => ({ line, disposition })), ...lost.map(({ line }) => ({ line }))],
    by,
    inspected: here.length > 0,
    ruled: ruled.length > 0,
    settles,
    nothing: how === 'empty',
    couriers,
    owner,
    windows,
  };
}

/** So many plans are drawn for each order, and the one that the run lacks most is taken. */
const draws = 60;
/**
 * Each branch is wanted so often before any plan is as good as another: more than the five that are asked for, since a kill may make a case go another way. Those that
 * need several people or systems at one moment go another way more often.
 */
const wantedOften = (branch: Branch): number => (touchy.has(branch) ? 22 : 11);
const touchy: ReadonlySet<Branch> = new Set([
  'frequentCustomer',
  'underWayForEver',
  'withdrawnUnderWay',
  'restAsReceived',
  'restEnd',
  'goneAtDispatchRefund',
  'goneAtDispatchSilence',
  'goneAtDispatchAgain',
  'exchangePaidThenGone',
  'exchangeDearerExpired',
  'platformAtDifference',
  'withdrawnWithLabel',
]);

/**
 * Plans the returns of orders, one each, so that every branch that their data allow is gone often enough. The same seed, orders, goods and policy give the
 * same plans; how many orders there are matters.
 */
export function planReturns(seed: number, orders: readonly OrderFacts[], world: World): readonly Plan[] {
  const planned = new Map<Branch, number>(branches.map((branch) => [branch, 0]));
  const asked = new Map<string, number>();
  const shelves = new Map([...new Set(orders.map((order) => order.shop))].map((shop) => [shop, shelvesOf(world, shop)]));
  return orders.map((order) => {
    const shop = shelves.get(order.shop) ?? shelvesOf(world, order.shop);
    const draw = drawsFrom(Number.parseInt(contentHash({ seed, order: order.orderId }).slice(0, 8), 16));
    const before = asked.get(order.customer) ?? 0;
    const frequent = before >= shop.policy.returns.perCustomer.most;
    let best: Plan | undefined;
    let most = -1;
    for (let i = 0; i < draws; i++) {
      const plan = drawPlan(draw, seed, order, shop, frequent);
      // What is rare counts more; what there is enough of counts nothing.
      const lacks = sumOf(
        plan.branches.map((branch) => {
          const so = planned.get(branch) ?? 0;
          return so < wantedOften(branch) ? (touchy.has(branch) ? 3 : 1) / (1 + so) : 0;
        }),
      );
      if (lacks > most) [best, most] = [plan, lacks];
    }
    if (best === undefined) throw new RangeError('no plan was drawn');
    for (const branch of best.branches) planned.set(branch, (planned.get(branch) ?? 0) + 1);
    asked.set(order.customer, before + 1);
    return best;
  });
}

/** Branches that no order of these can go, with the reason: what their source does not know. */
export function notInData(orders: readonly OrderFacts[], { policyOf }: World): ReadonlyMap<Branch, string> {
  const none = (what: (order: OrderFacts) => boolean): boolean => !orders.some(what);
  const asked = new Map<string, number>();
  for (const { customer } of orders) asked.set(customer, (asked.get(customer) ?? 0) + 1);
  const used = (order: OrderFacts): boolean =>
    order.discounts.some((discount) => discount.kind === 'points' || (discount.kind === 'coupon' && discount.ref !== undefined));
  const missing: readonly (readonly [Branch, boolean, string])[] = [
    ['frequentCustomer', none(({ customer, shop }) => (asked.get(customer) ?? 0) > policyOf(shop).returns.perCustomer.most), 'no customer has as many orders'],
    ['severalPayments', none((order) => order.payments.length > 1), 'every order was paid at once'],
    ['freightInsured', none((order) => order.freight.returnInsured), 'no order has freight insurance'],
    ['redLetter', none((order) => order.invoiced), 'no order was invoiced'],
    ['couponsOrPointsBack', none(used), 'no order used coupons or points'],
  ];
  return new Map(missing.flatMap(([branch, is, why]) => (is ? [[branch, why] as const] : [])));
}
