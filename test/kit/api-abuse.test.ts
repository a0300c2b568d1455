/** What `npm run abuse` has found, each by its name. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import request from 'supertest';
import type { CaseId, TaskId } from '../../values/ids.ts';
import { caseUrl, secretOf, startApi, taskUrl, type ApiKit } from './api-harness.ts';

let kit: ApiKit;
let of: CaseId;
let open: TaskId;
beforeAll(async () => {
  kit = await startApi();
  of = await kit.openCase({ id: 'guessed', script: 'canonical' });
  open = await kit.openTask(of);
  for (const [user, role] of [
    ['stranger', 'upstream'],
    ['colleague', 'agent'],
  ] as const) {
    await kit.token(user, role);
    await kit.pool.query(`update people set shops = '{elsewhere}' where id = $1`, [user]);
  }
});
afterAll(() => kit.stop());

const cases = '/v1/processes/tiny/cases';

describe('somebody of another shop', () => {
  test('who hits upon the key of a case learns that it is taken, and nothing of what it holds', async () => {
    const answer = await kit.as('stranger').post(cases, { input: { id: 'guessed', shop: 'elsewhere', script: 'another' } });
    expect(answer.body).toMatchObject({ status: 409, code: 'caseConflict', differences: [] });
    // In the own shop the differences are told.
    const own = await kit.as('platform').post(cases, { input: { id: 'guessed', shop: 'main', script: 'another' } });
    expect(own.body).toMatchObject({ code: 'caseConflict', differences: [{ path: 'script', was: 'canonical', now: 'another' }] });
  });

  test('is nobody to whoever hands a task on', async () => {
    const said = async (to: string) => {
      const answer = await kit.as('li').post(taskUrl(open, '/delegate'), { to });
      return { status: answer.status, code: (answer.body as { code: string }).code };
    };
    expect(await said('colleague')).toEqual(await said('nobody-at-all'));
    expect(await said('colleague')).toEqual({ status: 404, code: 'personNotFound' });
    // Who serves one of the asker's shops is known to them, and may not take this one.
    await kit.token('qin', 'quality');
    expect(await said('qin')).toEqual({ status: 422, code: 'personNotFit' });
  });

  test('is not told what another shop promises', async () => {
    const start = '2026-11-23T10:00:00+08:00';
    for (const [url, body] of [
      ['/v1/calendar/deadline', { start, clock: 'T10' }],
      ['/v1/calendar/elapsed', { start, end: '2026-11-24T10:00:00+08:00', calendar: 'working-days' }],
    ] as const) {
      expect((await kit.as('li').post(url, { ...body, shop: 'elsewhere' })).body).toMatchObject({ status: 403, code: 'otherShop' });
      expect((await kit.as('li').post(url, { ...body, shop: 'main' })).status).toBe(200);
    }
  });
});

test('a body that is wrong fifty thousand times over is answered in a few words', async () => {
  const keys = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`key-${i}`, 0]));
  for (const [url, body] of [
    [caseUrl(of, '/notes'), keys],
    [caseUrl(of, '/notes'), { words: 'x', ['k'.repeat(900_000)]: 1 }],
    [cases, { input: { id: 'x', shop: 'main', script: 'x', items: Array.from({ length: 200_000 }, () => 7) } }],
  ] as const) {
    const answer = await kit.as(url === cases ? 'platform' : 'li').post(url, body);
    expect(answer.body).toMatchObject({ status: 422, code: 'invalid' });
    expect((answer.body as { errors: unknown[] }).errors.length).toBeLessThanOrEqual(50);
    expect(answer.text.length).toBeLessThan(20_000);
  }
});

test('JSON in another encoding than UTF-8 is refused', async () => {
  const token = await kit.token('li', 'agent');
  const post = (type: string, bytes: Buffer | string) =>
    request(kit.app)
      .post(caseUrl(of, '/notes'))
      .set({ Authorization: `Bearer ${token}`, 'Content-Type': type })
      .send(bytes);
  for (const [type, bytes] of [
    ['application/json; charset=utf-7', '{"words":"x"}'],
    ['application/json; charset="utf-16le"', Buffer.from('{"words":"x"}', 'utf16le')],
    ['application/json;charset=utf-32', '{"words":"x"}'],
  ] as const)
    expect((await post(type, bytes)).body).toMatchObject({ status: 415, code: 'notJson' });
  for (const type of ['application/json; charset=utf-8', 'application/json; charset="UTF-8"', 'application/json']) {
    const answer = await post(type, '{"words":"x"}');
    expect({ type, status: answer.status }).toEqual({ type, status: 201 });
  }
});

test('a webhook whose time only begins with what was signed is refused', async () => {
  const body = { type: 'rang', timestamp: new Date().toISOString(), data: { bell: 'b', times: 1 } };
  const [at, id] = [new Date(), 'msg-time'];
  const seconds = String(Math.floor(at.getTime() / 1000));
  const signature = new Webhook(secretOf('bench')).sign(id, at, JSON.stringify(body));
  const send = (timestamp: string) => kit.webhook('bench', body, { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature });
  for (const timestamp of [`${seconds}.5`, `${seconds}x`, `${seconds}, ${seconds}`, `+${seconds}`])
    expect((await send(timestamp)).body).toMatchObject({ code: 'badSignature' });
  expect((await send(seconds)).status).toBe(202);
});
