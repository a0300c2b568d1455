/** How much the engine has still to take in. */
import type { Sql } from './pool.ts';

export interface Waiting {
  /** Cases that are due and have no workflow, and what came for open cases and has not been taken in. */
  readonly waiting: number;
  /** Since when cases wait for their workflow, in milliseconds: the fifth oldest, since a few that cannot be started say nothing about the others. */
  readonly unstartedMs: number;
}

/** Counted up to `most`, by indexes cases_unstarted and inbox_undelivered, which are empty when all is quiet. */
export async function waitingForEngine(sql: Sql, most: number): Promise<Waiting> {
  const { rows } = await sql.query<Waiting>(
    `select (select count(*)::int from (select 1 from cases where started_at is null and status = 'open' and run_at < now() limit $1) c)
       + (select count(*)::int from (
           select 1 from inbox i join cases c on c.id = i.case_id and c.status = 'open'
           where i.seen_at is null and i.became is null and i.case_id is not null limit $1) i) as waiting,
       coalesce((select extract(epoch from now() - run_at) * 1000 from cases
           where started_at is null and status = 'open' and run_at < now() order by run_at offset 4 limit 1), 0)::float8 as "unstartedMs"`,
    [most],
  );
  return rows[0] ?? { waiting: 0, unstartedMs: 0 };
}
