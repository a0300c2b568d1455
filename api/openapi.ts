/** The OpenAPI 3.1 document, made from the routes and the declarations: neither can say what the other does not. */
import { z } from 'zod';
import {
  createDocument,
  type CreateDocumentOptions,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponsesObject,
} from 'zod-openapi';
import { access } from './access.ts';
import { builtIn, type Declared } from './forms.ts';
import { problems, type ProblemCode } from './problems.ts';
import type { Route } from './route.ts';

const problemSchema = z
  .object({
    type: z.string().describe('Address of a page that explains the problem'),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('What to do'),
    code: z.enum(Object.keys(problems) as [ProblemCode, ...ProblemCode[]]),
    requestId: z.string(),
    errors: z.array(z.object({ path: z.string().describe('Dotted path in what was sent'), message: z.string() })).optional(),
  })
  .loose()
  .meta({ id: 'Problem', description: 'RFC 9457. Some kinds have members of their own: `differences`, `decided`.' });

const pascal = (name: string): string => name.replaceAll(/(?:^|-)(\w)/g, (_, letter: string) => letter.toUpperCase());
type Named = Record<string, z.ZodType>;

/** Every shape that a process declares, under a name of its own; one that has an id already keeps it. */
function declaredSchemas({ processes, systems }: Declared): {
  readonly inputs: Named;
  readonly forms: Named;
  readonly payloads: Named;
  readonly others: Named;
} {
  const all = [...processes.values()].map(({ declaration }) => declaration);
  const named = (entries: readonly (readonly [string, z.ZodType])[]): Named => Object.fromEntries(entries);
  const byCase = (event: { readonly from?: string }): boolean => event.from === undefined;
  return {
    inputs: named(all.map((d) => [`${pascal(d.name)}Input`, d.input])),
    forms: named([
      ...all.flatMap((d) => Object.entries(d.tasks).map(([task, { form }]) => [`${pascal(d.name)}${pascal(task)}Form`, form] as const)),
      ...Object.entries(builtIn).map(([task, { form }]) => [`${pascal(task)}Form`, form] as const),
    ]),
    payloads: named(
      all.flatMap((d) =>
        Object.entries(d.events).flatMap(([event, declared]) =>
          byCase(declared) ? [[`${pascal(d.name)}${pascal(event)}Payload`, declared.payload] as const] : [],
        ),
      ),
    ),
    others: named([
      ...all.map((d) => [`${pascal(d.name)}Outcome`, d.outcome] as const),
      ...Object.values(systems).flatMap((s) => Object.entries(s.events).map(([event, { payload }]) => [`${pascal(s.name)}${pascal(event)}`, payload] as const)),
    ]),
  };
}

const anyOf = (schemas: Named): z.ZodType => {
  const all = [...new Set(Object.values(schemas))];
  return all.length > 1 ? z.union(all as [z.ZodType, ...z.ZodType[]]) : (all[0] ?? z.unknown());
};

/** Where a route takes what a process declares, the document says which shapes those are. */
function bodyOf(route: Route, declared: ReturnType<typeof declaredSchemas>): z.ZodType | undefined {
  if (!(route.body instanceof z.ZodObject)) return route.body;
  switch (route.id) {
    case 'startCase':
      return route.body.extend({ input: anyOf(declared.inputs) });
    case 'completeTask':
      return route.body.extend({ form: anyOf(declared.forms) });
    case 'sendEvent':
      return route.body.extend({ payload: anyOf(declared.payloads) });
    default:
      return route.body;
  }
}

const bodyTypes = { json: 'application/json', form: 'application/x-www-form-urlencoded', upload: 'multipart/form-data' } as const;
const bodyProblems = {
  json: ['tooLarge', 'notJson'],
  form: ['tooLarge', 'notForm', 'formForged'],
  upload: ['notMultipart', 'noFile', 'fileType', 'fileTooLarge', 'evidenceFull'],
} as const satisfies Record<string, readonly ProblemCode[]>;

