/** What each case of the demo will do: a pure function of seed, order and policy, so that a run can be repeated and gone on with. */
import type { z } from 'zod';
import { authorityFor } from '../../policies/lookup.ts';
import type { PolicyValues } from '../../policies/schema.ts';
import type { OrderFacts } from '../../systems/orders/contract.ts';
import { drawsFrom } from '../../systems/sandbox/faults.ts';
import { contentHash } from '../../values/hash.ts';
import { caseId, type CaseId } from '../../values/ids.ts';
import { money } from '../../values/money.ts';
import { returnExchange } from '../../workflows/return-exchange/process.ts';

type Input = z.input<typeof returnExchange.input>;
type TaskForm<T extends keyof typeof returnExchange.tasks> = z.input<(typeof returnExchange.tasks)[T]['form']>;
export type ReviewForm = TaskForm<'review'>;

/** The ways a return goes here, with how many of 100 go it. What an order does not allow becomes `approved`. */
const shares = {
  approved: 29,
  rejected: 8,
  evidenceSent: 8,
  evidenceNever: 4,
  ownCourier: 7,
  inspectionFailed: 6,
  partlyRejected: 6,
  unsureRuled: 6,
  strangeParcel: 5,
  approvalRefused: 5,
  routeFails: 4,
  withdrawnAtOnce: 3,
  withdrawnWithLabel: 3,
  withdrawnUnderWay: 3,
  neverSent: 3,
} as const;
/** Three more: the platform decides first, before the review, with the label out, with the goods under way. */
const platformShare = 3;
export type Branch = keyof typeof shares | 'platformFirst';
export const branches: readonly Branch[] = [...(Object.keys(shares) as (keyof typeof shares)[]), 'platformFirst'];

/** One unit in a parcel: what it is, what inspection says, and what a supervisor says where inspection is unsure. */
export interface PlannedUnit {
  /** Absent: goods that nobody knows. */
  readonly sku?: string;
  readonly verdict: 'accept' | 'reject' | 'unsure';
  readonly ruling: 'accept' | 'reject';
}

export interface Plan {
  readonly branch: Branch;
  readonly caseId: CaseId;
  readonly currency: string;
  /** All but `requestedAt`, which is the moment it is sent. */
  readonly request: Omit<Input, 'requestedAt'>;
  /** What the reviewer says, round by round; the last one stands for all that follow. Empty: nobody reviews, the case ends otherwise. */
  readonly reviews: readonly ReviewForm[];
  /** Whether the customer sends the evidence that the review asks for. */
  readonly evidenceComes: boolean;
  /** Absent: no parcel is ever sent. */
  readonly parcel?: { readonly by: 'label' | 'ownCourier'; readonly units: readonly PlannedUnit[] };
  readonly approval: 'approve' | 'refuse';
  /** The bank sends the refund back; finance then finds another route. */
  readonly refundFails: boolean;
  /** Who ends it early, and when: right after the start, with the label out, or with the goods under way. */
  readonly ends?: { readonly by: 'customer' | 'platform'; readonly when: 'atOnce' | 'label' | 'underWay' };
  /** How long each act of the customer and of the carrier takes, in milliseconds. */
  readonly pauseMs: number;
  /** What is done twice, as people and systems do: each has to count once. */
  readonly twice: { readonly start: boolean; readonly decisions: 'no' | 'samePerson' | 'twoPeople'; readonly events: boolean; readonly receipt: boolean };
}

/** A number in [0, 1) for each question asked in turn: the same ones for the same seed and order, whatever other orders there are. */
const drawsOf = (seed: number, orderId: string): (() => number) => drawsFrom(Number.parseInt(contentHash({ seed, orderId }).slice(0, 8), 16));

function branchAt(share: number): Branch {
  const all: readonly (readonly [Branch, number])[] = [...(Object.entries(shares) as [keyof typeof shares, number][]), ['platformFirst', platformShare]];
  let left = share * all.reduce((so, [, part]) => so + part, 0);
  for (const [branch, part] of all) if ((left -= part) < 0) return branch;
  return 'approved';
}

/**
 * Plans the return of one order. `policy` holds the limits that decide whether an approval will be asked for.
 */
