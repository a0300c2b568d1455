/** 迟到或无主包裹: a parcel that came when its case had ended, or that nobody had asked about. */
import { z } from 'zod';
import { freeText, instantSchema } from '../../values/schemas.ts';
import { defineProcess } from '../kit/declare.ts';

const id = z.string().min(1).max(200);
const parcel = z.object({
  receiptId: id,
  trackingNo: id,
  receivedAt: instantSchema,
  units: z.array(z.object({ unitId: id, sku: id.optional() })).max(200),
});

export const lateParcel = defineProcess({
  name: 'late-parcel',
  title: { zh: '迟到或无主包裹', en: 'Late or ownerless parcel' },
  input: z.strictObject({
    shop: id,
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
  stages: ['decide'],
  tasks: { decide: { title: { zh: '处理包裹', en: 'Decide on the parcel' }, role: 'warehouse', form: z.strictObject({ note: freeText() }) } },
  events: {},
  clocks: {},
  windows: [],
  messages: [],
  outcome: z.discriminatedUnion('result', [z.object({ result: z.literal('sentBack') })]),
});
export type LateParcel = typeof lateParcel;
