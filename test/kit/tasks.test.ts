import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { openCase, type CaseRow } from '../../db/cases.ts';
import { putPerson } from '../../db/people.ts';
import { publishPolicy } from '../../db/policies.ts';
import { connectPool, inTransaction, type Pool, type Sql } from '../../db/pool.ts';
import { Refused, type Refusal } from '../../db/refused.ts';
import { masterKeys, open as openSealed } from '../../db/sealed.ts';
import {
  askRedo,
  claimTask,
  closeAllTasks,
  closeTasks,
  completeTask,
  delegateTask,
  escalateTasks,
  findTask,
  nextTask,
  openTask,
  openTasks,
  reassignTask,
  redoTask,
  releaseTask,
  type Completion,
  type OpenTask,
  type Task,
} from '../../db/tasks.ts';
import { loadPolicy } from '../../policies/load.ts';
import { taskId, type PersonId, type TaskId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import type { Role } from '../../values/role.ts';
import { freeText } from '../../values/schemas.ts';
import { part } from '../../api/words.ts';
import { manifestOf } from '../../workflows/registry.ts';
import { tiny } from '../processes/tiny/process.ts';
import { freshDatabase } from '../stack/env.ts';

const master = masterKeys(randomBytes(32).toString('base64'));
const policy = loadPolicy(new URL('../../policies/default.yaml', import.meta.url).pathname);
const form = z.object({ answer: z.enum(['yes', 'no']), note: freeText() });
const as = (id: string): PersonId => id as PersonId;
let pool: Pool;

beforeAll(async () => {
  pool = connectPool(await freshDatabase(), 'tasks-test', 10);
  await publishPolicy(pool, policy);
  await person('li', 'agent');
  await person('zhao', 'agent');
  await person('wang', 'supervisor');
  await person('sun', 'supervisor');
  await person('chen', 'manager');
  await person('qian', 'quality');
});
afterAll(async () => {
  await pool.end();
});

const person = (id: string, ...roles: Role[]) => putPerson(pool, { id: as(id), name: id, roles, shops: ['main'], active: true, absentUntil: null });

async function newCase(starter = 'platform', shop = 'main'): Promise<CaseRow> {
  const input = { id: randomUUID(), shop, script: 'canonical', items: [] };
  const opened = await inTransaction(pool, (tx) => openCase(tx, { declaration: tiny, input, manifest: manifestOf(tiny, shop, policy, {}), starter }));
  if (opened.status !== 'new') throw new Error('not new');
  return opened.case;
}
const asked = (of: CaseRow, more: Partial<OpenTask> = {}): OpenTask => ({
  caseId: of.id,
  path: 'decide',
  name: 'decide',
  process: 'tiny',
  shop: of.shop,
  role: 'agent',
  context: {},
  formVersion: 1,
  notBy: [],
  clocks: ['handle'],
  run: 'run-1',
  ...more,
});
async function newTask(of: CaseRow, more: Partial<OpenTask> = {}): Promise<TaskId> {
  const open = asked(of, more);
  await inTransaction(pool, (tx) => openTask(tx, open));
  return taskId(of.id, open.path);
}
const completion = (id: TaskId, by: string, filled: unknown = { answer: 'yes' }): Completion => ({
  taskId: id,
  person: as(by),
  now: instant(Date.now()),
  master,
  read: (task) => {
    const parsed = (task.name === redoTask ? z.object({ decision: z.enum(['approve', 'refuse']) }) : form).safeParse(filled);
    if (!parsed.success) return { ok: false, errors: [{ path: 'form', message: parsed.error.message }] };
    const { kept, words } = part(task.name === redoTask ? z.unknown() : form, parsed.data);
    return { ok: true, form: kept, words };
  },
});
const complete = (id: TaskId, by: string, filled?: unknown) => inTransaction(pool, (tx) => completeTask(tx, completion(id, by, filled)));
const found = async (id: TaskId): Promise<Task> => {
  const task = await findTask(pool, id);
  if (task === undefined) throw new Error(`no task ${id}`);
  return task;
};
const refusal = async (work: Promise<unknown>): Promise<{ why: Refusal; facts: Readonly<Record<string, unknown>> } | 'done'> => {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (error instanceof Refused) return { why: error.why, facts: error.facts };
    throw error;
  }
};
const counts = async (of: CaseRow) => {
  const { rows } = await pool.query<{ inbox: number; decided: number; hands: number }>(
    `select (select count(*)::int from inbox where case_id = $1) as inbox, (select count(*)::int from timeline where case_id = $1 and kind = 'taskDecided') as decided,
       (select count(*)::int from task_hands where case_id = $1) as hands`,
    [of.id],
  );
  return rows[0];
};

