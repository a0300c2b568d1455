/** `npm run demo`: whole runs of the engine with everyone in them, and an audit at the end. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { branches } from './demo/branches.ts';
import { carryOut, modeFlags, modeOf, optionsOf, runMain, whole, type Mode, type Running } from './demo/command.ts';
import { Journal } from './demo/journal.ts';
import { oneOrder } from './demo/one-order.ts';
import { returns } from './demo/returns.ts';
import { runDemo } from './demo/run.ts';
import { startOwn, stateIfUp } from './demo/stack.ts';
import { disturbing } from './faults/disturb.ts';
import { planFaults, type ProcessName } from './faults/plan.ts';
import { readTauFolder } from './import.ts';

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
export function readArguments(argv: readonly string[]): { readonly options: DemoOptions; readonly mode: Mode } {
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
      ...modeFlags,
    },
    allowPositionals: true,
  });
  const { detach, status, resume, help: asked, ...given } = values;
  const mode = modeOf({ detach, status, resume, help: asked });
  if (mode === 'help') return { options: optionsSchema.parse({ demo: 'returns' }), mode };
  if (positionals.length > 1) throw new Error(`One demo at a time: ${positionals.join(', ')}`);
  return { options: optionsOf(optionsSchema, { demo: positionals[0], ...given }), mode };
}

/** The run's name: the same demo of the same source and seed is the same run. */
const nameOf = ({ demo, source, seed }: DemoOptions): string => (demo === 'returns' ? `returns-${source}-${seed}` : `one-order-${seed}`);
const folderOf = ({ demo, data, source, seed }: DemoOptions): string => resolve(data ?? `.data/demo-${demo === 'returns' ? source : demo}-${seed}`);

/** What `--kill` kills: processes of ours, and Temporal. The sandbox and Postgres, which others run in production, are for `npm run faults`. */
const killable: readonly ProcessName[] = ['worker', 'api', 'temporal'];

async function main(argv: readonly string[]): Promise<number> {
  const { options, mode } = readArguments(argv);
  if (mode === 'help') {
    console.log(help);
    return 0;
  }
  const folder = folderOf(options);
  const fromTau = options.demo === 'returns' && options.source === 'tau-retail' && mode !== 'status';
  // What is not there is said before anything is started.
  const tauRetail = fromTau ? await readTauFolder(resolve(options.folder)) : undefined;
  return carryOut({
    name: 'demo',
    script: fileURLToPath(import.meta.url),
    argv,
    mode,
    options,
    schema: optionsSchema,
    folder,
    run: nameOf(options),
    given: options.data !== undefined,
    play: async ({ demo, seed, kill, kills, ...of }, { own, progress, journal: file, signal }: Running) => {
      const stack = stateIfUp(folder) ?? (await startOwn({ folder, say: (line) => progress.say(line), signal }));
      const cases = of.cases ?? (demo === 'one-order' ? usual.atOneOrder : tauRetail ? undefined : usual.ofOwn);
      const concurrency = of.concurrency ?? (demo === 'one-order' ? (cases ?? usual.atOneOrder) : usual.atOnce);
      const there = killable.filter((name) => stack.processes[name] !== undefined);
      if (kill && there.length < killable.length) progress.say(`Only ${there.join(' and ')} are killed: the rest is not this stack's.`);
      const plan = planFaults(seed, { kills, faults: 0 }, ['kill'], there);
      return runDemo(
        demo === 'one-order' ? oneOrder({ seed, cases: cases ?? usual.atOneOrder }) : returns({ files: tauRetail, seed, cases }),
        { folder, seed, concurrency, own, ...(kill ? { disturb: disturbing(folder, plan) } : {}) },
        stack,
        progress,
        new Journal(file),
        signal,
      );
    },
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) runMain(() => main(process.argv.slice(2)));
