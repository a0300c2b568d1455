/**
 * The judge of a run under faults: the audit that every run ends with, in four words. It reads only the sandbox's ledgers, the API and Postgres (cli/demo/collect.ts), so
 * what a process believes of itself is no evidence.
 */
import type { Finding } from '../demo/audit.ts';

export const charges = ['lost', 'doubled', 'stuck', 'wrong'] as const;
export type Charge = (typeof charges)[number];

/** What a finding is charged as: more than was paid is a wrong amount. */
export const chargeOf = ({ kind }: Finding): Charge => (kind === 'abovePaid' ? 'wrong' : kind);

/** How many cases each charge is about. A case counts once per charge, however much is wrong with it. */
export const charged = (findings: readonly Finding[]): Readonly<Record<Charge, number>> => {
  const of = (charge: Charge): number => new Set(findings.filter((finding) => chargeOf(finding) === charge).map((finding) => finding.case)).size;
  return { lost: of('lost'), doubled: of('doubled'), stuck: of('stuck'), wrong: of('wrong') };
};

/** The last line of a run. */
export function verdictLine(
  { cases, kills, faults }: { readonly cases: number; readonly kills: number; readonly faults: number },
  findings: readonly Finding[],
): string {
  const counts = charged(findings);
  return `${cases} cases, ${kills} kills, ${faults} faults: ${charges.map((charge) => `${counts[charge]} ${charge}`).join(', ')}`;
}
