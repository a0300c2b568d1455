/** A process as a diagram: its stages in their order, the tasks in each; of a case also which are done, current, ahead and not taken. */
import { z } from 'zod';
import type { CaseRow } from '../db/cases.ts';
import type { Task } from '../db/tasks.ts';
import { instant } from '../values/instant.ts';
import type { ProcessDeclaration } from '../workflows/kit/declare.ts';
import { outcomeText, stageText, type Reader } from './sentences.ts';

const at = z.iso.datetime();
const nodeState = z.enum(['done', 'current', 'ahead', 'notTaken']);
type NodeState = z.output<typeof nodeState>;
const node = z.object({
  id: z.string().describe('`start`, `stage:<name>`, `task:<name>`, `end`'),
  kind: z.enum(['start', 'stage', 'task', 'end']),
  title: z.string(),
  within: z.string().optional().describe("A task's stage"),
});
const edge = z.object({ from: z.string(), to: z.string() });
export const diagramSchema = z
  .object({ nodes: z.array(node), edges: z.array(edge).describe('The declared order of stages; a case may leave some out, go back, and end at any') })
  .meta({ id: 'Diagram' });
export const caseDiagramSchema = z
  .object({
    nodes: z.array(
      node.extend({
        state: nodeState.describe('`notTaken`: left out, or the case ended before'),
        times: z.array(z.object({ from: at, to: at.nullable() })).describe('A stage: each stay. A task: each time it was asked, until it was closed'),
      }),
    ),
    edges: z.array(edge.extend({ taken: z.boolean() })).describe('The declared order, and what this case did beside it'),
  })
  .meta({ id: 'CaseDiagram' });
export type Diagram = z.output<typeof diagramSchema>;
export type CaseDiagram = z.output<typeof caseDiagramSchema>;

const idOf = (stage: string): string => `stage:${stage}`;
const endOf = (reader: Reader): string => (reader.language === 'zh' ? '结束' : 'End');

export function diagramOf(declaration: ProcessDeclaration, reader: Reader): Diagram {
  const stages = declaration.stages.map((stage) => idOf(stage));
  return {
    nodes: [
      { id: 'start', kind: 'start', title: declaration.title[reader.language] },
      ...declaration.stages.flatMap((stage) => [
        { id: idOf(stage), kind: 'stage' as const, title: stageText(reader, stage) },
        ...Object.entries(declaration.tasks).flatMap(([name, task]) =>
          task.stage === stage ? [{ id: `task:${name}`, kind: 'task' as const, title: task.title[reader.language], within: idOf(stage) }] : [],
        ),
      ]),
      { id: 'end', kind: 'end', title: endOf(reader) },
    ],
    edges: ['start', ...stages].map((from, i) => ({ from, to: stages[i] ?? 'end' })),
  };
}

/** Mermaid's text of a diagram: stages as boxes, their tasks in them. */
export function mermaidOf({ nodes, edges }: Diagram): string {
  const quoted = (text: string): string => `"${text.replaceAll('"', '#quot;')}"`;
  const name = (id: string): string => id.replaceAll(/\W/g, '_');
  const inside = (id: string): string[] => nodes.flatMap((n) => (n.within === id ? [`    ${name(n.id)}[${quoted(n.title)}]`] : []));
  return [
    'flowchart LR',
    ...nodes.flatMap((n) => {
      if (n.kind === 'task') return [];
      if (n.kind !== 'stage') return [`  ${name(n.id)}([${quoted(n.title)}])`];
      const tasks = inside(n.id);
      return tasks.length === 0 ? [`  ${name(n.id)}[${quoted(n.title)}]`] : [`  subgraph ${name(n.id)} [${quoted(n.title)}]`, ...tasks, '  end'];
    }),
    ...edges.map(({ from, to }) => `  ${name(from)} --> ${name(to)}`),
  ].join('\n');
}

/** Stages as a case entered them, oldest first. */
export interface Entered {
  readonly stage: string;
  readonly at: Date;
}

/** The diagram of a case. Tasks are all that it ever asked. */
export function caseDiagram(declaration: ProcessDeclaration, of: CaseRow, entered: readonly Entered[], tasks: readonly Task[], reader: Reader): CaseDiagram {
  const { nodes, edges } = diagramOf(declaration, reader);
  const ended = of.status !== 'open';
  const end = of.closed_at && instant(of.closed_at);
  const stays = entered.map(({ stage, at: from }, i) => {
    const next = entered[i + 1];
    return { stage, from: instant(from), to: next ? instant(next.at) : ended ? end : null };
  });
  const furthest = Math.max(-1, ...entered.map(({ stage }) => declaration.stages.indexOf(stage)));
  const passed = (stage: string): boolean => ended || declaration.stages.indexOf(stage) < furthest;

  const timesOf = (name: string) => tasks.flatMap((task) => (task.name === name ? [{ from: task.openedAt, to: task.closedAt }] : []));
  const isOpen = (name: string): boolean => tasks.some((task) => task.name === name && task.status === 'open');
  const stageState = (stage: string): NodeState => {
    if (!ended && of.stage === stage) return 'current';
    if (stays.some((stay) => stay.stage === stage)) return 'done';
    return passed(stage) ? 'notTaken' : 'ahead';
  };
  const taskState = (name: string, stage: string): NodeState => {
    if (isOpen(name)) return 'current';
    if (timesOf(name).length > 0) return 'done';
    return stageState(stage) === 'ahead' || stageState(stage) === 'current' ? 'ahead' : 'notTaken';
  };
  const placed = nodes.map((n) => {
    const name = n.id.slice(n.id.indexOf(':') + 1);
    switch (n.kind) {
      case 'start':
        return { ...n, state: 'done' as const, times: [{ from: instant(of.opened_at), to: instant(of.opened_at) }] };
      case 'stage':
        return { ...n, state: stageState(name), times: stays.flatMap(({ stage, from, to }) => (stage === name ? [{ from, to }] : [])) };
      case 'task':
        return { ...n, state: taskState(name, n.within?.slice('stage:'.length) ?? ''), times: timesOf(name) };
      case 'end': {
        const title = ended && of.outcome !== null ? outcomeText(reader, of.outcome) : n.title;
        return { ...n, title, state: ended ? ('done' as const) : ('ahead' as const), times: end ? [{ from: end, to: end }] : [] };
      }
    }
  });
  const walked = ['start', ...entered.map(({ stage }) => idOf(stage)), ...(ended ? ['end'] : [])];
  const steps = walked.slice(1).map((to, i) => ({ from: walked[i] ?? 'start', to }));
  const same = (a: { from: string; to: string }, b: { from: string; to: string }): boolean => a.from === b.from && a.to === b.to;
  const beside = steps.filter((step, i) => step.from !== step.to && !edges.some((e) => same(e, step)) && steps.findIndex((other) => same(other, step)) === i);
  return {
    nodes: placed,
    edges: [...edges.map((e) => ({ ...e, taken: steps.some((step) => same(e, step)) })), ...beside.map((step) => ({ ...step, taken: true }))],
  };
}
