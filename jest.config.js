import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('.', import.meta.url));

/** @param {string} name */
const project = (name) => ({
  displayName: name,
  rootDir: root,
  testEnvironment: 'node',
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  extensionsToTreatAsEsm: ['.ts'],
  // The built files are a second copy of every module; Postgres keeps sockets and data under .data.
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.data/'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2022', transform: { verbatimModuleSyntax: true } }, module: { type: 'es6' } },
    ],
  },
});

const shared = existsSync(new URL('../shared', import.meta.url));
if (!shared && process.env['REQUIRE_SHARED'] === '1')
  throw new Error('REQUIRE_SHARED=1, but the folder ../shared (reference data beside the checkout) is missing.');
if (!shared && process.env['JEST_WORKER_ID'] === undefined)
  process.stderr.write('../shared is missing: the tests that compare with it (test/shared) are left out.\n');

export default {
  // long: minutes each, by themselves (npm run test:long) · page: in Chromium, by itself (npm run test:page) · deploy: what is in deploy/, by the tools it is for (npm run test:deploy) · unit: no server · kit: Postgres, Temporal, time skipping · stack: whole processes · shared: with the reference data beside the checkout
  projects: (process.env['TEST_LONG'] === '1'
    ? ['long']
    : process.env['TEST_PAGE'] === '1'
      ? ['page']
      : process.env['TEST_DEPLOY'] === '1'
        ? ['deploy']
        : ['unit', 'kit', 'stack'].concat(shared ? ['shared'] : [])
  ).map(project),
  // Two: the smallest machine that is promised has two cores, and more workers than cores make time-outs out of waits.
  maxWorkers: 2,
  // A server's first answer on a busy two-core machine takes seconds; no test waits this long when all is well.
  testTimeout: 60_000,
};
