/**
 * Words and personal data, sealed with AES-256-GCM under a key of the customer's own, which is itself sealed under the master key.
 * To erase a customer is to drop one row of `customer_keys`: what was sealed under it can never be opened again.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { CaseId } from '../values/ids.ts';
import type { Instant } from '../values/instant.ts';
import { instant } from '../values/instant.ts';
import type { Sql } from './pool.ts';

/** The key that seals customers' keys. It never touches Postgres. */
export type MasterKey = Buffer & { readonly _: 'MasterKey' };

/** Layout of a sealed value: this byte, 12 bytes of nonce, 16 of tag, the cipher text. Another layout gets another byte. */
const layout = 1;
const nonceBytes = 12;
const tagBytes = 16;

/** Parses a master key: 32 bytes in base64. Throws RangeError when it is none. */
export function masterKey(base64: string): MasterKey {
  const key = Buffer.from(base64.trim(), 'base64');
  if (key.length !== 32) throw new RangeError('a master key is 32 random bytes in base64: openssl rand -base64 32');
  return key as MasterKey;
}

/** Reads the master key from a file; throws an Error that names the file when it cannot be read or holds no key. */
export function readMasterKey(file: string): MasterKey {
  try {
    return masterKey(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new Error(`no master key in ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

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

async function keyOf(sql: Sql, master: MasterKey, owner: string): Promise<Buffer | undefined> {
  const { rows } = await sql.query<{ sealed_key: Buffer }>('select sealed_key from customer_keys where customer = $1', [owner]);
  return rows[0] && openBytes(master, keyPlace(owner), rows[0].sealed_key);
}

/** The owner's key, made at first use. Two makers at once: the first one's stands, and the other reads it. */
async function keyFor(tx: Sql, master: MasterKey, owner: string): Promise<Buffer> {
  const known = await keyOf(tx, master, owner);
  if (known) return known;
  await tx.query('insert into customer_keys (customer, sealed_key) values ($1, $2) on conflict do nothing', [
    owner,
    sealBytes(master, keyPlace(owner), randomBytes(32)),
  ]);
  const made = await keyOf(tx, master, owner);
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
export async function seal(tx: Sql, master: MasterKey, { caseId, owner, path, value, by }: Sealing): Promise<void> {
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
export async function open(sql: Sql, master: MasterKey, caseId: CaseId, path?: string): Promise<Opened[]> {
  const { rows } = await sql.query<{ path: string; owner: string; sealed: Buffer; by: string; at: Date; sealed_key: Buffer | null }>(
    `select t.path, t.owner, t.sealed, t.by, t.at, k.sealed_key
     from sealed_texts t left join customer_keys k on k.customer = t.owner and k.made_at <= t.at -- a younger key was made after an erasure
     where t.case_id = $1 and ($2::text is null or t.path = $2) order by t.at, t.path`,
    [caseId, path ?? null],
  );
  return rows.map((row) => {
    const key = row.sealed_key && openBytes(master, keyPlace(row.owner), row.sealed_key);
    const value: unknown = key ? JSON.parse(openBytes(key, textPlace(caseId, row.path), row.sealed).toString()) : undefined;
    return { path: row.path, by: row.by, at: instant(row.at), value };
  });
}

/** A new key for one file, and the same sealed under its owner's key: without that, nobody reads the file, wherever copies of it lie. */
export async function newFileKey(tx: Sql, master: MasterKey, owner: string, id: string): Promise<{ readonly key: Buffer; readonly sealed: Buffer }> {
  const key = randomBytes(32);
  return { key, sealed: sealBytes(await keyFor(tx, master, owner), filePlace(id), key) };
}

/** The key of a file; undefined once its owner was erased. */
export async function openFileKey(
  sql: Sql,
  master: MasterKey,
  file: { readonly id: string; readonly owner: string; readonly sealedKey: Buffer; readonly at: Date },
): Promise<Buffer | undefined> {
  const { rows } = await sql.query<{ sealed_key: Buffer }>(
    // A younger key was made after an erasure.
    'select sealed_key from customer_keys where customer = $1 and made_at <= $2',
    [file.owner, file.at],
  );
  const [row] = rows;
  return row && openBytes(openBytes(master, keyPlace(file.owner), row.sealed_key), filePlace(file.id), file.sealedKey);
}
