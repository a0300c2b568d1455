import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { CaseId, TaskId } from '../../values/ids.ts';
import { instant, plus } from '../../values/instant.ts';
import { caseUrl, startApi, taskUrl, type ApiKit } from './api-harness.ts';

let kit: ApiKit;
beforeAll(async () => {
  kit = await startApi();
  await kit.token('zhao', 'agent');
  await kit.token('qin', 'ops');
  // A second supervisor, or what wang may not decide would climb to the manager.
  await kit.token('zhou', 'supervisor');
});
afterAll(() => kit.stop());

const complete = (by: string, id: TaskId, form: object) => kit.as(by).post(taskUrl(id, '/complete'), { form });
const newTask = async (more: Parameters<ApiKit['openTask']>[1] = {}): Promise<{ of: CaseId; id: TaskId }> => {
  const of = await kit.openCase();
  return { of, id: await kit.openTask(of, more) };
};
const signalled = (of: CaseId) => kit.temporal.signals.filter((s) => s.of === of).flatMap((s) => s.batch);

describe('deciding', () => {
  test('answers with the decision, tells the case, and shows the next task', async () => {
    const { of, id } = await newTask();
    const { id: other } = await newTask();
    const answer = await complete('li', id, { answer: 'yes', note: 'she agreed' });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      task: { id, status: 'done', decidedBy: 'li', decidedRole: 'agent', form: { answer: 'yes' } },
      delivery: 'delivered',
      next: { id: other, status: 'open', assignee: null },
    });
    expect(signalled(of)).toEqual([
      expect.objectContaining({
        kind: 'decision',
        task: 'decide',
        decision: { form: { answer: 'yes' }, by: 'li', role: 'agent', decidedAt: expect.any(String) },
      }),
    ]);
    expect(JSON.stringify(signalled(of))).not.toContain('agreed');
    await complete('li', other, { answer: 'no' });
  });

  test('HT1: two at once have one winner; the loser sees by whom, what and when, in their language', async () => {
    const { of, id } = await newTask();
    const answers = await Promise.all([complete('li', id, { answer: 'yes' }), complete('zhao', id, { answer: 'no' }).set('Accept-Language', 'zh-CN')]);
    const [won, lost] = answers.toSorted((a, b) => a.status - b.status);
    if (won === undefined || lost === undefined) throw new Error('two answers');
    expect([won.status, lost.status]).toEqual([200, 409]);
    const { task } = won.body as { task: { decidedBy: string; form: object; decidedAt: string } };
    expect(lost.body).toMatchObject({ code: 'taskClosed', decided: { by: task.decidedBy, form: task.form, at: task.decidedAt } });
    expect((lost.body as { detail: string }).detail).toContain(task.decidedBy);
    expect(signalled(of)).toHaveLength(1);
  });

  test('HT2: again by the same person with the same form is 200 with the same answer', async () => {
    const { of, id } = await newTask();
    const first = await complete('li', id, { answer: 'yes', note: 'x' });
    const again = await complete('li', id, { answer: 'yes', note: 'x' });
    expect(again.status).toBe(200);
    expect(again.body).toEqual(first.body);
    expect(signalled(of)).toHaveLength(1);
  });

  test('while Temporal is away, the decision is taken and its delivery pending; a later one brings both', async () => {
    const { of, id } = await newTask();
    const second = await kit.openTask(of, { path: 'second' });
    kit.temporal.away = true;
    expect((await complete('li', id, { answer: 'yes' })).body).toMatchObject({ task: { status: 'done' }, delivery: 'pending' });
    kit.temporal.away = false;
    expect((await complete('li', second, { answer: 'no' })).body).toMatchObject({ delivery: 'delivered' });
    expect(signalled(of).map((m) => m.kind === 'decision' && m.task)).toEqual(['decide', 'second']);
  });

  test('HT8: whoever decided the first may not decide the second, nor get it by delegation', async () => {
    const { of, id } = await newTask();
    await complete('wang', id, { answer: 'yes' });
    const confirm = await kit.openTask(of, { path: 'confirm', name: 'confirm', role: 'supervisor', notBy: ['decide'] });
    expect((await complete('wang', confirm, { agreed: true })).body).toMatchObject({
      status: 403,
      code: 'fourEyes',
      detail: expect.stringContaining('"wang"'),
    });
    expect((await kit.as('chen').post(taskUrl(confirm, '/delegate'), { to: 'wang' })).body).toMatchObject({ status: 403, code: 'fourEyes' });
    expect((await complete('chen', confirm, { agreed: true })).status).toBe(200);
  });

  test('HT11: a form of a version that the declaration has left behind is refused', async () => {
    const { id } = await newTask({ formVersion: 7 });
    expect((await complete('li', id, { answer: 'yes' })).body).toMatchObject({ status: 409, code: 'formChanged' });
    await kit.pool.query(`update tasks set status = 'withdrawn' where id = $1`, [id]);
  });
});

