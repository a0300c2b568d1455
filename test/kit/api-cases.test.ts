import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { CaseId } from '../../values/ids.ts';
import { correlate } from '../../db/inbox.ts';
import { inTransaction } from '../../db/pool.ts';
import { caseUrl, startApi, taskUrl, type ApiKit } from './api-harness.ts';

let kit: ApiKit;
beforeAll(async () => {
  kit = await startApi();
});
afterAll(() => kit.stop());

const input = (more: object = {}) => ({ id: randomUUID(), shop: 'main', script: 'canonical', ...more });
const start = (of: object) => kit.as('platform').post('/v1/processes/tiny/cases', { input: of });
const end = (id: CaseId, status = 'completed') => kit.pool.query('update cases set status = $2, closed_at = now() where id = $1', [id, status]);

describe('opening a case', () => {
  test('answers 201 with the case, started, and says where it is', async () => {
    const of = input({ id: 'A/1 .ü', note: 'please call 138 0000 0000' });
    const answer = await start(of);
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({
      case: { id: 'tiny.A%2F1%20%2E%C3%BC', status: 'open', shop: 'main', order: 'order-A/1 .ü', starter: 'platform' },
      delivery: 'delivered',
    });
    expect(kit.temporal.started).toContain('tiny.A%2F1%20%2E%C3%BC');
    const again = await kit.as('platform').get(String(answer.headers['location']));
    expect(again.body).toMatchObject({ id: 'tiny.A%2F1%20%2E%C3%BC', tasks: [], clocks: [] });
  });

  test('the same input again is 200 with the same case, started once; the words count as input', async () => {
    const of = input({ note: 'one' });
    const first = await start(of);
    const started = kit.temporal.started.length;
    const again = await start(of);
    expect(again.status).toBe(200);
    expect(again.body).toEqual(first.body);
    expect(kit.temporal.started).toHaveLength(started);
    expect((await start({ ...of, note: 'two' })).status).toBe(409);
  });

  test('the same key with another input is 409 and names the differences', async () => {
    const of = input({ items: ['a', 'b'] });
    await start(of);
    const answer = await start({ ...of, script: 'other', items: ['a', 'c'] });
    expect(answer.status).toBe(409);
    expect(answer.body).toMatchObject({
      type: '/problems/caseConflict',
      differences: expect.arrayContaining([
        { path: 'script', was: 'canonical', now: 'other' },
        { path: 'items.1', was: 'b', now: 'c' },
      ]),
    });
  });

  test('words are sealed: no row holds them but the one that a key protects, and the desk can look at them, which is written down', async () => {
    const secret = `secret-${randomUUID()}`;
    const { body } = (await start(input({ note: secret }))) as { body: { case: { id: CaseId; input: object } } };
    expect(JSON.stringify(body)).not.toContain(secret);
    const { rows } = await kit.pool.query<{ text: string }>('select to_jsonb(c)::text as text from cases c where id = $1', [body.case.id]);
    expect(rows[0]?.text).not.toContain(secret);
    const said = { path: 'input', by: 'platform', at: expect.any(String) };
    const listed = await kit.as('li').get(caseUrl(body.case.id, '/notes'));
    expect(listed.body).toEqual({ items: [{ ...said, words: { note: `[text, ${secret.length} characters]` } }], erasedAt: null });
    const read = await kit.as('li').post(caseUrl(body.case.id, '/look'), { why: 'enquiry' });
    expect(read.body).toEqual({ words: [{ ...said, words: { note: secret } }], evidence: [], erasedAt: null });
    expect(kit.logged.some((line) => line.includes('"audit":"looked"') && line.includes('"person":"li"'))).toBe(true);
    expect((await kit.as('platform').get(caseUrl(body.case.id, '/notes'))).status).toBe(403);
  });

  test('while Temporal is away, the case is taken and its delivery is pending', async () => {
    kit.temporal.away = true;
    try {
      const answer = await start(input());
      expect(answer.status).toBe(201);
      expect(answer.body).toMatchObject({ delivery: 'pending', case: { startedAt: null } });
    } finally {
      kit.temporal.away = false;
    }
  });

  test('a shop that the caller does not serve is refused', async () => {
    expect((await start(input({ shop: 'other' }))).body).toMatchObject({ status: 403, code: 'otherShop' });
  });
});