/** Runs `first` up to its commit, starts `second` so that it waits for its lock, then lets `first` go. */
async function inOrder<A, B>(
  first: (tx: Sql) => Promise<A>,
  second: (tx: Sql) => Promise<B>,
): Promise<[A, B | { why: Refusal; facts: Readonly<Record<string, unknown>> }]> {
  const a = await pool.connect();
  const b = await pool.connect();
  try {
    await a.query('begin');
    await b.query('begin');
    const [{ pid }] = (await b.query<{ pid: number }>('select pg_backend_pid() as pid')).rows as [{ pid: number }];
    const won = await first(a);
    const waiting = second(b).then(
      async (value) => {
        await b.query('commit');
        return value;
      },
      async (error: unknown) => {
        await b.query('rollback');
        if (error instanceof Refused) return { why: error.why, facts: error.facts };
        throw error;
      },
    );
    for (;;) {
      const { rows } = await pool.query<{ waits: boolean }>('select cardinality(pg_blocking_pids($1)) > 0 as waits', [pid]);
      if (rows[0]?.waits) break;
    }
    await a.query('commit');
    return [won, await waiting];
  } finally {
    a.release();
    b.release();
  }
}

describe('a task that two people decide', () => {
  test('HT1: has one winner, and the loser sees whom, what and when', async () => {
    const of = await newCase();
    const id = await newTask(of);
    const results = await Promise.all([refusal(complete(id, 'li')), refusal(complete(id, 'zhao', { answer: 'no' }))]);
    const [lost] = results.filter((r) => r !== 'done');
    const task = await found(id);
    expect(results.filter((r) => r === 'done')).toHaveLength(1);
    expect(lost).toEqual({ why: 'taskClosed', facts: { task: id, status: 'done', by: task.decidedBy, form: task.form, at: task.decidedAt } });
    expect(await counts(of)).toEqual({ inbox: 1, decided: 1, hands: 1 });
  });

  test('HT1: eight at once have one winner, twenty times', async () => {
    for (let round = 0; round < 20; round++) {
      const of = await newCase();
      const id = await newTask(of);
      const results = await Promise.all(
        Array.from({ length: 8 }, (_, i) => refusal(complete(id, i % 2 === 0 ? 'li' : 'zhao', { answer: 'yes', note: `${i}` }))),
      );
      expect(results.filter((r) => r === 'done')).toHaveLength(1);
      expect(await counts(of)).toEqual({ inbox: 1, decided: 1, hands: 1 });
    }
  });

  test('HT2: gives the same person with the same form the same answer, and writes nothing', async () => {
    const of = await newCase();
    const id = await newTask(of);
    const first = await complete(id, 'li', { answer: 'yes', note: 'call 138 0000' });
    const before = await counts(of);
    const again = await complete(id, 'li', { note: 'call 138 0000', answer: 'yes' });
    expect(again).toEqual({ task: first.task, repeated: true });
    expect(await counts(of)).toEqual(before);
  });

  test('HT2: refuses the same person with another form, or with other words', async () => {
    const of = await newCase();
    const id = await newTask(of);
    await complete(id, 'li', { answer: 'yes', note: 'one' });
    expect(await refusal(complete(id, 'li', { answer: 'no', note: 'one' }))).toMatchObject({ why: 'taskClosed' });
    expect(await refusal(complete(id, 'li', { answer: 'yes', note: 'two' }))).toMatchObject({ why: 'taskClosed' });
    expect(await refusal(complete(id, 'li', { answer: 'yes' }))).toMatchObject({ why: 'taskClosed' });
  });
});

