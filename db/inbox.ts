/** Everything that enters a case, stored before it is delivered. */
import { contentHash } from '../values/hash.ts';
import type { CaseId } from '../values/ids.ts';
import { instant, type Instant } from '../values/instant.ts';
import type { Inbound, TaskDecision } from '../workflows/kit/protocol.ts';
import { heldOpen, lockCase } from './cases.ts';
import { timeOf, type Sql } from './pool.ts';
import { note } from './timeline.ts';

export interface Arrival {
  /** Who says it: a system's event `finance.refundState`, `task`, `upstream:<subject>`, `case:<id>`. With `eventId` unique. */
  readonly source: string;
  readonly eventId: string;
  readonly kind: 'decision' | 'event' | 'withdraw' | 'outcome';
  /** The declared event's name, the task's name, or `withdraw`. */
  readonly name: string;
  readonly caseId?: CaseId;
  /** What the source calls the thing it is about, when it does not know the case. */
  readonly correlationKey?: string;
  readonly body: unknown;
  readonly at: Instant;
  /** The state that it reports, when it is one of several that a thing goes through: a case may wait for some of them only. */
  readonly state?: string | undefined;
  /** Most rows of kind `event` that the case takes. */
  readonly limit?: number;
}
export type Stored =
  | { readonly status: 'stored' | 'duplicate'; readonly id: number; readonly caseId?: CaseId; readonly became?: string }
  | { readonly status: 'differs'; readonly id: number }
  | { readonly status: 'tooMany'; readonly caseId: CaseId };

interface Row {
  readonly id: number;
  readonly body_hash: string;
  readonly case_id: CaseId | null;
  readonly became: string | null;
}

const known = 'id, body_hash, case_id, became';

/** What became of a state of something outside that its case does not wait for: it is kept beside the case, and never enters it. */
const stateOnly = 'state';

/** One lock for whoever inserts an event and whoever inserts its correlation: without it both could miss the other's row (each sees only what is committed). */
const lockKey = (tx: Sql, source: string, key: string) => tx.query('select pg_advisory_xact_lock(hashtextextended($1, 1))', [`${source}|${key}`]);

/** How many events a case has been sent; what never enters it does not count. */
const taken = (of: string): string => `(select count(*)::int from inbox where case_id = ${of} and kind = 'event' and became is distinct from '${stateOnly}')`;

/**
 * Stores an arrival once and finds its case. The same id with the same body is a duplicate, and so is the same body about the same thing outside under another
 * id; the same id with another body is refused.
 * For a case that has ended, `became` says so at once (`late`); what its declaration makes of it is the caller's.
 */
export async function storeInbound(tx: Sql, arrival: Arrival): Promise<Stored> {
  const { source, eventId, correlationKey } = arrival;
  const hash = contentHash({ kind: arrival.kind, name: arrival.name, body: arrival.body });
  let { caseId, name } = arrival;
  let settled: string | undefined;
  if (correlationKey !== undefined) {
    await lockKey(tx, source, correlationKey);
    const { rows } = await tx.query<{ case_id: CaseId; event: string; wanted: boolean }>(
      'select case_id, event, states is null or $3::text is null or $3 = any(states) as wanted from correlations where source = $1 and key = $2',
      [source, correlationKey, arrival.state ?? null],
    );
    if (rows[0]) [caseId, name] = [rows[0].case_id, rows[0].event];
    if (rows[0]?.wanted === false) settled = stateOnly;
    // Under whatever id: a source that tells by webhook, tells again when it is resent by hand, and is asked as well, reports one fact each time.
    const told = await tx.query<Row>(`select ${known} from inbox where source = $1 and correlation_key = $2 and body_hash = $3 limit 1`, [
      source,
      correlationKey,
      hash,
    ]);
    if (told.rows[0]) return repeated(told.rows[0], hash);
  }
  const counted = caseId !== undefined && arrival.kind === 'event' && settled === undefined ? arrival.limit : undefined;
  /** Here before (whoever inserted it has committed, or we would still wait), or its case is full. */
  const refused = async (): Promise<Stored> => {
    const before = await findArrival(tx, source, eventId);
    if (before) return repeated(before, hash);
    if (caseId === undefined || counted === undefined) throw new Error(`inbox row ${source} ${eventId} neither inserted nor found`);
    return { status: 'tooMany', caseId };
  };
  if (caseId !== undefined && counted !== undefined) {
    // Looked at before the case is locked: what comes to a full one holds up nobody.
    const { rows } = await tx.query<{ n: number }>(`select ${taken('$1')} as n`, [caseId]);
    if ((rows[0]?.n ?? 0) >= counted) return refused();
    // One at a time: two at once would both find room for the last one.
    await lockCase(tx, caseId);
  }
  // Held: the case cannot close between this look and the insert, so nothing arrives unseen behind its last record.
  const open = caseId === undefined ? undefined : await heldOpen(tx, caseId);
  const became = settled ?? (open === false ? 'late' : null);
  const inserted = await tx.query<{ id: number }>(
    `insert into inbox (source, event_id, body_hash, kind, name, correlation_key, case_id, body, at, became, state)
     select $1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9::timestamptz, $10, $11 where $12::int is null or ${taken('$7')} < $12
     on conflict (source, event_id) do nothing returning id`,
    [
      source,
      eventId,
      hash,
      arrival.kind,
      name,
      correlationKey ?? null,
      caseId ?? null,
      JSON.stringify(arrival.body),
      arrival.at,
      became,
      arrival.state ?? null,
      counted ?? null,
    ],
  );
  const [fresh] = inserted.rows;
  if (fresh === undefined) return refused();
  // A state that the case does not wait for has its own line in the timeline.
  if (caseId !== undefined && arrival.kind === 'event' && settled === undefined)
    await note(tx, caseId, `inbox:${fresh.id}`, 'event', { event: name, ...(open === false ? { late: true } : {}) });
  return { status: 'stored', id: fresh.id, ...(caseId === undefined ? {} : { caseId }), ...(became === null ? {} : { became }) };
}

