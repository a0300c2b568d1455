/** The codec server that Temporal's page asks: who may have payloads of a real history opened, and what is refused. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { problems, type ProblemCode } from '../../api/problems.ts';
import { createCodecApp, type CodecDeps } from '../../codec/app.ts';
import { anyone, people } from '../../codec/callers.ts';
import { mostPayloads } from '../../codec/payloads.ts';
import { readSettings } from '../../codec/settings.ts';
import { putPerson } from '../../db/people.ts';
import { sealingCodec } from '../../delivery/codec.ts';
import { fixedKeys } from '../../keys/ring.ts';
import type { PersonId } from '../../values/ids.ts';
import type { Role } from '../../values/role.ts';
import { startApi, type ApiKit } from './api-harness.ts';
import { startKit, type Kit, type Surroundings } from './harness.ts';
import { keyIdOf, payloadsIn } from './payloads.ts';
import { surroundings } from './surroundings.ts';
import { tinyCases } from './tiny.ts';

interface JsonPayload {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly data?: string;
}
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: { readonly payloads?: readonly JsonPayload[]; readonly code?: ProblemCode; readonly detail?: string; readonly type?: string };
}

const page = 'http://127.0.0.1:8233';
let around: Surroundings;
let kit: Kit;
let api: ApiKit;
let server: Server;
let base: string;
const logged: string[] = [];
/** The sealed payloads of a case's history, as Temporal's page sends them. */
let sealed: JsonPayload[];

const listen = async (more: Partial<CodecDeps> = {}): Promise<{ server: Server; base: string }> => {
  const app = createCodecApp({
    codec: sealingCodec(fixedKeys(around.codecKeys)),
    namespace: 'default',
    origins: [page],
    callers: people(api.deps.checkToken, kit.pool),
    log: pino({ level: 'info' }, { write: (line: string) => logged.push(line) }),
    ratePerMinute: 100_000,
    ...more,
  });
  const listening = createServer(app).listen(0, '127.0.0.1');
  await once(listening, 'listening');
  return { server: listening, base: `http://127.0.0.1:${(listening.address() as AddressInfo).port}` };
};

beforeAll(async () => {
  around = await surroundings();
  kit = await startKit(around);
  api = await startApi({ on: kit });
  const { open } = tinyCases(() => kit);
  const id = await open('canonical', { items: ['goods-in-the-input'] });
  await kit.opened(id, 'decide');
  await kit.decide(id, 'decide', { answer: 'yes' });
  await kit.outcome(id);
  const base64 = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString('base64');
  sealed = payloadsIn(await kit.history(id))
    .filter((found) => keyIdOf(found) !== '')
    .map(({ payload }) => ({
      metadata: Object.fromEntries(Object.entries(payload.metadata ?? {}).map(([name, value]) => [name, base64(value)])),
      data: base64(payload.data),
    }));
  for (const [user, ...roles] of [
    ['li-ops', 'ops'],
    ['ma', 'manager'],
    ['wang', 'agent'],
    ['shop-platform', 'upstream'],
  ] as [string, ...Role[]][])
    await api.token(user, ...roles);
  ({ server, base } = await listen());
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await kit.stop();
});

