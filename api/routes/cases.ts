import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { approvedOf, moneyOf } from '../../db/account.ts';
import { findCase, idOf, listCases, openCase, type CaseRow } from '../../db/cases.ts';
import { clocksOf } from '../../db/clocks.ts';
import { evidenceOf } from '../../db/evidence.ts';
import { namesOf, serves, type Person } from '../../db/people.ts';
import { pinnedPolicy } from '../../db/policies.ts';
import { inTransaction, type Sql } from '../../db/pool.ts';
import { open, ownerOf, seal } from '../../db/sealed.ts';
import { askRedo, tasksOfCase } from '../../db/tasks.ts';
import { note, stagesOf, timelineOf } from '../../db/timeline.ts';
import { policyFor } from '../../policies/lookup.ts';
import { contentHash } from '../../values/hash.ts';
import { instant } from '../../values/instant.ts';
import { freeText, instantSchema } from '../../values/schemas.ts';
import { manifestOf } from '../../workflows/registry.ts';
import { accountSchema, accountView, moneyOperations } from '../account.ts';
import { eventsByCase, type Acting } from '../acting.ts';
import type { Backlog } from '../backlog.ts';
import type { Bringing } from '../bringing.ts';
import { clockSchema, clockView, peopleOf } from '../clocks.ts';
import type { AppDeps } from '../deps.ts';
import { caseDiagram, caseDiagramSchema } from '../diagram.ts';
import { parted } from '../forms.ts';
import { inLanguageOf, type Language } from '../language.ts';
import { look, lookBody, masked, whoLooks } from '../looking.ts';
import { page, paging } from '../paging.ts';
import { Problem } from '../problems.ts';
import { route, type Route, type Success } from '../route.ts';
import { erasedText, peopleIn, pick, readerOf, standsText } from '../sentences.ts';
import {
  arrivalSchema,
  caseLink,
  caseSchema,
  caseView,
  delivery,
  entrySchema,
  entryView,
  erasedAt,
  erasedAtSchema,
  evidenceSchema,
  evidenceView,
  pageOf,
  taskLink,
  taskSchema,
  taskView,
  textSchema,
  wordsSchema,
  wordsView,
} from '../views.ts';
import type { Words } from '../words.ts';
import { processNamed, processParam } from './processes.ts';

/** Temporal takes a workflow id of 1,000 characters, systems an idempotency key of 700: what is left of it is for the steps' paths. */
const longestId = 500;

export const caseParam = z.object({
  id: z.string().min(1).max(longestId).describe('Percent-encode it: a case id may hold any character').meta({ example: 'return-exchange.O-1.R-1' }),
});

/** What happened, as a code that statistics count: words go into `note`. */
export const reasonCode = z
  .string()
  .regex(/^[a-z][A-Za-z0-9-]{0,63}$/, 'a code such as changedMind; words belong into `note`')
  .meta({ example: 'changedMind' });

/** A case that the person's shops include; of others nobody learns that they exist. */
export async function caseFor(sql: Sql, person: Person, id: string): Promise<CaseRow> {
  const row = await findCase(sql, id);
  if (row === undefined || !serves(person, row.shop)) throw new Problem('caseNotFound', { case: id });
  return row;
}

const openedReply = z.object({ case: caseSchema, delivery });
/** What an opened case is asked next. */
const ofOpened = { id: '$response.body#/case/id' };
const afterOpening = {
  getCase: ofOpened,
  getTimeline: ofOpened,
  listTasks: { case: ofOpened.id },
  addNote: ofOpened,
  readNotes: ofOpened,
  listEvidence: ofOpened,
  makeLink: ofOpened,
  withdrawCase: ofOpened,
} as const satisfies Success['leadsTo'];
const fullCase = caseSchema
  .extend({
    title: textSchema.describe("The process's"),
    text: z.string().describe('Where it stands, in the language of the request'),
    tasks: z.array(taskSchema).describe('Open ones'),
    clocks: z.array(clockSchema),
    money: accountSchema,
    diagram: caseDiagramSchema,
  })
  .meta({ id: 'FullCase' });

