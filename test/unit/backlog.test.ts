/** The door for new cases under a crowd, against an engine that carries so much and no more: minutes in a second, by a clock of the test's own. */
import { afterEach, expect, jest, test } from '@jest/globals';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createBacklog } from '../../api/backlog.ts';
import type { AppDeps } from '../../api/deps.ts';
import { Problem } from '../../api/problems.ts';
import { drawsFrom } from '../../systems/sandbox/faults.ts';

afterEach(() => {
  jest.restoreAllMocks();
});

const stepMs = 50;
const minute = 60_000;
/** An engine of 12 tasks a second, of which a case takes 8: it carries 1.5 cases a second. */
const [tasksPerSecond, tasksPerCase] = [12, 8] as const;
const carries = tasksPerSecond / tasksPerCase;

interface Run {
  readonly takenInBurst: number;
  readonly endedInBurst: number;
  /** The longest that a task has waited for the engine. */
  readonly longestMs: number;
  readonly waitingAtEnd: number;
}

/** A minute of 70 %, a minute of three times what it carries, two of 70 %. Callers obey Retry-After, and go away after 30 s. `door`: whether there is one. */
async function run(door: boolean): Promise<Run> {
  const draw = drawsFrom(11);
  let now = 1_000_000;
  jest.spyOn(performance, 'now').mockImplementation(() => now);
  jest.spyOn(Math, 'random').mockImplementation(draw);
  const waiting: { readonly since: number; readonly left: number }[] = [];
  const backlog = createBacklog({
    pool: { query: () => Promise.resolve({ rows: [{ waiting: 0, unstartedMs: 0 }] }) },
    delivery: { look: () => Promise.resolve({ temporal: true, worker: true, moves: true, behindMs: waiting[0] ? now - waiting[0].since : 0 }) },
    backlogMost: 5000,
    log: pino({ level: 'silent' }),
    metrics: new Registry(),
  } as unknown as AppDeps);
  let callers: { readonly since: number; next: number }[] = [];
  let later: { readonly at: number; readonly left: number }[] = [];
  let [taken, ended, room, longestMs] = [0, 0, 0, 0];
  const [takenAt, endedAt] = [new Map<number, number>(), new Map<number, number>()];
  const began = now;
  for (; now - began < 4 * minute; now += stepMs) {
    const minutes = Math.floor((now - began) / minute);
    if (draw() < ((minutes === 1 ? 3 : 0.7) * carries * stepMs) / 1000) callers.push({ since: now, next: now });
    for (const caller of callers.filter(({ next }) => next <= now)) {
      try {
        if (door) backlog.checkStart();
        taken += 1;
        waiting.push({ since: now, left: tasksPerCase - 1 });
        caller.next = Infinity;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        caller.next = now - caller.since > 30_000 ? Infinity : now + Number(error.headers['Retry-After']) * 1000;
      }
    }
    callers = callers.filter(({ next }) => next !== Infinity);
    // Somebody decides, or something comes, a second or two after each task.
    for (const { left } of later.filter(({ at }) => at <= now)) waiting.push({ since: now, left });
    later = later.filter(({ at }) => at > now);
    room = Math.min(tasksPerSecond, room + (tasksPerSecond * stepMs) / 1000);
    for (; room >= 1; room -= 1) {
      const task = waiting.shift();
      if (task === undefined) break;
      longestMs = Math.max(longestMs, now - task.since);
      if (task.left === 0) ended += 1;
      else later.push({ at: now + 500 + 1500 * draw(), left: task.left - 1 });
    }
    takenAt.set(minutes, taken);
    endedAt.set(minutes, ended);
    // What was looked at is there at the next step.
    await new Promise(setImmediate);
  }
  const in2nd = (counts: ReadonlyMap<number, number>): number => (counts.get(1) ?? 0) - (counts.get(0) ?? 0);
  return { takenInBurst: in2nd(takenAt), endedInBurst: in2nd(endedAt), longestMs, waitingAtEnd: waiting.length };
}

test('three times as many new cases as the engine carries: it takes what it can, goes on at its pace, and nothing waits for long', async () => {
  const { takenInBurst, endedInBurst, longestMs, waitingAtEnd } = await run(true);
  // Some more than it carries in a minute: those that came before it was seen to be too much.
  expect(takenInBurst).toBeLessThan(1.6 * carries * 60);
  expect(endedInBurst).toBeGreaterThan(0.8 * carries * 60);
  expect(longestMs).toBeLessThan(8000);
  expect(waitingAtEnd).toBeLessThan(tasksPerSecond);
});

test('without a door all of them are in, and everyone waits', async () => {
  const { takenInBurst, longestMs } = await run(false);
  expect(takenInBurst).toBeGreaterThan(2.5 * carries * 60);
  expect(longestMs).toBeGreaterThan(20_000);
});