describe('HT3: completion meets', () => {
  for (const how of ['expired', 'withdrawn', 'lost'] as const) {
    test(`${how}, which comes second: the completion wins, and the case gets the decision`, async () => {
      const of = await newCase();
      const id = await newTask(of);
      const [, states] = await inOrder(
        (tx) => completeTask(tx, completion(id, 'li')),
        (tx) => closeTasks(tx, of.id, ['decide'], how),
      );
      expect(states).toEqual([{ path: 'decide', status: 'done', decision: expect.objectContaining({ by: 'li', form: { answer: 'yes' }, role: 'agent' }) }]);
      expect(await counts(of)).toMatchObject({ inbox: 1 });
    });

    test(`${how}, which comes first: the person learns that it is closed, and nothing is written`, async () => {
      const of = await newCase();
      const id = await newTask(of);
      const [states, late] = await inOrder(
        (tx) => closeTasks(tx, of.id, ['decide'], how),
        (tx) => completeTask(tx, completion(id, 'li')),
      );
      expect(states).toEqual([{ path: 'decide', status: how }]);
      expect(late).toMatchObject({ why: 'taskClosed', facts: { status: how, by: null } });
      expect(await counts(of)).toEqual({ inbox: 0, decided: 0, hands: 0 });
    });
  }

  test('the end of the case, in both orders', async () => {
    const one = await newCase();
    const decided = await newTask(one);
    await inOrder(
      (tx) => completeTask(tx, completion(decided, 'li')),
      (tx) => closeAllTasks(tx, one.id),
    );
    expect((await found(decided)).status).toBe('done');
    const two = await newCase();
    const withdrawn = await newTask(two);
    const [, late] = await inOrder(
      (tx) => closeAllTasks(tx, two.id),
      (tx) => completeTask(tx, completion(withdrawn, 'li')),
    );
    expect(late).toMatchObject({ why: 'taskClosed', facts: { status: 'withdrawn' } });
  });

  test('delegation, which comes second: refused, the decision stands', async () => {
    const of = await newCase();
    const id = await newTask(of);
    const [, late] = await inOrder(
      (tx) => completeTask(tx, completion(id, 'li')),
      (tx) => delegateTask(tx, { taskId: id, person: as('li'), to: as('zhao') }),
    );
    expect(late).toMatchObject({ why: 'taskClosed', facts: { by: 'li' } });
  });

  test('delegation, which comes first: the one who delegated no longer decides, the other does', async () => {
    const of = await newCase();
    const id = await newTask(of);
    const [, late] = await inOrder(
      (tx) => delegateTask(tx, { taskId: id, person: as('li'), to: as('zhao') }),
      (tx) => completeTask(tx, completion(id, 'li')),
    );
    expect(late).toMatchObject({ why: 'taskClaimed', facts: { by: 'zhao' } });
    expect((await complete(id, 'zhao')).task.decidedBy).toBe('zhao');
  });

  test('escalation, which comes second: finds nothing to raise', async () => {
    const of = await newCase();
    const id = await newTask(of);
    const [, raised] = await inOrder(
      (tx) => completeTask(tx, completion(id, 'li')),
      (tx) => escalateTasks(tx, of.id, 'handle', 'supervisor'),
    );
    expect(raised).toEqual([]);
    expect((await found(id)).role).toBe('agent');
  });

  test('escalation, which comes first: the task is the supervisor’s now, and lets go of its assignee', async () => {
    const of = await newCase();
    const id = await newTask(of);
    await inTransaction(pool, (tx) => claimTask(tx, { taskId: id, person: as('li') }));
    const [raised, late] = await inOrder(
      (tx) => escalateTasks(tx, of.id, 'handle', 'supervisor'),
      (tx) => completeTask(tx, completion(id, 'li')),
    );
    expect(raised).toEqual([id]);
    expect(late).toMatchObject({ why: 'notAuthorized', facts: { needs: 'supervisor' } });
    expect(await found(id)).toMatchObject({ role: 'supervisor', declaredRole: 'agent', assignee: null });
  });

  test('escalation leaves a task of a role beside the ladder where it is', async () => {
    const of = await newCase();
    const id = await newTask(of, { role: 'quality' });
    expect(await inTransaction(pool, (tx) => escalateTasks(tx, of.id, 'handle', 'manager'))).toEqual([]);
    expect((await complete(id, 'qian')).task.decidedRole).toBe('quality');
  });
});

