/** docs/policy.md: its policies are in order, and its commands say what stands there. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { loadPolicy } from '../../policies/load.ts';
import { checkPolicy } from '../../workflows/policy-check.ts';
import { loadProcesses } from '../../workflows/registry.ts';

const root = resolve(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'policy-document-'));
mkdirSync(join(folder, 'policies'));
copyFileSync(join(root, 'policies/default.yaml'), join(folder, 'policies/default.yaml'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Blocks of the document in their order: a file, a command, or what the command before it says. */
const blocks = [...readFileSync(join(root, 'docs/policy.md'), 'utf8').matchAll(/^```(yaml|sh|text)\n([\s\S]*?)^```$/gm)].map(([, kind = '', body = '']) => ({
  kind,
  body,
}));
const files = blocks.flatMap(({ kind, body }) => {
  const [, name] = /^# (policies\/\S+\.yaml)$/m.exec(body) ?? [];
  return kind === 'yaml' && name !== undefined ? [{ name, body }] : [];
});
/** A version changes with every value of the default policy. */
const anyVersion = (text: string): string => text.replaceAll(/version \S{16}/g, 'version');

test('every file of the document that is not shown to be wrong is in order', async () => {
  const processes = await loadProcesses();
  const right = files.filter(({ name }) => name === 'policies/own.yaml');
  expect(right).toHaveLength(3);
  for (const { name, body } of right) {
    writeFileSync(join(folder, name), body);
    expect(() => checkPolicy(loadPolicy(join(folder, name)), processes)).not.toThrow();
  }
});

test('every command of the document says what stands there', () => {
  let said: string | undefined;
  let compared = 0;
  for (const { kind, body } of blocks) {
    const file = files.find((f) => f.body === body);
    if (file) writeFileSync(join(folder, file.name), body);
    const [, given] = /^npm run policy -- (.+)$/m.exec(body) ?? [];
    if (kind === 'sh' && given !== undefined) {
      const { stdout, stderr } = spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), join(root, 'cli/policy.ts'), ...given.split(' ')], {
        cwd: folder,
        encoding: 'utf8',
      });
      said = `${stdout}${stderr}`;
    } else if (kind === 'text') {
      expect(anyVersion(said ?? '')).toBe(anyVersion(body));
      compared += 1;
    }
  }
  expect(compared).toBe(2);
});
