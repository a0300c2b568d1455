/** `npm run demo`: whole runs of the engine with everyone in them, and an audit at the end. */
import { spawn } from 'node:child_process';
import { mkdirSync, openSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { branches } from './demo/branches.ts';
import { Journal } from './demo/journal.ts';
import { Progress, readRun, statusText, type RunState } from './demo/progress.ts';
import { oneOrder } from './demo/one-order.ts';
import { returns } from './demo/returns.ts';
import { runDemo, runFiles } from './demo/run.ts';
import { startOwn, stateIfUp, stopOwn } from './demo/stack.ts';
import { readTauFolder } from './import.ts';
import { isRunning, refTo } from './stack/processes.ts';

export const help = `npm run demo -- DEMO [options]

Demos:
  returns     A return for every order, so that every way is gone that a return can go (${branches.length} of them, at least 5 times each from 300 cases on): the four
              remedies, one parcel or several, what is lost, late, wrong or nobody's, new goods that are gone, differences, approvals, refunds that
              fail, withdrawals and platforms at every stage. Customers, agents, warehouse, quality, supervisors, managers, finance and carriers act over HTTP.
  one-order   So many cases at one order at once, that ask for more units than were bought: in the end its units and its money are exactly those of
              the order, to the cent, its freight is refunded once, and who came too late is told so.

It starts a stack of its own on policies/demo.yaml (days become seconds), prints outcomes and amounts, and ends with an audit of every ledger:
  N cases: 0 lost, 0 doubled, 0 above paid, 0 stuck      (exit code 1 when a number is not 0, and the cases are named)

  --source SOURCE    of returns: own: orders drawn from the goods of the own shops; tau-retail: 373 delivered orders in FOLDER     (own)
  --folder FOLDER    orders.json, users.json and products.json of tau-retail             (../shared/data/tau-retail)
  --cases N          how many cases              (returns: 500 of own, all of tau-retail; one-order: 64)
  --seed N           draws the orders, what each case does, and the kills                                  (1)
  --kill             kills worker, API and Temporal by kill -9 while the cases run
  --kills N          how many times                                                                       (10)
  --concurrency N    cases at once                                         (returns: 96; one-order: all)
  --data FOLDER      where its stack keeps everything             (.data/demo-SOURCE-SEED, .data/demo-one-order-SEED)
                     One that runs there already is used and left running; start it with --policy policies/demo.yaml
  --detach           run in the background
  --status           how far the run is that these options name
  --resume           go on with it where it was interrupted
  --help             this text`;

const whole = (least: number, most: number, flag: string) =>
  z.coerce
    .number({ error: `--${flag} is a number` })
    .int(`--${flag} is a whole number`)
    .min(least, `--${flag} is at least ${least}`)
    .max(most, `--${flag} is at most ${most}`);

const optionsSchema = z.object({
  demo: z.enum(['returns', 'one-order'], {
    error: (issue) =>
      issue.input === undefined ? 'Name a demo: returns or one-order.' : `There is no demo ${JSON.stringify(issue.input)}; there are returns and one-order.`,
  }),
  source: z.enum(['own', 'tau-retail'], { error: '--source is own or tau-retail' }).default('own'),
  folder: z.string().default('../shared/data/tau-retail'),
  cases: whole(1, 5000, 'cases').optional(),
  seed: whole(0, 2 ** 31, 'seed').default(1),
  kill: z.boolean().default(false),
  // Every kind at least once.
  kills: whole(3, 1000, 'kills').default(10),
  concurrency: whole(1, 500, 'concurrency').optional(),
  data: z.string().optional(),
});
/** What holds where nothing was said. */
const usual = { ofOwn: 500, atOneOrder: 64, atOnce: 96 } as const;
export type DemoOptions = z.output<typeof optionsSchema>;

/** Reads the command line; throws an Error that says what does not fit. */
export function readArguments(argv: readonly string[]): { readonly options: DemoOptions; readonly mode: 'run' | 'detach' | 'status' | 'resume' | 'help' } {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: {
      source: text,
      folder: text,
      cases: text,
      seed: text,
      kill: flag,
      kills: text,
      concurrency: text,
      data: text,
      detach: flag,
      status: flag,
      resume: flag,
      help: flag,
    },
    allowPositionals: true,
  });
  const { detach, status, resume, help: asked, ...given } = values;
  if (asked) return { options: optionsSchema.parse({ demo: 'returns' }), mode: 'help' };
  if (positionals.length > 1) throw new Error(`One demo at a time: ${positionals.join(', ')}`);
  const parsed = optionsSchema.safeParse({ demo: positionals[0], ...given });
  if (!parsed.success) throw new Error(parsed.error.issues.map((issue) => issue.message).join('\n'));
  const modes = (['detach', 'status', 'resume'] as const).filter((mode) => values[mode]);
  if (modes.includes('status') && modes.length > 1) throw new Error('--status goes alone.');
  return { options: parsed.data, mode: status ? 'status' : detach ? 'detach' : resume ? 'resume' : 'run' };
}

