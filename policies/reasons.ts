/** What is wrong with a value, in words that say what to write. */
import { z } from 'zod';
import { isWritten, type Path } from './layers.ts';
import { meant } from './nearest.ts';

const kinds: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map of values',
  record: 'a map of values',
};

/** A value as a person would quote it. */
function shown(value: unknown): string {
  if (typeof value === 'string') return `"${value}"`;
  if (Array.isArray(value)) return 'a list';
  if (isWritten(value)) return 'a map of values';
  return typeof value === 'number' ? `the number ${value}` : String(value);
}

/** A value that is not what it should be, or not there at all. */
function notThis(value: unknown, expected: string): string {
  if (value === undefined) return `is missing: ${expected} expected`;
  if (value === null) return `is empty: ${expected} expected`;
  // A bare 5.00 is a number to YAML.
  const quote = expected === kinds['string'] && (typeof value === 'number' || typeof value === 'boolean') ? ': write it in quotes' : '';
  return `is ${shown(value)}, not ${expected}${quote}`;
}

/** The keys that a map may have, by the schema; none when any may stand there. */
function keysAt(schema: z.core.$ZodType, path: Path): readonly string[] {
  const { def } = schema as unknown as { def: z.core.$ZodTypes['_zod']['def'] };
  switch (def.type) {
    case 'pipe':
      return keysAt(def.in, path);
    case 'default':
    case 'optional':
      return keysAt(def.innerType, path);
    case 'object': {
      const [key, ...rest] = path;
      const inner = key === undefined ? undefined : def.shape[key];
      return key === undefined ? Object.keys(def.shape) : inner === undefined ? [] : keysAt(inner, rest);
    }
    case 'record':
      if (path.length > 0) return keysAt(def.valueType, path.slice(1));
      return def.keyType instanceof z.ZodEnum ? def.keyType.options.map(String) : [];
    case 'array':
      return keysAt(def.element, path.slice(1));
    case 'union':
      return [...new Set(def.options.flatMap((option) => keysAt(option, path)))];
    default:
      return [];
  }
}

/** What an issue of zod says of the value at its path, in words; `unrecognized_keys` are `strangeKey`'s. */
export function reasonOf(issue: z.core.$ZodIssue, value: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      return notThis(value, kinds[issue.expected] ?? issue.expected);
    case 'invalid_value': {
      const known = issue.values.map(String);
      return typeof value === 'string' ? `"${value}" is not known here${meant(value, known)}` : notThis(value, `one of ${known.join(', ')}`);
    }
    case 'invalid_union': {
      const known = 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
      return typeof value === 'string' ? `"${value}" is not known here${meant(value, known)}` : notThis(value, `one of ${known.join(', ')}`);
    }
    case 'too_small':
      if (issue.origin === 'array' || issue.origin === 'string') return issue.message.startsWith('Too small') ? 'must not be empty' : issue.message;
      return `is ${shown(value)}: it must be ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`;
    case 'too_big':
      return `is ${shown(value)}: it must be ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
    case 'invalid_key':
      return `the key is not ${issue.issues[0]?.message ?? 'known here'}`;
    case 'invalid_format':
      return `${shown(value)} is not ${issue.message}`;
    default:
      return issue.message;
  }
}

/** A key that the schema does not know, with what it was likely meant to be. */
export const strangeKey = (schema: z.core.$ZodType, path: Path, key: string): string => `is no value of the policy${meant(key, keysAt(schema, path))}`;
