/** The verbs of the kit, each as a short story of the tiny process. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WorkflowFailedError } from '@temporalio/client';
import type { CaseId } from '../../values/ids.ts';
import { startKit, type Kit } from './harness.ts';
import { surroundings } from './surroundings.ts';
import { tinyCases } from './tiny.ts';

let kit: Kit;
beforeAll(async () => {
  kit = await startKit(await surroundings());
});
afterAll(() => kit.stop());

const { open, withdraw, say } = tinyCases(() => kit);

describe('a case', () => {
  test('runs from its start to its outcome, with its record in Postgres', async () => {
    const id = await open('canonical', { items: ['a', 'b'] });
    await kit.opened(id, 'decide');
    await kit.decide(id, 'decide', { answer: 'yes' });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['yes', '2', 'grabbed'] });
    expect(await kit.row(id)).toMatchObject({ status: 'completed', stage: 'second', outcome: { result: 'done' } });
    const { rows } = await kit.pool.query<{ kind: string }>('select kind from timeline where case_id = $1 order by id', [id]);
    expect(rows.map((r) => r.kind)).toEqual([
      'opened',
      'stage',
      'clock',
      'effect',
      'decision',
      'taskOpened',
      'taskDecided',
      'stage',
      'clock',
      'effect',
      'told',
      'closed',
    ]);
    expect((await kit.pool.query('select seen_at is not null as seen from inbox where case_id = $1', [id])).rows).toEqual([{ seen: true }]);
  });

  test('is one case however often it is opened with the same input', async () => {
    const id = await open('windowed', { id: 'same' });
    expect(await open('windowed', { id: 'same' })).toBe(id);
    await expect(open('windowed', { id: 'same', shop: 'shop-2' })).rejects.toThrow('exists with another input');
  });

  test('fails loudly when a loop uses a step name twice (EF4)', async () => {
    const id = await open('twice', { items: ['a', 'b'] });
    await expect(kit.outcome(id)).rejects.toThrow(WorkflowFailedError);
    expect(await kit.row(id)).toMatchObject({ status: 'broken', trouble: expect.stringContaining('used twice') });
    expect(await kit.executions(id)).toEqual({ grab: 1 });
  });

  test('uses a step name in each of its branches, and fails loudly when two branches use one of the case itself (EF4)', async () => {
    const id = await open('twiceInBranches');
    await expect(kit.outcome(id)).rejects.toThrow(WorkflowFailedError);
    expect(await kit.row(id)).toMatchObject({ status: 'broken', trouble: expect.stringContaining('"post" is used twice') });
    expect(await kit.executions(id)).toEqual({ 'left/grab': 1, 'right/grab': 1, post: 1 });
  });
});

describe('undo', () => {
  test('takes back in reverse, once each, within its scope', async () => {
    const id = await open('undoInFlow');
    await kit.outcome(id);
    const { rows } = await kit.pool.query<{ path: string }>(`select path from effects where case_id = $1 and undoes is not null order by done_at`, [id]);
    expect(rows.map((r) => r.path)).toEqual(['round-1/b!undo', 'round-1/c!undo', 'a!undo']);
    expect(await kit.executions(id)).toEqual({ a: 1, 'a!undo': 1, 'round-1/b': 1, 'round-1/b!undo': 1, 'round-1/c': 1, 'round-1/c!undo': 1 });
  });
});

describe('withdrawal', () => {
  test('undoes in reverse, closes the open task and ends withdrawn (EF5)', async () => {
    const id = await open('grabAndWait');
    await kit.opened(id, 'decide');
    await withdraw(id);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await kit.row(id)).toMatchObject({ status: 'withdrawn' });
    expect((await kit.pool.query('select status from tasks where case_id = $1', [id])).rows).toEqual([{ status: 'withdrawn' }]);
    const { rows } = await kit.pool.query<{ path: string }>(`select path from effects where case_id = $1 order by done_at`, [id]);
    expect(rows.map((r) => r.path)).toEqual(['a', 'b', 'b!undo', 'a!undo']);
  });

  test('past no return is refused, and the case goes on (EF5)', async () => {
    const id = await open('noReturn');
    await kit.opened(id, 'decide');
    await withdraw(id);
    await kit.until(
      'refusal',
      async () => (await kit.pool.query<{ became: string }>(`select became from inbox where case_id = $1`, [id])).rows[0]?.became,
      (became) => became === 'refused',
    );
    await kit.decide(id, 'decide', { answer: 'no' });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['no'] });
    expect(await kit.executions(id)).toEqual({ a: 1, post: 1 });
  });

  test('that is there before the case has run at all ends it at its first wait, with all taken back (EF5)', async () => {
    await kit.stopWorker();
    const id = await open('grabAndWait');
    await withdraw(id);
    await kit.startWorker();
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await kit.row(id)).toMatchObject({ status: 'withdrawn' });
    // Whether another worker had begun it and was killed, nobody can tell: so what it does until it waits is done, and then known.
    expect(await kit.executions(id)).toEqual({ a: 1, b: 1, 'a!undo': 1, 'b!undo': 1 });
  });

  test('by "Cancel" in the Temporal UI is a withdrawal like any other', async () => {
    const id = await open('grabAndWait');
    await kit.opened(id, 'decide');
    await kit.temporal.workflow.getHandle(id).cancel();
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect((await kit.row(id)).status).toBe('withdrawn');
  });

  test('while an effect is being sent lets it finish, and then takes it back (EF5)', async () => {
    kit.fault('bench', { latencyMs: 900, operations: ['grab'] });
    const id = await open('grabAndWait');
    await kit.until(
      'start',
      () => kit.row(id),
      (row) => row.started_at !== null,
    );
    await withdraw(id);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    kit.fault('bench', {});
    const done = await kit.executions(id);
    expect(done['a']).toBe(done['a!undo']);
    expect(done['b']).toBe(done['b!undo']);
  });
});

describe('an event that ends', () => {
  const shut = (id: CaseId) => kit.send({ source: 'upstream', eventId: `s-${id}`, kind: 'event', name: 'shut', caseId: id, body: { how: 'by the platform' } });

  test('interrupts the wait and runs its handler, which undoes what it chooses (IN10)', async () => {
    const id = await open('grabAndWait');
    await kit.opened(id, 'decide');
    await shut(id);
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['shut: by the platform'] });
    expect(await kit.executions(id)).toEqual({ a: 1, b: 1, 'b!undo': 1 });
    expect((await kit.pool.query('select status from tasks where case_id = $1', [id])).rows).toEqual([{ status: 'withdrawn' }]);
  });

  test('while an effect is being sent lets it finish first (IN10)', async () => {
    kit.fault('bench', { latencyMs: 900, operations: ['grab'] });
    const id = await open('grabAndWait');
    await kit.until(
      'start',
      () => kit.row(id),
      (row) => row.started_at !== null,
    );
    await shut(id);
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['shut: by the platform'] });
    kit.fault('bench', {});
    const done = await kit.executions(id);
    // Its handler takes back `b` alone, if that was done.
    expect(done['b!undo']).toBe(done['b']);
    expect(done['a!undo']).toBeUndefined();
  });

  test('while a withdrawal is taking back changes nothing any more (IN10)', async () => {
    const id = await open('grabAndWait');
    await kit.opened(id, 'decide');
    kit.fault('bench', { latencyMs: 500, operations: ['letGo'] });
    await withdraw(id);
    await kit.until(
      'the task withdrawn',
      () => kit.openTasks(id),
      (tasks) => tasks.length === 0,
    );
    await shut(id);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    kit.fault('bench', {});
    expect(await kit.executions(id)).toEqual({ a: 1, b: 1, 'b!undo': 1, 'a!undo': 1 });
  });

  test('past no return is an ordinary event (IN10)', async () => {
    const id = await open('noReturn');
    await kit.opened(id, 'decide');
    await shut(id);
    await kit.decide(id, 'decide', { answer: 'yes' });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['yes'] });
  });
});

describe('branches', () => {
  test('first: a person before the event wins, and the event is left alone', async () => {
    const id = await open('first');
    await kit.opened(id, 'person/decide');
    await kit.decide(id, 'person/decide', { answer: 'yes' });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['person', 'yes'] });
  });

  test('first: an event wins, and the other branch’s task is closed as lost', async () => {
    const id = await open('first');
    await kit.opened(id, 'person/decide');
    await say(id, 'hello');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['bell', 'hello'] });
    expect((await kit.pool.query('select status from tasks where case_id = $1', [id])).rows).toEqual([{ status: 'lost' }]);
  });

  test('first: a decision that was written before the event was taken in wins over it (HT3)', async () => {
    const id = await open('first');
    await kit.opened(id, 'person/decide');
    // The decision's row is written and not delivered; the event is.
    await kit.pool.query(
      `update tasks set status = 'done', decided_by = 'wang', decided_role = 'agent', decided_at = now(), form = '{"answer":"no"}', closed_at = now() where case_id = $1`,
      [id],
    );
    await say(id, 'too late');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['person', 'no'] });
  });

  test('all: every branch in parallel, an effect beside a task', async () => {
    const id = await open('all');
    await kit.opened(id, 'right/decide');
    await kit.decide(id, 'right/decide', { answer: 'yes' });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['left', 'yes'] });
  });

  test('each: a result per item, in order, one effect per item', async () => {
    const id = await open('each', { items: ['x', 'y', 'z'] });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['x', 'y', 'z'] });
    expect(await kit.executions(id)).toEqual({ 'x/post': 1, 'y/post': 1, 'z/post': 1 });
  });
});

describe('another case', () => {
  test('is started as a row, runs for itself, and its outcome comes back', async () => {
    const id = await open('child');
    const child = await kit.until(
      'child',
      async () => (await kit.pool.query<{ id: CaseId }>('select id from cases where parent = $1', [id])).rows[0]?.id,
      (found) => found !== undefined,
    );
    if (child === undefined) throw new Error('no child');
    await kit.opened(child, 'run');
    await kit.decide(child, 'run', { found: 'milk' });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['milk'] });
  });
});

describe('events', () => {
  const rang = (id: CaseId, times: number, n: string) =>
    kit.send({
      source: 'bench.rang',
      eventId: `${id}-${n}`,
      kind: 'event',
      name: 'bench.rang',
      correlationKey: `bell-${id.slice('tiny.'.length)}`,
      body: { bell: `bell-${id}`, times },
    });

  test('come before the case exists and wait for their correlation (IN2)', async () => {
    await kit.send({
      source: 'bench.rang',
      eventId: 'early',
      kind: 'event',
      name: 'bench.rang',
      correlationKey: 'bell-early',
      body: { bell: 'b', times: 3 },
    });
    const id = await open('events', { id: 'early' });
    await kit.until(
      'taken',
      () => kit.row(id),
      (row) => row.started_at !== null,
    );
    await kit.until(
      'seen',
      async () => (await kit.pool.query<{ n: number }>('select count(*)::int as n from inbox where case_id = $1 and seen_at is not null', [id])).rows[0]?.n,
      (n) => n === 1,
    );
    await say(id, 'now');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['rang 3', 'now'] });
  });

  test('that no wait wants stay buffered and are marked at once, so they are not sent again', async () => {
    const id = await open('events');
    await kit.until(
      'correlation',
      async () => (await kit.pool.query('select 1 from correlations where case_id = $1', [id])).rowCount,
      (n) => n === 1,
    );
    await rang(id, 1, 'one');
    await kit.until(
      'mark',
      async () => (await kit.pool.query<{ n: number }>('select count(*)::int as n from inbox where case_id = $1 and seen_at is not null', [id])).rows[0]?.n,
      (n) => n === 1,
    );
    await rang(id, 5, 'five');
    await say(id, 'after');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['rang 5', 'after'] });
  });

  test('left over from one round are not taken by the next round’s wait (IN9)', async () => {
    const id = await open('rounds');
    await kit.opened(id, 'round-1/decide');
    await kit.decide(id, 'round-1/decide', { answer: 'yes' });
    await say(id, 'one');
    await kit.opened(id, 'round-2/decide');
    await say(id, 'left over');
    await kit.decide(id, 'round-2/decide', { answer: 'yes' });
    await say(id, 'two');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['one', 'two'] });
  });
});
