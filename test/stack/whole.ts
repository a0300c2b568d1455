/** The whole stack as a person starts it: a process of its own, reached over HTTP only. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { freePort } from '../../cli/stack/ports.ts';
import { cleanUp, readStack } from '../../cli/stack/state.ts';
import type { StackState } from '../../cli/stack/state.ts';

const root = resolve(import.meta.dirname, '../..');

export interface Start {
  readonly child: ChildProcess;
  /** What it has printed so far. */
  readonly output: () => string;
  /** Settles with the exit code, or with the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** Settles when it has said that it is ready; rejects with its output when it ends before. */
  readonly ready: Promise<void>;
}

/** `npm start` without npm. */
export function start(args: readonly string[]): Start {
  // What the test run has brought up for other tests is not for the stack, which brings its own.
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, ['--import', 'tsx', 'cli/start.ts', ...args], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const ended = new Promise<number | NodeJS.Signals | null>((done) => {
    child.once('exit', (code, signal) => done(code ?? signal));
  });
  const ready = new Promise<void>((done, fail) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk;
        if (output.includes('Kefu Flow is ready')) done();
      });
    }
    void ended.then((how) => fail(new Error(`it ended (${how}) before it was ready:\n${output}`)));
  });
  // Not everyone waits for it.
  ready.catch(() => undefined);
  return { child, output: () => output, ended, ready };
}

export interface WholeStack {
  readonly folder: string;
  readonly state: () => StackState;
  /** What the start and its restarts have printed. */
  readonly output: () => string;
  /** Ends it as Ctrl-C does, and deletes its data. */
  readonly stop: () => Promise<void>;
}

/** A stack on an empty data folder and free ports, ready. */
export async function wholeStack(args: readonly string[] = []): Promise<WholeStack> {
  const folder = await mkdtemp(join(tmpdir(), 'kefu-flow-whole-'));
  const started = start(['--data', folder, '--port', String(await freePort()), ...args]);
  await started.ready;
  return {
    folder,
    state: () => readStack(folder),
    output: started.output,
    stop: async () => {
      started.child.kill('SIGTERM');
      await started.ended;
      await cleanUp(folder, () => undefined);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
