/** The OpenAPI document of a system's contract: what an integrator implements, made from the contract so that it cannot drift from it. */
import { z } from 'zod';
import { createDocument } from 'zod-openapi';
import type { SystemContract } from './contract.ts';
import { webhookBody } from './contract.ts';

/** A route beside the contract's operations, which only the sandbox has. */
export interface ExtraRoute {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** Below the system's URL: `acts/receive`. */
  readonly path: string;
  readonly title: string;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  readonly result: z.ZodType;
}

type Document = Parameters<typeof createDocument>[0];
type Paths = NonNullable<Document['paths']>;
type Operation = NonNullable<Paths[string]['post']>;
type Responses = Operation['responses'];

/** RFC 9457, with our `code` and, for 422, where the body does not fit. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string().meta({ description: 'What a program branches on' }),
    detail: z.string().optional(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details' });

const json = (schema: z.ZodType) => ({ 'application/json': { schema } });
const problem = (description: string) => ({ description, content: { 'application/problem+json': { schema: problemSchema } } });
const keySchema = z
  .string()
  .regex(/^[\x21-\x7e]{1,700}$/)
  .meta({
    description:
      'The effect, once. The same key with the same body is answered the same and takes place once; with another body it is refused (422 `keyReused`).',
  });

function operationPaths(contract: SystemContract): Paths {
  const paths: Paths = {};
  for (const [name, operation] of Object.entries(contract.operations)) {
    const { args, result, errors = [], kind, repeat, pace, undo } = operation;
    const effect = kind === 'effect';
    const answers: Responses = {
      200: { description: 'The result', content: json(result) },
      ...(effect
        ? {
            409: problem(
              `Business refusal, recorded under the key like a result; \`code\` is one of: ${[...errors, 'undone (the key was taken back before)'].join(', ')}`,
            ),
          }
        : errors.length > 0
          ? { 409: problem(`Business refusal; \`code\` is one of: ${errors.join(', ')}`) }
          : {}),
    };
    paths[`/${name}`] = {
      post: {
        operationId: name,
        summary: operation.title.en,
        description: [
          `${operation.about}.`,
          effect ? 'An effect.' : 'A read: changes nothing.',
          pace === 'quick' ? 'Expected to answer well within 2 s.' : 'May take its time.',
          ...(undo === undefined ? [] : [`Taken back by \`${undo}\` with the key.`]),
        ].join(' '),
        ...(effect && repeat === 'keyed' ? { requestParams: { header: z.object({ 'Idempotency-Key': keySchema }) } } : {}),
        requestBody: { required: true, content: json(args) },
        responses: {
          ...answers,
          422: problem('The body does not fit, or asks for what is impossible; nothing was done'),
          503: problem('Not now: asked again later under the same key'),
        },
      },
      ...(effect
        ? {
            get: {
              operationId: `${name}-lookup`,
              summary: `What stands under a key: the answer that ${name} gave`,
              requestParams: { query: z.object({ key: keySchema }) },
              responses: { ...answers, 404: problem('Nothing stands under this key; `code` is `unknownKey`') },
            },
          }
        : {}),
    };
  }
  return paths;
}

function extraPaths(routes: readonly ExtraRoute[]): Paths {
  const paths: Paths = {};
  for (const { method, path, title, query, body, result } of routes) {
    const operation: Operation = {
      operationId: `${method}-${path.replaceAll('/', '-')}`,
      summary: title,
      tags: ['sandbox only'],
      ...(query instanceof z.ZodObject ? { requestParams: { query } } : {}),
      ...(body === undefined ? {} : { requestBody: { required: true, content: json(body) } }),
      responses: { 200: { description: 'Done', content: json(result) }, 422: problem('The request does not fit, or asks for what is impossible') },
    };
    paths[`/${path}`] = { ...paths[`/${path}`], [method]: operation };
  }
  return paths;
}

/** What the system posts to us. */
function webhooks(contract: SystemContract): NonNullable<Document['webhooks']> {
  return Object.fromEntries(
    Object.entries(contract.events).map(([name, event]) => [
      name,
      {
        post: {
          summary: event.title.en,
          description: 'Signed per Standard Webhooks, sent at least once, in any order, until we answer 2xx. The same `webhook-id` is the same event.',
          requestParams: { header: z.object({ 'webhook-id': z.string(), 'webhook-timestamp': z.string(), 'webhook-signature': z.string() }) },
          requestBody: { required: true, content: json(webhookBody.extend({ type: z.literal(name), data: event.payload })) },
          responses: { 200: { description: 'Stored' }, 401: problem('Bad or stale signature') },
        },
      },
    ]),
  );
}

/** An OpenAPI 3.1 document. With `extra`, the sandbox's own routes are in it, tagged `sandbox only`. */
export function openApiOf(contract: SystemContract, extra: readonly ExtraRoute[] = []): object {
  return createDocument(
    {
      openapi: '3.1.0',
      info: {
        title: `${contract.title.zh} · ${contract.title.en}`,
        version: '1',
        description: 'What the engine asks of this system and what the system tells it. Implement it in front of your own system, and configure its URL.',
      },
      paths: { ...operationPaths(contract), ...extraPaths(extra) },
      webhooks: webhooks(contract),
    },
    // An answer may hold more than we read.
    { override: ({ jsonSchema }) => void delete jsonSchema.additionalProperties },
  );
}
