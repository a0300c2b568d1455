/** A customer's data over HTTP: masked until somebody looks, every look a row, all of it told and erased when they ask. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import request from 'supertest';
import { removeErased } from '../../api/uploads.ts';
import { eraseCustomer } from '../../db/erasures.ts';
import { connectPool, inTransaction } from '../../db/pool.ts';
import { ownerOf, seal } from '../../db/sealed.ts';
import type { EvidenceStore } from '../../evidence/store.ts';
import type { CaseRow } from '../../db/cases.ts';
import { folderStore } from '../../evidence/folder.ts';
import type { CaseId, PersonId } from '../../values/ids.ts';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../stack/until.ts';
import { jpeg } from '../unit/files.ts';
import { caseUrl, startApi, taskUrl, type ApiKit } from './api-harness.ts';

let kit: ApiKit;
const folder = mkdtempSync(join(tmpdir(), 'kefu-privacy-'));
/** A folder that can be away. */
let away = false;
const store: EvidenceStore = {
  ...folderStore(folder),
  remove: (key) => (away ? Promise.reject(new Error('the store is away')) : folderStore(folder).remove(key)),
};
const files = (): string[] => readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [entry.name] : []));

beforeAll(async () => {
  kit = await startApi({ evidence: store });
  await kit.token('mei', 'quality');
  await kit.token('far', 'agent', 'manager');
  await kit.pool.query(`update people set shops = '{elsewhere}' where id = 'far'`);
});
afterAll(async () => {
  await kit.stop();
  rmSync(folder, { recursive: true });
});

const secret = 'Zhang Wei, 13812341234, 8 Long Road';
interface Opened {
  readonly of: CaseId;
  readonly customer: string;
  readonly token: string;
  readonly file: string;
  readonly bytes: Buffer;
}
/** A case with words of the customer and of ours, a photo and a link. */
async function opened(id: string = randomUUID(), more: object = {}): Promise<Opened> {
  const of = await kit.openCase({ id, note: secret, ...more });
  await kit
    .as('li')
    .post(caseUrl(of, '/notes'), { words: `called ${secret}` })
    .expect(201);
  const made = await kit.as('li').post(caseUrl(of, '/links'), { language: 'en' }).expect(201);
  const token = (made.body as { url: string }).url.split('/c/')[1] ?? '';
  const bytes = jpeg(3000);
  const uploaded = await request(kit.app).post(`/v1/c/${token}/evidence`).attach('file', bytes, `${secret}.jpg`).expect(201);
  const [{ id: file } = { id: '' }] = (uploaded.body as { evidence: { id: string }[] }).evidence;
  return { of, customer: `customer-${id}`, token, file, bytes };
}
const ended = (of: CaseId) => kit.pool.query(`update cases set status = 'completed', closed_at = now(), outcome = '{"result": "done"}' where id = $1`, [of]);
const customerUrl = (customer: string, rest: string): string => `/v1/customers/${encodeURIComponent(customer)}/${rest}`;
const erase = (customer: string, by = 'chen') => kit.as(by).post(customerUrl(customer, 'erase'), { reason: 'customerAsked' });
interface Listed {
  readonly items: {
    readonly id: number;
    readonly person: string;
    readonly case: string;
    readonly what: string;
    readonly why: string;
    readonly evidence: string | null;
  }[];
  readonly next?: string;
}
const looks = async (query: string): Promise<Listed['items']> => ((await kit.as('chen').get(`/v1/looks?${query}`).expect(200)).body as Listed).items;

