/** Runs the processes of the stack: each in a group of its own, ready before the next, restarted when it dies, ended in reverse. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Environment, Say } from './cache.ts';
import { refTo, signalGroup } from './processes.ts';
import type { ProcessRef } from './processes.ts';

export interface ChildSpec {
  /** Also the name of its log. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string | undefined;
  /** All of its environment. */
  readonly env: Environment;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** What asks it to end; SIGTERM unless said. */
  readonly stopSignal?: NodeJS.Signals;
  /** Asked every 100 ms whether it can be used; gets what this run has written so far. */
  readonly ready: (output: () => string) => Promise<boolean> | boolean;
  readonly readyWithinMs: number;
}

export interface Running extends ProcessRef {
  readonly log: string;
}

export interface SupervisorOptions {
  /** The folder of the logs. */
  readonly logs: string;
  readonly say: Say;
  /** Told of every process that starts or ends, by name and in order of start. */
  readonly onChange: (running: Readonly<Record<string, Running>>) => void;
  /** Wait before the first restart, doubled at each failure up to `mostMs`; a process that was ready for `settledMs` starts afresh. */
  readonly backOff?: { readonly firstMs: number; readonly mostMs: number; readonly settledMs: number };
  /** Within this all processes have ended; whoever has not is killed. */
  readonly stopWithinMs?: number;
}

const defaultBackOff = { firstMs: 250, mostMs: 10_000, settledMs: 10_000 };
/** The stack ends within 10 s (a container is killed then); the rest of the second is for the kills and for us. */
const defaultStopWithinMs = 9000;
/** One process does not use up the time of all the others. */
const mostForOneMs = 5000;
/** Larger than this at a start, the log becomes `<name>.log.1` and a new one is begun. */
const logLimit = 20 * 1024 * 1024;
const readyEveryMs = 100;

/** How a process went that was asked to, and how soon its successor was there. */
export interface Restarted {
  /** As in `exit code 0`; `SIGKILL` when it did not end in time. */
  readonly how: string;
  readonly endedMs: number;
  readonly readyMs: number;
}

class Child {
  readonly spec: ChildSpec;
  readonly log: string;
  running: ProcessRef | undefined;
  /** Told when the next run is ready: somebody restarts it on purpose. */
  onBack: (() => void) | undefined;
  /** Settles when the process of this run has ended, with how it ended. */
  ended: Promise<string> = Promise.resolve('not started');
  private outputFrom = 0;

  constructor(spec: ChildSpec, logs: string) {
    this.spec = spec;
    this.log = join(logs, `${spec.name}.log`);
  }

  /** Starts a process; throws when the program cannot be run at all. */
  async spawn(): Promise<void> {
    const { command, args, cwd, env, uid, gid } = this.spec;
    if (existsSync(this.log) && statSync(this.log).size > logLimit) renameSync(this.log, `${this.log}.1`);
    // A file, not a pipe: what it writes outlives us, and our death does not break its pipe.
    const file = openSync(this.log, 'a');
    this.outputFrom = statSync(this.log).size;
    let child: ChildProcess;
    try {
      child = spawn(command, args, {
        cwd,
        env,
        detached: true,
        stdio: ['ignore', file, file],
        ...(uid === undefined ? {} : { uid }),
        ...(gid === undefined ? {} : { gid }),
      });
    } finally {
      closeSync(file);
    }
    const { pid } = child;
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : signal));
      child.once('error', (error) => resolve(error.message));
    });
    if (pid === undefined) throw new Error(`${this.spec.name} cannot be started: ${await this.ended}`);
    // Ended already: its id is nobody's.
    this.running = refTo(pid);
    void this.ended.then(() => {
      this.running = undefined;
      // Its leader is gone; whatever it started goes too.
      signalGroup(pid, 'SIGKILL');
    });
  }

  /** What this run has written, at most its last 64 KB. */
  output(): string {
    const size = statSync(this.log).size;
    const from = Math.max(this.outputFrom, size - 65_536);
    const buffer = Buffer.alloc(Math.max(0, size - from));
    const file = openSync(this.log, 'r');
    try {
      return buffer.toString('utf8', 0, readSync(file, buffer, 0, buffer.length, from));
    } finally {
      closeSync(file);
    }
  }

  lastLines(count: number): string {
    return this.output().trimEnd().split('\n').slice(-count).join('\n');
  }

  /** Waits until the process can be used. Throws, with its last lines, when it ends before that or takes too long. */
  async untilReady(): Promise<void> {
    const deadline = Date.now() + this.spec.readyWithinMs;
    let endedAs: string | undefined;
    void this.ended.then((how) => (endedAs = how));
    for (;;) {
      if (await Promise.resolve(this.spec.ready(() => this.output())).catch(() => false)) return;
      if (endedAs !== undefined)
        throw new Error(`${this.spec.name} ended before it was ready (${endedAs}). It wrote:\n${this.lastLines(25)}\nAll of it: ${this.log}`);
      if (Date.now() > deadline) {
        await this.end(0);
        throw new Error(`${this.spec.name} was not ready within ${this.spec.readyWithinMs / 1000} s. It wrote:\n${this.lastLines(25)}\nAll of it: ${this.log}`);
      }
      await pause(readyEveryMs);
    }
  }

  /** Asks the process to end, and kills its group when it has not after `graceMs`. */
  async end(graceMs: number): Promise<void> {
    if (this.running === undefined) return;
    const { pid } = this.running;
    const kill = setTimeout(() => signalGroup(pid, 'SIGKILL'), graceMs);
    if (graceMs > 0) signalGroup(pid, this.spec.stopSignal ?? 'SIGTERM');
    await this.ended;
    clearTimeout(kill);
  }
}

