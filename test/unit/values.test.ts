/** Money, ids and instants: the arithmetic that everything else trusts. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { contentHash } from '../../values/hash.ts';
import { caseId, effectKey, taskId } from '../../values/ids.ts';
import { instant, later, millis, parseInstant, plus } from '../../values/instant.ts';
import { add, exceeds, least, money, prorate, subtract, sum } from '../../values/money.ts';
import { above, covers, ladder, roles } from '../../values/role.ts';

const minor = fc.integer({ min: 0, max: 10_000_000_000 });
const weights = fc.array(fc.integer({ min: 0, max: 1_000_000_000 }), { minLength: 1, maxLength: 40 });

describe('an amount', () => {
  test('is a whole number of minor units, and currencies do not mix', () => {
    expect(() => money(0.1, 'CNY')).toThrow(RangeError);
    expect(() => money(2 ** 53, 'CNY')).toThrow(RangeError);
    for (const mixed of [add, subtract, least, exceeds]) expect(() => mixed(money(1, 'CNY'), money(1, 'USD'))).toThrow('do not mix');
  });

  test('spread by weights adds up to the unit, each part within one unit of its share', () => {
    fc.assert(
      fc.property(minor, weights, (total, by) => {
        const parts = prorate(total, by);
        const all = by.reduce((a, b) => a + b, 0);
        expect(parts.reduce((a, b) => a + b, 0)).toBe(total);
        expect(parts.every((part) => Number.isSafeInteger(part) && part >= 0)).toBe(true);
        if (all === 0) return;
        for (const [i, part] of parts.entries()) {
          const share = (BigInt(total) * BigInt(by[i] ?? 0)) / BigInt(all);
          expect(BigInt(part) - share === 0n || BigInt(part) - share === 1n).toBe(true);
        }
      }),
    );
  });

  test('spread over equal weights is fair: no part is two units larger than another, and earlier ones get the rest', () => {
    fc.assert(
      fc.property(minor, fc.integer({ min: 1, max: 50 }), (total, n) => {
        const parts = prorate(
          total,
          Array.from({ length: n }, () => 1),
        );
        expect((parts[0] ?? 0) - (parts.at(-1) ?? 0)).toBeLessThanOrEqual(1);
        expect(parts).toEqual(parts.toSorted((a, b) => b - a));
      }),
    );
  });

  test('over nothing is nothing, and anything over nothing is refused', () => {
    expect(prorate(0, [])).toEqual([]);
    expect(() => prorate(1, [])).toThrow(RangeError);
    expect(prorate(5, [0, 0])).toEqual([5, 0]);
    expect(sum([], 'CNY')).toEqual(money(0, 'CNY'));
  });
});

describe('an id', () => {
  test('is the same for the same key, and another for another, whatever characters the parts hold', () => {
    const part = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), fc.array(part, { minLength: 1, maxLength: 4 }), (one, other) => {
        expect(caseId('p', one) === caseId('p', other)).toBe(JSON.stringify(one) === JSON.stringify(other));
      }),
    );
    expect(caseId('p', ['a.b', 'c'])).not.toBe(caseId('p', ['a', 'b.c']));
  });

  test('travels in a header and a URL as it is', () => {
    const id = caseId('return-exchange', ['订单/1', '#W 2']);
    expect(effectKey(id, 'parcel-1/refund')).toMatch(/^[\x21-\x7e]+$/);
    expect(taskId(id, 'review')).toBe(`${id}:review`);
  });
});

describe('an instant', () => {
  test('sorts as text, whatever offset it was written in', () => {
    expect(parseInstant('2026-11-23T11:00:00+08:00')).toBe('2026-11-23T03:00:00.000Z');
    expect(() => parseInstant('2026-11-23 11:00')).toThrow(RangeError);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000_000 }), fc.integer({ min: 0, max: 4_000_000_000_000 }), (a, b) => {
        expect(instant(a) < instant(b)).toBe(a < b);
        expect(millis(later(instant(a), instant(b)))).toBe(Math.max(a, b));
        expect(millis(plus(instant(a), 1))).toBe(a + 1);
      }),
    );
  });
});

describe('a role', () => {
  test('covers itself and what is below it on the ladder, and nothing beside the ladder', () => {
    for (const has of roles) for (const needs of roles) if (!(ladder as readonly string[]).includes(needs)) expect(covers(has, needs)).toBe(has === needs);
    expect(ladder.map((needs) => ladder.filter((has) => covers(has, needs)).length)).toEqual([3, 2, 1]);
  });
  test('climbs to the top and stays there', () => {
    expect([above('agent'), above('supervisor'), above('manager'), above('quality')]).toEqual(['supervisor', 'manager', 'manager', 'supervisor']);
  });
});

test('equal values have equal hashes, whatever the order of their keys', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      const turned = Object.fromEntries(Object.entries(value).toReversed());
      expect(contentHash(turned)).toBe(contentHash(value));
    }),
  );
  expect(contentHash({ a: 1 })).not.toBe(contentHash({ a: '1' }));
  expect(contentHash({ a: undefined })).toBe(contentHash({}));
});
