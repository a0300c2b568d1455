/** What our Postgres' errors mean to who waits for it. */
import { expect, test } from '@jest/globals';
import { isAway, refusalCode } from '../../db/pool.ts';

const failure = (code: string): Error => Object.assign(new Error('said by Postgres'), { code });

test.each([
  ['53100', 'its disk is full'],
  ['53300', 'it has no connection left'],
  ['57P01', 'it is shut down'],
  ['08006', 'the connection broke'],
  ['ECONNREFUSED', 'nobody listens'],
])('%s: it is away, and comes back (%s)', (code) => {
  expect(isAway(failure(code))).toBe(true);
  expect(refusalCode(failure(code))).toBeUndefined();
});

test.each([
  ['22P05', 'a value that it cannot hold'],
  ['23514', 'a constraint'],
])('%s: it refuses what it was given, for ever (%s)', (code) => {
  expect(isAway(failure(code))).toBe(false);
  expect(refusalCode(failure(code))).toBe(code);
});
