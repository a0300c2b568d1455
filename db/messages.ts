/** The outbox: what a case tells people, written with its record and sent by a job once that has committed. */
import type { CaseId } from '../values/ids.ts';
import type { Instant } from '../values/instant.ts';
import type { Told } from '../workflows/kit/protocol.ts';
import { addJob } from './jobs.ts';
import type { Sql } from './pool.ts';
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

/** Queues a message once: told again under the same path, after a retry or a reset, changes nothing. */
export async function queueMessage(tx: Sql, of: { readonly id: CaseId; readonly shop: string; readonly customer: string | null }, told: Told): Promise<void> {
  const id = `${of.id}:${told.path}`;
  const { rowCount } = await tx.query(
    'insert into messages (id, case_id, shop, customer, message, recipient, data) values ($1, $2, $3, $4, $5, $6, $7) on conflict (id) do nothing',
    [id, of.id, of.shop, of.customer, told.message, told.to, JSON.stringify(told.data)],
  );
  if (rowCount !== 1) return;
  await addJob(tx, 'send-message', `message:${id}`, { id });
  await note(tx, of.id, `told:${told.path}`, 'told', { message: told.message, to: told.to });
}

/** Operators learn that a case cannot go on. */
export const tellBroken = (tx: Sql, of: Parameters<typeof queueMessage>[1]): Promise<void> =>
  queueMessage(tx, of, { path: 'broken', message: 'kit.caseBroken', to: 'ops', data: { case: of.id } });

export async function findMessage(sql: Sql, id: string): Promise<MessageRow | undefined> {
  return (await sql.query<MessageRow>('select * from messages where id = $1', [id])).rows[0];
}

/** What became of a message; `kind` of one that was sent counts against the customer's caps. */
export async function settleMessage(
  sql: Sql,
  id: string,
  status: 'sent' | 'held' | 'failed',
  trouble?: string,
  kind?: 'transactional' | 'marketing',
): Promise<void> {
  await sql.query(
    `update messages set status = $2, trouble = $3, kind = $4, sent_at = case when $2 = 'sent' then now() end where id = $1 and status = 'queued'`,
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