describe('what a customer wrote and sent', () => {
  test('is masked in everything that is read without a look', async () => {
    const { of, token } = await opened();
    const task = await kit.openTask(of, { path: randomUUID() });
    await kit
      .as('li')
      .post(taskUrl(task, '/complete'), { form: { answer: 'yes', note: secret } })
      .expect(200);
    const urls = [
      caseUrl(of),
      caseUrl(of, '/timeline'),
      caseUrl(of, '/notes'),
      caseUrl(of, '/evidence'),
      taskUrl(task),
      `/v1/tasks?case=${of}`,
      '/v1/cases?limit=5',
    ];
    for (const url of urls) {
      const answer = await kit.as('li').get(url).expect(200);
      expect({ url, shown: answer.text.includes('Zhang') || answer.text.includes('13812341234') }).toEqual({ url, shown: false });
    }
    const items = [
      { path: 'input', words: { note: `[text, ${secret.length} characters]` } },
      { words: { words: `[text, ${secret.length + 7} characters]` } },
      { words: { note: `[text, ${secret.length} characters]` } },
    ];
    expect((await kit.as('li').get(caseUrl(of, '/notes'))).body).toMatchObject({ items });
    expect((await kit.as('li').get(caseUrl(of, '/notes')).set('Accept-Language', 'zh-CN')).text).toContain(`［文字，${secret.length} 字］`);
    // Their own words are the customer's to see; ours about them are not.
    const own = (await request(kit.app).get(`/v1/c/${token}`).expect(200)).body as { said: { text: string }[] };
    expect(own.said.map(({ text }) => text)).toEqual([secret]);
    expect((await request(kit.app).get(`/c/${token}`)).text).toContain(secret);
  });

  test('is seen by the desk and by who is at work on the case, each look a row that says who, what, when and why', async () => {
    const { of, customer, file, bytes } = await opened();
    const look = (by: string, why = 'enquiry') => kit.as(by).post(caseUrl(of, '/look'), { why });
    expect((await look('li').expect(200)).body).toMatchObject({
      words: [{ path: 'input', words: { note: secret } }, { words: { words: `called ${secret}` } }],
      evidence: [{ id: file, kind: 'photo' }],
      erasedAt: null,
    });
    const seen = await kit.as('wang').post(`/v1/evidence/${file}/look`, { why: 'qualityCheck' }).expect(200);
    expect((seen.body as Buffer).equals(bytes)).toBe(true);

    // Quality is at work on it once they have claimed a task, and no longer than it is open.
    expect((await look('mei')).body).toMatchObject({ status: 403, code: 'lookNotAllowed' });
    const task = await kit.openTask(of, { role: 'quality' });
    expect((await look('mei')).status).toBe(403);
    await kit.as('mei').post(taskUrl(task, '/claim')).expect(200);
    await look('mei', 'task').expect(200);
    await kit.as('mei').post(`/v1/evidence/${file}/look`, { why: 'task' }).expect(200);
    await kit
      .as('mei')
      .post(taskUrl(task, '/complete'), { form: { answer: 'yes' } })
      .expect(200);
    expect((await look('mei')).status).toBe(403);
    // A calling system, another shop, somebody who does not say why.
    expect((await look('platform')).body).toMatchObject({ status: 403, code: 'forbidden' });
    expect((await look('far')).status).toBe(404);
    expect((await kit.as('far').post(`/v1/evidence/${file}/look`, { why: 'task' })).status).toBe(404);
    expect((await look('li', 'curious')).body).toMatchObject({ status: 422, errors: [{ path: 'why' }] });

    expect(await looks(`case=${of}`)).toMatchObject([
      { person: 'mei', roles: ['quality'], what: 'evidence', evidence: file, why: 'task' },
      { person: 'mei', what: 'words', evidence: null, why: 'task' },
      { person: 'wang', what: 'evidence', evidence: file, why: 'qualityCheck', customer, shop: 'main', case: of },
      { person: 'li', roles: ['agent'], what: 'words', why: 'enquiry' },
    ]);
  });
});

