/** What becomes of an event that arrives when its case has ended: a note on the case, or a case of its own. */
import { openCase } from '../db/cases.ts';
import { pinnedPolicy } from '../db/policies.ts';
import type { Sql } from '../db/pool.ts';
import { note } from '../db/timeline.ts';
import { callable } from '../systems/index.ts';
import type { CaseId } from '../values/ids.ts';
import { manifestOf, type Processes } from '../workflows/registry.ts';

interface Late {
  readonly id: number;
  readonly case_id: CaseId;
  readonly name: string;
  readonly body: unknown;
  readonly process: string;
  readonly shop: string;
  readonly policy: string;
}

/** Settles the late rows of a case as its declaration says; the ids of cases that were opened for them. Part of the transaction that found them late. */
export async function settleLate(tx: Sql, processes: Processes, of: CaseId): Promise<CaseId[]> {
  const { rows } = await tx.query<Late>(
    `select i.id, i.case_id, i.name, i.body, c.process, c.shop, c.manifest->>'policy' as policy from inbox i join cases c on c.id = i.case_id
     where i.case_id = $1 and i.became = 'late' order by i.id for update of i`,
    [of],
  );
  const opened: CaseId[] = [];
  for (const row of rows) {
    const afterEnd = processes.get(row.process)?.declaration.events[row.name]?.afterEnd ?? 'note';
    const successor = afterEnd === 'note' ? undefined : processes.get(afterEnd.slice('start:'.length));
    let became = 'note';
    if (successor) {
      const { declaration } = successor;
      const input = declaration.input.parse({ shop: row.shop, of, event: row.name, eventId: String(row.id), payload: row.body });
      const manifest = manifestOf(declaration, row.shop, { policy: await pinnedPolicy(tx, row.policy), version: row.policy }, callable);
      const started = await openCase(tx, { declaration, input, manifest, starter: `case:${of}`, parent: of });
      if (started.status === 'conflict') throw new Error(`late event ${row.id} conflicts with ${started.id}`);
      opened.push(started.case.id);
      became = `start:${started.case.id}`;
    }
    await tx.query('update inbox set became = $2 where id = $1', [row.id, became]);
    await note(tx, of, `late:${row.id}`, 'late', { event: row.name, became });
  }
  return opened;
}
