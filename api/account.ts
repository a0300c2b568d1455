/** The money of a case, payment by payment: what was approved, submitted, accepted, arrived, failed; what was asked for; what was paid beside any payment. */
import { z } from 'zod';
import type { Approved, MoneyOperation, MoneyRow } from '../db/account.ts';
import { instant, parseInstant, type Instant } from '../values/instant.ts';
import { add, money, type Money } from '../values/money.ts';
import { moneySchema } from '../values/schemas.ts';
import type { Systems } from './forms.ts';
import { operationText, own, pick, valueText, wordOf, type Reader } from './sentences.ts';

const at = z.iso.datetime();
const state = z
  .string()
  .describe(
    '`submitted` (a refund, a payout) or `asked` (a charge), then what the system reports: `accepted`, `arrived`, `failed`, `paid`, `expired`; `refused`, `takenBack`; `sent` while no answer has come',
  );
const movementSchema = z
  .object({
    effect: z.string().describe("The effect's place in the case"),
    title: z.string(),
    payment: z.string().nullable().describe('Refund: of which payment. Charge: the payment that came in'),
    amount: moneySchema,
    route: z.string().nullable(),
    state,
    at,
    history: z.array(z.object({ state: z.string(), at })).describe('Its states, oldest first'),
    text: z.string(),
  })
  .meta({ id: 'MoneyMovement' });
type Movement = z.output<typeof movementSchema>;
export const accountSchema = z
  .object({
    payments: z.array(
      z.object({
        payment: z.string(),
        method: z.string().nullable(),
        paid: moneySchema.nullable().describe('What the customer paid by it'),
        approved: z.array(z.object({ amount: moneySchema, at, step: z.string() })),
        refunds: z.array(movementSchema),
      }),
    ),
    charges: z.array(movementSchema).describe('What the customer was asked to pay'),
    payouts: z.array(movementSchema).describe('What was paid beside any payment: freight, goodwill'),
    sums: z
      .array(z.object({ of: z.enum(['approved', 'refund', 'charge', 'payout']), state, amount: moneySchema, text: z.string() }))
      .describe('By state, one currency each'),
  })
  .meta({ id: 'Account' });
export type AccountView = z.output<typeof accountSchema>;

/** Every operation that a contract says moves money. */
export const moneyOperations = (systems: Systems): MoneyOperation[] =>
  Object.values(systems).flatMap((system) =>
    Object.entries(system.operations).flatMap(([operation, { money: moves }]) => {
      if (moves === undefined) return [];
      const reports = moves.as === 'payments' ? undefined : moves.reports;
      return [{ system: system.name, operation, as: moves.as, source: reports ? `${system.name}.${reports.event}` : null, id: reports?.id ?? null }];
    }),
  );

const field = (data: unknown, name: string): unknown =>
  typeof data === 'object' && data !== null && Object.hasOwn(data, name) ? (data as Record<string, unknown>)[name] : undefined;
const textOr = (value: unknown): string | null => (typeof value === 'string' ? value : null);

export function accountView(rows: readonly MoneyRow[], approved: readonly Approved[], reader: Reader): AccountView {
  const moved = rows.flatMap((row) => {
    const amount = moneySchema.safeParse(field(row.args, 'amount'));
    return row.as === 'payments' || !amount.success ? [] : [{ as: row.as, system: row.system, movement: movementOf(row, amount.data, reader) }];
  });
  const of = (as: 'refund' | 'charge' | 'payout'): Movement[] => moved.flatMap((one) => (one.as === as ? [one.movement] : []));
  const refunds = of('refund');
  const charges = of('charge');
  const listed = rows.flatMap((row) => (row.as === 'payments' ? paymentsIn(row.answer) : []));
  const known = new Map(listed.map((one) => [one.payment, one]));
  const ids = [
    ...listed.map((one) => one.payment),
    ...approved.map((one) => one.payment),
    ...refunds.flatMap((one) => one.payment ?? []),
    ...charges.flatMap((one) => one.payment ?? []),
  ];
  const touched = [...new Set(ids)].map((payment) => {
    const code = known.get(payment)?.method ?? approved.find((one) => one.payment === payment)?.method ?? null;
    return {
      payment,
      method: code === null ? null : (wordOf(reader, code, 'method', rows[0]?.system) ?? code),
      paid: known.get(payment)?.amount ?? charges.find((one) => one.payment === payment)?.amount ?? null,
      approved: approved.flatMap((one) => (one.payment === payment ? [{ amount: one.amount, at: instant(one.at), step: one.step }] : [])),
      refunds: refunds.filter((one) => one.payment === payment),
    };
  });
  return { payments: touched, charges, payouts: of('payout'), sums: sumsOf(approved, moved, reader) };
}

