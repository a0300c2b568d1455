import { z } from 'zod';
import { findCase } from '../../db/cases.ts';
import { namesOf, serves, type Person } from '../../db/people.ts';
import { inTransaction, type Sql } from '../../db/pool.ts';
import { Refused } from '../../db/refused.ts';
import {
  claimTask,
  completeTask,
  delegateTask,
  findTask,
  holdTask,
  nextTask,
  openTasks,
  peekNext,
  reassignTask,
  releaseTask,
  tasksOf,
  tasksOfCase,
  worklistOf,
  type Task,
} from '../../db/tasks.ts';
import type { PersonId, TaskId } from '../../values/ids.ts';
import { instant, type Instant } from '../../values/instant.ts';
import { instantSchema } from '../../values/schemas.ts';
import type { Bringing } from '../bringing.ts';
import type { AppDeps } from '../deps.ts';
import { formOf, reader } from '../forms.ts';
import { inLanguageOf, type Language } from '../language.ts';
import { page, paging } from '../paging.ts';
import { Problem, problemBody, problemOf } from '../problems.ts';
import { helpText, readerOf } from '../sentences.ts';
import { route, type PersonCall, type Route } from '../route.ts';
import { delivery, pageOf, roleSchema, taskSchema, taskView } from '../views.ts';
import { caseFor } from './cases.ts';
import { asJsonSchema } from './processes.ts';

/** A case's id and the task's path in it. */
const longestId = 1000;
const taskIdText = z.string().min(1).max(longestId);
const taskParam = z.object({
  id: taskIdText
    .describe('Percent-encode it; `links.self` of a task is ready-made')
    .meta({ example: 'return-exchange.O-1.R-1:review-1/review' })
    .transform((id) => id as TaskId),
});
const personId = z
  .string()
  .min(1)
  .max(200)
  .transform((id) => id as PersonId);

const taskReply = z.object({ task: taskSchema });
const decided = z.object({ task: taskSchema, delivery, next: taskSchema.nullable().describe("The caller's next task, not claimed") });
const worklistProblems = ['taskNotFound', 'taskClosed', 'notAuthorized', 'taskClaimed', 'fourEyes'] as const;

/** As many as a person selects on a page. */
const mostAtOnce = 100;
const bulkBody = z
  .strictObject({
    ids: z
      .array(taskIdText.transform((id) => id as TaskId))
      .min(1)
      .max(mostAtOnce),
    action: z.enum(['claim', 'release', 'reassign', 'complete']),
    form: z.unknown().describe('For `complete`: the same decision for all'),
    to: personId.nullable().optional().describe('For `reassign`: to whom; null: back to the list'),
    dryRun: z.boolean().default(false).describe('Checks everything and changes nothing'),
  })
  .meta({ id: 'BulkAction' });
type Bulk = z.output<typeof bulkBody>;
const problemView = z.object({ type: z.string(), title: z.string(), status: z.int(), detail: z.string(), code: z.string() }).loose();

/** Ends the transaction of a dry run: what it would have done is answered, and rolled back. */
class DryRun extends Error {
  readonly task: Task;
  constructor(task: Task) {
    super('dry run');
    this.task = task;
  }
}

