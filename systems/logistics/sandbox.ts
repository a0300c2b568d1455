import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { instant, parseInstant } from '../../values/instant.ts';
import { instantSchema } from '../../values/schemas.ts';
import { idSchema } from '../contract.ts';
import { requireOrder } from '../orders/sandbox.ts';
import type { Sql } from '../sandbox/database.ts';
import { readSetting, writeSetting } from '../sandbox/database.ts';
import type { AnySandbox, Call } from '../sandbox/define.ts';
import { businessError, defineSandbox, newId, routesOf } from '../sandbox/define.ts';
import { schedule } from '../sandbox/later.ts';
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
-- Not to be picked up: its sender has taken it back.
alter table sandbox.parcels add column if not exists called_off boolean not null default false;
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

/** A parcel to a customer: the carrier comes for it by itself. */
export async function parcelOut(sql: Sql, orderId: string, at: string): Promise<string> {
  const trackingNo = await newParcel(sql, orderId, at);
  await schedule(sql, logistics.name, 'ready', { trackingNo }, 0);
  return trackingNo;
}

/** Takes a parcel back from the carrier; false when the carrier has picked it up. */
export async function callOff(sql: Sql, trackingNo: string): Promise<boolean> {
  const { rowCount } = await sql.query(`update sandbox.parcels set called_off = true where tracking_no = $1 and state = 'labelled'`, [trackingNo]);
  return rowCount === 1;
}

/** The carrier scans a parcel; false for a scan that was there before. Scans come late and in any order; the newest counts, of the same moment the later step. */
async function scan(call: Call<typeof logistics>, trackingNo: string, state: TrackingState, at: string): Promise<boolean> {
  const { sql } = call;
  const made = await sql.query('insert into sandbox.scans (tracking_no, state, at) values ($1, $2, $3) on conflict do nothing', [trackingNo, state, at]);
  if (made.rowCount !== 1) return false;
  const { rows } = await sql.query<{ state: TrackingState; at: Date }>('select state, at from sandbox.parcels where tracking_no = $1 for update', [trackingNo]);
  const now = rows[0];
  if (now && (instant(now.at) < parseInstant(at) || (instant(now.at) === parseInstant(at) && trackingRank(now.state) < trackingRank(state))))
    await sql.query('update sandbox.parcels set state = $2, at = $3 where tracking_no = $1', [trackingNo, state, at]);
  await call.emit('tracking', { trackingNo, state, at });
  return true;
}

const ms = z
  .int()
  .min(0)
  .max(30 * 24 * 3600_000);
const settingsSchema = (pickUpMs: number | null) =>
  z.strictObject({
    pickUpMs: ms
      .nullable()
      .default(pickUpMs)
      .meta({ description: 'Until the carrier comes for a parcel to a customer; null: it stands still until somebody scans it' }),
    deliverMs: ms.default(pickUpMs ?? 0).meta({ description: 'From there until the customer has it' }),
  });

/** The carrier, who comes for parcels to customers after `pickUpMs` and delivers them by itself; without it they stand still. */
export function logisticsSandbox({ pickUpMs }: { readonly pickUpMs: number | null }): AnySandbox {
  const schema = settingsSchema(pickUpMs);
  const settings = async (sql: Sql): Promise<z.output<typeof schema>> => schema.parse((await readSetting(sql, 'logistics', 'settings')) ?? {});
  return defineSandbox({
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
        if (!(await callOff(sql, trackingNo))) return 'spent';
        await sql.query('update sandbox.labels set cancelled = true where label_id = $1', [labelId]);
        return 'done';
      },
    },
    steps: {
      ready: async (parcel: { trackingNo: string }, call) => {
        const { pickUpMs: after } = await settings(call.sql);
        if (after !== null) await call.later('pickUp', parcel, after);
      },
      pickUp: async ({ trackingNo }: { trackingNo: string }, call) => {
        const waits = await call.sql.query(`select 1 from sandbox.parcels where tracking_no = $1 and state = 'labelled' and not called_off for update`, [
          trackingNo,
        ]);
        if (waits.rowCount !== 1) return;
        await scan(call, trackingNo, 'pickedUp', call.at);
        await call.later('deliver', { trackingNo }, (await settings(call.sql)).deliverMs);
      },
      deliver: async ({ trackingNo }: { trackingNo: string }, call) => {
        // Somebody may have scanned it meanwhile: refused, lost.
        const travels = await call.sql.query(
          `select 1 from sandbox.parcels where tracking_no = $1 and state in ('pickedUp', 'inTransit', 'outForDelivery') for update`,
          [trackingNo],
        );
        if (travels.rowCount === 1) await scan(call, trackingNo, 'delivered', call.at);
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
          return { changed: await scan(call, trackingNo, state, at) };
        },
      }),
      route({ method: 'get', path: 'settings', title: 'How parcels to customers travel', result: z.unknown(), run: (_, { sql }) => settings(sql) }),
      route({
        method: 'put',
        path: 'settings',
        title: 'Change how parcels to customers travel; what is left out has its default',
        body: schema,
        result: z.unknown(),
        run: async ({ body }, { sql }) => {
          await writeSetting(sql, 'logistics', 'settings', body);
          return body;
        },
      }),
    ],
  });
}
