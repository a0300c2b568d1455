/** The outbox: what a case tells people, written with its record and sent by a job once that has committed. */
import type { CaseId } from '../values/ids.ts';
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
export async function queueMessage(tx: Sql, of: { readonly id: CaseId; readonly shop: string }, told: Told): Promise<void> {
  const id = `${of.id}:${told.path}`;
  const { rowCount } = await tx.query(
    'insert into messages (id, case_id, shop, message, recipient, data) values ($1, $2, $3, $4, $5, $6) on conflict (id) do nothing',
    [id, of.id, of.shop, told.message, told.to, JSON.stringify(told.data)],
  );
  if (rowCount !== 1) return;
  await addJob(tx, 'send-message', `message:${id}`, { id });
  await note(tx, of.id, `told:${told.path}`, 'told', { message: told.message, to: told.to });
}

export async function findMessage(sql: Sql, id: string): Promise<MessageRow | undefined> {
  return (await sql.query<MessageRow>('select * from messages where id = $1', [id])).rows[0];
}

export async function settleMessage(sql: Sql, id: string, status: 'sent' | 'held' | 'failed', trouble?: string): Promise<void> {
  await sql.query(`update messages set status = $2, trouble = $3, sent_at = case when $2 = 'sent' then now() else sent_at end where id = $1`, [
    id,
    status,
    trouble ?? null,
  ]);
}
