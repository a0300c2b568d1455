/** What enters a case: stored once, found its case, delivered, taken in once, and settled when the case has ended. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { correlate, storeInbound, undelivered, type Arrival } from '../../db/inbox.ts';
import { recordState } from '../../db/outside-states.ts';
import { inTransaction, type Sql } from '../../db/pool.ts';
import { redeliver } from '../../delivery/inbox.ts';
import { startUnstarted } from '../../delivery/start.ts';
import type { CaseId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import { deliverSignal } from '../../workflows/kit/protocol.ts';
import { startKit, type Kit } from './harness.ts';
import { surroundings } from './surroundings.ts';
import { tinyCases } from './tiny.ts';

let kit: Kit;
beforeAll(async () => {
  kit = await startKit(await surroundings());
});
afterAll(() => kit.stop());

const { open } = tinyCases(() => kit);
const said = (of: CaseId, eventId: string, words = eventId) => ({
  source: 'upstream',
  eventId: `${of}/${eventId}`,
  kind: 'event' as const,
  name: 'said',
  caseId: of,
  body: { words },
});
const bell = (key: string, eventId: string, times = 2): Arrival => ({
  source: 'bench.rang',
  eventId,
  kind: 'event',
  name: 'rang',
  correlationKey: key,
  body: { bell: key, times },
  at: instant(Date.now()),
});
const seen = (of: CaseId, n: number) =>
  kit.until(
    `${n} marks of ${of}`,
    () => kit.rows<{ n: number }>('select count(*)::int as n from inbox where case_id = $1 and seen_at is not null', of),
    (rows) => rows[0]?.n === n,
  );

describe('an event id (IN1)', () => {
  test('with the same body is stored once, however often and at once it comes', async () => {
    const id = await open('windowed');
    const stored = await Promise.all(Array.from({ length: 10 }, () => kit.store(said(id, 'same'))));
    expect(stored.filter((s) => s.status === 'stored')).toHaveLength(1);
    expect(stored.filter((s) => s.status === 'duplicate')).toHaveLength(9);
    expect(await kit.rows('select 1 from inbox where case_id = $1', id)).toHaveLength(1);
  });

  test('with another body is refused, and the first one stands', async () => {
    const id = await open('windowed');
    await kit.store(said(id, 'one', 'first'));
    expect(await kit.store(said(id, 'one', 'second'))).toMatchObject({ status: 'differs' });
    expect(await kit.rows('select body from inbox where case_id = $1', id)).toEqual([{ body: { words: 'first' } }]);
  });

  test('beyond what a case takes is refused (IN8)', async () => {
    const id = await open('windowed');
    for (let n = 0; n < 3; n++) expect(await kit.store({ ...said(id, `${n}`), limit: 3 })).toMatchObject({ status: 'stored' });
    expect(await kit.store({ ...said(id, '3'), limit: 3 })).toEqual({ status: 'tooMany', caseId: id });
    expect(await kit.store({ ...said(id, '2'), limit: 3 })).toMatchObject({ status: 'duplicate' });
  });
});

describe('an event and its correlation that are inserted at once (IN2)', () => {
  /** Two transactions, the first of which commits only once the second one waits for it or is done. */
  async function crossed(first: (tx: Sql) => Promise<unknown>, second: (tx: Sql) => Promise<unknown>): Promise<void> {
    const [one, two] = [await kit.pool.connect(), await kit.pool.connect()];
    try {
      await one.query('begin');
      await two.query('begin');
      await first(one);
      let done = false;
      const behind = second(two).finally(() => (done = true));
      await kit.until('the second one waits or is done', async () => done || (await kit.rows('select 1 from pg_locks where not granted')).length > 0, Boolean);
      await one.query('commit');
      await behind;
      await two.query('commit');
    } finally {
      // Thrown away: after a failure they are still within a transaction.
      one.release(true);
      two.release(true);
    }
  }
  const caseOfEvent = async (eventId: string) =>
    (await kit.rows<{ case_id: string | null }>('select case_id from inbox where event_id = $1', eventId))[0]?.case_id;

  test('find each other in both orders', async () => {
    const id = await open('windowed');
    await crossed(
      (tx) => storeInbound(tx, bell('key-1', 'event-1')),
      (tx) => correlate(tx, 'bench.rang', 'key-1', id, 'rang'),
    );
    await crossed(
      (tx) => correlate(tx, 'bench.rang', 'key-2', id, 'rang'),
      (tx) => storeInbound(tx, bell('key-2', 'event-2')),
    );
    expect(await caseOfEvent('event-1')).toBe(id);
    expect(await caseOfEvent('event-2')).toBe(id);
  });

  test('negative control: without their lock they miss each other', async () => {
    const id = await open('windowed');
    const withoutLock = (tx: Sql): Sql =>
      ({
        query: (text: string, values?: unknown[]) => (text.includes('pg_advisory_xact_lock') ? Promise.resolve({ rows: [] }) : tx.query(text, values)),
      }) as unknown as Sql;
    await crossed(
      (tx) => storeInbound(withoutLock(tx), bell('key-3', 'event-3')),
      (tx) => correlate(withoutLock(tx), 'bench.rang', 'key-3', id, 'rang'),
    );
    expect(await caseOfEvent('event-3')).toBeNull();
  });

  test('find each other however many there are', async () => {
    const id = await open('windowed');
    const keys = Array.from({ length: 40 }, (_, n) => `many-${n}`);
    for (let at = 0; at < keys.length; at += 4)
      await Promise.all(
        keys
          .slice(at, at + 4)
          .flatMap((key) => [
            inTransaction(kit.pool, (tx) => storeInbound(tx, bell(key, `event-${key}`))),
            inTransaction(kit.pool, (tx) => correlate(tx, 'bench.rang', key, id, 'rang')),
          ]),
      );
    expect(await kit.rows(`select 1 from inbox where event_id like 'event-many-%' and case_id is distinct from $1`, id)).toEqual([]);
  });

  test('a key belongs to the first case that claims it', async () => {
    const [one, two] = [await open('windowed'), await open('windowed')];
    await inTransaction(kit.pool, (tx) => correlate(tx, 'bench.rang', 'claimed', one, 'rang'));
    await expect(inTransaction(kit.pool, (tx) => correlate(tx, 'bench.rang', 'claimed', two, 'rang'))).rejects.toThrow('belongs to another case');
  });
});

