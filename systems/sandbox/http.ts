/** The sandbox over HTTP: one router per system, made from its contract. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { json, Router } from 'express';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { OperationContract } from '../contract.ts';
import { openApiOf } from '../openapi.ts';
import type { Pool, Sql } from './database.ts';
import { inTransaction, writeSetting } from './database.ts';
import type { AnySandbox, Route } from './define.ts';
import { BusinessError, Refusal, routesOf } from './define.ts';
import type { Faults, FaultSettings } from './faults.ts';
import { faultsSchema } from './faults.ts';
import { callIn } from './later.ts';
import type { KeptAnswer } from './ledger.ts';
import { ledgerPage, ledgerQuery, lookUp, once, problem, readLedger } from './ledger.ts';

/** No argument of ours comes near it. */
const bodyLimit = 256 * 1024;

export interface HttpOptions {
  readonly pool: Pool;
  readonly sandbox: AnySandbox;
  readonly faults: Faults;
  /** After a commit. */
  readonly wake: () => void;
}

function send(response: Response, { status, body }: KeptAnswer): void {
  response.status(status).type(status === 200 ? 'application/json' : 'application/problem+json');
  response.send(JSON.stringify(body));
}

/** Breaks the connection: the caller learns nothing, as when a cable is cut. */
const cut = (request: Request): void => void request.socket.destroy();

/** What does not fit its schema, as 422 with the paths. */
class Misfit extends Error {
  readonly issues: readonly z.core.$ZodIssue[];
  constructor(issues: readonly z.core.$ZodIssue[]) {
    super('misfit');
    this.issues = issues;
  }
}

function fit<Z extends z.ZodType>(schema: Z, value: unknown): z.output<Z> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new Misfit(parsed.error.issues);
  return parsed.data;
}

const keyOf = (request: Request): string => {
  const key = request.get('idempotency-key') ?? '';
  if (!/^[\x21-\x7e]{1,700}$/.test(key)) throw new Refusal('keyMissing', 'An effect needs an Idempotency-Key of 1 to 700 visible ASCII characters', 400);
  return key;
};

/** Routes that every system of the sandbox has. */
function commonRoutes({ sandbox, faults }: HttpOptions): Route[] {
  const system = sandbox.contract.name;
  const route = routesOf();
  const setFaults = async (sql: Sql, settings: FaultSettings): Promise<FaultSettings> => {
    await writeSetting(sql, system, 'faults', settings);
    faults.set(settings);
    return settings;
  };
  return [
    route({
      method: 'get',
      path: 'ledger',
      title: 'Every effect that was asked for',
      query: ledgerQuery,
      result: ledgerPage,
      run: ({ query }, { sql }) => readLedger(sql, system, query),
    }),
    route({
      method: 'get',
      path: 'webhooks',
      title: 'What was told, oldest first',
      query: z.object({
        subject: z.string().max(200).optional(),
        after: z.coerce.number().int().min(0).default(0),
        limit: z.coerce.number().int().min(1).max(1000).default(100),
      }),
      result: z.object({
        webhooks: z.array(
          z.object({ seq: z.int(), id: z.string(), event: z.string(), subject: z.string(), payload: z.unknown(), attempts: z.int(), delivered: z.boolean() }),
        ),
      }),
      run: async ({ query }, { sql }) => {
        const { rows } = await sql.query<{ seq: number; id: string; event: string; subject: string; payload: unknown; attempts: number; delivered: boolean }>(
          `select seq, id, event, subject, payload, attempts, delivered_at is not null as delivered from sandbox.webhooks
            where system = $1 and ($2::text is null or subject = $2) and seq > $3 order by seq limit $4`,
          [system, query.subject ?? null, query.after, query.limit],
        );
        return { webhooks: rows };
      },
    }),
    route({
      method: 'post',
      path: 'webhooks/resend',
      title: 'Send again what was taken since then: for who has restored a back-up',
      body: z.object({ since: z.iso.datetime({ offset: true }) }),
      result: z.object({ webhooks: z.int() }),
      run: async ({ body }, { sql }) => {
        const { rowCount } = await sql.query(
          `update sandbox.webhooks set delivered_at = null, next_at = clock_timestamp() where system = $1 and delivered_at >= $2`,
          [system, body.since],
        );
        return { webhooks: rowCount ?? 0 };
      },
    }),
    route({ method: 'get', path: 'faults', title: 'The faults that are switched on', result: faultsSchema, run: () => Promise.resolve(faults.settings) }),
    route({
      method: 'put',
      path: 'faults',
      title: 'Switch faults on; what is left out is off',
      body: faultsSchema,
      result: faultsSchema,
      run: ({ body }, { sql }) => setFaults(sql, body),
    }),
    route({
      method: 'delete',
      path: 'faults',
      title: 'Switch all faults off',
      result: faultsSchema,
      run: (_, { sql }) => setFaults(sql, faultsSchema.parse({})),
    }),
  ];
}

const loopback = new Set(['127.0.0.1', '::1', '::ffff:127.0.0.1']);

function routeHandler(made: Route, { pool, sandbox, faults, wake }: HttpOptions): RequestHandler {
  return async (request, response) => {
    if (made.loopback && !loopback.has(request.socket.remoteAddress ?? ''))
      throw new Refusal('thisMachineOnly', 'Call it from the machine that the sandbox runs on', 403);
    const input = {
      query: (made.query ? fit(made.query, request.query) : undefined) as never,
      body: (made.body ? fit(made.body, request.body) : undefined) as never,
    };
    const result = await inTransaction(pool, (sql) => made.run(input, callIn(sandbox.contract, sql, '', faults)));
    wake();
    send(response, { status: 200, body: made.result.parse(result) });
  };
}

