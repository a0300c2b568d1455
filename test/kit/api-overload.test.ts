/** More than a process or the engine can carry: it is refused at once and says when to come again; what was taken on goes on, and health tells the truth. */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import request from 'supertest';
import { createAdmission } from '../../api/admission.ts';
import { createApp } from '../../api/app.ts';
import type { AppDeps } from '../../api/deps.ts';
import { signToken } from '../../api/token.ts';
import { waitingForEngine } from '../../db/backlog.ts';
import { caseUrl, startApi, taskUrl, type ApiKit } from './api-harness.ts';

let kit: ApiKit;
beforeAll(async () => {
  kit = await startApi();
});
afterAll(() => kit.stop());

interface Place {
  readonly app: ReturnType<typeof createApp>;
  readonly metrics: Registry;
  readonly ask: (user: string, method: 'get' | 'post', path: string, body?: object) => Promise<request.Response>;
}
/** The same app with places of its own. */
async function place(more: Partial<AppDeps> & { readonly inWork?: number; readonly waiting?: number }): Promise<Place> {
  const { inWork = 2, waiting = 1, ...deps } = more;
  const metrics = new Registry();
  const app = createApp({ ...kit.deps, metrics, admission: createAdmission({ inWork, waiting }, metrics), ...deps });
  const tokens = new Map<string, string>();
  for (const user of ['platform', 'li']) tokens.set(user, await signToken({ privateKey: kit.privateKey, subject: user, ttl: '1h' }));
  return {
    app,
    metrics,
    ask: async (user, method, path, body) => {
      const call = request(app)
        [method](path)
        .set('Authorization', `Bearer ${tokens.get(user)}`)
        .set('Accept-Language', 'en');
      return body === undefined ? call : call.send(body);
    },
  };
}
const admitted = async (metrics: Registry): Promise<Record<string, number>> => {
  const gauge = await metrics.getSingleMetric('kefu_http_requests_admitted')?.get();
  return Object.fromEntries((gauge?.values ?? []).map(({ labels, value }) => [String(labels['state']), value]));
};
async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const since = Date.now(); !(await holds()); await pause(10)) if (Date.now() - since > 20_000) throw new Error('it did not come to that within 20 s');
}
/** Postgres answers nobody who looks at clocks, until it is let go: whoever reads a case stays in work. */
async function held(): Promise<{ readonly letGo: () => Promise<void> }> {
  const client = await kit.pool.connect();
  await client.query('begin');
  await client.query('lock table clocks in access exclusive mode');
  let done = false;
  const letGo = async (): Promise<void> => {
    if (done) return;
    done = true;
    await client.query('rollback');
    client.release();
  };
  lettingGo.push(letGo);
  return { letGo };
}
const lettingGo: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const letGo of lettingGo.splice(0)) await letGo();
});
const input = (): object => ({ input: { id: randomUUID(), shop: 'main', script: 'canonical' } });
const starts = '/v1/processes/tiny/cases';

