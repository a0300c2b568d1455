/** Which processes the stack has, in which order, and what each is told. */
import { existsSync } from 'node:fs';
import { mkdir, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { migrate } from '../../db/migrate.ts';
import { loadPolicy } from '../../policies/load.ts';
import { systems } from '../../systems/index.ts';
import { checkPolicy } from '../../workflows/policy-check.ts';
import { loadProcesses } from '../../workflows/registry.ts';
import type { Environment, Say } from './cache.ts';
import { tryLock } from './lock.ts';
import { freePort, isFree } from './ports.ts';
import { embeddedPostgres, ensureDatabase, urlOf } from './postgres.ts';
import { thisProcess } from './processes.ts';
import { root, runModule } from './programs.ts';
import { routed, type Routes } from './routes.ts';
import { ensureSecrets, keySettings, postgresPassword } from './secrets.ts';
import { alreadyRuns, cleanUp, removeState, writeState } from './state.ts';
import type { StackState } from './state.ts';
import { Supervisor } from './supervisor.ts';
import type { ChildSpec } from './supervisor.ts';
import { devServer, resolveTemporal } from './temporal.ts';
import { unless } from './unless.ts';

export interface StackOptions {
  /** Everything that outlives a restart. */
  readonly folder: string;
  /** The API's. */
  readonly port: number;
  readonly host: string;
  readonly policyFile: string;
  /** Free ones unless given. */
  readonly ports: {
    readonly postgres?: number | undefined;
    readonly temporal?: number | undefined;
    readonly temporalUi?: number | undefined;
    readonly systems?: number | undefined;
  };
  /** Where single processes find the others by ways of their own. */
  readonly routes?: Routes | undefined;
  readonly env: Environment;
  readonly say: Say;
}

export interface Stack {
  readonly state: StackState;
  readonly stop: () => Promise<void>;
}

const database = 'kefu';

/** One of our own processes. */
const ours = (name: string, module: string, env: Environment, ready: ChildSpec['ready']): ChildSpec => ({
  name,
  command: process.execPath,
  args: runModule(module),
  cwd: root,
  env,
  ready,
  // The worker makes its workflow bundle first: some seconds, several times that on a busy machine.
  readyWithinMs: 120_000,
});

const answers = (url: string) => async (): Promise<boolean> => (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok;
/** A process without a port says `ready` on a line of its own. */
const saysReady = (output: () => string): boolean => /^ready$/m.test(output());

/** The given port, when it is free, or a free one. */
async function claim(what: string, flag: string, given: number | undefined, host: string): Promise<number> {
  if (given === undefined) return freePort();
  if (!(await isFree(given, host))) throw new Error(`Port ${given} (${what}) is taken by another program. Choose one with ${flag} PORT.`);
  return given;
}

/** Brings the whole stack up and keeps it up. Throws, having ended everything it started, when it does not come up or the signal is given before. */
export async function startStack({ folder: given, port, host, policyFile, ports, routes, env, say }: StackOptions, signal: AbortSignal): Promise<Stack> {
  if (!existsSync(policyFile)) throw new Error(`There is no policy file ${policyFile}.`);
  // Worker and API would refuse it too, but in their logs.
  checkPolicy(loadPolicy(policyFile), await loadProcesses());
  await mkdir(given, { recursive: true });
  const folder = await realpath(given);
  const held = await tryLock(`data:${folder}`);
  if (held === undefined) throw alreadyRuns(folder);
  try {
    await cleanUp(folder, say);

    // What may take minutes or may not be had at all comes first: until then nothing runs.
    const temporal = await unless(signal, () => resolveTemporal(env, say));
    const apiPort = await claim('API', '--port', port, host);
    const systemsPort = await claim('sandbox systems', '--systems-port', ports.systems, '127.0.0.1');
    const postgresPort = await claim('Postgres', '--postgres-port', ports.postgres, '127.0.0.1');
    const temporalPort = await claim('Temporal', '--temporal-port', ports.temporal, '127.0.0.1');
    const metricsPort = await freePort();
    const temporalUiPort = await claim("Temporal's page", '--temporal-ui-port', ports.temporalUi, '127.0.0.1');
    const codec = `http://127.0.0.1:${await freePort()}`;

    const clusterFolder = join(folder, 'postgres');
    const holdsData = existsSync(clusterFolder);
    const secrets = await ensureSecrets(folder, Object.keys(systems), holdsData);
    const password = await postgresPassword(secrets, holdsData);
    const ownDatabase = env['DATABASE_URL'];
    const databaseUrl = ownDatabase ?? urlOf(postgresPort, password, database);
    const namespace = env['TEMPORAL_NAMESPACE'] ?? 'default';
    const temporalUi = temporal.kind === 'program' ? `http://127.0.0.1:${temporalUiPort}` : env['TEMPORAL_UI_URL'];
    // What listens everywhere is reached here by the loopback address.
    const api = `http://${host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host}:${apiPort}`;
    const systemsUrl = env['SYSTEMS_URL'] ?? `http://127.0.0.1:${systemsPort}`;

    const settings = {
      DATABASE_URL: databaseUrl,
      TEMPORAL_ADDRESS: temporal.kind === 'running' ? temporal.address : `127.0.0.1:${temporalPort}`,
      TEMPORAL_NAMESPACE: namespace,
      ...(temporalUi === undefined ? {} : { TEMPORAL_UI_URL: temporalUi }),
      HOST: host,
      PORT: String(apiPort),
      SYSTEMS_PORT: String(systemsPort),
      METRICS_PORT: String(metricsPort),
      SYSTEMS_URL: systemsUrl,
      WEBHOOK_URL: env['WEBHOOK_URL'] ?? `${api}/v1/webhooks`,
      POLICY_FILE: resolve(policyFile),
      ...keySettings(secrets),
      // Where a phone reaches this machine, for who tries the customer's page with one.
      PUBLIC_URL: env['PUBLIC_URL'] ?? api,
      EVIDENCE_DIR: env['EVIDENCE_DIR'] ?? join(folder, 'evidence'),
    };
    let state: StackState = {
      leader: thisProcess(),
      startedAt: new Date().toISOString(),
      urls: {
        api,
        docs: `${api}/docs`,
        openapi: `${api}/openapi.json`,
        ...(temporalUi === undefined ? {} : { temporalUi }),
        systems: systemsUrl,
        workerMetrics: `http://127.0.0.1:${metricsPort}/metrics`,
      },
      settings,
      processes: {},
    };
    const supervisor = new Supervisor({
      logs: join(folder, 'logs'),
      say,
      onChange: (processes) => {
        state = { ...state, processes };
        writeState(folder, state);
      },
    });
    // However this process ends, short of SIGKILL, the others end with it.
    process.once('exit', () => supervisor.kill());
    const stop = async (): Promise<void> => {
      await supervisor.stop();
      removeState(folder);
      await held.release();
    };
    try {
      const timed = async (what: string, work: () => Promise<void>): Promise<void> => {
        const started = Date.now();
        await work();
        signal.throwIfAborted();
        say(`  ${what.padEnd(9)} ready after ${((Date.now() - started) / 1000).toFixed(1)} s`);
      };
      const bundle = join(root, 'workflow-bundle/workflows.js');
      const childEnv = (name: keyof Routes): Environment => ({
        ...env,
        ...routed(settings, routes?.[name]),
        ...(existsSync(bundle) ? { WORKFLOW_BUNDLE: bundle } : {}),
      });
      if (ownDatabase === undefined) {
        await timed('postgres', async () => {
          const spec = await embeddedPostgres({ folder: clusterFolder, password, port: postgresPort, env, say });
          await unless(signal, () => supervisor.start(spec));
          await ensureDatabase(urlOf(postgresPort, password, 'postgres'), database);
        });
      }
      // Not cut short: its connections do not bear that Postgres goes away under them.
      await timed('tables', () => migrate(databaseUrl));
      if (temporal.kind === 'program') {
        const options = {
          program: temporal.path,
          port: temporalPort,
          uiPort: temporalUiPort,
          uiCodec: codec,
          namespaces: [namespace],
          database: join(folder, 'temporal.db'),
          env,
        };
        await timed('temporal', () => unless(signal, () => supervisor.start(devServer(options))));
      }
      // At once: none needs another to start, and each spends its first seconds loading.
      const own = [
        ...(env['SYSTEMS_URL'] === undefined ? [ours('systems', 'systems/server', childEnv('systems'), answers(`${systemsUrl}/healthz`))] : []),
        ours('worker', 'worker/main', childEnv('worker'), saysReady),
        ours('api', 'api/main', childEnv('api'), answers(`${api}/readyz`)),
        // Temporal's page on this machine shows what histories hold, to whoever sits at it: it knows no log-in that could be asked for.
        ...(temporal.kind === 'program'
          ? [
              ours(
                'codec',
                'codec/main',
                { ...env, ...settings, HOST: '127.0.0.1', PORT: new URL(codec).port, CODEC_AUTH: 'none' },
                answers(`${codec}/healthz`),
              ),
            ]
          : []),
      ];
      await Promise.all(own.map((spec) => timed(spec.name, () => unless(signal, () => supervisor.start(spec)))));
    } catch (error) {
      await stop();
      throw error;
    }
    return {
      get state() {
        return state;
      },
      stop,
    };
  } catch (error) {
    await held.release();
    throw error;
  }
}
