import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import request from 'supertest';
import { createApp } from '../../api/app.ts';
import { ownAudience, ownIssuer, signToken, tokenCheck } from '../../api/token.ts';
import { connectPool } from '../../db/pool.ts';
import { caseUrl, startApi, taskUrl, type ApiKit } from './api-harness.ts';

let kit: ApiKit;
beforeAll(async () => {
  kit = await startApi();
});
afterAll(() => kit.stop());

describe('readiness', () => {
  test('is ready with everything there, degraded without Temporal or with effects to repair', async () => {
    expect((await request(kit.app).get('/readyz')).body).toEqual({
      status: 'ready',
      postgres: 'ok',
      temporal: 'ok',
      worker: 'ok',
      systems: {},
      load: { requests: 'ok', starts: 'ok', waiting: 0, behindSeconds: 0 },
    });
    const of = await kit.openCase();
    const id = await kit.openTask(of, { path: 'a!repair-1', name: 'repair', role: 'ops', context: { system: 'finance', operation: 'refund' } });
    expect((await request(kit.app).get('/readyz')).body).toMatchObject({ status: 'degraded', systems: { finance: '1 to repair' } });
    await kit.pool.query(`update tasks set status = 'withdrawn' where id = $1`, [id]);
    const away = createApp({
      ...kit.deps,
      metrics: new Registry(),
      delivery: { ...kit.deps.delivery, look: () => Promise.resolve({ temporal: false, worker: false, moves: false, behindMs: 0 }) },
    });
    const answer = await request(away).get('/readyz');
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ status: 'degraded', temporal: 'away', worker: 'away' });
    const page = (await request(away).get('/metrics')).text.split('\n');
    for (const line of ['kefu_temporal_up 0', 'kefu_worker_up 0']) expect(page).toContain(line);
  });

  test('without Postgres it is 503, and so is everything else, at once, saying when to try again (HT9)', async () => {
    const pool = connectPool('postgres://postgres@127.0.0.1:1/none', 'none');
    const app = createApp({ ...kit.deps, metrics: new Registry(), pool });
    const began = Date.now();
    expect((await request(app).get('/readyz')).body).toMatchObject({ status: 'unavailable', postgres: 'away' });
    expect((await request(app).get('/healthz')).status).toBe(200);
    const token = await signToken({ privateKey: kit.privateKey, subject: 'li', ttl: '1h' });
    const answer = await request(app).get('/v1/cases').set('Authorization', `Bearer ${token}`);
    expect(answer.body).toMatchObject({ status: 503, code: 'unavailable' });
    expect(answer.headers['retry-after']).toBe('2');
    expect(Date.now() - began).toBeLessThan(3000);
    await pool.end();
  });
});

describe('the log', () => {
  test('has ids, and none of what may be personal or secret', async () => {
    const [secret, customer] = [`secret-${randomUUID()}`, `customer-${randomUUID()}`];
    const of = await kit.openCase({ note: secret });
    const id = await kit.openTask(of);
    const token = await kit.token('li', 'agent');
    await kit.as('li').post(taskUrl(id, '/complete'), { form: { answer: 'yes', note: secret } });
    await kit.as('li').post(caseUrl(of, '/notes'), { words: secret });
    await kit.as('li').get(`/v1/cases?customer=${customer}`).set('X-Request-Id', 'given-1');
    await kit.as('li').get(`/v1/nothing/${customer}`);
    await kit.as('li').post(taskUrl(id, '/complete'), { form: { answer: secret } });
    const all = kit.logged.join('');
    expect(all).toContain(of);
    expect(all).toContain('"operation":"completeTask"');
    expect(all).toContain('"id":"given-1"');
    for (const hidden of [secret, customer, token, 'Bearer']) expect(all).not.toContain(hidden);
  });

  test('of a fault has what an operator needs, and the caller only the request id', async () => {
    const app = createApp({ ...kit.deps, metrics: new Registry(), delivery: { ...kit.deps.delivery, look: () => Promise.reject(new Error('boom')) } });
    const answer = await request(app).get('/readyz').set('Accept-Language', 'en');
    expect(answer.body).toMatchObject({ status: 500, code: 'internal', requestId: answer.headers['x-request-id'] });
    expect(answer.text).not.toContain('boom');
    expect(kit.logged.some((line) => line.includes('boom') && line.includes(String(answer.headers['x-request-id'])))).toBe(true);
  });
});

