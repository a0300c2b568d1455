/** Limits across cases, on Postgres, with many callers at once: units of an order, how often a customer asks, causes of returns. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ownOperations } from '../../db/allowance.ts';
import { openCase } from '../../db/cases.ts';
import { publishPolicy } from '../../db/policies.ts';
import { connectPool, inTransaction, isAway, type Pool, type Sql } from '../../db/pool.ts';
import { loadPolicy } from '../../policies/load.ts';
import { allowance } from '../../systems/allowance/contract.ts';
import type { Args, OperationName, Result } from '../../systems/contract.ts';
import type { CaseId, EffectKey } from '../../values/ids.ts';
import type { EffectAnswer } from '../../workflows/kit/protocol.ts';
import { manifestOf } from '../../workflows/registry.ts';
import { tiny } from '../processes/tiny/process.ts';
import { freshDatabase } from '../stack/env.ts';

const policy = loadPolicy(new URL('../../policies/default.yaml', import.meta.url).pathname);
let pool: Pool;
beforeAll(async () => {
  pool = connectPool(await freshDatabase(), 'allowance-test', 16);
  await publishPolicy(pool, policy);
});
afterAll(() => pool.end());

type Operation = OperationName<typeof allowance>;
/** One transaction, as the engine runs it, repeated while all connections are busy. */
async function patiently<T>(work: (tx: Sql) => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await inTransaction(pool, work);
    } catch (error) {
      if (!isAway(error)) throw error;
    }
  }
}
async function run<O extends Operation>(operation: O, key: string, args: Args<typeof allowance, O>, of = 'case'): Promise<EffectAnswer> {
  const own = ownOperations[`allowance.${operation}`];
  if (own === undefined) throw new Error(`no operation ${operation}`);
  const parsed: unknown = allowance.operations[operation].args.parse(args);
  return patiently((tx) => own(tx, { case: of as CaseId, key: key as EffectKey, args: parsed }));
}
/** Its result, which fits the contract. */
async function done<O extends Operation>(operation: O, key: string, args: Args<typeof allowance, O>, of?: string): Promise<Result<typeof allowance, O>> {
  const answer = await run(operation, key, args, of);
  if (!answer.ok) throw new Error(`${operation} ${key}: ${answer.error}`);
  return allowance.operations[operation].result.parse(answer.result) as Result<typeof allowance, O>;
}
const rows = async <R extends object>(text: string, ...values: unknown[]): Promise<R[]> => (await pool.query<R>(text, values)).rows;
interface UnitRow {
  readonly line: number;
  readonly unit: number;
  readonly hold: string | null;
  readonly used: boolean;
  readonly refunded: boolean;
}
const unitsOf = (orderId: string): Promise<UnitRow[]> =>
  rows<UnitRow>('select line, unit, hold, used, refunded from allowance_units where order_id = $1 order by line, unit', orderId);

let count = 0;
const newId = (prefix: string): string => `${prefix}-${++count}`;
const line = (n: number, bought: number, returned = 0) => ({ line: n, bought, returned });
const asked = (n: number, bought: number, quantity: number, returned = 0) => ({ ...line(n, bought, returned), quantity });