describe('lists', () => {
  test('cases come newest first in pages that end, filtered', async () => {
    const ids: CaseId[] = [];
    for (let i = 0; i < 5; i++) ids.push(await kit.openCase({ id: `page-${i}` }));
    const seen: string[] = [];
    let url = '/v1/cases?process=tiny&limit=2';
    for (;;) {
      const { body } = (await kit.as('li').get(url)) as { body: { items: { id: string }[]; next?: string } };
      seen.push(...body.items.map((item) => item.id));
      if (body.next === undefined) break;
      url = `/v1/cases?process=tiny&limit=2&cursor=${body.next}`;
    }
    expect(seen.slice(0, 5)).toEqual(ids.toReversed());
    expect(new Set(seen).size).toBe(seen.length);
    const one = await kit.as('li').get('/v1/cases?order=order-page-3');
    expect(one.body).toMatchObject({ items: [{ id: 'tiny.page-3' }] });
    expect((await kit.as('li').get('/v1/cases?breached=true')).body).toEqual({ items: [] });
  });

  test('a cursor that is none, or a parameter that does not exist, is 422 and named', async () => {
    expect((await kit.as('li').get('/v1/cases?cursor=x&colour=red')).body).toMatchObject({
      status: 422,
      errors: [{ path: 'query.cursor' }, { path: 'query.colour' }],
    });
  });

  test('the timeline tells what a case did, in pages', async () => {
    const id = await kit.openCase();
    await kit.as('li').post(caseUrl(id, '/notes'), { words: 'called back' });
    const first = await kit.as('li').get(caseUrl(id, '/timeline?limit=1'));
    expect(first.body).toMatchObject({ items: [{ kind: 'opened', data: { by: 'platform' } }], next: expect.any(String) });
    const { next } = first.body as { next: string };
    expect((await kit.as('li').get(caseUrl(id, `/timeline?limit=1&cursor=${next}`))).body).toMatchObject({ items: [{ kind: 'note', data: { by: 'li' } }] });
  });
});

describe('withdrawing', () => {
  test('is stored and delivered, once', async () => {
    const id = await kit.openCase();
    const answer = await kit.as('platform').post(caseUrl(id, '/withdraw'), { reason: 'changedMind', note: 'she called' });
    expect(answer.status).toBe(202);
    expect(answer.body).toEqual({ became: 'taken', delivery: 'delivered' });
    await kit.as('platform').post(caseUrl(id, '/withdraw'), { reason: 'other' });
    expect(kit.temporal.signals.filter((s) => s.of === id)).toEqual([
      { of: id, batch: [expect.objectContaining({ kind: 'withdraw', reason: 'changedMind' })] },
    ]);
  });

  test('is refused once the case is past no return, or has ended; 200 once it is withdrawn (EF5)', async () => {
    const id = await kit.openCase();
    await kit.pool.query('update cases set no_return = true where id = $1', [id]);
    expect((await kit.as('platform').post(caseUrl(id, '/withdraw'), { reason: 'x' })).body).toMatchObject({ status: 409, code: 'noReturn' });
    await end(id);
    expect((await kit.as('platform').post(caseUrl(id, '/withdraw'), { reason: 'x' })).body).toMatchObject({ status: 409, code: 'caseEnded' });
    await end(id, 'withdrawn');
    expect((await kit.as('platform').post(caseUrl(id, '/withdraw'), { reason: 'x' })).status).toBe(200);
  });
});

describe('events by case id', () => {
  const said = (id: CaseId, eventId: string, words: string) => kit.as('platform').post(caseUrl(id, '/events/said'), { eventId, payload: { words } });

  test('IN1: are stored and delivered once; the same id with the same payload is 200, with another 409', async () => {
    const id = await kit.openCase();
    expect((await said(id, 'e1', 'hello')).body).toEqual({ became: 'taken', delivery: 'delivered' });
    expect((await said(id, 'e1', 'hello')).status).toBe(200);
    expect((await said(id, 'e1', 'other')).body).toMatchObject({ status: 409, code: 'eventConflict' });
    expect(kit.temporal.signals.filter((s) => s.of === id).flatMap((s) => s.batch)).toHaveLength(1);
  });

  test('of an unknown case or event, or one that only a system may report, are 404 (IN6)', async () => {
    const id = await kit.openCase();
    expect((await said('tiny.nobody' as CaseId, 'e1', 'x')).body).toMatchObject({ status: 404, code: 'caseNotFound' });
    for (const event of ['never', 'rang'])
      expect((await kit.as('platform').post(caseUrl(id, `/events/${event}`), { eventId: 'e', payload: {} })).body).toMatchObject({
        status: 404,
        code: 'unknownEvent',
        detail: '"tiny" takes no event "' + event + '" here; it takes: said, shown, courier, shut.',
      });
  });

  test('whose payload does not fit are 422 with the field', async () => {
    const id = await kit.openCase();
    const answer = await kit.as('platform').post(caseUrl(id, '/events/said'), { eventId: 'e', payload: { words: 7 } });
    expect(answer.body).toMatchObject({ status: 422, errors: [{ path: 'payload.words' }] });
  });

  test('beyond the limit of a case are 429', async () => {
    const id = await kit.openCase();
    await kit.pool.query(
      `insert into inbox (source, event_id, body_hash, kind, name, case_id, body, at) select 'fill', $1 || n, '', 'event', 'said', $1, '{}', now() from generate_series(1, 150) n`,
      [id],
    );
    expect((await said(id, 'one-more', 'x')).body).toMatchObject({ status: 429, code: 'inboxFull' });
  });

  test('IN5: that come after the end become what the declaration says', async () => {
    const id = await kit.openCase();
    await end(id);
    const noted = await kit.as('platform').post(caseUrl(id, '/events/shut'), { eventId: 'late-1', payload: { how: 'x' } });
    expect(noted.body).toEqual({ became: 'note' });
    const started = await said(id, 'late-2', 'x');
    expect(started.body).toEqual({ became: expect.stringMatching(/^start:errand\./) });
    expect(kit.temporal.started).toContain((started.body as { became: string }).became.slice('start:'.length));
    expect(kit.temporal.signals.filter((s) => s.of === id)).toEqual([]);
  });
});

