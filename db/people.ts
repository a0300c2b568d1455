/** People and calling systems: what each may decide. A token only says who is calling; this is read when they decide. */
import type { PersonId } from '../values/ids.ts';
import type { Instant } from '../values/instant.ts';
import { instant } from '../values/instant.ts';
import type { Role } from '../values/role.ts';
import { covers, roles } from '../values/role.ts';
import type { Sql } from './pool.ts';

/** In a person's shops: every shop. */
export const everyShop = '*';

export interface Person {
  readonly id: PersonId;
  readonly name: string;
  readonly roles: readonly Role[];
  readonly shops: readonly string[];
  readonly active: boolean;
  readonly absentUntil: Instant | null;
}

interface PersonRow {
  readonly id: PersonId;
  readonly name: string;
  readonly roles: Role[];
  readonly shops: string[];
  readonly active: boolean;
  readonly absent_until: Date | null;
}
const columns = 'id, name, roles, shops, active, absent_until';
const person = (row: PersonRow): Person => ({
  id: row.id,
  name: row.name,
  roles: row.roles,
  shops: row.shops,
  active: row.active,
  absentUntil: row.absent_until && instant(row.absent_until),
});

/** Whether a person works for a shop. */
export const serves = (who: Pick<Person, 'shops'>, shop: string): boolean => who.shops.includes(everyShop) || who.shops.includes(shop);

/**
 * Roles whose tasks someone with these roles may decide: their own and those below on the ladder. A supervisor also decides for operations, who mend what
 * failed; an upstream system decides for its customer, who chose there.
 */
export const decidable = (has: readonly Role[]): Role[] =>
  roles.filter((needs) => has.some((h) => covers(h, needs) || (needs === 'ops' && covers(h, 'supervisor')) || (needs === 'customer' && h === 'upstream')));

export async function findPerson(sql: Sql, id: string): Promise<Person | undefined> {
  const { rows } = await sql.query<PersonRow>(`select ${columns} from people where id = $1`, [id]);
  return rows[0] && person(rows[0]);
}

/** Names by id, of those who are known. */
export async function namesOf(sql: Sql, ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
  if (ids.length === 0) return new Map();
  const { rows } = await sql.query<{ id: string; name: string }>('select id, name from people where id = any($1)', [ids]);
  return new Map(rows.map(({ id, name }) => [id, name]));
}

/** People who serve any of the shops, by id, after a cursor (the last id seen). By the primary key: people are hundreds. */
export async function listPeople(sql: Sql, shops: readonly string[], after: string, limit: number): Promise<Person[]> {
  const { rows } = await sql.query<PersonRow>(`select ${columns} from people where id > $1 and ($3 or shops && $4) order by id limit $2`, [
    after,
    limit,
    shops.includes(everyShop),
    shops,
  ]);
  return rows.map(person);
}

/** Writes a person whole: what the directory says now replaces what stood. */
export async function putPerson(sql: Sql, p: Person): Promise<void> {
  await sql.query(
    `insert into people (id, name, roles, shops, active, absent_until) values ($1, $2, $3, $4, $5, $6)
     on conflict (id) do update set name = excluded.name, roles = excluded.roles, shops = excluded.shops, active = excluded.active,
       absent_until = excluded.absent_until, changed_at = now()`,
    [p.id, p.name, p.roles, p.shops, p.active, p.absentUntil],
  );
}
