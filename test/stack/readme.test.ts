/** The README's return, as printed, on the whole stack; and the same with every process killed on the way. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort } from '../../cli/stack/ports.ts';
import { readStack } from '../../cli/stack/state.ts';
import { Shell } from './shell.ts';
import { until } from './until.ts';
import type { Start } from './whole.ts';
import { start } from './whole.ts';

const root = resolve(import.meta.dirname, '../..');
let folder: string;
let port: number;
let stack: Start;

async function startStack(): Promise<void> {
  stack = start(['--data', folder, '--port', String(port)]);
  await stack.ready;
}
async function stopStack(): Promise<number> {
  const began = Date.now();
  stack.child.kill('SIGTERM');
  await stack.ended;
  return Date.now() - began;
}

/** The blocks of the story, for this stack and this request. */
async function blocks(request: string): Promise<readonly string[]> {
  const story = (await readFile(join(root, 'README.md'), 'utf8')).split('## One return, by hand')[1]?.split('\n## ')[0] ?? '';
  return [...story.matchAll(/```sh\n(.*?)```/gs)].map(([, block = '']) =>
    block
      .replaceAll('127.0.0.1:7400', `127.0.0.1:${port}`)
      .replaceAll('.data/stack.json', `${folder}/stack.json`)
      .replaceAll('run -s token --', `run -s token -- --data ${folder}`)
      .replaceAll('demo-1', request)
      .replaceAll('SF-DEMO-1', `SF-${request}`),
  );
}

const api = (path: string, token: string): Promise<Response> => fetch(`http://127.0.0.1:${port}/v1${path}`, { headers: { authorization: `Bearer ${token}` } });

/** Pastes block after block, each once what it is about is there; between them, `meanwhile`. Returns the case as it stands at the end. */
async function follow(request: string, meanwhile: () => Promise<void>): Promise<{ status: string; outcome: unknown; told: string[] }> {
  const shell = new Shell();
  try {
    const [settings = '', ...steps] = await blocks(request);
    await shell.paste(settings);
    const token = (await shell.paste('echo $UPSTREAM')).trim();
    const id = `return-exchange.MX-2007.${request}`;
    const open = async (name: string): Promise<boolean> => {
      const answer = await api(`/tasks?case=${id}&status=open`, token).catch(() => undefined);
      return answer?.ok === true && ((await answer.json()) as { items: { name: string }[] }).items.some((t) => t.name === name);
    };
    const stage = async (): Promise<string | undefined> => {
      const answer = await api(`/cases/${id}`, token).catch(() => undefined);
      return answer?.ok === true ? ((await answer.json()) as { stage: string }).stage : undefined;
    };
    const before = [
      () => Promise.resolve(true),
      () => open('review'),
      async () => (await stage()) === 'parcel',
      () => open('inspect'),
      () => Promise.resolve(true),
    ];
    for (const [n, block] of steps.entries()) {
      await until(`step ${n + 1} can be taken`, before[n] ?? (() => false), 60_000);
      await shell.paste(block);
      await meanwhile();
    }
    let last = { status: 'open', outcome: undefined as unknown };
    await until(
      'the case has ended',
      async () => {
        const answer = await api(`/cases/${id}`, token).catch(() => undefined);
        if (answer?.ok === true) last = (await answer.json()) as typeof last;
        return last.status !== 'open';
      },
      60_000,
    );
    const timeline = (await (await api(`/cases/${id}/timeline?limit=200`, token)).json()) as { items: { kind: string; data: { message?: string } }[] };
    return { ...last, told: timeline.items.flatMap((row) => (row.kind === 'told' ? [row.data.message ?? ''] : [])) };
  } finally {
    shell.end();
  }
}

const wholeStory = { status: 'completed', outcome: { result: 'refunded', amount: { minor: 5900, currency: 'CNY' } } };
/** Of one order only the first case is thanked for; thanks come when they come beside the money. */
const told = ['received', 'sendGoods', 'courierNoted', 'parcelArrived', 'inspected', 'refundApproved', 'refundSubmitted', 'refundAccepted', 'refundArrived'];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kefu-readme-'));
  port = await freePort();
  await startStack();
}, 120_000);
afterAll(async () => {
  await stopStack();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

describe('the README’s return', () => {
  test('runs as printed: started, decided, received, inspected, refunded, and the customer told at every stage', async () => {
    const end = await follow('as-printed', () => Promise.resolve());
    expect(end).toMatchObject(wholeStory);
    expect(end.told.filter((message) => message !== 'thanks')).toEqual(told);
    expect(end.told).toContain('thanks');
  }, 120_000);

  test('ends the same when worker, API and Temporal are killed after each step (HT4)', async () => {
    const victims = ['worker', 'api', 'temporal', 'worker', 'api'];
    const end = await follow('with-kills', async () => {
      const victim = victims.shift();
      const pid = victim === undefined ? undefined : readStack(folder).processes[victim]?.pid;
      if (pid === undefined) return;
      process.kill(pid, 'SIGKILL');
      // Back, under another process id, before the reader goes on.
      await until(`${victim} is back`, () => (readStack(folder).processes[victim ?? '']?.pid ?? pid) !== pid, 30_000);
      await until('the API answers', async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined))?.ok === true, 30_000);
    });
    expect(end).toMatchObject({ ...wholeStory, told });
    const { urls } = readStack(folder);
    const page = (await (await fetch(`${urls.systems}/finance/ledger?prefix=${encodeURIComponent('return-exchange.MX-2007.with-kills/')}`)).json()) as {
      entries: { operation: string; executions: number }[];
    };
    expect(page.entries.filter((e) => e.operation === 'refund').map((e) => e.executions)).toEqual([1]);
  }, 240_000);

  test('is still there after a stop and a start, and the stop takes no more than 10 s', async () => {
    expect(await stopStack()).toBeLessThan(10_000);
    await startStack();
    const shell = new Shell();
    const [settings = ''] = await blocks('as-printed');
    await shell.paste(settings);
    const token = (await shell.paste('echo $UPSTREAM')).trim();
    shell.end();
    expect(await (await api('/cases/return-exchange.MX-2007.as-printed', token)).json()).toMatchObject(wholeStory);
  }, 120_000);
});
