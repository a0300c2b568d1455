/** On the whole stack: Temporal's page shows what histories hold, and every key is exchanged while people and systems work, without a restart. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { signToken } from '../../api/token.ts';
import { withClient } from '../../cli/stack/postgres.ts';
import { codecKeyPurpose } from '../../delivery/codec.ts';
import { parseKeys } from '../../keys/ring.ts';
import { keyIdOf, payloadsIn } from '../kit/payloads.ts';
import { until } from './until.ts';
import { wholeStack, type WholeStack } from './whole.ts';

let stack: WholeStack;
let connection: Connection;
const setting = (name: string): string => stack.state().settings[name] ?? '';
/** A token of the key that signs now. */
const token = async (subject: string): Promise<string> =>
  signToken({ privateKey: await readFile(setting('JWT_PRIVATE_KEY_FILE'), 'utf8'), subject, ttl: '1h' });

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}
async function call(method: string, path: string, bearer: string, body?: unknown): Promise<Answer> {
  const answer = await fetch(`${stack.state().urls.api}/v1${path}`, {
    method,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${bearer}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: (await answer.json()) as Answer['body'] };
}

let count = 0;
/** A return from its request to its refusal, with words of the customer and of the agent; answers the case. */
async function wholeReturn(as: { readonly shop: string; readonly wang: string }): Promise<string> {
  const requestId = `keys-${++count}`;
  const input = {
    shop: 'mingxi',
    customer: 'c_82231706e1d8e2e20642',
    orderId: 'MX-2007',
    requestId,
    requestedAt: new Date().toISOString(),
    lines: [{ line: 1, quantity: 1 }],
    reason: 'other',
    wish: 'refund',
    description: `words of ${requestId}`,
  };
  const id = `return-exchange.MX-2007.${requestId}`;
  const review = `/tasks/${encodeURIComponent(`${id}:review-1/review`)}`;
  const opened = await call('POST', '/processes/return-exchange/cases', as.shop, { input });
  if (opened.status !== 201) throw new Error(`${id} was not opened: ${JSON.stringify(opened)}`);
  await until(
    `the review of ${id} is open`,
    async () => {
      const { status } = await call('GET', review, as.wang);
      if (status >= 500 || status === 401) throw new Error(`${id}: ${status}`);
      return status === 200;
    },
    60_000,
  );
  const decided = await call('POST', `${review}/complete`, as.wang, { form: { decision: 'reject', reason: 'abuse', note: 'words of Wang' } });
  if (decided.status !== 200) throw new Error(`${id} was not decided: ${JSON.stringify(decided)}`);
  return id;
}
const ended = (id: string): Promise<void> =>
  until(`${id} has ended`, async () => (await call('GET', `/cases/${encodeURIComponent(id)}`, await token('wang'))).body['status'] === 'completed', 60_000);

const keys = (...args: readonly string[]): Promise<string> =>
  new Promise((done, fail) => {
    const { NODE_OPTIONS: _, ...env } = process.env;
    execFile(
      process.execPath,
      ['--import', 'tsx', 'cli/keys.ts', '--data', stack.folder, ...args],
      { cwd: resolve(import.meta.dirname, '../..'), env },
      (error, stdout, stderr) => (error ? fail(new Error(`${args.join(' ')}: ${stdout}${stderr}`)) : done(stdout)),
    );
  });

beforeAll(async () => {
  stack = await wholeStack();
  connection = await Connection.connect({ address: setting('TEMPORAL_ADDRESS') });
  await withClient(setting('DATABASE_URL'), (client) =>
    client.query(`insert into people (id, name, roles, shops) values ('shop', 'shop', '{upstream}', '{*}'), ('wang', 'wang', '{agent}', '{*}')`),
  );
}, 180_000);
afterAll(async () => {
  await connection.close();
  await stack.stop();
});

test('Temporal’s page knows where payloads are opened, and there its own origin is told what a history holds', async () => {
  const page = stack.state().urls.temporalUi ?? '';
  const { Codec: codec } = (await (await fetch(`${page}/api/v1/settings`)).json()) as { Codec: { Endpoint: string; PassAccessToken?: boolean } };
  expect(codec.Endpoint).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);

  const id = await wholeReturn({ shop: await token('shop'), wang: await token('wang') });
  await ended(id);
  // As the page reads it.
  const history = (await (await fetch(`${page}/api/v1/namespaces/default/workflows/${encodeURIComponent(id)}/history`)).json()) as {
    history: { events: { workflowExecutionStartedEventAttributes?: { input: { payloads: unknown[] } } }[] };
  };
  const [started] = history.history.events;
  const payloads = started?.workflowExecutionStartedEventAttributes?.input.payloads ?? [];
  expect(payloads.length).toBeGreaterThan(0);
  expect(JSON.stringify(payloads)).not.toContain('MX-2007');
  const ask = (origin: string): Promise<Response> =>
    fetch(`${codec.Endpoint}/decode?preserveStorageRefs=true`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-namespace': 'default', origin },
      body: JSON.stringify({ payloads }),
    });
  const answer = await ask(page);
  expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([200, page]);
  const { payloads: opened } = (await answer.json()) as { payloads: { data: string }[] };
  const text = opened.map(({ data }) => Buffer.from(data, 'base64').toString()).join();
  expect(text).toContain('"orderId":"MX-2007"');
  expect(text).not.toContain('words of');
  expect((await ask('https://evil.example')).status).toBe(403);
  // By the name that a browser may as well show.
  expect((await ask(page.replace('127.0.0.1', 'localhost'))).status).toBe(200);
}, 120_000);

