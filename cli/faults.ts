/** `npm run faults`: cases run while everything goes wrong that can, and a judge says whether anything was lost, doubled, stuck or wrong. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { carryOut, modeFlags, modeOf, optionsOf, runMain, toldToStop, whole, type Mode } from './demo/command.ts';
import { controls, innocent, runControls } from './faults/controls.ts';
import { allKinds, kinds } from './faults/plan.ts';
import { processOptions, runFaults } from './faults/run.ts';

/** Enough for every control to be provoked. */
const inControl = 20;

export const help = `npm run faults -- [options]

Starts a stack of its own on policies/demo.yaml (days become seconds), with a proxy between each pair of processes, runs cases on it as npm run demo does, and
meanwhile disturbs it by a plan that the seed decides:
${allKinds.map((kind) => `  ${kind.padEnd(12)}${kinds[kind].title}: ${kinds[kind].targets.join(', ')}`).join('\n')}
It ends with how long the engine took to work again, and a judge that reads only the systems' ledgers, the API and Postgres:
  N cases, K kills, F faults: 0 lost, 0 doubled, 0 stuck, 0 wrong      (exit code 1 when one of the four is not 0, and the cases are named)

With --controls the judge is judged: copies of this checkout, each with something broken on purpose, have to be convicted, and the engine as it is has not
  (exit code 1 otherwise):
${[...controls, innocent].map(({ name, title }) => `  ${name.padEnd(12)}${title}`).join('\n')}

  --cases N          how many cases                                        (100; with --controls ${inControl} for each)
  --seed N           draws the cases, the plan of faults, and their fates  (1)
  --process P        cases of return-exchange or of late-parcel alone      (both)
  --kills N          how many kills                                        (one for every 10 cases, at least 5)
  --faults N         how many other faults                                 (one for every 5 cases, at least 11)
  --concurrency N    cases at once                                         (48)
  --data FOLDER      where its stack keeps everything                      (.data/faults-SEED)
  --controls         the negative controls, in .data/faults-controls
  --detach           run in the background
  --status           how far the run is that these options name
  --resume           go on with it where it was interrupted
  --help             this text`;

const optionsSchema = z.object({
  cases: whole(1, 5000, 'cases').optional(),
  seed: whole(0, 2 ** 31, 'seed').default(1),
  process: z.enum(processOptions, { error: `--process is ${processOptions.join(' or ')}` }).optional(),
  kills: whole(0, 1000, 'kills').optional(),
  faults: whole(0, 5000, 'faults').optional(),
  concurrency: whole(1, 500, 'concurrency').default(48),
  data: z.string().optional(),
});
type Options = z.output<typeof optionsSchema>;

/** Every process and every other kind at least once. */
const leastKills = kinds.kill.targets.length;
const leastFaults = allKinds.length - 1;

/** Reads the command line; throws an Error that says what does not fit. */
export function readArguments(argv: readonly string[]): { readonly options: Options; readonly mode: Mode | 'controls' } {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: {
      cases: text,
      seed: text,
      process: text,
      kills: text,
      faults: text,
      concurrency: text,
      data: text,
      controls: { type: 'boolean' },
      ...modeFlags,
    },
  });
  const { detach, status, resume, help: asked, controls: control, ...given } = values;
  const mode = modeOf({ detach, status, resume, help: asked });
  if (mode === 'help') return { options: optionsOf(optionsSchema, {}), mode };
  const options = optionsOf(optionsSchema, given);
  if (!control) return { options, mode };
  if (mode !== 'run') throw new Error('--controls run in the foreground: some minutes for each.');
  const strange = Object.keys(given).filter((name) => !['cases', 'seed', 'data'].includes(name));
  if (strange.length > 0) throw new Error(`--controls have their own ${strange.join(', ')}.`);
  return { options, mode: 'controls' };
}

async function main(argv: readonly string[]): Promise<number> {
  const { options, mode } = readArguments(argv);
  if (mode === 'help') {
    console.log(help);
    return 0;
  }
  if (mode === 'controls') return judgeTheJudge(options);
  const name = `${options.process === undefined ? '' : `${options.process}-`}${options.seed}`;
  const folder = resolve(options.data ?? `.data/faults-${name}`);
  return carryOut({
    name: 'faults',
    script: fileURLToPath(import.meta.url),
    argv,
    mode,
    options,
    schema: optionsSchema,
    folder,
    run: name,
    given: options.data !== undefined,
    play: ({ cases = 100, ...of }, { own, ...context }) => {
      if (!own) throw new Error(`A stack runs on ${folder} that is not made for faults. End it, or choose another folder with --data.`);
      return runFaults(
        {
          ...of,
          cases,
          folder,
          kills: of.kills ?? Math.max(leastKills, Math.ceil(cases / 10)),
          faults: of.faults ?? Math.max(leastFaults, Math.ceil(cases / 5)),
        },
        context,
      );
    },
  });
}

async function judgeTheJudge({ cases = inControl, seed, data }: Options): Promise<number> {
  const folder = resolve(data ?? '.data/faults-controls');
  const { lines, ok } = await runControls({ cases, seed, folder }, { say: (line) => console.log(line), signal: toldToStop('Interrupted.') });
  for (const line of lines) console.log(line);
  return ok ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) runMain(() => main(process.argv.slice(2)));
