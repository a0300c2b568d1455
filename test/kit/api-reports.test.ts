import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { putPerson } from '../../db/people.ts';
import { countReturns } from '../../db/reports.ts';
import type { Sql } from '../../db/pool.ts';
import type { PersonId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import { startApi, type ApiKit } from './api-harness.ts';

let kit: ApiKit;
const day = 86_400_000;
const ago = (days: number): string => instant(Date.now() - days * day);
const report = '/v1/reports/returns';

beforeAll(async () => {
  kit = await startApi();
  const [a, b] = [await kit.openCase(), await kit.openCase()];
  const add = (of: string, unit: number, more: object = {}) => {
    const row = {
      shop: 'main',
      product: 'cup',
      reason: 'quality',
      cause: 'manufacturing',
      disposition: 'scrap',
      currency: 'CNY',
      loss_minor: 500,
      at: ago(1),
      ...more,
    };
    return kit.pool.query(
      `insert into return_causes (case_id, order_id, line, unit, category, shop, product, reason, cause, disposition, currency, loss_minor, at)
       select $1, 'O-1', 1, $2, 'kitchen', r.shop, r.product, r.reason, r.cause, r.disposition, r.currency, r.loss_minor, r.at
       from jsonb_to_record($3) r(shop text, product text, reason text, cause text, disposition text, currency text, loss_minor bigint, at timestamptz)`,
      [of, unit, JSON.stringify(row)],
    );
  };
  await add(a, 1);
  await add(a, 2, { disposition: 'restock', loss_minor: 0 });
  await add(b, 1, { cause: 'transport', loss_minor: 1250 });
  await add(b, 2, { reason: 'noReason', cause: 'none', product: '=cup,"2"', currency: 'JPY', loss_minor: 700 });
  await add(b, 3, { at: ago(40) });
  await add(b, 4, { shop: 'other', reason: 'wrongSize' });
  await putPerson(kit.pool, { id: 'chen' as PersonId, name: 'chen', roles: ['manager'], shops: ['*'], active: true, absentUntil: null });
});
afterAll(() => kit.stop());

describe('the report of causes and losses', () => {
  test('counts units, cases and losses by currency, of the shops that one serves, in the time that was asked for', async () => {
    const answer = await kit.as('wang').get(report);
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      by: 'reason',
      items: [
        { key: 'quality', units: 3, cases: 2, loss: { minor: 1750, currency: 'CNY' } },
        { key: 'noReason', units: 1, cases: 1, loss: { minor: 700, currency: 'JPY' } },
      ],
    });
    const whole = await kit.as('wang').get(`${report}?from=${ago(50)}&to=${ago(2)}`);
    expect(whole.body).toMatchObject({ items: [{ key: 'quality', units: 1, cases: 1 }] });
    expect((await kit.as('wang').get(`${report}?from=${ago(20)}&to=${ago(10)}`)).body).toMatchObject({ items: [] });
  });

  test('counts by cause, product and disposition too', async () => {
    const by = async (what: string) => (await kit.as('wang').get(`${report}?by=${what}`)).body as { items: { key: string; units: number }[] };
    expect((await by('cause')).items.map(({ key, units }) => [key, units])).toEqual([
      ['manufacturing', 2],
      ['transport', 1],
      ['none', 1],
    ]);
    expect((await by('product')).items.map(({ key }) => key)).toEqual(['cup', '=cup,"2"']);
    expect((await by('disposition')).items).toMatchObject([
      { key: 'scrap', units: 2, loss: { minor: 1750 } },
      { key: 'scrap', units: 1, loss: { currency: 'JPY' } },
      { key: 'restock', units: 1, loss: { minor: 0 } },
    ]);
  });

  test('is of one shop, or of every shop for who serves them all; of a shop that is not theirs nobody learns', async () => {
    const keys = async (who: string, query: string) =>
      ((await kit.as(who).get(`${report}?${query}`)).body as { items: { key: string }[] }).items.map(({ key }) => key);
    expect(await keys('chen', '')).toEqual(['quality', 'noReason', 'wrongSize']);
    expect(await keys('chen', 'shop=other')).toEqual(['wrongSize']);
    expect(await keys('chen', 'shop=nowhere')).toEqual([]);
    expect((await kit.as('wang').get(`${report}?shop=other`)).body).toMatchObject({ status: 403, code: 'otherShop' });
    expect((await kit.as('li').get(report)).body).toMatchObject({ status: 403, code: 'forbidden' });
  });

  test('comes as a table when a table is asked for, with nothing in it that a spreadsheet would run', async () => {
    const { headers, text } = await kit.as('wang').get(`${report}?by=product`).set('Accept', 'text/csv');
    expect(headers['content-type']).toBe('text/csv; charset=utf-8');
    expect(headers['vary']).toContain('Accept,');
    expect(text.replace(/^\uFEFF/, '').split('\r\n')).toEqual(['product,currency,units,cases,loss', 'cup,CNY,3,2,17.50', `"'=cup,""2""",JPY,1,1,700`, '']);
  });

  test('no cell of the table begins as a formula does, in any spreadsheet', async () => {
    const of = await kit.openCase();
    const products = ['+1', '-1', '@SUM(1)', '\t=1', '\r=1', '\n=1', '＝1', '＋1', '－1', '＠1'];
    await kit.pool.query(
      `insert into return_causes (case_id, order_id, line, unit, shop, product, category, reason, cause, disposition, currency, loss_minor)
       select $1, 'O-3', 1, n, 'formulas', product, 'x', 'quality', 'none', 'scrap', 'CNY', 100 from unnest($2::text[]) with ordinality p (product, n)`,
      [of, products],
    );
    const { text } = await kit.as('chen').get(`${report}?by=product&shop=formulas`).set('Accept', 'text/csv');
    for (const product of products) expect(text).toContain(`"'${product}",CNY`);
  });

  test.each([
    ['by=mood', 'query.by'],
    ['from=yesterday', 'query.from'],
    ['shops=main', 'query.shops'],
    [`from=${ago(1)}&to=${ago(2)}`, 'query.from'],
  ])('says what is wrong with %s', async (query, path) => {
    const answer = await kit.as('wang').get(`${report}?${query}`);
    expect(answer.status).toBe(422);
    expect((answer.body as { errors: { path: string }[] }).errors.map((error) => error.path)).toContain(path);
  });

  test('reads no more rows than are in the time that it is about, however many there are before', async () => {
    const of = await kit.openCase();
    await kit.pool.query(
      `insert into return_causes (case_id, order_id, line, unit, shop, product, category, reason, cause, disposition, currency, loss_minor, at)
       select $1, 'O-2', 1, n, case when n % 2 = 0 then 'crowded' else 'full' end, 'cup', 'kitchen', 'other', 'none', 'scrap', 'CNY', 1, now() - n * interval '1 hour' - interval '2 days'
       from generate_series(1, 20000) n`,
      [of],
    );
    await kit.pool.query('analyze return_causes');
    for (const shops of [['crowded', 'main'], ['*']]) {
      const asked: [string, unknown[]][] = [];
      const listening = { query: (text: string, values: unknown[]) => (asked.push([text, values]), Promise.resolve({ rows: [] })) } as unknown as Sql;
      await countReturns(listening, { shops, from: instant(Date.now() - 3 * day), to: instant(Date.now()), by: 'reason', limit: 1000 });
      const [[text, values] = ['', []]] = asked;
      const { rows } = await kit.pool.query<{ 'QUERY PLAN': unknown }>(`explain (analyze, format json) ${text}`, values);
      const scans = [...JSON.stringify(rows).matchAll(/"Node Type":"([^"]*Scan)"[^{}]*?"Relation Name":"return_causes"[^{}]*?"Actual Rows":([\d.]+)/g)];
      expect(scans.length).toBeGreaterThan(0);
      for (const [, kind, read] of scans) {
        expect(kind).not.toBe('Seq Scan');
        expect(Number(read)).toBeLessThanOrEqual(40);
      }
    }
  });
});
