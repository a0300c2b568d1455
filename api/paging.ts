import { z } from 'zod';

/** A cursor is opaque to callers: the keyset of the last row they saw. */
const keyset = z.tuple([z.string().max(100), z.string().max(1000)]);
type Keyset = z.output<typeof keyset>;

const notOfThisList = 'not a cursor of this list: take it from `next` of the page before';

const cursorText = z
  .string()
  .max(2000)
  .transform((text, context): Keyset => {
    try {
      const [at, id] = keyset.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
      if (!/^(\d{1,15}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[+-]\d\d(:?\d\d)?)$/.test(at)) throw new RangeError('no place in a list');
      return [at, id];
    } catch {
      context.addIssue({ code: 'custom', message: notOfThisList });
      return z.NEVER;
    }
  });

/** Query parameters of every list. Pages are by keyset, so the hundredth costs what the first did. */
export const paging = {
  cursor: cursorText.optional().meta({ override: { type: 'string' }, description: '`next` of the page before' }),
  limit: z.coerce.number().int().min(1).max(200).default(50).meta({ description: 'Rows of a page' }),
};

/** The same of a list that goes by the numbers of its rows. */
export const pagingByRow = {
  ...paging,
  cursor: cursorText
    .refine(([row]) => /^\d+$/.test(row), notOfThisList)
    .transform(([row]) => Number(row))
    .optional()
    .meta({ override: { type: 'string' }, description: '`next` of the page before' }),
};

const cursorOf = (of: Keyset): string => Buffer.from(JSON.stringify(of)).toString('base64url');

/** A page from one row more than was asked for. */
export function page<R, V>(rows: readonly R[], limit: number, view: (row: R) => V, key: (row: R) => Keyset): { items: V[]; next?: string } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return { items: shown.map(view), ...(rows.length > limit && last !== undefined ? { next: cursorOf(key(last)) } : {}) };
}
