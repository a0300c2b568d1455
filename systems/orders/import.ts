/** What `POST /orders/import` takes: another source's files, turned into ours here; or how many orders of the own shops are to be drawn. */
import { z } from 'zod';
import type { Instant } from '../../values/instant.ts';
import { instantSchema } from '../../values/schemas.ts';
import type { Sql } from '../sandbox/database.ts';
import { drawnShop } from './drawn.ts';
import type { LoadCounts } from './load.ts';
import { loadShop } from './load.ts';
import { fromTauRetail, tauFiles } from './tau-retail.ts';

/** So many are drawn and loaded within seconds, by one request. */
export const mostDrawn = 20_000;

export const importBody = z.discriminatedUnion('source', [
  z.object({
    source: z.literal('tau-retail'),
    seed: z.int().default(1).meta({ description: 'Draws what the source does not say: receipt dates and stock' }),
    asOf: instantSchema.optional().meta({ description: 'The day that receipt dates are counted back from; absent: now' }),
    files: tauFiles,
  }),
  z.object({
    source: z.literal('own'),
    seed: z.int().min(0).default(1).meta({ description: 'Draws the orders; they are listed under the source `own-<seed>`' }),
    orders: z.int().min(1).max(mostDrawn).meta({ description: 'How many; the first ones are the same however many there are' }),
    asOf: instantSchema.optional().meta({ description: 'The day that receipt dates are counted back from; absent: now' }),
  }),
]);

/** Turns the source's files into a shop, or draws orders of the own shops, and loads it. */
export async function importSource(sql: Sql, body: z.output<typeof importBody>, now: Instant): Promise<LoadCounts> {
  const { seed, asOf = now } = body;
  return loadShop(sql, body.source === 'own' ? await drawnShop({ seed, orders: body.orders, asOf }) : fromTauRetail(body.files, { seed, asOf }));
}
