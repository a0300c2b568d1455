/** Limits across cases, in SQL: which units of an order line belong to which case. */
import type { z } from 'zod';
import type { allowance } from '../systems/allowance/contract.ts';
import type { UndoResult } from '../systems/contract.ts';
import type { EffectKey } from '../values/ids.ts';
import type { EffectAnswer } from '../workflows/kit/protocol.ts';
import type { Sql } from './pool.ts';

type Own = (tx: Sql, call: { readonly key: EffectKey; readonly args: unknown }) => Promise<EffectAnswer>;
type Args<O extends keyof typeof allowance.operations> = z.output<(typeof allowance.operations)[O]['args']>;
interface Line {
  readonly line: number;
  readonly bought: number;
  readonly returned: number;
}

/**
 * Locks the lines of an order, in their order, so that two cases at one order take turns and none waits for the other in a circle; makes them known at first use.
 * Units that came back outside our cases, as the shop says, take the highest free numbers.
 */
async function lockLines(tx: Sql, orderId: string, lines: readonly Line[]): Promise<void> {
  const sorted = lines.toSorted((a, b) => a.line - b.line);
  for (const { line, bought, returned } of sorted) {
    await tx.query('insert into allowance_lines (order_id, line, bought) values ($1, $2, $3) on conflict do nothing', [orderId, line, bought]);
    await tx.query('select 1 from allowance_lines where order_id = $1 and line = $2 for update', [orderId, line]);
    await tx.query(
      `insert into allowance_units (order_id, line, unit, used)
       select $1, $2, n, true from generate_series(1, $3) n
       where not exists (select 1 from allowance_units u where u.order_id = $1 and u.line = $2 and u.unit = n)
       order by n desc
       limit greatest(0, $4 - (select count(*) from allowance_units u where u.order_id = $1 and u.line = $2 and u.used))`,
      [orderId, line, bought, returned],
    );
  }
}

async function reserve(tx: Sql, key: EffectKey, { orderId, lines }: Args<'reserve'>): Promise<EffectAnswer> {
  await lockLines(tx, orderId, lines);
  const made = await tx.query(`insert into allowance_holds (hold, order_id, status) values ($1, $2, 'held') on conflict do nothing`, [key, orderId]);
  // Taken back before it came: an undo overtook it.
  if (made.rowCount !== 1) return { ok: false, error: 'alreadyReturned' };
  const units: { line: number; unit: number }[] = [];
  for (const { line, quantity } of lines) {
    const { rows } = await tx.query<{ line: number; unit: number }>(
      `insert into allowance_units (order_id, line, unit, hold, used)
       select $1, $2, n, $4, false from allowance_lines l, generate_series(1, l.bought) n
       where l.order_id = $1 and l.line = $2 and not exists (select 1 from allowance_units u where u.order_id = $1 and u.line = $2 and u.unit = n)
       order by n limit $3 returning line, unit`,
      [orderId, line, quantity, key],
    );
    if (rows.length < quantity) {
      // All or none: what was taken of other lines goes back.
      await tx.query('delete from allowance_units where hold = $1', [key]);
      await tx.query(`update allowance_holds set status = 'released' where hold = $1`, [key]);
      return { ok: false, error: 'alreadyReturned' };
    }
    units.push(...rows.toSorted((a, b) => a.unit - b.unit));
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

async function commit(tx: Sql, { hold, orderId, units, order }: Args<'commit'>): Promise<EffectAnswer> {
  await lockLines(tx, orderId, order);
  const { rowCount } = await tx.query(`update allowance_holds set status = 'used' where hold = $1 and status = 'held'`, [hold]);
  if (rowCount !== 1) throw new Error(`hold ${hold} is not held: it was committed or released before`);
  const used = await tx.query(
    `update allowance_units u set used = true from unnest($2::int[], $3::int[]) as given (line, unit) where u.hold = $1 and u.line = given.line and u.unit = given.unit`,
    [hold, units.map((u) => u.line), units.map((u) => u.unit)],
  );
  if (used.rowCount !== units.length) throw new Error(`hold ${hold} does not hold all units that were to be committed`);
  await tx.query('delete from allowance_units where hold = $1 and not used', [hold]);
  // Every unit of every line has come back, and this commit brought the last of them.
  const { rows } = await tx.query<{ whole: boolean }>(
    `select bool_and(l.bought = (select count(*) from allowance_units u where u.order_id = l.order_id and u.line = l.line and u.used)) and count(*) = $2 as whole
     from allowance_lines l where l.order_id = $1`,
    [orderId, order.length],
  );
  return { ok: true, result: { whole: rows[0]?.whole === true } };
}

/** The operations of our own systems: they run inside the transaction that records them, with arguments that the contract has parsed. */
export const ownOperations: Readonly<Record<string, Own>> = {
  'allowance.reserve': (tx, { key, args }) => reserve(tx, key, args as Args<'reserve'>),
  'allowance.release': async (tx, { args }) => ({ ok: true, result: await release(tx, (args as Args<'release'>).of) }),
  'allowance.commit': (tx, { args }) => commit(tx, args as Args<'commit'>),
};
