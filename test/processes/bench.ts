/** A system for the kit's tests: an operation of every kind. */
import { z } from 'zod';
import { defineSystem, idSchema, undoArgs, undoResult } from '../../systems/contract.ts';

const args = z.object({ what: z.string() });
const result = z.object({ id: idSchema, what: z.string() });

export const bench = defineSystem({
  name: 'bench',
  title: { zh: '测试台', en: 'Bench' },
  operations: {
    look: { title: 'Read', args, result, kind: 'read', repeat: 'keyed', pace: 'quick' },
    grab: { title: 'Quick, keyed, can be taken back', args, result, errors: ['gone'], kind: 'effect', repeat: 'keyed', pace: 'quick', undo: 'letGo' },
    letGo: { title: 'Undo of grab', args: undoArgs, result: undoResult, kind: 'effect', repeat: 'keyed', pace: 'quick' },
    post: { title: 'Slow, keyed', args, result, kind: 'effect', repeat: 'keyed', pace: 'slow' },
    probe: { title: 'Honours no key, can be looked up', args, result, kind: 'effect', repeat: 'lookup', pace: 'quick' },
    shout: { title: 'Honours no key, cannot be looked up', args, result, kind: 'effect', repeat: 'never', pace: 'quick' },
  },
  events: { rang: { title: 'A bell rang', payload: z.object({ bell: z.string(), times: z.int() }), key: (p: { bell: string }) => p.bell } },
});
