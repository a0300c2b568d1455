import { z } from 'zod';
import { idSchema } from '../contract.ts';
import { businessError, defineSandbox, newId, routesOf } from '../sandbox/define.ts';
import type { Channel } from './contract.ts';
import { channels, notifications } from './contract.ts';

const tables = `
create table if not exists sandbox.outbox (
  provider_id text primary key,
  seq bigint generated always as identity unique,
  message_id text not null,
  channel text not null,
  recipient text not null,
  subject text,
  text text not null,
  sent_at timestamptz not null
);
create index if not exists outbox_to on sandbox.outbox (recipient, seq);
create index if not exists outbox_message on sandbox.outbox (message_id);
`;

/** What a channel can reach at all; the rest is refused, as a provider does. */
function reaches(channel: Channel, to: string): boolean {
  switch (channel) {
    case 'sms':
    case 'phone':
      return /^\+?[\d -]{5,20}$/.test(to);
    case 'email':
      return /^[^@\s]+@[^@\s]+$/.test(to);
    case 'push':
    case 'wecom':
    case 'wechat':
      return true;
  }
}

const route = routesOf<typeof notifications>();
const message = z.object({
  seq: z.int(),
  providerId: z.string(),
  messageId: z.string(),
  channel: z.enum(channels),
  to: z.string(),
  subject: z.string().nullable(),
  text: z.string(),
  sentAt: z.string(),
});

export const notificationsSandbox = defineSandbox({
  contract: notifications,
  tables,
  operations: {
    send: async ({ channel, to, subject, text, messageId }, { sql, at }) => {
      if (!reaches(channel, to)) throw businessError(notifications, 'send', 'undeliverable', `${channel} has no such recipient`);
      const providerId = newId('msg');
      await sql.query('insert into sandbox.outbox (provider_id, message_id, channel, recipient, subject, text, sent_at) values ($1, $2, $3, $4, $5, $6, $7)', [
        providerId,
        messageId,
        channel,
        to,
        subject ?? null,
        text,
        at,
      ]);
      return { providerId };
    },
  },
  undo: {},
  routes: [
    route({
      method: 'get',
      path: 'outbox',
      title: 'What was sent, oldest first',
      query: z.object({
        to: z.string().max(300).optional(),
        messageId: idSchema.optional(),
        channel: z.enum(channels).optional(),
        after: z.coerce.number().int().min(0).default(0).meta({ description: 'The last seq of the page before' }),
        limit: z.coerce.number().int().min(1).max(1000).default(100),
      }),
      result: z.object({ messages: z.array(message) }),
      run: async ({ query }, { sql }) => {
        const { rows } = await sql.query<Omit<z.output<typeof message>, 'sentAt'> & { sent_at: Date }>(
          `select seq, provider_id as "providerId", message_id as "messageId", channel, recipient as "to", subject, text, sent_at from sandbox.outbox
            where ($1::text is null or recipient = $1) and ($2::text is null or message_id = $2) and ($3::text is null or channel = $3) and seq > $4 order by seq limit $5`,
          [query.to ?? null, query.messageId ?? null, query.channel ?? null, query.after, query.limit],
        );
        return { messages: rows.map(({ sent_at, ...row }) => ({ ...row, sentAt: sent_at.toISOString() })) };
      },
    }),
  ],
});
