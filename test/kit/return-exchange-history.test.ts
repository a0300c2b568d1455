/** What a return costs the server: its history on a Temporal with real time. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Kit } from './harness.ts';
import { cny, returnsOf, startReturns } from './returns.ts';
import { surroundings } from './surroundings.ts';

let kit: Kit;
beforeAll(async () => {
  kit = await startReturns(await surroundings());
});
afterAll(() => kit.stop());

test('the happy path of a return takes at most 60 events of history and 20 state transitions', async () => {
  const r = returnsOf(kit, () => Promise.resolve(Date.now()));
  const { id, units } = await r.toInspection();
  await r.inspect(id, units.map(r.accept));
  await r.refundState(id, 'accepted');
  await r.isTold(id, 'refundAccepted');
  await r.refundState(id, 'arrived');
  expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });

  const { workflowExecutionInfo: info } = await kit.temporal.workflowService.describeWorkflowExecution({
    namespace: kit.temporal.options.namespace,
    execution: { workflowId: id },
  });
  const events = (await kit.history(id)).length;
  const transitions = Number(info?.stateTransitionCount);
  console.log(`happy path of a return: ${events} events, ${transitions} state transitions, ${Number(info?.historySizeBytes)} bytes`);
  expect(events).toBeLessThanOrEqual(60);
  expect(transitions).toBeLessThanOrEqual(20);
});
