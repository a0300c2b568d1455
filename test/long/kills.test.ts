/** A decision that is committed, and then processes of the whole stack are killed with `kill -9`: it reaches its case within a minute, with nobody's help. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { until } from '../stack/until.ts';
import { wholeStack, type WholeStack } from '../stack/whole.ts';
import { say } from './progress.ts';

const root = resolve(import.meta.dirname, '../..');
type Victim = 'api' | 'worker' | 'temporal';
let stack: WholeStack;
const tokens = new Map<string, string>();
beforeAll(async () => {
  stack = await wholeStack();
  for (const [user, role] of [['shop-platform', 'upstream'] as const, ['wang', 'agent'] as const]) {
    const made = spawnSync(process.execPath, ['--import', 'tsx', 'cli/token.ts', '--data', stack.folder, '--user', user, '--role', role], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    tokens.set(user, made.stdout.trim());
  }
}, 180_000);
afterAll(() => stack.stop(), 60_000);

type Body = Readonly<Record<string, unknown>>;
/** An answer of the API, or nothing while it is away. */
async function ask(user: string, path: string, body?: object): Promise<{ status: number; body: Body } | undefined> {
  try {
    const answer = await fetch(`${stack.state().urls.api}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${tokens.get(user) ?? ''}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: (await answer.json()) as Body };
  } catch {
    return undefined;
  }
}
const pidOf = (victim: Victim): number => {
  const pid = stack.state().processes[victim]?.pid;
  if (pid === undefined) throw new Error(`no ${victim} runs`);
  return pid;
};
const signal = (victims: readonly Victim[], name: NodeJS.Signals): void => victims.forEach((victim) => process.kill(pidOf(victim), name));
// One that a failed test left stopped would fail the next one too.
afterEach(() => signal(['temporal', 'worker'], 'SIGCONT'));

/** A return of one mug whose review is open. */
async function asked(requestId: string): Promise<{ id: string; task: string }> {
  const input = {
    shop: 'mingxi',
    customer: 'c_82231706e1d8e2e20642',
    orderId: 'MX-2007',
    requestId,
    requestedAt: new Date().toISOString(),
    lines: [{ line: 1, quantity: 1 }],
    reason: 'quality',
    wish: 'refund',
    evidence: ['photo-1'],
  };
  const opened = await ask('shop-platform', '/v1/processes/return-exchange/cases', { input });
  expect(opened?.status).toBe(201);
  const id = `return-exchange.MX-2007.${requestId}`;
  const task = `${id}:review-1/review`;
  await until('the review is open', async () => (await ask('wang', `/v1/tasks/${encodeURIComponent(task)}`))?.status === 200, 60_000);
  return { id, task };
}

test.each([
  // Who is stopped before the decision, so that it is committed and goes no further; and who is killed once it is.
  { stopped: ['temporal'], killed: ['api'] },
  { stopped: ['worker'], killed: ['worker'] },
  { stopped: ['temporal', 'worker'], killed: ['api', 'worker', 'temporal'] },
] as const satisfies readonly { stopped: readonly Victim[]; killed: readonly Victim[] }[])(
  'HT4: a decision that is committed before $killed is killed reaches its case within a minute',
  async ({ stopped, killed }) => {
    const { id, task } = await asked(`killed-${killed.join('-')}`);
    signal(stopped, 'SIGSTOP');
    const before = new Map(killed.map((victim) => [victim, pidOf(victim)]));
    const decision = { form: { decision: 'approve', reason: 'quality', remedy: 'refund' } };
    // Not awaited: the API may be killed before it has answered.
    const answered = ask('wang', `/v1/tasks/${encodeURIComponent(task)}/complete`, decision);
    await until('the decision is committed', async () => {
      const seen = await ask('wang', `/v1/tasks/${encodeURIComponent(task)}`);
      return (seen?.body['task'] as Body | undefined)?.['status'] === 'done';
    });
    signal(killed, 'SIGKILL');
    const began = Date.now();
    signal(
      stopped.filter((victim) => !(killed as readonly Victim[]).includes(victim)),
      'SIGCONT',
    );
    await answered;
    await until('the case goes on', async () => (await ask('shop-platform', `/v1/cases/${encodeURIComponent(id)}`))?.body['stage'] === 'parcel', 60_000);
    say(`${killed.join(', ')} killed: the case heard the decision after ${Math.round((Date.now() - began) / 1000)} s`);
    for (const [victim, pid] of before) expect(pidOf(victim)).not.toBe(pid);
    // Once: one decision in the timeline, and the mug is free for the next one.
    const timeline = (await ask('shop-platform', `/v1/cases/${encodeURIComponent(id)}/timeline?limit=200`))?.body['items'] as readonly Body[];
    expect(timeline.filter((row) => row['kind'] === 'taskDecided')).toHaveLength(1);
    await ask('shop-platform', `/v1/cases/${encodeURIComponent(id)}/withdraw`, { reason: 'changedMind' });
    await until('it is withdrawn', async () => (await ask('shop-platform', `/v1/cases/${encodeURIComponent(id)}`))?.body['status'] === 'withdrawn', 60_000);
  },
  240_000,
);
