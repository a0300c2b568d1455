/** What operators are shown of Postgres: right, cheap whatever is parked, and honest when Postgres is away. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { counted, engineState, type StateRow } from '../../db/engine-state.ts';
import { poolGauges, stateGauges } from '../../db/metrics.ts';
import { connectPool, type Pool, type Sql } from '../../db/pool.ts';
import { freshDatabase } from '../stack/env.ts';

let pool: Pool;
beforeAll(async () => {
  pool = connectPool(await freshDatabase(), 'engine-state', 3);
});
afterAll(() => pool.end());

/** Cases, tasks, messages and jobs as a department has them after a year of which nothing is amiss. */
const parked = 2000;
const caseRow = (id: string, status: string, more = 'now()') =>
  `insert into cases (id, process, shop, input, input_hash, manifest, starter, status, run_at, started_at, closed_at)
   values ('${id}', 'return-exchange', 'a', '{}', 'x', '{}', 'upstream', '${status}', now() - interval '1 hour', ${more}, ${status === 'open' ? 'null' : 'now()'})`;

async function fillWithParked(): Promise<void> {
  await pool.query(`insert into cases (id, process, shop, input, input_hash, manifest, starter, status, started_at, closed_at)
    select 'c' || n, 'return-exchange', 'a', '{}', 'x', '{}', 'upstream', case when n % 10 = 0 then 'open' else 'completed' end, now(), case when n % 10 = 0 then null else now() end
    from generate_series(1, ${10 * parked}) n`);
  await pool.query(`insert into tasks (id, case_id, path, name, process, shop, role, declared_role, context, form_version, opened_by_run, status)
    select c.id || ':review', c.id, 'review', 'review', process, shop, 'agent', 'agent', '{}', 1, 'r', case when status = 'open' then 'open' else 'done' end from cases c`);
  await pool.query(`insert into inbox (source, event_id, body_hash, kind, name, case_id, body, at, seen_at)
    select 'task', id, 'x', 'decision', 'review', id, '{}', now(), now() from cases`);
  await pool.query(`insert into inbox (source, event_id, body_hash, kind, name, correlation_key, body, at)
    select 'logistics.tracking', n::text, 'x', 'event', 'tracking', n::text, '{}', now() from generate_series(1, ${parked}) n`);
  await pool.query(`insert into effects (case_id, path, system, operation, args_hash, args, status, ok, done_at)
    select id, 'refund', 'finance', 'refund', 'x', '{}', 'done', true, now() from cases`);
  await pool.query(
    `insert into messages (id, case_id, shop, message, recipient, data, status) select id || ':m', id, 'a', 'received', 'customer', '{}', 'sent' from cases`,
  );
  await pool.query(
    `select from graphile_worker.add_jobs((select array_agg(row('clock-due', '{}'::json, null, now() + interval '1 day', 25, id, null, null)::graphile_worker.job_spec) from cases where status = 'open'))`,
  );
  // As autovacuum leaves them: what is read from an index alone needs to know which pages hold nothing new.
  for (const table of ['cases', 'tasks', 'inbox', 'effects', 'messages', 'graphile_worker._private_jobs']) await pool.query(`vacuum analyze ${table}`);
}

