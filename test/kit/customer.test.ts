/** The customer's side over HTTP: links, what they open, what the customer may do with them. */
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { access } from '../../api/access.ts';
import { linkUrl, openLink, tokenOf } from '../../db/links.ts';
import { fixedKeys, type KeyRing } from '../../keys/ring.ts';
import { queueMessage } from '../../db/messages.ts';
import { inTransaction } from '../../db/pool.ts';
import type { CaseId } from '../../values/ids.ts';
import { instant, plus, type Instant } from '../../values/instant.ts';
import { caseUrl, startApi, taskUrl, type ApiKit } from './api-harness.ts';

let kit: ApiKit;
beforeAll(async () => {
  kit = await startApi();
  await kit.token('far', 'agent');
  await kit.pool.query(`update people set shops = '{elsewhere}' where id = 'far'`);
});
afterAll(() => kit.stop());
afterEach(() => {
  kit.temporal.away = false;
});

interface Wrong {
  readonly code: string;
  readonly errors: unknown;
}
interface Made {
  readonly id: string;
  readonly url: string;
  readonly expiresAt: Instant;
}
const make = async (of: CaseId, body: object = {}): Promise<Made & { readonly token: string }> => {
  const answer = await kit.as('li').post(caseUrl(of, '/links'), body);
  expect(answer.status).toBe(201);
  const made = answer.body as Made;
  return { ...made, token: made.url.split('/c/')[1] ?? '' };
};
const get = (path: string) => request(kit.app).get(path);
const post = (path: string, body: object = {}) => request(kit.app).post(path).send(body);
const follow = async (token: string, lang = '') => (await get(`/v1/c/${token}${lang}`).expect(200)).body as Record<string, unknown>;
const opened = async () => {
  const of = await kit.openCase();
  return { of, ...(await make(of, { language: 'en' })) };
};
const tell = (of: CaseId, path: string, message: string, data: object) =>
  inTransaction(kit.pool, (tx) => queueMessage(tx, { id: of, shop: 'main', customer: null }, { path, message, to: 'customer', data }));
const offer = (of: CaseId, path = 'offer') => kit.openTask(of, { path, name: 'offer', role: 'customer' });

