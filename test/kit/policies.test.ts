/** Published policies on Postgres: a case keeps its version, also over an upgrade; and the command that shows what a case keeps. */
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { thisProcess } from '../../cli/stack/processes.ts';
import { writeState } from '../../cli/stack/state.ts';
import { openCase } from '../../db/cases.ts';
import { pinnedPolicy, policyInForce, publishPolicy } from '../../db/policies.ts';
import { connectPool, inTransaction, type Pool } from '../../db/pool.ts';
import { loadPolicy, type LoadedPolicy } from '../../policies/load.ts';
import { windowOf } from '../../policies/lookup.ts';
import { manifestOf } from '../../workflows/registry.ts';
import { errand } from '../processes/errand/process.ts';
import { freshDatabase } from '../stack/env.ts';

const root = resolve(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'policies-'));
copyFileSync(join(root, 'policies/default.yaml'), join(folder, 'default.yaml'));
const day = 86_400_000;

let database: string;
let pool: Pool;
beforeAll(async () => {
  database = await freshDatabase();
  pool = connectPool(database, 'policies-test', 2);
});
afterAll(async () => {
  await pool.end();
  rmSync(folder, { recursive: true });
});

function write(values: string): LoadedPolicy {
  writeFileSync(join(folder, 'own.yaml'), `extends: default\n${values}`);
  return loadPolicy(join(folder, 'own.yaml'));
}
const lengths = async (version: string) => {
  const policy = await pinnedPolicy(pool, version);
  return [windowOf(policy, 'evidence'), windowOf(policy, 'ownerless'), policy.inbox.unclaimedAfter.ms];
};

test('a version stays what it was published as, whatever is published after it', async () => {
  const one = write('windows: { evidence: 5d }\n');
  await publishPolicy(pool, one);
  await publishPolicy(pool, write('windows: { evidence: 6d }\ninbox: { unclaimedAfter: 2h }\n'));
  await publishPolicy(pool, one);
  expect(await lengths(one.version)).toEqual([5 * day, 30 * day, day]);
});

test('what an older engine published is read with the values that it did not know; what it says stays', async () => {
  const one = write('windows: { evidence: 4d }\n');
  await publishPolicy(pool, one);
  await pool.query(`update policies set document = document - 'inbox' #- '{windows,ownerless}' where version = $1`, [one.version]);
  policyInForce(write('windows: { evidence: 6d, ownerless: 9d }\ninbox: { unclaimedAfter: 2h }\n').policy);
  expect(await lengths(one.version)).toEqual([4 * day, 9 * day, day / 12]);
});

test('a version that was never published here is an error that names it', async () => {
  await expect(pinnedPolicy(pool, 'no-such')).rejects.toThrow('policy no-such was never published to this database');
});

test('the command shows what holds for a case: its version where it stands in the files, or what has changed since it opened', async () => {
  const opened = write('windows: { evidence: 5d }\nshops: { s: { windows: { parcelSent: 11d } } }\n');
  await publishPolicy(pool, opened);
  const input = errand.input.parse({ shop: 's', of: 'shown', eventId: 'e' });
  const row = await inTransaction(pool, (tx) => openCase(tx, { declaration: errand, input, manifest: manifestOf(errand, 's', opened, {}), starter: 'test' }));
  const id = row.status === 'conflict' ? row.id : row.case.id;
  const url = 'http://127.0.0.1:1';
  writeState(folder, {
    leader: thisProcess(),
    processes: {},
    startedAt: new Date().toISOString(),
    urls: { api: url, docs: url, openapi: url, systems: url, workerMetrics: `${url}/metrics` },
    settings: { DATABASE_URL: database, POLICY_FILE: join(folder, 'own.yaml') },
  });
  const show = async (of: string) => {
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), join(root, 'cli/policy.ts'), 'show', '--case', of, '--data', folder], {
      cwd: folder,
    });
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { stdout, stderr };
  };

  const same = await show(id);
  expect(same).toMatchObject({ stderr: '', stdout: expect.stringContaining(`# Version ${opened.version}, shop s\n`) });
  expect(same.stdout).toContain('\n  parcelSent: 11d # own.yaml:3\n');
  expect(parse(same.stdout)).toEqual(opened.written('s'));

  const now = write('windows: { evidence: 6d }\nshops: { s: { windows: { parcelSent: 11d } } }\n');
  expect(await show(id)).toEqual({
    stderr: '',
    stdout: `# Case ${id} in shop s keeps version ${opened.version}. It is ${now.version} now; what has changed since, and does not hold for this case:
windows.evidence.ms: ${5 * day} → ${6 * day}  (own.yaml:2)
`,
  });
  expect(await show('errand.none')).toMatchObject({ stdout: '', stderr: expect.stringContaining('There is no case errand.none.') });
});
