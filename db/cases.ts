/** Case rows: what was asked for, and the projection of where it stands. */
import { caseId, type CaseId } from '../values/ids.ts';
import { instant, type Instant } from '../values/instant.ts';
import { contentHash } from '../values/hash.ts';
import type { ProcessDeclaration } from '../workflows/kit/declare.ts';
import type { Manifest } from '../workflows/kit/protocol.ts';
import { nowKnown, readOnce, whatIsKnown, type Sql } from './pool.ts';
import { Refused } from './refused.ts';
import { note } from './timeline.ts';

export type CaseStatus = 'open' | 'completed' | 'withdrawn' | 'failed' | 'broken';
export interface CaseRow {
  readonly id: CaseId;
  readonly process: string;
  readonly shop: string;
  readonly customer: string | null;
  readonly order_id: string | null;
  readonly input: unknown;
  readonly input_hash: string;
  readonly manifest: Manifest;
  readonly starter: string;
  readonly status: CaseStatus;
  readonly stage: string | null;
  readonly no_return: boolean;
  readonly outcome: unknown;
  readonly trouble: string | null;
  readonly parent: CaseId | null;
  readonly run_at: Date;
  readonly opened_at: Date;
  readonly started_at: Date | null;
  readonly run_id: string | null;
  /** Runs that operators' resets began, in the order in which they first wrote. */
  readonly reset_runs: readonly string[];
  readonly changed_at: Date;
  readonly closed_at: Date | null;
  /** When its customer's data was erased. */
  readonly erased_at: Date | null;
}

export interface Difference {
  readonly path: string;
  readonly was: unknown;
  readonly now: unknown;
}
export type Opened =
  | { readonly status: 'new' | 'same'; readonly case: CaseRow }
  | { readonly status: 'conflict'; readonly id: CaseId; readonly differences: readonly Difference[] };

export interface OpenCase {
  readonly declaration: ProcessDeclaration;
  /** Validated, without free text: what the workflow gets. */
  readonly input: unknown;
  readonly manifest: Manifest;
  readonly starter: string;
  readonly parent?: CaseId;
  readonly runAt?: Instant;
}

/** The id that an input has as a case of its process. The input must have passed the declaration's schema. */
export const idOf = (declaration: ProcessDeclaration, input: unknown): CaseId => caseId(declaration.name, declaration.key(input as never));

/** Inserts the case, or finds it: same input → the case that stands, running or ended; same key with another input → what differs. */
export async function openCase(tx: Sql, open: OpenCase): Promise<Opened> {
  const { declaration, input, manifest } = open;
  const id = idOf(declaration, input);
  const subject = declaration.subject(input as never);
  // Not of the words beside it: whoever has the rest could try a short text, a telephone number, until the hash is right.
  const hash = contentHash(input);
  const inserted = await tx.query<CaseRow>(
    `insert into cases (id, process, shop, customer, order_id, input, input_hash, manifest, starter, parent, run_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, now())) on conflict (id) do nothing returning *`,
    [
      id,
      declaration.name,
      subject.shop,
      subject.customer ?? null,
      subject.order ?? null,
      JSON.stringify(input),
      hash,
      JSON.stringify(manifest),
      open.starter,
      open.parent ?? null,
      open.runAt ?? null,
    ],
  );
  const [fresh] = inserted.rows;
  if (fresh) {
    await note(tx, id, 'opened', 'opened', { by: open.starter });
    return { status: 'new', case: fresh };
  }
  const stands = await findCase(tx, id);
  if (stands === undefined) throw new Error(`case ${id} neither inserted nor found`);
  return stands.input_hash === hash ? { status: 'same', case: stands } : { status: 'conflict', id, differences: differences(stands.input, input) };
}

export async function findCase(sql: Sql, id: string): Promise<CaseRow | undefined> {
  return (await sql.query<CaseRow>('select * from cases where id = $1', [id])).rows[0];
}

const known = (id: CaseId): string => `case ${id}`;

/**
 * Locks the case's row against every other decision and record of the case. Always the first lock. Once a transaction: what it changes itself in the row
 * afterwards, it says by `nowLocked`.
 */
export const lockCase = (tx: Sql, id: CaseId): Promise<CaseRow> =>
  readOnce(tx, known(id), async () => {
    // NO KEY UPDATE: rows that merely refer to the case can still be inserted elsewhere.
    const { rows } = await tx.query<CaseRow>('select * from cases where id = $1 for no key update', [id]);
    if (rows[0] === undefined) throw new Refused('caseNotFound', { case: id });
    return rows[0];
  });

/** A row of `cases` that this transaction has locked by changing it. */
export const nowLocked = (tx: Sql, row: CaseRow): void => nowKnown(tx, known(row.id), row);

/**
 * Whether a case is open, which it then stays until the transaction ends: shared with others that only look, while its last record waits. Undefined when there
 * is no such case.
 */
