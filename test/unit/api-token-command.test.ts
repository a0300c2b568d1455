import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from '@jest/globals';

const root = resolve(import.meta.dirname, '../..');
const token = (...given: string[]) => spawnSync(process.execPath, ['--import', 'tsx', join(root, 'cli/token.ts'), ...given], { cwd: root, encoding: 'utf8' });

test('the token command says how it is used, and what is wrong with what it was given', () => {
  expect(token('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('npm run token -- --user wang --role supervisor') });
  for (const [given, says] of [
    [[], '--user wang'],
    [['--user', 'wang', '--role', 'king'], '--role is one of agent, supervisor'],
    [['--user', 'wang', '--ttl', 'forever'], '30m, 12h or 30d'],
    [['--user', 'wang', '--role', 'agent', '--data', join(tmpdir(), 'no-stack-here')], 'Start it: npm start -- --data'],
    [['--usr', 'wang'], '--usr'],
  ] as const)
    expect(token(...given)).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining(says) });
});