describe('the list of looks', () => {
  test('comes newest first in pages that end, by person, customer and case, in the manager’s shops', async () => {
    const [a, b] = [await opened(), await opened()];
    for (const { of } of [a, b, a]) await kit.as('li').post(caseUrl(of, '/look'), { why: 'enquiry' }).expect(200);
    await kit.as('wang').post(caseUrl(a.of, '/look'), { why: 'dispute' }).expect(200);
    expect((await looks(`customer=${a.customer}`)).map(({ person }) => person)).toEqual(['wang', 'li', 'li']);
    expect(await looks(`customer=${a.customer}&person=wang`)).toMatchObject([{ case: a.of, why: 'dispute' }]);
    expect((await looks(`case=${b.of}`)).map(({ person }) => person)).toEqual(['li']);
    const all: number[] = [];
    let url = '/v1/looks?person=li&limit=2';
    for (;;) {
      const { items, next } = (await kit.as('chen').get(url).expect(200)).body as Listed;
      all.push(...items.map(({ id }) => id));
      if (next === undefined) break;
      url = `/v1/looks?person=li&limit=2&cursor=${next}`;
    }
    expect(all).toEqual((await looks('person=li&limit=200')).map(({ id }) => id));
    expect(all).toEqual(all.toSorted((x, y) => y - x));
    expect((await kit.as('far').get('/v1/looks')).body).toEqual({ items: [] });
    expect((await kit.as('li').get('/v1/looks')).status).toBe(403);
    const ofCases = Buffer.from(JSON.stringify(['2026-11-23 10:00:00+00', 'x'])).toString('base64url');
    expect((await kit.as('chen').get(`/v1/looks?cursor=${ofCases}`)).body).toMatchObject({ status: 422, errors: [{ path: 'query.cursor' }] });
  });

  test('is only added to, also by who has its database', async () => {
    await kit
      .as('li')
      .post(caseUrl((await opened()).of, '/look'), { why: 'enquiry' })
      .expect(200);
    for (const statement of [`update looks set person = 'x'`, 'delete from looks', 'truncate looks', 'delete from erasures'])
      await expect(kit.pool.query(statement)).rejects.toThrow(/is only added to/);
  });

  test('is read by an index, however many there are', async () => {
    const { of } = await opened();
    await kit.pool.query(
      `insert into looks (person, roles, case_id, shop, customer, what, why) select 'p' || n % 50, '{agent}', $1, 's' || n % 20, 'c' || n % 500, 'words', 'task' from generate_series(1, 20000) n`,
      [of],
    );
    await kit.pool.query('analyze looks');
    for (const filter of [`i.person = 'p7'`, `i.customer = 'c7'`, `i.shop = 's7'`]) {
      const { rows } = await kit.pool.query<{ 'QUERY PLAN': string }>(
        `explain select * from looks i where ${filter} and i.id < 1000000 order by i.id desc limit 20`,
      );
      expect({ filter, plan: rows.map((row) => row['QUERY PLAN']).join('\n') }).toEqual({
        filter,
        plan: expect.stringMatching(/Index Scan Backward using looks_/),
      });
    }
  });
});

interface Export {
  readonly customer: string;
  readonly cases: {
    readonly case: { readonly id: string };
    readonly text: string;
    readonly timeline: { readonly text: string }[];
    readonly decisions: { readonly title: string; readonly form: unknown }[];
    readonly words: { readonly words: unknown }[];
    readonly evidence: { readonly id: string; readonly look: string }[];
    readonly links: object[];
    readonly looks: { readonly what: string }[];
  }[];
}

