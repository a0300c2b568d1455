/** Clocks of cases as rows: the log that a case writes, and the job that warns and escalates. What a log means is the reducer's, tested by itself. */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { clockDue, recordClocks } from '../../activities/clock-log.ts';
import { policyOf } from '../../activities/context.ts';
import { lockCase } from '../../db/cases.ts';
import { publishPolicy } from '../../db/policies.ts';
import { inTransaction } from '../../db/pool.ts';
import { escalateTasks } from '../../db/tasks.ts';
import { deliverInbox } from '../../delivery/inbox.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { CaseId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import { startKit, type HistoryEvent, type Kit } from './harness.ts';
import { surroundings } from './surroundings.ts';
import { tinyCases } from './tiny.ts';

let kit: Kit;
beforeAll(async () => {
  kit = await startKit(await surroundings());
});
afterAll(() => kit.stop());

const hours = 3_600_000;
const { open, withdraw, say } = tinyCases(() => kit);
/** A case whose clock T10 (24 hours, at any time of day) runs and whose task `decide` names it. */
async function running(script = 'clocks'): Promise<CaseId> {
  const id = await open(script);
  await kit.opened(id, 'decide');
  await kit.parked(id);
  return id;
}
interface Clock {
  status: string;
  deadline: Date | null;
  next_point: Date | null;
  notices: string[];
  state: { endedAt: string | null };
}
async function clock(of: CaseId): Promise<Clock> {
  const [row] = await kit.rows<Clock>(`select status, deadline, next_point, notices, state from clocks where case_id = $1 and clock = 'handle'`, of);
  if (row === undefined) throw new Error(`${of} has no clock`);
  return row;
}
const log = (of: CaseId) =>
  kit.rows<{ seq: number; kind: string; at: Date }>(`select seq, command->>'kind' as kind, at from clock_log where case_id = $1 order by clock, seq`, of);
const job = async (of: CaseId) => (await kit.rows<{ run_at: Date }>('select run_at from graphile_worker.jobs where key = $1', `clock:${of}:handle`))[0];
/** As if everything the clock knows had happened earlier. */
const pass = (of: CaseId, ms: number) => kit.pool.query(`update clock_log set at = at - $2 * interval '1 millisecond' where case_id = $1`, [of, ms]);
const told = (of: CaseId) =>
  kit.rows<{ message: string; recipient: string }>('select message, recipient from messages where case_id = $1 order by queued_at, recipient', of);
const noted = (of: CaseId, kind = 'clock_%') =>
  kit.rows<{ kind: string; data: Record<string, unknown> }>(`select kind, data from timeline where case_id = $1 and kind like $2 order by id`, of, kind);
const task = async (of: CaseId, path = 'decide') =>
  (
    await kit.rows<{ role: string; assignee: string | null; status: string }>(
      'select role, assignee, status from tasks where case_id = $1 and path = $2',
      of,
      path,
    )
  )[0];

