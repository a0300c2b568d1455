import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isRunning, refTo } from '../../cli/stack/processes.ts';
import { Supervisor } from '../../cli/stack/supervisor.ts';
import type { ChildSpec, Running } from '../../cli/stack/supervisor.ts';
import { until } from './until.ts';

let folder: string;
let said: string[];
let running: Readonly<Record<string, Running>>;
let supervisors: Supervisor[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kefu-flow-supervisor-'));
  [said, running, supervisors] = [[], {}, []];
});
afterEach(async () => {
  for (const supervisor of supervisors) supervisor.kill();
  await Promise.all(supervisors.map((supervisor) => supervisor.stop()));
  await rm(folder, { recursive: true, force: true });
});

function supervise(options: { stopWithinMs?: number; backOff?: { firstMs: number; mostMs: number; settledMs: number } } = {}): Supervisor {
  const supervisor = new Supervisor({
    logs: join(folder, 'logs'),
    say: (line) => said.push(line),
    onChange: (now) => {
      running = now;
    },
    ...options,
  });
  supervisors.push(supervisor);
  return supervisor;
}

/** A small program: ready when it says so. */
const program = (name: string, script: string, more: Partial<ChildSpec> = {}): ChildSpec => ({
  name,
  command: process.execPath,
  args: ['-e', script],
  env: { PATH: process.env['PATH'] },
  ready: (output) => output().includes('ready'),
  readyWithinMs: 20_000,
  ...more,
});

const idles = "console.log('ready'); setInterval(() => {}, 1000);";
const pidOf = (name: string): number => running[name]?.pid ?? 0;

describe('a process that dies', () => {
  test('is started again, and stack.json learns its new id', async () => {
    const supervisor = supervise({ backOff: { firstMs: 10, mostMs: 100, settledMs: 60_000 } });
    await supervisor.start(program('worker', idles));
    const first = pidOf('worker');
    process.kill(first, 'SIGKILL');
    await until('worker is back', () => said.includes('worker is back.'));
    expect(pidOf('worker')).not.toBe(first);
    expect(refTo(pidOf('worker'))).toBeDefined();
    expect(said[0]).toContain('worker ended (SIGKILL)');
  });

  test('again and again waits twice as long each time, up to a limit, and no longer counts its failures once it has run for a while', async () => {
    const supervisor = supervise({ backOff: { firstMs: 10, mostMs: 40, settledMs: 500 } });
    const marker = join(folder, 'bad');
    // Ready at first; while the marker is there it ends before it is ready.
    await supervisor.start(program('api', `if (require('node:fs').existsSync('${marker}')) process.exit(3); ${idles}`));
    await writeFile(marker, '');
    process.kill(pidOf('api'), 'SIGKILL');
    const waits = (): string[] => said.filter((line) => line.includes('starting it again')).map((line) => /in ([\d.]+) s/.exec(line)?.[1] ?? '');
    await until('five failures', () => waits().length >= 5);
    await rm(marker);
    await until('it is back', () => said.includes('api is back.'));
    expect(waits().slice(0, 5)).toEqual(['0.01', '0.02', '0.04', '0.04', '0.04']);
    const backAt = Date.now();
    await until('it has run for a while', () => Date.now() - backAt > 600);
    process.kill(pidOf('api'), 'SIGKILL');
    const before = waits().length;
    await until('it is started again', () => waits().length > before);
    expect(waits()[before]).toBe('0.01');
  });

  test('takes what it started with it', async () => {
    const supervisor = supervise();
    const spawnsOne = `const c = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' }); console.log('child', c.pid); ${idles}`;
    await supervisor.start(program('worker', spawnsOne));
    const log = await readFile(join(folder, 'logs', 'worker.log'), 'utf8');
    const grandchild = refTo(Number(/child (\d+)/.exec(log)?.[1]));
    if (grandchild === undefined) throw new Error('the grandchild does not run');
    process.kill(pidOf('worker'), 'SIGKILL');
    await until('the grandchild has ended', () => !isRunning(grandchild));
  });
});

describe('the first start', () => {
  test('fails with what the process wrote when it ends before it is ready', async () => {
    const start = supervise().start(program('api', "console.error('PORT is not set'); process.exit(2)"));
    await expect(start).rejects.toThrow(/api ended before it was ready \(exit code 2\)[\s\S]*PORT is not set[\s\S]*logs\/api\.log/);
  });

  test('fails, and ends the process, when it does not become ready in time', async () => {
    const supervisor = supervise();
    await expect(supervisor.start(program('api', 'setInterval(() => {}, 1000)', { readyWithinMs: 300 }))).rejects.toThrow('api was not ready within 0.3 s');
    await supervisor.stop();
    expect(running).toEqual({});
  });

  test('fails at once when there is no such program', async () => {
    await expect(supervise().start(program('temporal', '', { command: join(folder, 'no-such-program') }))).rejects.toThrow(
      /temporal cannot be started: .*ENOENT/,
    );
  });
});

