/** Writes what a case has gathered since its last record, in the transaction of the next one. Everything in it may be written twice without effect. */
import { queueMessage } from '../db/messages.ts';
import type { Sql } from '../db/pool.ts';
import { lockCase } from '../db/tasks.ts';
import { note } from '../db/timeline.ts';
import type { CaseId } from '../values/ids.ts';
import type { Pending } from '../workflows/kit/protocol.ts';
import { recordClocks } from './clock-log.ts';
import { caseOf, policyOf, type Engine } from './context.ts';
import { reopenCase } from './reopen.ts';

/** Names of clocks whose extension was refused. */
export async function applyPending(engine: Engine, tx: Sql, of: CaseId, pending: Pending): Promise<readonly string[]> {
  const { order, stage, noReturn, clocks = [], told = [], seen = [], refused = [], reset } = pending;
  let refusedClocks: readonly string[] = [];
  if (reset !== undefined) await reopenCase(tx, of, reset);
  if (stage !== undefined || noReturn) {
    await tx.query(
      `update cases set stage = case when $2::text is not null and stage_order < $3 then $2 else stage end,
         stage_order = case when $2::text is not null then greatest(stage_order, $3) else stage_order end,
         no_return = no_return or $4, changed_at = now() where id = $1`,
      [of, stage ?? null, order, noReturn === true],
    );
    if (stage !== undefined) await note(tx, of, `stage:${order}${reset === undefined ? '' : `:${reset}`}`, 'stage', { stage });
    if (noReturn) await note(tx, of, 'noReturn', 'noReturn', {});
  }
  if (clocks.length + told.length > 0) {
    // Locked before its clocks are, as everywhere: a clock's due job locks case and clock too.
    const row = clocks.length > 0 ? await lockCase(tx, of) : await caseOf(tx, of);
    if (clocks.length > 0) {
      const declared = engine.processes.get(row.process)?.declaration.clocks ?? {};
      refusedClocks = await recordClocks(tx, row, await policyOf(tx, row), declared, clocks);
    }
    for (const message of told) await queueMessage(tx, row, message);
  }
  if (seen.length > 0)
    await tx.query('update inbox set seen_at = coalesce(seen_at, now()) where id = any($1::bigint[])', [seen.filter((id) => /^\d+$/.test(id))]);
  for (const id of refused.filter((r) => /^\d+$/.test(r))) {
    await tx.query(`update inbox set became = 'refused', seen_at = coalesce(seen_at, now()) where id = $1`, [id]);
    await note(tx, of, `refused:${id}`, 'withdrawalRefused', {});
  }
  return refusedClocks;
}
