/** The process of killable.ts: a worker for the tests' processes, until it is killed. */
import { readFileSync } from 'node:fs';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { pino } from 'pino';
import { createActivities } from '../../activities/index.ts';
import { ownOperations } from '../../db/allowance.ts';
import { linkKeys } from '../../db/links.ts';
import { connectPool } from '../../db/pool.ts';
import { sealingCodec } from '../../delivery/codec.ts';
import { connectTemporal } from '../../delivery/temporal.ts';
import { fixedKeys, type Key } from '../../keys/ring.ts';
import { loadPolicy } from '../../policies/load.ts';
import { callable } from '../../systems/index.ts';
import { taskQueue } from '../../workflows/kit/protocol.ts';
import { loadProcesses } from '../../workflows/registry.ts';
import { bench } from '../processes/bench.ts';
import type { WorkerOrders } from './killable.ts';

const { databaseUrl, temporal, codecKeys, systemsUrl, bundleFile } = JSON.parse(process.env['WORKER_ORDERS'] ?? '{}') as WorkerOrders;
// JSON has made plain objects of the keys' bytes.
const whole = (sealed: Key): Key => ({ ...sealed, key: Buffer.from(sealed.key) });
const [sealing, ...others] = codecKeys;
const keys = fixedKeys([whole(sealing), ...others.map(whole)]);
Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: 'ERROR' } } });
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address: temporal.address }),
  namespace: temporal.namespace,
  taskQueue,
  workflowBundle: { code: readFileSync(bundleFile, 'utf8') },
  activities: {
    ...createActivities({
      pool: connectPool(databaseUrl, 'kit-worker', 10),
      temporal: connectTemporal({ ...temporal, codecKeys: keys }),
      processes: await loadProcesses(new URL('../processes/', import.meta.url)),
      systems: { ...callable, bench },
      policy: loadPolicy(new URL('../../policies/default.yaml', import.meta.url).pathname),
      own: ownOperations,
      // A worker that is killed tells nobody: what a link would be made with does not matter.
      links: { keys: linkKeys(Buffer.alloc(32).toString('base64')), publicUrl: 'https://service.example.cn' },
      target: (name) => ({ baseUrl: `${systemsUrl}/${name}` }),
      log: pino({ level: 'silent' }),
    }),
  },
  dataConverter: { payloadCodecs: [sealingCodec(keys)] },
  // What it had in its cache goes to another worker this long after its death; ten seconds by default.
  stickyQueueScheduleToStartTimeout: '1s',
});
const running = worker.run();
process.stdout.write('ready\n');
await running;
