/** Diagrams of processes and of cases in them. */
import { describe, expect, test } from '@jest/globals';
import { caseDiagram, diagramOf, mermaidOf } from '../../api/diagram.ts';
import { readerOf } from '../../api/sentences.ts';
import type { CaseRow } from '../../db/cases.ts';
import type { Task, TaskStatus } from '../../db/tasks.ts';
import { instant } from '../../values/instant.ts';
import { callable } from '../../systems/index.ts';
import { loadProcesses } from '../../workflows/registry.ts';

const processes = await loadProcesses();
const found = processes.get('return-exchange');
if (found === undefined) throw new Error('return-exchange is not registered');
const { declaration } = found;
const reader = readerOf({ process: 'return-exchange', shop: 'main' }, { processes, systems: callable }, 'en');
const at = (minute: number) => new Date(Date.UTC(2026, 10, 23, 2, minute));
const caseIn = (stage: string, more: Partial<CaseRow> = {}): CaseRow =>
  ({ status: 'open', stage, opened_at: at(0), closed_at: null, outcome: null, ...more }) as CaseRow;
const task = (name: string, status: TaskStatus, minute: number): Task =>
  ({ name, status, openedAt: instant(at(minute)), closedAt: status === 'open' ? null : instant(at(minute + 1)) }) as Task;
const entered = (...stages: readonly string[]) => stages.map((stage, i) => ({ stage, at: at(i * 10) }));
const statesOf = (diagram: ReturnType<typeof caseDiagram>) => Object.fromEntries(diagram.nodes.map(({ id, state }) => [id, state]));

test.each([...processes])('every task of %s belongs to a stage that the process declares', (_, { declaration: of }) => {
  for (const [name, { stage }] of Object.entries(of.tasks)) expect({ name, stage: of.stages.includes(stage ?? '') }).toEqual({ name, stage: true });
});

describe('the diagram of a process', () => {
  test('has its stages in their order, each with its tasks, and reads as Mermaid', () => {
    const diagram = diagramOf(declaration, reader);
    expect(diagram.edges).toEqual([
      { from: 'start', to: 'stage:review' },
      { from: 'stage:review', to: 'stage:parcel' },
      { from: 'stage:parcel', to: 'stage:inspection' },
      { from: 'stage:inspection', to: 'stage:settlement' },
      { from: 'stage:settlement', to: 'end' },
    ]);
    expect(diagram.nodes.filter(({ kind }) => kind === 'task').map(({ id }) => id)).toHaveLength(Object.keys(declaration.tasks).length);
    expect(mermaidOf(diagram).split('\n').slice(0, 5)).toEqual([
      'flowchart LR',
      '  start(["Return or exchange"])',
      '  subgraph stage_review ["review"]',
      '    task_review["Review the request"]',
      '  end',
    ]);
  });
});

describe('the diagram of a case', () => {
  test('shows a stage that was left out as not taken, and the way around it', () => {
    const diagram = caseDiagram(
      declaration,
      caseIn('settlement'),
      entered('review', 'settlement'),
      [task('review', 'done', 1), task('otherRoute', 'open', 12)],
      reader,
    );
    expect(statesOf(diagram)).toMatchObject({
      'stage:review': 'done',
      'task:review': 'done',
      'stage:parcel': 'notTaken',
      'task:parcelTrouble': 'notTaken',
      'stage:settlement': 'current',
      'task:otherRoute': 'current',
      'task:approveRefund': 'ahead',
      end: 'ahead',
    });
    expect(diagram.edges).toEqual(
      expect.arrayContaining([
        { from: 'stage:review', to: 'stage:parcel', taken: false },
        { from: 'stage:review', to: 'stage:settlement', taken: true },
        { from: 'stage:settlement', to: 'end', taken: false },
      ]),
    );
  });

  test('keeps each stay of a stage that a case went back to, and what lies after it ahead no more', () => {
    const diagram = caseDiagram(declaration, caseIn('parcel'), entered('review', 'parcel', 'inspection', 'parcel'), [task('review', 'done', 1)], reader);
    expect(diagram.nodes.find(({ id }) => id === 'stage:parcel')).toMatchObject({
      state: 'current',
      times: [
        { from: instant(at(10)), to: instant(at(20)) },
        { from: instant(at(30)), to: null },
      ],
    });
    expect(statesOf(diagram)).toMatchObject({ 'stage:inspection': 'done', 'stage:settlement': 'ahead' });
    expect(diagram.edges).toContainEqual({ from: 'stage:inspection', to: 'stage:parcel', taken: true });
  });

  test('ends with what the case ended with, and shows as not taken all it never came to', () => {
    const ended = caseIn('review', { status: 'completed', closed_at: at(30), outcome: { result: 'rejected', reason: 'abuse' } });
    const diagram = caseDiagram(declaration, ended, entered('review'), [task('review', 'done', 1)], reader);
    expect(diagram.nodes.at(-1)).toEqual({
      id: 'end',
      kind: 'end',
      title: 'not granted: against the after-sales rules',
      state: 'done',
      times: [{ from: instant(at(30)), to: instant(at(30)) }],
    });
    expect(statesOf(diagram)).toMatchObject({ 'stage:review': 'done', 'stage:parcel': 'notTaken', 'stage:settlement': 'notTaken' });
    expect(diagram.nodes.every(({ state }) => state !== 'ahead' && state !== 'current')).toBe(true);
  });
});
