/** Ten thousand clocks whose points passed while nothing of ours ran. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { clockState, declareClock } from '../../activities/clock.ts';
import { policyOf } from '../../activities/context.ts';
import { notificationsSandbox } from '../../systems/notifications/sandbox.ts';
import { instant, plus } from '../../values/instant.ts';
import { jobHandlers } from '../../activities/jobs.ts';
import { startJobs } from '../../worker/jobs.ts';
import { startKit, type Kit, type Surroundings } from '../kit/harness.ts';
import { surroundings } from '../kit/surroundings.ts';
import { say } from './progress.ts';

const many = 10_000;
const hours = 3_600_000;
let kit: Kit;
let around: Surroundings;
beforeAll(async () => {
  around = await surroundings();
  kit = await startKit(around, { notifications: notificationsSandbox });
});
afterAll(() => kit.stop());

test('CL10: are told in groups when the worker is back: every clock is told, nobody is told ten thousand times', async () => {
  const model = await kit.open('tiny', { id: 'model', shop: 'shop-1', script: 'windowed' });
  await kit.opened(model.id, 'choose');
  await kit.stopWorker();
  // As it was left: cases that wait for an agent, each with a clock that was due an hour ago, while we were away.
  const policy = await policyOf(kit.pool, model);
  const started = plus(instant(Date.now()), -19 * hours);
  const log = [{ seq: 1, at: started, command: { kind: 'start' } as const }];
  const left = clockState(declareClock(policy, 'T10'), log, started);
  const client = await kit.pool.connect();
  try {
    await client.query('set statement_timeout = 0');
    for (let from = 1; from <= many; from += 1000) {
      const ids = [from, Math.min(many, from + 999)];
      await client.query(
        `insert into cases (id, process, shop, customer, input, input_hash, manifest, starter, started_at)
         select 'tiny.left-' || n, 'tiny', 'shop-1', 'c', '{}', '', (select manifest from cases where id = $3), 'upstream', now() from generate_series($1::int, $2::int) n`,
        [...ids, model.id],
      );
      await client.query(
        `insert into tasks (id, case_id, path, name, process, shop, role, declared_role, context, form_version, clocks, opened_by_run)
         select 'tiny.left-' || n || ':decide', 'tiny.left-' || n, 'decide', 'decide', 'tiny', 'shop-1', 'agent', 'agent', '{}', 1, '{handle}', 'x' from generate_series($1::int, $2::int) n`,
        ids,
      );
      await client.query(
        `insert into clocks (case_id, clock, name, policy_clock, status, deadline, next_point, state)
         select 'tiny.left-' || n, 'handle', 'handle', 'T10', 'running', $3, $4, $5 from generate_series($1::int, $2::int) n`,
        [...ids, left.deadline, left.nextPoint, JSON.stringify(left)],
      );
      await client.query(
        `insert into clock_log (case_id, clock, seq, command, at) select 'tiny.left-' || n, 'handle', 1, '{"kind":"start"}', $3 from generate_series($1::int, $2::int) n`,
        [...ids, started],
      );
      await client.query(
        `select from graphile_worker.add_jobs((select array_agg(row('clock-due', json_build_object('caseId', 'tiny.left-' || n, 'clock', 'handle'), null, $3::timestamptz, 25,
           'clock:tiny.left-' || n || ':handle', null, null)::graphile_worker.job_spec) from generate_series($1::int, $2::int) n))`,
        [...ids, left.nextPoint],
      );
    }
  } finally {
    client.release(true);
  }
  say(`${many} clocks are due`);

  const began = Date.now();
  const jobs = await startJobs(kit.engine, around.databaseUrl, jobHandlers(kit.engine));
  const count = async (sql: string) => (await kit.rows<{ n: number }>(`select count(*)::int as n from ${sql}`))[0]?.n ?? 0;
  try {
    for (let told = 0, sent = 0; told < many || sent < many;) {
      await new Promise((resolve) => {
        setTimeout(resolve, 5000);
      });
      [told, sent] = [await count(`timeline where kind = 'clockWarned'`), await count(`messages where message = 'kit.clockWarned' and status = 'sent'`)];
      say(`${told} warned, ${sent} told`);
      // A machine that does nothing else takes a minute.
      if (Date.now() - began > 300_000) throw new Error(`after five minutes ${told} are warned and ${sent} told`);
    }
    const seconds = (Date.now() - began) / 1000;
    const notices = await count('sandbox.outbox');
    say(`${many} clocks in ${Math.round(seconds)} s, ${notices} notices`);
    // One each would be ten thousand.
    expect(notices).toBeLessThan(many / 20);
    expect(await kit.rows(`select channel, recipient from sandbox.outbox group by 1, 2`)).toEqual([{ channel: 'wecom', recipient: 'role:agent@shop-1' }]);
    // Each once, and its next point is set.
    expect(await count(`messages where message like 'kit.clock%'`)).toBe(many);
    expect(await count(`clocks where case_id like 'tiny.left-%' and next_point > now() and jsonb_array_length(notices) > 0`)).toBe(many);
  } finally {
    await jobs.stop();
    await kit.pool.query(`update cases set status = 'completed' where id like 'tiny.left-%'`);
  }
}, 600_000);
