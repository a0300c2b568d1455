/** Leaves a system alone that does not answer, so that cases that need it stop holding workflow tasks at once. */
import { circuitBreaker, ConsecutiveBreaker, handleType, type CircuitBreakerPolicy, type IBackoff, type IBackoffFactory } from 'cockatiel';
import { SystemUnavailable } from '../systems/client.ts';

/** After so many failures in a row. */
const inARow = 5;
const leftAloneMs = 5000;

/**
 * How long a system is left alone, by a clock that nobody sets. The breaker compares the duration with the wall clock, and one that was an hour ahead when it
 * opened would keep it open for an hour once it is right again.
 */
const untilLeftAlone: IBackoffFactory<unknown> = {
  next(): IBackoff<unknown> {
    const until = performance.now() + leftAloneMs;
    return {
      get duration() {
        return performance.now() < until ? Infinity : -Infinity;
      },
      next: (context) => untilLeftAlone.next(context),
    };
  },
};

/** A breaker that only failures to answer open: a refusal is an answer. */
export const createBreaker = (): CircuitBreakerPolicy =>
  circuitBreaker(handleType(SystemUnavailable), { halfOpenAfter: untilLeftAlone, breaker: new ConsecutiveBreaker(inARow) });