describe('an export', () => {
  test('has every case of the customer in words, and is itself a look at each', async () => {
    const id = randomUUID();
    const { of, customer, file } = await opened(id);
    const task = await kit.openTask(of);
    await kit
      .as('li')
      .post(taskUrl(task, '/complete'), { form: { answer: 'yes', note: 'on the phone' } })
      .expect(200);
    const second = await opened();
    await kit.pool.query('update cases set customer = $2 where id = $1', [second.of, customer]);
    const answer = await kit.as('chen').get(customerUrl(customer, 'export')).expect(200);
    expect(answer.headers['content-type']).toContain('application/json');
    const told = answer.body as Export;
    expect(told.customer).toBe(customer);
    expect(told.cases.map((one) => one.case.id)).toEqual([of, second.of]);
    expect(told.cases[0]).toMatchObject({
      decisions: [{ title: 'decide', form: { answer: 'yes' } }],
      words: [{ words: { note: secret } }, { words: { words: `called ${secret}` } }, { words: { note: 'on the phone' } }],
      evidence: [{ id: file, look: `/v1/evidence/${file}/look` }],
      links: [{ revokedAt: null }],
      looks: [{ what: 'export', why: 'customerAsked' }],
    });
    expect(told.cases[0]?.timeline.map(({ text }) => text)).toContain('the customer uploaded a photo');
    expect((await looks(`customer=${customer}`)).map(({ person, what, case: at }) => [person, what, at])).toEqual([
      ['chen', 'export', second.of],
      ['chen', 'export', of],
    ]);
  });

  test('is of a whole customer: who serves not all of their shops is told so, and who serves none that there is nobody', async () => {
    const { customer } = await opened();
    const other = await opened();
    await kit.pool.query(`update cases set customer = $2, shop = 'elsewhere', status = 'completed' where id = $1`, [other.of, customer]);
    for (const call of [() => kit.as('chen').get(customerUrl(customer, 'export')), () => erase(customer)])
      expect((await call()).body).toMatchObject({ status: 403, code: 'otherShop' });
    expect((await kit.as('far').get(customerUrl((await opened()).customer, 'export'))).body).toMatchObject({ status: 404, code: 'customerNotFound' });
    expect((await erase('nobody')).body).toMatchObject({ status: 404, code: 'customerNotFound' });
    expect((await kit.as('wang').get(customerUrl(customer, 'export'))).status).toBe(403);
    expect((await erase(customer, 'wang')).status).toBe(403);
  });
});

