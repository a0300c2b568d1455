/** Runs the jobs that transactions have added, and takes them back from workers that died with them. */
import { Logger, run } from 'graphile-worker';
import { Counter } from 'prom-client';
import { jobHandlers } from '../activities/jobs.ts';
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
const loggerOf = ({ log }: Engine): Logger =>
  new Logger((scope) => (level, message) => {
    const about = { job: scope.jobId, kind: scope.taskIdentifier };
    if (level === 'error') log.error(about, message);
    else if (level === 'warning') log.warn(about, message);
    else log.debug(about, message);
  });

/** Runs jobs until stopped. Its own connections: it holds one to listen on, which our pool's short time-outs would end. */
export async function startJobs(engine: Engine, connectionString: string): Promise<{ readonly stop: () => Promise<void> }> {
  const runner = await run({
    connectionString,
    concurrency: 4,
    pollInterval: 2000,
    noHandleSignals: true,
    taskList: jobHandlers(engine),
    logger: loggerOf(engine),
  });
  const count =
    (result: string) =>
    ({ job }: { readonly job: { readonly task_identifier: string } }) =>
      jobsRun.inc({ kind: job.task_identifier, result });
  runner.events.on('job:success', count('done'));
  runner.events.on('job:error', count('error'));
  runner.events.on('job:failed', count('dead'));
  let unlocking: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    unlocking = unlockJobs(engine.pool, unlockAfterMs).then(
      (dead) => {
        if (dead > 0) engine.log.info({ dead }, 'jobs of workers that died were given back');
      },
      // Postgres is away, most likely: the next one tries again.
      (error: unknown) => engine.log.warn({ err: error }, 'jobs could not be given back'),
    );
  }, unlockEveryMs);
  return {
    stop: async () => {
      clearInterval(timer);
      await unlocking;
      await runner.stop();
    },
  };
}
