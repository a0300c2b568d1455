/** The decisions of a return: pure, logged with their facts, and advice where a person has the word. Quotes are the job descriptions'. */
import { authorityFor, returnTermsOf } from '../../policies/lookup.ts';
import { instant, millis, type Instant } from '../../values/instant.ts';
import { add, money, prorate, subtract, sum, type Money } from '../../values/money.ts';
import { covers, type Role } from '../../values/role.ts';
import type { PolicyValues, ReturnTerms } from '../../policies/schema.ts';
import { defineRule } from '../kit/rule.ts';
import type { Reason, Unit } from './process.ts';

/** Every code a rule of this process gives as a reason; each has its texts in `messages.yaml`. */
export const reasonCodes = [
  ...(['otherShop', 'otherCustomer', 'notSigned', 'withinTime', 'pastTime', 'unknownLine', 'alreadyReturned', 'openedIsNoGround', 'evidenceMissing'] as const),
  ...(['customMade', 'perishable', 'digital', 'periodical', 'confirmedAtPurchase'] as const),
  ...(['matches', 'emptyParcel', 'missingUnits', 'tooManyUnits', 'wrongUnits'] as const),
  ...([
    'shareOfPaid',
    'nothingAccepted',
    'goodsKept',
    'sellerPaysFreight',
    'customerPaysFreight',
    'labelDeducted',
    'freightInsured',
    'aboveAuthority',
  ] as const),
  ...(['wholeOrder', 'partOfOrder', 'refundedBefore', 'goodsReplaced'] as const),
  ...(['manyReturns', 'manyKept', 'keptAboveLimit', 'withinAuthority'] as const),
  ...(['differencePaid', 'differenceRefunded', 'noDifference', 'soldAgain', 'lossBooked'] as const),
] as const;
export type ReasonCode = (typeof reasonCodes)[number];

const day = 86_400_000;
/** The calendar day of an instant in a zone, as days since 1970. */
function dayIn(zone: string, at: Instant): number {
  // The Swedish format is the ISO date.
  return Date.parse(new Intl.DateTimeFormat('sv-SE', { timeZone: zone }).format(millis(at))) / day;
}

interface Categorized {
  readonly line: number;
  readonly category: string;
}
/** What holds of a reason for a line of an order; a line that the order does not have has no category. */
const termsOf = (policy: PolicyValues, reason: Reason, lines: readonly Categorized[], line: number): ReturnTerms =>
  returnTermsOf(policy, reason, lines.find((l) => l.line === line)?.category ?? '');
/** Who pays the way back of goods in one return: we do when that holds for all of them. */
const payerOf = (policy: PolicyValues, reason: Reason, lines: readonly Categorized[], asked: readonly { readonly line: number }[]) =>
  asked.every(({ line }) => termsOf(policy, reason, lines, line).returnFreight === 'seller') ? 'sellerPaysFreight' : 'customerPaysFreight';

// ── eligibility ────────────────────────────────────────────────────────────
export interface EligibilityFacts {
  readonly order: {
    readonly shop: string;
    readonly customer: string;
    readonly signedAt?: Instant | undefined;
    readonly lines: readonly {
      readonly line: number;
      readonly sku: string;
      readonly category: string;
      readonly quantity: number;
      readonly returned: number;
      readonly exceptions: readonly string[];
    }[];
  };
  readonly shop: string;
  readonly customer: string;
  readonly requestedAt: Instant;
  readonly reason: Reason;
  readonly lines: readonly { readonly line: number; readonly quantity: number; readonly opened: boolean; readonly replacement?: string | undefined }[];
  /** How many photos and videos there are. */
  readonly evidence: number;
  /** When this customer asked for returns before, in whatever shop's case, newest first. */
  readonly earlier: readonly { readonly at: Instant }[];
  readonly round: number;
}
export interface Eligibility {
  /** Advice: only a person rejects. */
  readonly advice: 'approve' | 'moreEvidence' | 'reject';
  /** Whole days from signing to the request; the day of signing is day 0. */
  readonly days: number | null;
  /** Last day of the request's time, as a date: of all lines, that of the line whose time is over first. */
  readonly lastDay: string | null;
  /** Of each line that was asked for: its last day, and what speaks against it. */
  readonly lines: readonly { readonly line: number; readonly lastDay: string | null; readonly against: readonly string[] }[];
  /** Who pays the freight of the return, by the reason that the review establishes. */
  readonly freight: Readonly<Record<Reason, 'sellerPaysFreight' | 'customerPaysFreight'>>;
  /** Who reviews: an agent; a supervisor after too many rounds of evidence, or for a customer who returns more than the policy's frequency. */
  readonly reviewer: Role;
  /** What a replacement takes, each sku once. */
  readonly wanted: readonly { readonly sku: string; readonly quantity: number }[];
}

