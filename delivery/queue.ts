/** What waits in Temporal for a worker. */
import type { Client } from '@temporalio/client';
import { taskQueue } from '../workflows/kit/protocol.ts';
import { callDeadline } from './temporal.ts';

/** As Temporal numbers them: workflow tasks and activities. */
const kinds = [1, 2] as const;

export interface QueueSeen {
  /** Workers that have asked for tasks of cases within the last minutes. */
  readonly pollers: number;
  /** Tasks that no worker has taken yet, without those of cases that a worker has in its memory: they wait seconds at most, and are then among these. */
  readonly waiting: number;
  /** How long such a task waits at the pace of the last half minute; 0 where nothing is taken at all. */
  readonly behindMs: number;
}

/** Throws when Temporal does not answer. */
export async function lookAtQueue(temporal: Client, namespace: string): Promise<QueueSeen> {
  const answers = await temporal.withDeadline(callDeadline(), () =>
    Promise.all(
      kinds.map((taskQueueType) => temporal.workflowService.describeTaskQueue({ namespace, taskQueue: { name: taskQueue }, taskQueueType, reportStats: true })),
    ),
  );
  const stats = answers.map(({ stats: of }) => ({ waiting: Number(of?.approximateBacklogCount ?? 0), perSecond: of?.tasksDispatchRate ?? 0 }));
  return {
    pollers: answers[0]?.pollers?.length ?? 0,
    waiting: stats.reduce((so, of) => so + of.waiting, 0),
    behindMs: Math.max(...stats.map(({ waiting, perSecond }) => (perSecond > 0 ? Math.round((waiting / perSecond) * 1000) : 0))),
  };
}
