/** Repairs and redos as people do them: over HTTP, on a real Temporal with a worker, against a system that fails on request. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { WorkflowFailedError } from '@temporalio/client';
import { Logger, runOnce } from 'graphile-worker';
import { runEffect } from '../../activities/effects.ts';
import { jobHandlers } from '../../activities/jobs.ts';
import { effectKey, type CaseId } from '../../values/ids.ts';
import type { Manifest } from '../../workflows/kit/protocol.ts';
import { caseUrl, startApi, taskUrl, type ApiKit } from './api-harness.ts';
import { startKit, type Kit } from './harness.ts';
import { surroundings } from './surroundings.ts';

let kit: Kit;
let api: ApiKit;
let databaseUrl: string;
let parked: CaseId;
beforeAll(async () => {
  const around = await surroundings();
  databaseUrl = around.databaseUrl;
  kit = await startKit(around);
  api = await startApi({ on: kit });
  await api.token('ops', 'ops');
  await api.token('lin', 'supervisor');
  await api.token('zhou', 'supervisor');
  parked = await open('windowed', {});
});
afterAll(async () => {
  await api.stop();
  await kit.stop();
});
afterEach(async () => {
  kit.fault('bench', {});
  // The breaker of a system that has just failed holds calls back for seconds: the next test begins when it lets them through.
  const path = `look-${++count}`;
  const look = { case: parked, pending: { order: 0 }, path, system: 'bench', operation: 'look', args: { what: 'x' } };
  await kit.until(
    'the system is asked again',
    () =>
      runEffect(kit.engine, look).then(
        () => true,
        () => false,
      ),
    (asked) => asked,
  );
});

/** A person is asked after this long, not after the policy's ten minutes. */
const soon = { repairAfter: 1500 };
let count = 0;
const open = async (script: string, other: Partial<Manifest> = soon): Promise<CaseId> =>
  (await kit.open('tiny', { id: `${script}-${++count}`, shop: 'main', script }, other)).id;
const ledger = async (of: CaseId, path: string) => {
  const key = effectKey(of, path);
  return (await kit.ledger('bench', key)).find((entry) => entry.key === key) ?? { attempts: 0, executions: 0 };
};
const repairOf = (of: CaseId, path: string): string => `${of}:${path}`;
const complete = (by: string, task: string, form: object) => api.as(by).post(taskUrl(task, '/complete'), { form });
const timeline = async (of: CaseId, language = 'en'): Promise<string[]> => {
  const { body } = (await api.as('wang').get(caseUrl(of, `/timeline?limit=200&language=${language}`))) as { body: { items: { text: string }[] } };
  return body.items.map(({ text }) => text);
};
const listed = async (by: string): Promise<string[]> =>
  ((await api.as(by).get('/v1/tasks?limit=200')).body as { items: { id: string }[] }).items.map(({ id }) => id);
const redoJob = async (): Promise<void> => {
  const redo = jobHandlers(kit.engine)['redo-effect'];
  if (redo === undefined) throw new Error('no handler for redo-effect');
  await runOnce({ connectionString: databaseUrl, taskList: { 'redo-effect': redo }, logger: new Logger(() => () => undefined) });
};

