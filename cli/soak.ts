/** `npm run soak`: what the engine does under load, and under too much of it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { carryOut, modeFlags, modeOf, optionsOf, runFiles, runMain, whole, type Mode } from './demo/command.ts';
import { Journal } from './demo/journal.ts';
import { startOwn } from './demo/stack.ts';
import { pictureOf } from './soak/picture.ts';
import { burst, runSoak, steady } from './soak/run.ts';
import { readSamples } from './soak/sample.ts';

export const help = `npm run soak -- [options]

Loads a stack of its own on policies/demo.yaml (days become seconds) and looks at it from outside every two seconds: memory of each process, every queue, how
long answers take; and every ten, by a case of its own, whether health tells the truth.

  search   more and more returns at once, until they bring no more cases a second: what it carries at most
  load     ${steady * 100} % of that for --minutes, at moments that are drawn, whether or not it keeps up
  burst    ${burst} times the most for one minute; callers obey Retry-After, and go elsewhere after 30 s of refusals
  after    ${steady * 100} % again
  end      no more, until all have ended; then the ledgers are audited

Exit code 1 when a case is lost, doubled or stuck; when memory or a queue is afterwards above what its own ups and downs before the burst foretell; when an answer
never came, was a fault of the server, or was a refusal without Retry-After or one that the OpenAPI document does not have; when nothing was refused in the burst;
when health said ready while a case could not be started and decided.

  --minutes N      of load; the whole takes some 20 minutes more at 30             (30)
  --rate R         cases a second that it carries at most; left out: it finds out
  --seed N         draws orders and moments                                        (1)
  --data FOLDER    where its stack keeps everything                                (.data/soak-SEED)
  --detach         run in the background
  --status         how far it is, or what it has shown
  --picture        draw the curves of the run that these options name, over or under way
  --out FILE       where to                                                        (docs/reliability/soak.svg)
  --help           this text`;

const number = (least: number, most: number, flag: string) =>
  z.coerce
    .number({ error: `--${flag} is a number` })
    .min(least, `--${flag} is at least ${least}`)
    .max(most, `--${flag} is at most ${most}`);
const optionsSchema = z.object({
  minutes: number(0.5, 1440, 'minutes').default(30),
  rate: number(0.1, 1000, 'rate').optional(),
  seed: whole(0, 2 ** 31, 'seed').default(1),
  data: z.string().optional(),
});
type Options = z.output<typeof optionsSchema>;

/** Reads the command line; throws an Error that says what does not fit. `picture`: the file to draw. */
export function readArguments(argv: readonly string[]): { readonly options: Options; readonly mode: Mode; readonly picture?: string } {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: { minutes: text, rate: text, seed: text, data: text, out: text, picture: { type: 'boolean' }, ...modeFlags },
  });
  const { detach, status, resume, help: asked, picture, out, ...given } = values;
  const mode = modeOf({ detach, status, resume, help: asked });
  if (resume) throw new Error('A soak is not gone on with: its curves would have a hole. Start it anew.');
  if (picture && mode !== 'run') throw new Error('--picture goes alone.');
  if (out !== undefined && !picture) throw new Error('--out goes with --picture.');
  return { options: optionsOf(optionsSchema, mode === 'help' ? {} : given), mode, ...(picture ? { picture: out ?? 'docs/reliability/soak.svg' } : {}) };
}

async function main(argv: readonly string[]): Promise<number> {
  const { options, mode, picture } = readArguments(argv);
  if (mode === 'help') {
    console.log(help);
    return 0;
  }
  const name = String(options.seed);
  const folder = resolve(options.data ?? `.data/soak-${name}`);
  const base = runFiles(folder, 'soak', name).state.replace(/\.json$/, '');
  const files = { samples: `${base}.samples.ndjson`, report: `${base}.txt` };
  if (picture !== undefined) {
    const samples = readSamples(files.samples);
    if (samples.length < 2)
      throw new Error(`There is nothing to draw: ${files.samples} has no samples. Run a soak first, or name another one by --seed or --data.`);
    mkdirSync(dirname(resolve(picture)), { recursive: true });
    writeFileSync(picture, await pictureOf(samples));
    console.log(`${samples.length} looks are drawn in ${picture}.`);
    return 0;
  }
  return carryOut({
    name: 'soak',
    script: fileURLToPath(import.meta.url),
    argv,
    mode,
    options,
    schema: optionsSchema,
    folder,
    run: name,
    given: options.data !== undefined,
    play: async (of, { own, progress, journal, signal }) => {
      if (!own) throw new Error(`A stack runs on ${folder}, and a soak looks at a fresh one of its own. End it, or choose another folder with --data.`);
      const stack = await startOwn({ folder, say: (line) => progress.say(line), signal });
      const result = await runSoak({ ...of, folder, samples: files.samples }, { stack, progress, journal: new Journal(journal), signal });
      writeFileSync(files.report, `${result.lines.join('\n')}\n`);
      return result;
    },
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) runMain(() => main(process.argv.slice(2)));
