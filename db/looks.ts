/** Looks at a customer's data unmasked: one row each, which nothing changes or removes. */
import type { CaseId, PersonId } from '../values/ids.ts';
import { instant, type Instant } from '../values/instant.ts';
import type { Role } from '../values/role.ts';
import type { CaseRow } from './cases.ts';
import { everyShop, type Person } from './people.ts';
import type { Sql } from './pool.ts';

/** Why somebody looks, as codes that are counted: words could name the customer. */
export const lookReasons = ['task', 'enquiry', 'qualityCheck', 'dispute', 'customerAsked'] as const;
export type LookReason = (typeof lookReasons)[number];

/** `words`: all that people wrote in a case. `evidence`: one file. `export`: a case as part of all that is held on its customer. */
export const lookedAt = ['words', 'evidence', 'export'] as const;

export interface Look {
  readonly id: number;
  readonly person: PersonId;
  /** As they were. */
  readonly roles: readonly Role[];
  readonly case: CaseId;
  readonly shop: string;
  /** The platform's pseudonym. */
  readonly customer: string | null;
  readonly what: (typeof lookedAt)[number];
  readonly evidence: string | null;
  readonly why: LookReason;
  readonly at: Instant;
}

interface LookRow extends Omit<Look, 'case' | 'at'> {
  readonly case_id: CaseId;
  readonly at: Date;
}

/** Writes that a person looks. Committed before anything is shown: a look that was not written did not happen. */
export async function writeLook(
  sql: Sql,
  of: Pick<CaseRow, 'id' | 'shop' | 'customer'>,
  person: Person,
  look: { readonly why: LookReason } & ({ readonly what: 'words' | 'export' } | { readonly what: 'evidence'; readonly evidence: string }),
): Promise<void> {
  await sql.query('insert into looks (person, roles, case_id, shop, customer, what, evidence, why) values ($1, $2, $3, $4, $5, $6, $7, $8)', [
    person.id,
    person.roles,
    of.id,
    of.shop,
    of.customer,
    look.what,
    look.what === 'evidence' ? look.evidence : null,
    look.why,
  ]);
}

export interface LookFilter {
  /** '*': every shop. */
  readonly shops: readonly string[];
  readonly person?: string | undefined;
  readonly customer?: string | undefined;
  readonly case?: string | undefined;
}

/**
 * Looks in shops, newest first, before the row id of the last one seen. One range of looks_newest per shop, or of looks_of_person, looks_of_customer or
 * looks_of_case, each read no further than the page.
 */
export async function listLooks(sql: Sql, filter: LookFilter, before: number | undefined, limit: number): Promise<Look[]> {
  const everywhere = filter.shops.includes(everyShop);
  const { rows } = await sql.query<LookRow>(
    `select l.* from unnest($1::text[]) as shops(shop) cross join lateral (
       select * from looks i where ${everywhere ? 'true' : 'i.shop = shops.shop'} and i.id < $2
         and ($4::text is null or i.person = $4) and ($5::text is null or i.customer = $5) and ($6::text is null or i.case_id = $6)
       order by i.id desc limit $3
     ) l order by l.id desc limit $3`,
    [everywhere ? [everyShop] : filter.shops, before ?? Number.MAX_SAFE_INTEGER, limit, filter.person ?? null, filter.customer ?? null, filter.case ?? null],
  );
  return rows.map(({ case_id, at, ...row }) => ({ ...row, case: case_id, at: instant(at) }));
}