describe('an effect that keeps failing', () => {
  test('a reply that comes while the result is being entered stands, and the person learns that (EF9)', async () => {
    kit.fault('bench', { lateAnswerMs: 2500, operations: ['post'] });
    const id = await open('post', { repairAfter: 1000 });
    await kit.opened(id, 'post!repair-1');
    const task = repairOf(id, 'post!repair-1');
    await api.as('wang').post(taskUrl(task, '/claim'));
    await kit.until(
      'the late reply is recorded',
      () => kit.rows(`select 1 from effects where case_id = $1 and status = 'done'`, id),
      (rows) => rows.length === 1,
    );
    expect((await complete('wang', task, { action: 'enterResult', result: { id: 'b_2', what: 'entered' } })).status).toBe(200);
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['x'] });
    expect((await ledger(id, 'post')).executions).toBe(1);
    expect(await timeline(id)).toEqual(
      expect.arrayContaining([
        'wang claimed the task: repair "Post"',
        'x was posted',
        'What wang entered for "Post" was not used: the system\'s own answer had come first',
      ]),
    );
  });

  test('is a task for supervisors and operations, which says what failed, why, and what each choice means (EF9)', async () => {
    kit.fault('bench', { outage: true });
    const id = await open('grab');
    await kit.opened(id, 'grab!repair-1');
    const task = repairOf(id, 'grab!repair-1');
    for (const who of ['wang', 'chen', 'ops']) expect(await listed(who)).toContain(task);
    expect(await listed('li')).not.toContain(task);
    expect((await complete('li', task, { action: 'retry' })).body).toMatchObject({ status: 403, code: 'notAuthorized' });

    const { body } = (await api.as('wang').get(taskUrl(task))) as { body: { help: string[]; schema: unknown } };
    expect(body).toMatchObject({
      task: {
        text: { zh: '修复“取”，因为对方系统一直没有回应', en: 'repair "Grab", because the system does not answer' },
        context: { system: 'bench', operation: 'grab', args: { what: 'x' }, failure: 'SystemUnavailable' },
      },
      help: [
        '"Grab" (Bench) could not be done: the system does not answer.',
        expect.stringMatching(/^Try again: it is sent again under the same key/),
        expect.stringMatching(/^Enter the result/),
        expect.stringMatching(/^Enter the refusal: .*\(gone\)/),
        expect.stringMatching(/^Give up: this step is not done/),
      ],
      schema: {
        oneOf: expect.arrayContaining([
          expect.objectContaining({ properties: expect.objectContaining({ result: expect.objectContaining({ required: ['id', 'what'] }) }) }),
        ]),
      },
    });
    const zh = await api.as('wang').get(taskUrl(task, '?language=zh'));
    expect((zh.body as { help: string[] }).help[0]).toBe('“取”（测试台）没有办成：对方系统一直没有回应。');
    expect(zh.headers['content-language']).toBe('zh-CN');

    kit.fault('bench', {});
    expect((await complete('ops', task, { action: 'retry' })).body).toMatchObject({ delivery: 'delivered', task: { decidedBy: 'ops', decidedRole: 'ops' } });
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['x'] });
    expect((await ledger(id, 'grab')).executions).toBe(1);
    expect(await timeline(id)).toEqual(
      expect.arrayContaining([
        'Waits for repair: repair "Grab", because the system does not answer',
        'ops (operations team), repair "Grab": try again',
        'x was grabbed',
        'The case ended: all done',
      ]),
    );
    expect(await timeline(id, 'zh')).toContain('等待修复：修复“取”，因为对方系统一直没有回应');
  });

  test('takes a result that a person enters, once it fits the operation: what does not is named by its path (EF9)', async () => {
    kit.fault('bench', { outage: true });
    const id = await open('post');
    await kit.opened(id, 'post!repair-1');
    const task = repairOf(id, 'post!repair-1');
    expect((await complete('wang', task, { action: 'enterResult', result: { what: 7 } })).body).toMatchObject({
      status: 422,
      errors: [{ path: 'form.result.id' }, { path: 'form.result.what' }],
    });
    // An operation that declares no refusal has none to enter.
    expect((await complete('wang', task, { action: 'enterError', error: 'gone' })).status).toBe(422);
    expect((await complete('wang', task, { action: 'enterResult', result: { id: 'b_1', what: 'as it was' } })).status).toBe(200);
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['as it was'] });
    expect(await ledger(id, 'post')).toMatchObject({ executions: 0 });
    expect(await timeline(id)).toContain('as it was was posted (entered by wang)');
  });

  test('takes a refusal that its contract declares, and the case goes on with it (EF9)', async () => {
    kit.fault('bench', { outage: true });
    const id = await open('grab');
    await kit.opened(id, 'grab!repair-1');
    const task = repairOf(id, 'grab!repair-1');
    expect((await complete('wang', task, { action: 'enterError', error: 'noSuchReason' })).body).toMatchObject({
      status: 422,
      errors: [{ path: 'form.error' }],
    });
    expect((await complete('wang', task, { action: 'enterError', error: 'gone' })).status).toBe(200);
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['gone'] });
    expect(await kit.rows('select ok, answer, entered_by from effects where case_id = $1', id)).toEqual([{ ok: false, answer: 'gone', entered_by: 'wang' }]);
    expect(await timeline(id)).toContain('"Grab" was refused: gone (entered by wang)');
  });

  test('given up before the point of no return: all is taken back and the case has failed', async () => {
    kit.fault('bench', { errorRate: 1, operations: ['post'] });
    const id = await open('grabThenPost');
    await kit.opened(id, 'post!repair-1');
    expect((await complete('wang', repairOf(id, 'post!repair-1'), { action: 'giveUp', note: 'the shop will call' })).status).toBe(200);
    await expect(kit.outcome(id)).rejects.toThrow(WorkflowFailedError);
    expect((await api.as('wang').get(caseUrl(id))).body).toMatchObject({ status: 'failed', tasks: [] });
    expect(await timeline(id)).toEqual(expect.arrayContaining(['wang (supervisor), repair "Post": this step is given up', 'Let go: taken back']));
    expect((await timeline(id)).at(-1)).toBe('The case ended: it could not be done, and what had been done was taken back');
  });

  test('given up after it: the case is broken, and operators find it with its trouble', async () => {
    const id = await open('noReturn');
    await kit.opened(id, 'decide');
    kit.fault('bench', { errorRate: 1, operations: ['post'] });
    await complete('li', repairOf(id, 'decide'), { answer: 'yes' });
    await kit.opened(id, 'post!repair-1');
    await complete('ops', repairOf(id, 'post!repair-1'), { action: 'giveUp' });
    await expect(kit.outcome(id)).rejects.toThrow(WorkflowFailedError);
    const { items } = (await api.as('ops').get('/v1/cases?status=broken')).body as { items: { id: string; trouble: string }[] };
    expect(items).toEqual([expect.objectContaining({ id, trouble: expect.stringContaining('given up at post') })]);
    expect((await api.as('ops').get(caseUrl(id))).body).toMatchObject({ status: 'broken', text: 'The case stopped and needs operations', tasks: [] });
    expect(await timeline(id)).toEqual(
      expect.arrayContaining(['From here it can no longer be withdrawn', 'The case stopped: a step was given up; operations have been told']),
    );
  });

  test('an undo that fails is a repair too; given up, it stays as it is and the others are taken back (EF6)', async () => {
    const id = await open('grabAndWait');
    await kit.opened(id, 'decide');
    kit.fault('bench', { errorRate: 1, operations: ['letGo'] });
    await api.as('li').post(caseUrl(id, '/withdraw'), { reason: 'changedMind' });
    await kit.opened(id, 'b!undo!repair-1');
    const task = repairOf(id, 'b!undo!repair-1');
    const { body } = (await api.as('wang').get(taskUrl(task))) as { body: { help: string[]; schema: unknown } };
    expect(body).toMatchObject({ task: { text: { en: expect.stringMatching(/^repair "Let go", because/) }, context: { undoes: 'b' } } });
    expect(body.help.at(-1)).toBe('Give up: this stays as it is; all else is still taken back.');
    kit.fault('bench', {});
    await complete('wang', task, { action: 'giveUp' });
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await kit.executions(id)).toEqual({ a: 1, b: 1, 'a!undo': 1 });
    expect(await timeline(id)).toEqual(
      expect.arrayContaining(['li asked for its withdrawal: the customer changed their mind', 'Let go: taken back', 'The case ended: withdrawn']),
    );
  });
});

