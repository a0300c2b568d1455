/** A worker in a process of its own, to be ended by `kill -9`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflows } from '../../worker/bundle.ts';
import type { Kit, Surroundings } from './harness.ts';

/** What the process is told. */
export interface WorkerOrders extends Surroundings {
  readonly systemsUrl: string;
  readonly bundleFile: string;
}

/** Starts it; it polls when this returns. The answer kills it, and returns once it is gone. */
export async function startKillable(kit: Kit, around: Surroundings): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'kefu-worker-'));
  const bundleFile = join(folder, 'workflows.js');
  await writeFile(bundleFile, await bundleWorkflows(new URL('../processes/index.ts', import.meta.url)));
  const systemsUrl = kit.engine.target('').baseUrl.replace(/\/$/, '');
  const orders: WorkerOrders = { ...around, systemsUrl, bundleFile };
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, ['--import', 'tsx', fileURLToPath(new URL('worker-process.ts', import.meta.url))], {
    env: { ...env, WORKER_ORDERS: JSON.stringify(orders) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const ready = await Promise.race([once(child.stdout, 'data').then(() => true), exited.then(() => false)]);
  if (!ready) throw new Error('the worker process ended before it was ready');
  return async () => {
    child.kill('SIGKILL');
    await exited;
    await rm(folder, { recursive: true });
  };
}
