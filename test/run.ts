/**
 * `npm test [-- jest's own arguments]`: brings up the servers that the chosen tests need, once, runs jest, and ends them, however the run ends.
 * Unit tests need none, so `npm test -- test/unit/money.test.ts` is a matter of a second.
 */
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { freePort } from '../cli/stack/ports.ts';
import { embeddedPostgres, ensureDatabase, urlOf } from '../cli/stack/postgres.ts';
import { signalGroup, thisProcess } from '../cli/stack/processes.ts';
import { cleanUp, writeState } from '../cli/stack/state.ts';
import { Supervisor } from '../cli/stack/supervisor.ts';
import { devServer, resolveTemporal } from '../cli/stack/temporal.ts';
import { resolveTestServer } from '../cli/stack/test-server.ts';
import { unless } from '../cli/stack/unless.ts';
import { migrate } from '../db/migrate.ts';
import { namespaceOf, templateDatabase, variables } from './stack/names.ts';

const root = resolve(import.meta.dirname, '..');
const jest = join(dirname(createRequire(import.meta.url).resolve('jest/package.json')), 'bin', 'jest.js');
const jestArguments = process.argv.slice(2);
// jest's own ES modules are experimental in Node 20, and it says so in every process.
const env = { ...process.env, NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --experimental-vm-modules --disable-warning=ExperimentalWarning`.trim() };
const prefix = 'kefu-flow-test-';

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** The test files that this run will run. */
function chosen(): readonly string[] {
  const files = execFileSync(process.execPath, [jest, '--listTests', ...jestArguments], {
    cwd: root,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return files.split('\n').filter((file) => file !== '');
}

/** Ends what runs that were killed have left, and deletes their folders. */
async function sweep(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const folder = join(tmpdir(), name);
    try {
      // One that another run is just making says not yet whose it is; what a killed run left there goes with a later run.
      if (Date.now() - (await stat(folder)).mtimeMs < 60_000) continue;
      await cleanUp(folder, say);
      await rm(folder, { recursive: true, force: true });
    } catch {
      continue; // Another run's, which still runs, or another user's.
    }
  }
}

/** Brings up Postgres with a migrated template, and Temporal; returns what the tests are told. */
async function bringUp(supervisor: Supervisor, folder: string, files: readonly string[], stopping: AbortSignal): Promise<Record<string, string>> {
  const temporal = await unless(stopping, () => resolveTemporal(process.env, say));
  const testServer = await unless(stopping, () => resolveTestServer(process.env, say));
  const [port, temporalPort, password] = [await freePort(), await freePort(), randomBytes(12).toString('hex')];
  // The tests' data need not survive the machine.
  const settings = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'];
  const postgres = await embeddedPostgres({ folder: join(folder, 'postgres'), password, port, settings, env: process.env, say });
  await unless(stopping, () => supervisor.start(postgres));
  const server = urlOf(port, password, 'postgres');
  await ensureDatabase(server, templateDatabase);
  await migrate(urlOf(port, password, templateDatabase));
  if (temporal.kind === 'program') {
    const server = devServer({
      program: temporal.path,
      port: temporalPort,
      namespaces: files.map(namespaceOf),
      // A workflow that fails by its code is reported after two tries, which take ten seconds, not after five, which take a minute.
      settings: ['system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=2'],
      env: process.env,
    });
    await unless(stopping, () => supervisor.start(server));
  }
  return {
    [variables.postgres]: server,
    [variables.temporal]: temporal.kind === 'running' ? temporal.address : `127.0.0.1:${temporalPort}`,
    [variables.testServer]: testServer,
  };
}

async function runJest(more: Record<string, string>, stopping: AbortSignal): Promise<number> {
  stopping.throwIfAborted();
  // A group of its own: jest and its workers end together.
  const child = spawn(process.execPath, [jest, ...jestArguments], { cwd: root, env: { ...env, ...more }, stdio: 'inherit', detached: true });
  const end = (): void => {
    if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
  };
  stopping.addEventListener('abort', end, { once: true });
  process.once('exit', end);
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('exit', (code) => done(code ?? 1));
  });
}

async function main(): Promise<number> {
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (stopping.signal.aborted) process.exit(1);
      stopping.abort();
    });
  }
  // Said before anything is brought up.
  if (process.env['TEST_PAGE'] === '1') (await import('./page/chromium.ts')).chromiumPath();
  const files = chosen();
  if (files.every((file) => ['unit', 'deploy'].some((serverless) => file.startsWith(join(root, 'test', serverless, '/'))))) return runJest({}, stopping.signal);

  await sweep();
  const folder = await mkdtemp(join(tmpdir(), prefix));
  const leader = thisProcess();
  const supervisor = new Supervisor({ logs: join(folder, 'logs'), say, onChange: (processes) => writeState(folder, { leader, processes }) });
  process.once('exit', () => supervisor.kill());
  try {
    const more = await bringUp(supervisor, folder, files, stopping.signal);
    return await runJest(more, stopping.signal);
  } finally {
    await supervisor.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    say(error instanceof Error ? error.message : String(error));
    process.exit(1);
  },
);