/** The run's name: the same demo of the same source and seed is the same run. */
const nameOf = ({ demo, source, seed }: DemoOptions): string => (demo === 'returns' ? `returns-${source}-${seed}` : `one-order-${seed}`);
const folderOf = ({ demo, data, source, seed }: DemoOptions): string => resolve(data ?? `.data/demo-${demo === 'returns' ? source : demo}-${seed}`);

async function main(argv: readonly string[]): Promise<number> {
  const { options, mode } = readArguments(argv);
  if (mode === 'help') {
    console.log(help);
    return 0;
  }
  const folder = folderOf(options);
  const files = runFiles(folder, nameOf(options));
  const before = readRun(files.state);
  if (mode === 'status') {
    console.log(before === undefined ? `No such run: ${files.state} is not there.` : statusText(before, Date.now()));
    return before === undefined ? 1 : 0;
  }
  const resuming = argv.includes('--resume');
  if (before !== undefined && isRunning(before.process)) throw new Error(`This run is under way as process ${before.process.pid}. Look at it with --status.`);
  if (resuming && before === undefined) throw new Error(`There is nothing to go on with: ${files.state} is not there. Leave --resume out.`);
  if (resuming && before?.phase === 'ended') {
    console.log(statusText(before, Date.now()));
    return before.exitCode ?? 1;
  }
  if (!resuming && before !== undefined) {
    if (before.phase !== 'ended') throw new Error(`This run was interrupted. Go on with --resume, or delete ${folder} for a new one.`);
    if (options.data !== undefined || !before.own) throw new Error('These cases are on that stack already. Choose another --seed.');
    // The folder is the demo's own, and its run has ended.
    await stopOwn(folder);
    rmSync(folder, { recursive: true });
  }
  if (mode === 'detach') return detach(argv, files.log);
  // What it was started with stands: another number of cases or kills would be another run.
  return resuming && before !== undefined ? run(optionsSchema.parse(before.options), folder, before) : run(options, folder, undefined);
}

function detach(argv: readonly string[], log: string): number {
  mkdirSync(dirname(log), { recursive: true });
  const file = openSync(log, 'a');
  const child = spawn(process.execPath, ['--import', 'tsx', fileURLToPath(import.meta.url), ...argv.filter((arg) => arg !== '--detach')], {
    detached: true,
    stdio: ['ignore', file, file],
  });
  child.unref();
  console.log(
    `Runs in the background as process ${child.pid}.\n  how far    npm run demo -- ${argv.map((arg) => (arg === '--detach' ? '--status' : arg)).join(' ')}\n  its words  ${log}`,
  );
  return 0;
}

async function run(options: DemoOptions, folder: string, before: RunState | undefined): Promise<number> {
  const running = stateIfUp(folder);
  // Ours to end is what we start, or started before we were interrupted.
  const own = before?.own ?? running === undefined;
  const tauRetail = options.demo === 'returns' && options.source === 'tau-retail' ? await readTauFolder(resolve(options.folder)) : undefined;
  const self = refTo(process.pid);
  if (self === undefined) throw new Error('This process cannot be told from others: is /proc mounted?');

  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stopping.signal.aborted) process.exit(1);
      stopping.abort(new Error('Interrupted. Go on with --resume.'));
    });
  }
  const files = runFiles(folder, nameOf(options));
  const progress = new Progress(files.state, {
    options: Object.fromEntries(Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))),
    own,
    process: self,
    startedAt: before?.startedAt ?? new Date().toISOString(),
    phase: 'stack',
    cases: 0,
    started: 0,
    waiting: 0,
    ended: 0,
    kills: 0,
    killsWanted: options.kill ? options.kills : 0,
  });
  try {
    const say = (line: string): void => progress.say(line);
    const stack = running ?? (await startOwn(folder, say, stopping.signal));
    const { demo, seed, kill, kills } = options;
    const cases = options.cases ?? (demo === 'one-order' ? usual.atOneOrder : tauRetail ? undefined : usual.ofOwn);
    const concurrency = options.concurrency ?? (demo === 'one-order' ? (cases ?? usual.atOneOrder) : usual.atOnce);
    const { lines, ok } = await runDemo(
      demo === 'one-order' ? oneOrder({ seed, cases: cases ?? usual.atOneOrder }) : returns({ files: tauRetail, seed, cases }),
      { folder, seed, kills: kill ? kills : 0, concurrency, own },
      stack,
      progress,
      new Journal(files.journal),
      stopping.signal,
    );
    progress.end(lines.at(-1) ?? '', ok ? 0 : 1);
    for (const line of lines) console.log(line);
    return ok ? 0 : 1;
  } catch (error) {
    progress.interrupt();
    throw stopping.signal.aborted ? stopping.signal.reason : error;
  } finally {
    if (own) await stopOwn(folder);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).then(
    (code) => process.exit(code),
    (error: unknown) => {
      console.error(error instanceof Error ? error.message : error);
      process.exit(1);
    },
  );
}