test('every key is exchanged under load: no request fails, no task fails, what is new is under the new key, and what is old is read', async () => {
  const before = stack.state().processes;
  const [shop, wang] = [await token('shop'), await token('wang')];
  let stopped = false;
  const cases: string[] = [];
  const load = (async () => {
    while (!stopped) cases.push(await wholeReturn({ shop, wang }));
  })();
  const through = async (more: number): Promise<void> => {
    const from = cases.length;
    await Promise.race([load, until('cases go through', () => cases.length >= from + more, 120_000)]);
  };
  await through(1);
  for (const kind of ['codec', 'personal', 'link', 'jwt']) {
    await keys('rotate', kind);
    await keys('promote', kind);
  }
  const webhook = /whsec_\S+/.exec(await keys('rotate', 'webhook', 'warehouse'))?.[0];
  expect((await readFile(join(setting('WEBHOOK_SECRETS_DIR'), 'webhook-warehouse.secret'), 'utf8')).split('\n')[0]).toBe(webhook);
  await through(2);
  expect(await keys('rewrap')).toMatch(/customers' keys are sealed anew under "2"/);
  await through(2);
  stopped = true;
  await load;

  // With the key that signs now; the tokens of before were good until the end.
  for (const id of cases) await ended(id);
  const temporal = new Client({ connection });
  const idsOf = async (id: string): Promise<string[]> => [
    ...new Set(
      payloadsIn(await temporal.workflow.getHandle(id).fetchHistory())
        .map(keyIdOf)
        .filter((key) => key !== ''),
    ),
  ];
  expect(await idsOf('return-exchange.MX-2007.keys-1')).toEqual(['1']);
  const last = await wholeReturn({ shop, wang: await token('wang') });
  await ended(last);
  expect(await idsOf(last)).toEqual(['2']);
  const [sealing] = parseKeys(await readFile(setting('CODEC_KEY_FILE'), 'utf8'), codecKeyPurpose);
  expect(sealing.id).toBe('2');

  const status = await keys('status');
  expect(status).toMatch(
    /codec {2}.*\n {2}2 +seals\n {2}1 +opens; sealed until .*\n +\d+ open cases? and \d+ ended ones? whose history Temporal keeps began while it sealed: they need it until/,
  );
  expect(status).toMatch(/personal {2}.*\n {2}2 +seals\n {2}1 .*\n +it sealed until .*, and a process that has not read the file again may seal with it until/);
  await expect(keys('retire', 'codec', '1')).rejects.toThrow('key "1" is needed');

  // Words of before the rotation are read after it.
  const notes = await call('POST', `/cases/${encodeURIComponent('return-exchange.MX-2007.keys-1')}/look`, await token('wang'), { why: 'enquiry' });
  expect([notes.status, JSON.stringify(notes.body)]).toEqual([200, expect.stringContaining('words of keys-1')]);
  expect(JSON.stringify(notes.body)).toContain('words of Wang');

  // The processes of the beginning, none of which has failed a task or missed a key.
  expect(Object.entries(stack.state().processes).map(([name, { pid }]) => [name, pid])).toEqual(Object.entries(before).map(([name, { pid }]) => [name, pid]));
  const { count: failing } = await connection.workflowService.countWorkflowExecutions({ namespace: 'default', query: "ExecutionStatus = 'Failed'" });
  expect(Number(failing)).toBe(0);
  for (const id of [...cases, last])
    expect((await temporal.workflow.getHandle(id).fetchHistory()).events?.filter((event) => event.workflowTaskFailedEventAttributes)).toEqual([]);
  for (const name of ['api', 'worker', 'codec']) {
    const log = await readFile(join(stack.folder, 'logs', `${name}.log`), 'utf8');
    expect(log).not.toContain('which this process does not have');
    if (name !== 'codec') expect(log).toMatch(/"keys":\["2","1"\].*keys read again/);
  }
}, 240_000);
