/** A case that another one starts, or that a late event opens; for tests only. */
import { z } from 'zod';
import { defineProcess } from '../../../workflows/kit/declare.ts';

export const errand = defineProcess({
  name: 'errand',
  title: { zh: '跑腿', en: 'Errand' },
  input: z.object({ shop: z.string(), of: z.string(), eventId: z.string(), event: z.string().optional(), payload: z.unknown().optional() }),
  key: (i: { of: string; eventId: string }) => [i.of, i.eventId],
  subject: (i: { shop: string }) => ({ shop: i.shop }),
  stages: ['going'],
  tasks: { run: { title: { zh: '跑', en: 'Run' }, role: 'agent', form: z.object({ found: z.string() }) } },
  events: {},
  clocks: {},
  windows: [],
  messages: [],
  outcome: z.object({ result: z.literal('found'), what: z.string() }),
});
export type Errand = typeof errand;
