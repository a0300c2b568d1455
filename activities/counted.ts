/**
 * What a worker counts, for Prometheus. Counts of one process: they begin at 0 with it, and `rate()` knows that. Labels are names that contracts, declarations and
 * policies fix; nothing of a case is ever one.
 */
import { Counter, Gauge, Histogram } from 'prom-client';

/** Each asking of a system, or of our own records: `ok`, `error` (one that the contract declares), or why there was no answer. */
export const effectTries = new Counter({
  name: 'kefu_effect_tries_total',
  help: 'Tries of effects, by what came of each',
  labelNames: ['system', 'operation', 'result'],
});
export const effectsDone = new Counter({
  name: 'kefu_effects_done_total',
  help: 'Effects whose answer was recorded, once each: ok, error (declared by the contract), entered (by a person)',
  labelNames: ['system', 'operation', 'result'],
});
export const effectSeconds = new Histogram({
  name: 'kefu_effect_try_seconds',
  help: 'How long a try of an effect took',
  labelNames: ['system'],
  buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25],
});
export const breakerOpen = new Gauge({
  name: 'kefu_breaker_open',
  help: 'Whether this worker leaves a system alone because it failed five times in a row: 1 or 0',
  labelNames: ['system'],
});
export const casesEnded = new Counter({
  name: 'kefu_cases_ended_total',
  help: 'Cases that ended, by status and by the result of their outcome',
  labelNames: ['process', 'status', 'result'],
});
export const rulesDecided = new Counter({
  name: 'kefu_rule_decisions_total',
  help: 'Decisions of rules',
  labelNames: ['process', 'rule'],
});
export const messagesSettled = new Counter({
  name: 'kefu_messages_total',
  help: 'Messages that were sent, held (marketing without consent or above its cap) or failed (no channel took it)',
  labelNames: ['result'],
});
export const clockNotices = new Counter({
  name: 'kefu_clock_notices_total',
  help: 'Warnings and escalations of clocks',
  labelNames: ['clock', 'kind'],
});
