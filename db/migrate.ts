import { fileURLToPath } from 'node:url';
import { runMigrations as migrateJobs } from 'graphile-worker';
import { runner } from 'node-pg-migrate';
import pg from 'pg';

/** Brings a database to the newest schema: ours and the job queue's. Several at once wait for each other. */
export async function migrate(databaseUrl: string): Promise<void> {
  await runner({
    databaseUrl,
    dir: fileURLToPath(new URL('./migrations', import.meta.url)),
    direction: 'up',
    migrationsTable: 'migrations',
    // Two migrators at once: without waiting, the second one fails.
    advisoryLockMode: 'wait',
    log: () => undefined,
  });
  await migrateJobs({ connectionString: databaseUrl });
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    // What workers hold is looked at again and again, among a waiting job for every clock that runs.
    await client.query('create index if not exists kefu_jobs_locked on graphile_worker._private_jobs (locked_at) where locked_at is not null');
    // What has failed, once or for the last time, is counted for operators (db/engine-state.ts).
    await client.query('create index if not exists kefu_jobs_tried on graphile_worker._private_jobs (run_at) where attempts > 0');
  } finally {
    await client.end();
  }
}
