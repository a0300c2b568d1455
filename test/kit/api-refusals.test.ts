import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { SignJWT, UnsecuredJWT } from 'jose';
import { Webhook } from 'standardwebhooks';
import request from 'supertest';
import { ownAudience, ownIssuer, signToken } from '../../api/token.ts';
import { problems, type ProblemCode } from '../../api/problems.ts';
import type { CaseId, TaskId } from '../../values/ids.ts';
import { caseUrl, startApi, taskUrl, secretOf, type ApiKit } from './api-harness.ts';

let kit: ApiKit;
/** A case that was opened, and in it an open and a decided task: what every refusal must leave as it is. */
let of: CaseId;
let open: TaskId;
let done: TaskId;
let key: string;
beforeAll(async () => {
  kit = await startApi();
  key = randomUUID();
  of = await kit.openCase({ id: key });
  open = await kit.openTask(of);
  done = await kit.openTask(of, { path: 'done' });
  await kit.as('li').post(taskUrl(done, '/complete'), { form: { answer: 'yes' } });
});
afterAll(() => kit.stop());

/** Everything in every table, and what Temporal was told. */
let before: unknown;
const state = async (): Promise<unknown> => {
  const { rows } = await kit.pool.query<{ t: unknown }>(`select to_jsonb(t) as t from tasks t order by id`);
  const cases = await kit.pool.query<{ c: unknown }>(`select to_jsonb(c) as c from cases c order by id`);
  return { rows: await kit.rowCounts(), tasks: rows, cases: cases.rows, told: [kit.temporal.started.length, kit.temporal.signals.length] };
};
beforeEach(async () => {
  before = await state();
});
// After each one: nothing has changed.
afterEach(async () => {
  expect(await state()).toEqual(before);
});

function isProblem(answer: request.Response, code: ProblemCode): void {
  expect(answer.body).toMatchObject({ code, status: problems[code].status, type: `/problems/${code}`, requestId: answer.headers['x-request-id'] });
  expect(answer.status).toBe(problems[code].status);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  const { title, detail } = answer.body as { title: string; detail: string };
  expect(title.length).toBeGreaterThan(3);
  expect(detail).not.toMatch(/[{}]/);
}
const cases = '/v1/processes/tiny/cases';

describe('a token that is', () => {
  const claims = () =>
    new SignJWT({}).setProtectedHeader({ alg: 'EdDSA' }).setSubject('li').setIssuer(ownIssuer).setAudience(ownAudience).setExpirationTime('1h');
  const ours = async () => (await import('jose')).importPKCS8(kit.privateKey, 'EdDSA');
  const wrong: Record<string, () => Promise<string>> = {
    'signed with another key': async () =>
      signToken({ privateKey: generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(), subject: 'li', ttl: '1h' }),
    expired: async () =>
      claims()
        .setExpirationTime('-1h')
        .sign(await ours()),
    'without an end': async () =>
      new SignJWT({})
        .setProtectedHeader({ alg: 'EdDSA' })
        .setSubject('li')
        .setIssuer(ownIssuer)
        .setAudience(ownAudience)
        .sign(await ours()),
    'for another service': async () =>
      claims()
        .setAudience('elsewhere')
        .sign(await ours()),
    'of another issuer': async () =>
      claims()
        .setIssuer('elsewhere')
        .sign(await ours()),
    'without a subject': async () =>
      new SignJWT({})
        .setProtectedHeader({ alg: 'EdDSA' })
        .setIssuer(ownIssuer)
        .setAudience(ownAudience)
        .setExpirationTime('1h')
        .sign(await ours()),
    unsigned: async () => Promise.resolve(new UnsecuredJWT({}).setSubject('li').setIssuer(ownIssuer).setAudience(ownAudience).setExpirationTime('1h').encode()),
    'signed with a secret instead of a key': async () =>
      new SignJWT({})
        .setProtectedHeader({ alg: 'HS256' })
        .setSubject('li')
        .setIssuer(ownIssuer)
        .setAudience(ownAudience)
        .setExpirationTime('1h')
        .sign(new TextEncoder().encode(kit.privateKey)),
    'no token at all': async () => Promise.resolve('gibberish'),
  };
  for (const [what, make] of Object.entries(wrong))
    test(`${what} is refused`, async () => {
      const token = await make();
      const answer = await request(kit.app)
        .post(taskUrl(open, '/complete'))
        .set('Authorization', `Bearer ${token}`)
        .send({ form: { answer: 'yes' } });
      isProblem(answer, 'unauthenticated');
      expect(answer.headers['www-authenticate']).toBe('Bearer');
    });

  test('missing is refused, on every route but the public and the signed', async () => {
    for (const url of ['/v1/cases', '/v1/processes', '/v1/tasks', '/v1/people', caseUrl(of), taskUrl(open)])
      isProblem(await request(kit.app).get(url), 'unauthenticated');
  });

  test('of nobody we know, or of somebody inactive, is refused', async () => {
    const token = await signToken({ privateKey: kit.privateKey, subject: 'stranger', ttl: '1h' });
    isProblem(await request(kit.app).get('/v1/cases').set('Authorization', `Bearer ${token}`), 'unknownPerson');
  });

  test('of a wrong role is refused, and told which roles may', async () => {
    for (const answer of [
      await kit.as('platform').post(taskUrl(open, '/claim')),
      await kit.as('li').get('/v1/people'),
      await kit.as('wang').put('/v1/people/li', {}),
    ]) {
      isProblem(answer, 'forbidden');
      expect((answer.body as { detail: string }).detail).toMatch(/manager/);
    }
    isProblem(await kit.as('platform').post(taskUrl(open, '/complete'), { form: { answer: 'yes' } }), 'notAuthorized');
  });
});

