import { z } from 'zod';
import { instantSchema } from '../../values/schemas.ts';
import { idSchema } from '../contract.ts';
import { callOff, parcelOut } from '../logistics/sandbox.ts';
import { requireOrder } from '../orders/sandbox.ts';
import type { Sql } from '../sandbox/database.ts';
import { businessError, defineSandbox, newId, Refusal, routesOf } from '../sandbox/define.ts';
import { warehouse } from './contract.ts';

const tables = `
create table if not exists sandbox.stock (
  sku text primary key,
  on_hand int not null check (on_hand >= 0),
  -- Never more than is there: Postgres holds it, whatever the code does.
  reserved int not null default 0 check (reserved between 0 and on_hand),
  restock_at timestamptz
);
create table if not exists sandbox.reservations (
  reservation_id text primary key,
  case_ref text not null,
  state text not null check (state in ('held', 'released', 'dispatched')),
  lines jsonb not null
);
create table if not exists sandbox.dispatches (
  dispatch_id text primary key,
  case_ref text not null,
  order_id text not null,
  tracking_no text not null,
  recalled boolean not null default false,
  -- Goods from stock, or units that go back.
  lines jsonb not null
);
create table if not exists sandbox.receipts (
  receipt_id text primary key,
  tracking_no text not null,
  order_id text,
  received_at timestamptz not null
);
create table if not exists sandbox.units (
  unit_id text primary key,
  receipt_id text not null references sandbox.receipts,
  sku text,
  disposition text,
  sent_back_by text references sandbox.dispatches
);
create index if not exists units_of on sandbox.units (receipt_id);
`;

const route = routesOf<typeof warehouse>();
type Lines = readonly { readonly sku: string; readonly quantity: number }[];
const linesSchema = z.array(z.object({ sku: z.string(), quantity: z.int() }));
const lineRows = `jsonb_to_recordset($1::jsonb) as l(sku text, quantity int)`;

/** Locks the stock of some goods, always in the same order, so that two callers never wait for each other. */
async function lockStock(sql: Sql, lines: Lines): Promise<void> {
  await sql.query('select sku from sandbox.stock where sku = any($1) order by sku for update', [lines.map((line) => line.sku)]);
}

/** Changes stock for all lines, or for none: false when one of them is not there. */
async function take(sql: Sql, lines: Lines, how: 'reserve' | 'remove'): Promise<boolean> {
  await lockStock(sql, lines);
  const set = how === 'reserve' ? 'reserved = reserved + l.quantity' : 'on_hand = on_hand - l.quantity';
  const { rowCount } = await sql.query(`update sandbox.stock s set ${set} from ${lineRows} where s.sku = l.sku and on_hand - reserved >= l.quantity`, [
    JSON.stringify(lines),
  ]);
  return rowCount === lines.length;
}

/** Ends a reservation that is held: what it held is free again. Its lines, whose stock is locked; undefined when it is held no longer. */
async function endReservation(sql: Sql, reservationId: string, as: 'released' | 'dispatched'): Promise<Lines | undefined> {
  const { rows } = await sql.query<{ lines: unknown }>(
    `update sandbox.reservations set state = $2 where reservation_id = $1 and state = 'held' returning lines`,
    [reservationId, as],
  );
  if (!rows[0]) return undefined;
  const lines = linesSchema.parse(rows[0].lines);
  await lockStock(sql, lines);
  await sql.query(`update sandbox.stock s set reserved = reserved - l.quantity from ${lineRows} where s.sku = l.sku`, [JSON.stringify(lines)]);
  return lines;
}

async function newDispatch(
  sql: Sql,
  order: { caseRef: string; orderId: string },
  lines: object,
  at: string,
): Promise<{ dispatchId: string; trackingNo: string }> {
  const dispatchId = newId('dp');
  const trackingNo = await parcelOut(sql, order.orderId, at);
  await sql.query('insert into sandbox.dispatches (dispatch_id, case_ref, order_id, tracking_no, lines) values ($1, $2, $3, $4, $5)', [
    dispatchId,
    order.caseRef,
    order.orderId,
    trackingNo,
    JSON.stringify(lines),
  ]);
  return { dispatchId, trackingNo };
}

interface UnitRow {
  readonly unit_id: string;
  readonly sku: string | null;
  readonly disposition: string | null;
  readonly sent_back_by: string | null;
}