describe('an erasure', () => {
  test('is refused while a case of the customer is open, and names what to do', async () => {
    const { of, customer } = await opened();
    const answer = await erase(customer);
    expect(answer.body).toMatchObject({ status: 409, code: 'customerHasOpenCases' });
    expect((answer.body as { detail: string }).detail).toContain(of);
    expect((await kit.as('chen').post(caseUrl(of, '/look'), { why: 'enquiry' })).text).toContain(secret);
  });

  test('takes words, files and links, leaves the business’s records, and says when it was', async () => {
    const { of, customer, token, file } = await opened();
    await kit.as('li').post(caseUrl(of, '/look'), { why: 'enquiry' }).expect(200);
    await kit.pool.query(
      `insert into messages (id, case_id, shop, customer, message, recipient, data) values ($1 || ':later', $1, 'main', $2, 'hello', 'customer', '{}'), ($1 || ':ours', $1, 'main', $2, 'hello', 'ops', '{}')`,
      [of, customer],
    );
    await ended(of);
    const before = files().length;
    const answer = await erase(customer).expect(201);
    expect(answer.body).toMatchObject({ customer, by: 'chen', why: 'customerAsked', cases: 1, texts: 2, files: 1, links: 1, filesLeft: 0 });
    expect(files().length).toBe(before - 1);
    const { at } = answer.body as { at: string };

    const { rows } = await kit.pool.query<{ keys: number; texts: number; left: object }>(
      `select (select count(*)::int from customer_keys where customer = $1) as keys, (select count(*)::int from sealed_texts where case_id = $2) as texts,
         (select to_jsonb(e) from evidence e where id = $3) as left`,
      [customer, of, file],
    );
    expect(rows).toEqual([{ keys: 0, texts: 0, left: expect.objectContaining({ owner: null, store_key: null, sha256: null, sealed_key: '\\x' }) }]);
    expect((await kit.pool.query(`select status from messages where case_id = $1 order by id`, [of])).rows).toEqual([{ status: 'held' }, { status: 'queued' }]);
    expect((await kit.as('li').post(`/v1/evidence/${file}/look`, { why: 'task' })).body).toMatchObject({ status: 410, code: 'evidenceErased' });
    expect((await request(kit.app).get(`/v1/c/${token}`)).body).toMatchObject({ status: 410, code: 'linkRevoked' });
    expect((await kit.as('li').post(caseUrl(of, '/look'), { why: 'enquiry' })).body).toEqual({
      words: [],
      evidence: [expect.objectContaining({ id: file })],
      erasedAt: at,
    });
    // What is looked at later says so, in both languages.
    const seen = (await kit.as('li').get(caseUrl(of))).body as { text: string; erasedAt: string; customer: string };
    expect(seen).toMatchObject({ erasedAt: at, customer });
    expect(seen.text).toMatch(/; what the customer wrote and sent was erased on \w+ \d+, 20\d\d/);
    expect(((await kit.as('li').get(caseUrl(of, '?language=zh'))).body as { text: string }).text).toMatch(/；客户资料已于 20\d\d年\d+月\d+日 \d\d:\d\d 删除/);
    const story = (await kit.as('li').get(caseUrl(of, '/timeline'))).body as { items: { text: string }[] };
    expect(story.items.at(-1)?.text).toBe('chen erased what the customer wrote and sent: the customer asked for it');

    // Again: the same, and nothing is written.
    const counts = await kit.rowCounts();
    expect((await erase(customer).expect(200)).body).toEqual(answer.body);
    expect(await kit.rowCounts()).toEqual(counts);
    // Who looked stays known.
    expect((await looks(`customer=${customer}`)).length).toBeGreaterThan(0);
  });

  test('of two managers at once is one', async () => {
    const { of, customer } = await opened();
    await ended(of);
    const answers = await Promise.all([erase(customer), erase(customer), erase(customer)]);
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 200, 201]);
    expect((await kit.pool.query('select 1 from erasures where customer = $1', [customer])).rowCount).toBe(1);
  });

  test('leaves a file whose store is away unreadable, and deletes it once the store is back', async () => {
    const { of, customer, file } = await opened();
    await ended(of);
    away = true;
    try {
      expect((await erase(customer).expect(201)).body).toMatchObject({ files: 1, filesLeft: 1 });
      expect((await kit.as('li').post(`/v1/evidence/${file}/look`, { why: 'task' })).status).toBe(410);
      expect((await erase(customer).expect(200)).body).toMatchObject({ filesLeft: 1 });
    } finally {
      away = false;
    }
    expect(await removeErased(kit.deps)).toBe(1);
    expect((await erase(customer).expect(200)).body).toMatchObject({ filesLeft: 0 });
    expect(files()).not.toContain(file);
  });

  test('takes the words of a parcel’s case that was nobody’s until it led to the customer', async () => {
    const { of, customer } = await opened();
    const found = await kit.openCase({ id: randomUUID() });
    await kit.pool.query(`update cases set customer = null, shop = '*' where id = $1`, [found]);
    await kit.pool.query('update cases set parent = $2 where id = $1', [of, found]);
    const [row] = (await kit.pool.query<CaseRow>('select * from cases where id = $1', [found])).rows;
    if (row === undefined) throw new Error('no case');
    await inTransaction(kit.pool, (tx) =>
      seal(tx, kit.deps.master, { caseId: found, owner: ownerOf(row), path: 'note:1', value: { words: `the slip says ${secret}` }, by: 'mei' }),
    );
    await ended(of);
    expect((await erase(customer)).body).toMatchObject({ code: 'customerHasOpenCases' });
    await ended(found);
    expect((await erase(customer).expect(201)).body).toMatchObject({ cases: 2, texts: 3 });
    expect((await kit.pool.query('select 1 from sealed_texts where case_id = $1', [found])).rowCount).toBe(0);
  });

  test('is of what was: a customer who comes again is served, has a key of their own, and can be erased again', async () => {
    const id = randomUUID();
    const first = await opened(id);
    await ended(first.of);
    await erase(first.customer).expect(201);
    // The same request again is still the same case: its words are not known any more.
    const again = await kit.as('platform').post('/v1/processes/tiny/cases', { input: { id, shop: 'main', script: 'canonical', note: 'other words' } });
    expect([again.status, (again.body as { case: { id: string } }).case.id]).toEqual([200, first.of]);
    const second = await opened();
    await kit.pool.query('update cases set customer = $2 where id = $1', [second.of, first.customer]);
    await kit.as('li').post(caseUrl(second.of, '/notes'), { words: 'here again' }).expect(201);
    expect((await kit.as('li').post(caseUrl(second.of, '/look'), { why: 'enquiry' })).text).toContain('here again');
    expect((await kit.as('li').post(caseUrl(first.of, '/look'), { why: 'enquiry' })).body).toMatchObject({ words: [] });
    expect((await erase(first.customer)).status).toBe(409);
    await ended(second.of);
    expect((await erase(first.customer).expect(201)).body).toMatchObject({ cases: 2, texts: 1 });
    expect((await erase(first.customer).expect(200)).body).toMatchObject({ cases: 2 });
  });

  test('waits for who is sealing something of the customer’s, and what comes after it is not kept under a key that is gone', async () => {
    const { of, customer } = await opened();
    await ended(of);
    const [row] = (await kit.pool.query<CaseRow>('select * from cases where id = $1', [of])).rows;
    if (row === undefined) throw new Error('no case');
    const sealing = (path: string) => ({ caseId: of, owner: ownerOf(row), path, value: { words: secret }, by: 'li' });
    let erased = false;
    let letGo = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    let sealed = false;
    const writer = inTransaction(kit.pool, async (tx) => {
      await seal(tx, kit.deps.master, sealing('note:before'));
      sealed = true;
      await held;
    });
    await until('the text is sealed', () => sealed);
    const eraser = inTransaction(kit.pool, (tx) => eraseCustomer(tx, { customer, by: 'chen' as PersonId, why: 'customerAsked' })).then(() => {
      erased = true;
    });
    await until('the erasure waits', async () => {
      const { rowCount } = await kit.pool.query(
        `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%customer_keys%for update%'`,
      );
      return rowCount === 1;
    });
    expect(erased).toBe(false);
    letGo();
    await writer;
    await eraser;
    expect((await kit.pool.query('select 1 from sealed_texts where case_id = $1', [of])).rowCount).toBe(0);

    // Read before, kept after: refused as a moment's trouble, with nothing written.
    const second = await opened();
    await ended(second.of);
    const own = connectPool(String(kit.pool.options.connectionString), 'other', 1);
    const client = await own.connect();
    try {
      await client.query('begin');
      await client.query('select 1 from customer_keys where customer = $1 for update', [second.customer]);
      const note = kit
        .as('li')
        .post(caseUrl(second.of, '/notes'), { words: secret })
        .then((answer) => answer);
      await until('the note waits for the key', async () => {
        const { rowCount } = await kit.pool.query(
          `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like 'insert into sealed_texts%'`,
        );
        return rowCount === 1;
      });
      await client.query('delete from customer_keys where customer = $1', [second.customer]);
      await client.query('commit');
      const answer = await note;
      expect([answer.status, answer.headers['retry-after'], (answer.body as { code: string }).code]).toEqual([503, '1', 'busy']);
    } finally {
      client.release();
      await own.end();
    }
    await kit.as('li').post(caseUrl(second.of, '/notes'), { words: secret }).expect(201);
    expect((await kit.pool.query('select 1 from sealed_texts where case_id = $1', [second.of])).rowCount).toBe(1);
  });
});