function paymentsIn(answer: unknown): { payment: string; method: string | null; amount: Money | null }[] {
  const all = field(answer, 'payments');
  return (Array.isArray(all) ? all : []).flatMap((one: unknown) => {
    const payment = textOr(field(one, 'paymentId'));
    const amount = moneySchema.safeParse(field(one, 'amount'));
    return payment === null ? [] : [{ payment, method: textOr(field(one, 'method')), amount: amount.success ? amount.data : null }];
  });
}

/** States in which something stands at some time, oldest first; the last one is where it stands now. */
function historyOf(row: MoneyRow, reader: Reader): { state: string; at: Instant }[] {
  const { status, ok, source } = row;
  if (status === 'sending') return [{ state: 'sent', at: instant(row.sentAt) }];
  const done = instant(row.doneAt ?? row.sentAt);
  if (ok === false) return [{ state: 'refused', at: done }];
  const [system = '', event = ''] = (source ?? '').split('.');
  const reported = own(own(reader.systems, system)?.events, event);
  const told = row.reports.flatMap((body) => {
    const payload = reported?.payload.safeParse(body);
    return payload?.success && reported?.state ? [reported.state(payload.data as never)] : [];
  });
  const inOrder = told.toSorted((a, b) => (a.at === b.at ? a.rank - b.rank : a.at < b.at ? -1 : 1));
  const since = inOrder.map((one) => ({ state: one.state, at: parseInstant(one.at) }));
  // A state that came to nobody's case is still known.
  if (row.state !== null && row.stateAt !== null && since.at(-1)?.state !== row.state) since.push({ state: row.state, at: instant(row.stateAt) });
  const first = { state: row.as === 'charge' ? 'asked' : 'submitted', at: done };
  return [first, ...since, ...(row.undoneAt ? [{ state: 'takenBack', at: instant(row.undoneAt) }] : [])];
}

function movementOf(row: MoneyRow, amount: Money, reader: Reader): Movement {
  const history = historyOf(row, reader);
  const now = history.at(-1) ?? { state: 'sent', at: instant(row.sentAt) };
  const route = textOr(field(row.args, 'via'));
  const cameIn = row.reports.map((body) => textOr(field(body, 'paymentId'))).findLast((id) => id !== null);
  const title = operationText(reader, row);
  const how = route === null ? null : (wordOf(reader, route, 'via', row.system) ?? route);
  const stands =
    now.state === 'refused' ? (wordOf(reader, String(row.answer), 'error', row.system) ?? String(row.answer)) : stateText(reader, now.state, row.system);
  const by = how === null ? '' : pick(reader, `（${how}）`, ` (${how})`);
  return {
    effect: row.path,
    title,
    payment: row.as === 'charge' ? (cameIn ?? null) : textOr(field(row.args, 'paymentId')),
    amount,
    route: how,
    state: now.state,
    at: now.at,
    history,
    text: pick(
      reader,
      `${title} ${valueText(reader, amount)}${by}：${stands}，${valueText(reader, now.at)}`,
      `${title} ${valueText(reader, amount)}${by}: ${stands}, ${valueText(reader, now.at)}`,
    ),
  };
}

const stateText = (reader: Reader, of: string, system?: string): string => wordOf(reader, of, 'state', system) ?? of;

function sumsOf(
  approved: readonly Approved[],
  moved: readonly { readonly as: 'refund' | 'charge' | 'payout'; readonly system: string; readonly movement: Movement }[],
  reader: Reader,
): AccountView['sums'] {
  const sums = new Map<string, AccountView['sums'][number]>();
  const count = (of: AccountView['sums'][number]['of'], stands: string, amount: Money, title: string): void => {
    const key = `${of} ${stands} ${amount.currency}`;
    const total = add(sums.get(key)?.amount ?? money(0, amount.currency), amount);
    sums.set(key, { of, state: stands, amount: total, text: `${title}${pick(reader, '：', ': ')}${valueText(reader, total)}` });
  };
  for (const { amount } of approved) count('approved', 'approved', amount, stateText(reader, 'approved'));
  for (const { as, system, movement } of moved)
    count(as, movement.state, movement.amount, `${movement.title}${pick(reader, '，', ', ')}${stateText(reader, movement.state, system)}`);
  return [...sums.values()];
}