describe('opening a task again', () => {
  test('adopts the decision, whatever run asks', async () => {
    const of = await newCase();
    const id = await newTask(of);
    await complete(id, 'li');
    for (const run of ['run-1', 'run-2'])
      expect(await inTransaction(pool, (tx) => openTask(tx, asked(of, { run })))).toMatchObject({
        status: 'done',
        decision: { by: 'li', form: { answer: 'yes' } },
      });
    expect((await found(id)).status).toBe('done');
  });

  test('finds an open one open, as people see it', async () => {
    const of = await newCase();
    const id = await newTask(of);
    await inTransaction(pool, (tx) => claimTask(tx, { taskId: id, person: as('li') }));
    expect(await inTransaction(pool, (tx) => openTask(tx, asked(of, { run: 'run-2' })))).toEqual({ path: 'decide', status: 'open' });
    expect((await found(id)).assignee).toBe('li');
  });

  test('HT6: reopens for another run what was closed undecided, and never for the run that closed it', async () => {
    const of = await newCase();
    const id = await newTask(of);
    await inTransaction(pool, (tx) => closeTasks(tx, of.id, ['decide'], 'lost'));
    expect(await inTransaction(pool, (tx) => openTask(tx, asked(of)))).toEqual({ path: 'decide', status: 'lost' });
    expect(await inTransaction(pool, (tx) => openTask(tx, asked(of, { run: 'run-2', context: { round: 2 } })))).toEqual({ path: 'decide', status: 'open' });
    expect(await found(id)).toMatchObject({ status: 'open', context: { round: 2 }, closedAt: null });
    expect((await complete(id, 'li')).repeated).toBe(false);
  });
});

describe('who decides', () => {
  test('an amount finds the lowest role whose limit covers it, never below the role that was named', async () => {
    const of = await newCase();
    const role = async (path: string, more: Partial<OpenTask>) => (await found(await newTask(of, { path, ...more }))).role;
    expect(await role('a', { role: undefined, amountRole: 'agent', amount: { minor: 100, currency: 'CNY' } })).toBe('agent');
    expect(await role('b', { role: undefined, amountRole: 'manager', amount: { minor: 100, currency: 'XYZ' } })).toBe('manager');
    expect(await role('c', { role: 'supervisor', amountRole: 'agent' })).toBe('supervisor');
    expect(await role('d', { role: 'agent', amountRole: 'supervisor' })).toBe('supervisor');
    expect(await role('e', { role: 'quality', amountRole: 'manager' })).toBe('quality');
    await expect(newTask(of, { path: 'f', role: undefined })).rejects.toThrow(/neither a role nor an amount/);
  });

  test('HT8: the role in the person’s row counts when they decide, not when they claimed', async () => {
    const of = await newCase();
    const id = await newTask(of, { role: 'supervisor' });
    await person('he', 'supervisor');
    await inTransaction(pool, (tx) => claimTask(tx, { taskId: id, person: as('he') }));
    await person('he', 'agent');
    expect(await refusal(complete(id, 'he'))).toMatchObject({ why: 'notAuthorized' });
    await person('he', 'supervisor');
    expect(await refusal(complete(id, 'he'))).toBe('done');
  });

  test('a task of another shop does not exist', async () => {
    const of = await newCase('platform', 'elsewhere');
    const id = await newTask(of);
    expect(await refusal(complete(id, 'li'))).toMatchObject({ why: 'taskNotFound' });
  });

  test('a form that does not fit is refused and nothing is written', async () => {
    const of = await newCase();
    const id = await newTask(of);
    expect(await refusal(complete(id, 'li', { answer: 'perhaps' }))).toMatchObject({ why: 'formInvalid' });
    expect(await counts(of)).toEqual({ inbox: 0, decided: 0, hands: 0 });
    expect((await found(id)).status).toBe('open');
  });
});

