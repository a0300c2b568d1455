/** The HTTP application: every route through the same gate (who, how often, may they, does it fit), every failure a problem. */
import { randomUUID } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import express, { type ErrorRequestHandler, type Express, type Request, type RequestHandler, type Response } from 'express';
import { ipKeyGenerator, rateLimit } from 'express-rate-limit';
import helmet from 'helmet';
import pg from 'pg';
import { pinoHttp } from 'pino-http';
import { Histogram } from 'prom-client';
import type { z } from 'zod';
import { findPerson, type Person } from '../db/people.ts';
import { isAway } from '../db/pool.ts';
import { Refused } from '../db/refused.ts';
import { access } from './access.ts';
import { createActing } from './acting.ts';
import type { Kind } from './admission.ts';
import { createBacklog } from './backlog.ts';
import { createBringing } from './bringing.ts';
import { createDoor } from './customer/door.ts';
import { failurePage, pagePolicy } from './customer/page.ts';
import type { AppDeps } from './deps.ts';
import { keysAreAway } from './token.ts';
import { createUploads } from './uploads.ts';
import { fieldErrors } from './fields.ts';
import { inLanguage, languageOf, type Language } from './language.ts';
import { openApiDocument } from './openapi.ts';
import { Problem, problemBody, problemOf, problems } from './problems.ts';
import type { Call, CustomerCall, PersonCall, Reply, Route } from './route.ts';
import { calendarRoutes } from './routes/calendar.ts';
import { caseRoutes } from './routes/cases.ts';
import { customerRoutes } from './routes/customer.ts';
import { customerPageRoutes } from './routes/customer-page.ts';
import { evidenceRoutes } from './routes/evidence.ts';
import { linkRoutes } from './routes/links.ts';
import { operationRoutes } from './routes/operation.ts';
import { peopleRoutes } from './routes/people.ts';
import { privacyRoutes } from './routes/privacy.ts';
import { processRoutes } from './routes/processes.ts';
import { reportRoutes } from './routes/reports.ts';
import { taskRoutes } from './routes/tasks.ts';
import { webhookRoutes } from './routes/webhooks.ts';

/** Forms and inputs are small; evidence is uploaded elsewhere. */
const bodyLimit = '1mb';
/** Seconds after which a caller may try again when Postgres was away: it comes back within a few, or not soon. */
const retryAfter = '2';

/** What the gate has found out about a request, beside what Express knows. */
interface Found {
  route?: Route;
  subject?: string;
  /** Why the token does not hold: answered once the rate of such requests was counted. */
  refusal?: Problem;
  person?: Person;
  customer?: CustomerCall['customer'];
  /** Ends a request whose body does not come; an upload that was let in has more time. */
  late?: NodeJS.Timeout;
}
const found = (response: Response): Found => response.locals as Found;

const idHeader = 'X-Request-Id';
function requestIdOf(response: Response): string {
  const id = response.getHeader(idHeader);
  return typeof id === 'string' ? id : '';
}

/** Every route of the API, from which both the app and its document are made. */
export function apiRoutes(deps: AppDeps): Route[] {
  const bringing = createBringing(deps);
  const acting = createActing(deps, bringing);
  const uploads = createUploads(deps, acting);
  const backlog = createBacklog(deps);
  const routes: Route[] = [
    ...processRoutes(deps),
    ...caseRoutes(deps, bringing, acting, backlog),
    ...evidenceRoutes(deps, uploads),
    ...linkRoutes(deps),
    ...customerRoutes(deps, acting, uploads),
    ...customerPageRoutes(deps, acting, uploads),
    ...taskRoutes(deps, bringing),
    ...webhookRoutes(deps, bringing),
    ...peopleRoutes(deps),
    ...privacyRoutes(deps),
    ...calendarRoutes(deps),
    ...reportRoutes(deps),
  ];
  // Made once, when first asked for: it takes some 100 ms, which a start need not wait for.
  let document: unknown;
  const all: Route[] = [...routes, ...operationRoutes(deps, backlog, () => (document ??= openApiDocument(all, deps)))];
  return all;
}

