/** Whether what was promised took place, once: a pure function over what the API and the systems' ledgers say when all is quiet. */
import { z } from 'zod';
import { contentHash } from '../../values/hash.ts';
import { prorate } from '../../values/money.ts';
import { moneySchema } from '../../values/schemas.ts';
import type { Instant } from '../../values/instant.ts';
import type { Policy } from '../../policies/schema.ts';
import type { SystemContract } from '../../systems/contract.ts';
import type { AnyRule } from '../../workflows/registry.ts';
import { ofClocks, type ClockLogRow, type ClockRow } from './clocks.ts';
import { groupBy, ofRecords } from './records.ts';

/** Something that the API answered with 2xx: from then on it must not be lost. */
export type Accepted =
  | { readonly what: 'start'; readonly case: string }
  | { readonly what: 'decision'; readonly case: string; readonly task: string; readonly by: string; readonly form: unknown }
  | { readonly what: 'event'; readonly case: string; readonly event: string; readonly eventId: string }
  | { readonly what: 'withdrawal'; readonly case: string };

export interface AuditedTask {
  readonly id: string;
  readonly name: string;
  readonly path: string;
  readonly status: string;
  readonly decidedBy: string | null;
  readonly decidedRole: string | null;
  readonly decidedAt: string | null;
  readonly expiresAt: string | null;
  readonly assignee: string | null;
  /** Names of tasks whose deciders may not decide this one. */
  readonly notBy: readonly string[];
  readonly form?: unknown;
  readonly context: Readonly<Record<string, unknown>>;
}
export interface AuditedCase {
  readonly id: string;
  readonly order: string | null;
  readonly status: string;
  readonly trouble: string | null;
  readonly outcome?: unknown;
  readonly tasks: readonly AuditedTask[];
  readonly timeline: readonly { readonly kind: string; readonly data: Readonly<Record<string, unknown>> }[];
}
export interface LedgerEntry {
  readonly system: string;
  readonly key: string;
  readonly operation: string | null;
  readonly state: 'executed' | 'refused' | 'barred';
  readonly args?: unknown;
  readonly answer?: unknown;
  readonly attempts: number;
  readonly executions: number;
  readonly undoneAt: string | null;
}
export interface RefundRow {
  readonly refundId: string;
  readonly key: string;
  readonly caseRef: string;
  readonly paymentId: string;
  readonly minor: number;
  readonly currency: string;
  readonly state: string;
}
export interface AuditedOrder {
  readonly total: { readonly minor: number; readonly currency: string };
  readonly invoiced: boolean;
  readonly lines: readonly { readonly line: number; readonly quantity: number; readonly returned: number; readonly listTotal: { readonly minor: number } }[];
  readonly discounts: readonly {
    readonly kind: string;
    readonly ref?: string | undefined;
    readonly amount: { readonly minor: number };
    readonly points?: number | undefined;
    readonly lines?: readonly number[] | undefined;
  }[];
  readonly payments: readonly { readonly paymentId: string; readonly amount: { readonly minor: number }; readonly refunded: { readonly minor: number } }[];
  readonly refunds: readonly RefundRow[];
}
/** A unit of an order line that a case holds or has used; without a hold it came back outside our cases. */
export interface UnitRow {
  readonly order: string;
  readonly line: number;
  readonly unit: number;
  /** The key of the case's reservation. */
  readonly hold: string | null;
  readonly used: boolean;
  /** Its money went back; false: it was replaced. */
  readonly refunded: boolean;
}
/** What a system has told us, or still has to. */
export interface WebhookSent {
  readonly system: string;
  readonly id: string;
  readonly event: string;
  /** What it is about, in the system's own words. */
  readonly subject: string;
  readonly payload: unknown;
  readonly attempts: number;
  readonly delivered: boolean;
}
/** A case as its row has it. */
export interface RecordedCase {
  readonly id: string;
  readonly shop: string;
  readonly starter: string;
  readonly status: string;
  /** Version of the policy it is pinned to. */
  readonly policy: string;
}
export interface TimelineRow {
  readonly case: string;
  readonly id: number;
  readonly key: string;
  readonly kind: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly at: Instant;
}
/** What is in our Postgres of the run's cases, and what it takes to judge it. On a stack of the run's own also what is no case's: inbox rows, states of things outside, jobs. */
export interface OwnRecords {
  /** When it was read, by Postgres' own clock. */
  readonly at: Instant;
  readonly cases: readonly RecordedCase[];
  readonly policies: ReadonlyMap<string, Policy>;
  readonly rules: (process: string, rule: string) => AnyRule | undefined;
  /** `<system>.<event>` that some process takes, where all of them are the run's; of these, those that open a case when no case claims them. */
  readonly used: ReadonlySet<string>;
  readonly unclaimed: ReadonlySet<string>;
  /** `<system>.<operation>` → what takes it back; of our own systems too. */
  readonly undoOf: ReadonlyMap<string, string>;
  readonly timeline: readonly TimelineRow[];
  readonly clocks: readonly ClockRow[];
  readonly clockLog: readonly ClockLogRow[];
  readonly inbox: readonly {
    readonly id: number;
    readonly source: string;
    readonly eventId: string;
    readonly bodyHash: string;
    readonly kind: string;
    readonly name: string;
    /** What its source calls the thing that it is about. */
    readonly key: string | null;
    readonly case: string | null;
    readonly at: Instant;
    /** Its case has taken it in. */
    readonly seen: boolean;
    readonly became: string | null;
  }[];
  readonly states: readonly { readonly source: string; readonly key: string; readonly state: string; readonly at: Instant }[];
  readonly effects: readonly {
    readonly case: string;
    readonly path: string;
    readonly system: string;
    readonly operation: string;
    readonly args: unknown;
    readonly undoes: string | null;
    readonly status: string;
    readonly ok: boolean | null;
    readonly answer: unknown;
    readonly enteredBy: string | null;
  }[];
  readonly decisions: readonly {
    readonly case: string;
    readonly step: string;
    readonly process: string;
    readonly rule: string;
    readonly policy: string;
    readonly facts: unknown;
    readonly output: unknown;
    readonly asOf: Instant;
  }[];
  readonly messages: readonly {
    readonly id: string;
    readonly case: string;
    readonly recipient: string;
    readonly status: string;
    /** The message that it went with, itself perhaps. */
    readonly bundle: string | null;
  }[];
  readonly holds: readonly { readonly hold: string; readonly status: string }[];
  readonly tallies: readonly { readonly tally: string; readonly status: string }[];
  readonly jobs: readonly { readonly kind: string; readonly key: string | null; readonly attempts: number; readonly most: number; readonly runAt: Instant }[];
}
export interface AuditRows {
  /** The cases the demo was to run, by id. */
  readonly planned: readonly string[];
  readonly accepted: readonly Accepted[];
  readonly cases: ReadonlyMap<string, AuditedCase>;
  readonly ledger: readonly LedgerEntry[];
  readonly orders: ReadonlyMap<string, AuditedOrder>;
  /** Units of these orders, as our own limits have them. */
  readonly units: readonly UnitRow[];
  /** Causes that were booked, unit by unit. */
  readonly causes: readonly { readonly case: string; readonly line: number; readonly unit: number }[];
  /** Units that the warehouse has taken out of parcels. */
  readonly received: readonly string[];
  /** Payment links that were paid or have expired. */
  readonly links: ReadonlyMap<string, 'paid' | 'expired'>;
  /** Goods that the warehouse still sets aside for somebody. */
  readonly setAside: readonly { readonly sku: string; readonly quantity: number }[];
  readonly webhooks: readonly WebhookSent[];
  readonly own: OwnRecords;
  readonly systems: Readonly<Record<string, SystemContract>>;
}

