/** A case that counted as ended goes on: an operator reset its workflow, or a deployment mended the code that failed. */
import { lockCase, nowLocked, type CaseRow } from '../db/cases.ts';
import { reopenTasks } from '../db/tasks.ts';
import type { Sql } from '../db/pool.ts';
import { note } from '../db/timeline.ts';
import type { CaseId } from '../values/ids.ts';
import { reviveClocks } from './clock-log.ts';
import { policyOf } from './context.ts';

/** Whether the case was opened again. `run`: a run that a reset began; its records say so each time, and the first one counts. */
export async function reopenCase(tx: Sql, of: CaseId, run?: string): Promise<boolean> {
  const row = await lockCase(tx, of);
  if (run === undefined ? row.status === 'open' : row.reset_runs.includes(run)) return false;
  const { rows } = await tx.query<CaseRow>(
    `update cases set status = 'open', outcome = null, trouble = null, closed_at = null, changed_at = now(), run_id = coalesce($2, run_id),
       reset_runs = case when $2::text is null then reset_runs else reset_runs || $2::text end,
       -- A new run counts its records from where it was reset to: its stages are newer than those of the run before.
       stage_order = case when $2::text is null then stage_order else 0 end where id = $1 returning *`,
    [of, run ?? null],
  );
  for (const open of rows) nowLocked(tx, open);
  if (row.status === 'open') return false;
  // Withdrawn when the case broke, by nobody's decision. After an ordinary end the run opens anew what it reaches.
  if (row.status === 'broken' && row.closed_at) await reopenTasks(tx, of, row.closed_at);
  await reviveClocks(tx, row, await policyOf(tx, row));
  await note(tx, of, `reopened:${run ?? row.closed_at?.toISOString() ?? ''}`, 'reopened', { was: row.status });
  return true;
}