describe('a clock that a case starts', () => {
  test('pauses, resumes and stops at the facts that the case acts on, and ends met', async () => {
    const id = await running();
    const [started] = await log(id);
    expect(await clock(id)).toMatchObject({
      status: 'running',
      deadline: new Date(Number(started?.at) + 24 * hours),
      next_point: new Date(Number(started?.at) + 12 * hours),
    });
    expect((await job(id))?.run_at).toEqual((await clock(id)).next_point);

    await kit.decide(id, 'decide', { answer: 'yes' });
    await kit.until(
      'pause',
      () => clock(id),
      ({ status }) => status === 'paused',
    );
    expect(await clock(id)).toMatchObject({ deadline: null, next_point: null });
    expect(await job(id)).toBeUndefined();

    await say(id, 'here');
    await kit.opened(id, 'again/decide');
    expect(await clock(id)).toMatchObject({ status: 'running' });
    await kit.decide(id, 'again/decide', { answer: 'yes' });
    await kit.outcome(id);
    expect(await clock(id)).toMatchObject({ status: 'met', next_point: null });
    expect(await job(id)).toBeUndefined();

    const entries = await log(id);
    expect(entries.map((e) => e.kind)).toEqual(['start', 'pause', 'resume', 'stop']);
    const decided = await kit.rows<{ decided_at: Date }>('select decided_at from tasks where case_id = $1 order by opened_at', id);
    const [event] = await kit.rows<{ at: Date }>(`select at from inbox where case_id = $1 and kind = 'event'`, id);
    expect(entries.slice(1).map((e) => e.at)).toEqual([decided[0]?.decided_at, event?.at, decided[1]?.decided_at]);
  });

  test('is written once, whatever a reset runs again', async () => {
    const id = await running();
    const before = await log(id);
    await kit.reset(id, (event) => Boolean(event.workflowTaskCompletedEventAttributes));
    await kit.parked(id);
    await kit.decide(id, 'decide', { answer: 'yes' });
    await kit.until(
      'pause',
      () => clock(id),
      ({ status }) => status === 'paused',
    );
    expect((await log(id)).slice(0, 1)).toEqual(before);
  });

  test('is abandoned when its case is withdrawn, and counts again when the case is reset', async () => {
    const id = await running();
    await withdraw(id);
    await kit.outcome(id);
    expect(await clock(id)).toMatchObject({ status: 'stopped', next_point: null });
    expect(await job(id)).toBeUndefined();
    await kit.reset(id, (event) => Boolean(event.workflowTaskCompletedEventAttributes), 'dropped');
    await kit.opened(id, 'decide');
    expect(await clock(id)).toMatchObject({ status: 'running' });
    expect(await job(id)).toBeDefined();
  });
});

describe('a case that is reset into another branch (HT6)', () => {
  const start = (event: HistoryEvent): boolean => Boolean(event.workflowTaskCompletedEventAttributes);
  const status = (of: CaseId, expected: string) =>
    kit.until(
      `clock ${expected}`,
      () => kit.rows<{ status: string }>('select status from clocks where case_id = $1', of),
      ([seen]) => seen?.status === expected,
    );
  /** A case that was told to wait and then reset, and told to stop: its clock has stopped. */
  async function forked(): Promise<CaseId> {
    const id = await open('fork');
    await status(id, 'running');
    await say(id, 'wait');
    await status(id, 'paused');
    await kit.parked(id);
    await kit.reset(id, start, 'dropped');
    await status(id, 'running');
    await say(id, 'stop');
    await status(id, 'met');
    return id;
  }

  test('sends its clocks other commands, and those count', async () => {
    const id = await forked();
    // Both runs' commands are kept, and the first start still counts.
    expect((await log(id)).map(({ seq, kind }) => `${seq} ${kind}`).toSorted()).toEqual(['1 start', '1 start', '2 pause', '2 stop']);
    const [first] = (await log(id)).filter(({ kind }) => kind === 'start').toSorted((a, b) => Number(a.at) - Number(b.at));
    expect((await clock(id)).state).toMatchObject({ startedAt: first?.at.toISOString() });
    expect((await noted(id, 'clock')).map(({ data }) => data['command'])).toEqual(['start', 'pause', 'stop']);
  });

  test('or none: what the run before had sent no longer counts', async () => {
    const id = await running();
    await kit.decide(id, 'decide', { answer: 'yes' });
    await status(id, 'paused');
    await say(id, 'here');
    await status(id, 'running');
    await kit.opened(id, 'again/decide');
    await kit.parked(id);
    await kit.reset(id, start, 'dropped');
    // The decision is adopted, the words were dropped: it waits for the customer again.
    await status(id, 'paused');
    await say(id, 'here again');
    await kit.decide(id, 'again/decide', { answer: 'yes' });
    await kit.outcome(id);
    expect(await clock(id)).toMatchObject({ status: 'met' });
  });

  test('and a record of the run before that comes late changes nothing', async () => {
    const id = await forked();
    const of = await kit.row(id);
    const late = { clock: 'handle', name: 'handle', seq: 3, at: instant(Date.now()), command: { kind: 'resume', why: 'customer' } } as const;
    await inTransaction(kit.pool, async (tx) => recordClocks(tx, await lockCase(tx, id), await policyOf(tx, of), { handle: 'T10' }, [late]));
    expect(await clock(id)).toMatchObject({ status: 'met' });
  });

  test('tells nobody anything before it has caught up', async () => {
    const id = await running();
    await pass(id, 20 * hours);
    await kit.decide(id, 'decide', { answer: 'yes' });
    await status(id, 'paused');
    await kit.reset(id, start, 'dropped');
    await kit.until(
      'the new run',
      () => kit.row(id),
      (row) => row.reset_runs.length === 1,
    );
    const due = (await job(id))?.run_at;
    // Paused again already, or told to wait.
    expect(due === undefined || Number(due) > Date.now()).toBe(true);
    await status(id, 'paused');
    expect(await told(id)).toEqual([]);
  });
});

