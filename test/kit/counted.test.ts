/** What a worker counts is what happened: once each, by what came of it, and nothing that was rolled back. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { register } from 'prom-client';
import { inTransaction, whenCommitted } from '../../db/pool.ts';
import { startKit, type Kit } from './harness.ts';
import { surroundings } from './surroundings.ts';
import { tinyCases } from './tiny.ts';

let kit: Kit;
beforeAll(async () => {
  kit = await startKit(await surroundings());
});
afterAll(() => kit.stop());
const { open } = tinyCases(() => kit);

/** The lines of a metric, without its help. */
const lines = async (name: string): Promise<readonly string[]> =>
  (await register.getSingleMetricAsString(name)).split('\n').filter((line) => !line.startsWith('#'));

test('a case, its tries and its effects, the decision and its end', async () => {
  kit.fault('bench', { loseAnswerAfterCommit: 1, operations: ['grab'] });
  const id = await open('grab');
  await kit.until(
    'a try without an answer',
    () => lines('kefu_effect_tries_total'),
    (seen) => seen.some((line) => line.includes('result="SystemUnavailable"')),
  );
  kit.fault('bench', {});
  await kit.outcome(id);
  expect(await lines('kefu_cases_started_total')).toContain('kefu_cases_started_total{process="tiny"} 1');
  expect(await lines('kefu_effects_done_total')).toContain('kefu_effects_done_total{system="bench",operation="grab",result="ok"} 1');
  expect(await lines('kefu_cases_ended_total')).toContain('kefu_cases_ended_total{process="tiny",status="completed",result="done"} 1');
  expect((await lines('kefu_effect_tries_total')).some((line) => /operation="grab",result="ok"\} [1-9]/.test(line))).toBe(true);

  const decided = await open('canonical', { items: ['a'] });
  await kit.opened(decided, 'decide');
  await kit.decide(decided, 'decide', { answer: 'yes' });
  await kit.outcome(decided);
  expect(await lines('kefu_tasks_decided_total')).toEqual(['kefu_tasks_decided_total{process="tiny",task="decide",role="agent"} 1']);
  // Nobody's case is a label, in any metric.
  for (const known of [id, decided]) expect(await register.metrics()).not.toContain(known.slice('tiny.'.length));
});

test('what is rolled back is not counted', async () => {
  const counted: string[] = [];
  await inTransaction(kit.pool, async (tx) => {
    whenCommitted(tx, () => counted.push('kept'));
    await tx.query('select 1');
    expect(counted).toEqual([]);
  });
  await expect(
    inTransaction(kit.pool, (tx) => {
      whenCommitted(tx, () => counted.push('rolled back'));
      return Promise.reject(new Error('no'));
    }),
  ).rejects.toThrow('no');
  whenCommitted(kit.pool, () => counted.push('at once'));
  expect(counted).toEqual(['kept', 'at once']);
});
