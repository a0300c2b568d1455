/** The fault harness as a person runs it: help, what it says to a wrong call, and a small run with its kills, faults and judge. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runFiles } from '../../cli/demo/command.ts';
import { Journal } from '../../cli/demo/journal.ts';
import { readRun } from '../../cli/demo/progress.ts';
import { findFaketime } from '../../cli/faults/inject.ts';
import { allKinds, kinds } from '../../cli/faults/plan.ts';
import { cleanUp, readStack } from '../../cli/stack/state.ts';
import { command, type Command } from './command.ts';
import { until } from './until.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kefu-flow-faults-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const faults = (...args: readonly string[]): Command => command('faults', args);

describe('the fault harness', () => {
  test('names its options, and every kind of fault with what it is done to', async () => {
    const { code, output } = await faults('--help').ended;
    expect(code).toBe(0);
    for (const option of ['--cases', '--seed', '--process', '--kills', '--faults', '--concurrency', '--data', '--controls', '--detach', '--status', '--resume'])
      expect(output).toContain(option);
    for (const kind of allKinds) expect(output).toContain(`${kinds[kind].title}: ${kinds[kind].targets.join(', ')}`);
  });

  test.each([
    [['--cases', 'many'], '--cases is a number'],
    [['--cases', '0'], '--cases is at least 1'],
    [['--process', 'refund'], '--process is return-exchange or late-parcel'],
    [['--status', '--resume'], '--status goes alone'],
    [['--controls', '--detach'], '--controls run in the foreground'],
    [['--controls', '--kills', '3'], '--controls have their own kills'],
    [['--resume'], 'There is nothing to go on with'],
    [['--status'], 'No such run'],
    [['--speed', '1'], "Unknown option '--speed'"],
  ])('%j says what does not fit', async (args, words) => {
    const { code, output } = await faults(...args, '--data', join(folder, 'empty')).ended;
    expect(output).toContain(words);
    expect(code).toBe(1);
  });

  // Its time is that of restarted processes, and of the windows that single cases wait out.
  test('runs cases under kills and faults, is gone on with when it was killed itself, and ends with the judge', async () => {
    const data = join(folder, 'run');
    const args = ['--cases', '10', '--seed', '3', '--data', data];
    const files = runFiles(data, 'faults', '3');
    const first = faults(...args);
    try {
      await until('something was disturbed', () => (readRun(files.state)?.kills ?? 0) + (readRun(files.state)?.faults ?? 0) > 0, 180_000);
      expect((await faults(...args, '--status').ended).output).toContain('runs as process');
      first.child.kill('SIGKILL');
      await first.ended;
      expect((await faults(...args, '--status').ended).output).toContain('was interrupted; go on with --resume');

      const { code, output } = await faults(...args, '--resume').ended;
      const journal = new Journal(files.journal);
      const kills = journal.tookPlace.filter(({ kind }) => kind === 'kill').length;
      const others = journal.tookPlace.length - kills;
      // What the judge found, where it found something.
      expect(/What is wrong\n[^]*/.exec(output)?.[0]).toBeUndefined();
      expect(output.trimEnd().split('\n').at(-1)).toBe(`10 cases, ${kills} kills, ${others} faults: 0 lost, 0 doubled, 0 stuck, 0 wrong`);
      expect(code).toBe(0);
      expect(kills).toBeGreaterThan(0);
      expect(others).toBeGreaterThan(0);
      // All that began is over, and those that could not be had say why.
      for (const one of journal.disturbed) expect(one.lifted ?? one.omitted).toBeDefined();
      const omitted = journal.disturbed.flatMap((one) => (one.kind === 'clock' ? [one.omitted === undefined] : []));
      for (const moved of omitted) expect(moved).toBe(findFaketime() !== undefined);
      // How long it took to work again is said of each.
      expect(output).toContain('Time to recover');
      expect(output).toMatch(/killed with SIGKILL: \w+ +\d+ +[\d.]+ s +[\d.]+ s/);
      // Nothing of its stack is left.
      expect(() => readStack(data)).toThrow('No stack runs');
      expect((await faults(...args, '--status').ended).output).toContain('ended: 10 cases, ');
    } finally {
      first.child.kill('SIGKILL');
      try {
        process.kill(readStack(data).leader.pid, 'SIGTERM');
        await until('its stack has ended', () => {
          try {
            return readStack(data) === undefined;
          } catch {
            return true;
          }
        });
      } catch {
        // It has ended already, as it should.
      }
      await cleanUp(data, () => undefined);
    }
    // Some minutes on a quiet machine; as long as it has to on a busy one.
  }, 900_000);
});
