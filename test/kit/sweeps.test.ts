/** What a crash, an outage or a fault of the code left, and what the sweep makes of it. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { idOf, openCase } from '../../db/cases.ts';
import { unclaimedSince } from '../../db/inbox.ts';
import { inTransaction, type Sql } from '../../db/pool.ts';
import { casesToDeliver } from '../../db/inbox.ts';
import { redeliver } from '../../delivery/inbox.ts';
import { startUnstarted } from '../../delivery/start.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { CaseId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import { manifestOf } from '../../workflows/registry.ts';
import { sweep, sweepSettings } from '../../worker/sweeps.ts';
import { startKit, type Kit } from './harness.ts';
import { surroundings } from './surroundings.ts';
import { tinyCases } from './tiny.ts';

let kit: Kit;
beforeAll(async () => {
  kit = await startKit(await surroundings());
});
afterAll(() => kit.stop());

/** Nothing is too young to be looked at. */
const atOnce = { ...sweepSettings, graceMs: 0, redeliverAfterMs: 0, settleMs: 0 };
const { open, say } = tinyCases(() => kit);
let left = 0;

/** A case's row as the API commits it, and then the API is gone. */
async function committed(script: string, runAt?: Date, more: object = {}): Promise<CaseId> {
  const registered = kit.processes.get('tiny');
  if (!registered) throw new Error('no tiny');
  const { declaration } = registered;
  const input = declaration.input.parse({ id: `left-${++left}`, shop: 'shop-1', script, ...more });
  const policy = loadPolicy(new URL('../../policies/default.yaml', import.meta.url).pathname);
  const manifest = manifestOf(declaration, 'shop-1', policy, kit.engine.systems);
  await inTransaction(kit.pool, (tx) => openCase(tx, { declaration, input, manifest, starter: 'upstream', ...(runAt ? { runAt: instant(runAt) } : {}) }));
  return idOf(declaration, input);
}

describe('an event that nobody has claimed', () => {
  const source = 'warehouse.parcelReceived';
  const arrives = (trackingNo: string) =>
    kit.store({
      source,
      eventId: `arrives-${trackingNo}`,
      kind: 'event',
      name: source,
      correlationKey: trackingNo,
      body: { receiptId: `rc-${trackingNo}`, trackingNo, receivedAt: instant(Date.now()), units: [] },
    });

  test('becomes a case of its own once its time is over, and not before', async () => {
    await arrives('YT-1');
    expect(await sweep(kit.engine, atOnce)).toMatchObject({ unclaimed: 0 });
    await kit.pool.query(`update inbox set received_at = now() - interval '25 hours' where source = $1`, [source]);
    expect(await sweep(kit.engine, atOnce)).toMatchObject({ unclaimed: 1 });
    const [row] = await kit.rows<{ case_id: CaseId }>('select case_id from inbox where source = $1', source);
    if (row === undefined) throw new Error('the row is gone');
    await kit.opened(row.case_id, 'look-1/desk/identify');
    expect(await sweep(kit.engine, atOnce)).toMatchObject({ unclaimed: 0 });
  });

  test('is deleted when no case has asked for it in all the time that the policy keeps it, and not before', async () => {
    await arrives('YT-2');
    const kept = kit.engine.policy.policy.inbox.keepUnclaimed.ms;
    const old = (ms: number) =>
      kit.pool.query(
        `update inbox set received_at = now() - $1 * interval '1 millisecond', name = 'bench.rang', source = 'bench.rang' where correlation_key = 'YT-2'`,
        [ms],
      );
    await old(kept - 60_000);
    expect(await sweep(kit.engine, atOnce)).toMatchObject({ forgotten: 0 });
    await old(kept + 1);
    expect(await sweep(kit.engine, atOnce)).toMatchObject({ forgotten: 1 });
    expect(await kit.rows(`select 1 from inbox where correlation_key = 'YT-2'`)).toEqual([]);
  });

  test('is found without a look at those that wait of other sources, however many', async () => {
    await kit.pool.query(
      `insert into inbox (source, event_id, body_hash, kind, name, correlation_key, body, at, received_at)
       select 'logistics.tracking', 'old-' || n, 'x', 'event', 'tracking', 'SF-' || n, '{}', now(), now() - interval '9 days' from generate_series(1, 20000) n`,
    );
    await kit.pool.query('analyze inbox');
    const asked: [string, unknown[]][] = [];
    const listening = { query: (text: string, values: unknown[]) => (asked.push([text, values]), Promise.resolve({ rows: [] })) } as unknown as Sql;
    await unclaimedSince(listening, source, 1000, 50);
    const [[text, values] = ['', []]] = asked;
    const { rows } = await kit.pool.query<{ 'QUERY PLAN': unknown }>(`explain (analyze, format json) ${text}`, values);
    expect(JSON.stringify(rows)).toContain('"Index Name":"inbox_early"');
    expect(JSON.stringify(rows)).not.toContain('Seq Scan');
    await kit.pool.query(`delete from inbox where source = 'logistics.tracking'`);
  });
});