describe('an early event (IN2)', () => {
  test('that came before its case asked for it is delivered when it asks', async () => {
    await kit.store(bell('bell-early', 'early', 7));
    const id = await open('events', { id: 'early' });
    await seen(id, 1);
    await kit.send(said(id, 'now'));
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['rang 7', 'now'] });
  });
});

describe('states of something outside (IN3)', () => {
  test('the newest by time and rank stands, whatever the order of arrival', async () => {
    const stateOf = fc.record({ minute: fc.integer({ min: 0, max: 5 }), rank: fc.integer({ min: 0, max: 3 }) });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(stateOf, { minLength: 1, maxLength: 8, selector: (s) => `${s.minute}/${s.rank}` }), async (states) => {
        const key = `parcel-${++run}`;
        for (const { minute, rank } of states)
          await recordState(kit.pool, { source: 'logistics.parcelState', key, state: `${minute}/${rank}`, rank, at: instant(Date.UTC(2026, 0, 1, 0, minute)) });
        const newest = states.toSorted((a, b) => a.minute - b.minute || a.rank - b.rank).at(-1);
        const [stands] = await kit.rows<{ state: string }>('select state from outside_states where key = $1', key);
        expect(stands?.state).toBe(`${newest?.minute}/${newest?.rank}`);
      }),
      { numRuns: 25 },
    );
  });
});

describe('a crash (IN4)', () => {
  test('after the event was stored: the sweep delivers it', async () => {
    const id = await open('rounds');
    await kit.opened(id, 'round-1/decide');
    await kit.decide(id, 'round-1/decide', { answer: 'yes' });
    await kit.store(said(id, 'stored'));
    await redeliver(kit.pool, kit.temporal, 0);
    await kit.opened(id, 'round-2/decide');
    await seen(id, 2);
    expect(await undelivered(kit.pool, id, 0)).toEqual([]);
  });

  test('after the signal and before its mark: it is sent again and taken in once', async () => {
    const id = await open('rounds');
    await kit.opened(id, 'round-1/decide');
    await kit.decide(id, 'round-1/decide', { answer: 'yes' });
    await seen(id, 1);
    await kit.store(said(id, 'once'));
    // The signal arrived; whoever sent it died before the commit.
    const batch = await undelivered(kit.pool, id, 0);
    await kit.stopWorker();
    await kit.temporal.workflow.getHandle(id).signal(deliverSignal, batch);
    await redeliver(kit.pool, kit.temporal, 0);
    await kit.startWorker();
    await kit.opened(id, 'round-2/decide');
    await seen(id, 2);
    await kit.decide(id, 'round-2/decide', { answer: 'yes' });
    await kit.parked(id);
    // The second round still waits for words of its own: the repeated signal was not taken for them.
    await kit.send(said(id, 'two'));
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['once', 'two'] });
  });

  test('after it was taken in and before its mark was written: it is sent again and taken in once', async () => {
    const id = await open('rounds');
    await kit.opened(id, 'round-1/decide');
    await kit.decide(id, 'round-1/decide', { answer: 'yes' });
    await kit.send(said(id, 'once'));
    await kit.opened(id, 'round-2/decide');
    await kit.parked(id);
    // As if the worker had died before the record that carried the mark.
    await kit.pool.query('update inbox set seen_at = null, delivered_at = null where case_id = $1', [id]);
    await redeliver(kit.pool, kit.temporal, 0);
    await seen(id, 0);
    await kit.decide(id, 'round-2/decide', { answer: 'yes' });
    await kit.parked(id);
    await kit.send(said(id, 'two'));
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['once', 'two'] });
  });

  test('while many wait: they come in their order', async () => {
    const id = await open('rounds');
    await kit.opened(id, 'round-1/decide');
    await kit.decide(id, 'round-1/decide', { answer: 'yes' });
    for (const n of ['a', 'b', 'c']) await kit.store(said(id, n));
    await redeliver(kit.pool, kit.temporal, 0);
    await kit.opened(id, 'round-2/decide');
    await kit.decide(id, 'round-2/decide', { answer: 'yes' });
    await kit.send(said(id, 'd'));
    // Those between belong to the first round: they were sent before the second one began.
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['a', 'd'] });
  });
});

