/** Jobs whose worker was killed with them, or could not give them back. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runOnce } from 'graphile-worker';
import { pino } from 'pino';
import { proxyTo } from '../../cli/faults/proxy.ts';
import { addJob, failingJobs, removeJob, retryJobs, unlockJobs } from '../../db/jobs.ts';
import { connectPool, type Pool } from '../../db/pool.ts';
import { startJobs } from '../../worker/jobs.ts';
import { freshDatabase } from '../stack/env.ts';
import { until } from '../stack/until.ts';

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

test('a job that was replaced or removed while a worker that died was at it goes with the worker', async () => {
  const left = async () =>
    (await pool.query<{ key: string; given_up: boolean }>('select key, attempts >= max_attempts as given_up from graphile_worker._private_jobs order by id'))
      .rows;
  await addJob(pool, 'send-message', 'message:replaced', { id: 'before' });
  await addJob(pool, 'send-message', 'message:removed', { id: 'removed' });
  await takenBy('worker-2', '31 seconds');
  await addJob(pool, 'send-message', 'message:replaced', { id: 'after' });
  await removeJob(pool, 'message:removed');
  expect(await left()).toEqual([
    { key: null, given_up: true },
    { key: null, given_up: true },
    { key: 'message:replaced', given_up: false },
  ]);
  expect(await unlockJobs(pool, 30_000)).toBe(1);
  expect(await left()).toEqual([{ key: 'message:replaced', given_up: false }]);
  expect(await ran()).toEqual(['after']);
});

test('a job that was replaced while it ran, and whose run failed, is no job any more', async () => {
  await addJob(pool, 'send-message', 'message:failing', { id: 'before' });
  await takenBy('worker-3', '1 second');
  await addJob(pool, 'send-message', 'message:failing', { id: 'after' });
  // As the queue has it when the run fails.
  await pool.query(`update graphile_worker._private_jobs set locked_at = null, locked_by = null, last_error = 'x' where key is null`);
  const left = async () => (await pool.query<{ key: string }>('select key from graphile_worker._private_jobs order by id')).rows.map(({ key }) => key);
  expect(await left()).toEqual([null, 'message:failing']);
  expect(await unlockJobs(pool, 30_000)).toBe(0);
  expect(await left()).toEqual(['message:failing']);
  expect(await ran()).toEqual(['after']);
});

test('jobs are run again after Postgres went away under every worker at the moment when it was to give its job back', async () => {
  const direct = new URL(url);
  const proxy = await proxyTo(direct.hostname, Number(direct.port));
  const begun = new Set<string>();
  const done = new Set<string>();
  let goOn = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const through = Object.assign(new URL(url), { hostname: '127.0.0.1', port: String(proxy.port) }).href;
  const jobs = await startJobs({ pool, log: pino({ level: 'silent' }) }, through, {
    'send-message': async (payload) => {
      const { id } = payload as { id: string };
      begun.add(id);
      if (id !== 'after') await gate;
      done.add(id);
    },
  });
  try {
    // As many as there are workers.
    const ids = ['w1', 'w2', 'w3', 'w4'];
    for (const id of ids) await addJob(pool, 'send-message', `message:${id}`, { id });
    await until('every worker has a job', () => ids.every((id) => begun.has(id)));
    await proxy.refuse();
    goOn();
    await until('they are done', () => ids.every((id) => done.has(id)));
    await proxy.restore();
    await addJob(pool, 'send-message', 'message:after', { id: 'after' });
    await until('the next job is done', () => done.has('after'), 40_000);
  } finally {
    await jobs.stop();
    await proxy.close();
  }
});

test('an operator sees which jobs fail and why, and gives them another try; a clock whose job is gone gets one', async () => {
  await pool.query('delete from graphile_worker._private_jobs');
  await addJob(pool, 'send-message', 'message:dead', { id: 'dead' });
  await addJob(pool, 'send-message', 'message:again', { id: 'again' });
  await addJob(pool, 'send-message', 'message:new', { id: 'new' });
  const failed = (key: string, attempts: number) =>
    pool.query(
      `update graphile_worker._private_jobs set attempts = $2, last_error = E'no channel\n  at send', run_at = now() + interval '1 hour' where key = $1`,
      [key, attempts],
    );
  await failed('message:dead', 25);
  await failed('message:again', 2);
  const dead = { kind: 'send-message', about: 'message:dead', attempts: 25, dead: true, error: 'no channel' };
  expect(await failingJobs(pool, 1)).toMatchObject({ jobs: [dead], more: 1 });
  expect(await ran()).toEqual(['new']);

  await pool.query(`insert into cases (id, process, shop, input, input_hash, manifest, starter) values ('c', 'p', 's', '{}', 'x', '{}', 'u')`);
  await pool.query(
    `insert into clocks (case_id, clock, name, policy_clock, status, next_point, state) values ('c', 'handle', 'handle', 'T10', 'running', now(), '{}')`,
  );
  expect(await retryJobs(pool)).toEqual({ retried: 2, revived: 1 });
  expect(await failingJobs(pool, 1)).toEqual({ jobs: [], more: 0 });
  const { rows } = await pool.query('select key, payload from graphile_worker._private_jobs where key like $1', ['clock:%']);
  expect(rows).toEqual([{ key: 'clock:c:handle', payload: { caseId: 'c', clock: 'handle' } }]);
  await pool.query(`delete from graphile_worker._private_jobs where key like 'clock:%'`);
  expect((await ran()).toSorted()).toEqual(['again', 'dead']);
});
