/**
 * Links that open one case to its customer. A link is a row; its token is made from the row and a secret, so that neither is of use alone and the token need be
 * kept nowhere: whoever sends a message makes it again.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { keysOfFile, type Report } from '../keys/file.ts';
import { fixedKeys, parseKeys, type Keys, type Purpose } from '../keys/ring.ts';
import type { CaseId } from '../values/ids.ts';
import { instant, plus, type Instant } from '../values/instant.ts';
import { findCase, lockCase, type CaseRow } from './cases.ts';
import type { Sql } from './pool.ts';
import { Refused } from './refused.ts';
import { note } from './timeline.ts';

/** Secrets that links are signed with: one signs, and all of them check, so that one is changed without ending the links that are out. */
export type LinkKeys = Keys;
export const linkKeyPurpose: Purpose = { name: 'link', longer: true };

/** Parses secrets of links. Throws RangeError when there is none or one is too short. */
export const linkKeys = (text: string): LinkKeys => fixedKeys(parseKeys(text, linkKeyPurpose));

/** The secrets of a file, read again when it changes; throws an Error that names the file when it cannot be read or holds none. */
export const linkKeysOf = (file: string, report: Report): LinkKeys => keysOfFile(file, linkKeyPurpose, report);

export type LinkLanguage = 'zh' | 'en';
export interface Link {
  readonly id: string;
  readonly caseId: CaseId;
  /** A person, or `message`. */
  readonly madeBy: string;
  readonly language: LinkLanguage;
  readonly madeAt: Instant;
  readonly expiresAt: Instant;
  readonly revokedAt: Instant | null;
  readonly usedAt: Instant | null;
}
interface LinkRow {
  readonly id: string;
  readonly case_id: CaseId;
  readonly made_by: string;
  readonly language: LinkLanguage;
  readonly made_at: Date;
  readonly expires_at: Date;
  readonly revoked_at: Date | null;
  readonly used_at: Date | null;
}
const at = (date: Date | null): Instant | null => date && instant(date);
const link = (row: LinkRow): Link => ({
  id: row.id,
  caseId: row.case_id,
  madeBy: row.made_by,
  language: row.language,
  madeAt: instant(row.made_at),
  expiresAt: instant(row.expires_at),
  revokedAt: at(row.revoked_at),
  usedAt: at(row.used_at),
});

/** 96 bits name a link, 128 bits of the signature prove it: 38 characters, short enough for a text message, and no number of guesses finds one. */
const idBytes = 12;
const macBytes = 16;
const tokenForm = /^([\w-]{16})([\w-]{22})$/;

/** What a secret signs is named first, so that a signature made for one purpose serves no other. */
const mac = (key: Buffer, purpose: 'link' | 'form', ...of: readonly string[]): string =>
  createHmac('sha256', key)
    .update([purpose, ...of].join('\n'))
    .digest()
    .subarray(0, macBytes)
    .toString('base64url');

/** In constant time, and as text: of the last character four bits say nothing, and a token has one spelling only. */
const isSame = (given: string, right: string): boolean => given.length === right.length && timingSafeEqual(Buffer.from(given), Buffer.from(right));

/** Whether one of the keys fits. All are tried, whichever does; and once more those of the file as it is now, where another process may sign with a newer one. */
const fits = (keys: LinkKeys, isRight: (key: Buffer) => boolean): boolean =>
  [keys.all(), keys.again()].some((ring) => ring.map(({ key }) => isRight(key)).includes(true));

type Signed = Pick<Link, 'id' | 'caseId' | 'expiresAt'>;
const signature = (key: Buffer, { id, caseId, expiresAt }: Signed): string => mac(key, 'link', id, caseId, expiresAt);

/** The token of a link: whoever has it, acts for the customer of its case. Never logged, never stored. */
export const tokenOf = (keys: LinkKeys, of: Signed): string => of.id + signature(keys.sealing().key, of);

/** What links are made with: secrets, and what a customer's browser calls us. */
export interface LinkMaking {
  readonly keys: LinkKeys;
  /** `https://service.example.cn`, perhaps with a path. */
  readonly publicUrl: string;
}
export const linkUrl = ({ keys, publicUrl }: LinkMaking, of: Signed): string => `${publicUrl.replace(/\/$/, '')}/c/${tokenOf(keys, of)}`;

/** A secret of a link's forms, so that only a page that we rendered for the link can send one. */
export const formToken = (keys: LinkKeys, of: Pick<Link, 'id'>): string => mac(keys.sealing().key, 'form', of.id);
export const isFormToken = (keys: LinkKeys, of: Pick<Link, 'id'>, given: string): boolean => fits(keys, (key) => isSame(given, mac(key, 'form', of.id)));

/** As many links as people and systems ever need of one case at a time; more is a fault of whoever makes them. A message has its link all the same. */
const mostLive = 50;

export interface NewLink {
  readonly caseId: CaseId;
  readonly madeBy: string;
  readonly language: LinkLanguage;
  readonly expiresAt: Instant;
}

