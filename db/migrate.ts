import { fileURLToPath } from 'node:url';
import { runMigrations as migrateJobs } from 'graphile-worker';
import { runner } from 'node-pg-migrate';

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
}
