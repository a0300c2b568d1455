/** What Temporal and the workers say of a run: a workflow that could not be replayed shows in its history, and in the log of the worker that tried. */
import { readFileSync } from 'node:fs';
import { Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import { Client as Postgres } from 'pg';
import { z } from 'zod';

export interface Replays {
  readonly workflows: number;
  readonly events: number;
  /** Workflow tasks that failed, by cause. */
  readonly failed: ReadonlyMap<string, number>;
  readonly nonDeterminism: number;
}

const { EventType, WorkflowTaskFailedCause } = proto.temporal.api.enums.v1;
/** TMPRL1100 is the SDK's name for a history that the code does not fit. */
const saysSo = /TMPRL1100|[Nn]on-?[Dd]eterminis/;
const namespace = 'default';
/** So many histories are read at once. */
const readers = 8;

/** Reads the histories of all cases, and the workers' logs. */
export async function checkReplays(address: string, databaseUrl: string, logs: readonly string[]): Promise<Replays> {
  const connection = await Connection.connect({ address });
  const failed = new Map<string, number>();
  let [workflows, events, nonDeterminism] = [0, 0, 0];
  try {
    const queue = await workflowsOf(databaseUrl);
    const read = async (): Promise<void> => {
      for (let workflowId = queue.shift(); workflowId !== undefined; workflowId = queue.shift()) {
        workflows += 1;
        for (let token: Uint8Array | undefined; ;) {
          const page = await connection.workflowService.getWorkflowExecutionHistory({
            namespace,
            execution: { workflowId },
            ...(token === undefined ? {} : { nextPageToken: token }),
          });
          for (const event of page.history?.events ?? []) {
            events += 1;
            if (event.eventType !== EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED) continue;
            const cause = event.workflowTaskFailedEventAttributes?.cause ?? 0;
            const name = WorkflowTaskFailedCause[cause] ?? String(cause);
            failed.set(name, (failed.get(name) ?? 0) + 1);
            if (cause === WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR) nonDeterminism += 1;
          }
          if (page.nextPageToken === undefined || page.nextPageToken === null || page.nextPageToken.length === 0) break;
          token = page.nextPageToken;
        }
      }
    };
    await Promise.all(Array.from({ length: readers }, read));
  } finally {
    await connection.close();
  }
  for (const log of logs)
    nonDeterminism += readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => saysSo.test(line)).length;
  return { workflows, events, failed, nonDeterminism };
}

const rows = z.array(z.object({ id: z.string() }));

/** The case id is the workflow id. */
async function workflowsOf(databaseUrl: string): Promise<string[]> {
  const client = new Postgres({ connectionString: databaseUrl });
  await client.connect();
  try {
    return rows.parse((await client.query('select id from cases')).rows).map(({ id }) => id);
  } finally {
    await client.end();
  }
}
