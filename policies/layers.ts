/** Policy files as they are written: layers that extend one another, and where each value stands. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Document, Node, Pair } from 'yaml';
import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';

export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}
export interface PolicyProblem extends Place {
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

/** Values as the file has them, before they are parsed. */
export type Written = Readonly<Record<string, unknown>>;
export type Path = readonly (string | number)[];
export interface Layer {
  readonly file: string;
  readonly text: string;
  readonly document: Document;
  readonly lines: LineCounter;
  readonly values: Written;
}

export const isWritten = (value: unknown): value is Written => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Maps merge, everything else replaces: a list that is named is named whole. */
export function merge(base: Written, over: Written): Written {
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(over)) {
    const below = merged.get(key);
    merged.set(key, isWritten(below) && isWritten(value) ? merge(below, value) : value);
  }
  return Object.fromEntries(merged);
}

/** A policy file or a draft of one may not be larger; the default has 16 KB. */
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
  if (!isWritten(values)) throw wrong('must be a map of values');
  return { file, text, document, lines, values };
}

/** The file and what it extends, nearest first. */
export function readLayers(file: string, above: readonly string[] = []): Layer[] {
  const layer = readLayer(file);
  const extended = layer.values['extends'];
  if (extended === undefined) return [layer];
  const wrong = (reason: string): PolicyError => new PolicyError([{ ...placeOf([layer], [[['extends']]]), path: 'extends', reason }]);
  if (typeof extended !== 'string' || !/^[\w-]+$/.test(extended))
    throw wrong('must name a policy file of the same folder, or one that is shipped, without ".yaml"');
  const beside = join(dirname(file), `${extended}.yaml`);
  // A policy that is kept elsewhere (a mounted file) extends the one that is shipped.
  const shipped = join(import.meta.dirname, `${extended}.yaml`);
  const next = existsSync(beside) || !existsSync(shipped) ? beside : shipped;
  if (next === file || above.includes(next)) throw wrong(`goes round in a circle: ${[...above, file, next].join(' → ')}`);
  return [layer, ...readLayers(next, [...above, file])];
}

const pairOf = (node: unknown, key: string | number): Pair<unknown, unknown> | undefined =>
  isMap(node) ? node.items.find((pair) => String(isScalar(pair.key) ? pair.key.value : pair.key) === String(key)) : undefined;

export type Spot = 'value' | 'key';
/** Where a path stands in a layer, as deep as it exists there: its key's place, or the value's when that is a scalar and it is the value that is wrong. */
function locate(layer: Layer, path: Path, spot: Spot): Place & { readonly missing: number } {
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
  return { file: layer.file, line, column: col, missing: path.length - depth };
}

/**
 * Where a value stands. Of the paths of a group any may be it (values that contradict each other: the nearest layer's is the one that was changed last); a later
 * group counts only when no path of an earlier one is there. When none is, the deepest place that leads to one.
 */
export function placeOf(layers: readonly Layer[], groups: readonly (readonly Path[])[], spot: Spot = 'value'): Place & { readonly path: Path } {
  const found = groups.flatMap((paths) => layers.flatMap((layer) => paths.map((path) => ({ ...locate(layer, path, spot), path }))));
  const best = found.find((f) => f.missing === 0) ?? found.toSorted((a, b) => a.missing - b.missing)[0] ?? { file: '', line: 1, column: 1, path: [] };
  return { file: best.file, line: best.line, column: best.column, path: best.path };
}
