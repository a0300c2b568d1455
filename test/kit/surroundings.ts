/** The servers that the test run has brought up, and a database of one's own. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { migrate } from '../../db/migrate.ts';
import type { Surroundings } from './harness.ts';

export async function surroundings(): Promise<Surroundings> {
  const admin = process.env['TEST_DATABASE_URL'];
  const temporalAddress = process.env['TEMPORAL_ADDRESS'];
  if (!admin || !temporalAddress) throw new Error('run tests with npm test: it brings up Postgres and Temporal');
  const name = `kit_${randomBytes(6).toString('hex')}`;
  const client = new pg.Client({ connectionString: admin });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const url = new URL(admin);
  url.pathname = `/${name}`;
  await migrate(url.href);
  return { databaseUrl: url.href, temporalAddress, codecKeys: [{ id: '1', key: randomBytes(32) }] };
}
