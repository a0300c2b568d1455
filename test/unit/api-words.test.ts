import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { freeText, instantSchema, moneySchema } from '../../values/schemas.ts';
import { part } from '../../api/words.ts';

const parts = (schema: z.ZodType, value: unknown) => part(schema, schema.parse(value));

describe('words are parted from what a case may know', () => {
  test('at any depth, under their dotted path; everything else stays as it was', () => {
    const schema = z.object({
      decision: z.enum(['yes', 'no']),
      note: freeText(),
      units: z.array(z.object({ unit: z.int(), remark: freeText() })),
      amount: moneySchema,
      at: instantSchema,
      more: z.object({ inner: z.object({ note: freeText() }) }).nullable(),
    });
    const value = {
      decision: 'yes',
      note: 'a',
      units: [{ unit: 1, remark: 'b' }, { unit: 2 }],
      amount: { minor: 5, currency: 'CNY' },
      at: '2026-11-23T10:00:00+08:00',
      more: { inner: { note: 'c' } },
    };
    expect(parts(schema, value)).toEqual({
      kept: { decision: 'yes', units: [{ unit: 1 }, { unit: 2 }], amount: { minor: 5, currency: 'CNY' }, at: '2026-11-23T02:00:00.000Z', more: { inner: {} } },
      words: { note: 'a', 'units.0.remark': 'b', 'more.inner.note': 'c' },
    });
    expect(parts(schema, { ...value, note: undefined, units: [], more: null }).words).toBeUndefined();
  });

  test('in the option of a discriminated union that was chosen, and in any option of a plain one', () => {
    const chosen = z.discriminatedUnion('kind', [z.object({ kind: z.literal('a'), text: freeText() }), z.object({ kind: z.literal('b'), text: z.string() })]);
    expect(parts(chosen, { kind: 'a', text: 'x' })).toEqual({ kept: { kind: 'a' }, words: { text: 'x' } });
    expect(parts(chosen, { kind: 'b', text: 'x' })).toEqual({ kept: { kind: 'b', text: 'x' }, words: undefined });
    const plain = z.union([z.object({ text: freeText() }), z.object({ text: z.string(), n: z.int() })]);
    expect(parts(plain, { text: 'x' })).toEqual({ kept: {}, words: { text: 'x' } });
  });

  test('whole objects, list entries, map values, and behind defaults, pipes and refinements', () => {
    const address = z.object({ street: z.string() }).meta({ personal: true });
    const schema = z
      .object({
        address,
        lines: z.array(z.string().meta({ personal: true })),
        byKey: z.record(z.string(), z.object({ note: freeText() })),
        pair: z.tuple([z.int(), z.string().meta({ personal: true })]),
        spoken: z.preprocess((v) => v, z.object({ note: freeText() })),
        shout: z.object({ note: freeText(), n: z.int() }).transform((v) => ({ ...v, n: v.n * 2 })),
        late: z.lazy(() => z.object({ note: freeText() })),
        said: freeText().default('nothing'),
      })
      .refine(() => true);
    const value = {
      address: { street: 's' },
      lines: ['l1', 'l2'],
      byKey: { k: { note: 'k' } },
      pair: [1, 'p'],
      spoken: { note: 'sp' },
      shout: { note: 'sh', n: 2 },
      late: { note: 'la' },
    };
    expect(parts(schema, value)).toEqual({
      kept: { lines: [], byKey: { k: {} }, pair: [1], spoken: {}, shout: { n: 4 }, late: {} },
      words: {
        address: { street: 's' },
        'lines.0': 'l1',
        'lines.1': 'l2',
        'byKey.k.note': 'k',
        'pair.1': 'p',
        'spoken.note': 'sp',
        'shout.note': 'sh',
        'late.note': 'la',
        said: 'nothing',
      },
    });
  });

  test('never stay in what is kept, whatever the form', () => {
    const leaf = fc.constantFrom<z.ZodType>(z.int(), z.boolean(), freeText().unwrap());
    const { form } = fc.letrec<{ form: z.ZodType }>((tie) => ({
      form: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('form')).map((shape) => z.object(shape)),
        tie('form').map((inner) => z.array(inner)),
        tie('form').map((inner) => inner.optional()),
        tie('form').map((inner) => inner.nullable()),
      ),
    }));
    const fill = (schema: z.ZodType): unknown => {
      if (schema instanceof z.ZodObject)
        return Object.fromEntries(Object.entries(schema.shape as Record<string, z.ZodType>).map(([key, inner]) => [key, fill(inner)]));
      if (schema instanceof z.ZodArray) return [fill(schema.element as z.ZodType), fill(schema.element as z.ZodType)];
      if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return fill(schema.unwrap() as z.ZodType);
      return schema instanceof z.ZodString ? 'SECRET' : schema instanceof z.ZodBoolean ? true : 1;
    };
    fc.assert(
      fc.property(form, (schema) => {
        const value = fill(schema);
        const { kept, words } = parts(schema, value);
        expect(JSON.stringify(kept) ?? '').not.toContain('SECRET');
        expect(Object.keys(words ?? {})).toHaveLength((JSON.stringify(value).match(/SECRET/g) ?? []).length);
      }),
    );
  });
});