export function createApp(deps: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.set('trust proxy', deps.proxies);
  const duration = new Histogram({
    name: 'kefu_http_request_duration_seconds',
    help: 'Time to answer',
    labelNames: ['operation', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [deps.metrics],
  });
  app.use(
    pinoHttp({
      logger: deps.log,
      genReqId: (request, response) => {
        const given = request.headers['x-request-id'];
        const id = typeof given === 'string' && /^[\w.-]{1,128}$/.test(given) ? given : randomUUID();
        response.setHeader(idHeader, id);
        return id;
      },
      // Ids only: no address with its query, no header, no body. Any of them may hold personal data or a token.
      serializers: {
        req: (request: { id: string; method: string }) => ({ id: request.id, method: request.method }),
        res: (response: { statusCode: number }) => ({ status: response.statusCode }),
      },
      wrapSerializers: false,
      customProps: (request, response) => {
        const { route, person, customer } = found(response as Response);
        // The address of a link is its token.
        const linked = route && access[route.id] === 'link';
        const about = linked ? { link: customer?.link.id, case: customer?.row.id } : route?.params ? (request as Request).params : undefined;
        return { operation: route?.id, person: person?.id, about };
      },
      // A 503 is our answer to too much, or to somebody who is away: its caller comes again, and nothing is wrong with it.
      customLogLevel: (_request, { statusCode }, error) => (error ? 'error' : statusCode === 503 ? 'warn' : statusCode >= 500 ? 'error' : 'info'),
      customErrorMessage: (_request, { statusCode }) => (statusCode === 503 ? 'request put off' : 'request failed'),
      // What failed is a line of its own; the error of a status is pino-http's, with its own stack.
      customErrorObject: (_request, { statusCode }, _error, { err, ...line }: { readonly err?: unknown }) => (statusCode >= 500 ? line : { ...line, err }),
      autoLogging: { ignore: (request) => ['/healthz', '/readyz', '/metrics'].includes(request.url ?? '') },
    }),
    soon,
    helmet({
      contentSecurityPolicy: {
        useDefaults: false,
        directives: {
          defaultSrc: ["'none'"],
          scriptSrc: ["'self'"],
          // Swagger UI sets style attributes.
          styleSrc: ["'self'", "'unsafe-inline'"],
          imgSrc: ["'self'", 'data:'],
          connectSrc: ["'self'"],
          frameAncestors: ["'none'"],
          baseUri: ["'none'"],
          formAction: ["'none'"],
        },
      },
    }),
    (request, response, next) => {
      const took = duration.startTimer();
      response.on('finish', () => took({ operation: found(response).route?.id ?? 'none', status: response.statusCode }));
      next(isReadable(request) ? undefined : new Problem('malformed'));
    },
  );

  const gate = createGate(deps);

  const routes = apiRoutes(deps);
  // Plain segments before parameters ("{" sorts after letters): /v1/tasks/next is no task's id.
  for (const path of [...new Set(routes.map((route) => route.path))].toSorted()) {
    const here = routes.filter((route) => route.path === path);
    const at = app.route(path.replaceAll(/\{(\w+)\}/g, ':$1'));
    for (const route of here) at[route.method](...gate(route));
    const allow = [...here.map((route) => route.method.toUpperCase()), 'OPTIONS'].join(', ');
    at.all((request, response) => {
      if (request.method === 'OPTIONS') response.set('Allow', allow).status(204).end();
      else throw new Problem('methodNotAllowed', { allow }, { headers: { Allow: allow } });
    });
  }
  app.use(() => {
    throw new Problem('notFound');
  });
  app.use(answerFailure(deps));
  return app;
}

/** Postgres takes neither NUL nor half a character: an address or a text with one is not well-formed for us. */
const unstorable = /[\0\p{Surrogate}]/u;
function isReadable(request: Request): boolean {
  try {
    return !unstorable.test(decodeURIComponent(request.originalUrl));
  } catch {
    return false;
  }
}
const reviver = (_key: string, value: unknown): unknown => {
  if (typeof value === 'string' && unstorable.test(value)) throw new SyntaxError('a text with a NUL or half a character');
  return value;
};

/** At most so many requests a minute of whoever `who` says. */
const limited = (limit: number, who: (request: Request, response: Response) => string): RequestHandler =>
  rateLimit({
    windowMs: 60_000,
    limit,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    keyGenerator: who,
    handler: (_request, _response, next) => next(new Problem('tooMany')),
  });
const addressOf = (request: Request): string => ipKeyGenerator(request.ip ?? '');

/**
 * A body of 1 MB is here within this time or its sender is gone; of an upload that was let in the server's own limit holds (main.ts). Whoever is refused before their
 * body is read as well: the server goes on taking it, so that the answer is heard.
 */
const bodyMs = 30_000;
const soon: RequestHandler = (request, response, next) => {
  const late = setTimeout(() => {
    if (!request.complete) request.destroy();
  }, bodyMs).unref();
  found(response).late = late;
  request.once('close', () => clearTimeout(late)).once('end', () => clearTimeout(late));
  next();
};
const unhurried: RequestHandler = (_request, response, next) => {
  clearTimeout(found(response).late);
  next();
};

/** The steps of every request, in this order: whoever may not call costs neither a body nor a query. */
function createGate(deps: AppDeps): (route: Route) => RequestHandler[] {
  const { pool, checkToken, log, ratePerMinute, linkRatePerMinute, admission } = deps;
  const json = express.json({ limit: bodyLimit, reviver });
  const form = express.urlencoded({ extended: false, limit: bodyLimit, parameterLimit: 200 });
  // A signature covers the bytes, so they are kept as they came.
  const raw = express.raw({ limit: bodyLimit, type: () => true });
  const callers = limited(ratePerMinute, (request, response) => found(response).subject ?? addressOf(request));
  // Before a link is looked up: whoever guesses costs no more than others.
  const addresses = limited(10 * linkRatePerMinute, addressOf);
  const links = limited(linkRatePerMinute, (request, response) => found(response).customer?.link.id ?? addressOf(request));
  const door = createDoor(deps);

  async function identify(request: Request, response: Response): Promise<void> {
    const [, token] = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(request.get('authorization') ?? '') ?? [];
    try {
      found(response).subject = await checkToken(token ?? '');
    } catch (error) {
      found(response).refusal = tokenProblem(error);
    }
  }

  async function admit(route: Route, response: Response): Promise<void> {
    const { refusal, subject } = found(response);
    if (refusal !== undefined) throw refusal;
    const person = subject === undefined ? undefined : await admission.run('other', () => findPerson(pool, subject));
    if (!person?.active) throw new Problem('unknownPerson', { person: subject });
    found(response).person = person;
    const needs = access[route.id];
    if (typeof needs === 'string' || !needs.some((role) => person.roles.includes(role))) throw new Problem('forbidden', { person: person.id, needs });
  }

  /** How a route's body is read; an upload is read by its route. */
  function bodyOf({ body, takes = 'json', id }: Route): RequestHandler[] {
    if (body === undefined) return [];
    if (takes === 'upload') return [unhurried];
    if (access[id] === 'signed') return [raw];
    return takes === 'form' ? [mustBe('application/x-www-form-urlencoded', 'notForm'), form] : [mustBe('application/json', 'notJson'), json];
  }

  function whoCalls(route: Route): RequestHandler[] {
    const rule = access[route.id];
    if (rule === 'public') return [];
    if (rule === 'signed') return [callers];
    if (rule === 'link')
      return [addresses, step(async (request, response) => void (found(response).customer = await admission.run('other', () => door(request)))), links];
    return [step(identify), callers, step((_request, response) => admit(route, response))];
  }

  return (route) => {
    const rule = access[route.id];
    const run: RequestHandler = async (request, response) => {
      const language = spokenIn(request, response);
      const parse = (schema: z.ZodType | undefined, value: unknown, prefix: string): unknown => {
        const parsed = schema?.safeParse(value, inLanguage(language));
        if (parsed?.success === false) throw new Problem('invalid', {}, { errors: fieldErrors(parsed.error, prefix) });
        return parsed?.data;
      };
      const call: Call = {
        params: parse(route.params, request.params, 'path'),
        query: parse(route.query, request.query, 'query'),
        // What is signed is parsed by its route, once the signature holds.
        body: rule === 'signed' || route.takes === 'upload' ? request.body : parse(route.body, request.body ?? {}, ''),
        language,
        requestId: requestIdOf(response),
        log,
        request,
      };
      // `person` is there for every route that has roles, `customer` for every one that needs a link: `admit` and the door came before.
      const { person, customer } = found(response);
      const work = async (): Promise<Reply> => {
        // Whoever went away while waiting is not worked for: they ask again, or have no use for it.
        if (request.socket.destroyed) throw new Problem('overloaded');
        return route.run({ ...call, person, customer } as PersonCall & CustomerCall);
      };
      // What is public asks nothing of Postgres, or is health, which has to be told however many others wait.
      await send(response, await (rule === 'public' ? work() : admission.run(kindOf(route), work)), language);
    };
    return [
      (_request, response, next) => {
        found(response).route = route;
        if (rule !== 'public') admission.check(kindOf(route));
        next();
      },
      ...whoCalls(route),
      ...bodyOf(route),
      run,
    ];
  };
}

const kindOf = ({ id, takes }: Route): Kind => (id === 'startCase' ? 'start' : takes === 'upload' ? 'upload' : 'other');

const step =
  (work: (request: Request, response: Response) => Promise<void>): RequestHandler =>
  async (request, response, next) => {
    await work(request, response);
    next();
  };

/** A charset that is named; the parsers would take others that begin like it, such as UTF-7. */
const charset = /;\s*charset\s*=\s*"?([^\s;"]*)/i;
/** A body has to say what it is, in UTF-8; none at all is an empty one, and the schema says what is missing. */
const mustBe =
  (type: string, problem: 'notJson' | 'notForm'): RequestHandler =>
  (request, _response, next) => {
    const there = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
    const [, named = 'utf-8'] = charset.exec(request.get('content-type') ?? '') ?? [];
    next(there && (!request.is(type) || !/^utf-?8$/i.test(named)) ? new Problem(problem) : undefined);
  };

