/** `npm run rolling`: the engine as in production on one machine, its processes restarted one after the other under load; or lost, and restored from a back-up. */
import { setMaxListeners } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { systems as systemContracts } from '../systems/index.ts';
import { nap } from './demo/actors.ts';
import type { Branch } from './demo/branches.ts';
import { Caller, type Attempt } from './demo/calls.ts';
import { optionsOf, runMain, toldToStop, whole } from './demo/command.ts';
import { Journal } from './demo/journal.ts';
import type { Plan } from './demo/plan.ts';
import { newRun, Progress } from './demo/progress.ts';
import { table } from './demo/report.ts';
import { returns } from './demo/returns.ts';
import { runDemo, type Around, type Prepare, type RunOptions } from './demo/run.ts';
import { backUp, backUpFiles, restore } from './rolling/backup.ts';
import { checkReplays } from './rolling/check.ts';
import { secretsOf, startCluster, startWorld, type Cluster, type ClusterOptions } from './rolling/cluster.ts';
import { buildRelease } from './stack/release.ts';
import { cleanUp } from './stack/state.ts';
import { unless } from './stack/unless.ts';

const root = resolve(import.meta.dirname, '..');

export const help = `npm run rolling -- [options]

Builds the engine and runs it as in production, without containers: the full Temporal server and all tables on one Postgres, two workers, two APIs behind
one address, the outside systems with a Postgres of their own. Opens all cases, then restarts every worker and API and the Temporal server, one after the
other, by SIGTERM, while people, customers and systems act over HTTP and try again what was not answered. It ends with an audit of every ledger:
  N cases, M open, R restarts, Q requests: 0 unanswered, 0 non-determinism errors, 0 lost, 0 doubled, …      (exit code 1 when a number is not 0)

  --restore          instead of restarts: a back-up of Postgres while the cases run, then all of it is lost, and restored from the back-up, in which what
                     happened since is missing. The outside systems have not forgotten it. Which cases it takes: docs/restore.md
  --cases N          how many cases, all open at once                             (500; with --restore 60)
  --seed N           draws the orders and what each case does                     (1)
  --rounds N         how many times every process is restarted                    (1)
  --data FOLDER      where everything is kept; emptied first                      (.data/rolling-SEED)
  --help             this text

The first time, Temporal's server is built with Go: about 5 minutes on two cores.`;

const optionsSchema = z.object({
  restore: z.boolean().default(false),
  cases: whole(1, 5000, 'cases').optional(),
  seed: whole(0, 2 ** 31, 'seed').default(1),
  rounds: whole(1, 20, 'rounds').default(1),
  data: z.string().optional(),
});
type Options = z.output<typeof optionsSchema>;
const usual = { rolling: 500, restore: 60 } as const;

/** As `terminationGracePeriodSeconds` of the deployments: who takes longer is killed. */
const graceMs = 30_000;
/** Between two restarts, as `minReadySeconds`: who has just come gets its share of the work before the next one goes. */
const settleMs = 3000;
/** So long the cases go on after the back-up was taken: decisions, effects and webhooks that it does not have. Less when fewer than a quarter of them are open. */
const lostMs = 15_000;
/**
 * Temporal's server joins whoever has said in its database within 20 s that it is there, for up to 70 s, and gives up when none of them is. A back-up that young names
 * the server that is dead; nobody restores one as fast as we do here.
 */
const hostsForgottenMs = 20_000;
const policyFile = join(root, 'policies/demo.yaml');

/** Reads the command line; throws an Error that says what does not fit. */
export function readArguments(argv: readonly string[]): Options | 'help' {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const { values } = parseArgs({ args: [...argv], options: { restore: flag, cases: text, seed: text, rounds: text, data: text, help: flag } });
  const { help: asked, ...given } = values;
  if (asked) return 'help';
  return optionsOf(optionsSchema, given);
}

async function main(argv: readonly string[]): Promise<number> {
  const options = readArguments(argv);
  if (options === 'help') {
    console.log(help);
    return 0;
  }
  const folder = resolve(options.data ?? `.data/rolling-${options.seed}`);
  const signal = toldToStop('Interrupted.');
  // Each step of a start waits for it, and each of the callers.
  setMaxListeners(0, signal);
  const say = (line: string): void => console.log(line);
  await makeEmpty(folder, say);
  const release = join(folder, 'release');
  say('Building.');
  await buildRelease(root, release);

  const common = { release, env: process.env, say, signal };
  const home = join(folder, 'cluster');
  const world = await startWorld({ ...common, folder: join(folder, 'world'), secrets: await secretsOf(home) });
  try {
    const clusterOptions = { ...common, folder: home, world, policyFile, workers: 2, apis: 2 };
    const { lines, ok } = options.restore ? await loseAndRestore(options, folder, clusterOptions) : await rollOut(options, folder, clusterOptions);
    for (const line of lines) console.log(line);
    return ok ? 0 : 1;
  } finally {
    await world.stop();
  }
}

