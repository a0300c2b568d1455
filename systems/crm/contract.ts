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
      title: 'What is known of a customer',
      args: z.object({ customer: idSchema }),
      result: customerRecord,
      kind: 'read',
      repeat: 'keyed',
      pace: 'quick',
      facts: ({ name: _name, birthday: _birthday, ...customer }: CustomerRecord) => customer,
    },
    note: {
      title: 'How a case ended, kept with the customer',
      args: z.object({ caseRef: caseRefSchema, customer: idSchema, outcome: reasonSchema, amount: moneySchema.optional() }),
      result: z.object({ noteId: idSchema }),
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
    },
    giftAndCard: {
      title: 'Send a small gift with a hand-written card (小礼品, 手写感谢卡) to the buyer of an order; once per order',
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
  events: {},
});
export type CustomerFacts = ReturnType<typeof crm.operations.facts.facts>;