/** Whoever has a link is answered in its language, unless they ask for the other one; everybody else in what their client prefers. */
function spokenIn(request: Request, response: Response): Language {
  const { lang } = request.query;
  const { route, customer } = found(response);
  if (route && access[route.id] === 'link' && (lang === 'zh' || lang === 'en')) return lang;
  return customer?.link.language ?? languageOf(request);
}

const tokenProblem = (error: unknown): Problem =>
  keysAreAway(error)
    ? new Problem('keysAway', {}, { headers: { 'Retry-After': retryAfter } })
    : new Problem('unauthenticated', {}, { headers: { 'WWW-Authenticate': 'Bearer' } });

async function send(response: Response, reply: Reply, language: Language): Promise<void> {
  response
    .status(reply.status)
    .set({ 'Cache-Control': 'no-store', 'Content-Language': language === 'zh' ? 'zh-CN' : 'en', Vary: 'Accept-Language', ...reply.headers });
  if (reply.stream !== undefined) {
    response.type(reply.type ?? 'application/octet-stream');
    // Whoever goes away half-way is no fault of ours.
    await pipeline(reply.stream, response).catch((error: unknown) => {
      if (!response.writableFinished && !response.destroyed) throw error;
    });
  } else if (reply.file !== undefined) response.type(reply.type ?? 'application/octet-stream').sendFile(reply.file);
  else if (reply.type !== undefined) response.type(reply.type).send(reply.body);
  else response.json(reply.body);
}