describe('the due job', () => {
  test('warns once, with one notice for every point that has passed (CL4)', async () => {
    const id = await running();
    await clockDue(kit.engine, id, 'handle');
    expect(await told(id)).toEqual([]);
    await pass(id, 20 * hours);
    for (let n = 0; n < 3; n++) await clockDue(kit.engine, id, 'handle');
    expect(await told(id)).toEqual([{ message: 'kit.clockWarned', recipient: 'agent' }]);
    expect(await noted(id)).toMatchObject([{ kind: 'clockWarned', data: { percent: 75, tasks: [`${id}:decide`] } }]);
    expect(await clock(id)).toMatchObject({ status: 'running', next_point: new Date(Number((await clock(id)).deadline) + 1) });
  });

  test.each([
    ['an hour ahead', 1, 11.5, []],
    ['an hour behind', -1, 12.5, ['kit.clockWarned']],
  ])('goes by Postgres, whose time it is, where the clock of its worker is %s', async (_, off, passed, expected) => {
    const id = await running();
    await pass(id, passed * hours);
    const { now } = Date;
    const worker = jest.spyOn(Date, 'now').mockImplementation(() => now() + off * hours);
    try {
      await clockDue(kit.engine, id, 'handle');
    } finally {
      worker.mockRestore();
    }
    expect((await told(id)).map(({ message }) => message)).toEqual(expected);
  });

  test('escalates the open tasks that name the clock, level by level, up to the top (CL5)', async () => {
    const id = await running();
    await kit.pool.query(`update tasks set assignee = 'wang' where case_id = $1`, [id]);
    await pass(id, 24 * hours);
    await clockDue(kit.engine, id, 'handle');
    // The first level are the agents themselves.
    expect(await task(id)).toEqual({ role: 'agent', assignee: 'wang', status: 'open' });
    await pass(id, 1 * hours);
    await clockDue(kit.engine, id, 'handle');
    expect(await task(id)).toEqual({ role: 'supervisor', assignee: null, status: 'open' });
    await pass(id, 3 * hours);
    for (let n = 0; n < 3; n++) await clockDue(kit.engine, id, 'handle');
    expect(await task(id)).toEqual({ role: 'manager', assignee: null, status: 'open' });
    expect((await noted(id)).map(({ kind, data }) => [kind, data['to']])).toEqual([
      ['clockEscalated', 'agent'],
      ['clockEscalated', 'supervisor'],
      ['clockEscalated', 'manager'],
    ]);
    expect(await clock(id)).toMatchObject({ status: 'broken', next_point: null });
    expect(await job(id)).toBeUndefined();
    await expect(kit.commitDecision(id, 'decide', { answer: 'yes' }, 'wang', 'agent')).rejects.toThrow('notAuthorized');
    await kit.decide(id, 'decide', { answer: 'yes' }, 'chen', 'manager');
    await kit.until(
      'the case goes on',
      () => log(id),
      (entries) => entries.length > 1,
    );
    expect(await clock(id)).toMatchObject({ status: 'broken' });
  });

  test('tells nobody of a breach when the decision was written in time and is only not delivered: met (CL2)', async () => {
    const id = await running('canonical');
    await pass(id, 24 * hours - 1500);
    await kit.commitDecision(id, 'decide', { answer: 'yes' });
    const [start] = await log(id);
    await kit.until(
      'the deadline',
      () => Promise.resolve(Date.now()),
      (now) => now > Number(start?.at) + 24 * hours,
    );
    await clockDue(kit.engine, id, 'handle');
    expect((await told(id)).filter(({ message }) => message === 'kit.clockEscalated')).toEqual([]);
    expect(Number((await job(id))?.run_at)).toBeGreaterThan(Date.now());
    await deliverInbox(kit.pool, kit.temporal, id);
    await kit.outcome(id);
    expect(await clock(id)).toMatchObject({ status: 'met' });
    expect(await noted(id)).toEqual([]);
  });

  test('does escalate while other messages wait to be delivered and the task is still open', async () => {
    const id = await running();
    await kit.store({ source: 'upstream', eventId: `unseen-${id}`, kind: 'event', name: 'said', caseId: id, body: { words: 'anyone there?' } });
    await pass(id, 26 * hours);
    await clockDue(kit.engine, id, 'handle');
    expect(await task(id)).toMatchObject({ role: 'supervisor' });
  });

  test('has nothing to say once the case has ended', async () => {
    const id = await running();
    await kit.pool.query(`update cases set status = 'broken' where id = $1`, [id]);
    await pass(id, 30 * hours);
    await clockDue(kit.engine, id, 'handle');
    expect(await told(id)).toEqual([]);
  });

  test('and the records and decisions of its case take turns: none waits for another in a circle (CL5)', async () => {
    for (let round = 0; round < 5; round++) {
      const id = await running();
      await pass(id, 26 * hours);
      const of = await kit.row(id);
      const policy = await policyOf(kit.pool, of);
      const record = (seq: number) =>
        inTransaction(kit.pool, async (tx) => {
          await lockCase(tx, id);
          await recordClocks(tx, of, policy, { handle: 'T10' }, [
            { clock: 'handle', name: 'handle', seq, at: instant(Date.now()), command: { kind: 'pause', why: `reason-${seq}` } },
          ]);
        });
      const decision = kit.commitDecision(id, 'decide', { answer: 'yes' }).then(
        () => 'decided',
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
      await Promise.all([clockDue(kit.engine, id, 'handle'), record(20), record(21), clockDue(kit.engine, id, 'handle'), record(22)]);
      // Before the breach was told it is an agent's, after it a supervisor's; either way one of the two.
      expect(await decision).toMatch(/decided|notAuthorized/);
      expect(await task(id)).toMatchObject(await decision.then((said) => (said === 'decided' ? { status: 'done' } : { status: 'open', role: 'supervisor' })));
    }
  });

  test('negative control: locked the other way round, two wait for each other', async () => {
    const id = await running();
    const [one, two] = [await kit.pool.connect(), await kit.pool.connect()];
    try {
      await one.query('begin');
      await two.query('begin');
      await lockCase(one, id);
      await two.query(`select 1 from clocks where case_id = $1 for update`, [id]);
      const ends = await Promise.allSettled([
        one.query(`select 1 from clocks where case_id = $1 for update`, [id]),
        escalateTasks(two, id, 'handle', 'supervisor'),
      ]);
      expect(ends.map((end) => (end.status === 'rejected' ? String(end.reason) : ''))).toContainEqual(expect.stringContaining('deadlock detected'));
    } finally {
      one.release(true);
      two.release(true);
    }
  });
});

describe('a policy that is published while a case runs (CL9)', () => {
  test('changes nothing for it', async () => {
    const id = await running();
    const deadline = (await clock(id)).deadline;
    const loaded = loadPolicy(new URL('../../policies/demo.yaml', import.meta.url).pathname);
    await publishPolicy(kit.pool, loaded);
    await kit.decide(id, 'decide', { answer: 'yes' });
    await say(id, 'here');
    await kit.opened(id, 'again/decide');
    // 30 seconds there. Only the pause was added.
    const after = (await clock(id)).deadline;
    expect(Number(after) - Number(deadline)).toBeGreaterThanOrEqual(0);
    expect(Number(after) - Number(deadline)).toBeLessThan(60_000);
    expect((await kit.row(id)).manifest.policy).not.toBe(loaded.version);
  });
});
