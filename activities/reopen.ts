/** A case that counted as ended goes on: an operator reset its workflow, or a deployment mended the code that failed. */
import { lockCase, reopenTasks } from '../db/tasks.ts';
import type { Sql } from '../db/pool.ts';
import { note } from '../db/timeline.ts';
import type { CaseId } from '../values/ids.ts';
import { reviveClocks } from './clock-log.ts';
import { policyOf } from './context.ts';

/** Whether the case was opened again. `run`: the run that goes on, when it is another one than the one that ended; its records say so each time, and the first one counts. */
export async function reopenCase(tx: Sql, of: CaseId, run?: string): Promise<boolean> {
  const row = await lockCase(tx, of);
  if (run === undefined ? row.status === 'open' : row.run_id === run) return false;
  await tx.query(
    `update cases set status = 'open', outcome = null, trouble = null, closed_at = null, changed_at = now(),
       -- A new run counts its records from where it was reset to: its stages are newer than those of the run before.
       run_id = coalesce($2, run_id), stage_order = case when $2::text is null then stage_order else 0 end where id = $1`,
    [of, run ?? null],
  );
  if (row.status === 'open') return false;
  // Withdrawn when the case broke, by nobody's decision. After an ordinary end the run opens anew what it reaches.
  if (row.status === 'broken' && row.closed_at) await reopenTasks(tx, of, row.closed_at);
  await reviveClocks(tx, row, await policyOf(tx, row));
  await note(tx, of, `reopened:${run ?? row.closed_at?.toISOString() ?? ''}`, 'reopened', { was: row.status });
  return true;
}
