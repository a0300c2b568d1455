/** What a declared form asks, as plain questions that a page can put without knowing the process: made from the form's JSON Schema. */
import { z } from 'zod';
import { parseMoney } from '../../values/money.ts';

interface Asked {
  readonly name: string;
  readonly required: boolean;
}
export type Question = Asked &
  (
    | { readonly kind: 'choice'; readonly options: readonly string[] }
    | { readonly kind: 'yesNo' }
    | { readonly kind: 'text'; readonly long: boolean; readonly most: number }
    | { readonly kind: 'number'; readonly least: number | undefined; readonly most: number | undefined }
    | { readonly kind: 'money' }
  );
/** One way to answer: what is fixed (`decision: accept`), and what is asked with it. */
export interface Answering {
  readonly fixed: Readonly<Record<string, string | number | boolean>>;
  readonly questions: readonly Question[];
}

interface Schema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly type?: string;
  readonly const?: string | number | boolean;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly personal?: boolean;
  readonly id?: string;
}

/** Longer answers than this get a field of several lines. */
const oneLine = 300;

/** The ways to answer a form, one per alternative; undefined when it asks something that has no plain question (a list, a nested form). */
export function answerings(form: z.ZodType): readonly Answering[] | undefined {
  const schema = z.toJSONSchema(form, { io: 'input', unrepresentable: 'any' }) as unknown as Schema;
  const resolve = (s: Schema): Schema => (s.$ref === undefined ? s : (schema.$defs?.[s.$ref.replace('#/$defs/', '')] ?? {}));
  const alternatives = schema.oneOf ?? schema.anyOf ?? [schema];
  const ways = alternatives.map((way) => answering(resolve(way), resolve));
  return ways.every((way) => way !== undefined) ? ways : undefined;
}

function answering({ properties, required = [] }: Schema, resolve: (s: Schema) => Schema): Answering | undefined {
  if (properties === undefined) return undefined;
  const fixed: Record<string, string | number | boolean> = {};
  const questions: Question[] = [];
  for (const [name, given] of Object.entries(properties)) {
    const schema = resolve(given);
    if (schema.const !== undefined) {
      fixed[name] = schema.const;
      continue;
    }
    const asked = question({ name, required: required.includes(name) }, schema);
    if (asked === undefined) return undefined;
    questions.push(asked);
  }
  return { fixed, questions };
}

function question(asked: Asked, schema: Schema): Question | undefined {
  if (schema.enum) return { ...asked, kind: 'choice', options: schema.enum };
  const { properties } = schema;
  if (properties && Object.keys(properties).toSorted().join() === 'currency,minor') return { ...asked, kind: 'money' };
  switch (schema.type) {
    case 'boolean':
      return { ...asked, kind: 'yesNo' };
    case 'string': {
      const most = schema.maxLength ?? 2000;
      return { ...asked, kind: 'text', long: most > oneLine, most };
    }
    case 'integer':
    case 'number':
      return { ...asked, kind: 'number', least: schema.minimum, most: schema.maximum };
    default:
      return undefined;
  }
}

/** What a form sent, by the names of its fields. An amount comes in two: `<name>` and `<name>.currency`. */
export type Sent = Readonly<Record<string, string>>;
/** An answer of the form's shape, for its schema to parse, or the questions that were answered in no way that could be one. */
export function answered(
  { fixed, questions }: Answering,
  sent: Sent,
): { readonly form: Readonly<Record<string, unknown>>; readonly unclear: readonly string[] } {
  const form: Record<string, unknown> = { ...fixed };
  const unclear: string[] = [];
  for (const question of questions) {
    const text = (sent[question.name] ?? '').trim();
    if (text === '') {
      if (question.required) unclear.push(question.name);
      continue;
    }
    const value = valueOf(question, text, sent);
    if (value === undefined) unclear.push(question.name);
    else form[question.name] = value;
  }
  return { form, unclear };
}

function valueOf(question: Question, text: string, sent: Sent): unknown {
  switch (question.kind) {
    case 'choice':
      return question.options.includes(text) ? text : undefined;
    case 'yesNo':
      return text === 'yes' ? true : text === 'no' ? false : undefined;
    case 'text':
      return text.length > question.most ? undefined : text;
    case 'number':
      return /^-?\d{1,15}(\.\d{1,6})?$/.test(text) ? Number(text) : undefined;
    case 'money':
      return amountOf(text, sent[`${question.name}.currency`] ?? '');
  }
}

function amountOf(text: string, currency: string): unknown {
  if (!/^[A-Z]{3}$/.test(currency)) return undefined;
  try {
    // People write thousands with a comma, and the sign of the currency before.
    return parseMoney(text.replaceAll(/[,，\s¥￥$]/g, ''), currency);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return undefined;
  }
}
