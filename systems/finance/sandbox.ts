import { createHash } from 'node:crypto';
import { z } from 'zod';
import { plus } from '../../values/instant.ts';
import type { Money } from '../../values/money.ts';
import { idSchema, reasonSchema } from '../contract.ts';
import { paymentMethods } from '../orders/contract.ts';
import { requireOrder } from '../orders/sandbox.ts';
import type { Sql } from '../sandbox/database.ts';
import { readSetting, writeSetting } from '../sandbox/database.ts';
import type { AnySandbox, Call, RecordedEffect } from '../sandbox/define.ts';
import { businessError, defineSandbox, newId, Refusal, routesOf } from '../sandbox/define.ts';
import type { refundStates } from './contract.ts';
import { finance } from './contract.ts';

const tables = `
create table if not exists sandbox.payments (
  order_id text not null,
  payment_id text not null,
  -- The order in which an order was paid.
  seq int not null,
  method text not null,
  currency text not null,
  amount bigint not null check (amount > 0),
  -- Never more than was paid: Postgres holds it, whatever the code does.
  refunded bigint not null check (refunded between 0 and amount),
  paid_at timestamptz not null,
  primary key (order_id, payment_id)
);
create table if not exists sandbox.refunds (
  refund_id text primary key,
  key text not null,
  case_ref text not null,
  order_id text not null,
  payment_id text not null,
  amount bigint not null check (amount > 0),
  currency text not null,
  via text not null,
  reason text not null,
  state text not null check (state in ('submitted', 'accepted', 'arrived', 'failed')),
  foreign key (order_id, payment_id) references sandbox.payments
);
create index if not exists refunds_of on sandbox.refunds (order_id);
create table if not exists sandbox.payment_links (
  link_id text primary key,
  case_ref text not null,
  order_id text not null,
  amount bigint not null check (amount > 0),
  currency text not null,
  state text not null check (state in ('open', 'paid', 'expired', 'voided')),
  expires_at timestamptz not null
);
create table if not exists sandbox.payouts (
  payout_id text primary key,
  case_ref text not null,
  customer text not null,
  amount bigint not null check (amount > 0),
  currency text not null,
  reason text not null
);
create table if not exists sandbox.red_letters (
  red_letter_no text primary key,
  order_id text not null,
  amount bigint not null check (amount > 0)
);
create index if not exists red_letters_of on sandbox.red_letters (order_id);
`;

const ms = z
  .int()
  .min(0)
  .max(30 * 24 * 3600_000);
/** Settings, with card refunds that arrive after `settleMs` unless told otherwise. */
const settingsSchema = (settleMs: number) =>
  z
    .object({
      acceptMs: ms.default(Math.min(1000, settleMs)).meta({ description: 'From submitted to accepted by the gateway' }),
      settleMs: z
        .partialRecord(z.enum(paymentMethods), ms)
        .default({})
        .transform((given) => ({ card: settleMs, transfer: settleMs, wallet: 0, giftCard: 0, ...given }))
        .meta({ description: 'From accepted to arrived, by method. Wallets and gift cards at once, unless told otherwise' }),
      failMethods: z.array(z.enum(paymentMethods)).default([]).meta({ description: 'Methods whose original route fails' }),
      failRate: z.number().min(0).max(1).default(1).meta({ description: 'How many of the refunds to those methods fail; drawn from the refund’s key' }),
      goodwillLimit: z.int().min(0).default(200_000).meta({ description: 'Minor units that one payout may be' }),
      linkMs: ms.default(3 * 24 * 3600_000).meta({ description: 'How long a payment link is open' }),
    })
    .strict();

const route = routesOf<typeof finance>();
const moneyOf = (row: { amount: number; currency: string }): Money => ({ minor: row.amount, currency: row.currency });
/** A number in [0, 1) that a key always has. */
const fate = (key: string): number => createHash('sha256').update(key).digest().readUInt32BE(0) / 2 ** 32;

interface RefundRow {
  readonly refund_id: string;
  readonly key: string;
  readonly order_id: string;
  readonly payment_id: string;
  readonly amount: number;
  readonly currency: string;
  readonly via: 'original' | 'transfer';
  readonly state: 'submitted' | (typeof refundStates)[number];
}

