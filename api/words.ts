/** Parts what was sent into what a case may know and the words that only Postgres keeps, as the schemas mark them (`freeText`, `.meta({ personal: true })`). */
import { z } from 'zod';

export type Words = Readonly<Record<string, unknown>>;
export interface Parted {
  /** Without the words: what may enter a history, a log, a timeline. */
  readonly kept: unknown;
  /** The words by their dotted path; undefined when there are none. */
  readonly words: Words | undefined;
}

const cut = Symbol('cut');
type Cut = (path: string, value: unknown) => void;
const below = (path: string, key: string | number): string => (path === '' ? String(key) : `${path}.${key}`);
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Parts a value that the schema has parsed. */
export function part(schema: z.ZodType, parsed: unknown): Parted {
  const words: Record<string, unknown> = {};
  const kept = walk(schema, parsed, '', (path, value) => {
    words[path] = value;
  });
  return { kept: kept === cut ? undefined : kept, words: Object.keys(words).length > 0 ? words : undefined };
}

/** What is left of a value; `cut` when all of it is words. */
function walk(schema: z.core.$ZodType, value: unknown, path: string, take: Cut): unknown {
  if (value === undefined || value === null) return value;
  if (z.globalRegistry.get(schema)?.['personal'] === true) {
    take(path, value);
    return cut;
  }
  if (schema instanceof z.ZodObject)
    return isObject(value) ? fields(value, path, take, (key) => (schema.shape as Record<string, z.core.$ZodType>)[key] ?? schema.def.catchall) : value;
  if (schema instanceof z.ZodRecord) return isObject(value) ? fields(value, path, take, () => schema.valueType) : value;
  if (schema instanceof z.ZodArray) return Array.isArray(value) ? items(value, path, take, () => schema.element) : value;
  if (schema instanceof z.ZodTuple) return Array.isArray(value) ? items(value, path, take, (i) => schema.def.items[i] ?? schema.def.rest ?? undefined) : value;
  if (schema instanceof z.ZodDiscriminatedUnion) return through(chosen(schema, value), value, path, take);
  // Which option a plain union took is not known afterwards: what any of them calls words is taken for words.
  if (schema instanceof z.ZodUnion) return through(schema.options, value, path, take);
  if (schema instanceof z.ZodIntersection) return through([schema.def.left, schema.def.right], value, path, take);
  // A pipe's value has the shape of its end; where that is a function, what its beginning marked is looked for under the same names.
  if (schema instanceof z.ZodPipe) return walk(schema.def.out instanceof z.ZodTransform ? schema.def.in : schema.def.out, value, path, take);
  if (schema instanceof z.ZodLazy) return walk(schema.def.getter(), value, path, take);
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodNonOptional ||
    schema instanceof z.ZodReadonly ||
    schema instanceof z.ZodCatch
  )
    return walk(schema.def.innerType, value, path, take);
  return value;
}

function fields(value: Record<string, unknown>, path: string, take: Cut, schemaOf: (key: string) => z.core.$ZodType | undefined): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => {
      const schema = schemaOf(key);
      const kept = schema ? walk(schema, inner, below(path, key), take) : inner;
      return kept === cut ? [] : [[key, kept]];
    }),
  );
}

function items(value: readonly unknown[], path: string, take: Cut, schemaOf: (index: number) => z.core.$ZodType | undefined): unknown[] {
  return value.flatMap((inner, i) => {
    const schema = schemaOf(i);
    const kept = schema ? walk(schema, inner, below(path, i), take) : inner;
    return kept === cut ? [] : [kept];
  });
}

/** The options whose discriminator takes the value's. */
function chosen(union: z.ZodDiscriminatedUnion, value: unknown): readonly z.core.$ZodType[] {
  const { discriminator, options } = union.def;
  if (!isObject(value)) return options;
  const fit = options.filter(
    (option) =>
      option instanceof z.ZodObject && z.safeParse((option.shape as Record<string, z.core.$ZodType>)[discriminator] ?? z.never(), value[discriminator]).success,
  );
  return fit.length > 0 ? fit : options;
}

function through(schemas: readonly z.core.$ZodType[], value: unknown, path: string, take: Cut): unknown {
  return schemas.reduce((left: unknown, schema) => (left === cut ? cut : walk(schema, left, path, take)), value);
}
