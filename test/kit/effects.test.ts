/** Effects happen once: against a system that loses answers, breaks, is slow, and honours keys or does not. The system's own ledger says how often. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { WorkflowFailedError } from '@temporalio/client';
import { Logger, runOnce } from 'graphile-worker';
import { runEffect } from '../../activities/effects.ts';
import { jobHandlers } from '../../activities/jobs.ts';
import { putPerson } from '../../db/people.ts';
import { inTransaction } from '../../db/pool.ts';
import { askRedo } from '../../db/tasks.ts';
import { effectKey, taskId, type CaseId, type PersonId } from '../../values/ids.ts';
import type { EffectRequest } from '../../workflows/kit/protocol.ts';
import { startKit, type Kit } from './harness.ts';
import { surroundings } from './surroundings.ts';
import { tinyCases } from './tiny.ts';

let kit: Kit;
let databaseUrl: string;
beforeAll(async () => {
  const around = await surroundings();
  databaseUrl = around.databaseUrl;
  kit = await startKit(around);
});
afterAll(() => kit.stop());
afterEach(() => kit.fault('bench', {}));

/** A person is asked after this long, not after the policy's ten minutes. */
const soon = { repairAfter: 2500 };
const { open, withdraw } = tinyCases(() => kit);
const ledger = async (of: CaseId, path: string) =>
  (await kit.ledger('bench', effectKey(of, path))).find(({ key }) => key === effectKey(of, path)) ?? { attempts: 0, executions: 0 };
const attempted = (of: CaseId, path: string, times = 1) =>
  kit.until(
    `attempt ${times} of ${path}`,
    () => ledger(of, path),
    ({ attempts }) => attempts >= times,
  );
const effects = (of: CaseId) =>
  kit.rows<{ path: string; status: string; ok: boolean | null; answer: unknown; entered_by: string | null }>(
    'select path, status, ok, answer, entered_by from effects where case_id = $1 order by done_at, path',
    of,
  );
const repair = (of: CaseId, path: string, form: object) => kit.decide(of, path, form, 'lin', 'supervisor');

/** Somebody asks for an effect to be sent again, may not agree to it himself, and somebody else does; then the queue has sent it. */
async function redone(of: CaseId, effect: string): Promise<void> {
  for (const person of ['zhou', 'lin'])
    await putPerson(kit.pool, { id: person as PersonId, name: person, roles: ['supervisor'], shops: ['*'], active: true, absentUntil: null });
  await inTransaction(kit.pool, (tx) => askRedo(tx, { caseId: of, effect, person: 'zhou' as PersonId }));
  const task = `${effect}#2!redo`;
  await expect(kit.commitDecision(of, task, { decision: 'approve' }, 'zhou', 'supervisor')).rejects.toThrow('fourEyes');
  await kit.commitDecision(of, task, { decision: 'approve' }, 'lin', 'supervisor');
  const redo = jobHandlers(kit.engine)['redo-effect'];
  if (redo === undefined) throw new Error('no handler for redo-effect');
  await runOnce({ connectionString: databaseUrl, taskList: { 'redo-effect': redo }, logger: new Logger(() => () => undefined) });
}

