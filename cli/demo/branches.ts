/** Every way a return can go, and how one sees afterwards that a case went it: by its record alone, not by what was planned. */
import { z } from 'zod';
import { moneySchema } from '../../values/schemas.ts';
import type { AuditedCase, AuditedTask } from './audit.ts';

const outcomeSchema = z.object({
  result: z.string(),
  reason: z.string().optional(),
  how: z.string().optional(),
  amount: moneySchema.optional(),
  paid: moneySchema.optional(),
});
const effectData = z.object({ system: z.string(), operation: z.string(), path: z.string(), error: z.string().optional() });
const decisionData = z.object({ rule: z.string(), reasons: z.array(z.string()) });
const eventData = z.object({ event: z.string(), late: z.boolean().optional() });
const toldData = z.object({ message: z.string() });
const stageData = z.object({ stage: z.string() });
const taskData = z.object({ task: z.string(), name: z.string().optional() });
const decisionForm = z.object({ decision: z.string() });
const remedyForm = z.object({ decision: z.literal('approve'), remedy: z.string(), reason: z.string() });
const choiceForm = z.object({ choice: z.string() });
const routeForm = z.object({ via: z.string() });
const unitForm = z.object({ verdict: z.string(), disposition: z.string().optional() });
const inspectForm = z.object({ units: z.array(unitForm) });
const troubleContext = z.object({ state: z.string(), here: z.int() });

type Entry = AuditedCase['timeline'][number];

/** What a case's record says, made easy to ask. */
class Traces {
  readonly of: AuditedCase;
  /** Acts on it that the API refused: `withdrawal`. */
  readonly refused: ReadonlySet<string>;
  readonly outcome: z.output<typeof outcomeSchema> | undefined;

