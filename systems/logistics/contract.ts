import { z } from 'zod';
import { instantSchema } from '../../values/schemas.ts';
import { caseRefSchema, defineSystem, idSchema, undoArgs, undoResult } from '../contract.ts';

export const trackingStates = ['labelled', 'pickedUp', 'inTransit', 'outForDelivery', 'refused', 'delivered', 'returned', 'lost'] as const;
export type TrackingState = (typeof trackingStates)[number];
/** Of two scans of the same second the later step of a parcel's way counts: the order of `trackingStates`. */
export const trackingRank = (state: TrackingState): number => trackingStates.indexOf(state);

export const logistics = defineSystem({
  name: 'logistics',
  title: { zh: '物流', en: 'Logistics' },
  operations: {
    label: {
      title: { zh: '开具寄回运单', en: 'Make a return label' },
      about: 'A prepaid label from the buyer of an order to our warehouse',
      done: { zh: '已开具寄回运单 {trackingNo}（{carrier}）', en: 'Return label {trackingNo} ({carrier}) was made' },
      args: z.object({ caseRef: caseRefSchema, orderId: idSchema }),
      result: z.object({ labelId: idSchema, trackingNo: idSchema, carrier: z.string().max(100) }),
      kind: 'effect',
      repeat: 'keyed',
      // A number out of the carrier's pool; the courier comes later.
      pace: 'quick',
      undo: 'cancelLabel',
    },
    cancelLabel: {
      title: { zh: '作废寄回运单', en: 'Cancel the return label' },
      about: 'Cancel a label; of one that was used nothing is left to cancel',
      args: undoArgs,
      result: undoResult,
      kind: 'effect',
      repeat: 'keyed',
      pace: 'slow',
    },
    parcel: {
      title: { zh: '查询包裹', en: 'Look up a parcel' },
      about: 'Where a parcel is',
      done: { zh: '已查询包裹 {trackingNo}：{state}', en: 'Parcel {trackingNo} was looked up: {state}' },
      args: z.object({ trackingNo: idSchema }),
      result: z.object({ trackingNo: idSchema, carrier: z.string().max(100), state: z.enum(trackingStates), at: instantSchema }),
      errors: ['unknownParcel'],
      kind: 'read',
      repeat: 'keyed',
      pace: 'quick',
    },
  },
  words: {
    labelled: { zh: '已制单', en: 'has its label' },
    pickedUp: { zh: '已揽收', en: 'was picked up' },
    inTransit: { zh: '运输中', en: 'is on its way' },
    outForDelivery: { zh: '派送中', en: 'is out for delivery' },
    refused: { zh: '被拒收', en: 'was refused' },
    delivered: { zh: '已签收', en: 'was delivered' },
    returned: { zh: '已退回', en: 'was returned' },
    lost: { zh: '已丢失', en: 'is lost' },
    unknownParcel: { zh: '查无此包裹', en: 'the parcel is unknown' },
  },
  events: {
    tracking: {
      title: { zh: '物流动态', en: 'A parcel was scanned' },
      told: { zh: '物流动态：包裹 {trackingNo} {state}', en: 'Carrier: parcel {trackingNo} {state}' },
      payload: z.object({ trackingNo: idSchema, state: z.enum(trackingStates), at: instantSchema }),
      key: (payload: { trackingNo: string }) => payload.trackingNo,
      state: (payload: { at: string; state: TrackingState }) => ({ at: payload.at, state: payload.state, rank: trackingRank(payload.state) }),
    },
  },
});
export type Tracking = z.output<typeof logistics.events.tracking.payload>;
