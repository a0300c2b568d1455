/** `npm start`: the whole stack on this machine, until Ctrl-C. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { routesSchema } from './stack/routes.ts';
import { startStack } from './stack/stack.ts';
import type { Stack } from './stack/stack.ts';

const help = `npm start -- [options]

Starts Postgres, Temporal with its page, the sandbox systems, the worker and the API, and keeps them running until Ctrl-C.

  --data FOLDER            everything that outlives a restart           (.data)
  --port PORT              port of the API                              (7400)
  --host ADDRESS           address that the API listens on              (127.0.0.1; in a container 0.0.0.0)
  --policy FILE            clocks, windows, limits                      (policies/default.yaml; policies/demo.yaml has them in seconds)
  --systems-port PORT      port of the sandbox systems                  (a free one)
  --postgres-port PORT     port of Postgres                             (a free one)
  --temporal-port PORT     port of Temporal                             (a free one)
  --temporal-ui-port PORT  port of Temporal's page                      (a free one)
  --help                   this text

FOLDER/stack.json lists every address and process id while the stack runs; FOLDER/logs has a log per process.
Environment: DATABASE_URL, TEMPORAL_ADDRESS and SYSTEMS_URL use what runs already instead of starting it;
KEFU_CACHE is the folder for what is downloaded or built once (~/.cache/kefu-flow).`;

async function main(): Promise<void> {
  const { values: flags } = parseArgs({
    options: {
      data: { type: 'string', default: '.data' },
      port: { type: 'string', default: '7400' },
      host: { type: 'string', default: '127.0.0.1' },
      policy: { type: 'string', default: 'policies/default.yaml' },
      'systems-port': { type: 'string' },
      'postgres-port': { type: 'string' },
      'temporal-port': { type: 'string' },
      'temporal-ui-port': { type: 'string' },
      // For the fault harness, which puts something between the processes: not a thing that a person would type.
      routes: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (flags.help) return console.log(help);
  const portOf = (flag: 'port' | 'systems-port' | 'postgres-port' | 'temporal-port' | 'temporal-ui-port'): number | undefined => {
    const text = flags[flag];
    if (text === undefined) return undefined;
    const port = Number(text);
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Error(`--${flag} ${text}: a port is a whole number from 1 to 65535.`);
    return port;
  };

  const stopping = new AbortController();
  const stopRequested = once(stopping.signal, 'abort');
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // Whoever asks twice does not want to wait.
      if (stopping.signal.aborted) process.exit(1);
      console.log('Stopping.');
      stopping.abort();
    });
  }

  const started = Date.now();
  const options = {
    folder: resolve(flags.data),
    port: portOf('port') ?? 7400,
    host: flags.host,
    policyFile: resolve(flags.policy),
    ports: { systems: portOf('systems-port'), postgres: portOf('postgres-port'), temporal: portOf('temporal-port'), temporalUi: portOf('temporal-ui-port') },
    routes: flags.routes === undefined ? undefined : routesSchema.parse(JSON.parse(readFileSync(flags.routes, 'utf8'))),
    env: process.env,
    say: (line: string) => console.log(line),
  };
  let stack: Stack;
  try {
    stack = await startStack(options, stopping.signal);
  } catch (error) {
    if (stopping.signal.aborted) return;
    throw error;
  }
  const { urls } = stack.state;
  const data = flags.data === '.data' ? '' : ` --data ${flags.data}`;
  console.log(`
Kefu Flow is ready after ${((Date.now() - started) / 1000).toFixed(1)} s.
  API           ${urls.api}/v1
  docs          ${urls.docs}
  Temporal      ${urls.temporalUi ?? '(yours; its page is where you run it)'}
  systems       ${urls.systems}
  metrics       ${urls.api}/metrics, ${urls.workerMetrics}
  logs          ${resolve(flags.data, 'logs')}
  a token       npm run token -- --user wang --role supervisor${data}
Ctrl-C stops everything.`);
  await stopRequested;
  await stack.stop();
  console.log('Stopped.');
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
