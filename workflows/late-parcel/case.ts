/** 迟到或无主包裹: reads top to bottom as the business process. */
import type { OrderFacts as Order } from '../../systems/orders/contract.ts';
import { defineCase } from '../kit/case.ts';
import { processOf, rulesOf } from '../kit/references.ts';
import type { Case, Withdrawn } from '../kit/surface.ts';
import type { ReturnExchange } from '../return-exchange/process.ts';
import { orders, warehouse } from '../systems.ts';
import type { End, LateParcel } from './process.ts';

const rules = rulesOf<typeof import('./rules.ts')>();
type C = Case<LateParcel>;

export const lateParcel = defineCase<LateParcel>('lateParcel', came, { withdrawn });

async function came(c: C): Promise<End> {
  const order = await owner(c);
  if (order === undefined) return givenUp(c);
  const { shop, customer, order: known, payload } = c.input;
  // Its people, its customer and its lists are those of the shop of the order.
  if (order.orderId !== known || order.customer !== customer || order.shop !== shop) {
    const { id } = await c.start(processOf<LateParcel>('late-parcel'), {
      ...c.input,
      shop: order.shop,
      customer: order.customer,
      order: order.orderId,
      eventId: `${c.input.eventId}-owner`,
    });
    return { result: 'handedOn', case: id };
  }

  c.stage('decide');
  c.clock('handle').start();
  c.tell('parcelHere', { order: order.orderId, trackingNo: payload.trackingNo, units: payload.units.length });
  const { form, decidedAt } = await c.task('decide', { order, parcel: payload, of: c.input.of }, { clocks: ['handle'] });
  c.clock('handle').stop();
  if (!(await ours(c))) return { result: 'claimed' };
  switch (form.decision) {
    case 'sendBack':
      return sentBack(c, order.orderId);
    case 'keep':
      c.tell('kept', { order: order.orderId, units: payload.units.length });
      return { result: 'kept', units: await disposed(c) };
    case 'takeBack': {
      const { id } = await c.start(processOf<ReturnExchange>('return-exchange'), {
        shop: order.shop,
        customer: order.customer,
        orderId: order.orderId,
        requestId: `late-${payload.receiptId}`,
        requestedAt: decidedAt,
        lines: form.lines,
        reason: form.reason,
        wish: 'refund',
        evidence: [],
        received: payload,
      });
      c.tell('takenBack', { order: order.orderId, units: payload.units.length });
      return { result: 'takenBack', case: id };
    }
  }
}

/** Whose it is: as its case or a slip in it says, as the warehouse finds out, or as somebody tells us before its time is over. */
async function owner(c: C): Promise<Order | undefined> {
  c.stage('identify');
  const until = c.window('ownerless');
  const { order: named, payload: parcel } = c.input;
  for (let [n, orderId] = [1, named]; ; n++) {
    const b = c.in(`look-${n}`);
    const order = orderId === undefined ? undefined : await b.do('order', orders.facts, { orderId });
    if (order?.ok) return order;
    const next = await b.first({
      desk: (w) => w.task('identify', { parcel, ...(orderId === undefined ? {} : { noSuchOrder: orderId }) }, { until }),
      told: (w) => w.event('ownerFound'),
    });
    const said = next.won === 'told' ? next.value : next.value?.form;
    orderId = said && 'orderId' in said ? said.orderId : said && (await b.event('ownerFound', { until }))?.orderId;
    if (orderId === undefined) return undefined;
  }
}

/** Nobody knows whose it was, and its time is over. */
async function givenUp(c: C): Promise<End> {
  return (await ours(c)) ? { result: 'givenUp', units: await disposed(c) } : { result: 'claimed' };
}

/** Whether no return has named its number meanwhile. From here none can: what happens to the goods happens once. */
async function ours(c: C): Promise<boolean> {
  const still = await c.expect('parcelReceived', c.input.payload.trackingNo);
  if (still) {
    c.stage('done');
    c.noReturn();
  }
  return still;
}

async function sentBack(c: C, orderId: string): Promise<End> {
  const unitIds = c.input.payload.units.map((u) => u.unitId);
  if (unitIds.length === 0) return { result: 'sentBack', units: 0 };
  const { trackingNo } = await c.do('send-back', warehouse.sendBack, { caseRef: c.id, orderId, unitIds });
  c.tell('goodsGoingBack', { order: orderId, units: unitIds.length, trackingNo });
  return { result: 'sentBack', units: unitIds.length };
}

/** Quality says what becomes of each unit, until it has said so of all. */
async function disposed(c: C): Promise<number> {
  const { units } = c.input.payload;
  for (let [n, rest] = [1, units]; rest.length > 0; n++) {
    const b = c.in(`dispose-${n}`);
    const { form } = await b.task('dispose', { units: rest });
    const verdict = await b.decide('dispositions', rules.dispositions, { units: rest, said: form.units });
    await b.each(
      verdict.settled,
      (u) => u.unitId,
      (u, unit) => u.do('dispose', warehouse.dispose, { caseRef: c.id, ...unit }),
    );
    rest = [...verdict.rest];
  }
  return units.length;
}

/** A return has named the number; or a person lets it be: then the goods go back to whose they are, and what nobody owns is disposed of. */
async function withdrawn(c: C): Promise<End | Withdrawn> {
  if (!(await ours(c))) return { result: 'claimed' };
  const { order } = c.input;
  const known = order === undefined ? undefined : await c.do('order', orders.facts, { orderId: order });
  await (known?.ok ? sentBack(c, known.orderId) : disposed(c));
  return { result: 'withdrawn' };
}
