/** Uploads over HTTP, by customers, people and calling systems: what is taken, what is refused, what is left behind. */
import { randomBytes } from 'node:crypto';
import { connect, type AddressInfo } from 'node:net';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { removeUnfinished } from '../../api/uploads.ts';
import type { EvidenceStore } from '../../evidence/store.ts';
import type { CaseId } from '../../values/ids.ts';
import { until } from '../stack/until.ts';
import { jpeg, mp4, png } from '../unit/files.ts';
import { caseUrl, startApi, type ApiKit } from './api-harness.ts';

/** A store that counts what it holds, and can fail. */
class Shelf implements EvidenceStore {
  readonly held = new Map<string, Buffer>();
  away = false;
  async put(key: string, bytes: AsyncIterable<Buffer>): Promise<void> {
    const whole = await buffer(Readable.from(bytes));
    if (this.away) throw new Error('the store is away');
    this.held.set(key, whole);
  }
  get(key: string): Promise<Readable> {
    const bytes = this.held.get(key);
    return bytes ? Promise.resolve(Readable.from([bytes])) : Promise.reject(new Error('not there'));
  }
  remove(key: string): Promise<void> {
    this.held.delete(key);
    return Promise.resolve();
  }
}

let kit: ApiKit;
const shelf = new Shelf();
beforeAll(async () => {
  kit = await startApi({ evidence: shelf });
  await kit.token('far', 'agent');
  await kit.pool.query(`update people set shops = '{elsewhere}' where id = 'far'`);
});
afterAll(() => kit.stop());

interface Answer {
  readonly code?: string;
  readonly evidence: { readonly id: string; readonly kind: string; readonly type: string; readonly bytes: number; readonly by: string }[];
  readonly told?: { readonly became: string };
}
const opened = async (): Promise<{ of: CaseId; token: string }> => {
  const of = await kit.openCase();
  const made = await kit.as('li').post(caseUrl(of, '/links'), { language: 'en' });
  return { of, token: (made.body as { url: string }).url.split('/c/')[1] ?? '' };
};
const upload = (path: string, ...files: readonly (readonly [Buffer, string])[]) =>
  files.reduce((call, [bytes, name]) => call.attach('file', bytes, name), request(kit.app).post(path).set('Accept-Language', 'en'));
const byCustomer = (token: string, ...files: readonly Buffer[]) => upload(`/v1/c/${token}/evidence`, ...files.map((bytes) => [bytes, 'x.jpg'] as const));
const look = (person: string, id: string) => kit.as(person).post(`/v1/evidence/${id}/look`, { why: 'task' });
const answerOf = (response: { readonly body: unknown }): Answer => response.body as Answer;
const events = async (of: CaseId) =>
  (await kit.pool.query<{ body: { files: string[] } }>(`select body from inbox where case_id = $1 order by id`, [of])).rows.map((r) => r.body.files);
const places = async (of: CaseId) => (await kit.pool.query<{ n: number }>('select count(*)::int as n from evidence where case_id = $1', [of])).rows[0]?.n;