  constructor(of: AuditedCase, refused: ReadonlySet<string>) {
    this.of = of;
    this.refused = refused;
    this.outcome = outcomeSchema.safeParse(of.outcome).data;
  }
  ended(result: string, why?: string): boolean {
    return this.of.status !== 'open' && this.outcome?.result === result && (why === undefined || this.outcome.reason === why || this.outcome.how === why);
  }
  #all<Z extends z.ZodType>(kind: string, schema: Z): z.output<Z>[] {
    return this.of.timeline.flatMap((entry) => {
      const parsed = entry.kind === kind ? schema.safeParse(entry.data) : undefined;
      return parsed?.success ? [parsed.data] : [];
    });
  }
  told(message: string): number {
    return this.#all('told', toldData).filter((data) => data.message === message).length;
  }
  reason(rule: string, code: string): boolean {
    return this.#all('decision', decisionData).some((data) => data.rule === rule && data.reasons.includes(code));
  }
  effects(name: string, kind: 'effect' | 'undone' = 'effect'): z.output<typeof effectData>[] {
    return this.#all(kind, effectData).filter((data) => `${data.system}.${data.operation}` === name);
  }
  did(name: string): boolean {
    return this.effects(name).some((data) => data.error === undefined);
  }
  failed(name: string, error: string): boolean {
    return this.effects(name).some((data) => data.error === error);
  }
  events(name: string): number {
    return this.#all('event', eventData).filter((data) => data.event === name && data.late !== true).length;
  }
  tasks(name: string): AuditedTask[] {
    return this.of.tasks.filter((task) => task.name === name);
  }
  done<Z extends z.ZodType>(name: string, form: Z): { readonly task: AuditedTask; readonly form: z.output<Z> }[] {
    return this.tasks(name).flatMap((task) => {
      const parsed = task.status === 'done' ? form.safeParse(task.form) : undefined;
      return parsed?.success ? [{ task, form: parsed.data }] : [];
    });
  }
  /** The remedy that the last review approved. */
  get remedy(): string | undefined {
    return this.done('review', remedyForm).at(-1)?.form.remedy;
  }
  chose(where: 'hold' | 'send', what: 'refund' | 'again' | 'silence'): boolean {
    return this.tasks('choose').some(
      ({ path, status, form }) =>
        path.startsWith(`new-goods/${where}-`) && (what === 'silence' ? status === 'expired' : choiceForm.safeParse(form).data?.choice === what),
    );
  }
  trouble(decision: string, here?: boolean): boolean {
    return this.done('parcelTrouble', decisionForm).some(({ task, form }) => {
      const context = troubleContext.safeParse(task.context).data;
      return form.decision === decision && (here === undefined || (context !== undefined && context.here > 0 === here));
    });
  }
  troubleOf(state: string): boolean {
    return this.tasks('parcelTrouble').some((task) => troubleContext.safeParse(task.context).data?.state === state);
  }
  approved(role: string, decision: string): boolean {
    return this.done('approveRefund', decisionForm).some(({ task, form }) => task.decidedRole === role && form.decision === decision);
  }
  route(via: string): boolean {
    return this.done('otherRoute', routeForm).some(({ form }) => form.via === via);
  }
  verdicts(): readonly z.output<typeof unitForm>[] {
    return this.done('inspect', inspectForm).flatMap(({ form }) => form.units);
  }
  rulings(): readonly z.output<typeof unitForm>[] {
    return this.done('ruleUnit', unitForm).map(({ form }) => form);
  }

  /** Where the case was when something entered it: before its no return, in which stage, and which of its tasks were open; undefined when it never did. */
  at(
    entered: (entry: Entry) => boolean,
  ):
    | { readonly stage: string; readonly open: readonly string[]; readonly told: readonly string[]; readonly settled: boolean; readonly linked: boolean }
    | undefined {
    const { timeline } = this.of;
    const at = timeline.findIndex(entered);
    if (at < 0) return undefined;
    const before = timeline.slice(0, at);
    const open = new Map<string, string>();
    for (const { kind, data } of before) {
      const task = taskData.safeParse(data).data;
      if (task === undefined) continue;
      if (kind === 'taskOpened') open.set(task.task, task.name ?? '');
      else if (kind === 'taskDecided' || kind === 'taskClosed') open.delete(task.task);
    }
    return {
      stage: before.flatMap((entry) => (entry.kind === 'stage' ? [stageData.parse(entry.data).stage] : [])).at(-1) ?? 'review',
      open: [...open.values()],
      told: before.flatMap((entry) => (entry.kind === 'told' ? [toldData.parse(entry.data).message] : [])),
      settled: before.some((entry) => entry.kind === 'noReturn'),
      linked: before.some((entry) => entry.kind === 'effect' && entry.data['operation'] === 'paymentLink'),
    };
  }
  /** Where it was withdrawn, if it was. */
  withdrawnAt(): Interrupted | undefined {
    return this.of.status === 'withdrawn' ? this.#interrupted((entry) => entry.kind === 'withdrawAsked') : undefined;
  }
  /** Where the platform's word came in, and whether it ended the case. */
  platformAt(): Interrupted | undefined {
    return this.#interrupted((entry) => entry.kind === 'event' && eventData.parse(entry.data).event === 'closedByPlatform');
  }
  #interrupted(entered: (entry: Entry) => boolean): Interrupted | undefined {
    const where = this.at(entered);
    if (where === undefined) return undefined;
    if (where.settled) return 'settlement';
    const open = (name: string): boolean => where.open.includes(name);
    if (open('choose')) return 'choice';
    if (open('approveRefund')) return 'approval';
    if (open('ruleUnit')) return 'ruling';
    if (open('inspect') || open('receiptProblem')) return 'inspection';
    if (open('review')) return 'review';
    if (where.told.at(-1) === 'evidenceAsked') return 'evidence';
    if (where.linked) return 'difference';
    return where.stage === 'review' ? 'review' : where.stage === 'parcel' ? 'parcel' : undefined;
  }
}
/** What a case was waiting for when it was interrupted. */
export type Interrupted = 'review' | 'evidence' | 'choice' | 'parcel' | 'inspection' | 'ruling' | 'approval' | 'difference' | 'settlement';

