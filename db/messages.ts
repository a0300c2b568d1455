/** The outbox: what a case tells people, written with its record and sent by a job once that has committed. */
import type { CaseId } from '../values/ids.ts';
import type { Instant } from '../values/instant.ts';
import type { Told } from '../workflows/kit/protocol.ts';
import { jobSpec, type Jobs } from './jobs.ts';
import { inTransaction, writeLast, type Pool, type Sql } from './pool.ts';
import { note } from './timeline.ts';

export interface MessageRow {
  readonly id: string;
  readonly case_id: CaseId;
  readonly shop: string;
  readonly message: string;
  readonly recipient: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly status: 'queued' | 'sent' | 'held' | 'failed';
  readonly queued_at: Date;
  readonly sent_at: Date | null;
}

type Recipient = { readonly id: CaseId; readonly shop: string; readonly customer: string | null };

/** Queues a message once: told again under the same path, after a retry or a reset, changes nothing. */
export async function queueMessage(tx: Sql, of: Recipient, told: Told): Promise<void> {
  await writeLast(tx, writeMessages, { of, told });
  await note(tx, of.id, `told:${told.path}`, 'told', { message: told.message, to: told.to });
}

const sendMessage: keyof Jobs = 'send-message';

/** The rows, and jobs for those that are new. */
async function writeMessages(tx: Sql, messages: readonly { readonly of: Recipient; readonly told: Told }[]): Promise<void> {
  await tx.query(
    `with fresh as (
       insert into messages (id, case_id, shop, customer, message, recipient, data)
       select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[]) on conflict (id) do nothing returning id
     )
     select from (select array_agg(${jobSpec(`'${sendMessage}'`, `json_build_object('id', id)`, `'message:' || id`)}) as jobs from fresh) f
     cross join lateral graphile_worker.add_jobs(f.jobs) where f.jobs is not null`,
    [
      messages.map(({ of, told }) => `${of.id}:${told.path}`),
      messages.map(({ of }) => of.id),
      messages.map(({ of }) => of.shop),
      messages.map(({ of }) => of.customer),
      messages.map(({ told }) => told.message),
      messages.map(({ told }) => told.to),
      messages.map(({ told }) => JSON.stringify(told.data)),
    ],
  );
}

/** Operators learn that a case cannot go on. */
export const tellBroken = (tx: Sql, of: Recipient): Promise<void> =>
  queueMessage(tx, of, { path: 'broken', message: 'kit.caseBroken', to: 'ops', data: { case: of.id } });

export async function findMessage(sql: Sql, id: string): Promise<MessageRow | undefined> {
  return (await sql.query<MessageRow>('select * from messages where id = $1', [id])).rows[0];
}

export interface ToldRow {
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly at: Date;
}
/** What a case told someone, in the order it did; but not what was held back. */
export async function toldTo(sql: Sql, of: CaseId, recipient: string): Promise<ToldRow[]> {
  const { rows } = await sql.query<ToldRow>(
    // The timeline knows the order of what was told at one moment.
    `select m.message, m.data, coalesce(m.sent_at, m.queued_at) as at
     from messages m join timeline t on t.case_id = m.case_id and t.key = 'told:' || substr(m.id, length(m.case_id) + 2)
     where m.case_id = $1 and m.recipient = $2 and m.status <> 'held' order by t.id`,
    [of, recipient],
  );
  return rows;
}

/**
 * Puts the notices of one kind that wait for one department together: after an outage there are thousands. How many go with this one, itself among them; 0 when
 * it goes with another. Written before it is sent, so that a repeated job sends the same under the same key.
 */
export async function bundled(pool: Pool, { id, shop, recipient, message }: Pick<MessageRow, 'id' | 'shop' | 'recipient' | 'message'>): Promise<number> {
  return inTransaction(pool, async (tx) => {
    const { rows } = await tx.query<{ bundle: string | null }>('select bundle from messages where id = $1 for update', [id]);
    const bundle = rows[0]?.bundle ?? null;
    if (bundle !== null && bundle !== id) return 0;
    if (bundle === null)
      // Skipped: what another job is about to put into its own. Served by index messages_waiting.
      await tx.query(
        `update messages set bundle = $1 where id in (
           select id from messages where shop = $2 and recipient = $3 and message = $4 and status = 'queued' and bundle is null for update skip locked)`,
        [id, shop, recipient, message],
      );
    const { rowCount } = await tx.query('select 1 from messages where bundle = $1', [id]);
    return rowCount ?? 0;
  });
}

/** What became of a message, and of those that went with it; `kind` of one that was sent counts against the customer's caps. */
export async function settleMessage(
  sql: Sql,
  id: string,
  status: 'sent' | 'held' | 'failed',
  trouble?: string,
  kind?: 'transactional' | 'marketing',
): Promise<void> {
  await sql.query(
    `update messages set status = $2, trouble = $3, kind = $4, sent_at = case when $2 = 'sent' then now() end where (id = $1 or bundle = $1) and status = 'queued'`,
    [id, status, trouble ?? null, kind ?? null],
  );
}

/** Messages of a kind that were sent to a customer since an instant, over all cases. Served by index messages_capped. */
export async function countSent(sql: Sql, customer: string, kind: 'marketing', since: Instant): Promise<number> {
  const { rows } = await sql.query<{ n: number }>('select count(*)::int as n from messages where customer = $1 and kind = $2 and sent_at > $3', [
    customer,
    kind,
    since,
  ]);
  return rows[0]?.n ?? 0;
}
