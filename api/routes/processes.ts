import { z } from 'zod';
import type { ProcessDeclaration, TaskDeclaration } from '../../workflows/kit/declare.ts';
import type { Processes, RegisteredProcess } from '../../workflows/registry.ts';
import type { AppDeps } from '../deps.ts';
import { diagramOf, diagramSchema, mermaidOf } from '../diagram.ts';
import { builtIn } from '../forms.ts';
import { inLanguageOf } from '../language.ts';
import { Problem } from '../problems.ts';
import { route, type Route } from '../route.ts';
import { readerOf, type Reader } from '../sentences.ts';
import { textSchema } from '../views.ts';

export const processParam = z.object({ process: z.string().min(1).max(100).meta({ example: 'return-exchange' }) });

/** A registered process, or the problem that names those there are. */
export function processNamed(processes: Processes, name: string): RegisteredProcess {
  const found = processes.get(name);
  if (found === undefined) throw new Problem('unknownProcess', { process: name, known: [...processes.keys()] });
  return found;
}

const summarySchema = z.object({ name: z.string(), title: textSchema, stages: z.array(z.string()), links: z.object({ self: z.string(), cases: z.string() }) });
const jsonSchema = z.record(z.string(), z.unknown()).describe('JSON Schema (draft 2020-12)');
const detailSchema = summarySchema
  .extend({
    input: jsonSchema,
    tasks: z.record(z.string(), z.object({ title: textSchema, role: z.string().optional(), notBy: z.array(z.string()), form: jsonSchema })),
    events: z.record(z.string(), z.object({ title: textSchema, payload: jsonSchema, from: z.string().optional(), ends: z.boolean(), afterEnd: z.string() })),
    clocks: z.record(z.string(), z.string()).describe('Name → clock of the policy'),
    windows: z.array(z.string()),
    outcome: jsonSchema,
    diagram: diagramSchema,
    mermaid: z.string().describe('The diagram as Mermaid text'),
  })
  .meta({ id: 'Process' });

const summary = ({ name, title, stages }: ProcessDeclaration): z.output<typeof summarySchema> => ({
  name,
  title,
  stages: [...stages],
  links: { self: `/v1/processes/${name}`, cases: `/v1/processes/${name}/cases` },
});

/** What a schema takes, as JSON Schema; personal texts are marked, so that a client can treat them so. */
export const asJsonSchema = (schema: z.ZodType): Record<string, unknown> => z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });

function detail({ declaration }: RegisteredProcess, reader: Reader): z.output<typeof detailSchema> {
  const diagram = diagramOf(declaration, reader);
  const asked: Readonly<Record<string, TaskDeclaration>> = { ...declaration.tasks, ...builtIn };
  const tasks = Object.entries(asked).map(
    ([name, { title, role, notBy = [], form }]) =>
      [name, { title, ...(role ? { role } : {}), notBy: [...notBy], form: asJsonSchema(form) }] satisfies [string, unknown],
  );
  const events = Object.entries(declaration.events).map(
    ([name, event]) =>
      [
        name,
        {
          title: event.title,
          payload: asJsonSchema(event.payload),
          ...(event.from ? { from: event.from } : {}),
          ends: event.ends === true,
          afterEnd: event.afterEnd,
        },
      ] as const,
  );
  return {
    ...summary(declaration),
    input: asJsonSchema(declaration.input),
    tasks: Object.fromEntries(tasks),
    events: Object.fromEntries(events),
    clocks: { ...declaration.clocks },
    windows: [...declaration.windows],
    outcome: asJsonSchema(declaration.outcome),
    diagram,
    mermaid: mermaidOf(diagram),
  };
}

export const processRoutes = ({ processes, ...deps }: AppDeps): Route[] => [
  route({
    id: 'listProcesses',
    method: 'get',
    path: '/v1/processes',
    tag: 'Processes',
    summary: 'The processes that cases can be opened of',
    replies: { 200: { description: 'All processes', schema: z.object({ items: z.array(summarySchema) }) } },
    run: () => ({ status: 200, body: { items: [...processes.values()].map(({ declaration }) => summary(declaration)) } }),
  }),
  route({
    id: 'getProcess',
    method: 'get',
    path: '/v1/processes/{process}',
    tag: 'Processes',
    summary: 'What a process takes and asks: input, forms and events as JSON Schema, stages, clocks, windows',
    params: processParam,
    query: z.strictObject(inLanguageOf),
    replies: { 200: { description: 'The process', schema: detailSchema } },
    problems: ['unknownProcess'],
    run: ({ params, language }) => {
      const found = processNamed(processes, params.process);
      return { status: 200, body: detail(found, readerOf({ process: params.process, shop: '' }, { ...deps, processes }, language)) };
    },
  }),
];
