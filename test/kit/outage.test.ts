/** Postgres or Temporal away, workers that are killed: nothing is lost, nothing is done twice, and a history does not grow while it waits. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { storeInbound, type Arrival } from '../../db/inbox.ts';
import { connectPool, inTransaction, isAway, type Pool } from '../../db/pool.ts';
import { deliverInbox } from '../../delivery/inbox.ts';
import type { CaseId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import { sweep, sweepSettings } from '../../worker/sweeps.ts';
import { startKit, type Kit, type Surroundings } from './harness.ts';
import { startKillable } from './killable.ts';
import { proxyTo, type Proxy } from '../../cli/faults/proxy.ts';
import { surroundings } from './surroundings.ts';
import { tinyCases } from './tiny.ts';

let kit: Kit;
/** As a killed worker sees the world: past the proxies. */
let direct: Surroundings;
let postgres: Proxy;
let temporal: Proxy;
/** Looks at rows while the kit's own way to Postgres is cut. */
let look: Pool;
beforeAll(async () => {
  direct = await surroundings();
  const database = new URL(direct.databaseUrl);
  const [host = '', port = ''] = direct.temporal.address.split(':');
  postgres = await proxyTo(database.hostname, Number(database.port));
  temporal = await proxyTo(host, Number(port));
  look = connectPool(direct.databaseUrl, 'look', 2);
  kit = await startKit({
    ...direct,
    databaseUrl: Object.assign(new URL(database), { hostname: '127.0.0.1', port: String(postgres.port) }).href,
    sandboxUrl: direct.databaseUrl,
    temporal: { ...direct.temporal, address: `127.0.0.1:${temporal.port}` },
  });
});
afterEach(() => kit.fault('bench', {}));
afterAll(async () => {
  await kit.stop();
  await look.end();
  await postgres.close();
  await temporal.close();
});

/** Nothing is too young to be looked at. */
const atOnce = { ...sweepSettings, graceMs: 0, redeliverAfterMs: 0, settleMs: 0 };
const { open, say, withdraw } = tinyCases(() => kit);
/** Postgres is there again, and the pool has noticed which of its connections broke. */
async function postgresBack(): Promise<void> {
  await postgres.restore();
  const all = () => Promise.all(Array.from({ length: 20 }, () => kit.pool.query('select 1')));
  await kit.until(
    'Postgres',
    () =>
      all().then(
        () => true,
        () => false,
      ),
    Boolean,
  );
}
/** A worker that can be killed, in place of the kit's own; what kills it. */
async function killableInstead(): Promise<() => Promise<void>> {
  await kit.stopWorker();
  return startKillable(kit, direct);
}
/** Waits until the other side has done it. */
const doneOnce = (of: CaseId, path: string) =>
  kit.until(
    `the other side has done ${path} of ${of}`,
    () => kit.executions(of),
    (done) => done[path] === 1,
  );
const pending = async (of: CaseId) => (await kit.temporal.workflow.getHandle(of).describe()).raw.pendingActivities?.[0];

/** Waits until the case's record has been tried `times` times as an activity; how long its history is then. */
async function tried(of: CaseId, times: number): Promise<number> {
  await kit.until(
    `try ${times} of ${of}`,
    async () => (await pending(of))?.attempt ?? 0,
    (attempt) => attempt >= times,
  );
  return (await kit.history(of)).length;
}
const taskStatus = async (of: CaseId) => (await look.query<{ status: string }>('select status from tasks where case_id = $1', [of])).rows[0]?.status;

