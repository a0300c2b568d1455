/** The engine as it stands in production, on one machine and without containers: the full Temporal server and our tables on one Postgres, several workers and APIs. */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { migrate } from '../../db/migrate.ts';
import { systems as systemContracts } from '../../systems/index.ts';
import type { Environment, Say } from '../stack/cache.ts';
import { freePort } from '../stack/ports.ts';
import { embeddedPostgres, ensureDatabase, urlOf } from '../stack/postgres.ts';
import { thisProcess } from '../stack/processes.ts';
import { ensureSecrets, keySettings, postgresPassword } from '../stack/secrets.ts';
import { removeState, writeState, type StackState } from '../stack/state.ts';
import { Supervisor, type ChildSpec, type Restarted } from '../stack/supervisor.ts';
import { fullServer, migrateTemporal, serverPorts, temporalServerFolder } from '../stack/temporal-server.ts';
import { unless } from '../stack/unless.ts';
import { startBalancer, type Balancer } from './balancer.ts';

const root = resolve(import.meta.dirname, '../..');
const database = 'kefu';
const namespace = 'default';
/** Four readiness looks of the balancer. */
const stopNoticeMs = 1000;
const settingsOfPostgres = ['max_connections=300', 'wal_keep_size=1GB'];

interface Common {
  /** The build that is run, as in an image. */
  readonly release: string;
  readonly env: Environment;
  readonly say: Say;
  readonly signal: AbortSignal;
}

const timed =
  ({ say, signal }: Common) =>
  async (what: string, work: () => Promise<void>): Promise<void> => {
    const began = Date.now();
    await unless(signal, work);
    say(`  ${what.padEnd(20)} ready after ${((Date.now() - began) / 1000).toFixed(1)} s`);
  };

