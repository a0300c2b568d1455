import { describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import type { z } from 'zod';
import { loadPolicy } from '../../policies/load.ts';
import { clockOf, windowOf } from '../../policies/lookup.ts';
import type { finance } from '../../systems/finance/contract.ts';
import { systems } from '../../systems/index.ts';
import { trackingStates, type Tracking } from '../../systems/logistics/contract.ts';
import type { warehouse } from '../../systems/warehouse/contract.ts';
import { returnExchange, type ReturnExchange } from '../../workflows/return-exchange/process.ts';

const { policy } = loadPolicy('policies/default.yaml');

/** Whether all that a system says in an event is what the declaration takes; the compiler answers. */
type Takes<Said, Declared> = Said extends Declared ? true : false;
type Declared<E extends keyof ReturnExchange['events']> = z.output<ReturnExchange['events'][E]['payload']>;
const takes: {
  parcelReceived: Takes<z.output<typeof warehouse.events.parcelReceived.payload>, Declared<'parcelReceived'>>;
  // Of a parcel's states each takes some: those that reach the case.
  parcelFailed: Takes<Tracking & Pick<Declared<'parcelFailed'>, 'state'>, Declared<'parcelFailed'>>;
  shipped: Takes<Tracking & Pick<Declared<'shipped'>, 'state'>, Declared<'shipped'>>;
  refundState: Takes<z.output<typeof finance.events.refundState.payload>, Declared<'refundState'>>;
  paymentState: Takes<z.output<typeof finance.events.paymentState.payload>, Declared<'paymentState'>>;
} = { parcelReceived: true, parcelFailed: true, shipped: true, refundState: true, paymentState: true };

describe('the declaration of a return', () => {
  test('takes from outside systems events that their contracts have, in the shape that they have', () => {
    const from = Object.entries(returnExchange.events).flatMap(([name, e]) => ('from' in e ? [[name, e.from.split('.')] as const] : []));
    expect(from.map(([name]) => name).toSorted()).toEqual(Object.keys(takes).toSorted());
    for (const [, [system = '', event = '']] of from)
      expect(Object.keys((systems as Record<string, { events: object }>)[system]?.events ?? {})).toContain(event);
  });

  test('waits for states that a parcel has: those that end its way to us, and those that say it has left us', () => {
    const { parcelFailed, shipped } = returnExchange.events;
    expect(trackingStates).toEqual(expect.arrayContaining([...parcelFailed.states, ...shipped.states]));
    expect(parcelFailed.states.filter((state) => (shipped.states as readonly string[]).includes(state))).toEqual([]);
  });

  test('names clocks, windows and reasons that the policy has', () => {
    for (const clock of Object.values(returnExchange.clocks)) expect(clockOf(policy, clock).title.zh).not.toBe('');
    for (const window of returnExchange.windows) expect(windowOf(policy, window)).toBeGreaterThan(0);
    const { reason } = returnExchange.input.shape;
    expect(Object.keys(policy.returns.reasons).toSorted()).toEqual([...reason.options].toSorted());
  });

  test('is the same case for the same order and request, whatever else is asked', () => {
    expect(returnExchange.key({ orderId: 'W1', requestId: 'r1' })).toEqual(['W1', 'r1']);
    expect(returnExchange.subject({ shop: 's', customer: 'c', orderId: 'W1' })).toEqual({ shop: 's', customer: 'c', order: 'W1' });
  });

  test.each([
    ['a misspelt field', { evidences: [] }, 'evidences'],
    [
      'a line twice',
      {
        lines: [
          { line: 1, quantity: 1 },
          { line: 1, quantity: 1 },
        ],
      },
      'each line once',
    ],
    ['no line', { lines: [] }, 'lines'],
    ['half a unit', { lines: [{ line: 1, quantity: 0.5 }] }, 'quantity'],
    ['a reason nobody knows', { reason: 'mood' }, 'reason'],
    ['a time without an offset', { requestedAt: '2026-11-01T10:00:00' }, 'requestedAt'],
  ])('refuses %s', (_, wrong, named) => {
    const input = {
      shop: 's',
      customer: 'c',
      orderId: 'W1',
      requestId: 'r1',
      requestedAt: '2026-11-01T10:00:00+08:00',
      lines: [{ line: 1, quantity: 1 }],
      reason: 'quality',
      wish: 'refund',
    };
    expect(returnExchange.input.safeParse(input).success).toBe(true);
    const answer = returnExchange.input.safeParse({ ...input, ...wrong });
    expect(answer.success).toBe(false);
    expect(JSON.stringify(answer.error?.issues)).toContain(named);
  });

  test('takes an inspection that names a unit once, with a disposition for what is accepted and none for what goes back', () => {
    const { form } = returnExchange.tasks.inspect;
    const unit = { unitId: 'u1', verdict: 'accept', disposition: 'restock', cause: 'none' };
    expect(form.safeParse({ units: [unit] }).success).toBe(true);
    expect(form.safeParse({ units: [unit, unit] }).success).toBe(false);
    expect(form.safeParse({ units: [{ ...unit, disposition: 'returnToCustomer' }] }).success).toBe(false);
    expect(form.safeParse({ units: [{ ...unit, verdict: 'reject' }] }).success).toBe(false);
    expect(form.safeParse({ units: [{ unitId: 'u1', verdict: 'unsure' }] }).success).toBe(true);
  });
});

test('the body is at most 200 lines', () => {
  const lines = readFileSync(new URL('../../workflows/return-exchange/case.ts', import.meta.url), 'utf8')
    .trimEnd()
    .split('\n');
  expect(lines.length).toBeLessThanOrEqual(200);
});