/** Moves a refund on and tells; false when it was no longer in one of the states before. */
async function move(refundId: string, to: (typeof refundStates)[number], call: Call<typeof finance>, reason?: string): Promise<boolean> {
  const before = to === 'accepted' ? ['submitted'] : ['submitted', 'accepted'];
  const { rows } = await call.sql.query<RefundRow>(`update sandbox.refunds set state = $2 where refund_id = $1 and state = any($3) returning *`, [
    refundId,
    to,
    before,
  ]);
  const row = rows[0];
  if (!row) return false;
  // The money came back to us, so it can be refunded by another route.
  if (to === 'failed')
    await call.sql.query(`update sandbox.payments set refunded = refunded - $3 where order_id = $1 and payment_id = $2`, [
      row.order_id,
      row.payment_id,
      row.amount,
    ]);
  await call.emit('refundState', {
    refundId,
    key: row.key,
    orderId: row.order_id,
    paymentId: row.payment_id,
    amount: moneyOf(row),
    state: to,
    at: call.at,
    ...(reason === undefined ? {} : { reason }),
  });
  return true;
}

async function refundAndMethod(sql: Sql, refundId: string): Promise<(RefundRow & { readonly method: (typeof paymentMethods)[number] }) | undefined> {
  const { rows } = await sql.query<RefundRow & { method: (typeof paymentMethods)[number] }>(
    'select r.*, p.method from sandbox.refunds r join sandbox.payments p using (order_id, payment_id) where refund_id = $1',
    [refundId],
  );
  return rows[0];
}

/** Submits a refund of a payment and of what is left of it; the caller has locked the payment and seen that it is that much. */
async function submitRefund(
  call: Call<typeof finance>,
  of: { caseRef: string; orderId: string; paymentId: string; amount: Money; via: RefundRow['via']; reason: string },
  acceptMs: number,
): Promise<string> {
  const { sql, key } = call;
  await sql.query('update sandbox.payments set refunded = refunded + $3 where order_id = $1 and payment_id = $2', [of.orderId, of.paymentId, of.amount.minor]);
  const refundId = newId('rf');
  await sql.query(
    `insert into sandbox.refunds (refund_id, key, case_ref, order_id, payment_id, amount, currency, via, reason, state)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'submitted')`,
    [refundId, key, of.caseRef, of.orderId, of.paymentId, of.amount.minor, of.amount.currency, of.via, of.reason],
  );
  await call.later('accept', { refundId }, acceptMs);
  return refundId;
}

/** What a payment was and what of it has gone back. Locks it: refunds of one payment take turns. */
async function lockPayment(
  sql: Sql,
  orderId: string,
  paymentId: string,
): Promise<{ readonly amount: number; readonly refunded: number; readonly currency: string } | undefined> {
  const { rows } = await sql.query<{ amount: number; refunded: number; currency: string }>(
    'select amount, refunded, currency from sandbox.payments where order_id = $1 and payment_id = $2 for update',
    [orderId, paymentId],
  );
  return rows[0];
}

/** Why money that came by a link goes back: nobody asked for that by `refund`. */
const linkVoided = 'linkVoided';
/** The payment that comes in by a link. */
const paymentOfLink = (linkId: string): string => `pay_${linkId}`;

async function closeLink(
  linkId: string,
  to: 'paid' | 'expired' | 'voided',
  sql: Sql,
): Promise<{ order_id: string; amount: number; currency: string } | undefined> {
  const { rows } = await sql.query<{ order_id: string; amount: number; currency: string }>(
    `update sandbox.payment_links set state = $2 where link_id = $1 and state = 'open' returning order_id, amount, currency`,
    [linkId, to],
  );
  return rows[0];
}

/** Ends a link that nobody paid by, and tells; false when it was open no longer. */
async function expire(linkId: string, call: Call<typeof finance>): Promise<boolean> {
  const link = await closeLink(linkId, 'expired', call.sql);
  if (!link) return false;
  await call.emit('paymentState', { linkId, orderId: link.order_id, amount: moneyOf(link), state: 'expired', at: call.at });
  return true;
}

