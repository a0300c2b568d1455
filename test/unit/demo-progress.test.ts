import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Journal } from '../../cli/demo/journal.ts';
import { newRun, Progress, progressLine, readRun, statusText, type RunState } from '../../cli/demo/progress.ts';

const state: RunState = {
  ...newRun({ demo: 'returns', seed: 1 }, true, '2026-11-23T03:00:00.000Z'),
  phase: 'cases',
  cases: 100,
  started: 60,
  waiting: 10,
  ended: 50,
  kills: 3,
  killsWanted: 10,
};
const later = Date.parse('2026-11-23T03:01:05.000Z');

let folder = '';
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'kefu-demo-'))));
afterEach(() => rmSync(folder, { recursive: true }));

describe('progress', () => {
  test('is one line with bar, cases, kills and time, no wider than the terminal', () => {
    expect(progressLine(state, later, 120)).toBe('[███████████████░░░░░░░░░░░░░░░] 50/100 ended · 10 waiting · 40 to start · 3 kills · cases run · 1 min 05 s');
    expect(progressLine({ ...state, phase: 'stack', cases: 0 }, later)).toBe('starting the stack · 1 min 05 s');
    expect(progressLine({ ...state, faults: 7, faultsWanted: 20 }, later, 120)).toContain(' · 3 kills · 7 faults · ');
    for (const width of [40, 60, 80, 200]) expect(progressLine(state, later, width).length).toBeLessThan(width);
  });

  test('says of a run whether it goes on, was interrupted, or how it ended', () => {
    expect(statusText(state, later)).toContain(`runs as process ${process.pid}`);
    expect(statusText({ ...state, process: { pid: 1, started: 'another' } }, later)).toContain('was interrupted; go on with --resume');
    const ended = statusText({ ...state, phase: 'ended', endedAt: '2026-11-23T03:00:30.000Z', result: '1 cases: 0 lost' }, later);
    expect(ended).toContain('ended: 1 cases: 0 lost');
    expect(ended).toContain('ended · 30 s');
  });

  test('keeps its state in a file that another process reads', () => {
    const file = join(folder, 'run.json');
    const written: string[] = [];
    const progress = new Progress(file, state, { isTTY: false, columns: () => 80, write: (text) => void written.push(text) });
    progress.set({ ended: 60 });
    progress.end('all is well', 0);
    expect(readRun(file)).toEqual({ ...state, ended: 60, phase: 'ended', endedAt: expect.any(String), result: 'all is well', exitCode: 0 });
    expect(readRun(join(folder, 'other.json'))).toBeUndefined();
  });

  test('leaves the bar below what is said on a terminal', () => {
    const written: string[] = [];
    const progress = new Progress(join(folder, 'run.json'), state, { isTTY: true, columns: () => 120, write: (text) => void written.push(text) });
    progress.say('kill -9 4711 (worker)');
    progress.end('', 0);
    expect(written[0]).toBe('\r\u001b[Kkill -9 4711 (worker)\n');
    expect(written[1]).toContain('50/100 ended');
    expect(written.at(-1)).toBe('\r\u001b[K');
  });
});

describe('journal', () => {
  test('gives a run that goes on what was accepted, repeated and disturbed, and each start the instant it was first sent at', () => {
    const file = join(folder, 'run.ndjson');
    const first = new Journal(file);
    const at = first.requestedAt('c1');
    first.write({ what: 'start', case: 'c1' });
    first.write({ what: 'repeated', case: 'c1', act: 'start sent twice' });
    first.write({ what: 'start', case: 'probe', probe: true });
    first.write({ what: 'fault', n: 0, kind: 'kill', target: 'api', at });
    first.write({ what: 'lifted', n: 0, at });
    first.write({ what: 'recovered', n: 0, ms: 1200 });
    first.write({ what: 'fault', n: 1, kind: 'clock', target: '+1h', at });
    first.write({ what: 'omitted', n: 1, why: 'no libfaketime' });
    first.write({ what: 'fault', n: 2, kind: 'cut', target: 'api-postgres', at });
    first.write({ what: 'probed', ms: 300 });
    const second = new Journal(file);
    expect(second.requestedAt('c1')).toBe(at);
    // A probe must not be lost either, and is none of the run's cases.
    expect(second.accepted).toEqual([
      { what: 'start', case: 'c1' },
      { what: 'start', case: 'probe' },
    ]);
    expect([...second.started]).toEqual(['c1']);
    expect([...second.repeated]).toEqual([['start sent twice', 1]]);
    expect(second.disturbed).toEqual([
      { kind: 'kill', target: 'api', at, lifted: at, recoveredMs: 1200 },
      { kind: 'clock', target: '+1h', at, omitted: 'no libfaketime' },
      { kind: 'cut', target: 'api-postgres', at },
    ]);
    expect(second.tookPlace.map(({ kind }) => kind)).toEqual(['kill', 'cut']);
    expect(second.probed).toEqual([300]);
  });

  test('drops a line that was cut when the run was killed, once and for all', () => {
    const file = join(folder, 'run.ndjson');
    new Journal(file).write({ what: 'start', case: '案件' });
    appendFileSync(file, '{"what":"start","ca');
    new Journal(file).write({ what: 'withdrawal', case: '案件' });
    expect(new Journal(file).accepted).toEqual([
      { what: 'start', case: '案件' },
      { what: 'withdrawal', case: '案件' },
    ]);
    expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(3);
  });
});
