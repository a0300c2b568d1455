/** How rows look from outside: one schema each, from which the document is made, and the function that fills it. */
import { z } from 'zod';
import type { CaseRow } from '../db/cases.ts';
import type { Evidence } from '../db/evidence.ts';
import type { Opened } from '../db/sealed.ts';
import type { Person } from '../db/people.ts';
import type { Task } from '../db/tasks.ts';
import type { TimelineFact } from '../db/timeline.ts';
import { instant } from '../values/instant.ts';
import { roles } from '../values/role.ts';
import { instantSchema, moneySchema } from '../values/schemas.ts';
import { titleOf, type Declared } from './forms.ts';
import { askText, readerOf, sentence, type Reader } from './sentences.ts';

const at = z.iso.datetime().describe('UTC, ISO 8601 with milliseconds');
export const textSchema = z.object({ zh: z.string(), en: z.string() }).meta({ id: 'Text' });
export const roleSchema = z.enum(roles).meta({ id: 'Role' });
/** JSON of a process's own shape, which the declarations describe. */
const json = z.unknown();

export const delivery = z.enum(['delivered', 'pending']).meta({
  id: 'Delivery',
  description:
    'Whether the running case has been told. `pending`: stored, and brought to it as soon as Temporal and a worker are there; nothing is lost and nothing has to be repeated.',
});
export type Delivered = z.output<typeof delivery>;

export const arrivalSchema = z
  .object({
    became: z.string().describe('`taken`: the case has it or will get it; `note`, `start:<case>`: it came after the case had ended'),
    delivery: delivery.optional(),
  })
  .meta({ id: 'Arrival' });
export type Arrived = z.output<typeof arrivalSchema>;

export const taskSchema = z
  .object({
    id: z.string(),
    case: z.string(),
    path: z.string().describe("The task's place in its case"),
    name: z.string(),
    title: textSchema,
    text: textSchema.describe('What is asked, in words: the title with its amount, or what is to be repaired and why'),
    process: z.string(),
    shop: z.string(),
    role: roleSchema.describe('Who decides now; climbs on escalation'),
    amount: moneySchema.nullable(),
    context: z.record(z.string(), json).describe('What there is to decide on'),
    notBy: z.array(z.string()).describe('Who had a hand in any of these tasks of the case may not decide this one'),
    clocks: z.array(z.string()),
    status: z.enum(['open', 'done', 'expired', 'withdrawn', 'lost']),
    assignee: z.string().nullable(),
    heldUntil: at.nullable(),
    openedAt: at,
    expiresAt: at.nullable(),
    decidedBy: z.string().nullable(),
    decidedRole: roleSchema.nullable(),
    decidedAt: at.nullable(),
    form: json.describe('The decision, without free text; null while it is open'),
    closedAt: at.nullable(),
    formVersion: z.int(),
    links: z.object({ self: z.string(), case: z.string() }),
  })
  .meta({ id: 'Task' });
export type TaskView = z.output<typeof taskSchema>;

export const caseLink = (id: string): string => `/v1/cases/${encodeURIComponent(id)}`;
export const taskLink = (id: string): string => `/v1/tasks/${encodeURIComponent(id)}`;

export function taskView(task: Task, declared: Declared): TaskView {
  const { caseId, declaredRole: _declaredRole, cursor: _cursor, notBy, clocks, ...rest } = task;
  return {
    ...rest,
    case: caseId,
    title: titleOf(task, declared),
    text: { zh: askText(readerOf(task, declared, 'zh'), task), en: askText(readerOf(task, declared, 'en'), task) },
    notBy: [...notBy],
    clocks: [...clocks],
    links: { self: taskLink(task.id), case: caseLink(caseId) },
  };
}

export const caseSchema = z
  .object({
    id: z.string(),
    process: z.string(),
    shop: z.string(),
    customer: z.string().nullable().describe("The shop's pseudonym of the customer"),
    order: z.string().nullable(),
    status: z.enum(['open', 'completed', 'withdrawn', 'failed', 'broken']),
    stage: z.string().nullable(),
    noReturn: z.boolean().describe('Past this, it cannot be withdrawn'),
    outcome: json.describe('What it ended with'),
    trouble: z.string().nullable(),
    input: json.describe('Without free text'),
    policy: z.string().describe('Version of the policy it is pinned to'),
    starter: z.string(),
    parent: z.string().nullable(),
    openedAt: at,
    startedAt: at.nullable().describe('Null while Temporal has not confirmed it'),
    changedAt: at,
    closedAt: at.nullable(),
    erasedAt: at.nullable().describe('When what its customer wrote and sent was erased, on request; null while it is kept'),
    links: z.object({ self: z.string(), timeline: z.string(), tasks: z.string(), temporal: z.string().optional().describe('Its run, for operators') }),
  })
  .meta({ id: 'Case' });
