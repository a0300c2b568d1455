/** `node dist/cli/migrate.js`: brings the database to the newest schema, before a worker or an API of the same version starts. */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { migrate } from '../db/migrate.ts';
import { databaseSettings, withPassword } from '../db/settings.ts';

const help = `Brings the database at DATABASE_URL (its password may be in DATABASE_PASSWORD_FILE) to the newest schema. Safe to run again, and by several at once: they wait for each other.`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { help: { type: 'boolean', default: false } } });
  if (values.help) return console.log(help);
  const settings = z.object(databaseSettings).safeParse(process.env);
  if (!settings.success) throw new Error(`The migration needs its environment:\n${z.prettifyError(settings.error)}`);
  await migrate(withPassword(settings.data).DATABASE_URL);
  console.log('The schema is up to date.');
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
