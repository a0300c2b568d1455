/** Who acts, over HTTP only: people at their worklists, the customer, the carrier, the warehouse's goods-in desk, the bank. */
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { caseSchema, pageOf, taskSchema } from '../../api/views.ts';
import type { Role } from '../../values/role.ts';
import { Refused, type Caller } from './calls.ts';
import type { Journal } from './journal.ts';
import type { Plan, PlannedUnit } from './plan.ts';

/** Somebody of the demo, with a token of their own. */
export interface Person {
  readonly id: string;
  readonly role: Role;
  readonly api: Caller;
}

export interface Scene {
  readonly plans: ReadonlyMap<string, Plan>;
  readonly people: readonly Person[];
  /** The calling system: starts, events and withdrawals on behalf of customers. */
  readonly upstream: Caller;
  /** The sandbox: what the world outside does. */
  readonly systems: Caller;
  readonly journal: Journal;
  readonly signal: AbortSignal;
  /** An act that could not be done; the run goes on, and the audit says what came of it. */
  readonly trouble: (what: string) => void;
}

type Task = z.output<typeof taskSchema>;
const tasksPage = pageOf(taskSchema);
const casesPage = pageOf(caseSchema);

/** Someone who finds nothing to do looks again after this: a person would be slower. */
const lookEveryMs = 300;
const ignore = z.unknown();

// ── what people answer ─────────────────────────────────────────────────────
const matchContext = z.object({ match: z.object({ units: z.array(z.object({ unitId: z.string(), line: z.int() })) }) });
const unitsContext = z.object({ units: z.array(z.object({ unitId: z.string() })) });
const unitContext = z.object({ unit: z.object({ unitId: z.string() }) });

/** The warehouse numbers the units of a receipt from 001 in the order it was told. */
const plannedUnit = (plan: Plan, unitId: string): PlannedUnit | undefined => plan.parcel?.units[Number(unitId.slice(-3)) - 1];
const found = (unit: PlannedUnit | undefined): 'manufacturing' | 'customer' => (unit?.ruling === 'accept' ? 'manufacturing' : 'customer');
const judged = (verdict: 'accept' | 'reject', unit: PlannedUnit | undefined) =>
  verdict === 'accept'
    ? { verdict, disposition: unit?.ruling === 'accept' ? ('restock' as const) : ('refurbish' as const), cause: 'none' as const }
    : { verdict, cause: found(unit) };

/** What the plan has somebody say to a task; undefined: nobody takes it up, because the case is to end otherwise. */
export function answerTo(plan: Plan, task: Pick<Task, 'name' | 'path' | 'context'>): object | undefined {
  switch (task.name) {
    case 'review': {
      const round = Number(/review-(\d+)/.exec(task.path)?.[1] ?? 1);
      return plan.reviews[Math.min(round, plan.reviews.length) - 1];
    }
    case 'receiptProblem':
      return { units: matchContext.parse(task.context).match.units };
    case 'inspect':
      return {
        units: unitsContext.parse(task.context).units.map(({ unitId }) => {
          const unit = plannedUnit(plan, unitId);
          const verdict = unit?.verdict ?? 'accept';
          return { unitId, ...(verdict === 'unsure' ? { verdict } : judged(verdict, unit)) };
        }),
      };
    case 'ruleUnit': {
      const unit = plannedUnit(plan, unitContext.parse(task.context).unit.unitId);
      return judged(unit?.ruling ?? 'accept', unit);
    }
    case 'approveRefund':
      return { decision: plan.approval };
    case 'otherRoute':
      return { via: 'transfer' };
    case 'repair':
      return { action: 'retry' };
    default:
      throw new Error(`nobody knows what to say to a task "${task.name}"`);
  }
}