describe('a link', () => {
  test('is made for a case by who serves its shop, in a language, for as long as the policy lets it', async () => {
    const of = await kit.openCase();
    const made = await make(of, { language: 'en', expiresIn: '7d' });
    expect(made.url).toMatch(/^http:\/\/127\.0\.0\.1:7400\/c\/[\w-]{38}$/);
    expect(Date.parse(made.expiresAt) - Date.now()).toBeLessThanOrEqual(7 * 86_400_000);
    expect(await follow(made.token)).toMatchObject({ title: 'Tiny', language: 'en' });
    const byDefault = await make(of);
    expect(await follow(byDefault.token)).toMatchObject({ title: '极小流程', language: 'zh' });
    expect((await follow(byDefault.token, '?lang=en'))['title']).toBe('Tiny');
    for (const [expiresIn, why] of [
      ['31d', /30 ?d|720h/],
      ['0s', /7d/],
      ['7 working days', /7d/],
      ['soon', /no duration/],
    ] as const) {
      const refused = await kit.as('li').post(caseUrl(of, '/links'), { expiresIn });
      expect({ expiresIn, status: refused.status, errors: (refused.body as Wrong).errors }).toEqual({
        expiresIn,
        status: 422,
        errors: [{ path: 'expiresIn', message: expect.stringMatching(why) }],
      });
    }
    expect((await kit.as('far').post(caseUrl(of, '/links'))).status).toBe(404);
    await kit.token('mei', 'warehouse');
    expect((await kit.as('mei').post(caseUrl(of, '/links'))).status).toBe(403);
  });

  test('is listed without its address, and revoked once and for all', async () => {
    const { of, id, token } = await opened();
    await follow(token);
    const { items } = (await kit.as('li').get(caseUrl(of, '/links')).expect(200)).body as { items: Record<string, unknown>[] };
    expect(items).toEqual([expect.objectContaining({ id, madeBy: 'li', status: 'open', language: 'en', usedAt: expect.any(String), revokedAt: null })]);
    expect(JSON.stringify(items)).not.toContain(token);
    const revoked = await kit
      .as('wang')
      .post(caseUrl(of, `/links/${id}/revoke`))
      .expect(200);
    expect(revoked.body).toMatchObject({ id, status: 'revoked' });
    expect(
      (
        await kit
          .as('li')
          .post(caseUrl(of, `/links/${id}/revoke`))
          .expect(200)
      ).body,
    ).toEqual(revoked.body);
    expect((await kit.as('li').post(caseUrl(of, '/links/none/revoke'))).body).toMatchObject({ status: 404, code: 'linkNotFound' });
    expect((await kit.as('li').post(caseUrl(await kit.openCase(), `/links/${id}/revoke`))).status).toBe(404);
    const { rows } = await kit.pool.query<{ kind: string }>(`select kind from timeline where case_id = $1 and kind like 'link%' order by id`, [of]);
    expect(rows.map((r) => r.kind)).toEqual(['linkMade', 'linkRevoked']);
  });

  test('that expired or was revoked says so; one that is forged or unknown says nothing of what there is', async () => {
    const { of, id, token, expiresAt } = await opened();
    const forged = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`;
    const changed = `${token.slice(0, 20)}${token[20] === 'x' ? 'y' : 'x'}${token.slice(21)}`;
    const unknown = `${'A'.repeat(16)}${token.slice(16)}`;
    const ofOther = tokenOf(kit.deps.links.keys, { id, caseId: await kit.openCase(), expiresAt });
    const longer = tokenOf(kit.deps.links.keys, { id, caseId: of, expiresAt: plus(expiresAt, 1000) });
    const bodies = [];
    for (const wrong of [forged, changed, unknown, ofOther, longer, 'nonsense', `${token}x`]) {
      const answer = await get(`/v1/c/${wrong}`).set('Accept-Language', 'en');
      const { requestId: _, ...body } = answer.body as Record<string, unknown>;
      expect({ wrong, status: answer.status, code: body['code'] }).toEqual({ wrong, status: 401, code: 'linkInvalid' });
      bodies.push(JSON.stringify(body));
      const page = await get(`/c/${wrong}`).set('Accept-Language', 'zh-CN');
      expect([page.status, page.type]).toEqual([401, 'text/html']);
      expect(page.text).toContain('请完整复制');
    }
    expect(new Set(bodies).size).toBe(1);

    await kit.as('li').post(caseUrl(of, `/links/${id}/revoke`));
    expect((await get(`/v1/c/${token}`)).body).toMatchObject({ status: 410, code: 'linkRevoked' });
    expect((await get(`/v1/c/${changed}`)).body).toMatchObject({ status: 401, code: 'linkInvalid' });
    const page = await get(`/c/${token}`).set('Accept-Language', 'en');
    expect([page.status, page.text]).toEqual([410, expect.stringContaining('Our service has withdrawn this link')]);

    const late = await opened();
    await kit.pool.query("update customer_links set expires_at = now() - interval '1 second' where id = $1", [late.id]);
    // Its signature is over the time until which it holds: a row that was changed opens nothing.
    expect((await get(`/v1/c/${late.token}`)).status).toBe(401);
    const { rows } = await kit.pool.query<{ expires_at: Date }>('select expires_at from customer_links where id = $1', [late.id]);
    const expired = tokenOf(kit.deps.links.keys, { id: late.id, caseId: late.of, expiresAt: instant(rows[0]?.expires_at ?? 0) });
    expect((await get(`/v1/c/${expired}`)).body).toMatchObject({ status: 410, code: 'linkExpired' });
  });

  test('that is out still opens while its secret stands below the new one, and no longer once it is dropped', async () => {
    const { token } = await opened();
    const old = kit.deps.links.keys.sealing();
    const fresh = { id: 'fresh', key: randomBytes(32) };
    const status = async (...keys: KeyRing) => (await openLink(kit.pool, fixedKeys(keys), token, instant(Date.now()))).status;
    expect([await status(old), await status(fresh, old), await status(fresh)]).toEqual(['open', 'open', 'invalid']);
  });

  test('is neither logged nor stored', async () => {
    const { of, token } = await opened();
    await follow(token);
    await get(`/c/${token}`).expect(200);
    await get(`/c/${token}/nothing`).expect(404);
    const secret = token.slice(16);
    expect(kit.logged.join('\n')).not.toContain(secret);
    expect(kit.logged.some((line) => line.includes('customerFollow') && line.includes(of))).toBe(true);
    const { rows } = await kit.pool.query<{ found: boolean }>(
      `select bool_or(query_to_xml(format('select * from %I.%I', schemaname, tablename), false, false, '')::text like $1) as found
       from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`,
      [`%${secret}%`],
    );
    expect(rows).toEqual([{ found: false }]);
  });

  test('opens nothing of people: no header of theirs counts, and with a token of ours it is no token', async () => {
    const { of, token } = await opened();
    expect((await get(caseUrl(of)).set('Authorization', `Bearer ${token}`)).status).toBe(401);
    expect((await get(caseUrl(of)).set('Authorization', `Bearer a.${token}.b`)).status).toBe(401);
  });

  test('is answered with headers that keep it to its holder', async () => {
    const { token } = await opened();
    const page = await get(`/c/${token}`).expect(200);
    expect(page.headers).toMatchObject({
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-robots-tag': 'noindex, nofollow',
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    });
    expect((await get(`/v1/c/${token}`)).headers).toMatchObject({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
  });

  test('is held to so many requests a minute, and so is an address that tries many', async () => {
    const own = await startApi({ linkRatePerMinute: 3 });
    try {
      const of = await own.openCase();
      const links = await Promise.all([0, 1].map(async () => (await own.as('li').post(caseUrl(of, '/links'))).body as Made));
      const tokens = links.map((link) => link.url.split('/c/')[1]);
      const statuses = [];
      for (let i = 0; i < 4; i++) statuses.push((await request(own.app).get(`/v1/c/${tokens[0]}`)).status);
      expect(statuses).toEqual([200, 200, 200, 429]);
      expect((await request(own.app).get(`/v1/c/${tokens[1]}`)).status).toBe(200);
      const page = await request(own.app).get(`/c/${tokens[0]}`);
      expect([page.status, page.type, page.headers['retry-after']]).toEqual([429, 'text/html', expect.any(String)]);
      const guesses = [];
      for (let i = 0; i < 30; i++) guesses.push((await request(own.app).get('/v1/c/guess')).status);
      expect(guesses.filter((status) => status === 429).length).toBeGreaterThan(0);
      expect(guesses.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => 401));
    } finally {
      await own.stop();
    }
  });

  test('is the only way in: every route of the customer needs one', () => {
    const ours = Object.entries(access).filter(([id]) => id.startsWith('customer'));
    expect(ours.filter(([, rule]) => rule !== 'link').map(([id]) => id)).toEqual(['customerStyle']);
  });
});

describe('the holder of a link', () => {
  test('sees where the case stands, what they were told in their language, and what they may do', async () => {
    const { of, token, url } = await opened();
    await kit.pool.query(`update cases set stage = 'first' where id = $1`, [of]);
    await tell(of, 'm1', 'owed', { amount: { minor: 123_450, currency: 'CNY' }, until: '2026-12-01T01:00:00.000Z' });
    await tell(of, 'm2', 'look', { name: 'A-1', link: 'https://elsewhere.example' });
    await offer(of);
    await kit.openTask(of);
    const seen = await follow(token);
    expect(seen).toMatchObject({
      stages: [
        { name: 'first', title: 'first step', state: 'current' },
        { name: 'second', title: 'second step', state: 'ahead' },
        { name: 'third', title: 'third step', state: 'ahead' },
      ],
      told: [{ text: expect.stringContaining('A refund of CN¥1,234.50; please confirm by December 1, 2026') }, { text: `See to A-1 here: ${url}` }],
      tasks: [
        {
          task: 'offer',
          title: 'Choose what happens',
          words: { 'choice:': 'What shall happen', 'choice.refund': 'a refund', 'choice.again': 'try the exchange again' },
          schema: { properties: { choice: { enum: ['refund', 'again'] } } },
        },
      ],
      events: [{ event: 'courier', title: 'Sent by yourself', words: { 'trackingNo:': 'Tracking number' } }],
      upload: { left: 20, photoMegabytes: 20, videoMegabytes: 100 },
      withdrawal: 'possible',
      outcome: null,
    });
    // Neither people nor the input nor tasks of ours.
    expect(JSON.stringify(seen)).not.toMatch(/platform|canonical|decide/);
    const zh = await follow(token, '?lang=zh');
    expect(zh['told']).toMatchObject([
      { text: expect.stringContaining('退款 ¥1,234.50，请在 2026年12月1日 09:00 前确认') },
      { text: `订单 A-1 请在此处理：${url}` },
    ]);
  });

  test('answers what waits for them: once, the same again, and never what waits for us', async () => {
    const { of, token } = await opened();
    await offer(of);
    await kit.openTask(of);
    const path = `/v1/c/${token}/tasks/offer/complete`;
    const form = { choice: 'again', careful: true, note: 'gently, please' };
    expect((await post(path, { form: { choice: 'all', careful: true } }).set('Accept-Language', 'en')).body).toMatchObject({
      status: 422,
      errors: [{ path: 'form.choice' }],
    });
    await post(path, { form }).expect(200, { delivery: 'delivered' });
    await post(path, { form }).expect(200, { delivery: 'delivered' });
    expect((await post(path, { form: { ...form, choice: 'refund' } })).body).toMatchObject({ status: 409, code: 'choiceMade' });
    expect((await post(`/v1/c/${token}/tasks/decide/complete`, { form: { answer: 'yes' } })).body).toMatchObject({ status: 404, code: 'taskNotFound' });
    expect((await post(`/v1/c/${(await opened()).token}/tasks/offer/complete`, { form })).status).toBe(404);
    const task = (await kit.as('li').get(taskUrl(`${of}:offer`))).body as { task: Record<string, unknown> };
    expect(task.task).toMatchObject({
      status: 'done',
      decidedBy: expect.stringMatching(/^customer:customer-/),
      decidedRole: 'customer',
      form: { choice: 'again', careful: true },
    });
    expect(kit.temporal.signals.filter((s) => s.of === of)).toHaveLength(1);
    expect(JSON.stringify(kit.temporal.signals)).not.toContain('gently');
  });

  test('finds answered what a calling system has answered for them, and does not learn by whom', async () => {
    const { of, token } = await opened();
    const task = await offer(of);
    await kit
      .as('platform')
      .post(taskUrl(task, '/complete'), { form: { choice: 'refund', careful: false } })
      .expect(200);
    const late = await post(`/v1/c/${token}/tasks/offer/complete`, { form: { choice: 'again', careful: false } });
    expect(late.body).toMatchObject({ status: 409, code: 'choiceMade' });
    expect(late.text).not.toContain('platform');
  });

  test('tells the case what its process lets a customer say, each thing once', async () => {
    const { of, token } = await opened();
    const path = `/v1/c/${token}/events/courier`;
    const body = { eventId: 'e-1', payload: { trackingNo: 'SF-1', freight: { minor: 1200, currency: 'CNY' } } };
    expect((await post(path, body).expect(202)).body).toEqual({ became: 'taken', delivery: 'delivered' });
    await post(path, body).expect(200);
    expect((await post(path, { ...body, payload: { trackingNo: 'SF-2' } })).body).toMatchObject({ status: 409, code: 'eventConflict' });
    expect((await post(path, { eventId: 'e-2', payload: {} })).body).toMatchObject({ status: 422, errors: [{ path: 'payload.trackingNo' }] });
    for (const event of ['said', 'shut', 'rang', 'none']) {
      const refused = await post(`/v1/c/${token}/events/${event}`, { eventId: 'e-3', payload: { words: 'x', how: 'x' } });
      expect({ event, code: (refused.body as Wrong).code, status: refused.status }).toEqual({ event, code: 'unknownEvent', status: 404 });
    }
    const { rows } = await kit.pool.query<{ name: string }>(`select name from inbox where case_id = $1`, [of]);
    expect(rows).toEqual([{ name: 'courier' }]);
  });

  test('sees the rest of a case one of whose tasks asks for a form of another version', async () => {
    const { of, token } = await opened();
    await kit.openTask(of, { path: 'offer', name: 'offer', role: 'customer', formVersion: 7 });
    expect((await follow(token))['tasks']).toMatchObject([{ task: 'offer', schema: {} }]);
    expect((await get(`/c/${token}`).expect(200)).text).toContain('This cannot be answered here.');
    expect((await post(`/v1/c/${token}/tasks/offer/complete`, { form: { choice: 'refund', careful: true } })).body).toMatchObject({
      status: 409,
      code: 'formChanged',
    });
  });

  test('withdraws while that is possible; what was stored waits for an outage to end', async () => {
    const { of, token } = await opened();
    kit.temporal.away = true;
    expect((await post(`/v1/c/${token}/withdraw`, { reason: 'changedMind', note: 'sorry' }).expect(202)).body).toEqual({
      became: 'taken',
      delivery: 'pending',
    });
    expect((await follow(token))['withdrawal']).toBe('asked');
    const past = await opened();
    await kit.pool.query('update cases set no_return = true where id = $1', [past.of]);
    expect((await follow(past.token))['withdrawal']).toBe('no');
    expect((await post(`/v1/c/${past.token}/withdraw`, { reason: 'changedMind' })).body).toMatchObject({ status: 409, code: 'noReturn' });
    await kit.pool.query(
      `update cases set status = 'completed', closed_at = now(), stage = 'second', outcome = '{"result": "done", "log": []}' where id = $1`,
      [of],
    );
    const ended = await follow(token);
    expect(ended).toMatchObject({ outcome: { result: 'done', text: 'all done' }, withdrawal: 'no', events: [], tasks: [], upload: null });
    expect(ended['stages']).toEqual([
      { name: 'first', title: 'first step', state: 'done' },
      { name: 'second', title: 'second step', state: 'done' },
    ]);
    expect((await post(`/v1/c/${token}/withdraw`, { reason: 'changedMind' })).body).toMatchObject({ status: 409, code: 'caseEnded' });
  });
});

describe('the page', () => {
  const send = (path: string, body: object) => request(kit.app).post(path).type('form').send(body);
  const csrfOf = (text: string): string => /name="csrf" value="([\w-]+)"/.exec(text)?.[1] ?? '';
  const eventIdOf = (text: string): string => /name="eventId" value="([\w-]+)"/.exec(text)?.[1] ?? '';

  test('shows the case, and text of others as text', async () => {
    const { of, token, url } = await opened();
    await kit.pool.query(`update cases set order_id = '<script>alert(1)</script>' where id = $1`, [of]);
    await tell(of, 'm1', 'hello', { name: '"><img src=x onerror=alert(1)> https://pay.example/x?a=1&b=2' });
    await tell(of, 'm2', 'look', { name: 'A-1' });
    const { text } = await get(`/c/${token}`).expect(200);
    expect(text).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(text).not.toMatch(/<script|<img/);
    expect(text).toContain('<a href="https://pay.example/x?a=1&amp;b=2" rel="noreferrer">');
    // Its own address is not written out on itself.
    expect(text).toContain('See to A-1 here: this page');
    expect(text).not.toContain(`>${url}<`);
    expect(text).toContain('<html lang="en">');
    expect((await get(`/c/${token}?lang=zh`)).text).toContain('<html lang="zh-CN">');
  });

  test('takes an answer by a plain form and comes back with a word about it; a form that is not ours is refused', async () => {
    const { of, token } = await opened();
    await offer(of);
    const { text } = await get(`/c/${token}`);
    const body = { csrf: csrfOf(text), do: 'complete', of: 'offer', way: '0', 'a.choice': 'refund', 'a.careful': 'no', 'a.note': '' };
    for (const csrf of ['', 'x'.repeat(22), csrfOf((await get(`/c/${(await opened()).token}`)).text)]) {
      const forged = await send(`/c/${token}`, { ...body, csrf });
      expect([forged.status, forged.type]).toEqual([403, 'text/html']);
    }
    const wrong = await send(`/c/${token}`, { ...body, 'a.choice': 'all', 'a.note': '<b>keep</b>' });
    expect(wrong.status).toBe(422);
    expect(wrong.text).toContain('Choose one.');
    expect(wrong.text).toContain('&lt;b&gt;keep&lt;/b&gt;');
    expect(wrong.text).toMatch(/value="no"\s+checked/);
    const done = await send(`/c/${token}`, body).expect(303);
    expect(done.headers['location']).toBe(`/c/${token}?done=answered`);
    expect((await get(String(done.headers['location']))).text).toContain('We have your answer.');
    // A second click says the same; another answer is too late.
    await send(`/c/${token}`, body).expect(303);
    const late = await send(`/c/${token}`, { ...body, 'a.choice': 'again' });
    expect([late.status, late.text]).toEqual([409, expect.stringContaining('This was answered or closed before.')]);
    const { rows } = await kit.pool.query<{ form: unknown }>(`select form from tasks where id = $1`, [`${of}:offer`]);
    expect(rows).toEqual([{ form: { choice: 'refund', careful: false } }]);
  });

  test('puts each of several ways to answer as a form of its own', async () => {
    const { of, token } = await opened();
    await kit.openTask(of, { path: 'agree', name: 'agree', role: 'customer' });
    const { text } = await get(`/c/${token}`);
    expect(text).toContain('<button type="submit">I agree</button>');
    expect(text).toContain('<button type="submit">I do not agree</button>');
    const csrf = csrfOf(text);
    const wrong = await send(`/c/${token}`, { csrf, do: 'complete', of: 'agree', way: '1', 'a.why': '', 'a.times': 'often' });
    expect([wrong.status, wrong.text]).toEqual([422, expect.stringContaining('Fill in a number.')]);
    // What the schema refuses is marked too.
    const above = await send(`/c/${token}`, { csrf, do: 'complete', of: 'agree', way: '1', 'a.why': 'x', 'a.times': '12' });
    expect([above.status, above.text]).toEqual([422, expect.stringContaining('Fill in a number.')]);
    await send(`/c/${token}`, { csrf, do: 'complete', of: 'agree', way: '1', 'a.why': 'too late', 'a.times': '2' }).expect(303);
    const { rows } = await kit.pool.query<{ form: unknown }>(`select form from tasks where id = $1`, [`${of}:agree`]);
    expect(rows).toEqual([{ form: { decision: 'decline', why: 'too late', times: 2 } }]);
  });

  test('takes amounts as people write them, to the minor unit; the same form twice is one event', async () => {
    const { of, token } = await opened();
    await kit.pool.query(`update cases set stage = 'first' where id = $1`, [of]);
    await tell(of, 'm1', 'owed', { amount: { minor: 100, currency: 'USD' }, until: '2026-12-01T01:00:00.000Z' });
    const { text } = await get(`/c/${token}`);
    // The currency that the customer was told amounts in comes first.
    expect(text).toMatch(/value="USD"\s+selected/);
    const body = {
      csrf: csrfOf(text),
      do: 'event',
      of: 'courier',
      way: '0',
      eventId: eventIdOf(text),
      'a.trackingNo': ' SF 9 ',
      'a.freight': '1,012.5',
      'a.freight.currency': 'CNY',
    };
    for (const freight of ['12.345', 'ten', '-1']) expect((await send(`/c/${token}`, { ...body, 'a.freight': freight })).status).toBe(422);
    expect((await send(`/c/${token}`, { ...body, 'a.trackingNo': '' })).text).toContain('Fill it in, with 100 characters at most.');
    await send(`/c/${token}`, body).expect(303);
    await send(`/c/${token}`, body).expect(303);
    const { rows } = await kit.pool.query<{ body: unknown }>(`select body from inbox where case_id = $1`, [of]);
    expect(rows).toEqual([{ body: { trackingNo: 'SF 9', freight: { minor: 101_250, currency: 'CNY' } } }]);
  });

  test('withdraws in two steps', async () => {
    const { of, token } = await opened();
    const first = await get(`/c/${token}`);
    expect(first.text).not.toContain('value="withdraw"');
    const { text } = await get(`/c/${token}?step=withdraw`);
    expect(text).toContain('Yes, withdraw it');
    expect((await send(`/c/${token}`, { csrf: csrfOf(text), do: 'withdraw' })).status).toBe(422);
    await send(`/c/${token}`, { csrf: csrfOf(text), do: 'withdraw', 'a.reason': 'changedMind' }).expect(303);
    expect((await get(`/c/${token}`)).text).toContain('You asked to withdraw it');
    const { rows } = await kit.pool.query<{ data: unknown }>(`select data from timeline where case_id = $1 and kind = 'withdrawAsked'`, [of]);
    expect(rows).toEqual([{ data: { by: expect.stringMatching(/^customer:/), reason: 'changedMind' } }]);
  });

  test('is small: with everything on it and its style, less than a photo', async () => {
    const { of, token } = await opened();
    await kit.pool.query(`update cases set stage = 'first' where id = $1`, [of]);
    await offer(of);
    for (let i = 0; i < 10; i++) await tell(of, `m${i}`, 'owed', { amount: { minor: 100, currency: 'CNY' }, until: '2026-12-01T01:00:00.000Z' });
    const [shown, css] = [await get(`/c/${token}`), await get('/c/page.css')];
    expect(shown.text.length + css.text.length).toBeLessThan(25_000);
  });

  test('stays in the language that was chosen', async () => {
    const { token } = await opened();
    const { text } = await get(`/c/${token}?lang=zh`);
    expect(text).toContain(`action="/c/${token}/evidence?lang=zh"`);
    const { text: step } = await get(`/c/${token}?lang=zh&step=withdraw`);
    const done = await send(`/c/${token}?lang=zh`, { csrf: csrfOf(step), do: 'withdraw', 'a.reason': 'otherReason' }).expect(303);
    expect(done.headers['location']).toBe(`/c/${token}?lang=zh&done=withdrawn`);
  });

  test('takes forms and nothing else, none larger than a hand writes', async () => {
    const { token } = await opened();
    expect((await post(`/c/${token}`, { do: 'withdraw' })).status).toBe(415);
    const large = await send(`/c/${token}`, { do: 'withdraw', 'a.note': 'x'.repeat(1_100_000) });
    expect([large.status, large.type]).toEqual([413, 'text/html']);
    const { text, headers } = await get('/c/page.css').expect(200);
    expect([headers['content-type'], headers['cache-control']]).toEqual([expect.stringContaining('text/css'), expect.stringContaining('immutable')]);
    expect(text).not.toMatch(/https?:\/\//);
  });
});

test('the address of a link below a proxy’s path keeps that path', () => {
  const of = { id: 'A'.repeat(16), caseId: 'x' as CaseId, expiresAt: instant(0) };
  expect(linkUrl({ keys: kit.deps.links.keys, publicUrl: 'https://shop.example.cn/kefu/' }, of)).toMatch(/^https:\/\/shop\.example\.cn\/kefu\/c\/A{16}/);
});
