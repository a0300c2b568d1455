/** What the cases of a soak do: returns as they mostly go, so that one costs what docs/performance.md says, and some that their customers withdraw. */
import type { OrderFacts } from '../../systems/orders/contract.ts';
import { drawsFrom } from '../../systems/sandbox/faults.ts';
import { caseId } from '../../values/ids.ts';
import { returnExchange } from '../../workflows/return-exchange/process.ts';
import type { Plan } from '../demo/plan.ts';

/** One in so many is withdrawn while it waits for an agent. */
const withdrawn = 10;

/** An order that can be returned the plain way: all of its money came by one payment. */
export const isPlain = (order: OrderFacts): boolean => order.payments.length === 1 && !order.invoiced && cheapest(order) !== undefined;

/** The line whose refund needs nobody's approval, if any does not. */
const cheapest = ({ lines }: OrderFacts): OrderFacts['lines'][number] | undefined =>
  lines.filter(({ quantity, returned }) => quantity > returned).toSorted((a, b) => a.unitPrice.minor - b.unitPrice.minor)[0];

/** The nth case: one unit of an order comes back by our label, is inspected and refunded. */
export function planPlain(order: OrderFacts, seed: number, n: number): Plan {
  const draw = drawsFrom((seed * 1_000_003 + n * 7919) >>> 0);
  const line = cheapest(order);
  if (line === undefined) throw new RangeError(`order ${order.orderId} has nothing to return`);
  const request: Plan['request'] = {
    shop: order.shop,
    customer: order.customer,
    orderId: order.orderId,
    requestId: `soak-${seed}-${n}`,
    lines: [{ line: line.line, quantity: 1 }],
    reason: 'quality',
    wish: 'refund',
    evidence: [`photo-${n}`],
  };
  const withdraws = n % withdrawn === 0;
  return {
    caseId: caseId(returnExchange.name, returnExchange.key(request)),
    order: order.orderId,
    branches: [],
    currency: order.currency,
    request,
    reviews: withdraws ? [] : [{ decision: 'approve', reason: 'quality', remedy: 'refund' }],
    evidenceComes: true,
    lacking: [],
    goodsVanish: false,
    choices: ['refund'],
    difference: 'never',
    way: withdraws
      ? []
      : [
          { act: 'scan', parcel: 'label-1', state: 'pickedUp' },
          { act: 'scan', parcel: 'label-1', state: 'delivered' },
          { act: 'receive', parcel: 'label-1', units: [{ sku: line.sku, verdict: 'accept', ruling: 'accept', disposition: 'restock' }] },
        ],
    troubles: [],
    approval: 'approve',
    owner: 'unknown',
    late: 'sendBack',
    ...(withdraws ? { ends: { by: 'customer' as const, how: 'closed' as const, at: 'review' as const } } : {}),
    pauseMs: 100 + Math.floor(draw() * 200),
    waitsMs: 0,
    twice: { start: false, decisions: 'no', events: false, receipt: false },
  };
}
