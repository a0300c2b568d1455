/** Writes what a case has gathered since its last record, in the transaction of the next one. Everything in it may be written twice without effect. */
import { queueMessage } from '../db/messages.ts';
import type { Sql } from '../db/pool.ts';
import { lockCase, nowLocked, type CaseRow } from '../db/cases.ts';
import { note } from '../db/timeline.ts';
import type { CaseId } from '../values/ids.ts';
import type { Pending } from '../workflows/kit/protocol.ts';
import { recordClocks } from './clock-log.ts';
import { policyOf, type Engine } from './context.ts';
import { reopenCase } from './reopen.ts';

/** Names of clocks whose extension was refused. */
export async function applyPending(engine: Engine, tx: Sql, of: CaseId, pending: Pending): Promise<readonly string[]> {
  const { order, stage, noReturn, clocks = [], told = [], seen = [], refused = [], reset } = pending;
  let refusedClocks: readonly string[] = [];
  if (reset !== undefined) await reopenCase(tx, of, reset);
  if (stage !== undefined || noReturn) {
    const { rows } = await tx.query<CaseRow>(
      `update cases set stage = case when $2::text is not null and stage_order < $3 then $2 else stage end,
         stage_order = case when $2::text is not null then greatest(stage_order, $3) else stage_order end,
         no_return = no_return or $4, changed_at = now() where id = $1 returning *`,
      [of, stage ?? null, order, noReturn === true],
    );
    for (const row of rows) nowLocked(tx, row);
    if (stage !== undefined) await note(tx, of, `stage:${order}${reset === undefined ? '' : `:${reset}`}`, 'stage', { stage });
    if (noReturn) await note(tx, of, 'noReturn', 'noReturn', {});
  }
  for (const message of told) await queueMessage(tx, await lockCase(tx, of), message);
  if (clocks.length > 0) {
    // Locked before its clocks are, as everywhere: a clock's due job locks case and clock too.
    const row = await lockCase(tx, of);
    const declared = engine.processes.get(row.process)?.declaration.clocks ?? {};
    refusedClocks = await recordClocks(tx, row, await policyOf(tx, row), declared, clocks, reset);
  }
  if (seen.length > 0) await tx.query('update inbox set seen_at = coalesce(seen_at, now()) where id = any($1::bigint[])', [rowIds(seen)]);
  if (refused.length > 0) {
    const { rows } = await tx.query<{ id: number }>(
      `update inbox set became = 'refused', seen_at = coalesce(seen_at, now()) where id = any($1::bigint[]) returning id`,
      [rowIds(refused)],
    );
    for (const { id } of rows) await note(tx, of, `refused:${id}`, 'withdrawalRefused', {});
  }
  return refusedClocks;
}

/** A withdrawal by an operator's "Cancel" has no row. */
const rowIds = (ids: readonly string[]): string[] => ids.filter((id) => /^\d+$/.test(id));
