/** What a killed worker must not change: the order in which branches go on, and that past no return is past it. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { inTransaction } from '../../db/pool.ts';
import { openTask } from '../../db/tasks.ts';
import { startKit, type HistoryEvent, type Kit } from './harness.ts';
import { surroundings } from './surroundings.ts';

let kit: Kit;
beforeAll(async () => {
  kit = await startKit(await surroundings());
});
afterAll(() => kit.stop());

const time = z.object({ seconds: z.number(), nanos: z.number() }).transform(({ seconds, nanos }) => seconds * 1000 + nanos / 1e6);
const marker = z.object({ seq: z.int(), activity_type: z.string(), original_schedule_time: time });
/** The calls beside the workflow tasks, as the worker noted them. */
const besides = (events: readonly HistoryEvent[]) =>
  events
    .flatMap((event) => {
      const data = event.markerRecordedEventAttributes?.details?.['data']?.payloads?.[0]?.data;
      return data ? [marker.parse(JSON.parse(Buffer.from(data).toString()))] : [];
    })
    .toSorted((a, b) => a.seq - b.seq);

test('branches call one after the other beside a workflow task, so that a replay takes them in the order in which they went on', async () => {
  const { id } = await kit.open('tiny', { id: 'in-turn', shop: 'shop-1', script: 'all' });
  await kit.opened(id, 'right/decide');
  await kit.decide(id, 'right/decide', { answer: 'yes' });
  await kit.outcome(id);
  const calls = besides(await kit.history(id));
  expect(calls.map((call) => call.activity_type)).toEqual(expect.arrayContaining(['runEffect', 'openTask']));
  for (const [i, call] of calls.entries()) {
    const before = calls[i - 1];
    // Called in one step they lie microseconds apart; one that waits for another's transaction lies milliseconds after it.
    if (before) expect(call.original_schedule_time - before.original_schedule_time).toBeGreaterThan(0.5);
  }
});

test('the point of no return and the end are written to the history before anything that comes after them, whatever becomes of the worker', async () => {
  const { id } = await kit.open('tiny', { id: 'for-good', shop: 'shop-1', script: 'noReturn' });
  await kit.opened(id, 'decide');
  const events = await kit.history(id);
  // An activity of its own: one beside the workflow task would be forgotten with it.
  expect(events.flatMap((event) => event.activityTaskScheduledEventAttributes?.activityType?.name ?? [])).toEqual(['openTask']);
  expect((await kit.pool.query('select no_return from cases where id = $1', [id])).rows).toEqual([{ no_return: true }]);
  await kit.decide(id, 'decide', { answer: 'yes' });
  await kit.outcome(id);
  // So is the end: what it settles as late must not be found in time by another try.
  const names = (await kit.history(id)).flatMap((event) => event.activityTaskScheduledEventAttributes?.activityType?.name ?? []);
  expect(names.at(-1)).toBe('closeCase');
});

test('what was decided before the first task of a case was done again, stops its clock at the decision', async () => {
  await kit.stopWorker();
  const { id } = await kit.open('tiny', { id: 'decided-early', shop: 'shop-1', script: 'canonical', items: ['a'] });
  // As a worker leaves it that is killed after it has opened the task: a person sees it and decides, and the next worker begins from the beginning.
  const task = { caseId: id, path: 'decide', name: 'decide', process: 'tiny', shop: 'shop-1', role: 'agent' as const, context: {}, formVersion: 1 };
  await inTransaction(kit.pool, (tx) => openTask(tx, { ...task, notBy: [], clocks: ['handle'], run: 'the first try' }));
  await kit.commitDecision(id, 'decide', { answer: 'yes' });
  await kit.startWorker();
  await kit.outcome(id);
  const [decided] = await kit.rows<{ at: Date }>('select decided_at as at from tasks where case_id = $1', id);
  const stops = await kit.rows<{ at: Date }>(`select at from clock_log where case_id = $1 and command->>'kind' = 'stop'`, id);
  expect(stops).toEqual([decided]);
});