const findArrival = async (tx: Sql, source: string, eventId: string): Promise<Row | undefined> =>
  (await tx.query<Row>(`select ${known} from inbox where source = $1 and event_id = $2`, [source, eventId])).rows[0];

function repeated(row: Row, hash: string): Stored {
  if (row.body_hash !== hash) return { status: 'differs', id: row.id };
  return { status: 'duplicate', id: row.id, ...(row.case_id ? { caseId: row.case_id } : {}), ...(row.became ? { became: row.became } : {}) };
}

/**
 * From now on, what `source` calls `key` is this case's, of a thing with states only those named; early events that waited for it become the case's.
 * Returns how many did; throws when another case has the key and keeps it: one that looks for its owner gives it up, and so does the case that started this one.
 */
export async function correlate(tx: Sql, source: string, key: string, of: CaseId, event: string, states?: readonly string[]): Promise<number> {
  await lockKey(tx, source, key);
  const { rows } = await tx.query<Holder>(
    `insert into correlations (source, key, case_id, event, states) values ($1, $2, $3, $4, $5) on conflict (source, key) do update set event = correlations.event
     returning case_id, until_claimed, case_id = (select parent from cases where id = $3) as starter`,
    [source, key, of, event, states ?? null],
  );
  const [holder] = rows;
  const anothers = holder !== undefined && holder.case_id !== of;
  if (anothers && !holder.until_claimed && !holder.starter) throw new KeyTaken(source, key);
  if (anothers || holder?.until_claimed) {
    await tx.query('update correlations set case_id = $3, event = $4, states = $5, until_claimed = false where source = $1 and key = $2', [
      source,
      key,
      of,
      event,
      states ?? null,
    ]);
    if (anothers && !holder.starter) await claim(tx, source, key, holder.case_id, of, event);
  }
  const early = await tx.query<{ became: string | null }>(
    `update inbox set case_id = $3, name = $4, became = case when state <> all ($5::text[]) then $6 end
     where source = $1 and correlation_key = $2 and case_id is null and became is null returning became`,
    [source, key, of, event, states ?? null, stateOnly],
  );
  return early.rows.filter((row) => row.became === null).length;
}

interface Holder {
  readonly case_id: CaseId;
  readonly until_claimed: boolean;
  /** The case that holds the key started the one that asks for it. */
  readonly starter: boolean | null;
}

/**
 * What came under a key before anybody asked for it goes to the case that asks, and whoever looked for its owner stops: a withdrawal, which their case takes
 * for what it is when it asks for the key itself. The sweep delivers that.
 */
async function claim(tx: Sql, source: string, key: string, holder: CaseId, of: CaseId, event: string): Promise<void> {
  // The row that opened the holder, and those that came for it and that it has not taken in.
  await tx.query(
    `update inbox set case_id = null, became = null, delivered_at = null, seen_at = null
     where source = $1 and correlation_key = $2 and case_id in ($3, (select parent from cases where id = $3))
       and (became = 'start:' || $3 or (case_id = $3 and seen_at is null and became is null))`,
    [source, key, holder],
  );
  const { rows } = await tx.query<{ id: CaseId }>(
    `select id from cases where (id = $1 or parent = $1) and status = 'open' and process = (select process from cases where id = $1)`,
    [holder],
  );
  for (const { id } of rows)
    await storeInbound(tx, {
      source: `case:${of}`,
      eventId: `claim:${event}:${key}:${id}`,
      kind: 'withdraw',
      name: 'withdraw',
      caseId: id,
      body: { reason: 'claimed' },
      at: await timeOf(tx),
    });
}