/**
 * Advises on a request. "7 days no-reason counts from the day after signing; excepted: 定作, 鲜活易腐, opened audio-visual/software/digital goods, 报刊, and what the
 * customer confirmed at purchase; opening a parcel to inspect is no ground". "Eligibility from order, receipt date, category and what was already returned": each line
 * has the terms of its category, and the strictest line has the word. Days are those of the shop's zone.
 */
export const eligibility = defineRule<EligibilityFacts, Eligibility>((facts, { policy, asOf }) => {
  const { order, requestedAt, lines } = facts;
  const signed = order.signedAt === undefined ? undefined : dayIn(policy.calendars.zone, order.signedAt);
  const days = signed === undefined ? null : dayIn(policy.calendars.zone, requestedAt) - signed;
  const judged = lines.map(({ line, quantity, opened }) => {
    const terms = termsOf(policy, facts.reason, order.lines, line);
    const bought = order.lines.find((l) => l.line === line);
    const excepted = bought && terms.exceptions === 'hold' ? exceptionsOf(policy, bought, opened) : [];
    const against: ReasonCode[] = [];
    if (days !== null && days > terms.within.calendarDays) against.push('pastTime');
    if (bought === undefined) against.push('unknownLine');
    else if (quantity > bought.quantity - bought.returned) against.push('alreadyReturned');
    const lastDay = signed === undefined ? null : instant((signed + terms.within.calendarDays) * day).slice(0, 10);
    return { line, lastDay, against: [...against, ...excepted], evidence: terms.evidence, openedIsNoGround: opened && excepted.length === 0 };
  });

  // A policy's own exceptions have their words there.
  const against = new Set<string>();
  if (order.shop !== facts.shop) against.add('otherShop');
  if (order.customer !== facts.customer) against.add('otherCustomer');
  if (days === null) against.add('notSigned');
  for (const code of judged.flatMap((l) => l.against)) against.add(code);
  const noted: ReasonCode[] = days !== null && !against.has('pastTime') ? ['withinTime'] : [];
  if (judged.some((l) => l.openedIsNoGround)) noted.push('openedIsNoGround');
  const evidenceMissing = facts.evidence === 0 && judged.some((l) => l.evidence === 'required');
  if (evidenceMissing) noted.push('evidenceMissing');
  const frequent = since(facts.earlier, policy.returns.perCustomer.within.ms, asOf).length >= policy.returns.perCustomer.most;
  if (frequent) noted.push('manyReturns');
  const payer = (reason: Reason) => payerOf(policy, reason, order.lines, lines);
  return {
    advice: against.size > 0 ? 'reject' : evidenceMissing ? 'moreEvidence' : 'approve',
    days,
    lastDay: judged.flatMap((l) => l.lastDay ?? []).sort()[0] ?? null,
    lines: judged.map(({ line, lastDay, against: codes }) => ({ line, lastDay, against: codes })),
    freight: {
      quality: payer('quality'),
      wrongItem: payer('wrongItem'),
      wrongSize: payer('wrongSize'),
      noReason: payer('noReason'),
      other: payer('other'),
    },
    reviewer: frequent || facts.round > policy.returns.evidenceRounds ? 'supervisor' : 'agent',
    wanted: bySku(
      lines.flatMap(({ line, quantity, replacement }) => order.lines.filter((l) => l.line === line).map((l) => ({ sku: replacement ?? l.sku, quantity }))),
    ),
    reasons: [...against, ...noted],
  };
});

