/** Who decides: limits of amount, of what stays with the customer, and of how often one customer asks. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { CaseId } from '../../values/ids.ts';
import { cny, returnsInTime, type ReturnsInTime } from './returns.ts';

let world: ReturnsInTime;
let kit: ReturnsInTime['kit'];
let r: ReturnsInTime['r'];
beforeAll(async () => {
  world = await returnsInTime();
  ({ kit, r } = world);
});
afterAll(() => world.stop());

/** 仅退款, approved by an agent. */
async function refundOnly(customer: string, price: number): Promise<CaseId> {
  const id = await r.ask(await r.buy({ customer, lines: [['cup', 1, price]] }));
  await r.decide(id, 'review-1/review', r.approve('quality', 'refundOnly'));
  return id;
}
async function paid(id: CaseId, minor: number): Promise<void> {
  await r.refundState(id, 'arrived');
  expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(minor) });
}
const reasonsOf = async (id: CaseId): Promise<string[]> =>
  (await kit.rows<{ reasons: string[] }>(`select reasons from decision_log where case_id = $1 and rule = 'authority'`, id))[0]?.reasons ?? [];
const approver = async (id: CaseId): Promise<string | undefined> => {
  await kit.opened(id, 'approveRefund');
  return (await kit.rows<{ role: string }>(`select role from tasks where case_id = $1 and name = 'approveRefund'`, id))[0]?.role;
};
const approve = (id: CaseId) => r.decide(id, 'approveRefund', { decision: 'approve' }, 'li', 'supervisor');

describe('a refund without the goods coming back', () => {
  test('of little is the agent’s alone: no label, nothing to inspect, the goods stay, and it is thanked for', async () => {
    const id = await refundOnly('kept-little', 5_000);
    await paid(id, 5_000);
    expect(await reasonsOf(id)).toEqual(['withinAuthority']);
    expect(await r.told(id)).toEqual(expect.arrayContaining(['goodsStay', 'thanks']));
    expect(await kit.executions(id, 'logistics')).toEqual({});
    expect(await r.allowanceOf(id)).toEqual(['used']);
    expect(await r.clocksOf(id)).toMatchObject({ handle: 'met' });
  });

  test('above what may stay with the customer is a supervisor’s, though an agent may refund as much for goods that come back', async () => {
    const id = await refundOnly('kept-much', 5_001);
    expect(await approver(id)).toBe('supervisor');
    expect(await reasonsOf(id)).toEqual(['keptAboveLimit']);
    await approve(id);
    await paid(id, 5_001);
  });

  test('of more than a supervisor’s limit is the manager’s', async () => {
    expect(await approver(await refundOnly('kept-fortune', 300_000))).toBe('manager');
  });

  test('again and again is a supervisor’s, whatever the amount, and nobody is thanked', async () => {
    for (let n = 1; n <= 3; n++) await paid(await refundOnly('kept-often', 100), 100);
    const id = await refundOnly('kept-often', 100);
    expect(await approver(id)).toBe('supervisor');
    expect(await reasonsOf(id)).toEqual(['manyKept']);
    await approve(id);
    await paid(id, 100);
    expect(await r.told(id)).not.toContain('thanks');
    // Somebody else's are counted apart.
    await paid(await refundOnly('kept-once', 100), 100);
  });

  test('that adds up to more than one customer is trusted with is a supervisor’s', async () => {
    const first = await refundOnly('kept-sum', 16_000);
    await approve(first);
    await paid(first, 16_000);
    await paid(await refundOnly('kept-sum', 4_000), 4_000);
    const third = await refundOnly('kept-sum', 100);
    expect(await approver(third)).toBe('supervisor');
    expect(await reasonsOf(third)).toEqual(['manyKept']);
  });

  test('that is not approved is rejected, held against nobody, and leaves the units free', async () => {
    for (let n = 1; n <= 4; n++) {
      const id = await refundOnly('kept-refused', 6_000);
      // Were the refused ones counted, the fourth would be doubtful.
      await kit.opened(id, 'approveRefund');
      expect(await reasonsOf(id)).toEqual(['keptAboveLimit']);
      await r.decide(id, 'approveRefund', { decision: 'refuse' }, 'li', 'supervisor');
      expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'notApproved' });
      expect(await r.undone(id)).toEqual(['kept', 'allowance', 'tally']);
    }
  });

  test('counts new goods for goods that stay as well', async () => {
    for (let n = 1; n <= 3; n++) {
      const id = await r.ask(await r.buy({ customer: 'kept-new', lines: [['cup', 1, 1_000]] }), { wish: 'reissue' });
      await r.decide(id, 'review-1/review', r.approve('quality', 'reissue'));
      await r.carrier(await r.sent(id), 'pickedUp');
      expect(await kit.outcome(id)).toEqual({ result: 'reissued' });
    }
    expect(await approver(await refundOnly('kept-new', 1_000))).toBe('supervisor');
  });
});

describe('a customer who returns often', () => {
  test('is reviewed by a supervisor; requests that were withdrawn do not count', async () => {
    const customer = 'often';
    const ask = async (): Promise<CaseId> => {
      const id = await r.ask(await r.buy({ customer }));
      await kit.opened(id, 'review-1/review');
      return id;
    };
    const reviewer = async (id: CaseId) => (await kit.rows<{ role: string }>(`select role from tasks where case_id = $1 and name = 'review'`, id))[0]?.role;
    const earlier: CaseId[] = [];
    for (let n = 1; n <= 10; n++) earlier.push(await ask());
    expect(await Promise.all(earlier.map(reviewer))).toEqual(earlier.map(() => 'agent'));
    const [changedMind] = earlier;
    if (changedMind === undefined) throw new Error('nobody asked');
    await r.withdraw(changedMind);
    await kit.outcome(changedMind);
    expect(await reviewer(await ask())).toBe('agent');
    const eleventh = await ask();
    expect(await reviewer(eleventh)).toBe('supervisor');
    await expect(kit.decide(eleventh, 'review-1/review', r.approve(), 'wang', 'agent')).rejects.toMatchObject({ why: 'notAuthorized' });
    // What a supervisor reviewed needs no second one within the limit.
    await r.decide(eleventh, 'review-1/review', r.approve(), 'li', 'supervisor');
    await r.inspect(eleventh, (await r.receive(await r.label(eleventh))).map(r.accept));
    await paid(eleventh, 10_000);
  });
});

test('every message that these cases sent can be read in both languages', async () => {
  expect(await r.unreadable()).toEqual([]);
});
