import { beforeAll, describe, expect, test } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { access } from '../../api/access.ts';
import { createAdmission } from '../../api/admission.ts';
import { apiRoutes, createApp } from '../../api/app.ts';
import type { AppDeps } from '../../api/deps.ts';
import { openApiDocument } from '../../api/openapi.ts';
import { problems } from '../../api/problems.ts';
import { linkKeys } from '../../db/links.ts';
import { connectPool } from '../../db/pool.ts';
import { masterKeys } from '../../db/sealed.ts';
import { loadPolicy } from '../../policies/load.ts';
import { systems } from '../../systems/index.ts';
import { loadProcesses } from '../../workflows/registry.ts';

interface Linking {
  readonly links?: Readonly<Record<string, { readonly operationId: string; readonly parameters: Readonly<Record<string, string>> }>>;
}
const nobody = () => Promise.reject(new Error('nobody is called'));
let deps: AppDeps;
let document: {
  paths: Record<string, Record<string, { operationId: string; security: unknown[]; parameters?: { name: string }[]; responses: Record<string, unknown> }>>;
  components: { schemas: Record<string, unknown> };
};

beforeAll(async () => {
  deps = {
    // Connects at its first query, and none is made.
    pool: connectPool('postgres://127.0.0.1:1/none', 'none'),
    processes: new Map([...(await loadProcesses()), ...(await loadProcesses(new URL('../processes/', import.meta.url)))]),
    systems,
    policy: loadPolicy(new URL('../../policies/default.yaml', import.meta.url).pathname),
    delivery: { start: nobody, deliver: nobody, look: nobody },
    checkToken: nobody,
    webhookSecrets: () => [],
    master: masterKeys(Buffer.alloc(32, 7).toString('base64')),
    log: pino({ level: 'silent' }),
    metrics: new Registry(),
    ratePerMinute: 1,
    links: { keys: linkKeys(Buffer.alloc(32, 8).toString('base64')), publicUrl: 'http://127.0.0.1:7400' },
    linkRatePerMinute: 1,
    proxies: 0,
    evidence: { put: nobody, get: nobody, remove: nobody },
    admission: createAdmission({ inWork: 1, waiting: 0 }, new Registry()),
    backlogMost: 1,
  };
  document = JSON.parse(JSON.stringify(openApiDocument(apiRoutes(deps), deps))) as typeof document;
});

describe('the OpenAPI document', () => {
  test('is valid OpenAPI 3.1', async () => {
    const validator = new Validator();
    const result = await validator.validate(document);
    expect(result.errors).toBeUndefined();
    expect(result.valid).toBe(true);
    expect(validator.version).toBe('3.1');
  });

  test('the validator would notice: a document with a fault is refused', async () => {
    const broken = { ...document, paths: { '/x': { get: { responses: 7 } } } };
    expect((await new Validator().validate(broken)).valid).toBe(false);
  });

  test('has every route of the app, and no other', () => {
    // A registry of its own: each app registers its metrics.
    const { router } = createApp({ ...deps, metrics: new Registry() });
    const inApp = (router.stack as { route?: { path: string; methods?: Record<string, boolean>; stack: { method?: string }[] } }[]).flatMap(({ route }) =>
      route ? [...new Set(route.stack.flatMap(({ method }) => method ?? []))].map((method) => `${method} ${route.path.replaceAll(/:(\w+)/g, '{$1}')}`) : [],
    );
    const documented = Object.entries(document.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`));
    expect(documented.toSorted()).toEqual(inApp.toSorted());
  });

  test('names every operation once, and who may call it', () => {
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    expect(operations.map((o) => o.operationId).toSorted()).toEqual(Object.keys(access).toSorted());
    for (const { operationId, security } of operations) {
      const rule = access[operationId as keyof typeof access];
      expect({ operationId, secured: security.length > 0 }).toEqual({ operationId, secured: typeof rule !== 'string' });
    }
  });

  test('has what each process declares as a schema with a name', () => {
    const names = Object.keys(document.components.schemas);
    for (const name of [
      'TinyInput',
      'TinyDecideForm',
      'TinyConfirmForm',
      'TinySaidPayload',
      'TinyOutcome',
      'RepairForm',
      'RedoForm',
      'FinanceRefundState',
      'Problem',
      'Task',
      'Case',
    ])
      expect(names).toContain(name);
    const text = JSON.stringify(document.paths['/v1/processes/{process}/cases']);
    expect(text).toContain('#/components/schemas/TinyInput');
    expect(JSON.stringify(document.paths['/v1/tasks/{id}/complete'])).toContain('#/components/schemas/TinyDecideForm');
  });

  test('what an answer leads to is an operation, with parameters that it has', () => {
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    const parametersOf = (id: string) => operations.find(({ operationId }) => operationId === id)?.parameters?.map(({ name }) => name);
    const links = operations.flatMap(({ responses }) => Object.values(responses).flatMap((response) => Object.values((response as Linking).links ?? {})));
    expect(links.length).toBeGreaterThan(10);
    for (const { operationId, parameters } of links) expect(parametersOf(operationId)).toEqual(expect.arrayContaining(Object.keys(parameters)));
  });

  test('every reference leads somewhere', () => {
    const names = new Set(Object.keys(document.components.schemas));
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1]);
    expect(references.length).toBeGreaterThan(20);
    expect(references.filter((name) => name === undefined || !names.has(name))).toEqual([]);
  });
});

test('every problem says in both languages what it means and what to do', () => {
  for (const [code, { status, title, detail }] of Object.entries(problems)) {
    expect(`${code} ${status}`).toMatch(/ (4|5)\d\d$/);
    for (const text of [title.zh, detail.zh]) expect(text).toMatch(/\p{Script=Han}/u);
    for (const text of [title.en, detail.en]) expect(text).not.toMatch(/\p{Script=Han}/u);
    // The same facts are named in both.
    const facts = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '').toSorted((a, b) => (a < b ? -1 : 1));
    expect({ code, facts: facts(detail.en) }).toEqual({ code, facts: facts(detail.zh) });
  }
});