/** What happened in the time before an instant. */
const since = <E extends { readonly at: Instant }>(all: readonly E[], within: number, asOf: Instant): E[] =>
  all.filter((e) => millis(e.at) > millis(asOf) - within);

/** Adds up quantities, each sku once. */
function bySku(lines: readonly { readonly sku: string; readonly quantity: number }[]): { sku: string; quantity: number }[] {
  const sums = new Map<string, number>();
  for (const { sku, quantity } of lines) sums.set(sku, (sums.get(sku) ?? 0) + quantity);
  return [...sums].map(([sku, quantity]) => ({ sku, quantity }));
}

/** The exceptions that hold of a line, by what the shop says of it and by its category: those the policy knows, and that of sealed goods only when their own seal is broken. */
function exceptionsOf(
  { returns: { noReasonExceptions, categories } }: PolicyValues,
  { category, exceptions }: { readonly category: string; readonly exceptions: readonly string[] },
  opened: boolean,
): string[] {
  const ofCategory = Object.hasOwn(categories, category) ? categories[category]?.excepted : undefined;
  return Object.entries(noReasonExceptions).flatMap(([code, { when }]) =>
    (exceptions.includes(code) || code === ofCategory) && (when === 'always' || opened) ? [code] : [],
  );
}

// ── the parcel ─────────────────────────────────────────────────────────────
export interface MatchFacts {
  readonly order: { readonly lines: readonly { readonly line: number; readonly sku: string }[] };
  readonly lines: readonly { readonly line: number; readonly quantity: number }[];
  readonly units: readonly { readonly unitId: string; readonly sku?: string | undefined }[];
}
export interface Match {
  /** What came of what was asked. */
  readonly units: readonly { readonly unitId: string; readonly line: number }[];
  /** What came beyond it, or does not belong to it. */
  readonly strange: readonly { readonly unitId: string; readonly sku?: string | undefined }[];
  readonly missing: readonly { readonly line: number; readonly quantity: number }[];
  /** A person has to look: nothing came, or something else. */
  readonly problem: boolean;
  /** What came is right and more is to come: another parcel is waited for. */
  readonly restToCome: boolean;
}

/**
 * Matches what the warehouse found in a parcel with what was asked to come back: "仓库收货 (partial, over-, wrong-item and empty receipts)". Units of a sku that
 * stands on two lines fill the lines in their order; the order in which units were taken out of the parcel does not matter.
 */
export const matchReceipt = defineRule<MatchFacts, Match>(({ order, lines, units }) => {
  const skuOf = new Map(order.lines.map((l) => [l.line, l.sku]));
  const open = lines.flatMap(({ line, quantity }) => Array.from({ length: quantity }, () => ({ line, sku: skuOf.get(line) }))).sort((a, b) => a.line - b.line);
  const matched: { unitId: string; line: number }[] = [];
  const strange: MatchFacts['units'][number][] = [];
  for (const unit of [...units].sort((a, b) => (a.unitId < b.unitId ? -1 : 1))) {
    const at = unit.sku === undefined ? -1 : open.findIndex((o) => o.sku === unit.sku);
    const [found] = at < 0 ? [] : open.splice(at, 1);
    if (found) matched.push({ unitId: unit.unitId, line: found.line });
    else strange.push(unit);
  }
  const askedSkus = new Set(lines.map((l) => skuOf.get(l.line)));
  const missing = lines.map(({ line }) => ({ line, quantity: open.filter((o) => o.line === line).length })).filter((m) => m.quantity > 0);
  const reasons: ReasonCode[] = [];
  if (units.length === 0) reasons.push('emptyParcel');
  else if (missing.length > 0) reasons.push('missingUnits');
  if (strange.some((u) => u.sku !== undefined && askedSkus.has(u.sku))) reasons.push('tooManyUnits');
  if (strange.some((u) => u.sku === undefined || !askedSkus.has(u.sku))) reasons.push('wrongUnits');
  const problem = units.length === 0 || strange.length > 0;
  return { units: matched, strange, missing, problem, restToCome: !problem && missing.length > 0, reasons: reasons.length > 0 ? reasons : ['matches'] };
});

