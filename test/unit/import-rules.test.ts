import { expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');

interface Report {
  readonly diagnostics: readonly { readonly code: string; readonly filename: string }[];
}

/** Lints the files in a folder of their own with the project's settings; returns the rules that each file broke. */
const lint = async (files: Readonly<Record<string, string>>): Promise<Map<string, string[]>> => {
  const folder = await mkdtemp(join(tmpdir(), 'kefu-flow-lint-'));
  try {
    for (const settings of ['.oxlintrc.json', 'tsconfig.json', 'package.json']) await copyFile(join(root, settings), join(folder, settings));
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text);
    }
    const output = await new Promise<string>((done) => {
      // Exit code 1 means that something was found, which is what most of these tests want.
      // Only these files: given a folder, oxlint would follow the link into node_modules.
      execFile(join(root, 'node_modules/.bin/oxlint'), ['--format', 'json', ...Object.keys(files)], { cwd: folder, timeout: 60_000 }, (_error, stdout) =>
        done(stdout),
      );
    });
    const broken = new Map<string, string[]>();
    for (const { code, filename } of (JSON.parse(output) as Report).diagnostics) broken.set(filename, [...(broken.get(filename) ?? []), code]);
    return broken;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

const imports = (specifier: string) => `import * as it from '${specifier}';\nexport const held = it;\n`;
const importsType = (specifier: string) => `import type * as it from '${specifier}';\nexport type Held = typeof it;\n`;

/** Each room, with a file that stands for it, what it may import as a value and what it may not. Linted alone, so none of the imported files exists. */
const rooms: Record<string, { readonly file: string; readonly may: readonly string[]; readonly mayNot: readonly string[] }> = {
  'the body of a process': {
    file: 'workflows/a/case.ts',
    may: ['../kit/case.ts', '../../values/money.ts', '../systems.ts', './steps/parcels.ts'],
    mayNot: [
      'zod',
      'node:fs',
      'node:fs/promises',
      'express',
      '@temporalio/workflow',
      './process.ts',
      './rules.ts',
      '../../values/schemas.ts',
      '../../values/hash.ts',
      '../../db/cases.ts',
      '../../systems/a/contract.ts',
    ],
  },
  'a step of a body': {
    file: 'workflows/a/steps/parcels.ts',
    may: ['../../kit/references.ts', '../../../values/money.ts', '../../systems.ts', './money.ts'],
    mayNot: [
      'zod',
      'node:fs',
      '@temporalio/workflow',
      '../process.ts',
      '../rules.ts',
      '../../../values/schemas.ts',
      '../../../db/cases.ts',
      '../../../systems/a/contract.ts',
    ],
  },
  'a declaration': {
    file: 'workflows/a/process.ts',
    may: ['zod', '../kit/declare.ts', '../../values/money.ts', '../../values/schemas.ts', './forms.ts'],
    mayNot: ['./case.ts', '../kit/case.ts', 'node:crypto', '../../db/cases.ts', '../../systems/a/contract.ts', '../b/process.ts'],
  },
  'the rules of a process': {
    file: 'workflows/a/rules.ts',
    may: ['zod', '../kit/rule.ts', '../../values/money.ts'],
    mayNot: ['pg', 'node:fs/promises', '../../activities/effects.ts'],
  },
  'the kit': {
    file: 'workflows/kit/verbs.ts',
    may: ['./scope.ts', '../../values/instant.ts', '@temporalio/workflow'],
    mayNot: ['zod', 'node:crypto', 'node:fs/promises', '../../values/schemas.ts', '../../values/hash.ts', '../../activities/effects.ts', '@temporalio/client'],
  },
  values: { file: 'values/weight.ts', may: ['./money.ts'], mayNot: ['zod', 'node:fs', '../db/cases.ts'] },
  'the schemas of values': { file: 'values/schemas.ts', may: ['zod', './money.ts'], mayNot: ['node:fs', '../db/cases.ts'] },
  'the hash of values': { file: 'values/hash.ts', may: ['node:crypto', './money.ts'], mayNot: ['zod', 'node:fs/promises'] },
  'a contract': {
    file: 'systems/a/contract.ts',
    may: ['zod', '../contract.ts', '../../values/money.ts'],
    mayNot: ['express', 'node:http', './sandbox.ts', '../client.ts'],
  },
  'a sandbox system': {
    file: 'systems/a/sandbox.ts',
    may: ['express', 'node:crypto', './contract.ts', '../../values/money.ts'],
    mayNot: ['../../db/cases.ts', '../../delivery/inbox.ts', '../../workflows/index.ts', '@temporalio/client'],
  },
  db: { file: 'db/tasks.ts', may: ['pg', 'zod', '../values/ids.ts'], mayNot: ['../api/main.ts', '../systems/contract.ts', '../workflows/index.ts', 'express'] },
  keys: {
    file: 'keys/ring.ts',
    may: ['node:crypto', 'node:fs', './file.ts', '../values/instant.ts'],
    mayNot: ['../db/sealed.ts', '../delivery/codec.ts', 'pg', 'express'],
  },
  policies: { file: 'policies/schema.ts', may: ['zod', '../values/money.ts'], mayNot: ['../db/policies.ts', '../workflows/index.ts'] },
  evidence: {
    file: 'evidence/folder.ts',
    may: ['node:fs', 'zod', '@aws-sdk/client-s3', './store.ts', '../values/ids.ts'],
    mayNot: ['../db/evidence.ts', '../api/uploads.ts', 'express', 'pg', '@temporalio/client'],
  },
  delivery: {
    file: 'delivery/inbox.ts',
    may: ['../db/inbox.ts', '../workflows/registry.ts', '@temporalio/client', '../values/ids.ts'],
    mayNot: [
      '../activities/effects.ts',
      '../api/main.ts',
      '../worker/main.ts',
      '../workflows/a/case.ts',
      '../systems/a/client.ts',
      'express',
      '@temporalio/worker',
    ],
  },
  activities: {
    file: 'activities/effects.ts',
    may: ['../db/effects.ts', '../systems/a/client.ts', '../workflows/index.ts', '@temporalio/activity'],
    mayNot: ['../api/main.ts', '../worker/main.ts', '../systems/a/sandbox.ts', '../workflows/a/case.ts', '@temporalio/workflow'],
  },
  'the API': {
    file: 'api/tasks.ts',
    may: ['express', '../db/tasks.ts', '../workflows/index.ts', '../systems/a/contract.ts', '@temporalio/client'],
    mayNot: [
      '../activities/effects.ts',
      '../worker/main.ts',
      '../systems/a/sandbox.ts',
      '../systems/a/client.ts',
      '../workflows/a/case.ts',
      '@temporalio/worker',
    ],
  },
  'the calendar’s route': {
    file: 'api/routes/calendar.ts',
    may: ['../../activities/calendar.ts', '../../policies/duration.ts', '../route.ts'],
    mayNot: ['../../activities/clock-log.ts', '../../worker/main.ts'],
  },
  'clocks as people see them': {
    file: 'api/clocks.ts',
    may: ['../activities/clock.ts', '../activities/calendar.ts'],
    mayNot: ['../activities/clock-log.ts', '../activities/effects.ts'],
  },
  'the codec server': {
    file: 'codec/app.ts',
    may: ['express', 'zod', '../api/problems.ts', '../api/token.ts', '../db/people.ts', '../delivery/codec.ts', './payloads.ts'],
    mayNot: ['../api/app.ts', '../api/routes/cases.ts', '../db/cases.ts', '../db/sealed.ts', '../workflows/index.ts', '@temporalio/client'],
  },
  'the worker': { file: 'worker/main.ts', may: ['../activities/effects.ts', '@temporalio/worker'], mayNot: ['express', '../api/main.ts'] },
  'the command line': { file: 'cli/start.ts', may: ['../db/migrate.ts', 'node:fs'], mayNot: ['../test/run.ts'] },
};

/** What a room may and may not import, each in a file of its own that the room's rules match: `a/case.ts` → `a3/case.ts`, `tasks.ts` → `3/tasks.ts`. */
const cases = Object.entries(rooms).flatMap(([room, { file, may, mayNot }]) =>
  [
    ...may.map((specifier) => ({ specifier, source: imports(specifier), refused: false })),
    ...mayNot.map((specifier) => ({ specifier, source: imports(specifier), refused: true })),
    ...mayNot.map((specifier) => ({ specifier, source: importsType(specifier), refused: false })),
  ].map((one, index) => ({
    ...one,
    room,
    file: file.includes('/a/') ? file.replace('/a/', `/a${index}/`) : join(dirname(file), String(index), basename(file)),
  })),
);

test('each room imports what it may, anything as a type, and nothing else: the linter says so', async () => {
  const broken = await lint(Object.fromEntries(cases.map(({ file, source }) => [file, source])));
  const found = cases.map(({ room, specifier, source, file }) => ({
    room,
    specifier,
    source,
    refused: broken.get(file)?.includes('eslint(no-restricted-imports)') ?? false,
  }));
  expect(found).toEqual(cases.map(({ room, specifier, source, refused }) => ({ room, specifier, source, refused })));
  expect(found.filter(({ refused }) => refused).length).toBeGreaterThan(40);
});

test('a promise that nobody awaits and a promise where a boolean is meant are caught', async () => {
  const broken = await lint({
    'worker/floating.ts': 'export const send = async (): Promise<boolean> => true;\nsend();\n',
    'worker/misused.ts': "export const send = async (): Promise<boolean> => true;\nif (send()) throw new Error('sent');\n",
  });
  expect(broken.get('worker/floating.ts')).toContain('typescript(no-floating-promises)');
  expect(broken.get('worker/misused.ts')).toContain('typescript(no-misused-promises)');
});
