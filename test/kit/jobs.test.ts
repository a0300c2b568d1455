/** Jobs whose worker was killed with them. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runOnce } from 'graphile-worker';
import { addJob, unlockJobs } from '../../db/jobs.ts';
import { connectPool, type Pool } from '../../db/pool.ts';
import { freshDatabase } from '../stack/env.ts';

let url: string;
let pool: Pool;
beforeAll(async () => {
  url = await freshDatabase();
  pool = connectPool(url, 'jobs-test', 2);
});
afterAll(() => pool.end());

/** Runs what is due now; the ids of the messages it was for. */
async function ran(): Promise<string[]> {
  const done: string[] = [];
  await runOnce({
    connectionString: url,
    noHandleSignals: true,
    taskList: { 'send-message': (payload) => void done.push((payload as { id: string }).id) },
  });
  return done;
}
const takenBy = (worker: string, ago: string): Promise<unknown> =>
  pool.query(`update graphile_worker._private_jobs set locked_at = now() - $2::interval, locked_by = $1`, [worker, ago]);

test('a job that a worker died with runs once its time is over, and one that is being worked at does not run twice', async () => {
  await addJob(pool, 'send-message', 'message:m1', { id: 'm1' });
  await takenBy('worker-1', '29 seconds');
  expect(await unlockJobs(pool, 30_000)).toBe(0);
  expect(await ran()).toEqual([]);

  await takenBy('worker-1', '31 seconds');
  // The control: nobody else takes it from the dead.
  expect(await ran()).toEqual([]);
  expect(await unlockJobs(pool, 30_000)).toBe(1);
  expect(await ran()).toEqual(['m1']);
  expect(await unlockJobs(pool, 30_000)).toBe(0);
});