/** Goods on their way back to us, and how they came. */
export interface Back {
  units: readonly Unit[];
  /** How the parcels match what was asked for; absent when none came. */
  match?: Match;
  /** Units that count as accepted though they are not here: they stay with the customer, or were lost on our way. */
  lost: readonly { readonly line: number; readonly quantity: number }[];
  by: 'label' | 'ownCourier' | 'kept';
  /** What the customer paid couriers. */
  freights: readonly Money[];
}
/** A unit that is refunded or replaced; without an id when it did not come. */
export interface Accepted {
  readonly line: number;
  readonly unitId?: string;
  readonly disposition?: 'restock' | 'refurbish' | 'scrap';
  readonly cause?: string;
}

// ── money ──────────────────────────────────────────────────────────────────
/** An order as its money is spread: total = Σ listTotal − Σ discounts + freight.paid. */
export interface PaidOrder {
  readonly currency: string;
  readonly lines: readonly { readonly line: number; readonly quantity: number; readonly listTotal: Money; readonly discountShare?: Money | undefined }[];
  readonly discounts: readonly {
    readonly kind: string;
    readonly ref?: string | undefined;
    readonly amount: Money;
    readonly points?: number | undefined;
    readonly lines?: readonly number[] | undefined;
  }[];
  readonly freight: { readonly paid: Money };
  readonly total: Money;
}
interface LineUnit {
  readonly line: number;
  readonly unit: number;
}
/** Tells whether a unit is one of these; an order may have tens of thousands. */
function among(units: readonly LineUnit[]): (u: LineUnit) => boolean {
  const keys = new Set(units.map((u) => `${u.line}/${u.unit}`));
  return (u) => keys.has(`${u.line}/${u.unit}`);
}

/** What each line was sold for after discounts, in minor units: the platform's shares where it says them for every line, else each discount prorated over its lines. */
function netOfLines({ lines, discounts }: PaidOrder): number[] {
  const stated = lines.flatMap((l) => (l.discountShare === undefined ? [] : [l.discountShare.minor]));
  const off =
    stated.length === lines.length
      ? stated
      : discounts.reduce(
          (so, { amount, lines: only }) => {
            const shares = prorate(
              amount.minor,
              lines.map((l) => (only === undefined || only.includes(l.line) ? l.listTotal.minor : 0)),
            );
            return so.map((minor, i) => minor + (shares[i] ?? 0));
          },
          lines.map(() => 0),
        );
  return lines.map((l, i) => Math.max(0, l.listTotal.minor - (off[i] ?? 0)));
}

/**
 * What was paid for every unit of an order, in the order of lines and units: the parts add up to what was paid for the goods, to the minor unit, whatever the data.
 * It depends on the order alone, so each unit has one amount for life, in whatever case and however often it is asked.
 */
