import { expect, test } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const many = { HT: 12, EF: 11, CL: 11, IN: 12 } as const;
const listed = new Map(
  [...read('../../docs/edge-cases.md').matchAll(/^- ((?:HT|EF|CL|IN)\d+): .+?(?: — (.+))?$/gm)].map(([, id = '', files = '']) => [
    id,
    [...files.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file),
  ]),
);

/** The ids that the names of a file's tests hold. A name is one line: a string behind `test(`, `describe(` or `each(…)(`, or alone on a line of its own. */
function named(file: string): string[] {
  const names = read(`../${file}`)
    .split('\n')
    .filter((line) => /\b(?:test|describe|each)\b.*['"`]|^\s*['"`].*['"`],?$/.test(line) && !/^\s*(?:\/\/|\*|import\b)/.test(line));
  return [...new Set(names.flatMap((name) => [...name.matchAll(/\b(?:HT|EF|CL|IN)\d+\b/g)].map(([id]) => id)))];
}

const files = readdirSync(new URL('..', import.meta.url), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts') && file !== 'unit/edge-cases.test.ts')
  .toSorted();
const idsOf = new Map(files.map((file) => [file, named(file)]));
const holders = (id: string): string[] => files.filter((file) => idsOf.get(file)?.includes(id));

test('the list of edge cases has every id once, without gaps', () => {
  const ids = (['HT', 'EF', 'CL', 'IN'] as const).flatMap((kind) => Array.from({ length: many[kind] }, (_, i) => `${kind}${i + 1}`));
  expect([...listed.keys()]).toEqual(ids);
});

test('every edge case has a test of its name', () => {
  expect([...listed.keys()].filter((id) => holders(id).length === 0)).toEqual([]);
});

test('the list names, for each edge case, the files whose tests are named after it, and no others', () => {
  expect(Object.fromEntries(listed)).toEqual(Object.fromEntries([...listed.keys()].map((id) => [id, holders(id)])));
});

test('no test is named after an edge case that the list does not have', () => {
  expect([...idsOf.values()].flat().filter((id) => !listed.has(id))).toEqual([]);
});