describe('a case whose start a crash left', () => {
  test('is started, once', async () => {
    const id = await committed('grab');
    expect(await kit.row(id)).toMatchObject({ started_at: null });
    await sweep(kit.engine, atOnce);
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['x'] });
    expect(await kit.row(id)).toMatchObject({ status: 'completed', started_at: expect.any(Date), run_id: expect.any(String) });
    expect((await sweep(kit.engine, atOnce)).started).toBe(0);
  });

  test('is left alone before its time', async () => {
    const later = await committed('grab', new Date(Date.now() + 3_600_000));
    await sweep(kit.engine, atOnce);
    expect(await kit.row(later)).toMatchObject({ started_at: null });
  });

  test('is started although Temporal refuses an older one', async () => {
    // Above what a history takes.
    const refused = await committed('grab', new Date(Date.now() - 60_000), { items: ['x'.repeat(2_500_000)] });
    const id = await committed('grab');
    await expect(startUnstarted(kit.pool, kit.temporal, 0)).rejects.toThrow('1 cases could not be started');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['x'] });
    await expect(sweep(kit.engine, atOnce)).rejects.toThrow('parts of a sweep failed');
    await kit.pool.query(`update cases set status = 'broken' where id = $1`, [refused]);
  });
});

describe('a workflow that was terminated in the UI (HT7)', () => {
  test('is a broken case: its tasks are withdrawn, nobody decides into the void, and operators are told', async () => {
    const id = await open('windowed');
    await kit.opened(id, 'choose');
    await kit.temporal.workflow.getHandle(id).terminate('by hand');
    await kit.until(
      'sweep',
      () => sweep(kit.engine, atOnce),
      ({ broken }) => broken === 1,
    );
    expect(await kit.row(id)).toMatchObject({ status: 'broken', trouble: expect.stringContaining('terminated') });
    expect(await kit.rows('select status from tasks where case_id = $1', id)).toEqual([{ status: 'withdrawn' }]);
    await expect(kit.commitDecision(id, 'choose', { choice: 'late' }, 'anna', 'customer')).rejects.toThrow('taskClosed');
    expect(await kit.rows('select message, recipient from messages where case_id = $1', id)).toEqual([{ message: 'kit.caseBroken', recipient: 'ops' }]);
    expect((await sweep(kit.engine, atOnce)).broken).toBe(0);
  });

  test('goes on when it is reset: the case and its task are open again, and the decision reaches it', async () => {
    const id = await open('windowed');
    await kit.opened(id, 'choose');
    await kit.parked(id);
    await kit.temporal.workflow.getHandle(id).terminate('by mistake');
    await kit.until(
      'broken',
      async () => (await sweep(kit.engine, atOnce), (await kit.row(id)).status),
      (status) => status === 'broken',
    );
    // To after the task was opened: the new run only waits, and writes nothing that would show that it lives.
    const run = await kit.reset(id, (event) => Boolean(event.workflowExecutionTerminatedEventAttributes));
    await kit.until(
      'open',
      async () => (await sweep(kit.engine, atOnce), (await kit.row(id)).status),
      (status) => status === 'open',
    );
    await kit.opened(id, 'choose');
    await kit.decide(id, 'choose', { choice: 'exchange' }, 'anna', 'customer');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['exchange'] });
    expect(await kit.row(id)).toMatchObject({ status: 'completed', run_id: run });
  });

  test('by a reset is none: the run that goes on counts', async () => {
    const id = await open('windowed');
    await kit.opened(id, 'choose');
    await kit.parked(id);
    await kit.reset(id, (event) => Boolean(event.workflowTaskCompletedEventAttributes));
    await kit.until(
      'the ended run in the list',
      async () => {
        let ended = 0;
        for await (const execution of kit.temporal.workflow.list({ query: `WorkflowId = "${id}" AND ExecutionStatus = "Terminated"` }))
          ended += execution.workflowId === id ? 1 : 0;
        return ended;
      },
      (ended) => ended === 1,
    );
    expect(await sweep(kit.engine, atOnce)).toMatchObject({ broken: 0 });
    await kit.decide(id, 'choose', { choice: 'refund' }, 'anna', 'customer');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['refund'] });
  });
});