function paidPerUnit(order: PaidOrder): (LineUnit & { readonly minor: number })[] {
  const net = netOfLines(order);
  const units = order.lines.flatMap(({ line, quantity }, i) =>
    prorate(net[i] ?? 0, Array<number>(quantity).fill(1)).map((weight, n) => ({ line, unit: n + 1, weight })),
  );
  const list = order.lines.reduce((so, l) => so + l.listTotal.minor, 0);
  // What was paid beyond price and freight was paid by mistake: finance's, not the return's.
  const paid = Math.min(list, Math.max(0, order.total.minor - order.freight.paid.minor));
  const shares = prorate(
    paid,
    units.map((u) => u.weight),
  );
  return units.map(({ line, unit }, i) => ({ line, unit, minor: shares[i] ?? 0 }));
}

export interface SettlementFacts {
  readonly order: PaidOrder & {
    readonly lines: readonly Categorized[];
    readonly freight: { readonly returnInsured: boolean };
  };
  /** Units that the case holds of each line's numbers. */
  readonly held: readonly LineUnit[];
  readonly asked: readonly { readonly line: number; readonly quantity: number }[];
  /** Units that were received and accepted, that the customer keeps, or that were lost on our way. */
  readonly accepted: readonly { readonly line: number }[];
  readonly reason: Reason;
  /** How the goods came back; `kept`: they did not have to. */
  readonly by: Back['by'];
  /** What the customer paid couriers. */
  readonly freights: readonly Money[];
}
export interface Settlement {
  /** The held numbers that are used, each with what was paid for it. */
  readonly units: (LineUnit & { readonly amount: Money })[];
  /** For the goods, after our label where the customer pays it; original freight comes on top with the whole order. */
  readonly refund: Money;
  readonly deducted: Money;
  /** What we owe the customer for couriers. */
  readonly freightOwed: Money;
  /** It ended well for the customer, as far as the goods say: all that was asked for was accepted. */
  readonly welcome: boolean;
}

/**
 * The refund's ceiling: "what was paid for units received and accepted, discount prorated, cumulative over partial receipts and earlier refunds; never more than
 * paid". Earlier refunds are other numbers of the line. "Freight by reason: fault on our side → we pay both ways, no-reason → the customer pays the return
 * (运费险 noted)".
 */
export const settlement = defineRule<SettlementFacts, Settlement>((facts, { policy }) => {
  const { order, by } = facts;
  const { currency } = order;
  const none = money(0, currency);
  const counts = new Map<number, number>();
  for (const { line } of facts.accepted) counts.set(line, (counts.get(line) ?? 0) + 1);
  const used = [...counts].flatMap(([line, count]) =>
    facts.held
      .filter((h) => h.line === line)
      .sort((a, b) => a.unit - b.unit)
      .slice(0, count),
  );
  const units = paidPerUnit(order)
    .filter(among(used))
    .map(({ line, unit, minor }) => ({ line, unit, amount: money(minor, currency) }));
  const value = sum(
    units.map((u) => u.amount),
    currency,
  );

  const payer = payerOf(policy, facts.reason, order.lines, facts.asked);
  const perReturn = policy.returns.freightPerReturn[currency] ?? 0;
  const deducted = by === 'label' && payer === 'customerPaysFreight' ? money(Math.min(perReturn, value.minor), currency) : none;
  const paidToCouriers = facts.freights.reduce((so, f) => (f.currency === currency ? so + f.minor : so), 0);
  const freightOwed = payer === 'sellerPaysFreight' ? money(Math.min(perReturn, paidToCouriers), currency) : none;
  const all = facts.asked.reduce((so, a) => so + a.quantity, 0);
  const welcome = units.length === all && policy.returns.thanksFor.includes(facts.reason);

  const reasons: ReasonCode[] = [units.length === 0 ? 'nothingAccepted' : 'shareOfPaid'];
  if (by === 'kept') reasons.push('goodsKept');
  else reasons.push(payer);
  if (deducted.minor > 0) reasons.push('labelDeducted');
  if (payer === 'customerPaysFreight' && by !== 'kept' && order.freight.returnInsured) reasons.push('freightInsured');
  return { units, refund: subtract(value, deducted), deducted, freightOwed, welcome, reasons };
});

