/** A case as its customer sees it: where it stands, what they were told, what they may do. Ids, amounts and codes in words; nothing of how we work inside. */
import { z } from 'zod';
import type { CaseRow } from '../../db/cases.ts';
import { evidenceOf, type Evidence } from '../../db/evidence.ts';
import { pinnedPolicy } from '../../db/policies.ts';
import { findPerson } from '../../db/people.ts';
import type { Sql } from '../../db/pool.ts';
import { open } from '../../db/sealed.ts';
import { tasksOfCase, type Task } from '../../db/tasks.ts';
import { toldTo, type ToldRow } from '../../db/messages.ts';
import { typesOf, type Uploads } from '../../evidence/receive.ts';
import { policyFor } from '../../policies/lookup.ts';
import { instant } from '../../values/instant.ts';
import { moneySchema } from '../../values/schemas.ts';
import type { EventDeclaration } from '../../workflows/kit/declare.ts';
import { localeOf, messageOf, renderMessage } from '../../workflows/texts.ts';
import { customerOf } from '../acting.ts';
import type { AppDeps } from '../deps.ts';
import { formOf, titleOf } from '../forms.ts';
import type { Language } from '../language.ts';
import { evidenceSchema } from '../views.ts';
import { Problem } from '../problems.ts';
import { asJsonSchema } from '../routes/processes.ts';
import { outcomeText, readerOf, stageText, wordOf, type Reader } from '../sentences.ts';
import { answerings, type Answering } from './questions.ts';
import { ends } from './texts.ts';

const at = z.iso.datetime();
const words = z
  .record(z.string(), z.string())
  .describe('What the fields and codes of the form mean, in words: `choice.refund` before `refund`; `choice:` is the field itself');
const asking = { title: z.string(), schema: z.record(z.string(), z.unknown()).describe('JSON Schema of what to send'), words };

export const customerEvidenceSchema = evidenceSchema
  .omit({ by: true })
  .extend({ yours: z.boolean().describe('Uploaded through a link, not by us or a calling system') })
  .meta({ id: 'CustomerEvidence', description: 'An uploaded file, as its customer sees it' });
/** Who of us uploaded something is not the customer's to know. */
export const customerEvidence =
  (row: CaseRow) =>
  ({ caseId: _caseId, by, ...evidence }: Evidence): z.output<typeof customerEvidenceSchema> => ({ ...evidence, yours: by === customerOf(row).id });

export const followSchema = z
  .object({
    title: z.string(),
    order: z.string().nullable(),
    language: z.enum(['zh', 'en']),
    openedAt: at,
    closedAt: at.nullable(),
    stages: z.array(z.object({ name: z.string(), title: z.string(), state: z.enum(['done', 'current', 'ahead']) })),
    outcome: z.object({ result: z.string(), text: z.string() }).nullable().describe('How it ended; null while it runs'),
    told: z.array(z.object({ at, text: z.string() })).describe('What we told the customer, oldest first'),
    said: z.array(z.object({ at, text: z.string() })).describe('What the customer told us in their own words, oldest first'),
    tasks: z.array(z.object({ task: z.string().describe('To complete it by'), ...asking, expiresAt: at.nullable() })).describe('What waits for the customer'),
    events: z.array(z.object({ event: z.string(), ...asking })).describe('What the customer may tell us now'),
    evidence: z.array(customerEvidenceSchema),
    upload: z
      .object({ types: z.array(z.string()), left: z.int().describe('Files that may still come'), photoMegabytes: z.int(), videoMegabytes: z.int() })
      .nullable()
      .describe('What may be uploaded; null: nothing more'),
    withdrawal: z.enum(['possible', 'asked', 'no']),
  })
  .meta({ id: 'CustomerView', description: 'A case as its customer sees it, in the language of their link' });
export type Follow = z.output<typeof followSchema>;

