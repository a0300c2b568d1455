/**
 * How much this process takes on at once. Whoever comes above that is told so at once, and when to come again: a request that waits until its sender has gone
 * is work for nobody, and costs those who still wait.
 */
import { bulkhead, isBulkheadRejectedError, wrap } from 'cockatiel';
import { Counter, Gauge, type Registry } from 'prom-client';
import { Problem } from './problems.ts';

export interface AdmissionLimits {
  /** Requests in work. Each holds one connection to Postgres at most. */
  readonly inWork: number;
  /** Requests that wait for their turn. */
  readonly waiting: number;
  /** For how long, at most; a second unless said. */
  readonly waitMs?: number;
}

/**
 * `start`: a new case. It gets half of the places at most, so that decisions, events and looks at cases that were taken on never stand behind a crowd at the
 * door. `upload`: it lasts as long as its sender's line needs, and holds a connection for moments only; it has places of its own.
 */
export type Kind = 'start' | 'upload' | 'other';

/** Longer than a turn takes to come when all is well, and shorter than people and proxies wait. */
const longestWaitMs = 1000;
/** Uploads under way: each holds a frame or two of 64 KB. */
const uploadsAtOnce = 64;
/** Refusals are spoken of for this long: whoever asks `/readyz` every few seconds learns of them. */
const spokenOfMs = 5000;

/** Seconds after which to try again: not the same for everyone, or those who were refused together would come back together. */
export const retryIn = (least: number, most: number): string => String(least + Math.floor(Math.random() * (most - least + 1)));

export interface Admission {
  /** Throws the problem `overloaded` where work of this kind would be refused now: before anything is spent on a request. */
  check(kind: Kind): void;
  /** Does the work when its turn comes. Throws the problem `overloaded` where there is no place to wait in, and after a second of waiting. */
  run<T>(kind: Kind, work: () => Promise<T>): Promise<T>;
  /** Whether somebody was refused within the last seconds. */
  readonly refusing: boolean;
}

export function createAdmission({ inWork, waiting, waitMs = longestWaitMs }: AdmissionLimits, metrics: Registry): Admission {
  const half = { inWork: Math.ceil(inWork / 2), waiting: Math.ceil(waiting / 2) };
  const all = bulkhead(inWork, waiting);
  const starts = bulkhead(half.inWork, half.waiting);
  const uploads = bulkhead(uploadsAtOnce);
  const places = { start: [starts, all], other: [all], upload: [uploads] } as const;
  const policies = { start: wrap(starts, all), other: all, upload: uploads } as const;
  let refusedAt = -Infinity;

  const gauge = new Gauge({
    name: 'kefu_http_requests_admitted',
    help: 'Requests that are in work, and that wait for their turn',
    labelNames: ['state'],
    registers: [metrics],
    collect: () => {
      gauge.set({ state: 'inWork' }, inWork - all.executionSlots);
      // A start that has a place among the starts and waits for one among all is one of those.
      gauge.set({ state: 'waiting' }, waiting - all.queueSlots + half.waiting - starts.queueSlots);
    },
  });
  const refused = new Counter({
    name: 'kefu_http_requests_refused_total',
    help: 'Requests that found no place, or whose turn did not come in time',
    labelNames: ['kind'],
    registers: [metrics],
  });

  function overloaded(kind: Kind): Problem {
    refusedAt = performance.now();
    refused.inc({ kind });
    return new Problem('overloaded', {}, { headers: { 'Retry-After': retryIn(1, 3) } });
  }

  return {
    check(kind) {
      if (places[kind].some((place) => place.executionSlots === 0 && place.queueSlots === 0)) throw overloaded(kind);
    },
    async run(kind, work) {
      const late = new AbortController();
      let timer: NodeJS.Timeout | undefined;
      // Its place in the queue stays taken until it would have been its turn: while nothing moves, nobody else is let in to wait.
      const tooLate = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => {
          late.abort();
          reject(overloaded(kind));
        }, waitMs);
      });
      const begin = () => {
        clearTimeout(timer);
        return work();
      };
      try {
        return await Promise.race([policies[kind].execute(begin, late.signal), tooLate]);
      } catch (error) {
        throw isBulkheadRejectedError(error) ? overloaded(kind) : error;
      } finally {
        clearTimeout(timer);
      }
    },
    get refusing() {
      return performance.now() - refusedAt < spokenOfMs;
    },
  };
}