export interface AuthorityFacts {
  readonly refund: Money;
  readonly by: Back['by'];
  /** Earlier settlements of this customer without the goods coming back. */
  readonly earlier: readonly { readonly at: Instant; readonly amount?: Money | undefined }[];
  readonly reviewer: Role;
}
export interface Authority {
  /** Who has to approve; null when the reviewer's own limit covers it. */
  readonly approver: Role | null;
  /** More without the goods coming back than the policy takes for granted. */
  readonly doubtful: boolean;
}

/**
 * "Above limits → supervisor, above those → manager". What stays with the customer (仅退款, 旧的您不用寄回) has a threshold of its own, and above the policy's
 * frequency or amount per customer it is a supervisor's whatever the amount.
 */
export const authority = defineRule<AuthorityFacts, Authority>(({ refund, by, earlier, reviewer }, { policy, asOf }) => {
  const { refundOnly, keepGoodsUpTo } = policy.returns;
  const before = since(earlier, refundOnly.perCustomer.within.ms, asOf);
  const amount = before.reduce((so, e) => (e.amount?.currency === refund.currency ? so + e.amount.minor : so), refund.minor);
  const doubtful = by === 'kept' && (before.length >= refundOnly.perCustomer.most || amount > (refundOnly.amountPerCustomer[refund.currency] ?? -1));
  const keptTooMuch = by === 'kept' && refund.minor > (keepGoodsUpTo[refund.currency] ?? -1);
  const byAmount = authorityFor(policy, 'refund', refund);
  const needed = (doubtful || keptTooMuch) && byAmount === 'agent' ? 'supervisor' : byAmount;
  const approver = covers(reviewer, needed) ? null : needed;
  const reasons: ReasonCode[] = [];
  if (doubtful) reasons.push('manyKept');
  if (keptTooMuch) reasons.push('keptAboveLimit');
  if (!covers(reviewer, byAmount)) reasons.push('aboveAuthority');
  return { approver, doubtful, reasons: reasons.length > 0 ? reasons : ['withinAuthority'] };
});

export interface SwapFacts {
  readonly order: { readonly currency: string; readonly lines: readonly { readonly line: number; readonly sku: string }[] };
  readonly lines: readonly { readonly line: number; readonly replacement?: string | undefined }[];
  readonly value: Settlement;
  /** What the shop asks for the goods now. */
  readonly prices: readonly { readonly sku: string; readonly unitPrice: Money }[];
}
export interface Swap {
  /** What the customer pays first: new goods above old. */
  readonly pay: Money;
  /** What goes back to the customer: old goods above new. */
  readonly back: Money;
  readonly lines: { readonly sku: string; readonly quantity: number }[];
}

/**
 * New goods against what was paid for the old: "difference charged by payment link or refunded". The same goods again are worth the same, whatever they cost now,
 * and so are goods that the shop no longer prices. Our label, where the customer pays it, is part of the difference.
 */
export const swap = defineRule<SwapFacts, Swap>(({ order, lines, value, prices }) => {
  const { currency } = order;
  const units = value.units.map(({ line, amount }) => {
    const old = order.lines.find((l) => l.line === line)?.sku ?? '';
    const sku = lines.find((l) => l.line === line)?.replacement ?? old;
    const price = sku === old ? undefined : prices.find((p) => p.sku === sku && p.unitPrice.currency === currency)?.unitPrice.minor;
    return { sku, more: price === undefined ? 0 : price - amount.minor };
  });
  const difference = units.reduce((so, u) => so + u.more, value.deducted.minor);
  const reasons: ReasonCode[] = [difference > 0 ? 'differencePaid' : difference < 0 ? 'differenceRefunded' : 'noDifference'];
  return {
    pay: money(Math.max(0, difference), currency),
    back: money(Math.max(0, -difference), currency),
    lines: bySku(units.map(({ sku }) => ({ sku, quantity: 1 }))),
    reasons,
  };
});

