/** Temporal as in production: the full server on Postgres, and the tool that makes its tables. Both are published as images only, so they are built here, once. */
import { execFile } from 'node:child_process';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { answers } from './temporal.ts';
import { cached, cacheFolder, fromFirst, runCommand } from './cache.ts';
import type { Environment, Say, Source } from './cache.ts';
import type { ChildSpec } from './supervisor.ts';

/** As in docker-compose.yml; `temporal-server/go.mod` requires the same. */
const version = '1.31.2';
/** Compiling takes 5 minutes on two idle cores; a machine that needs six times as long is stuck. */
const buildLimitMs = 30 * 60_000;
/** What Go names by their folders, under the names that they have in the images. */
const programs = { server: 'temporal-server', sql: 'temporal-sql-tool' } as const;

const goBuild = (say: Say): Source => ({
  name: 'a Go build',
  fill: async (empty) => {
    say("Building Temporal's server with Go, once: about 5 minutes on two cores.");
    const packages = ['go.temporal.io/server/cmd/server', 'go.temporal.io/server/cmd/tools/sql'];
    // As the CLI is built (temporal.ts).
    const args = ['build', '-trimpath', '-mod=readonly', '-ldflags', '-s -w', '-o', `${empty}/`, ...packages];
    await runCommand("Building Temporal's server", 'go', args, { cwd: join(import.meta.dirname, 'temporal-server'), limitMs: buildLimitMs }, say);
    for (const [built, name] of Object.entries(programs)) await rename(join(empty, built), join(empty, name));
  },
});

/** The folder of the cache in which `temporal-server` and `temporal-sql-tool` are. Throws, saying what to do, when they cannot be had. */
export const temporalServerFolder = (env: Environment, say: Say): Promise<string> =>
  cached(
    join(cacheFolder(env), `temporal-server-${version}-${process.platform}-${process.arch}`),
    (empty) => {
      const { name, fill } = goBuild(say);
      const checked: Source = {
        name,
        fill: async (folder) => {
          await fill(folder);
          for (const program of Object.values(programs))
            if (!(await answers(join(folder, program), env))) throw new Error(`${program} does not run on this machine`);
        },
      };
      return fromFirst("Temporal's server", [checked], 'Install Go 1.26.4 or newer.', empty, say);
    },
    say,
  );

/** A Postgres whose user may make databases. */
export interface TemporalDatabase {
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

/** Brings Temporal's two databases to the schema of this version, by the same script as docker-compose.yml. */
export async function migrateTemporal(folder: string, script: string, { port, user, password }: TemporalDatabase, env: Environment): Promise<void> {
  const connection = { SQL_PLUGIN: 'postgres12_pgx', SQL_HOST: '127.0.0.1', SQL_PORT: String(port), SQL_USER: user, SQL_PASSWORD: password };
  await promisify(execFile)('sh', [script], { env: { ...env, ...connection, PATH: `${folder}:${env['PATH'] ?? ''}` }, timeout: 120_000 });
}

/** Its services, each with a port for calls and one for finding each other. */
const services = ['FRONTEND', 'MATCHING', 'HISTORY', 'WORKER'] as const;
type Service = (typeof services)[number];
export type ServerPorts = Readonly<Record<`${Service}_GRPC_PORT` | `${Service}_MEMBERSHIP_PORT` | 'FRONTEND_HTTP_PORT', number>>;

export async function serverPorts(free: () => Promise<number>): Promise<ServerPorts> {
  const names = [...services.flatMap((service) => [`${service}_GRPC_PORT`, `${service}_MEMBERSHIP_PORT`] as const), 'FRONTEND_HTTP_PORT'] as const;
  const ports: [string, number][] = [];
  for (const name of names) ports.push([name, await free()]);
  return Object.fromEntries(ports) as ServerPorts;
}

export interface FullServerOptions {
  readonly folder: string;
  readonly ports: ServerPorts;
  readonly database: TemporalDatabase;
  /** Made once the server is up. */
  readonly namespace: string;
  readonly dynamicConfig: string;
  readonly env: Environment;
}

/** How to run the server: without a configuration file it takes its settings from the same variables as its image. */
export const fullServer = ({ folder, ports, database, namespace, dynamicConfig, env }: FullServerOptions): ChildSpec => ({
  name: 'temporal',
  command: join(folder, programs.server),
  args: ['--allow-no-auth', 'start'],
  cwd: folder,
  env: {
    ...env,
    LOG_LEVEL: 'warn',
    DB: 'postgres12_pgx',
    POSTGRES_SEEDS: '127.0.0.1',
    DB_PORT: String(database.port),
    POSTGRES_USER: database.user,
    POSTGRES_PWD: database.password,
    NUM_HISTORY_SHARDS: '4',
    BIND_ON_IP: '127.0.0.1',
    DYNAMIC_CONFIG_FILE_PATH: dynamicConfig,
    ...Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, String(port)])),
  },
  ready: () => ensureNamespace(`127.0.0.1:${ports.FRONTEND_GRPC_PORT}`, namespace),
  // Its services find each other within seconds; the first start on a busy machine takes longer.
  readyWithinMs: 120_000,
});

/** How long ended histories can be looked at, as in docker-compose.yml. */
const retention = '720h';

/** Whether the server answers and knows the namespace; one that it does not know is made, and known to all of its services a little later. */
async function ensureNamespace(address: string, namespace: string): Promise<boolean> {
  const connection = await Connection.connect({ address, connectTimeout: 2000 });
  try {
    return await connection.withDeadline(Date.now() + 5000, async () => {
      const { namespaces } = await connection.workflowService.listNamespaces({ pageSize: 100 });
      if (namespaces.every(({ namespaceInfo }) => namespaceInfo?.name !== namespace)) {
        await connection.workflowService.registerNamespace({ namespace, workflowExecutionRetentionPeriod: msToTs(retention) });
        return false;
      }
      // The frontend looks namespaces up in a cache that is some seconds behind: without this the first worker would be told that there is none.
      await connection.workflowService.describeTaskQueue({ namespace, taskQueue: { name: 'ready' }, taskQueueType: 1 });
      return true;
    });
  } finally {
    await connection.close();
  }
}
