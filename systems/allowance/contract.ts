import { z } from 'zod';
import { instantSchema, moneySchema } from '../../values/schemas.ts';
import { defineSystem, idSchema, reasonSchema, undoArgs, undoResult } from '../contract.ts';

const lineNumber = z.int().min(1).meta({ description: 'Position in the order, from 1' });
const count = z.int().min(0).max(10_000);
/** What the shop says of a line: how many units were bought, and how many came back by whatever way. */
const boughtLine = z.object({ line: lineNumber, bought: count.min(1), returned: count });
const lineUnit = z.object({ line: lineNumber, unit: z.int().min(1).meta({ description: 'Number of the unit within its line, from 1' }) });
const each = (given: readonly { line: number; unit?: number }[]): boolean =>
  new Set(given.map(({ line, unit = 0 }) => `${line}/${unit}`)).size === given.length;
/** Lines of an order with how many units of each are meant. */
const askedLines = z
  .array(boughtLine.extend({ quantity: count.min(1) }))
  .min(1)
  .max(200)
  .refine(each, 'each line once');

/**
 * Our own system, in our own Postgres: limits that several cases draw on. The units of an order line are numbered 1 to `bought`, and a number belongs to one
 * case at most. What was paid is spread over those numbers, so cases that run at once can neither take a unit twice nor refund the same cent twice.
 */
export const allowance = defineSystem({
  name: 'allowance',
  title: { zh: '额度', en: 'Allowances: limits across cases' },
  operations: {
    reserve: {
      title: { zh: '预留可退数量', en: 'Hold units of an order' },
      about: 'Hold units of order lines for a case: all or none, of each line the lowest free numbers',
      done: {
        zh: '已为本案预留订单 {orderId} 的 {units.length} 件可退商品',
        en: '{units.length} returnable unit(s) of order {orderId} were set aside for this case',
      },
      args: z.object({
        orderId: idSchema,
        lines: askedLines,
      }),
      result: z.object({ hold: idSchema, units: z.array(lineUnit) }),
      // Held by other cases and used, or, where the shop says more, returned: too few of a line are left.
      errors: ['alreadyReturned'],
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
      undo: 'release',
    },
    release: {
      title: { zh: '释放预留的可退数量', en: 'Let go of units that were set aside' },
      about: 'Let a hold go; of one that was committed nothing is left to let go',
      args: undoArgs,
      result: undoResult,
      kind: 'effect',
      repeat: 'keyed',
      pace: 'slow',
    },
    commit: {
      title: { zh: '核销可退数量', en: 'Use units that were set aside' },
      about: 'Use these units of a hold for good, and let its others go',
      done: { zh: '已核销订单 {orderId} 的 {units.length} 件可退商品', en: '{units.length} unit(s) of order {orderId} were counted as returned' },
      args: z.object({
        hold: idSchema,
        orderId: idSchema,
        units: z.array(lineUnit).min(1).max(10_000).refine(each, 'each unit once'),
        order: z.array(boughtLine).min(1).max(200).refine(each, 'each line once').meta({ description: 'All lines of the order' }),
        refunded: z.boolean().meta({ description: 'Their money goes back; false: the goods are replaced' }),
      }),
      // True for exactly one commit of an order: the one after which the money of every unit of every line has gone back. It carries the original shipping.
      result: z.object({ whole: z.boolean() }),
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
    },
    spend: {
      title: { zh: '核销他处已退的数量', en: 'Count units that somebody else refunded' },
      about: 'Somebody else has refunded these lines: the units of a hold, and of what it lacks the lowest free ones, are used for good',
      done: {
        zh: '已核销订单 {orderId} 由他处退款的 {units.length} 件商品',
        en: '{units.length} unit(s) of order {orderId} that somebody else refunded were counted as returned',
      },
      args: z.object({
        hold: idSchema.meta({ description: 'The key of the reservation; it need not stand' }),
        orderId: idSchema,
        lines: askedLines,
      }),
      // Fewer than the lines say when other cases hold or have used the rest.
      result: z.object({ units: z.array(lineUnit) }),
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
    },
    tally: {
      title: { zh: '登记客户申请次数', en: 'Count the case for its customer' },
      about: 'Count a case among those of its customer, and tell the earlier ones: no two cases at once miss each other',
      done: {
        zh: '已登记本次申请；此前一年内有 {earlier.length} 次',
        en: 'The request was counted; the customer made {earlier.length} within the year before',
      },
      args: z.object({ customer: idSchema, kind: z.enum(['return', 'refundOnly']), amount: moneySchema.optional() }),
      // Newest first, of the last year; taken-back ones left out. 200 are above any limit that makes sense.
      result: z.object({ earlier: z.array(z.object({ at: instantSchema, amount: moneySchema.optional() })).max(200) }),
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
      undo: 'untally',
    },
    untally: {
      title: { zh: '撤销登记的申请次数', en: 'Count the case no longer' },
      about: 'Count a case no longer',
      args: undoArgs,
      result: undoResult,
      kind: 'effect',
      repeat: 'keyed',
      pace: 'slow',
    },
    causes: {
      title: { zh: '登记退货原因与损失', en: 'Book causes and losses' },
      about: 'Book why units came back and what that cost (退换货原因与损失)',
      done: { zh: '已登记 {booked} 件商品的退货原因与损失', en: 'Causes and losses of {booked} unit(s) were booked' },
      args: z.object({
        orderId: idSchema,
        shop: idSchema,
        reason: reasonSchema,
        units: z
          .array(
            lineUnit.extend({
              product: idSchema,
              category: z.string().max(100),
              cause: reasonSchema,
              disposition: reasonSchema,
              loss: moneySchema,
            }),
          )
          .min(1)
          .max(10_000)
          .refine(each, 'each unit once'),
      }),
      result: z.object({ booked: z.int().min(0) }),
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
    },
  },
  words: {
    alreadyReturned: { zh: '可退数量不足', en: 'too few units are left to return' },
  },
  events: {},
});