interface Call {
  readonly path?: string;
  readonly method?: string;
  readonly as?: string | undefined;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly at?: string;
}
/** A call as Temporal's page makes it, but for what a test says. */
async function call({
  path = '/decode?preserveStorageRefs=true',
  method = 'POST',
  as = 'li-ops',
  token,
  headers = {},
  body = { payloads: sealed },
  at = base,
}: Call = {}): Promise<Answer> {
  const bearer = token ?? (as === '' ? undefined : await api.token(as, ...((await rolesOf(as)) ?? [])));
  const answer = await fetch(`${at}${path}`, {
    method,
    headers: {
      'content-type': 'application/json',
      'accept-language': 'en',
      'x-namespace': 'default',
      origin: page,
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...headers,
    },
    ...(method === 'POST' ? { body: typeof body === 'string' ? body : JSON.stringify(body) } : {}),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: (text === '' ? {} : JSON.parse(text)) as Answer['body'] };
}
async function rolesOf(user: string): Promise<Role[] | undefined> {
  return (await kit.rows<{ roles: Role[] }>('select roles from people where id = $1', user))[0]?.roles;
}
const said = ({ body }: Answer): string => (body.payloads ?? []).map(({ data = '' }) => Buffer.from(data, 'base64').toString()).join('\n');

async function refused(code: ProblemCode, of: Call): Promise<Answer> {
  const answer = await call(of);
  expect({ status: answer.status, code: answer.body.code, type: answer.body.type, body: answer.body.payloads }).toEqual({
    status: problems[code].status,
    code,
    type: `/problems/${code}`,
    body: undefined,
  });
  expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  expect(said(answer)).toBe('');
  return answer;
}

describe('Temporal’s page, with the token of', () => {
  test.each(['li-ops', 'ma'])('%s, is told what a history holds, each payload in its place, and it is logged who asked, without what it was', async (as) => {
    expect(sealed.length).toBeGreaterThan(8);
    expect(JSON.stringify(sealed.map(({ data }) => Buffer.from(data ?? '', 'base64').toString()))).not.toContain('goods-in-the-input');
    const before = logged.length;
    const answer = await call({ as });
    expect(answer.status).toBe(200);
    expect(answer.body.payloads).toHaveLength(sealed.length);
    expect(said(answer)).toContain('goods-in-the-input');
    expect(said(answer)).toContain('"answer":"yes"');
    for (const { metadata } of answer.body.payloads ?? [])
      expect(['json/plain', 'binary/null']).toContain(Buffer.from(metadata?.['encoding'] ?? '', 'base64').toString());
    expect(answer.headers.get('access-control-allow-origin')).toBe(page);
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull();
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(logged.slice(before).map((line): unknown => JSON.parse(line))).toEqual([
      expect.objectContaining({ audit: 'payloadsDecoded', person: as, namespace: 'default', payloads: sealed.length }),
    ]);
    expect(logged.join('')).not.toContain('goods-in-the-input');
  });

  test('who seals, gets what opens to the same; what is sealed already and what never was stays as it is', async () => {
    const plain = { metadata: { encoding: Buffer.from('json/plain').toString('base64') }, data: Buffer.from('{"words":"from the page"}').toString('base64') };
    const { body } = await call({ path: '/encode', body: { payloads: [plain, sealed[0]] } });
    expect(said({ body } as Answer)).not.toContain('from the page');
    expect(body.payloads?.[1]).toEqual(sealed[0]);
    const back = await call({ body: { payloads: [body.payloads?.[0], plain, { metadata: {} }] } });
    expect(back.body.payloads).toEqual([plain, plain, { metadata: {} }]);
  });

  test('nobody: a browser’s question before the call is answered for that page, and the command line, which is no page, may call', async () => {
    const preflight = await call({
      method: 'OPTIONS',
      as: '',
      headers: { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type,x-namespace' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe(page);
    expect(preflight.headers.get('access-control-allow-methods')).toBe('POST');
    for (const name of ['authorization', 'content-type', 'x-namespace']) expect(preflight.headers.get('access-control-allow-headers')).toContain(name);
    const { origin: _, ...headers } = {
      origin: '',
      authorization: `Bearer ${await api.token('li-ops', 'ops')}`,
      'content-type': 'application/json',
      'x-namespace': 'default',
    };
    const answer = await fetch(`${base}/decode`, { method: 'POST', headers, body: JSON.stringify({ payloads: sealed }) });
    expect(answer.status).toBe(200);
  });
});

describe('it refuses', () => {
  test('a page of another origin, before and after it asked', async () => {
    for (const origin of ['https://evil.example', 'http://127.0.0.1:8234', 'https://127.0.0.1:8233', 'null']) {
      const answer = await refused('otherOrigin', { headers: { origin } });
      expect(answer.headers.get('access-control-allow-origin')).toBeNull();
      expect((await call({ method: 'OPTIONS', as: '', headers: { origin, 'access-control-request-method': 'POST' } })).status).toBe(403);
    }
  });

  test('whoever has no token, a forged one, or one of nobody', async () => {
    for (const token of ['none', `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"sub":"li-ops"}').toString('base64url')}.x`]) {
      const { headers } = await refused('unauthenticated', { token });
      expect(headers.get('www-authenticate')).toBe('Bearer');
    }
    await refused('unauthenticated', { as: '' });
    const token = await api.token('left', 'ops');
    await kit.pool.query("update people set active = false where id = 'left'");
    expect((await refused('unknownPerson', { token })).body.detail).toContain('"left" is not registered or not active');
  });

  test('every role but ops and manager, and those who do not serve every shop', async () => {
    for (const as of ['wang', 'shop-platform']) expect((await refused('forbidden', { as })).body.detail).toContain('manager, ops');
    const token = await api.token('of-one-shop', 'manager');
    await putPerson(kit.pool, { id: 'of-one-shop' as PersonId, name: 'x', roles: ['manager'], shops: ['mingxi'], active: true, absentUntil: null });
    await refused('otherShop', { token });
  });

  test('another namespace than its own, and none', async () => {
    expect((await refused('otherNamespace', { headers: { 'x-namespace': 'other' } })).body.detail).toContain('only payloads of namespace default');
    await refused('otherNamespace', { headers: { 'x-namespace': '' } });
  });

  test('a payload that was changed, cut off, or sealed under a key it does not have: it says which, and opens none', async () => {
    const [first, second, third] = sealed;
    if (first === undefined || second === undefined || third === undefined) throw new Error('too few payloads');
    const changed = Buffer.from(second.data ?? '', 'base64');
    changed[changed.length - 20] = (changed[changed.length - 20] ?? 0) ^ 1;
    const forged = { ...second, data: changed.toString('base64') };
    expect((await refused('notOpened', { body: { payloads: [first, forged, third] } })).body.detail).toMatch(/^Payload 1, counted from 0, does not open/);
    expect((await refused('notOpened', { body: { payloads: [{ ...first, data: 'AAAA' }] } })).body.detail).toContain('cut off');
    const other = { ...first, metadata: { ...first.metadata, 'key-id': Buffer.from('77').toString('base64') } };
    expect((await refused('notOpened', { body: { payloads: [first, other] } })).body.detail).toContain('under key "77", which this process does not have');
    const elsewhere = await listen({ codec: sealingCodec(fixedKeys([{ id: around.codecKeys[0].id, key: randomBytes(32) }])) });
    await refused('notOpened', { at: elsewhere.base });
    elsewhere.server.close();
  });

  test('too many payloads, a body that is huge, no JSON, or of another shape', async () => {
    await refused('invalid', { body: { payloads: Array.from({ length: mostPayloads + 1 }, () => ({})) } });
    expect((await call({ body: { payloads: Array.from({ length: mostPayloads }, () => ({})) } })).status).toBe(200);
    expect((await refused('payloadsTooLarge', { body: { payloads: [{ data: 'A'.repeat(9 * 1024 * 1024) }] } })).body.detail).toContain('8 MB');
    await refused('notJson', { headers: { 'content-type': 'text/plain' } });
    await refused('malformed', { body: '{"payloads":[' });
    for (const body of [{}, [], { payloads: 'x' }, { payloads: [7] }, { payloads: [{ data: 'no base64!' }] }, { payloads: [{ metadata: { encoding: 7 } }] }])
      await refused('invalid', { body });
    const deep = `{"payloads":[{"data":"","more":${'['.repeat(50_000)}${']'.repeat(50_000)}}]}`;
    expect((await call({ body: deep })).body.payloads).toEqual([{ data: '' }]);
  });

  test('what it does not serve', async () => {
    await refused('notFound', { path: '/download' });
    const answer = await refused('methodNotAllowed', { method: 'GET' });
    expect(answer.headers.get('allow')).toBe('POST, OPTIONS');
  });

  test('whoever asks too often', async () => {
    const few = await listen({ ratePerMinute: 2 });
    expect([(await call({ at: few.base })).status, (await call({ at: few.base })).status]).toEqual([200, 200]);
    await refused('tooMany', { at: few.base });
    few.server.close();
  });

  test('everything while nobody can be told from anybody: Postgres away', async () => {
    const { connectPool } = await import('../../db/pool.ts');
    const nowhere = connectPool('postgres://u:p@127.0.0.1:1/none', 'none', 1);
    const away = await listen({ callers: people(api.deps.checkToken, nowhere) });
    expect((await refused('unavailable', { at: away.base })).headers.get('retry-after')).toBe('2');
    away.server.close();
    await nowhere.end();
  });
});

describe('without log-in, on a developer’s own machine, it', () => {
  test('opens for the page, and not for a page that has made a name of its own lead here', async () => {
    const { server: open, base: at } = await listen({ callers: anyone });
    open.close();
    const own = await listen({ callers: anyone, hosts: [new URL(at).host] });
    await refused('otherOrigin', { at: own.base, as: '' });
    own.server.close();
    const { port } = new URL(at);
    const again = createServer(
      createCodecApp({
        codec: sealingCodec(fixedKeys(around.codecKeys)),
        namespace: 'default',
        origins: [page],
        hosts: [`127.0.0.1:${port}`],
        callers: anyone,
        log: pino({ level: 'silent' }),
        ratePerMinute: 100,
      }),
    ).listen(Number(port), '127.0.0.1');
    await once(again, 'listening');
    expect(said(await call({ at, as: '' }))).toContain('goods-in-the-input');
    again.closeAllConnections();
    again.close();
  });

  test('does not start where others reach it', () => {
    const file = new URL(import.meta.url).pathname;
    const env = { PORT: '1', CODEC_KEY_FILE: file, TEMPORAL_UI_URL: page, CODEC_AUTH: 'none' };
    expect(readSettings(env)).toMatchObject({ HOST: '127.0.0.1', people: undefined });
    for (const HOST of ['0.0.0.0', '::', '10.0.0.7', 'codec'])
      expect(() => readSettings({ ...env, HOST })).toThrow(/CODEC_AUTH: "none" opens histories to whoever reaches HOST/);
    expect(() => readSettings({ ...env, CODEC_AUTH: 'off' })).toThrow('CODEC_AUTH: ');
    // Unless told otherwise it asks who calls, and for that it needs to know.
    const { CODEC_AUTH: _, ...asks } = env;
    expect(() => readSettings(asks)).toThrow(/DATABASE_URL: /);
    expect(() => readSettings({ ...asks, DATABASE_URL: 'postgres://u:p@h/kefu' })).toThrow(/JWT_PUBLIC_KEY_FILE: .*JWT_JWKS_URL/);
    expect(readSettings({ ...asks, HOST: '0.0.0.0', DATABASE_URL: 'postgres://u:p@h/kefu', JWT_PUBLIC_KEY_FILE: file }).people).toMatchObject({
      JWT_ISSUER: 'kefu-flow',
    });
    expect(() => readSettings({})).toThrow(/PORT: .*\n.*CODEC_KEY_FILE: .*\n.*TEMPORAL_UI_URL: /);
  });
});
