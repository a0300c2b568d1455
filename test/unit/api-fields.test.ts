import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { fieldErrors } from '../../api/fields.ts';

const errors = (schema: z.ZodType, value: unknown) => {
  const parsed = schema.safeParse(value);
  if (parsed.success) throw new Error('it fits');
  return fieldErrors(parsed.error, 'form');
};

test('each field that does not fit is named once, by its path in what was sent', () => {
  const schema = z.strictObject({ units: z.array(z.object({ unit: z.int().max(3) })).max(2), answer: z.enum(['yes', 'no']) });
  expect(errors(schema, { units: [{ unit: 1 }, { unit: 'x' }], answer: 'perhaps', colour: 'red' }).map((e) => e.path)).toEqual([
    'form.units.1.unit',
    'form.answer',
    'form.colour',
  ]);
  // Of the wrong type and, as zod goes on to measure it, too long as well.
  expect(errors(schema, { units: 'abc', answer: 'yes' })).toEqual([{ path: 'form.units', message: expect.stringContaining('expected array') }]);
  expect(errors(schema, 7).map((e) => e.path)).toEqual(['form']);
});

test('of a union the option that comes nearest says what is wrong', () => {
  const schema = z.union([z.strictObject({ a: z.int(), b: z.int(), c: z.int() }), z.strictObject({ d: z.int() })]);
  expect(errors(schema, { d: 'x' }).map((e) => e.path)).toEqual(['form.d']);
});

test('a request that is wrong everywhere gets no endless answer', () => {
  expect(
    errors(
      z.array(z.int()),
      Array.from({ length: 1000 }, () => 'x'),
    ),
  ).toHaveLength(50);
});
