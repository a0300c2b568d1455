import { expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const listed = [...read('../../docs/edge-cases.md').matchAll(/^- ((?:HT|EF|CL|IN)\d+): .+?(?: — (.+))?$/gm)].map(([, id = '', files = '']) => ({
  id,
  files: [...files.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file),
}));

test('the list of edge cases has every id once, without gaps', () => {
  const ids = (['HT', 'EF', 'CL', 'IN'] as const).flatMap((kind) =>
    Array.from({ length: { HT: 12, EF: 11, CL: 11, IN: 12 }[kind] }, (_, i) => `${kind}${i + 1}`),
  );
  expect(listed.map(({ id }) => id)).toEqual(ids);
});

test('every file that the list names for an edge case has a test of that name', () => {
  const named = listed.flatMap(({ id, files }) => files.map((file) => ({ id, file })));
  expect(named.length).toBeGreaterThan(30);
  const wanting = named.filter(
    ({ id, file }) => !new RegExp(`(?:test|describe|each)\\b[^\\n]*\\b${id}\\b|^\\s*['"\`].*\\b${id}\\b`, 'm').test(read(`../${file}`)),
  );
  expect(wanting).toEqual([]);
});
