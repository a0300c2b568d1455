import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../cli/stack/ports.ts';
import { embeddedPostgres, ensureDatabase, urlOf, withClient } from '../../cli/stack/postgres.ts';
import { isRunning, refTo } from '../../cli/stack/processes.ts';
import type { ProcessRef } from '../../cli/stack/processes.ts';
import { ensureSecrets, postgresPassword } from '../../cli/stack/secrets.ts';
import { cleanUp, readStack, removeState, stackFile, writeState } from '../../cli/stack/state.ts';
import { Supervisor } from '../../cli/stack/supervisor.ts';

let folder: string;
let said: string[];
let children: ChildProcess[];
const say = (line: string): void => void said.push(line);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kefu-flow-leftovers-'));
  [said, children] = [[], []];
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

/** A process that nobody waits for, in a group of its own. */
function idle(): ProcessRef {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'ignore' });
  children.push(child);
  const ref = refTo(child.pid ?? 0);
  if (ref === undefined) throw new Error('it did not start');
  return ref;
}
const dead: ProcessRef = { pid: 1, started: 'long ago' };

describe('what a killed start has left', () => {
  test('is ended by the next one', async () => {
    const left = idle();
    writeState(folder, { leader: dead, processes: { worker: { ...left, log: '' } } });
    await cleanUp(folder, say);
    expect(isRunning(left)).toBe(false);
    expect(said).toEqual([`Ending worker (process ${left.pid}), left by a start that was killed.`]);
    expect(existsSync(stackFile(folder))).toBe(false);
  });

  test('is not taken for another program that has got its process id', async () => {
    const another = idle();
    writeState(folder, { leader: { ...another, started: 'before' }, processes: { worker: { pid: another.pid, started: 'before', log: '' } } });
    await cleanUp(folder, say);
    expect(isRunning(another)).toBe(true);
    expect(said).toEqual([]);
  });

  test('is not touched while its leader runs', async () => {
    const [leader, left] = [idle(), idle()];
    writeState(folder, { leader, processes: { worker: { ...left, log: '' } } });
    await expect(cleanUp(folder, say)).rejects.toThrow(/Stop it first, or start another one with --data/);
    expect(isRunning(left)).toBe(true);
  });
});

test('a stack.json that is no such thing is shown to a person, not guessed at', async () => {
  await writeFile(stackFile(folder), '{"leader": 1}');
  expect(() => readStack(folder)).toThrow(/stack\.json cannot be read:[\s\S]*leader[\s\S]*delete the file/);
  removeState(folder);
  expect(() => readStack(folder)).toThrow(/No stack runs on/);
});

describe('the keys of a data folder', () => {
  test('are made once, for their owner alone, and stay', async () => {
    const secrets = await ensureSecrets(folder, ['finance'], false);
    const password = await postgresPassword(secrets, false);
    const read = (name: string): Promise<string> => readFile(join(secrets, name), 'utf8');
    const names = ['codec.key', 'personal.key', 'jwt-private.pem', 'jwt-public.jwk.json', 'webhook-finance.secret'];
    const before = await Promise.all(names.map(read));
    expect(before[0]).toMatch(/^1:[A-Za-z0-9+/]{43}=\n$/);
    expect(before[4]).toMatch(/^whsec_[A-Za-z0-9+/]{43}=\n$/);
    expect(JSON.parse(before[3] ?? '')).toMatchObject({ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA' });
    expect(before[3]).not.toContain('"d"');
    expect(await ensureSecrets(folder, ['finance', 'crm'], true)).toBe(secrets);
    expect(await postgresPassword(secrets, true)).toBe(password);
    expect(await Promise.all(names.map(read))).toEqual(before);
    expect(await read('webhook-crm.secret')).toMatch(/^whsec_/);
  });

  test('that sealed data are asked back when they are lost, not made anew', async () => {
    const secrets = await ensureSecrets(folder, [], false);
    await rm(join(secrets, 'codec.key'));
    await expect(ensureSecrets(folder, [], true)).rejects.toThrow(/has lost codec\.key, .*Put it back from a backup/);
    expect(existsSync(join(secrets, 'codec.key'))).toBe(false);
  });
});

describe('the embedded Postgres', () => {
  const cluster = async (more: { port?: number } = {}) => {
    const options = {
      folder: join(folder, 'postgres'),
      password: 'secret',
      port: more.port ?? (await freePort()),
      settings: ['fsync=off'],
      env: process.env,
      say,
    };
    const supervisor = new Supervisor({ logs: join(folder, 'logs'), say, onChange: () => undefined });
    await supervisor.start(await embeddedPostgres(options));
    return { ...options, supervisor, url: urlOf(options.port, options.password, 'postgres') };
  };

  test('keeps its data, asks for its password, and ends another one that a killed run has left on its files', async () => {
    // Nobody but its owner may enter: as root, Postgres runs as another user all the same.
    await chmod(folder, 0o700);
    const first = await cluster();
    await ensureDatabase(first.url, 'kefu');
    await ensureDatabase(first.url, 'kefu');
    await expect(withClient(first.url.replace('secret', 'wrong'), () => Promise.resolve())).rejects.toThrow(/password authentication failed/);

    // The supervisor forgets it, as one that was killed does.
    const pid = Number((await readFile(join(first.folder, 'postmaster.pid'), 'utf8')).split('\n')[0]);
    const left = refTo(pid);
    if (left === undefined) throw new Error('no postmaster');
    const second = embeddedPostgres({ ...first, port: await freePort() });
    await second;
    expect(isRunning(left)).toBe(false);
    expect(said.join('\n')).toContain(`Ending a Postgres (process ${pid}) that a killed run has left.`);
    await first.supervisor.stop();

    const third = await cluster();
    expect(await withClient(third.url, async (client) => (await client.query("select 1 from pg_database where datname = 'kefu'")).rowCount)).toBe(1);
    await third.supervisor.stop();
  }, 120_000);

  test('is not stopped by a pid file whose process is another program by now', async () => {
    const first = await cluster();
    await first.supervisor.stop();
    const another = idle();
    await writeFile(join(first.folder, 'postmaster.pid'), `${another.pid}\n`);
    const second = await cluster();
    expect(isRunning(another)).toBe(true);
    await second.supervisor.stop();
  }, 120_000);

  test('makes its files anew when a killed run has left them half made', async () => {
    await mkdir(join(folder, 'postgres.new'));
    await writeFile(join(folder, 'postgres.new', 'PG_VERSION'), '18\n');
    const made = await cluster();
    await made.supervisor.stop();
    expect(existsSync(join(folder, 'postgres.new'))).toBe(false);
  }, 120_000);

  test('refuses files of another version, and says what to do', async () => {
    await mkdir(join(folder, 'postgres'));
    await writeFile(join(folder, 'postgres', 'PG_VERSION'), '15\n');
    await expect(cluster()).rejects.toThrow(/is of Postgres 15, this is 18\. Dump it/);
  });
});
