/** The texts of a process (`messages.yaml`): what cases tell people and what people read about cases, checked against the declaration, in the reader's language. */
import { readFileSync } from 'node:fs';
import { parse, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { meant } from '../policies/nearest.ts';
import type { Wording } from '../policies/schema.ts';
import { instantSchema, moneySchema } from '../values/schemas.ts';
import type { Instant } from '../values/instant.ts';
import type { Money } from '../values/money.ts';
import { roles, type Role } from '../values/role.ts';
import type { Language, Text } from '../values/text.ts';
import { defineProcess, type ProcessDeclaration } from './kit/declare.ts';
import type { RegisteredProcess } from './registry.ts';

export const locales = ['zh-CN', 'en'] as const;
export type Locale = (typeof locales)[number];
/** Business time is China's, whatever the reader's language. */
const timeZone = 'Asia/Shanghai';

const texts = z.strictObject({ zh: z.string().min(1), en: z.string().min(1) });
const codeTexts = z.record(z.string(), texts);
/** How data is shown. What a message carries is ids, amounts and codes; names and addresses are the sender's, who knows whom it writes to. */
const kinds = {
  text: z.string().min(1).max(300),
  code: z.string(),
  /** A title that the data itself brings in both languages: a clock's, from the policy. */
  title: z.union([texts, z.string().min(1).max(300)]),
  codes: z.array(z.string()).min(1),
  money: moneySchema,
  instant: instantSchema,
  count: z.int().min(0),
  /** The customer's link to the case: no data of the body's, but made by whoever renders the message. */
  link: z.string().min(1),
} as const;
type Kind = keyof typeof kinds;

const message = texts.extend({
  to: z.enum(roles),
  kind: z.enum(['transactional', 'marketing']),
  data: z.record(z.string(), z.enum(Object.keys(kinds) as [Kind, ...Kind[]])).default({}),
});
const file = z.strictObject({
  messages: z.record(z.string(), message),
  reasons: codeTexts.default({}),
  words: codeTexts.default({}),
  stages: codeTexts.default({}),
  opened: texts.optional(),
  events: codeTexts.default({}),
  rules: codeTexts.default({}),
  outcomes: codeTexts.default({}),
});
type Message = z.output<typeof message>;
type Texts = Readonly<Record<string, Text>>;
export interface ProcessTexts {
  readonly messages: Readonly<Record<string, Message>>;
  /** Reasons and words. A code that means another thing in another field stands there as `<field>.<code>`. */
  readonly codes: Texts;
  readonly stages: Texts;
  /** What people read about a case, filled by `fillText`: from its input, an event's payload, a rule's decision, its outcome by `result`. */
  readonly opened: Text | undefined;
  readonly events: Texts;
  readonly rules: Texts;
  readonly outcomes: Texts;
}

/** Everything that is wrong with a messages.yaml, each with where. */
export class MessagesError extends Error {
  readonly problems: readonly string[];
  constructor(process: string, problems: readonly string[]) {
    super(problems.map((p) => `workflows/${process}/messages.yaml: ${p}`).join('\n'));
    this.name = 'MessagesError';
    this.problems = problems;
  }
}

const placeholder = /\{(\w+)\}/g;
const placeholders = (text: string): Set<string> => new Set([...text.matchAll(placeholder)].map(([, name = '']) => name));

/** How a text does not fit the data of its message: it names data that is not there, or leaves out what the reader is to be told. */
export function misfits(text: string, data: readonly string[]): string[] {
  const used = placeholders(text);
  return [
    ...[...used].filter((p) => !data.includes(p)).map((p) => `{${p}} is no data of the message${meant(p, data)}`),
    ...data.filter((p) => !used.has(p)).map((p) => `does not use {${p}}`),
  ];
}

function parseYaml(text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof YAMLParseError) return error;
    throw error;
  }
}

/**
 * Parses and checks the texts of a process: every declared message is there, in both languages, with exactly the placeholders that its data declares; nothing
 * stands there that the declaration does not know. Throws MessagesError with all problems.
 */
