import { createHash } from 'node:crypto';
import type { z } from 'zod';
import {
  isWritten,
  merge,
  type Path,
  type Place,
  placeOf,
  PolicyError,
  type PolicyProblem,
  readLayers,
  type Layer,
  type Spot,
  type Written,
} from './layers.ts';
import { meant } from './nearest.ts';
import { reasonOf, strangeKey } from './reasons.ts';
import type { Policy, PolicyValues } from './schema.ts';
import { valuesSchema } from './schema.ts';

export { PolicyError, type PolicyProblem } from './layers.ts';

export interface LoadedPolicy {
  readonly policy: Policy;
  /** Hash of the values: the same values are the same version, whatever their comments and order. */
  readonly version: string;
  /** The files it was read from, the one asked for first, then what it extends. */
  readonly source: readonly { readonly file: string; readonly text: string }[];
  /** The values of a shop, or without one of every other shop, as they are written. */
  readonly written: (shop?: string) => Written;
  /** Where a value stands: in the shop's section or, when the shop does not name it, with everybody's. */
  readonly at: (path: Path, shop?: string, spot?: Spot) => Place;
}

/** Sections whose entries processes name: who extends a policy changes entries, and a misspelt one would change nothing. */
const named = { clocks: 'clock', windows: 'window', periodic: 'periodic work' } as const;

const valueAt = (values: unknown, path: Path): unknown =>
  path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null && Object.hasOwn(at, key) ? (at as Record<string | number, unknown>)[key] : undefined),
    values,
  );

/** Entries that a layer or a shop names and what it changes does not have. */
function strangers(layers: readonly Layer[], values: Written, below: Written, base: Path, owner: string): PolicyProblem[] {
  return Object.entries(named).flatMap(([section, kind]) => {
    const [given, known] = [values[section], below[section]];
    if (!isWritten(given) || !isWritten(known)) return [];
    return Object.keys(given)
      .filter((name) => !Object.hasOwn(known, name))
      .map((name) => {
        const path = [...base, section, name];
        return { ...spotOf(layers, [[path]], 'key'), path: path.join('.'), reason: `${owner} has no ${kind} of this name${meant(name, Object.keys(known))}` };
      });
  });
}
const spotOf = (layers: readonly Layer[], groups: readonly (readonly Path[])[], spot?: Spot): Place => {
  const { path: _, ...place } = placeOf(layers, groups, spot);
  return place;
};

/** Where a value of a shop stands: in the shop's section or, when the shop does not name it, with everybody's. */
const groupsOf = (paths: readonly Path[], shop: string | undefined): readonly (readonly Path[])[] =>
  shop === undefined ? [paths] : [paths.map((path) => ['shops', shop, ...path]), paths];

function check(values: Written, layers: readonly Layer[], shop?: string): { ok: PolicyValues } | { problems: PolicyProblem[] } {
  const result = valuesSchema.safeParse(values);
  if (result.success) return { ok: result.data };
  const problem = (paths: readonly Path[], reason: string, spot?: Spot): PolicyProblem => {
    const { path, ...place } = placeOf(layers, groupsOf(paths, shop), spot);
    return { ...place, path: path.join('.'), reason };
  };
  const problems = result.error.issues.flatMap((issue: z.core.$ZodIssue) => {
    const path = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => problem([[...path, key]], strangeKey(valuesSchema, path, key), 'key'));
    const reason = reasonOf(issue, valueAt(values, path));
    // Values that contradict each other: any of them may be the one that was changed.
    const other: unknown = issue.code === 'custom' ? issue.params?.['other'] : undefined;
    const others = Array.isArray(other) ? [[...path.slice(0, path.length - other.length), ...(other as (string | number)[])]] : [];
    return [problem([path, ...others], reason, issue.code === 'invalid_key' ? 'key' : 'value')];
  });
  return { problems };
}

const canonical = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(canonical);
  if (!isWritten(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, canonical(inner)]),
  );
};

/**
 * Reads a policy file and what it `extends`, checks every value, also of every shop, and parses texts into typed values.
 * Throws one PolicyError with all problems. What it says of processes is checked against them by `checkPolicy`.
 */
export function loadPolicy(file: string): LoadedPolicy {
  const layers = readLayers(file);
  const problems: PolicyProblem[] = [];
  const whole = layers.reduceRight<Written>((below, { values, file: from }, i) => {
    if (i < layers.length - 1) problems.push(...strangers(layers.slice(i), values, below, [], nameOf(layers[i + 1]?.file ?? from)));
    return merge(below, values);
  }, {});
  const { extends: _, shops = {}, ...values } = whole;
  const base = check(values, layers);
  if ('problems' in base) problems.push(...base.problems);
  const ofShops = new Map<string, PolicyValues>();
  if (!isWritten(shops)) problems.push({ ...spotOf(layers, [[['shops']]]), path: 'shops', reason: 'must be a map from shop to the values that differ' });
  else
    for (const [shop, differing] of Object.entries(shops)) {
      if (!isWritten(differing)) {
        problems.push({ ...spotOf(layers, [[['shops', shop]]]), path: `shops.${shop}`, reason: 'must be a map of the values that differ' });
        continue;
      }
      problems.push(...strangers(layers, differing, values, ['shops', shop], 'the policy'));
      const own = check(merge(values, differing), layers, shop);
      if ('ok' in own) ofShops.set(shop, own.ok);
      // What is wrong for everybody is told once.
      else problems.push(...own.problems.filter((p) => p.path.startsWith('shops.')));
    }
  if ('problems' in base || problems.length > 0) throw new PolicyError(problems);
  const policy: Policy = { ...base.ok, shops: Object.fromEntries(ofShops) };
  const version = createHash('sha256')
    .update(JSON.stringify(canonical(policy)))
    .digest('hex')
    .slice(0, 16);
  return {
    policy,
    version,
    source: layers.map(({ file: from, text }) => ({ file: from, text })),
    written: (shop) => {
      const differing = shop === undefined ? undefined : valueAt(shops, [shop]);
      return isWritten(differing) ? merge(values, differing) : values;
    },
    at: (path, shop, spot) => spotOf(layers, groupsOf([path], shop), spot),
  };
}
const nameOf = (file: string): string => file.split('/').at(-1) ?? file;