export interface RefundFacts {
  readonly order: PaidOrder;
  readonly units: readonly (LineUnit & { readonly amount: Money })[];
  /** What goes back of what was paid for the units; original freight comes on top. */
  readonly due: Money;
  /** The goods were replaced: only a difference goes back, and coupons and points stay used. */
  readonly replaced: boolean;
  /** Whether the money of the whole order has gone back with these units. */
  readonly whole: boolean;
  readonly payments: readonly {
    readonly paymentId: string;
    readonly method: string;
    readonly amount: Money;
    readonly refunded: Money;
    /** Of `refunded`, what this case itself has had refunded: in a life that it has forgotten, for it was restored from a back-up. Absent: nothing. */
    readonly refundedByCase?: Money | undefined;
    readonly paidAt: Instant;
  }[];
}
export interface RefundPart {
  readonly paymentId: string;
  readonly method: string;
  readonly amount: Money;
  /** The payment system brings it at once: wallets and gift cards. */
  readonly atOnce: boolean;
}
export interface RefundParts {
  readonly parts: readonly RefundPart[];
  readonly total: Money;
  /** Coupons that come back, each as a new one of the units' share of it. */
  readonly coupons: readonly { readonly couponId: string; readonly amount: Money }[];
  readonly points: number;
}
interface Span {
  readonly from: number;
  readonly to: number;
}
/** Lays amounts end to end. */
function laid(amounts: readonly number[]): Span[] {
  let at = 0;
  return amounts.map((minor) => ({ from: at, to: (at += minor) }));
}
const overlap = (a: Span, b: Span): number => Math.max(0, Math.min(a.to, b.to) - Math.max(a.from, b.from));

/**
 * Splits a refund "by payment method and by payment where several paid", each part by its original route. Units, then freight, and the payments in the order they
 * came in are laid side by side along what was paid in all; what lies beside a unit paid for it. So every minor unit has one payment for life, and cases that
 * refund at once never draw on the same one. "Original shipping refunded only with the whole order." What was refunded meanwhile by others is not refunded again.
 * What the case itself refunded before it was restored is asked for again, part for part: under the same keys, which the payment system answers as it did then.
 */
export const refundParts = defineRule<RefundFacts, RefundParts>((facts, { policy }) => {
  const { order, payments } = facts;
  const pieces = [...paidPerUnit(order), { line: 0, unit: 0, minor: Math.min(order.freight.paid.minor, order.total.minor) }];
  const freight = facts.whole && policy.returns.originalFreight === 'wholeOrder';
  const returned = among(facts.units);
  const ours = laid(pieces.map((p) => p.minor)).filter((_, i) => {
    const piece = pieces[i];
    return piece !== undefined && (piece.line === 0 ? freight : returned(piece));
  });
  // What is kept of it (our label, the worth of new goods) is taken off from the end, so that the rest keeps its payments.
  let off = facts.units.reduce((so, u) => so + u.amount.minor, 0) - facts.due.minor;
  const left = ours.toReversed().map(({ from, to }) => {
    const cut = Math.min(off, to - from);
    off -= cut;
    return { from, to: to - cut };
  });

  const inOrder = [...payments].sort((a, b) => (a.paidAt === b.paidAt ? (a.paymentId < b.paymentId ? -1 : 1) : a.paidAt < b.paidAt ? -1 : 1));
  const spans = laid(inOrder.map((p) => p.amount.minor));
  const due = inOrder.map((payment, i) => ({
    payment,
    minor: left.reduce((so, piece) => so + overlap(piece, spans[i] ?? { from: 0, to: 0 }), 0),
    // A payment that others refunded beyond itself has no room; what it lacks is no debt of ours.
    room: Math.max(0, subtract(payment.amount, payment.refunded).minor + (payment.refundedByCase?.minor ?? 0)),
  }));
  let over = due.reduce((so, d) => so + Math.max(0, d.minor - d.room), 0);
  const reasons: ReasonCode[] = [freight ? 'wholeOrder' : 'partOfOrder'];
  if (over > 0) reasons.push('refundedBefore');
  const parts = due.flatMap(({ payment: { paymentId, method }, minor, room }) => {
    const spare = Math.min(over, Math.max(0, room - minor));
    over -= spare;
    const amount = money(Math.min(minor, room) + spare, order.currency);
    return amount.minor > 0 ? [{ paymentId, method, amount, atOnce: policy.refunds.arriveAtOnce.includes(method) }] : [];
  });
  if (facts.replaced) reasons.push('goodsReplaced');
  const given = facts.replaced ? { coupons: [], points: 0 } : discountsBack(order, facts.units);
  return { parts, total: parts.reduce((so, p) => add(so, p.amount), money(0, order.currency)), ...given, reasons };
});