describe('an answer that is lost after the other side has done it (EF1)', () => {
  test('keyed: is asked for again under the same key, and done once', async () => {
    kit.fault('bench', { loseAnswerAfterCommit: 1 });
    const [slow, quick] = [await open('post'), await open('grab')];
    await attempted(slow, 'post');
    await attempted(quick, 'grab');
    kit.fault('bench', {});
    expect(await kit.outcome(slow)).toEqual({ result: 'done', log: ['x'] });
    expect(await kit.outcome(quick)).toEqual({ result: 'done', log: ['x'] });
    for (const [of, path] of [[slow, 'post'] as const, [quick, 'grab'] as const]) {
      const { attempts, executions } = await ledger(of, path);
      expect(attempts).toBeGreaterThan(1);
      expect(executions).toBe(1);
    }
  });

  test('lookup: is looked up, not sent again', async () => {
    kit.fault('bench', { loseAnswerAfterCommit: 1 });
    const id = await open('probe');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['x'] });
    expect(await ledger(id, 'probe')).toMatchObject({ attempts: 1, executions: 1 });
  });

  test('never: is a repair task, and what the person enters is the result', async () => {
    kit.fault('bench', { loseAnswerAfterCommit: 1 });
    const id = await open('shout');
    await kit.opened(id, 'shout!repair-1');
    const [task] = await kit.rows<{ role: string; context: { error: string } }>(`select role, context from tasks where case_id = $1`, id);
    expect(task).toMatchObject({
      role: 'supervisor',
      context: { system: 'bench', operation: 'shout', error: expect.stringContaining('has to be looked up there') },
    });
    await repair(id, 'shout!repair-1', { action: 'enterResult', result: { id: 'b_looked-up', what: 'as it was' } });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['as it was'] });
    expect(await ledger(id, 'shout')).toMatchObject({ attempts: 1, executions: 1 });
    expect(await effects(id)).toMatchObject([{ path: 'shout', status: 'done', ok: true, entered_by: 'lin' }]);
  });

  test('never: when the person says that it did not happen, it is sent once more for that word, and a further loss asks again', async () => {
    kit.fault('bench', { outage: true });
    const id = await open('shout');
    await kit.opened(id, 'shout!repair-1');
    kit.fault('bench', { loseAnswerAfterCommit: 1 });
    await repair(id, 'shout!repair-1', { action: 'retry' });
    await kit.opened(id, 'shout!repair-2');
    expect(await ledger(id, 'shout')).toMatchObject({ attempts: 1 });
    kit.fault('bench', {});
    await repair(id, 'shout!repair-2', { action: 'retry' });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['x'] });
    expect(await ledger(id, 'shout')).toMatchObject({ attempts: 2 });
  });

  test('negative control: a system that ignores keys does it twice, and its ledger says so (EF11)', async () => {
    kit.fault('bench', { ignoreKeys: true, loseAnswerAfterCommit: 1 });
    const id = await open('post');
    await attempted(id, 'post', 2);
    kit.fault('bench', { ignoreKeys: true });
    await kit.outcome(id);
    expect((await ledger(id, 'post')).executions).toBeGreaterThan(1);
  });
});

describe('the same key with another payload (EF3)', () => {
  test('is never sent: a person is asked, and may enter what stands for it', async () => {
    const id = await open('postWhen');
    await kit.opened(id, 'decide');
    const [before] = await effects(id);
    await kit.reset(id, (event) => Boolean(event.activityTaskScheduledEventAttributes));
    await kit.opened(id, 'post!repair-1');
    const [task] = await kit.rows<{ context: { error: string } }>(`select context from tasks where case_id = $1 and name = 'repair'`, id);
    expect(task?.context.error).toContain('recorded with other arguments');
    await repair(id, 'post!repair-1', { action: 'enterResult', result: { id: 'b_1', what: 'the first one stands' } });
    await kit.decide(id, 'decide', { answer: 'yes' });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['the first one stands'] });
    expect(await ledger(id, 'post')).toMatchObject({ attempts: 1, executions: 1 });
    expect(await effects(id)).toEqual([before]);
  });
});

describe('undo', () => {
  test('of an effect whose outcome nobody knows takes back what is there (EF6)', async () => {
    kit.fault('bench', { loseAnswerAfterCommit: 1, operations: ['grab'] });
    const id = await open('grab', {}, soon);
    await kit.opened(id, 'grab!repair-1');
    await repair(id, 'grab!repair-1', { action: 'giveUp' });
    await expect(kit.outcome(id)).rejects.toThrow(WorkflowFailedError);
    expect(await kit.row(id)).toMatchObject({ status: 'failed', trouble: expect.stringContaining('given up at grab') });
    expect(await kit.executions(id)).toEqual({ grab: 1, 'grab!undo': 1 });
    expect(await effects(id)).toMatchObject([{ path: 'grab!undo', answer: { was: 'done' } }]);
  });

  test('of an effect that never came bars its key, so that a late one is refused (EF6)', async () => {
    kit.fault('bench', { errorRate: 1, operations: ['grab'] });
    const id = await open('grab', {}, soon);
    await kit.opened(id, 'grab!repair-1');
    await repair(id, 'grab!repair-1', { action: 'giveUp' });
    await expect(kit.outcome(id)).rejects.toThrow(WorkflowFailedError);
    expect(await effects(id)).toMatchObject([{ path: 'grab!undo', answer: { was: 'absent' } }]);
    kit.fault('bench', {});
    const late: EffectRequest = { case: id, pending: { order: 0 }, path: 'grab', system: 'bench', operation: 'grab', args: { what: 'x' } };
    await expect(runEffect(kit.engine, late)).rejects.toThrow('answered 409 undone');
    expect(await ledger(id, 'grab')).toMatchObject({ executions: 0 });
  });

  test('that fails is a repair task, and goes on when it is mended (EF6)', async () => {
    const id = await open('grabAndWait', {}, soon);
    await kit.opened(id, 'decide');
    kit.fault('bench', { errorRate: 1, operations: ['letGo'] });
    await withdraw(id);
    await kit.opened(id, 'b!undo!repair-1');
    kit.fault('bench', {});
    await repair(id, 'b!undo!repair-1', { action: 'retry' });
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await kit.executions(id)).toEqual({ a: 1, b: 1, 'b!undo': 1, 'a!undo': 1 });
  });

  test('that is given up leaves that effect as it is and takes back the others (EF6)', async () => {
    const id = await open('grabAndWait', {}, soon);
    await kit.opened(id, 'decide');
    kit.fault('bench', { errorRate: 1, operations: ['letGo'] });
    await withdraw(id);
    await kit.opened(id, 'b!undo!repair-1');
    kit.fault('bench', {});
    await repair(id, 'b!undo!repair-1', { action: 'giveUp' });
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await kit.executions(id)).toEqual({ a: 1, b: 1, 'a!undo': 1 });
  });
});

