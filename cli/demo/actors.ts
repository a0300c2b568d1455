/** Who acts, over HTTP only: people at their worklists, the customer, the carrier, the warehouse's goods-in desk, the bank. */
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { caseSchema, pageOf, taskSchema } from '../../api/views.ts';
import type { Role } from '../../values/role.ts';
import { failures } from '../../workflows/kit/protocol.ts';
import { Refused, type Caller } from './calls.ts';
import type { Journal } from './journal.ts';
import { courierMinor, type ParcelName, type Plan, type PlannedUnit } from './plan.ts';

/** Somebody of the demo, with a token of their own. */
export interface Person {
  readonly id: string;
  readonly role: Role;
  readonly api: Caller;
}

export interface Scene {
  readonly plans: ReadonlyMap<string, Plan>;
  /** Cases that others opened, with the plan of the case that it began with. */
  readonly followers: Map<string, Plan>;
  readonly people: readonly Person[];
  /** The calling system: starts, events and withdrawals on behalf of customers. */
  readonly upstream: Caller;
  /** Who starts cases, where it is not `upstream`: somebody of less patience. */
  readonly door?: Caller;
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
const routeContext = z.object({ problem: z.string() });

/**
 * What somebody does with a task: decides it, after the goods that a case waits for have come in; has the case end otherwise; claims the parcel for the return,
 * or tells whose it is; or leaves it, because it is to end by itself.
 */
export type Reply = { readonly form: object; readonly supply?: true } | 'endEarly' | 'claim' | 'tellOwner' | 'leave';

/** The number of the parcel among those that come, and of the unit in it: the warehouse numbers them in the order it was told. */
const receiptOf = (plan: Plan, n: number): string => `rc-${plan.order.replaceAll(/\W/g, '')}-${plan.request.requestId}-${n}`;
const courierOf = (plan: Plan, n: string): string => `OC${plan.order.replaceAll(/\W/g, '')}-${plan.request.requestId}-${n}`;

const parcelContext = z.object({ parcel: z.object({ receiptId: z.string() }) });
/**
 * The plan that a task is of: its case's, or, for a parcel that came late and for the return that it became, that of the case that it was sent for.
 * Nothing ends early there, and all is approved.
 */
export function planOf({ plans, followers }: Pick<Scene, 'plans' | 'followers'>, task: Pick<Task, 'case' | 'context'>): Plan | undefined {
  const known = plans.get(task.case) ?? followers.get(task.case);
  if (known) return known;
  const unit = unitsContext.safeParse(task.context).data?.units[0]?.unitId;
  const receipt = parcelContext.safeParse(task.context).data?.parcel.receiptId ?? /\.late-(rc-.+)$/.exec(task.case)?.[1] ?? unit?.replace(/-\d{3}$/, '');
  if (receipt === undefined) return undefined;
  const sent = [...plans.values()].find((plan) => receipt.startsWith(receiptOf(plan, 0).slice(0, -1)));
  if (sent === undefined) return undefined;
  const { ends: _, otherRoute: _none, ...rest } = sent;
  const plan: Plan = { ...rest, approval: 'approve', reviews: [{ decision: 'approve', reason: sent.request.reason, remedy: 'refund' }] };
  followers.set(task.case, plan);
  return plan;
}
function plannedUnit(plan: Plan, unitId: string): PlannedUnit | undefined {
  const [, parcel = '', unit = ''] = /-(\d+)-(\d{3})$/.exec(unitId) ?? [];
  return plan.way.filter((act) => act.act === 'receive')[Number(parcel) - 1]?.units[Number(unit) - 1];
}
const judged = (verdict: 'accept' | 'reject', unit: PlannedUnit | undefined): object =>
  verdict === 'accept'
    ? { verdict, disposition: unit?.disposition ?? 'scrap', cause: unit?.disposition === 'restock' ? 'none' : 'manufacturing' }
    : { verdict, cause: 'customer' };
/** The last number in a task's path: the round, the hold. */
const numberIn = (path: string, name: string): number => Number([...path.matchAll(new RegExp(`${name}-(\\d+)`, 'g'))].at(-1)?.[1] ?? 1);

/** What the plan has somebody say to a task. */
export function answerTo(plan: Plan, task: Pick<Task, 'name' | 'path' | 'context'>): Reply {
  const ends = (at: string): boolean => plan.ends?.at === at;
  switch (task.name) {
    case 'review': {
      const form = plan.reviews[Math.min(numberIn(task.path, 'review'), plan.reviews.length) - 1];
      if (form === undefined) return 'leave';
      return { form, ...(form.decision === 'approve' && plan.goodsVanish ? { supply: true } : {}) };
    }
    case 'choose': {
      if (ends('choice')) return 'endEarly';
      const choice = plan.choices[numberIn(task.path, 'hold') - 1] ?? 'refund';
      if (choice === 'silence') return 'leave';
      return choice === 'found' ? { form: { choice: 'again' }, supply: true } : { form: { choice } };
    }
    case 'receiptProblem':
      return { form: { units: matchContext.parse(task.context).match.units } };
    case 'parcelTrouble':
      return { form: { decision: plan.troubles[0] ?? 'end' } };
    case 'inspect':
      if (ends('inspection')) return 'endEarly';
      return {
        form: {
          units: unitsContext.parse(task.context).units.flatMap(({ unitId }) => {
            const unit = plannedUnit(plan, unitId);
            const verdict = unit?.verdict ?? 'accept';
            if (verdict === 'leftOut') return [];
            return [{ unitId, ...(verdict === 'unsure' ? { verdict } : judged(verdict, unit)) }];
          }),
        },
      };
    case 'ruleUnit': {
      if (ends('ruling')) return 'endEarly';
      const unit = plannedUnit(plan, unitContext.parse(task.context).unit.unitId);
      return { form: judged(unit?.ruling ?? 'accept', unit) };
    }
    case 'approveRefund':
      return ends('approval') ? 'endEarly' : { form: { decision: plan.approval } };
    case 'otherRoute':
      // Above the payment: somebody else has refunded it.
      if (routeContext.parse(task.context).problem !== 'failed') return { form: { via: 'none' } };
      return { form: { via: task.path.includes('/route-1/') ? (plan.otherRoute ?? 'transfer') : 'transfer' } };
    case 'identify':
      if (plan.owner === 'claims') return 'claim';
      if (plan.owner === 'told') return 'tellOwner';
      return { form: plan.owner === 'found' ? { owner: 'found', orderId: plan.order } : { owner: 'unknown' } };
    case 'decide': {
      const { reason, lines } = plan.request;
      return {
        form:
          plan.late === 'takeBack' ? { decision: 'takeBack', reason, lines: lines.map(({ line, quantity }) => ({ line, quantity })) } : { decision: plan.late },
      };
    }
    case 'dispose':
      return {
        form: {
          units: unitsContext
            .parse({ units: task.context['units'] })
            .units.map(({ unitId }) => ({ unitId, disposition: plannedUnit(plan, unitId)?.sku === undefined ? 'scrap' : 'refurbish' })),
        },
      };
    default:
      throw new Error(`nobody knows what to say to a task "${task.name}"`);
  }
}

// ── people at their worklists ──────────────────────────────────────────────
/** Everyone of a role, at their common worklist, until the signal. Whoever is free takes the oldest task that nobody is at. */
export async function desk(scene: Scene, role: Role): Promise<void> {
  const { signal, trouble } = scene;
  const people = scene.people.filter((person) => person.role === role);
  const atIt = new Set<string>();
  const free = [...people];
  const looker = people[0];
  if (looker === undefined) throw new Error(`nobody has the role ${role}`);

  /** Has somebody at it who is free, until it is done. */
  const work = async (task: Task, act: (people: readonly Person[]) => Promise<void>): Promise<void> => {
    atIt.add(task.id);
    const person = free.shift() ?? looker;
    try {
      await act([person, ...people.filter((other) => other !== person)]);
    } catch (error) {
      if (!signal.aborted) trouble(`${person.id}, ${task.id}: ${messageOf(error)}`);
    } finally {
      free.push(person);
      atIt.delete(task.id);
    }
  };
  const carryOut = async (task: Task, plan: Plan, reply: Exclude<Reply, 'leave'>, those: readonly Person[]): Promise<void> => {
    if (reply === 'endEarly') await endEarly(scene, plan);
    else if (reply === 'claim') await tell(scene, plan, 'ownCourier', `${plan.request.requestId}-claim`, { trackingNo: courierOf(plan, '1') });
    else if (reply === 'tellOwner') await tell(scene, { ...plan, caseId: task.case }, 'ownerFound', `${plan.request.requestId}-owner`, { orderId: plan.order });
    else {
      if (reply.supply) await supply(scene, plan);
      await decide(scene, plan.twice.decisions, task, reply.form, those);
    }
  };
  while (!signal.aborted) {
    let taken = 0;
    try {
      for (const task of await looker.api.all(`/v1/tasks?role=${role}`, tasksPage)) {
        const plan = planOf(scene, task);
        if (free.length === 0) break;
        if (atIt.has(task.id)) continue;
        // What does not go by itself is anybody's to repair, whatever its case is to come to.
        if (task.name === 'repair') void work(task, async (those) => decide(scene, plan?.twice.decisions ?? 'no', task, await repairOf(scene, task), those));
        else {
          const reply = plan === undefined ? 'leave' : answerTo(plan, task);
          if (plan === undefined || reply === 'leave') continue;
          void work(task, (those) => carryOut(task, plan, reply, those));
        }
        taken += 1;
      }
    } catch (error) {
      if (!signal.aborted) trouble(`worklist of ${role}: ${messageOf(error)}`);
    }
    await nap(taken > 0 ? lookEveryMs / 3 : lookEveryMs, signal);
  }
}

const stepContext = z.object({ system: z.string(), step: z.string() });
const shown = z.object({ entries: z.array(z.object({ state: z.string(), answer: z.unknown() })) });
const businessError = z.object({ code: z.string() });

/** Refused, as something else that its key stands for, say: no retry mends it, and the system shows what was done. */
const refusals: ReadonlySet<unknown> = new Set([failures.refused, failures.keyReused]);

/** What a person says to a repair task: once more; or, of what was refused, what the system has done under the effect's key, or why it has not. */
export async function repairOf({ systems }: Pick<Scene, 'systems'>, task: Pick<Task, 'case' | 'context'>): Promise<object> {
  if (!refusals.has(task.context['failure'])) return { action: 'retry' };
  const { system, step } = stepContext.parse(task.context);
  const { entries } = await systems.get(`/${system}/ledger?key=${encodeURIComponent(`${task.case}/${step}`)}`, shown);
  const [done] = entries;
  if (done?.state === 'executed') return { action: 'enterResult', result: done.answer };
  return done?.state === 'refused' ? { action: 'enterError', error: businessError.parse(done.answer).code } : { action: 'retry' };
}

const decidedView = z.object({ task: taskSchema });

/** Decides a task as the first of the people who may; some do it twice, and some are two at once. */
async function decide({ journal }: Scene, twice: Plan['twice']['decisions'], task: Task, form: object, people: readonly Person[]): Promise<void> {
  const complete = async (person: Person): Promise<'done' | 'closed' | 'notYou'> => {
    const answer = await person.api.call('POST', `/v1/tasks/${encodeURIComponent(task.id)}/complete`, { form });
    if (answer.status === 200) {
      const { task: stands } = decidedView.parse(answer.body);
      journal.write({ what: 'decision', case: task.case, task: task.id, by: person.id, form: stands.form });
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
  if (twice !== 'no') {
    // The same person presses the button twice; or two people are at it at the same moment, and one of them learns who was first.
    const twoPeople = twice === 'twoPeople' && second !== undefined;
    journal.write({ what: 'repeated', case: task.case, act: twoPeople ? 'decision by two at once' : 'decision sent twice' });
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

  /** Waits until a case's customer was told something so many times, or the signal. */
  async told(id: string, message: string, times: number, over: AbortSignal): Promise<void> {
    const count = (): number => (this.#letters.get(id) ?? []).filter((letter) => letter.message === message).length;
    while (count() < times && !over.aborted) await nap(lookEveryMs, over);
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

// ── what the systems do for cases ──────────────────────────────────────────
const followed = [
  ['logistics', 'label'],
  ['finance', 'refund'],
  ['finance', 'paymentLink'],
  ['warehouse', 'reserve'],
] as const;
type Followed = (typeof followed)[number][1];
const ledgerEntries = z.object({
  entries: z.array(z.object({ seq: z.int(), key: z.string(), state: z.string(), args: z.unknown(), answer: z.unknown(), firstAt: z.string() })),
});
const ofCase = z.object({ caseRef: z.string() });
/** An effect of a case that a system's ledger has. */
export interface Done {
  readonly key: string;
  readonly args: unknown;
  readonly answer: unknown;
  readonly at: number;
}

/** The ledgers as they grow: whoever waits for a label, a payment link or a refund looks here. */
export class Ledgers {
  readonly #done = new Map<string, Done[]>();
  readonly #waiting = new Map<string, Set<() => void>>();

  /** Follows one ledger, until the signal; `on` is called once for each effect that took place. */
  async follow(scene: Scene, on: (name: Followed, plan: Plan, done: Done) => Promise<void>): Promise<void> {
    await Promise.all(followed.map(([system, name]) => this.#one(scene, system, name, on)));
  }

  async #one(
    { systems, plans, signal, trouble }: Scene,
    system: string,
    name: Followed,
    on: (name: Followed, plan: Plan, done: Done) => Promise<void>,
  ): Promise<void> {
    const seen = new Set<string>();
    for (let last = 0; !signal.aborted;) {
      try {
        const { entries } = await systems.get(`/${system}/ledger?operation=${name}&after=${Math.max(0, last - lookBack)}&limit=1000`, ledgerEntries);
        for (const { seq, key, state, args, answer, firstAt } of entries) {
          last = Math.max(last, seq);
          if (seen.has(key) || state !== 'executed') continue;
          seen.add(key);
          const of = ofCase.parse(args).caseRef;
          const at = `${name} ${of}`;
          const done: Done = { key, args, answer, at: Date.parse(firstAt) };
          this.#done.set(at, [...(this.#done.get(at) ?? []), done]);
          for (const go of this.#waiting.get(at) ?? []) go();
          const plan = plans.get(of);
          if (plan) on(name, plan, done).catch((error: unknown) => void (signal.aborted || trouble(`${key}: ${messageOf(error)}`)));
        }
        if (entries.length === 1000) continue;
      } catch (error) {
        if (!signal.aborted) trouble(`ledger of ${system}: ${messageOf(error)}`);
      }
      await nap(lookEveryMs, signal);
    }
  }

  /** The nth effect of this name for a case, once it took place; undefined when the signal came first. */
  async nth(name: Followed, of: string, n: number, signal: AbortSignal): Promise<Done | undefined> {
    const at = `${name} ${of}`;
    for (;;) {
      const found = this.#done.get(at)?.[n - 1];
      if (found !== undefined || signal.aborted) return found;
      const waiting = this.#waiting.get(at) ?? new Set();
      this.#waiting.set(at, waiting);
      await new Promise<void>((resolve) => {
        const go = (): void => {
          waiting.delete(go);
          signal.removeEventListener('abort', go);
          resolve();
        };
        waiting.add(go);
        signal.addEventListener('abort', go, { once: true });
      });
    }
  }

  /** Some other case's label, old enough that the case is waiting for its parcel. */
  labelOfAnother(of: string): Done | undefined {
    const before = Date.now() - 3000;
    return [...this.#done].find(([at, done]) => at.startsWith('label ') && at !== `label ${of}` && (done[0]?.at ?? Infinity) < before)?.[1][0];
  }
}

const linkAnswer = z.object({ linkId: z.string() });
const refundAnswer = z.object({ refundId: z.string() });
const refundArgs = z.object({ via: z.string().default('original') });
const reserveAnswer = z.object({ reservationId: z.string() });

/** The bank, the customer at a payment link, and the shelf: what follows an effect of a case, by its plan. */
export async function follow(scene: Scene, name: Followed, plan: Plan, { key, args, answer }: Done): Promise<void> {
  const { systems, signal } = scene;
  switch (name) {
    case 'label':
      return;
    case 'refund':
      if (plan.ends?.at === 'settlement') await endEarly(scene, plan);
      // The first route of each payment fails; the one that finance finds holds.
      else if (plan.otherRoute && key.includes('/route-1/') && refundArgs.parse(args).via === 'original')
        await systems.send('POST', '/finance/acts/fail', { refundId: refundAnswer.parse(answer).refundId, reason: 'accountClosed' }, ignore);
      return;
    case 'paymentLink':
      await nap(plan.pauseMs, signal);
      if (plan.ends?.at === 'difference') await endEarly(scene, plan);
      else if (plan.difference !== 'never')
        await systems.send(
          'POST',
          plan.difference === 'paid' ? '/finance/acts/pay' : '/finance/acts/expire',
          { linkId: linkAnswer.parse(answer).linkId },
          ignore,
        );
      return;
    case 'reserve':
      if (plan.goodsVanish && key.endsWith('/new-goods/hold-1/reserve'))
        await systems.send('POST', '/warehouse/acts/vanish', { reservationId: reserveAnswer.parse(answer).reservationId }, ignore);
  }
}

const stockView = z.object({ stock: z.array(z.object({ sku: z.string(), onHand: z.int() })) });

/** Goods come in that were sold out: as many as the case lacks. */
async function supply({ systems }: Scene, plan: Plan): Promise<void> {
  for (const { sku, quantity } of plan.lacking) {
    const { stock } = await systems.send('POST', '/warehouse/stock', { skus: [sku] }, stockView);
    await systems.send('PUT', '/warehouse/acts/stock', { sku, onHand: (stock[0]?.onHand ?? 0) + quantity }, ignore);
  }
}

// ── the customer, and the world the parcel goes through ────────────────────
const startedView = z.object({ case: z.object({ id: z.string() }) });
const labelAnswer = z.object({ trackingNo: z.string() });

/** What a case's outside world needs to know. */
export interface Outside {
  readonly mail: Mail;
  readonly ledgers: Ledgers;
  /** How long the shop waits for a parcel, in milliseconds. */
  readonly parcelSentMs: number;
}

/** Everything that happens to one case from outside, by its plan: may be begun again at any time, every act counts once. */
export async function play(scene: Scene, plan: Plan, outside: Outside, ended: AbortSignal): Promise<void> {
  const { upstream, door = upstream, journal, signal } = scene;
  const id = plan.caseId;
  const over = AbortSignal.any([signal, ended]);
  const start = async (): Promise<void> => {
    await door.send('POST', '/v1/processes/return-exchange/cases', { input: { ...plan.request, requestedAt: journal.requestedAt(id) } }, startedView);
    journal.write({ what: 'start', case: id });
  };
  if (plan.twice.start) {
    journal.write({ what: 'repeated', case: id, act: 'start sent twice' });
    await Promise.all([start(), start()]);
  } else await start();

  if (plan.ends?.at === 'review') {
    await nap(plan.pauseMs, over);
    await endEarly(scene, plan);
  }
  await Promise.all([readLetters(scene, plan, outside.mail, over), sendGoods(scene, plan, outside, ended)]);
}

/** The customer reads what we write, and sends the evidence that we ask for, or ends it. */
async function readLetters(scene: Scene, plan: Plan, mail: Mail, over: AbortSignal): Promise<void> {
  for await (const { message, id } of mail.of(plan.caseId, over)) {
    if (message !== 'evidenceAsked') continue;
    await nap(plan.pauseMs, over);
    if (plan.ends?.at === 'evidence') await endEarly(scene, plan);
    else if (plan.evidenceComes) await tell(scene, plan, 'evidenceAdded', id, { files: [`${id.replaceAll(/[^\w-]/g, '').slice(-60)}-photo`] });
  }
}

/** The goods' way: handed to carriers, scanned, received. A case may end while they are under way; they come all the same. */
async function sendGoods(scene: Scene, plan: Plan, { mail, ledgers, parcelSentMs }: Outside, ended: AbortSignal): Promise<void> {
  const { systems, signal, journal } = scene;
  const id = plan.caseId;
  if (plan.way.length === 0 && plan.ends?.at !== 'parcel') return;
  const over = AbortSignal.any([signal, ended]);
  const label = await ledgers.nth('label', id, 1, over);
  if (label === undefined) return;
  await nap(plan.pauseMs, signal);
  if (plan.ends?.at === 'parcel') return endEarly(scene, plan);

  const numberOf = async (parcel: ParcelName): Promise<string | undefined> => {
    const [kind, n] = parcel.split('-');
    if (kind === 'own') return courierOf(plan, n ?? '');
    const made = await ledgers.nth('label', id, Number(n), over);
    return made && labelAnswer.parse(made.answer).trackingNo;
  };
  let received = 0;
  for (const act of plan.way) {
    if (signal.aborted) return;
    switch (act.act) {
      case 'courier': {
        const trackingNo = await numberOf(act.parcel);
        await tell(scene, plan, 'ownCourier', `${plan.request.requestId}-${act.parcel}`, {
          trackingNo,
          ...(act.freight ? { freight: { minor: courierMinor, currency: plan.currency } } : {}),
        });
        // Only then is it handed in: a parcel that nobody expects is nobody's.
        await mail.told(id, 'courierNoted', Number(act.parcel.split('-')[1]), over);
        break;
      }
      case 'courierOfAnother': {
        let other = ledgers.labelOfAnother(id);
        for (const since = Date.now(); other === undefined && Date.now() - since < 20_000; other = ledgers.labelOfAnother(id)) await nap(lookEveryMs, over);
        if (other) await tell(scene, plan, 'ownCourier', `${plan.request.requestId}-anothers`, { trackingNo: labelAnswer.parse(other.answer).trackingNo });
        break;
      }
      case 'scan': {
        const trackingNo = await numberOf(act.parcel);
        if (trackingNo === undefined) return;
        await systems.send('POST', '/logistics/acts/scan', { trackingNo, state: act.state }, ignore);
        if (plan.ends?.at !== 'underWay') break;
        await endEarly(scene, plan);
        // The withdrawal is heard while the parcel is on its way, not when it is here.
        if (plan.ends.by === 'customer') await mail.told(id, 'withdrawnWithGoods', 1, over);
        break;
      }
      case 'receive': {
        const trackingNo = await numberOf(act.parcel);
        if (trackingNo === undefined) return;
        const units = act.units.map(({ sku }) => (sku === undefined ? {} : { sku }));
        const receipt = { receiptId: receiptOf(plan, ++received), trackingNo, ...(act.unnamed ? {} : { orderId: plan.order }), units };
        await systems.send('POST', '/warehouse/acts/receive', receipt, ignore);
        if (!plan.twice.receipt) break;
        journal.write({ what: 'repeated', case: id, act: 'receipt entered twice' });
        await systems.send('POST', '/warehouse/acts/receive', receipt, ignore);
        break;
      }
      case 'pastWindow':
        await nap(Math.max(0, label.at + parcelSentMs + 5000 - Date.now()), signal);
        break;
      case 'untilEnded':
        await nap(24 * 3600_000, over);
        break;
    }
    await nap(plan.pauseMs, signal);
  }
}

async function tell(
  { upstream, journal }: Scene,
  plan: Pick<Plan, 'twice'> & { readonly caseId: string },
  event: string,
  eventId: string,
  payload: object,
): Promise<void> {
  const send = async (): Promise<void> => {
    const answer = await upstream.call('POST', `/v1/cases/${encodeURIComponent(plan.caseId)}/events/${event}`, { eventId, payload });
    const refused = answer.status < 300 ? undefined : new Refused(`event ${event}`, answer);
    // Said before the demo was interrupted, in other words.
    if (refused?.code === 'eventConflict') return;
    if (refused) throw refused;
    journal.write({ what: 'event', case: plan.caseId, event, eventId });
  };
  await send();
  if (!plan.twice.events) return;
  journal.write({ what: 'repeated', case: plan.caseId, act: 'event sent twice' });
  await send();
}

async function endEarly(scene: Scene, plan: Plan): Promise<void> {
  const { upstream, journal } = scene;
  if (plan.ends?.by === 'platform') return tell(scene, plan, 'closedByPlatform', `${plan.request.requestId}-platform`, { how: plan.ends.how });
  const answer = await upstream.call('POST', `/v1/cases/${encodeURIComponent(plan.caseId)}/withdraw`, { reason: 'changedMind' });
  if (answer.status < 300) journal.write({ what: 'withdrawal', case: plan.caseId });
  // It has ended, or is being settled: a customer who comes too late is told so.
  else if (answer.status === 409) journal.write({ what: 'refused', case: plan.caseId, act: 'withdrawal' });
  else throw new Refused(`withdrawal of ${plan.caseId}`, answer);
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