describe('webhooks', () => {
  const rang = (bell: string, times = 1) => ({ type: 'rang', timestamp: new Date().toISOString(), data: { bell, times } });

  test('IN2: wait for the case that expects them, and reach it', async () => {
    const id = await kit.openCase();
    const bell = randomUUID();
    expect((await kit.webhook('bench', rang(bell))).body).toEqual({ became: 'waits' });
    await inTransaction(kit.pool, (tx) => correlate(tx, 'bench.rang', bell, id, 'rang'));
    expect((await kit.webhook('bench', rang(bell, 2))).body).toEqual({ became: 'taken', delivery: 'delivered' });
    expect(kit.temporal.signals.filter((s) => s.of === id)).toEqual([
      {
        of: id,
        batch: [
          expect.objectContaining({ name: 'rang', payload: { bell, times: 1 }, correlated: true }),
          expect.objectContaining({ payload: { bell, times: 2 } }),
        ],
      },
    ]);
  });

  test('the same id again is 200, and 409 with another body', async () => {
    const body = rang(randomUUID());
    const headers = { 'webhook-id': randomUUID() };
    expect((await kit.webhook('bench', body, headers)).status).toBe(202);
    expect((await kit.webhook('bench', body, headers)).status).toBe(200);
    expect((await kit.webhook('bench', rang('other'), headers)).body).toMatchObject({ status: 409, code: 'eventConflict' });
  });

  test('IN3: states in any order leave the newest', async () => {
    const trackingNo = randomUUID();
    const scan = (state: string, at: string) => kit.webhook('logistics', { type: 'tracking', timestamp: at, data: { trackingNo, state, at } });
    for (const [state, at] of [
      ['inTransit', '2026-11-02T00:00:00.000Z'],
      ['delivered', '2026-11-03T00:00:00.000Z'],
      ['outForDelivery', '2026-11-03T00:00:00.000Z'],
      ['pickedUp', '2026-11-01T00:00:00.000Z'],
    ] as const)
      expect((await scan(state, at)).status).toBe(202);
    expect((await kit.pool.query(`select state from outside_states where key = $1`, [trackingNo])).rows).toEqual([{ state: 'delivered' }]);
  });

  test('an unknown source or event is 404, a payload that does not fit 422 (IN6)', async () => {
    expect((await kit.webhook('nobody', rang('x'))).body).toMatchObject({ status: 404, code: 'unknownSource' });
    expect((await kit.webhook('bench', { ...rang('x'), type: 'never' })).body).toMatchObject({ status: 404, code: 'unknownEvent' });
    expect((await kit.webhook('bench', { ...rang('x'), data: { bell: 1 } })).body).toMatchObject({
      status: 422,
      errors: [{ path: 'data.bell' }, { path: 'data.times' }],
    });
  });
});

describe('a redo', () => {
  test('is asked for by path, and its task is there', async () => {
    const id = await kit.openCase();
    await kit.pool.query(
      `insert into effects (case_id, path, system, operation, args_hash, args, status, ok, answer) values ($1, 'line-2/refund', 'finance', 'refund', 'x', '{}', 'done', true, '{}')`,
      [id],
    );
    const asked = await kit.as('wang').post(caseUrl(id, '/effects/line-2%2Frefund/redo'));
    expect(asked.status).toBe(201);
    expect(asked.body).toMatchObject({ name: 'redo', role: 'manager', title: { zh: '审批重做' } });
    expect((await kit.as('chen').get(String(asked.headers['location']))).body).toMatchObject({ task: { name: 'redo' }, schema: { type: 'object' } });
    expect((await kit.as('wang').post(caseUrl(id, '/effects/never/redo'))).body).toMatchObject({ status: 404, code: 'effectNotFound' });
    expect((await kit.as('wang').post(taskUrl(`${id}:line-2/refund#2!redo`, '/complete'), { form: { decision: 'approve' } })).status).toBe(403);
  });
});
