/** How each kind of fault is done to a stack, and undone. */
import { setMaxListeners } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { z } from 'zod';
import { faultsSchema } from '../../systems/sandbox/faults.ts';
import { nap } from '../demo/actors.ts';
import type { Caller } from '../demo/calls.ts';
import { isRunning, refTo, type ProcessRef } from '../stack/processes.ts';
import { readStack } from '../stack/state.ts';
import { isSystemError } from '../stack/system-error.ts';
import type { Inject, Lift } from './disturb.ts';
import type { Kind, Link } from './plan.ts';
import type { Proxy } from './proxy.ts';

/** What of a stack its faults need. */
export interface Injecting {
  readonly folder: string;
  /** Between each pair that speaks; none where only processes are killed. */
  readonly proxies: Readonly<Record<Link, Proxy>> | undefined;
  /** The file that says how far the worker's clock is off; a text says why it cannot be moved. */
  readonly clock: { readonly file: string } | string;
  readonly systems: Caller;
  /** What a system's faults are when nothing of ours is on. */
  readonly throughout: (system: string) => object;
}

/** Longer than an effect waits beside its workflow task, so that it is sent again under its key. */
const lateAnswerMs = 3000;
const slowness = { ms: 250, bytesPerSecond: 40_000 } as const;
/** Of its work a system does, for each kind. Half of the calls: with all of them, none would be seen to come through. */
const half = 0.5;
const systemFaults = {
  late: { lateAnswerMs },
  fail: { errorRate: half },
  lose: { loseAnswerAfterCommit: half },
  shuffle: { duplicateWebhooks: half, delayWebhooksMs: 4000 },
  away: { outage: true },
} as const satisfies Partial<Record<Kind, Partial<z.input<typeof faultsSchema>>>>;

/** So many at once ask Postgres for connections, and each again after this, so that none that comes free is left to others. */
const grabbers = 10;
const grabEveryMs = 100;

/** Faults of every kind, done to one stack. */
export function injector(stack: Injecting): Inject {
  return (planned, signal) => {
    switch (planned.kind) {
      case 'kill':
        return kill(stack, planned.target, signal);
      case 'pause':
        return pauseProcess(stack, planned.target, signal);
      case 'cut':
      case 'hang':
      case 'slow':
        return disturbLink(stack, planned.kind, planned.target);
      case 'late':
      case 'fail':
      case 'lose':
      case 'shuffle':
      case 'away':
        return disturbSystem(stack, planned.kind, planned.target);
      case 'connections':
        return exhaust(stack, signal);
      case 'clock':
        return Promise.resolve(moveClock(stack, planned.target));
    }
  };
}

const nothing: Lift = () => Promise.resolve();

/** The process of this name, once there is one. */
async function running({ folder }: Injecting, name: string, signal: AbortSignal): Promise<ProcessRef | undefined> {
  while (!signal.aborted) {
    const found = readStack(folder).processes[name];
    if (found !== undefined && isRunning(found)) return found;
    // Killed before, and not back yet.
    await nap(100, signal);
  }
  return undefined;
}
const gone = 'the cases ended before it was back';

async function kill(stack: Injecting, name: string, signal: AbortSignal): Promise<Lift | string> {
  const target = await running(stack, name, signal);
  if (target === undefined) return gone;
  send([target], 'SIGKILL');
  return nothing;
}

/** Its children too: Postgres works in processes of its own for each connection. */
async function pauseProcess(stack: Injecting, name: string, signal: AbortSignal): Promise<Lift | string> {
  const target = await running(stack, name, signal);
  if (target === undefined) return gone;
  // It first, so that it starts no more of them.
  send([target], 'SIGSTOP');
  const children = childrenOf(target.pid);
  send(children, 'SIGSTOP');
  return () => {
    send([...children, target], 'SIGCONT');
    return Promise.resolve();
  };
}

/** Processes that have ended meanwhile are left out. */
function send(to: readonly ProcessRef[], signal: NodeJS.Signals): void {
  for (const one of to) {
    try {
      if (isRunning(one)) process.kill(one.pid, signal);
    } catch (error) {
      if (!isSystemError(error, 'ESRCH')) throw error;
    }
  }
}