describe('the built-in repair', () => {
  const context = { system: 'orders', operation: 'contact', step: 'contact', error: 'SystemRefused' };
  const repair = { path: 'contact!repair-1', name: 'repair', role: 'ops', context } as const;

  test('checks an entered result as the operation’s own, and gives the case only what a process may see of it', async () => {
    const { of, id } = await newTask(repair);
    const wrong = await complete('qin', id, { action: 'enterResult', result: { customer: 7 } });
    expect(wrong.body).toMatchObject({ status: 422, errors: [{ path: 'form.result.customer' }] });
    // More than is asked for: the customer's own data, which nobody needs here.
    const right = await complete('qin', id, {
      action: 'enterResult',
      result: { customer: 'c-1', reach: { name: '王芳', language: 'zh', phone: '13800000000' } },
    });
    expect(right.status).toBe(200);
    expect(signalled(of)).toEqual([
      expect.objectContaining({ decision: expect.objectContaining({ form: { action: 'enterResult', result: { customer: 'c-1' } } }) }),
    ]);
    const { rows } = await kit.pool.query<{ text: string }>(
      `select (select to_jsonb(t)::text from tasks t where id = $1) || (select jsonb_agg(i)::text from inbox i where case_id = $2) as text`,
      [id, of],
    );
    expect(rows[0]?.text).not.toMatch(/王芳|13800000000/);
  });

  test('that has climbed to a supervisor is still for operations, and nothing else of a supervisor’s is', async () => {
    const { of, id } = await newTask({ ...repair, role: 'supervisor' });
    const other = await kit.openTask(of, { path: 'confirm', name: 'confirm', role: 'supervisor' });
    expect((await kit.as('qin').get('/v1/tasks')).body).toMatchObject({ items: [{ id }] });
    expect((await complete('qin', other, { agreed: true })).body).toMatchObject({ status: 403, code: 'notAuthorized' });
    expect((await complete('qin', id, { action: 'retry' })).body).toMatchObject({ task: { decidedRole: 'ops' } });
    await complete('wang', other, { agreed: true });
  });

  test('is for operations and for supervisors, not for agents', async () => {
    const { id } = await newTask(repair);
    expect((await complete('li', id, { action: 'retry' })).body).toMatchObject({ status: 403, code: 'notAuthorized' });
    expect((await kit.as('wang').get('/v1/tasks?role=ops')).body).toMatchObject({ items: [{ id, title: { en: 'Repair' } }] });
    expect((await complete('wang', id, { action: 'giveUp' })).status).toBe(200);
  });

  test('of a case that has grown too long has no result to enter', async () => {
    const { id } = await newTask({ path: 'x!overlong', name: 'repair', role: 'ops', context: { step: 'x', error: 'long' } });
    expect((await complete('qin', id, { action: 'enterResult', result: {} })).body).toMatchObject({ status: 422, errors: [{ path: 'form.action' }] });
    expect((await complete('qin', id, { action: 'retry' })).status).toBe(200);
  });
});

