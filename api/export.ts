/** All that is held on a customer, as one JSON document, made case by case: however many there are, one of them is in memory. */
import { z } from 'zod';
import type { CaseRow } from '../db/cases.ts';
import { erasuresOf } from '../db/erasures.ts';
import { evidenceOf } from '../db/evidence.ts';
import { linksOf } from '../db/links.ts';
import { listLooks } from '../db/looks.ts';
import { everyShop } from '../db/people.ts';
import { pinnedPolicy } from '../db/policies.ts';
import { open } from '../db/sealed.ts';
import { tasksOfCase } from '../db/tasks.ts';
import { timelineOf } from '../db/timeline.ts';
import { instant } from '../values/instant.ts';
import type { AppDeps } from './deps.ts';
import { titleOf } from './forms.ts';
import type { Language } from './language.ts';
import { readerOf, sentence, standsText } from './sentences.ts';
import { caseSchema, caseView, evidenceSchema, evidenceView, roleSchema, wordsSchema, wordsView } from './views.ts';

const at = z.iso.datetime();
const exportedCase = z.object({
  case: caseSchema,
  title: z.string(),
  text: z.string().describe('Where it stands'),
  timeline: z.array(z.object({ at, text: z.string() })).describe('What happened and what the customer was told, in sentences'),
  decisions: z.array(z.object({ task: z.string(), title: z.string(), role: roleSchema.nullable(), at: at.nullable(), status: z.string(), form: z.unknown() })),
  words: z.array(wordsSchema).describe('What was written, unmasked'),
  evidence: z.array(evidenceSchema.extend({ look: z.string().describe('Where the file is looked at') })),
  links: z.array(z.object({ madeAt: at, expiresAt: at, revokedAt: at.nullable(), usedAt: at.nullable() })),
  looks: z.array(z.object({ at, roles: z.array(roleSchema), what: z.string(), why: z.string() })).describe('Who saw it unmasked, by role, newest first'),
});
export const exportSchema = z
  .object({
    customer: z.string(),
    exportedAt: at,
    erasures: z.array(z.object({ at, why: z.string() })).describe('What was held before is gone since'),
    cases: z.array(exportedCase),
  })
  .meta({ id: 'CustomerExport' });

/** Rows that are read at a time. */
const pageSize = 200;

/** The document in pieces. People of ours are in it by id and role: their names are not the customer's to have. */
export async function* exported(deps: AppDeps, customer: string, rows: readonly CaseRow[], language: Language): AsyncGenerator<string> {
  const erasures = (await erasuresOf(deps.pool, customer)).map(({ at: when, why }) => ({ at: when, why }));
  const head = { customer, exportedAt: instant(Date.now()), erasures } satisfies Omit<z.output<typeof exportSchema>, 'cases'>;
  yield `${JSON.stringify(head).slice(0, -1)},"cases":[`;
  for (const [i, row] of rows.entries()) yield `${i === 0 ? '' : ','}\n${JSON.stringify(await caseOf(deps, row, language))}`;
  yield '\n]}\n';
}

async function caseOf(deps: AppDeps, row: CaseRow, language: Language): Promise<z.output<typeof exportedCase>> {
  const { pool, master } = deps;
  const reader = readerOf(row, deps, language, { policy: await pinnedPolicy(pool, row.manifest.policy) });
  const tasks = await tasksOfCase(pool, row.id);
  const timeline = [];
  for (let after = 0; ;) {
    const facts = await timelineOf(pool, row.id, after, pageSize);
    for (const fact of facts) timeline.push({ at: instant(fact.at), text: sentence(reader, fact) });
    const last = facts.at(-1);
    if (last === undefined || facts.length < pageSize) break;
    after = last.id;
  }
  const looks = [];
  for (let before: number | undefined; ;) {
    const found = await listLooks(pool, { shops: [everyShop], case: row.id }, before, pageSize);
    for (const { at: when, roles, what, why } of found) looks.push({ at: when, roles: [...roles], what, why });
    before = found.at(-1)?.id;
    if (found.length < pageSize) break;
  }
  return {
    case: caseView(row),
    title: deps.processes.get(row.process)?.declaration.title[language] ?? row.process,
    text: standsText(
      reader,
      row,
      tasks.filter(({ status }) => status === 'open'),
    ),
    timeline,
    decisions: tasks.map((task) => ({
      task: task.path,
      title: titleOf(task, deps)[language],
      role: task.decidedRole,
      at: task.decidedAt,
      status: task.status,
      form: task.form,
    })),
    words: (await open(pool, master, row.id)).map((said) => wordsView(said, (words) => words)),
    evidence: (await evidenceOf(pool, row.id)).map((one) => ({ ...evidenceView(one), look: `/v1/evidence/${one.id}/look` })),
    links: (await linksOf(pool, row.id)).map(({ madeAt, expiresAt, revokedAt, usedAt }) => ({ madeAt, expiresAt, revokedAt, usedAt })),
    looks,
  };
}
