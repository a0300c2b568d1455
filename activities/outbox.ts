/** Sends what cases tell people: contact fetched, text rendered, sent once. Nothing personal is stored or logged. */
import { findCase } from '../db/cases.ts';
import { addJob } from '../db/jobs.ts';
import { linkOfMessage, linkUrl, type LinkLanguage } from '../db/links.ts';
import { bundled, countSent, findMessage, settleMessage, type MessageRow } from '../db/messages.ts';
import { inTransaction, timeOf } from '../db/pool.ts';
import type { PolicyValues } from '../policies/schema.ts';
import { callOperation, SystemRefused } from '../systems/client.ts';
import { crm } from '../systems/crm/contract.ts';
import { notifications, type Channel } from '../systems/notifications/contract.ts';
import { orders } from '../systems/orders/contract.ts';
import { instant, plus, type Instant } from '../values/instant.ts';
import { policyOf, type Engine } from './context.ts';
import { messagesSettled } from './counted.ts';
import { kit, messageOf, messageTraits, renderMessage, type Locale, type Rendered } from '../workflows/texts.ts';
import { Temporal } from 'temporal-polyfill';

/** Longer than a contact, a consent or a send takes anywhere; five of them stay below what a job may take (worker/jobs.ts). */
const timeoutMs = 5000;

/** The job: sends a queued message, holds a marketing one that may not be sent now, gives up one that no channel takes. Throws when a system is away: the queue tries again. */
export async function sendMessage(engine: Engine, id: string): Promise<void> {
  const row = await findMessage(engine.pool, id);
  if (row === undefined) throw new Error(`message ${id} has no row`);
  if (row.status !== 'queued') return;
  const of = await findCase(engine.pool, row.case_id);
  const [process, message] = messageOf(engine.processes.get(of?.process ?? ''), row.message);
  if (of === undefined || process === undefined) throw new Error(`message ${id} belongs to no known case`);
  const policy = await policyOf(engine.pool, of);
  const traits = messageTraits(process, message);
  const text = (locale: Locale, link?: string): Rendered => renderMessage(process, message, row.data, locale, policy.messages.texts, link);

  if (row.recipient !== 'customer') {
    // Departments are reached on their own board, by role and shop; who of them is on duty is the board's.
    const notice = text('zh-CN');
    const together = process === kit ? await bundled(engine.pool, row) : 1;
    if (together === 0) return;
    const others = together === 1 ? '' : renderMessage(kit, 'others', { count: together - 1 }, 'zh-CN', policy.messages.texts).text;
    await deliver(engine, row, [{ channel: 'wecom', to: `role:${row.recipient}@${row.shop}` }], { ...notice, text: `${notice.text}${others}` });
    return;
  }
  if (traits.kind === 'marketing' && of.customer !== null) {
    const until = await heldUntil(engine, of.customer, policy, await timeOf(engine.pool));
    if (until === 'never') {
      await settle(engine, id, 'held', 'no consent, or too many already');
      return;
    }
    if (until !== undefined) {
      await addJob(engine.pool, 'send-message', `message:${id}`, { id }, until);
      return;
    }
  }
  const contact = await callOperation(orders, 'contact', {
    ...engine.target('orders'),
    timeoutMs,
    args: of.order_id === null ? { customer: of.customer ?? '' } : { orderId: of.order_id },
  });
  if (!contact.ok) {
    await settle(engine, id, 'failed', contact.error);
    return;
  }
  const { wechat, phone, push, email, language } = contact.result.reach;
  // The channel people read first comes first; each next one is for who cannot be reached there.
  const ways: readonly (readonly [Channel, string | undefined])[] = [
    ['wechat', wechat],
    ['sms', phone],
    ['push', push],
    ['email', email],
  ];
  await deliver(
    engine,
    row,
    ways.flatMap(([channel, to]) => (to === undefined ? [] : [{ channel, to }])),
    text(
      language === 'zh' ? 'zh-CN' : 'en',
      traits.link ? await linkOf(engine, row, language === 'zh' ? 'zh' : 'en', policy.customer.linkLifetime.ms) : undefined,
    ),
  );
}

/** The address at which the customer of a message looks and acts. Nothing keeps it: it is made again from its row whenever it is needed. */
async function linkOf({ pool, links }: Engine, { id, case_id: caseId }: MessageRow, language: LinkLanguage, lifetime: number): Promise<string> {
  const link = await inTransaction(pool, async (tx) => linkOfMessage(tx, { id, caseId }, language, lifetime, await timeOf(tx)));
  return linkUrl(links, link);
}

/**
 * On the first way that takes it. The key names message and channel: a repeated job sends nothing twice. An earlier try may have been taken in other words, its answer
 * lost: since then a text, an address, or, after a restore from a back-up, a link or an amount has changed. That one was told, and nobody is told twice.
 */
async function deliver(
  engine: Engine,
  row: MessageRow,
  ways: readonly { readonly channel: Channel; readonly to: string }[],
  { text, kind }: Rendered,
): Promise<void> {
  for (const { channel, to } of ways) {
    const sent = await callOperation(notifications, 'send', {
      ...engine.target('notifications'),
      timeoutMs,
      key: `${row.id}/${channel}`,
      args: { channel, to, text, messageId: row.id },
    }).catch((error: unknown) => {
      if (error instanceof SystemRefused && error.code === 'keyReused') return 'inOtherWords' as const;
      throw error;
    });
    if (sent === 'inOtherWords' || sent.ok) {
      await settle(engine, row.id, 'sent', sent === 'inOtherWords' ? sent : undefined, kind);
      return;
    }
  }
  await settle(engine, row.id, 'failed', 'undeliverable');
}

async function settle({ pool }: Engine, id: string, result: 'sent' | 'held' | 'failed', trouble?: string, kind?: Rendered['kind']): Promise<void> {
  await settleMessage(pool, id, result, trouble, kind);
  messagesSettled.inc({ result });
}

/** Marketing needs consent, daytime and a cap: `never`, the instant until which it waits, or undefined to send now. */
async function heldUntil(engine: Engine, customer: string, policy: PolicyValues, now: Instant): Promise<Instant | 'never' | undefined> {
  const known = await callOperation(crm, 'facts', { ...engine.target('crm'), timeoutMs, args: { customer } });
  if (!known.ok || !known.result.consent.marketing) return 'never';
  const { most, within } = policy.messages.caps.marketing;
  if ((await countSent(engine.pool, customer, 'marketing', plus(now, -within.ms))) >= most) return 'never';
  return quietUntil(now, policy.messages.quietHours, policy.calendars.zone);
}

/** The end of the quiet hours that `now` lies in, in the zone; undefined outside them. They may pass midnight. Minutes of the day. */
export function quietUntil(now: Instant, { from, to }: { readonly from: number; readonly to: number }, zone: string): Instant | undefined {
  const local = Temporal.Instant.from(now).toZonedDateTimeISO(zone);
  const minute = local.hour * 60 + local.minute;
  const quiet = from <= to ? minute >= from && minute < to : minute >= from || minute < to;
  if (!quiet) return undefined;
  const day = from > to && minute >= from ? local.add({ days: 1 }) : local;
  return instant(day.toPlainDate().toZonedDateTime({ timeZone: zone, plainTime: new Temporal.PlainTime(Math.floor(to / 60), to % 60) }).epochMilliseconds);
}