describe('a request that', () => {
  test('has wrong types is refused with every field', async () => {
    const answer = await kit
      .as('platform')
      .post(cases, { input: { id: 7, shop: 'main', script: 'x', items: ['a', 5], amount: { minor: 1.5, currency: 'yuan' } } });
    isProblem(answer, 'invalid');
    expect((answer.body as { errors: { path: string }[] }).errors.map((e) => e.path).toSorted()).toEqual([
      'input.amount.currency',
      'input.amount.minor',
      'input.id',
      'input.items.1',
    ]);
  });

  test('has fields that do not exist, or none at all, is refused', async () => {
    for (const body of [{ input: {}, extra: 1 }, {}]) isProblem(await kit.as('platform').post(cases, body), 'invalid');
    isProblem(await kit.as('li').post(taskUrl(open, '/complete'), { form: { answer: 'perhaps' } }), 'invalid');
  });

  test('names a time or a place in a list that does not exist is refused', async () => {
    for (const at of ['', 'tomorrow', '2026-02-30T00:00:00Z', '2026-11-23T10:00:00', '9999-12-31T23:59:59-14:00', '0000-01-01T00:00:00Z'])
      isProblem(await kit.as('platform').post(caseUrl(of, '/events/said'), { eventId: 'e', payload: { words: 'x' }, at }), 'invalid');
    for (const place of [['infinity', ''], ['1', 7], 'x', ['99999999999999999999', '']])
      isProblem(await kit.as('li').get(`/v1/cases?cursor=${Buffer.from(JSON.stringify(place)).toString('base64url')}`), 'invalid');
    // Of another list, or well-formed and no date: Postgres says so.
    for (const place of ['["17",""]', '["2026-02-31 00:00:00+00",""]'])
      isProblem(await kit.as('li').get(`/v1/cases?cursor=${Buffer.from(place).toString('base64url')}`), 'malformed');
  });

  test('names an unknown process, case, task or address is refused', async () => {
    isProblem(await kit.as('platform').post('/v1/processes/never/cases', { input: {} }), 'unknownProcess');
    isProblem(await kit.as('platform').post('/v1/processes/__proto__/cases', { input: {} }), 'unknownProcess');
    isProblem(await kit.as('li').get(caseUrl('tiny.never')), 'caseNotFound');
    isProblem(await kit.as('li').post(taskUrl('tiny.never:x', '/complete'), { form: {} }), 'taskNotFound');
    isProblem(await kit.as('li').get('/v1/nothing'), 'notFound');
    isProblem(await kit.as('li').get('/docs/../package.json'), 'notFound');
    isProblem(await request(kit.app).get('/docs/package.json'), 'notFound');
  });

  test('has a body of 5 MB is refused', async () => {
    isProblem(await kit.as('platform').post(cases, { input: { id: 'x', shop: 'main', script: 'x'.repeat(5_000_000) } }), 'tooLarge');
    isProblem(await kit.webhook('bench', { type: 'rang', timestamp: new Date().toISOString(), data: { bell: 'x'.repeat(5_000_000), times: 1 } }), 'tooLarge');
  });

  test('is no JSON, or does not say so, is refused', async () => {
    const post = (type: string, text: string) => kit.as('platform').post(cases).set('Content-Type', type).send(text);
    isProblem(await post('application/json', '{"input": '), 'malformed');
    isProblem(await post('application/json', '"text"'), 'malformed');
    isProblem(await post('application/json', '{"input":{"id":"a\\u0000b"}}'), 'malformed');
    isProblem(await post('application/json', '{"input":{"id":"\\ud800"}}'), 'malformed');
    isProblem(await post('text/plain', '{}'), 'notJson');
    isProblem(await post('application/x-www-form-urlencoded', 'a=b'), 'notJson');
    isProblem(await post('application/json; charset=iso-8859-1', '{}'), 'notJson');
  });

  test('uses another method is refused and told which', async () => {
    const answer = await request(kit.app).delete(caseUrl(of));
    isProblem(answer, 'methodNotAllowed');
    expect(answer.headers['allow']).toBe('GET, OPTIONS');
  });

  test('has an address that cannot be read is refused', async () => {
    for (const url of ['/v1/cases/%E0%A4%A', '/v1/cases/a%00b', '/v1/cases?customer=%00']) isProblem(await kit.as('li').get(url), 'malformed');
  });

  test('has the key of a case and another input is refused', async () => {
    isProblem(await kit.as('platform').post(cases, { input: { id: key, shop: 'main', script: 'another' } }), 'caseConflict');
  });

  test('decides a closed task is refused and told by whom, what and when', async () => {
    const answer = await kit.as('wang').post(taskUrl(done, '/complete'), { form: { answer: 'no' } });
    isProblem(answer, 'taskClosed');
    expect(answer.body).toMatchObject({ decided: { by: 'li', form: { answer: 'yes' }, status: 'done', at: expect.stringMatching(/^\d{4}-.*Z$/) } });
  });
});