describe('a restart on purpose', () => {
  const endsWhenAsked = `${idles} process.on('SIGTERM', () => setTimeout(() => process.exit(0), 200));`;

  test('ends the process in its own time and returns when its successor is ready, without a word of a failure', async () => {
    const supervisor = supervise();
    await supervisor.start(program('worker', endsWhenAsked));
    const first = pidOf('worker');
    const { how, endedMs, readyMs } = await supervisor.restart('worker', 10_000);
    expect(how).toBe('exit code 0');
    expect(endedMs).toBeGreaterThanOrEqual(200);
    expect(readyMs).toBeGreaterThan(endedMs);
    expect(pidOf('worker')).not.toBe(first);
    expect(said).toEqual([]);
    // And again: the one before has left nothing behind.
    expect((await supervisor.restart('worker', 10_000)).how).toBe('exit code 0');
  });

  test('kills who does not end, and says how it ended', async () => {
    const supervisor = supervise();
    await supervisor.start(program('worker', `${idles} process.on('SIGTERM', () => {});`));
    expect((await supervisor.restart('worker', 300)).how).toBe('SIGKILL');
  });

  test('is refused for what does not run, and given up when everything is stopped', async () => {
    const supervisor = supervise();
    await expect(supervisor.restart('nobody', 1000)).rejects.toThrow('nobody does not run');
    await supervisor.start(program('worker', endsWhenAsked));
    const restart = supervisor.restart('worker', 10_000);
    await Promise.all([expect(restart).rejects.toThrow('everything is being stopped'), supervisor.stop()]);
  });
});

describe('a stop', () => {
  const notes = (name: string, file: string): string =>
    `process.on('SIGTERM', () => { require('node:fs').appendFileSync('${file}', '${name} '); process.exit(0); }); ${idles}`;

  test('ends all processes, the last started first, each before the next is asked', async () => {
    const supervisor = supervise();
    const order = join(folder, 'order');
    for (const name of ['postgres', 'temporal', 'worker', 'api']) await supervisor.start(program(name, notes(name, order)));
    const all = Object.values(running);
    expect(all).toHaveLength(4);
    await supervisor.stop();
    expect(await readFile(order, 'utf8')).toBe('api worker temporal postgres ');
    expect(all.filter(isRunning)).toEqual([]);
    expect(running).toEqual({});
    expect(said).toEqual([]);
  });

  test('kills who does not end, within the time for all', async () => {
    const supervisor = supervise({ stopWithinMs: 1500 });
    const order = join(folder, 'order');
    await supervisor.start(program('postgres', notes('postgres', order)));
    await supervisor.start(program('worker', `process.on('SIGTERM', () => {}); ${idles}`));
    const all = Object.values(running);
    const started = Date.now();
    await supervisor.stop();
    expect(Date.now() - started).toBeLessThan(5000);
    expect(all.filter(isRunning)).toEqual([]);
    expect(await readFile(order, 'utf8')).toBe('postgres ');
    expect(said.join()).toMatch(/worker did not end within \d+ s and was killed/);
  });

  test('does not start again what it is ending, nor what was about to be started again', async () => {
    const supervisor = supervise({ backOff: { firstMs: 60_000, mostMs: 60_000, settledMs: 60_000 } });
    await supervisor.start(program('worker', idles));
    process.kill(pidOf('worker'), 'SIGKILL');
    await until('its end was seen', () => said.length > 0);
    await supervisor.stop();
    expect(running).toEqual({});
    await expect(supervisor.start(program('api', idles))).rejects.toThrow(/aborted/);
  });
});

test('a log that has grown too large is put aside at the next start', async () => {
  const logs = join(folder, 'logs');
  const supervisor = supervise();
  await appendFile(join(logs, 'api.log'), Buffer.alloc(21 * 1024 * 1024, 'x'));
  await supervisor.start(program('api', idles));
  expect((await readFile(join(logs, 'api.log'), 'utf8')).trim()).toBe('ready');
  expect((await readFile(join(logs, 'api.log.1'))).length).toBe(21 * 1024 * 1024);
});
