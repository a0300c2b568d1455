/** Limits across cases, in SQL: which units of an order line belong to which case, how often a customer asks, and what came back why. */
import type { z } from 'zod';
import type { allowance } from '../systems/allowance/contract.ts';
import type { UndoResult } from '../systems/contract.ts';
import type { CaseId, EffectKey } from '../values/ids.ts';
import { instant } from '../values/instant.ts';
import type { EffectAnswer } from '../workflows/kit/protocol.ts';
import type { Sql } from './pool.ts';

type Own = (tx: Sql, call: { readonly case: CaseId; readonly key: EffectKey; readonly args: unknown }) => Promise<EffectAnswer>;
type Args<O extends keyof typeof allowance.operations> = z.output<(typeof allowance.operations)[O]['args']>;
interface Line {
  readonly line: number;
  readonly bought: number;
  readonly returned: number;
}

/** Locks the lines of an order, in their order, so that two cases at one order take turns and none waits for the other in a circle; makes them known at first use. */
async function lockLines(tx: Sql, orderId: string, lines: readonly Line[]): Promise<void> {
  for (const { line, bought } of lines.toSorted((a, b) => a.line - b.line)) {
    await tx.query('insert into allowance_lines (order_id, line, bought) values ($1, $2, $3) on conflict do nothing', [orderId, line, bought]);
    await tx.query('select 1 from allowance_lines where order_id = $1 and line = $2 for update', [orderId, line]);
  }
}

/** Units that came back outside our cases, as the shop says, take the highest free numbers; their money went back. The lines are locked. */
async function countOutside(tx: Sql, orderId: string, lines: readonly Line[]): Promise<void> {
  for (const { line, bought, returned } of lines)
    await tx.query(
      `insert into allowance_units (order_id, line, unit, used, refunded)
       select $1, $2, n, true, true from generate_series(1, $3) n
       where not exists (select 1 from allowance_units u where u.order_id = $1 and u.line = $2 and u.unit = n)
       order by n desc
       limit greatest(0, $4 - (select count(*) from allowance_units u where u.order_id = $1 and u.line = $2 and u.used))`,
      [orderId, line, bought, returned],
    );
}

/** The lowest free units of a line, given to a hold: at most `quantity`, in their order. The line is locked. */
async function takeUnits(tx: Sql, orderId: string, line: number, quantity: number, hold: string, used: boolean): Promise<{ line: number; unit: number }[]> {
  const { rows } = await tx.query<{ line: number; unit: number }>(
    `insert into allowance_units (order_id, line, unit, hold, used)
     select $1, $2, n, $4, $5 from allowance_lines l, generate_series(1, l.bought) n
     where l.order_id = $1 and l.line = $2 and not exists (select 1 from allowance_units u where u.order_id = $1 and u.line = $2 and u.unit = n)
     order by n limit $3 returning line, unit`,
    [orderId, line, quantity, hold, used],
  );
  return rows.toSorted((a, b) => a.unit - b.unit);
}

async function reserve(tx: Sql, key: EffectKey, { orderId, lines }: Args<'reserve'>): Promise<EffectAnswer> {
  await lockLines(tx, orderId, lines);
  await countOutside(tx, orderId, lines);
  const made = await tx.query(`insert into allowance_holds (hold, order_id, status) values ($1, $2, 'held') on conflict do nothing`, [key, orderId]);
  // Taken back before it came: an undo overtook it.
  if (made.rowCount !== 1) return { ok: false, error: 'alreadyReturned' };
  const units: { line: number; unit: number }[] = [];
  for (const { line, quantity } of lines) {
    const taken = await takeUnits(tx, orderId, line, quantity, key, false);
    if (taken.length < quantity) {
      // All or none: what was taken of other lines goes back.
      await tx.query('delete from allowance_units where hold = $1', [key]);
      await tx.query(`update allowance_holds set status = 'released' where hold = $1`, [key]);
      return { ok: false, error: 'alreadyReturned' };
    }
    units.push(...taken);
  }
  return { ok: true, result: { hold: key, units } };
}

async function release(tx: Sql, of: string): Promise<UndoResult> {
  const { rows } = await tx.query<{ status: string }>('select status from allowance_holds where hold = $1 for update', [of]);
  switch (rows[0]?.status) {
    case 'held':
      await tx.query('delete from allowance_units where hold = $1', [of]);
      await tx.query(`update allowance_holds set status = 'released' where hold = $1`, [of]);
      return { was: 'done' };
    case 'used':
      return { was: 'spent' };
    case 'released':
      return { was: 'undone' };
    default:
      // Remembered: a reservation that comes later under this key is refused.
      await tx.query(`insert into allowance_holds (hold, order_id, status) values ($1, '', 'released')`, [of]);
      return { was: 'absent' };
  }
}

async function commit(tx: Sql, { hold, orderId, units, order, refunded }: Args<'commit'>): Promise<EffectAnswer> {
  await lockLines(tx, orderId, order);
  await countOutside(tx, orderId, order);
  const { rowCount } = await tx.query(`update allowance_holds set status = 'used' where hold = $1 and status = 'held'`, [hold]);
  if (rowCount !== 1) throw new Error(`hold ${hold} is not held: it was committed or released before`);
  const used = await tx.query(
    `update allowance_units u set used = true, refunded = $4 from unnest($2::int[], $3::int[]) as given (line, unit)
     where u.hold = $1 and u.line = given.line and u.unit = given.unit`,
    [hold, units.map((u) => u.line), units.map((u) => u.unit), refunded],
  );
  if (used.rowCount !== units.length) throw new Error(`hold ${hold} does not hold all units that were to be committed`);
  await tx.query('delete from allowance_units where hold = $1 and not used', [hold]);
  // The money of every unit of every line has gone back, and this commit brought the last of them: a later one would have no unit.
  const { rows } = await tx.query<{ whole: boolean }>(
    `select bool_and(l.bought = (select count(*) from allowance_units u where u.order_id = l.order_id and u.line = l.line and u.used and u.refunded)) and count(*) = $2 as whole
     from allowance_lines l where l.order_id = $1`,
    [orderId, order.length],
  );
  return { ok: true, result: { whole: rows[0]?.whole === true } };
}

