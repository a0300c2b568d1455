/** The engine as in production, without containers: the full Temporal server, two workers, two APIs. Each process is restarted under load. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { temporalServerFolder } from '../../cli/stack/temporal-server.ts';
import { cleanUp } from '../../cli/stack/state.ts';
import { command } from '../stack/command.ts';
import { say } from './progress.ts';

const root = resolve(import.meta.dirname, '../..');
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kefu-flow-rolling-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function rolling(name: string, ...args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const data = join(folder, name);
  const { child, ended } = command('rolling', ['--data', data, ...args], (text) => {
    for (const line of text.split('\n')) if (/ready after|open$|is lost/.test(line)) say(line.trim());
  });
  try {
    return await ended;
  } finally {
    child.kill('SIGKILL');
    for (const part of ['cluster', 'restored', 'world']) await cleanUp(join(data, part), () => undefined);
  }
}
const lastLine = (output: string): string => output.trimEnd().split('\n').at(-1) ?? '';
/** Every number after the colon is 0. */
const clean = /^[^:]+: (0 [a-z -]+, )+0 [a-z -]+$/;

describe('rolling', () => {
  test('restarts every process under load: each ends by itself, nobody is left without an answer, no history is broken, and the audit finds nothing', async () => {
    const { code, output } = await rolling('restarts', '--cases', '20', '--seed', '3');
    expect(lastLine(output)).toMatch(clean);
    expect(lastLine(output)).toMatch(/^20 cases, \d+ open at the first restart, 5 restarts/);
    for (const name of ['worker-1', 'worker-2', 'api-1', 'api-2', 'temporal'])
      expect(output).toMatch(new RegExp(`${name} ended after [\\d.]+ s \\(exit code 0\\)`));
    expect(code).toBe(0);
  }, 900_000);

  test('restored from a back-up, goes on with what it has: every case ends, and what had been done since is not done again', async () => {
    const { code, output } = await rolling('restore', '--restore', '--cases', '40', '--seed', '1');
    expect(lastLine(output)).toMatch(clean);
    expect(lastLine(output)).toMatch(/^40 cases, restored from a back-up/);
    // Something was lost, and the systems knew what was asked of them again.
    expect(Number(/All is lost .*; (\d+) acts were accepted since/.exec(output)?.[1])).toBeGreaterThan(0);
    expect(Number(/of them asked for more than once +(\d+)/.exec(output)?.[1])).toBeGreaterThan(0);
    expect(code).toBe(0);
  }, 900_000);
});

test('Temporal takes our dynamic configuration as it is', async () => {
  const server = join(await temporalServerFolder(process.env, say), 'temporal-server');
  const { stdout } = await promisify(execFile)(server, ['validate-dynamic-config', join(root, 'deploy/temporal-dynamic.yaml')]);
  expect(stdout).not.toMatch(/error|warning/);
}, 1_800_000);
