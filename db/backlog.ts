/** How much the engine has still to take in. */
import type { Sql } from './pool.ts';

/**
 * Cases that are due and have no workflow, and what came for open cases and has not been taken in: counted up to `most`, by indexes cases_unstarted and
 * inbox_undelivered, which are empty when all is quiet.
 */
export async function waitingForEngine(sql: Sql, most: number): Promise<number> {
  const { rows } = await sql.query<{ n: number }>(
    `select (select count(*)::int from (select 1 from cases where started_at is null and status = 'open' and run_at < now() limit $1) c)
       + (select count(*)::int from (
           select 1 from inbox i join cases c on c.id = i.case_id and c.status = 'open'
           where i.seen_at is null and i.became is null and i.case_id is not null limit $1) i) as n`,
    [most],
  );
  return rows[0]?.n ?? 0;
}