/** Of the hold first: those units are this case's. What the shop says has come back is counted after that, since it may say these very units. */
async function spend(tx: Sql, { hold, orderId, lines }: Args<'spend'>): Promise<EffectAnswer> {
  await lockLines(tx, orderId, lines);
  // A reservation that comes later under the key is refused, and its undo finds nothing left to take back.
  await tx.query(`insert into allowance_holds (hold, order_id, status) values ($1, $2, 'used') on conflict (hold) do update set status = 'used'`, [
    hold,
    orderId,
  ]);
  const units: { line: number; unit: number }[] = [];
  for (const { line, quantity } of lines) {
    const { rows: held } = await tx.query<{ line: number; unit: number }>(
      `update allowance_units set used = true, refunded = true
       where order_id = $1 and line = $2 and unit in (select unit from allowance_units where hold = $3 and line = $2 order by used desc, unit limit $4) returning line, unit`,
      [orderId, line, hold, quantity],
    );
    units.push(...held.toSorted((a, b) => a.unit - b.unit), ...(await takeUnits(tx, orderId, line, quantity - held.length, hold, true)));
  }
  await tx.query('delete from allowance_units where hold = $1 and not used', [hold]);
  await countOutside(tx, orderId, lines);
  return { ok: true, result: { units } };
}

/** More would tell no rule anything new; the contract says so. */
const mostEarlier = 200;

async function tally(tx: Sql, key: EffectKey, { customer, kind, amount }: Args<'tally'>): Promise<EffectAnswer> {
  // Two cases of a customer at once: the second one waits here until the first is committed, and sees it.
  await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 2))', [customer]);
  const { rows } = await tx.query<{ at: Date; amount_minor: number | null; currency: string | null }>(
    `select at, amount_minor, currency from tallies
     where customer = $1 and kind = $2 and status = 'counted' and at > now() - interval '366 days' order by at desc, tally limit $3`,
    [customer, kind, mostEarlier],
  );
  // An undo that overtook it has left its row: then it is not counted. The clock is read behind the lock, so that the order of the times is the order of the cases.
  await tx.query(
    `insert into tallies (tally, customer, kind, amount_minor, currency, status, at) values ($1, $2, $3, $4, $5, 'counted', clock_timestamp()) on conflict do nothing`,
    [key, customer, kind, amount?.minor ?? null, amount?.currency ?? null],
  );
  const earlier = rows.map(({ at, amount_minor: minor, currency }) => ({
    at: instant(at),
    ...(minor === null || currency === null ? {} : { amount: { minor, currency } }),
  }));
  return { ok: true, result: { earlier } };
}

async function untally(tx: Sql, of: string): Promise<UndoResult> {
  const before = await tx.query<{ status: string }>('select status from tallies where tally = $1 for update', [of]);
  switch (before.rows[0]?.status) {
    case 'counted':
      await tx.query(`update tallies set status = 'released' where tally = $1`, [of]);
      return { was: 'done' };
    case 'released':
      return { was: 'undone' };
    default:
      await tx.query(`insert into tallies (tally, status) values ($1, 'released')`, [of]);
      return { was: 'absent' };
  }
}

/** A unit is booked once per case: one that a redo names again stays as it was. */
async function causes(tx: Sql, of: CaseId, { orderId, shop, reason, units }: Args<'causes'>): Promise<EffectAnswer> {
  const { rowCount } = await tx.query(
    `insert into return_causes (case_id, order_id, shop, reason, line, unit, product, category, cause, disposition, currency, loss_minor)
     select $1, $2, $3, $4, u.line, u.unit, u.product, u.category, u.cause, u.disposition, u.loss->>'currency', (u.loss->>'minor')::bigint
     from jsonb_to_recordset($5::jsonb) as u(line int, unit int, product text, category text, cause text, disposition text, loss jsonb) on conflict do nothing`,
    [of, orderId, shop, reason, JSON.stringify(units)],
  );
  return { ok: true, result: { booked: rowCount ?? 0 } };
}

/** The operations of our own systems: they run inside the transaction that records them, with arguments that the contract has parsed. */
export const ownOperations: Readonly<Record<string, Own>> = {
  'allowance.reserve': (tx, { key, args }) => reserve(tx, key, args as Args<'reserve'>),
  'allowance.release': async (tx, { args }) => ({ ok: true, result: await release(tx, (args as Args<'release'>).of) }),
  'allowance.commit': (tx, { args }) => commit(tx, args as Args<'commit'>),
  'allowance.spend': (tx, { args }) => spend(tx, args as Args<'spend'>),
  'allowance.tally': (tx, { key, args }) => tally(tx, key, args as Args<'tally'>),
  'allowance.untally': async (tx, { args }) => ({ ok: true, result: await untally(tx, (args as Args<'untally'>).of) }),
  'allowance.causes': (tx, { case: of, args }) => causes(tx, of, args as Args<'causes'>),
};