describe('Postgres away (HT9)', () => {
  test.each(['refuse', 'hang'] as const)('when a task is to be opened (%s): the history does not grow, and the case goes on when it is back', async (how) => {
    await kit.stopWorker();
    const id = await open('windowed');
    if (how === 'refuse') await postgres.refuse();
    else postgres.hang();
    await kit.startWorker();
    const early = await tried(id, 1);
    expect(await tried(id, 2)).toBe(early);
    // No workflow task is held for it.
    expect((await kit.temporal.workflow.getHandle(id).describe()).raw.pendingWorkflowTask ?? undefined).toBeUndefined();
    await postgresBack();
    await kit.opened(id, 'choose');
    await kit.decide(id, 'choose', { choice: 'yes' }, 'anna', 'customer');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['yes'] });
  });

  test('when a person decides: they are told within seconds, and nothing is half done', async () => {
    const id = await open('windowed');
    await kit.opened(id, 'choose');
    postgres.hang();
    const began = Date.now();
    const refused = await kit.commitDecision(id, 'choose', { choice: 'yes' }, 'anna', 'customer').catch((error: unknown) => error);
    expect(isAway(refused)).toBe(true);
    expect(Date.now() - began).toBeLessThan(10_000);
    expect(await taskStatus(id)).toBe('open');
    await postgresBack();
    await kit.decide(id, 'choose', { choice: 'again' }, 'anna', 'customer');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['again'] });
  });

  test('when a window ends and the case closes: the row still decides, once it is back', async () => {
    const short = { windows: { customerChoice: 1500, evidence: 1500, parcelSent: 1500 } };
    const [silent, decided] = [await open('windowed', {}, short), await open('windowed', {}, short)];
    await kit.opened(silent, 'choose');
    await kit.opened(decided, 'choose');
    await kit.commitDecision(decided, 'choose', { choice: 'in time' }, 'anna', 'customer');
    await postgres.refuse();
    const early = await tried(silent, 1);
    expect(await tried(silent, 3)).toBe(early);
    await postgresBack();
    expect(await kit.outcome(silent)).toEqual({ result: 'done', log: ['silence'] });
    expect(await kit.outcome(decided)).toEqual({ result: 'done', log: ['in time'] });
    expect(await kit.row(silent)).toMatchObject({ status: 'completed' });
  });

  test.each([
    ['as it is', (code: string) => code, false],
    // What would mark an event as taken in by a case that has nothing left to take it with.
    ['with the mark written all the same', (code: string) => code.replace('run.closing = true', 'run.closing = false'), true],
  ])('while a case writes its end (%s): what comes then is late, and goes where late events go', async (_, code, marked) => {
    const id = await open('grabAndWait');
    await kit.opened(id, 'decide');
    await kit.stopWorker();
    await kit.decide(id, 'decide', { answer: 'yes' });
    await postgres.refuse();
    await kit.startWorker(code);
    await kit.until(
      'its last record',
      async () => (await pending(id))?.activityType?.name,
      (name) => name === 'closeCase',
    );
    const words: Arrival = {
      source: 'upstream',
      eventId: `${id}-late`,
      kind: 'event',
      name: 'said',
      caseId: id,
      body: { words: 'x' },
      at: instant(Date.now()),
    };
    await inTransaction(look, (tx) => storeInbound(tx, words));
    await deliverInbox(look, kit.temporal, id);
    await kit.parked(id);
    // Which of two records is written first when Postgres is back, nobody knows: so it is asked whether a mark is wanted at all.
    const wanted = async () => {
      const { raw } = await kit.temporal.workflow.getHandle(id).describe();
      return (raw.pendingActivities ?? []).some((one) => one.activityType?.name === 'record');
    };
    await kit.until('the mark, wanted or not', wanted, (is) => is === marked);
    await postgresBack();
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['yes'] });
    if (!marked) {
      expect(await kit.rows(`select seen_at from inbox where case_id = $1 and kind = 'event'`, id)).toEqual([{ seen_at: null }]);
      expect(await kit.rows(`select 1 from cases where process = 'errand' and parent = $1`, id)).toHaveLength(1);
    }
    await kit.stopWorker();
    await kit.startWorker();
  });

  test('for longer than an effect is tried: no person is asked, since none could help', async () => {
    kit.fault('bench', { lateAnswerMs: 700, operations: ['post'] });
    const id = await open('post', {}, { repairAfter: 1500 });
    await doneOnce(id, 'post');
    await postgres.refuse();
    kit.fault('bench', {});
    // Twice the time after which a person would be asked.
    await kit.until(
      'the second time-out',
      async () => (await kit.history(id)).filter((event) => event.activityTaskFailedEventAttributes ?? event.activityTaskTimedOutEventAttributes).length,
      (ended) => ended >= 2,
    );
    await postgresBack();
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['x'] });
    expect(await kit.rows('select 1 from tasks where case_id = $1', id)).toEqual([]);
    expect(await kit.executions(id)).toEqual({ post: 1 });
  });
});

