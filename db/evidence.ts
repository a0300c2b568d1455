/** What customers upload: a row per file. Its bytes are in the store, sealed under a key of the file's own, which is sealed under the customer's. */
import { randomBytes } from 'node:crypto';
import type { CaseId } from '../values/ids.ts';
import { instant, type Instant } from '../values/instant.ts';
import { lockCase, type CaseRow } from './cases.ts';
import type { Sql } from './pool.ts';
import { Refused } from './refused.ts';
import { newFileKey, ownerOf, type MasterKeys } from './sealed.ts';
import { note } from './timeline.ts';

export type EvidenceKind = 'photo' | 'video';
/** What the bytes are, found out while they were stored. */
export interface Received {
  readonly kind: EvidenceKind;
  /** MIME. */
  readonly type: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}
export interface Evidence extends Omit<Received, 'sha256'> {
  readonly id: string;
  readonly caseId: CaseId;
  readonly by: string;
  readonly at: Instant;
}
/** A place for a file that comes. */
export interface Place {
  readonly id: string;
  readonly storeKey: string;
  readonly key: Buffer;
}
interface EvidenceRow extends Received {
  readonly id: string;
  readonly case_id: CaseId;
  /** Null once its customer was erased. */
  readonly owner: string | null;
  readonly sealed_key: Buffer;
  /** Null once its bytes are gone. */
  readonly store_key: string | null;
  readonly by: string;
  readonly at: Date;
}
const evidence = ({ id, case_id, kind, type, bytes, by, at }: EvidenceRow): Evidence => ({
  id,
  caseId: case_id,
  kind,
  type,
  bytes,
  by,
  at: instant(at),
});

/** Takes a place for a file before its bytes come, under the case's lock: however many are uploaded at once, a case never has more than `most`. */
export async function takePlace(tx: Sql, master: MasterKeys, of: CaseRow, by: string, most: number): Promise<Place> {
  await lockCase(tx, of.id);
  const taken = await tx.query<{ n: number }>('select count(*)::int as n from evidence where case_id = $1', [of.id]);
  if ((taken.rows[0]?.n ?? 0) >= most) throw new Refused('evidenceFull', { case: of.id, most });
  const id = randomBytes(15).toString('base64url');
  const owner = ownerOf(of);
  const { key, sealed } = await newFileKey(tx, master, owner, id);
  // Two characters of folder, so that none of them holds everything.
  const storeKey = `${id.slice(0, 2)}/${id}`;
  await tx.query('insert into evidence (id, case_id, owner, sealed_key, store_key, by) values ($1, $2, $3, $4, $5, $6)', [
    id,
    of.id,
    owner,
    sealed,
    storeKey,
    by,
  ]);
  return { id, storeKey, key };
}

/**
 * The bytes are stored: the place becomes evidence. Where the case has the same bytes already, those stand, and `spare` says that what was stored now is not
 * needed.
 */
export async function keepEvidence(tx: Sql, of: CaseId, { id }: Place, received: Received): Promise<{ readonly evidence: Evidence; readonly spare: boolean }> {
  await lockCase(tx, of);
  const { rows: same } = await tx.query<EvidenceRow>('select * from evidence where case_id = $1 and sha256 = $2 and stored_at is not null', [
    of,
    received.sha256,
  ]);
  if (same[0]) {
    await tx.query('delete from evidence where id = $1', [id]);
    return { evidence: evidence(same[0]), spare: true };
  }
  const { rows } = await tx.query<EvidenceRow>(
    // Without an owner, its customer was erased while it came.
    'update evidence set kind = $2, type = $3, bytes = $4, sha256 = $5, stored_at = now() where id = $1 and stored_at is null and owner is not null returning *',
    [id, received.kind, received.type, received.bytes, received.sha256],
  );
  const [row] = rows;
  if (row === undefined) throw new Error(`evidence ${id} has lost its place: its upload took longer than any may, or its customer was erased`);
  await note(tx, of, `evidence:${id}`, 'evidence', { evidence: id, kind: row.kind, bytes: row.bytes, by: row.by });
  return { evidence: evidence(row), spare: false };
}

/** Gives a place back whose bytes did not come. */
export async function leavePlace(sql: Sql, { id }: Pick<Place, 'id'>): Promise<void> {
  await sql.query('delete from evidence where id = $1 and stored_at is null', [id]);
}

/** Evidence of a case, in the order it came. */
export async function evidenceOf(sql: Sql, of: CaseId): Promise<Evidence[]> {
  const { rows } = await sql.query<EvidenceRow>('select * from evidence where case_id = $1 and stored_at is not null order by at, id', [of]);
  return rows.map(evidence);
}

/** A file with what opens it. */
export interface StoredEvidence {
  readonly evidence: Evidence;
  /** Undefined once its customer was erased. */
  readonly stored:
    | { readonly storeKey: string; readonly sealed: { readonly id: string; readonly owner: string; readonly sealedKey: Buffer; readonly at: Date } }
    | undefined;
}
export async function findEvidence(sql: Sql, id: string): Promise<StoredEvidence | undefined> {
  const { rows } = await sql.query<EvidenceRow>('select * from evidence where id = $1 and stored_at is not null', [id]);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { owner, store_key: storeKey, sealed_key: sealedKey, at } = row;
  return { evidence: evidence(row), stored: owner === null || storeKey === null ? undefined : { storeKey, sealed: { id, owner, sealedKey, at } } };
}

/** Places whose bytes have not come in this many milliseconds: their process has died. Served by index evidence_unfinished. */
export async function unfinishedPlaces(sql: Sql, olderThanMs: number, limit: number): Promise<Pick<Place, 'id' | 'storeKey'>[]> {
  const { rows } = await sql.query<{ id: string; store_key: string }>(
    `select id, store_key from evidence where stored_at is null and at < now() - $1 * interval '1 millisecond' order by at limit $2`,
    [olderThanMs, limit],
  );
  return rows.map(({ id, store_key: storeKey }) => ({ id, storeKey }));
}
