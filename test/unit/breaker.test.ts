import { afterEach, expect, jest, test } from '@jest/globals';
import { BrokenCircuitError, circuitBreaker, ConsecutiveBreaker, handleAll, type CircuitBreakerPolicy } from 'cockatiel';
import { createBreaker } from '../../activities/breaker.ts';
import { SystemRefused, SystemUnavailable } from '../../systems/client.ts';

afterEach(() => void jest.restoreAllMocks());

const away = (): Promise<never> => Promise.reject(new SystemUnavailable('bench.grab', 'away'));
const there = () => Promise.resolve('an answer');
async function fail(breaker: CircuitBreakerPolicy, times: number): Promise<void> {
  for (let n = 0; n < times; n++) await expect(breaker.execute(away)).rejects.toThrow(SystemUnavailable);
}
/** The monotonic clock, so many milliseconds on. */
function later(ms: number): void {
  const now = performance.now();
  jest.spyOn(performance, 'now').mockImplementation(() => now + ms);
}

test('after five failures in a row a system is left alone for five seconds, and then asked again', async () => {
  const breaker = createBreaker();
  await fail(breaker, 4);
  expect(await breaker.execute(there)).toBe('an answer');
  await fail(breaker, 5);
  await expect(breaker.execute(there)).rejects.toThrow(BrokenCircuitError);
  later(4900);
  await expect(breaker.execute(there)).rejects.toThrow(BrokenCircuitError);
  later(200);
  // Still away: it is left alone once more.
  await fail(breaker, 1);
  await expect(breaker.execute(there)).rejects.toThrow(BrokenCircuitError);
  later(5100);
  expect(await breaker.execute(there)).toBe('an answer');
  expect(await breaker.execute(there)).toBe('an answer');
});

test('a refusal is an answer: it leaves nobody alone', async () => {
  const breaker = createBreaker();
  for (let n = 0; n < 20; n++)
    await expect(breaker.execute(() => Promise.reject(new SystemRefused('bench.grab', 409, 'soldOut', undefined)))).rejects.toThrow(SystemRefused);
});

test.each([
  ['the engine’s breaker', createBreaker, true],
  // What a breaker does that goes by the wall clock.
  ['one with a plain duration', () => circuitBreaker(handleAll, { halfOpenAfter: 5000, breaker: new ConsecutiveBreaker(5) }), false],
])('when the wall clock was an hour ahead and is right again, %s asks again after five seconds: %#', async (_, create, asks) => {
  const breaker = create();
  const ahead = Date.now() + 3_600_000;
  const wall = jest.spyOn(Date, 'now').mockImplementation(() => ahead);
  await fail(breaker, 5);
  wall.mockRestore();
  later(5100);
  const answer: unknown = await breaker.execute(there).catch((error: unknown) => error);
  expect(answer === 'an answer').toBe(asks);
  expect(answer instanceof BrokenCircuitError).toBe(!asks);
});