export function caseRoutes(deps: AppDeps, bringing: Bringing, acting: Acting, backlog: Backlog): Route[] {
  const { pool, processes, systems, policy, master, temporalUi } = deps;
  const view = (row: CaseRow) => caseView(row, temporalUi);
  const moves = moneyOperations(systems);

  /** What a case's own page shows beside its row. The same number of statements whatever the case holds: one for each table that it reads. */
  async function fullView(row: CaseRow, language: Language) {
    const policy = await pinnedPolicy(pool, row.manifest.policy);
    const [tasks, clocks, stages] = [await tasksOfCase(pool, row.id), await clocksOf(pool, row.id), await stagesOf(pool, row.id)];
    const [moved, approved] = [await moneyOf(pool, row.id, moves), await approvedOf(pool, row.id)];
    const reader = readerOf(row, deps, language, { policy, names: await namesOf(pool, peopleOf(clocks)) });
    const open = tasks.filter((task) => task.status === 'open');
    const declaration = processes.get(row.process)?.declaration;
    return {
      title: declaration?.title ?? { zh: row.process, en: row.process },
      text: [standsText(reader, row, open), ...erasedText(reader, row.erased_at)].join(pick(reader, '；', '; ')),
      tasks: open.map((task) => taskView(task, deps)),
      clocks: clocks.map((clock) => clockView(clock, policyFor(policy, row.shop), instant(Date.now()), reader)),
      money: accountView(moved, approved, reader),
      diagram: declaration ? caseDiagram(declaration, row, stages, tasks, reader) : { nodes: [], edges: [] },
    };
  }

  /** Whether a case was opened with these words. Of an erased customer nobody knows any more. */
  async function saysTheSame(sql: Sql, { id, erased_at: erasedAt }: CaseRow, words: Words | undefined): Promise<boolean> {
    if (erasedAt !== null) return true;
    const [said] = await open(sql, master, id, 'input');
    return contentHash(said?.value ?? {}) === contentHash(words ?? {});
  }

  return [
    route({
      id: 'startCase',
      method: 'post',
      path: '/v1/processes/{process}/cases',
      tag: 'Cases',
      summary: 'Open a case',
      description:
        'The business key in the input makes the id: the same input again gives the same case, running or ended, so a request that got no answer is simply sent again. The same key with another input is refused and says where they differ.',
      params: processParam,
      body: z.strictObject({ input: z.unknown().describe("The process's input") }),
      replies: {
        201: { description: 'Opened', schema: openedReply, leadsTo: afterOpening },
        200: { description: 'The same input was sent before: the case as it stands', schema: openedReply, leadsTo: afterOpening },
      },
      problems: ['unknownProcess', 'otherShop', 'caseConflict', 'backlogged'],
      run: async ({ params, body, person, language }) => {
        backlog.checkStart();
        const { declaration } = processNamed(processes, params.process);
        const { kept, words } = parted(declaration.input, body.input, 'input', language);
        const { shop } = declaration.subject(kept as never);
        if (!serves(person, shop)) throw new Problem('otherShop', { person: person.id, shop });
        if (idOf(declaration, kept).length > longestId)
          throw new Problem('invalid', {}, { errors: [{ path: 'input', message: `the business key makes an id of more than ${longestId} characters` }] });
        await bringing.policyIsThere();
        const manifest = manifestOf(declaration, shop, policy, systems);
        const opened = await inTransaction(pool, async (tx) => {
          const row = await openCase(tx, { declaration, input: kept, manifest, starter: person.id });
          if (row.status === 'new' && words)
            await seal(tx, master, { caseId: row.case.id, owner: ownerOf(row.case), path: 'input', value: words, by: person.id });
          return row.status === 'same' && !(await saysTheSame(tx, row.case, words))
            ? ({ status: 'conflict', id: row.case.id, differences: [{ path: 'free text', was: null, now: null }] } as const)
            : row;
        });
        if (opened.status === 'conflict') {
          // Keys are of all shops together: of another shop's case whoever hits upon its key learns that it is taken, and nothing else.
          const stands = await findCase(pool, opened.id);
          const differences = stands !== undefined && serves(person, stands.shop) ? opened.differences : [];
          throw new Problem('caseConflict', { case: opened.id }, { members: { case: opened.id, differences } });
        }
        const told = opened.case.started_at === null && opened.case.status === 'open' ? await bringing.start(opened.case) : 'delivered';
        const now = (await findCase(pool, opened.case.id)) ?? opened.case;
        return {
          status: opened.status === 'new' ? 201 : 200,
          body: { case: view(now), delivery: told },
          headers: { Location: caseLink(now.id) },
        };
      },
    }),
    route({
      id: 'listCases',
      method: 'get',
      path: '/v1/cases',
      tag: 'Cases',
      summary: 'Cases of your shops, newest first',
      query: z.strictObject({
        process: z.string().max(100).optional(),
        status: z.enum(['open', 'completed', 'withdrawn', 'failed', 'broken']).optional(),
        stage: z.string().max(100).optional(),
        customer: z.string().max(200).optional(),
        order: z.string().max(200).optional(),
        breached: z
          .stringbool()
          .optional()
          .meta({ override: { type: 'boolean' }, description: 'Whether one of its clocks has broken' }),
        ...paging,
      }),
      replies: {
        200: {
          description: 'A page',
          schema: pageOf(caseSchema),
          leadsTo: { getCase: { id: '$response.body#/items/0/id' }, listTasks: { case: '$response.body#/items/0/id' } },
        },
      },
      run: async ({ query: { cursor, limit, ...filter }, person }) => {
        const rows = await listCases(pool, { ...filter, shops: person.shops }, cursor, limit + 1);
        return { status: 200, body: page(rows, limit, view, (row) => [row.opened_text, row.id]) };
      },
    }),
    route({
      id: 'getCase',
      method: 'get',
      path: '/v1/cases/{id}',
      tag: 'Cases',
      summary: 'Where a case stands: its stage, open tasks, clocks, money and diagram',
      params: caseParam,
      query: z.strictObject(inLanguageOf),
      replies: { 200: { description: 'The case', schema: fullCase } },
      problems: ['caseNotFound'],
      run: async ({ params, person, language }) => {
        const row = await caseFor(pool, person, params.id);
        return { status: 200, body: { ...view(row), ...(await fullView(row, language)) } };
      },
    }),
    route({
      id: 'getTimeline',
      method: 'get',
      path: '/v1/cases/{id}/timeline',
      tag: 'Cases',
      summary: 'What a case did, in order, in sentences',
      params: caseParam,
      query: z.strictObject({ ...paging, ...inLanguageOf }),
      replies: { 200: { description: 'A page', schema: pageOf(entrySchema) } },
      problems: ['caseNotFound'],
      run: async ({ params, query: { cursor, limit }, person, language }) => {
        const row = await caseFor(pool, person, params.id);
        const rows = await timelineOf(pool, row.id, Number(cursor?.[0] ?? 0), limit + 1);
        const pinned = await pinnedPolicy(pool, row.manifest.policy);
        const reader = readerOf(row, deps, language, { names: await namesOf(pool, peopleIn(rows)), policy: pinned });
        return {
          status: 200,
          body: page(
            rows,
            limit,
            (entry) => entryView(entry, reader),
            (entry) => [String(entry.id), ''],
          ),
        };
      },
    }),
    route({
      id: 'withdrawCase',
      method: 'post',
      path: '/v1/cases/{id}/withdraw',
      tag: 'Cases',
      summary: 'Withdraw a case',
      description:
        'Stored at once; the case ends what it is doing, takes back what can be taken back, and waits for goods that are on their way. Refused once it is being settled.',
      params: caseParam,
      body: z.strictObject({ reason: reasonCode, note: freeText() }),
      replies: {
        202: { description: 'Asked for', schema: arrivalSchema },
        200: { description: 'It was withdrawn before', schema: arrivalSchema },
      },
      problems: ['caseNotFound', 'caseEnded', 'noReturn'],
      run: async ({ params, body, person }) => {
        const arrived = await acting.withdraw(await caseFor(pool, person, params.id), body, person);
        return { status: arrived.became === 'withdrawn' ? 200 : 202, body: arrived };
      },
    }),
    route({
      id: 'sendEvent',
      method: 'post',
      path: '/v1/cases/{id}/events/{event}',
      tag: 'Cases',
      summary: 'Tell a case that something happened',
      description: "`eventId` is the sender's own: the same id with the same payload is the same event, however often it is sent.",
      params: caseParam.extend({ event: z.string().min(1).max(100) }),
      body: z.strictObject({
        eventId: z.string().min(1).max(200),
        payload: z.unknown().describe("The event's payload"),
        at: instantSchema.optional().describe('When it happened; default: now'),
      }),
      replies: { 202: { description: 'Stored', schema: arrivalSchema }, 200: { description: 'Sent before', schema: arrivalSchema } },
      problems: ['caseNotFound', 'unknownEvent', 'eventConflict', 'inboxFull'],
      run: async ({ params, body, person, language }) => {
        const row = await caseFor(pool, person, params.id);
        const declared = eventsByCase(deps, row.process).includes(params.event)
          ? processNamed(processes, row.process).declaration.events[params.event]
          : undefined;
        const { duplicate, ...arrived } = await acting.send(row, declared, { ...body, event: params.event }, { person, language });
        return { status: duplicate ? 200 : 202, body: arrived };
      },
    }),
    route({
      id: 'addNote',
      method: 'post',
      path: '/v1/cases/{id}/notes',
      tag: 'Cases',
      summary: 'Keep words with a case',
      description: "Sealed under the customer's key; the case itself never sees them.",
      params: caseParam,
      body: z.strictObject({ words: z.string().trim().min(1).max(4000).meta({ personal: true }) }),
      replies: { 201: { description: 'Kept', schema: z.object({ note: z.string() }) } },
      problems: ['caseNotFound'],
      run: async ({ params, body, person }) => {
        const row = await caseFor(pool, person, params.id);
        const id = randomUUID();
        await inTransaction(pool, async (tx) => {
          await seal(tx, master, { caseId: row.id, owner: ownerOf(row), path: `note:${id}`, value: body, by: person.id });
          await note(tx, row.id, `note:${id}`, 'note', { note: id, by: person.id });
        });
        return { status: 201, body: { note: id } };
      },
    }),
    route({
      id: 'readNotes',
      method: 'get',
      path: '/v1/cases/{id}/notes',
      tag: 'Cases',
      summary: 'What people wrote in a case, masked: its notes, and the words of forms',
      description: 'Who needs the words themselves looks at the case (`POST /v1/cases/{id}/look`).',
      params: caseParam,
      replies: {
        200: {
          description: 'Oldest first',
          schema: z.object({ items: z.array(wordsSchema), erasedAt: erasedAtSchema }),
        },
      },
      problems: ['caseNotFound'],
      run: async ({ params, person, language }) => {
        const row = await caseFor(pool, person, params.id);
        const items = (await open(pool, master, row.id)).map((said) => wordsView(said, (value) => masked(value, language)));
        return { status: 200, body: { items, erasedAt: erasedAt(row) } };
      },
    }),
    route({
      id: 'lookAtCase',
      method: 'post',
      path: '/v1/cases/{id}/look',
      tag: 'Privacy',
      summary: 'What people wrote in a case, unmasked, and its files',
      description: `${whoLooks} Each file is looked at by itself.`,
      params: caseParam,
      body: lookBody,
      replies: {
        200: {
          description: 'What there is to read',
          schema: z.object({ words: z.array(wordsSchema), evidence: z.array(evidenceSchema), erasedAt: erasedAtSchema }),
        },
      },
      problems: ['caseNotFound', 'lookNotAllowed'],
      run: async ({ params, body, person, log }) => {
        const row = await caseFor(pool, person, params.id);
        await look(deps, row, person, { what: 'words', why: body.why }, log);
        const words = (await open(pool, master, row.id)).map((said) => wordsView(said, (value) => value));
        return { status: 200, body: { words, evidence: (await evidenceOf(pool, row.id)).map(evidenceView), erasedAt: erasedAt(row) } };
      },
    }),
    route({
      id: 'redoEffect',
      method: 'post',
      path: '/v1/cases/{id}/effects/{effect}/redo',
      tag: 'Cases',
      summary: 'Ask for an effect to be sent once more, on purpose',
      description: 'Opens a task in which another supervisor agrees or refuses. Only then is it sent, under a key of its own.',
      params: caseParam.extend({
        effect: z.string().min(1).max(300).describe('Path of the effect in its case; percent-encode it').meta({ example: 'refund' }),
      }),
      replies: { 201: { description: 'Asked for', schema: taskSchema } },
      problems: ['caseNotFound', 'effectNotFound', 'effectNotDone', 'redoAsked'],
      run: async ({ params, person }) => {
        const { id } = await caseFor(pool, person, params.id);
        const task = await inTransaction(pool, (tx) => askRedo(tx, { caseId: id, effect: params.effect, person: person.id }));
        return { status: 201, body: taskView(task, deps), headers: { Location: taskLink(task.id) } };
      },
    }),
  ];
}
