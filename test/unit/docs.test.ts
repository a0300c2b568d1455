/** The documents speak of files that exist. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { expect, test } from '@jest/globals';

const root = resolve(import.meta.dirname, '../..');
const documents = ['README.md', 'README.zh-CN.md', 'docs', 'cli/stack/README.md', 'systems/README.md'].flatMap((place) =>
  place.endsWith('.md')
    ? [place]
    : readdirSync(join(root, place), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.md'))
        .map((name) => join(place, name)),
);
/** Rooms at the top; a path in backticks that begins with one of them is meant as a file. */
const rooms =
  /^(?:workflows|activities|delivery|evidence|systems|values|keys|codec|db|policies|api|worker|cli|test|deploy|docs)\/[\w./-]+\.(?:ts|yaml|md|sql|json)$/;

test('every file that a document links to or names is there', () => {
  expect(documents.length).toBeGreaterThan(10);
  const wanting = documents.flatMap((document) => {
    const text = readFileSync(join(root, document), 'utf8');
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => resolve(root, dirname(document), target));
    const named = [...text.matchAll(/`([^`*<>]+)`/g)].flatMap(([, path = '']) => (rooms.test(path) ? [join(root, path)] : []));
    return [...links, ...named].filter((file) => !existsSync(file)).map((file) => `${document}: ${file.slice(root.length + 1)}`);
  });
  expect(wanting).toEqual([]);
});
