/** New goods for old: held when promised, a difference paid first, sent, and followed until they have left. */
import type { OrderFacts as Order } from '../../../systems/orders/contract.ts';
import type { Money } from '../../../values/money.ts';
import { rulesOf } from '../../kit/references.ts';
import type { Case } from '../../kit/surface.ts';
import { finance, orders, warehouse } from '../../systems.ts';
import type { ReturnExchange } from '../process.ts';
import type { Settlement, Swap } from '../rules.ts';
import type { Settled } from './settlement.ts';

const rules = rulesOf<typeof import('../rules.ts')>();
type C = Case<ReturnExchange>;
/** New goods that a case has the promise of. */
interface Held {
  readonly reservationId: string;
  readonly letGo: () => Promise<void>;
}
/** New goods on their way. */
export type Sent = Swap & { readonly trackingNo: string };

/** New goods are held as soon as they are promised. When they are gone the customer chooses; silence, like the money instead, is undefined. */
export async function reserved(c: C, lines: readonly { sku: string; quantity: number }[]): Promise<Held | undefined> {
  for (let n = 1; ; n++) {
    const b = c.in(`hold-${n}`);
    const held = await b.do('reserve', warehouse.reserve, { caseRef: c.id, lines: [...lines] });
    if (held.ok) return { reservationId: held.reservationId, letGo: () => b.undo() };
    const until = b.window('customerChoice');
    b.tell('replacementGone', { order: c.input.orderId, until: until.ends });
    const chosen = await b.task('choose', { lines }, { until });
    if (chosen?.form.choice !== 'again') return undefined;
  }
}

/** New goods for old. A difference is paid before they leave; undefined when it is not, or when they are gone: then it is the money. */
export async function replaced(c: C, order: Order, hold: Held, value: Settlement): Promise<Sent | undefined> {
  const { orderId, shop, lines } = c.input;
  const skus = lines.flatMap((l) => l.replacement ?? []);
  const { prices } = skus.length === 0 ? { prices: [] } : await c.do('prices', orders.prices, { shop, skus });
  const swap = await c.decide('swap', rules.swap, { order, lines, value, prices });
  for (let [n, held, unpaid] = [1, hold as Held | undefined, swap.pay.minor > 0]; held !== undefined; n++) {
    if (unpaid && !(await differencePaid(c, swap.pay))) break;
    unpaid = false;
    const b = c.in(`send-${n}`);
    const sent = await b.do('dispatch', warehouse.dispatch, { caseRef: c.id, orderId, reservationId: held.reservationId, lines: swap.lines });
    if (sent.ok) {
      c.clock('ship').start();
      return { ...swap, trackingNo: sent.trackingNo };
    }
    await held.letGo();
    held = await reserved(b, swap.lines);
  }
  await c.undo();
  c.tell('moneyInstead', { order: orderId });
  return undefined;
}

async function differencePaid(c: C, amount: Money): Promise<boolean> {
  const { linkId, url } = await c.do('difference', finance.paymentLink, { caseRef: c.id, orderId: c.input.orderId, amount, reason: 'exchange' });
  await c.expect('paymentState', linkId);
  const until = c.window('payDifference');
  c.tell('differenceDue', { order: c.input.orderId, amount, url, until: until.ends });
  return (await c.event('paymentState', { until }))?.state === 'paid';
}

/** 补发、换货: shipped next day; told when the carrier has it. */
export async function left(c: C, { sent }: Settled): Promise<undefined> {
  if (!sent) return;
  c.tell('replacementSent', { order: c.input.orderId, trackingNo: sent.trackingNo });
  await c.expect('shipped', sent.trackingNo);
  await c.event('shipped', { clocks: ['ship'] });
  c.clock('ship').stop();
  c.tell('replacementLeft', { order: c.input.orderId, trackingNo: sent.trackingNo });
}
