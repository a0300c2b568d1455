/** Jobs written by the transaction that needs them: run once it has committed, by the worker (graphile-worker). */
import type { Instant } from '../values/instant.ts';
import type { Sql } from './pool.ts';

/** Every kind of job and its payload: ids only, since payloads are plain text in the database. */
export interface Jobs {
  /** A message of the outbox is due. */
  readonly 'send-message': { readonly id: string };
  /** A clock has reached its next point. */
  readonly 'clock-due': { readonly caseId: string; readonly clock: string };
  /** A person asked for an effect to be sent again on purpose, and another agreed. */
  readonly 'redo-effect': { readonly caseId: string; readonly path: string };
}

/** Adds a job, or replaces the one under the same key that has not begun. */
export async function addJob<K extends keyof Jobs>(tx: Sql, kind: K, key: string, payload: Jobs[K], runAt?: Instant): Promise<void> {
  // 25 tries with growing pauses: about three days; then the job stays as failed and the operator's metrics show it.
  await tx.query(`select graphile_worker.add_job($1, payload => $2::json, job_key => $3, run_at => $4::timestamptz, max_attempts => 25)`, [
    kind,
    JSON.stringify(payload),
    key,
    runAt ?? null,
  ]);
}

export async function removeJob(tx: Sql, key: string): Promise<void> {
  await tx.query('select graphile_worker.remove_job($1)', [key]);
}

/**
 * Gives back what workers have had for longer than `afterMs` milliseconds, and says how many workers had something: graphile-worker itself takes one for dead
 * after four hours only. Where one is slow and alive, its job runs twice, which every job here is made for. Served by index kefu_jobs_locked.
 */
export async function unlockJobs(sql: Sql, afterMs: number): Promise<number> {
  const { rows } = await sql.query<{ dead: string[] }>(
    `select coalesce(array_agg(distinct locked_by), '{}') as dead from graphile_worker._private_jobs where locked_at < now() - $1 * interval '1 millisecond'`,
    [afterMs],
  );
  const dead = rows[0]?.dead ?? [];
  if (dead.length > 0) await sql.query('select graphile_worker.force_unlock_workers($1)', [dead]);
  return dead.length;
}
