/** What the engine has still to carry. New cases are taken on while it keeps up; decisions and events of cases that were taken on always are. */
import { Gauge } from 'prom-client';
import { waitingForEngine } from '../db/backlog.ts';
import { retryIn } from './admission.ts';
import type { AppDeps, Seen } from './deps.ts';
import { Problem } from './problems.ts';

/** A task of a case that has just been taken on would wait this long for a worker: people would decide and see nothing come of it. */
const behindMostMs = 5000;
/** Whoever asks every second must not cost Temporal and Postgres a call each time. */
const lookEveryMs = 2000;
/** What was seen longer ago than this says nothing about now. */
const holdsMs = 10_000;

export interface Load extends Seen {
  /** What came for cases, and cases, that the engine has not taken in; undefined while Postgres does not say. */
  readonly waiting: number | undefined;
  /** Whether new cases are taken on. */
  readonly takesStarts: boolean;
}

export interface Backlog {
  /** What was seen at most two seconds ago. */
  look(): Promise<Load>;
  /** Throws the problem `backlogged` while new cases are not taken on. Asks nobody: it goes by the last look, and has the next one begin. */
  checkStart(): void;
}

export function createBacklog({ pool, delivery, backlogMost, log, metrics }: AppDeps): Backlog {
  let begun: { readonly at: number; readonly seen: Promise<Load> } | undefined;
  let last: { readonly at: number; readonly load: Load } | undefined;

  const behindGauge = new Gauge({ name: 'kefu_engine_behind_seconds', help: 'How long a task waits for a worker, as Temporal has it', registers: [metrics] });

  const temporalGauge = new Gauge({ name: 'kefu_temporal_up', help: 'Whether Temporal answers: 1 or 0', registers: [metrics] });
  const workerGauge = new Gauge({ name: 'kefu_worker_up', help: 'Whether a worker polls Temporal for cases: 1 or 0', registers: [metrics] });

  async function see(): Promise<Load> {
    const [seen, waiting] = await Promise.all([delivery.look(), waitingForEngine(pool, backlogMost + 1).catch(() => undefined)]);
    const load = { ...seen, waiting, takesStarts: seen.behindMs <= behindMostMs && (waiting ?? 0) <= backlogMost };
    last = { at: Date.now(), load };
    temporalGauge.set(seen.temporal ? 1 : 0);
    workerGauge.set(seen.worker ? 1 : 0);
    behindGauge.set(seen.behindMs / 1000);
    return load;
  }

  function look(): Promise<Load> {
    if (begun === undefined || Date.now() - begun.at > lookEveryMs) begun = { at: Date.now(), seen: see() };
    return begun.seen;
  }

  return {
    look,
    checkStart() {
      // A look that fails is no reason to refuse anybody.
      look().catch((error: unknown) => log.warn({ error: error instanceof Error ? error.message : String(error) }, 'the backlog cannot be seen'));
      if (last !== undefined && !last.load.takesStarts && Date.now() - last.at < holdsMs)
        throw new Problem('backlogged', {}, { headers: { 'Retry-After': retryIn(2, 8) } });
    },
  };
}