export async function heldOpen(tx: Sql, id: CaseId): Promise<boolean | undefined> {
  const locked = await (whatIsKnown(tx, known(id)) as Promise<CaseRow> | undefined);
  const row = locked ?? (await tx.query<Pick<CaseRow, 'status'>>('select status from cases where id = $1 for share', [id])).rows[0];
  return row && row.status === 'open';
}

/** Where two inputs differ, by JSON path. */
export function differences(was: unknown, now: unknown, path = ''): Difference[] {
  const isObject = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null;
  if (isObject(was) && isObject(now))
    return [...new Set([...Object.keys(was), ...Object.keys(now)])].flatMap((key) => differences(was[key], now[key], path === '' ? key : `${path}.${key}`));
  return contentHash(was ?? null) === contentHash(now ?? null) ? [] : [{ path, was: was ?? null, now: now ?? null }];
}

/** Temporal has confirmed the workflow: the sweep of unstarted cases lets go of it. */
export async function markStarted(sql: Sql, id: CaseId, runId: string | undefined): Promise<void> {
  await sql.query('update cases set started_at = coalesce(started_at, now()), run_id = coalesce($2, run_id) where id = $1', [id, runId ?? null]);
}

/** Cases that are due and whose start a crash or an outage left, oldest first. */
export async function unstartedCases(sql: Sql, olderThanMs: number, limit: number): Promise<CaseRow[]> {
  const { rows } = await sql.query<CaseRow>(
    `select * from cases where started_at is null and status = 'open' and run_at < now() - $1 * interval '1 millisecond' order by run_at limit $2`,
    [olderThanMs, limit],
  );
  return rows;
}

export interface CaseFilter {
  /** '*': every shop. */
  readonly shops: readonly string[];
  readonly process?: string | undefined;
  readonly status?: CaseStatus | undefined;
  readonly stage?: string | undefined;
  readonly customer?: string | undefined;
  readonly order?: string | undefined;
  /** Only cases one of whose clocks has broken. */
  readonly breached?: boolean | undefined;
}
export type ListedCase = CaseRow & { readonly opened_text: string };

/**
 * Cases of shops, newest first, after the keyset (opened_at, id) of the last one seen. One range of index cases_newest per shop (cases_newest_of_all for who
 * serves every shop), each read no further than the page; with an order or a customer, of cases_by_order or cases_by_customer.
 */
export async function listCases(
  sql: Sql,
  filter: CaseFilter,
  after: readonly [openedAt: string, id: string] | undefined,
  limit: number,
): Promise<ListedCase[]> {
  const everywhere = filter.shops.includes('*');
  const { rows } = await sql.query<ListedCase>(
    `select c.*, c.opened_at::text as opened_text from unnest($1::text[]) as shops(shop) cross join lateral (
       select * from cases i
       where ${everywhere ? 'true' : 'i.shop = shops.shop'} and (i.opened_at, i.id) < ($2::timestamptz, $3)
         and ($5::text is null or i.process = $5) and ($6::text is null or i.status = $6) and ($7::text is null or i.stage = $7)
         and ($8::text is null or i.customer = $8) and ($9::text is null or i.order_id = $9)
         -- A limit keeps it a look by the primary key for each case of the page: as a mere "exists" the clocks of all cases would be read into a hash.
         and ($10::boolean is null or (select count(*) > 0 from (select 1 from clocks k where k.case_id = i.id and k.status = 'broken' limit 1) b) = $10)
       order by i.opened_at desc, i.id desc limit $4
     ) c order by c.opened_at desc, c.id desc limit $4`,
    [
      everywhere ? ['*'] : filter.shops,
      ...(after ?? ['infinity', '']),
      limit,
      filter.process ?? null,
      filter.status ?? null,
      filter.stage ?? null,
      filter.customer ?? null,
      filter.order ?? null,
      filter.breached ?? null,
    ],
  );
  return rows;
}

/**
 * Cases that were opened before a moment and go on, or have ended since another: their histories may hold what was sealed before. A broken one may be reset,
 * and then goes on with what its history holds.
 */
export async function casesOpenedBefore(
  sql: Sql,
  opened: Instant,
  endedSince: Instant,
): Promise<{ readonly open: number; readonly ended: number; readonly lastEnd: Instant | undefined }> {
  const { rows } = await sql.query<{ open: number; ended: number; last_end: Date | null }>(
    `select count(*) filter (where goes_on)::int as open, count(*) filter (where not goes_on)::int as ended, max(closed_at) as last_end
     from (select closed_at, status in ('open', 'broken') as goes_on from cases where opened_at < $1) c where goes_on or closed_at > $2`,
    [opened, endedSince],
  );
  const [row] = rows;
  return { open: row?.open ?? 0, ended: row?.ended ?? 0, lastEnd: row?.last_end ? instant(row.last_end) : undefined };
}