describe('more requests than a process works on', () => {
  test('are refused at once, with a problem that says when to come again; those in work and in wait are answered, and then everything is as before', async () => {
    const of = await kit.openCase();
    const { ask, metrics } = await place({ inWork: 2, waiting: 1 });
    const { letGo } = await held();
    const inWork = [ask('li', 'get', caseUrl(of)), ask('li', 'get', caseUrl(of))];
    await until(async () => (await admitted(metrics))['inWork'] === 2);
    const inWait = ask('li', 'get', caseUrl(of));
    await until(async () => (await admitted(metrics))['waiting'] === 1);

    const began = Date.now();
    const refused = await ask('li', 'get', caseUrl(of));
    expect(refused.body).toMatchObject({
      status: 503,
      code: 'overloaded',
      type: '/problems/overloaded',
      detail: expect.stringContaining('nothing was written'),
    });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    // At once: not after the time that those wait who have a place.
    expect(Date.now() - began).toBeLessThan(1000);

    await letGo();
    // The one in wait may have waited a second meanwhile on a busy machine; those in work are answered in any case.
    expect((await Promise.all(inWork)).map(({ status }) => status)).toEqual([200, 200]);
    expect([200, 503]).toContain((await inWait).status);
    expect((await ask('li', 'get', caseUrl(of))).status).toBe(200);
    expect(await admitted(metrics)).toEqual({ inWork: 0, waiting: 0 });
  });

  test('are all taken where there are places: without a bound the same crowd waits', async () => {
    const of = await kit.openCase();
    const { ask, metrics } = await place({ inWork: 6, waiting: 0 });
    const { letGo } = await held();
    const crowd = Array.from({ length: 6 }, () => ask('li', 'get', caseUrl(of)));
    await until(async () => (await admitted(metrics))['inWork'] === 6);
    await letGo();
    expect((await Promise.all(crowd)).map(({ status }) => status)).toEqual(Array(6).fill(200));
  });

  test('do not wait for longer than a second: who has a place and whose turn does not come is told so', async () => {
    const of = await kit.openCase();
    const { ask, metrics } = await place({ inWork: 2, waiting: 5 });
    const { letGo } = await held();
    const inWork = [ask('li', 'get', caseUrl(of)), ask('li', 'get', caseUrl(of))];
    await until(async () => (await admitted(metrics))['inWork'] === 2);
    const began = Date.now();
    const late = await ask('li', 'get', caseUrl(of));
    expect(late.body).toMatchObject({ status: 503, code: 'overloaded' });
    expect(Date.now() - began).toBeGreaterThanOrEqual(990);
    await letGo();
    expect((await Promise.all(inWork)).map(({ status }) => status)).toEqual([200, 200]);
  });

  test('leave health alone: it is told, it says that requests are refused, and seconds later that they are not', async () => {
    const of = await kit.openCase();
    const { ask, app, metrics } = await place({ inWork: 2, waiting: 0 });
    expect((await request(app).get('/readyz')).body).toMatchObject({ status: 'ready', load: { requests: 'ok' } });
    const { letGo } = await held();
    const inWork = [ask('li', 'get', caseUrl(of)), ask('li', 'get', caseUrl(of))];
    await until(async () => (await admitted(metrics))['inWork'] === 2);
    expect((await ask('li', 'get', caseUrl(of))).status).toBe(503);
    for (const path of ['/healthz', '/metrics']) expect((await request(app).get(path)).status).toBe(200);
    const ready = await request(app).get('/readyz');
    expect(ready.status).toBe(200);
    expect(ready.body).toMatchObject({ status: 'degraded', postgres: 'ok', load: { requests: 'refused', starts: 'ok' } });
    expect((await metrics.getSingleMetric('kefu_http_requests_refused_total')?.get())?.values).toMatchObject([{ labels: { kind: 'other' }, value: 1 }]);
    await letGo();
    await Promise.all(inWork);
    await until(async () => ((await request(app).get('/readyz')).body as { status: string }).status === 'ready');
  });

  test('do not keep people from deciding: starts have half of the places', async () => {
    const of = await kit.openCase();
    const task = await kit.openTask(of);
    const metrics = new Registry();
    const admission = createAdmission({ inWork: 4, waiting: 2, waitMs: 60_000 }, metrics);
    const { ask } = await place({ metrics, admission });
    let letGo: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    // Two in work, and one that waits: more starts find no place, whatever else is free.
    const crowd = [1, 2, 3].map(() => admission.run('start', () => gate));
    expect((await ask('platform', 'post', starts, input())).body).toMatchObject({ status: 503, code: 'overloaded' });
    expect((await ask('li', 'post', taskUrl(task, '/complete'), { form: { answer: 'yes' } })).body).toMatchObject({ task: { status: 'done' } });
    letGo();
    await Promise.all(crowd);
    expect((await ask('platform', 'post', starts, input())).status).toBe(201);
  });

  test('that were refused have written nothing', async () => {
    const { ask } = await place({ inWork: 2, waiting: 0, admission: full });
    const before = await kit.rowCounts();
    const answer = await ask('platform', 'post', starts, input());
    expect(answer.body).toMatchObject({ status: 503, code: 'overloaded' });
    expect(await kit.rowCounts()).toEqual(before);
  });
});

const noop = (): void => undefined;
/** Nobody finds a place. */
const full = (() => {
  const admission = createAdmission({ inWork: 2, waiting: 0 }, new Registry());
  const forEver = () => new Promise<never>(noop);
  for (const _ of [1, 2]) void admission.run('other', forEver);
  return admission;
})();

