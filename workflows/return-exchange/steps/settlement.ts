/** What follows a settlement besides the money: goods, invoice, coupons, causes, thanks. */
import type { OrderFacts as Order } from '../../../systems/orders/contract.ts';
import { rulesOf } from '../../kit/references.ts';
import type { Case } from '../../kit/surface.ts';
import { allowance, coupons, crm, finance, warehouse } from '../../systems.ts';
import type { Reason, ReturnExchange, Unit } from '../process.ts';
import type { Accepted, RefundParts, Settlement } from '../rules.ts';
import { sentBack } from './parcels.ts';
import type { Sent } from './replacement.ts';

const rules = rulesOf<typeof import('../rules.ts')>();
type C = Case<ReturnExchange>;

/** What the settlement decided. */
export interface Settled {
  readonly order: Order;
  readonly reason: Reason;
  readonly goods: readonly Unit[];
  readonly accepted: readonly Accepted[];
  readonly value: Settlement;
  readonly refund: RefundParts;
  readonly sent: Sent | undefined;
  readonly thanked: boolean;
}

/** Accepted units go where inspection said, all others back to the customer; a courier that was ours to pay is paid. */
export async function dealtWith(c: C, { goods, accepted, value }: Settled): Promise<undefined> {
  const { customer, orderId } = c.input;
  const here = accepted.flatMap(({ unitId, disposition }) => (unitId && disposition ? [{ unitId, disposition }] : []));
  const others = goods.filter((u) => here.every((a) => a.unitId !== u.unitId));
  await c.each(
    here,
    (u) => u.unitId,
    (b, unit) => b.do('dispose', warehouse.dispose, { caseRef: c.id, ...unit }),
  );
  await c.each(['others'], String, (b) => sentBack(b, [{ units: others }]));
  if (value.freightOwed.minor === 0) return;
  const { ok } = await c.do('freight', finance.goodwill, { caseRef: c.id, customer, amount: value.freightOwed, reason: 'return-freight' });
  c.tell(ok ? 'freightPaid' : 'freightOwed', { order: orderId, amount: value.freightOwed }, { to: ok ? 'customer' : 'finance' });
}

/** 红字发票. */
export async function invoiced(c: C, { order: { orderId, invoiced: has }, refund: { total: amount }, reason }: Settled): Promise<undefined> {
  if (!has || amount.minor === 0) return;
  await c.do('red-letter', finance.redLetter, { caseRef: c.id, orderId, amount, reason });
  c.tell('invoiceCorrected', { order: orderId, amount });
}

/** Coupons and points that were used come back pro rata. */
export async function couponsBack(c: C, { refund: { coupons: used, points } }: Settled): Promise<undefined> {
  const { orderId } = c.input;
  if (used.length === 0 && points === 0) return;
  const { ok } = await c.do('give-back', coupons.giveBack, { caseRef: c.id, orderId, coupons: [...used], points });
  c.tell(ok ? 'couponsBack' : 'couponsOwed', { order: orderId, coupons: used.length, points }, { to: ok ? 'customer' : 'agent' });
}

/** 退换货原因与损失. */
export async function counted(c: C, { order, accepted, value, reason }: Settled): Promise<undefined> {
  const { units } = await c.decide('losses', rules.losses, { order, accepted, units: value.units });
  await c.do('causes', allowance.causes, { orderId: order.orderId, shop: order.shop, reason, units: [...units] });
}

/** 赠送小礼品,并附手写感谢卡: when it ended well for the customer, never after a rejected or doubtful return. */
export async function thanks(c: C, { thanked }: Settled): Promise<undefined> {
  const { orderId, customer } = c.input;
  if (thanked && (await c.do('gift', crm.giftAndCard, { caseRef: c.id, customer, orderId })).ok) c.tell('thanks', { order: orderId });
}