export class Supervisor {
  private readonly options: SupervisorOptions;
  private readonly children: Child[] = [];
  private readonly stopping = new AbortController();
  private readonly keeping: Promise<void>[] = [];
  private stopped: Promise<void> | undefined;

  constructor(options: SupervisorOptions) {
    this.options = options;
    mkdirSync(options.logs, { recursive: true });
  }

  /** Starts a process and returns once it is ready; from then on it is kept running. Throws when it does not get ready this first time. */
  async start(spec: ChildSpec): Promise<void> {
    this.stopping.signal.throwIfAborted();
    const child = new Child(spec, this.options.logs);
    this.children.push(child);
    await child.spawn();
    this.changed();
    await child.untilReady();
    this.keeping.push(this.keep(child));
  }

  /** Ends every process, the last started first, within the time given for all. May be called more than once. */
  stop(): Promise<void> {
    this.stopped ??= this.stopAll();
    return this.stopped;
  }

  /**
   * Asks a process to end, as a roll-out does, kills it after `graceMs`, and returns once its successor is ready. Throws when it does not run, or when all are
   * stopped meanwhile.
   */
  async restart(name: string, graceMs: number): Promise<Restarted> {
    const child = this.children.find(({ spec }) => spec.name === name);
    if (child?.running === undefined) throw new Error(`${name} does not run.`);
    const began = Date.now();
    const stopping = this.stopping.signal;
    const back = new Promise<void>((resolve, reject) => {
      child.onBack = resolve;
      stopping.addEventListener('abort', () => reject(new Error(`${name} was not restarted: everything is being stopped.`)), { once: true });
    });
    // Whoever stops everything while we wait for the end is told by the line below.
    back.catch(() => undefined);
    // Of this run: the next one may have begun by the time that we look again.
    const { ended } = child;
    await child.end(graceMs);
    const [how, endedMs] = [await ended, Date.now() - began];
    await back;
    return { how, endedMs, readyMs: Date.now() - began };
  }

  /** Kills every process at once: for a second Ctrl-C, and for our own end by an error. */
  kill(): void {
    this.stopping.abort();
    for (const { running } of this.children) if (running !== undefined) signalGroup(running.pid, 'SIGKILL');
  }

  private async stopAll(): Promise<void> {
    this.stopping.abort();
    const deadline = Date.now() + (this.options.stopWithinMs ?? defaultStopWithinMs);
    for (let left = this.children.length - 1; left >= 0; left--) {
      const child = this.children[left];
      if (child?.running === undefined) continue;
      // Those that are still to come get at least 200 ms each.
      const graceMs = Math.max(1, Math.min(mostForOneMs, deadline - Date.now() - left * 200));
      const started = Date.now();
      await child.end(graceMs);
      if (Date.now() - started >= graceMs) this.options.say(`${child.spec.name} did not end within ${Math.round(graceMs / 1000)} s and was killed.`);
    }
    await Promise.all(this.keeping);
    this.changed();
  }

  /** Restarts the process whenever it dies, until we stop. */
  private async keep(child: Child): Promise<void> {
    const { firstMs, mostMs, settledMs } = this.options.backOff ?? defaultBackOff;
    const { name } = child.spec;
    let failures = 0;
    for (let readyAt = Date.now(); ; readyAt = Date.now()) {
      let how = await child.ended;
      if (Date.now() - readyAt >= settledMs) failures = 0;
      for (;;) {
        this.changed();
        if (this.stopping.signal.aborted) return;
        // On purpose, and not by its fault.
        if (child.onBack === undefined || failures > 0) {
          const waitMs = Math.min(mostMs, firstMs * 2 ** failures++);
          this.options.say(`${name} ended (${how}); starting it again in ${waitMs / 1000} s. Log: ${child.log}`);
          await pause(waitMs, undefined, { signal: this.stopping.signal }).catch(() => undefined);
          if (this.stopping.signal.aborted) return;
        }
        try {
          await child.spawn();
          this.changed();
          await child.untilReady();
          break;
        } catch (error) {
          if (!this.stopping.signal.aborted) this.options.say(error instanceof Error ? error.message : String(error));
          how = await child.ended;
          failures = Math.max(1, failures);
        }
      }
      const { onBack } = child;
      child.onBack = undefined;
      if (onBack === undefined) this.options.say(`${name} is back.`);
      else onBack();
    }
  }

  private changed(): void {
    const running: Record<string, Running> = {};
    for (const child of this.children) if (child.running !== undefined) running[child.spec.name] = { ...child.running, log: child.log };
    this.options.onChange(running);
  }
}