describe('repair (EF9)', () => {
  test('retry: the effect is sent again under its key', async () => {
    kit.fault('bench', { errorRate: 1 });
    const id = await open('post', {}, soon);
    await kit.opened(id, 'post!repair-1');
    kit.fault('bench', {});
    await repair(id, 'post!repair-1', { action: 'retry' });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['x'] });
    expect(await ledger(id, 'post')).toMatchObject({ attempts: 1, executions: 1 });
  });

  test('give up before the point of no return: all is taken back and the case has failed', async () => {
    kit.fault('bench', { errorRate: 1, operations: ['post'] });
    const id = await open('grabThenPost', {}, soon);
    await kit.opened(id, 'post!repair-1');
    await repair(id, 'post!repair-1', { action: 'giveUp' });
    await expect(kit.outcome(id)).rejects.toThrow(WorkflowFailedError);
    expect(await kit.row(id)).toMatchObject({ status: 'failed', outcome: { result: 'failed' }, trouble: expect.stringContaining('given up at post') });
    expect(await kit.executions(id)).toEqual({ a: 1, 'a!undo': 1 });
    expect(await kit.rows(`select 1 from messages where case_id = $1 and recipient = 'ops'`, id)).toHaveLength(0);
  });

  test('give up after it: nothing is taken back, the case is broken and operators are told', async () => {
    const id = await open('noReturn', {}, soon);
    await kit.opened(id, 'decide');
    kit.fault('bench', { errorRate: 1, operations: ['post'] });
    await kit.decide(id, 'decide', { answer: 'yes' });
    await kit.opened(id, 'post!repair-1');
    await repair(id, 'post!repair-1', { action: 'giveUp' });
    await expect(kit.outcome(id)).rejects.toThrow(WorkflowFailedError);
    expect(await kit.row(id)).toMatchObject({ status: 'broken', trouble: expect.stringContaining('given up at post') });
    expect(await kit.executions(id)).toEqual({ a: 1 });
    expect(await kit.rows(`select message from messages where case_id = $1 and recipient = 'ops'`, id)).toEqual([{ message: 'kit.caseBroken' }]);
  });

  test('a result that a person enters stands against the reply that comes later', async () => {
    // Done at once, answered after the person was asked.
    kit.fault('bench', { lateAnswerMs: 4000, operations: ['post'] });
    const id = await open('post', {}, { repairAfter: 1000 });
    await kit.opened(id, 'post!repair-1');
    await repair(id, 'post!repair-1', { action: 'enterResult', result: { id: 'b_entered', what: 'entered' } });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['entered'] });
    // The reply of the first try comes to an activity that nobody waits for any more; a try of our own stands for it, whenever it comes.
    await runEffect(kit.engine, { case: id, pending: { order: 0 }, path: 'post', system: 'bench', operation: 'post', args: { what: 'x' } });
    expect(await effects(id)).toMatchObject([{ answer: { what: 'entered' }, entered_by: 'lin' }]);
    expect((await ledger(id, 'post')).executions).toBe(1);
  });

  test('the reply that comes before the person has entered a result stands against it', async () => {
    kit.fault('bench', { lateAnswerMs: 2000, operations: ['post'] });
    const id = await open('post', {}, { repairAfter: 1000 });
    await kit.opened(id, 'post!repair-1');
    await kit.until(
      'late reply',
      () => effects(id),
      (rows) => rows[0]?.status === 'done',
    );
    await repair(id, 'post!repair-1', { action: 'enterResult', result: { id: 'b_entered', what: 'entered' } });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['x'] });
    expect(await effects(id)).toMatchObject([{ answer: { what: 'x' }, entered_by: null }]);
  });

  test('a result that does not fit the contract is refused, and the task stays open', async () => {
    kit.fault('bench', { errorRate: 1 });
    const id = await open('post', {}, soon);
    await kit.opened(id, 'post!repair-1');
    await expect(repair(id, 'post!repair-1', { action: 'enterResult', result: { what: 7 } })).rejects.toThrow('formInvalid');
    expect(await kit.openTasks(id)).toEqual(['post!repair-1']);
  });
});

