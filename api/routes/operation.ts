import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { AppDeps } from '../deps.ts';
import { problems, Problem, type ProblemCode } from '../problems.ts';
import { route, type Route } from '../route.ts';

/** The parts of Swagger UI that the page needs, from the installed package: nothing is fetched from anywhere else. */
const swagger = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
const assets = { 'swagger-ui.css': 'text/css', 'swagger-ui-bundle.js': 'text/javascript', 'favicon-32x32.png': 'image/png' } as const;
const startScript = `window.addEventListener('load', () => SwaggerUIBundle({ url: '/openapi.json', dom_id: '#docs', deepLinking: true, validatorUrl: null, docExpansion: 'list' }));\n`;
const docsPage = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Kefu Flow API</title><link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" type="image/png" href="/docs/favicon-32x32.png"></head>
<body><div id="docs"></div><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>
`;

/** Texts of ours and codes of ours: nothing in it comes from a caller. */
const problemPage = (code: ProblemCode): string => {
  const { title, detail, status } = problems[code];
  return `<!doctype html>
<html lang="zh-CN">
<head><meta charset="utf-8"><title>${code}</title></head>
<body><h1>${title.zh} · ${title.en}</h1><p><code>${code}</code>, HTTP ${status}</p><p lang="zh-CN">${detail.zh}</p><p lang="en">${detail.en}</p></body>
</html>
`;
};

const readiness = z
  .object({
    status: z.enum(['ready', 'degraded', 'unavailable']).describe('`degraded`: everything is taken, and carried out when what is away is back'),
    postgres: z.enum(['ok', 'away']),
    temporal: z.enum(['ok', 'away']),
    worker: z.enum(['ok', 'away']),
    systems: z.record(z.string(), z.string()).describe('Outside systems that people have to mend effects of'),
  })
  .meta({ id: 'Readiness' });

/** Who asks every second must not cost Temporal a call each time. */
const lookEvery = 2000;

export function operationRoutes({ pool, delivery, metrics }: AppDeps, document: () => unknown): Route[] {
  let looked: { readonly at: number; readonly seen: Promise<{ readonly temporal: boolean; readonly worker: boolean }> } | undefined;
  const look = () => {
    if (looked === undefined || Date.now() - looked.at > lookEvery) looked = { at: Date.now(), seen: delivery.look() };
    return looked.seen;
  };

  /** Open repair tasks by system: what the engine itself knows of an outside system's health. Served by index tasks_open_of_all. */
  async function repairs(): Promise<Record<string, string>> {
    const { rows } = await pool.query<{ system: string; n: number }>(
      `select coalesce(context->>'system', 'engine') as system, count(*)::int as n from tasks where status = 'open' and role in ('ops', 'supervisor', 'manager') and name = 'repair' group by 1`,
    );
    return Object.fromEntries(rows.map(({ system, n }) => [system, `${n} to repair`]));
  }

  return [
    route({
      id: 'health',
      method: 'get',
      path: '/healthz',
      tag: 'Operation',
      summary: 'The process lives',
      replies: { 200: { description: 'It does', schema: z.object({ status: z.literal('live') }) } },
      run: () => ({ status: 200, body: { status: 'live' } }),
    }),
    route({
      id: 'ready',
      method: 'get',
      path: '/readyz',
      tag: 'Operation',
      summary: 'Whether requests can be taken: Postgres is there',
      replies: { 200: { description: 'Ready, perhaps degraded', schema: readiness }, 503: { description: 'Postgres is away', schema: readiness } },
      run: async () => {
        const [{ temporal, worker }, systems] = await Promise.all([look(), repairs().catch(() => undefined)]);
        const status = systems === undefined ? 'unavailable' : temporal && worker && Object.keys(systems).length === 0 ? 'ready' : 'degraded';
        const of = (there: boolean) => (there ? ('ok' as const) : ('away' as const));
        return {
          status: systems === undefined ? 503 : 200,
          body: { status, postgres: of(systems !== undefined), temporal: of(temporal), worker: of(worker), systems: systems ?? {} },
        };
      },
    }),
    route({
      id: 'metrics',
      method: 'get',
      path: '/metrics',
      tag: 'Operation',
      summary: 'Prometheus',
      replies: { 200: { description: 'Text format', schema: z.string(), type: 'text/plain' } },
      run: async () => ({ status: 200, type: metrics.contentType, body: await metrics.metrics() }),
    }),
    route({
      id: 'document',
      method: 'get',
      path: '/openapi.json',
      tag: 'Operation',
      summary: 'This document',
      replies: { 200: { description: 'OpenAPI 3.1', schema: z.record(z.string(), z.unknown()) } },
      run: () => ({ status: 200, body: document() }),
    }),
    route({
      id: 'docs',
      method: 'get',
      path: '/docs',
      tag: 'Operation',
      summary: 'This document, to read and try; works offline',
      replies: { 200: { description: 'A page', schema: z.string(), type: 'text/html' } },
      run: () => ({ status: 200, type: 'text/html', body: docsPage }),
    }),
    route({
      id: 'docsFile',
      method: 'get',
      path: '/docs/{file}',
      tag: 'Operation',
      summary: 'A part of that page',
      params: z.object({ file: z.string().max(100) }),
      replies: { 200: { description: 'The file', schema: z.string(), type: 'text/javascript' } },
      problems: ['notFound'],
      run: ({ params: { file } }) => {
        if (file === 'start.js') return { status: 200, type: 'text/javascript', body: startScript };
        if (!Object.hasOwn(assets, file)) throw new Problem('notFound');
        const name = file as keyof typeof assets;
        return { status: 200, type: assets[name], file: join(swagger, name), headers: { 'Cache-Control': 'public, max-age=3600' } };
      },
    }),
    route({
      id: 'problemPage',
      method: 'get',
      path: '/problems/{code}',
      tag: 'Operation',
      summary: 'What a problem means and what to do',
      params: z.object({ code: z.string().max(100).meta({ example: 'fourEyes' }) }),
      replies: { 200: { description: 'A page', schema: z.string(), type: 'text/html' } },
      problems: ['notFound'],
      run: ({ params: { code } }) => {
        if (!Object.hasOwn(problems, code)) throw new Problem('notFound');
        return { status: 200, type: 'text/html', body: problemPage(code as ProblemCode) };
      },
    }),
  ];
}