/** An answer that is slow on request does not keep a process alive that is otherwise done. */
const unheld = { ref: false } as const;

/** Faults that strike before anything is done. Returns false when the call ends here. */
async function survives(operation: string, request: Request, response: Response, faults: Faults): Promise<boolean> {
  if (faults.settings.outage) {
    cut(request);
    return false;
  }
  if (!faults.concerns(operation)) return true;
  if (faults.settings.latencyMs > 0) await sleep(faults.settings.latencyMs, undefined, unheld);
  if (!faults.strikes('errorRate')) return true;
  send(response, problem(500, 'faultOnRequest', 'Fails because it was asked to'));
  return false;
}

function operationHandler(name: string, operation: OperationContract, { pool, sandbox, faults, wake }: HttpOptions): RequestHandler {
  return async (request, response) => {
    if (!(await survives(name, request, response, faults))) return;
    const args = fit(operation.args, request.body);
    let answer: KeptAnswer;
    if (operation.kind === 'read') {
      const read = sandbox.operations[name];
      if (!read) throw new Error(`${sandbox.contract.name}.${name} is declared and not written`);
      answer = {
        status: 200,
        body: operation.result.parse(await inTransaction(pool, (sql) => read(args as never, callIn(sandbox.contract, sql, '', faults)))),
      };
    } else {
      const key = keyOf(request);
      answer = await inTransaction(pool, (sql) => once(sandbox, name, operation, args, callIn(sandbox.contract, sql, key, faults), faults.settings.ignoreKeys));
      wake();
    }
    if (faults.concerns(name)) {
      if (faults.strikes('loseAnswerAfterCommit')) return cut(request);
      if (faults.settings.lateAnswerMs > 0) await sleep(faults.settings.lateAnswerMs, undefined, unheld);
    }
    send(response, answer);
  };
}

function lookupHandler(name: string, { pool, sandbox, faults }: HttpOptions): RequestHandler {
  return async (request, response) => {
    if (!(await survives(name, request, response, faults))) return;
    const { key } = fit(z.object({ key: z.string().min(1).max(700) }), request.query);
    send(response, (await lookUp(pool, sandbox.contract.name, name, key)) ?? problem(404, 'unknownKey', 'Nothing stands under this key'));
  };
}

/** What a thrown error says to the caller. */
function answerOf(error: unknown): KeptAnswer {
  if (error instanceof Misfit) {
    return problem(
      422,
      'misfit',
      'The request does not fit its schema',
      error.issues.slice(0, 20).map((issue) => ({ path: issue.path.join('.'), message: issue.message })),
    );
  }
  // Of a read; an effect's is recorded and comes as its answer.
  if (error instanceof BusinessError) return problem(409, error.code, error.message);
  if (error instanceof Refusal) return problem(error.status, error.code, error.message);
  const { code, type, status } = error as { code?: unknown; type?: unknown; status?: unknown };
  if (type === 'entity.too.large') return problem(413, 'tooLarge', 'The body is too large');
  // Express' own: malformed JSON, unknown charset, malformed %-encoding.
  if (typeof status === 'number' && status >= 400 && status < 500) return problem(status, 'malformed', 'The request could not be read');
  // Postgres classes 22 (a value it cannot hold, such as a zero byte) and 23 (a constraint that the handler did not foresee).
  if (typeof code === 'string' && /^2[23]/.test(code)) return problem(422, 'impossible', 'The values are not possible');
  return problem(503, 'unavailable', 'The sandbox or its Postgres cannot now; ask again');
}

/** All routes of one system, to be mounted at `/<system>`. */
export function systemRouter(options: HttpOptions): Router {
  const { sandbox } = options;
  const router = Router();
  const routes = [...commonRoutes(options), ...sandbox.routes];
  const document = openApiOf(sandbox.contract, routes);
  router.get('/openapi.json', (_, response) => void response.json(document));
  for (const made of routes) router[made.method](`/${made.path}`, json({ limit: made.limit ?? bodyLimit }), routeHandler(made, options));
  for (const [name, operation] of Object.entries(sandbox.contract.operations)) {
    router.post(`/${name}`, json({ limit: bodyLimit }), operationHandler(name, operation, options));
    if (operation.kind === 'effect') router.get(`/${name}`, lookupHandler(name, options));
  }
  return router;
}

/** The last two handlers of the app: no such route, and errors. */
export const endHandlers = (log: Logger): readonly [RequestHandler, (error: unknown, request: Request, response: Response, next: NextFunction) => void] => [
  (_, response) => send(response, problem(404, 'noSuchRoute', 'There is no such system, operation or route')),
  (error, request, response, next) => {
    const answer = answerOf(error);
    const detail = error instanceof Error ? error.message : String(error);
    // A refusal may be what a test wants; a 503 is ours to look at.
    if (answer.status === 503) log.error({ method: request.method, path: request.path, error: detail }, 'sandbox failed');
    else log.debug({ method: request.method, path: request.path, status: answer.status }, 'refused');
    if (response.headersSent || request.socket.destroyed) return next(error);
    send(response, answer);
  },
];