describe('an upload', () => {
  test('by the customer is kept sealed, told to the case as one event, and can be read by who may', async () => {
    const { of, token } = await opened();
    const [photo, video] = [jpeg(50_000), mp4(300_000)];
    const answer = answerOf(await byCustomer(token, photo, video).expect(201));
    expect(answer.evidence).toMatchObject([
      { kind: 'photo', type: 'image/jpeg', bytes: 50_000, yours: true },
      { kind: 'video', type: 'video/mp4', bytes: 300_000, yours: true },
    ]);
    expect(answer.told).toEqual({ became: 'taken', delivery: 'delivered' });
    const [first = '', second = ''] = answer.evidence.map((e) => e.id);
    expect(await events(of)).toEqual([[first, second]]);
    for (const bytes of shelf.held.values()) expect(bytes.includes(photo.subarray(100, 140))).toBe(false);

    const own = await request(kit.app).get(`/c/${token}/evidence/${first}`).expect(200);
    expect((own.body as Buffer).equals(photo)).toBe(true);
    const seen = await look('li', second).responseType('blob').expect(200);
    expect((seen.body as Buffer).equals(video)).toBe(true);
    expect(seen.headers).toMatchObject({
      'content-type': 'video/mp4',
      'content-length': '300000',
      'content-disposition': `attachment; filename="video-${second}.mp4"`,
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; sandbox",
      'cache-control': 'no-store',
    });
    expect(kit.logged.some((line) => line.includes('"audit":"looked"') && line.includes(second) && line.includes('"li"'))).toBe(true);
    expect((await kit.as('li').get(caseUrl(of, '/evidence')).expect(200)).body).toMatchObject({
      items: [{ id: first, by: expect.stringMatching(/^customer:customer-/) }, { id: second }],
    });
    // Nobody else's: another case's customer, a shop that is not theirs, people whose work it is not.
    expect((await request(kit.app).get(`/c/${(await opened()).token}/evidence/${first}`)).status).toBe(404);
    expect((await look('far', first)).status).toBe(404);
    await kit.token('mei', 'warehouse');
    expect((await look('mei', first)).body).toMatchObject({ status: 403, code: 'lookNotAllowed' });
    expect((await look('platform', first)).body).toMatchObject({ status: 403, code: 'forbidden' });
  });

  test('by a calling system is the same, in its name', async () => {
    const { of, token: customer } = await opened();
    const token = await kit.token('platform', 'upstream');
    const call = () => request(kit.app).post(caseUrl(of, '/evidence')).set('Authorization', `Bearer ${token}`).attach('file', png, 'a.png');
    const answer = answerOf(await call().expect(201));
    expect(answer.evidence).toMatchObject([{ by: 'platform', kind: 'photo' }]);
    // The customer sees that it is there, and not from whom.
    const seen = await request(kit.app).get(`/v1/c/${customer}`);
    expect(seen.body).toMatchObject({ evidence: [{ id: answer.evidence[0]?.id, yours: false }] });
    expect(seen.text).not.toContain('platform');
    // Sent again, because the answer was lost: the same evidence, and nothing is told twice.
    const again = answerOf(await call().expect(200));
    expect(again.evidence).toEqual(answer.evidence);
    expect(await events(of)).toHaveLength(1);
    expect(await places(of)).toBe(1);
    expect((await request(kit.app).post(caseUrl(of, '/evidence')).attach('file', png, 'a.png')).status).toBe(401);
  });

  test('of the same bytes twice at once, or in one form, is one piece of evidence', async () => {
    const { of, token } = await opened();
    const bytes = jpeg(30_000);
    const before = shelf.held.size;
    const answers = await Promise.all([byCustomer(token, bytes, bytes), byCustomer(token, bytes), byCustomer(token, bytes)]);
    expect(answers.map((a) => a.status).toSorted((a, b) => a - b)).toEqual([200, 200, 201]);
    expect(new Set(answers.flatMap((a) => answerOf(a).evidence.map((e) => e.id))).size).toBe(1);
    expect(await places(of)).toBe(1);
    expect(shelf.held.size).toBe(before + 1);
    expect(await events(of)).toHaveLength(1);
  });

  test('is taken whole or not at all, and what is refused leaves nothing', async () => {
    const { of, token } = await opened();
    const before = shelf.held.size;
    const page = Buffer.from('<!doctype html><script>alert(1)</script>');
    const refusals = [
      [await byCustomer(token, jpeg(1000), page), 415, 'fileType'],
      [await byCustomer(token, jpeg(1000), jpeg(20_000_001)), 413, 'fileTooLarge'],
      [await byCustomer(token, jpeg(1000), Buffer.alloc(0)), 422, 'noFile'],
      [await request(kit.app).post(`/v1/c/${token}/evidence`).field('other', 'x'), 422, 'noFile'],
      [await request(kit.app).post(`/v1/c/${token}/evidence`).send({ file: 'x' }), 415, 'notMultipart'],
      [await request(kit.app).post(`/v1/c/${token}/evidence`).set('content-type', 'multipart/form-data').send('x'), 415, 'notMultipart'],
      [await request(kit.app).post(`/v1/c/${token}/evidence`).set('content-type', 'multipart/form-data; boundary=b').send('--b\r\nno'), 400, 'malformed'],
    ] as const;
    for (const [answer, status, code] of refusals) expect({ status: answer.status, code: answerOf(answer).code }).toEqual({ status, code });
    expect(await places(of)).toBe(0);
    expect(shelf.held.size).toBe(before);
    expect(await events(of)).toEqual([]);
  });

  test('never makes more of a case than the policy lets it have, however many come at once', async () => {
    const { of, token } = await opened();
    for (let i = 0; i < 3; i++) await byCustomer(token, ...Array.from({ length: 5 }, () => jpeg(500))).expect(201);
    const rest = await Promise.all(Array.from({ length: 8 }, () => byCustomer(token, jpeg(500))));
    const statuses = rest.map((answer) => answer.status).toSorted((a, b) => a - b);
    expect(statuses).toEqual([201, 201, 201, 201, 201, 429, 429, 429]);
    expect(rest.filter((a) => a.status === 429).map((a) => answerOf(a).code)).toEqual(['evidenceFull', 'evidenceFull', 'evidenceFull']);
    expect(await places(of)).toBe(20);
    expect((await request(kit.app).get(`/v1/c/${token}`)).body).toMatchObject({ upload: null });
  });

  test('whose sender goes away half-way, or whose store fails, leaves nothing; one that a crash left is swept', async () => {
    const { of, token } = await opened();
    const before = shelf.held.size;
    const server = createServer(kit.app);
    await new Promise<void>((done) => {
      server.listen(0, '127.0.0.1', done);
    });
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    socket.write(
      `POST /v1/c/${token}/evidence HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n`,
    );
    socket.write(jpeg(100_000));
    await until('a place is taken', async () => (await places(of)) === 1);
    socket.destroy();
    await until('it was given back', async () => (await places(of)) === 0);
    await new Promise<void>((done) => {
      server.close(() => done());
    });
    shelf.away = true;
    expect((await byCustomer(token, jpeg(1000))).status).toBe(500);
    shelf.away = false;
    expect(await places(of)).toBe(0);

    await kit.pool.query(
      `insert into evidence (id, case_id, owner, sealed_key, store_key, by, at) values ('left', $1, null, '', 'le/left', 'x', now() - interval '1 hour'),
       ('coming', $1, null, '', 'co/coming', 'x', now())`,
      [of],
    );
    shelf.held.set('le/left', randomBytes(10));
    expect(await removeUnfinished(kit.deps, 1_200_000)).toBe(1);
    const { rows } = await kit.pool.query<{ id: string }>('select id from evidence where case_id = $1', [of]);
    expect(rows).toEqual([{ id: 'coming' }]);
    expect(shelf.held.size).toBe(before);
  });

  test('of an erased customer opens no more, wherever a copy of it lies', async () => {
    const { token, of } = await opened();
    const [{ id } = { id: '' }] = answerOf(await byCustomer(token, jpeg(1000))).evidence;
    await look('li', id).expect(200);
    await kit.pool.query('delete from customer_keys where customer = (select owner from evidence where id = $1)', [id]);
    expect((await look('li', id)).body).toMatchObject({ status: 410, code: 'evidenceErased' });
    // A key that the same customer gets later opens nothing of before.
    await byCustomer(token, jpeg(1001)).expect(201);
    expect((await look('li', id)).status).toBe(410);
    expect(await places(of)).toBe(2);
  });

  test('into a case that has ended is kept as a note; a process that hears of no evidence keeps it all the same', async () => {
    const { of, token } = await opened();
    await kit.pool.query(`update cases set status = 'completed', closed_at = now() where id = $1`, [of]);
    expect(answerOf(await byCustomer(token, jpeg(700)).expect(201)).told).toEqual({ became: 'note' });
    const errand = await kit.as('platform').post('/v1/processes/errand/cases', { input: { shop: 'main', of: of, eventId: 'e' } });
    const id = (errand.body as { case: { id: CaseId } }).case.id;
    const token2 = await kit.token('li', 'agent');
    const kept = answerOf(await request(kit.app).post(caseUrl(id, '/evidence')).set('Authorization', `Bearer ${token2}`).attach('file', png, 'a').expect(201));
    expect(kept.told).toBeUndefined();
    expect(await events(id)).toEqual([]);
  });
});

