/**
 * Wrong uses of the kit, each refused by the compiler: `npm run types` fails when one of them compiles, because its directive is then unused.
 * test/unit/wrong-uses.test.ts shows that each is an error of its own.
 */
import { defineCase } from '../../workflows/kit/case.ts';
import type { TaskDeclaration } from '../../workflows/kit/declare.ts';
import { rulesOf, system } from '../../workflows/kit/references.ts';
import type { Case } from '../../workflows/kit/surface.ts';
import type { bench as Bench } from '../processes/bench.ts';
import type * as TinyRules from '../processes/tiny/rules.ts';
import type { Tiny } from '../processes/tiny/process.ts';

const bench = system<typeof Bench>('bench');
const rules = rulesOf<typeof TinyRules>();
const result = { result: 'done' as const, log: [] };
const shut = () => Promise.resolve(result);

/** A body that does one thing. */
const body = (use: (c: Case<Tiny>) => unknown) => defineCase<Tiny>('tiny', async (c) => (await use(c), result), { shut });

// @ts-expect-error an unknown task
export const unknownTask = body((c) => c.task('decideSomething', {}));
// @ts-expect-error an unknown clock
export const unknownClock = body((c) => c.clock('arrival'));
// @ts-expect-error an unknown message
export const unknownMessage = body((c) => c.tell('received', {}));
// @ts-expect-error an unknown stage
export const unknownStage = body((c) => c.stage('fourth'));
// @ts-expect-error an unknown window
export const unknownWindow = body((c) => c.sleep('returnDone'));
// @ts-expect-error an unknown event
export const unknownEvent = body((c) => c.event('rung'));
// @ts-expect-error a wrong argument of an operation
export const wrongArgument = body((c) => c.do('grab', bench.grab, { what: 1 }));
// @ts-expect-error another system than the one whose contract it is
export const otherSystem = system<typeof Bench>('finance');
// @ts-expect-error wrong facts of a rule
export const wrongFacts = body((c) => c.decide('count', rules.count, { items: 'a, b' }));
// @ts-expect-error a business error that nobody looked at
export const errorNotLookedAt = body(async (c) => (await c.do('grab', bench.grab, { what: 'x' })).id);
// @ts-expect-error the answer of a window that may have passed
export const silenceNotLookedAt = body(async (c) => (await c.task('choose', {}, { within: 'customerChoice' })).form.choice);
// @ts-expect-error a field that the form does not have
export const wrongField = body(async (c) => (await c.task('decide', {})).form.choice);
// @ts-expect-error an event that ends has no handler
export const handlerMissing = defineCase<Tiny>('tiny', () => Promise.resolve(result));
// @ts-expect-error an outcome that is not declared
export const wrongOutcome = defineCase<Tiny>('tiny', () => Promise.resolve({ result: 'finished' as const, log: [] }), { shut });
// @ts-expect-error a task without a form
export const taskWithoutForm: TaskDeclaration = { title: { zh: '任务', en: 'Task' } };
