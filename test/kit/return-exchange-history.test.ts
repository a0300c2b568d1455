/** What a return costs the server: its history on a Temporal with real time. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import type { Kit } from './harness.ts';
import type { CaseId } from '../../values/ids.ts';
import { cny, returnsOf, startReturns } from './returns.ts';
import { surroundings } from './surroundings.ts';

let kit: Kit;

/** Transactions of the engine while `work` runs, and the statements in them, each one round trip. What the sandbox does, and what this test looks up, is not counted. */
async function statements(work: () => Promise<void>): Promise<{ all: number; transactions: number }> {
  const count = { all: 0, transactions: 0 };
  const open = new Set<pg.Client>();
  // The prototype's own function, called as it is: what is counted is what is sent.
  // oxlint-disable-next-line typescript/unbound-method
  const { query } = pg.Client.prototype;
  const counted = function (this: pg.Client & { connectionParameters?: { application_name?: string } }, ...args: unknown[]): unknown {
    if (this.connectionParameters?.application_name === 'kit-test') {
      if (args[0] === 'begin') {
        open.add(this);
        count.transactions += 1;
      }
      if (open.has(this)) count.all += 1;
      if (args[0] === 'commit' || args[0] === 'rollback') open.delete(this);
    }
    return Reflect.apply(query, this, args);
  };
  Object.assign(pg.Client.prototype, { query: counted });
  try {
    await work();
  } finally {
    Object.assign(pg.Client.prototype, { query });
  }
  return count;
}

beforeAll(async () => {
  kit = await startReturns(await surroundings());
});
afterAll(() => kit.stop());

test('the happy path of a return takes at most 72 events of history, 26 state transitions, and 8 statements a transaction', async () => {
  const r = returnsOf(kit, () => Promise.resolve(Date.now()));
  const ids: CaseId[] = [];
  const sql = await statements(async () => {
    const opened = await r.toInspection();
    const { id } = opened;
    ids.push(id);
    await r.inspect(id, opened.units.map(r.accept));
    await r.refundState(id, 'accepted');
    await r.isTold(id, 'refundAccepted');
    await r.refundState(id, 'arrived');
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(10_000) });
  });

  const [id] = ids;
  if (id === undefined) throw new Error('no case');
  const { workflowExecutionInfo: info } = await kit.temporal.workflowService.describeWorkflowExecution({
    namespace: kit.temporal.options.namespace,
    execution: { workflowId: id },
  });
  const events = (await kit.history(id)).length;
  const transitions = Number(info?.stateTransitionCount);
  console.log(
    `happy path of a return: ${events} events, ${transitions} state transitions, ${Number(info?.historySizeBytes)} bytes; ${sql.transactions} transactions, with ${sql.all} statements`,
  );
  expect(events).toBeLessThanOrEqual(72);
  expect(transitions).toBeLessThanOrEqual(26);
  // `begin` and `commit` among them.
  expect(sql.all / sql.transactions).toBeLessThanOrEqual(8);
});