/**
 * "Coupons and points used come back pro rata": each spread over the units it was for, by their list prices, to the minor unit and the point. It depends on the
 * order alone, so the shares of all units add up to what was used, in whatever cases they come back.
 */
function discountsBack({ lines, discounts, currency }: PaidOrder, units: readonly LineUnit[]): Pick<RefundParts, 'coupons' | 'points'> {
  const all = lines.flatMap(({ line, quantity, listTotal }) =>
    prorate(listTotal.minor, Array<number>(quantity).fill(1)).map((minor, n) => ({ line, unit: n + 1, minor })),
  );
  const returned = among(units);
  const shareOf = (total: number, only: readonly number[] | undefined): number =>
    prorate(
      total,
      all.map((u) => (only === undefined || only.includes(u.line) ? u.minor : 0)),
    ).reduce((so, share, i) => (all[i] !== undefined && returned(all[i]) ? so + share : so), 0);
  // One coupon may be told as several discounts; it comes back as one.
  const used = new Map<string, number>();
  for (const { kind, ref, amount, lines: only } of discounts)
    if (kind === 'coupon' && ref !== undefined) used.set(ref, (used.get(ref) ?? 0) + shareOf(amount.minor, only));
  const coupons = [...used].flatMap(([couponId, minor]) => (minor > 0 ? [{ couponId, amount: money(minor, currency) }] : []));
  return { coupons, points: discounts.reduce((so, d) => (d.kind === 'points' ? so + shareOf(d.points ?? 0, d.lines) : so), 0) };
}

export interface LossFacts {
  readonly order: { readonly currency: string; readonly lines: readonly { readonly line: number; readonly productId: string; readonly category: string }[] };
  readonly accepted: readonly Accepted[];
  readonly units: readonly (LineUnit & { readonly amount: Money })[];
}
export interface Losses {
  readonly units: readonly (LineUnit & {
    readonly product: string;
    readonly category: string;
    readonly cause: string;
    readonly disposition: string;
    readonly loss: Money;
  })[];
}

/** 退换货原因与损失: what was paid for a unit, times what its disposition loses of it by policy. A unit that did not come back is lost whole. */
export const losses = defineRule<LossFacts, Losses>(({ order, accepted, units }, { policy }) => {
  const left = [...accepted];
  const booked = units.map(({ line, unit, amount }) => {
    const at = left.findIndex((a) => a.line === line);
    const [found] = at < 0 ? [] : left.splice(at, 1);
    const { productId = 'unknown', category = 'unknown' } = order.lines.find((l) => l.line === line) ?? {};
    const disposition = found?.disposition ?? 'kept';
    const loss = money(Math.round((amount.minor * policy.returns.lossPercent[disposition]) / 100), order.currency);
    return { line, unit, product: productId, category, cause: found?.cause ?? 'none', disposition, loss };
  });
  return { units: booked, reasons: [booked.some((u) => u.loss.minor > 0) ? 'lossBooked' : 'soldAgain'] };
});