describe('HT8: four eyes', () => {
  const confirm = { path: 'confirm', name: 'confirm', role: 'supervisor', notBy: ['decide'] } as const satisfies Partial<OpenTask>;

  test('whoever decided may not confirm', async () => {
    const of = await newCase();
    await complete(await newTask(of), 'wang');
    const id = await newTask(of, confirm);
    expect(await refusal(complete(id, 'wang'))).toMatchObject({ why: 'fourEyes', facts: { because: 'decided' } });
    expect(await refusal(inTransaction(pool, (tx) => claimTask(tx, { taskId: id, person: as('wang') })))).toMatchObject({ why: 'fourEyes' });
    expect(await refusal(complete(id, 'sun'))).toBe('done');
  });

  test('whoever delegated the decision may not confirm it', async () => {
    const of = await newCase();
    const decide = await newTask(of);
    await inTransaction(pool, (tx) => delegateTask(tx, { taskId: decide, person: as('wang'), to: as('li') }));
    await complete(decide, 'li');
    const id = await newTask(of, confirm);
    expect(await refusal(complete(id, 'wang'))).toMatchObject({ why: 'fourEyes', facts: { because: 'delegated' } });
  });

  test('nor may it be delegated or reassigned to one of them', async () => {
    const of = await newCase();
    await complete(await newTask(of), 'wang');
    const id = await newTask(of, confirm);
    const move = (to: string) => [
      refusal(inTransaction(pool, (tx) => delegateTask(tx, { taskId: id, person: as('sun'), to: as(to) }))),
      refusal(inTransaction(pool, (tx) => reassignTask(tx, { taskId: id, person: as('chen'), to: as(to) }))),
    ];
    for (const moved of await Promise.all(move('wang'))) expect(moved).toMatchObject({ why: 'fourEyes', facts: { person: 'wang' } });
  });

  test('a claim that was kept while someone else decided counts; one that was given back does not', async () => {
    const of = await newCase();
    const decide = await newTask(of);
    await inTransaction(pool, (tx) => claimTask(tx, { taskId: decide, person: as('wang') }));
    await inTransaction(pool, (tx) => reassignTask(tx, { taskId: decide, person: as('chen'), to: as('li') }));
    await complete(decide, 'li');
    expect(await refusal(complete(await newTask(of, confirm), 'wang'))).toMatchObject({ why: 'fourEyes', facts: { because: 'claimed' } });

    const other = await newCase();
    const task = await newTask(other);
    await inTransaction(pool, (tx) => claimTask(tx, { taskId: task, person: as('wang') }));
    await inTransaction(pool, (tx) => releaseTask(tx, { taskId: task, person: as('wang') }));
    await complete(task, 'li');
    expect(await refusal(complete(await newTask(other, confirm), 'wang'))).toBe('done');
  });

  test('a change of role between the two does not get round it', async () => {
    const of = await newCase();
    await person('he', 'agent');
    await complete(await newTask(of), 'he');
    await person('he', 'manager');
    expect(await refusal(complete(await newTask(of, confirm), 'he'))).toMatchObject({ why: 'fourEyes' });
  });

  test('nor does a claim whose holder has another role when somebody else has decided', async () => {
    const of = await newCase();
    const decide = await newTask(of);
    await person('he', 'agent');
    await inTransaction(pool, (tx) => claimTask(tx, { taskId: decide, person: as('he') }));
    await person('he', 'supervisor');
    await inTransaction(pool, (tx) => reassignTask(tx, { taskId: decide, person: as('chen'), to: as('li') }));
    await complete(decide, 'li');
    const id = await newTask(of, confirm);
    expect(await refusal(inTransaction(pool, (tx) => claimTask(tx, { taskId: id, person: as('he') })))).toMatchObject({ why: 'fourEyes' });
    expect(await refusal(complete(id, 'he'))).toMatchObject({ why: 'fourEyes', facts: { because: 'claimed' } });
    await person('he', 'agent');
  });

  test('every round of the task counts, and so does starting the case', async () => {
    const of = await newCase('sun');
    await person('zhou', 'supervisor');
    await complete(await newTask(of, { path: 'round-1/decide' }), 'wang');
    await complete(await newTask(of, { path: 'round-2/decide' }), 'li');
    const id = await newTask(of, confirm);
    expect(await refusal(complete(id, 'wang'))).toMatchObject({ why: 'fourEyes' });
    expect(await refusal(complete(id, 'sun'))).toMatchObject({ why: 'fourEyes', facts: { because: 'started' } });
    expect(await refusal(complete(id, 'zhou'))).toBe('done');
    await person('zhou', 'agent');
  });

  test('a task that only the excluded could decide climbs, and stays where nobody above is free either', async () => {
    const shop = randomUUID();
    await putPerson(pool, { id: as('only'), name: 'only', roles: ['supervisor'], shops: [shop], active: true, absentUntil: null });
    const of = await newCase('platform', shop);
    await complete(await newTask(of), 'only');
    expect((await found(await newTask(of, confirm))).role).toBe('supervisor');
    await putPerson(pool, { id: as('boss'), name: 'boss', roles: ['manager'], shops: [shop], active: true, absentUntil: null });
    expect((await found(await newTask(of, { ...confirm, path: 'confirm-2' }))).role).toBe('manager');
  });

  test('a redo is decided by neither who asks nor who mended an effect, and approved it is in the queue with the decision', async () => {
    const of = await newCase();
    await pool.query(
      `insert into effects (case_id, path, system, operation, args_hash, args, status, ok, answer, done_at) values ($1, 'refund', 'finance', 'refund', 'x', '{}', 'done', true, '{}', now())`,
      [of.id],
    );
    await complete(await newTask(of, { path: 'refund!repair-1', name: 'repair', role: 'ops' }), 'wang');
    const redo = await inTransaction(pool, (tx) => askRedo(tx, { caseId: of.id, effect: 'refund', person: as('sun') }));
    expect(redo).toMatchObject({ role: 'manager', context: { effect: 'refund', step: 'refund#2', askedBy: 'sun' } });
    expect(await refusal(inTransaction(pool, (tx) => askRedo(tx, { caseId: of.id, effect: 'refund', person: as('chen') })))).toMatchObject({
      why: 'redoAsked',
    });
    await person('sun', 'manager');
    await person('wang', 'manager');
    expect(await refusal(complete(redo.id, 'sun', { decision: 'approve' }))).toMatchObject({ why: 'fourEyes', facts: { because: 'asked' } });
    expect(await refusal(complete(redo.id, 'wang', { decision: 'approve' }))).toMatchObject({ why: 'fourEyes', facts: { because: 'decided' } });
    const jobs = async () =>
      (await pool.query<{ payload: unknown }>(`select payload from graphile_worker._private_jobs where key = $1`, [`redo:${redo.id}`])).rows;
    expect(await jobs()).toEqual([]);
    await complete(redo.id, 'chen', { decision: 'approve' });
    expect(await jobs()).toEqual([{ payload: { caseId: of.id, path: 'refund#2' } }]);
    await person('sun', 'supervisor');
    await person('wang', 'supervisor');
    const second = await inTransaction(pool, (tx) => askRedo(tx, { caseId: of.id, effect: 'refund#2', person: as('sun') }).catch((error: unknown) => error));
    expect(second).toMatchObject({ why: 'effectNotFound' });
  });

  test('two at once cannot become each other’s checker', async () => {
    const of = await newCase();
    const decide = await newTask(of);
    const id = await newTask(of, confirm);
    const [, late] = await inOrder(
      (tx) => claimTask(tx, { taskId: decide, person: as('wang') }),
      (tx) => completeTask(tx, completion(id, 'wang')),
    );
    expect(late).toMatchObject({ why: 'fourEyes', facts: { because: 'claimed' } });
  });
});