describe('a message that was not delivered', () => {
  test('reaches its case although an older one is for a workflow that is gone', async () => {
    const [gone, id] = [await open('events'), await open('rounds')];
    await kit.opened(id, 'round-1/decide');
    await kit.temporal.workflow.getHandle(gone).terminate('by hand');
    await kit.store({ source: 'upstream', eventId: `${gone}-1`, kind: 'event', name: 'said', caseId: gone, body: { words: 'void' } });
    await kit.commitDecision(id, 'round-1/decide', { answer: 'yes' });
    expect(await redeliver(kit.pool, kit.temporal, 0)).toBe(1);
    await kit.until(
      'mark',
      () => kit.rows<{ n: number }>('select count(*)::int as n from inbox where case_id = $1 and seen_at is not null', id),
      (rows) => rows[0]?.n === 1,
    );
  });

  test('is brought after its grace; one that was delivered and not marked waits longer, lest a slow worker gets all twice', async () => {
    const id = await open('rounds');
    await kit.opened(id, 'round-1/decide');
    await kit.commitDecision(id, 'round-1/decide', { answer: 'yes' });
    const waiting = (again: number, grace: number) => casesToDeliver(kit.pool, again, grace, 10_000);
    expect(await waiting(0, 3_600_000)).not.toContain(id);
    expect(await waiting(3_600_000, 0)).toContain(id);
    await kit.pool.query('update inbox set delivered_at = now() where case_id = $1', [id]);
    expect(await waiting(3_600_000, 0)).not.toContain(id);
    expect(await waiting(0, 3_600_000)).toContain(id);
    expect(await redeliver(kit.pool, kit.temporal, 0)).toBeGreaterThan(0);
  });
});

describe('cases that fail again and again (HT10)', () => {
  const listed = async (query: string): Promise<string[]> => {
    const ids: string[] = [];
    for await (const { workflowId } of kit.temporal.workflow.list({ query })) ids.push(workflowId);
    return ids;
  };

  test('do not slow a healthy one, are found, and go on when a deployment mends them', async () => {
    const poisoned: CaseId[] = [];
    for (let n = 0; n < 50; n++) poisoned.push(await open(n % 2 === 0 ? 'poison' : 'poisonRecord'));
    const told = await open('poisonWhenTold');
    await kit.opened(told, 'person/decide');
    await say(told, 'now');

    for (let n = 0; n < 5; n++) {
      const began = Date.now();
      const id = await open('canonical', { items: ['a'] });
      await kit.opened(id, 'decide');
      await kit.decide(id, 'decide', { answer: 'yes' });
      await kit.outcome(id);
      // Half a second alone on two idle cores; one that waited for a slot of theirs would wait ten.
      expect(Date.now() - began).toBeLessThan(5000);
    }

    const failing = [...poisoned, told];
    await kit.until(
      'reports of Temporal',
      () => listed('ExecutionStatus = "Running" AND TemporalReportedProblems = "category=WorkflowTaskFailed"'),
      (ids) => failing.every((id) => ids.includes(id)),
    );
    await sweep(kit.engine, atOnce);
    expect(await kit.rows(`select id from cases where id = any($1) and status = 'broken'`, failing)).toHaveLength(failing.length);
    expect(await kit.row(told)).toMatchObject({ status: 'broken', trouble: expect.stringContaining('fails at every try') });
    expect(await kit.openTasks(told)).toEqual([]);

    await kit.stopWorker();
    await kit.startWorker((code) =>
      code.replaceAll('throw new TypeError("a fault of the code")', 'return').replaceAll("throw new TypeError('a fault of the code')", 'return'),
    );
    await kit.until(
      'mended',
      async () => (await sweep(kit.engine, atOnce), (await kit.row(told)).status),
      (status) => status === 'open',
    );
    await kit.decide(told, 'person/decide', { answer: 'no' });
    expect(await kit.outcome(told)).toEqual({ result: 'done', log: ['no'] });
  }, 120_000);
});
