/** What a run came to, in tables: outcomes with their amounts, the ways the cases went, and what was done to them. */
import { z } from 'zod';
import { moneySchema } from '../../values/schemas.ts';
import type { AuditedCase, AuditRows, Finding, LedgerEntry } from './audit.ts';
import { branches, branchesOf, type Branch } from './branches.ts';
import { kinds } from '../faults/plan.ts';
import type { Disturbed } from './journal.ts';
import type { Plan } from './plan.ts';

/** Minor units as the reader of this terminal writes amounts. */
export function amountText(minor: number, currency: string): string {
  const format = new Intl.NumberFormat(undefined, { style: 'currency', currency });
  return format.format(minor / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}

const outcomeSchema = z.object({
  result: z.string(),
  reason: z.string().optional(),
  how: z.string().optional(),
  amount: moneySchema.optional(),
  refunded: moneySchema.optional(),
});

/** `rejected: inspection`; the status where a case has not ended as it should. */
function outcomeName({ status, outcome }: AuditedCase): string {
  const parsed = outcomeSchema.safeParse(outcome);
  if (!parsed.success || status === 'open' || status === 'failed' || status === 'broken') return status;
  const { result, reason, how } = parsed.data;
  return reason === undefined && how === undefined ? result : `${result}: ${reason ?? how}`;
}

/** Columns side by side: the first to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows.reduce<number[]>((so, row) => row.map((cell, i) => Math.max(so[i] ?? 0, cell.length)), []);
  return rows.map((row) => `  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')}`.trimEnd());
}

const tally = (names: Iterable<string>): readonly (readonly [string, number])[] => {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].toSorted(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
};

/** A branch: how many cases were to go it, how many did, and why none can. */
export interface BranchRow {
  readonly branch: Branch;
  readonly planned: number;
  readonly reached: number;
  readonly why?: string;
}

/** Counts every branch. `refused`: acts that the API refused, by case; `notInData`: branches that the source's orders cannot go, and why. */
export function branchTable(
  plans: readonly Plan[],
  rows: Pick<AuditRows, 'cases'>,
  refused: ReadonlyMap<string, ReadonlySet<string>>,
  notInData: ReadonlyMap<Branch, string>,
): readonly BranchRow[] {
  const reached = new Map([...rows.cases.values()].map((row) => [row.id, branchesOf(row, refused.get(row.id))]));
  return branches.map((branch) => {
    const why = notInData.get(branch);
    return {
      branch,
      planned: plans.filter((plan) => plan.branches.includes(branch)).length,
      reached: [...reached.values()].filter((all) => all.includes(branch)).length,
      ...(why === undefined ? {} : { why }),
    };
  });
}

/** What single cases did not do of what was planned, `case: branch, branch`: a restart that took too long, people who were too slow. */
export function missed(plans: readonly Plan[], rows: Pick<AuditRows, 'cases'>, refused: ReadonlyMap<string, ReadonlySet<string>>): readonly string[] {
  // What others did for a case, a parcel that came late or a return that came of it, counts as its own.
  const all = [...rows.cases.values()].map((row) => ({
    row,
    went: branchesOf(row, refused.get(row.id)),
    about: `${row.id} ${JSON.stringify(row.tasks.map((task) => task.context))}`,
  }));
  const reached = (plan: Plan): ReadonlySet<Branch> => {
    const receipts = `rc-${plan.order.replaceAll(/\W/g, '')}-`;
    return new Set(all.filter(({ row, about }) => row.id === plan.caseId || row.order === plan.order || about.includes(receipts)).flatMap(({ went }) => went));
  };
  return plans.flatMap((plan) => {
    const went = reached(plan);
    const not = plan.branches.filter((branch) => !went.has(branch));
    return not.length === 0 ? [] : [`${plan.caseId}: ${not.join(', ')}`];
  });
}

/** `killed with SIGKILL: worker`; of kills and pauses each process by itself, since they come back differently. */
export function disturbanceName({ kind, target }: Disturbed): string {
  const { title } = kinds[kind];
  return kind === 'kill' || kind === 'pause' || kind === 'clock' ? `${title}: ${target}` : title;
}

export interface Reported {
  readonly cases: readonly AuditedCase[];
  /** What the demo shows besides. */
  readonly concluded: readonly string[];
  readonly ledger: readonly LedgerEntry[];
  readonly repeated: ReadonlyMap<string, number>;
  readonly disturbed: readonly Disturbed[];
  readonly webhooks: { readonly sent: number; readonly attempts: number; readonly twice: boolean };
  readonly ms: number;
  readonly findings: readonly Finding[];
}

export function report({ cases, concluded, ledger, repeated, disturbed, webhooks, ms, findings }: Reported): string[] {
  const lines: string[] = ['Outcomes'];
  const amounts = new Map<string, Map<string, number>>();
  for (const row of cases) {
    const { amount: whole, refunded } = outcomeSchema.safeParse(row.outcome).data ?? {};
    const amount = whole ?? refunded;
    if (amount === undefined) continue;
    const of = amounts.get(outcomeName(row)) ?? new Map<string, number>();
    of.set(amount.currency, (of.get(amount.currency) ?? 0) + amount.minor);
    amounts.set(outcomeName(row), of);
  }
  const money = (name: string): string => [...(amounts.get(name) ?? [])].map(([currency, minor]) => amountText(minor, currency)).join(' + ');
  lines.push(...table(tally(cases.map(outcomeName)).map(([name, count]) => [name, String(count), money(name)])));

  lines.push('', ...concluded);

  lines.push('', 'People and systems');
  const decided = cases.flatMap((row) => row.tasks.filter((task) => task.status === 'done'));
  const decisions = tally(decided.map((task) => `${task.name} by ${task.decidedRole ?? '?'}`));
  const asked = ledger.filter((entry) => entry.attempts > 1);
  lines.push(
    ...table([
      ...decisions.map(([name, count]) => [`decisions: ${name}`, String(count)]),
      ...tally(cases.flatMap((row) => row.tasks.filter((task) => task.status !== 'done').map((task) => `tasks ${task.status}: ${task.name}`))).map(
        ([name, count]) => [name, String(count)],
      ),
      ['tasks that climbed', String(cases.reduce((so, row) => so + row.timeline.filter(({ kind }) => kind === 'taskEscalated').length, 0))],
      ...[...repeated].map(([act, count]) => [`on purpose: ${act}`, String(count)]),
      ['effects in the ledgers', String(ledger.length)],
      ['… of them asked for more than once', String(asked.length)],
      ['webhooks', String(webhooks.sent)],
      ...(webhooks.twice ? [['… one in ten sent twice on purpose', ''] as const] : []),
      ['… sent again because nobody took them', String(webhooks.attempts - webhooks.sent)],
      ...tally(disturbed.map(disturbanceName)).map(([name, count]) => [name, String(count)]),
      ['time', `${Math.round(ms / 1000)} s, ${(cases.length / (ms / 1000)).toFixed(2)} cases a second`],
    ]),
  );
  if (findings.length > 0) {
    lines.push('', 'What is wrong');
    lines.push(...findings.slice(0, 50).map((finding) => `  ${finding.kind}: ${finding.case}: ${finding.why}`));
    if (findings.length > 50) lines.push(`  … and ${findings.length - 50} more`);
  }
  return lines;
}
