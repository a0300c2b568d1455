/** A soak: finds out how much the stack carries, loads it with 70 % of that, brings three times as much for a minute, and looks what is left of it. */
import { readFile } from 'node:fs/promises';
import { setMaxListeners } from 'node:events';
import { signToken } from '../../api/token.ts';
import { loadPolicy } from '../../policies/load.ts';
import { windowOf } from '../../policies/lookup.ts';
import { drawnSource } from '../../systems/orders/drawn.ts';
import { mostDrawn } from '../../systems/orders/import.ts';
import { loadCounts } from '../../systems/orders/load.ts';
import type { OrderFacts } from '../../systems/orders/contract.ts';
import type { StackState } from '../stack/state.ts';
import { desk, follow, Ledgers, Mail, nap, type Scene } from '../demo/actors.ts';
import { audit } from '../demo/audit.ts';
import { Caller } from '../demo/calls.ts';
import { collect, deliveredOrders, untilQuiet } from '../demo/collect.ts';
import type { Journal } from '../demo/journal.ts';
import type { Plan } from '../demo/plan.ts';
import type { Progress } from '../demo/progress.ts';
import { cast, staff } from '../demo/run.ts';
import { judge } from './judge.ts';
import { Load } from './load.ts';
import { isPlain, planPlain } from './plans.ts';
import { Prober, type Probe } from './probe.ts';
import { documentedIn, Requests } from './requests.ts';
import { report } from './report.ts';
import { Looker, writeSample, type Phase, type Sample } from './sample.ts';

export interface SoakOptions {
  readonly folder: string;
  readonly seed: number;
  readonly minutes: number;
  /** Cases a second that it carries at most; found out when absent. */
  readonly rate?: number | undefined;
  /** The file of its samples. */
  readonly samples: string;
}

/** Of what it carries at most. */
export const steady = 0.7;
export const burst = 3;
const burstMs = 60_000;
/** After the burst as before it: as long as a minute more than it takes to look at the last two, and longer after a longer soak. */
const afterMs = (minutes: number): number => 60_000 * Math.max(minutes / 6, Math.min(minutes, 3));

const sampleEveryMs = 2000;
const probeEveryMs = 10_000;
/** A caller at the door who was refused for so long goes elsewhere. */
const patienceMs = 30_000;
/** Nothing has ended for this long: longer than any window. What has not ended by then is stuck. */
const stillMs = 180_000;

/** The search: so many cases at once, until twice as many bring no more than this share. A minute each: in half of one a few cases more or less are a sixth of what it carries. */
const [firstAtOnce, mostAtOnce, settleMs, measureMs, worthMore] = [16, 512, 15_000, 60_000, 1.05] as const;

/** So many orders are loaded at a time; about half of them can be returned the plain way. */
const firstOrders = 2500;
/** One customer's orders that are used: more would be reviewed by a supervisor. */
const perCustomer = 3;

/** Orders of the sandbox that have not been used, as many as are asked for. */
class Orders {
  readonly #systems: Caller;
  readonly #seed: number;
  readonly #customers = new Map<string, number>();
  readonly #seen = new Set<string>();
  #loaded = 0;
  readonly #free: OrderFacts[] = [];
  readonly used: string[] = [];

  constructor(systems: Caller, seed: number) {
    this.#systems = systems;
    this.#seed = seed;
  }