describe('units of an order (EF8)', () => {
  /** What one case does: asks for units of each of two lines, then uses some of what it got, lets it go, or hears that somebody else refunded it. */
  const story = fc.record({
    wants: fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 3 })).filter(([a, b]) => a + b > 0),
    end: fc.constantFrom('commit', 'release', 'spend', 'never'),
    /** Of those that it holds. */
    uses: fc.integer({ min: 1, max: 6 }),
    refunded: fc.boolean(),
    flipped: fc.boolean(),
  });
  type Story = typeof story extends fc.Arbitrary<infer S> ? S : never;

  async function play(orderId: string, bought: readonly [number, number], { wants, end, uses, refunded, flipped }: Story) {
    const hold = newId('hold');
    const order = bought.map((n, i) => line(i + 1, n));
    const lines = wants.flatMap((quantity, i) => (quantity === 0 ? [] : [asked(i + 1, bought[i] ?? 0, quantity)]));
    const answer = await run('reserve', hold, { orderId, lines: flipped ? lines.toReversed() : lines });
    if (!answer.ok) return { hold, held: [], whole: false };
    const { units: held } = answer.result as Result<typeof allowance, 'reserve'>;
    switch (end) {
      case 'commit': {
        const units = held.slice(0, uses);
        const { whole } = await done('commit', `${hold}/commit`, { hold, orderId, units, order, refunded });
        return { hold, held, used: units, refunded, whole };
      }
      case 'spend': {
        const { units } = await done('spend', `${hold}/spend`, { hold, orderId, lines });
        return { hold, held, used: units, refunded: true, whole: false };
      }
      case 'release':
        expect(await done('release', `${hold}/release`, { of: hold })).toEqual({ was: 'done' });
        return { hold, held, whole: false };
      case 'never':
        return { hold, held, kept: held, whole: false };
    }
  }

  async function holds(orderId: string, bought: readonly [number, number], stories: readonly Story[]): Promise<void> {
    const ends = await Promise.all(stories.map((one) => play(orderId, bought, one)));
    const units = await unitsOf(orderId);
    for (const { hold, held, used = [], kept = [], refunded } of ends) {
      // Every unit that was reserved was used or let go; nothing else is in the case's name.
      const mine = units.filter((unit) => unit.hold === hold);
      const name = (unit: { line: number; unit: number }): string => `${unit.line}/${unit.unit}`;
      expect(mine.map(name).toSorted()).toEqual([...used, ...kept].map(name).toSorted());
      expect(mine.every((unit) => unit.used === (kept.length === 0))).toBe(true);
      expect(held.every((unit) => unit.unit >= 1 && unit.unit <= (bought[unit.line - 1] ?? 0))).toBe(true);
      if (refunded !== undefined) expect(mine.every((unit) => unit.refunded === refunded)).toBe(true);
    }
    bought.forEach((n, i) => expect(units.filter((unit) => unit.line === i + 1).length).toBeLessThanOrEqual(n));
    // The whole order is said to be back by one commit at most, and only when it is.
    const back = units.length === bought[0] + bought[1] && units.every((unit) => unit.used && unit.refunded);
    const said = ends.filter((one) => one.whole).length;
    expect(said).toBeLessThanOrEqual(back ? 1 : 0);
    // Nothing but commits in this order: then exactly one of them brought the last unit, and said so.
    if (back && stories.every((one) => one.end !== 'spend')) expect(said).toBe(1);
  }

  test('belong to one case at most, whoever comes at once and in whatever order: each is used or let go, and the whole is said once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 })),
        fc.array(story, { minLength: 2, maxLength: 12 }),
        (bought, stories) => holds(newId('order'), bought, stories),
      ),
      { numRuns: 30 },
    );
  });

  test('64 cases at one order take exactly what was bought, and one of them hears that it is whole', async () => {
    const one: Story = { wants: [1, 1], end: 'commit', uses: 2, refunded: true, flipped: false };
    const orderId = newId('order');
    await holds(
      orderId,
      [40, 40],
      Array.from({ length: 64 }, (_, n) => ({ ...one, flipped: n % 2 === 1 })),
    );
    const units = await unitsOf(orderId);
    expect(units).toHaveLength(80);
    expect(new Set(units.map((unit) => unit.hold)).size).toBe(40);
  });

  test('of 64 cases that ask for all of it, whoever comes after a release gets it', async () => {
    const orderId = newId('order');
    const held = new Set<string>();
    await Promise.all(
      Array.from({ length: 64 }, async (_, n) => {
        const hold = `${orderId}/${n}`;
        const answer = await run('reserve', hold, { orderId, lines: [asked(1, 3, 3)] });
        if (!answer.ok) return;
        // Nobody else has it while this one does.
        expect(held.size).toBe(0);
        held.add(hold);
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
        held.delete(hold);
        await run('release', `${hold}/release`, { of: hold });
      }),
    );
    expect(await unitsOf(orderId)).toEqual([]);
  });

  test('whose goods were replaced keep the order from being whole; those that came back outside count as refunded', async () => {
    const orderId = newId('order');
    const order = [line(1, 2), line(2, 1)];
    const first = await done('reserve', `${orderId}/a`, { orderId, lines: [asked(1, 2, 1)] });
    expect(await done('commit', `${orderId}/a/c`, { hold: first.hold, orderId, units: first.units, order, refunded: true })).toEqual({ whole: false });
    // Two of the three were returned to the shop, it says: ours, and the one of line 2.
    const after = [line(1, 2, 1), line(2, 1, 1)];
    const last = await done('reserve', `${orderId}/b`, { orderId, lines: [asked(1, 2, 1, 1)] });
    expect(await done('commit', `${orderId}/b/c`, { hold: last.hold, orderId, units: last.units, order: after, refunded: true })).toEqual({ whole: true });

    const replaced = newId('order');
    const hold = await done('reserve', `${replaced}/a`, { orderId: replaced, lines: [asked(1, 2, 1)] });
    await done('commit', `${replaced}/a/c`, { hold: hold.hold, orderId: replaced, units: hold.units, order: [line(1, 2)], refunded: false });
    const rest = await done('reserve', `${replaced}/b`, { orderId: replaced, lines: [asked(1, 2, 1)] });
    expect(await done('commit', `${replaced}/b/c`, { hold: rest.hold, orderId: replaced, units: rest.units, order: [line(1, 2)], refunded: true })).toEqual({
      whole: false,
    });
  });
});

