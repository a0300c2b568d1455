/** What the view of a case costs: the same number of statements whatever the case holds, each by an index, none reading other cases' rows. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { moneyOperations } from '../../api/account.ts';
import { approvedOf, moneyOf } from '../../db/account.ts';
import { clocksOf } from '../../db/clocks.ts';
import type { Sql } from '../../db/pool.ts';
import { tasksOfCase } from '../../db/tasks.ts';
import { stagesOf, timelineOf } from '../../db/timeline.ts';
import type { CaseId } from '../../values/ids.ts';
import { caseUrl, startApi, type ApiKit } from './api-harness.ts';

let kit: ApiKit;
let little: CaseId;
let much: CaseId;
beforeAll(async () => {
  kit = await startApi();
  little = await kit.openCase();
  much = await kit.openCase();
  await fill(much, 200);
  // Many other cases, so that a plan which reads them shows.
  await kit.pool.query(
    `insert into cases (id, process, shop, input, input_hash, manifest, starter)
     select 'tiny.other-' || n, process, shop, input, input_hash, manifest, starter from cases, generate_series(1, 400) n where id = $1`,
    [little],
  );
  for (let n = 1; n <= 400; n++) await fill(`tiny.other-${n}` as CaseId, 12);
  await kit.pool.query('analyze');
});
afterAll(() => kit.stop());

/** Rows of every kind that a view reads, as many of each. */
async function fill(of: CaseId, rows: number): Promise<void> {
  const fillings: readonly string[] = [
    `insert into effects (case_id, path, system, operation, args_hash, args, status, ok, answer, done_at)
     select $1, 'e' || n, 'finance', 'refund', 'x', '{"paymentId": "p1", "amount": {"minor": 5, "currency": "CNY"}}', 'done', true, jsonb_build_object('refundId', $1 || '/' || n), now() from generate_series(1, $2) n`,
    `insert into outside_states (source, key, state, rank, at) select 'finance.refundState', $1 || '/' || n, 'arrived', 3, now() from generate_series(1, $2) n`,
    `insert into decision_log (case_id, step, process, rule, policy, facts, output, reasons, as_of)
     select $1, 'd' || n, 'tiny', 'count', 'x', '{}', '{"count": 1, "parts": [{"paymentId": "p1", "amount": {"minor": 5, "currency": "CNY"}}]}', '{counted}', now() from generate_series(1, $2) n`,
    `insert into tasks (id, case_id, path, name, process, shop, role, declared_role, context, form_version, opened_by_run)
     select $1 || ':t' || n, $1, 't' || n, 'decide', 'tiny', 'main', 'agent', 'agent', '{}', 1, 'x' from generate_series(1, $2) n`,
    `insert into messages (id, case_id, shop, message, recipient, data) select $1 || ':m' || n, $1, 'main', 'hello', 'customer', '{"name": "x"}' from generate_series(1, $2) n`,
    `insert into inbox (source, event_id, body_hash, kind, name, case_id, correlation_key, body, at)
     select 'finance.refundState', $1 || '/' || n, 'x', 'event', 'said', $1, $1 || '/' || n, '{"words": "x"}', now() from generate_series(1, $2) n`,
    `insert into clocks (case_id, clock, name, policy_clock, status, state) select $1, 'c' || n, 'handle', 'T10', 'running', '{}' from generate_series(1, $2) n`,
    `insert into clock_log (case_id, clock, seq, command, at) select $1, 'c' || n, 1, '{"kind": "start"}', now() from generate_series(1, $2) n`,
    `insert into timeline (case_id, key, kind, data) select $1, 'effect:e' || n, 'effect', jsonb_build_object('system', 'finance', 'operation', 'refund', 'path', 'e' || n) from generate_series(1, $2) n`,
    `insert into timeline (case_id, key, kind, data) select $1, 'decision:d' || n, 'decision', jsonb_build_object('rule', 'count', 'step', 'd' || n, 'reasons', '["counted"]'::jsonb) from generate_series(1, $2) n`,
    `insert into timeline (case_id, key, kind, data) select $1, 'task:t' || n, 'taskDecided', jsonb_build_object('task', 't' || n, 'name', 'decide', 'by', 'li', 'role', 'agent', 'form', '{"answer": "yes"}'::jsonb) from generate_series(1, $2) n`,
    `insert into timeline (case_id, key, kind, data) select $1, 'told:m' || n, 'told', '{"message": "hello", "to": "customer"}' from generate_series(1, $2) n`,
    `insert into timeline (case_id, key, kind, data) select case_id, 'inbox:' || id, 'event', '{"event": "said"}' from inbox where case_id = $1 and $2 > 0`,
    `insert into timeline (case_id, key, kind, data) select case_id, 'state:' || id, 'outsideState', '{"event": "finance.refundState"}' from inbox where case_id = $1 and $2 > 0`,
    `insert into timeline (case_id, key, kind, data) select $1, 'stage:' || n, 'stage', '{"stage": "first"}' from generate_series(1, $2) n`,
  ];
  for (const text of fillings) await kit.pool.query(text, [of, rows]);
}

