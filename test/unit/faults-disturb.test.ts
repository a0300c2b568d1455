import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Journal } from '../../cli/demo/journal.ts';
import { disturbAlong, type Inject } from '../../cli/faults/disturb.ts';
import { planFaults, type Planned } from '../../cli/faults/plan.ts';

let folder = '';
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'kefu-faults-'))));
afterEach(() => rmSync(folder, { recursive: true }));
const journalOf = (): Journal => new Journal(join(folder, 'run.ndjson'));

/** The plan of a seed, in no time. */
const quick = (faults: number): readonly Planned[] => planFaults(7, { kills: 4, faults }).map((one) => ({ ...one, gapMs: 0, forMs: one.forMs === 0 ? 0 : 20 }));

/** Faults that are only written down. */
function stage(): { readonly inject: Inject; readonly log: string[]; most: number; on: string[] } {
  const seen = {
    log: [] as string[],
    on: [] as string[],
    most: 0,
    inject: (({ kind, target }) => {
      const place = kind === 'clock' ? kind : target;
      expect(seen.on).not.toContain(place);
      seen.on.push(place);
      seen.most = Math.max(seen.most, seen.on.length);
      seen.log.push(`${kind} ${target}`);
      return Promise.resolve(() => {
        seen.on.splice(seen.on.indexOf(place), 1);
        return Promise.resolve();
      });
    }) satisfies Inject,
  };
  return seen;
}
const silent = { say: () => undefined, onChange: () => undefined };

describe('faults while cases run', () => {
  test('take place as planned, so many at once at most, one at a place, and are all lifted at the end', async () => {
    const plan = quick(40);
    const journal = journalOf();
    const seen = stage();
    await disturbAlong({ plan, journal, inject: seen.inject, atOnce: 3, done: () => 1, over: new AbortController().signal, ...silent });
    expect(seen.log).toEqual(plan.map(({ kind, target }) => `${kind} ${target}`));
    expect(seen.on).toEqual([]);
    expect(seen.most).toBeGreaterThan(1);
    expect(seen.most).toBeLessThanOrEqual(3);
    expect(journal.disturbed.map(({ lifted }) => lifted === undefined)).not.toContain(true);
  });

  test('wait for their share of the work, and none begins when the cases have ended', async () => {
    const plan = quick(20);
    const journal = journalOf();
    const over = new AbortController();
    const seen = stage();
    let done = 0;
    const going = disturbAlong({ plan, journal, inject: seen.inject, atOnce: 3, done: () => done, over: over.signal, ...silent });
    await pause(200);
    // The first of them begins with the first of the work, if at all.
    expect(seen.log.length).toBe(plan.filter(({ at }) => at <= 0).length);
    done = 0.5;
    const due = plan.filter(({ at }) => at <= 0.5).length;
    while (seen.log.length < due) await pause(10);
    await pause(100);
    expect(seen.log).toHaveLength(due);
    over.abort();
    await going;
    expect(seen.log).toHaveLength(due);
    expect(seen.on).toEqual([]);
  });

  test('that last are lifted at once when the cases have ended', async () => {
    const plan = planFaults(1, { kills: 0, faults: 1 }).map((one) => ({ ...one, at: 0, gapMs: 0, forMs: 600_000 }));
    const over = new AbortController();
    const seen = stage();
    const going = disturbAlong({ plan, journal: journalOf(), inject: seen.inject, atOnce: 1, done: () => 1, over: over.signal, ...silent });
    while (seen.on.length === 0) await pause(5);
    over.abort();
    await going;
    expect(seen.on).toEqual([]);
  });

  test('go on after an interruption with the first that had not begun', async () => {
    const plan = quick(6);
    const first = journalOf();
    for (const n of [0, 1, 2]) first.write({ what: 'fault', n, kind: plan[n]?.kind ?? 'kill', target: '', at: '' });
    const seen = stage();
    await disturbAlong({ plan, journal: journalOf(), inject: seen.inject, atOnce: 2, done: () => 1, over: new AbortController().signal, ...silent });
    expect(seen.log).toEqual(plan.slice(3).map(({ kind, target }) => `${kind} ${target}`));
  });

  test('say why one cannot be had, and how long the engine took to work again after the others', async () => {
    const plan = quick(5);
    const journal = journalOf();
    const inject: Inject = ({ kind }) => Promise.resolve(kind === 'kill' ? () => Promise.resolve() : 'not here');
    const works = async (): Promise<boolean> => pause(30, true);
    await disturbAlong({ plan, journal, inject, atOnce: 3, done: () => 1, works, over: new AbortController().signal, ...silent });
    for (const [n, one] of journal.disturbed.entries()) {
      if (plan[n]?.kind === 'kill') expect(one.recoveredMs).toBeGreaterThanOrEqual(29);
      else expect(one).toMatchObject({ omitted: 'not here' });
    }
    expect(journal.tookPlace).toHaveLength(4);
  });
});
