/** A command as a person runs it: `npm run NAME -- ARGUMENTS`, without npm. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');

export interface Command {
  readonly child: ChildProcess;
  /** Settles with its exit code, `null` when a signal ended it, and all that it printed. */
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>;
}

/** `hear` gets what it prints, as it comes. */
export function command(name: string, args: readonly string[], hear: (text: string) => void = () => undefined): Command {
  // What the test run has brought up for other tests is not for a command's stack, which brings its own.
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, ['--import', 'tsx', `cli/${name}.ts`, ...args], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
      hear(chunk);
    });
  const ended = new Promise<{ code: number | null; output: string }>((done) => {
    child.once('close', (code) => done({ code, output }));
  });
  return { child, ended };
}
