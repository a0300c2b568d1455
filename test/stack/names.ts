/** What the test run and the tests agree on. */
import { basename } from 'node:path';

/** The names under which test/run.ts passes on what it has brought up. */
export const variables = { postgres: 'TEST_DATABASE_URL', temporal: 'TEST_TEMPORAL_ADDRESS', testServer: 'TEMPORAL_TEST_SERVER' } as const;
/** The database that has every migration; fresh ones are copies of it. */
export const templateDatabase = 'kefu_template';

/** The namespace of a test file, given its path: files run side by side, and workers of one must not take the other's cases. */
export const namespaceOf = (testFile: string): string =>
  basename(testFile)
    .replace(/\.test\.ts$/, '')
    .replaceAll(/[^a-z0-9]+/gi, '-');
