import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Backlog } from '../backlog.ts';
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
    status: z
      .enum(['ready', 'degraded', 'unavailable'])
      .describe('`degraded`: what is taken is carried out once what is away is back; `load` says whether all of it is taken'),
    postgres: z.enum(['ok', 'away']),
    temporal: z.enum(['ok', 'away']),
    worker: z.enum(['ok', 'away']),
    systems: z.record(z.string(), z.string()).describe('Outside systems that people have to mend effects of'),
    load: z
      .object({
        requests: z.enum(['ok', 'refused']).describe('`refused`: some were within the last seconds, as `overloaded`'),
        starts: z.enum(['ok', 'refused']).describe('`refused`: some new cases are, or all, as `backlogged`'),
        waiting: z.int().describe('Cases and messages that the engine has not taken in'),
        behindSeconds: z.number().describe('How long what is taken on waits until it is begun'),
      })
      .describe('Whether this process and the engine keep up'),
  })
  .meta({ id: 'Readiness' });

export function operationRoutes({ pool, admission, metrics }: AppDeps, backlog: Backlog, document: () => unknown): Route[] {
  /** Open repair tasks by system: what the engine itself knows of an outside system's health. Served by index tasks_repair. */
  async function repairs(): Promise<Record<string, string>> {
    const { rows } = await pool.query<{ system: string; n: number }>(
      `select coalesce(context->>'system', 'engine') as system, count(*)::int as n from tasks where status = 'open' and name = 'repair' group by 1`,
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
        const [{ temporal, worker, behindMs, waiting, refuses }, systems] = await Promise.all([backlog.look(), repairs().catch(() => undefined)]);
        const keepsUp = !refuses && !admission.refusing;
        const status = systems === undefined ? 'unavailable' : temporal && worker && keepsUp && Object.keys(systems).length === 0 ? 'ready' : 'degraded';
        const of = (there: boolean) => (there ? ('ok' as const) : ('away' as const));
        return {
          status: systems === undefined ? 503 : 200,
          body: {
            status,
            postgres: of(systems !== undefined),
            temporal: of(temporal),
            worker: of(worker),
            systems: systems ?? {},
            load: {
              requests: admission.refusing ? 'refused' : 'ok',
              starts: refuses ? 'refused' : 'ok',
              waiting: waiting ?? 0,
              behindSeconds: Math.round(behindMs / 100) / 10,
            },
          },
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
      run: async () => {
        // What is shown is what is now, also when nobody else has looked.
        await backlog.look().catch(() => undefined);
        return { status: 200, type: metrics.contentType, body: await metrics.metrics() };
      },
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
