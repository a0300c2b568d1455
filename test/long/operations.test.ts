/**
 * The runbook: every command of docs/operations.md, as printed, on a whole stack on which what its chapter is about has happened. The blocks of a chapter are run
 * in their order; the last test holds that none was left out.
 */
import { readFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { resolveTemporal } from '../../cli/stack/temporal.ts';
import { asking, type Asking, type Body } from '../stack/asking.ts';
import { exported, namedIn } from '../stack/metrics.ts';
import { Shell } from '../stack/shell.ts';
import { until } from '../stack/until.ts';
import { wholeStack, type WholeStack } from '../stack/whole.ts';
import { say } from './progress.ts';

const root = resolve(import.meta.dirname, '../..');
const chapters = new Map(
  readFileSync(join(root, 'docs/operations.md'), 'utf8')
    .split(/^## /m)
    .slice(1)
    .map((chapter) => [chapter.split('\n')[0] ?? '', [...chapter.matchAll(/```sh\n(.*?)```/gs)].map(([, block = '']) => block)] as const),
);
const ran = new Set<string>();

let stack: WholeStack;
let shell: Shell;
let people: Asking;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kefu-runbook-'));
  const policy = join(folder, 'policy.yaml');
  // A person is asked about an effect within seconds, not after ten minutes; longer than a system that has failed is left alone.
  writeFileSync(policy, 'extends: default\ncases:\n  repairAfter: 15s\n');
  stack = await wholeStack(['--policy', policy]);
  people = asking(stack);
  const source = await resolveTemporal(process.env, say);
  const { NODE_OPTIONS: _, ...env } = process.env;
  const path = source.kind === 'program' && source.path !== 'temporal' ? `${env['PATH'] ?? ''}${delimiter}${dirname(source.path)}` : env['PATH'];
  shell = new Shell({ ...env, PATH: path, LANG: 'C.UTF-8' });
  await run('What the commands need', 0);
}, 240_000);
afterAll(async () => {
  shell.end();
  await stack.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

/** Every metric that was shown at any time: the SDK shows one of failures once there is one, and no longer after a restart. */
const shown = new Set<string>();
afterEach(async () => {
  const { urls } = stack.state();
  for (const page of [`${urls.api}/metrics`, urls.workerMetrics]) for (const name of await exported(page)) shown.add(name);
});

/** Pastes the block of a chapter, for this stack; what it prints. */
async function run(chapter: string, n: number): Promise<string> {
  const block = chapters.get(chapter)?.[n];
  if (block === undefined) throw new Error(`docs/operations.md has no block ${n} in "${chapter}"`);
  ran.add(`${chapter} ${n}`);
  const here = block
    .replaceAll('.data/', `${stack.folder}/`)
    .replaceAll(/npm run -s (\w+)(?: --)?/g, (_whole, command: string) => `npm run -s ${command} -- --data ${stack.folder}`);
  const said = await shell.paste(here, 90_000);
  say(`${chapter} ${n}: ${said.trim().split('\n').at(-1)?.slice(0, 100) ?? ''}`);
  return said;
}
/** The chapters that follow are about this case. */
async function about(id: string): Promise<void> {
  await shell.paste(`CASE=${id}`);
}

const becomes = (id: string, field: 'status' | 'stage', value: string): Promise<void> =>
  until(`${id} is ${value}`, async () => (await people.caseOf(id))?.[field] === value, 150_000);
async function openTasks(id: string): Promise<readonly string[]> {
  const listed = await people.ask('wang', `/v1/tasks?case=${encodeURIComponent(id)}&status=open`);
  return ((listed?.body['items'] ?? []) as readonly { readonly name: string }[]).map(({ name }) => name);
}
async function readiness(): Promise<Body | undefined> {
  try {
    return (await (await fetch(`${stack.state().urls.api}/readyz`)).json()) as Body;
  } catch {
    return undefined;
  }
}
const isReady = (): Promise<void> => until('everything is ready', async () => (await readiness())?.['status'] === 'ready', 90_000);
async function faults(system: string, settings?: object): Promise<void> {
  const answer = await fetch(`${stack.state().urls.systems}/${system}/faults`, {
    method: settings === undefined ? 'DELETE' : 'PUT',
    headers: { 'content-type': 'application/json' },
    ...(settings === undefined ? {} : { body: JSON.stringify(settings) }),
  });
  expect(answer.status).toBe(200);
}
/** How often each effect of a case was carried out, over all systems. */
async function executions(id: string): Promise<Readonly<Record<string, number>>> {
  const done: Record<string, number> = {};
  for (const system of ['warehouse', 'finance', 'logistics', 'coupons']) {
    const page = await fetch(`${stack.state().urls.systems}/${system}/ledger?prefix=${encodeURIComponent(`${id}/`)}&limit=500`);
    for (const { key, executions: n } of ((await page.json()) as { entries: { key: string; executions: number }[] }).entries) done[key] = n;
  }
  return done;
}
async function withdrawn(id: string): Promise<void> {
  await people.ask('shop-platform', `/v1/cases/${encodeURIComponent(id)}/withdraw`, { reason: 'changedMind' });
  await becomes(id, 'status', 'withdrawn');
}
const pidOf = (name: string): number => stack.state().processes[name]?.pid ?? 0;
/** Kills a process, and holds whoever would start it again, while `meanwhile` runs. */
async function without(name: string, meanwhile: () => Promise<void>): Promise<void> {
  const [{ leader }, pid] = [stack.state(), pidOf(name)];
  process.kill(leader.pid, 'SIGSTOP');
  try {
    process.kill(-pid, 'SIGKILL');
    await meanwhile();
  } finally {
    process.kill(leader.pid, 'SIGCONT');
  }
  await until(`${name} is back`, () => pidOf(name) !== pid && pidOf(name) !== 0, 60_000);
  await isReady();
}

test('where to look first: all is well, and a case tells its story', async () => {
  await people.returned('demo-1');
  await isReady();
  const looked = await run('Where to look first', 0);
  expect(looked).toContain('All is well');
  expect(looked).toContain('"status":"ready"');
  const story = await run('Where to look first', 1);
  for (const seen of ['"stage":"review"', '"text":"', 'StateTransitionCount']) expect(story).toContain(seen);
}, 120_000);

test('stuck effect: a person says that it is tried again, and it is done once', async () => {
  const { id, review } = await people.returned('stuck');
  await about(id);
  await faults('logistics', { outage: true });
  expect(await people.approve(review)).toBe(200);
  await until('a person is asked', async () => (await openTasks(id)).includes('repair'), 90_000);
  expect(await run('Stuck effect', 0)).toContain('!repair-1');
  expect((await readiness())?.['systems']).toEqual({ logistics: '1 to repair' });
  await faults('logistics');
  expect(await run('Stuck effect', 1)).toContain('"status":"done"');
  await until('the label is made', async () => Object.values(await executions(id)).length > 0, 60_000);
  expect(await openTasks(id)).not.toContain('repair');
  expect(await executions(id)).toEqual({ [`${id}/label-1/label`]: 1 });
  await withdrawn(id);
}, 240_000);

test('outside system away: every effect that waits is tried again in one go', async () => {
  const waiting = [await people.returned('away-1'), await people.returned('away-2')];
  await faults('logistics', { outage: true });
  for (const { review } of waiting) expect(await people.approve(review)).toBe(200);
  for (const { id } of waiting) await until('a person is asked', async () => (await openTasks(id)).includes('repair'), 90_000);
  const looked = await run('Outside system away', 0);
  expect(looked).toMatch(/kefu_breaker_open\{system="logistics"\} [01]/);
  expect(looked).toMatch(/kefu_effect_tries_total\{system="logistics",operation="\w+",result="SystemUnavailable"\} [1-9]/);
  await faults('logistics');
  const answered = JSON.parse((await run('Outside system away', 1)).trim()) as { results: { status: number }[] };
  expect(answered.results.map(({ status }) => status)).toEqual([200, 200]);
  for (const { id } of waiting) await until('the label is made', async () => Object.values(await executions(id)).length > 0, 60_000);
  for (const { id } of waiting) await withdrawn(id);
}, 300_000);

test('poison case: found, its tasks withdrawn, operators told; reset to before what was at fault, it goes on', async () => {
  const { id, review } = await people.returned('poison');
  await about(id);
  await shell.paste(`temporal workflow signal --workflow-id $CASE --name deliver --input 5`);
  // Temporal reports it after five tries, about a minute; a sweep reads that.
  await becomes(id, 'status', 'broken');
  const looked = await run('Poison case', 0);
  for (const seen of [id, '"batch is not iterable"']) expect(looked).toContain(seen);
  expect(await openTasks(id)).toEqual([]);
  expect(await people.approve(review)).toBe(409);
  const story = await people.ask('shop-platform', `/v1/cases/${encodeURIComponent(id)}/timeline?limit=200`);
  expect(JSON.stringify(story?.body)).toContain('kit.caseBroken');
  expect(await shell.paste(`npm run -s close -- --data ${stack.folder} $CASE --by olga 2>&1`, 60_000)).toContain('runs, and would open it again');
  await run('Poison case', 1);
  await becomes(id, 'status', 'open');
  expect(await people.approve(review)).toBe(200);
  await becomes(id, 'stage', 'parcel');
  await withdrawn(id);
}, 400_000);

test('broken case: terminated by mistake it is reset and goes on; without a history it is closed by hand', async () => {
  const { id, review } = await people.returned('terminated');
  await about(id);
  await shell.paste('temporal workflow terminate --workflow-id $CASE --reason "by mistake"');
  await becomes(id, 'status', 'broken');
  const looked = await run('Broken case', 0);
  for (const seen of ['1 cases cannot go on', id, 'docs/operations.md#broken-case', '"trouble":"the workflow ended without its last record'])
    expect(looked).toContain(seen);
  expect(await people.approve(review)).toBe(409);
  await run('Broken case', 1);
  await becomes(id, 'status', 'open');
  expect(await openTasks(id)).toEqual(['review']);

  await shell.paste('temporal workflow terminate --workflow-id $CASE --reason "by mistake, again"');
  await becomes(id, 'status', 'broken');
  // One run after the other: the one before the reset has a history of its own.
  await until('the history is gone', async () => {
    await shell.paste('echo y | temporal workflow delete --workflow-id $CASE');
    return (await shell.paste('temporal workflow describe --workflow-id $CASE 2>&1')).includes('not found');
  });
  expect(await run('Broken case', 2)).toContain(`${id} is closed.`);
  expect(await people.caseOf(id)).toMatchObject({ status: 'broken', outcome: { reason: 'closedByHand' } });
  await until('nothing needs a person', async () => (await shell.paste(`npm run -s doctor -- --data ${stack.folder}`, 60_000)).includes('All is well'), 60_000);
}, 400_000);

test('reset: what was done and decided is adopted, and nothing is done twice', async () => {
  const { id, review } = await people.returned('reset');
  await about(id);
  expect(await people.approve(review)).toBe(200);
  await becomes(id, 'stage', 'parcel');
  await until('what the approval began is done', async () => Object.keys(await executions(id)).length > 0);
  const before = await executions(id);
  const runOf = async () => /RunId\s+(\S+)/.exec(await shell.paste('temporal workflow describe --workflow-id $CASE'))?.[1];
  const firstRun = await runOf();
  expect(await run('Reset', 0)).toMatch(/ 4 .*WorkflowTaskCompleted/);
  await run('Reset', 1);
  await until('a new run', async () => (await runOf()) !== firstRun);
  await until(
    'it has come as far again',
    async () => (await shell.paste('temporal workflow show --workflow-id $CASE --output json')).includes('EVENT_TYPE_TIMER_STARTED'),
    60_000,
  );
  expect(await people.caseOf(id)).toMatchObject({ status: 'open', stage: 'parcel' });
  expect(await openTasks(id)).toEqual([]);
  expect(await executions(id)).toEqual(before);
  await withdrawn(id);
}, 240_000);

test('Temporal away: what is asked is taken, and carried out when it is back', async () => {
  await without('temporal', async () => {
    await until('it is missed', async () => (await readiness())?.['temporal'] === 'away');
    const looked = await run('Temporal away', 0);
    for (const seen of ['"temporal":"away"', 'docs/operations.md#temporal-away']) expect(looked).toContain(seen);
    const demo = `/v1/tasks/${encodeURIComponent('return-exchange.MX-2007.demo-1:review-1/review')}/complete`;
    const decided = await people.ask('wang', demo, { form: { decision: 'approve', reason: 'quality', remedy: 'refund' } });
    expect(decided).toMatchObject({ status: 200, body: { delivery: 'pending' } });
  });
  await becomes('return-exchange.MX-2007.demo-1', 'stage', 'parcel');
}, 240_000);

test('Postgres away: 503 at once, and all goes on when it is back', async () => {
  await without('postgres', async () => {
    await until('it is missed', async () => (await readiness())?.['postgres'] === 'away');
    const looked = await run('Postgres away', 0);
    for (const seen of ['503', 'docs/operations.md#postgres-away']) expect(looked).toContain(seen);
    // A sweep of the worker is tried meanwhile, and says so.
    await until('a sweep has failed', async () => (await run('Sweeps failing', 0)).includes('a sweep failed'), 60_000);
  });
  await withdrawn('return-exchange.MX-2007.demo-1');
}, 240_000);

test('worker away: people decide, and the case hears of it when a worker is back', async () => {
  const { id, review } = await people.returned('no-worker');
  await about(id);
  await without('worker', async () => {
    // Temporal lists it for some minutes more, with when it last asked.
    expect(await run('Worker away', 0)).toContain('LastAccessTime');
    expect(await people.approve(review)).toBe(200);
    expect(await openTasks(id)).toEqual([]);
  });
  await becomes(id, 'stage', 'parcel');
  const looked = await run('Messages to cases not taken in', 0);
  expect(looked).toContain('"ok": true');
  await withdrawn(id);
}, 240_000);

test('messages late: the error is shown, and what failed is tried again at once', async () => {
  await faults('notifications', { outage: true });
  await people.returned('quiet');
  await until('a message fails', async () => (await run('Messages or clocks late', 0)).includes('send-message message:'), 60_000);
  await faults('notifications');
  expect(await run('Messages or clocks late', 1)).toMatch(/[1-9]\d* jobs are tried again now/);
  await until('all are sent', async () => (await run('Messages or clocks late', 0)).includes('No job fails.'), 60_000);
}, 240_000);

test('webhooks refused: a secret is exchanged, and both hold meanwhile', async () => {
  const file = join(String(stack.state().settings['WEBHOOK_SECRETS_DIR']), 'webhook-finance.secret');
  const before = readFileSync(file, 'utf8').trim();
  await run('Webhooks refused', 0);
  const [now = ''] = readFileSync(file, 'utf8').split('\n');
  expect(now).not.toBe(before);
  const send = async (secret: string, n: number): Promise<number> => {
    const body = JSON.stringify({ type: 'nothing', timestamp: new Date().toISOString(), data: {} });
    const [id, at] = [`msg-${n}`, new Date()];
    const answer = await fetch(`${stack.state().urls.api}/v1/webhooks/finance`, {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
        'webhook-signature': new Webhook(secret).sign(id, at, body),
      },
    });
    return answer.status;
  };
  // The signature holds: what it is refused for is its event.
  expect([await send(before, 1), await send(now, 2)]).toEqual([404, 404]);
  expect(await send(`whsec_${Buffer.alloc(32).toString('base64')}`, 3)).toBe(401);
  const page = await (await fetch(`${stack.state().urls.api}/metrics`)).text();
  for (const line of ['{source="finance",result="unknownEvent"} 2', '{source="finance",result="badSignature"} 1'])
    expect(page).toContain(`kefu_webhooks_total${line}`);
}, 60_000);

test('API faults: the log is where the chapter says', async () => {
  // None here, or the test would have failed before.
  expect(await run('API faults', 0)).toBe('');
});

test('every metric that an alert or the dashboard names is exported by the API or the worker', async () => {
  for (const file of ['deploy/prometheus/alerts.yml', 'deploy/grafana/kefu-flow.json']) {
    const named = namedIn(readFileSync(join(root, file), 'utf8'));
    expect(named.size).toBeGreaterThan(10);
    expect([file, [...named].filter((name) => !shown.has(name))]).toEqual([file, []]);
  }
});

test('no metric names a case, an order, a shop, a customer or a person', async () => {
  const { urls } = stack.state();
  const pages = await Promise.all([`${urls.api}/metrics`, urls.workerMetrics].map(async (url) => (await fetch(url)).text()));
  for (const name of ['MX-2007', 'mingxi', 'c_82231706e1d8e2e20642', 'wang', 'olga', 'lin"'])
    expect([name, pages.some((page) => page.includes(name))]).toEqual([name, false]);
});

test('every block of the runbook was run', () => {
  const all = [...chapters].flatMap(([chapter, blocks]) => blocks.map((_, n) => `${chapter} ${n}`));
  expect(all.length).toBeGreaterThan(15);
  expect([...ran].toSorted()).toEqual(all.toSorted());
});
