import { z } from 'zod';
import { instantSchema, moneySchema } from '../../values/schemas.ts';
import { caseRefSchema, defineSystem, idSchema, reasonSchema } from '../contract.ts';

/** 新客户, 潜力客户, VIP. */
export const tiers = ['new', 'promising', 'vip'] as const;

const customerRecord = z.object({
  customer: idSchema,
  tier: z.enum(tiers).meta({ description: 'A customer whom the CRM does not know is new' }),
  since: instantSchema.optional().meta({ description: 'First order' }),
  tenureDays: z.int().min(0),
  orders: z.int().min(0),
  spend: z.array(moneySchema).meta({ description: 'Paid and not refunded, per currency' }),
  consent: z.object({ marketing: z.boolean() }),
  name: z.string().max(200).optional().meta({ description: 'Personal data' }),
  birthday: z.iso.date().optional().meta({ description: 'Personal data' }),
});
export type CustomerRecord = z.output<typeof customerRecord>;

export const crm = defineSystem({
  name: 'crm',
  title: { zh: '客户关系', en: 'CRM' },
  operations: {
    facts: {
      title: { zh: '查询客户档案', en: 'Look up the customer' },
      about: 'What is known of a customer',
      done: { zh: '已查询客户档案（{tier}）', en: 'The customer record was looked up ({tier})' },
      args: z.object({ customer: idSchema }),
      result: customerRecord,
      kind: 'read',
      repeat: 'keyed',
      pace: 'quick',
      facts: {
        schema: customerRecord.omit({ name: true, birthday: true }),
        of: ({ name: _name, birthday: _birthday, ...customer }: CustomerRecord) => customer,
      },
    },
    note: {
      title: { zh: '记入客户档案', en: 'Note it with the customer' },
      about: 'How a case ended, kept with the customer',
      done: { zh: '已记入客户档案', en: 'It was noted with the customer' },
      args: z.object({ caseRef: caseRefSchema, customer: idSchema, outcome: reasonSchema, amount: moneySchema.optional() }),
      result: z.object({ noteId: idSchema }),
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
    },
    giftAndCard: {
      title: { zh: '赠送小礼品和感谢卡', en: 'Send a gift and a card' },
      about: 'Send a small gift with a hand-written card (小礼品, 手写感谢卡) to the buyer of an order; once per order',
      done: { zh: '已安排赠送小礼品和手写感谢卡', en: 'A small gift with a hand-written card was arranged' },
      args: z.object({ caseRef: caseRefSchema, customer: idSchema, orderId: idSchema }),
      result: z.object({ giftId: idSchema }),
      // One gift per order, however many cases it has.
      errors: ['alreadyGiven'],
      kind: 'effect',
      repeat: 'keyed',
      // A work order; somebody writes the card later.
      pace: 'quick',
    },
  },
  words: {
    new: { zh: '新客户', en: 'new customer' },
    promising: { zh: '潜力客户', en: 'promising customer' },
    vip: { zh: 'VIP', en: 'VIP' },
    alreadyGiven: { zh: '该订单已赠送过', en: 'this order has had its gift' },
  },
  events: {},
});
export type CustomerFacts = ReturnType<typeof crm.operations.facts.facts.of>;