describe('a redo', () => {
  test('is decided by neither who asks nor who repaired a step of the case, and sends it again under a key of its own (HT8, EF7)', async () => {
    kit.fault('bench', { outage: true });
    const id = await open('postThenWait');
    await kit.opened(id, 'post!repair-1');
    kit.fault('bench', {});
    await complete('wang', repairOf(id, 'post!repair-1'), { action: 'retry' });
    await kit.opened(id, 'decide');

    // Who repaired it may see that it has to be done again; the word is another's.
    const asked = await api.as('wang').post(caseUrl(id, '/effects/post/redo'));
    expect(asked.status).toBe(201);
    const redo = (asked.body as { id: string }).id;
    expect(redo).toBe(`${id}:post#2!redo`);
    expect((await complete('wang', redo, { decision: 'approve' })).body).toMatchObject({ status: 403, code: 'fourEyes' });
    expect((await api.as('wang').post(caseUrl(id, '/effects/post/redo'))).body).toMatchObject({ status: 409, code: 'redoAsked' });
    const { body } = (await api.as('lin').get(taskUrl(redo))) as { body: unknown };
    expect(body).toMatchObject({
      task: { text: { en: 'approve doing "Post" once more' } },
      help: [expect.stringMatching(/^wang asks for "Post" to be done once more/), expect.anything()],
    });
    expect((await complete('lin', redo, { decision: 'approve' })).status).toBe(200);
    await redoJob();
    expect(await kit.executions(id)).toEqual({ post: 1, 'post#2': 1 });
    expect(await timeline(id)).toEqual(
      expect.arrayContaining([
        'wang asks, and another person decides: approve doing "Post" once more',
        'lin (supervisor), approve doing "Post" once more: approved',
      ]),
    );

    // Another one asks, and who repaired may not be the second pair of eyes either.
    const again = await api.as('lin').post(caseUrl(id, '/effects/post%232/redo'));
    expect((again.body as { id: string }).id).toBe(`${id}:post#3!redo`);
    expect((await complete('wang', `${id}:post#3!redo`, { decision: 'approve' })).body).toMatchObject({ status: 403, code: 'fourEyes' });
    expect((await complete('zhou', `${id}:post#3!redo`, { decision: 'refuse' })).status).toBe(200);
    await redoJob();
    expect(await kit.executions(id)).toEqual({ post: 1, 'post#2': 1 });
  });

  test('that cannot be done says so in the timeline, and may be asked for again', async () => {
    const id = await open('postThenWait');
    await kit.opened(id, 'decide');
    await api.as('wang').post(caseUrl(id, '/effects/post/redo'));
    await complete('lin', `${id}:post#2!redo`, { decision: 'approve' });
    // The system has this key already, for something else.
    await fetch(`${kit.engine.target('bench').baseUrl}/post`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': effectKey(id, 'post#2') },
      body: JSON.stringify({ what: 'something else' }),
    });
    await redoJob();
    expect(await timeline(id)).toContain('Doing "Post" once more failed: the system refuses the request, and would refuse it again');
    expect((await api.as('wang').post(caseUrl(id, '/effects/post/redo'))).body).toMatchObject({ id: `${id}:post#3!redo` });
  });
});