/** A form with what a page needs to put it as questions; `ways` is undefined where it cannot. */
export interface Put {
  readonly words: (code: string, field?: string) => string;
  readonly ways: readonly Answering[] | undefined;
}
export interface Followed {
  readonly view: Follow;
  readonly tasks: ReadonlyMap<string, Put>;
  readonly events: ReadonlyMap<string, Put>;
  /** Currencies that an amount may be in, the likeliest first. */
  readonly currencies: readonly string[];
}

/** A task's form; undefined where it was opened with one that this version cannot take: operations see to that, and the rest of the page stays. */
function formNow(task: Task, deps: AppDeps): z.ZodType | undefined {
  try {
    return formOf(task, deps);
  } catch (error) {
    if (error instanceof Problem && error.code === 'formChanged') return undefined;
    throw error;
  }
}

/** Words of a form's fields and codes, as far as the process has any. */
function wordsOf(reader: Reader, ways: readonly Answering[] | undefined): Record<string, string> {
  const found: Record<string, string> = {};
  const take = (name: string, word: string | undefined): void => {
    if (word !== undefined) found[name] = word;
  };
  for (const { fixed, questions } of ways ?? []) {
    for (const [field, code] of Object.entries(fixed)) take(`${field}.${code}`, wordOf(reader, String(code), field));
    for (const question of questions) {
      take(`${question.name}:`, wordOf(reader, `${question.name}:`));
      if (question.kind === 'choice') for (const code of question.options) take(`${question.name}.${code}`, wordOf(reader, code, question.name));
    }
  }
  return found;
}

/** Events that the customer may send, by name. */
export const customerEvents = (declared: Readonly<Record<string, EventDeclaration>> = {}): readonly (readonly [string, EventDeclaration])[] =>
  Object.entries(declared).filter(([, event]) => event.byCustomer !== undefined && event.from === undefined);

/** The case as the customer sees it now. */
export async function follow(sql: Sql, row: CaseRow, language: Language, uploads: Uploads, link: string, deps: AppDeps): Promise<Followed> {
  const declaration = deps.processes.get(row.process)?.declaration;
  const reader = readerOf(row, deps, language, { policy: await pinnedPolicy(sql, row.manifest.policy) });
  // A case that an operator has to mend goes on, as its customer sees it.
  const { status } = row;
  const runs = status === 'open' || status === 'broken';
  const [tasks, messages, evidence, asked] = [
    (await tasksOfCase(sql, row.id)).filter((task) => task.status === 'open' && task.role === 'customer'),
    await toldTo(sql, row.id, 'customer'),
    await evidenceOf(sql, row.id),
    await withdrawalAsked(sql, row),
  ];
  const said = await ownWords(sql, row, deps);
  const put = (
    schema: z.ZodType | undefined,
  ): Put & { readonly shown: { readonly schema: Record<string, unknown>; readonly words: Record<string, string> } } => {
    if (schema === undefined) return { ways: undefined, words: (code) => code, shown: { schema: {}, words: {} } };
    const ways = answerings(schema);
    const known = wordsOf(reader, ways);
    return {
      ways,
      words: (code, field) => known[field === undefined ? code : `${field}.${code}`] ?? code,
      shown: { schema: asJsonSchema(schema), words: known },
    };
  };
  const putTasks = tasks.map((task) => ({ task, ...put(formNow(task, deps)) }));
  const putEvents = customerEvents(declaration?.events)
    .filter(([, { byCustomer }]) => row.status === 'open' && (byCustomer === true || (row.stage !== null && byCustomer?.includes(row.stage))))
    .map(([event, { title, payload }]) => ({ event, title: wordOf(reader, `${event}:`) ?? title[language], ...put(payload) }));
  const view: Follow = {
    title: declaration?.title[language] ?? row.process,
    order: row.order_id,
    language,
    openedAt: instant(row.opened_at),
    closedAt: row.closed_at && instant(row.closed_at),
    stages: stagesOf(row, runs, declaration?.stages ?? []).map(({ name, state }) => ({ name, title: stageText(reader, name), state })),
    outcome: runs ? null : { result: resultOf(row), text: status === 'completed' ? outcomeText(reader, row.outcome) : ends[status][language] },
    told: messages.flatMap(({ message, data, at: when }) => {
      const text = textOf(reader, message, data, link);
      return text === undefined ? [] : [{ at: instant(when), text }];
    }),
    said,
    tasks: putTasks.map(({ task, shown }) => ({
      task: task.path,
      title: wordOf(reader, `${task.name}:`) ?? titleOf(task, deps)[language],
      ...shown,
      expiresAt: task.expiresAt,
    })),
    events: putEvents.map(({ event, title, shown }) => ({ event, title, ...shown })),
    evidence: evidence.map(customerEvidence(row)),
    upload: runs && evidence.length < uploads.maxFiles ? uploadOf(uploads, evidence.length) : null,
    withdrawal: row.status !== 'open' ? 'no' : asked ? 'asked' : row.no_return ? 'no' : 'possible',
  };
  return {
    view,
    tasks: new Map(putTasks.map(({ task, ways, words: say }) => [task.path, { ways, words: say }])),
    events: new Map(putEvents.map(({ event, ways, words: say }) => [event, { ways, words: say }])),
    currencies: currenciesOf(messages, deps, row.shop),
  };
}