describe('an event that comes before our reply returns (EF10)', () => {
  test('waits for its correlation and is taken', async () => {
    kit.fault('bench', { lateAnswerMs: 1000, operations: ['post'] });
    const id = await open('settles');
    await attempted(id, 'post');
    const subject = id.slice('tiny.'.length);
    const stored = await kit.send({
      source: 'bench.rang',
      eventId: `${id}-settled`,
      kind: 'event',
      name: 'bench.rang',
      correlationKey: subject,
      body: { bell: subject, times: 4 },
    });
    expect(stored).toEqual({ status: 'stored', id: expect.any(Number) });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['4'] });
  });
});

describe('quick effects', () => {
  test('go on as ordinary ones under the same key when the system does not answer at once', async () => {
    kit.fault('bench', { errorRate: 1 });
    const id = await open('grab');
    const scheduled = (await kit.until(
      'an ordinary activity',
      async () => (await kit.history(id)).filter((event) => event.activityTaskScheduledEventAttributes),
      (events) => events.length > 0,
    )) as unknown[];
    kit.fault('bench', {});
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['x'] });
    expect(scheduled).toHaveLength(1);
    expect(await ledger(id, 'grab')).toMatchObject({ attempts: 1, executions: 1 });
  });

  test('of a system that failed five times in a row are not even sent: the breaker answers at once', async () => {
    let calls = 0;
    const server = createServer((_, response) => {
      calls += 1;
      response.writeHead(503).end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const away = {
      ...kit.engine,
      systems: { ...kit.engine.systems, away: { ...kit.engine.systems['bench'], name: 'away' } },
      target: () => ({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }),
    } as Kit['engine'];
    const id = await open('windowed');
    const ask = () => runEffect(away, { case: id, pending: { order: 0 }, path: 'grab', system: 'away', operation: 'grab', args: { what: 'x' } });
    for (let n = 0; n < 5; n++) await expect(ask()).rejects.toThrow('answered 503');
    await expect(ask()).rejects.toThrow('not asked');
    expect(calls).toBe(5);
    server.close();
  });
});

describe('after a reset past it (EF7)', () => {
  test('an effect is not sent again', async () => {
    const id = await open('postThenWait');
    await kit.opened(id, 'decide');
    await kit.reset(id, (event) => Boolean(event.activityTaskScheduledEventAttributes));
    await kit.decide(id, 'decide', { answer: 'yes' });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['yes'] });
    expect(await ledger(id, 'post')).toMatchObject({ attempts: 1, executions: 1 });
  });

  test('one that was taken back since does not count as done: a person is asked (EF6)', async () => {
    const id = await open('grabAndWait');
    await kit.opened(id, 'decide');
    await withdraw(id);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    await kit.reset(id, (event) => Boolean(event.workflowTaskCompletedEventAttributes), 'dropped');
    await kit.opened(id, 'a!repair-1');
    const [task] = await kit.rows<{ context: { error: string } }>(`select context from tasks where case_id = $1 and path = 'a!repair-1'`, id);
    expect(task?.context.error).toContain('taken back');
    await repair(id, 'a!repair-1', { action: 'giveUp' });
    await expect(kit.outcome(id)).rejects.toThrow(WorkflowFailedError);
    expect(await kit.row(id)).toMatchObject({ status: 'failed' });
    expect(await kit.executions(id)).toEqual({ a: 1, b: 1, 'a!undo': 1, 'b!undo': 1 });
  });

  test('the redo command sends it twice, on purpose, under a key of its own, once a second person agrees', async () => {
    const id = await open('postThenWait');
    await kit.opened(id, 'decide');
    await redone(id, 'post');
    expect(await kit.executions(id)).toEqual({ post: 1, 'post#2': 1 });
    expect(await kit.rows(`select status from tasks where id = $1`, taskId(id, 'decide'))).toEqual([{ status: 'open' }]);
  });
});

