/**
 * Keys of one purpose, each with an id, one of which seals while all of them open. A file holds them, one a line, the one that seals first:
 *
 *     3:<base64>                           seals
 *     4:<base64>:next                      opens only; seals once it is promoted
 *     2:<base64>:until=2026-11-23T…Z       sealed until then
 *
 * A line that is nothing but a key is from before keys had ids: its id is its place, counted from the last line, so that the only key of an old file is 1.
 */
import { randomBytes } from 'node:crypto';
import { parseInstant, type Instant } from '../values/instant.ts';

export interface Key {
  readonly id: string;
  readonly key: Buffer;
  /** It opens only: every process has to know it before one seals with it. */
  readonly next?: true;
  /** When another took over; unknown of a key that was replaced by hand. */
  readonly until?: Instant;
}
/** The one that seals first; then the next one, if there is one, and those that sealed before, the newest first. */
export type KeyRing = readonly [Key, ...Key[]];

/** What a ring is for, as people are told, and how long its keys may be. */
export interface Purpose {
  readonly name: string;
  /** 32 bytes for a cipher; a signature may have a longer key. */
  readonly longer?: true;
}

const bare = /^[\w+/=-]+$/;
const named = /^(?<id>[\w.-]{1,40}):(?<base64>[\w+/=-]+)(?::(?:(?<next>next)|until=(?<until>\S+)))?$/;

/** Parses a key file. Throws RangeError, saying what a line has to be, when it holds no ring. */
export function parseKeys(text: string, { name, longer }: Purpose): KeyRing {
  const form = `a ${name} key is 32 random bytes in base64 (openssl rand -base64 32), as "<id>:<base64>", one a line, the one that seals first`;
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const keys = lines.map((line, at): Key => {
    const { id, base64, next, until } = bare.test(line) ? { id: String(lines.length - at), base64: line } : (named.exec(line)?.groups ?? {});
    const key = Buffer.from(base64 ?? '', 'base64');
    if (id === undefined || key.length < 32 || (key.length > 32 && !longer)) throw new RangeError(`line ${at + 1}: ${form}`);
    return { id, key, ...(next === undefined ? {} : { next: true }), ...(until === undefined ? {} : { until: parseInstant(until) }) };
  });
  const [first, ...more] = keys;
  if (first === undefined) throw new RangeError(`the file is empty: ${form}`);
  if (first.next) throw new RangeError(`the first key seals, and "${first.id}" is marked as the next one`);
  const twice = keys.find(({ id }, at) => keys.findIndex((other) => other.id === id) !== at);
  if (twice) throw new RangeError(`two keys have the id "${twice.id}"`);
  if (keys.filter(({ next }) => next).length > 1) throw new RangeError('more than one key is marked as the next one');
  return [first, ...more];
}

/** The file of a ring: what `parseKeys` reads. */
export const printKeys = (ring: KeyRing): string =>
  ring.map(({ id, key, next, until }) => `${id}:${key.toString('base64')}${next ? ':next' : until === undefined ? '' : `:until=${until}`}\n`).join('');

/** Keys whose file is edited in a way that cannot be meant are left as they are, and people are told what to do instead. */
export class KeyRefusal extends Error {
  override readonly name = 'KeyRefusal';
}

/** A ring of one new key. */
export const newRing = (): KeyRing => [{ id: '1', key: randomBytes(32) }];

/** One more key, which opens only. Its id is the next number. */
export function withNext(ring: KeyRing): KeyRing {
  const waiting = ring.find(({ next }) => next);
  if (waiting) throw new KeyRefusal(`key "${waiting.id}" already waits to be promoted`);
  const [sealing, ...older] = ring;
  const id = String(1 + Math.max(0, ...ring.map((key) => Number(key.id)).filter(Number.isSafeInteger)));
  return [sealing, { id, key: randomBytes(32), next: true }, ...older];
}

/** The next key seals from now on, and the one before it opens only. */
export function promoted(ring: KeyRing, now: Instant): KeyRing {
  const waiting = ring.find(({ next }) => next);
  if (waiting === undefined) throw new KeyRefusal('no key waits to be promoted: rotate adds one');
  const [sealing, ...older] = ring;
  return [{ id: waiting.id, key: waiting.key }, { ...sealing, until: now }, ...older.filter((key) => key !== waiting)];
}

/** A key by its id. Throws KeyRefusal when the ring has none. */
export function keyNamed(ring: KeyRing, id: string): Key {
  const key = ring.find((one) => one.id === id);
  if (key === undefined) throw new KeyRefusal(`there is no key "${id}"; there are ${ring.map((one) => `"${one.id}"`).join(', ')}`);
  return key;
}

/** All keys but one, which may be any but the one that seals. */
export function without(ring: KeyRing, id: string): KeyRing {
  const [sealing, ...others] = ring;
  if (keyNamed(ring, id) === sealing) throw new KeyRefusal(`key "${id}" seals: rotate and promote another first`);
  return [sealing, ...others.filter((key) => key.id !== id)];
}

/** Keys as a process uses them: what seals now, and what opens. */
export interface Keys {
  /** The key that seals. */
  sealing(): Key;
  /** Every key that opens. */
  all(): KeyRing;
  /** The same from a look at the file now: for what names no key, before it is said that none fits. */
  again(): KeyRing;
  /** The key of this id. Before the answer is no, the file is looked at again: another process may have begun to seal with it a moment ago. */
  find(id: string): Key | undefined;
}

/** Keys that stay as they are. */
export const fixedKeys = (ring: KeyRing): Keys => ({
  sealing: () => ring[0],
  all: () => ring,
  again: () => ring,
  find: (id) => ring.find((key) => key.id === id),
});
