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
      title: 'A prepaid label from the buyer of an order to our warehouse',
      args: z.object({ caseRef: caseRefSchema, orderId: idSchema }),
      result: z.object({ labelId: idSchema, trackingNo: idSchema, carrier: z.string().max(100) }),
      kind: 'effect',
      repeat: 'keyed',
      // A number out of the carrier's pool; the courier comes later.
      pace: 'quick',
      undo: 'cancelLabel',
    },
    cancelLabel: {
      title: 'Cancel a label; of one that was used nothing is left to cancel',
      args: undoArgs,
      result: undoResult,
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
    },
    parcel: {
      title: 'Where a parcel is',
      args: z.object({ trackingNo: idSchema }),
      result: z.object({ trackingNo: idSchema, carrier: z.string().max(100), state: z.enum(trackingStates), at: instantSchema }),
      errors: ['unknownParcel'],
      kind: 'read',
      repeat: 'keyed',
      pace: 'quick',
    },
  },
  events: {
    tracking: {
      title: 'A parcel was scanned',
      payload: z.object({ trackingNo: idSchema, state: z.enum(trackingStates), at: instantSchema }),
      key: (payload: { trackingNo: string }) => payload.trackingNo,
      state: (payload: { at: string; state: TrackingState }) => ({ at: payload.at, state: payload.state, rank: trackingRank(payload.state) }),
    },
  },
});
export type Tracking = z.output<typeof logistics.events.tracking.payload>;
