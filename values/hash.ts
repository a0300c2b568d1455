import { createHash } from 'node:crypto';

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, canonical(inner)]),
  );
}

/** JSON with sorted keys: equal values have equal texts, whatever order they were written in. */
export const canonicalJson = (value: unknown): string => JSON.stringify(canonical(value)) ?? 'null';

/** SHA-256 of the canonical JSON, as hex: two requests are the same when their hashes are. */
export const contentHash = (value: unknown): string => createHash('sha256').update(canonicalJson(value)).digest('hex');