// ── people at their worklists ──────────────────────────────────────────────
/** Everyone of a role, at their common worklist, until the signal. Whoever is free takes the oldest task that nobody is at. */
export async function desk(scene: Scene, role: Role): Promise<void> {
  const { plans, signal, trouble } = scene;
  const people = scene.people.filter((person) => person.role === role);
  const atIt = new Set<string>();
  const free = [...people];
  const looker = people[0];
  if (looker === undefined) throw new Error(`nobody has the role ${role}`);

  const work = async (task: Task, plan: Plan, form: object): Promise<void> => {
    atIt.add(task.id);
    const person = free.shift() ?? looker;
    try {
      await decide(scene, plan, task, form, [person, ...people.filter((other) => other !== person)]);
    } catch (error) {
      if (!signal.aborted) trouble(`${person.id}, ${task.id}: ${messageOf(error)}`);
    } finally {
      free.push(person);
      atIt.delete(task.id);
    }
  };
  while (!signal.aborted) {
    let taken = 0;
    try {
      for (const task of await looker.api.all(`/v1/tasks?role=${role}`, tasksPage)) {
        const plan = plans.get(task.case);
        if (free.length === 0) break;
        if (plan === undefined || atIt.has(task.id)) continue;
        const form = answerTo(plan, task);
        if (form === undefined) continue;
        taken += 1;
        void work(task, plan, form);
      }
    } catch (error) {
      if (!signal.aborted) trouble(`worklist of ${role}: ${messageOf(error)}`);
    }
    await nap(taken > 0 ? lookEveryMs / 3 : lookEveryMs, signal);
  }
}

const decidedView = z.object({ task: taskSchema });

/** Decides a task as the first of the people who may; some do it twice, and some are two at once. */
async function decide({ journal }: Scene, plan: Plan, task: Task, form: object, people: readonly Person[]): Promise<void> {
  const complete = async (person: Person): Promise<'done' | 'closed' | 'notYou'> => {
    const answer = await person.api.call('POST', `/v1/tasks/${encodeURIComponent(task.id)}/complete`, { form });
    if (answer.status === 200) {
      const { task: stands } = decidedView.parse(answer.body);
      journal.write({ what: 'decision', case: plan.caseId, task: task.id, by: person.id, form: stands.form });
      return 'done';
    }
    const refused = new Refused(`complete ${task.id}`, answer);
    // Decided, expired or withdrawn meanwhile; or in other hands.
    if (refused.status === 409) return 'closed';
    if (refused.status === 403) return 'notYou';
    throw refused;
  };
  const [first, second] = people;
  if (first === undefined) return;
  if (plan.twice.decisions !== 'no') {
    // The same person presses the button twice; or two people are at it at the same moment, and one of them learns who was first.
    const twoPeople = plan.twice.decisions === 'twoPeople' && second !== undefined;
    journal.write({ what: 'repeated', case: plan.caseId, act: twoPeople ? 'decision by two at once' : 'decision sent twice' });
    const answers = await Promise.all([complete(first), complete(twoPeople ? second : first)]);
    if (!answers.every((answer) => answer === 'notYou')) return;
  }
  for (const person of people) if ((await complete(person)) !== 'notYou') return;
}

// ── what customers are told ────────────────────────────────────────────────
export interface Letter {
  readonly message: string;
  readonly id: string;
}
const outboxPage = z.object({ messages: z.array(z.object({ seq: z.int(), messageId: z.string() })) });

/** Rows are numbered before they are committed: one that was slower than its successors is looked for this far back. */
const lookBack = 200;

/** The customers' inboxes: what was sent to each case's customer, as it comes. */
export class Mail {
  readonly #letters = new Map<string, Letter[]>();
  readonly #seen = new Set<string>();
  readonly #waiting = new Map<string, () => void>();