const ours = ({ release }: Common, name: string, module: string, env: Environment, ready: ChildSpec['ready']): ChildSpec => ({
  name,
  command: process.execPath,
  args: [join(release, `${module}.js`)],
  cwd: release,
  env: { ...env, NODE_ENV: 'production' },
  ready,
  readyWithinMs: 120_000,
});
const answers = (url: string) => async (): Promise<boolean> => (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok;

/** What is not ours and outlives a loss of ours: the outside systems with a Postgres of their own, and the address that the world knows us by. */
export interface World {
  readonly systemsUrl: string;
  readonly balancer: Balancer;
  stop(): Promise<void>;
  kill(): void;
}

/** `secrets`: what webhooks are signed with. */
export async function startWorld(options: Common & { readonly folder: string; readonly secrets: string }): Promise<World> {
  const { folder, secrets, env, say, signal } = options;
  const supervisor = supervise(folder, say, (processes) => ({ processes }));
  const balancer = await startBalancer(await freePort());
  try {
    const [port, systemsPort] = [await freePort(), await freePort()];
    const password = await postgresPassword(secrets, false);
    const step = timed(options);
    await step('their Postgres', async () => {
      await supervisor.start({ ...(await embeddedPostgres({ folder: join(folder, 'postgres'), password, port, env, say })), name: 'postgres' });
      await ensureDatabase(urlOf(port, password, 'postgres'), 'systems');
    });
    const systemsUrl = `http://127.0.0.1:${systemsPort}`;
    const told = {
      ...env,
      DATABASE_URL: urlOf(port, password, 'systems'),
      SYSTEMS_PORT: String(systemsPort),
      WEBHOOK_URL: `${balancer.url}/v1/webhooks`,
      WEBHOOK_SECRETS_DIR: secrets,
    };
    await step('systems', () => supervisor.start(ours(options, 'systems', 'systems/server', told, answers(`${systemsUrl}/healthz`))));
    signal.throwIfAborted();
    return {
      systemsUrl,
      balancer,
      async stop() {
        balancer.close();
        await supervisor.stop();
        removeState(folder);
      },
      kill: () => supervisor.kill(),
    };
  } catch (error) {
    balancer.close();
    await supervisor.stop();
    removeState(folder);
    throw error;
  }
}

/** A supervisor whose processes are written down, so that the next run ends what this one may leave when it is killed. */
function supervise(
  folder: string,
  say: Say,
  state: (processes: StackState['processes']) => Omit<StackState, 'leader'> | Pick<StackState, 'processes'>,
): Supervisor {
  const leader = thisProcess();
  // Six processes with a Postgres among them; a busy machine needs its time.
  const supervisor = new Supervisor({
    logs: join(folder, 'logs'),
    say,
    onChange: (processes) => writeState(folder, { leader, ...state(processes) }),
    stopWithinMs: 30_000,
  });
  process.once('exit', () => supervisor.kill());
  return supervisor;
}

export interface Cluster {
  readonly state: StackState;
  /** Names of the processes that a roll-out restarts, in its order. */
  readonly rolled: readonly string[];
  readonly temporalAddress: string;
  /** Of the whole cluster: all databases are one of its backups. */
  readonly postgres: { readonly url: string; readonly folder: string };
  restart(name: string, graceMs: number): Promise<Restarted>;
  stop(): Promise<void>;
  /** As a power cut does. */
  kill(): Promise<void>;
}

export interface ClusterOptions extends Common {
  /** Everything that is ours: what a backup has to hold. */
  readonly folder: string;
  readonly world: World;
  readonly policyFile: string;
  readonly workers: number;
  readonly apis: number;
}

/** The keys of a cluster, made at its first start. */
export const secretsOf = (folder: string): Promise<string> => ensureSecrets(folder, Object.keys(systemContracts), false);

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { folder, world, policyFile, env, say, signal } = options;
  await mkdir(folder, { recursive: true });
  const secrets = await secretsOf(folder);
  const password = await postgresPassword(secrets, false);
  const program = await unless(signal, () => temporalServerFolder(env, say));
  const port = await freePort();
  const ports = await serverPorts(freePort);
  const temporalAddress = `127.0.0.1:${ports.FRONTEND_GRPC_PORT}`;
  const metricsPorts: number[] = [];
  for (let n = 1; n <= options.workers; n++) metricsPorts.push(await freePort());
  const apis: string[] = [];
  for (let n = 1; n <= options.apis; n++) apis.push(`http://127.0.0.1:${await freePort()}`);
  const clusterFolder = join(folder, 'postgres');

  const settings = {
    DATABASE_URL: urlOf(port, password, database),
    TEMPORAL_ADDRESS: temporalAddress,
    TEMPORAL_NAMESPACE: namespace,
    SYSTEMS_URL: world.systemsUrl,
    POLICY_FILE: resolve(policyFile),
    ...keySettings(secrets),
    PUBLIC_URL: world.balancer.url,
    EVIDENCE_DIR: join(folder, 'evidence'),
    STOP_NOTICE_MS: String(stopNoticeMs),
    WORKFLOW_BUNDLE: join(options.release, 'workflow-bundle/workflows.js'),
  };
  let processes: StackState['processes'] = {};
  const { url } = world.balancer;
  const state = (now: StackState['processes']): Omit<StackState, 'leader'> => {
    processes = now;
    const urls = {
      api: url,
      docs: `${url}/docs`,
      openapi: `${url}/openapi.json`,
      systems: world.systemsUrl,
      workerMetrics: `http://127.0.0.1:${metricsPorts[0] ?? 0}/metrics`,
    };
    return { startedAt: new Date().toISOString(), urls, settings, processes };
  };
  const supervisor = supervise(folder, say, state);
  const stop = async (): Promise<void> => {
    await supervisor.stop();
    removeState(folder);
  };
  const step = timed(options);
  try {
    await step('Postgres', async () => {
      await supervisor.start(await embeddedPostgres({ folder: clusterFolder, password, port, settings: settingsOfPostgres, env, say }));
      await ensureDatabase(urlOf(port, password, 'postgres'), database);
    });
    await step('tables', () => migrate(settings.DATABASE_URL));
    const temporalDatabase = { port, user: 'postgres', password };
    await step("Temporal's tables", () => migrateTemporal(program, join(root, 'deploy/temporal-schema.sh'), temporalDatabase, env));
    const dynamicConfig = join(root, 'deploy/temporal-dynamic.yaml');
    await step('Temporal', () => supervisor.start(fullServer({ folder: program, ports, database: temporalDatabase, namespace, dynamicConfig, env })));
    const told = { ...env, ...settings };
    const workers = metricsPorts.map((metricsPort, n) => {
      const name = `worker-${n + 1}`;
      const env = { ...told, METRICS_PORT: String(metricsPort) };
      return ours(options, name, 'worker/main', env, answers(`http://127.0.0.1:${metricsPort}/readyz`));
    });
    await Promise.all([
      ...workers.map((spec) => step(spec.name, () => supervisor.start(spec))),
      ...apis.map((api, n) =>
        step(`api-${n + 1}`, () => supervisor.start(ours(options, `api-${n + 1}`, 'api/main', { ...told, PORT: new URL(api).port }, answers(`${api}/readyz`)))),
      ),
    ]);
    world.balancer.serve(apis, '/readyz');
    await step('the address', async () => {
      while (!(await answers(`${url}/readyz`)().catch(() => false))) await pause(100);
    });
    return {
      get state() {
        return { leader: thisProcess(), ...state(processes) };
      },
      rolled: [...workers.map(({ name }) => name), ...apis.map((_, n) => `api-${n + 1}`), 'temporal'],
      temporalAddress,
      postgres: { url: urlOf(port, password, 'postgres'), folder: clusterFolder },
      restart: (name, graceMs) => supervisor.restart(name, graceMs),
      stop,
      async kill() {
        supervisor.kill();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
