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
      title: { zh: '查询库存', en: 'Look up stock' },
      about: 'What is there of some goods, now',
      done: { zh: '已查询 {stock.length} 种商品的库存', en: 'Stock of {stock.length} item(s) was looked up' },
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
      title: { zh: '预留库存', en: 'Reserve stock' },
      about: 'Hold goods for a case: all lines or none',
      done: { zh: '已预留 {lines.length} 种商品的库存', en: 'Stock of {lines.length} item(s) was reserved' },
      args: z.object({ caseRef: caseRefSchema, lines: skuLinesSchema }),
      result: z.object({ reservationId: idSchema }),
      errors: ['outOfStock'],
      kind: 'effect',
      repeat: 'keyed',
      // A count in the warehouse's database; nobody walks to a shelf for it.
      pace: 'quick',
      undo: 'release',
    },
    release: {
      title: { zh: '释放预留的库存', en: 'Release reserved stock' },
      about: 'Let a reservation go',
      args: undoArgs,
      result: undoResult,
      kind: 'effect',
      repeat: 'keyed',
      pace: 'slow',
    },
    dispatch: {
      title: { zh: '安排发货', en: 'Dispatch goods' },
      about: 'Send goods to the buyer of an order: of a reservation, whose others are let go, or lines that are in stock now',
      done: { zh: '已安排发货，运单号 {trackingNo}', en: 'Goods were dispatched, tracking number {trackingNo}' },
      args: z.object({
        caseRef: caseRefSchema,
        orderId: idSchema,
        reservationId: idSchema.optional(),
        lines: skuLinesSchema.meta({ description: 'At most what the reservation holds' }),
      }),
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
      title: { zh: '拦截发货', en: 'Recall a dispatch' },
      about: 'Stop a dispatch; refused once the carrier has picked the parcel up',
      args: undoArgs,
      result: undoResult,
      kind: 'effect',
      repeat: 'keyed',
      pace: 'slow',
    },
    dispose: {
      title: { zh: '处置退回商品', en: 'Decide what becomes of a returned unit' },
      about: 'What becomes of one unit that was received; once per unit',
      done: { zh: '退回商品 {unitId} 已处置：{disposition}', en: 'Returned unit {unitId}: {disposition}' },
      args: z.object({ caseRef: caseRefSchema, unitId: idSchema, disposition: z.enum(dispositions) }),
      result: z.object({ unitId: idSchema, disposition: z.enum(dispositions) }),
      kind: 'effect',
      repeat: 'keyed',
      // A booking on a unit that already lies in the warehouse.
      pace: 'quick',
    },
    sendBack: {
      title: { zh: '寄回给客户', en: 'Send goods back to the customer' },
      about: 'Send received units back to the buyer of an order: rejected ones, or those of a return that was withdrawn',
      done: {
        zh: '已将 {unitIds.length} 件商品寄回给客户，运单号 {trackingNo}',
        en: '{unitIds.length} item(s) were sent back to the customer, tracking number {trackingNo}',
      },
      args: z.object({ caseRef: caseRefSchema, orderId: idSchema, unitIds: z.array(idSchema).min(1).max(200) }),
      result: z.object({ dispatchId: idSchema, trackingNo: idSchema }),
      kind: 'effect',
      repeat: 'keyed',
      // What goes back is what is here, and that may be more when a killed worker's step is done again: what was asked for is written into the history before it is sent.
      pace: 'slow',
    },
  },
  words: {
    restock: { zh: '重新上架', en: 'back on sale' },
    refurbish: { zh: '翻新', en: 'to be refurbished' },
    scrap: { zh: '报废', en: 'scrapped' },
    returnToCustomer: { zh: '退还客户', en: 'back to the customer' },
    outOfStock: { zh: '缺货', en: 'out of stock' },
  },
  events: {
    parcelReceived: {
      title: { zh: '仓库收货', en: 'A parcel was opened and its units counted' },
      told: { zh: '仓库收到包裹 {trackingNo}，共 {units.length} 件', en: 'The warehouse received parcel {trackingNo} with {units.length} item(s)' },
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