/** Processes whose parent this is. */
function childrenOf(pid: number): readonly ProcessRef[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      // After the program's name, which may hold anything: state, parent.
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      const found = parent === pid ? refTo(Number(name)) : undefined;
      return found === undefined ? [] : [found];
    } catch {
      return []; // It has ended meanwhile.
    }
  });
}

/** Lets everything of a stack run that was paused. */
export function unpause(folder: string): void {
  for (const target of Object.values(readStack(folder).processes)) send([...childrenOf(target.pid), target], 'SIGCONT');
}

async function disturbLink({ proxies }: Injecting, kind: 'cut' | 'hang' | 'slow', target: string): Promise<Lift | string> {
  const proxy = proxies?.[target as Link];
  if (proxy === undefined) return 'there is no proxy between them';
  switch (kind) {
    case 'cut':
      await proxy.refuse();
      return () => proxy.restore();
    case 'hang':
      proxy.hang();
      break;
    case 'slow':
      proxy.slow(slowness);
      break;
  }
  return () => {
    proxy.release();
    return Promise.resolve();
  };
}

async function disturbSystem({ systems, throughout }: Injecting, kind: keyof typeof systemFaults, system: string): Promise<Lift> {
  const set = async (faults: object): Promise<void> => void (await systems.send('PUT', `/${system}/faults`, faults, faultsSchema));
  await set({ ...throughout(system), ...systemFaults[kind] });
  return () => set(throughout(system));
}

/** Takes every connection of Postgres until it refuses, and each that comes free, until it is lifted. */
async function exhaust({ folder }: Injecting, signal: AbortSignal): Promise<Lift | string> {
  const connectionString = readStack(folder).settings['DATABASE_URL'] ?? '';
  const held = new Set<pg.Client>();
  const enough = new AbortController();
  setMaxListeners(0, enough.signal);
  let refused = false;
  const grab = async (): Promise<void> => {
    while (!enough.signal.aborted) {
      const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2000, application_name: 'kefu-faults' });
      // One that breaks while we hold it is held no more.
      client.on('error', () => void held.delete(client));
      try {
        await client.connect();
        held.add(client);
      } catch (error) {
        // too_many_connections; anything else is Postgres away, and then there is nothing to take.
        if (error instanceof pg.DatabaseError && error.code === '53300') refused = true;
        await nap(grabEveryMs, enough.signal);
      }
    }
  };
  const grabbing = Array.from({ length: grabbers }, grab);
  const release = async (): Promise<void> => {
    enough.abort();
    await Promise.all(grabbing);
    await Promise.all([...held].map((client) => client.end().catch(() => undefined)));
  };
  for (const since = Date.now(); !refused && !signal.aborted && Date.now() - since < exhaustedWithinMs;) await nap(50, signal);
  if (refused) return release;
  await release();
  return signal.aborted ? gone : `Postgres gave ${held.size} connections and refused none within ${exhaustedWithinMs / 1000} s`;
}
/** Two hundred connections on a busy machine of two cores. */
const exhaustedWithinMs = 20_000;

function moveClock({ clock }: Injecting, by: string): Lift | string {
  if (typeof clock === 'string') return clock;
  writeFileSync(clock.file, `${by}\n`);
  return () => {
    writeFileSync(clock.file, inTime);
    return Promise.resolve();
  };
}

/** What the clock's file says when the clock is right. */
export const inTime = '+0\n';

/** Debian's library that moves a process' clock; undefined when it is not installed. */
export function findFaketime(): string | undefined {
  for (const architecture of readdirSync('/usr/lib')) {
    // The variant for programs of several threads, as Node is.
    const library = join('/usr/lib', architecture, 'faketime', 'libfaketimeMT.so.1');
    if (existsSync(library)) return library;
  }
  return undefined;
}
/** How a process is started whose clock the file moves; its timers run on, as they would when an operator or NTP sets the clock. */
export const clockEnv = (library: string, file: string): Readonly<Record<string, string>> => ({
  LD_PRELOAD: library,
  FAKETIME_TIMESTAMP_FILE: file,
  FAKETIME_CACHE_DURATION: '1',
  DONT_FAKE_MONOTONIC: '1',
});
