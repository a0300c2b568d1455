/** A system for the kit's tests: an operation of every kind. */
import { z } from 'zod';
import { defineSystem, idSchema, undoArgs, undoResult } from '../../systems/contract.ts';

const args = z.object({ what: z.string() });
const result = z.object({ id: idSchema, what: z.string() });

export const bench = defineSystem({
  name: 'bench',
  title: { zh: '测试台', en: 'Bench' },
  operations: {
    look: { title: { zh: '查看', en: 'Look' }, about: 'Read', args, result, kind: 'read', repeat: 'keyed', pace: 'quick' },
    grab: {
      title: { zh: '取', en: 'Grab' },
      about: 'Quick, keyed, can be taken back',
      done: { zh: '已取 {what}', en: '{what} was grabbed' },
      args,
      result,
      errors: ['gone'],
      kind: 'effect',
      repeat: 'keyed',
      pace: 'quick',
      undo: 'letGo',
    },
    letGo: { title: { zh: '放', en: 'Let go' }, about: 'Undo of grab', args: undoArgs, result: undoResult, kind: 'effect', repeat: 'keyed', pace: 'slow' },
    post: {
      title: { zh: '寄', en: 'Post' },
      about: 'Slow, keyed',
      done: { zh: '已寄 {what}', en: '{what} was posted' },
      args,
      result,
      kind: 'effect',
      repeat: 'keyed',
      pace: 'slow',
    },
    probe: {
      title: { zh: '探', en: 'Probe' },
      about: 'Honours no key, can be looked up',
      done: { zh: '已探 {what}', en: '{what} was probed' },
      args,
      result,
      kind: 'effect',
      repeat: 'lookup',
      pace: 'quick',
    },
    shout: {
      title: { zh: '喊', en: 'Shout' },
      about: 'Honours no key, cannot be looked up',
      done: { zh: '已喊 {what}', en: '{what} was shouted' },
      args,
      result,
      kind: 'effect',
      repeat: 'never',
      pace: 'quick',
    },
  },
  words: {
    gone: { zh: '没了', en: 'gone' },
  },
  events: {
    rang: {
      title: { zh: '铃响', en: 'A bell rang' },
      told: { zh: '铃 {bell} 响了 {times} 次', en: 'Bell {bell} rang {times} time(s)' },
      payload: z.object({ bell: z.string(), times: z.int() }),
      key: (p: { bell: string }) => p.bell,
    },
  },
});