export function checkMessages({ declaration, messages: yaml }: Pick<RegisteredProcess, 'declaration' | 'messages'>): ProcessTexts {
  const { name } = declaration;
  const raw = parseYaml(yaml);
  if (raw instanceof YAMLParseError) throw new MessagesError(name, [raw.message]);
  const parsed = file.safeParse(raw ?? { messages: {} });
  if (!parsed.success)
    throw new MessagesError(
      name,
      parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`),
    );
  const { messages, reasons, words, opened, ...others } = parsed.data;
  const problems = [
    ...declaration.messages.filter((m) => !Object.hasOwn(messages, m)).map((m) => `messages.${m}: is declared and has no text`),
    ...Object.keys(messages)
      .filter((m) => !declaration.messages.includes(m))
      .map((m) => `messages.${m}: is not declared`),
    ...Object.keys(words)
      .filter((code) => Object.hasOwn(reasons, code))
      .map((code) => `words.${code}: is a reason too`),
    ...Object.entries(messages).flatMap(([m, { to, data }]) =>
      to === 'customer'
        ? []
        : Object.keys(data).flatMap((p) => (data[p] === 'link' ? [`messages.${m}.data.${p}: a link is the customer's, and this goes to ${to}`] : [])),
    ),
    ...Object.entries(messages).flatMap(([m, { data, ...text }]) =>
      (['zh', 'en'] as const).flatMap((language) => misfits(text[language], Object.keys(data)).map((reason) => `messages.${m}.${language}: ${reason}`)),
    ),
  ];
  if (problems.length > 0) throw new MessagesError(name, problems);
  return { messages, codes: { ...reasons, ...words }, opened, ...others };
}

const checked = new WeakMap<RegisteredProcess, ProcessTexts>();
/** The checked texts of a process. Throws MessagesError. */
export function textsOf(process: RegisteredProcess): ProcessTexts {
  const known = checked.get(process) ?? checkMessages(process);
  checked.set(process, known);
  return known;
}

/** Every declared stage, event by case id, rule and outcome needs its words: what is wanting. A test holds that nothing is. */
export function wantingTexts(process: RegisteredProcess): string[] {
  const { stages, events, rules, outcomes } = textsOf(process);
  const { declaration } = process;
  // What a system reports is said by its contract.
  const byCase = Object.entries(declaration.events).flatMap(([name, event]) => (event.from === undefined ? [name] : []));
  const compared: readonly (readonly [section: string, given: Texts, declared: readonly string[]])[] = [
    ['stages', stages, declaration.stages],
    ['events', events, byCase],
    ['rules', rules, Object.keys(process.rules)],
    ['outcomes', outcomes, resultsOf(declaration)],
  ];
  return compared.flatMap(([section, given, declared]) =>
    declared.filter((name) => !Object.hasOwn(given, name)).map((name) => `${section}.${name}: is declared and has no words`),
  );
}

/** The results that a process declares to end with. */
export function resultsOf({ outcome }: Pick<ProcessDeclaration, 'outcome'>): string[] {
  const options: readonly z.core.$ZodType[] = outcome instanceof z.ZodUnion ? outcome.options : [outcome];
  return options.flatMap((option) => {
    const result: unknown = option instanceof z.ZodObject ? (option.shape as Record<string, unknown>)['result'] : undefined;
    return result instanceof z.ZodLiteral ? [...result.values].map(String) : result instanceof z.ZodEnum ? result.options.map(String) : [];
  });
}

const path = /\{([\w.]+)\}/g;
/** The places that a sentence takes values from: `amount`, `units.length`. */
export const placesOf = (sentence: string): string[] => [...sentence.matchAll(path)].map(([, place = '']) => place);

/** A sentence with its places filled; `show` writes a value as the reader would, knowing the name of its field. */
export const fillText = (sentence: string, data: unknown, show: (value: unknown, field: string) => string): string =>
  // A function, so that "$&" in a value is text.
  sentence.replaceAll(path, (_, place: string) => show(valueAt(data, place), place.split('.').at(-1) ?? place));