async function fillWithTrouble(): Promise<void> {
  await pool.query(caseRow('open', 'open'));
  await pool.query(caseRow('unstarted', 'open', 'null'));
  await pool.query(caseRow('broken', 'broken'));
  await pool.query(caseRow('failed', 'failed'));
  await pool.query(caseRow('given-up', 'broken'));
  await pool.query(`update cases set outcome = '{"result": "broken"}' where id = 'given-up'`);
  const inbox = (event: string, of: string | null, source = 'task') =>
    pool.query(
      `insert into inbox (source, event_id, body_hash, kind, name, case_id, body, at, received_at) values ($3, $1, 'x', 'event', 'e', $2, '{}', now(), now() - interval '5 minutes')`,
      [event, of, source],
    );
  await inbox('i-1', 'open');
  // Nobody can deliver to these: the case is what has to be mended.
  await inbox('i-2', 'broken');
  await inbox('i-3', 'unstarted');
  await inbox('i-4', null, 'warehouse.parcelReceived');
  for (const [path, of] of [
    ['a', 'open'],
    ['b', 'broken'],
    ['c', 'failed'],
  ])
    await pool.query(
      `insert into effects (case_id, path, system, operation, args_hash, args, status, sent_at) values ($1, $2, 'warehouse', 'label', 'x', '{}', 'sending', now() - interval '20 minutes')`,
      [of, path],
    );
  await pool.query(`insert into tasks (id, case_id, path, name, process, shop, role, declared_role, context, form_version, opened_by_run, opened_at)
    values ('open:repair', 'open', 'repair', 'repair', 'return-exchange', 'a', 'supervisor', 'supervisor', '{"system": "finance"}', 1, 'r', now() - interval '1 hour')`);
  for (const [id, status] of [
    ['m-1', 'queued'],
    ['m-2', 'failed'],
    ['m-3', 'held'],
  ])
    await pool.query(
      `insert into messages (id, case_id, shop, message, recipient, data, status, queued_at) values ($1, 'open', 'a', 'm', 'customer', '{}', $2, now() - interval '2 minutes')`,
      [id, status],
    );
  const job = async (key: string, runAt: string, attempts: number) => {
    await pool.query(`select graphile_worker.add_job('send-message', '{}', job_key => $1, run_at => now() + $2::interval)`, [key, runAt]);
    await pool.query('update graphile_worker._private_jobs set attempts = $2 where key = $1', [key, attempts]);
  };
  await job('due', '-3 minutes', 0);
  await job('retried', '10 minutes', 3);
  await job('dead', '0', 25);
  await job('replaced', '0', 25);
  await pool.query(`update graphile_worker._private_jobs set key = null where key = 'replaced'`);
}

const found = (rows: readonly StateRow[]) => rows.filter(({ n, what }) => n > 0 && !what.startsWith('connections'));

describe('what waits in Postgres', () => {
  test('is nothing on an empty database, and every kind of thing has a name', async () => {
    const rows = await engineState(pool);
    expect(found(rows)).toEqual([]);
    expect(rows.filter(({ what }) => !(what in counted))).toEqual([]);
  });

  test('is read from indexes alone, and costs nothing for what has ended or waits for its time', async () => {
    await fillWithParked();
    const asked: string[] = [];
    await engineState({ query: (text: string) => (asked.push(text), Promise.resolve({ rows: [] })) } as unknown as Sql);
    const { rows } = await pool.query<{ 'QUERY PLAN': unknown }>(`explain (analyze, format json) ${asked[0] ?? ''}`);
    interface Plan {
      readonly 'Node Type': string;
      readonly 'Relation Name'?: string;
      readonly 'Actual Rows': number;
      readonly 'Actual Loops': number;
      readonly 'Rows Removed by Filter'?: number;
      readonly Plans?: readonly Plan[];
    }
    const nodes = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodes)];
    const plans = (rows[0]?.['QUERY PLAN'] ?? []) as readonly { readonly Plan: Plan }[];
    const scans = plans.flatMap(({ Plan }) => nodes(Plan)).filter((node) => node['Relation Name'] !== undefined);
    const read = (name: string) =>
      scans
        .filter((scan) => scan['Relation Name'] === name)
        .reduce((sum, scan) => sum + (scan['Actual Rows'] + (scan['Rows Removed by Filter'] ?? 0)) * scan['Actual Loops'], 0);
    // The three kinds of jobs are as many rows as there are kinds.
    expect(scans.filter((scan) => scan['Node Type'] === 'Seq Scan' && scan['Relation Name'] !== '_private_tasks')).toEqual([]);
    for (const quiet of ['effects', 'messages', '_private_jobs']) expect([quiet, read(quiet)]).toEqual([quiet, 0]);
    // What is open is counted, each once, and so is what nobody has claimed.
    for (const table of ['cases', 'tasks']) expect([table, read(table)]).toEqual([table, parked]);
    expect(read('inbox')).toBeLessThan(parked + 10);
  });

  test('is what is amiss, each kind with its age, and nothing twice', async () => {
    const before = await engineState(pool);
    await fillWithTrouble();
    const after = await engineState(pool);
    const of = (rows: readonly StateRow[], what: string, label: string) => rows.find((row) => row.what === what && row.label === label);
    const more = after.flatMap(({ what, label, n, oldest }) => {
      const grown = n - (of(before, what, label)?.n ?? 0);
      return grown > 0 && !what.startsWith('connections') ? [[what, label, grown, oldest === null ? null : Math.floor(oldest / 60)]] : [];
    });
    expect(more.toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual([
      ['broken', 'return-exchange', 1, 0],
      ['dead', 'send-message', 1, 0],
      ['due', 'send-message', 1, 3],
      ['failed', 'return-exchange', 1, 0],
      ['open', 'return-exchange', 2, null],
      ['queued', '', 1, 2],
      ['repair', 'finance', 1, 60],
      ['retried', 'send-message', 1, 0],
      ['sending', 'warehouse', 2, 20],
      ['task', 'supervisor', 1, 60],
      ['unclaimed', 'warehouse.parcelReceived', 1, null],
      ['undelivered', '', 1, 5],
      ['unsent', 'customer', 1, 2],
      ['unstarted', 'return-exchange', 1, 60],
    ]);
  });
});

