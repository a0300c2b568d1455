/** Starts the workflow of a case row. */
import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';
import { Counter } from 'prom-client';
import { markStarted, unstartedCases, type CaseRow } from '../db/cases.ts';
import type { Pool } from '../db/pool.ts';
import { taskQueue, type CaseStart } from '../workflows/kit/protocol.ts';
import { workflowType } from '../workflows/registry.ts';
import { callDeadline, isTemporalAway, searchAttributes } from './temporal.ts';

/** Counted by whoever started it: the API, or the worker that found it unstarted or whose case opened it. Both show it. */
const casesStarted = new Counter({ name: 'kefu_cases_started_total', help: 'Cases whose workflow this process has started', labelNames: ['process'] });

/** Starts a case's workflow, once: an id that was ever used is not started again. `unreachable` leaves it to the sweep. */
export async function startWorkflow(pool: Pool, temporal: Client, row: CaseRow): Promise<'started' | 'unreachable'> {
  const start: CaseStart = { manifest: row.manifest, input: row.input };
  try {
    const handle = await temporal.withDeadline(callDeadline(), () =>
      temporal.workflow.start(workflowType(row.process), {
        workflowId: row.id,
        taskQueue,
        args: [start],
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        typedSearchAttributes: new TypedSearchAttributes([
          { key: searchAttributes.process, value: row.process },
          { key: searchAttributes.shop, value: row.shop },
          ...(row.order_id === null ? [] : [{ key: searchAttributes.order, value: row.order_id }]),
          ...(row.customer === null ? [] : [{ key: searchAttributes.customer, value: row.customer }]),
        ]),
        staticSummary: `${row.process} · ${row.shop}${row.order_id === null ? '' : ` · ${row.order_id}`}`,
      }),
    );
    casesStarted.inc({ process: row.process });
    await markStarted(pool, row.id, handle.firstExecutionRunId);
    return 'started';
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) {
      await markStarted(pool, row.id, undefined);
      return 'started';
    }
    if (isTemporalAway(error)) return 'unreachable';
    throw error;
  }
}

/** Starts what a crash or an outage left, and what has become due. How many were started; throws, once the others have started, when Temporal refuses one. */
export async function startUnstarted(pool: Pool, temporal: Client, olderThanMs: number): Promise<number> {
  let started = 0;
  const refused: unknown[] = [];
  for (const row of await unstartedCases(pool, olderThanMs, 100)) {
    try {
      // The rest would fail the same way and cost 2 s each.
      if ((await startWorkflow(pool, temporal, row)) === 'unreachable') break;
      started += 1;
    } catch (error) {
      refused.push(error);
    }
  }
  if (refused.length > 0) throw new AggregateError(refused, `${refused.length} cases could not be started`);
  return started;
}
