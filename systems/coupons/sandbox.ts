import { plus } from '../../values/instant.ts';
import { requireOrder } from '../orders/sandbox.ts';
import { businessError, defineSandbox, newId, Refusal } from '../sandbox/define.ts';
import { coupons } from './contract.ts';

const tables = `
create table if not exists sandbox.coupon_templates (
  template text primary key,
  title text not null,
  amount bigint not null check (amount > 0),
  currency text not null,
  threshold bigint,
  remaining int not null check (remaining >= 0)
);
create table if not exists sandbox.coupons (
  coupon_id text primary key,
  case_ref text not null,
  customer text not null,
  -- The campaign it came from; absent for one that was given back.
  template text references sandbox.coupon_templates,
  amount bigint not null check (amount > 0),
  currency text not null,
  state text not null check (state in ('open', 'used', 'revoked')),
  expires_at timestamptz not null
);
create table if not exists sandbox.given_back (
  order_id text not null,
  -- The coupon that the order used, or 'points'.
  what text not null,
  amount bigint not null check (amount >= 0),
  primary key (order_id, what)
);
`;

/** Coupons of this shop hold for a month. */
const validMs = 30 * 24 * 3600_000;
const points = 'points';

export const couponsSandbox = defineSandbox({
  contract: coupons,
  tables,
  operations: {
    issue: async ({ caseRef, customer, template }, { sql, at }) => {
      const { rows } = await sql.query<{ amount: number; currency: string; threshold: number | null }>(
        'update sandbox.coupon_templates set remaining = remaining - 1 where template = $1 and remaining > 0 returning amount, currency, threshold',
        [template],
      );
      const row = rows[0];
      if (!row) {
        if ((await sql.query('select 1 from sandbox.coupon_templates where template = $1', [template])).rowCount === 0)
          throw new Refusal('unknownTemplate', `There is no campaign ${template}`);
        throw businessError(coupons, 'issue', 'exhausted', 'The campaign has no coupons left');
      }
      const couponId = newId('cp');
      const expiresAt = plus(at, validMs);
      await sql.query(
        `insert into sandbox.coupons (coupon_id, case_ref, customer, template, amount, currency, state, expires_at) values ($1, $2, $3, $4, $5, $6, 'open', $7)`,
        [couponId, caseRef, customer, template, row.amount, row.currency, expiresAt],
      );
      return {
        couponId,
        amount: { minor: row.amount, currency: row.currency },
        ...(row.threshold === null ? {} : { threshold: { minor: row.threshold, currency: row.currency } }),
        expiresAt,
      };
    },
    giveBack: async ({ caseRef, orderId, coupons: asked, points: askedPoints }, { sql, at }) => {
      const order = await requireOrder(sql, orderId);
      const used = new Map<string, number>([[points, 0]]);
      for (const { kind, ref, amount, points: count = 0 } of order.discounts) {
        if (kind === 'points') used.set(points, (used.get(points) ?? 0) + count);
        if (kind === 'coupon' && ref !== undefined) used.set(ref, amount.minor);
      }
      if (asked.some(({ amount }) => amount.currency !== order.currency)) throw new Refusal('otherCurrency', `The order is in ${order.currency}`);
      for (const { what, amount } of [
        ...asked.map((coupon) => ({ what: coupon.couponId, amount: coupon.amount.minor })),
        { what: points, amount: askedPoints },
      ]) {
        const most = used.get(what);
        if (most === undefined) throw new Refusal('notUsed', `Order ${orderId} did not use ${what}`);
        const { rows } = await sql.query<{ amount: number }>(
          `insert into sandbox.given_back (order_id, what, amount) values ($1, $2, $3)
           on conflict (order_id, what) do update set amount = sandbox.given_back.amount + excluded.amount returning amount`,
          [orderId, what, amount],
        );
        if ((rows[0]?.amount ?? 0) > most) throw businessError(coupons, 'giveBack', 'aboveUsed', `The order used ${most} of ${what}`);
      }
      const given = asked.map(({ couponId, amount }) => ({ couponId: newId('cp'), replaces: couponId, amount }));
      for (const { couponId, amount } of given)
        await sql.query(
          `insert into sandbox.coupons (coupon_id, case_ref, customer, amount, currency, state, expires_at) values ($1, $2, $3, $4, $5, 'open', $6)`,
          [couponId, caseRef, order.customer, amount.minor, amount.currency, plus(at, validMs)],
        );
      return { coupons: given, points: askedPoints };
    },
  },
  undo: {
    revoke: async (effect, { sql }) => {
      const revoke = async (ids: readonly string[]): Promise<void> => {
        const { rowCount } = await sql.query(`update sandbox.coupons set state = 'revoked' where coupon_id = any($1) and state = 'open'`, [ids]);
        if (rowCount !== ids.length) throw new Refusal('alreadyUsed', 'The customer has used it');
      };
      if (effect.operation === 'issue') {
        const { template } = coupons.operations.issue.args.parse(effect.args);
        await revoke([coupons.operations.issue.result.parse(effect.result).couponId]);
        await sql.query('update sandbox.coupon_templates set remaining = remaining + 1 where template = $1', [template]);
        return 'done';
      }
      const { orderId } = coupons.operations.giveBack.args.parse(effect.args);
      const given = coupons.operations.giveBack.result.parse(effect.result);
      await requireOrder(sql, orderId);
      await revoke(given.coupons.map((coupon) => coupon.couponId));
      for (const { what, amount } of [
        ...given.coupons.map((coupon) => ({ what: coupon.replaces, amount: coupon.amount.minor })),
        { what: points, amount: given.points },
      ])
        await sql.query('update sandbox.given_back set amount = amount - $3 where order_id = $1 and what = $2', [orderId, what, amount]);
      return 'done';
    },
  },
});
