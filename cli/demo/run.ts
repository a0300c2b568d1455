/** A run: cases that are played by their plans, by people and systems that act over HTTP, disturbed if asked for, and an audit of every ledger. */
import { execFile } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { signToken } from '../../api/token.ts';
import { caseSchema, pageOf, personSchema } from '../../api/views.ts';
import { loadPolicy } from '../../policies/load.ts';
import { windowOf } from '../../policies/lookup.ts';
import type { Policy } from '../../policies/schema.ts';
import type { OrderFacts } from '../../systems/orders/contract.ts';
import type { Role } from '../../values/role.ts';
import type { StackState } from '../stack/state.ts';
import { desk, follow, Ledgers, Mail, nap, play, watchEnds, type Outside, type Person, type Scene } from './actors.ts';
import { audit, auditLine, type AuditRows } from './audit.ts';
import { Caller, type CallerOptions } from './calls.ts';
import { collect, processes, untilQuiet } from './collect.ts';
import type { Journal } from './journal.ts';
import { goodwillLimit, type Goods, type Plan } from './plan.ts';
import type { Progress } from './progress.ts';
import { report, type Reported } from './report.ts';

export interface RunOptions {
  readonly folder: string;
  readonly seed: number;
  readonly concurrency: number;
  /** The stack is ours alone: the sandbox may be told to send webhooks twice. */
  readonly own: boolean;
  /** Hears of every request of people and upstream. */
  readonly watch?: CallerOptions['watch'];
  /** People sit down at their desks when every case has been started, so that all are open at once. */
  readonly allOpenFirst?: boolean;
  /** What goes wrong meanwhile. */
  readonly disturb?: Disturb;
  /** What has not ended after so long is stuck, also when something still moves. */
  readonly mostMs?: number;
}

/** Disturbs the cases while they run, until the signal; when it returns, nothing of what it did is left. */
export type Disturb = (around: Around) => Promise<void>;
export interface Around {
  readonly scene: Scene;
  readonly stack: StackState;
  readonly progress: Progress;
  /** How much of the run's work is done, 0 to 1. */
  readonly done: () => number;
  /** The cases have ended. */
  readonly over: AbortSignal;
}

/** What a demo is about, once it is loaded. */
export interface Prepared {
  /** Under which the sandbox lists the orders. */
  readonly source: string;
  readonly orders: readonly OrderFacts[];
  /** Goods as they are when the run begins. */
  readonly goods: readonly Goods[];
  readonly plans: readonly Plan[];
  /** What it shows besides the audit, and whether it holds. */
  readonly conclude: (rows: AuditRows, journal: Journal) => { readonly lines: readonly string[]; readonly ok: boolean };
}
export type Prepare = (systems: Caller, policy: Policy, progress: Progress) => Promise<Prepared>;

const root = resolve(import.meta.dirname, '../..');
/** How many there are of each role: enough that nobody waits for a person. */
export const staff: readonly (readonly [Role, number])[] = [
  ['agent', 6],
  ['supervisor', 4],
  ['manager', 3],
  ['warehouse', 2],
  ['quality', 3],
  ['finance', 2],
  // Customers, who choose by the shop's own app: upstream acts for them.
  ['customer', 2],
];
/** The longest window of the demo policy is under a minute: longer ones make a demo of days. */
const longestWindowMs = 10 * 60_000;
/** Nothing has moved for this long: longer than any window and any restart. What has not ended by then is stuck. */
const stillMs = 180_000;

/** A run that has ended, with all that there is to say about it. */
export interface Played {
  readonly prepared: Prepared;
  readonly rows: AuditRows;
  /** What the reports of all runs show. */
  readonly reported: Omit<Reported, 'concluded' | 'findings'>;
}

