import { z } from 'zod';
import { instantSchema } from '../../values/schemas.ts';
import { caseRefSchema, defineSystem, idSchema, skuLinesSchema, undoArgs, undoResult } from '../contract.ts';

/** What becomes of a unit that came back: sold again, repaired first, thrown away, or sent back to the customer. */
export const dispositions = ['restock', 'refurbish', 'scrap', 'returnToCustomer'] as const;

export const warehouse = defineSystem({
  name: 'warehouse',
  title: { zh: '仓储', en: 'Warehouse' },
  operations: {
    stock: {
      title: 'What is there of some goods, now',
      args: z.object({ skus: z.array(idSchema).min(1).max(200) }),
      result: z.object({
        stock: z
          .array(z.object({ sku: idSchema, onHand: z.int().min(0), reserved: z.int().min(0), available: z.int().min(0), restockAt: instantSchema.optional() }))
          .meta({ description: 'A sku that the warehouse does not know is absent' }),
      }),
      kind: 'read',
      repeat: 'keyed',
      pace: 'quick',
    },
    reserve: {
      title: 'Hold goods for a case: all lines or none',
      args: z.object({ caseRef: caseRefSchema, lines: skuLinesSchema }),
      result: z.object({ reservationId: idSchema }),
      errors: ['outOfStock'],
      kind: 'effect',
      repeat: 'keyed',
      // A count in the warehouse's database; nobody walks to a shelf for it.
      pace: 'quick',
      undo: 'release',
    },
    release: { title: 'Let a reservation go', args: undoArgs, result: undoResult, kind: 'effect', repeat: 'keyed', pace: 'quick' },
    dispatch: {
      title: 'Send goods to the buyer of an order: those of a reservation, or lines that are in stock now',
      args: z.union([
        z.object({ caseRef: caseRefSchema, orderId: idSchema, reservationId: idSchema }),
        z.object({ caseRef: caseRefSchema, orderId: idSchema, lines: skuLinesSchema }),
      ]),
      result: z.object({ dispatchId: idSchema, trackingNo: idSchema }),
      // Also when the reservation no longer stands.
      errors: ['outOfStock'],
      kind: 'effect',
      repeat: 'keyed',
      // It is an order to pick and pack; the parcel leaves later, and logistics tells when.
      pace: 'quick',
      undo: 'recall',
    },
    recall: {
      title: 'Stop a dispatch; refused once the carrier has picked the parcel up',
      args: undoArgs,
      result: undoResult,
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
    },
    dispose: {
      title: 'What becomes of one unit that was received; once per unit',
      args: z.object({ caseRef: caseRefSchema, unitId: idSchema, disposition: z.enum(dispositions) }),
      result: z.object({ unitId: idSchema, disposition: z.enum(dispositions) }),
      kind: 'effect',
      repeat: 'keyed',
      // A booking on a unit that already lies in the warehouse.
      pace: 'quick',
    },
    sendBack: {
      title: 'Send received units back to the buyer of an order: rejected ones, or those of a return that was withdrawn',
      args: z.object({ caseRef: caseRefSchema, orderId: idSchema, unitIds: z.array(idSchema).min(1).max(200) }),
      result: z.object({ dispatchId: idSchema, trackingNo: idSchema }),
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
    },
  },
  events: {
    parcelReceived: {
      title: 'A parcel was opened and its units counted',
      payload: z.object({
        receiptId: idSchema,
        trackingNo: idSchema.meta({ description: "The carrier's number on the parcel; where it cannot be read, one that the warehouse gives" }),
        receivedAt: instantSchema,
        units: z
          .array(z.object({ unitId: idSchema, sku: idSchema.optional().meta({ description: 'Absent: goods that the warehouse does not know' }) }))
          .max(200)
          .meta({ description: 'One entry per unit; an empty parcel has none' }),
        orderId: idSchema.optional().meta({ description: 'From a slip in the parcel' }),
      }),
      key: (payload: { trackingNo: string }) => payload.trackingNo,
    },
  },
});
export type ParcelReceived = z.output<typeof warehouse.events.parcelReceived.payload>;
