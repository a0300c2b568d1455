/** A worker that comes back to many cases whose histories take long to replay, all of which have something to do. */
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import proto from '@temporalio/proto';
import type { CaseId } from '../../values/ids.ts';
import { workflowTasksAtOnce } from '../../worker/limits.ts';
import { startKit, type Kit } from '../kit/harness.ts';
import { surroundings } from '../kit/surroundings.ts';
import { tinyCases } from '../kit/tiny.ts';
import { say } from './progress.ts';

const atTheWorker = proto.temporal.api.enums.v1.TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE;
let kit: Kit;
beforeAll(async () => {
  kit = await startKit(await surroundings());
});
afterEach(async () => {
  await kit.stopWorker();
  await kit.startWorker();
});
afterAll(() => kit.stop());
const { open, say: tell } = tinyCases(() => kit);

/** Each replay takes over half a second, in steps: twenty-five together take much longer than the 10 s after which a workflow task is lost, and six together do not. */
const [many, steps, stepMs] = [25, 11, 50] as const;
const items = Array.from({ length: steps }, (_, n) => `word-${n + 1}`);

/** Holds the workflows' thread by the clock, as long on a fast machine as on a slow one: a workflow has no clock of its own that runs while it does. */
const slowdown = `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${stepMs});`;
const step = 'async wait(ready, wants, until) {';
const slow = (code: string): string => {
  expect(code.split(step)).toHaveLength(2);
  return code.replace(step, `${step} ${slowdown}`);
};

/** Whether a workflow task of the case was at a worker for too long. */
const lost = async (of: CaseId): Promise<boolean> =>
  (await kit.history(of)).some((event) => event.workflowTaskTimedOutEventAttributes?.timeoutType === atTheWorker);

test.each([
  ['a few at a time, none is lost', workflowTasksAtOnce, false],
  ['as many as there are, like the SDK, are lost and begun anew', many, true],
])(
  'cases with long histories after a restart: %s',
  async (_, atOnce, loses) => {
    const cases = await Promise.all(Array.from({ length: many }, () => open('conversation', { items })));
    for (const n of items.keys())
      await Promise.all(
        cases.map(async (id) => {
          await tell(id, String(n));
          await kit.parked(id);
        }),
      );
    for (const id of cases) await kit.opened(id, 'decide');
    await kit.stopWorker();
    for (const id of cases) await kit.decide(id, 'decide', { answer: 'yes' });
    const began = Date.now();
    await kit.startWorker(slow, atOnce);
    for (const id of cases) expect(await kit.outcome(id)).toMatchObject({ result: 'done' });
    const begunAnew = (await Promise.all(cases.map(lost))).filter(Boolean).length;
    say(`${many} cases went on within ${Date.now() - began} ms; ${begunAnew} were lost on the way`);
    expect(begunAnew > 0).toBe(loses);
  },
  300_000,
);
