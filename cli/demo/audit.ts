/** Whether what was promised took place, once: a pure function over what the API and the systems' ledgers say when all is quiet. */
import { z } from 'zod';
import { contentHash } from '../../values/hash.ts';
import { moneySchema } from '../../values/schemas.ts';
import type { SystemContract } from '../../systems/contract.ts';

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
  readonly form?: unknown;
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
  readonly lines: readonly { readonly quantity: number; readonly returned: number }[];
  readonly payments: readonly { readonly paymentId: string; readonly amount: { readonly minor: number }; readonly refunded: { readonly minor: number } }[];
  readonly refunds: readonly RefundRow[];
}
export interface AuditRows {
  /** The cases the demo was to run, by id. */
  readonly planned: readonly string[];
  readonly accepted: readonly Accepted[];
  readonly cases: ReadonlyMap<string, AuditedCase>;
  readonly ledger: readonly LedgerEntry[];
  readonly orders: ReadonlyMap<string, AuditedOrder>;
  readonly systems: Readonly<Record<string, SystemContract>>;
}

export interface Finding {
  readonly kind: 'lost' | 'doubled' | 'abovePaid' | 'stuck';
  readonly case: string;
  readonly why: string;
}

const effectData = z.object({ system: z.string(), operation: z.string(), path: z.string(), error: z.string().optional(), enteredBy: z.string().optional() });
const refunded = z.object({ result: z.literal('refunded'), amount: moneySchema });
const resultOf = z.object({ result: z.string() });
const caseArgs = z.object({ caseRef: z.string() });
const disposeArgs = caseArgs.extend({ unitId: z.string(), disposition: z.string() });
const sendBackArgs = caseArgs.extend({ unitIds: z.array(z.string()) });

/** The case that a key belongs to: `<case>/<path of an effect>` or `<case>:<path of a message>/<channel>`. Case ids are percent-encoded and hold neither. */
const caseOf = (key: string): string => key.split(/[/:]/, 1)[0] ?? key;

function group<T>(items: readonly T[], key: (item: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const at = key(item);
    const of = groups.get(at);
    if (of) of.push(item);
    else groups.set(at, [item]);
  }
  return groups;
}

/** Everything that is wrong; empty when all is well. */
export function audit(rows: AuditRows): readonly Finding[] {
  const ledgerOf = group(rows.ledger, (entry) => caseOf(entry.key));
  const acceptedOf = group(rows.accepted, (accepted) => accepted.case);
  const ids = new Set([...rows.planned, ...acceptedOf.keys(), ...[...ledgerOf.keys()].filter((id) => rows.cases.has(id))]);
  return [
    ...[...ids].flatMap((id) => ofCase(id, rows, acceptedOf.get(id) ?? [], ledgerOf.get(id) ?? [])),
    ...[...rows.orders].flatMap(([orderId, order]) => ofOrder(orderId, order, rows)),
  ];
}

