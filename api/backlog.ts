/** What the engine has still to carry. New cases are taken on while it keeps up; decisions and events of cases that were taken on always are. */
import { setTimeout as pause } from 'node:timers/promises';
import { Gauge } from 'prom-client';
import { waitingForEngine } from '../db/backlog.ts';
import { retryIn } from './admission.ts';
import type { AppDeps, Seen } from './deps.ts';
import { Problem } from './problems.ts';

/** How late what is taken on now will be begun: up to the first all is well, from the second on nobody is let in, between them ever fewer. */
const [lateMs, tooLateMs] = [2000, 6000] as const;
/** Once all is well again, so many more are let in between two looks: what comes of one look is seen some looks later, and a crowd let in at once would be too much again. */
const moreEachLook = 2;
/** More than a process can take between two looks: no limit any more. */
const noLimit = 1000;
/** Refusals are spoken of for this long. */
const spokenOfMs = 5000;
/** Whoever asks every second must not cost Temporal and Postgres a call each time. */
const lookEveryMs = 2000;
/** A count takes a few milliseconds; one that takes this long says nothing about now. */
const countMs = 1000;
/** What was seen longer ago than this says nothing about now. */
const holdsMs = 10_000;

export interface Load extends Seen {
  /** What came for cases, and cases, that the engine has not taken in; undefined while Postgres does not say. */
  readonly waiting: number | undefined;
  /** Whether new cases are refused, some or all. */
  readonly refuses: boolean;
}

export interface Backlog {
  /** What was seen at most two seconds ago. */
  look(): Promise<Load>;
  /** Throws the problem `backlogged` where a new case is not taken on. Asks nobody: it goes by the last look, and has the next one begin. */
  checkStart(): void;
}

export function createBacklog({ pool, delivery, backlogMost, log, metrics }: AppDeps): Backlog {
  let begun: { readonly at: number; readonly seen: Promise<Load> } | undefined;
  /** So many are let in from one look to the next, and so many were; when it was looked, and somebody refused. */
  let [most, letIn, seenAt, refusedAt] = [Infinity, 0, -Infinity, -Infinity];
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
    const pressure = (counted?.waiting ?? 0) > backlogMost ? 1 : Math.min(1, Math.max(0, (behindMs - lateMs) / (tooLateMs - lateMs)));
    // Less by a share of what came in, more by a step: as TCP finds the pace that a line carries.
    if (pressure > 0) most = pressure < 1 ? Math.max(1, Math.floor(letIn * (1 - pressure))) : 0;
    else most = most + moreEachLook > noLimit ? Infinity : most + moreEachLook;
    [letIn, seenAt] = [0, performance.now()];
    behindGauge.set(behindMs / 1000);
    temporalGauge.set(seen.temporal ? 1 : 0);
    workerGauge.set(seen.worker ? 1 : 0);
    return { ...seen, behindMs, waiting: counted?.waiting, refuses: pressure > 0 || performance.now() - refusedAt < spokenOfMs };
  }

  function look(): Promise<Load> {
    if (begun === undefined || performance.now() - begun.at > lookEveryMs) begun = { at: performance.now(), seen: see() };
    return begun.seen;
  }

  return {
    look,
    checkStart() {
      // A look that fails is no reason to refuse anybody.
      look().catch((error: unknown) => log.warn({ error: error instanceof Error ? error.message : String(error) }, 'the backlog cannot be seen'));
      if (letIn < most || performance.now() - seenAt > holdsMs) {
        letIn += 1;
        return;
      }
      refusedAt = performance.now();
      throw new Problem('backlogged', {}, { headers: { 'Retry-After': retryIn(2, 8) } });
    },
  };
}
