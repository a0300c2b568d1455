import { instant, millis } from '../../values/instant.ts';
import { requireOrder } from '../orders/sandbox.ts';
import { businessError, defineSandbox, newId, Refusal } from '../sandbox/define.ts';
import type { CustomerRecord } from './contract.ts';
import { crm } from './contract.ts';

const tables = `
create table if not exists sandbox.crm_notes (
  note_id text primary key,
  case_ref text not null,
  customer text not null,
  outcome text not null,
  amount jsonb,
  at timestamptz not null
);
create index if not exists crm_notes_of on sandbox.crm_notes (customer);
create table if not exists sandbox.gifts (
  gift_id text primary key,
  case_ref text not null,
  customer text not null,
  order_id text not null unique
);
`;
const day = 24 * 3600_000;

export const crmSandbox = defineSandbox({
  contract: crm,
  tables,
  operations: {
    facts: async ({ customer }, { sql, at }): Promise<CustomerRecord> => {
      const { rows } = await sql.query<{
        tier: CustomerRecord['tier'];
        name: string;
        birthday: string | null;
        marketing: boolean;
        orders: number;
        since: Date | null;
      }>(
        `select tier, reach->>'name' as name, birthday, marketing, count(order_id)::int as orders, min((record->>'placedAt')::timestamptz) as since
           from sandbox.customers left join sandbox.orders using (customer) where customer = $1 group by customer`,
        [customer],
      );
      const known = rows[0];
      if (!known) return { customer, tier: 'new', tenureDays: 0, orders: 0, spend: [], consent: { marketing: false } };
      const spend = await sql.query<{ currency: string; minor: number }>(
        `select currency, sum(amount - refunded)::bigint as minor from sandbox.payments join sandbox.orders using (order_id) where customer = $1 group by currency order by currency`,
        [customer],
      );
      return {
        customer,
        tier: known.tier,
        ...(known.since ? { since: instant(known.since) } : {}),
        tenureDays: known.since ? Math.max(0, Math.floor((millis(at) - known.since.getTime()) / day)) : 0,
        orders: known.orders,
        spend: spend.rows,
        consent: { marketing: known.marketing },
        name: known.name,
        ...(known.birthday === null ? {} : { birthday: known.birthday }),
      };
    },
    note: async ({ caseRef, customer, outcome, amount }, { sql, at }) => {
      const noteId = newId('nt');
      await sql.query('insert into sandbox.crm_notes (note_id, case_ref, customer, outcome, amount, at) values ($1, $2, $3, $4, $5, $6)', [
        noteId,
        caseRef,
        customer,
        outcome,
        amount ? JSON.stringify(amount) : null,
        at,
      ]);
      return { noteId };
    },
    giftAndCard: async ({ caseRef, customer, orderId }, { sql }) => {
      const order = await requireOrder(sql, orderId);
      if (order.customer !== customer) throw new Refusal('notTheBuyer', 'Another customer bought this order');
      const giftId = newId('gf');
      const { rowCount } = await sql.query(
        'insert into sandbox.gifts (gift_id, case_ref, customer, order_id) values ($1, $2, $3, $4) on conflict (order_id) do nothing',
        [giftId, caseRef, customer, orderId],
      );
      if (rowCount !== 1) throw businessError(crm, 'giftAndCard', 'alreadyGiven', `Order ${orderId} had its gift`);
      return { giftId };
    },
  },
  undo: {},
});
