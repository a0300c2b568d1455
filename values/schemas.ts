/** zod schemas of the values, for declarations and borders. Never imported by a workflow: zod in the bundle is instantiated per cached workflow. */
import { z } from 'zod';
import type { Instant } from './instant.ts';
import { parseInstant } from './instant.ts';
import type { Money } from './money.ts';

export const moneySchema = z
  .object({ minor: z.int().min(0), currency: z.string().regex(/^[A-Z]{3}$/, 'an ISO 4217 code such as CNY') })
  .meta({ id: 'Money', description: 'Integer minor units (分, cents) and ISO 4217 currency' }) satisfies z.ZodType<Money>;

/** No case is about a time outside these, and neither every calendar nor Postgres knows all the years that ISO 8601 can write. */
const years = { from: 1900, to: 2200 };
const known = (text: string): boolean => {
  const year = new Date(Date.parse(text)).getUTCFullYear();
  return year >= years.from && year < years.to;
};

/** ISO 8601 with offset in, UTC with milliseconds out. */
export const instantSchema = z.iso
  // `abort`: what is no date-time is not converted either.
  .datetime({ offset: true, abort: true })
  .refine(known, { error: `a date-time from ${years.from} to ${years.to}`, abort: true })
  .overwrite((text) => parseInstant(text))
  .meta({ id: 'Instant', description: 'ISO 8601 date-time with offset' }) as unknown as z.ZodType<Instant, string>;

const id = z.string().min(1).max(200);
/** What came in a parcel, as the warehouse counted it and as one process hands it to another. A unit without a sku is goods that the warehouse does not know. */
export const parcelSchema = z.object({
  receiptId: id,
  trackingNo: id,
  receivedAt: instantSchema,
  units: z.array(z.object({ unitId: id, sku: id.optional() })).max(200),
});
/**
 * A tracking number as a customer types it. It enters histories and lists, so what is none is refused: words, and a mobile number, which people put here when they
 * mean the courier's. No carrier's numbers look like one.
 */
export const typedTrackingNo = z
  .string()
  .trim()
  .min(5)
  .max(60)
  .regex(/^[\w-]+$/, 'a tracking number: letters, digits and hyphens')
  .refine((text) => !/^(86)?1[3-9]\d{9}$/.test(text), 'a telephone number is no tracking number');
/** Whether each unit is named once. */
export const unitsOnce = (units: readonly { readonly unitId: string }[]): boolean => new Set(units.map((u) => u.unitId)).size === units.length;

/**
 * Words a person wrote. They may hold personal data, so they stay in Postgres, sealed under the customer's key, and never enter a history:
 * what marks them is the `personal` in their metadata, and what strips them is the delivery.
 */
export const freeText = (most = 2000) => z.string().trim().min(1).max(most).meta({ personal: true }).optional();