describe('the form of a repair', () => {
  test('asks of an operation that reads personal data only for the part that a process may see', async () => {
    const id = await open('windowed', {});
    const task = await api.openTask(id, {
      path: 'order!repair-1',
      name: 'repair',
      role: 'supervisor',
      context: { system: 'crm', operation: 'facts', step: 'order' },
    });
    const { body } = (await api.as('wang').get(taskUrl(task))) as { body: { help: string[]; schema: unknown } };
    const text = JSON.stringify(body.schema);
    expect(text).toContain('tenureDays');
    expect(text).not.toMatch(/birthday|"name"/);
    const result = { customer: 'c_1', tier: 'vip', tenureDays: 1, orders: 1, spend: [{ minor: -1, currency: 'CNY' }], consent: { marketing: true } };
    expect((await complete('wang', task, { action: 'enterResult', result })).body).toMatchObject({
      status: 422,
      errors: [{ path: 'form.result.spend.0.minor' }],
    });
    // What is sent beyond it is not kept.
    const whole = { ...result, spend: [], name: '林晓雨' };
    expect((await complete('wang', task, { action: 'enterResult', result: whole })).body).toMatchObject({ task: { form: { result: { customer: 'c_1' } } } });
    expect(JSON.stringify(await kit.rows('select form from tasks where id = $1', task))).not.toContain('林晓雨');
  });
});