/** What the customer was told amounts in comes first, then what the shop deals in. */
function currenciesOf(told: readonly ToldRow[], { policy }: AppDeps, shop: string): string[] {
  const amounts = told.flatMap(({ data }) => Object.values(data).flatMap((value) => moneySchema.safeParse(value).data?.currency ?? []));
  return [...new Set([...amounts.toReversed(), ...Object.keys(policyFor(policy.policy, shop).authority.refund.agent)])];
}

const uploadOf = (uploads: Uploads, have: number): NonNullable<Follow['upload']> => ({
  types: typesOf(uploads),
  left: uploads.maxFiles - have,
  photoMegabytes: uploads.photo.maxMegabytes,
  videoMegabytes: uploads.video.maxMegabytes,
});

/** Of a case that has ended, what it never came to is not shown. */
function stagesOf(row: CaseRow, runs: boolean, stages: readonly string[]): { readonly name: string; readonly state: 'done' | 'current' | 'ahead' }[] {
  const current = stages.indexOf(row.stage ?? '');
  return stages.flatMap((name, i) => {
    if (!runs) return i <= current ? [{ name, state: 'done' as const }] : [];
    return [{ name, state: i < current ? ('done' as const) : i === current ? ('current' as const) : ('ahead' as const) }];
  });
}

const resultOf = ({ outcome, status }: CaseRow): string =>
  typeof outcome === 'object' && outcome !== null && 'result' in outcome && typeof outcome.result === 'string' ? outcome.result : status;

/** A message in the reader's words; undefined when its text is of another version of the process and cannot be said any more. */
function textOf({ process, language, wording }: Reader, message: string, data: Readonly<Record<string, unknown>>, link: string): string | undefined {
  const [of, name] = messageOf(process, message);
  try {
    return of && renderMessage(of, name, data, localeOf(language), wording, link).text;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return undefined;
  }
}

/** What the customer wrote, through their link or where they asked for the case. What people of ours wrote about it is not theirs to see. */
async function ownWords(sql: Sql, row: CaseRow, { master }: AppDeps): Promise<Follow['said']> {
  const written = await open(sql, master, row.id);
  // Who asks on a customer's behalf hands over the customer's words; an agent who opens a case writes their own.
  const handedOver = written.some(({ path }) => path === 'input') && (await findPerson(sql, row.starter))?.roles.includes('upstream') === true;
  return written
    .filter(({ path, by }) => by === customerOf(row).id || (path === 'input' && handedOver))
    .flatMap(({ at: when, value }) =>
      typeof value === 'object' && value !== null ? Object.values(value).flatMap((text) => (typeof text === 'string' ? [{ at: when, text }] : [])) : [],
    );
}

async function withdrawalAsked(sql: Sql, { id }: CaseRow): Promise<boolean> {
  const { rows } = await sql.query(`select 1 from inbox where source = 'withdraw' and event_id = $1 and became is null`, [id]);
  return rows.length > 0;
}
