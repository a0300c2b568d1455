/** A process that carries every verb of the kit; for tests only. What it does is its input: a list of steps. */
import { z } from 'zod';
import { freeText, moneySchema } from '../../../values/schemas.ts';
import { defineProcess } from '../../../workflows/kit/declare.ts';

const title = (text: string) => ({ zh: text, en: text });
const names = z.array(z.string());

export const tiny = defineProcess({
  name: 'tiny',
  title: { zh: '极小流程', en: 'Tiny' },
  input: z.object({ id: z.string(), shop: z.string(), script: z.string(), items: names.default([]), amount: moneySchema.optional(), note: freeText() }),
  key: (i: { id: string }) => [i.id],
  subject: (i: { shop: string; id: string }) => ({ shop: i.shop, customer: `customer-${i.id}`, order: `order-${i.id}` }),
  stages: ['first', 'second', 'third'],
  tasks: {
    decide: { title: title('decide'), role: 'agent', form: z.object({ answer: z.enum(['yes', 'no']), note: freeText() }) },
    confirm: { title: title('confirm'), form: z.object({ agreed: z.boolean() }), notBy: ['decide'] },
    choose: { title: title('choose'), role: 'customer', form: z.object({ choice: z.string() }) },
    offer: {
      title: { zh: '请选择处理方式', en: 'Choose what happens' },
      role: 'customer',
      form: z.strictObject({ choice: z.enum(['refund', 'again']), careful: z.boolean(), note: freeText() }),
    },
    agree: {
      title: { zh: '是否同意', en: 'Do you agree?' },
      role: 'customer',
      form: z.discriminatedUnion('decision', [
        z.strictObject({ decision: z.literal('accept') }),
        z.strictObject({ decision: z.literal('decline'), why: z.string().min(1).max(100), times: z.int().min(1).max(9).optional() }),
      ]),
    },
  },
  events: {
    rang: { title: title('rang'), payload: z.object({ bell: z.string(), times: z.int() }), from: 'bench.rang', afterEnd: 'note' },
    said: { title: title('said'), payload: z.object({ words: z.string() }), afterEnd: 'start:errand' },
    shown: { title: title('shown'), payload: z.strictObject({ files: z.array(z.string()).min(1) }), afterEnd: 'note' },
    courier: {
      title: { zh: '自行寄回', en: 'Sent by yourself' },
      payload: z.strictObject({ trackingNo: z.string().min(1).max(100), freight: moneySchema.optional() }),
      byCustomer: ['first'],
      afterEnd: 'note',
    },
    shut: { title: title('shut'), payload: z.object({ how: z.string() }), ends: true, afterEnd: 'note' },
  },
  evidence: 'shown',
  clocks: { handle: 'T10' },
  windows: ['evidence', 'parcelSent', 'customerChoice'],
  messages: ['hello', 'goodbye', 'look', 'owed'],
  outcome: z.object({ result: z.literal('done'), log: names }),
});
export type Tiny = typeof tiny;