/** The units, locked; refuses those that were never received. */
async function requireUnits(sql: Sql, unitIds: readonly string[]): Promise<UnitRow[]> {
  const { rows } = await sql.query<UnitRow>(
    'select unit_id, sku, disposition, sent_back_by from sandbox.units where unit_id = any($1) order by unit_id for update',
    [unitIds],
  );
  if (rows.length !== new Set(unitIds).size) throw new Refusal('unknownUnit', 'Not all of these units were received');
  return rows;
}

export const warehouseSandbox = defineSandbox({
  contract: warehouse,
  tables,
  operations: {
    stock: async ({ skus }, { sql }) => {
      const { rows } = await sql.query<{ sku: string; on_hand: number; reserved: number; restock_at: Date | null }>(
        'select sku, on_hand, reserved, restock_at from sandbox.stock where sku = any($1) order by sku',
        [skus],
      );
      return {
        stock: rows.map(({ sku, on_hand, reserved, restock_at }) => ({
          sku,
          onHand: on_hand,
          reserved,
          available: on_hand - reserved,
          ...(restock_at ? { restockAt: restock_at.toISOString() } : {}),
        })),
      };
    },
    reserve: async ({ caseRef, lines }, { sql }) => {
      if (!(await take(sql, lines, 'reserve'))) throw businessError(warehouse, 'reserve', 'outOfStock', 'Not all of it is there');
      const reservationId = newId('rs');
      await sql.query(`insert into sandbox.reservations (reservation_id, case_ref, state, lines) values ($1, $2, 'held', $3)`, [
        reservationId,
        caseRef,
        JSON.stringify(lines),
      ]);
      return { reservationId };
    },
    dispatch: async (args, { sql, at }) => {
      await requireOrder(sql, args.orderId);
      const { reservationId, lines } = args;
      if (reservationId !== undefined) {
        if ((await sql.query('select 1 from sandbox.reservations where reservation_id = $1', [reservationId])).rowCount === 0)
          throw new Refusal('unknownReservation', 'There is no such reservation');
        const held = await endReservation(sql, reservationId, 'dispatched');
        if (!held) throw businessError(warehouse, 'dispatch', 'outOfStock', 'The reservation no longer stands');
        const heldOf = (sku: string): number => held.find((line) => line.sku === sku)?.quantity ?? 0;
        if (lines.some(({ sku, quantity }) => quantity > heldOf(sku))) throw new Refusal('aboveReservation', 'The reservation holds less than this');
      }
      if (!(await take(sql, lines, 'remove'))) throw businessError(warehouse, 'dispatch', 'outOfStock', 'Not all of it is there');
      return newDispatch(sql, args, lines, at);
    },
    dispose: async ({ unitId, disposition }, { sql }) => {
      const [unit] = await requireUnits(sql, [unitId]);
      if (!unit || unit.disposition !== null || unit.sent_back_by !== null) throw new Refusal('alreadyDisposed', `What becomes of unit ${unitId} is settled`);
      if (disposition === 'restock') {
        const { rowCount } = await sql.query('update sandbox.stock set on_hand = on_hand + 1 where sku = $1', [unit.sku]);
        if (rowCount !== 1) throw new Refusal('unknownGoods', 'Only goods that we sell go back on the shelf');
      }
      await sql.query('update sandbox.units set disposition = $2 where unit_id = $1', [unitId, disposition]);
      return { unitId, disposition };
    },
    sendBack: async ({ caseRef, orderId, unitIds }, { sql, at }) => {
      await requireOrder(sql, orderId);
      const units = await requireUnits(sql, unitIds);
      const gone = units.find((unit) => unit.sent_back_by !== null || (unit.disposition !== null && unit.disposition !== 'returnToCustomer'));
      if (gone) throw new Refusal('notThere', `Unit ${gone.unit_id} is no longer there to be sent back`);
      const sent = await newDispatch(
        sql,
        { caseRef, orderId },
        units.map((unit) => ({ unitId: unit.unit_id })),
        at,
      );
      await sql.query('update sandbox.units set sent_back_by = $2 where unit_id = any($1)', [unitIds, sent.dispatchId]);
      return sent;
    },
  },
  undo: {
    release: async (effect, { sql }) => {
      const { reservationId } = warehouse.operations.reserve.result.parse(effect.result);
      return (await endReservation(sql, reservationId, 'released')) ? 'done' : 'spent';
    },
    recall: async (effect, { sql }) => {
      const { dispatchId, trackingNo } = warehouse.operations.dispatch.result.parse(effect.result);
      if (!(await callOff(sql, trackingNo))) throw new Refusal('pickedUp', 'The carrier has the parcel; it can only be refused at the door');
      const { rows } = await sql.query<{ lines: unknown }>('update sandbox.dispatches set recalled = true where dispatch_id = $1 returning lines', [
        dispatchId,
      ]);
      const lines = linesSchema.parse(rows[0]?.lines);
      await lockStock(sql, lines);
      await sql.query(`update sandbox.stock s set on_hand = on_hand + l.quantity from ${lineRows} where s.sku = l.sku`, [JSON.stringify(lines)]);
      return 'done';
    },
  },
  routes: [
    route({
      method: 'post',
      path: 'acts/receive',
      title: 'The goods-in desk: opens a parcel and counts its units. The same receiptId again changes nothing',
      body: z.object({
        receiptId: idSchema.optional(),
        trackingNo: idSchema,
        orderId: idSchema.optional(),
        units: z
          .array(z.object({ sku: idSchema.optional(), quantity: z.int().min(1).max(200).default(1) }))
          .max(200)
          .refine((units) => units.reduce((count, unit) => count + unit.quantity, 0) <= 200, 'at most 200 units'),
      }),
      result: z.object({ receiptId: z.string(), unitIds: z.array(z.string()), changed: z.boolean() }),
      run: async ({ body }, call) => {
        const { sql, at } = call;
        const receiptId = body.receiptId ?? newId('rc');
        const { rowCount } = await sql.query(
          'insert into sandbox.receipts (receipt_id, tracking_no, order_id, received_at) values ($1, $2, $3, $4) on conflict do nothing',
          [receiptId, body.trackingNo, body.orderId ?? null, at],
        );
        if (rowCount !== 1) {
          const { rows } = await sql.query<{ unit_id: string }>('select unit_id from sandbox.units where receipt_id = $1 order by unit_id', [receiptId]);
          return { receiptId, unitIds: rows.map((row) => row.unit_id), changed: false };
        }
        const units = body.units
          .flatMap(({ sku, quantity }) => Array.from({ length: quantity }, () => sku))
          .map((sku, index) => ({ unitId: `${receiptId}-${String(index + 1).padStart(3, '0')}`, ...(sku === undefined ? {} : { sku }) }));
        await sql.query(
          `insert into sandbox.units (unit_id, receipt_id, sku) select r."unitId", $2, r.sku from jsonb_to_recordset($1::jsonb) as r("unitId" text, sku text)`,
          [JSON.stringify(units), receiptId],
        );
        await call.emit('parcelReceived', {
          receiptId,
          trackingNo: body.trackingNo,
          receivedAt: at,
          units,
          ...(body.orderId === undefined ? {} : { orderId: body.orderId }),
        });
        return { receiptId, unitIds: units.map((unit) => unit.unitId), changed: true };
      },
    }),
    route({
      method: 'post',
      path: 'acts/vanish',
      title: 'A count: goods that were set aside are not there after all. The reservation no longer stands, and nothing of it is in stock',
      body: z.object({ reservationId: idSchema }),
      result: z.object({ changed: z.boolean() }),
      run: async ({ body }, { sql }) => {
        const lines = await endReservation(sql, body.reservationId, 'released');
        if (lines) await take(sql, lines, 'remove');
        return { changed: lines !== undefined };
      },
    }),
    route({
      method: 'put',
      path: 'acts/stock',
      title: 'A count: what is really there of some goods; never below what is reserved',
      body: z.object({ sku: idSchema, onHand: z.int().min(0).max(1_000_000), restockAt: instantSchema.optional() }),
      result: z.object({ sku: z.string(), onHand: z.int() }),
      run: async ({ body }, { sql }) => {
        await sql.query(
          `insert into sandbox.stock (sku, on_hand, restock_at) values ($1, $2, $3)
           on conflict (sku) do update set on_hand = excluded.on_hand, restock_at = excluded.restock_at`,
          [body.sku, body.onHand, body.restockAt ?? null],
        );
        return { sku: body.sku, onHand: body.onHand };
      },
    }),
  ],
});
