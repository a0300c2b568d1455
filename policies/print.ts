/** A policy for people to read: what differs, and what holds with where it comes from. */
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import { isWritten, type Path, type Place, type Written } from './layers.ts';

export interface Difference {
  readonly path: Path;
  /** Absent: it is new. */
  readonly from?: unknown;
  /** Absent: it is gone. */
  readonly to?: unknown;
}

/** Values in which two policies differ, in the order of the second; maps are compared value by value, lists whole. */
export function differences(from: Written, to: Written, base: Path = []): Difference[] {
  const gone = Object.keys(from).filter((key) => !Object.hasOwn(to, key));
  return [...Object.keys(to), ...gone].flatMap((key): Difference[] => {
    const path = [...base, key];
    const [before, after] = [Object.hasOwn(from, key) ? from[key] : undefined, Object.hasOwn(to, key) ? to[key] : undefined];
    if (isWritten(before) && isWritten(after)) return differences(before, after, path);
    if (isDeepStrictEqual(before, after)) return [];
    return [{ path, ...(before === undefined ? {} : { from: before }), ...(after === undefined ? {} : { to: after }) }];
  });
}

/** A value on one line of YAML. */
export const oneLine = (value: unknown): string => stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trimEnd();

/** `windows.evidence: 3d → 7d  (own.yaml:4)` of each difference. */
export const differenceLines = (all: readonly Difference[], at: (path: Path) => Place): string[] =>
  all.map(({ path, from, to }) => {
    const place = at(path);
    const change = [from, to].map((value) => (value === undefined ? '(nothing)' : oneLine(value))).join(' → ');
    return `${path.join('.')}: ${change}  (${to === undefined ? 'left out' : `${place.file}:${place.line}`})`;
  });

/** The values as YAML, each with the file and line it comes from; a list and an empty map are one value. */
export function printed(values: Written, at: (path: Path) => Place, path: Path = []): string[] {
  return Object.entries(values).flatMap(([key, value]) => {
    const here = [...path, key];
    const indent = '  '.repeat(path.length);
    if (isWritten(value) && Object.keys(value).length > 0) return [`${indent}${oneLine(key)}:`, ...printed(value, at, here)];
    const { file, line } = at(here);
    return [`${indent}${oneLine(key)}: ${oneLine(value)} # ${file}:${line}`];
  });
}
