/** The clocks of a case as they are kept: their logs, from which everything else about them follows. */
import type { CaseId } from '../values/ids.ts';
import type { ClockCommand } from '../workflows/kit/protocol.ts';
import type { Sql } from './pool.ts';

export interface LoggedClock {
  readonly clock: string;
  readonly name: string;
  /** T10. */
  readonly policyClock: string;
  /** Keys of notices that were given. */
  readonly notices: readonly string[];
  readonly log: readonly {
    readonly run: number;
    readonly seq: number;
    readonly at: string;
    readonly command: ClockCommand['command'] | { readonly kind: 'abandon' };
  }[];
}

/** All clocks of a case with their logs, in one statement, by the primary keys of both. */
export async function clocksOf(sql: Sql, of: CaseId): Promise<LoggedClock[]> {
  const { rows } = await sql.query<LoggedClock>(
    `select c.clock, c.name, c.policy_clock as "policyClock", c.notices,
       coalesce((select jsonb_agg(jsonb_build_object('run', l.run, 'seq', l.seq, 'at', l.at, 'command', l.command) order by l.run, l.seq)
         from clock_log l where l.case_id = c.case_id and l.clock = c.clock), '[]') as log
     from clocks c where c.case_id = $1 order by c.clock`,
    [of],
  );
  return rows;
}
