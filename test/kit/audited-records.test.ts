/** What the audit reads in Postgres: its statements against the tables as they are now. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ownRecords } from '../../cli/demo/collect.ts';
import { openCase } from '../../db/cases.ts';
import { addJob } from '../../db/jobs.ts';
import { publishPolicy } from '../../db/policies.ts';
import { connectPool, inTransaction, type Pool } from '../../db/pool.ts';
import { note } from '../../db/timeline.ts';
import { loadPolicy } from '../../policies/load.ts';
import { callable } from '../../systems/index.ts';
import { instant } from '../../values/instant.ts';
import { loadProcesses, manifestOf } from '../../workflows/registry.ts';
import { freshDatabase } from '../stack/env.ts';

let url: string;
let pool: Pool;
beforeAll(async () => {
  url = await freshDatabase();
  pool = connectPool(url, 'audited-test', 2);
});
afterAll(() => pool.end());

test('is everything of the cases asked for, and on a stack of the run alone what is nobody’s', async () => {
  const loaded = loadPolicy('policies/default.yaml');
  await publishPolicy(pool, loaded);
  const declaration = (await loadProcesses()).get('return-exchange')?.declaration;
  if (declaration === undefined) throw new Error('there is no return-exchange');
  const open = async (requestId: string): Promise<string> =>
    inTransaction(pool, async (tx) => {
      const input: unknown = declaration.input.parse({
        shop: 'mx',
        customer: 'c',
        orderId: 'O-1',
        requestId,
        requestedAt: instant(0),
        lines: [{ line: 1, quantity: 1 }],
        reason: 'quality',
        wish: 'refund',
      });
      const opened = await openCase(tx, { declaration, input, manifest: manifestOf(declaration, 'mx', loaded, callable), starter: 'shop' });
      if (opened.status === 'conflict') throw new Error('conflict');
      const { id } = opened.case;
      await note(tx, id, 'stage:1', 'stage', { stage: 'review' });
      await addJob(tx, 'clock-due', `clock:${id}:handle`, { caseId: id, clock: 'handle' }, instant(Date.now()));
      await tx.query(
        `insert into clocks (case_id, clock, name, policy_clock, status, deadline, state) values ($1, 'handle', 'handle', 'T10', 'running', $2, '{}')`,
        [id, instant(0)],
      );
      await tx.query(`insert into clock_log (case_id, clock, seq, command, at) values ($1, 'handle', 1, '{"kind": "start"}', $2)`, [id, instant(0)]);
      await tx.query(
        `insert into inbox (source, event_id, body_hash, kind, name, case_id, body, at) values ('task', $1, 'h', 'decision', 'review', $1, '{}', $2)`,
        [id, instant(0)],
      );
      await tx.query(
        `insert into effects (case_id, path, system, operation, args_hash, args, status) values ($1, 'label', 'logistics', 'label', 'h', '{}', 'sending')`,
        [id],
      );
      await tx.query(
        `insert into decision_log (case_id, step, process, rule, policy, facts, output, reasons, as_of) values ($1, 's', 'return-exchange', 'r', $2, '{}', '{}', '{}', $3)`,
        [id, loaded.version, instant(0)],
      );
      await tx.query(`insert into messages (id, case_id, shop, message, recipient, data) values ($1 || ':received', $1, 'mx', 'received', 'customer', '{}')`, [
        id,
      ]);
      await tx.query(`insert into allowance_holds (hold, order_id, status) values ($1 || '/allowance', 'O-1', 'held')`, [id]);
      await tx.query(`insert into tallies (tally, status) values ($1 || '/tally', 'released')`, [id]);
      return id;
    });
  const [ours, others] = [await open('ours'), await open('others')];
  await pool.query(
    `insert into inbox (source, event_id, body_hash, kind, name, correlation_key, body, at) values ('warehouse.parcelReceived', 'e', 'h', 'event', 'parcelReceived', 'SF1', '{}', now())`,
  );
  await pool.query(`insert into outside_states (source, key, state, rank, at) values ('logistics.tracking', 'SF1', 'lost', 1, $1)`, [instant(0)]);

  const stack = { settings: { DATABASE_URL: url } };
  const alone = await ownRecords(stack, [ours], false);
  const { cases, timeline, clocks, clockLog, inbox, effects, decisions, messages, holds, tallies, jobs } = alone;
  expect(cases).toEqual([{ id: ours, shop: 'mx', starter: 'shop', status: 'open', policy: loaded.version }]);
  expect(timeline.map(({ key, kind, data }) => [key, kind, data])).toEqual([
    ['opened', 'opened', { by: 'shop' }],
    ['stage:1', 'stage', { stage: 'review' }],
  ]);
  // Numbers and instants, not texts and dates.
  expect(timeline.map(({ id }) => typeof id)).toEqual(['number', 'number']);
  expect(clocks).toMatchObject([
    { case: ours, clock: 'handle', policyClock: 'T10', status: 'running', deadline: instant(0), nextPoint: null, notices: [], state: {} },
  ]);
  expect(clockLog).toEqual([{ case: ours, clock: 'handle', run: 0, seq: 1, at: instant(0), command: { kind: 'start' } }]);
  expect(inbox).toMatchObject([{ source: 'task', eventId: ours, case: ours, at: instant(0), seen: false, became: null }]);
  expect(effects).toMatchObject([{ case: ours, path: 'label', status: 'sending', ok: null }]);
  expect(decisions).toMatchObject([{ case: ours, step: 's', policy: loaded.version, asOf: instant(0) }]);
  expect([...alone.policies.keys()]).toEqual([loaded.version]);
  expect(messages).toEqual([{ id: `${ours}:received`, case: ours, recipient: 'customer', status: 'queued', bundle: null }]);
  expect(holds).toEqual([{ hold: `${ours}/allowance`, status: 'held' }]);
  expect(tallies).toEqual([{ tally: `${ours}/tally`, status: 'released' }]);
  expect(jobs).toMatchObject([{ kind: 'clock-due', key: `clock:${ours}:handle`, attempts: 0, most: 25 }]);
  expect(alone.undoOf.get('logistics.label')).toBe('cancelLabel');
  expect(alone.rules('return-exchange', 'settlement')).toBeDefined();
  expect([alone.used.size, alone.states.length]).toEqual([0, 0]);

  const whole = await ownRecords(stack, [ours], true);
  expect(whole.inbox.map((row) => row.case)).toEqual([ours, others, null]);
  expect(whole.jobs).toHaveLength(2);
  expect(whole.states).toEqual([{ source: 'logistics.tracking', key: 'SF1', state: 'lost', at: instant(0) }]);
  expect(whole.used.has('finance.refundState')).toBe(true);
  expect([...whole.unclaimed]).toEqual(['warehouse.parcelReceived']);
});
