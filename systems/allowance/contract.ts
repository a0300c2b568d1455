import { z } from 'zod';
import { defineSystem, idSchema, undoArgs, undoResult } from '../contract.ts';

const lineNumber = z.int().min(1).meta({ description: 'Position in the order, from 1' });
const count = z.int().min(0).max(10_000);
/** What the shop says of a line: how many units were bought, and how many came back by whatever way. */
const boughtLine = z.object({ line: lineNumber, bought: count.min(1), returned: count });
const lineUnit = z.object({ line: lineNumber, unit: z.int().min(1).meta({ description: 'Number of the unit within its line, from 1' }) });
const each = (given: readonly { line: number; unit?: number }[]): boolean =>
  new Set(given.map(({ line, unit = 0 }) => `${line}/${unit}`)).size === given.length;

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
        lines: z
          .array(boughtLine.extend({ quantity: count.min(1) }))
          .min(1)
          .max(200)
          .refine(each, 'each line once'),
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
      pace: 'quick',
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
      }),
      // True for exactly one commit of an order: the one after which every unit of every line has come back. It carries the original shipping.
      result: z.object({ whole: z.boolean() }),
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