describe('Temporal away', () => {
  test('starts, decisions and events are taken all the same, and reach their case in their order (IN11)', async () => {
    const id = await open('rounds');
    await kit.opened(id, 'round-1/decide');
    await kit.parked(id);
    await temporal.refuse();
    await kit.decide(id, 'round-1/decide', { answer: 'yes' });
    for (const words of ['first', 'second']) expect(await say(id, words)).toMatchObject({ status: 'stored' });
    const started = await open('grab');
    expect(await kit.row(started)).toMatchObject({ started_at: null });
    // What no sweep can mend now fails no sweep.
    expect(await sweep(kit.engine, atOnce)).toEqual({ started: 0, redelivered: 0, broken: 0, mended: 0, unclaimed: 0, forgotten: 0 });
    await temporal.restore();
    await kit.until(
      'sweeps',
      async () => (await sweep(kit.engine, atOnce), kit.openTasks(id)),
      (tasks) => tasks.includes('round-2/decide'),
    );
    expect(await kit.outcome(started)).toEqual({ result: 'done', log: ['x'] });
    await kit.decide(id, 'round-2/decide', { answer: 'yes' });
    await say(id, 'third');
    // The second words were said before the second round began.
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['first', 'third'] });
  });

  test('and API and worker killed after the commit: the decision reaches its case when all are back (HT4)', async () => {
    const kill = await killableInstead();
    const id = await open('canonical', { items: ['a'] });
    await kit.opened(id, 'decide');
    await kit.parked(id);
    await kit.commitDecision(id, 'decide', { answer: 'yes' });
    await kill();
    await temporal.refuse();
    await sweep(kit.engine, atOnce);
    await temporal.restore();
    await kit.startWorker();
    await kit.until(
      'sweeps',
      async () => (await sweep(kit.engine, atOnce), (await kit.row(id)).status),
      (status) => status === 'completed',
    );
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['yes', '1', 'grabbed'] });
    expect(await kit.executions(id)).toEqual({ grab: 1 });
  });
});

