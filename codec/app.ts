/** Temporal's remote codec: its page and its command line have the payloads of histories opened here, for people who may see them. */
import { randomUUID } from 'node:crypto';
import type { PayloadCodec } from '@temporalio/common';
import express, { type ErrorRequestHandler, type Express, type Request, type RequestHandler, type Response } from 'express';
import { rateLimit } from 'express-rate-limit';
import helmet from 'helmet';
import type { Logger } from 'pino';
import { fieldErrors } from '../api/fields.ts';
import { inLanguage, languageOf } from '../api/language.ts';
import { Problem, problemBody, problems } from '../api/problems.ts';
import { isAway } from '../db/pool.ts';
import type { Callers } from './callers.ts';
import { decoded, encoded, NotOpened, payloadsSchema } from './payloads.ts';

export interface CodecDeps {
  readonly codec: PayloadCodec;
  /** The namespace whose histories are sealed with these keys. */
  readonly namespace: string;
  /** Pages that may call: Temporal's, as browsers name it. */
  readonly origins: readonly string[];
  /** Names by which this server may be called, where it asks for no token; by default any. */
  readonly hosts?: readonly string[];
  readonly callers: Callers;
  readonly log: Logger;
  /** Calls a minute of one person. */
  readonly ratePerMinute: number;
}

/** An event's payloads come by one gRPC message of Temporal, 4 MB at most, and a third longer as base64. */
const mostMegabytes = 8;

/** Who calls, once they were admitted. */
interface Found {
  person?: string;
}
const found = (response: Response): Found => response.locals as Found;

const corsHeaders = (origin: string): Record<string, string> => ({ 'Access-Control-Allow-Origin': origin, Vary: 'Origin' });
const preflightHeaders = {
  'Access-Control-Allow-Methods': 'POST',
  // As Temporal's page sends them. No cookie: credentials are not allowed.
  'Access-Control-Allow-Headers': 'authorization, authorization-extras, content-type, x-namespace',
  'Access-Control-Max-Age': '600',
};

export function createCodecApp(deps: CodecDeps): Express {
  const { codec, namespace, origins, hosts, callers, log, ratePerMinute } = deps;
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.use(helmet(), (request, response, next) => {
    response.set({ 'X-Request-Id': randomUUID(), 'Cache-Control': 'no-store' });
    // A name that an attacker makes lead here would give their page the same origin as ours.
    if (hosts !== undefined && !hosts.includes(request.get('host') ?? '')) throw new Problem('otherOrigin', { origin: request.get('host'), known: hosts });
    const origin = request.get('origin');
    // Who names no origin is no page of a browser.
    if (origin !== undefined) {
      if (!origins.includes(origin)) throw new Problem('otherOrigin', { origin, known: origins });
      response.set(corsHeaders(origin));
    }
    next();
  });
  app.get('/healthz', (_request, response) => void response.json({ status: 'live' }));

  const limited = rateLimit({
    windowMs: 60_000,
    limit: ratePerMinute,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    // Not by address: operators come by one ingress.
    keyGenerator: (_request, response) => found(response).person ?? '',
    handler: (_request, _response, next) => next(new Problem('tooMany')),
  });
  const json = express.json({ limit: mostMegabytes * 1024 * 1024 });
  // Whoever may not call costs no body.
  const admit: RequestHandler = async (request, response, next) => {
    found(response).person = await callers(request);
    const of = request.get('x-namespace');
    if (of !== namespace) throw new Problem('otherNamespace', { namespace: of, own: namespace });
    if (!request.is('application/json')) throw new Problem('notJson');
    next();
  };
  const serve = (path: string, audit: string, work: typeof decoded): void => {
    const run: RequestHandler = async (request, response) => {
      const parsed = payloadsSchema.safeParse(request.body, inLanguage(languageOf(request)));
      if (!parsed.success) throw new Problem('invalid', {}, { errors: fieldErrors(parsed.error, '') });
      const { payloads } = parsed.data;
      const done = await work(codec, payloads);
      log.info({ audit, person: found(response).person, namespace, payloads: payloads.length, request: response.getHeader('X-Request-Id') }, audit);
      response.json({ payloads: done });
    };
    app
      .route(path)
      .options(
        (_request, response) =>
          void response
            .set({ ...preflightHeaders, Allow: 'POST, OPTIONS' })
            .status(204)
            .end(),
      )
      .post(admit, limited, json, run)
      .all(() => {
        throw new Problem('methodNotAllowed', { allow: 'POST, OPTIONS' }, { headers: { Allow: 'POST, OPTIONS' } });
      });
  };
  serve('/decode', 'payloadsDecoded', decoded);
  serve('/encode', 'payloadsEncoded', encoded);
  app.use(() => {
    throw new Problem('notFound');
  });
  app.use(answerFailure(log));
  return app;
}

function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof NotOpened) return new Problem('notOpened', { at: error.at, why: error.message });
  if (isAway(error)) return new Problem('unavailable', {}, { headers: { 'Retry-After': '2' } });
  const { status, type } = (typeof error === 'object' && error !== null ? error : {}) as { status?: unknown; type?: unknown };
  if (type === 'entity.too.large') return new Problem('payloadsTooLarge', { megabytes: mostMegabytes });
  if (type === 'encoding.unsupported' || type === 'charset.unsupported') return new Problem('notJson');
  return new Problem(typeof status === 'number' && status >= 400 && status < 500 ? 'malformed' : 'internal');
}

const answerFailure =
  (log: Logger): ErrorRequestHandler =>
  (error: unknown, request: Request, response, _next) => {
    const problem = asProblem(error);
    const requestId = String(response.getHeader('X-Request-Id'));
    const { person } = problem.facts;
    // Who was refused is worth as much as who was not.
    log.info({ problem: problem.code, person, request: requestId }, 'refused');
    if (problem.code === 'internal') log.error({ request: requestId, error: error instanceof Error ? error.stack : typeof error }, 'a fault');
    if (response.headersSent) {
      response.destroy();
      return;
    }
    response
      .status(problems[problem.code].status)
      .set(problem.headers)
      .type('application/problem+json')
      .send(JSON.stringify(problemBody(problem, languageOf(request), requestId)));
  };