describe('a redo of what was taken back (EF6)', () => {
  test('is done again, on purpose, under a key of its own, and the undo stands', async () => {
    const id = await open('grabAndWait');
    await kit.opened(id, 'decide');
    await withdraw(id);
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    await redone(id, 'a');
    expect(await kit.executions(id)).toEqual({ a: 1, b: 1, 'a!undo': 1, 'b!undo': 1, 'a#2': 1 });
    // Once: the same job again, as after a crash, sends nothing.
    await runEffect(kit.engine, { case: id, pending: { order: 0 }, path: 'a#2', system: 'bench', operation: 'grab', args: { what: 'a' } });
    expect((await kit.executions(id))['a#2']).toBe(1);
  });
});

describe('units of one order line that cases draw on (EF8)', () => {
  test('go to exactly one of two cases at once, and to the other when the first one is withdrawn', async () => {
    const [one, two] = await Promise.all([open('reserve', { items: ['order-ef8', '3'] }), open('reserve', { items: ['order-ef8', '3'] })]);
    const outcome = async (of: CaseId) => (await kit.row(of)).outcome;
    const winner = await kit.until(
      'one case holds the units and the other has ended without',
      async () => {
        for (const [mine, others] of [[one, two] as const, [two, one] as const])
          if ((await kit.openTasks(mine)).includes('decide') && (await outcome(others)) !== null) return mine;
        return undefined;
      },
      (found) => found !== undefined,
    );
    const loser = winner === one ? two : one;
    expect(await outcome(loser)).toEqual({ result: 'done', log: ['alreadyReturned'] });
    if (winner === undefined) throw new Error('no winner');
    await withdraw(winner);
    expect(await kit.outcome(winner)).toEqual({ result: 'withdrawn' });
    const third = await open('reserve', { items: ['order-ef8', '3'] });
    await kit.opened(third, 'decide');
    await kit.decide(third, 'decide', { answer: 'yes' });
    expect(await kit.outcome(third)).toEqual({ result: 'done', log: ['1,2,3'] });
  });

  test('are released when the case fails', async () => {
    const id = await open('reserve', { items: ['order-fails', '2'] }, soon);
    await kit.opened(id, 'decide');
    kit.fault('bench', { errorRate: 1 });
    await kit.decide(id, 'decide', { answer: 'yes' });
    await kit.opened(id, 'post!repair-1');
    expect(await kit.rows(`select unit from allowance_units where order_id = 'order-fails'`)).toHaveLength(2);
    await repair(id, 'post!repair-1', { action: 'giveUp' });
    await expect(kit.outcome(id)).rejects.toThrow(WorkflowFailedError);
    expect(await kit.rows(`select unit from allowance_units where order_id = 'order-fails'`)).toHaveLength(0);
  });

  test('are taken and used once by a case whose slow try is overtaken by the next one', async () => {
    const id = await open('grabAndWait');
    const line = { line: 1, bought: 2, returned: 0 };
    const effect = (operation: string, args: object): EffectRequest => ({
      case: id,
      path: operation,
      system: 'allowance',
      operation,
      args,
      pending: { order: 0 },
    });
    const both = (request: EffectRequest) => Promise.all([runEffect(kit.engine, request), runEffect(kit.engine, request)]);
    const [held, again] = await both(effect('reserve', { orderId: 'order-slow', lines: [{ ...line, quantity: 2 }] }));
    expect(held).toEqual({ ok: true, result: { hold: `${id}/reserve`, units: [expect.anything(), expect.anything()] } });
    expect(again).toEqual(held);
    const commit = effect('commit', { hold: `${id}/reserve`, orderId: 'order-slow', units: [{ line: 1, unit: 1 }], order: [line], refunded: true });
    expect(await both(commit)).toEqual([
      { ok: true, result: { whole: false } },
      { ok: true, result: { whole: false } },
    ]);
  });
});
