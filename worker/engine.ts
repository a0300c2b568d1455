/** Puts together what activities, jobs and sweeps work with. */
import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Engine } from '../activities/context.ts';
import { ownOperations } from '../db/allowance.ts';
import { linkKeysOf } from '../db/links.ts';
import type { Pool } from '../db/pool.ts';
import { reportTo } from '../keys/file.ts';
import type { LoadedPolicy } from '../policies/load.ts';
import { callable } from '../systems/index.ts';
import { loadProcesses } from '../workflows/registry.ts';
import type { WorkerConfig } from './config.ts';

export async function createEngine(config: WorkerConfig, policy: LoadedPolicy, pool: Pool, temporal: Client, log: Logger): Promise<Engine> {
  return {
    pool,
    temporal,
    processes: await loadProcesses(),
    systems: callable,
    policy,
    own: ownOperations,
    target: (name) => {
      const token = config.systemToken(name);
      return { baseUrl: config.systemUrl(name), ...(token === undefined ? {} : { token }) };
    },
    links: { keys: linkKeysOf(config.LINK_KEY_FILE, reportTo(log)), publicUrl: config.PUBLIC_URL },
    log,
  };
}
