/** The API process. Any number may run. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { collectDefaultMetrics, register } from 'prom-client';
import { linkKeysOf } from '../db/links.ts';
import { poolGauges, stateGauges } from '../db/metrics.ts';
import { policyInForce } from '../db/policies.ts';
import { connectPool, isAway } from '../db/pool.ts';
import { masterKeysOf } from '../db/sealed.ts';
import { codecKeysOf } from '../delivery/codec.ts';
import { deliverInbox } from '../delivery/inbox.ts';
import { startWorkflow } from '../delivery/start.ts';
import { lookAtQueue } from '../delivery/queue.ts';
import { connectTemporal } from '../delivery/temporal.ts';
import { openStore } from '../evidence/store.ts';
import { reportTo } from '../keys/file.ts';
import { loadPolicy } from '../policies/load.ts';
import { callable } from '../systems/index.ts';
import { checkPolicy } from '../workflows/policy-check.ts';
import { loadProcesses } from '../workflows/registry.ts';
import { createAdmission } from './admission.ts';
import { createApp } from './app.ts';
import type { Delivery } from './deps.ts';
import { createDraining } from './draining.ts';
import { readSettings, type Settings } from './settings.ts';
import { tokenCheck } from './token.ts';
import { removeErased, removeUnfinished } from './uploads.ts';

/** An upload that is not here after this long has lost its sender. */
const uploadMs = 600_000;
/** How often files are looked for that are to be removed: of uploads that a crash cut off, and of erased customers. Either index is empty but for those. */
const sweepMs = 60_000;

/** Connections that no request in work can hold: health is told, and uploads keep what they have brought, whatever else goes on. */
const spareConnections = 3;

/** `webhook-<source>.secret`: one secret a line, the newest first; read at each call, so that a rotation needs no restart. */
const webhookSecrets =
  (directory: string) =>
  (source: string): string[] => {
    try {
      return readFileSync(join(directory, `webhook-${source}.secret`), 'utf8')
        .split(/\s+/)
        .filter((line) => line !== '');
    } catch (error) {
      // A source without a secret cannot sign: its calls are refused as unsigned.
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw error;
    }
  };

async function start(settings: Settings): Promise<void> {
  const processes = await loadProcesses();
  const policy = loadPolicy(settings.POLICY_FILE);
  checkPolicy(policy, processes);
  // It is published with the first case; cases that run are read before.
  policyInForce(policy.policy);
  const log = pino({ name: 'api', level: settings.LOG_LEVEL });
  const report = reportTo(log);
  // The registry that the rooms we share with the worker count in.
  const metrics = register;
  collectDefaultMetrics({ register: metrics });
  // It tells which Node runs, to everybody.
  metrics.removeSingleMetric('nodejs_version_info');
  const pool = connectPool(settings.DATABASE_URL, 'kefu-api', settings.REQUESTS_AT_ONCE + spareConnections);
  // A delivery holds its connection until Temporal has answered, up to 2 s when it is away: with connections of their own, those leave the API's alone.
  const deliveryPool = connectPool(settings.DATABASE_URL, 'kefu-api-delivery', 5);
  const temporal = connectTemporal({
    address: settings.TEMPORAL_ADDRESS,
    namespace: settings.TEMPORAL_NAMESPACE,
    codecKeys: codecKeysOf(settings.CODEC_KEY_FILE, report),
  });
  const delivery: Delivery = {
    start: (row) => startWorkflow(pool, temporal, row),
    deliver: (of) => deliverInbox(deliveryPool, temporal, of),
    look: async () => {
      try {
        const { pollers, moves, oldestMs } = await lookAtQueue(temporal, settings.TEMPORAL_NAMESPACE);
        return { temporal: true, worker: pollers > 0, moves, behindMs: oldestMs };
      } catch (error) {
        log.debug({ error: error instanceof Error ? error.message : String(error) }, 'Temporal does not answer');
        return { temporal: false, worker: false, moves: false, behindMs: 0 };
      }
    },
  };
  poolGauges(metrics, { api: pool, delivery: deliveryPool });
  stateGauges(metrics, pool, (error) => {
    // Postgres away is a figure of its own.
    if (!isAway(error)) log.error({ error: error instanceof Error ? error.message : String(error) }, 'what waits in Postgres could not be counted');
  });
  const evidence = await openStore(settings);
  const app = createApp({
    pool,
    processes,
    // Our own among them: a case may call it too.
    systems: callable,
    policy,
    delivery,
    checkToken: await tokenCheck({
      jwksUrl: settings.JWT_JWKS_URL,
      keyFile: settings.JWT_PUBLIC_KEY_FILE,
      report,
      issuer: settings.JWT_ISSUER,
      audience: settings.JWT_AUDIENCE,
    }),
    webhookSecrets: webhookSecrets(settings.WEBHOOK_SECRETS_DIR),
    master: masterKeysOf(settings.PERSONAL_KEY_FILE, report),
    links: { keys: linkKeysOf(settings.LINK_KEY_FILE, report), publicUrl: settings.PUBLIC_URL },
    linkRatePerMinute: settings.LINK_RATE_PER_MINUTE,
    proxies: settings.TRUSTED_PROXIES,
    evidence,
    log,
    metrics,
    ratePerMinute: settings.RATE_PER_MINUTE,
    admission: createAdmission({ inWork: settings.REQUESTS_AT_ONCE, waiting: settings.REQUESTS_WAITING }, metrics),
    backlogMost: settings.BACKLOG_MOST,
    temporalUi: settings.TEMPORAL_UI_URL === undefined ? undefined : { url: settings.TEMPORAL_UI_URL, namespace: settings.TEMPORAL_NAMESPACE },
  });

  const draining = createDraining(app);
  const { server } = draining;
  // A video of 100 MB takes some minutes from a phone; all other bodies are held to 30 s (app.ts). The keep-alive outlasts that of common proxies (60 s), so that
  // none writes into a closing socket.
  server.headersTimeout = 30_000;
  server.requestTimeout = uploadMs;
  server.keepAliveTimeout = 65_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(settings.PORT, settings.HOST, resolve);
  });
  log.info({ address: server.address() }, 'api ready');
  let swept = true;
  const sweep = (): void => {
    // A store that is slow is not asked twice at once.
    if (!swept) return;
    swept = false;
    void Promise.allSettled([removeUnfinished({ pool, evidence, log }, 2 * uploadMs), removeErased({ pool, evidence, log })]).then((parts) => {
      swept = true;
      for (const part of parts)
        if (part.status === 'rejected')
          log.warn({ error: part.reason instanceof Error ? part.reason.message : String(part.reason) }, 'files could not be removed; the next sweep will');
    });
  };
  sweep();
  const sweeping = setInterval(sweep, sweepMs);

  const stop = (): void => {
    log.info('stopping');
    clearInterval(sweeping);
    void draining.stop(settings.STOP_NOTICE_MS).then(async () => {
      await Promise.allSettled([pool.end(), deliveryPool.end(), temporal.connection.close()]);
      process.exit(0);
    });
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

try {
  await start(readSettings(process.env));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