/** Problems that every route of a kind may answer with, beside its own. */
export function problemsOf(route: Route): ProblemCode[] {
  const rule = access[route.id];
  const reads = route.params !== undefined || route.query !== undefined || route.body !== undefined;
  return [
    ...(rule === 'public' ? [] : (['tooMany', 'overloaded', 'unavailable', 'busy', 'internal'] as const)),
    ...(rule === 'link' ? (['linkInvalid', 'linkExpired', 'linkRevoked'] as const) : []),
    ...(Array.isArray(rule) ? (['unauthenticated', 'forbidden', 'unknownPerson', 'keysAway'] as const) : []),
    ...(reads ? (['malformed', 'invalid'] as const) : []),
    ...(route.body ? bodyProblems[route.takes ?? 'json'] : []),
    ...(route.problems ?? []),
  ];
}

function responsesOf(route: Route): ZodOpenApiResponsesObject {
  const codes = [...new Set(problemsOf(route))];
  const failures = [...new Set(codes.map((code) => problems[code].status))].map((status) => [
    String(status),
    {
      description: codes
        .filter((code) => problems[code].status === status)
        .map((code) => `\`${code}\`: ${problems[code].title.en}`)
        .join('; '),
      content: route.page ? { 'text/html': { schema: z.string() } } : { 'application/problem+json': { schema: problemSchema } },
    },
  ]);
  const successes = Object.entries(route.replies).map(([status, { description, schema, type = 'application/json', leadsTo }]) => [
    status,
    {
      description,
      ...(schema ? { content: { [type]: { schema } } } : {}),
      ...(leadsTo ? { links: Object.fromEntries(Object.entries(leadsTo).map(([operationId, parameters]) => [operationId, { operationId, parameters }])) } : {}),
    },
  ]);
  return Object.fromEntries([...successes, ...failures]) as ZodOpenApiResponsesObject;
}

const signatureHeaders = z.object({
  'webhook-id': z.string().max(200).describe('The same id is the same event'),
  'webhook-timestamp': z.string().describe('Seconds since 1970, within five minutes of now'),
  'webhook-signature': z.string().describe('`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; several separated by a space'),
});

function operation(route: Route, declared: ReturnType<typeof declaredSchemas>): ZodOpenApiOperationObject {
  const rule = access[route.id];
  const body = bodyOf(route, declared);
  const rules = rule === 'link' ? 'For whoever has the link; for its case alone.' : typeof rule === 'string' ? undefined : `Roles: ${rule.join(', ')}.`;
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    description: [route.description, rules].filter((text) => text !== undefined).join('\n\n'),
    security: typeof rule === 'string' ? [] : [{ token: [] }],
    requestParams: {
      ...(route.params instanceof z.ZodObject ? { path: route.params } : {}),
      ...(route.query instanceof z.ZodObject ? { query: route.query } : {}),
      ...(rule === 'signed' ? { header: signatureHeaders } : {}),
    },
    ...(body
      ? {
          requestBody: {
            // None at all is an empty one.
            required: route.takes === 'upload' || !body.safeParse({}).success,
            content: { [bodyTypes[route.takes ?? 'json']]: { schema: body, ...(route.example === undefined ? {} : { example: route.example }) } },
          },
        }
      : {}),
    responses: responsesOf(route),
  };
}

/** Schemas that take anything say so; a union's options are alternatives. */
const options: CreateDocumentOptions = { allowEmptySchema: { custom: true, unknown: true, any: true } };

export function openApiDocument(routes: readonly Route[], deps: Declared): ReturnType<typeof createDocument> {
  const declared = declaredSchemas(deps);
  const paths: ZodOpenApiPathsObject = {};
  for (const route of routes) paths[route.path] = { ...paths[route.path], [route.method]: operation(route, declared) };
  const named = Object.entries({ ...declared.inputs, ...declared.forms, ...declared.payloads, ...declared.others });
  return createDocument(
    {
      openapi: '3.1.0',
      info: {
        title: 'Kefu Flow 客服流程引擎',
        version: '1',
        description:
          'Cases of customer service, decided by people, run once. Every write may be repeated: the same again has the same answer. Problems are `application/problem+json` in the language of `Accept-Language` (zh-CN, en).',
      },
      tags: ['Processes', 'Cases', 'Tasks', 'Webhooks', 'People', 'Calendar', 'Customers', 'Privacy', 'Reports', 'Operation'].map((name) => ({ name })),
      paths,
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'Who calls; what they may do is in their person row' } },
        schemas: Object.fromEntries(named.filter(([, schema]) => z.globalRegistry.get(schema)?.id === undefined)),
      },
    },
    options,
  );
}
