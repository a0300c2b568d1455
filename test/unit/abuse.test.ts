/** What `npm run abuse` would notice: each of its eyes sees what it is for, and nothing else. */
import { describe, expect, test } from '@jest/globals';
import { attacks } from '../../cli/abuse/attacks.ts';
import { addressOf, operationsOf, textsIn, withAt } from '../../cli/abuse/document.ts';
import { changes } from '../../cli/abuse/fingerprint.ts';
import { leaksIn, type Canary, type Viewer } from '../../cli/abuse/leaks.ts';

const canary: Canary = { text: 'words-of-mingxi', what: 'words', seenBy: (viewer: Viewer) => viewer.shop === 'mingxi' };
const leaks = (text: string, more: { sent?: string; headers?: Record<string, string>; viewer?: Viewer } = {}) =>
  leaksIn({ sent: more.sent ?? '', headers: more.headers ?? {}, text }, more.viewer ?? {}, [canary]);

describe('an answer gives away', () => {
  test.each([
    ["another shop's words", '{"words":"words-of-mingxi"}'],
    ['a stack trace', 'Error\n    at run (/srv/kefu/api/app.ts:12:3)'],
    ['a path', 'no such file /srv/node_modules/express/index.js'],
    ['SQL', 'select id from cases where id = 1'],
    ["Postgres's own words", 'duplicate key value violates unique constraint "cases_pkey"'],
    ['an error of a library', 'TypeError: x is not a function'],
    ['a version', 'nodejs_version_info{version="v20.19.0"}'],
  ])('%s', (_, text) => {
    expect(leaks(text)).not.toEqual([]);
  });

  test('what stands in its headers', () => {
    expect(leaks('', { headers: { location: '/words-of-mingxi' } })).toEqual(['words']);
    expect(leaks('', { headers: { 'x-powered-by': 'somebody' } })).toHaveLength(1);
  });

  test('nothing to who may see it, nothing that was sent, and nothing where all is well', () => {
    expect(leaks('words-of-mingxi', { viewer: { shop: 'mingxi' } })).toEqual([]);
    expect(leaks('there is no words-of-mingxi', { sent: 'GET /v1/cases/words-of-mingxi' })).toEqual([]);
    expect(leaks('Select a photo or a video from your phone. An update is on its way at 12:30:10.')).toEqual([]);
  });
});

describe('what an attack has left', () => {
  const print = (rows: Record<string, number>) => new Map([['cases', new Map(Object.entries(rows))]]);

  test('is every row that is not as it was, and every new one', () => {
    expect(changes(print({ a: 1, b: 2 }), print({ a: 1, b: 2 }), 'nothing')).toEqual([]);
    expect(changes(print({ a: 1, b: 2 }), print({ a: 1, b: 1, c: 1 }), 'nothing')).toEqual([{ table: 'cases', gone: 1, come: 1 }]);
    expect(changes(print({ a: 1 }), new Map(), 'nothing')).toEqual([{ table: 'cases', gone: 1, come: 0 }]);
  });

  test('may be rows of its own, where what it sends is of a kind that is taken', () => {
    expect(changes(print({ a: 1 }), print({ a: 1, c: 3 }), 'rows')).toEqual([]);
    expect(changes(print({ a: 1 }), print({ c: 3 }), 'rows')).toEqual([{ table: 'cases', gone: 1, come: 0 }]);
  });
});

test('of a document every alternative of a body is made, and every place of a text is found', () => {
  const [operation] = operationsOf({
    components: {
      schemas: {
        Way: {
          anyOf: [
            { type: 'object', properties: { by: { const: 'post' }, to: { type: 'string' } } },
            { type: 'object', properties: { at: { type: 'array', items: { type: 'string' } } } },
          ],
        },
      },
    },
    paths: {
      '/v1/cases/{id}/send': {
        post: {
          operationId: 'send',
          security: [{ token: [] }],
          parameters: [{ name: 'id', in: 'path', schema: { type: 'string' } }],
          requestBody: { content: { 'application/json': { schema: { type: 'object', properties: { way: { $ref: '#/components/schemas/Way' } } } } } },
        },
      },
    },
  });
  expect(operation).toMatchObject({ id: 'send', method: 'POST', secured: true, bodies: [{ way: { by: 'post' } }, { way: { at: [expect.any(String)] } }] });
  expect(operation && addressOf(operation, { id: 'a/b' })).toBe('/v1/cases/a%2Fb/send');
  const [first, second] = operation?.bodies ?? [];
  expect(textsIn(first)).toEqual([
    ['way', 'by'],
    ['way', 'to'],
  ]);
  expect(withAt(second, textsIn(second)[0] ?? [], 'x')).toEqual({ way: { at: ['x'] } });
});

test('each attack has a name of its own and says what it tries and what has to hold', () => {
  expect(new Set(attacks.map(({ name }) => name)).size).toBe(attacks.length);
  for (const { tries, holds } of attacks) expect([tries.length > 20, holds.length > 2]).toEqual([true, true]);
});