describe('an engine that is behind', () => {
  const behind = (ms: () => number, more: Partial<AppDeps> & { readonly moves?: boolean } = {}) => {
    const { moves = true, ...deps } = more;
    const look = () => Promise.resolve({ temporal: true, worker: true, moves, behindMs: ms() });
    return place({ inWork: 8, waiting: 100, delivery: { ...kit.deps.delivery, look }, ...deps });
  };
  const ready = async ({ app }: Place) => (await request(app).get('/readyz')).body as { status: string; load: object };

  test('takes no new cases, and says so with Retry-After; decisions, events and withdrawals come in', async () => {
    const of = await kit.openCase();
    const task = await kit.openTask(of);
    const api = await behind(() => 60_000);
    expect(await ready(api)).toMatchObject({ status: 'degraded', load: { starts: 'refused', requests: 'ok', behindSeconds: 60 } });
    const before = await kit.rowCounts();
    const refused = await api.ask('platform', 'post', starts, input());
    expect(refused.body).toMatchObject({ status: 503, code: 'backlogged', detail: expect.stringContaining('still come in') });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(2);
    expect(await kit.rowCounts()).toEqual(before);
    // Thousands of them are no thousands of faults with their stacks.
    const line: unknown = JSON.parse(kit.logged.findLast((one) => one.includes(String(refused.headers['x-request-id']))) ?? '{}');
    expect(line).toMatchObject({ level: 40, msg: 'request put off', operation: 'startCase' });
    expect(line).not.toHaveProperty('err');
    expect((await api.ask('li', 'post', taskUrl(task, '/complete'), { form: { answer: 'yes' } })).status).toBe(200);
    expect((await api.ask('platform', 'post', caseUrl(of, '/events/said'), { eventId: 'e-1', payload: { words: 'x' } })).status).toBe(202);
    expect((await api.ask('platform', 'post', caseUrl(of, '/withdraw'), { reason: 'changedMind' })).status).toBe(202);
  });

  test('refuses some while it falls behind, so that it finds its pace: neither everybody nor nobody at once', async () => {
    const api = await behind(() => 4000);
    await ready(api);
    const statuses = new Set<number>();
    await until(async () => statuses.add((await api.ask('platform', 'post', starts, input())).status).size > 1);
    expect([...statuses].toSorted((a, b) => a - b)).toEqual([201, 503]);
  });

  test('goes by cases that it has not begun as well, but for a few that cannot be', async () => {
    const api = await behind(() => 0);
    const ids: string[] = [];
    const wait = async (): Promise<void> => {
      const { id } = ((await kit.as('platform').post(starts, input())).body as { case: { id: string } }).case;
      await kit.pool.query(`update cases set started_at = null, run_at = now() - interval '1 minute' where id = $1`, [id]);
      ids.push(id);
    };
    for (let n = 0; n < 4; n++) await wait();
    expect(await ready(api)).toMatchObject({ status: 'ready', load: { starts: 'ok' } });
    await wait();
    await until(async () => (await ready(api)).status === 'degraded');
    expect((await api.ask('platform', 'post', starts, input())).body).toMatchObject({ code: 'backlogged' });
    await kit.pool.query('update cases set started_at = now() where id = any($1)', [ids]);
    await until(async () => (await ready(api)).status === 'ready');
  });

  test('is not one where nothing moves: an outage is carried, and said', async () => {
    const api = await behind(() => 60_000, { moves: false });
    expect(await ready(api)).toMatchObject({ load: { starts: 'ok', behindSeconds: 0 } });
    expect((await api.ask('platform', 'post', starts, input())).status).toBe(201);
  });

  test('takes them again once it has caught up', async () => {
    let ms = 60_000;
    const api = await behind(() => ms);
    await ready(api);
    expect((await api.ask('platform', 'post', starts, input())).status).toBe(503);
    ms = 0;
    await until(async () => (await ready(api)).status === 'ready');
    expect((await api.ask('platform', 'post', starts, input())).status).toBe(201);
  });

  test('is asked once in two seconds, however many come; a start does not wait for its answer', async () => {
    let looks = 0;
    const never = new Promise<never>(noop);
    const api = await place({
      inWork: 8,
      waiting: 100,
      delivery: {
        ...kit.deps.delivery,
        look: () => {
          looks += 1;
          return never;
        },
      },
    });
    const began = Date.now();
    for (let n = 0; n < 5; n++) expect((await api.ask('platform', 'post', starts, input())).status).toBe(201);
    expect(looks).toBeLessThanOrEqual(1 + Math.ceil((Date.now() - began) / 2000));
  });

  test('is one that has more to take in than an outage of minutes leaves, even where nothing moves', async () => {
    const { waiting } = await waitingForEngine(kit.pool, 10_000);
    const api = await behind(() => 0, { backlogMost: waiting, moves: false });
    expect(await ready(api)).toMatchObject({ status: 'ready', load: { starts: 'ok', waiting } });
    // A case that Temporal does not know yet.
    const { id } = ((await kit.as('platform').post(starts, input())).body as { case: { id: string } }).case;
    await kit.pool.query(`update cases set started_at = null, run_at = now() - interval '1 minute' where id = $1`, [id]);
    expect(await waitingForEngine(kit.pool, 10_000)).toMatchObject({ waiting: waiting + 1 });
    await until(async () => (await ready(api)).status === 'degraded');
    expect((await api.ask('platform', 'post', starts, input())).body).toMatchObject({ code: 'backlogged' });
    await kit.pool.query('update cases set started_at = now() where id = $1', [id]);
    await until(async () => (await ready(api)).status === 'ready');
  });
});