/** Plays every case of a run, until all is quiet, and collects what came of it. */
export async function playRun(
  prepare: Prepare,
  options: RunOptions,
  stack: StackState,
  progress: Progress,
  journal: Journal,
  signal: AbortSignal,
): Promise<Played> {
  const began = Date.now();
  // The stack keeps its addresses over restarts of its processes.
  const systems = new Caller({ url: () => stack.urls.systems, signal });
  const { policy } = loadPolicy(stack.settings['POLICY_FILE'] ?? '');
  if (windowOf(policy, 'parcelSent') > longestWindowMs)
    throw new Error(
      `The stack runs on ${stack.settings['POLICY_FILE']}, whose windows last days. Start one on seconds: npm start -- --data ${options.folder} --policy policies/demo.yaml`,
    );

  progress.set({ phase: 'import' });
  const prepared = await prepare(systems, policy, progress);
  const plans = new Map(prepared.plans.map((plan) => [plan.caseId as string, plan]));
  const { people, upstream } = await cast(options, stack, signal);
  if (options.own) await arrange(systems, options.seed, prepared.goods);
  else
    progress.say(
      'On a stack that runs already, how the systems settle is left as it is: failing refunds and couriers that finance does not pay may not come up.',
    );

  const acting = new AbortController();
  const scene: Scene = {
    plans,
    followers: new Map(),
    people,
    upstream,
    systems,
    journal,
    signal: AbortSignal.any([signal, acting.signal]),
    trouble: (what) => progress.say(what),
  };
  // Everyone who waits listens to them.
  for (const one of [signal, scene.signal]) setMaxListeners(0, one);
  progress.set({ phase: 'cases', cases: plans.size });
  await runCases(scene, stack, options, progress, windowOf(policy, 'parcelSent'));
  acting.abort();

  progress.set({ phase: 'quiet' });
  const ms = Date.now() - began;
  await untilQuiet(systems, stack, signal);
  progress.set({ phase: 'audit' });
  const rows = await collect({ scene, all: options.own, stack, source: prepared.source, orders: prepared.orders.map((order) => order.orderId) });
  return {
    prepared,
    rows,
    reported: {
      cases: [...rows.cases.values()],
      ledger: rows.ledger,
      repeated: journal.repeated,
      disturbed: journal.tookPlace,
      webhooks: { sent: rows.webhooks.length, attempts: rows.webhooks.reduce((so, webhook) => so + webhook.attempts, 0), twice: options.own },
      ms,
    },
  };
}

/** Runs a demo and returns what to print, the last line last, and whether all is well. */
export async function runDemo(...run: Parameters<typeof playRun>): Promise<{ readonly lines: readonly string[]; readonly ok: boolean }> {
  const { prepared, rows, reported } = await playRun(...run);
  const findings = audit(rows);
  const [, , , , journal] = run;
  const concluded = prepared.conclude(rows, journal);
  const lines = report({ ...reported, concluded: concluded.lines, findings });
  return { lines: [...lines, '', auditLine(prepared.plans.length, findings)], ok: findings.length === 0 && concluded.ok };
}

/** What the sandbox of a run's own stack does throughout: some webhooks come twice. */
export const faultsThroughout = (seed: number) => ({ duplicateWebhooks: 0.1, seed });
export const systemsThatCall = ['warehouse', 'finance', 'logistics'] as const;

/** The sandbox of a stack of our own: webhooks twice, full shelves of what is not sold out, refunds that take long enough to fail, and a small limit of finance's. */
async function arrange(systems: Caller, seed: number, goods: readonly Goods[]): Promise<void> {
  for (const system of systemsThatCall) await systems.send('PUT', `/${system}/faults`, faultsThroughout(seed), z.unknown());
  await systems.send('PUT', '/finance/settings', { acceptMs: 2500, goodwillLimit }, z.unknown());
  // More than all cases together ask for of one kind.
  for (const { sku, stock } of goods) if (stock > 0) await systems.send('PUT', '/warehouse/acts/stock', { sku, onHand: 10_000 }, z.unknown());
}

/** Makes everyone by the API, and gives each a token. The first manager comes by the command that a person would use: somebody has to make the others. */
export async function cast(
  { folder, watch }: Pick<RunOptions, 'folder' | 'watch'>,
  stack: StackState,
  signal: AbortSignal,
): Promise<{ people: readonly Person[]; upstream: Caller }> {
  const privateKey = await readFile(stack.settings['JWT_PRIVATE_KEY_FILE'] ?? '', 'utf8');
  const caller = async (subject: string): Promise<Caller> =>
    new Caller({ url: () => stack.urls.api, token: await signToken({ privateKey, subject, ttl: '12h' }), signal, watch });
  const command = ['--import', 'tsx', join(root, 'cli/token.ts'), '--user', 'demo-head', '--role', 'manager', '--data', folder];
  await promisify(execFile)(process.execPath, command, { cwd: root, signal });
  const head = await caller('demo-head');
  const make = async (id: string, role: Role): Promise<Person> => {
    await head.send('PUT', `/v1/people/${id}`, { name: id, roles: [role === 'customer' ? 'upstream' : role], shops: ['*'] }, personSchema);
    return { id, role, api: await caller(id) };
  };
  const people: Person[] = [];
  for (const [role, count] of staff) for (let n = 1; n <= count; n++) people.push(await make(`demo-${role}-${n}`, role));
  return { people, upstream: (await make('demo-shop', 'upstream')).api };
}

