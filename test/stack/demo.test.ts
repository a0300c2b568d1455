/** Import and demo as a person runs them: commands, what they print, and what they say when something is missing. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runFiles } from '../../cli/demo/command.ts';
import { readRun } from '../../cli/demo/progress.ts';
import { cleanUp, readStack, stackFile } from '../../cli/stack/state.ts';
import { command } from './command.ts';
import { until } from './until.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kefu-flow-demo-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('import', () => {
  test.each([
    [['--help'], 0, 'npm run import -- tau-retail FOLDER'],
    [[], 1, 'Name the source and its folder'],
    [['elsewhere', '.'], 1, 'There is no source "elsewhere"'],
    [['tau-retail', '.', '--data', 'nowhere'], 1, 'Start it: npm start -- --data'],
  ])('%j ends with %i and says %s', async (args, code, words) => {
    const ended = await command('import', args).ended;
    expect(ended.output).toContain(words);
    expect(ended.code).toBe(code);
  });
});

describe('demo', () => {
  test('names its demos and options', async () => {
    const { code, output } = await command('demo', ['--help']).ended;
    expect(code).toBe(0);
    for (const word of ['returns', 'one-order', '--source', '--cases', '--seed', '--kill', '--data', '--detach', '--status', '--resume'])
      expect(output).toContain(word);
  });

  test.each([
    [['returns', '--source', 'tau-retail', '--folder', 'nowhere'], 'nowhere/orders.json is not there'],
    [['returns', '--resume'], 'There is nothing to go on with'],
    [['returns', '--status'], 'No such run'],
  ])('%j says what to do', async (args, words) => {
    const { code, output } = await command('demo', [...args, '--data', join(folder, 'empty')]).ended;
    expect(output).toContain(words);
    expect(code).toBe(1);
  });

  // Its time is that of restarted processes: a kill of each kind, and no case that waits out a window.
  test('of returns with kills ends in an audit without a fault, also when it was killed itself and gone on with', async () => {
    const data = join(folder, 'returns');
    const args = ['returns', '--source', 'own', '--cases', '8', '--seed', '14', '--data', data];
    const files = runFiles(data, 'demo', 'returns-own-14');
    const first = command('demo', [...args, '--kill', '--kills', '3']);
    try {
      await until('some cases are under way', () => (readRun(files.state)?.started ?? 0) >= 4, 120_000);
      expect((await command('demo', [...args, '--status']).ended).output).toContain('runs as process');
      expect((await command('demo', args).ended).output).toContain('This run is under way');
      first.child.kill('SIGKILL');
      await first.ended;
      expect((await command('demo', [...args, '--status']).ended).output).toContain('was interrupted; go on with --resume');
      expect((await command('demo', args).ended).output).toContain('This run was interrupted');

      const { code, output } = await command('demo', [...args, '--resume']).ended;
      expect(output.trimEnd().split('\n').at(-1)).toBe('8 cases: 0 lost, 0 doubled, 0 above paid, 0 stuck');
      expect(code).toBe(0);
      expect(output).toMatch(/refunded +\d+ +CN¥[\d,.]+/);
      for (const process of ['worker', 'api', 'temporal']) expect(output).toMatch(new RegExp(`killed with SIGKILL: ${process} +1`));
      // The stack was its own: nothing of it is left.
      expect(() => readStack(data)).toThrow('No stack runs');
      const status = await command('demo', [...args, '--status']).ended;
      expect(status.output).toContain('ended: 8 cases: 0 lost, 0 doubled, 0 above paid, 0 stuck');
      expect((await command('demo', args).ended).output).toContain('Choose another --seed');
    } finally {
      first.child.kill('SIGKILL');
      try {
        process.kill(readStack(data).leader.pid, 'SIGTERM');
        await until('its stack has ended', () => !stackRuns(data));
      } catch {
        // It has ended already, as it should.
      }
      await cleanUp(data, () => undefined);
    }
  }, 300_000);

  test('of one order proves that many cases at once use its units once and refund its money to the cent, with kills', async () => {
    const data = join(folder, 'one-order');
    const demo = command('demo', ['one-order', '--cases', '64', '--seed', '1', '--kill', '--kills', '3', '--data', data]);
    try {
      const { code, output } = await demo.ended;
      expect(output.trimEnd().split('\n').at(-1)).toBe('64 cases: 0 lost, 0 doubled, 0 above paid, 0 stuck');
      expect(output).toContain('Proof: order QF-8001');
      expect(output).not.toContain('FAILS');
      expect(output).toMatch(/units +holds +40 of 40 used/);
      expect(output).toMatch(/freight +holds +refunded by 1 case/);
      expect(code).toBe(0);
    } finally {
      demo.child.kill('SIGKILL');
      await cleanUp(data, () => undefined).catch(() => undefined);
    }
  }, 300_000);

  test('refuses files that are not tau-retail, before anything is started', async () => {
    const wrong = join(folder, 'wrong');
    await mkdir(wrong);
    for (const name of ['orders', 'users', 'products']) await writeFile(join(wrong, `${name}.json`), '{"x": 1}');
    const data = join(folder, 'refused');
    const { code, output } = await command('demo', ['returns', '--source', 'tau-retail', '--folder', wrong, '--data', data]).ended;
    expect(output).toContain('does not hold tau-retail as it should');
    expect(code).toBe(1);
    expect(stackRuns(data)).toBe(false);
  }, 120_000);
});

function stackRuns(data: string): boolean {
  try {
    return stackFile(data) !== '' && readStack(data) !== undefined;
  } catch {
    return false;
  }
}
