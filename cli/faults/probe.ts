/** Whether the engine works, as seen from outside: a case of its own goes from its start to its end. */
import { caseSchema } from '../../api/views.ts';
import { z } from 'zod';
import { caseId } from '../../values/ids.ts';
import { returnExchange } from '../../workflows/return-exchange/process.ts';
import { nap, type Scene } from '../demo/actors.ts';
import { Refused } from '../demo/calls.ts';
import type { Plan } from '../demo/plan.ts';

/** What is not through by then is not waited for: the judge sees at the end whether it ever was. */
const seenWithinMs = 120_000;
const lookEveryMs = 100;
const startedView = z.object({ case: z.object({ id: z.string() }) });

/**
 * Starts a return of an order that nobody knows, and waits until it has ended, rejected: the API has taken it, Postgres and Temporal have it, the worker has asked
 * the system of orders and told the customer. It is judged like any other case. Returns false when it was not seen to end.
 */
export async function probe(scene: Scene, name: string, signal: AbortSignal): Promise<boolean> {
  const { upstream, journal, plans, followers } = scene;
  const like: Plan | undefined = [...plans.values()][0];
  if (like === undefined) throw new Error('A run without cases has nothing to probe.');
  const { shop, customer } = like.request;
  const request = { shop, customer, orderId: `probe-${name}`, requestId: name, lines: [{ line: 1, quantity: 1 }], reason: 'other', wish: 'refund' } as const;
  const id = caseId(returnExchange.name, returnExchange.key(request));
  // Somebody may have to repair what a fault has broken in it.
  followers.set(id, like);
  const since = Date.now();
  await upstream.send('POST', '/v1/processes/return-exchange/cases', { input: { ...request, requestedAt: journal.requestedAt(id) } }, startedView);
  journal.write({ what: 'start', case: id, probe: true });
  while (!signal.aborted && Date.now() - since < seenWithinMs) {
    const answer = await upstream.call('GET', `/v1/cases/${encodeURIComponent(id)}`);
    if (answer.status >= 300) throw new Refused(`probe ${id}`, answer);
    if (caseSchema.parse(answer.body).status !== 'open') return true;
    await nap(lookEveryMs, signal);
  }
  return false;
}
