import { expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';

/** Ids and words, without the files that our own list names behind them. */
const cases = (path: string): string[] =>
  [...readFileSync(new URL(path, import.meta.url), 'utf8').matchAll(/^- ((?:HT|EF|CL|IN)\d+: .+?)(?: — `.+)?$/gm)].map(([, line = '']) => line);

test('the list of edge cases is the one that was agreed', () => {
  expect(cases('../../docs/edge-cases.md')).toEqual(cases('../../../shared/edge-cases.md'));
});
