import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Document, Node, Pair } from 'yaml';
import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import type { Policy, PolicyValues } from './schema.ts';
import { valuesSchema } from './schema.ts';

export interface PolicyProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** The value in the file, dotted: `clocks.T10.within`; empty for the file as a whole. */
  readonly path: string;
  readonly reason: string;
}

/** Everything that is wrong with a policy, each with file, line and reason. */
export class PolicyError extends Error {
  readonly problems: readonly PolicyProblem[];
  constructor(found: readonly PolicyProblem[]) {
    const problems = found.toSorted((a, b) => (a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1));
    super(problems.map((p) => `${p.file}:${p.line}:${p.column} ${p.path === '' ? '' : `${p.path}: `}${p.reason}`).join('\n'));
    this.name = 'PolicyError';
    this.problems = problems;
  }
}

export interface LoadedPolicy {
  readonly policy: Policy;
  /** Hash of the values: the same values are the same version, whatever their comments and order. */
  readonly version: string;
  /** The files it was read from, the one asked for first, then what it extends. */
  readonly source: readonly { readonly file: string; readonly text: string }[];
}

interface Layer {
  readonly file: string;
  readonly text: string;
  readonly document: Document;
  readonly lines: LineCounter;
  readonly values: Raw;
}
type Raw = Readonly<Record<string, unknown>>;
type Path = readonly (string | number)[];

const isRaw = (value: unknown): value is Raw => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Maps merge, everything else replaces: a list that is named is named whole. */
function merge(base: Raw, over: Raw): Raw {
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(over)) {
    const below = merged.get(key);
    merged.set(key, isRaw(below) && isRaw(value) ? merge(below, value) : value);
  }
  return Object.fromEntries(merged);
}

/** A policy file or a draft of one may not be larger; the default has 12 KB. */
const largest = 1_000_000;

function readLayer(file: string): Layer {
  const wrong = (reason: string): PolicyError => new PolicyError([{ file, line: 1, column: 1, path: '', reason }]);
  const attempt = <T>(step: () => T): T => {
    try {
      return step();
    } catch (error) {
      throw wrong(`cannot be read: ${String(error).replace(/^\w*Error: /, '')}`);
    }
  };
  const text = attempt(() => readFileSync(file, 'utf8'));
  if (text.length > largest) throw wrong(`is larger than ${largest} characters`);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problems = [...document.errors, ...document.warnings].map(({ pos, message }): PolicyProblem => {
    const { line, col } = lines.linePos(pos[0]);
    return { file, line, column: col, path: '', reason: message };
  });
  if (problems.length > 0) throw new PolicyError(problems);
  // It throws on an alias without an anchor, and on aliases that multiply without bounds.
  const values: unknown = attempt(() => document.toJS() as unknown) ?? {};
  if (!isRaw(values)) throw wrong('must be a map of values');
  return { file, text, document, lines, values };
}

/** The file and what it extends, nearest first. */
function readLayers(file: string, above: readonly string[] = []): Layer[] {
  const layer = readLayer(file);
  const extended = layer.values['extends'];
  if (extended === undefined) return [layer];
  const wrong = (reason: string): PolicyError => new PolicyError([{ ...place([layer], [['extends']]), path: 'extends', reason }]);
  if (typeof extended !== 'string' || !/^[\w-]+$/.test(extended)) throw wrong('must name a policy file of the same folder, without ".yaml"');
  const next = join(dirname(file), `${extended}.yaml`);
  if (next === file || above.includes(next)) throw wrong(`goes round in a circle: ${[...above, file, next].join(' → ')}`);
  return [layer, ...readLayers(next, [...above, file])];
}

const pairOf = (node: unknown, key: string | number): Pair<unknown, unknown> | undefined =>
  isMap(node) ? node.items.find((pair) => String(isScalar(pair.key) ? pair.key.value : pair.key) === String(key)) : undefined;