/** Plays every case, so many at a time, with everyone at their desks; returns when all have ended or nothing moves any more. */
async function runCases(scene: Scene, stack: StackState, options: RunOptions, progress: Progress, parcelSentMs: number): Promise<void> {
  const { plans, journal, signal } = scene;
  const outside: Outside = { mail: new Mail(), ledgers: new Ledgers(), parcelSentMs };
  const stop = new AbortController();
  const around: Scene = { ...scene, signal: AbortSignal.any([signal, stop.signal]) };
  setMaxListeners(0, around.signal);
  const running = new Map<string, AbortController>();
  const ended = new Set<string>();
  const began = Date.now();
  let moved = began;
  let accepted = -1;

  const count = (): void => {
    if (journal.accepted.length !== accepted) [accepted, moved] = [journal.accepted.length, Date.now()];
    progress.set({ started: journal.started.size, ended: ended.size, waiting: journal.started.size - ended.size });
  };
  const allOpen = async (): Promise<void> => {
    while (options.allOpenFirst === true && journal.started.size < plans.size && !around.signal.aborted) await nap(250, around.signal);
  };
  const others = [
    outside.mail.collect(around),
    outside.ledgers.follow(around, (name, plan, done) => follow(around, name, plan, done)),
    ...staff.map(async ([role]) => {
      await allOpen();
      await desk(around, role);
    }),
    watchEnds(
      around,
      () => [...running.keys()].filter((id) => journal.started.has(id)),
      (id) => {
        ended.add(id);
        moved = Date.now();
        running.get(id)?.abort();
      },
    ),
    options.disturb?.({ scene, stack, progress, done: () => (journal.started.size + ended.size) / (2 * plans.size), over: around.signal }),
  ];

  // What was started before goes on first; then those that wait longest, so that the run does not end in waiting for the last of them.
  const rank = (plan: Plan): number => (journal.started.has(plan.caseId) ? Infinity : plan.waitsMs);
  const queue = [...plans.values()].toSorted((a, b) => rank(b) - rank(a) || 0);
  const slot = async (): Promise<void> => {
    for (let plan = queue.shift(); plan !== undefined; plan = queue.shift()) {
      if (around.signal.aborted) return;
      const end = new AbortController();
      running.set(plan.caseId, end);
      try {
        await play(around, plan, outside, end.signal);
      } catch (error) {
        if (!around.signal.aborted) scene.trouble(`${plan.caseId}: ${error instanceof Error ? error.message : String(error)}`);
      }
      // A case whose outside world failed still has people at it; one that never started has nobody.
      while (journal.started.has(plan.caseId) && !end.signal.aborted && !around.signal.aborted) await nap(200, AbortSignal.any([end.signal, around.signal]));
      running.delete(plan.caseId);
    }
  };
  let fault: Error | undefined;
  const slots = Promise.all(Array.from({ length: options.concurrency }, slot))
    .then(() => untilFollowersEnd(around))
    .finally(() => stop.abort());
  const all = Promise.all([slots, ...others]).catch((error: unknown) => {
    fault = error instanceof Error ? error : new Error(String(error));
    stop.abort();
  });
  while (!around.signal.aborted) {
    count();
    const mostMs = options.mostMs ?? Infinity;
    if (Date.now() - began > mostMs) {
      scene.trouble(`The cases have run for ${mostMs / 1000} s; ${running.size} have not ended.`);
      stop.abort();
    } else if (Date.now() - moved > stillMs) {
      scene.trouble(`Nothing has moved for ${stillMs / 1000} s; ${running.size} cases wait.`);
      stop.abort();
    }
    await nap(250, around.signal);
  }
  await all;
  signal.throwIfAborted();
  if (fault !== undefined) throw fault;
  count();
}

/** Cases that others opened, for parcels that came late, have people at them too. */
async function untilFollowersEnd({ upstream, signal, trouble }: Scene): Promise<void> {
  while (!signal.aborted) {
    try {
      const open = await Promise.all(processes.map((process) => upstream.all(`/v1/cases?process=${process}&status=open`, casesPage)));
      if (open.every((rows) => rows.length === 0)) return;
    } catch (error) {
      if (!signal.aborted) trouble(`open cases: ${error instanceof Error ? error.message : String(error)}`);
    }
    await nap(500, signal);
  }
}
const casesPage = pageOf(caseSchema);
