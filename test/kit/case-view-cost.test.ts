/** What the view of a case costs: the same number of statements whatever the case holds, each by an index, none reading other cases' rows. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { moneyOperations } from '../../api/account.ts';
import { approvedOf, moneyOf } from '../../db/account.ts';
import { listCases } from '../../db/cases.ts';
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
  await fill([much], 200);
  // Many other cases, so that a plan which reads them shows.
  await kit.pool.query(
    `insert into cases (id, process, shop, input, input_hash, manifest, starter)
     select 'tiny.other-' || n, process, shop, input, input_hash, manifest, starter from cases, generate_series(1, 400) n where id = $1`,
    [little],
  );
  await fill(
    Array.from({ length: 400 }, (_, n) => `tiny.other-${n + 1}`),
    12,
  );
  await kit.pool.query('analyze');
});
afterAll(() => kit.stop());

/** Rows of every kind that a view reads, as many of each. */
async function fill(of: readonly string[], rows: number): Promise<void> {
  const fillings: readonly string[] = [
    `insert into effects (case_id, path, system, operation, args_hash, args, status, ok, answer, done_at)
     select c.id, 'e' || n, 'finance', 'refund', 'x', '{"paymentId": "p1", "amount": {"minor": 5, "currency": "CNY"}}', 'done', true, jsonb_build_object('refundId', c.id || '/' || n), now() from unnest($1::text[]) c (id), generate_series(1, $2) n`,
    `insert into outside_states (source, key, state, rank, at) select 'finance.refundState', c.id || '/' || n, 'arrived', 3, now() from unnest($1::text[]) c (id), generate_series(1, $2) n`,
    `insert into decision_log (case_id, step, process, rule, policy, facts, output, reasons, as_of)
     select c.id, 'd' || n, 'tiny', 'count', 'x', '{}', '{"count": 1, "parts": [{"paymentId": "p1", "amount": {"minor": 5, "currency": "CNY"}}]}', '{counted}', now() from unnest($1::text[]) c (id), generate_series(1, $2) n`,
    `insert into tasks (id, case_id, path, name, process, shop, role, declared_role, context, form_version, opened_by_run)
     select c.id || ':t' || n, c.id, 't' || n, 'decide', 'tiny', 'main', 'agent', 'agent', '{}', 1, 'x' from unnest($1::text[]) c (id), generate_series(1, $2) n`,
    `insert into messages (id, case_id, shop, message, recipient, data) select c.id || ':m' || n, c.id, 'main', 'hello', 'customer', '{"name": "x"}' from unnest($1::text[]) c (id), generate_series(1, $2) n`,
    `insert into inbox (source, event_id, body_hash, kind, name, case_id, correlation_key, body, at)
     select 'finance.refundState', c.id || '/' || n, 'x', 'event', 'said', c.id, c.id || '/' || n, '{"words": "x"}', now() from unnest($1::text[]) c (id), generate_series(1, $2) n`,
    `insert into clocks (case_id, clock, name, policy_clock, status, state) select c.id, 'c' || n, 'handle', 'T10', 'running', '{}' from unnest($1::text[]) c (id), generate_series(1, $2) n`,
    `insert into clock_log (case_id, clock, seq, command, at) select c.id, 'c' || n, 1, '{"kind": "start"}', now() from unnest($1::text[]) c (id), generate_series(1, $2) n`,
    `insert into timeline (case_id, key, kind, data) select c.id, 'effect:e' || n, 'effect', jsonb_build_object('system', 'finance', 'operation', 'refund', 'path', 'e' || n) from unnest($1::text[]) c (id), generate_series(1, $2) n`,
    `insert into timeline (case_id, key, kind, data) select c.id, 'decision:d' || n, 'decision', jsonb_build_object('rule', 'count', 'step', 'd' || n, 'reasons', '["counted"]'::jsonb) from unnest($1::text[]) c (id), generate_series(1, $2) n`,
    `insert into timeline (case_id, key, kind, data) select c.id, 'task:t' || n, 'taskDecided', jsonb_build_object('task', 't' || n, 'name', 'decide', 'by', 'li', 'role', 'agent', 'form', '{"answer": "yes"}'::jsonb) from unnest($1::text[]) c (id), generate_series(1, $2) n`,
    `insert into timeline (case_id, key, kind, data) select c.id, 'told:m' || n, 'told', '{"message": "hello", "to": "customer"}' from unnest($1::text[]) c (id), generate_series(1, $2) n`,
    `insert into timeline (case_id, key, kind, data) select case_id, 'inbox:' || id, 'event', '{"event": "said"}' from inbox where case_id = any($1) and $2 > 0`,
    `insert into timeline (case_id, key, kind, data) select case_id, 'state:' || id, 'outsideState', '{"event": "finance.refundState"}' from inbox where case_id = any($1) and $2 > 0`,
    `insert into timeline (case_id, key, kind, data) select c.id, 'stage:' || n, 'stage', '{"stage": "first"}' from unnest($1::text[]) c (id), generate_series(1, $2) n`,
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

/** What a query reads of tables, as Postgres has run it. */
async function scansOf([text, values]: readonly [string, readonly unknown[]], tables: string): Promise<{ kind: string; table: string; read: number }[]> {
  const { rows } = await kit.pool.query<{ 'QUERY PLAN': unknown }>(`explain (analyze, format json) ${text}`, [...values]);
  const scan = new RegExp(`"Node Type":"([^"]*Scan)"[^{}]*?"Relation Name":"(${tables})"[^{}]*?"Actual Rows":([\\d.]+)`, 'g');
  return [...JSON.stringify(rows).matchAll(scan)].map(([, kind = '', table = '', read]) => ({ kind, table, read: Number(read) }));
}
/** Lets a query say what it asks, and answers nothing. */
function listener(): { readonly asked: [string, unknown[]][]; readonly sql: Sql } {
  const asked: [string, unknown[]][] = [];
  return { asked, sql: { query: (text: string, values: unknown[]) => (asked.push([text, values]), Promise.resolve({ rows: [] })) } as unknown as Sql };
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
    const { asked, sql } = listener();
    await timelineOf(sql, much, 0, 201);
    await stagesOf(sql, much);
    await clocksOf(sql, much);
    await tasksOfCase(sql, much);
    await moneyOf(sql, much, moneyOperations(kit.deps.systems));
    await approvedOf(sql, much);
    expect(asked).toHaveLength(6);
    for (const query of asked) {
      const scans = await scansOf(query, 'timeline|effects|decision_log|tasks|messages|inbox|clocks|clock_log|outside_states');
      expect(scans.length).toBeGreaterThan(0);
      for (const { kind, table, read } of scans) {
        expect(`${table}: ${kind}`).not.toContain('Seq Scan');
        // Its own rows: 200 of a kind, seven kinds of them in the timeline.
        expect(read).toBeLessThanOrEqual(1_500);
      }
    }
  });
});

test('a page of cases reads a page: by shop, for who serves all of them, and by order', async () => {
  const filters = [{ shops: ['main'] }, { shops: ['*'] }, { shops: ['main'], order: 'order-of-nobody' }, { shops: ['main'], breached: false }];
  for (const filter of filters) {
    const { asked, sql } = listener();
    await listCases(sql, filter, undefined, 20);
    const [query] = asked;
    if (query === undefined) throw new Error('nothing was asked');
    const scans = await scansOf(query, 'cases|clocks');
    expect(scans.length).toBeGreaterThan(0);
    for (const { kind, table, read } of scans) {
      expect(`${JSON.stringify(filter)} ${table} ${kind}`).not.toContain('Seq Scan');
      expect(read).toBeLessThanOrEqual(20);
    }
  }
});