/** Ends what a run that was killed has left there, and deletes its files. */
async function makeEmpty(folder: string, say: (line: string) => void): Promise<void> {
  if (existsSync(folder) && !existsSync(join(folder, 'cluster'))) throw new Error(`${folder} is not of an earlier run: choose another --data.`);
  for (const part of ['cluster', 'restored', 'world']) await cleanUp(join(folder, part), say);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'cluster'), { recursive: true });
}

const startProgress = (folder: string, cases: number): Progress => new Progress(join(folder, 'progress.json'), { ...newRun({}, true), cases });

/** Cases of a kind, out of as many as it takes. */
const casesThat =
  (keep: (plan: Plan) => boolean, outOf: number, { seed }: Options, cases: number): Prepare =>
  async (...about) => {
    const prepared = await returns({ files: undefined, seed, cases: Math.ceil(outOf * cases) })(...about);
    const plans = prepared.plans.filter(keep).slice(0, cases);
    if (plans.length < cases) throw new Error(`Only ${plans.length} cases of this kind were drawn: take fewer --cases, or another --seed.`);
    const ids = new Set<string>(plans.map((plan) => plan.order));
    return { ...prepared, plans, orders: prepared.orders.filter((order) => ids.has(order.orderId)), conclude: () => ({ lines: [], ok: true }) };
  };
const endWithoutPeople: ReadonlySet<Branch> = new Set(['unknownOrder', 'unknownLine', 'alreadyReturned']);
/** Whether a case waits until somebody sits down to review it. */
const staysOpen = ({ branches, ends }: Plan): boolean => ends?.at !== 'review' && !branches.some((branch) => endWithoutPeople.has(branch));
/** What a carrier says of a parcel that nothing happens to. */
const uneventful: ReadonlySet<string> = new Set(['pickedUp', 'inTransit', 'delivered']);
/**
 * Whether it goes the same way when all that came from outside since the back-up is there before people decide anew (docs/restore.md): no window has to end in it, and
 * nobody ends it early; it wants nothing that is sold out, for the shelves are not put back with us; nobody is asked for evidence, for who has answered is asked
 * once more and not told, because the message has been sent; and of parcels there is one at most, which says whose it is and comes
 * straight: of one that is back in its carrier's hands nobody has to decide any more.
 */
const goesTheSameWay = ({ waitsMs, ends, goodsVanish, lacking, reviews, way }: Plan): boolean =>
  waitsMs === 0 &&
  ends === undefined &&
  !goodsVanish &&
  lacking.length === 0 &&
  reviews.every(({ decision }) => decision !== 'moreEvidence') &&
  way.every((one) => (one.act === 'scan' && uneventful.has(one.state)) || (one.act === 'receive' && !one.unnamed)) &&
  way.filter(({ act }) => act === 'receive').length <= 1;

/** What a run of cases needs besides its own; all are open at once, and the stack is ours. */
const runOptions = ({ seed }: Options, cases: number, folder: string, tally: Tally): RunOptions => ({
  folder,
  seed,
  concurrency: cases,
  own: true,
  allOpenFirst: true,
  watch: tally.watch,
});
/** What callers have lived through, all together. */
class Tally {
  calls = 0;
  /** Requests that were made again: somebody was away, or too busy. */
  again = 0;
  /** Calls that were not answered in all the time that patience lasts. */
  unanswered = 0;
  longestMs = 0;
  readonly watch = ({ status, again, sinceMs }: Attempt): void => {
    if (again) {
      this.again += 1;
      return;
    }
    this.calls += 1;
    if (status === undefined || status >= 500 || status === 429) this.unanswered += 1;
    else this.longestMs = Math.max(this.longestMs, sinceMs);
  };
}
const open = ({ scene, done }: Around): number => 2 * scene.journal.started.size - Math.round(2 * done() * scene.plans.size);
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
/** What the audit's line says after its colon: numbers that must all be 0. */
const found = (auditLine: string): string => auditLine.slice(auditLine.indexOf(':') + 2);
const clean = (numbers: string): boolean => [...numbers.matchAll(/\d+/g)].every(([n]) => n === '0');