/** Errors of Express's own parts, by their `type`. */
const ofParser: Readonly<Record<string, 'tooLarge' | 'notJson' | 'malformed'>> = {
  'entity.too.large': 'tooLarge',
  'parameters.too.many': 'tooLarge',
  'encoding.unsupported': 'notJson',
  'charset.unsupported': 'notJson',
};

/** What says that a key was dropped before what was sealed under it could be kept. */
const ownerGone: readonly string[] = ['sealed_texts_owner_fkey', 'evidence_owner_fkey'];

function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof Refused) return problemOf(error);
  if (isAway(error)) return new Problem('unavailable', {}, { headers: { 'Retry-After': retryAfter } });
  // Statement time-out, serialization failure, deadlock; or the customer was erased while something of theirs was sealed: rolled back, and to be tried again.
  if (error instanceof pg.DatabaseError && (['57014', '40001', '40P01', '55P03'].includes(error.code ?? '') || ownerGone.includes(error.constraint ?? '')))
    return new Problem('busy', {}, { headers: { 'Retry-After': '1' } });
  // Data exception: what was sent passed our schemas and is still no value that Postgres knows.
  if (error instanceof pg.DatabaseError && error.code?.startsWith('22')) return new Problem('malformed');
  const { status, type } = (typeof error === 'object' && error !== null ? error : {}) as { status?: unknown; type?: unknown };
  if (typeof type === 'string' && Object.hasOwn(ofParser, type)) return new Problem(ofParser[type] ?? 'malformed');
  if (typeof status === 'number' && status >= 400 && status < 500) return new Problem('malformed');
  return new Problem('internal');
}

/** What a log may know of a fault: of Postgres's own errors not the message, which quotes values. */
function loggable(error: unknown): object {
  if (error instanceof pg.DatabaseError)
    return { name: 'DatabaseError', code: error.code, table: error.table, constraint: error.constraint, stack: error.stack?.split('\n').slice(1).join('\n') };
  return error instanceof Error ? { name: error.name, message: error.message, stack: error.stack } : { name: typeof error };
}

const answerFailure =
  ({ log, links }: AppDeps): ErrorRequestHandler =>
  (error: unknown, request, response, _next) => {
    const problem = asProblem(error);
    const { status } = problems[problem.code];
    // A data exception is the caller's to mend, and shows a schema of ours that lets too much pass.
    if (status === 500 || error instanceof pg.DatabaseError)
      log.error({ request: request.id, operation: found(response).route?.id, error: loggable(error) }, 'a fault');
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const language = spokenIn(request, response);
    response
      .status(status)
      .set({ 'Cache-Control': 'no-store', 'Content-Language': language === 'zh' ? 'zh-CN' : 'en', Vary: 'Accept-Language', ...problem.headers });
    const { route } = found(response);
    if (route?.page)
      response
        .set(pagePolicy)
        .type('text/html')
        .send(failurePage(problem, language, links));
    else response.type('application/problem+json').send(JSON.stringify(problemBody(problem, language, requestIdOf(response))));
  };