describe('an event for a case that has ended (IN5)', () => {
  test('opens the case that its declaration names, once', async () => {
    const id = await open('grab');
    await kit.outcome(id);
    expect(await kit.store(said(id, 'late'))).toMatchObject({ status: 'stored', became: 'late' });
    expect(await kit.store(said(id, 'late'))).toMatchObject({ status: 'duplicate' });
    const [row] = await kit.rows<{ became: string }>('select became from inbox where case_id = $1', id);
    const successor = row?.became.replace('start:', '') as CaseId;
    expect(await kit.row(successor)).toMatchObject({ process: 'errand', parent: id, started_at: null, input: { event: 'said', payload: { words: 'late' } } });
    await startUnstarted(kit.pool, kit.temporal, 0);
    await kit.opened(successor, 'run');
    expect(await kit.rows(`select data from timeline where case_id = $1 and kind = 'late'`, id)).toEqual([{ data: { event: 'said', became: row?.became } }]);
  });

  test('opens the same case again after a restore from a back-up that knew neither: outside systems know it by its keys', async () => {
    const id = await open('grab');
    await kit.outcome(id);
    const arrival = said(id, 'late, before and after');
    const opened = async (): Promise<string> => {
      expect(await kit.store(arrival)).toMatchObject({ status: 'stored', became: 'late' });
      const [row] = await kit.rows<{ became: string }>('select became from inbox where case_id = $1', id);
      return row?.became.replace('start:', '') ?? '';
    };
    const before = await opened();
    await kit.rows('delete from timeline where case_id = $1', before);
    await kit.rows('delete from cases where id = $1', before);
    await kit.rows(`delete from timeline where case_id = $1 and kind = 'late'`, id);
    await kit.rows('delete from inbox where case_id = $1', id);
    // Another parcel is told of before it, so its row has another number this time.
    await kit.store(said(await open('grab'), 'another'));
    expect(await opened()).toBe(before);
  });

  test('is a note where the declaration says so', async () => {
    const id = await open('grab');
    await kit.outcome(id);
    await kit.store({ source: 'upstream', eventId: `shut-${id}`, kind: 'event', name: 'shut', caseId: id, body: { how: 'late' } });
    expect(await kit.rows('select became from inbox where case_id = $1', id)).toEqual([{ became: 'note' }]);
  });

  test('that came while it ended is settled by its last record', async () => {
    const id = await open('grabAndWait');
    await kit.opened(id, 'decide');
    await kit.store(said(id, 'unseen'));
    await kit.decide(id, 'decide', { answer: 'yes' });
    await kit.outcome(id);
    const [decision] = await kit.rows<{ seen: boolean }>(`select seen_at is not null as seen from inbox where case_id = $1 and kind = 'decision'`, id);
    const [event] = await kit.rows<{ became: string | null }>(`select became from inbox where case_id = $1 and kind = 'event'`, id);
    expect(decision).toEqual({ seen: true });
    // Delivered with the decision it was seen, and no wait asked for it; or it was left behind. Either way a case of its own has it.
    expect(event?.became).toMatch(/^start:errand\./);
  });
});

describe('an event that comes when its wait has ended (IN9)', () => {
  test('is not taken by the wait, nor by a later one of another name', async () => {
    const short = { windows: { evidence: 60_000, parcelSent: 500, customerChoice: 500 } };
    const id = await open('events', {}, short);
    const key = `bell-${id.slice('tiny.'.length)}`;
    await kit.until(
      'the second wait',
      () => kit.rows(`select 1 from correlations where case_id = $1`, id),
      (rows) => rows.length === 1,
    );
    await kit.until('the end of the first one', async () => (await kit.history(id)).some((event) => event.timerFiredEventAttributes), Boolean);
    await kit.send(bell(key, `late-${id}`, 9));
    await seen(id, 1);
    await kit.send(said(id, 'words'));
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['silence', 'words'] });
  });
});
