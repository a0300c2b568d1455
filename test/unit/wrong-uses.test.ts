/** The type tests can fail: without its directive, each wrong use is an error of the compiler, at its own line. */
import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';

const root = resolve(import.meta.dirname, '../..');
const directive = /^\/\/ @ts-expect-error .*$/gm;

test('every wrong use of the kit in test/types is refused by the compiler', async () => {
  const source = await readFile(join(root, 'test/types/wrong-uses.ts'), 'utf8');
  const uses = source.match(directive) ?? [];
  expect(uses.length).toBeGreaterThanOrEqual(11);
  // Beside the original, so that its imports and the settings are the same; other names, so that two runs do not meet.
  const copy = join(root, `test/types/unmarked-${process.pid}.ts`);
  const settings = join(root, `tsconfig.unmarked-${process.pid}.json`);
  try {
    await writeFile(copy, source.replaceAll(directive, '// unmarked'));
    await writeFile(settings, JSON.stringify({ extends: './tsconfig.json', include: [copy, join(root, 'types')] }));
    const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', settings], { cwd: root }).catch(
      (failed: { stdout: string }) => failed,
    );
    const lines = source.split('\n');
    const marked = lines.flatMap((line, n) => (line.startsWith('// @ts-expect-error') ? [n + 2] : []));
    const refused = new Set([...stdout.matchAll(/unmarked-\d+\.ts\((\d+),/g)].map(([, line]) => Number(line)));
    // The formatter may have broken a use over lines: an error counts for the directive above it.
    const of = (line: number): number | undefined => marked.findLast((m) => m <= line);
    expect(new Set([...refused].map(of))).toEqual(new Set(marked));
  } finally {
    await rm(copy, { force: true });
    await rm(settings, { force: true });
  }
});