const wayBack = (t: Traces): boolean => t.did('logistics.label');
const underWay = (t: Traces): boolean => t.told('withdrawnWithGoods') > 0;
const verdictsAre = (t: Traces, wanted: (verdicts: readonly string[]) => boolean): boolean => {
  const verdicts = t.verdicts().map((unit) => unit.verdict);
  return verdicts.length > 0 && wanted(verdicts);
};
const disposed = (t: Traces, disposition: string): boolean =>
  t.did('warehouse.dispose') && [...t.verdicts(), ...t.rulings()].some((unit) => unit.disposition === disposition);
/** A carrier has had a parcel of it. */
const scanned = (t: Traces): boolean => t.of.timeline.some(({ kind, data }) => kind === 'outsideState' && data['event'] === 'logistics.tracking');
const lateParcel = (t: Traces): boolean => t.of.timeline.some(({ kind, data }) => kind === 'late' && data['event'] === 'parcelReceived');

/** Branch → how one sees it. */
const registry = {
  // ── what is asked for
  unknownOrder: (t) => t.ended('rejected', 'unknownOrder'),
  unknownLine: (t) => t.ended('rejected', 'unknownLine'),
  alreadyReturned: (t) => t.ended('rejected', 'alreadyReturned') && t.failed('allowance.reserve', 'alreadyReturned'),
  frequentCustomer: (t) => t.reason('eligibility', 'manyReturns') && t.done('review', decisionForm).some(({ task }) => task.decidedRole !== 'agent'),
  // ── review
  reviewRejects: (t) => t.done('review', decisionForm).some(({ form }) => form.decision === 'reject'),
  evidenceSent: (t) => t.told('evidenceAsked') > 0 && t.events('evidenceAdded') > 0 && t.remedy !== undefined,
  evidenceNever: (t) => t.told('evidenceAsked') > 0 && t.events('evidenceAdded') === 0 && t.tasks('review').length > t.told('evidenceAsked'),
  evidenceRounds: (t) => t.told('evidenceAsked') >= 3 && t.tasks('review').some((task) => task.path.startsWith('review-4/') && task.decidedRole !== 'agent'),
  // ── remedies, to their end
  refund: (t) => t.ended('refunded') && t.remedy === 'refund',
  refundOnly: (t) => t.ended('refunded') && t.remedy === 'refundOnly',
  exchange: (t) => t.ended('exchanged'),
  reissue: (t) => t.ended('reissued'),
  // ── new goods
  goneAtApprovalRefund: (t) => t.chose('hold', 'refund'),
  goneAtApprovalAgain: (t) => t.chose('hold', 'again') && t.effects('warehouse.reserve').some((e) => e.path.includes('/hold-2/') && e.error === undefined),
  goneAtApprovalSilence: (t) => t.chose('hold', 'silence'),
  goneAtDispatchRefund: (t) => t.chose('send', 'refund'),
  goneAtDispatchAgain: (t) => t.chose('send', 'again') && t.did('warehouse.dispatch'),
  goneAtDispatchSilence: (t) => t.chose('send', 'silence'),
  exchangeSameWorth: (t) => t.ended('exchanged') && t.reason('swap', 'noDifference'),
  exchangeCheaper: (t) => t.ended('exchanged') && t.reason('swap', 'differenceRefunded'),
  exchangeDearerPaid: (t) => t.ended('exchanged') && t.events('paymentState') > 0 && (t.outcome?.paid?.minor ?? 0) > 0,
  exchangeDearerExpired: (t) => t.told('differenceDue') > 0 && t.events('paymentState') > 0 && t.told('moneyInstead') > 0 && t.tasks('choose').length === 0,
  exchangeDearerNeverPaid: (t) => t.told('differenceDue') > 0 && t.events('paymentState') === 0 && t.told('moneyInstead') > 0,
  exchangePaidThenGone: (t) => t.events('paymentState') > 0 && t.told('moneyInstead') > 0 && t.tasks('choose').some((task) => task.path.includes('/send-')),
  // ── the goods' way back
  ourLabel: (t) => wayBack(t) && t.events('ownCourier') === 0 && t.events('parcelReceived') === 1 && t.tasks('parcelTrouble').length === 0,
  ownCourier: (t) => t.told('courierNoted') > 0 && t.events('parcelReceived') > 0,
  courierPaid: (t) => t.told('freightPaid') > 0,
  courierOwed: (t) => t.told('freightOwed') > 0,
  twoCouriers: (t) => t.told('courierNoted') > 1,
  courierOfAnother: (t) => t.told('courierUnclear') > 0,
  twoParcels: (t) => t.told('parcelArrived') > 1,
  restNever: (t) => t.told('restAwaited') > 0 && t.told('parcelArrived') === 1 && t.tasks('parcelTrouble').length === 0 && t.tasks('inspect').length > 0,
  tooManyUnits: (t) => t.reason('matchReceipt', 'tooManyUnits') && t.done('receiptProblem', z.unknown()).length > 0,
  wrongUnits: (t) => t.reason('matchReceipt', 'wrongUnits') && t.done('receiptProblem', z.unknown()).length > 0,
  nothingOfOurs: (t) => t.reason('matchReceipt', 'wrongUnits') && t.ended('rejected', 'inspection') && t.tasks('inspect').length === 0,
  emptyParcel: (t) => t.ended('rejected', 'emptyParcel'),
  parcelRefused: (t) => t.troubleOf('refused'),
  parcelReturned: (t) => t.troubleOf('returned'),
  parcelLost: (t) => t.troubleOf('lost'),
  troubleNewLabel: (t) => t.trouble('newLabel') && t.effects('logistics.label').length > 1 && t.told('parcelArrived') > 0,
  troubleWait: (t) => t.trouble('wait') && t.told('parcelArrived') > 0,
  troubleAsReceived: (t) => t.trouble('asReceived', false),
  troubleEnd: (t) => t.trouble('end', false) && t.ended('expired'),
  restAsReceived: (t) => t.trouble('asReceived', true),
  restEnd: (t) => t.trouble('end', true),
  neverSent: (t) => t.ended('expired') && t.tasks('parcelTrouble').length === 0 && !scanned(t) && !lateParcel(t),
  lateInTime: (t) => t.effects('logistics.parcel').some((e) => e.path.startsWith('parcel-')) && t.told('parcelArrived') > 0,
  underWayForEver: (t) => t.ended('expired') && scanned(t) && t.tasks('parcelTrouble').length === 0 && t.told('parcelArrived') === 0 && !lateParcel(t),
  lateAfterExpiry: (t) => t.ended('expired') && lateParcel(t),
  // ── parcels that came too late, or that nobody named
  lateTakenBack: (t) => t.of.id.startsWith('late-parcel.') && t.ended('takenBack'),
  lateSentBack: (t) => t.of.id.startsWith('late-parcel.') && t.ended('sentBack'),
  lateKept: (t) => t.of.id.startsWith('late-parcel.') && t.ended('kept'),
  lateClaimed: (t) => t.ended('claimed'),
  ownerFound: (t) => t.ended('handedOn') && t.tasks('identify').some((task) => task.status === 'done'),
  ownerTold: (t) => t.ended('handedOn') && t.events('ownerFound') > 0,
  ownerUnknown: (t) => t.ended('givenUp'),
  // ── inspection
  restocked: (t) => disposed(t, 'restock'),
  refurbished: (t) => disposed(t, 'refurbish'),
  scrapped: (t) => disposed(t, 'scrap'),
  inspectionRejects: (t) => t.ended('rejected', 'inspection') && t.verdicts().length > 0,
  partlyRejected: (t) => verdictsAre(t, (all) => all.includes('reject') && all.includes('accept')) && t.did('warehouse.sendBack') && t.did('allowance.commit'),
  unsureAccepted: (t) => t.rulings().some((unit) => unit.verdict === 'accept'),
  unsureRejected: (t) => t.rulings().some((unit) => unit.verdict === 'reject'),
  leftOut: (t) => t.rulings().length > t.verdicts().filter((unit) => unit.verdict === 'unsure').length,
  // ── approval
  supervisorApproves: (t) => t.approved('supervisor', 'approve'),
  supervisorRefuses: (t) => t.approved('supervisor', 'refuse') && t.ended('rejected', 'notApproved'),
  managerApproves: (t) => t.approved('manager', 'approve'),
  managerRefuses: (t) => t.approved('manager', 'refuse') && t.ended('rejected', 'notApproved'),
  keptAboveLimit: (t) => t.reason('authority', 'keptAboveLimit'),
  keptTooOften: (t) => t.reason('authority', 'manyKept'),
  // ── money
  severalPayments: (t) => new Set(t.effects('finance.refund').map((e) => e.path.split('/route-')[0])).size > 1,
  wholeOrder: (t) => t.reason('refundParts', 'wholeOrder'),
  labelDeducted: (t) => t.reason('settlement', 'labelDeducted') && t.did('allowance.commit'),
  freightInsured: (t) => t.reason('settlement', 'freightInsured') && t.did('allowance.commit'),
  routeFailsTransfer: (t) => t.route('transfer'),
  routeFailsOriginal: (t) => t.route('original'),
  routeFailsNone: (t) => t.route('none'),
  redLetter: (t) => t.did('finance.redLetter'),
  couponsOrPointsBack: (t) => t.did('coupons.giveBack'),
  gift: (t) => t.did('crm.giftAndCard'),
  lossBooked: (t) => t.reason('losses', 'lossBooked') && t.did('allowance.causes'),
  // ── withdrawal
  withdrawnAtReview: (t) => t.withdrawnAt() === 'review',
  withdrawnAtEvidence: (t) => t.withdrawnAt() === 'evidence',
  withdrawnAtChoice: (t) => t.withdrawnAt() === 'choice',
  withdrawnWithLabel: (t) => t.withdrawnAt() === 'parcel' && !underWay(t) && t.effects('logistics.cancelLabel', 'undone').length > 0,
  withdrawnUnderWay: (t) => underWay(t) && t.did('warehouse.sendBack'),
  withdrawnNeverCame: (t) => underWay(t) && !t.did('warehouse.sendBack'),
  withdrawnAtInspection: (t) => t.withdrawnAt() === 'inspection' && t.did('warehouse.sendBack'),
  withdrawnAtRuling: (t) => t.withdrawnAt() === 'ruling' && t.did('warehouse.sendBack'),
  withdrawnAtApproval: (t) => t.withdrawnAt() === 'approval',
  withdrawnAtDifference: (t) => t.withdrawnAt() === 'difference' && t.effects('finance.voidLink', 'undone').length > 0,
  withdrawalTooLate: (t) => (t.refused.has('withdrawal') || t.of.timeline.some((entry) => entry.kind === 'withdrawalRefused')) && t.of.status === 'completed',
  // ── the platform decides first
  platformAtReview: (t) => ['review', 'evidence', 'choice'].includes(t.platformAt() ?? '') && t.ended('closedByPlatform'),
  platformWithLabel: (t) => t.platformAt() === 'parcel' && t.ended('closedByPlatform') && !lateParcel(t),
  platformUnderWay: (t) => t.platformAt() === 'parcel' && t.ended('closedByPlatform') && lateParcel(t),
  platformAtInspection: (t) => ['inspection', 'ruling'].includes(t.platformAt() ?? '') && t.ended('closedByPlatform'),
  platformAtApproval: (t) => t.platformAt() === 'approval' && t.ended('closedByPlatform'),
  platformAtDifference: (t) => t.platformAt() === 'difference' && t.ended('closedByPlatform'),
  platformTooLate: (t) => t.platformAt() === 'settlement' && !t.ended('closedByPlatform'),
  platformOverdue: (t) => t.ended('closedByPlatform', 'merchantOverdue'),
  platformRefunded: (t) => t.ended('closedByPlatform', 'refunded'),
  platformClosed: (t) => t.ended('closedByPlatform', 'closed'),
} as const satisfies Readonly<Record<string, (traces: Traces) => boolean>>;

export type Branch = keyof typeof registry;
export const branches = Object.keys(registry) as readonly Branch[];

/** The branches that a case went. `refused`: acts on it that the API refused. */
export function branchesOf(of: AuditedCase, refused: ReadonlySet<string> = new Set()): readonly Branch[] {
  const traces = new Traces(of, refused);
  return branches.filter((branch) => registry[branch](traces));
}
