import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { instant, parseInstant } from '../../values/instant.ts';
import { instantSchema } from '../../values/schemas.ts';
import { idSchema } from '../contract.ts';
import { requireOrder } from '../orders/sandbox.ts';
import type { Sql } from '../sandbox/database.ts';
import { businessError, defineSandbox, newId, routesOf } from '../sandbox/define.ts';
import type { TrackingState } from './contract.ts';
import { logistics, trackingRank, trackingStates } from './contract.ts';

const tables = `
create table if not exists sandbox.parcels (
  tracking_no text primary key,
  carrier text not null,
  -- Absent for a parcel that the customer sends by a courier of their own.
  order_id text,
  state text not null,
  at timestamptz not null
);
create table if not exists sandbox.labels (
  label_id text primary key,
  case_ref text not null,
  tracking_no text not null references sandbox.parcels,
  cancelled boolean not null default false
);
create table if not exists sandbox.scans (
  tracking_no text not null references sandbox.parcels,
  state text not null,
  at timestamptz not null,
  primary key (tracking_no, at, state)
);
`;

const route = routesOf<typeof logistics>();
const carrier = '顺丰';

/** A parcel with a label that nobody has scanned yet. */
export async function newParcel(sql: Sql, orderId: string, at: string): Promise<string> {
  const trackingNo = `SF${String(randomInt(1e12)).padStart(12, '0')}`;
  await sql.query(`insert into sandbox.parcels (tracking_no, carrier, order_id, state, at) values ($1, $2, $3, 'labelled', $4)`, [
    trackingNo,
    carrier,
    orderId,
    at,
  ]);
  return trackingNo;
}

/** Whether the carrier has not picked a parcel up yet. Locks it, so that it stays true for this transaction. */
export async function waitsForPickUp(sql: Sql, trackingNo: string): Promise<boolean> {
  const { rows } = await sql.query<{ state: TrackingState }>('select state from sandbox.parcels where tracking_no = $1 for update', [trackingNo]);
  return rows[0]?.state === 'labelled';
}

export const logisticsSandbox = defineSandbox({
  contract: logistics,
  tables,
  operations: {
    label: async ({ caseRef, orderId }, { sql, at }) => {
      await requireOrder(sql, orderId);
      const trackingNo = await newParcel(sql, orderId, at);
      const labelId = newId('lb');
      await sql.query('insert into sandbox.labels (label_id, case_ref, tracking_no) values ($1, $2, $3)', [labelId, caseRef, trackingNo]);
      return { labelId, trackingNo, carrier };
    },
    parcel: async ({ trackingNo }, { sql }) => {
      const { rows } = await sql.query<{ carrier: string; state: TrackingState; at: Date }>(
        'select carrier, state, at from sandbox.parcels where tracking_no = $1',
        [trackingNo],
      );
      const row = rows[0];
      if (!row) throw businessError(logistics, 'parcel', 'unknownParcel', 'No carrier of ours has scanned it');
      return { trackingNo, carrier: row.carrier, state: row.state, at: row.at.toISOString() };
    },
  },
  undo: {
    cancelLabel: async (effect, { sql }) => {
      const { labelId, trackingNo } = logistics.operations.label.result.parse(effect.result);
      if (!(await waitsForPickUp(sql, trackingNo))) return 'spent';
      await sql.query('update sandbox.labels set cancelled = true where label_id = $1', [labelId]);
      return 'done';
    },
  },
  routes: [
    route({
      method: 'post',
      path: 'acts/scan',
      title: 'The carrier: scans a parcel; one that is unknown is of another courier. The same scan again changes nothing',
      body: z.object({ trackingNo: idSchema, state: z.enum(trackingStates), at: instantSchema.optional() }),
      result: z.object({ changed: z.boolean() }),
      run: async ({ body: { trackingNo, state, at: given } }, call) => {
        const at = given ?? call.at;
        await call.sql.query(`insert into sandbox.parcels (tracking_no, carrier, state, at) values ($1, 'other', $2, $3) on conflict do nothing`, [
          trackingNo,
          state,
          at,
        ]);
        const { rowCount } = await call.sql.query('insert into sandbox.scans (tracking_no, state, at) values ($1, $2, $3) on conflict do nothing', [
          trackingNo,
          state,
          at,
        ]);
        if (rowCount !== 1) return { changed: false };
        const { rows } = await call.sql.query<{ state: TrackingState; at: Date }>('select state, at from sandbox.parcels where tracking_no = $1 for update', [
          trackingNo,
        ]);
        const now = rows[0];
        // Scans come late and in any order; the newest counts, of the same moment the later step.
        if (now && (instant(now.at) < parseInstant(at) || (instant(now.at) === parseInstant(at) && trackingRank(now.state) < trackingRank(state))))
          await call.sql.query('update sandbox.parcels set state = $2, at = $3 where tracking_no = $1', [trackingNo, state, at]);
        await call.emit('tracking', { trackingNo, state, at });
        return { changed: true };
      },
    }),
  ],
});