/** Statements that a request asks of Postgres. */
async function statementsOf(url: string): Promise<number> {
  const { pool } = kit;
  const query = pool.query.bind(pool) as (...asked: unknown[]) => unknown;
  let count = 0;
  Object.assign(pool, {
    query: (...asked: unknown[]) => {
      count += 1;
      return query(...asked);
    },
  });
  try {
    const answer = await kit.as('li').get(url);
    if (answer.status !== 200) throw new Error(`${answer.text} ${kit.logged.findLast((line) => line.includes('a fault')) ?? ''}`);
  } finally {
    Reflect.deleteProperty(pool, 'query');
  }
  return count;
}

describe('the view of a case', () => {
  test('asks the same few statements of Postgres, however much happened', async () => {
    // Once before: the policy of the case is read once by the process.
    for (const url of [caseUrl(much), caseUrl(little)]) await statementsOf(url);
    // Who asks, the case, its tasks, clocks, stages, money moved, money approved.
    expect([await statementsOf(caseUrl(little)), await statementsOf(caseUrl(much))]).toEqual([7, 7]);
    // Who asks, the case, a page of the timeline, names of people.
    const page = '/timeline?limit=200';
    expect([await statementsOf(caseUrl(little, page)), await statementsOf(caseUrl(much, page))]).toEqual([4, 4]);
  });

  test('reads no row of another case: each statement goes by an index', async () => {
    const asked: [string, unknown[]][] = [];
    const listening = { query: (text: string, values: unknown[]) => (asked.push([text, values]), Promise.resolve({ rows: [] })) } as unknown as Sql;
    await timelineOf(listening, much, 0, 201);
    await stagesOf(listening, much);
    await clocksOf(listening, much);
    await tasksOfCase(listening, much);
    await moneyOf(listening, much, moneyOperations(kit.deps.systems));
    await approvedOf(listening, much);
    expect(asked).toHaveLength(6);
    const tables = '(timeline|effects|decision_log|tasks|messages|inbox|clocks|clock_log|outside_states)';
    for (const [text, values] of asked) {
      const { rows } = await kit.pool.query<{ 'QUERY PLAN': unknown }>(`explain (analyze, format json) ${text}`, values);
      const plan = JSON.stringify(rows);
      const scans = [...plan.matchAll(new RegExp(`"Node Type":"([^"]*Scan)"[^{}]*?"Relation Name":"${tables}"[^{}]*?"Actual Rows":([\\d.]+)`, 'g'))];
      expect(scans.length).toBeGreaterThan(0);
      for (const [, kind, table, read] of scans) {
        expect(`${table}: ${kind}`).not.toContain('Seq Scan');
        // Its own rows: 200 of a kind, seven kinds of them in the timeline.
        expect(Number(read)).toBeLessThanOrEqual(1_500);
      }
    }
  });
});
