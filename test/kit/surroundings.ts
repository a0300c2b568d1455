/** The servers that the test run has brought up, and a database of one's own. */
import { randomBytes } from 'node:crypto';
import { freshDatabase, temporal } from '../stack/env.ts';
import type { Surroundings } from './harness.ts';
import { recording, testKeys } from './histories.ts';

export { freshDatabase } from '../stack/env.ts';

export async function surroundings(): Promise<Surroundings> {
  return { databaseUrl: await freshDatabase(), temporal: temporal(), codecKeys: recording ? testKeys : [{ id: '1', key: randomBytes(32) }] };
}