  /** Collects what is sent, until the signal. */
  async collect({ systems, signal, trouble }: Scene): Promise<void> {
    for (let last = 0; !signal.aborted;) {
      try {
        const { messages } = await systems.get(`/notifications/outbox?after=${Math.max(0, last - lookBack)}&limit=1000`, outboxPage);
        for (const { seq, messageId } of messages) {
          last = Math.max(last, seq);
          if (this.#seen.has(messageId)) continue;
          this.#seen.add(messageId);
          const [of = '', path = ''] = messageId.split(':');
          this.#letters.set(of, [...(this.#letters.get(of) ?? []), { id: messageId, message: (path.split('/').at(-1) ?? '').replace(/~\d+$/, '') }]);
          this.#waiting.get(of)?.();
        }
        if (messages.length === 1000) continue;
      } catch (error) {
        if (!signal.aborted) trouble(`outbox: ${messageOf(error)}`);
      }
      await nap(lookEveryMs, signal);
    }
  }

  /** Letters of a case in order, as they come; ends when the case has ended. */
  async *of(id: string, ended: AbortSignal): AsyncGenerator<Letter> {
    for (let read = 0; ; read++) {
      for (;;) {
        const letter = this.#letters.get(id)?.[read];
        if (letter !== undefined) {
          yield letter;
          break;
        }
        if (ended.aborted) return;
        await new Promise<void>((resolve) => {
          const go = (): void => {
            ended.removeEventListener('abort', go);
            resolve();
          };
          this.#waiting.set(id, go);
          ended.addEventListener('abort', go, { once: true });
        });
      }
    }
  }
}

// ── the customer, and the world the parcel goes through ────────────────────
const startedView = z.object({ case: z.object({ id: z.string() }) });
const labels = z.object({ entries: z.array(z.object({ operation: z.string().nullable(), answer: z.unknown() })) });
const labelAnswer = z.object({ trackingNo: z.string() });

/** Everything that happens to one case from outside, by its plan: may be begun again at any time, every act counts once. */
export async function play(scene: Scene, plan: Plan, mail: Mail, ended: AbortSignal): Promise<void> {
  const { upstream, journal, signal } = scene;
  const id = plan.caseId;
  const over = AbortSignal.any([signal, ended]);
  const start = async (): Promise<void> => {
    await upstream.send('POST', '/v1/processes/return-exchange/cases', { input: { ...plan.request, requestedAt: journal.requestedAt(id) } }, startedView);
    journal.write({ what: 'start', case: id });
  };
  if (plan.twice.start) {
    journal.write({ what: 'repeated', case: id, act: 'start sent twice' });
    await Promise.all([start(), start()]);
  } else await start();

  if (plan.ends?.when === 'atOnce') {
    await nap(plan.pauseMs, over);
    await endEarly(scene, plan);
  }
  let sent = false;
  for await (const { message, id: letter } of mail.of(id, over)) {
    if (message === 'evidenceAsked' && plan.evidenceComes) {
      await nap(plan.pauseMs, over);
      await tell(scene, plan, 'evidenceAdded', letter, { files: [`${letter.replaceAll(/[^\w-]/g, '').slice(-60)}-photo`] });
    }
    if (message === 'sendGoods' && !sent) {
      sent = true;
      await nap(plan.pauseMs, over);
      if (plan.ends?.when === 'label') await endEarly(scene, plan);
      else if (plan.parcel) await sendGoods(scene, plan, plan.parcel);
    }
  }
}

/** The parcel's way: handed to a carrier, scanned, received. A case that is ended early ends while it is under way. */
async function sendGoods(scene: Scene, plan: Plan, { by, units }: NonNullable<Plan['parcel']>): Promise<void> {
  const { systems, signal, journal } = scene;
  let trackingNo = `OC${plan.caseId.replaceAll(/\W/g, '').slice(-40)}`;
  if (by === 'label') {
    const { entries } = await systems.get(`/logistics/ledger?prefix=${encodeURIComponent(`${plan.caseId}/`)}&operation=label`, labels);
    trackingNo = labelAnswer.parse(entries.at(-1)?.answer).trackingNo;
  } else await tell(scene, plan, 'ownCourier', `${plan.request.requestId}-courier`, { trackingNo, freight: { minor: 1000, currency: plan.currency } });

  const scan = (state: string) => systems.send('POST', '/logistics/acts/scan', { trackingNo, state }, ignore);
  await scan('pickedUp');
  if (plan.ends?.when === 'underWay') await endEarly(scene, plan);
  await nap(plan.pauseMs, signal);
  await scan('inTransit');
  await nap(plan.pauseMs, signal);
  await scan('delivered');
  const receipt = {
    receiptId: `rc-${plan.request.orderId.replaceAll(/\W/g, '')}-${plan.request.requestId}`,
    trackingNo,
    orderId: plan.request.orderId,
    units: units.map(({ sku }) => (sku === undefined ? {} : { sku })),
  };
  await systems.send('POST', '/warehouse/acts/receive', receipt, ignore);
  if (!plan.twice.receipt) return;
  journal.write({ what: 'repeated', case: plan.caseId, act: 'receipt entered twice' });
  await systems.send('POST', '/warehouse/acts/receive', receipt, ignore);
}

async function tell({ upstream, journal }: Scene, plan: Plan, event: string, eventId: string, payload: object): Promise<void> {
  const send = async (): Promise<void> => {
    const answer = await upstream.call('POST', `/v1/cases/${encodeURIComponent(plan.caseId)}/events/${event}`, { eventId, payload });
    if (answer.status >= 300) throw new Refused(`event ${event}`, answer);
    journal.write({ what: 'event', case: plan.caseId, event, eventId });
  };
  await send();
  if (!plan.twice.events) return;
  journal.write({ what: 'repeated', case: plan.caseId, act: 'event sent twice' });
  await send();
}

async function endEarly(scene: Scene, plan: Plan): Promise<void> {
  const { upstream, journal } = scene;
  if (plan.ends?.by === 'platform') return tell(scene, plan, 'closedByPlatform', `${plan.request.requestId}-platform`, { how: 'refunded' });
  const answer = await upstream.call('POST', `/v1/cases/${encodeURIComponent(plan.caseId)}/withdraw`, { reason: 'changedMind' });
  if (answer.status < 300) journal.write({ what: 'withdrawal', case: plan.caseId });
  // It has ended, or is being settled: a customer who comes too late is told so.
  else if (answer.status !== 409) throw new Refused(`withdrawal of ${plan.caseId}`, answer);
}

// ── the bank ───────────────────────────────────────────────────────────────
const refundsPage = z.object({ entries: z.array(z.object({ seq: z.int(), key: z.string(), answer: z.unknown(), args: z.unknown() })) });
const refundAnswer = z.object({ refundId: z.string() });
const refundArgs = z.object({ caseRef: z.string(), via: z.string().default('original') });

/** Sends back the refunds whose original route is to fail, as soon as they are submitted; until the signal. */
export async function bank({ systems, plans, signal, trouble }: Scene): Promise<void> {
  const done = new Set<string>();
  for (let last = 0; !signal.aborted;) {
    try {
      const { entries } = await systems.get(`/finance/ledger?operation=refund&after=${Math.max(0, last - lookBack)}&limit=1000`, refundsPage);
      for (const { seq, key, answer, args } of entries) {
        last = Math.max(last, seq);
        const { caseRef, via } = refundArgs.parse(args);
        const refund = refundAnswer.safeParse(answer);
        if (done.has(key) || !refund.success || via !== 'original' || plans.get(caseRef)?.refundFails !== true) continue;
        done.add(key);
        await systems.send('POST', '/finance/acts/fail', { refundId: refund.data.refundId, reason: 'accountClosed' }, ignore);
      }
    } catch (error) {
      if (!signal.aborted) trouble(`bank: ${messageOf(error)}`);
    }
    await nap(lookEveryMs, signal);
  }
}

// ── who has ended ──────────────────────────────────────────────────────────
/** Looks which cases are open, until the signal, and tells of those that were and no longer are. */
export async function watchEnds(
  { upstream, signal, trouble }: Scene,
  running: () => readonly string[],
  onEnd: (id: string, status: string) => void,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const before = running();
      if (before.length > 0) {
        const open = new Set((await upstream.all('/v1/cases?process=return-exchange&status=open', casesPage)).map((row) => row.id));
        for (const id of before) {
          if (open.has(id)) continue;
          const answer = await upstream.call('GET', `/v1/cases/${encodeURIComponent(id)}`);
          const status = answer.status === 404 ? 'missing' : caseSchema.parse(answer.body).status;
          if (status !== 'open') onEnd(id, status);
        }
      }
    } catch (error) {
      if (!signal.aborted) trouble(`open cases: ${messageOf(error)}`);
    }
    await nap(2 * lookEveryMs, signal);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
/** Waits; at the signal the wait is over. */
export const nap = (ms: number, signal: AbortSignal): Promise<void> => pause(ms, undefined, { signal }).catch(() => undefined);