/** Makes a link for a case's customer. */
export async function makeLink(tx: Sql, { caseId, madeBy, language, expiresAt }: NewLink): Promise<Link> {
  const live =
    madeBy === 'message'
      ? undefined
      : await tx.query<{ n: number }>('select count(*)::int as n from customer_links where case_id = $1 and revoked_at is null and expires_at > now()', [
          caseId,
        ]);
  if ((live?.rows[0]?.n ?? 0) >= mostLive) throw new Refused('tooManyLinks', { case: caseId, most: mostLive });
  const id = randomBytes(idBytes).toString('base64url');
  const { rows } = await tx.query<LinkRow>('insert into customer_links (id, case_id, made_by, language, expires_at) values ($1, $2, $3, $4, $5) returning *', [
    id,
    caseId,
    madeBy,
    language,
    expiresAt,
  ]);
  // What a message carries is told with it.
  if (madeBy !== 'message') await note(tx, caseId, `link:${id}`, 'linkMade', { link: id, by: madeBy, until: expiresAt });
  return link(rows[0] ?? raise(`link ${id} was not inserted`));
}

function raise(what: string): never {
  throw new Error(what);
}

/**
 * The link that a message carries: the one it was given before; else the newest of its language that was made for messages and holds for half a lifetime yet;
 * else a new one. So a customer has one link, not one per message, and a message that is sent again says the same again.
 */
export async function linkOfMessage(
  tx: Sql,
  message: { readonly id: string; readonly caseId: CaseId },
  language: LinkLanguage,
  lifetimeMs: number,
  now: Instant,
): Promise<Link> {
  // Two messages that are sent at once get one link.
  await lockCase(tx, message.caseId);
  const given = await tx.query<LinkRow>('select l.* from messages m join customer_links l on l.id = m.link where m.id = $1', [message.id]);
  if (given.rows[0]) return link(given.rows[0]);
  const { rows } = await tx.query<LinkRow>(
    `select * from customer_links where case_id = $1 and made_by = 'message' and language = $2 and revoked_at is null and expires_at > $3
     order by expires_at desc limit 1`,
    [message.caseId, language, plus(now, lifetimeMs / 2)],
  );
  const found = rows[0] ? link(rows[0]) : await makeLink(tx, { caseId: message.caseId, madeBy: 'message', language, expiresAt: plus(now, lifetimeMs) });
  await tx.query('update messages set link = $2 where id = $1', [message.id, found.id]);
  return found;
}

/** Links of a case, the newest first. */
export async function linksOf(sql: Sql, caseId: CaseId): Promise<Link[]> {
  const { rows } = await sql.query<LinkRow>('select * from customer_links where case_id = $1 order by made_at desc, id', [caseId]);
  return rows.map(link);
}

/** Links that were made before a moment and hold still: how many, and until when the last of them. */
export async function liveLinks(sql: Sql, madeBefore: Instant): Promise<{ readonly links: number; readonly until: Instant | undefined }> {
  const { rows } = await sql.query<{ n: number; until: Date | null }>(
    'select count(*)::int as n, max(expires_at) as until from customer_links where made_at < $1 and revoked_at is null and expires_at > now()',
    [madeBefore],
  );
  return { links: rows[0]?.n ?? 0, until: rows[0]?.until ? instant(rows[0].until) : undefined };
}

/** From now on the link opens nothing. Again: the same. Throws Refused when the case has no such link. */
export async function revokeLink(tx: Sql, caseId: CaseId, id: string, by: string): Promise<Link> {
  const { rows } = await tx.query<LinkRow>(
    `update customer_links set revoked_at = coalesce(revoked_at, now()), revoked_by = coalesce(revoked_by, $3) where case_id = $1 and id = $2 returning *`,
    [caseId, id, by],
  );
  const [row] = rows;
  if (row === undefined) throw new Refused('linkNotFound', { case: caseId, link: id });
  await note(tx, caseId, `link:${id}:revoked`, 'linkRevoked', { link: id, by });
  return link(row);
}

export type OpenedLink =
  | { readonly status: 'open'; readonly link: Link; readonly case: CaseRow }
  /** Of one that expired or was revoked the language is told, so that its holder can be told what to do; of any other nothing is. */
  | { readonly status: 'expired' | 'revoked'; readonly link: Link }
  | { readonly status: 'invalid' };

/** A link that nobody has: a token without one costs the same work as a token with a wrong signature. */
const nobodys: Signed = { id: '', caseId: '' as CaseId, expiresAt: instant(0) };

/** What a token opens. One that we did not sign says nothing of whether a link of its id exists, has expired or was revoked. */
export async function openLink(sql: Sql, keys: LinkKeys, token: string, now: Instant): Promise<OpenedLink> {
  const [, id = '', given = ''] = tokenForm.exec(token) ?? [];
  const { rows } = await sql.query<LinkRow>('select * from customer_links where id = $1', [id]);
  const of = rows[0] && link(rows[0]);
  const signed = fits(keys, (key) => isSame(given, signature(key, of ?? nobodys)));
  if (of === undefined || !signed) return { status: 'invalid' };
  if (of.revokedAt !== null) return { status: 'revoked', link: of };
  if (of.expiresAt <= now) return { status: 'expired', link: of };
  const row = await findCase(sql, of.caseId);
  if (row === undefined) throw new Error(`link ${of.id} is of a case without a row`);
  // To the minute: a page that is looked at does not write at every look.
  await sql.query(`update customer_links set used_at = now() where id = $1 and (used_at is null or used_at < now() - interval '1 minute')`, [of.id]);
  return { status: 'open', link: of, case: row };
}
