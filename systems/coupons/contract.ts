import { z } from 'zod';
import { instantSchema, moneySchema } from '../../values/schemas.ts';
import { amountSchema, caseRefSchema, defineSystem, idSchema, undoArgs, undoResult } from '../contract.ts';

export const coupons = defineSystem({
  name: 'coupons',
  title: { zh: '优惠券与积分', en: 'Coupons and points' },
  operations: {
    issue: {
      title: { zh: '发放优惠券', en: 'Issue a coupon' },
      about: 'Give a customer a coupon of a campaign',
      done: { zh: '已发放优惠券 {couponId}，面额 {amount}', en: 'Coupon {couponId} of {amount} was issued' },
      args: z.object({ caseRef: caseRefSchema, customer: idSchema, template: idSchema }),
      result: z.object({ couponId: idSchema, amount: moneySchema, threshold: moneySchema.optional(), expiresAt: instantSchema }),
      // The campaign has given all its coupons.
      errors: ['exhausted'],
      kind: 'effect',
      repeat: 'keyed',
      // A row in the coupon system.
      pace: 'quick',
      undo: 'revoke',
    },
    giveBack: {
      title: { zh: '退还优惠券和积分', en: 'Give back coupons and points' },
      about: 'Give back coupons and points that an order used, pro rata: a coupon comes back as a new one of the amount',
      done: { zh: '已退还优惠券 {coupons.length} 张、积分 {points} 分', en: '{coupons.length} coupon(s) and {points} point(s) were given back' },
      args: z.object({
        caseRef: caseRefSchema,
        orderId: idSchema,
        coupons: z
          .array(z.object({ couponId: idSchema, amount: amountSchema }))
          .max(20)
          .refine((given) => new Set(given.map((coupon) => coupon.couponId)).size === given.length, 'each coupon once'),
        points: z.int().min(0),
      }),
      result: z.object({ coupons: z.array(z.object({ couponId: idSchema, replaces: idSchema, amount: moneySchema })), points: z.int().min(0) }),
      // All that was given back for this order would pass what it used.
      errors: ['aboveUsed'],
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
      undo: 'revoke',
    },
    revoke: {
      title: { zh: '收回优惠券或积分', en: 'Take back a coupon or points' },
      about: 'Take back a coupon or points; refused once the customer has used them',
      args: undoArgs,
      result: undoResult,
      kind: 'effect',
      repeat: 'keyed',
      pace: 'slow',
    },
  },
  words: {
    exhausted: { zh: '优惠券已发完', en: 'the campaign has given all its coupons' },
    aboveUsed: { zh: '超过订单使用的数量', en: 'more than the order used' },
  },
  events: {},
});