export type CaseView = z.output<typeof caseSchema>;

const dateOr = (date: Date | null) => date && instant(date);
export const erasedAtSchema = at.nullable().describe('When all of it was erased, on request');
export const erasedAt = ({ erased_at: when }: Pick<CaseRow, 'erased_at'>) => dateOr(when);

export const wordsSchema = z
  .object({
    path: z.string().describe('`input`, `task:<path>`, `event:<id>`, `note:<id>`, `withdraw`'),
    by: z.string(),
    at,
    words: z.record(z.string(), json).nullable().describe('By their place in the form; null once the customer was erased'),
  })
  .meta({ id: 'Words', description: 'What somebody wrote in a case' });
/** `show`: each of the words, masked or as it is. */
export const wordsView = ({ value, ...said }: Opened, show: (words: unknown) => unknown): z.output<typeof wordsSchema> => ({
  ...said,
  words: typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value).map(([place, words]) => [place, show(words)])) : null,
});

export function caseView(row: CaseRow, temporalUi?: { readonly url: string; readonly namespace: string }): CaseView {
  const run = row.run_id === null ? '' : `/${row.run_id}`;
  return {
    id: row.id,
    process: row.process,
    shop: row.shop,
    customer: row.customer,
    order: row.order_id,
    status: row.status,
    stage: row.stage,
    noReturn: row.no_return,
    outcome: row.outcome,
    trouble: row.trouble,
    input: row.input,
    policy: row.manifest.policy,
    starter: row.starter,
    parent: row.parent,
    openedAt: instant(row.opened_at),
    startedAt: dateOr(row.started_at),
    changedAt: instant(row.changed_at),
    closedAt: dateOr(row.closed_at),
    erasedAt: erasedAt(row),
    links: {
      self: caseLink(row.id),
      timeline: `${caseLink(row.id)}/timeline`,
      tasks: `/v1/tasks?case=${encodeURIComponent(row.id)}`,
      ...(temporalUi ? { temporal: `${temporalUi.url}/namespaces/${temporalUi.namespace}/workflows/${encodeURIComponent(row.id)}${run}` } : {}),
    },
  };
}

export const entrySchema = z
  .object({
    id: z.int(),
    at,
    text: z.string().describe('What happened, for people, in the language of the request'),
    kind: z.string(),
    data: z.record(z.string(), json).describe('The same for programs: ids, amounts and codes'),
  })
  .meta({ id: 'TimelineEntry', description: 'One fact of a case' });
export const entryView = (row: TimelineFact, reader: Reader): z.output<typeof entrySchema> => ({
  id: row.id,
  at: instant(row.at),
  text: sentence(reader, row),
  kind: row.kind,
  data: { ...row.data },
});

export const evidenceSchema = z
  .object({ id: z.string(), kind: z.enum(['photo', 'video']), type: z.string(), bytes: z.int(), by: z.string(), at })
  .meta({ id: 'Evidence', description: 'An uploaded file; `type` is what its bytes are' });
export const evidenceView = ({ caseId: _caseId, ...evidence }: Evidence): z.output<typeof evidenceSchema> => evidence;

const personFields = {
  name: z.string().trim().min(1).max(200),
  roles: z.array(roleSchema).max(roles.length),
  shops: z.array(z.string().min(1).max(200)).min(1).max(1000).describe('"*": every shop'),
  active: z.boolean().default(true),
  absentUntil: instantSchema.nullable().default(null),
};
export const personInput = z.strictObject(personFields).meta({ id: 'PersonInput' });
export const personSchema = z
  .object({ id: z.string(), name: z.string(), roles: z.array(roleSchema), shops: z.array(z.string()), active: z.boolean(), absentUntil: at.nullable() })
  .meta({ id: 'Person' });
export const personView = (person: Person): z.output<typeof personSchema> => ({ ...person, roles: [...person.roles], shops: [...person.shops] });

/** A page of a list: `next` is the cursor of the page after, absent on the last one. */
export const pageOf = <S extends z.ZodType>(item: S) =>
  z.object({ items: z.array(item), next: z.string().optional().describe('Cursor of the next page; absent on the last') });