export interface Finding {
  /** `wrong`: an amount, an order, a clock, a decision that is not what our own records and the systems make it. */
  readonly kind: 'lost' | 'doubled' | 'abovePaid' | 'stuck' | 'wrong';
  readonly case: string;
  readonly why: string;
}

const effectData = z.object({ system: z.string(), operation: z.string(), path: z.string(), error: z.string().optional(), enteredBy: z.string().optional() });
const outcomeSchema = z.discriminatedUnion('result', [
  z.object({ result: z.literal('refunded'), amount: moneySchema }),
  z.object({ result: z.literal('exchanged'), paid: moneySchema, refunded: moneySchema }),
  z.object({ result: z.literal('reissued') }),
]);
const resultOf = z.object({ result: z.string(), reason: z.string().optional() });
const toldData = z.object({ message: z.string(), to: z.string() });
const sendArgs = z.object({ to: z.string() });
const newLabelForm = z.object({ decision: z.literal('newLabel') });
const caseArgs = z.object({ caseRef: z.string() });
const disposeArgs = caseArgs.extend({ unitId: z.string(), disposition: z.string() });
const sendBackArgs = caseArgs.extend({ unitIds: z.array(z.string()) });
const reserveAnswer = z.object({ reservationId: z.string() });
const dispatchArgs = z.object({ reservationId: z.string().optional() });
const linkArgs = z.object({ amount: moneySchema });
const linkAnswer = z.object({ linkId: z.string() });
const redLetterArgs = z.object({ orderId: z.string(), amount: moneySchema });
const giveBackArgs = z.object({ orderId: z.string(), coupons: z.array(z.object({ couponId: z.string(), amount: moneySchema })), points: z.int() });
const refundOutput = z.object({ parts: z.array(z.object({ paymentId: z.string(), amount: moneySchema })) });
const verdictForm = z.object({ verdict: z.string() });
const verdictsForm = z.object({ units: z.array(verdictForm) });

