/** The stack that a demo runs on: one of its own in seconds' time, or one that runs already. */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../stack/ports.ts';
import { endGroup, isRunning, refTo } from '../stack/processes.ts';
import { root as ownRoot } from '../stack/programs.ts';
import { buildRelease } from '../stack/release.ts';
import { readStack, type StackState } from '../stack/state.ts';
import { nap } from './actors.ts';

/** A first start builds or downloads Temporal, which takes minutes; it says so in its log. */
const upWithinMs = 15 * 60_000;

export interface Starting {
  readonly folder: string;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
  /** The checkout whose stack it is; this one unless given. */
  readonly root?: string;
  /** The ports of its servers, free ones unless given. */
  readonly ports?: Readonly<Record<'api' | 'systems' | 'postgres' | 'temporal', number>>;
  /** A file that says where single processes find the others. */
  readonly routes?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Of that checkout. */
  readonly policy?: string;
}

/**
 * Starts a stack, on the demo policy unless another is named, in a group of its own so that Ctrl-C is ours to pass on. A checkout is built first: what is shown, disturbed
 * and measured is what is deployed, and a process that is killed is back as soon as there.
 */
export async function startOwn({
  folder,
  say,
  signal,
  root = ownRoot,
  ports,
  routes,
  env = process.env,
  policy = 'policies/demo.yaml',
}: Starting): Promise<StackState> {
  mkdirSync(join(folder, 'logs'), { recursive: true });
  const release = join(folder, 'release');
  const isCheckout = existsSync(join(root, 'cli/start.ts'));
  if (isCheckout) {
    say('Building.');
    await buildRelease(root, release);
  }
  const from = isCheckout ? release : root;
  const log = join(folder, 'logs', 'start.log');
  const file = openSync(log, 'a');
  const before = fstatSync(file).size;
  const flags = {
    data: folder,
    port: ports?.api ?? (await freePort()),
    policy: join(from, policy),
    ...(ports === undefined ? {} : { 'systems-port': ports.systems, 'postgres-port': ports.postgres, 'temporal-port': ports.temporal }),
    ...(routes === undefined ? {} : { routes }),
  };
  const args = [join(from, 'cli/start.js'), ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)])];
  const child = spawn(process.execPath, args, { cwd: from, env, detached: true, stdio: ['ignore', file, file] });
  closeSync(file);
  let ended = false;
  child.once('exit', () => (ended = true));
  child.unref();
  let told = '';
  for (const since = Date.now(); ;) {
    signal.throwIfAborted();
    const lines = readFileSync(log).subarray(before).toString('utf8').trimEnd().split('\n');
    if (ended) throw new Error(`The stack did not start. The end of ${log}:\n${lines.slice(-15).join('\n')}`);
    // Not before all of it is: what dies while it comes up for the first time is not restarted.
    const state = lines.some((line) => line.includes('is ready after')) ? stateIfUp(folder) : undefined;
    if (state !== undefined) return state;
    const last = lines.at(-1) ?? '';
    if (last !== told) say((told = last));
    if (Date.now() - since > upWithinMs) throw new Error(`The stack was not up within ${upWithinMs / 60_000} minutes. See ${log}`);
    await nap(200, signal);
  }
}

/** The stack that runs for a folder; undefined when none does. */
export function stateIfUp(folder: string): StackState | undefined {
  try {
    return readStack(folder);
  } catch {
    return undefined;
  }
}

/** Ends a stack of our own, wherever its start was made. */
export async function stopOwn(folder: string): Promise<void> {
  const leader = stateIfUp(folder)?.leader;
  if (leader === undefined) return;
  process.kill(leader.pid, 'SIGTERM');
  // It gives itself 10 s.
  for (const since = Date.now(); isRunning(leader) && Date.now() - since < 15_000;) await nap(100, new AbortController().signal);
  const left = refTo(leader.pid);
  if (left !== undefined && left.started === leader.started) await endGroup(leader, 'SIGKILL', 0);
}
