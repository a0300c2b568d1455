/** 迟到或无主包裹: a parcel that came when its case had ended, or that nobody had asked about; who says whose it is, and what becomes of it. */
import { z } from 'zod';
import { returnReasons } from '../../values/goods.ts';
import { freeText, parcelSchema as parcel, unitsOnce } from '../../values/schemas.ts';
import { defineProcess } from '../kit/declare.ts';

const id = z.string().min(1).max(200);
const orderId = id.meta({ description: 'The order that the goods are of' });

export const lateParcel = defineProcess({
  name: 'late-parcel',
  title: { zh: '迟到或无主包裹', en: 'Late or ownerless parcel' },
  input: z.strictObject({
    shop: id.meta({ description: 'The shop of its order; `*` while nobody knows: then whoever serves every shop sees to it' }),
    customer: id.optional(),
    order: id.optional(),
    of: id.optional().meta({ description: 'The case that had ended when the parcel came' }),
    event: id,
    eventId: id,
    payload: parcel,
  }),
  key: (input: { eventId: string }) => [input.eventId],
  subject: (input: { shop: string; customer?: string | undefined; order?: string | undefined }) => ({
    shop: input.shop,
    ...(input.customer === undefined ? {} : { customer: input.customer }),
    ...(input.order === undefined ? {} : { order: input.order }),
  }),
  stages: ['identify', 'decide', 'done'],
  tasks: {
    identify: {
      title: { zh: '查明包裹属于哪个订单', en: 'Find out whose parcel it is' },
      stage: 'identify',
      role: 'warehouse',
      form: z.discriminatedUnion('owner', [
        z.strictObject({ owner: z.literal('found'), orderId, note: freeText() }),
        z.strictObject({ owner: z.literal('unknown'), note: freeText() }).meta({ description: 'Nothing on it says; it is kept until its time is over' }),
      ]),
    },
    decide: {
      title: { zh: '决定包裹的处理方式', en: 'Decide what becomes of the parcel' },
      stage: 'decide',
      role: 'agent',
      form: z.discriminatedUnion('decision', [
        z.strictObject({
          decision: z.literal('takeBack'),
          reason: z.enum(returnReasons),
          lines: z
            .array(
              z.strictObject({
                line: z.int().min(1).meta({ description: 'Position in the order, from 1' }),
                quantity: z.int().min(1).max(10_000),
                opened: z.boolean().default(false).meta({ description: "The goods' own seal is broken" }),
              }),
            )
            .min(1)
            .max(200)
            .refine((lines) => new Set(lines.map((l) => l.line)).size === lines.length, 'each line once')
            .meta({ description: 'What the customer returns with it: a return of its own starts, for which the goods are here' }),
          note: freeText(),
        }),
        z.strictObject({ decision: z.literal('sendBack'), note: freeText() }),
        z
          .strictObject({ decision: z.literal('keep'), note: freeText() })
          .meta({ description: 'Somebody else has refunded the goods, or the customer has given them up: they are ours' }),
      ]),
    },
    dispose: {
      title: { zh: '决定商品去向', en: 'Decide what becomes of the goods' },
      stage: 'done',
      role: 'quality',
      form: z.strictObject({
        units: z
          .array(z.strictObject({ unitId: id, disposition: z.enum(['restock', 'refurbish', 'scrap']) }))
          .min(1)
          .max(200)
          .refine(unitsOnce, 'each unit once')
          .meta({ description: 'A unit that is left out is asked for again. Only goods that we sell go back on sale' }),
        note: freeText(),
      }),
    },
  },
  events: {
    parcelReceived: {
      title: { zh: '同一运单号又到一件包裹', en: 'Another parcel of the same number' },
      from: 'warehouse.parcelReceived',
      payload: parcel,
      afterEnd: 'start:late-parcel',
    },
    ownerFound: {
      title: { zh: '查到包裹所属订单', en: 'Its owner was found' },
      payload: z.strictObject({ orderId }),
      early: true,
      afterEnd: 'note',
    },
  },
  clocks: { handle: 'T10' },
  windows: ['ownerless'],
  messages: ['parcelHere', 'goodsGoingBack', 'takenBack', 'kept'],
  outcome: z.discriminatedUnion('result', [
    z.object({ result: z.literal('takenBack'), case: z.string().meta({ description: 'The return that it became' }) }),
    z.object({ result: z.literal('sentBack'), units: z.int().min(0) }),
    z.object({ result: z.literal('kept'), units: z.int().min(0) }),
    z.object({ result: z.literal('givenUp'), units: z.int().min(0) }).meta({ description: 'Nobody knows whose it was' }),
    z.object({ result: z.literal('handedOn'), case: z.string() }).meta({ description: 'Whose it is was found out: it is decided in the shop of its order' }),
    z.object({ result: z.literal('claimed') }).meta({ description: 'A return has named its number, and has the parcel' }),
  ]),
});
export type LateParcel = typeof lateParcel;
export type Unit = z.output<typeof parcel>['units'][number];
export type End = z.output<LateParcel['outcome']>;
