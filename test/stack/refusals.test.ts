/** What is refused on the whole stack leaves no trace: not in Postgres, not in Temporal, not in any system's ledger. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { Webhook } from 'standardwebhooks';
import { signToken } from '../../api/token.ts';
import { withClient } from '../../cli/stack/postgres.ts';
import { systems } from '../../systems/index.ts';
import { until } from './until.ts';
import { wholeStack, type WholeStack } from './whole.ts';

let stack: WholeStack;
let connection: Connection;
let privateKey: string;
let secret: string;
const token = (subject: string, ttl = '1h'): Promise<string> => signToken({ privateKey, subject, ttl });
const input = {
  shop: 'mingxi',
  customer: 'c_82231706e1d8e2e20642',
  orderId: 'MX-2007',
  requestId: 'refusals',
  requestedAt: '2026-01-05T10:00:00+08:00',
  lines: [{ line: 1, quantity: 1 }],
  reason: 'other',
  wish: 'refund',
};
const of = 'return-exchange.MX-2007.refusals';
const review = `/tasks/${encodeURIComponent(`${of}:review-1/review`)}`;

async function call(
  method: string,
  path: string,
  more: { readonly as?: string; readonly body?: unknown; readonly headers?: Record<string, string> } = {},
): Promise<{ status: number; code: unknown }> {
  const answer = await fetch(`${stack.state().urls.api}/v1${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...(more.as === undefined ? {} : { authorization: `Bearer ${more.as}` }), ...more.headers },
    ...(more.body === undefined ? {} : { body: typeof more.body === 'string' ? more.body : JSON.stringify(more.body) }),
  });
  const body = (await answer.json()) as { code?: unknown };
  return { status: answer.status, code: body.code };
}

/** Rows of every table of ours and of the sandbox, with what they say; histories in Temporal; what each ledger answers. */
async function everything(): Promise<unknown> {
  const { settings, urls } = stack.state();
  const tables = await withClient(settings['DATABASE_URL'] ?? '', async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('public', 'sandbox') order by 1`,
    );
    const sums: [string, unknown][] = [];
    for (const { name } of rows)
      sums.push([
        name,
        (await client.query(`select count(*)::int as n, md5(coalesce(string_agg(t::text, '|' order by t::text), '')) as sum from ${name} t`)).rows[0],
      ]);
    return sums;
  });
  const temporal = new Client({ connection, namespace: settings['TEMPORAL_NAMESPACE'] ?? 'default' });
  const histories: [string, number][] = [];
  for await (const run of temporal.workflow.list()) histories.push([run.workflowId, run.historyLength ?? 0]);
  const ledgers = await Promise.all(Object.keys(systems).map(async (name) => [name, await (await fetch(`${urls.systems}/${name}/ledger?limit=500`)).json()]));
  return { tables, histories: Object.fromEntries(histories), ledgers };
}

beforeAll(async () => {
  stack = await wholeStack();
  const { settings } = stack.state();
  privateKey = await readFile(settings['JWT_PRIVATE_KEY_FILE'] ?? '', 'utf8');
  secret = (await readFile(join(settings['WEBHOOK_SECRETS_DIR'] ?? '', 'webhook-warehouse.secret'), 'utf8')).trim();
  connection = await Connection.connect({ address: settings['TEMPORAL_ADDRESS'] ?? '' });
  await withClient(settings['DATABASE_URL'] ?? '', (client) =>
    client.query(
      `insert into people (id, name, roles, shops) values ('shop', 'shop', '{upstream}', '{*}'), ('wang', 'wang', '{agent}', '{*}'), ('qi', 'qi', '{quality}', '{*}')`,
    ),
  );
  // A case that has been reviewed and rejected: a closed task, and an end.
  expect(await call('POST', '/processes/return-exchange/cases', { as: await token('shop'), body: { input } })).toMatchObject({ status: 201 });
  await until('the review is open', async () => (await call('GET', review, { as: await token('wang') })).status === 200);
  expect(await call('POST', `${review}/complete`, { as: await token('wang'), body: { form: { decision: 'reject', reason: 'abuse' } } })).toMatchObject({
    status: 200,
  });
  let before = '';
  await until(
    'all is quiet',
    async () => {
      // The last message is out, and nothing has changed since the look before.
      const now = JSON.stringify(await everything());
      const same = now === before;
      before = now;
      const waiting = await withClient(
        settings['DATABASE_URL'] ?? '',
        async (client) => (await client.query(`select 1 from messages where status = 'queued' union all select 1 from cases where status = 'open'`)).rowCount,
      );
      return same && waiting === 0;
    },
    60_000,
  );
}, 180_000);
afterAll(async () => {
  await connection.close();
  await stack.stop();
});

describe('nothing changes anywhere when a request', () => {
  let before: unknown;
  beforeEach(async () => {
    before = await everything();
  });
  const start = '/processes/return-exchange/cases';
  const deliveries = { id: 'msg-1', payload: JSON.stringify({ type: 'parcelReceived', timestamp: new Date().toISOString(), data: { trackingNo: 'X' } }) };
  const signed = (at: Date, key = secret): Record<string, string> => ({
    'webhook-id': deliveries.id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(key).sign(deliveries.id, at, deliveries.payload),
  });
  const refusals: readonly (readonly [string, number, () => Promise<{ status: number }>])[] = [
    [
      'has wrong types',
      422,
      async () => call('POST', start, { as: await token('shop'), body: { input: { ...input, requestId: 'w', lines: [{ line: 'one', quantity: -1 }] } } }),
    ],
    ['names an unknown process', 404, async () => call('POST', '/processes/gift-wrapping/cases', { as: await token('shop'), body: { input } })],
    [
      'has a body of 5 MB',
      413,
      async () => call('POST', start, { as: await token('shop'), body: { input: { ...input, description: 'x'.repeat(5_000_000) } } }),
    ],
    ['has a forged token', 401, async () => call('POST', start, { as: `${(await token('shop')).slice(0, -8)}AAAAAAAA`, body: { input } })],
    ['has an expired token', 401, async () => call('POST', start, { as: await token('shop', '-1h'), body: { input } })],
    ['has a token of the wrong role', 403, async () => call('POST', start, { as: await token('qi'), body: { input: { ...input, requestId: 'q' } } })],
    [
      'has the key of a case and another input',
      409,
      async () => call('POST', start, { as: await token('shop'), body: { input: { ...input, wish: 'refund', reason: 'quality' } } }),
    ],
    [
      'decides a closed task',
      409,
      async () => call('POST', `${review}/complete`, { as: await token('wang'), body: { form: { decision: 'approve', reason: 'quality', remedy: 'refund' } } }),
    ],
    [
      'is a webhook with a stale time',
      401,
      () => call('POST', '/webhooks/warehouse', { headers: signed(new Date(Date.now() - 3_600_000)), body: deliveries.payload }),
    ],
    [
      'is a webhook with another secret',
      401,
      () => call('POST', '/webhooks/warehouse', { headers: signed(new Date(), `whsec_${Buffer.alloc(32).toString('base64')}`), body: deliveries.payload }),
    ],
  ];
  test.each(refusals)('%s: %i', async (_, status, ask) => {
    expect(await ask()).toMatchObject({ status });
    expect(await everything()).toEqual(before);
  });

  test('is a webhook that was taken before, and the first one did change something', async () => {
    const payload = JSON.stringify({
      type: 'parcelReceived',
      timestamp: new Date().toISOString(),
      data: { receiptId: 'r-1', trackingNo: 'nobodys', receivedAt: new Date().toISOString(), units: [{ unitId: 'u-1' }] },
    });
    const at = new Date();
    const headers = {
      'webhook-id': 'msg-2',
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign('msg-2', at, payload),
    };
    expect(await call('POST', '/webhooks/warehouse', { headers, body: payload })).toMatchObject({ status: 202 });
    const taken = await everything();
    expect(taken).not.toEqual(before);
    expect(await call('POST', '/webhooks/warehouse', { headers, body: payload })).toMatchObject({ status: 200 });
    expect(await everything()).toEqual(taken);
  });
});
