/** Fifty thousand events to one case: every tenth over HTTP, the others by the function that the API stores them with, since answering takes longer than storing. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { CaseId } from '../../values/ids.ts';
import { startKit, type Kit } from '../kit/harness.ts';
import { surroundings } from '../kit/surroundings.ts';
import { say } from './progress.ts';
import { serve, type Answered, type Served } from './served.ts';

const many = 50_000;
const abreast = 12;
/** `cases.inboxLimit` of the policy. */
const limit = 150;
let kit: Kit;
let api: Served;
beforeAll(async () => {
  const around = await surroundings();
  kit = await startKit(around);
  api = await serve(kit, around.databaseUrl);
});
afterAll(async () => {
  await api.stop();
  await kit.stop();
});

const canonical = (id: string) => kit.open('tiny', { id, shop: 'shop-1', script: 'canonical', items: ['a'] });
/** Tells it until it is answered: a machine that cannot keep up says 503, and the sender tries again. */
async function told(of: CaseId, n: number): Promise<Answered> {
  for (;;) {
    const answer = await api.ask('POST', `/v1/cases/${encodeURIComponent(of)}/events/said`, { eventId: `e-${n}`, payload: { words: `words ${n}` } });
    if (answer.status !== 503) return answer;
  }
}
/** The same, stored as the API stores it. */
async function stored(of: CaseId, n: number): Promise<Pick<Answered, 'status' | 'ms'>> {
  const began = performance.now();
  const { status } = await kit.send({
    source: 'person:platform',
    eventId: `${of}:e-${n}`,
    kind: 'event',
    name: 'said',
    caseId: of,
    body: { words: `words ${n}` },
    limit,
  });
  return { status: status === 'stored' ? 202 : status === 'tooMany' ? 429 : 500, ms: performance.now() - began };
}
/** Milliseconds from the start of a case to its end, a person's decision in it. */
async function healthy(id: string): Promise<number> {
  const began = Date.now();
  const opened = await canonical(id);
  await kit.opened(opened.id, 'decide');
  await kit.decide(opened.id, 'decide', { answer: 'yes' });
  expect(await kit.outcome(opened.id)).toMatchObject({ result: 'done' });
  return Date.now() - began;
}

test('IN8: fifty thousand events to one case: it takes its limit, the rest is told so at once, and it and its neighbours go on', async () => {
  const { id } = await canonical('flooded');
  await kit.opened(id, 'decide');
  const answers = new Map<number, number>();
  let next = 0;
  let slowest = 0;
  const sender = async (of: CaseId): Promise<void> => {
    while (next < many) {
      const n = ++next;
      const { status, ms } = n % 10 === 0 ? await told(of, n) : await stored(of, n);
      answers.set(status, (answers.get(status) ?? 0) + 1);
      slowest = Math.max(slowest, ms);
      if (n % 5000 === 0) say(`${n} events sent: ${[...answers].map(([code, times]) => `${times} × ${code}`).join(', ')}`);
    }
  };
  const flood = Promise.all(Array.from({ length: abreast }, () => sender(id)));
  const beside: number[] = [];
  while (next < many) beside.push(await healthy(`beside-${beside.length}`));
  await flood;
  say(`the slowest answer took ${Math.round(slowest)} ms; ${beside.length} other cases meanwhile, the slowest ${Math.max(...beside)} ms`);

  expect(Object.fromEntries(answers)).toEqual({ 202: limit, 429: many - limit });
  expect(await kit.rows(`select 1 from inbox where case_id = $1 and kind = 'event'`, id)).toHaveLength(limit);
  // One that was taken is still known, and is no new one.
  expect((await told(id, 1)).status).toBe(200);
  // A person still decides, and the case ends as it would have. Its history holds what it took and no more.
  await kit.decide(id, 'decide', { answer: 'yes' });
  expect(await kit.outcome(id)).toMatchObject({ result: 'done' });
  expect((await kit.history(id)).length).toBeLessThan(1000);
  expect(Math.max(...beside)).toBeLessThan(10_000);
  expect(slowest).toBeLessThan(5000);
}, 600_000);
