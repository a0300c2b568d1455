/** What the customer's page is made of: HTML that escapes, questions that come from schemas, amounts as people write them. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { html } from '../../api/customer/html.ts';
import { answered, answerings } from '../../api/customer/questions.ts';
import { linkKeys } from '../../db/links.ts';
import { money, parseMoney } from '../../values/money.ts';
import { freeText, moneySchema } from '../../values/schemas.ts';

describe('HTML', () => {
  test('is text where a value is text: nothing of it opens a tag, ends an attribute or begins an entity of its own', () => {
    const unescape = (text: string): string =>
      text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&amp;', '&');
    const signs = fc.string({ unit: fc.constantFrom('<', '>', '"', "'", '&', '$', '\\', 'a', ';', '#', '中'), maxLength: 30 });
    fc.assert(
      fc.property(fc.oneof(signs, fc.string()), (text) => {
        const inside = html`<p title="${text}">${text}</p>`.text;
        const [, title = '', body = ''] = /^<p title="([^"]*)">([^<]*)<\/p>$/s.exec(inside) ?? [];
        expect([unescape(title), unescape(body)]).toEqual([text, text]);
      }),
    );
  });

  test('stays HTML where it was written as such, in lists too; nothing leaves nothing', () => {
    const item = (x: string) => html`<li>${x}</li>`;
    expect(
      html`<ul>
        ${['a<', 'b'].map(item)}${false}${undefined}${null}${0}
      </ul>`.text.replaceAll(/\s+/g, ''),
    ).toBe('<ul><li>a&lt;</li><li>b</li>0</ul>');
  });
});

describe('a form', () => {
  test('is put as one question for each field, and one way for each alternative', () => {
    const form = z.discriminatedUnion('decision', [
      z.strictObject({ decision: z.literal('accept'), safe: z.boolean() }),
      z.strictObject({ decision: z.literal('offer'), amount: moneySchema, count: z.int().min(1).max(5).optional(), why: freeText(), ref: z.string().max(40) }),
    ]);
    expect(answerings(form)).toEqual([
      { fixed: { decision: 'accept' }, questions: [{ name: 'safe', required: true, kind: 'yesNo' }] },
      {
        fixed: { decision: 'offer' },
        questions: [
          { name: 'amount', required: true, kind: 'money' },
          { name: 'count', required: false, kind: 'number', least: 1, most: 5 },
          { name: 'why', required: false, kind: 'text', long: true, most: 2000 },
          { name: 'ref', required: true, kind: 'text', long: false, most: 40 },
        ],
      },
    ]);
  });

  test('that asks for a list or a form within is none that a page can put', () => {
    for (const field of [z.array(z.string()), z.object({ a: z.string() }), z.union([z.string(), z.int()]), z.unknown()])
      expect(answerings(z.object({ plain: z.string(), field }))).toBeUndefined();
    expect(answerings(z.array(z.string()))).toBeUndefined();
  });

  test('takes an amount to the minor unit in every currency, and nothing that is none', () => {
    const [way] = answerings(z.object({ amount: moneySchema })) ?? [];
    if (way === undefined) throw new Error('an amount can be asked');
    const take = (amount: string, currency: string): unknown => answered(way, { amount, 'amount.currency': currency }).form['amount'];
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 99_999_999 }), fc.constantFrom('CNY', 'USD', 'JPY', 'KWD'), (minor, currency) => {
        const decimals = { CNY: 2, USD: 2, JPY: 0, KWD: 3 }[currency] ?? 2;
        const text = (minor / 10 ** decimals).toFixed(decimals);
        expect(take(text, currency)).toEqual(money(minor, currency));
        expect(take(`¥ ${new Intl.NumberFormat('en', { minimumFractionDigits: decimals }).format(minor / 10 ** decimals)}`, currency)).toEqual(
          money(minor, currency),
        );
      }),
    );
    for (const [amount, currency] of [
      ['1.005', 'CNY'],
      ['1.5', 'JPY'],
      ['-1', 'CNY'],
      ['1e3', 'CNY'],
      ['', 'CNY'],
      ['1', 'yuan'],
      ['1', ''],
    ] as const)
      expect([amount, currency, take(amount, currency)]).toEqual([amount, currency, undefined]);
    expect(() => parseMoney('1.005', 'CNY')).toThrow('"1.005" is no amount of CNY');
  });
});

test('a secret of links is long enough, or it is refused', () => {
  for (const wrong of ['', '\n', 'short', Buffer.alloc(31).toString('base64'), `${Buffer.alloc(32).toString('base64')}\nshort`])
    expect(() => linkKeys(wrong)).toThrow('32 random bytes');
  expect(linkKeys(`${Buffer.alloc(32).toString('base64')}\n${Buffer.alloc(40).toString('base64')}\n`).all()).toHaveLength(2);
});