describe('units that somebody else refunded', () => {
  test('are those of the hold first, then the lowest free ones; never those of another case', async () => {
    const orderId = newId('order');
    const other = await done('reserve', `${orderId}/other`, { orderId, lines: [asked(1, 5, 1)] });
    const mine = await done('reserve', `${orderId}/mine`, { orderId, lines: [asked(1, 5, 2)] });
    const third = await done('reserve', `${orderId}/third`, { orderId, lines: [asked(1, 5, 1)] });
    expect([other.units, mine.units, third.units]).toEqual([[{ line: 1, unit: 1 }], [2, 3].map((unit) => ({ line: 1, unit })), [{ line: 1, unit: 4 }]]);
    expect(await done('spend', `${orderId}/spend`, { hold: mine.hold, orderId, lines: [asked(1, 5, 4)] })).toEqual({
      units: [2, 3, 5].map((unit) => ({ line: 1, unit })),
    });
    expect(await unitsOf(orderId)).toMatchObject([
      { unit: 1, hold: other.hold, used: false },
      { unit: 2, hold: mine.hold, used: true, refunded: true },
      { unit: 3, hold: mine.hold, used: true },
      { unit: 4, hold: third.hold, used: false },
      { unit: 5, hold: mine.hold, used: true },
    ]);
    expect(await done('release', `${orderId}/undo`, { of: mine.hold })).toEqual({ was: 'spent' });
    expect(await run('reserve', `${orderId}/late`, { orderId, lines: [asked(1, 5, 1)] })).toEqual({ ok: false, error: 'alreadyReturned' });
  });

  test('are counted once, whether or not the shop counts them too; what the hold has beside them is let go', async () => {
    const orderId = newId('order');
    const held = await done('reserve', `${orderId}/a`, { orderId, lines: [asked(1, 4, 3)] });
    // The shop says one came back: this one.
    expect(await done('spend', `${orderId}/a/spend`, { hold: held.hold, orderId, lines: [asked(1, 4, 1, 1)] })).toEqual({ units: [{ line: 1, unit: 1 }] });
    expect(await unitsOf(orderId)).toHaveLength(1);
    const rest = await done('reserve', `${orderId}/b`, { orderId, lines: [asked(1, 4, 3, 1)] });
    expect(rest.units).toHaveLength(3);
  });

  test('need no hold: one that never was, or that was let go', async () => {
    const orderId = newId('order');
    expect(await done('spend', `${orderId}/a/spend`, { hold: `${orderId}/a`, orderId, lines: [asked(1, 3, 1)] })).toEqual({ units: [{ line: 1, unit: 1 }] });
    // A reservation that comes later under that key finds the case over.
    expect(await run('reserve', `${orderId}/a`, { orderId, lines: [asked(1, 3, 1)] })).toEqual({ ok: false, error: 'alreadyReturned' });
    const gone = await done('reserve', `${orderId}/b`, { orderId, lines: [asked(1, 3, 1)] });
    await done('release', `${orderId}/b/undo`, { of: gone.hold });
    expect(await done('spend', `${orderId}/b/spend`, { hold: gone.hold, orderId, lines: [asked(1, 3, 1)] })).toEqual({ units: [{ line: 1, unit: 2 }] });
  });

  test('are not counted twice when the case had used them itself', async () => {
    const orderId = newId('order');
    const held = await done('reserve', `${orderId}/a`, { orderId, lines: [asked(1, 2, 1)] });
    await done('commit', `${orderId}/a/commit`, { hold: held.hold, orderId, units: held.units, order: [line(1, 2)], refunded: false });
    expect(await done('spend', `${orderId}/a/spend`, { hold: held.hold, orderId, lines: [asked(1, 2, 1)] })).toEqual({ units: held.units });
    expect(await unitsOf(orderId)).toMatchObject([{ used: true, refunded: true }]);
  });
});

