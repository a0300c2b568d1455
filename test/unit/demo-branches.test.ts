import { describe, expect, test } from '@jest/globals';
import type { AuditedCase, AuditedTask } from '../../cli/demo/audit.ts';
import { branches, branchesOf } from '../../cli/demo/branches.ts';

type Entry = AuditedCase['timeline'][number];
const told = (message: string): Entry => ({ kind: 'told', data: { message, to: 'customer' } });
const effect = (name: string, path: string, error?: string): Entry => {
  const [system, operation] = name.split('.');
  return { kind: 'effect', data: { system, operation, path, ...(error === undefined ? {} : { error }) } };
};
const undone = (name: string, path: string): Entry => ({ ...effect(name, path), kind: 'undone' });
const event = (name: string): Entry => ({ kind: 'event', data: { event: name } });
const stage = (name: string): Entry => ({ kind: 'stage', data: { stage: name } });
const opened = (name: string, path = name): Entry => ({ kind: 'taskOpened', data: { task: path, name } });
const decided = (name: string, path = name): Entry => ({ kind: 'taskDecided', data: { task: path, name } });
const task = (name: string, form: unknown, more: Partial<AuditedTask> = {}): AuditedTask => ({
  id: `c:${name}`,
  name,
  path: name,
  status: 'done',
  decidedBy: 'wang',
  decidedRole: 'agent',
  decidedAt: null,
  expiresAt: null,
  assignee: null,
  notBy: [],
  form,
  context: {},
  ...more,
});
const approve = (remedy: string): AuditedTask => task('review', { decision: 'approve', reason: 'quality', remedy });
const caseOf = (outcome: object, timeline: readonly Entry[], tasks: readonly AuditedTask[] = [], status = 'completed'): AuditedCase => ({
  id: 'return-exchange.O-1.demo-1',
  order: 'O-1',
  status,
  trouble: null,
  outcome,
  tasks,
  timeline,
});
const went = (...of: Parameters<typeof caseOf>): readonly string[] => branchesOf(caseOf(...of));

describe('branches that a case went', () => {
  test('are told from its record: a plain refund goes the remedy, the label and what became of its unit, and no other way', () => {
    const inspected = task('inspect', { units: [{ unitId: 'u', verdict: 'accept', disposition: 'restock', cause: 'none' }] });
    const timeline = [
      effect('logistics.label', 'label-1/label'),
      event('parcelReceived'),
      told('parcelArrived'),
      effect('warehouse.dispose', 'goods/u/dispose'),
    ];
    expect(went({ result: 'refunded' }, timeline, [approve('refund'), inspected])).toEqual(['refund', 'ourLabel', 'restocked']);
  });

  test('of an open case are those that it has gone so far, never an end', () => {
    expect(went({ result: 'refunded' }, [], [approve('refund')], 'open')).toEqual([]);
  });

  const withdrawn = (before: readonly Entry[]): readonly string[] =>
    went({ result: 'withdrawn' }, [...before, { kind: 'withdrawAsked', data: {} }, undone('logistics.cancelLabel', 'label-1/label!undo')], [], 'withdrawn');
  test.each([
    ['at the review', [opened('review')], ['withdrawnAtReview']],
    ['while evidence is awaited', [opened('review'), decided('review'), told('evidenceAsked')], ['withdrawnAtEvidence']],
    ['with the label out', [stage('parcel'), effect('logistics.label', 'label-1/label')], ['withdrawnWithLabel']],
    ['while a choice is awaited', [opened('choose', 'new-goods/hold-1/choose')], ['withdrawnAtChoice']],
    ['at the inspection', [stage('inspection'), opened('inspect'), effect('warehouse.sendBack', 'send-back')], ['withdrawnAtInspection']],
    ['at a ruling', [stage('inspection'), opened('ruleUnit', 'u/ruleUnit'), effect('warehouse.sendBack', 'send-back')], ['withdrawnAtRuling']],
    ['at an approval', [stage('inspection'), opened('approveRefund')], ['withdrawnAtApproval']],
  ])('a withdrawal %s is one there', (_, before, expected) => {
    expect(withdrawn(before)).toEqual(expected);
  });

  test('a platform that decides past no return is too late, before it ends the case', () => {
    const late = went({ result: 'refunded' }, [{ kind: 'noReturn', data: {} }, event('closedByPlatform')], [approve('refund')]);
    expect(late).toEqual(expect.arrayContaining(['refund', 'platformTooLate']));
    const early = went({ result: 'closedByPlatform', how: 'refunded' }, [opened('approveRefund'), event('closedByPlatform')]);
    expect(early).toEqual(['platformAtApproval', 'platformRefunded']);
  });

  test('a withdrawal that the API refused is one that came too late', () => {
    expect(branchesOf(caseOf({ result: 'refunded' }, [], [approve('refund')]), new Set(['withdrawal']))).toContain('withdrawalTooLate');
    expect(branchesOf(caseOf({ result: 'refunded' }, [], [approve('refund')]))).not.toContain('withdrawalTooLate');
  });

  test('each has a name of its own', () => {
    expect(new Set(branches).size).toBe(branches.length);
    expect(branches.length).toBeGreaterThan(100);
  });
});
