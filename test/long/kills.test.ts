/** A decision that is committed, and then processes of the whole stack are killed with `kill -9`: it reaches its case within a minute, with nobody's help. */
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { asking, type Asking, type Body } from '../stack/asking.ts';
import { until } from '../stack/until.ts';
import { wholeStack, type WholeStack } from '../stack/whole.ts';
import { say } from './progress.ts';

type Victim = 'api' | 'worker' | 'temporal';
let stack: WholeStack;
let people: Asking;
beforeAll(async () => {
  stack = await wholeStack();
  people = asking(stack);
}, 180_000);
afterAll(() => stack.stop(), 60_000);

const pidOf = (victim: Victim): number => {
  const pid = stack.state().processes[victim]?.pid;
  if (pid === undefined) throw new Error(`no ${victim} runs`);
  return pid;
};
const signal = (victims: readonly Victim[], name: NodeJS.Signals): void => victims.forEach((victim) => process.kill(pidOf(victim), name));
// One that a failed test left stopped would fail the next one too.
afterEach(() => signal(['temporal', 'worker'], 'SIGCONT'));

test.each([
  // Who is stopped before the decision, so that it is committed and goes no further; and who is killed once it is.
  { stopped: ['temporal'], killed: ['api'] },
  { stopped: ['worker'], killed: ['worker'] },
  { stopped: ['temporal', 'worker'], killed: ['api', 'worker', 'temporal'] },
] as const satisfies readonly { stopped: readonly Victim[]; killed: readonly Victim[] }[])(
  'HT4: a decision that is committed before $killed is killed reaches its case within a minute',
  async ({ stopped, killed }) => {
    const { id, review: task } = await people.returned(`killed-${killed.join('-')}`);
    signal(stopped, 'SIGSTOP');
    const before = new Map(killed.map((victim) => [victim, pidOf(victim)]));
    // Not awaited: the API may be killed before it has answered.
    const answered = people.approve(task);
    await until('the decision is committed', async () => {
      const seen = await people.ask('wang', `/v1/tasks/${encodeURIComponent(task)}`);
      return (seen?.body['task'] as Body | undefined)?.['status'] === 'done';
    });
    signal(killed, 'SIGKILL');
    const began = Date.now();
    signal(
      stopped.filter((victim) => !(killed as readonly Victim[]).includes(victim)),
      'SIGCONT',
    );
    await answered;
    await until('the case goes on', async () => (await people.ask('shop-platform', `/v1/cases/${encodeURIComponent(id)}`))?.body['stage'] === 'parcel', 60_000);
    say(`${killed.join(', ')} killed: the case heard the decision after ${Math.round((Date.now() - began) / 1000)} s`);
    for (const [victim, pid] of before) expect(pidOf(victim)).not.toBe(pid);
    // Once: one decision in the timeline, and the mug is free for the next one.
    const timeline = (await people.ask('shop-platform', `/v1/cases/${encodeURIComponent(id)}/timeline?limit=200`))?.body['items'] as readonly Body[];
    expect(timeline.filter((row) => row['kind'] === 'taskDecided')).toHaveLength(1);
    await people.ask('shop-platform', `/v1/cases/${encodeURIComponent(id)}/withdraw`, { reason: 'changedMind' });
    await until(
      'it is withdrawn',
      async () => (await people.ask('shop-platform', `/v1/cases/${encodeURIComponent(id)}`))?.body['status'] === 'withdrawn',
      60_000,
    );
  },
  240_000,
);