/** The case that a key belongs to: `<case>/<path of an effect>` or `<case>:<path of a message>/<channel>`. Case ids are percent-encoded and hold neither. */
const caseOf = (key: string): string => key.split(/[/:]/, 1)[0] ?? key;

/** What is looked up for each case and each order: of a soak there are thousands, and none of them is looked for among all rows. */
function indexed(rows: AuditRows) {
  const stands = rows.ledger.filter((entry) => entry.executions > 0 && entry.undoneAt === null);
  const refunds = [...rows.orders.values()].flatMap((order) => order.refunds);
  return {
    ...rows,
    /** What the systems did and nobody took back. */
    stands,
    casesOf: groupBy(rows.cases.values(), (row) => row.order),
    unitsOf: groupBy(rows.units, (unit) => unit.order),
    unitsFor: groupBy(rows.units, (unit) => (unit.hold === null ? null : caseOf(unit.hold))),
    causesOf: groupBy(rows.causes, (cause) => cause.case),
    decisionsOf: groupBy(rows.own.decisions, (decision) => decision.case),
    refundsOf: groupBy(refunds, (refund) => refund.caseRef),
    refundsTo: groupBy(refunds, (refund) => refund.paymentId),
    /** Dispositions, by the case that asked for them. What a late parcel held beside the order's goods is disposed of too, and refunded to nobody. */
    disposedFor: groupBy(
      rows.ledger.flatMap((entry) =>
        entry.system === 'warehouse' && entry.operation === 'dispose' && entry.executions > 0 && entry.key.startsWith('return-exchange.')
          ? [disposeArgs.parse(entry.args)]
          : [],
      ),
      (args) => args.caseRef,
    ),
    /** Red letters, and what customers had spent in coupons and points, by order. */
    lettersOf: groupBy(
      stands.flatMap((entry) => (entry.operation === 'redLetter' ? [{ of: caseOf(entry.key), ...redLetterArgs.parse(entry.args) }] : [])),
      (letter) => letter.orderId,
    ),
    givenBackOf: groupBy(
      stands.flatMap((entry) => (entry.operation === 'giveBack' ? [giveBackArgs.parse(entry.args)] : [])),
      (given) => given.orderId,
    ),
  };
}
type Indexed = ReturnType<typeof indexed>;

/** Everything that is wrong; empty when all is well. */
export function audit(all: AuditRows): readonly Finding[] {
  const rows = indexed(all);
  const ledgerOf = groupBy(rows.ledger, (entry) => caseOf(entry.key));
  const acceptedOf = groupBy(rows.accepted, (accepted) => accepted.case);
  const ids = new Set([...rows.planned, ...acceptedOf.keys(), ...[...ledgerOf.keys()].filter((id) => rows.cases.has(id))]);
  return [
    ...[...ids].flatMap((id) => ofCase(id, rows, acceptedOf.get(id) ?? [], ledgerOf.get(id) ?? [])),
    ...[...rows.orders].flatMap(([orderId, order]) => [...ofOrder(orderId, order, rows), ...ofUnits(orderId, order, rows)]),
    ...ofGoods(rows),
    ...ofRecords(rows),
    ...ofClocks(rows),
  ];
}

