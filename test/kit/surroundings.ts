/** The servers that the test run has brought up, and a database of one's own. */
import { randomBytes } from 'node:crypto';
import { freshDatabase, temporal } from '../stack/env.ts';
import type { Surroundings } from './harness.ts';

/** A migrated database of one's own, on the Postgres that the test run has brought up. */
export async function freshDatabase(): Promise<string> {
  const admin = process.env['TEST_DATABASE_URL'];
  if (!admin) throw new Error('run tests with npm test: it brings up Postgres');
  const name = `kit_${randomBytes(6).toString('hex')}`;
  const client = new pg.Client({ connectionString: admin });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const url = new URL(admin);
  url.pathname = `/${name}`;
  await migrate(url.href);
  return url.href;
}

export async function surroundings(): Promise<Surroundings> {
  const temporalAddress = process.env['TEMPORAL_ADDRESS'];
  if (!temporalAddress) throw new Error('run tests with npm test: it brings up Temporal');
  return { databaseUrl: await freshDatabase(), temporalAddress, codecKeys: [{ id: '1', key: randomBytes(32) }] };
}
