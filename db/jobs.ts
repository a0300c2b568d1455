/** Jobs written by the transaction that needs them: run once it has committed, by the worker (graphile-worker). */
import type { Instant } from '../values/instant.ts';
import { writeLast, type Pool, type Sql } from './pool.ts';

/** Every kind of job and its payload: ids only, since payloads are plain text in the database. */
export interface Jobs {
  /** A message of the outbox is due. */
  readonly 'send-message': { readonly id: string };
  /** A clock has reached its next point. */
  readonly 'clock-due': { readonly caseId: string; readonly clock: string };
  /** A person asked for an effect to be sent again on purpose, and another agreed. */
  readonly 'redo-effect': { readonly caseId: string; readonly path: string };
}

/** A job to add, or, without a kind, to remove. */
interface Job {
  readonly key: string;
  readonly kind?: keyof Jobs;
  readonly payload?: object;
  readonly runAt?: Instant | undefined;
}

/** Adds a job, or replaces the one under the same key that has not begun. Of several under one key in a transaction the last word counts. */
export const addJob = <K extends keyof Jobs>(tx: Sql, kind: K, key: string, payload: Jobs[K], runAt?: Instant): Promise<void> =>
  writeLast<Job>(tx, writeJobs, { key, kind, payload, runAt });

export const removeJob = (tx: Sql, key: string): Promise<void> => writeLast<Job>(tx, writeJobs, { key });

/**
 * A job as SQL, of SQL expressions: also for a statement that adds jobs for the rows it writes. 25 tries with growing pauses: about three days; then the job
 * stays as failed and the operator's metrics show it.
 */
export const jobSpec = (kind: string, payload: string, key: string, runAt = 'null'): string =>
  `row(${kind}, ${payload}, null, ${runAt}, 25, ${key}, null, null)::graphile_worker.job_spec`;

async function writeJobs(tx: Sql, jobs: readonly Job[]): Promise<void> {
  const last = [...new Map(jobs.map((job) => [job.key, job])).values()];
  const added = last.filter((job) => job.kind !== undefined);
  const removed = last.filter((job) => job.kind === undefined);
  if (added.length > 0)
    await tx.query(
      `select from graphile_worker.add_jobs((select array_agg(${jobSpec('j.kind', 'j.payload', 'j.key', 'j.run_at')})
         from unnest($1::text[], $2::json[], $3::timestamptz[], $4::text[]) as j (kind, payload, run_at, key)))`,
      [added.map((j) => j.kind), added.map((j) => JSON.stringify(j.payload)), added.map((j) => j.runAt ?? null), added.map((j) => j.key)],
    );
  if (removed.length > 0) await tx.query('select graphile_worker.remove_job(key) from unnest($1::text[]) as gone (key)', [removed.map((j) => j.key)]);
}

/**
 * Gives back what workers have had for longer than `afterMs` milliseconds, and says how many workers had something: graphile-worker itself takes one for dead
 * after four hours only. Where one is slow and alive, its job runs twice, which every job here is made for. Served by index kefu_jobs_locked. Deletes what is no job
 * any more.
 */
export async function unlockJobs(sql: Sql, afterMs: number): Promise<number> {
  const { rows } = await sql.query<{ dead: string[] }>(
    `select coalesce(array_agg(distinct locked_by), '{}') as dead from graphile_worker._private_jobs where locked_at < now() - $1 * interval '1 millisecond'`,
    [afterMs],
  );
  const dead = rows[0]?.dead ?? [];
  if (dead.length > 0) await sql.query('select graphile_worker.force_unlock_workers($1)', [dead]);
  // What was replaced or removed while it ran has lost its key and is never to run again. Who ran it to its end has deleted it; where its worker died, or its run
  // failed, it would stay for ever. Served by index kefu_jobs_tried.
  await sql.query('delete from graphile_worker._private_jobs where attempts > 0 and attempts >= max_attempts and key is null and locked_at is null');
  return dead.length;
}

export interface FailingJob {
  readonly kind: string;
  /** The message or the clock, as its key names it. */
  readonly about: string;
  readonly attempts: number;
  /** Nobody tries it any more. */
  readonly dead: boolean;
  readonly error: string;
}

/** Jobs that have failed, those that nobody tries any more first, and how many there are beyond `most`. Served by index kefu_jobs_tried. */
export async function failingJobs(sql: Sql, most: number): Promise<{ readonly jobs: readonly FailingJob[]; readonly more: number }> {
  const { rows } = await sql.query<FailingJob & { readonly all: number }>(
    `select t.identifier as kind, j.key as about, j.attempts::int, j.attempts >= j.max_attempts as dead,
       left(split_part(coalesce(j.last_error, ''), E'\\n', 1), 200) as error, count(*) over ()::int as all
     from graphile_worker._private_jobs j join graphile_worker._private_tasks t on t.id = j.task_id
     where j.attempts > 0 and j.locked_at is null and j.key is not null order by dead desc, j.id limit $1`,
    [most],
  );
  return { jobs: rows, more: (rows[0]?.all ?? 0) - rows.length };
}

/**
 * What has failed is tried again from its first try, and a clock that runs and whose job is gone gets one: an operator's word that what hindered them is mended.
 * A job that runs at this moment is left alone.
 */
export async function retryJobs(pool: Pool): Promise<{ readonly retried: number; readonly revived: number }> {
  const retried = await pool.query(
    `select from graphile_worker.reschedule_jobs((select array_agg(id) from graphile_worker._private_jobs where attempts > 0 and locked_at is null and key is not null),
       run_at => now(), attempts => 0)`,
  );
  const clock: keyof Jobs = 'clock-due';
  const revived = await pool.query(
    `with lost as (
       select k.case_id, k.clock, k.next_point from clocks k join cases c on c.id = k.case_id and c.status = 'open'
       where k.next_point is not null and not exists (select 1 from graphile_worker._private_jobs j where j.key = 'clock:' || k.case_id || ':' || k.clock))
     select from (select array_agg(${jobSpec(`'${clock}'`, `json_build_object('caseId', case_id, 'clock', clock)`, `'clock:' || case_id || ':' || clock`, 'next_point')}) as jobs
       from lost) l cross join lateral graphile_worker.add_jobs(l.jobs) where l.jobs is not null`,
  );
  return { retried: retried.rowCount ?? 0, revived: revived.rowCount ?? 0 };
}
