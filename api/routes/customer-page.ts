/** The customer's page: what the JSON API of a link does, by plain forms. Done: the browser is sent back to the page; not done: the page says why, with what was filled in. */
import { z } from 'zod';
import { isFormToken, linkUrl } from '../../db/links.ts';
import { Refused } from '../../db/refused.ts';
import { findTask } from '../../db/tasks.ts';
import { taskId } from '../../values/ids.ts';
import type { Acting } from '../acting.ts';
import { createCustomer } from '../customer/acts.ts';
import { customerEvents, follow } from '../customer/follow.ts';
import { afterwards, home, page, pagePolicy, style, type NotTaken } from '../customer/page.ts';
import { answered, answerings, type Sent } from '../customer/questions.ts';
import { done, withdrawReasons, type Done } from '../customer/texts.ts';
import type { AppDeps } from '../deps.ts';
import { formOf } from '../forms.ts';
import { Problem, problemOf } from '../problems.ts';
import { customerRoute, route, type CustomerCall, type Reply, type Route } from '../route.ts';
import type { Uploads } from '../uploads.ts';
import { filesBody } from './evidence.ts';
import { languageQuery, tokenParam } from './customer.ts';

const pageReply = { description: 'The page', schema: z.string(), type: 'text/html' } as const;
const backReply = { description: 'Done; the page is at `Location`' } as const;

/** Fields of a form of ours: which it is, and under `a.<field>` what was answered. */
const formBody = z
  .object({
    csrf: z.string().max(100).default(''),
    do: z.enum(['complete', 'event', 'withdraw']),
    of: z.string().max(500).default('').describe('Of a task its place in the case, of an event its name'),
    way: z.coerce.number().int().min(0).max(100).default(0).describe('Which of several ways to answer'),
    eventId: z.string().max(200).default(''),
  })
  .catchall(z.union([z.string(), z.array(z.string())]));
type FormBody = z.output<typeof formBody>;

/** What was answered, by the names of the form's fields. */
const sentIn = (body: FormBody): Sent =>
  Object.fromEntries(Object.entries(body).flatMap(([name, value]) => (name.startsWith('a.') && typeof value === 'string' ? [[name.slice(2), value]] : [])));

