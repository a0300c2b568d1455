/** A run under faults: a stack whose every pair speaks through a proxy, cases on it, a plan of faults, and a judge at the end. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { audit, type Finding } from '../demo/audit.ts';
import type { Branch } from '../demo/branches.ts';
import { Journal, type Disturbed } from '../demo/journal.ts';
import type { Plan } from '../demo/plan.ts';
import type { Progress } from '../demo/progress.ts';
import { disturbanceName, report, table } from '../demo/report.ts';
import { returns } from '../demo/returns.ts';
import { faultsThroughout, playRun, systemsThatCall, type Around, type Prepare } from '../demo/run.ts';
import { startOwn, stateIfUp } from '../demo/stack.ts';
import { Caller } from '../demo/calls.ts';
import { mostDrawn } from '../../systems/orders/import.ts';
import type { StackState } from '../stack/state.ts';
import { disturbing } from './disturb.ts';
import { inTime, unpause } from './inject.ts';
import { verdictLine } from './judge.ts';
import { allKinds, kinds as kindsOfFaults, planFaults, type Kind, type Planned } from './plan.ts';
import { probe } from './probe.ts';
import { openWays, routesOf, waysOf } from './ways.ts';

export interface FaultOptions {
  readonly cases: number;
  readonly seed: number;
  readonly kills: number;
  /** Of all other kinds together. */
  readonly faults: number;
  readonly concurrency: number;
  /** Everything of the stack and of the run. */
  readonly folder: string;
  /** The kinds of faults that there are; all unless given. */
  readonly kinds?: readonly Kind[];
  /** Cases of this process alone. */
  readonly process?: ProcessOption | undefined;
  /** The checkout whose stack is started; this one unless given. */
  readonly root?: string;
  /** What goes wrong, instead of what the seed draws; how long the engine takes to work again is then not measured. */
  readonly plan?: readonly Planned[];
  /** What the cases are, instead of the returns of drawn orders. */
  readonly prepare?: Prepare;
  /** What has not ended after so long is stuck, also when something still moves. */
  readonly mostMs?: number;
}

export interface Outcome {
  readonly findings: readonly Finding[];
  /** What to print, the last line last. */
  readonly lines: readonly string[];
  readonly ok: boolean;
  readonly kills: number;
  readonly faults: number;
}

export const processOptions = ['return-exchange', 'late-parcel'] as const;
export type ProcessOption = (typeof processOptions)[number];

export interface RunContext {
  readonly progress: Progress;
  /** The file of what a run has to remember. */
  readonly journal: string;
  readonly signal: AbortSignal;
}

/** Starts a stack, runs the cases on it under the plan's faults, and judges what came of them. The stack is left running: its caller ends it. */
export async function runFaults(options: FaultOptions, { progress, journal: file, signal }: RunContext): Promise<Outcome> {
  const { folder, seed, cases, concurrency, process: only, kinds = allKinds } = options;
  const ways = await waysOf(folder);
  const proxies = await openWays(ways);
  try {
    const routes = join(folder, 'routes.json');
    mkdirSync(folder, { recursive: true });
    writeFileSync(routes, `${JSON.stringify(routesOf(ways), null, 2)}\n`);
    const stack =
      stateIfUp(folder) ??
      (await startOwn({
        folder,
        say: (line) => progress.say(line),
        signal,
        root: options.root ?? resolve(import.meta.dirname, '../..'),
        ports: ways.ports,
        routes,
        env: withoutServers(process.env),
      }));
    const journal = new Journal(file);
    const throughout = (system: string): object => (systemsThatCall.some((one) => one === system) ? faultsThroughout(seed) : {});
    await calm(folder, stack, journal, ways.clock, signal);
    const plan = options.plan ?? planFaults(seed, options, kinds);
    const { prepared, rows, reported } = await playRun(
      options.prepare ?? ofProcess(only, seed, cases),
      {
        folder,
        seed,
        concurrency,
        own: true,
        ...(options.mostMs === undefined ? {} : { mostMs: options.mostMs }),
        disturb: disturbing(
          folder,
          plan,
          { proxies, clock: ways.clock === undefined ? noFaketime : { file: ways.clock }, throughout },
          options.plan === undefined ? ({ scene }: Around, name) => probe(scene, `faults-${seed}-${name}`, signal) : undefined,
        ),
      },
      stack,
      progress,
      journal,
      signal,
    );
    const findings = audit(rows);
    const kills = reported.disturbed.filter(({ kind }) => kind === 'kill').length;
    const faults = reported.disturbed.length - kills;
    return {
      findings,
      lines: [...report({ ...reported, concluded: recoveries(journal), findings }), '', verdictLine({ cases: prepared.plans.length, kills, faults }, findings)],
      ok: findings.length === 0,
      kills,
      faults,
    };
  } finally {
    await Promise.all(Object.values(proxies).map((proxy) => proxy.close()));
  }
}