/** What came under a key is this case's until another one names the key. Part of the transaction that opens the case. */
export async function holdUntilClaimed(tx: Sql, source: string, key: string, of: CaseId, event: string): Promise<void> {
  await tx.query(
    `insert into correlations (source, key, case_id, event, until_claimed) values ($1, $2, $3, $4, true)
     on conflict (source, key) do update set case_id = $3, event = $4, states = null, until_claimed = true`,
    [source, key, of, event],
  );
}

export interface Unclaimed {
  readonly id: number;
  readonly event_id: string;
  readonly name: string;
  readonly body: unknown;
}

/** Rows of a source that no case has claimed for longer than `ms`, oldest first. One range of index inbox_early: what waits is little. */
export async function unclaimedSince(sql: Sql, source: string, ms: number, limit: number): Promise<{ readonly id: number; readonly key: string }[]> {
  const { rows } = await sql.query<{ id: number; key: string }>(
    `select id, correlation_key as key from inbox
     where source = $1 and case_id is null and became is null and kind = 'event' and received_at < now() - $2 * interval '1 millisecond' order by id limit $3`,
    [source, ms, limit],
  );
  return rows;
}

/**
 * Deletes what no case has claimed for longer than `ms`, so many rows at a time; how many. Carriers scan parcels that are none of ours, and would fill the table. Served by index
 * inbox_unclaimed.
 */
export async function forgetUnclaimed(sql: Sql, ms: number, limit: number): Promise<number> {
  const { rowCount } = await sql.query(
    `delete from inbox where id in (
       select id from inbox where case_id is null and became is null and received_at < now() - $1 * interval '1 millisecond' order by received_at limit $2 for update skip locked)`,
    [ms, limit],
  );
  return rowCount ?? 0;
}

/** Locks an unclaimed row and its key; undefined when somebody has claimed it meanwhile, or is about to. */
export async function lockUnclaimed(tx: Sql, source: string, { id, key }: { readonly id: number; readonly key: string }): Promise<Unclaimed | undefined> {
  const { rows: locks } = await tx.query<{ ours: boolean }>('select pg_try_advisory_xact_lock(hashtextextended($1, 1)) as ours', [`${source}|${key}`]);
  if (locks[0]?.ours !== true) return undefined;
  const { rows } = await tx.query<Unclaimed>('select id, event_id, name, body from inbox where id = $1 and case_id is null and became is null for update', [
    id,
  ]);
  return rows[0];
}

/** Two cases claim the same thing outside: the first one keeps it. */
export class KeyTaken extends Error {
  override readonly name = 'KeyTaken';
  constructor(source: string, key: string) {
    super(`${source} ${key} belongs to another case`);
  }
}

interface Undelivered {
  readonly id: number;
  readonly kind: Arrival['kind'];
  readonly name: string;
  readonly correlation_key: string | null;
  readonly body: unknown;
  readonly at: Date;
}

/** What a case has not taken in yet, in order: never sent, or sent longer ago than `again` milliseconds. Served by index inbox_undelivered. */
export async function undelivered(tx: Sql, of: CaseId, again: number, limit = 50): Promise<Inbound[]> {
  const { rows } = await tx.query<Undelivered>(
    `select id, kind, name, correlation_key, body, at from inbox
     where case_id = $1 and seen_at is null and became is null and (delivered_at is null or delivered_at < now() - $2 * interval '1 millisecond') order by id limit $3`,
    [of, again, limit],
  );
  return rows.map(inbound);
}

function inbound(row: Undelivered): Inbound {
  const base = { id: String(row.id), at: instant(row.at) };
  switch (row.kind) {
    case 'decision':
      return { ...base, kind: 'decision', ...(row.body as { task: string; decision: TaskDecision }) };
    case 'event':
      return { ...base, kind: 'event', name: row.name, payload: row.body, correlated: row.correlation_key !== null };
    case 'withdraw':
      return { ...base, kind: 'withdraw', ...(row.body as { reason: string }) };
    case 'outcome':
      return { ...base, kind: 'outcome', ...(row.body as { of: CaseId; outcome: unknown }) };
  }
}

export async function markDelivered(tx: Sql, ids: readonly string[]): Promise<void> {
  await tx.query('update inbox set delivered_at = now() where id = any($1::bigint[])', [ids]);
}

/** Open, started cases that have something undelivered for longer than `grace` milliseconds, or delivered without a mark for longer than `again`: the sweep's work list. */
export async function casesToDeliver(sql: Sql, again: number, grace: number, limit: number): Promise<CaseId[]> {
  const { rows } = await sql.query<{ case_id: CaseId }>(
    `select i.case_id from inbox i join cases c on c.id = i.case_id
     where i.seen_at is null and i.became is null and c.status = 'open' and c.started_at is not null
       and case when i.delivered_at is null then i.received_at < now() - $2 * interval '1 millisecond' else i.delivered_at < now() - $1 * interval '1 millisecond' end
     group by i.case_id order by min(i.id) limit $3`,
    [again, grace, limit],
  );
  return rows.map((r) => r.case_id);
}
