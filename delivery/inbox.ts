/** Brings stored inbox rows to their case. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { casesToDeliver, markDelivered, undelivered } from '../db/inbox.ts';
import { inTransaction, type Pool } from '../db/pool.ts';
import type { CaseId } from '../values/ids.ts';
import { deliverSignal } from '../workflows/kit/protocol.ts';
import { callDeadline, isTemporalAway } from './temporal.ts';

/** A delivery whose mark has not come back for this long is sent again: a worker that lives answers within seconds. */
export const redeliverAfter = 20_000;

/**
 * Signals a case with everything it has not taken in, in order, under a lock of the case: two deliverers cannot overtake each other.
 * `unreachable`: Temporal is away or has no such workflow now; the sweep tries again.
 */
export async function deliverInbox(pool: Pool, temporal: Client, of: CaseId, again = redeliverAfter): Promise<'delivered' | 'nothing' | 'unreachable'> {
  try {
    return await signalInbox(pool, temporal, of, again);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError || isTemporalAway(error)) return 'unreachable';
    throw error;
  }
}

const signalInbox = (pool: Pool, temporal: Client, of: CaseId, again: number): Promise<'delivered' | 'nothing'> =>
  inTransaction(pool, async (tx) => {
    await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 2))', [of]);
    const batch = await undelivered(tx, of, again);
    if (batch.length === 0) return 'nothing';
    await temporal.withDeadline(callDeadline(), () => temporal.workflow.getHandle(of).signal(deliverSignal, batch));
    await markDelivered(
      tx,
      batch.map((m) => m.id),
    );
    return 'delivered';
  });

/** Redelivers what has waited too long: `grace` milliseconds where it never was delivered, `again` where its mark did not come back. How many cases were signalled; throws, once the others have been, when one cannot be. */
export async function redeliver(pool: Pool, temporal: Client, again = redeliverAfter, grace = again): Promise<number> {
  let delivered = 0;
  const refused: unknown[] = [];
  for (const id of await casesToDeliver(pool, again, grace, 200)) {
    try {
      if ((await signalInbox(pool, temporal, id, again)) === 'delivered') delivered += 1;
    } catch (error) {
      // The rest would fail the same way and cost 2 s each.
      if (isTemporalAway(error)) break;
      // A workflow that has ended concerns its own case only: the sweep for broken cases finds it.
      if (!(error instanceof WorkflowNotFoundError)) refused.push(error);
    }
  }
  if (refused.length > 0) throw new AggregateError(refused, `${refused.length} cases could not be delivered to`);
  return delivered;
}
