/** What waits in Temporal for a worker. */
import type { Client } from '@temporalio/client';
import { optionalTsToMs } from '@temporalio/common/lib/time.js';
import { taskQueue } from '../workflows/kit/protocol.ts';
import { callDeadline } from './temporal.ts';

/** As Temporal numbers them: workflow tasks and activities. */
const kinds = [1, 2] as const;

export interface QueueSeen {
  /** Workers that have asked for tasks of cases within the last minutes. */
  readonly pollers: number;
  /** Tasks that no worker has taken yet, without those of cases that a worker has in its memory: they wait seconds at most, and are then among these. */
  readonly waiting: number;
  /** How long the oldest of them has waited. */
  readonly oldestMs: number;
  /** Something was taken within the last half minute. */
  readonly moves: boolean;
}

/** Throws when Temporal does not answer. */
export async function lookAtQueue(temporal: Client, namespace: string): Promise<QueueSeen> {
  const answers = await temporal.withDeadline(callDeadline(), () =>
    Promise.all(
      kinds.map((taskQueueType) => temporal.workflowService.describeTaskQueue({ namespace, taskQueue: { name: taskQueue }, taskQueueType, reportStats: true })),
    ),
  );
  const waiting = answers.map(({ stats }) => Number(stats?.approximateBacklogCount ?? 0));
  return {
    pollers: answers[0]?.pollers?.length ?? 0,
    waiting: waiting.reduce((so, n) => so + n, 0),
    // An empty queue has no oldest one, whatever age it says.
    oldestMs: Math.max(...answers.map(({ stats }, i) => (waiting[i] === 0 ? 0 : (optionalTsToMs(stats?.approximateBacklogAge) ?? 0)))),
    moves: answers.some(({ stats }) => (stats?.tasksDispatchRate ?? 0) > 0),
  };
}