/** Servers of the operator's own are not for faults: the stack has its own. */
const withoutServers = ({ DATABASE_URL: _d, TEMPORAL_ADDRESS: _t, TEMPORAL_NAMESPACE: _n, SYSTEMS_URL: _s, WEBHOOK_URL: _w, ...env }: NodeJS.ProcessEnv) => env;
const noFaketime = 'libfaketime is not installed (apt-get install libfaketime)';

/** Takes back what a run that was interrupted has left: paused processes, systems' faults, a clock that is off. */
async function calm(folder: string, stack: StackState, journal: Journal, clock: string | undefined, signal: AbortSignal): Promise<void> {
  unpause(folder);
  if (clock !== undefined) writeFileSync(clock, inTime);
  const systems = new Caller({ url: () => stack.urls.systems, signal });
  for (const system of kindsOfFaults.away.targets) await systems.send('PUT', `/${system}/faults`, {}, z.unknown());
  for (const [n, { lifted, omitted }] of journal.disturbed.entries())
    if (lifted === undefined && omitted === undefined) journal.write({ what: 'lifted', n, at: new Date().toISOString() });
}

/** Ways that lead into a case of a late parcel. */
const lateBranches: ReadonlySet<Branch> = new Set([
  'lateAfterExpiry',
  'lateTakenBack',
  'lateSentBack',
  'lateKept',
  'lateClaimed',
  'ownerFound',
  'ownerTold',
  'ownerUnknown',
  'platformUnderWay',
]);
const goesLate = (plan: Plan): boolean => plan.branches.some((branch) => lateBranches.has(branch));
/** So many plans are drawn for each case that is wanted: one in six goes late. */
const drawn = { 'return-exchange': 2, 'late-parcel': 12 } as const;

/** Returns of drawn orders: every way, or those that stay in one process. */
function ofProcess(only: ProcessOption | undefined, seed: number, cases: number): Prepare {
  if (only === undefined) return returns({ files: undefined, seed, cases });
  return async (systems, policy, progress) => {
    const all = await returns({ files: undefined, seed, cases: Math.min(mostDrawn, cases * drawn[only]) })(systems, policy, progress);
    const plans = all.plans.filter((plan) => goesLate(plan) === (only === 'late-parcel')).slice(0, cases);
    if (plans.length < cases) progress.say(`Only ${plans.length} of the drawn returns are for ${only}: that many cases.`);
    const wanted = new Set(plans.map((plan) => plan.order));
    return { ...all, plans, orders: all.orders.filter((order) => wanted.has(order.orderId)) };
  };
}

const seconds = (ms: number | undefined): string => (ms === undefined ? '–' : `${(ms / 1000).toFixed(1)} s`);
const sorted = (numbers: readonly number[]): number[] => numbers.toSorted((a, b) => a - b);
const median = (numbers: readonly number[]): number | undefined => sorted(numbers)[Math.floor((numbers.length - 1) / 2)];

/** How long the engine took to work again, by what was done to it. */
function recoveries({ disturbed, tookPlace, probed }: Journal): string[] {
  const byName = new Map<string, Disturbed[]>();
  for (const one of tookPlace) byName.set(disturbanceName(one), [...(byName.get(disturbanceName(one)) ?? []), one]);
  const omitted = disturbed.filter((one) => one.omitted !== undefined);
  return [
    'Time to recover: from the end of the fault (for a kill: the kill) until a case that was started after it has gone from start to end.',
    `Others may last meanwhile, so these are upper bounds. While nothing was disturbed such a case took ${seconds(median(probed))}, at most ${seconds(sorted(probed).at(-1))}.`,
    ...table([
      ['', 'times', 'median', 'maximum', 'not seen'],
      ...[...byName]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, of]) => {
          const seen = of.flatMap(({ recoveredMs }) => recoveredMs ?? []);
          return [name, String(of.length), seconds(median(seen)), seconds(sorted(seen).at(-1)), String(of.length - seen.length)];
        }),
    ]),
    ...omitted.map(({ kind, target, omitted: why }) => `  did not take place: ${kind} ${target}: ${why ?? ''}`),
  ];
}