/** What all runs end with. */
async function conclude(
  head: string,
  restarts: readonly (readonly string[])[],
  lines: readonly string[],
  tally: Tally,
  cluster: Cluster,
  logs: readonly string[],
): Promise<{ lines: readonly string[]; ok: boolean }> {
  const replays = await checkReplays(cluster.temporalAddress, cluster.state.settings['DATABASE_URL'] ?? '', logs);
  const numbers = `${tally.unanswered} unanswered, ${replays.nonDeterminism} non-determinism errors, ${found(lines.at(-1) ?? '')}`;
  return {
    lines: [
      ...lines.slice(0, -2),
      '',
      'Restarts',
      ...table(restarts),
      '',
      'Requests of people and upstream',
      ...table([
        ['all', String(tally.calls)],
        ['requests that were made again', String(tally.again)],
        ['never answered', String(tally.unanswered)],
        ['longest until an answer', seconds(tally.longestMs)],
      ]),
      '',
      'Histories',
      ...table([
        ['workflows', String(replays.workflows)],
        ['events', String(replays.events)],
        ['non-determinism errors', String(replays.nonDeterminism)],
        ...[...replays.failed].map(([cause, count]) => [`failed workflow tasks: ${cause}`, String(count)]),
      ]),
      '',
      `${head}, ${tally.calls} requests: ${numbers}`,
    ],
    ok: clean(numbers),
  };
}

async function rollOut(options: Options, folder: string, clusterOptions: ClusterOptions) {
  const { cases = usual.rolling, rounds } = options;
  const cluster = await startCluster(clusterOptions);
  const progress = startProgress(folder, cases);
  const { signal } = clusterOptions;
  try {
    const tally = new Tally();
    const restarts: string[][] = [['', 'signal to end', 'until ready', 'cases open', 'ended by']];
    const disturb = async (around: Around): Promise<void> => {
      const { over, scene } = around;
      while (!over.aborted && scene.journal.started.size < scene.plans.size) await nap(100, over);
      for (let round = 0; round < rounds; round++) {
        // Spread over the run: the next round when its share of the cases has ended.
        while (!over.aborted && open(around) > (1 - round / rounds) * scene.plans.size) await nap(250, over);
        for (const name of cluster.rolled) {
          await nap(settleMs, over);
          if (over.aborted) return;
          const openThen = open(around);
          const { how, endedMs, readyMs } = await unless(signal, () => cluster.restart(name, graceMs));
          progress.say(`${name} ended after ${seconds(endedMs)} (${how}), its successor was ready after ${seconds(readyMs)}; ${openThen} cases open`);
          restarts.push([name, seconds(endedMs), seconds(readyMs), String(openThen), how]);
        }
      }
    };
    const { lines } = await runDemo(
      casesThat(staysOpen, 1.3, options, cases),
      { ...runOptions(options, cases, clusterOptions.folder, tally), disturb },
      cluster.state,
      progress,
      new Journal(join(folder, 'journal.ndjson')),
      signal,
    );
    progress.interrupt();
    const done = restarts.length - 1;
    const wanted = rounds * cluster.rolled.length;
    const most = Math.max(0, ...restarts.slice(1).map(([, , , count]) => Number(count)));
    const logs = cluster.rolled.filter((name) => name.startsWith('worker')).map((name) => join(clusterOptions.folder, 'logs', `${name}.log`));
    const concluded = await conclude(`${cases} cases, ${most} open at the first restart, ${done} restarts`, restarts, lines, tally, cluster, logs);
    if (done < wanted) progress.say(`Only ${done} of ${wanted} restarts were done before the last case ended: take more --cases.`);
    const killed = restarts.slice(1).filter(([, , , , how]) => how !== 'exit code 0');
    if (killed.length > 0) progress.say(`Not ended by themselves: ${killed.map(([name, , , , how]) => `${name} (${how})`).join(', ')}`);
    return { lines: concluded.lines, ok: concluded.ok && done === wanted && killed.length === 0 };
  } finally {
    progress.interrupt();
    await cluster.stop();
  }
}

/** As long as a demo may have them (cli/demo/run.ts). */
const longWindow = '540s';
/** A parcel that has come is nobody's until its case has asked for it once more. */
const untilAllAreBack = '90s';

/**
 * The demo's policy with windows and clocks that outlast the restore, as days do: what falls due between back-up and restore is over when Temporal is back, before
 * anybody can tell it what came in time, and a warning that was given since is not given again.
 */
function policyOfLongWindows(file: string): string {
  const policy = z
    .looseObject({ windows: z.record(z.string(), z.string()), clocks: z.record(z.string(), z.looseObject({})), inbox: z.looseObject({}) })
    .parse(parse(readFileSync(policyFile, 'utf8')));
  const clocks = Object.fromEntries(Object.entries(policy.clocks).map(([name, clock]) => [name, { ...clock, within: longWindow }]));
  const windows = Object.fromEntries(Object.keys(policy.windows).map((name) => [name, longWindow]));
  writeFileSync(file, stringify({ ...policy, windows, clocks, inbox: { ...policy.inbox, unclaimedAfter: untilAllAreBack } }));
  return file;
}

