import { describe, expect, test } from '@jest/globals';
import { help, readArguments } from '../../cli/rolling.ts';

describe('the arguments of rolling', () => {
  test('have their usual values', () => {
    expect(readArguments([])).toEqual({ restore: false, seed: 1, rounds: 1 });
    expect(readArguments(['--help'])).toBe('help');
  });

  test('are all in the help', () => {
    for (const name of ['--restore', '--cases', '--seed', '--rounds', '--data', '--help']) expect(help).toContain(name);
  });

  test.each([
    [['--cases', '0'], '--cases is at least 1'],
    [['--cases', 'many'], '--cases is a number'],
    [['--rounds', '21'], '--rounds is at most 20'],
    [['--seed', '1.5'], '--seed is a whole number'],
    [['--what'], "Unknown option '--what'"],
  ])('%j are refused: %s', (argv, words) => {
    expect(() => readArguments(argv)).toThrow(words);
  });
});
