/** Runs the jobs that transactions have added, and takes them back from workers that died with them. */
import { EventEmitter } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { Logger, run, type Runner, type TaskList, type WorkerEvents } from 'graphile-worker';
import { Counter } from 'prom-client';
import type { Engine } from '../activities/context.ts';
import { unlockJobs } from '../db/jobs.ts';

/** Longer than a job of ours takes when all is well; one that takes longer runs twice, under the same keys. */
const unlockAfterMs = 30_000;
/** A message or a clock's point of a worker that was killed comes within a minute. */
const unlockEveryMs = 10_000;

const jobsRun = new Counter({
  name: 'kefu_jobs_total',
  help: 'Tries of jobs: done, error (tried again later), dead (not tried again)',
  labelNames: ['kind', 'result'],
});

/** The queue's own log in ours: a line for each job that it begins and ends is for who looks for a fault. */
const loggerOf = (log: Engine['log']): Logger =>
  new Logger((scope) => (level, message) => {
    const about = { job: scope.jobId, kind: scope.taskIdentifier };
    if (level === 'error') log.error(about, message);
    else if (level === 'warning') log.warn(about, message);
    else log.debug(about, message);
  });

const count =
  (result: string) =>
  ({ job }: { readonly job: { readonly task_identifier: string } }): void =>
    jobsRun.inc({ kind: job.task_identifier, result });

/** Between two tries to begin anew while Postgres is away. */
const beginEveryMs = 1000;

/**
 * Runs jobs until stopped. Its own connections: it holds one to listen on, which our pool's short time-outs would end.
 * A worker of graphile-worker's that cannot give back its job, because Postgres has just gone away, ends for good, and none takes its place: after an outage
 * no message would be sent any more. So all of them are begun anew then; those that still work at a job finish it first.
 */
export async function startJobs(
  { pool, log }: Pick<Engine, 'pool' | 'log'>,
  connectionString: string,
  taskList: TaskList,
): Promise<{ readonly stop: () => Promise<void> }> {
  const stopping = new AbortController();
  const begin = async (): Promise<Runner> => {
    const events: WorkerEvents = new EventEmitter();
    events.on('job:success', count('done'));
    events.on('job:error', count('error'));
    events.on('job:failed', count('dead'));
    events.once('worker:fatalError', () => {
      renewing = renewing.then(renew);
    });
    const begun = await run({
      connectionString,
      concurrency: 4,
      pollInterval: 2000,
      noHandleSignals: true,
      taskList,
      logger: loggerOf(log),
      events,
    });
    // Why it ended is in its log; what it left is given back below.
    begun.promise.catch(() => undefined);
    return begun;
  };
  const end = async (one: Runner): Promise<void> => {
    try {
      await one.stop();
    } catch (error) {
      log.warn({ err: error }, 'a job runner did not end cleanly');
    }
  };
  const renew = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        const next = await begin();
        const before = runner;
        runner = next;
        log.info('jobs are run anew, after Postgres was away');
        await end(before);
        return;
      } catch (error) {
        log.warn({ err: error }, 'jobs cannot be run yet');
        await pause(beginEveryMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
  };
  let renewing: Promise<void> = Promise.resolve();
  let runner = await begin();
  let unlocking: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    unlocking = unlockJobs(pool, unlockAfterMs).then(
      (dead) => {
        if (dead > 0) log.info({ dead }, 'jobs of workers that died were given back');
      },
      // Postgres is away, most likely: the next one tries again.
      (error: unknown) => log.warn({ err: error }, 'jobs could not be given back'),
    );
  }, unlockEveryMs);
  return {
    stop: async () => {
      stopping.abort();
      clearInterval(timer);
      await unlocking;
      await renewing;
      await end(runner);
    },
  };
}
