/** What was downloaded or built once, kept outside the checkout. An entry is whole or absent: it is made beside its place and renamed into it. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { lock } from './lock.ts';
import { signalGroup } from './processes.ts';

/** Tells the person at the terminal what goes on. */
export type Say = (line: string) => void;
export type Environment = Readonly<Record<string, string | undefined>>;

export const cacheFolder = (env: Environment): string =>
  env['KEFU_CACHE'] ?? (env['XDG_CACHE_HOME'] === undefined ? join(homedir(), '.cache', 'kefu-flow') : join(env['XDG_CACHE_HOME'], 'kefu-flow'));

/** A rename may reach the disk before what the files hold; an entry that survives a power cut must be whole. */
async function flush(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const file = await open(join(entry.parentPath, entry.name));
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }
}

/**
 * The folder of a cache entry, made by `make` if it is not there. Two at once make it once: the second waits. What a killed run left half made is removed.
 * `make` gets an empty folder and throws when it cannot fill it.
 */
export async function cached(folder: string, make: (empty: string) => Promise<void>, say: Say): Promise<string> {
  if (existsSync(folder)) return folder;
  const parent = dirname(folder);
  await mkdir(parent, { recursive: true });
  const held = await lock(`cache:${folder}`, () => say(`Another process is making ${folder}; waiting for it.`));
  try {
    if (existsSync(folder)) return folder;
    const partial = `${basename(folder)}.partial-`;
    // Whoever made these is dead: we hold the lock.
    for (const name of await readdir(parent)) if (name.startsWith(partial)) await rm(join(parent, name), { recursive: true, force: true });
    const empty = await mkdtemp(join(parent, partial));
    try {
      await make(empty);
      await flush(empty);
      await rename(empty, folder);
    } catch (error) {
      await rm(empty, { recursive: true, force: true });
      throw error;
    }
    return folder;
  } finally {
    await held.release();
  }
}

export interface Source {
  /** As the error names it. */
  readonly name: string;
  /** Fills the folder, or throws saying why it cannot. */
  readonly fill: (empty: string) => Promise<void>;
}

/** Tries the sources in order. When none works, the error says why each did not, and what a person can do. */
export async function fromFirst(what: string, sources: readonly Source[], remedy: string, empty: string, say: Say): Promise<void> {
  const reasons: string[] = [];
  for (const { name, fill } of sources) {
    try {
      await fill(empty);
      return;
    } catch (error) {
      reasons.push(`  ${name}: ${error instanceof Error ? error.message : String(error)}`);
      say(`${what}: not by ${name}.`);
      for (const left of await readdir(empty)) await rm(join(empty, left), { recursive: true, force: true });
    }
  }
  throw new Error(`${what} could not be had.\n${reasons.join('\n')}\n${remedy}`);
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Environment;
  /** Ended after this long. */
  readonly limitMs: number;
}

/** How often a long command says that it is still at work: often enough to see life, seldom enough for a log of CI. */
const progressEveryMs = 10_000;

/** Runs a program to its end, saying how long it has been at work and what it last wrote. Throws with its last lines when it fails. */
export async function runCommand(title: string, command: string, args: readonly string[], options: CommandOptions, say: Say): Promise<void> {
  // A group of its own, so that the compilers it starts end with it, and all of them when this process exits.
  const child = spawn(command, args, { cwd: options.cwd, env: options.env ?? process.env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const kill = (): void => {
    if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
  };
  process.once('exit', kill);
  const limit = setTimeout(kill, options.limitMs);
  let output = '';
  const lastLines = (count: number): string => output.trimEnd().split('\n').slice(-count).join('\n');
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output = (output + chunk).slice(-20_000);
    });
  }
  const started = Date.now();
  const ticker = setInterval(() => say(`${title}: ${Math.round((Date.now() - started) / 1000)} s  ${lastLines(1).slice(0, 100)}`), progressEveryMs);
  try {
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      // EACCES: one of the PATH's folders is not this user's to search, as after `su`, and no other has it.
      child.once('error', (error: NodeJS.ErrnoException) =>
        reject(error.code === 'ENOENT' || error.code === 'EACCES' ? new Error(`${command} is not installed, or not for this user`) : error),
      );
      child.once('close', (...ended) => resolve(ended));
    });
    if (code !== 0)
      throw new Error(
        `${command} ${signal === null ? `exited with ${code}` : `was ended by ${signal} after ${Math.round((Date.now() - started) / 1000)} s`}: ${lastLines(8)}`,
      );
  } finally {
    clearInterval(ticker);
    clearTimeout(limit);
    process.off('exit', kill);
  }
}
