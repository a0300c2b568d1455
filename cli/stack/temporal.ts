/** Where Temporal comes from: one that runs already, one on the PATH, or one that was downloaded or built once. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cached, cacheFolder, fromFirst, runCommand } from './cache.ts';
import type { Environment, Say, Source } from './cache.ts';
import type { ChildSpec } from './supervisor.ts';
import { sdkDownload } from './sdk-source.ts';

/** The CLI's version, with server 1.31.2 and UI 2.50.1; `temporal-cli/go.mod` requires the same. */
const version = '1.8.2';
/** Compiling takes 5 minutes on two idle cores; a machine that needs six times as long is stuck. */
const buildLimitMs = 30 * 60_000;

export type TemporalSource = { readonly kind: 'running'; readonly address: string } | { readonly kind: 'program'; readonly path: string };

/** Whether a program answers to `--version`: a broken or foreign file of that name does not. */
export async function answers(program: string, env: Environment): Promise<boolean> {
  try {
    await promisify(execFile)(program, ['--version'], { env, timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
}

const goBuild = (say: Say): Source => ({
  name: 'a Go build',
  fill: async (empty) => {
    say('Building Temporal with Go, once: about 5 minutes on two cores.');
    const flags = `-s -w -X github.com/temporalio/cli/internal/temporalcli.Version=${version}`;
    // The module's sums are in the repository, and nothing may rewrite them; without paths, what Go compiled once serves every checkout.
    const args = ['build', '-trimpath', '-mod=readonly', '-ldflags', flags, '-o', join(empty, 'temporal'), 'github.com/temporalio/cli/cmd/temporal'];
    await runCommand('Building Temporal', 'go', args, { cwd: join(import.meta.dirname, 'temporal-cli'), limitMs: buildLimitMs }, say);
  },
});

/** The folder of the cache in which the program `temporal` is, filled from the first source that works. */
export const temporalFolder = (
  env: Environment,
  say: Say,
  sources: readonly Source[] = [sdkDownload('temporal', `v${version}`, 'temporal', say), goBuild(say)],
): Promise<string> =>
  cached(
    join(cacheFolder(env), `temporal-${version}-${process.platform}-${process.arch}`),
    async (empty) => {
      const checked = sources.map(({ name, fill }) => ({
        name,
        fill: async (folder: string) => {
          await fill(folder);
          if (!(await answers(join(folder, 'temporal'), env))) throw new Error('it does not run on this machine');
        },
      }));
      const remedy = 'Put the Temporal CLI (`temporal`) on the PATH, or install Go 1.26.4 or newer, or set TEMPORAL_ADDRESS to a Temporal that runs.';
      await fromFirst('Temporal', checked, remedy, empty, say);
    },
    say,
  );

/** The Temporal to use. Throws, saying what was tried and what to do, when there is none. */
export async function resolveTemporal(env: Environment, say: Say): Promise<TemporalSource> {
  const address = env['TEMPORAL_ADDRESS'];
  if (address !== undefined) return { kind: 'running', address };
  if (await answers('temporal', env)) return { kind: 'program', path: 'temporal' };
  return { kind: 'program', path: join(await temporalFolder(env, say), 'temporal') };
}

export interface DevServerOptions {
  readonly program: string;
  readonly port: number;
  /** Without it there is no page to look at. */
  readonly uiPort?: number;
  /** Where the page has payloads opened. */
  readonly uiCodec?: string;
  /** Made at start; `default` is always there. */
  readonly namespaces: readonly string[];
  /** Where its state is kept; without it, in memory. */
  readonly database?: string;
  /** Dynamic configuration besides ours, as `key=value`. */
  readonly settings?: readonly string[];
  readonly env: Environment;
}

// An activity is handed to the worker with the answer that scheduled it, instead of by way of a queue: off by default, and one round trip less.
// The limits are for clusters that many share; here one demo is the only user.
const limits = [
  'frontend.rps',
  'frontend.namespaceRPS',
  'history.rps',
  'matching.rps',
  'frontend.persistenceMaxQPS',
  'history.persistenceMaxQPS',
  'matching.persistenceMaxQPS',
];
const dynamicConfig = ['system.enableActivityEagerExecution=true', ...limits.map((limit) => `${limit}=20000`)];

/** How to run Temporal's development server: the whole server and its page in one process. */
export const devServer = ({ program, port, uiPort, uiCodec, namespaces, database, settings = [], env }: DevServerOptions): ChildSpec => ({
  name: 'temporal',
  command: program,
  args: [
    'server',
    'start-dev',
    '--ip=127.0.0.1',
    `--port=${port}`,
    '--log-format=json',
    '--log-level=warn',
    ...namespaces.map((namespace) => `--namespace=${namespace}`),
    ...(uiPort === undefined ? ['--headless'] : [`--ui-port=${uiPort}`]),
    ...(uiCodec === undefined ? [] : [`--ui-codec-endpoint=${uiCodec}`]),
    ...(database === undefined ? [] : [`--db-filename=${database}`]),
    ...[...dynamicConfig, ...settings].map((setting) => `--dynamic-config-value=${setting}`),
  ],
  env,
  ready: async () => {
    const { stdout } = await promisify(execFile)(program, ['operator', 'namespace', 'list', '--address', `127.0.0.1:${port}`, '--output', 'json'], {
      env,
      timeout: 5000,
    });
    return namespaces.every((namespace) => stdout.includes(`"${namespace}"`));
  },
  // 2 s when idle; a large database on a busy machine takes longer to open.
  readyWithinMs: 60_000,
});
