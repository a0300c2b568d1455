/** The API's own document as attacks read it: its operations, a right request for each, and the places in it where a text stands. */
import { z } from 'zod';

const schemaObject = z.record(z.string(), z.unknown());
type Schema = z.output<typeof schemaObject>;
const operationObject = z.object({
  operationId: z.string(),
  security: z.array(z.record(z.string(), z.unknown())).default([]),
  parameters: z.array(z.object({ name: z.string(), in: z.enum(['path', 'query', 'header', 'cookie']), schema: schemaObject })).default([]),
  requestBody: z.object({ content: z.record(z.string(), z.object({ schema: schemaObject, example: z.unknown().optional() })) }).optional(),
});
const documentObject = z.object({
  paths: z.record(z.string(), z.record(z.string(), operationObject)),
  components: z.object({ schemas: z.record(z.string(), schemaObject) }),
});

export interface Operation {
  readonly id: string;
  readonly method: string;
  /** `/v1/cases/{id}` */
  readonly path: string;
  /** Whether it asks for a token. */
  readonly secured: boolean;
  readonly params: readonly string[];
  readonly query: Readonly<Record<string, unknown>>;
  /** Right bodies, one for each alternative; absent where it takes none, or an upload. */
  readonly bodies: readonly unknown[];
  readonly bodyType: string | undefined;
}

/** Reads a document and makes right values for all of its operations. */
export function operationsOf(document: unknown): readonly Operation[] {
  const { paths, components } = documentObject.parse(document);

  const resolve = (schema: Schema): Schema => {
    const { $ref } = schema;
    if (typeof $ref !== 'string') return schema;
    const name = $ref.replace('#/components/schemas/', '');
    const { [name]: found } = components.schemas;
    if (found === undefined) throw new Error(`The document has no ${$ref}.`);
    return resolve(found);
  };
  const schemaOf = (value: unknown): Schema => resolve(schemaObject.parse(value ?? {}));

  /** Right values of a schema; of an object one for each alternative of each of its fields, not all combinations. */
  function samples(given: Schema, depth = 0): readonly unknown[] {
    const schema = resolve(given);
    if (depth > 12) return [null];
    if ('const' in schema) return [schema['const']];
    if (Array.isArray(schema['enum'])) return [schema['enum'][0]];
    const examples = schema['examples'] ?? (schema['example'] === undefined ? undefined : [schema['example']]);
    if (Array.isArray(examples) && examples.length > 0) return [examples[0]];
    const options = schema['oneOf'] ?? schema['anyOf'];
    if (Array.isArray(options)) return options.flatMap((option) => samples(schemaOf(option), depth + 1));
    if (Array.isArray(schema['allOf'])) return [Object.assign({}, ...schema['allOf'].map((part) => samples(schemaOf(part), depth + 1)[0]))];
    const { type: told } = schema;
    const type: unknown = Array.isArray(told) ? told[0] : told;
    switch (type) {
      case 'object':
        return objects(schema, depth);
      case 'array':
        return samples(schemaOf(schema['items']), depth + 1).map((item) => [item]);
      case 'string':
        return [text(schema)];
      case 'integer':
      case 'number':
        return [Math.max(1, Number(schema['minimum'] ?? 1))];
      case 'boolean':
        return [false];
      default:
        return [{}];
    }
  }
  function objects(schema: Schema, depth: number): readonly unknown[] {
    const fields = Object.entries(schemaObject.parse(schema['properties'] ?? {})).map(([name, field]) => [name, samples(schemaOf(field), depth + 1)] as const);
    const first = Object.fromEntries(fields.map(([name, values]) => [name, values[0]]));
    return [first, ...fields.flatMap(([name, values]) => values.slice(1).map((value) => ({ ...first, [name]: value })))];
  }
  function text(schema: Schema): string {
    if (schema['format'] === 'date-time') return '2026-11-23T10:00:00.000Z';
    if (typeof schema['pattern'] === 'string' && /A-Z\]\{3\}/.test(schema['pattern'])) return 'CNY';
    return 'changedMind';
  }

  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): Operation => {
      const [[type, content] = []] = Object.entries(operation.requestBody?.content ?? {});
      const multipart = type === 'multipart/form-data';
      const inPlace = (place: 'path' | 'query') => operation.parameters.filter((parameter) => parameter.in === place);
      return {
        id: operation.operationId,
        method: method.toUpperCase(),
        path,
        secured: operation.security.length > 0,
        params: inPlace('path').map(({ name }) => name),
        query: Object.fromEntries(inPlace('query').map(({ name, schema }) => [name, samples(schema)[0]])),
        bodies: content === undefined || multipart ? [] : samples(content.schema),
        bodyType: type,
      };
    }),
  );
}

export const addressOf = ({ path }: Pick<Operation, 'path'>, params: Readonly<Record<string, string>>): string =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? 'x'));

type Place = readonly (string | number)[];
/** Where in a value texts stand. */
export function textsIn(value: unknown, at: Place = []): readonly Place[] {
  if (typeof value === 'string') return [at];
  if (Array.isArray(value)) return value.flatMap((item, i) => textsIn(item, [...at, i]));
  if (typeof value === 'object' && value !== null) return Object.entries(value).flatMap(([key, item]) => textsIn(item, [...at, key]));
  return [];
}

/** The value with another one at a place. */
export function withAt(value: unknown, [key, ...rest]: Place, put: unknown): unknown {
  if (key === undefined) return put;
  if (Array.isArray(value)) return value.map((item: unknown, i) => (i === key ? withAt(item, rest, put) : item));
  const object: Record<string, unknown> = typeof value === 'object' && value !== null ? { ...value } : {};
  return { ...object, [key]: withAt(object[key], rest, put) };
}