export function taskRoutes(deps: AppDeps, bringing: Bringing): Route[] {
  const { pool, master } = deps;
  const view = (task: Task) => taskView(task, deps);
  const now = (): Instant => instant(Date.now());

  /** A task in the person's shops. */
  async function taskFor(sql: Sql, person: Person, id: string): Promise<Task> {
    const task = await findTask(sql, id);
    if (task === undefined || !serves(person, task.shop)) throw new Problem('taskNotFound', { task: id });
    return task;
  }

  const complete = (tx: Sql, person: Person, taskId: TaskId, form: unknown, language: Language) =>
    completeTask(tx, { taskId, person: person.id, now: now(), master, read: reader(form, deps, language) });

  /** A route that changes one task in one transaction and answers with it. */
  const change = <B extends z.ZodType>(
    action: 'claim' | 'release' | 'delegate' | 'reassign' | 'hold',
    summary: string,
    body: B | undefined,
    work: (tx: Sql, call: PersonCall<{ id: TaskId }, unknown, z.output<B>>) => Promise<Task>,
    problems: Route['problems'] = worklistProblems,
  ): Route =>
    route({
      id: `${action}Task`,
      method: 'post',
      path: `/v1/tasks/{id}/${action}`,
      tag: 'Tasks',
      summary,
      params: taskParam,
      ...(body ? { body } : {}),
      replies: { 200: { description: 'The task as it stands', schema: taskReply } },
      problems,
      run: async (call) => ({
        status: 200,
        body: { task: view(await inTransaction(pool, (tx) => work(tx, call as PersonCall<{ id: TaskId }, unknown, z.output<B>>))) },
      }),
    });

  async function oneOfMany(id: TaskId, bulk: Bulk, person: Person, language: Language): Promise<Task> {
    const act = { taskId: id, person: person.id };
    try {
      return await inTransaction(pool, async (tx) => {
        const task = await actOn(tx, act, bulk, person, language);
        if (bulk.dryRun) throw new DryRun(task);
        return task;
      });
    } catch (error) {
      if (error instanceof DryRun) return error.task;
      throw error;
    }
  }

  async function actOn(tx: Sql, act: { taskId: TaskId; person: PersonId }, bulk: Bulk, person: Person, language: Language): Promise<Task> {
    switch (bulk.action) {
      case 'claim':
        return claimTask(tx, act);
      case 'release':
        return releaseTask(tx, act);
      case 'reassign':
        return reassignTask(tx, { ...act, to: bulk.to ?? null });
      case 'complete':
        return (await complete(tx, person, act.taskId, bulk.form, language)).task;
    }
  }

  return [
    route({
      id: 'listTasks',
      method: 'get',
      path: '/v1/tasks',
      tag: 'Tasks',
      summary: 'Worklist: open tasks of the roles you may decide for, oldest first',
      query: z.strictObject({
        role: roleSchema.optional().describe('Only this role'),
        mine: z
          .stringbool()
          .optional()
          .meta({ override: { type: 'boolean' }, description: 'Only what you have claimed or were given' }),
        free: z
          .stringbool()
          .optional()
          .meta({ override: { type: 'boolean' }, description: 'Only what you may take now' }),
        status: z.enum(['open', 'done', 'expired', 'withdrawn', 'lost']).optional().describe('With `case` only; lists across cases hold open tasks'),
        process: z.string().max(100).optional(),
        case: z.string().max(longestId).optional().describe('All tasks of a case, in the order they were opened'),
        ...paging,
      }),
      replies: {
        200: {
          description: 'A page',
          schema: pageOf(taskSchema),
          leadsTo: {
            getTask: { id: '$response.body#/items/0/id' },
            claimTask: { id: '$response.body#/items/0/id' },
            getCase: { id: '$response.body#/items/0/case' },
          },
        },
      },
      problems: ['caseNotFound'],
      run: async ({ query, person }) => {
        const { cursor, limit, process, role, status } = query;
        if (query.case !== undefined) {
          const { id } = await caseFor(pool, person, query.case);
          const all = (await tasksOfCase(pool, id)).filter((t) => (status === undefined || t.status === status) && (role === undefined || t.role === role));
          return { status: 200, body: { items: all.map(view) } };
        }
        if (status !== undefined && status !== 'open')
          throw new Problem('invalid', {}, { errors: [{ path: 'query.status', message: 'closed tasks are listed by case: add `case`' }] });
        const rows =
          query.mine === true
            ? await tasksOf(pool, person.id, { after: cursor, limit: limit + 1 }, process)
            : await openTasks(
                pool,
                { ...(role ? { shops: person.shops, roles: [role] } : worklistOf(person)), process, freeFor: query.free === true ? person.id : undefined },
                { after: cursor, limit: limit + 1 },
              );
        return { status: 200, body: page(rows, limit, view, (task) => [...task.cursor]) };
      },
    }),
    route({
      id: 'nextTask',
      method: 'post',
      path: '/v1/tasks/next',
      tag: 'Tasks',
      summary: 'Take the next task: your own first, else the oldest that is free for you, claimed for you',
      body: z.strictObject({ process: z.string().max(100).optional() }),
      replies: {
        200: {
          description: 'The task, or null when there is none',
          schema: z.object({ task: taskSchema.nullable() }),
          leadsTo: {
            getTask: { id: '$response.body#/task/id' },
            completeTask: { id: '$response.body#/task/id' },
            releaseTask: { id: '$response.body#/task/id' },
          },
        },
      },
      run: async ({ body, person }) => {
        const task = await nextTask(pool, person, body.process);
        return { status: 200, body: { task: task ? view(task) : null } };
      },
    }),
    route({
      id: 'bulkTasks',
      method: 'post',
      path: '/v1/tasks/bulk',
      tag: 'Tasks',
      summary: 'The same for many tasks: each by itself, with a result of its own',
      body: bulkBody,
      replies: {
        200: {
          description: 'One result per id, in order',
          schema: z.object({
            results: z.array(
              z.object({ id: z.string(), status: z.int(), task: taskSchema.optional(), delivery: delivery.optional(), problem: problemView.optional() }),
            ),
          }),
        },
      },
      run: async ({ body, person, language, requestId }) => {
        const results = [];
        for (const id of new Set(body.ids)) {
          try {
            const task = await oneOfMany(id, body, person, language);
            const told = body.action === 'complete' && !body.dryRun ? { delivery: await bringing.deliver(task.caseId) } : {};
            results.push({ id, status: 200, task: view(task), ...told });
          } catch (error) {
            const problem = error instanceof Refused ? problemOf(error) : error;
            if (!(problem instanceof Problem)) throw error;
            const told = problemBody(problem, language, requestId);
            results.push({ id, status: told.status, problem: told });
          }
        }
        return { status: 200, body: { results } };
      },
    }),
    route({
      id: 'getTask',
      method: 'get',
      path: '/v1/tasks/{id}',
      tag: 'Tasks',
      summary: 'One task, with the form it asks for',
      params: taskParam,
      query: z.strictObject(inLanguageOf),
      replies: {
        200: {
          description: 'The task',
          schema: z.object({
            task: taskSchema,
            schema: z.record(z.string(), z.unknown()).describe('JSON Schema of the form'),
            help: z.array(z.string()).describe('Of a repair or a redo: what failed and why, and what each choice means, in the language of the request'),
          }),
        },
      },
      problems: ['taskNotFound', 'formChanged'],
      run: async ({ params, person, language }) => {
        const task = await taskFor(pool, person, params.id);
        const asker = task.context['askedBy'];
        const reader = readerOf(task, deps, language, { names: await namesOf(pool, typeof asker === 'string' ? [asker] : []) });
        return { status: 200, body: { task: view(task), schema: asJsonSchema(formOf(task, deps)), help: helpText(reader, task) } };
      },
    }),
    change('claim', 'Claim a task: nobody else decides it until you release it', undefined, (tx, { params, person }) =>
      claimTask(tx, { taskId: params.id, person: person.id }),
    ),
    change('release', 'Give a claimed task back to the list', undefined, (tx, { params, person }) => releaseTask(tx, { taskId: params.id, person: person.id })),
    change(
      'delegate',
      'Hand your own, or a free, task to a colleague who may decide it',
      z.strictObject({ to: personId }),
      (tx, { params, body, person }) => delegateTask(tx, { taskId: params.id, person: person.id, to: body.to }),
      [...worklistProblems, 'personNotFound', 'personNotFit'],
    ),
    change(
      'reassign',
      'Give a task to somebody, or back to the list (supervisors)',
      z.strictObject({ to: personId.nullable() }),
      (tx, { params, body, person }) => reassignTask(tx, { taskId: params.id, person: person.id, to: body.to }),
      ['taskNotFound', 'taskClosed', 'notAuthorized', 'fourEyes', 'personNotFound', 'personNotFit'],
    ),
    change('hold', 'Put a task aside until an instant; its clocks go on', z.strictObject({ until: instantSchema }), (tx, { params, body, person }) =>
      holdTask(tx, { taskId: params.id, person: person.id, until: body.until }),
    ),
    route({
      id: 'completeTask',
      method: 'post',
      path: '/v1/tasks/{id}/complete',
      tag: 'Tasks',
      summary: 'Decide a task',
      description:
        'Written before it is answered, and told to the case after. The same person with the same form again gets the same answer; anybody else learns who decided what, and when.',
      params: taskParam,
      body: z.strictObject({ form: z.unknown().describe("The task's form") }),
      replies: { 200: { description: 'Decided', schema: decided } },
      problems: [...worklistProblems, 'formChanged'],
      run: async ({ params, body, person, language }) => {
        const { task } = await inTransaction(pool, (tx) => complete(tx, person, params.id, body.form, language));
        // A redo is carried out by the queue, for cases that have ended too: there is nobody to tell.
        const running = (await findCase(pool, task.caseId))?.status === 'open';
        const told = running ? await bringing.deliver(task.caseId) : 'delivered';
        const next = await peekNext(pool, person);
        return { status: 200, body: { task: view(task), delivery: told, next: next ? view(next) : null } };
      },
    }),
  ];
}