function valueAt(data: unknown, place: string): unknown {
  let value = data;
  for (const name of place.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

const languageOf = (locale: Locale): Language => (locale === 'zh-CN' ? 'zh' : 'en');
export const localeOf = (language: Language): Locale => (language === 'zh' ? 'zh-CN' : 'en');

/** A reason or another code of a process, in words; throws RangeError on one that has none. */
export function codeText(process: RegisteredProcess, code: string, locale: Locale): string {
  const { codes } = textsOf(process);
  const text = Object.hasOwn(codes, code) ? codes[code] : undefined;
  if (text === undefined) throw new RangeError(`${process.declaration.name} has no text for the code "${code}"`);
  return text[languageOf(locale)];
}

/** An amount as the reader writes it: ¥1,234.50. */
export function moneyText({ minor, currency }: Money, locale: Locale): string {
  const format = new Intl.NumberFormat(locale, { style: 'currency', currency });
  return format.format(minor / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}

/** A moment as the reader writes it, in China's time. */
export const instantText = (at: Instant, locale: Locale): string =>
  new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'short', timeZone }).format(new Date(at));

function shown(process: RegisteredProcess, kind: Kind, value: unknown, locale: Locale): string {
  switch (kind) {
    case 'text':
      return kinds.text.parse(value);
    case 'title': {
      const title = kinds.title.parse(value);
      return typeof title === 'string' ? title : title[languageOf(locale)];
    }
    case 'code':
      return codeText(process, kinds.code.parse(value), locale);
    case 'codes':
      return new Intl.ListFormat(locale, { type: 'conjunction' }).format(kinds.codes.parse(value).map((code) => codeText(process, code, locale)));
    case 'money':
      return moneyText(kinds.money.parse(value), locale);
    case 'instant':
      return instantText(kinds.instant.parse(value), locale);
    case 'count':
      return new Intl.NumberFormat(locale).format(kinds.count.parse(value));
    case 'link':
      return kinds.link.parse(value);
  }
}

/** What a message is, before it is rendered: `link`, that whoever renders it brings the customer's link. Throws RangeError when there is none of the name. */
export function messageTraits(process: RegisteredProcess, name: string): { readonly kind: Message['kind']; readonly link: boolean } {
  const { kind, data } = messageNamed(process, name);
  return { kind, link: Object.values(data).includes('link') };
}

function messageNamed(process: RegisteredProcess, name: string): Message {
  const { messages } = textsOf(process);
  const found = Object.hasOwn(messages, name) ? messages[name] : undefined;
  if (found === undefined) throw new RangeError(`${process.declaration.name} has no message "${name}"`);
  return found;
}

export interface Rendered {
  readonly text: string;
  readonly to: Role;
  readonly kind: Message['kind'];
}

/** A shop's own words for a message, if it has any that fit: those of a pinned policy may be older than the message's data. */
function wordsOf(wording: Wording, process: string, name: string, language: Language, data: readonly string[]): string | undefined {
  const ofProcess = Object.hasOwn(wording, process) ? wording[process] : undefined;
  const own = ofProcess && Object.hasOwn(ofProcess, name) ? ofProcess[name]?.[language] : undefined;
  return own !== undefined && misfits(own, data).length === 0 ? own : undefined;
}

/**
 * A message of a process in the reader's language, in the shop's own words where its policy has some (`messages.texts`); money and moments as written there, moments in China's time.
 * `link`: the customer's, for a message that carries one; what the body says under that name is not looked at.
 * Throws RangeError, naming message and placeholder, when the message is unknown or its data is missing or of another kind.
 */
export function renderMessage(
  process: RegisteredProcess,
  name: string,
  data: Readonly<Record<string, unknown>>,
  locale: Locale,
  wording: Wording = {},
  link?: string,
): Rendered {
  const found = messageNamed(process, name);
  const values = new Map(
    Object.entries(found.data).map(([key, kind]) => {
      try {
        return [key, shown(process, kind, kind === 'link' ? link : data[key], locale)] as const;
      } catch (cause) {
        // zod's own words may quote the value; ids and kinds are enough to mend it.
        throw new RangeError(`message ${process.declaration.name}.${name}: {${key}} is no ${kind}`, { cause });
      }
    }),
  );
  const words = wordsOf(wording, process.declaration.name, name, languageOf(locale), Object.keys(found.data)) ?? found[languageOf(locale)];
  // A function, so that "$&" in a value is text.
  const text = words.replaceAll(placeholder, (_, key: string) => values.get(key) ?? '');
  return { text, to: found.to, kind: found.kind };
}

/** The kit's own texts, in the shape of a process that declares nothing but messages. */
export const kit: RegisteredProcess = {
  declaration: defineProcess({
    name: 'kit',
    title: { zh: '引擎', en: 'Engine' },
    input: z.never(),
    key: () => [],
    subject: () => ({ shop: '' }),
    stages: [],
    tasks: {},
    events: {},
    clocks: {},
    windows: [],
    messages: ['clockWarned', 'clockEscalated', 'caseBroken', 'others'],
    outcome: z.never(),
  }),
  rules: {},
  messages: readFileSync(new URL('./kit/messages.yaml', import.meta.url), 'utf8'),
};
const kitPrefix = 'kit.';

/** Whose text a message is: the process's own, or, as `kit.<name>`, the kit's. */
export const messageOf = (process: RegisteredProcess | undefined, message: string): readonly [RegisteredProcess | undefined, string] =>
  message.startsWith(kitPrefix) ? [kit, message.slice(kitPrefix.length)] : [process, message];
