/** A moment in UTC, ISO 8601 with milliseconds and Z (`2026-11-23T03:00:00.000Z`): sorts as text, compares as text. */
export type Instant = string & { readonly _: 'Instant' };

/** The instant of a Date or of milliseconds since 1970; throws RangeError on an invalid one. */
export const instant = (at: Date | number): Instant => new Date(at).toISOString() as Instant;

/** Parses an ISO 8601 date-time with offset or Z; throws RangeError when it is none. */
export function parseInstant(text: string): Instant {
  if (!/(?:Z|[+-]\d\d:\d\d)$/.test(text)) throw new RangeError(`"${text}" is no date-time with an offset`);
  return instant(Date.parse(text));
}

export const millis = (at: Instant): number => Date.parse(at);
export const plus = (at: Instant, ms: number): Instant => instant(millis(at) + ms);
export const later = (a: Instant, b: Instant): Instant => (a >= b ? a : b);
