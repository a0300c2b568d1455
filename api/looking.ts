/** A customer's data unmasked: who may look, what is shown to everybody else, and the row that says who did. */
import type { Logger } from 'pino';
import { z } from 'zod';
import type { CaseRow } from '../db/cases.ts';
import { lookReasons, writeLook, type LookReason } from '../db/looks.ts';
import type { Person } from '../db/people.ts';
import { isAtWorkOn } from '../db/tasks.ts';
import { desk } from './access.ts';
import type { AppDeps } from './deps.ts';
import type { Language } from './language.ts';
import { Problem } from './problems.ts';

export const whyLook = z
  .enum(lookReasons)
  .describe(
    '`task`: to decide one · `enquiry`: the customer asks · `qualityCheck`: how a colleague worked · `dispute`: a complaint, the platform or an authority · `customerAsked`: what is held on them',
  );
export const lookBody = z.strictObject({ why: whyLook });

/** For the document. */
export const whoLooks =
  'For the service desk, and for whoever has claimed an open task of the case. Who looked at what, when and why is written before it is shown (`GET /v1/looks`).';

/** What is shown of words without a look: that there are some, and how many. Parts of a text are not shown: nobody knows where in it the name is. */
export function masked(words: unknown, language: Language): string {
  const { length } = typeof words === 'string' ? words : JSON.stringify(words);
  return language === 'zh' ? `［文字，${length} 字］` : `[text, ${length} characters]`;
}

type Looked = { readonly why: LookReason } & ({ readonly what: 'words' } | { readonly what: 'evidence'; readonly evidence: string });

/** Writes that a person looks at a case's data, or throws that they may not. What they then see is shown after it. */
export async function look({ pool }: Pick<AppDeps, 'pool'>, row: CaseRow, person: Person, looked: Looked, log: Logger): Promise<void> {
  const atDesk = desk.some((role) => person.roles.includes(role));
  if (!atDesk && !(await isAtWorkOn(pool, row.id, person.id))) throw new Problem('lookNotAllowed', { case: row.id });
  await writeLook(pool, row, person, looked);
  log.info({ audit: 'looked', case: row.id, person: person.id, ...looked }, 'looked at a customer’s data');
}
