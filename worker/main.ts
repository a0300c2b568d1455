/** The worker process: hosts workflows and activities, sends the outbox, sweeps. Any number may run. */
import { readFileSync } from 'node:fs';
import { NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { pino } from 'pino';
import { collectDefaultMetrics, register } from 'prom-client';
import { createActivities } from '../activities/index.ts';
import { jobHandlers } from '../activities/jobs.ts';
import { poolGauges } from '../db/metrics.ts';
import { publishPolicy } from '../db/policies.ts';
import { connectPool } from '../db/pool.ts';
import { codecKeysOf, sealingCodec } from '../delivery/codec.ts';
import { connectTemporal } from '../delivery/temporal.ts';
import { reportTo } from '../keys/file.ts';
import { loadPolicy } from '../policies/load.ts';
import { taskQueue } from '../workflows/kit/protocol.ts';
import { checkPolicy } from '../workflows/policy-check.ts';
import { bundleWorkflows } from './bundle.ts';
import { readConfig } from './config.ts';
import { createEngine } from './engine.ts';
import { startJobs } from './jobs.ts';
import { workflowTasksAtOnce } from './limits.ts';
import { sdkLogger } from './logger.ts';
import { sdkMetrics, serveMetrics } from './metrics.ts';
import { registerSearchAttributes } from './search-attributes.ts';
import { startSweeping } from './sweeps.ts';

const config = readConfig(process.env);
const log = pino({ name: 'worker', level: config.LOG_LEVEL });
const codecKeys = codecKeysOf(config.CODEC_KEY_FILE, reportTo(log));
const pool = connectPool(config.DATABASE_URL, 'kefu-worker', 20);
const policy = loadPolicy(config.POLICY_FILE);
const temporal = connectTemporal({ address: config.TEMPORAL_ADDRESS, namespace: config.TEMPORAL_NAMESPACE, codecKeys });
const engine = await createEngine(config, policy, pool, temporal, log);
checkPolicy(policy, engine.processes);
await publishPolicy(pool, policy);

const sdk = config.METRICS_PORT === undefined ? undefined : await sdkMetrics();
Runtime.install({
  logger: sdkLogger(log),
  shutdownSignals: [],
  telemetryOptions: { logging: { forward: {}, filter: 'WARN' }, ...(sdk === undefined ? {} : { metrics: sdk.exporter }) },
});
collectDefaultMetrics();
poolGauges(register, { worker: pool });
await registerSearchAttributes(config.TEMPORAL_ADDRESS, config.TEMPORAL_NAMESPACE);
const connection = await NativeConnection.connect({ address: config.TEMPORAL_ADDRESS });
const worker = await Worker.create({
  connection,
  namespace: config.TEMPORAL_NAMESPACE,
  taskQueue,
  workflowBundle: { code: config.WORKFLOW_BUNDLE === undefined ? await bundleWorkflows() : readFileSync(config.WORKFLOW_BUNDLE, 'utf8') },
  activities: { ...createActivities(engine) },
  dataConverter: { payloadCodecs: [sealingCodec(codecKeys)] },
  // A cached workflow holds about 0.12 MB; the default of some 2,300 would fill a small machine.
  maxCachedWorkflows: 500,
  maxConcurrentWorkflowTaskExecutions: workflowTasksAtOnce,
  // Running activities finish before the process ends; the supervisor kills it after 10 s.
  shutdownGraceTime: '5s',
});
const jobs = await startJobs(engine, config.DATABASE_URL, jobHandlers(engine));
const sweeping = startSweeping(engine);
const metrics =
  sdk === undefined || config.METRICS_PORT === undefined
    ? undefined
    : await serveMetrics({ port: config.METRICS_PORT, host: config.METRICS_HOST }, { registry: register, sdk, polls: () => worker.getState() === 'RUNNING' });

const stop = (): void => {
  if (worker.getState() === 'RUNNING') worker.shutdown();
};
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
engine.log.info({ taskQueue }, 'worker ready');
process.stdout.write('ready\n');
try {
  await worker.run();
} finally {
  await metrics?.close();
  await sweeping.stop();
  await jobs.stop();
  await connection.close();
  await temporal.connection.close();
  await pool.end();
}
