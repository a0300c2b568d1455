/** What becomes of an event whose case has ended, or that no case has asked for: a note on the case, or a case of its own. */
import { openCase, type CaseRow } from '../db/cases.ts';
import { holdUntilClaimed, lockUnclaimed, unclaimedSince } from '../db/inbox.ts';
import { everyShop } from '../db/people.ts';
import { pinnedPolicy } from '../db/policies.ts';
import { inTransaction, type Pool, type Sql } from '../db/pool.ts';
import { note } from '../db/timeline.ts';
import type { LoadedPolicy } from '../policies/load.ts';
import { policyFor } from '../policies/lookup.ts';
import { callable } from '../systems/index.ts';
import { contentHash } from '../values/hash.ts';
import type { CaseId } from '../values/ids.ts';
import { manifestOf, type Processes } from '../workflows/registry.ts';

interface Late {
  readonly id: number;
  readonly case_id: CaseId;
  readonly source: string;
  readonly event_id: string;
  readonly key: string | null;
  readonly name: string;
  readonly body: unknown;
  readonly process: string;
  readonly shop: string;
  readonly customer: string | null;
  readonly order_id: string | null;
  readonly policy: string;
}

/** What a case that an event opens is told: the event, and what the case that it was for knew. */
interface Opening {
  readonly shop: string;
  readonly customer?: string;
  readonly order?: string;
  readonly of?: CaseId;
  readonly event: string;
  readonly payload: unknown;
}

/**
 * What names a case that an event opens: the same event opens the same case, also after a restore from a back-up, when our rows are numbered anew and outside systems
 * still know the keys of the cases that were. It opens a second one when a case that had claimed it from the first has ended meanwhile: `of` tells them apart. An
 * event's id is its source's own; 16 digits are enough to tell all that ever come apart.
 */
const openingId = (source: string, eventId: string, of: CaseId | undefined): string => contentHash({ source, eventId, of }).slice(0, 16);

/** Opens the case that a declaration names for an event; it holds the event's key until another case names it. Part of the transaction that settles the row. */
async function openFor(
  tx: Sql,
  processes: Processes,
  successor: string,
  opening: Opening,
  from: { source: string; event_id: string; key: string | null },
  policy: Pinned,
): Promise<CaseRow> {
  const declaration = processes.get(successor)?.declaration;
  if (declaration === undefined) throw new Error(`there is no process "${successor}" for event ${opening.event}`);
  const { of } = opening;
  const input = declaration.input.parse({ ...opening, eventId: openingId(from.source, from.event_id, of) });
  const manifest = manifestOf(declaration, opening.shop, policy, callable);
  const starter = of === undefined ? (from.source.split('.')[0] ?? '') : `case:${of}`;
  const started = await openCase(tx, { declaration, input, manifest, starter, ...(of === undefined ? {} : { parent: of }) });
  if (started.status === 'conflict') throw new Error(`event ${from.event_id} of ${from.source} conflicts with ${started.id}`);
  if (from.key !== null && declaration.events[opening.event]?.from === from.source)
    await holdUntilClaimed(tx, from.source, from.key, started.case.id, opening.event);
  return started.case;
}
type Pinned = Pick<LoadedPolicy, 'policy' | 'version'>;

/** Settles the late rows of a case as its declaration says; the ids of cases that were opened for them. Part of the transaction that found them late. */
export async function settleLate(tx: Sql, processes: Processes, of: CaseId): Promise<CaseId[]> {
  const { rows } = await tx.query<Late>(
    `select i.id, i.case_id, i.source, i.event_id, i.correlation_key as key, i.name, i.body, c.process, c.shop, c.customer, c.order_id, c.manifest->>'policy' as policy
     from inbox i join cases c on c.id = i.case_id where i.case_id = $1 and i.became = 'late' order by i.id for update of i`,
    [of],
  );
  const opened: CaseId[] = [];
  for (const row of rows) {
    const afterEnd = processes.get(row.process)?.declaration.events[row.name]?.afterEnd ?? 'note';
    let became = 'note';
    if (afterEnd !== 'note') {
      const known = { ...(row.customer === null ? {} : { customer: row.customer }), ...(row.order_id === null ? {} : { order: row.order_id }) };
      const opening = { shop: row.shop, ...known, of, event: row.name, payload: row.body };
      const started = await openFor(tx, processes, successorOf(afterEnd), opening, row, { policy: await pinnedPolicy(tx, row.policy), version: row.policy });
      opened.push(started.id);
      became = `start:${started.id}`;
    }
    await tx.query('update inbox set became = $2 where id = $1', [row.id, became]);
    await note(tx, of, `late:${row.id}`, 'late', { event: row.name, became });
  }
  return opened;
}

const successorOf = (what: `start:${string}`): string => what.slice('start:'.length);
/** Parcels that one sweep opens cases for: a warehouse opens fewer in the seconds between two. */
const atOnce = 50;

/**
 * Opens a case for each event that nobody has claimed for the policy's `inbox.unclaimedAfter`, where a declaration says so; returns the cases, to be started.
 * Of a slip in a parcel only the order is taken over; the case itself finds out whose it is, and until then it is of no shop: who serves every shop sees it.
 */
export async function openUnclaimed(pool: Pool, processes: Processes, policy: Pinned): Promise<CaseRow[]> {
  const after = policyFor(policy.policy, everyShop).inbox.unclaimedAfter.ms;
  const opened: CaseRow[] = [];
  for (const { declaration } of processes.values()) {
    for (const [event, { from: source, unclaimed }] of Object.entries(declaration.events)) {
      if (source === undefined || unclaimed === undefined) continue;
      for (const waiting of await unclaimedSince(pool, source, after, atOnce)) {
        const row = await inTransaction(pool, async (tx) => {
          const found = await lockUnclaimed(tx, source, waiting);
          if (found === undefined) return undefined;
          const { orderId } = found.body as { readonly orderId?: unknown };
          const order = typeof orderId === 'string' ? { order: orderId } : {};
          const opening = { shop: everyShop, ...order, event, payload: found.body };
          const started = await openFor(tx, processes, successorOf(unclaimed), opening, { source, event_id: found.event_id, key: waiting.key }, policy);
          await tx.query('update inbox set case_id = $2, became = $3 where id = $1', [found.id, started.id, `start:${started.id}`]);
          return started;
        });
        if (row) opened.push(row);
      }
    }
  }
  return opened;
}
