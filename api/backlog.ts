/** What the engine has still to carry. New cases are taken on while it keeps up; decisions and events of cases that were taken on always are. */
import { setTimeout as pause } from 'node:timers/promises';
import { Gauge } from 'prom-client';
import { waitingForEngine } from '../db/backlog.ts';
import { retryIn } from './admission.ts';
import type { AppDeps, Seen } from './deps.ts';
import { Problem } from './problems.ts';

/** How late what is taken on now will be begun: up to the first everyone is let in, from the second on nobody is, between them some. */
const [lateMs, tooLateMs] = [2000, 6000] as const;
/** Whoever asks every second must not cost Temporal and Postgres a call each time. */
const lookEveryMs = 2000;
/** A count takes a few milliseconds; one that takes this long says nothing about now. */
const countMs = 1000;
/** What was seen longer ago than this says nothing about now. */
const holdsMs = 10_000;

export interface Load extends Seen {
  /** What came for cases, and cases, that the engine has not taken in; undefined while Postgres does not say. */
  readonly waiting: number | undefined;
  /** Of new cases, the share that is refused: 0 to 1. */
  readonly refuses: number;
}

export interface Backlog {
  /** What was seen at most two seconds ago. */
  look(): Promise<Load>;
  /** Throws the problem `backlogged` where a new case is not taken on. Asks nobody: it goes by the last look, and has the next one begin. */
  checkStart(): void;
}

export function createBacklog({ pool, delivery, backlogMost, log, metrics }: AppDeps): Backlog {
  let begun: { readonly at: number; readonly seen: Promise<Load> } | undefined;
  let last: { readonly at: number; readonly load: Load } | undefined;
  const behindGauge = new Gauge({
    name: 'kefu_engine_behind_seconds',
    help: 'How late what is taken on now will be begun; 0 in an outage, where nothing moves',
    registers: [metrics],
  });

  const temporalGauge = new Gauge({ name: 'kefu_temporal_up', help: 'Whether Temporal answers: 1 or 0', registers: [metrics] });
  const workerGauge = new Gauge({ name: 'kefu_worker_up', help: 'Whether a worker polls Temporal for cases: 1 or 0', registers: [metrics] });

  async function see(): Promise<Load> {
    const counting = waitingForEngine(pool, backlogMost + 1).catch(() => undefined);
    // Whoever asks for health is answered, however busy Postgres is.
    const [seen, counted] = await Promise.all([delivery.look(), Promise.race([counting, pause(countMs, undefined, { ref: false })])]);
    // Where nothing moves that is an outage, and no crowd: what comes is kept for the time after it.
    const behindMs = seen.moves ? Math.max(seen.behindMs, counted?.unstartedMs ?? 0) : 0;
    const share = Math.min(1, Math.max(0, (behindMs - lateMs) / (tooLateMs - lateMs)));
    const load = { ...seen, behindMs, waiting: counted?.waiting, refuses: (counted?.waiting ?? 0) > backlogMost ? 1 : share };
    last = { at: Date.now(), load };
    behindGauge.set(behindMs / 1000);
    temporalGauge.set(seen.temporal ? 1 : 0);
    workerGauge.set(seen.worker ? 1 : 0);
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
      // By lot: if everyone were let in until it is too much and then nobody, a crowd would come in at each change.
      if (last !== undefined && Date.now() - last.at < holdsMs && Math.random() < last.load.refuses)
        throw new Problem('backlogged', {}, { headers: { 'Retry-After': retryIn(2, 8) } });
    },
  };
}
