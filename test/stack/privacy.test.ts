/** A customer with canaries goes through cases with everything, is looked for everywhere, is erased, and is looked for again with every key at hand. */
import { readdirSync, readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { randomBytes, randomInt } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Connection, type Client, Client as TemporalClient } from '@temporalio/client';
import type { PayloadCodec } from '@temporalio/common';
import { Webhook } from 'standardwebhooks';
import { z } from 'zod';
import { signToken } from '../../api/token.ts';
import { putPerson } from '../../db/people.ts';
import { connectPool, type Pool } from '../../db/pool.ts';
import { masterKeysOf, open, openFileKey } from '../../db/sealed.ts';
import { codecKeysOf, sealingCodec } from '../../delivery/codec.ts';
import { connectTemporal } from '../../delivery/temporal.ts';
import type { CaseId, PersonId } from '../../values/ids.ts';
import type { Role } from '../../values/role.ts';
import { jpeg } from '../unit/files.ts';
import { lookAtFiles, lookAtHistories, lookAtTables, search, type Found } from './canaries.ts';
import { until } from './until.ts';
import { wholeStack, type WholeStack } from './whole.ts';

const order = 'MX-2007';
const tag = randomBytes(5).toString('hex');
/** What the customer and people of ours write. */
const written = [`金丝雀${tag}`, `139${randomInt(10_000_000, 99_999_999)}`, `测试路${tag}号`] as const;
const words = (where: string): string => `${where}：${written.join('，')}`;
/** A photo that has the customer's name in it. */
const photo = (): Buffer => {
  const bytes = jpeg(200_000);
  bytes.write(written[0], 100_000);
  return bytes;
};