describe('a webhook', () => {
  const body = { type: 'rang', timestamp: new Date().toISOString(), data: { bell: 'b', times: 1 } };
  const text = JSON.stringify(body);
  const at = (minutes: number): Date => new Date(Date.now() + minutes * 60_000);
  const signed = (id: string, when: Date, secret = secretOf('bench')) => ({
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(when.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign(id, when, text),
  });

  test('IN12: with a bad signature, another secret, another id or a changed body is refused', async () => {
    isProblem(await kit.webhook('bench', body, { 'webhook-signature': 'v1,AAAA' }), 'badSignature');
    isProblem(await kit.webhook('bench', body, signed('a', at(0), `whsec_${Buffer.alloc(24).toString('base64')}`)), 'badSignature');
    isProblem(await kit.webhook('bench', body, { ...signed('a', at(0)), 'webhook-id': 'b' }), 'badSignature');
    isProblem(await kit.webhook('bench', { ...body, data: { bell: 'other', times: 1 } }, signed('a', at(0))), 'badSignature');
    isProblem(await request(kit.app).post('/v1/webhooks/bench').send(body), 'badSignature');
  });

  test('IN12: that is stale, or from the future, is refused', async () => {
    for (const minutes of [-6, 6]) isProblem(await kit.webhook('bench', body, signed('a', at(minutes))), 'badSignature');
  });

  test('IN6: of one source does not pass for another’s; an unknown source or event is refused', async () => {
    isProblem(await kit.webhook('bench', body, signed('a', at(0), secretOf('finance'))), 'badSignature');
    isProblem(await kit.webhook('unknown', body), 'unknownSource');
    isProblem(await kit.webhook('bench', { ...body, type: 'never' }), 'unknownEvent');
  });
});

test('IN12: a webhook that is replayed changes nothing more', async () => {
  const headers = { 'webhook-id': randomUUID() };
  const body = { type: 'rang', timestamp: new Date().toISOString(), data: { bell: randomUUID(), times: 1 } };
  expect((await kit.webhook('bench', body, headers)).status).toBe(202);
  before = await state();
  expect((await kit.webhook('bench', body, headers)).status).toBe(200);
});

test('the check can fail: a request that is taken does change what is compared', async () => {
  await kit.openCase();
  expect(await state()).not.toEqual(before);
  before = await state();
});
