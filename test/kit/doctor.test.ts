/** The doctor on an engine that is well, and on one that is not. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { look, type Engine } from '../../cli/doctor/look.ts';
import { connectPool } from '../../db/pool.ts';
import { connectTemporal } from '../../delivery/temporal.ts';
import { fixedKeys } from '../../keys/ring.ts';
import { startKit, type Kit } from './harness.ts';
import { surroundings } from './surroundings.ts';
import { tinyCases } from './tiny.ts';

const root = resolve(import.meta.dirname, '../..');
let kit: Kit;
let engine: Engine;
let around: Awaited<ReturnType<typeof surroundings>>;
beforeAll(async () => {
  around = await surroundings();
  kit = await startKit(around);
  engine = { pool: kit.pool, temporal: kit.temporal, namespace: around.temporal.namespace, api: undefined };
});
afterAll(() => kit.stop());

const { open } = tinyCases(() => kit);
const found = async (): Promise<readonly object[]> => (await look(engine)).found;

test('finds nothing while all is well, and says what is there', async () => {
  const id = await open('windowed');
  await kit.opened(id, 'choose');
  await kit.pool.query(`update cases set started_at = now() - interval '1 hour' where id = $1`, [id]);
  expect(await look(engine)).toEqual({ found: [], there: ['Postgres', 'Temporal', '1 worker'] });
});

test('finds an open case that Temporal does not run, and one that a sweep has found broken', async () => {
  const id = await open('windowed');
  await kit.opened(id, 'choose');
  await kit.pool.query(`update cases set started_at = now() - interval '1 hour' where id = $1`, [id]);
  await kit.temporal.workflow.getHandle(id).terminate('by hand');
  await kit.until('lost', found, (seen) => seen.length > 0);
  expect(await found()).toEqual([{ what: 'lost', n: 1, cases: [id] }]);
  await kit.pool.query(`update cases set status = 'broken' where id = $1`, [id]);
  expect(await found()).toEqual([{ what: 'broken', n: 1, cases: [id] }]);
  await kit.pool.query(`update cases set outcome = '{"result": "broken"}' where id = $1`, [id]);
  expect(await found()).toEqual([]);
});

test('finds effects that wait for a person, messages that nobody took, jobs that nobody tries, clocks without a job, and says of which cases', async () => {
  const id = await open('windowed');
  await kit.opened(id, 'choose');
  await kit.pool.query(
    `insert into tasks (id, case_id, path, name, process, shop, role, declared_role, context, form_version, opened_by_run, opened_at)
     values ($1 || ':r', $1, 'r', 'repair', 'tiny', 'shop-1', 'supervisor', 'supervisor', '{"system": "bench"}', 1, 'r', now() - interval '1 hour')`,
    [id],
  );
  await kit.pool.query(
    `insert into messages (id, case_id, shop, message, recipient, data, status, queued_at) values ($1 || ':m', $1, 'shop-1', 'm', 'customer', '{}', 'failed', now())`,
    [id],
  );
  await kit.pool.query(
    `insert into clocks (case_id, clock, name, policy_clock, status, next_point, state) values ($1, 'lost', 'lost', 'T10', 'running', now() - interval '1 hour', '{}')`,
    [id],
  );
  const seen = (await found()).map((one) => ({ ...one, age: undefined }));
  expect(seen.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))).toMatchObject([
    { what: 'clockWithoutJob', n: 1, cases: [id] },
    { what: 'repair', of: 'bench', n: 1, cases: [id] },
    { what: 'unsent', of: 'customer', n: 1, cases: [id] },
  ]);
  for (const table of ['tasks', 'messages', 'clocks'])
    await kit.pool.query(
      `delete from ${table} where case_id = $1 and (to_jsonb(${table}) ->> 'id' in ($1 || ':r', $1 || ':m') or to_jsonb(${table}) ->> 'clock' = 'lost')`,
      [id],
    );
  expect(await found()).toEqual([]);
});

test('finds a schema that is behind, and asks it nothing more', async () => {
  await kit.pool.query(`create table kept as select * from migrations`);
  await kit.pool.query(`delete from migrations where name like '0009%'`);
  expect(await found()).toEqual([{ what: 'schemaBehind', n: 1 }]);
  await kit.pool.query(`insert into migrations select * from kept k where not exists (select 1 from migrations m where m.name = k.name)`);
  await kit.pool.query(`drop table kept`);
});

test('finds what is away, and looks at the rest all the same', async () => {
  const nowhere = connectPool('postgres://postgres@127.0.0.1:1/none', 'nowhere');
  expect(await look({ ...engine, pool: nowhere, api: 'http://127.0.0.1:1' })).toEqual({
    found: [
      { what: 'postgresAway', n: 1 },
      { what: 'apiAway', n: 1 },
    ],
    there: ['Temporal', '1 worker'],
  });
  await nowhere.end();
  const temporal = connectTemporal({ ...around.temporal, address: '127.0.0.1:1', codecKeys: fixedKeys(around.codecKeys) });
  expect(await look({ ...engine, temporal })).toEqual({ found: [{ what: 'temporalAway', n: 1 }], there: ['Postgres'] });
  await temporal.connection.close();
});

describe('the command', () => {
  const doctor = (env: Readonly<Record<string, string>>, ...args: readonly string[]) => {
    const { NODE_OPTIONS: _, DATABASE_URL: __, ...own } = process.env;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', 'cli/doctor.ts', ...args], {
      cwd: root,
      encoding: 'utf8',
      env: { ...own, ...env },
    });
    return { status, stdout, stderr };
  };

  test('says what is away in the language of the terminal, with the chapter, and ends with 1', () => {
    const away = { DATABASE_URL: 'postgres://postgres@127.0.0.1:1/none', TEMPORAL_ADDRESS: '127.0.0.1:1', LC_ALL: 'zh_CN.UTF-8' };
    const chinese = doctor(away);
    expect(chinese).toMatchObject({ status: 1, stdout: expect.stringContaining('✗ Postgres 无响应') });
    expect(chinese.stdout).toContain('docs/operations.md#temporal-away');
    const english = doctor({ ...away, LC_ALL: 'en_GB.UTF-8' }, '--json');
    expect(JSON.parse(english.stdout)).toMatchObject({
      ok: false,
      found: [{ what: 'postgresAway', says: 'Postgres does not answer' }, { what: 'temporalAway' }],
    });
    // Where to look is known, and how one gets in is not said.
    expect(english.stdout).not.toContain('postgres@');
  });

  test.each([
    [['--data', 'nowhere'], 2, 'No stack runs on'],
    [['--lang', 'fr'], 2, '--lang is zh or en'],
    [['--help'], 0, 'Exit code 0'],
  ] as const)('%j ends with %i and says %s', (args, status, words) => {
    const ended = doctor({}, ...args);
    expect(ended.stdout + ended.stderr).toContain(words);
    expect(ended.status).toBe(status);
  });
});