/** Finance, whose card refunds take `settleMs` to arrive. */
export function financeSandbox({ settleMs }: { readonly settleMs: number }): AnySandbox {
  const schema = settingsSchema(settleMs);
  const settings = async (sql: Sql): Promise<z.output<typeof schema>> => schema.parse((await readSetting(sql, 'finance', 'settings')) ?? {});
  return defineSandbox({
    contract: finance,
    tables,
    operations: {
      payments: async ({ orderId, caseRef }, { sql }) => {
        const { rows } = await sql.query<{
          payment_id: string;
          method: (typeof paymentMethods)[number];
          amount: number;
          refunded: number;
          by_case: number;
          currency: string;
          paid_at: Date;
        }>(
          `select p.*, coalesce((select sum(r.amount) from sandbox.refunds r where r.order_id = p.order_id and r.payment_id = p.payment_id
                                 and r.case_ref = $2 and r.state <> 'failed' and r.reason <> $3), 0)::bigint as by_case
           from sandbox.payments p where order_id = $1 order by seq`,
          [orderId, caseRef ?? null, linkVoided],
        );
        // An order that nobody has paid is known all the same.
        if (rows.length === 0 && (await sql.query('select 1 from sandbox.orders where order_id = $1', [orderId])).rowCount === 0)
          throw new Refusal('unknownOrder', `There is no order ${orderId}`);
        return {
          payments: rows.map((row) => ({
            paymentId: row.payment_id,
            method: row.method,
            amount: moneyOf(row),
            refunded: { minor: row.refunded, currency: row.currency },
            refundedByCase: { minor: row.by_case, currency: row.currency },
            paidAt: row.paid_at.toISOString(),
          })),
        };
      },
      refund: async (args, call) => {
        const payment = await lockPayment(call.sql, args.orderId, args.paymentId);
        if (!payment) throw new Refusal('unknownPayment', `Order ${args.orderId} has no payment ${args.paymentId}`);
        if (payment.currency !== args.amount.currency) throw new Refusal('otherCurrency', `The payment is in ${payment.currency}`);
        if (payment.refunded + args.amount.minor > payment.amount)
          throw businessError(finance, 'refund', 'abovePayment', `${payment.amount - payment.refunded} of ${payment.amount} are left to refund`);
        return { refundId: await submitRefund(call, args, (await settings(call.sql)).acceptMs), state: 'submitted' as const };
      },
      redLetter: async ({ orderId, amount }, { sql }) => {
        const { invoice } = await requireOrder(sql, orderId);
        if (!invoice) throw new Refusal('notInvoiced', `Order ${orderId} has no invoice`);
        const { rows } = await sql.query<{ total: number }>('select coalesce(sum(amount), 0)::bigint as total from sandbox.red_letters where order_id = $1', [
          orderId,
        ]);
        if (invoice.amount.currency !== amount.currency || (rows[0]?.total ?? 0) + amount.minor > invoice.amount.minor)
          throw new Refusal('aboveInvoice', 'All red letters of an invoice together are at most the invoice');
        const redLetterNo = newId('red');
        await sql.query('insert into sandbox.red_letters (red_letter_no, order_id, amount) values ($1, $2, $3)', [redLetterNo, orderId, amount.minor]);
        return { redLetterNo, invoiceNo: invoice.invoiceNo };
      },
      paymentLink: async ({ caseRef, orderId, amount }, call) => {
        const order = await requireOrder(call.sql, orderId);
        if (order.currency !== amount.currency) throw new Refusal('otherCurrency', `The order is in ${order.currency}`);
        const { linkMs } = await settings(call.sql);
        const linkId = newId('pl');
        const expiresAt = plus(call.at, linkMs);
        await call.sql.query(
          `insert into sandbox.payment_links (link_id, case_ref, order_id, amount, currency, state, expires_at) values ($1, $2, $3, $4, $5, 'open', $6)`,
          [linkId, caseRef, orderId, amount.minor, amount.currency, expiresAt],
        );
        await call.later('expireLink', { linkId }, linkMs);
        return { linkId, url: `https://pay.example/${linkId}`, expiresAt };
      },
      goodwill: async ({ caseRef, customer, amount, reason }, { sql }) => {
        const { goodwillLimit } = await settings(sql);
        if (amount.minor > goodwillLimit) throw businessError(finance, 'goodwill', 'refused', `More than ${goodwillLimit} needs a paper`);
        const payoutId = newId('po');
        await sql.query('insert into sandbox.payouts (payout_id, case_ref, customer, amount, currency, reason) values ($1, $2, $3, $4, $5, $6)', [
          payoutId,
          caseRef,
          customer,
          amount.minor,
          amount.currency,
          reason,
        ]);
        return { payoutId };
      },
    },
    undo: {
      voidLink: async (effect: RecordedEffect, call) => {
        const { sql } = call;
        const { linkId } = finance.operations.paymentLink.result.parse(effect.result);
        const { caseRef, orderId } = finance.operations.paymentLink.args.parse(effect.args);
        if (await closeLink(linkId, 'voided', sql)) return 'done';
        const paymentId = paymentOfLink(linkId);
        const payment = await lockPayment(sql, orderId, paymentId);
        // Expired; or paid, and that money has gone back already.
        if (!payment || payment.refunded === payment.amount) return 'spent';
        const amount = { minor: payment.amount - payment.refunded, currency: payment.currency };
        await submitRefund(call, { caseRef, orderId, paymentId, amount, via: 'original', reason: linkVoided }, (await settings(sql)).acceptMs);
        return 'done';
      },
    },
    steps: {
      accept: async ({ refundId }: { refundId: string }, call) => {
        const refund = await refundAndMethod(call.sql, refundId);
        if (!refund || !(await move(refundId, 'accepted', call))) return;
        const { settleMs: settle, failMethods, failRate } = await settings(call.sql);
        const method = refund.via === 'original' ? refund.method : 'transfer';
        const fails = refund.via === 'original' && failMethods.includes(method) && fate(refund.key) < failRate;
        await call.later(fails ? 'fail' : 'arrive', { refundId }, settle[method]);
      },
      arrive: async ({ refundId }: { refundId: string }, call) => void (await move(refundId, 'arrived', call)),
      fail: async ({ refundId }: { refundId: string }, call) => void (await move(refundId, 'failed', call, 'routeClosed')),
      expireLink: async ({ linkId }: { linkId: string }, call) => void (await expire(linkId, call)),
    },
    routes: [
      route({
        method: 'get',
        path: 'acts/refunds',
        title: 'Refunds and where they stand, by order',
        query: z.object({ orderId: idSchema }),
        result: z.object({
          refunds: z.array(
            z.object({
              refundId: z.string(),
              key: z.string(),
              caseRef: z.string(),
              paymentId: z.string(),
              minor: z.int(),
              currency: z.string(),
              state: z.string(),
            }),
          ),
        }),
        run: async ({ query }, { sql }) => {
          const { rows } = await sql.query<{
            refundId: string;
            key: string;
            caseRef: string;
            paymentId: string;
            minor: number;
            currency: string;
            state: string;
          }>(
            `select refund_id as "refundId", key, case_ref as "caseRef", payment_id as "paymentId", amount as minor, currency, state
               from sandbox.refunds where order_id = $1 order by refund_id`,
            [query.orderId],
          );
          return { refunds: rows };
        },
      }),
      route({
        method: 'post',
        path: 'acts/settle',
        title: 'The bank: a refund arrives now',
        body: z.object({ refundId: idSchema }),
        result: z.object({ changed: z.boolean() }),
        run: async ({ body }, call) => ({ changed: await move(body.refundId, 'arrived', call) }),
      }),
      route({
        method: 'post',
        path: 'acts/fail',
        title: 'The bank: a refund comes back',
        body: z.object({ refundId: idSchema, reason: reasonSchema.default('accountClosed') }),
        result: z.object({ changed: z.boolean() }),
        run: async ({ body }, call) => ({ changed: await move(body.refundId, 'failed', call, body.reason) }),
      }),
      route({
        method: 'post',
        path: 'acts/pay',
        title: 'The customer: pays by a payment link',
        body: z.object({ linkId: idSchema, method: z.enum(paymentMethods).default('wallet') }),
        result: z.object({ changed: z.boolean() }),
        run: async ({ body }, call) => {
          const link = await closeLink(body.linkId, 'paid', call.sql);
          if (!link) return { changed: false };
          const paymentId = paymentOfLink(body.linkId);
          await call.sql.query(
            `insert into sandbox.payments (order_id, payment_id, seq, method, currency, amount, refunded, paid_at)
             select $1, $2, coalesce(max(seq), 0) + 1, $3, $4, $5, 0, $6 from sandbox.payments where order_id = $1`,
            [link.order_id, paymentId, body.method, link.currency, link.amount, call.at],
          );
          await call.emit('paymentState', { linkId: body.linkId, orderId: link.order_id, amount: moneyOf(link), state: 'paid', at: call.at, paymentId });
          return { changed: true };
        },
      }),
      route({
        method: 'post',
        path: 'acts/expire',
        title: 'Time passes: a payment link expires now',
        body: z.object({ linkId: idSchema }),
        result: z.object({ changed: z.boolean() }),
        run: async ({ body }, call) => ({ changed: await expire(body.linkId, call) }),
      }),
      route({ method: 'get', path: 'settings', title: 'How refunds settle', result: z.unknown(), run: (_, { sql }) => settings(sql) }),
      route({
        method: 'put',
        path: 'settings',
        title: 'Change how refunds settle; what is left out has its default',
        body: schema,
        result: z.unknown(),
        run: async ({ body }, { sql }) => {
          await writeSetting(sql, 'finance', 'settings', body);
          return body;
        },
      }),
    ],
  });
}
