/** Money on its way back: by every payment, told as the payment system reports it, never promised. */
import { add, money, type Money } from '../../../values/money.ts';
import type { Case } from '../../kit/surface.ts';
import { finance } from '../../systems.ts';
import type { Reason, ReturnExchange } from '../process.ts';
import type { RefundPart } from '../rules.ts';
import type { Settled } from './settlement.ts';

type C = Case<ReturnExchange>;

/** By every payment, told as the payment system reports it, never promised. */
export async function refunded(c: C, { order, refund, reason }: Settled): Promise<Money> {
  if (refund.total.minor > 0) c.tell('refundApproved', { order: order.orderId, amount: refund.total });
  const parts = await c.each(
    refund.parts,
    (p) => p.paymentId,
    (b, part) => refundedBy(b, part, reason),
  );
  c.clock('refundDue').stop();
  return parts.reduce((so, p) => (p.ok ? add(so, p.value) : so), money(0, order.currency));
}

/** What does not go back the way it came, finance sends another way. */
async function refundedBy(c: C, part: RefundPart, reason: Reason, via: 'original' | 'transfer' = 'original', n = 1): Promise<Money> {
  const [b, { paymentId, amount, method }, orderId] = [c.in(`route-${n}`), part, c.input.orderId];
  const made = await b.do('refund', finance.refund, { caseRef: c.id, orderId, paymentId, amount, reason, via });
  const data = { order: orderId, amount, method: via === 'original' ? method : via };
  if (made.ok && (await arrived(b, made.refundId, data, part.atOnce))) return amount;
  const { form } = await b.task('otherRoute', { paymentId, amount, problem: made.ok ? 'failed' : made.error }, { clocks: ['refundDue'] });
  return form.via === 'none' ? money(0, amount.currency) : refundedBy(c, part, reason, form.via, n + 1);
}

/** Whether a refund arrived in the end. One that arrives at once has no time to be late in. */
async function arrived(c: C, refundId: string, data: object, atOnce: boolean): Promise<boolean> {
  await c.expect('refundState', refundId);
  c.tell('refundSubmitted', data);
  if (!atOnce) c.clock('arrival').start();
  for (;;) {
    const { state } = await c.event('refundState', { where: (e) => e.refundId === refundId });
    c.tell(({ accepted: 'refundAccepted', arrived: 'refundArrived', failed: 'refundFailed' } as const)[state], data);
    if (state !== 'accepted' && !atOnce) c.clock('arrival').stop();
    if (state !== 'accepted') return state === 'arrived';
  }
}