/** Lines that a journal of the time after the back-up must not have: what was accepted then is lost, and is to be done again. */
const keptAlways = new Set(['starting', 'repeated', 'refused']);

async function loseAndRestore(options: Options, folder: string, clusterOptions: ClusterOptions) {
  const { cases = usual.restore } = options;
  const { signal, world, say } = clusterOptions;
  const progress = startProgress(folder, cases);
  const backup = join(folder, 'backup');
  const tally = new Tally();
  const demo = casesThat(goesTheSameWay, 30, options, cases);
  const ofLongWindows = { ...clusterOptions, policyFile: policyOfLongWindows(join(folder, 'policy.yaml')) };
  const [firstJournal, secondJournal] = [join(folder, 'before.ndjson'), join(folder, 'after.ndjson')];
  let acceptedBefore = 0;
  let backedUpAt = new Date();
  let backUpTook = 0;

  // The first life: until some seconds after the back-up.
  const cluster = await startCluster(ofLongWindows);
  const lost = new AbortController();
  try {
    const disturb = async (around: Around): Promise<void> => {
      const { over, scene } = around;
      // All are open, and people begin.
      while (!over.aborted && scene.journal.started.size < scene.plans.size) await nap(100, over);
      acceptedBefore = readFileSync(firstJournal, 'utf8').split('\n').length - 1;
      const before = scene.journal.accepted.length;
      backedUpAt = new Date();
      await backUp(cluster.postgres, join(backup, 'postgres'));
      await backUpFiles(clusterOptions.folder, backup);
      backUpTook = Date.now() - backedUpAt.getTime();
      progress.say(`Back-up taken in ${seconds(backUpTook)} with ${open(around)} cases open.`);
      const until = Date.now() + lostMs;
      while (!over.aborted && Date.now() < until && open(around) > scene.plans.size / 4) await nap(100, over);
      progress.say(
        `All is lost ${seconds(Date.now() - backedUpAt.getTime())} after the back-up began; ${scene.journal.accepted.length - before} acts were accepted since.`,
      );
      await cluster.kill();
      lost.abort();
    };
    await runDemo(
      demo,
      { ...runOptions(options, cases, clusterOptions.folder, tally), disturb },
      cluster.state,
      progress,
      new Journal(firstJournal),
      AbortSignal.any([signal, lost.signal]),
    );
  } catch (error) {
    if (!lost.signal.aborted) throw error;
  } finally {
    await cluster.stop();
  }
  if (!lost.signal.aborted) throw new Error('The cases ended before anything was lost: take more --cases.');

  // The second life, in another folder: from the back-up alone.
  const home = join(folder, 'restored');
  await nap(backedUpAt.getTime() + backUpTook + hostsForgottenMs - Date.now(), signal);
  const began = Date.now();
  await restore(join(backup, 'postgres'), join(home, 'postgres'));
  await backUpFiles(backup, home);
  const lines = readFileSync(firstJournal, 'utf8').trimEnd().split('\n');
  const what = z.object({ what: z.string() });
  writeFileSync(
    secondJournal,
    lines
      .filter((line, n) => n < acceptedBefore || keptAlways.has(what.parse(JSON.parse(line)).what))
      .map((line) => `${line}\n`)
      .join(''),
  );
  const again = await startCluster({ ...ofLongWindows, folder: home });
  try {
    say(`Restored and ready after ${seconds(Date.now() - began)}.`);
    // What the systems have told us since then, and we took and lost. They are asked for it, as one asks partners after a restore.
    const systems = new Caller({ url: () => world.systemsUrl, signal });
    let resent = 0;
    for (const system of Object.keys(systemContracts))
      resent += (await systems.send('POST', `/${system}/webhooks/resend`, { since: backedUpAt.toISOString() }, z.object({ webhooks: z.int() }))).webhooks;
    say(`${resent} webhooks are sent again.`);
    const ended = await runDemo(
      demo,
      { ...runOptions(options, cases, home, tally), allOpenFirst: false },
      again.state,
      progress,
      new Journal(secondJournal),
      signal,
    );
    progress.interrupt();
    const logs = ['worker-1', 'worker-2'].map((name) => join(home, 'logs', `${name}.log`));
    return await conclude(
      `${cases} cases, restored from a back-up`,
      [['Postgres, Temporal, workers, APIs', 'lost and restored']],
      ended.lines,
      tally,
      again,
      logs,
    );
  } finally {
    progress.interrupt();
    await again.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) runMain(() => main(process.argv.slice(2)));
