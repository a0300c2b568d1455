/**
 * A customer as a whole: all of their cases, and how they are erased. To erase is to drop their key, after which nothing that was sealed under it can be opened;
 * what is left are the records of the business: ids of the platform, goods, amounts, decisions.
 */
import type { CaseId, PersonId } from '../values/ids.ts';
import { instant, type Instant } from '../values/instant.ts';
import type { CaseRow } from './cases.ts';
import type { Sql } from './pool.ts';
import { Refused } from './refused.ts';
import { ownerOf } from './sealed.ts';
import { note } from './timeline.ts';

/** Why a customer is erased, as codes: words could name them. */
export const eraseReasons = ['customerAsked', 'retentionOver', 'authority'] as const;
export type EraseReason = (typeof eraseReasons)[number];

export interface Erasure {
  readonly id: number;
  /** The platform's pseudonym. */
  readonly customer: string;
  readonly at: Instant;
  readonly by: PersonId;
  readonly why: EraseReason;
  /** What it was about. */
  readonly cases: number;
  readonly texts: number;
  readonly files: number;
  readonly links: number;
}
type ErasureRow = Omit<Erasure, 'at'> & { readonly at: Date };
const erasure = ({ at, ...row }: ErasureRow): Erasure => ({ ...row, at: instant(at) });

/**
 * All cases of a customer, oldest first: theirs by name, and those that began with one of them or led to one before anybody knew whose it was (a parcel that
 * nobody had asked about). Served by cases_by_customer, cases_by_parent and the primary key.
 */
export async function casesOfCustomer(sql: Sql, customer: string): Promise<CaseRow[]> {
  const { rows } = await sql.query<CaseRow>(
    `with recursive theirs as (
       select id, parent from cases where customer = $1
       union
       select c.id, c.parent from theirs t cross join lateral (
         select id, parent, customer from cases where parent = t.id union all select id, parent, customer from cases where id = t.parent
       ) c where c.customer is null
     )
     select c.* from cases c join theirs using (id) order by c.opened_at, c.id`,
    [customer],
  );
  return rows;
}

/** Erasures of a customer, oldest first: more than one when they came again. */
export async function erasuresOf(sql: Sql, customer: string): Promise<Erasure[]> {
  const { rows } = await sql.query<ErasureRow>('select * from erasures where customer = $1 order by id', [customer]);
  return rows.map(erasure);
}

/**
 * Erases a customer: drops their keys, and with them every text; revokes their links; holds what was still to be sent to them; leaves their files to
 * `erasedFiles`. Refused while a case of theirs is open. Again, with nothing new since: what was written the first time.
 */
export async function eraseCustomer(
  tx: Sql,
  { customer, by, why }: Pick<Erasure, 'customer' | 'by' | 'why'>,
): Promise<{ readonly erasure: Erasure; readonly again: boolean }> {
  // Two at once are one: the second finds nothing left.
  await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 2))', [customer]);
  const ids = (rows: readonly CaseRow[]): CaseId[] => rows.map(({ id }) => id);
  // Cases are locked before anything of theirs, here as everywhere, and in one order.
  await tx.query('select 1 from cases where id = any($1) order by id for no key update', [ids(await casesOfCustomer(tx, customer))]);
  const known = await casesOfCustomer(tx, customer);
  const owners = [...new Set([customer, ...known.map(ownerOf)])];
  // Waits for whoever is sealing something of theirs (they hold the key by its reference), and holds off who comes next until the key is gone.
  const keys = await tx.query('select 1 from customer_keys where customer = any($1) order by customer for update', [owners]);
  // Again, because somebody waited for may have opened a case.
  const theirs = await casesOfCustomer(tx, customer);
  const [last] = (await erasuresOf(tx, customer)).toReversed();
  if (theirs.length === 0 && last === undefined) throw new Refused('customerNotFound', { customer });
  const open = theirs.filter(({ status }) => status === 'open');
  if (open.length > 0) throw new Refused('customerHasOpenCases', { customer, cases: ids(open) });
  if (last !== undefined && keys.rowCount === 0 && theirs.every(({ erased_at: at }) => at !== null)) return { erasure: last, again: true };

  const all = ids(theirs);
  const { rows: counted } = await tx.query<Pick<Erasure, 'texts' | 'files'>>(
    `select (select count(*)::int from sealed_texts where owner = any($1)) as texts,
       (select count(*)::int from evidence where owner = any($1) and stored_at is not null) as files`,
    [owners],
  );
  const links = await tx.query('update customer_links set revoked_at = now(), revoked_by = $2 where case_id = any($1) and revoked_at is null', [all, by]);
  await tx.query(`update messages set status = 'held', trouble = 'erased' where case_id = any($1) and recipient = 'customer' and status = 'queued'`, [all]);
  // Their texts go with it, and their files lose their owner.
  await tx.query('delete from customer_keys where customer = any($1)', [owners]);
  await tx.query('update cases set erased_at = now() where id = any($1)', [all]);
  const { rows } = await tx.query<ErasureRow>(
    'insert into erasures (customer, by, why, cases, texts, files, links) values ($1, $2, $3, $4, $5, $6, $7) returning *',
    [customer, by, why, all.length, counted[0]?.texts ?? 0, counted[0]?.files ?? 0, links.rowCount ?? 0],
  );
  const [written] = rows;
  if (written === undefined) throw new Error('an erasure was not written');
  for (const id of all) await note(tx, id, `erased:${written.id}`, 'erased', { by, why });
  return { erasure: erasure(written), again: false };
}

/** Files of erased customers whose bytes are still in the store. Served by index evidence_erased. One that is still coming is left to its upload. */
export async function erasedFiles(sql: Sql, limit: number): Promise<{ readonly id: string; readonly storeKey: string }[]> {
  const { rows } = await sql.query<{ id: string; storeKey: string }>(
    `select id, store_key as "storeKey" from evidence where owner is null and store_key is not null and stored_at is not null order by id limit $1`,
    [limit],
  );
  return rows;
}

/** The bytes of a file are gone from the store: nothing of it is left but that it was there. */
export async function fileIsGone(sql: Sql, id: string): Promise<void> {
  await sql.query(`update evidence set store_key = null, sha256 = null, sealed_key = '' where id = $1 and owner is null`, [id]);
}

/** Files of a customer's cases whose bytes have still to be deleted. */
export async function filesLeft(sql: Sql, cases: readonly CaseId[]): Promise<number> {
  const { rows } = await sql.query<{ n: number }>(
    'select count(*)::int as n from evidence where case_id = any($1) and owner is null and store_key is not null',
    [cases],
  );
  return rows[0]?.n ?? 0;
}