describe('words', () => {
  test('are sealed under the customer’s key, and are in no row that leaves Postgres or that a key does not protect', async () => {
    const of = await newCase();
    const secret = `the customer lives at ${randomUUID()}`;
    const id = await newTask(of);
    await complete(id, 'li', { answer: 'yes', note: secret });
    expect(await openSealed(pool, master, of.id)).toEqual([{ path: 'task:decide', by: 'li', at: expect.any(String), value: { note: secret } }]);
    const { rows } = await pool.query<{ all: string }>(
      `select (select jsonb_agg(t)::text from tasks t where case_id = $1) || (select jsonb_agg(i)::text from inbox i where case_id = $1)
         || (select jsonb_agg(l)::text from timeline l where case_id = $1) || (select jsonb_agg(s)::text from sealed_texts s where case_id = $1) as all`,
      [of.id],
    );
    expect(rows[0]?.all).toContain('yes');
    expect(rows[0]?.all).not.toContain(secret);
  });

  test('are gone when the customer’s key is dropped, and stay gone when the customer gets another', async () => {
    const of = await newCase();
    await complete(await newTask(of), 'li', { answer: 'yes', note: 'secret' });
    await pool.query('delete from customer_keys where customer = $1', [of.customer]);
    expect(await openSealed(pool, master, of.id)).toEqual([]);
    await complete(await newTask(of, { path: 'again' }), 'li', { answer: 'yes', note: 'new' });
    expect((await openSealed(pool, master, of.id)).map((s) => s.value)).toEqual([{ note: 'new' }]);
  });

  test('copied into another case do not open there', async () => {
    const [a, b] = [await newCase(), await newCase()];
    await complete(await newTask(a), 'li', { answer: 'yes', note: 'secret' });
    await pool.query('insert into sealed_texts (case_id, owner, path, sealed, by) select $2, owner, path, sealed, by from sealed_texts where case_id = $1', [
      a.id,
      b.id,
    ]);
    await expect(openSealed(pool, master, b.id)).rejects.toThrow(/unable to authenticate/);
  });
});