describe('the page for Prometheus', () => {
  test('shows who waits because all connections of a pool are in use', async () => {
    const small = connectPool(await freshDatabase(), 'small', 1);
    const registry = new Registry();
    poolGauges(registry, { small });
    const held = await small.connect();
    const waiting = small.query('select 1');
    expect(await registry.metrics()).toContain('kefu_pool_waiting{pool="small"} 1');
    held.release();
    await waiting;
    expect(await registry.metrics()).toContain('kefu_pool_waiting{pool="small"} 0');
    await small.end();
  });

  test('shows it, and forgets what is mended', async () => {
    const look = (): Promise<string> => {
      const registry = new Registry();
      stateGauges(registry, pool, () => undefined);
      poolGauges(registry, { api: pool });
      return registry.metrics();
    };
    const page = await look();
    for (const line of [
      'kefu_postgres_up 1',
      'kefu_cases_broken{process="return-exchange"} 1',
      'kefu_repairs_open{system="finance"} 1',
      'kefu_inbox_undelivered 1',
      'kefu_pool_connections_max{pool="api"} 3',
      'kefu_pool_waiting{pool="api"} 0',
    ])
      expect(page.split('\n')).toContain(line);
    expect(page).toMatch(/kefu_inbox_undelivered_oldest_seconds 3\d\d\./);
    // Whatever is amiss, nobody's case or order is named.
    for (const id of ['open:repair', 'i-1', 'm-1']) expect(page).not.toContain(id);
    await pool.query(`update cases set status = 'open' where id = 'broken'`);
    expect(await look()).not.toContain('kefu_cases_broken{');
  });

  test('asks Postgres once for several who look at the same time', async () => {
    let asked = 0;
    const counting = { query: (text: string) => ((asked += 1), pool.query(text)) } as unknown as Pool;
    const registry = new Registry();
    stateGauges(registry, counting, () => undefined);
    await Promise.all([registry.metrics(), registry.metrics()]);
    await registry.metrics();
    expect(asked).toBe(1);
  });

  test('says that Postgres is away, and shows none of the figures that it does not know', async () => {
    const away = connectPool('postgres://postgres@127.0.0.1:1/none', 'away');
    const failed: unknown[] = [];
    const registry = new Registry();
    stateGauges(registry, away, (error) => failed.push(error));
    const page = await registry.metrics();
    expect(page).toContain('kefu_postgres_up 0');
    expect(page).not.toMatch(/^kefu_(?!postgres_up)/m);
    expect(failed).toHaveLength(1);
    await away.end();
  });
});