function ofCase(id: string, rows: AuditRows, accepted: readonly Accepted[], ledger: readonly LedgerEntry[]): Finding[] {
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
  else for (const task of row.tasks) if (task.status === 'open') say('stuck', `it has ended, and its task ${task.path} is open`);

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

  const told = row.timeline.filter(({ kind }) => kind === 'told').length;
  const sent = new Set(
    ledger.filter((entry) => entry.system === 'notifications' && entry.executions > 0).map((entry) => entry.key.slice(0, entry.key.lastIndexOf('/'))),
  ).size;
  if (sent < told) say('lost', `${told} messages were written and ${sent} were sent`);
  if (sent > told) say('doubled', `${told} messages were written and ${sent} were sent`);

  const outcome = refunded.safeParse(row.outcome);
  const ours = [...rows.orders.values()].flatMap((order) => order.refunds).filter((refund) => refund.caseRef === id && refund.state !== 'failed');
  const paid = ours.reduce((so, refund) => so + refund.minor, 0);
  const said = outcome.success ? outcome.data.amount.minor : 0;
  if (row.status !== 'open' && paid < said) say('lost', `it says it refunded ${said}, and finance refunded ${paid}`);
  if (row.status !== 'open' && paid > said) say('doubled', `it says it refunded ${said}, and finance refunded ${paid}`);
  return found;
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
  const events = group(
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
  for (const [task, of] of group(decisions, (one) => one.task)) {
    const people = new Set(of.map((one) => one.by));
    if (people.size > 1) yield `${task} was decided by ${[...people].join(' and ')}`;
  }
}

/** Two keys for one thing: the ledger of a system cannot see that, the audit does. A redo (`#2`) is on purpose. */
function* sameThingTwice(ledger: readonly LedgerEntry[]): Generator<string> {
  const stands = ledger.filter((entry) => entry.executions > 0 && entry.undoneAt === null && !/#\d+$/.test(entry.key));
  const things = stands.flatMap((entry): string[] => {
    switch (`${entry.system}.${entry.operation}`) {
      case 'logistics.label':
        return ['the label'];
      case 'warehouse.dispose':
        return [`what becomes of unit ${disposeArgs.parse(entry.args).unitId}`];
      case 'warehouse.sendBack':
        return sendBackArgs.parse(entry.args).unitIds.map((unit) => `what becomes of unit ${unit}`);
      default:
        return [];
    }
  });
  for (const [thing, times] of group(things, (t) => t)) if (times.length > 1) yield `${thing} was settled ${times.length} times, under different keys`;
}

function ofOrder(orderId: string, order: AuditedOrder, rows: AuditRows): Finding[] {
  const found: Finding[] = [];
  const stands = order.refunds.filter((refund) => refund.state !== 'failed');
  const cases = [...rows.cases.values()].filter((row) => row.order === orderId);
  const of = stands.at(-1)?.caseRef ?? cases[0]?.id ?? orderId;
  const say = (kind: Finding['kind'], why: string): void => void found.push({ kind, case: of, why });

  for (const { paymentId, amount, refunded: all } of order.payments) {
    const ours = stands.filter((refund) => refund.paymentId === paymentId).reduce((so, refund) => so + refund.minor, 0);
    if (Math.max(ours, all.minor) > amount.minor)
      say('abovePaid', `${Math.max(ours, all.minor)} of payment ${paymentId} were refunded, ${amount.minor} were paid`);
  }
  const total = stands.reduce((so, refund) => so + refund.minor, 0);
  if (total > order.total.minor) say('abovePaid', `${total} of order ${orderId} were refunded, ${order.total.minor} were paid`);

  for (const [key, same] of group(stands, (refund) => `${refund.caseRef} ${refund.paymentId}`))
    if (same.filter((refund) => !/#\d+$/.test(refund.key)).length > 1) say('doubled', `payment ${key.split(' ')[1]} was refunded ${same.length} times`);

  const ids = new Set(cases.map((row) => row.id));
  const units = new Set(
    rows.ledger.flatMap((entry) => {
      if (entry.system !== 'warehouse' || entry.operation !== 'dispose' || entry.executions === 0) return [];
      const args = disposeArgs.parse(entry.args);
      return ids.has(args.caseRef) && args.disposition !== 'returnToCustomer' ? [args.unitId] : [];
    }),
  ).size;
  const bought = order.lines.reduce((so, line) => so + line.quantity - line.returned, 0);
  if (units > bought) say('abovePaid', `${units} units of order ${orderId} were accepted, ${bought} could come back`);
  return found;
}

export const counts = (findings: readonly Finding[]): Readonly<Record<Finding['kind'], number>> => {
  // A case counts once per kind, however much is wrong with it.
  const of = (kind: Finding['kind']): number => new Set(findings.filter((finding) => finding.kind === kind).map((finding) => finding.case)).size;
  return { lost: of('lost'), doubled: of('doubled'), abovePaid: of('abovePaid'), stuck: of('stuck') };
};

/** The demo's last line. */
export function auditLine(cases: number, findings: readonly Finding[]): string {
  const { lost, doubled, abovePaid, stuck } = counts(findings);
  return `${cases} cases: ${lost} lost, ${doubled} doubled, ${abovePaid} above paid, ${stuck} stuck`;
}
