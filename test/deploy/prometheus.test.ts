/** The alert rules, by Prometheus' own tool: they parse, they speak up when they should, and not otherwise. */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify, types } from 'node:util';
import { expect, test } from '@jest/globals';

const folder = resolve(import.meta.dirname, '../../deploy/prometheus');
const promtool = process.env['PROMTOOL'] ?? 'promtool';

/** What promtool prints, and whether it is content. */
async function ask(...args: readonly string[]): Promise<{ readonly ok: boolean; readonly said: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)(promtool, args, { timeout: 60_000 });
    return { ok: true, said: stdout + stderr };
  } catch (error) {
    if (!types.isNativeError(error)) throw error;
    if ('code' in error && error.code === 'ENOENT')
      throw new Error(`There is no ${promtool}. It comes with Debian's package: apt-get install prometheus; one that is elsewhere is named by PROMTOOL.`, {
        cause: error,
      });
    return { ok: false, said: ('stdout' in error ? String(error.stdout) : '') + ('stderr' in error ? String(error.stderr) : '') };
  }
}

test('the configuration and its rules are valid', async () => {
  expect(await ask('check', 'config', join(folder, 'prometheus.yml'))).toMatchObject({ ok: true, said: expect.stringMatching(/[1-9]\d* rules found/) });
});

test('each alert speaks up when it should, and not otherwise', async () => {
  const { ok, said } = await ask('test', 'rules', join(folder, 'tests/alerts.test.yml'));
  expect([ok, said]).toEqual([true, expect.stringContaining('SUCCESS')]);
});

test.each([
  ['a threshold that is twice as high', '_oldest_seconds) > 1800', '_oldest_seconds) > 3600'],
  ['an alert that does not wait', 'for: 2m', 'for: 0m'],
  ['a figure that is taken twice', 'max by (process) (kefu_cases_broken)', 'sum without (process) (kefu_cases_broken)'],
])('those tests find %s', async (_what, right, wrong) => {
  const copy = await mkdtemp(join(tmpdir(), 'kefu-flow-alerts-'));
  try {
    await cp(folder, copy, { recursive: true });
    const rules = await readFile(join(copy, 'alerts.yml'), 'utf8');
    expect(rules).toContain(right);
    await writeFile(join(copy, 'alerts.yml'), rules.replaceAll(right, wrong));
    expect(await ask('test', 'rules', join(copy, 'tests/alerts.test.yml'))).toMatchObject({ ok: false, said: expect.stringContaining('FAILED') });
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
});
