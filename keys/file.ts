/** Files of keys, read again when they change, so that a rotation needs no restart. */
import { readFileSync, statSync } from 'node:fs';
import { parseKeys, type Keys, type Purpose } from './ring.ts';

/** A file was read again, or could not be: `error` says why, and what was read before goes on. */
export interface FileNews {
  readonly file: string;
  /** Ids of what the file holds now, the one that seals first. */
  readonly keys?: readonly string[];
  readonly error?: string;
}
export type Report = (news: FileNews) => void;

/** What a log says of a key file that has changed. */
export interface KeyLog {
  info(what: object, line: string): void;
  error(what: object, line: string): void;
}
export const reportTo =
  (log: KeyLog): Report =>
  (news) =>
    news.error === undefined
      ? log.info(news, 'keys read again')
      : log.error(news, 'a key file has changed and cannot be read; the keys that were read before are used until it is mended');

export interface Watched<T> {
  /** What the file holds: looked at once a second at most. */
  now(): T;
  /** The same, looked at in any case. */
  again(): T;
}

/** A look costs some microseconds; whoever rotates waits longer than this anyway. */
const lookEveryMs = 1000;

/**
 * What a file holds, parsed; looked at when it is asked for, and read when it has changed. Throws at first when the file cannot be read or parsed. Later such
 * a file changes nothing but is reported: one that an editor or a volume is just replacing must not take down a process that runs.
 */
export function watched<T>(file: string, parse: (text: string) => T, report: Report, idsOf: (value: T) => readonly string[]): Watched<T> {
  // The inode too: a volume of Kubernetes swaps a link, and two writes may fall into one tick of the clock.
  const stamp = (): string => {
    const { mtimeNs, ino, size } = statSync(file, { bigint: true });
    return `${mtimeNs} ${ino} ${size}`;
  };
  const read = (): T => parse(readFileSync(file, 'utf8'));
  // Before the content: what is written between the two is seen at the next look.
  let seen = stamp();
  let value = read();
  let lookedAt = performance.now();
  let told: string | undefined;
  const again = (): T => {
    lookedAt = performance.now();
    try {
      const found = stamp();
      if (found === seen && told === undefined) return value;
      value = read();
      seen = found;
      told = undefined;
      report({ file, keys: idsOf(value) });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      // Once, not at every use.
      if (why !== told) report({ file, error: why });
      told = why;
    }
    return value;
  };
  return { again, now: () => (performance.now() - lookedAt < lookEveryMs ? value : again()) };
}

/** The keys of a file. Throws an Error that names the file when it cannot be read or holds none. */
export function keysOfFile(file: string, purpose: Purpose, report: Report): Keys {
  try {
    const ring = watched(
      file,
      (text) => parseKeys(text, purpose),
      report,
      (keys) => keys.map(({ id }) => id),
    );
    return {
      sealing: () => ring.now()[0],
      all: () => ring.now(),
      again: () => ring.again(),
      find: (id) => ring.now().find((key) => key.id === id) ?? ring.again().find((key) => key.id === id),
    };
  } catch (cause) {
    throw new Error(`no ${purpose.name} key in ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
