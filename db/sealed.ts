/**
 * Words and personal data, sealed with AES-256-GCM under a key of the customer's own, which is itself sealed under a master key.
 * To erase a customer is to drop one row of `customer_keys`: what was sealed under it can never be opened again.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { keysOfFile, type Report } from '../keys/file.ts';
import { fixedKeys, parseKeys, type Keys, type Purpose } from '../keys/ring.ts';
import type { CaseId } from '../values/ids.ts';
import type { Instant } from '../values/instant.ts';
import { instant } from '../values/instant.ts';
import type { Sql } from './pool.ts';

/** The keys that seal customers' keys. They never touch Postgres, which only knows which of them sealed what. */
export type MasterKeys = Keys;
export const masterKeyPurpose: Purpose = { name: 'master' };

/** Layout of a sealed value: this byte, 12 bytes of nonce, 16 of tag, the cipher text. Another layout gets another byte. */
const layout = 1;
const nonceBytes = 12;
const tagBytes = 16;

/** Parses master keys; throws RangeError when they are none. */
export const masterKeys = (text: string): MasterKeys => fixedKeys(parseKeys(text, masterKeyPurpose));

/** The master keys of a file, read again when it changes; throws an Error that names the file when it cannot be read or holds none. */
export const masterKeysOf = (file: string, report: Report): MasterKeys => keysOfFile(file, masterKeyPurpose, report);

/** Seals bytes; `bound` names the place they belong to, so that a sealed value copied into another row does not open there. */
function sealBytes(key: Buffer, bound: string, plain: Buffer): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(bound));
  const text = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([Buffer.of(layout), nonce, cipher.getAuthTag(), text]);
}

function openBytes(key: Buffer, bound: string, sealed: Buffer): Buffer {
  if (sealed[0] !== layout) throw new RangeError(`sealed with layout ${sealed[0]}, this version opens ${layout}`);
  const tagAt = 1 + nonceBytes;
  const textAt = tagAt + tagBytes;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, tagAt)).setAAD(Buffer.from(bound)).setAuthTag(sealed.subarray(tagAt, textAt));
  return Buffer.concat([decipher.update(sealed.subarray(textAt)), decipher.final()]);
}

const keyPlace = (owner: string): string => `key/${owner}`;
const textPlace = (caseId: string, path: string): string => `text/${caseId}/${path}`;
const filePlace = (id: string): string => `file/${id}`;

/** Whose key seals what is said in a case: the customer's, or the case's own where no customer is known. */
export const ownerOf = (of: { readonly id: CaseId; readonly customer: string | null }): string => of.customer ?? `case:${of.id}`;

interface SealedKey {
  readonly sealed_key: Buffer;
  readonly master_key: string;
}

/** Opens an owner's key. Throws, saying what to do, when this process does not have the master key that sealed it. */
function openKey(masters: MasterKeys, owner: string, { sealed_key, master_key }: SealedKey): Buffer {
  const master = masters.find(master_key);
  if (master === undefined)
    throw new Error(
      `a customer's key is sealed under master key "${master_key}", which this process does not have: put it back into PERSONAL_KEY_FILE (docs/keys.md, "A key is missing")`,
    );
  return openBytes(master.key, keyPlace(owner), sealed_key);
}

async function keyOf(sql: Sql, masters: MasterKeys, owner: string): Promise<Buffer | undefined> {
  const { rows } = await sql.query<SealedKey>('select sealed_key, master_key from customer_keys where customer = $1', [owner]);
  return rows[0] && openKey(masters, owner, rows[0]);
}

/** The owner's key, made at first use. Two makers at once: the first one's stands, and the other reads it. */
async function keyFor(tx: Sql, masters: MasterKeys, owner: string): Promise<Buffer> {
  const known = await keyOf(tx, masters, owner);
  if (known) return known;
  const { id, key } = masters.sealing();
  await tx.query('insert into customer_keys (customer, sealed_key, master_key) values ($1, $2, $3) on conflict do nothing', [
    owner,
    sealBytes(key, keyPlace(owner), randomBytes(32)),
    id,
  ]);
  const made = await keyOf(tx, masters, owner);
  if (!made) throw new Error('a key was dropped while it was made');
  return made;
}

export interface Sealing {
  readonly caseId: CaseId;
  readonly owner: string;
  /** Where in the case it belongs: `input`, `task:<path>`, `event:<inbox row>`, `note:<id>`. */
  readonly path: string;
  /** JSON. */
  readonly value: unknown;
  /** Who said it. */
  readonly by: string;
}