describe('a worker killed by `kill -9` (EF2)', () => {
  const sending = async (of: CaseId) => (await look.query<{ status: string }>('select status from effects where case_id = $1', [of])).rows[0]?.status;
  const repair = (of: CaseId, path: string, form: object) => kit.decide(of, path, form, 'lin', 'supervisor');

  test('between the intent and the call: what can be known is sent once, a person decides the rest', async () => {
    const kill = await killableInstead();
    kit.fault('bench', { outage: true });
    const [keyed, looked, never] = [await open('grab'), await open('probe'), await open('shout')];
    for (const id of [looked, never])
      await kit.until(
        'intent',
        () => sending(id),
        (status) => status === 'sending',
      );
    await kill();
    kit.fault('bench', {});
    await kit.startWorker();
    expect(await kit.outcome(keyed)).toEqual({ result: 'done', log: ['x'] });
    expect(await kit.outcome(looked)).toEqual({ result: 'done', log: ['x'] });
    await kit.opened(never, 'shout!repair-1');
    await repair(never, 'shout!repair-1', { action: 'retry' });
    expect(await kit.outcome(never)).toEqual({ result: 'done', log: ['x'] });
    expect([await kit.executions(keyed), await kit.executions(looked), await kit.executions(never)]).toEqual([{ grab: 1 }, { probe: 1 }, { shout: 1 }]);
  });

  test('between the call and its record, and between a record and the workflow that waits for it: done once', async () => {
    const kill = await killableInstead();
    kit.fault('bench', { lateAnswerMs: 5000, operations: ['probe', 'shout'] });
    const [looked, never, recorded] = [await open('probe'), await open('shout'), await open('grabThenProbe')];
    for (const [id, path] of [[looked, 'probe'] as const, [never, 'shout'] as const, [recorded, 'probe'] as const]) await doneOnce(id, path);
    await kill();
    kit.fault('bench', {});
    await kit.startWorker();
    expect(await kit.outcome(looked)).toEqual({ result: 'done', log: ['x'] });
    expect(await kit.outcome(recorded)).toEqual({ result: 'done', log: ['x'] });
    await kit.opened(never, 'shout!repair-1');
    await repair(never, 'shout!repair-1', { action: 'enterResult', result: { id: 'b_1', what: 'looked up' } });
    expect(await kit.outcome(never)).toEqual({ result: 'done', log: ['looked up'] });
    const attempts = async (id: CaseId) => (await kit.ledger('bench', `${id}/`)).map((e) => [e.operation, e.attempts, e.executions]);
    expect(await attempts(looked)).toEqual([['probe', 1, 1]]);
    expect(await attempts(never)).toEqual([['shout', 1, 1]]);
    expect(await attempts(recorded)).toEqual([
      ['grab', 1, 1],
      ['probe', 1, 1],
    ]);
  });

  test('with a withdrawal that is there before the next one: what the killed one had done is known first, and taken back (EF5)', async () => {
    const kill = await killableInstead();
    kit.fault('bench', { lateAnswerMs: 1500, operations: ['grab'] });
    const id = await open('grabAndWait');
    await doneOnce(id, 'a');
    await kill();
    kit.fault('bench', {});
    await withdraw(id);
    await kit.startWorker();
    expect(await kit.outcome(id)).toEqual({ result: 'withdrawn' });
    expect(await kit.rows('select path from effects where case_id = $1 and undoes is not null order by done_at', id)).toEqual([
      { path: 'b!undo' },
      { path: 'a!undo' },
    ]);
  });

  test('after it has done and taken back the same thing: neither is done again, and nobody is asked', async () => {
    const kill = await killableInstead();
    kit.fault('bench', { lateAnswerMs: 5000, operations: ['probe'] });
    const id = await open('grabLetGoThenProbe');
    // It was taken back by then.
    await doneOnce(id, 'probe');
    await kill();
    kit.fault('bench', {});
    await kit.startWorker();
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['x'] });
    expect(await kit.executions(id)).toEqual({ a: 1, 'a!undo': 1, probe: 1 });
    expect(await kit.rows(`select name from tasks where case_id = $1`, id)).toEqual([]);
  });

  test.each([
    // What was asked for is in the history before it is sent, and is asked for again as it was.
    ['postWhatIsHere', 'post', 'asked again'],
    // Beside the workflow task it is not, which is why such an operation has to be slow: the next try would ask for something else under the same key.
    ['grabWhatIsHere', 'grab', 'refused'],
  ])("with more here before the next one (%s): a slow effect stays what it was, a quick one is a person's to decide", async (script, path, next) => {
    const kill = await killableInstead();
    kit.fault('bench', { lateAnswerMs: 1500, operations: [path] });
    const id = await open(script);
    await doneOnce(id, path);
    await kill();
    kit.fault('bench', {});
    await say(id, 'here');
    await kit.startWorker();
    if (next === 'refused') {
      await kit.opened(id, `${path}!repair-1`);
      expect(await kit.rows(`select context->>'failure' as failure from tasks where case_id = $1`, id)).toEqual([{ failure: 'SystemRefused' }]);
      await repair(id, `${path}!repair-1`, { action: 'enterResult', result: { id: 'b_1', what: '0 here' } });
    }
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['0 here'] });
    expect(await kit.executions(id)).toMatchObject({ [path]: 1 });
  });
});