export function planReturn(seed: number, order: OrderFacts, policy: PolicyValues): Plan {
  const draw = drawsOf(seed, order.orderId);
  const wished = branchAt(draw());
  const chance = (of: number): boolean => draw() < of;
  const pick = <const T>(from: readonly [T, ...T[]]): T => from[Math.floor(draw() * from.length)] ?? from[0];

  // Some return everything, others one line; of a line with several, some or all.
  const open = order.lines.filter((line) => line.quantity > line.returned);
  const whole = chance(0.5);
  const only = open[Math.floor(draw() * open.length)];
  const lines = (wished === 'approvalRefused' || whole || only === undefined ? open : [only]).map(({ line, quantity, returned }) => ({
    line,
    quantity: wished === 'approvalRefused' || chance(0.7) ? quantity - returned : 1,
    opened: chance(0.3),
  }));
  const skus = lines.flatMap(({ line, quantity }) => Array<string>(quantity).fill(order.lines.find((l) => l.line === line)?.sku ?? ''));

  // What was paid for these goods at the least: the whole discount of the order may lie on them, and the label comes off.
  const list = lines.reduce((so, { line, quantity }) => so + (order.lines.find((l) => l.line === line)?.unitPrice.minor ?? 0) * quantity, 0);
  const off = order.discounts.reduce((so, discount) => so + discount.amount.minor, 0) + (policy.returns.freightPerReturn[order.currency] ?? 0);
  const needsApproval = authorityFor(policy, 'refund', money(Math.max(0, list - off), order.currency)) !== 'agent';

  const possible =
    open.length > 0 &&
    (wished !== 'partlyRejected' || skus.length > 1) &&
    (wished !== 'approvalRefused' || needsApproval) &&
    (wished !== 'routeFails' || list > off);
  const branch: Branch = open.length === 0 ? 'rejected' : possible ? wished : 'approved';

  const faulty = branch === 'evidenceSent' || branch === 'evidenceNever' || chance(0.4);
  const reason = faulty ? pick(['quality', 'wrongItem']) : pick(['noReason', 'wrongSize', 'other']);
  const evidence = faulty && branch !== 'evidenceSent' && branch !== 'evidenceNever' ? [`photo-${order.orderId.replaceAll(/[^\w-]/g, '')}-1`] : [];
  const request: Plan['request'] = {
    shop: order.shop,
    customer: order.customer,
    orderId: order.orderId,
    requestId: `demo-${seed}`,
    lines: open.length > 0 ? lines : [{ line: 1, quantity: 1 }],
    reason,
    wish: 'refund',
    evidence,
  };

  const approve: ReviewForm = { decision: 'approve', reason, remedy: 'refund' };
  const ask: ReviewForm = { decision: 'moreEvidence', what: ['photo'] };
  const refuse: ReviewForm = {
    decision: 'reject',
    reason: branch === 'evidenceNever' ? 'noEvidence' : pick(['pastWindow', 'notAsDescribed', 'usedOrDamaged', 'abuse']),
  };
  const who = branch === 'platformFirst' ? 'platform' : 'customer';
  const when =
    branch === 'withdrawnAtOnce'
      ? 'atOnce'
      : branch === 'withdrawnWithLabel'
        ? 'label'
        : branch === 'withdrawnUnderWay'
          ? 'underWay'
          : branch === 'platformFirst'
            ? pick(['atOnce', 'label', 'underWay'])
            : undefined;
  const reviews: readonly ReviewForm[] =
    when === 'atOnce'
      ? []
      : branch === 'rejected'
        ? [refuse]
        : branch === 'evidenceSent'
          ? [ask, approve]
          : branch === 'evidenceNever'
            ? [ask, refuse]
            : [approve];

  const sends = reviews.some((form) => form.decision === 'approve') && branch !== 'neverSent' && when !== 'label';
  const by = branch === 'ownCourier' || (branch === 'withdrawnUnderWay' && chance(0.3)) ? 'ownCourier' : 'label';
  const units = plannedUnits(branch, skus, chance);

  return {
    branch,
    caseId: caseId(returnExchange.name, returnExchange.key(request)),
    currency: order.currency,
    request,
    reviews,
    evidenceComes: branch === 'evidenceSent',
    ...(sends ? { parcel: { by, units } } : {}),
    approval: branch === 'approvalRefused' ? 'refuse' : 'approve',
    refundFails: branch === 'routeFails',
    ...(when === undefined ? {} : { ends: { by: who, when } }),
    pauseMs: 200 + Math.floor(draw() * 1000),
    twice: { start: chance(0.2), decisions: pick(['no', 'no', 'no', 'no', 'no', 'no', 'samePerson', 'twoPeople']), events: chance(0.3), receipt: chance(0.2) },
  };
}

function plannedUnits(branch: Branch, skus: readonly string[], chance: (of: number) => boolean): readonly PlannedUnit[] {
  const units = skus.map((sku, i): PlannedUnit => {
    const ruling = chance(0.5) ? 'accept' : 'reject';
    if (branch === 'inspectionFailed') return { sku, verdict: 'reject', ruling };
    if (branch === 'partlyRejected') return { sku, verdict: i % 2 === 0 ? 'reject' : 'accept', ruling };
    if (branch === 'unsureRuled') return { sku, verdict: i === 0 || chance(0.4) ? 'unsure' : 'accept', ruling };
    return { sku, verdict: 'accept', ruling };
  });
  // Everything that was asked for, and something that was not: a spare one, or goods of another shop.
  if (branch === 'strangeParcel') return [...units, { ...(chance(0.5) && skus[0] !== undefined ? { sku: skus[0] } : {}), verdict: 'accept', ruling: 'reject' }];
  return units;
}
