/** The goods' way back: labels, couriers, parcels that come, fail or are late. */
import type { OrderFacts as Order } from '../../../systems/orders/contract.ts';
import type { Money } from '../../../values/money.ts';
import { rulesOf } from '../../kit/references.ts';
import type { Case, Window } from '../../kit/surface.ts';
import { logistics, warehouse } from '../../systems.ts';
import type { Parcel, ReturnExchange } from '../process.ts';
import type { Back } from '../rules.ts';

const rules = rulesOf<typeof import('../rules.ts')>();
type C = Case<ReturnExchange>;

/** With our label or by the customer's own courier, in one parcel or several, until all is here or its time is over; nothing when none came. */
export async function broughtBack(c: C, order: Order, payer: string): Promise<Back | undefined> {
  const { orderId, lines, received } = c.input;
  const back: Back = { units: received?.units ?? [], lost: [], by: 'ownCourier', freights: [] };
  if (received) {
    c.clock('refundDue').start(received.receivedAt);
    return back;
  }
  c.stage('parcel');
  let label = await labelled(c, 1, payer);
  let { until } = label;
  const freights = new Map<string, Money>();
  // A parcel that was refused is returned some days later: once another label has replaced it, that is no news.
  const replaced = new Set<string>();
  for (let [late, n] = [false, 1]; ; n++) {
    const b = c.in(`parcel-${n}`);
    const next = await b.first({
      came: (w) => w.event('parcelReceived', { until }),
      own: (w) => w.event('ownCourier'),
      failed: (w) => w.event('parcelFailed', { where: (e) => !replaced.has(e.trackingNo) }),
    });
    if (next.value === undefined) {
      if (back.match) return back;
      // A parcel that a carrier has when the window ends gets its time once more.
      if (late || !(await anyUnderWay(b))) return undefined;
      [late, until] = [true, c.window('parcelSent')];
    } else if (next.won === 'came') {
      if (!back.match) c.clock('refundDue').start(next.value.receivedAt);
      if (next.value.trackingNo === label.trackingNo) back.by = 'label';
      back.units = [...back.units, ...next.value.units];
      b.tell('parcelArrived', { order: orderId, units: next.value.units.length });
      back.match = await b.decide('match', rules.matchReceipt, { order, lines, units: back.units });
      if (!back.match.restToCome) return back;
      until = c.window('restOfGoods');
      b.tell('restAwaited', { order: orderId, until: until.ends });
    } else if (next.won === 'own') {
      const { trackingNo, freight } = next.value;
      const ours = await comesAs(b, trackingNo);
      if (ours && trackingNo !== label.trackingNo) {
        await label.void();
        // Told once more, it is the same courier.
        if (freight) freights.set(trackingNo, freight);
        back.freights = [...freights.values()];
      }
      b.tell(ours ? 'courierNoted' : 'courierUnclear', { order: orderId, trackingNo, ...(ours ? { until: until.ends } : {}) });
    } else {
      b.tell('parcelLost', { order: orderId, trackingNo: next.value.trackingNo, state: next.value.state });
      const { form } = await b.task('parcelTrouble', { ...next.value, here: back.units.length });
      if (form.decision === 'asReceived') return { ...back, lost: (await b.decide('lost', rules.matchReceipt, { order, lines, units: back.units })).missing };
      if (form.decision === 'end') return back.match && back;
      if (form.decision === 'newLabel') {
        replaced.add(next.value.trackingNo);
        label = await labelled(c, n + 1, payer);
      }
      // However long the decision took: the parcel gets its time from now.
      until = form.decision === 'newLabel' ? label.until : c.window(back.match ? 'restOfGoods' : 'parcelSent');
    }
  }
}

/** Our prepaid label: told to the customer, who may use another courier all the same. */
async function labelled(c: C, n: number, freight: string): Promise<{ trackingNo: string; until: Window; void: () => Promise<void> }> {
  const b = c.in(`label-${n}`);
  const { trackingNo, carrier } = await b.do('label', logistics.label, { caseRef: c.id, orderId: c.input.orderId });
  await comesAs(b, trackingNo);
  const until = b.window('parcelSent');
  b.tell('sendGoods', { order: c.input.orderId, carrier, trackingNo, freight, until: until.ends });
  return { trackingNo, until, void: () => b.undo() };
}

/** From now on a parcel of this number is this case's; false when it is another case's. */
const comesAs = async (c: C, trackingNo: string): Promise<boolean> => (await c.expect('parcelReceived', trackingNo)) && c.expect('parcelFailed', trackingNo);

/** Whether a carrier has a parcel that is not here. The customer's own courier may be one that our logistics does not know. */
export async function underWay(c: C, trackingNo: string): Promise<boolean> {
  const parcel = await c.do('parcel', logistics.parcel, { trackingNo });
  return !parcel.ok || !['labelled', 'refused', 'returned', 'lost'].includes(parcel.state);
}
async function anyUnderWay(c: C): Promise<boolean> {
  for (const no of c.expected('parcelReceived')) if (await underWay(c.in(no), no)) return true;
  return false;
}

/** Goods go back to the customer. */
export async function sentBack(c: C, parcels: readonly Pick<Parcel, 'units'>[]): Promise<void> {
  const unitIds = parcels.flatMap((p) => p.units.map((u) => u.unitId));
  if (unitIds.length === 0) return;
  const { trackingNo } = await c.do('send-back', warehouse.sendBack, { caseRef: c.id, orderId: c.input.orderId, unitIds });
  c.tell('goodsGoingBack', { order: c.input.orderId, units: unitIds.length, trackingNo });
}

/** Parcels that are here: nothing of them leaves before the settlement. */
export const parcelsHere = (c: C): Parcel[] => [...(c.input.received ? [c.input.received] : []), ...c.arrived('parcelReceived')];
