/** `node dist/cli/migrate.js`: brings the database to the newest schema, before a worker or an API of the same version starts. */
import { parseArgs } from 'node:util';
import { migrate } from '../db/migrate.ts';

const help = `Brings the database at DATABASE_URL to the newest schema. Safe to run again, and by several at once: they wait for each other.`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { help: { type: 'boolean', default: false } } });
  if (values.help) return console.log(help);
  const url = process.env['DATABASE_URL'];
  if (url === undefined) throw new Error('DATABASE_URL is not set: postgres://user:password@host:5432/database');
  await migrate(url);
  console.log('The schema is up to date.');
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
