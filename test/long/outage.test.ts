/**
 * Postgres away for two minutes: at first it hangs, then it refuses. The time between two tries has reached its end (10 s) after twenty seconds, so two minutes
 * show what ten would.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { isAway } from '../../db/pool.ts';
import { taskId, type CaseId } from '../../values/ids.ts';
import { startKit, type Kit } from '../kit/harness.ts';
import { proxyTo, type Proxy } from '../../cli/faults/proxy.ts';
import { surroundings } from '../kit/surroundings.ts';
import { say } from './progress.ts';
import { serve, type Served } from './served.ts';

const [hanging, refusing, each] = [40_000, 80_000, 10];
let kit: Kit;
let api: Served;
let postgres: Proxy;
beforeAll(async () => {
  const direct = await surroundings();
  const database = new URL(direct.databaseUrl);
  postgres = await proxyTo(database.hostname, Number(database.port));
  const databaseUrl = Object.assign(new URL(database), { hostname: '127.0.0.1', port: String(postgres.port) }).href;
  kit = await startKit({ ...direct, databaseUrl, sandboxUrl: direct.databaseUrl });
  api = await serve(kit, databaseUrl);
});
afterAll(async () => {
  await api.stop();
  await kit.stop();
  await postgres.close();
});

const complete = (of: CaseId) => api.ask('POST', `/v1/tasks/${encodeURIComponent(taskId(of, 'choose'))}/complete`, { form: { choice: 'refund' } });
const cases = (name: string, windows?: Readonly<Record<string, number>>): Promise<CaseId[]> =>
  Promise.all(
    Array.from(
      { length: each },
      async (_, n) => (await kit.open('tiny', { id: `${name}-${n}`, shop: 'shop-1', script: 'windowed' }, windows ? { windows } : {})).id,
    ),
  );

test('HT9: away at open, complete and close: no history grows, the API answers 503 at once, and all goes on when it is back', async () => {
  const soon = 15_000;
  const [deciding, ending] = [await cases('deciding'), await cases('ending', { customerChoice: soon, evidence: soon, parcelSent: soon })];
  for (const id of [...deciding, ...ending]) await kit.opened(id, 'choose');
  await kit.stopWorker();
  const opening = await cases('opening');
  const all = [...opening, ...deciding, ...ending];

  const began = Date.now();
  postgres.hang();
  await kit.startWorker();
  const lengths = () => Promise.all(all.map(async (id) => (await kit.history(id)).length));
  const slowest = { hangs: 0, hangsOn: 0, refuses: 0 };
  const statuses = new Set<number>();
  let settled: number[] | undefined;
  for (let round = 0; Date.now() - began < hanging + refusing; round++) {
    const phase = Date.now() - began > hanging ? 'refuses' : round === 0 ? 'hangs' : 'hangsOn';
    if (phase === 'refuses') await postgres.refuse();
    const answers = await Promise.all([...deciding.map(complete), api.ask('GET', '/v1/cases'), api.ask('GET', '/readyz')]);
    slowest[phase] = Math.max(slowest[phase], ...answers.map((a) => a.ms));
    for (const a of answers) statuses.add(a.status);
    const now = await lengths();
    say(
      `Postgres ${phase === 'refuses' ? 'refuses' : 'hangs'}: 503 within ${Math.round(Math.max(...answers.map((a) => a.ms)))} ms; longest history ${Math.max(...now)} events`,
    );
    // The windows have ended, and every record is where it waits.
    if (phase === 'refuses') {
      settled ??= now;
      expect(now).toEqual(settled);
    }
    await sleep(8000);
  }
  expect(settled).toBeDefined();
  expect([...statuses]).toEqual([503]);
  // Connections that were in use when it began to hang are given up after a statement's six seconds; from then on a second for a new one.
  expect(slowest.hangs).toBeLessThan(8000);
  expect(slowest.hangsOn).toBeLessThan(8000);
  expect(slowest.refuses).toBeLessThan(1000);

  await postgres.restore();
  await kit.until(
    'Postgres',
    () =>
      complete(deciding[0] ?? ('' as CaseId)).then(
        ({ status }) => status,
        (error: unknown) => {
          if (isAway(error)) return 503;
          throw error;
        },
      ),
    (status) => status === 200,
  );
  for (const id of deciding) expect((await complete(id)).status).toBe(200);
  for (const id of opening) {
    await kit.opened(id, 'choose');
    expect((await complete(id)).status).toBe(200);
  }
  for (const id of [...opening, ...deciding]) expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['refund'] });
  for (const id of ending) expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['silence'] });
  say('all have ended as they should');
  expect(await kit.rows(`select status, count(*)::int as n from cases group by 1`)).toEqual([{ status: 'completed', n: 3 * each }]);
}, 400_000);
