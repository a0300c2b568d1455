/** Shops of other sources, as `POST /orders/import` takes them: the source's own files, turned into ours here. */
import { z } from 'zod';
import type { Instant } from '../../values/instant.ts';
import { instantSchema } from '../../values/schemas.ts';
import type { Sql } from '../sandbox/database.ts';
import type { LoadCounts } from './load.ts';
import { loadShop } from './load.ts';
import { fromTauRetail, tauFiles } from './tau-retail.ts';

export const importBody = z.discriminatedUnion('source', [
  z.object({
    source: z.literal('tau-retail'),
    seed: z.int().default(1).meta({ description: 'Draws what the source does not say: receipt dates and stock' }),
    asOf: instantSchema.optional().meta({ description: 'The day that receipt dates are counted back from; absent: now' }),
    files: tauFiles,
  }),
]);

/** Turns the source's files into a shop and loads it. */
export function importSource(sql: Sql, body: z.output<typeof importBody>, now: Instant): Promise<LoadCounts> {
  return loadShop(sql, fromTauRetail(body.files, { seed: body.seed, asOf: body.asOf ?? now }));
}