function ofCase(id: string, rows: Indexed, accepted: readonly Accepted[], ledger: readonly LedgerEntry[]): Finding[] {
  const found: Finding[] = [];
  const say = (kind: Finding['kind'], why: string): void => void found.push({ kind, case: id, why });
  const row = rows.cases.get(id);
  if (row === undefined) {
    if (accepted.length > 0) say('lost', 'its start was accepted, and the API has no such case');
    else say('stuck', 'it was never started');
    return found;
  }
  if (row.status === 'open') say('stuck', 'it has not ended');
  else if (row.status === 'failed' || row.status === 'broken') say('stuck', `it is ${row.status}${row.trouble === null ? '' : `: ${row.trouble}`}`);

  for (const why of lostAccepted(row, accepted)) say('lost', why);
  for (const why of decidedTwice(accepted)) say('doubled', why);

  const executed = new Map(ledger.filter((entry) => entry.executions > 0).map((entry) => [`${entry.system} ${entry.key}`, entry]));
  for (const entry of ledger) if (entry.executions > 1) say('doubled', `${entry.system} ${entry.key} took place ${entry.executions} times`);
  for (const { kind, data } of row.timeline) {
    if (kind !== 'effect' && kind !== 'undone') continue;
    const { system, operation, path, error, enteredBy } = effectData.parse(data);
    if (error !== undefined || enteredBy !== undefined || rows.systems[system]?.operations[operation]?.kind !== 'effect') continue;
    if (!executed.has(`${system} ${id}/${path}`)) say('lost', `its effect ${path} is done, and ${system} knows nothing of it`);
  }
  for (const why of sameThingTwice(ledger)) say('doubled', why);
  const labels = ledger.filter((entry) => entry.operation === 'label' && entry.executions > 0 && !/#\d+$/.test(entry.key) && entry.undoneAt === null).length;
  const asked = row.tasks.filter((task) => task.status === 'done' && newLabelForm.safeParse(task.form).success).length;
  if (labels > 1 + asked) say('doubled', `${labels} labels, and ${asked} more than the first were asked for`);

  const { customers, departments } = messagesOf(row, ledger);
  const unsent = without(customers.told, customers.sent);
  // Whom an unknown order belongs to, nobody knows.
  if (unsent.length > 0 && resultOf.safeParse(row.outcome).data?.reason !== 'unknownOrder')
    say('lost', `messages were written and not sent: ${unsent.join(', ')}`);
  const unwritten = without(customers.sent, customers.told);
  if (unwritten.length > 0) say('doubled', `messages were sent and not written: ${unwritten.join(', ')}`);
  if (departments.sent > departments.told) say('doubled', `${departments.told} notices to departments were written, and ${departments.sent} were sent`);

  const outcome = outcomeSchema.safeParse(row.outcome).data;
  // What came by a payment link and went back with it is no refund of the case's.
  const ours = (rows.refundsOf.get(id) ?? []).filter((refund) => refund.state !== 'failed' && !byUndo(refund));
  const paid = ours.reduce((so, refund) => so + refund.minor, 0);
  const said = outcome?.result === 'refunded' ? outcome.amount.minor : outcome?.result === 'exchanged' ? outcome.refunded.minor : 0;
  if (row.status !== 'open' && paid < said) say('lost', `it says it refunded ${said}, and finance refunded ${paid}`);
  if (row.status !== 'open' && paid > said) say('doubled', `it says it refunded ${said}, and finance refunded ${paid}`);

  if (row.status !== 'open') for (const { kind, why } of toldOfRefunds(row, id, rows)) say(kind, why);
  const decided = (rows.decisionsOf.get(id) ?? []).filter((decision) => decision.rule === 'refundParts');
  const parts = decided.flatMap((decision) => refundOutput.parse(decision.output).parts);
  for (const refund of ours)
    if (!parts.some(({ paymentId, amount }) => paymentId === refund.paymentId && amount.minor === refund.minor && amount.currency === refund.currency))
      say('wrong', `${refund.minor} ${refund.currency} of payment ${refund.paymentId} were refunded, and nobody had decided that`);

  const gift = executed.has(`crm ${id}/thanks/gift`) || ledger.some((entry) => entry.operation === 'giftAndCard' && entry.executions > 0);
  if (gift && !endedWell(row)) say('abovePaid', 'it did not end well for the customer, and there was a gift');

  const units = rows.unitsFor.get(id) ?? [];
  const ended = row.status !== 'open';
  if (ended && units.some((unit) => !unit.used)) say('stuck', `it has ended and holds ${units.filter((unit) => !unit.used).length} units`);
  const settled = outcome === undefined ? [] : units.filter((unit) => unit.used);
  if (ended && outcome !== undefined && settled.length === 0) say('lost', 'it was settled, and no unit of the order is used for it');
  const booked = rows.causesOf.get(id) ?? [];
  const unitName = (of: { readonly line: number; readonly unit: number }): string => `${of.line}/${of.unit}`;
  const bookedNames = new Set(booked.map(unitName));
  if (ended && booked.length > settled.length) say('doubled', `${settled.length} units were settled, and causes of ${booked.length} are booked`);
  const missing = settled.filter((unit) => !bookedNames.has(unitName(unit)));
  if (ended && missing.length > 0) say('lost', `causes of ${missing.length} settled units are not booked`);
  const disposed = ledger.filter((entry) => entry.operation === 'dispose' && entry.executions > 0).length;
  if (outcome !== undefined && disposed > settled.length)
    say('abovePaid', `${disposed} units were accepted, and ${settled.length} of the order are used for it`);
  return found;
}

/** What a case told its customer, by message, and how many notices it gave departments, each written and sent. */
function messagesOf(row: AuditedCase, ledger: readonly LedgerEntry[]) {
  const told = row.timeline.flatMap(({ kind, data }) => (kind === 'told' ? [toldData.parse(data)] : []));
  // The same message on another channel is still one message. Notices of one kind to a department that wait go together, with the first of them.
  const sent = new Map(
    ledger.flatMap((entry) =>
      entry.system === 'notifications' && entry.executions > 0
        ? [[entry.key.slice(0, entry.key.lastIndexOf('/')), sendArgs.parse(entry.args).to] as const]
        : [],
    ),
  );
  const toCustomers = [...sent].filter(([, to]) => !to.startsWith('role:')).map(([key]) => key.replace(/^.*[:/]/, '').replace(/~\d+$/, ''));
  return {
    customers: { told: told.flatMap((one) => (one.to === 'customer' ? [one.message] : [])), sent: toCustomers },
    departments: { told: told.filter((one) => one.to !== 'customer').length, sent: sent.size - toCustomers.length },
  };
}

/** What is left of `all` when each of `others` takes one away. */
function without(all: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return all.filter((one) => {
    const at = left.indexOf(one);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

/** The customer was told what became of each refund, once. */
function* toldOfRefunds(row: AuditedCase, id: string, { refundsOf }: Indexed): Generator<Pick<Finding, 'kind' | 'why'>> {
  const refunds = (refundsOf.get(id) ?? []).filter((refund) => !byUndo(refund));
  for (const [state, message] of [
    ['arrived', 'refundArrived'],
    ['failed', 'refundFailed'],
  ] as const) {
    const became = refunds.filter((refund) => refund.state === state).length;
    const told = row.timeline.filter(({ kind, data }) => kind === 'told' && data['message'] === message).length;
    if (told !== became) yield { kind: told < became ? 'lost' : 'doubled', why: `${became} refunds ${state}, and the customer was told so ${told} times` };
  }
}

const byUndo = (refund: RefundRow): boolean => refund.key.endsWith('!undo');

/** All that was asked for was accepted, and nobody doubted it. */
function endedWell(row: AuditedCase): boolean {
  const verdicts = row.tasks.flatMap((task) => {
    if (task.status !== 'done') return [];
    if (task.name === 'ruleUnit') return [verdictForm.parse(task.form).verdict];
    return task.name === 'inspect' ? verdictsForm.parse(task.form).units.map((unit) => unit.verdict) : [];
  });
  const doubted = row.timeline.some(
    ({ kind, data }) => kind === 'decision' && data['rule'] === 'authority' && Array.isArray(data['reasons']) && data['reasons'].includes('manyKept'),
  );
  return outcomeSchema.safeParse(row.outcome).success && !verdicts.includes('reject') && !doubted;
}

/** What was answered with 2xx and has left no trace. */
function* lostAccepted(row: AuditedCase, accepted: readonly Accepted[]): Generator<string> {
  const entries = (kind: string): readonly Readonly<Record<string, unknown>>[] =>
    row.timeline.filter((entry) => entry.kind === kind).map((entry) => entry.data);
  for (const one of accepted) {
    if (one.what === 'decision') {
      const task = row.tasks.find((t) => t.id === one.task);
      const stands = task?.status === 'done' && contentHash(task.form ?? null) === contentHash(one.form ?? null);
      if (!stands || !entries('taskDecided').some((data) => data['task'] === task.path)) yield `the decision of ${one.by} on ${one.task} is not there`;
    }
    if (one.what === 'withdrawal') {
      const result = resultOf.safeParse(row.outcome).data?.result;
      const heard = row.status === 'open' || row.status === 'withdrawn' || result === 'closedByPlatform' || refusedInTime(row.timeline);
      if (entries('withdrawAsked').length === 0 || !heard) yield 'its withdrawal was accepted and came to nothing';
    }
  }
  const events = groupBy(
    accepted.filter((one) => one.what === 'event'),
    (one) => one.event,
  );
  for (const [event, sent] of events) {
    const different = new Set(sent.map((one) => one.eventId)).size;
    const there = entries('event').filter((data) => data['event'] === event).length;
    if (there < different) yield `${different} events ${event} were accepted and ${there} are there`;
  }
}

/** A withdrawal may be refused past no return, or when the case was just ending; not while people still had work to begin. */
function refusedInTime(timeline: AuditedCase['timeline']): boolean {
  const at = timeline.findIndex(({ kind }) => kind === 'withdrawalRefused');
  return at >= 0 && (timeline.slice(0, at).some(({ kind }) => kind === 'noReturn') || !timeline.slice(at).some(({ kind }) => kind === 'taskOpened'));
}

function* decidedTwice(accepted: readonly Accepted[]): Generator<string> {
  const decisions = accepted.filter((one) => one.what === 'decision');
  for (const [task, of] of groupBy(decisions, (one) => one.task)) {
    const people = new Set(of.map((one) => one.by));
    if (people.size > 1) yield `${task} was decided by ${[...people].join(' and ')}`;
  }
}

/** Two keys for one thing: the ledger of a system cannot see that, the audit does. A redo (`#2`) is on purpose. */
function* sameThingTwice(ledger: readonly LedgerEntry[]): Generator<string> {
  const stands = ledger.filter((entry) => entry.executions > 0 && entry.undoneAt === null && !/#\d+$/.test(entry.key));
  const things = stands.flatMap((entry): string[] => {
    switch (`${entry.system}.${entry.operation}`) {
      case 'warehouse.dispose':
        return [`what becomes of unit ${disposeArgs.parse(entry.args).unitId}`];
      case 'warehouse.sendBack':
        return sendBackArgs.parse(entry.args).unitIds.map((unit) => `what becomes of unit ${unit}`);
      default:
        return [];
    }
  });
  for (const [thing, times] of groupBy(things, (t) => t)) if (times.length > 1) yield `${thing} was settled ${times.length} times, under different keys`;
}

function ofOrder(orderId: string, order: AuditedOrder, rows: Indexed): Finding[] {
  const found: Finding[] = [];
  const stands = order.refunds.filter((refund) => refund.state !== 'failed');
  const cases = rows.casesOf.get(orderId) ?? [];
  const of = stands.at(-1)?.caseRef ?? cases[0]?.id ?? orderId;
  const say = (kind: Finding['kind'], why: string): void => void found.push({ kind, case: of, why });

  for (const { paymentId, amount, refunded: all } of order.payments) {
    const ours = stands.filter((refund) => refund.paymentId === paymentId).reduce((so, refund) => so + refund.minor, 0);
    if (Math.max(ours, all.minor) > amount.minor)
      say('abovePaid', `${Math.max(ours, all.minor)} of payment ${paymentId} were refunded, ${amount.minor} were paid`);
    // What came back before the run was refunded before it.
    const before = order.lines.some((line) => line.returned > 0);
    if (all.minor < ours || (all.minor > ours && !before))
      say(all.minor < ours ? 'lost' : 'doubled', `the bank has ${all.minor} refunded of payment ${paymentId}, and the refunds of all cases are ${ours}`);
  }
  const total = stands.reduce((so, refund) => so + refund.minor, 0);
  const paid = order.payments.reduce((so, payment) => so + payment.amount.minor, 0);
  if (total > paid) say('abovePaid', `${total} of order ${orderId} were refunded, ${paid} were paid`);

  for (const [key, same] of groupBy(
    stands.filter((refund) => !byUndo(refund)),
    (refund) => `${refund.caseRef} ${refund.paymentId}`,
  ))
    if (same.filter((refund) => !/#\d+$/.test(refund.key)).length > 1) say('doubled', `payment ${key.split(' ')[1]} was refunded ${same.length} times`);

  const disposed = cases.flatMap((row) => rows.disposedFor.get(row.id) ?? []);
  const units = new Set(disposed.flatMap((args) => (args.disposition === 'returnToCustomer' ? [] : [args.unitId]))).size;
  const bought = order.lines.reduce((so, line) => so + line.quantity - line.returned, 0);
  if (units > bought) say('abovePaid', `${units} units of order ${orderId} were accepted, ${bought} could come back`);
  return found;
}

/** What an order's units say: used once each, what the customer spent in coupons and points back for those that were refunded, red letters within the invoice. */
function ofUnits(orderId: string, order: AuditedOrder, rows: Indexed): Finding[] {
  const found: Finding[] = [];
  const cases = rows.casesOf.get(orderId) ?? [];
  const of = cases[0]?.id ?? orderId;
  const say = (kind: Finding['kind'], why: string): void => void found.push({ kind, case: of, why });
  const units = rows.unitsOf.get(orderId) ?? [];
  for (const [name, same] of groupBy(units, (unit) => `${unit.line}/${unit.unit}`))
    if (same.length > 1) say('doubled', `unit ${name} of order ${orderId} was used ${same.length} times`);
  for (const { line, quantity } of order.lines) {
    const used = units.filter((unit) => unit.line === line);
    if (used.length > quantity || used.some((unit) => unit.unit > quantity))
      say('abovePaid', `${used.length} units of line ${line} of order ${orderId} are used, ${quantity} were bought`);
  }

  const letters = rows.lettersOf.get(orderId) ?? [];
  const lettered = letters.reduce((so, letter) => so + letter.amount.minor, 0);
  if (lettered > (order.invoiced ? order.total.minor : 0))
    say('abovePaid', `red letters of ${lettered} for order ${orderId}, whose invoice was ${order.total.minor}`);
  for (const row of order.invoiced ? cases : [])
    if (paidBack(row) > 0 && !letters.some((letter) => letter.of === row.id))
      found.push({ kind: 'lost', case: row.id, why: 'it refunded an order that was invoiced, and there is no red letter' });

  // Units whose case refunded them; what the platform or somebody else refunded is not ours to give back.
  const refundedBy = new Map(cases.map((row) => [row.id, outcomeSchema.safeParse(row.outcome).data?.result === 'refunded']));
  const back = units.filter((unit) => unit.hold !== null && unit.used && unit.refunded && refundedBy.get(caseOf(unit.hold)) === true);
  const all = order.lines.flatMap(({ line, quantity, listTotal }) =>
    prorate(listTotal.minor, Array<number>(quantity).fill(1)).map((minor, i) => ({ line, unit: i + 1, minor })),
  );
  const due = (total: number, only: readonly number[] | undefined): number => {
    const shares = prorate(
      total,
      all.map((unit) => (only === undefined || only.includes(unit.line) ? unit.minor : 0)),
    );
    return all.reduce((so, unit, i) => (back.some((b) => b.line === unit.line && b.unit === unit.unit) ? so + (shares[i] ?? 0) : so), 0);
  };
  const given = rows.givenBackOf.get(orderId) ?? [];
  const compare = (what: string, expected: number, got: number): void => {
    if (got > expected) say('abovePaid', `${got} of ${what} of order ${orderId} were given back, the share of what was returned is ${expected}`);
    if (got < expected) say('lost', `${got} of ${what} of order ${orderId} were given back, the share of what was returned is ${expected}`);
  };
  for (const { kind, ref, amount, lines } of order.discounts)
    if (kind === 'coupon' && ref !== undefined)
      compare(
        `coupon ${ref}`,
        due(amount.minor, lines),
        given.flatMap((g) => g.coupons).reduce((so, c) => (c.couponId === ref ? so + c.amount.minor : so), 0),
      );
  const points = order.discounts.reduce((so, d) => (d.kind === 'points' ? so + due(d.points ?? 0, d.lines) : so), 0);
  compare(
    'the points',
    points,
    given.reduce((so, g) => so + g.points, 0),
  );
  return found;
}

const paidBack = (row: AuditedCase): number => {
  const outcome = outcomeSchema.safeParse(row.outcome).data;
  return outcome?.result === 'refunded' ? outcome.amount.minor : outcome?.result === 'exchanged' ? outcome.refunded.minor : 0;
};

/** What the warehouse and the bank still wait for when all has ended: units that nobody settled, goods set aside, payment links that are open. */
function* ofGoods(rows: Indexed): Generator<Finding> {
  const settled = new Set(
    rows.stands.flatMap((entry) => {
      if (entry.system !== 'warehouse') return [];
      if (entry.operation === 'dispose') return [disposeArgs.parse(entry.args).unitId];
      return entry.operation === 'sendBack' ? sendBackArgs.parse(entry.args).unitIds : [];
    }),
  );
  for (const unit of rows.received)
    if (!settled.has(unit)) yield { kind: 'lost', case: unit, why: `nothing became of unit ${unit}, which the warehouse received` };

  const dispatched = new Set(
    // Also one that was refused: the goods were gone, and the reservation with them.
    rows.ledger.flatMap((entry) => (entry.operation === 'dispatch' && entry.state !== 'barred' ? [dispatchArgs.parse(entry.args).reservationId] : [])),
  );
  for (const entry of rows.stands)
    if (entry.operation === 'reserve' && entry.system === 'warehouse' && !dispatched.has(reserveAnswer.parse(entry.answer).reservationId))
      yield { kind: 'stuck', case: caseOf(entry.key), why: `the goods of ${entry.key} were neither sent nor let go` };
  for (const { sku, quantity } of rows.setAside) yield { kind: 'stuck', case: sku, why: `${quantity} of ${sku} are still set aside` };

  for (const entry of rows.ledger) {
    if (entry.operation !== 'paymentLink' || entry.executions === 0) continue;
    const { linkId } = linkAnswer.parse(entry.answer);
    const became = rows.links.get(linkId);
    if (became === undefined && entry.undoneAt === null) yield { kind: 'stuck', case: caseOf(entry.key), why: `payment link ${linkId} is open` };
    const paid = became === 'paid' ? linkArgs.parse(entry.args).amount.minor : 0;
    const back = (rows.refundsTo.get(`pay_${linkId}`) ?? []).reduce((so, refund) => (refund.state !== 'failed' ? so + refund.minor : so), 0);
    if (entry.undoneAt !== null && back < paid)
      yield { kind: 'lost', case: caseOf(entry.key), why: `${paid} were paid by a link that is void, and ${back} went back` };
  }
}

export const counts = (findings: readonly Finding[]): Readonly<Record<Finding['kind'], number>> => {
  // A case counts once per kind, however much is wrong with it.
  const of = (kind: Finding['kind']): number => new Set(findings.filter((finding) => finding.kind === kind).map((finding) => finding.case)).size;
  return { lost: of('lost'), doubled: of('doubled'), abovePaid: of('abovePaid'), stuck: of('stuck'), wrong: of('wrong') };
};

/** The demo's last line. */
export function auditLine(cases: number, findings: readonly Finding[]): string {
  const { lost, doubled, abovePaid, stuck, wrong } = counts(findings);
  return `${cases} cases: ${lost} lost, ${doubled} doubled, ${abovePaid} above paid, ${stuck} stuck${wrong > 0 ? `, ${wrong} wrong` : ''}`;
}
