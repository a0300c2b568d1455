/** People's decisions and the workflows that wait for them: deliveries that fail or repeat, windows, and runs that operators reset. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { undelivered } from '../../db/inbox.ts';
import { sweep, sweepSettings } from '../../worker/sweeps.ts';
import { deliverSignal } from '../../workflows/kit/protocol.ts';
import type { CaseId } from '../../values/ids.ts';
import { startKit, type HistoryEvent, type Kit } from './harness.ts';
import { surroundings } from './surroundings.ts';
import { tinyCases } from './tiny.ts';

let kit: Kit;
beforeAll(async () => {
  kit = await startKit(await surroundings());
});
afterAll(() => kit.stop());

const { open, withdraw, say } = tinyCases(() => kit);
const tasks = (of: CaseId) => kit.rows<{ path: string; status: string }>('select path, status from tasks where case_id = $1 order by path', of);
const inbox = (of: CaseId) =>
  kit.rows<{ kind: string; seen: boolean; became: string | null }>(
    'select kind, seen_at is not null as seen, became from inbox where case_id = $1 order by id',
    of,
  );
const start = (event: HistoryEvent): boolean => Boolean(event.workflowTaskCompletedEventAttributes);

describe('a decision', () => {
  test('that was committed before the API died is delivered by the sweep (HT4)', async () => {
    const id = await open('canonical', { items: ['a'] });
    await kit.opened(id, 'decide');
    await kit.commitDecision(id, 'decide', { answer: 'yes' });
    expect(await inbox(id)).toEqual([{ kind: 'decision', seen: false, became: null }]);
    expect(await sweep(kit.engine, { ...sweepSettings, redeliverAfterMs: 0 })).toMatchObject({ redelivered: 1 });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['yes', '1', 'grabbed'] });
    expect(await inbox(id)).toEqual([{ kind: 'decision', seen: true, became: null }]);
  });

  test('that was committed while no worker lives is there when one comes back (HT4)', async () => {
    const id = await open('canonical', { items: ['a'] });
    await kit.opened(id, 'decide');
    await kit.parked(id);
    await kit.stopWorker();
    await kit.decide(id, 'decide', { answer: 'yes' });
    await kit.startWorker();
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['yes', '1', 'grabbed'] });
  });

  test('that is delivered twice counts once (HT5)', async () => {
    const id = await open('rounds');
    await kit.opened(id, 'round-1/decide');
    await kit.commitDecision(id, 'round-1/decide', { answer: 'yes' });
    const batch = await undelivered(kit.pool, id, 0);
    const handle = kit.temporal.workflow.getHandle(id);
    for (let n = 0; n < 3; n++) await handle.signal(deliverSignal, batch);
    await say(id, 'one');
    await kit.opened(id, 'round-2/decide');
    await handle.signal(deliverSignal, batch);
    await kit.parked(id);
    expect(await tasks(id)).toEqual([
      { path: 'round-1/decide', status: 'done' },
      { path: 'round-2/decide', status: 'open' },
    ]);
  });

  test('that was written just before the case ended is kept as a note, and nothing waits for it (HT5)', async () => {
    const id = await open('grabAndWait');
    await kit.opened(id, 'decide');
    await kit.commitDecision(id, 'decide', { answer: 'yes' });
    await kit.store({ source: 'upstream', eventId: `w-${id}`, kind: 'withdraw', name: 'withdraw', caseId: id, body: { reason: 'changed mind' } });
    // Only the withdrawal reaches the workflow.
    const waiting = await undelivered(kit.pool, id, 0);
    await kit.temporal.workflow.getHandle(id).signal(
      deliverSignal,
      waiting.filter((message) => message.kind === 'withdraw'),
    );
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await tasks(id)).toEqual([{ path: 'decide', status: 'done' }]);
    expect(await inbox(id)).toEqual([
      { kind: 'decision', seen: false, became: 'note' },
      { kind: 'withdraw', seen: true, became: null },
    ]);
    expect(await sweep(kit.engine, { ...sweepSettings, redeliverAfterMs: 0 })).toMatchObject({ redelivered: 0 });
  });

  test('comes too late for a case that has ended (HT5)', async () => {
    const id = await open('grabAndWait');
    await kit.opened(id, 'decide');
    await withdraw(id);
    await kit.outcome(id);
    await expect(kit.commitDecision(id, 'decide', { answer: 'yes' })).rejects.toThrow('taskClosed');
  });
});

describe('a window', () => {
  const short = { windows: { customerChoice: 700, evidence: 700, parcelSent: 700 } };

  test('closes the task when it ends, and a later decision is refused (HT3)', async () => {
    const id = await open('windowed', {}, short);
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['silence'] });
    expect(await tasks(id)).toEqual([{ path: 'choose', status: 'expired' }]);
    await expect(kit.commitDecision(id, 'choose', { choice: 'refund' }, 'anna', 'customer')).rejects.toThrow('taskClosed');
  });

  test('loses to a decision that was written before it ended, even one that nobody delivered (HT3)', async () => {
    const id = await open('windowed', {}, short);
    await kit.opened(id, 'choose');
    await kit.commitDecision(id, 'choose', { choice: 'refund' }, 'anna', 'customer');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['refund'] });
    expect(await tasks(id)).toEqual([{ path: 'choose', status: 'done' }]);
  });
});

describe('a case that is reset (HT6)', () => {
  test('before the decision: the open task stays as people see it, and is asked once', async () => {
    const id = await open('canonical', { items: ['a'] });
    await kit.opened(id, 'decide');
    await kit.parked(id);
    const before = await kit.rows('select * from tasks where case_id = $1', id);
    await kit.reset(id, start);
    await kit.parked(id);
    expect(await kit.rows('select * from tasks where case_id = $1', id)).toEqual(before);
    await kit.decide(id, 'decide', { answer: 'yes' });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['yes', '1', 'grabbed'] });
    expect(await kit.executions(id)).toEqual({ grab: 1 });
  });

  test.each(['kept', 'dropped'] as const)(
    'between two decisions, with later messages %s: the first one is adopted, the second one is still asked for',
    async (signals) => {
      const id = await open('approval');
      await kit.opened(id, 'decide');
      await kit.decide(id, 'decide', { answer: 'yes' }, 'wang');
      await kit.opened(id, 'confirm');
      await kit.parked(id);
      await kit.reset(id, start, signals);
      await kit.parked(id);
      expect(await tasks(id)).toEqual([
        { path: 'confirm', status: 'open' },
        { path: 'decide', status: 'done' },
      ]);
      await kit.decide(id, 'confirm', { agreed: true }, 'lin', 'supervisor');
      expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['true', 'supervisor'] });
      expect(await kit.rows(`select decided_by from tasks where case_id = $1 order by path`, id)).toEqual([{ decided_by: 'lin' }, { decided_by: 'wang' }]);
    },
  );

  test.each(['kept', 'dropped'] as const)('after its end, with later messages %s: every decision is adopted and it ends the same', async (signals) => {
    const id = await open('canonical', { items: ['a'] });
    await kit.opened(id, 'decide');
    await kit.decide(id, 'decide', { answer: 'no' });
    const outcome = await kit.outcome(id);
    const run = await kit.reset(id, start, signals);
    expect(await kit.outcome(id)).toEqual(outcome);
    expect(await kit.row(id)).toMatchObject({ status: 'completed', outcome: { result: 'done' }, stage: 'second', run_id: run });
    expect(await kit.executions(id)).toEqual({ grab: 1 });
    expect(await kit.rows(`select message from messages where case_id = $1`, id)).toEqual([{ message: 'hello' }]);
  });

  test('after it was withdrawn: the case is open again, asks again, and hears the answer', async () => {
    const id = await open('windowed');
    await kit.opened(id, 'choose');
    await withdraw(id);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    await kit.reset(id, start, 'dropped');
    await kit.opened(id, 'choose');
    expect(await kit.row(id)).toMatchObject({ status: 'open', outcome: null, closed_at: null });
    await kit.decide(id, 'choose', { choice: 'repair' }, 'anna', 'customer');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['repair'] });
    expect(await kit.row(id)).toMatchObject({ status: 'completed' });
  });

  test('to before a branch that it never reaches again: nothing is left open at its end', async () => {
    const id = await open('rounds');
    await kit.opened(id, 'round-1/decide');
    await kit.decide(id, 'round-1/decide', { answer: 'yes' });
    await say(id, 'one');
    await kit.opened(id, 'round-2/decide');
    await kit.parked(id);
    // The new run has the decision of the first round and waits for words that were dropped.
    await kit.reset(id, start, 'dropped');
    await kit.parked(id);
    expect(await kit.openTasks(id)).toEqual(['round-2/decide']);
    await withdraw(id);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await tasks(id)).toEqual([
      { path: 'round-1/decide', status: 'done' },
      { path: 'round-2/decide', status: 'withdrawn' },
    ]);
  });

  test('to before a branch whose task was decided meanwhile: the decision, delivered before the task opens, waits for it (HT5)', async () => {
    const id = await open('rounds');
    await kit.opened(id, 'round-1/decide');
    await kit.decide(id, 'round-1/decide', { answer: 'yes' });
    await say(id, 'one');
    await kit.opened(id, 'round-2/decide');
    await kit.parked(id);
    await kit.reset(id, start, 'dropped');
    await kit.parked(id);
    // Delivered before the new run opens the task.
    await kit.decide(id, 'round-2/decide', { answer: 'no' });
    await say(id, 'one again');
    await kit.parked(id);
    await say(id, 'two');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['one again', 'two'] });
  });
});