describe('requests of a customer', () => {
  test('at once never miss each other: of 24, one sees none, one sees one, and so on', async () => {
    const customer = newId('customer');
    const seen = await Promise.all(
      Array.from({ length: 24 }, (_, n) => done('tally', `${customer}/${n}`, { customer, kind: 'refundOnly', amount: { minor: n + 1, currency: 'CNY' } })),
    );
    expect(seen.map(({ earlier }) => earlier.length).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 24 }, (_, n) => n));
    // Each sees exactly those before it, newest first.
    const sorted = seen.toSorted((a, b) => a.earlier.length - b.earlier.length);
    sorted.slice(1).forEach(({ earlier }, n) => expect(earlier.slice(1)).toEqual(sorted[n]?.earlier));
    expect(await done('tally', `${customer}/other`, { customer, kind: 'return' })).toEqual({ earlier: [] });
  });

  test('that were taken back are not counted, also when that came before them; a second time finds nothing to take back', async () => {
    const customer = newId('customer');
    const tally = async (key: string): Promise<number> => (await done('tally', `${customer}/${key}`, { customer, kind: 'return' })).earlier.length;
    const untally = (key: string) => done('untally', `${customer}/${key}/undo`, { of: `${customer}/${key}` });
    expect(await tally('a')).toBe(0);
    expect(await tally('b')).toBe(1);
    expect(await untally('a')).toEqual({ was: 'done' });
    expect(await untally('a')).toEqual({ was: 'undone' });
    expect(await untally('c')).toEqual({ was: 'absent' });
    expect(await tally('c')).toBe(1);
    expect(await tally('d')).toBe(1);
    expect(await tally('e')).toBe(2);
  });

  test('older than a year are forgotten, and 200 are the most that are told: the newest', async () => {
    const customer = newId('customer');
    await pool.query(
      `insert into tallies (tally, customer, kind, amount_minor, currency, status, at)
       select $1 || n, $1, 'return', n, 'CNY', 'counted', now() - n * interval '1 day' from generate_series(1, 400) n`,
      [customer],
    );
    const { earlier } = await done('tally', `${customer}/now`, { customer, kind: 'return' });
    expect(earlier.map(({ amount }) => amount?.minor)).toEqual(Array.from({ length: 200 }, (_, n) => n + 1));
    await pool.query(`delete from tallies where customer = $1 and at > now() - interval '300 days'`, [customer]);
    const { earlier: rest } = await done('tally', `${customer}/later`, { customer, kind: 'return' });
    expect(rest.map(({ amount }) => amount?.minor)).toEqual(Array.from({ length: 66 }, (_, n) => 300 + n));
  });
});

describe('causes of returns', () => {
  test('are booked unit by unit, once per case and unit', async () => {
    const { manifest, input } = { manifest: manifestOf(tiny, 'main', policy, {}), input: { id: newId('case'), shop: 'main', script: 'windowed' } };
    const opened = await inTransaction(pool, (tx) => openCase(tx, { declaration: tiny, input: tiny.input.parse(input), manifest, starter: 'test' }));
    if (opened.status === 'conflict') throw new Error('conflict');
    const unit = (n: number, minor: number) => ({
      line: 1,
      unit: n,
      product: 'cup',
      category: 'kitchen',
      cause: 'transport',
      disposition: 'scrap',
      loss: { minor, currency: 'CNY' },
    });
    const book = (...units: ReturnType<typeof unit>[]) =>
      done('causes', newId('key'), { orderId: 'O-1', shop: 'main', reason: 'quality', units }, opened.case.id);
    expect(await book(unit(1, 500), unit(2, 0))).toEqual({ booked: 2 });
    expect(await book(unit(2, 900), unit(3, 100))).toEqual({ booked: 1 });
    expect(
      await rows('select unit, loss_minor, reason, cause, disposition, currency from return_causes where case_id = $1 order by unit', opened.case.id),
    ).toEqual(
      [500, 0, 100].map((loss_minor, n) => ({ unit: n + 1, loss_minor, reason: 'quality', cause: 'transport', disposition: 'scrap', currency: 'CNY' })),
    );
  });
});
