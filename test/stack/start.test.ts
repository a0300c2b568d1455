import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../cli/stack/ports.ts';
import { withClient } from '../../cli/stack/postgres.ts';
import { isRunning } from '../../cli/stack/processes.ts';
import { cleanUp, readStack, stackFile } from '../../cli/stack/state.ts';
import { until } from './until.ts';
import { start } from './whole.ts';
import type { Start } from './whole.ts';

const processes = ['postgres', 'temporal', 'systems', 'worker', 'api', 'codec'];

describe('npm start, from an empty folder to its end', () => {
  let folder: string;
  let port: number;
  let running: Start;
  const begin = (): Start => start(['--data', folder, '--port', String(port)]);

  beforeAll(async () => {
    // Only its owner may enter, as with a folder below root's home: Postgres has to get through as another user.
    folder = await mkdtemp(join(tmpdir(), 'kefu-flow-start-'));
    port = await freePort();
    running = begin();
    await running.ready;
  }, 180_000);
  afterAll(async () => {
    running.child.kill('SIGTERM');
    await running.ended;
    await cleanUp(folder, () => undefined);
    await rm(folder, { recursive: true, force: true });
  }, 30_000);

  test('it prints where everything is, and stack.json says the same with every process', async () => {
    const state = readStack(folder);
    for (const url of Object.values(state.urls).filter((url) => url !== state.urls.openapi)) expect(running.output()).toContain(url);
    expect(running.output()).toContain('npm run token -- --user wang --role supervisor');
    expect(Object.keys(state.processes)).toEqual(processes);
    expect(state.leader.pid).toBe(running.child.pid);
    for (const of of Object.values(state.processes)) expect(isRunning(of)).toBe(true);
    for (const url of [`${state.urls.api}/readyz`, state.urls.openapi, state.urls.temporalUi, `${state.urls.systems}/healthz`])
      expect((await fetch(url ?? '')).status).toBe(200);
  });

  test('its secrets are readable by their owner alone, and stack.json, which names the database password, too', async () => {
    for (const file of await readdir(join(folder, 'secrets'))) expect([file, (await stat(join(folder, 'secrets', file))).mode & 0o077]).toEqual([file, 0]);
    expect((await stat(stackFile(folder))).mode & 0o077).toBe(0);
  });

  test('each line that our processes write, and the SDK in the worker, is a JSON; `ready` is for who has started it', async () => {
    for (const process of ['api', 'worker', 'systems', 'codec']) {
      const lines = (await readFile(join(folder, 'logs', `${process}.log`), 'utf8')).split('\n').filter((line) => line !== '' && line !== 'ready');
      const said = lines.map((line) => JSON.parse(line) as unknown);
      if (process === 'worker') expect(said).toContainEqual(expect.objectContaining({ sdkComponent: 'worker' }));
    }
  });

  test('a second start on the same folder is refused and told where the first one is', async () => {
    const second = start(['--data', folder, '--port', String(await freePort())]);
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain(`is process ${running.child.pid} (${stackFile(folder)} has its addresses). Stop it first`);
  });

  test('a process killed by kill -9 is back, each on its port, and the stack is ready again', async () => {
    for (const name of ['worker', 'temporal', 'postgres']) {
      const before = readStack(folder).processes[name];
      if (before === undefined) throw new Error(`no ${name}`);
      process.kill(before.pid, 'SIGKILL');
      await until(`${name} is back`, () => running.output().includes(`${name} is back.`), 60_000);
      expect(readStack(folder).processes[name]?.pid).not.toBe(before.pid);
    }
    // Connections that broke are replaced as they are used.
    await until('the API is ready', async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200, 60_000);
  }, 180_000);

  test('after a SIGKILL the next start ends what was left, and is ready with what was there', async () => {
    const { settings, processes: before } = readStack(folder);
    const databaseUrl = settings['DATABASE_URL'] ?? '';
    await withClient(databaseUrl, (client) => client.query('create table left_behind ()'));
    running.child.kill('SIGKILL');
    await running.ended;
    expect(Object.values(before).filter(isRunning)).toHaveLength(processes.length);

    running = begin();
    await running.ready;
    for (const name of processes) expect(running.output()).toContain(`Ending ${name} (process ${before[name]?.pid}), left by a start that was killed.`);
    expect(Object.values(before).filter(isRunning)).toEqual([]);
    const { rowCount } = await withClient(readStack(folder).settings['DATABASE_URL'] ?? '', (client) =>
      client.query("select 1 from pg_class where relname = 'left_behind'"),
    );
    expect(rowCount).toBe(1);
  }, 120_000);

  test('SIGTERM ends every process within 10 s, cleanly, and leaves the folder free for the next start', async () => {
    const { processes: before } = readStack(folder);
    const asked = Date.now();
    running.child.kill('SIGTERM');
    expect(await running.ended).toBe(0);
    expect(Date.now() - asked).toBeLessThan(10_000);
    expect(Object.values(before).filter(isRunning)).toEqual([]);
    expect(running.output()).not.toContain('did not end within');
    expect(() => readStack(folder)).toThrow(`No stack runs on ${folder}. Start it: npm start -- --data ${folder}`);
  }, 30_000);
});

describe('npm start refuses, and says what to do,', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kefu-flow-start-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const refused = async (args: readonly string[]): Promise<string> => {
    const { ended, output } = start(['--data', join(folder, 'data'), ...args]);
    expect(await ended).toBe(1);
    // A sentence for a person, no stack trace.
    expect(output()).not.toMatch(/\n\s+at /);
    return output();
  };

  test('a port that is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    expect(await refused(['--port', String(port)])).toContain(`Port ${port} (API) is taken by another program. Choose one with --port PORT.`);
    other.close();
  });
  test('a port that is none', async () => {
    expect(await refused(['--port', '99999'])).toContain('--port 99999: a port is a whole number from 1 to 65535.');
  });
  test('a policy file that is not there', async () => {
    expect(await refused(['--policy', 'policies/none.yaml'])).toMatch(/There is no policy file .*policies\/none\.yaml/);
  });
  test('a policy with mistakes, each with file, line and reason', async () => {
    const file = join(folder, 'own.yaml');
    await copyFile(new URL('../../policies/default.yaml', import.meta.url), join(folder, 'default.yaml'));
    await writeFile(file, 'extends: default\nwindows: { evidense: 3d }\n');
    expect(await refused(['--policy', file])).toContain(`${file}:2:12 windows.evidense: default.yaml has no window of this name; did you mean evidence?`);
    await writeFile(file, 'extends: default\nmessages: { texts: { return-exchange: { thanks: { en: Thanks } } } }\n');
    expect(await refused(['--policy', file])).toContain(`${file}:2:55 messages.texts.return-exchange.thanks.en: does not use {order}`);
  });
  test('an option it does not know', async () => {
    expect(await refused(['--prot', '1'])).toContain("Unknown option '--prot'");
  });
});

test('npm start -- --help lists the options and starts nothing', async () => {
  const { ended, output } = start(['--help']);
  expect(await ended).toBe(0);
  for (const option of ['--data', '--port', '--policy', '--help']) expect(output()).toContain(option);
});