describe('worklists', () => {
  test('are pages of the roles and shops asked for, oldest first, and end', async () => {
    const shop = randomUUID();
    const of = await newCase('platform', shop);
    const ids: TaskId[] = [];
    for (let i = 0; i < 7; i++) ids.push(await newTask(of, { path: `t-${i}`, role: i % 2 === 0 ? 'agent' : 'supervisor' }));
    const seen: string[] = [];
    let after: readonly [string, string] | undefined;
    for (;;) {
      const rows = await openTasks(pool, { shops: [shop, 'other'], roles: ['agent', 'supervisor'] }, { after, limit: 2 });
      seen.push(...rows.map((row) => row.id));
      after = rows.at(-1)?.cursor;
      if (rows.length < 2) break;
    }
    expect(seen).toEqual(ids);
    expect((await openTasks(pool, { shops: ['*'], roles: ['supervisor'] }, { limit: 200 })).filter((t) => t.shop === shop)).toHaveLength(3);
  });

  test('read no further than their page, however many tasks are open', async () => {
    const of = await newCase('platform', 'crowded');
    await pool.query(
      `insert into tasks (id, case_id, path, name, process, shop, role, declared_role, context, form_version, opened_by_run, opened_at)
       select $1 || ':' || n, $1, n, 'decide', 'tiny', 'crowded', case when n % 2 = 0 then 'agent' else 'supervisor' end, 'agent', '{}', 1, 'x', now() - n * interval '1 second'
       from generate_series(1, 20000) n`,
      [of.id],
    );
    await pool.query('analyze tasks');
    for (const shops of [['crowded', 'main'], ['*']]) {
      // What the list really asks, explained.
      const asked: [string, unknown[]][] = [];
      const listening = { query: (text: string, values: unknown[]) => (asked.push([text, values]), Promise.resolve({ rows: [] })) } as unknown as Sql;
      await openTasks(listening, { shops, roles: ['agent', 'supervisor'], freeFor: as('li') }, { limit: 50 });
      const [[text, values] = ['', []]] = asked;
      const { rows } = await pool.query<{ 'QUERY PLAN': unknown }>(`explain (analyze, format json) ${text}`, values);
      const scans = [...JSON.stringify(rows).matchAll(/"Node Type":"([^"]*Scan)"[^{}]*?"Relation Name":"tasks"[^{}]*?"Actual Rows":([\d.]+)/g)];
      expect(scans.length).toBeGreaterThan(0);
      for (const [, kind, read] of scans) {
        expect(kind).toMatch(/^Index/);
        expect(Number(read)).toBeLessThanOrEqual(50);
      }
    }
    await pool.query(`delete from tasks where shop = 'crowded'`);
  });

  test('next: ten people at once get ten different tasks; asking again gives each the same one', async () => {
    const shop = randomUUID();
    const people = Array.from({ length: 10 }, (_, i) => ({
      id: as(`${shop}-${i}`),
      name: 'x',
      roles: ['agent' as const],
      shops: [shop],
      active: true,
      absentUntil: null,
    }));
    for (const p of people) await putPerson(pool, p);
    for (let i = 0; i < 12; i++) await newTask(await newCase('platform', shop));
    const first = await Promise.all(people.map((p) => nextTask(pool, p)));
    expect(new Set(first.map((t) => t?.id)).size).toBe(10);
    const again = await Promise.all(people.map((p) => nextTask(pool, p)));
    expect(again.map((t) => t?.id)).toEqual(first.map((t) => t?.id));
  });

  test('next offers nobody what four eyes forbid', async () => {
    const shop = randomUUID();
    const one = { id: as(`${shop}-one`), name: 'x', roles: ['supervisor' as const], shops: [shop], active: true, absentUntil: null };
    await putPerson(pool, one);
    await putPerson(pool, { ...one, id: as(`${shop}-two`) });
    const of = await newCase('platform', shop);
    await complete(await newTask(of), one.id);
    await newTask(of, { path: 'confirm', name: 'confirm', role: 'supervisor', notBy: ['decide'] });
    expect(await nextTask(pool, one)).toBeUndefined();
    expect(await nextTask(pool, { ...one, id: as(`${shop}-two`) })).toMatchObject({ path: 'confirm' });
  });
});