describe('the page’s upload', () => {
  const csrfOf = async (token: string) => /name="csrf" value="([\w-]+)"/.exec((await request(kit.app).get(`/c/${token}`)).text)?.[1] ?? '';
  const form = (token: string, csrf: string) => request(kit.app).post(`/c/${token}/evidence`).field('csrf', csrf);

  test('comes back to the page with a word about it, and says in words what was refused', async () => {
    const { of, token } = await opened();
    const csrf = await csrfOf(token);
    const bytes = jpeg(2000);
    const done = await form(token, csrf).attach('file', bytes, 'a.jpg').expect(303);
    expect(done.headers['location']).toBe(`/c/${token}?done=uploaded`);
    expect((await form(token, csrf).attach('file', bytes, 'a.jpg').expect(303)).headers['location']).toBe(`/c/${token}?done=repeated`);
    const wrong = await form(token, csrf).attach('file', Buffer.from('<html>'), 'a.jpg');
    expect([wrong.status, wrong.type]).toEqual([415, 'text/html']);
    expect(wrong.text).toContain('Only photos and videos can be uploaded.');
    expect((await form(token, csrf)).text).toContain('Choose at least one file');
    // A browser sends an input that nobody used as a part without a name.
    expect((await form(token, csrf).attach('file', Buffer.alloc(0), { filename: '' })).status).toBe(422);
    expect((await form(token, 'x').attach('file', jpeg(3000), 'b.jpg')).status).toBe(403);
    expect((await request(kit.app).post(`/c/${token}/evidence`).attach('file', jpeg(3000), 'b.jpg')).status).toBe(403);
    expect(await places(of)).toBe(1);
    // Loading the address of a refused upload again leads back to the page.
    expect((await request(kit.app).get(`/c/${token}/evidence`).expect(303)).headers['location']).toBe(`/c/${token}`);
  });
});
