/** The payloads of a history. */
import type { Payload } from '@temporalio/common';

export interface Found {
  readonly at: string;
  readonly payload: Payload;
}

/** Every payload in a history, with where it stands. */
export function payloadsIn(value: unknown, at = ''): Found[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return [];
  if ('metadata' in value && 'data' in value && value.data instanceof Uint8Array) return [{ at, payload: value as Payload }];
  return Object.entries(value).flatMap(([key, inner]) => payloadsIn(inner, `${at}/${key}`));
}

const textOf = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString();
export const encodingOf = ({ payload }: Found): string => textOf(payload.metadata?.['encoding']);
/** The id of the key that sealed it; empty of one that is not sealed. */
export const keyIdOf = ({ payload }: Found): string => textOf(payload.metadata?.['key-id']);
