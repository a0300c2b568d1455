/** Edge cases at the API that are about two versions of something: a form that a deployment changed, a fact that is told in two ways. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Express } from 'express';
import { Registry } from 'prom-client';
import request from 'supertest';
import { z } from 'zod';
import { createApp } from '../../api/app.ts';
import { signToken } from '../../api/token.ts';
import { correlate, storeInbound } from '../../db/inbox.ts';
import { inTransaction } from '../../db/pool.ts';
import type { CaseId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import { freeText } from '../../values/schemas.ts';
import type { RegisteredProcess } from '../../workflows/registry.ts';
import { caseUrl, startApi, taskUrl, type ApiKit } from './api-harness.ts';

let kit: ApiKit;
beforeAll(async () => {
  kit = await startApi();
});
afterAll(() => kit.stop());

describe('HT11: a form that a deployment changed while its task is open', () => {
  /** The API as deployed next: `decide` of tiny has this form, at this version. */
  function deployed(form: z.ZodType, formVersion = 1): Express {
    const tiny = kit.deps.processes.get('tiny');
    const decide = tiny?.declaration.tasks['decide'];
    if (!tiny || !decide) throw new Error('no tiny');
    const declaration = { ...tiny.declaration, formVersion, tasks: { ...tiny.declaration.tasks, decide: { ...decide, form } } };
    const changed: RegisteredProcess = { ...tiny, declaration };
    return createApp({ ...kit.deps, processes: new Map([...kit.deps.processes, ['tiny', changed]]), metrics: new Registry() });
  }
  const answers = { answer: z.enum(['yes', 'no']), note: freeText() };
  const complete = async (app: Express, id: string, form: object) =>
    request(app)
      .post(taskUrl(id, '/complete'))
      .set('Authorization', `Bearer ${await signToken({ privateKey: kit.privateKey, subject: 'li', ttl: '1h' })}`)
      .set('Accept-Language', 'en')
      .send({ form });
  const decisionsOf = (of: CaseId) => kit.temporal.signals.filter((s) => s.of === of).flatMap((s) => s.batch);

  test('and that takes what people knew before is decided as before, and by its new fields', async () => {
    const app = deployed(z.object({ ...answers, urgency: z.enum(['low', 'high']).optional() }));
    const of = await kit.openCase();
    const [old, fresh] = [await kit.openTask(of, { path: 'old' }), await kit.openTask(of, { path: 'fresh' })];
    expect((await complete(app, old, { answer: 'yes' })).body).toMatchObject({ task: { status: 'done', form: { answer: 'yes' } } });
    expect((await complete(app, fresh, { answer: 'no', urgency: 'high' })).body).toMatchObject({ task: { form: { answer: 'no', urgency: 'high' } } });
    expect(decisionsOf(of)).toHaveLength(2);
  });

  test('and that does not take it, is refused whole: nothing is written, the task stays open, and the case can be withdrawn', async () => {
    const app = deployed(z.object({ verdict: z.enum(['good', 'bad']) }), 2);
    const of = await kit.openCase();
    const id = await kit.openTask(of);
    const before = await kit.rowCounts();
    for (const form of [{ answer: 'yes' }, { verdict: 'good' }])
      expect((await complete(app, id, form)).body).toMatchObject({ status: 409, code: 'formChanged', detail: expect.stringContaining('version 1') });
    expect(await kit.rowCounts()).toEqual(before);
    expect((await kit.as('li').get(taskUrl(id))).body).toMatchObject({ task: { status: 'open' } });
    expect((await kit.as('platform').post(caseUrl(of, '/withdraw'), { reason: 'formChanged' })).body).toEqual({ became: 'taken', delivery: 'delivered' });
  });
});

describe('IN7: a fact that is told by webhook and found by asking', () => {
  const rang = (bell: string, times = 1) => ({ type: 'rang', timestamp: new Date().toISOString(), data: { bell, times } });
  /** What somebody who asks the system finds: the same fact, under an id of the asker's. */
  const polled = (bell: string, times = 1) =>
    inTransaction(kit.pool, (tx) =>
      storeInbound(tx, {
        source: 'bench.rang',
        eventId: `polled-${randomUUID()}`,
        kind: 'event',
        name: 'rang',
        correlationKey: bell,
        body: { bell, times },
        at: instant(Date.now()),
      }),
    );
  const stored = async (bell: string) =>
    (await kit.pool.query<{ times: number }>(`select (body->>'times')::int as times from inbox where correlation_key = $1 order by id`, [bell])).rows;

  test('is one fact in either order, resent by hand too, before and after its case expects it', async () => {
    const [one, two] = [randomUUID(), randomUUID()];
    expect((await kit.webhook('bench', rang(one))).status).toBe(202);
    expect(await polled(one)).toMatchObject({ status: 'duplicate' });
    expect(await polled(two)).toMatchObject({ status: 'stored' });
    expect((await kit.webhook('bench', rang(two))).status).toBe(200);
    const of = await kit.openCase();
    await inTransaction(kit.pool, (tx) => correlate(tx, 'bench.rang', two, of, 'rang'));
    expect((await kit.webhook('bench', rang(two))).body).toEqual({ became: 'taken', delivery: 'delivered' });
    expect([await stored(one), await stored(two)]).toEqual([[{ times: 1 }], [{ times: 1 }]]);
    // Another fact about the same thing is another one.
    expect((await kit.webhook('bench', rang(two, 2))).status).toBe(202);
    expect(kit.temporal.signals.filter((s) => s.of === of).flatMap((s) => s.batch)).toHaveLength(2);
  });

  test('is one fact when both come at the same moment', async () => {
    const bell = randomUUID();
    const came = await Promise.all(Array.from({ length: 8 }, (_, n) => (n % 2 === 0 ? polled(bell) : kit.webhook('bench', rang(bell)).then((r) => r.status))));
    expect(came.filter((c) => c === 202 || (typeof c === 'object' && c.status === 'stored'))).toHaveLength(1);
    expect(await stored(bell)).toHaveLength(1);
  });
});