let stack: WholeStack;
let pool: Pool;
let temporal: Client;
let codec: PayloadCodec;
let folder: string;
let canaries: readonly string[];
let customer = '';
const tokens = new Map<string, string>();
const cases: CaseId[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kefu-canaries-'));
  const policy = join(folder, 'policy.yaml');
  // A parcel that nobody claims becomes a case at once, not in a day.
  writeFileSync(policy, `extends: default\ninbox:\n  unclaimedAfter: 1s\n`);
  stack = await wholeStack(['--policy', policy]);
  const { settings } = stack.state();
  pool = connectPool(setting('DATABASE_URL'), 'test', 4);
  const people = { platform: 'upstream', li: 'agent', chen: 'manager', qi: 'quality', cang: 'warehouse' } as const satisfies Record<string, Role>;
  for (const [id, role] of Object.entries(people)) {
    await putPerson(pool, { id: id as PersonId, name: id, roles: [role], shops: ['*'], active: true, absentUntil: null });
    tokens.set(id, await signToken({ privateKey: readFileSync(setting('JWT_PRIVATE_KEY_FILE'), 'utf8'), subject: id, ttl: '1h' }));
  }
  const codecKeys = codecKeysOf(setting('CODEC_KEY_FILE'), () => undefined);
  codec = sealingCodec(codecKeys);
  // Not the lazy one of the processes: the search asks its service directly.
  temporal = new TemporalClient({
    connection: await Connection.connect({ address: setting('TEMPORAL_ADDRESS') }),
    namespace: setting('TEMPORAL_NAMESPACE', 'default'),
  });
  expect(settings).toHaveProperty('EVIDENCE_DIR');
}, 240_000);
afterAll(async () => {
  await pool.end();
  await temporal.connection.close();
  await stack.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

function setting(name: string, other?: string): string {
  const value = stack.state().settings[name] ?? other;
  if (value === undefined) throw new Error(`the stack has no ${name}`);
  return value;
}
const encoded = encodeURIComponent;
const ask = (who: string, method: 'GET' | 'POST', path: string, body?: string): Promise<Response> =>
  fetch(`${stack.state().urls.api}${path}`, {
    method,
    headers: {
      ...(who === '' ? {} : { authorization: `Bearer ${tokens.get(who)}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      'accept-language': 'en',
    },
    ...(body === undefined ? {} : { body }),
  });
async function call<T>(who: string, method: 'GET' | 'POST', path: string, body?: object): Promise<T> {
  const answer = await ask(who, method, path, body && JSON.stringify(body));
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}
async function system<T>(path: string, body: object): Promise<T> {
  const answer = await fetch(`${stack.state().urls.systems}/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': path },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}

async function start(requestId: string, more: object): Promise<CaseId> {
  const input = { shop: 'mingxi', customer, orderId: order, requestId, requestedAt: new Date().toISOString(), lines: [{ line: 1, quantity: 1 }], ...more };
  const { case: made } = await call<{ case: { id: CaseId } }>('platform', 'POST', '/v1/processes/return-exchange/cases', { input });
  cases.push(made.id);
  return made.id;
}
interface Task {
  readonly id: string;
  readonly name: string;
}
async function opened(of: string, name: string): Promise<Task> {
  let found: Task | undefined;
  await until(
    `the task ${name} of ${of} is open`,
    async () => {
      const { items } = await call<{ items: Task[] }>('platform', 'GET', `/v1/tasks?case=${encoded(of)}&status=open`);
      found = items.find((task) => task.name === name);
      return found !== undefined;
    },
    90_000,
  );
  if (found === undefined) throw new Error(`no task ${name}`);
  return found;
}
/** Claims a task, looks at what the customer wrote, and decides with words. */
async function decide(who: string, of: string, name: string, form: object): Promise<void> {
  const { id } = await opened(of, name);
  await call(who, 'POST', `/v1/tasks/${encoded(id)}/claim`, {});
  await call(who, 'POST', `/v1/cases/${encoded(of)}/look`, { why: 'task' });
  await call(who, 'POST', `/v1/tasks/${encoded(id)}/complete`, { form: { ...form, note: words(name) } });
}
const ended = (of: string): Promise<void> =>
  until(`${of} has ended`, async () => (await call<{ status: string }>('platform', 'GET', `/v1/cases/${encoded(of)}`)).status !== 'open', 120_000);
async function upload(path: string, who: string): Promise<string[]> {
  const form = new FormData();
  form.append('file', new Blob([new Uint8Array(photo())]), `${words('照片')}.jpg`);
  const answer = await fetch(`${stack.state().urls.api}${path}`, {
    method: 'POST',
    ...(who === '' ? {} : { headers: { authorization: `Bearer ${tokens.get(who)}` } }),
    body: form,
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return ((await answer.json()) as { evidence: { id: string }[] }).evidence.map(({ id }) => id);
}
async function linkTo(of: string): Promise<string> {
  const { url } = await call<{ url: string }>('li', 'POST', `/v1/cases/${encoded(of)}/links`, { language: 'zh' });
  return url.split('/c/')[1] ?? '';
}

/** A refund with everything in it: evidence from both sides, notes, forms, a courier of the customer's, a parcel, an inspection, money. */
async function refunded(): Promise<void> {
  const of = await start('refund', { reason: 'quality', wish: 'refund', description: words('描述') });
  const token = await linkTo(of);
  await upload(`/v1/cases/${encoded(of)}/evidence`, 'platform');
  const [own = ''] = await upload(`/v1/c/${token}/evidence`, '');
  await call('li', 'POST', `/v1/cases/${encoded(of)}/notes`, { words: words('电话') });
  const seen = await ask('li', 'POST', `/v1/evidence/${own}/look`, '{"why":"task"}');
  expect(Buffer.from(await seen.arrayBuffer()).includes(Buffer.from(written[0]))).toBe(true);
  await decide('li', of, 'review', { decision: 'approve', reason: 'quality', remedy: 'refund' });
  await until('the goods are awaited', async () => (await call<{ stage: string }>('li', 'GET', `/v1/cases/${encoded(of)}`)).stage === 'parcel', 60_000);
  await call('', 'POST', `/v1/c/${token}/events/ownCourier`, { eventId: 'c1', payload: { trackingNo: `SF-${tag}` } });
  // A customer who mistakes the field for another one.
  for (const trackingNo of [written[1], `${written[0]} 收`]) {
    const wrong = await ask('', 'POST', `/v1/c/${token}/events/ownCourier`, JSON.stringify({ eventId: trackingNo, payload: { trackingNo } }));
    expect(wrong.status).toBe(422);
  }
  await until(
    'the courier is noted',
    async () => (await (await ask('li', 'GET', `/v1/cases/${encoded(of)}/timeline?limit=200`)).text()).includes('courierNoted'),
    60_000,
  );
  const { unitIds } = await system<{ unitIds: string[] }>('warehouse/acts/receive', { trackingNo: `SF-${tag}`, units: [{ sku: 'MX-MUG-SKY', quantity: 1 }] });
  await decide('qi', of, 'inspect', { units: unitIds.map((unitId) => ({ unitId, verdict: 'accept', disposition: 'refurbish', cause: 'manufacturing' })) });
  await ended(of);
}

/** A request that the customer takes back, and says why in their own words. */
async function withdrawn(): Promise<void> {
  const of = await start('withdrawn', { reason: 'noReason', wish: 'refund', description: words('描述') });
  const token = await linkTo(of);
  await upload(`/v1/c/${token}/evidence`, '');
  await opened(of, 'review');
  await call('', 'POST', `/v1/c/${token}/withdraw`, { reason: 'changedMind', note: words('撤回') });
  await ended(of);
}

/** A parcel that nobody asked about, until somebody reads the name on it. */
async function ownerless(): Promise<void> {
  await system('warehouse/acts/receive', { trackingNo: `YT-${tag}`, units: [{ sku: 'MX-MUG-SKY', quantity: 1 }] });
  const late = async (where: string): Promise<CaseId> => {
    let id: CaseId | undefined;
    await until(
      `the parcel has a case, ${where}`,
      async () => {
        const { items } = await call<{ items: { id: CaseId; order: string | null }[] }>('cang', 'GET', '/v1/cases?process=late-parcel');
        id = items.find((row) => (where === 'its owner’s' ? row.order === order : row.order === null))?.id;
        return id !== undefined;
      },
      90_000,
    );
    if (id === undefined) throw new Error('no case');
    cases.push(id);
    return id;
  };
  const nobodys = await late('nobody’s');
  await call('cang', 'POST', `/v1/cases/${encoded(nobodys)}/notes`, { words: words('面单') });
  await decide('cang', nobodys, 'identify', { owner: 'found', orderId: order });
  const theirs = await late('its owner’s');
  await decide('li', theirs, 'decide', { decision: 'sendBack' });
  await Promise.all([ended(nobodys), ended(theirs)]);
}

/** What fails, and what says more than it should. */
async function mishaps(): Promise<void> {
  const statuses = [
    await ask('li', 'POST', '/v1/processes/return-exchange/cases', `{"input": ${words('坏')}`),
    await ask('platform', 'POST', '/v1/processes/return-exchange/cases', JSON.stringify({ input: { shop: 'mingxi', reason: words('原因'), [written[0]]: 1 } })),
    await ask('li', 'GET', `/v1/cases?customer=${encoded(written[0])}`),
    await ask('li', 'GET', `/v1/nothing/${encoded(written[1])}`),
    await ask('', 'GET', `/v1/c/${encoded(written[0])}`),
  ].map(({ status }) => status);
  expect(statuses).toEqual([400, 422, 200, 404, 401]);
  // A carrier that sends more than its contract has.
  const body = JSON.stringify({
    type: 'tracking',
    timestamp: new Date().toISOString(),
    data: { trackingNo: `ZT-${tag}`, state: 'inTransit', at: new Date().toISOString(), receiver: { name: written[0], phone: written[1], address: written[2] } },
  });
  const at = new Date();
  const secret = readFileSync(join(setting('WEBHOOK_SECRETS_DIR'), 'webhook-logistics.secret'), 'utf8').trim();
  const told = await fetch(`${stack.state().urls.api}/v1/webhooks/logistics`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': `m-${tag}`,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign(`m-${tag}`, at, body),
    },
    body,
  });
  expect(told.status).toBe(202);
}

const stored = (canariesNow: readonly string[] = canaries): Promise<{ found: Found[]; places: number }> =>
  search(canariesNow, async (look) => {
    await lookAtTables(look, pool, ['sandbox']);
    await lookAtHistories(look, temporal);
    lookAtFiles(look, stack.folder, ['postgres']);
    look('what the start has printed', Buffer.from(stack.output()));
  });
const decoded = (canariesNow: readonly string[] = canaries): Promise<{ found: Found[]; places: number }> =>
  search(canariesNow, (look) => lookAtHistories(look, temporal, codec));
const placesOf = (found: readonly Found[]): string[] => [...new Set(found.map(({ place }) => place))].toSorted();
const texts = async (): Promise<unknown[]> => {
  const master = masterKeysOf(setting('PERSONAL_KEY_FILE'), () => undefined);
  return (await Promise.all(cases.map((of) => open(pool, master, of)))).flat().map(({ value }) => value);
};
const evidenceFiles = (): string[] =>
  readdirSync(setting('EVIDENCE_DIR'), { recursive: true, withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [entry.name] : []));

describe('a customer whose data are canaries', () => {
  let fileRows: { id: string; owner: string; sealedKey: Buffer; at: Date }[] = [];

  test('goes through a refund, a withdrawal and a parcel of nobody’s', async () => {
    // Whom the shop platform knows: their name, number and address are canaries too.
    const known = z
      .looseObject({
        customer: z.string(),
        buyer: z.looseObject({
          account: z.string(),
          reach: z.looseObject({ name: z.string(), phone: z.string() }),
          address: z.looseObject({ street: z.string() }),
        }),
      })
      .parse(await system('orders/facts', { orderId: order }));
    customer = known.customer;
    canaries = [...written, known.buyer.reach.name, known.buyer.reach.phone, known.buyer.address.street];
    await Promise.all([refunded(), withdrawn(), ownerless(), mishaps()]);
    expect(cases).toHaveLength(4);
    const statuses = await pool.query<{ status: string }>('select status from cases order by status');
    expect(statuses.rows.map(({ status }) => status)).toEqual(['completed', 'completed', 'completed', 'withdrawn']);
  }, 300_000);

  test('is in clear nowhere: not in a table, a history, a log, a file; not even in an opened history', async () => {
    const { found, places } = await stored();
    expect(found).toEqual([]);
    expect(places).toBeGreaterThan(30);
    expect((await decoded()).found).toEqual([]);
    // The search reads what it says it reads: what may be there is found, the same canaries where they belong, and the texts by who has the keys.
    expect(placesOf((await stored([order, cases[0] ?? ''])).found)).toEqual(
      expect.arrayContaining([
        'table cases',
        'table effects',
        'table inbox',
        'table timeline',
        'table messages',
        'list of workflows',
        'file temporal.db',
        'file logs/api.log',
      ]),
    );
    expect(placesOf((await decoded([order])).found)).toEqual(expect.arrayContaining(cases.map((of) => `history ${of}`)));
    const sandbox = await search(canaries, (look) => lookAtTables(look, pool, ['public', 'graphile_worker']));
    expect(new Set(sandbox.found.map(({ canary }) => canary))).toEqual(new Set(canaries.slice(written.length)));
    const said = JSON.stringify(await texts());
    for (const canary of written) expect(said.split(canary).length - 1).toBeGreaterThanOrEqual(8);
    expect(evidenceFiles()).toHaveLength(3);
    fileRows = (await pool.query<{ id: string; owner: string; sealedKey: Buffer; at: Date }>('select id, owner, sealed_key as "sealedKey", at from evidence'))
      .rows;
    const master = masterKeysOf(setting('PERSONAL_KEY_FILE'), () => undefined);
    for (const row of fileRows) expect(await openFileKey(pool, master, row)).toBeDefined();
  }, 120_000);

  test('is gone once erased: with every key at hand nothing of theirs can be opened', async () => {
    const erased = await call<{ cases: number; texts: number; files: number; links: number }>('chen', 'POST', `/v1/customers/${encoded(customer)}/erase`, {
      reason: 'customerAsked',
    });
    // Links are those that we made and those of messages, some of which we have not seen.
    expect(erased).toMatchObject({ cases: 4, files: 3 });
    expect(erased.texts).toBeGreaterThanOrEqual(8);
    expect(erased.links).toBeGreaterThanOrEqual(2);
    await until(
      'their files are deleted',
      async () => (await call<{ filesLeft: number }>('chen', 'POST', `/v1/customers/${encoded(customer)}/erase`, { reason: 'customerAsked' })).filesLeft === 0,
    );

    expect((await decoded()).found).toEqual([]);
    expect((await stored()).found).toEqual([]);
    expect(await texts()).toEqual([]);
    expect(evidenceFiles()).toEqual([]);
    const master = masterKeysOf(setting('PERSONAL_KEY_FILE'), () => undefined);
    for (const row of fileRows) expect(await openFileKey(pool, master, row)).toBeUndefined();
    expect((await pool.query('select 1 from customer_keys')).rowCount).toBe(0);
    for (const of of cases) {
      const { erasedAt, text } = await call<{ erasedAt: string | null; text: string }>('li', 'GET', `/v1/cases/${encoded(of)}`);
      expect([erasedAt, text]).toEqual([expect.any(String), expect.stringContaining('was erased on')]);
    }
  }, 120_000);

  // The last one: what it writes into Temporal's database stays in free pages of its file.
  test('is found by the search wherever something leaks', async () => {
    const leaks: (() => Promise<() => Promise<unknown>>)[] = [
      async () => {
        await pool.query(`insert into timeline (case_id, key, kind, data) values ($1, 'leak', 'note', $2)`, [
          cases[0],
          JSON.stringify({ text: words('泄漏') }),
        ]);
        return () => pool.query(`delete from timeline where key = 'leak'`);
      },
      async () => {
        await pool.query('insert into customer_keys (customer, sealed_key) values ($1, $2)', ['leak', Buffer.from(words('泄漏'))]);
        return () => pool.query(`delete from customer_keys where customer = 'leak'`);
      },
      () => {
        const file = join(setting('EVIDENCE_DIR'), 'leak');
        writeFileSync(file, photo());
        return Promise.resolve(() => Promise.resolve(rmSync(file)));
      },
    ];
    const seen: string[][] = [];
    for (const leak of leaks) {
      const mend = await leak();
      seen.push(placesOf((await stored()).found));
      await mend();
    }
    expect(seen).toEqual([['table timeline'], ['table customer_keys'], ['file evidence/leak']]);
    // A history whose payload nobody has sealed, and one that is sealed and ought not to hold it all the same.
    const begin = (client: Client, workflowId: string) => client.workflow.start('nobody', { workflowId, taskQueue: 'nobody', args: [words('泄漏')] });
    const sealing = connectTemporal({
      address: setting('TEMPORAL_ADDRESS'),
      namespace: 'default',
      codecKeys: codecKeysOf(setting('CODEC_KEY_FILE'), () => undefined),
    });
    const bare = await begin(temporal, 'bare');
    const sealed = await begin(sealing, 'sealed');
    await until('both are listed', async () => (await temporal.workflow.count(`WorkflowType = 'nobody'`)).count === 2, 60_000);
    // Temporal's database has it too, in its file or in the journal beside it.
    expect(placesOf((await stored()).found)).toEqual(expect.arrayContaining(['history bare', expect.stringMatching(/^file temporal\.db/)]));
    expect(placesOf((await stored()).found)).not.toContain('history sealed');
    expect(placesOf((await decoded()).found)).toEqual(['history bare', 'history sealed']);
    await bare.terminate();
    await sealed.terminate();
    await sealing.connection.close();
  }, 180_000);
});