  /** Sees to it that there are so many; loads more of the same drawing until there are. */
  async atLeast(count: number): Promise<void> {
    while (this.#free.length < count) {
      if (this.#loaded === mostDrawn) throw new Error(`${mostDrawn} orders are not enough for so many cases. Take fewer --minutes, or a lower --rate.`);
      const more = this.#loaded === 0 ? firstOrders : this.#loaded + Math.max(firstOrders, 2 * (count - this.#free.length));
      this.#loaded = Math.min(mostDrawn, more);
      await this.#systems.send('POST', '/orders/import', { source: 'own', seed: this.#seed, orders: this.#loaded }, loadCounts);
      for (const order of await deliveredOrders(this.#systems, drawnSource(this.#seed))) {
        if (this.#seen.has(order.orderId)) continue;
        this.#seen.add(order.orderId);
        const times = this.#customers.get(order.customer) ?? 0;
        if (!isPlain(order) || times >= perCustomer) continue;
        this.#customers.set(order.customer, times + 1);
        this.#free.push(order);
      }
    }
  }

  take(): OrderFacts {
    const order = this.#free.pop();
    if (order === undefined) throw new Error('All orders that were loaded are used.');
    this.used.push(order.orderId);
    return order;
  }
}

/** Runs a soak and returns what to print, the last line last, and whether all is well. */
export async function runSoak(
  { folder, seed, minutes, rate, samples: file }: SoakOptions,
  { stack, progress, journal, signal }: { readonly stack: StackState; readonly progress: Progress; readonly journal: Journal; readonly signal: AbortSignal },
): Promise<{ readonly lines: readonly string[]; readonly ok: boolean }> {
  const { policy } = loadPolicy(stack.settings['POLICY_FILE'] ?? '');
  const systems = new Caller({ url: () => stack.urls.systems, signal });
  const requests = new Requests(documentedIn(await (await fetch(stack.urls.openapi)).json()), 'search');
  progress.set({ phase: 'import' });
  const orders = new Orders(systems, seed);
  await orders.atLeast(firstOrders / 4);
  const { people, upstream } = await cast({ folder, watch: requests.watch }, stack, signal);

  const acting = new AbortController();
  const around = AbortSignal.any([signal, acting.signal]);
  setMaxListeners(0, around, signal);
  const privateKey = await readFile(stack.settings['JWT_PRIVATE_KEY_FILE'] ?? '', 'utf8');
  const token = await signToken({ privateKey, subject: 'demo-shop', ttl: '12h' });
  const door = new Caller({ url: () => stack.urls.api, token, signal: around, patienceMs, watch: requests.watch });
  const plans = new Map<string, Plan>();
  const trouble = (what: string): void => progress.say(what);
  const scene = { plans, followers: new Map<string, Plan>(), people, upstream, door, systems, journal, signal: around, trouble } satisfies Scene;
  const outside = { mail: new Mail(), ledgers: new Ledgers(), parcelSentMs: windowOf(policy, 'parcelSent') };
  const looker = new Looker(folder, stack);
  let planned = 0;
  const load = new Load(scene, outside, looker, () => planPlain(orders.take(), seed, ++planned), seed);

  let phase: Phase = 'search';
  let perSecond = 0;
  const samples: Sample[] = [];
  const probes: Probe[] = [];
  const enter = (next: Phase, at: number): void => {
    [phase, perSecond] = [next, at];
    requests.phase = next;
  };

  /** One look every two seconds, whatever each of them takes. */
  async function watch(): Promise<void> {
    for (let next = Date.now(); !around.aborted; next += sampleEveryMs) {
      await nap(next - Date.now(), around);
      const seen = await looker.look();
      const { turnedAway, atTheDoor } = load;
      const sample: Sample = {
        at: Date.now(),
        phase,
        rate: perSecond,
        started: journal.started.size,
        ended: load.ended.size,
        atTheDoor,
        turnedAway,
        ...requests.take(),
        ...seen,
      };
      samples.push(sample);
      writeSample(file, sample);
      progress.set({ cases: plans.size, started: journal.started.size, ended: load.ended.size, waiting: load.running });
      // A look that took longer is not made up for.
      next = Math.max(next, Date.now() - sampleEveryMs);
    }
  }
  async function probe(): Promise<void> {
    const agent = people.find(({ role }) => role === 'supervisor')?.api ?? upstream;
    const prober = new Prober(stack.urls.api, { token, agent }, signal);
    for (; !around.aborted; await nap(probeEveryMs, around)) {
      if (phase === 'search') continue;
      // Nobody loads it any more.
      if (phase === 'end') break;
      const one = await prober.probe(orders.take(), (id) => journal.write({ what: 'start', case: id, probe: true }));
      if (!around.aborted) probes.push(one);
    }
    await prober.settled();
  }
  const others = Promise.all([
    outside.mail.collect(scene),
    outside.ledgers.follow(scene, (name, plan, done) => follow(scene, name, plan, done)),
    ...staff.map(([role]) => desk(scene, role)),
    load.watchEnds(around),
    watch(),
    probe(),
  ]);
  // A fault of ours ends the run; it is thrown below.
  let fault: Error | undefined;
  others.catch((error: unknown) => {
    fault = error instanceof Error ? error : new Error('a part of the soak failed', { cause: error });
    acting.abort();
  });

  progress.set({ phase: 'cases' });
  const most = rate ?? (await search(load, orders, progress, around));
  const needed = Math.ceil(most * (steady * (minutes * 60 + afterMs(minutes) / 1000) + burst * (burstMs / 1000)) * 1.2) + 100;
  progress.say(`It carries ${most.toFixed(2)} cases a second at most. Loading ${needed} orders.`);
  await orders.atLeast(needed);
  const stages: readonly (readonly [Phase, number, number])[] = [
    ['load', steady * most, minutes * 60_000],
    ['burst', burst * most, burstMs],
    ['after', steady * most, afterMs(minutes)],
  ];
  for (const [stage, at, ms] of stages) {
    if (around.aborted) break;
    progress.say(`${stage}: ${at.toFixed(2)} cases a second for ${(ms / 60_000).toFixed(1)} min`);
    enter(stage, at);
    await load.open(at, ms);
  }
  enter('end', 0);
  for (let [ended, moved] = [-1, Date.now()]; load.running > 0 && Date.now() - moved < stillMs && !around.aborted; await nap(500, around))
    if (load.ended.size !== ended) [ended, moved] = [load.ended.size, Date.now()];
  acting.abort();
  await others.catch(() => undefined);
  await looker.close();
  signal.throwIfAborted();
  if (fault !== undefined) throw fault;

  progress.set({ phase: 'quiet' });
  await untilQuiet(systems, stack, signal);
  progress.set({ phase: 'audit' });
  const rows = await collect({ scene, stack, all: true, source: drawnSource(seed), orders: orders.used });
  const findings = audit(rows);
  const seen = { samples, probes, faults: requests.faults, findings };
  const verdicts = judge(seen);
  return { lines: report({ ...seen, verdicts, most, requests: requests.summary(), codes: requests.codes }), ok: verdicts.every(({ holds }) => holds) };
}

/** Doubles how many cases run at once until that brings no more; the most cases a second that ended. */
async function search(load: Load, orders: Orders, progress: Progress, signal: AbortSignal): Promise<number> {
  let most = 0;
  for (let atOnce: number = firstAtOnce; atOnce <= mostAtOnce && !signal.aborted; atOnce *= 2) {
    // As many again as it has used, and at the very least what runs at once.
    await orders.atLeast(Math.ceil(atOnce + (settleMs / 1000 + measureMs / 1000) * 4 * Math.max(most, 5)));
    await load.closed(atOnce, settleMs);
    const from = Date.now();
    await load.closed(atOnce, measureMs);
    const now = load.endedBetween(from, Date.now()) / ((Date.now() - from) / 1000);
    progress.say(`${atOnce} cases at once: ${now.toFixed(2)} a second`);
    const enough = now < most * worthMore;
    most = Math.max(most, now);
    if (enough) break;
  }
  if (most === 0) throw new Error('No case has ended: the stack carries nothing. Its logs say why.');
  return most;
}