export function customerPageRoutes(deps: AppDeps, acting: Acting, uploads: Uploads): Route[] {
  const { pool, links, processes } = deps;
  const act = createCustomer(deps, acting, uploads);

  async function shown(
    call: CustomerCall,
    more: { readonly withdrawing?: boolean; readonly done?: Done | undefined; readonly notTaken?: NotTaken },
  ): Promise<Reply> {
    const { customer, language } = call;
    const { link, row } = customer;
    const followed = await follow(pool, row, language, uploads.allowed(row), linkUrl(links, link), deps);
    return page({ links, link, language, followed, ...more });
  }

  const back = ({ customer: { link }, language }: CustomerCall, what?: Done): Reply => {
    const of = { links, link, language };
    return { status: 303, type: 'text/html', body: '', headers: { ...pagePolicy, Location: what === undefined ? home(of) : afterwards(of, what) } };
  };

  const mustBeOurs = ({ customer: { link } }: CustomerCall, token: string): void => {
    if (!isFormToken(links.keys, link, token)) throw new Problem('formForged');
  };

  /** An answer in the shape of its form; the problem names the questions that were not answered. */
  function answer(form: z.ZodType, way: number, sent: Sent): Readonly<Record<string, unknown>> {
    const answering = answerings(form)?.[way];
    if (answering === undefined) throw new Problem('malformed');
    const { form: answer, unclear } = answered(answering, sent);
    if (unclear.length > 0) throw new Problem('invalid', {}, { errors: unclear.map((name) => ({ path: `a.${name}`, message: '' })) });
    return answer;
  }

  async function perform(call: CustomerCall<unknown, unknown, FormBody>, sent: Sent): Promise<Done> {
    const { body, customer, language } = call;
    const { row } = customer;
    mustBeOurs(call, body.csrf);
    switch (body.do) {
      case 'complete': {
        const task = await findTask(pool, taskId(row.id, body.of));
        if (task?.role !== 'customer') throw new Problem('taskNotFound');
        await act.complete(row, body.of, answer(formOf(task, deps), body.way, sent), language);
        return 'answered';
      }
      case 'event': {
        const declared = customerEvents(processes.get(row.process)?.declaration.events).find(([name]) => name === body.of)?.[1];
        if (declared === undefined || row.status !== 'open') throw new Problem('unknownEvent');
        await act.tell(row, { event: body.of, eventId: body.eventId, payload: answer(declared.payload, body.way, sent) }, language);
        return 'told';
      }
      case 'withdraw': {
        const { reason = '' } = sent;
        if (!Object.hasOwn(withdrawReasons, reason)) throw new Problem('invalid', {}, { errors: [{ path: 'a.reason', message: '' }] });
        await act.withdraw(row, { reason });
        return 'withdrawn';
      }
    }
  }

  /** What was refused, said on the page; every other fault is the application's to answer. */
  function refusal(error: unknown): Problem {
    if (error instanceof Problem) return error;
    if (error instanceof Refused) return problemOf(error);
    throw error;
  }

  return [
    customerRoute({
      id: 'customerPage',
      method: 'get',
      path: '/c/{token}',
      tag: 'Customers',
      summary: "The customer's page",
      params: tokenParam,
      query: languageQuery.extend({
        done: z
          .enum(Object.keys(done) as [Done, ...Done[]])
          .optional()
          .catch(undefined),
        step: z.literal('withdraw').optional().catch(undefined),
      }),
      page: true,
      replies: { 200: pageReply },
      run: (call) => shown(call, { withdrawing: call.query.step === 'withdraw', done: call.query.done }),
    }),
    customerRoute({
      id: 'customerPageAct',
      method: 'post',
      path: '/c/{token}',
      tag: 'Customers',
      summary: 'A form of the page: answers, tells or withdraws',
      params: tokenParam,
      query: languageQuery,
      body: formBody,
      takes: 'form',
      page: true,
      replies: { 303: backReply },
      problems: ['taskNotFound', 'choiceMade', 'formChanged', 'unknownEvent', 'eventConflict', 'inboxFull', 'caseEnded', 'noReturn'],
      run: async (call) => {
        const sent = sentIn(call.body);
        try {
          return back(call, await perform(call, sent));
        } catch (error) {
          const problem = refusal(error);
          const { do: what, of, way } = call.body;
          const form = what === 'withdraw' ? 'withdraw' : `${what === 'event' ? 'event' : 'task'}:${of}`;
          // Paths of the schema begin with `form` or `payload`, ours with `a`; the field is what comes next.
          const unclear = (problem.errors ?? []).map(({ path }) => path.split('.')[1] ?? '');
          return shown(call, { withdrawing: what === 'withdraw', notTaken: { problem, of: form, way, unclear, sent } });
        }
      },
    }),
    customerRoute({
      id: 'customerPageUpload',
      method: 'post',
      path: '/c/{token}/evidence',
      tag: 'Customers',
      summary: "The page's upload",
      params: tokenParam,
      query: languageQuery,
      body: filesBody.extend({ csrf: z.string().describe('Before the files') }),
      takes: 'upload',
      page: true,
      replies: { 303: backReply },
      problems: ['inboxFull', 'formForged'],
      run: async (call) => {
        try {
          const { repeated } = await act.upload(call.request, call.customer.row, call.language, (fields) => mustBeOurs(call, fields.get('csrf') ?? ''));
          return back(call, repeated ? 'repeated' : 'uploaded');
        } catch (error) {
          return shown(call, { notTaken: { problem: refusal(error), of: 'evidence' } });
        }
      },
    }),
    customerRoute({
      id: 'customerPageBack',
      method: 'get',
      path: '/c/{token}/evidence',
      tag: 'Customers',
      summary: 'Back to the page, for a browser that loads the address of a failed upload again',
      params: tokenParam,
      query: languageQuery,
      page: true,
      replies: { 303: { description: 'The page is at `Location`' } },
      run: (call) => back(call),
    }),
    route({
      id: 'customerStyle',
      method: 'get',
      path: '/c/page.css',
      tag: 'Customers',
      summary: "The page's style",
      replies: { 200: { description: 'CSS', schema: z.string(), type: 'text/css' } },
      run: () => ({ status: 200, type: 'text/css', body: style, headers: { 'Cache-Control': 'public, max-age=31536000, immutable' } }),
    }),
  ];
}