describe('the worklist', () => {
  test('claim, release, hold, delegate and reassign change whose it is', async () => {
    const { id } = await newTask();
    const after = async (by: string, action: string, body = {}) => {
      const answer = await kit.as(by).post(taskUrl(id, `/${action}`), body);
      return answer.status === 200 ? (answer.body as { task: { assignee: string | null } }).task.assignee : (answer.body as { code: string }).code;
    };
    expect(await after('li', 'claim')).toBe('li');
    expect(await after('li', 'claim')).toBe('li');
    expect(await after('zhao', 'claim')).toBe('taskClaimed');
    expect(await after('zhao', 'release')).toBe('taskClaimed');
    expect(await after('li', 'hold', { until: plus(instant(Date.now()), 3_600_000) })).toBe('li');
    expect((await kit.as('li').post('/v1/tasks/next')).body).not.toMatchObject({ task: { id } });
    expect(await after('li', 'delegate', { to: 'nobody' })).toBe('personNotFound');
    expect(await after('li', 'delegate', { to: 'qin' })).toBe('personNotFit');
    expect(await after('li', 'delegate', { to: 'zhao' })).toBe('zhao');
    expect(await after('li', 'reassign', { to: 'li' })).toBe('forbidden');
    expect(await after('wang', 'reassign', { to: 'li' })).toBe('li');
    expect(await after('wang', 'reassign', { to: null })).toBeNull();
    expect((await complete('li', id, { answer: 'yes' })).status).toBe(200);
    expect(await after('li', 'claim')).toBe('taskClosed');
  });

  test('lists what one may decide, what is one’s own, and all of a case; pages end', async () => {
    const of = await kit.openCase();
    const ids: TaskId[] = [];
    for (let i = 0; i < 5; i++) ids.push(await kit.openTask(of, { path: `list-${i}`, process: 'listed' }));
    const seen: string[] = [];
    let url = '/v1/tasks?process=listed&limit=2';
    for (;;) {
      const { body } = (await kit.as('li').get(url)) as { body: { items: { id: string }[]; next?: string } };
      seen.push(...body.items.map((item) => item.id));
      if (body.next === undefined) break;
      url = `/v1/tasks?process=listed&limit=2&cursor=${body.next}`;
    }
    expect(seen).toEqual(ids);
    const [first] = ids;
    if (first === undefined) throw new Error('no task');
    await kit.as('li').post(taskUrl(first, '/claim'));
    expect((await kit.as('li').get('/v1/tasks?mine=true&process=listed')).body).toMatchObject({ items: [{ id: first }] });
    expect((await kit.as('zhao').get('/v1/tasks?free=true&process=listed')).body).toMatchObject({ items: ids.slice(1).map((id) => ({ id })) });
    expect((await kit.as('li').get(`/v1/tasks?case=${encodeURIComponent(of)}`)).body).toMatchObject({ items: ids.map((id) => ({ id })) });
    expect((await kit.as('platform').get('/v1/tasks?process=listed')).body).toEqual({ items: [] });
    expect((await kit.as('li').get('/v1/tasks?status=done')).body).toMatchObject({ status: 422, errors: [{ path: 'query.status' }] });
    expect((await kit.as('li').get(caseUrl(of))).body).toMatchObject({ tasks: ids.map((id) => ({ id })) });
  });

  test('an upstream system decides for its customer, and nothing else', async () => {
    const { of, id } = await newTask({ path: 'choose', name: 'choose', role: 'customer' });
    expect((await kit.as('platform').get('/v1/tasks')).body).toMatchObject({ items: [{ id }] });
    expect((await complete('li', id, { choice: 'refund' })).body).toMatchObject({ status: 403 });
    expect((await complete('platform', id, { choice: 'refund' })).body).toMatchObject({ task: { decidedRole: 'upstream' } });
    const decide = await kit.openTask(of);
    expect((await complete('platform', decide, { answer: 'yes' })).body).toMatchObject({ status: 403, code: 'notAuthorized' });
  });
});

describe('HT12: many at once', () => {
  test('where one fails, the others are done, and each has its result', async () => {
    const [a, b] = [await newTask(), await newTask()];
    await complete('zhao', b.id, { answer: 'no' });
    const answer = await kit.as('li').post('/v1/tasks/bulk', { ids: [a.id, b.id, 'tiny.never:x'], action: 'complete', form: { answer: 'yes' } });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      results: [
        { id: a.id, status: 200, task: { status: 'done' }, delivery: 'delivered' },
        { id: b.id, status: 409, problem: { code: 'taskClosed', decided: { by: 'zhao' } } },
        { id: 'tiny.never:x', status: 404, problem: { code: 'taskNotFound' } },
      ],
    });
    expect(signalled(a.of)).toHaveLength(1);
  });

  test('a dry run answers what would be and changes nothing', async () => {
    const { id } = await newTask();
    const before = await kit.rowCounts();
    const dry = await kit.as('li').post('/v1/tasks/bulk', { ids: [id], action: 'complete', form: { answer: 'yes', note: 'words' }, dryRun: true });
    expect(dry.body).toMatchObject({ results: [{ status: 200, task: { status: 'done' } }] });
    expect(await kit.rowCounts()).toEqual(before);
    expect((await kit.as('li').get(taskUrl(id))).body).toMatchObject({ task: { status: 'open' } });
  });
});