/** Seals a value of a case. What stands at its path already stays: the same fact is written once, whatever is repeated. */
export async function seal(tx: Sql, master: MasterKeys, { caseId, owner, path, value, by }: Sealing): Promise<void> {
  const sealed = sealBytes(await keyFor(tx, master, owner), textPlace(caseId, path), Buffer.from(JSON.stringify(value)));
  // The wall clock, not the transaction's: a text is never older than the key it was sealed under.
  await tx.query('insert into sealed_texts (case_id, owner, path, sealed, by, at) values ($1, $2, $3, $4, $5, clock_timestamp()) on conflict do nothing', [
    caseId,
    owner,
    path,
    sealed,
    by,
  ]);
}

export interface Opened {
  readonly path: string;
  readonly by: string;
  readonly at: Instant;
  /** JSON; undefined once the customer was erased. */
  readonly value: unknown;
}

/** Opens what was sealed in a case, oldest first: all of it, or what stands at one path. */
export async function open(sql: Sql, master: MasterKeys, caseId: CaseId, path?: string): Promise<Opened[]> {
  const { rows } = await sql.query<{ path: string; owner: string; sealed: Buffer; by: string; at: Date; sealed_key: Buffer | null; master_key: string }>(
    `select t.path, t.owner, t.sealed, t.by, t.at, k.sealed_key, k.master_key
     from sealed_texts t left join customer_keys k on k.customer = t.owner and k.made_at <= t.at -- a younger key was made after an erasure
     where t.case_id = $1 and ($2::text is null or t.path = $2) order by t.at, t.path`,
    [caseId, path ?? null],
  );
  return rows.map((row) => {
    const key = row.sealed_key && openKey(master, row.owner, { sealed_key: row.sealed_key, master_key: row.master_key });
    const value: unknown = key ? JSON.parse(openBytes(key, textPlace(caseId, row.path), row.sealed).toString()) : undefined;
    return { path: row.path, by: row.by, at: instant(row.at), value };
  });
}

/** A new key for one file, and the same sealed under its owner's key: without that, nobody reads the file, wherever copies of it lie. */
export async function newFileKey(tx: Sql, master: MasterKeys, owner: string, id: string): Promise<{ readonly key: Buffer; readonly sealed: Buffer }> {
  const key = randomBytes(32);
  return { key, sealed: sealBytes(await keyFor(tx, master, owner), filePlace(id), key) };
}

/** The key of a file; undefined once its owner was erased. */
export async function openFileKey(
  sql: Sql,
  master: MasterKeys,
  file: { readonly id: string; readonly owner: string; readonly sealedKey: Buffer; readonly at: Date },
): Promise<Buffer | undefined> {
  const { rows } = await sql.query<SealedKey>(
    // A younger key was made after an erasure.
    'select sealed_key, master_key from customer_keys where customer = $1 and made_at <= $2',
    [file.owner, file.at],
  );
  const [row] = rows;
  return row && openBytes(openKey(master, file.owner, row), filePlace(file.id), file.sealedKey);
}

/** How many customers' keys each master key seals, and the oldest of them. */
export async function keysByMaster(sql: Sql): Promise<ReadonlyMap<string, { readonly rows: number; readonly oldest: Instant }>> {
  const { rows } = await sql.query<{ master_key: string; n: number; oldest: Date }>(
    'select master_key, count(*)::int as n, min(made_at) as oldest from customer_keys group by 1',
  );
  return new Map(rows.map(({ master_key, n, oldest }) => [master_key, { rows: n, oldest: instant(oldest) }]));
}

/** Rows of one batch: a few milliseconds of locks, so that whoever erases a customer or makes a key of one hardly waits. */
const rewrapBatch = 500;

/**
 * Seals customers' keys that another master key sealed under the one that seals now: a batch of them, and answers how many. What the customers' keys themselves
 * seal stays as it is. To be called in a transaction, again and again until it answers 0; whatever ends it half-way, the rest is found by the next call.
 */
export async function rewrapSome(tx: Sql, masters: MasterKeys): Promise<number> {
  const { id, key } = masters.sealing();
  const { rows } = await tx.query<SealedKey & { customer: string }>(
    // Locked against erasure, not against texts that are sealed meanwhile: a customer who is being erased is gone before, or erased after, and never written again. In one order, so that two rewraps wait for each other.
    'select customer, sealed_key, master_key from customer_keys where master_key <> $1 order by customer limit $2 for no key update',
    [id, rewrapBatch],
  );
  if (rows.length === 0) return 0;
  const sealed = rows.map((row) => sealBytes(key, keyPlace(row.customer), openKey(masters, row.customer, row)));
  await tx.query(
    `update customer_keys k set sealed_key = n.sealed_key, master_key = $3
     from unnest($1::text[], $2::bytea[]) as n (customer, sealed_key) where k.customer = n.customer`,
    [rows.map(({ customer }) => customer), sealed, id],
  );
  return rows.length;
}
