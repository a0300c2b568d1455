import { defineRule } from '../../../workflows/kit/rule.ts';

/** Counts what it is given; says as of when. */
export const count = defineRule<{ items: readonly string[] }, { count: number; asOf: string }>(({ items }, { asOf }) => ({
  count: items.length,
  asOf,
  reasons: items.length === 0 ? ['nothing'] : ['counted'],
}));
