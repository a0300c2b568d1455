/** The handlers of jobs that our transactions add: run by the worker, once each, retried with growing pauses until they succeed. */
import { ApplicationFailure } from '@temporalio/common';
import type { TaskList } from 'graphile-worker';
import { z } from 'zod';
import { findEffect } from '../db/effects.ts';
import type { Jobs } from '../db/jobs.ts';
import { note } from '../db/timeline.ts';
import type { CaseId } from '../values/ids.ts';
import { clockDue } from './clock-log.ts';
import type { Engine } from './context.ts';
import { runEffect } from './effects.ts';
import { sendMessage } from './outbox.ts';

const messageJob = z.object({ id: z.string() });
const clockJob = z.object({ caseId: z.string(), clock: z.string() });
const redoJob = z.object({ caseId: z.string(), path: z.string() });

export function jobHandlers(engine: Engine): TaskList {
  return {
    'send-message': (payload) => sendMessage(engine, messageJob.parse(payload).id),
    'clock-due': async (payload) => {
      const { caseId, clock } = clockJob.parse(payload);
      await clockDue(engine, caseId as CaseId, clock);
    },
    'redo-effect': async (payload) => {
      const { caseId, path } = redoJob.parse(payload);
      await redo(engine, caseId as CaseId, path);
    },
  } satisfies Record<keyof Jobs, TaskList[string]>;
}

/** Sends a recorded effect again, on purpose, under a key of its own: `label#2`. The row of the new key says that it happened; the case goes on as it was. */
async function redo(engine: Engine, of: CaseId, path: string): Promise<void> {
  const original = await findEffect(engine.pool, of, path.replace(/#\d+$/, ''));
  if (original === undefined) throw new Error(`effect ${path} of ${of} was never recorded`);
  const { system, operation, args } = original;
  try {
    await runEffect(engine, { case: of, pending: { order: 0 }, path, system, operation, args });
  } catch (error) {
    if (!(error instanceof ApplicationFailure) || error.nonRetryable !== true) throw error;
    // Another try would not change it. The timeline says so, and whoever still wants it asks again, under the next key.
    await note(engine.pool, of, `redo:${path}:failed`, 'redoFailed', { system, operation, path, failure: error.type });
  }
}
