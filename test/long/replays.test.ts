/** A worker that comes back to many cases whose histories take long to replay, all of which have something to do. */
import { Script } from 'node:vm';
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

/** Each replay takes over half a second, in steps: forty together take much longer than the 10 s after which a workflow task is lost, and six together do not. */
const [many, steps, stepMs] = [40, 11, 50] as const;
const items = Array.from({ length: steps }, (_, n) => `word-${n + 1}`);

/** A loop of so many milliseconds on this machine; a workflow has no clock that runs while it does. */
function slowdown(ms: number): string {
  // Of local numbers only: what a workflow reads from its globals costs many times what it does here.
  const loop = (turns: number): string =>
    `(() => { let x = 1; for (let turn = 0; turn < ${turns}; turn++) x = (x * 16807) % 2147483647; if (x < 0) throw x; })();`;
  const probe = 20_000_000;
  const script = new Script(loop(probe));
  const run = (): void => void script.runInThisContext();
  run();
  const began = performance.now();
  run();
  return loop(Math.round((probe * ms) / (performance.now() - began)));
}
const step = 'async claim(path) {';
const slow = (code: string): string => {
  expect(code.split(step)).toHaveLength(2);
  return code.replace(step, `${step} ${slowdown(stepMs)}`);
};

/** Whether a workflow task of the case was at a worker for too long. */
const lost = async (of: CaseId): Promise<boolean> =>
  (await kit.history(of)).some((event) => event.workflowTaskTimedOutEventAttributes?.timeoutType === atTheWorker);

test.each([
  ['a few at a time, none is lost', workflowTasksAtOnce, false],
  ['forty at once, as the SDK has it, are lost and begun anew', 40, true],
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