describe('limits and headers', () => {
  test('a caller who asks too often is told to wait; others are not', async () => {
    const app = createApp({ ...kit.deps, metrics: new Registry(), ratePerMinute: 3 });
    const token = async (user: string) => `Bearer ${await signToken({ privateKey: kit.privateKey, subject: user, ttl: '1h' })}`;
    const ask = async (user: string) =>
      request(app)
        .get('/v1/processes')
        .set('Authorization', await token(user));
    for (let i = 0; i < 3; i++) expect((await ask('li')).status).toBe(200);
    const answer = await ask('li');
    expect(answer.body).toMatchObject({ status: 429, code: 'tooMany' });
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    expect((await ask('wang')).status).toBe(200);
    // Bad tokens are counted by where they come from.
    const guess = () => request(app).get('/v1/processes').set('Authorization', 'Bearer a.b.c');
    for (let i = 0; i < 3; i++) expect((await guess()).status).toBe(401);
    expect((await guess()).status).toBe(429);
  });

  test('request ids come back; one that is no id is replaced', async () => {
    expect((await request(kit.app).get('/healthz').set('X-Request-Id', 'abc-1')).headers['x-request-id']).toBe('abc-1');
    expect((await request(kit.app).get('/healthz').set('X-Request-Id', 'a b"c')).headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('answers carry security headers and are not kept by caches', async () => {
    const { headers } = await kit.as('li').get('/v1/cases');
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'content-security-policy': expect.stringContaining("default-src 'none'"),
    });
    expect(headers['x-powered-by']).toBeUndefined();
  });

  test('problems are in the language that is asked for, Chinese unless asked', async () => {
    const ask = (language?: string) =>
      language === undefined ? request(kit.app).get('/v1/cases') : request(kit.app).get('/v1/cases').set('Accept-Language', language);
    for (const language of [undefined, 'zh-CN', 'zh', 'fr']) expect(((await ask(language)).body as { title: string }).title).toBe('未登录或令牌无效');
    for (const language of ['en', 'en-GB,en;q=0.9', 'fr,en;q=0.5']) expect(((await ask(language)).body as { title: string }).title).toBe('No valid token');
    const fields = await kit
      .as('platform')
      .post('/v1/processes/tiny/cases', { input: { id: 1 } })
      .set('Accept-Language', 'zh-CN');
    expect((fields.body as { errors: { message: string }[] }).errors[0]?.message).toMatch(/\p{Script=Han}/u);
  });
});

describe('what is public', () => {
  test('the document and its page work offline: nothing in the page is from elsewhere', async () => {
    const page = await request(kit.app).get('/docs');
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    const links = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(links.length).toBeGreaterThan(3);
    for (const link of links) {
      expect(link).toMatch(/^\/docs\//);
      expect((await request(kit.app).get(link)).status).toBe(200);
    }
    expect((await request(kit.app).get('/openapi.json')).body).toMatchObject({ openapi: '3.1.0' });
  });

  test('each problem has a page, and metrics count requests by operation', async () => {
    const { type } = (await request(kit.app).get('/v1/cases')).body as { type: string };
    const page = await request(kit.app).get(type);
    expect(page.text).toContain('No valid token');
    expect((await request(kit.app).get('/problems/constructor')).status).toBe(404);
    expect((await request(kit.app).get('/metrics')).text).toMatch(/kefu_http_request_duration_seconds_count\{operation="listCases",status="401"\} [1-9]/);
  });
});

test('tokens of an identity provider hold by its keys; while those cannot be had, the answer is 503', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const server = createServer((_request, response) =>
    response.end(JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'RS256', use: 'sig' }] })),
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
  const { SignJWT } = await import('jose');
  const token = await new SignJWT({})
    .setProtectedHeader({ alg: 'RS256', kid: 'k1' })
    .setSubject('li')
    .setIssuer(ownIssuer)
    .setAudience(ownAudience)
    .setExpirationTime('1h')
    .sign(privateKey);
  const appOf = async () =>
    createApp({ ...kit.deps, metrics: new Registry(), checkToken: await tokenCheck({ jwksUrl: url, issuer: ownIssuer, audience: ownAudience }) });
  const ask = async (app: Awaited<ReturnType<typeof appOf>>) => request(app).get('/v1/processes').set('Authorization', `Bearer ${token}`);
  expect((await ask(await appOf())).status).toBe(200);
  server.close();
  server.closeAllConnections();
  expect((await ask(await appOf())).body).toMatchObject({ status: 503, code: 'keysAway' });
});