describe('people', () => {
  test('a manager registers somebody, whose token then holds; what the row says counts from then on', async () => {
    await kit.token('sun');
    expect((await kit.as('sun').get('/v1/cases')).body).toMatchObject({ status: 403, code: 'forbidden' });
    const put = await kit.as('chen').put('/v1/people/sun', { name: '孙强', roles: ['agent'], shops: ['main'] });
    expect(put.body).toEqual({ id: 'sun', name: '孙强', roles: ['agent'], shops: ['main'], active: true, absentUntil: null });
    expect((await kit.as('sun').get('/v1/cases')).status).toBe(200);
    await kit.as('chen').put('/v1/people/sun', { name: '孙强', roles: ['agent'], shops: ['main'], active: false });
    expect((await kit.as('sun').get('/v1/cases')).body).toMatchObject({ status: 403, code: 'unknownPerson' });
    const { items } = (await kit.as('chen').get('/v1/people')).body as { items: { id: string }[] };
    expect(items.map((p) => p.id)).toEqual(['chen', 'li', 'platform', 'qin', 'sun', 'wang', 'zhao', 'zhou']);
  });

  test('nobody grants a shop that is not theirs', async () => {
    for (const shops of [['other'], ['*']])
      expect((await kit.as('chen').put('/v1/people/x', { name: 'x', roles: ['agent'], shops })).body).toMatchObject({ status: 403, code: 'otherShop' });
    await kit.pool.query(`insert into people (id, name, roles, shops) values ('far', 'far', '{agent}', '{other}')`);
    const taken = await kit.as('chen').put('/v1/people/far', { name: 'x', roles: ['agent'], shops: ['main'] });
    expect(taken.body).toMatchObject({ status: 403, code: 'personTaken' });
    // Where somebody else works, they are not told.
    expect(taken.body).not.toHaveProperty('shop');
    expect(taken.text).not.toMatch(/shop other/);
    expect(((await kit.as('chen').get('/v1/people')).body as { items: { id: string }[] }).items.map((p) => p.id)).not.toContain('far');
  });

  test('cases and tasks of another shop do not exist for them', async () => {
    await kit.pool.query(`update people set shops = '{other}' where id = 'zhao'`);
    const { of, id } = await newTask();
    for (const url of [caseUrl(of), caseUrl(of, '/timeline'), taskUrl(id)]) expect((await kit.as('zhao').get(url)).status).toBe(404);
    expect((await kit.as('zhao').get('/v1/cases')).body).toEqual({ items: [] });
    expect((await kit.as('zhao').get('/v1/tasks')).body).toEqual({ items: [] });
    expect((await complete('zhao', id, { answer: 'yes' })).status).toBe(404);
    await kit.pool.query(`update people set shops = '{main}' where id = 'zhao'`);
  });
});

describe('the calendar', () => {
  test('explains a deadline over a holiday, in the language of the request', async () => {
    const body = { start: '2026-09-30T09:00:00+08:00', within: '3 working days', calendar: 'working-days' };
    const answer = await kit.as('li').post('/v1/calendar/deadline', body);
    expect(answer.body).toMatchObject({
      provisional: false,
      deadline: expect.stringMatching(/Z$/),
      explanation: expect.arrayContaining([expect.stringContaining('National Day')]),
    });
    const zh = await kit.as('li').post('/v1/calendar/deadline', body).set('Accept-Language', 'zh-CN,zh;q=0.9');
    expect((zh.body as { explanation: string[] }).explanation.join()).toContain('国庆节');
    const { deadline } = answer.body as { deadline: string };
    expect((await kit.as('li').post('/v1/calendar/elapsed', { start: body.start, end: deadline, calendar: 'working-days' })).body).toMatchObject({
      elapsed: '3 working days',
    });
  });

  test('knows the policy’s clocks, and refuses what it cannot count', async () => {
    const start = '2026-11-23T10:00:00+08:00';
    expect((await kit.as('li').post('/v1/calendar/deadline', { start, clock: 'T10' })).body).toMatchObject({ deadline: '2026-11-24T02:00:00.000Z' });
    for (const [body, path] of [
      [{ start, clock: 'T99' }, 'clock'],
      [{ start, within: '3 working days', calendar: 'service' }, 'calendar'],
      [{ start, within: 'soon', calendar: 'service' }, 'within'],
    ] as const)
      expect((await kit.as('li').post('/v1/calendar/deadline', body)).body).toMatchObject({ status: 422, errors: [{ path }] });
    expect(
      (await kit.as('li').post('/v1/calendar/elapsed', { start: '0001-01-01T00:00:00Z', end: '9999-01-01T00:00:00Z', calendar: 'service' })).body,
    ).toMatchObject({ status: 422 });
  });
});

test('a task’s form is there as JSON Schema, and its words are marked', async () => {
  const { id } = await newTask({ context: { order: randomUUID() } });
  expect((await kit.as('li').get(taskUrl(id))).body).toMatchObject({
    schema: { type: 'object', required: ['answer'], properties: { note: { personal: true } } },
  });
});