type Spot = 'value' | 'key';
/** Where a path stands in a layer, as deep as it exists there: its key's place, or the value's when that is a scalar and it is the value that is wrong. */
function locate(layer: Layer, path: Path, spot: Spot = 'value'): { file: string; line: number; column: number; depth: number } {
  let node: unknown = layer.document.contents;
  let offset = 0;
  let depth = 0;
  for (const key of path) {
    const pair = pairOf(node, key);
    const value = pair ? pair.value : isSeq(node) && typeof key === 'number' ? node.items[key] : undefined;
    const place = (isScalar(value) && spot === 'value') || !pair ? value : pair.key;
    const range = (place as Node | null | undefined)?.range;
    if (!range) break;
    [offset] = range;
    depth += 1;
    node = value;
  }
  const { line, col } = layer.lines.linePos(offset);
  return { file: layer.file, line, column: col, depth };
}

/** The deepest place of any of these paths; nearer layers win among equals. */
function place(layers: readonly Layer[], paths: readonly Path[], spot?: Spot): Omit<PolicyProblem, 'path' | 'reason'> {
  const found = layers
    .flatMap((layer) => paths.map((path) => ({ ...locate(layer, path, spot), missing: path.length })))
    .map((p) => ({ ...p, missing: p.missing - p.depth }));
  const [best = { file: '', line: 1, column: 1 }] = found.sort((a, b) => a.missing - b.missing);
  return { file: best.file, line: best.line, column: best.column };
}

function check(values: Raw, layers: readonly Layer[], prefix: Path = []): { ok: PolicyValues } | { problems: PolicyProblem[] } {
  const result = valuesSchema.safeParse(values);
  if (result.success) return { ok: result.data };
  const problem = (path: Path, reason: string, spot?: Spot): PolicyProblem => {
    // A value of a shop stands in the shop's section or, when the shop does not name it, with everybody's.
    const paths = prefix.length > 0 ? [[...prefix, ...path], path] : [path];
    return { ...place(layers, paths, spot), path: [...prefix, ...path].join('.'), reason };
  };
  const problems = result.error.issues.flatMap((issue: z.core.$ZodIssue) => {
    const path = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
    return issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => problem([...path, key], 'is no value of the policy; is it misspelt?', 'key'))
      : [problem(path, issue.message.replace(/^Invalid input: expected (\w+), received undefined$/, 'is missing: $1 expected'))];
  });
  return { problems };
}

const canonical = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(canonical);
  if (!isRaw(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, canonical(inner)]),
  );
};

/**
 * Reads a policy file and what it `extends`, checks every value, also of every shop, and parses texts into typed values.
 * Throws one PolicyError with all problems.
 */
export function loadPolicy(file: string): LoadedPolicy {
  const layers = readLayers(file);
  const { extends: _, shops = {}, ...values } = layers.reduceRight<Raw>((below, layer) => merge(below, layer.values), {});
  const base = check(values, layers);
  if ('problems' in base) throw new PolicyError(base.problems);
  const problems: PolicyProblem[] = [];
  const ofShops = new Map<string, PolicyValues>();
  if (!isRaw(shops)) throw new PolicyError([{ ...place(layers, [['shops']]), path: 'shops', reason: 'must be a map from shop to the values that differ' }]);
  for (const [shop, differing] of Object.entries(shops)) {
    const path = ['shops', shop];
    if (!isRaw(differing)) {
      problems.push({ ...place(layers, [path]), path: path.join('.'), reason: 'must be a map of the values that differ' });
      continue;
    }
    const own = check(merge(values, differing), layers, path);
    if ('problems' in own) problems.push(...own.problems);
    else ofShops.set(shop, own.ok);
  }
  if (problems.length > 0) throw new PolicyError(problems);
  const policy: Policy = { ...base.ok, shops: Object.fromEntries(ofShops) };
  const version = createHash('sha256')
    .update(JSON.stringify(canonical(policy)))
    .digest('hex')
    .slice(0, 16);
  return { policy, version, source: layers.map(({ file: from, text }) => ({ file: from, text })) };
}
