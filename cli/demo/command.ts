/** A command that runs for minutes: in the foreground or detached, asked how far it is, and gone on with where it was interrupted. */
import { spawn } from 'node:child_process';
import { mkdirSync, openSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { isRunning } from '../stack/processes.ts';
import { newRun, Progress, readRun, statusText } from './progress.ts';
import { stateIfUp, stopOwn } from './stack.ts';

/** How it is called: each goes alone, but for `--detach --resume`. */
export type Mode = 'run' | 'detach' | 'status' | 'resume' | 'help';
export const modeFlags = {
  detach: { type: 'boolean' },
  status: { type: 'boolean' },
  resume: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;
type ModeFlags = { readonly [M in keyof typeof modeFlags]?: boolean | undefined };

/** What the flags ask for; throws an Error when they do not go together. */
export function modeOf({ detach, status, resume, help }: ModeFlags): Mode {
  if (help) return 'help';
  if (status && (detach || resume)) throw new Error('--status goes alone.');
  return status ? 'status' : detach ? 'detach' : resume ? 'resume' : 'run';
}

/** Parses what the command line gave; throws an Error that says what does not fit. */
export function optionsOf<S extends z.ZodType>(schema: S, given: unknown): z.output<S> {
  const parsed = schema.safeParse(given);
  if (!parsed.success) throw new Error(parsed.error.issues.map((issue) => issue.message).join('\n'));
  return parsed.data;
}

export const whole = (least: number, most: number, flag: string) =>
  z.coerce
    .number({ error: `--${flag} is a number` })
    .int(`--${flag} is a whole number`)
    .min(least, `--${flag} is at least ${least}`)
    .max(most, `--${flag} is at most ${most}`);

type Options = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Command<O extends Options> {
  /** As in `npm run NAME`. */
  readonly name: string;
  /** The file that is run in the background. */
  readonly script: string;
  readonly argv: readonly string[];
  readonly mode: Exclude<Mode, 'help'>;
  readonly options: O;
  readonly schema: z.ZodType<O>;
  /** Everything of the stack. */
  readonly folder: string;
  /** Names the run in its folder: called again, it is the same run. */
  readonly run: string;
  /** The folder was chosen by the caller, and is not deleted for a new run. */
  readonly given: boolean;
  readonly play: (options: O, running: Running) => Promise<{ readonly lines: readonly string[]; readonly ok: boolean }>;
}

export interface Running {
  /** The stack is the run's to end. */
  readonly own: boolean;
  readonly progress: Progress;
  /** The file of its journal. */
  readonly journal: string;
  /** Somebody wants it to end. */
  readonly signal: AbortSignal;
}

/** Where a run stands and its files are, below the stack's data folder. */
export const runFiles = (folder: string, command: string, run: string) => {
  const base = join(folder, command, run);
  return { state: `${base}.json`, journal: `${base}.ndjson`, log: `${base}.log` };
};

/** Aborted with the text when somebody tells this process to end; who says it again does not want to wait until it has tidied up. */
export function toldToStop(text: string): AbortSignal {
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stopping.signal.aborted) process.exit(1);
      stopping.abort(new Error(text));
    });
  }
  return stopping.signal;
}

/** Does what the mode says; returns the exit code. */
export async function carryOut<O extends Options>(command: Command<O>): Promise<number> {
  const { name, argv, mode, folder } = command;
  const files = runFiles(folder, name, command.run);
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
    if (command.given || !before.own) throw new Error('These cases are on that stack already. Choose another --seed.');
    // The folder is the run's own, and it has ended.
    await stopOwn(folder);
    rmSync(folder, { recursive: true });
  }
  if (mode === 'detach') return detach(command, files.log);

  // Ours to end is what we start, or started before we were interrupted.
  const own = before?.own ?? stateIfUp(folder) === undefined;
  // What it was started with stands: another number of cases or kills would be another run.
  const options = resuming && before !== undefined ? command.schema.parse(before.options) : command.options;
  const signal = toldToStop('Interrupted. Go on with --resume.');
  const given = Object.fromEntries(Object.entries(options).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));
  const progress = new Progress(files.state, newRun(given, own, resuming ? before?.startedAt : undefined));
  try {
    const { lines, ok } = await command.play(options, { own, progress, journal: files.journal, signal });
    progress.end(lines.at(-1) ?? '', ok ? 0 : 1);
    for (const line of lines) console.log(line);
    return ok ? 0 : 1;
  } catch (error) {
    progress.interrupt();
    throw signal.aborted ? signal.reason : error;
  } finally {
    if (own) await stopOwn(folder);
  }
}

function detach({ name, script, argv }: Pick<Command<Options>, 'name' | 'script' | 'argv'>, log: string): number {
  mkdirSync(dirname(log), { recursive: true });
  const file = openSync(log, 'a');
  const child = spawn(process.execPath, ['--import', 'tsx', script, ...argv.filter((arg) => arg !== '--detach')], {
    detached: true,
    stdio: ['ignore', file, file],
  });
  child.unref();
  console.log(
    `Runs in the background as process ${child.pid}.\n  how far    npm run ${name} -- ${argv.flatMap((arg) => (arg === '--resume' ? [] : arg === '--detach' ? ['--status'] : [arg])).join(' ')}\n  its words  ${log}`,
  );
  return 0;
}

/** Ends this process with what the command came to. */
export function runMain(main: () => Promise<number>): void {
  main().then(
    (code) => process.exit(code),
    (error: unknown) => {
      console.error(error instanceof Error ? error.message : error);
      process.exit(1);
    },
  );
}
