/** What no client library would send: broken HTTP, addresses and headers; cursors and ids by the hundred. */
import { gzipSync } from 'node:zlib';
import { casePath, forEach, type Attack, type Scene } from '../attack.ts';

const lines = (...all: readonly string[]): string => `${all.join('\r\n')}\r\n\r\n`;
/** A request for cases of the thief, with headers of one's own. */
const asThief = ({ thief }: Scene, ...headers: readonly string[]): string =>
  lines('GET /v1/cases HTTP/1.1', 'Host: a', `Authorization: Bearer ${thief.staff.agent.token}`, ...headers);

export const requests: Attack = {
  name: 'broken requests',
  tries: 'two lengths, a length and chunks, smuggled requests, folded and forged headers, floods of them, other versions and methods, no host',
  holds: 'refused or read one way, never as somebody else’s request',
  leaves: 'nothing',
  async run(probe, scene) {
    const { victim, thief } = scene;
    const note = casePath(victim.cases.review, '/notes');
    const token = `Authorization: Bearer ${victim.staff.agent.token}`;
    const smuggled = `${lines(`POST ${note} HTTP/1.1`, 'Host: a', token, 'Content-Type: application/json', 'Content-Length: 22')}{"words":"smuggled in"}`;
    const viewer = { shop: thief.shop, role: 'agent' } as const;
    const refused: readonly (readonly [string, string])[] = [
      ['two lengths', `${asThief(scene, 'Content-Length: 0', `Content-Length: ${smuggled.length}`).trimEnd()}\r\n\r\n${smuggled}`],
      ['a length twice in one', `${asThief(scene, `Content-Length: 0, ${smuggled.length}`).trimEnd()}\r\n\r\n${smuggled}`],
      ['a length and chunks', `${asThief(scene, `Content-Length: 5`, 'Transfer-Encoding: chunked').trimEnd()}\r\n\r\n0\r\n\r\n${smuggled}`],
      ['chunks and a length', `${asThief(scene, 'Transfer-Encoding: chunked', 'Content-Length: 5').trimEnd()}\r\n\r\n0\r\n\r\n${smuggled}`],
      ['an encoding nobody knows', asThief(scene, 'Transfer-Encoding: xchunked')],
      ['chunked, but not last', asThief(scene, 'Transfer-Encoding: chunked, identity')],
      ['a tab before the colon', asThief(scene, 'Transfer-Encoding\t: chunked')],
      ['a negative length', asThief(scene, 'Content-Length: -1')],
      ['a length in hexadecimal', asThief(scene, 'Content-Length: 0x10')],
      ['a length beyond all numbers', asThief(scene, 'Content-Length: 99999999999999999999999')],
      ['a folded header', asThief(scene, 'X-A: b', ' folded')],
      ['a header without a name', asThief(scene, ': x')],
      ['a NUL in a header', asThief(scene, 'X-A: a\u0000b')],
      ['a header of 64 KB', asThief(scene, `X-A: ${'a'.repeat(65_536)}`)],
      ['5,000 headers', asThief(scene, ...Array.from({ length: 5000 }, (_, i) => `X-${i}: a`))],
      ['an address of 100 KB', lines(`GET /v1/cases?customer=${'a'.repeat(100_000)} HTTP/1.1`, 'Host: a')],
      ['no host', lines('GET /v1/cases HTTP/1.1')],
      ['another version', lines('GET /v1/cases HTTP/3.7', 'Host: a')],
      ['no version', 'GET /v1/cases\r\n\r\n'],
      ['another protocol', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
      ['TLS', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003'],
      ['a method nobody knows', lines('PLEASE /v1/cases HTTP/1.1', 'Host: a')],
      ['a tunnel', lines('CONNECT 127.0.0.1:22 HTTP/1.1', 'Host: 127.0.0.1:22')],
      ['bare line feeds', `GET /v1/people HTTP/1.1\nHost: a\n${token}\n\n`],
      [
        'bad chunks',
        `${lines(`POST ${note} HTTP/1.1`, 'Host: a', token, 'Content-Type: application/json', 'Transfer-Encoding: chunked')}zz\r\n{"words":"x"}\r\n0\r\n\r\n`,
      ],
      [
        'a chunk of 2^64',
        `${lines(`POST ${note} HTTP/1.1`, 'Host: a', token, 'Content-Type: application/json', 'Transfer-Encoding: chunked')}ffffffffffffffffff\r\n{"words":"x"}`,
      ],
      ['a body that ends early', `${lines(`POST ${note} HTTP/1.1`, 'Host: a', token, 'Content-Type: application/json', 'Content-Length: 500')}{"words":"half`],
    ];
    await forEach(refused, async ([what, bytes]) => {
      const { statuses } = await probe.raw([bytes], { endAfter: true, viewer });
      probe.must(
        statuses.every((status) => status >= 400),
        `${what} was answered ${statuses.join(', ')}`,
      );
    });
    // Read one way: the first of what comes twice, and it is the thief that is answered.
    const twice = [
      asThief(scene, token),
      asThief(scene, 'Host: b', 'Host: c'),
      asThief(scene, 'Content-Type: application/json', 'Content-Type: text/html', 'Accept: a/b', 'Accept: */*'),
      asThief(scene, 'X-Request-Id: a\tb', 'X-Request-Id: c'),
      asThief(scene, 'Expect: 100-continue'),
      asThief(scene, 'Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABkAAQAAP__'),
      asThief(scene, 'Upgrade: websocket', 'Connection: Upgrade'),
      asThief(scene, 'Range: bytes=0-0,1-1,2-2,0-99999999', 'If-None-Match: *', 'If-Modified-Since: Mon, 01 Jan 2035 00:00:00 GMT'),
      asThief(scene, `Accept-Language: ${Array.from({ length: 1000 }, (_, i) => `x${i};q=0.${i}`).join(',')}`),
      asThief(scene, `Accept: ${Array.from({ length: 1000 }, (_, i) => `a/x${i};q=0.${i}`).join(',')}`),
    ];
    await forEach(twice, async (bytes) => {
      const { statuses } = await probe.raw([bytes], { forMs: 5000, endAfter: true, viewer });
      probe.must(statuses.length <= 1 || (statuses.length === 2 && statuses[0] === 100), `one request was answered ${statuses.join(', ')}`);
    });
    // 500 requests at once on one connection: each has its answer, in order, and no other.
    const health = lines('GET /healthz HTTP/1.1', 'Host: a');
    const { statuses } = await probe.raw([health.repeat(499), lines('GET /healthz HTTP/1.1', 'Host: a', 'Connection: close')], { forMs: 15_000 });
    probe.must(statuses.length === 500 && statuses.every((status) => status === 200), `500 requests in one packet had ${statuses.length} answers`);
    for (const method of ['TRACE', 'DELETE', 'PATCH', 'PUT', 'PROPFIND', 'SEARCH', 'HEAD'])
      for (const path of ['/v1/cases', casePath(victim.cases.review), '/healthz', '/c/x']) {
        const answer = await probe.ask({ method, path });
        probe.must(answer.status >= 400 || method === 'HEAD' || path === '/healthz', `${method} ${path} was answered ${answer.status}`);
      }
    for (const name of ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'])
      await probe.refused({ method: 'POST', path: '/v1/cases', as: thief.staff.manager, headers: { [name]: 'GET' }, body: {} }, 'methodNotAllowed');
  },
};

export const openDoors: Attack = {
  name: 'open doors',
  tries: 'what anybody may see: health, numbers, the document, its page, pages of problems',
  holds: 'nothing in it is of a shop, a customer or a machine',
  leaves: 'nothing',
  async run(probe, { operations }) {
    const open = operations.filter(({ secured, method, params }) => !secured && method === 'GET' && !params.includes('token'));
    probe.must(open.length >= 6, `the document has only ${open.length} operations for everybody`);
    for (const { path } of open)
      for (const file of ['start.js', 'swagger-ui.css', 'internal', 'constructor']) {
        const answer = await probe.ask({ path: path.replaceAll(/\{\w+\}/g, file) });
        probe.must(answer.status === 200 || answer.status === 404, `${path} was answered ${answer.status}`);
      }
  },
};

export const addresses: Attack = {
  name: 'addresses',
  tries: 'paths that climb, NUL, overlong and half characters, double encodings, long and strange ids and queries',
  holds: 'refused, and no file of the server is served',
  leaves: 'nothing',
  async run(probe, { thief }) {
    const as = thief.staff.manager;
    const climbing = [
      '../package.json',
      '..%2fpackage.json',
      '..%2F..%2Fpackage.json',
      '%2e%2e/%2e%2e/package.json',
      '..%5c..%5cpackage.json',
      '....//package.json',
      '%252e%252e%252fpackage.json',
      '..%c0%afpackage.json',
      '..%00/package.json',
      '/etc/passwd',
      '%2fetc%2fpasswd',
      'file:%2f%2f%2fetc%2fpasswd',
      '.env',
      '.git/config',
      'swagger-ui.css%00.js',
      'swagger-ui.css/..%2findex.js',
    ];
    await forEach(
      climbing.flatMap((path) => ['/', '/docs/', '/problems/', '/c/', '/v1/', '/v1/evidence/', '/v1/processes/'].map((root) => `${root}${path}`)),
      async (path) => {
        const answer = await probe.ask({ path, as });
        probe.must(answer.status >= 400 && !/root:x:0|"dependencies"|\[core\]/.test(answer.text), `${path} was answered ${answer.status}`, 'leak');
      },
    );
    const unreadable = ['%', '%zz', '%E0%A4%A', '%C0%AF', '%C1%81', '%ED%A0%80', '%F5%80%80%80', '%FF', '%00', 'a%00b', '%E2%82'];
    await forEach(
      unreadable.flatMap((id) => [
        `/v1/cases/${id}`,
        `/v1/tasks/${id}`,
        `/v1/cases?customer=${id}`,
        `/v1/evidence/${id}`,
        `/c/${id}`,
        `/v1/webhooks/${id}`,
        `/docs/${id}`,
      ]),
      (path) => probe.ask({ path, as }).then((answer) => probe.must([400, 404, 405].includes(answer.status), `${path} was answered ${answer.status}`)),
    );
    const strange = [
      '__proto__',
      'constructor',
      'toString',
      'hasOwnProperty',
      'null',
      'undefined',
      'NaN',
      '-1',
      '0',
      '%20',
      '*',
      "'",
      '%22',
      '%5C',
      '%EF%BB%BF',
      '%E2%80%AE',
      '%F0%9F%92%A9',
      'a'.repeat(501),
      'a'.repeat(1001),
      'a'.repeat(12_000),
      '%F0%9F%92%A9'.repeat(500),
    ];
    await forEach(
      strange.flatMap((id) => [
        `/v1/cases/${id}`,
        `/v1/cases/${id}/timeline`,
        `/v1/tasks/${id}`,
        `/v1/evidence/${id}`,
        `/v1/processes/${id}`,
        `/problems/${id}`,
        `/docs/${id}`,
        `/v1/c/${id}`,
      ]),
      (path) =>
        probe
          .ask({ path, as })
          .then((answer) => probe.must([400, 401, 404, 422].includes(answer.status), `${path.slice(0, 100)} was answered ${answer.status}`)),
    );
    const queries = [
      'limit=0',
      'limit=-1',
      'limit=1e999',
      'limit=NaN',
      'limit=1.5',
      'limit=99999999999999999999',
      'limit=1&limit=2',
      'limit[]=1',
      'limit[a]=1',
      '__proto__=x',
      '__proto__[limit]=1',
      'constructor[prototype][limit]=1',
      'status=none',
      'breached=perhaps',
      'nothing=1',
      `customer=${'a'.repeat(5000)}`,
      `process=${'a'.repeat(200)}`,
      'customer=a&customer=b',
      `a=${'1&a='.repeat(2000)}`,
    ];
    await forEach(queries, (query) =>
      probe
        .ask({ path: `/v1/cases?${query}`, as })
        .then((answer) => probe.must([400, 422].includes(answer.status), `?${query.slice(0, 100)} was answered ${answer.status}`)),
    );
  },
};

export const cursors: Attack = {
  name: 'cursors',
  tries: 'places in lists that nobody was given: of other lists, other shops, no dates, no numbers, SQL',
  holds: '400 or 422, or a page of the own shop',
  leaves: 'nothing',
  async run(probe, scene) {
    const { thief, victim } = scene;
    const cursor = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const first = (victim.cases.review as string).slice(0, 20);
    const tampered = [
      'x',
      '%00',
      '=',
      'a'.repeat(2000),
      'a'.repeat(2001),
      Buffer.from([0xff, 0xfe, 0x00]).toString('base64url'),
      ...[
        null,
        7,
        '',
        {},
        [],
        ['1'],
        ['1', 7],
        [1, 'x'],
        ['infinity', ''],
        ['-infinity', ''],
        ['now', ''],
        ["1' or '1'='1", ''],
        ['1', "x' or '1'='1"],
        ['1', '\u0000'],
        ['99999999999999999999', ''],
        ['999999999999999', ''],
        ['-1', ''],
        ['2026-02-31 00:00:00+00', ''],
        ['2026-13-01 00:00:00+00', ''],
        ['0000-00-00 00:00:00+00', ''],
        ['2026-11-23 10:00:00+99', ''],
        ['2026-11-23 10:00:00+00', first],
        ['9999-12-31 00:00:00+00', ''],
        ['0', first],
        { 0: '1', 1: 'x', length: 2 },
        ['1', 'x'.repeat(1000)],
        ['1', 'x'.repeat(1001)],
        ['__proto__', '__proto__'],
      ].map(cursor),
    ];
    const lists = ['/v1/cases', '/v1/tasks', '/v1/tasks?mine=true', '/v1/tasks?free=true', '/v1/people', casePath(thief.cases.review, '/timeline')];
    await forEach(
      lists.flatMap((list) => tampered.map((value) => `${list}${list.includes('?') ? '&' : '?'}cursor=${value}`)),
      async (path) => {
        const answer = await probe.ask({ path, as: thief.staff.manager });
        probe.must([200, 400, 422].includes(answer.status), `${path} was answered ${answer.status}`);
      },
    );
    await forEach(tampered, (value) => probe.ask({ path: `${casePath(victim.cases.review, '/timeline')}?cursor=${value}`, as: thief.staff.manager }));
  },
};

export const guesses: Attack = {
  name: 'guesses',
  tries: 'hundreds of ids that could be another shop’s: cases by order and number, photos and links by chance',
  holds: '404, all alike',
  leaves: 'nothing',
  async run(probe, { thief, victim, draw }) {
    const as = thief.staff.agent;
    const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_';
    const chance = (length: number): string => Array.from({ length }, () => letters[Math.floor(draw() * letters.length)]).join('');
    const cases = victim.orders.flatMap(({ orderId }) =>
      ['1', '2', `${victim.shop}-review`, `${victim.shop}-parcel`, chance(6)].map((request) => `return-exchange.${orderId}.${request}`),
    );
    await forEach(cases, (id) => probe.refused({ path: casePath(id), as }, 'caseNotFound'));
    await forEach(
      Array.from({ length: 200 }, () => chance(victim.evidence.length)),
      (id) => probe.refused({ method: 'POST', path: `/v1/evidence/${id}/look`, as, body: { why: 'enquiry' } }, 'evidenceNotFound'),
    );
  },
};

/** A body of a few KB that becomes one of many MB. */
const bomb = (): Buffer => gzipSync(Buffer.from(`{"words":"${'a'.repeat(20_000_000)}"}`));

/** What an answer may take, and weigh: refusing is not to cost more than asking. */
const mostMs = 5000;
const mostBytes = 300_000;

export const bodies: Attack = {
  name: 'bodies',
  tries: 'no JSON, other encodings, 100,000 levels, 5 MB, bombs, numbers beyond numbers, keys twice and of the language, a hundred thousand errors in one',
  holds: '400, 413, 415 or 422, within 5 s and in few words; others are answered meanwhile',
  leaves: 'nothing',
  async run(probe, { victim, thief }) {
    const as = victim.staff.agent;
    const path = casePath(victim.cases.review, '/notes');
    const post = async (body: Buffer | string, headers: Record<string, string> = {}, to = path, who = as): Promise<void> => {
      const began = Date.now();
      const answer = await probe.ask({ method: 'POST', path: to, as: who, headers, body });
      const what = `POST ${to.slice(0, 60)} ${body.toString('utf8').slice(0, 60)}… ${JSON.stringify(headers)}`;
      probe.must([400, 413, 415, 422, 403].includes(answer.status), `${what} was answered ${answer.status}`);
      probe.must(Date.now() - began < mostMs, `${what} took ${Date.now() - began} ms`);
      probe.must(answer.bytes.length < mostBytes, `${what} had an answer of ${answer.bytes.length} bytes`);
    };
    const nested = (open: string, close: string, depth: number): string => `${open.repeat(depth)}1${close.repeat(depth)}`;
    const malformed = [
      '{',
      '{"words":',
      '{"words":"x",}',
      "{'words':'x'}",
      '{words:"x"}',
      '{"words":NaN}',
      '{"words":"\\x41"}',
      '{"words":"a\u0000b"}',
      '{"words":"a\\u0000b"}',
      '{"words":"\\ud800"}',
      '{"words":"\\udc00\\ud800"}',
      'null',
      '[]',
      '""',
      '0',
      'true',
      '\u0000',
      '{"words":"x"}{"words":"y"}',
      '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    ];
    for (const body of malformed) await post(body);
    for (const depth of [1000, 10_000, 100_000]) {
      await post(nested('[', ']', depth).slice(0, 900_000));
      await post(`{"words":${nested('[', ']', depth)}}`);
      await post(nested('{"a":', '}', Math.min(depth, 100_000)));
      await post(`{"form":${nested('{"a":', '}', Math.min(depth, 100_000))}}`, {}, `/v1/tasks/${encodeURIComponent(victim.tasks.review)}/complete`);
      await post(`{"input":${nested('[', ']', depth)}}`, {}, '/v1/processes/return-exchange/cases');
      await post(`{"eventId":"deep","payload":${nested('[', ']', depth)}}`, {}, casePath(victim.cases.review, '/events/ownCourier'));
    }
    for (const size of [1_100_000, 5_000_000]) await post(`{"words":"${'a'.repeat(size)}"}`);
    await post(`{"words":"${'a'.repeat(900_000)}"}`);
    await post(bomb(), { 'content-encoding': 'gzip' });
    await post('not compressed', { 'content-encoding': 'gzip' });
    for (const encoding of ['br', 'deflate', 'compress', 'gzip, gzip', 'x']) await post('{"words":"x"}', { 'content-encoding': encoding });
    for (const type of [
      'text/plain',
      'text/html',
      'application/xml',
      'application/x-www-form-urlencoded',
      'multipart/form-data',
      'application/json; charset=utf-7',
      'application/json; charset=iso-8859-1',
      'application/json;',
      'application/jsonx',
      'application/merge-patch+json',
      '',
    ])
      await post(type === 'application/json;' ? '{' : '{"words":"x"}', { 'content-type': type });
    await post(Buffer.from('{"words":"x"}', 'utf16le'), { 'content-type': 'application/json; charset=utf-16le' });
    const keys = [
      '{"__proto__":{"words":"x"}}',
      '{"constructor":{"prototype":{"words":"x"}}}',
      '{"words":{"__proto__":"x"}}',
      '{"words":"x","words":7}',
      '{"words":["x"]}',
      '{"words":{"length":1}}',
      '{"words":"x","toString":1}',
      '{"Words":"x"}',
      '{"words":""}',
      '{"words":" \\u2028 "}',
    ];
    for (const body of keys) await post(body);
    const event = (freight: string): string => `{"eventId":"number","payload":{"trackingNo":"x","freight":{"minor":${freight},"currency":"CNY"}}}`;
    for (const number of [
      '1e999',
      '-1e999',
      '1e308',
      '1.5',
      '-1',
      '9007199254740993',
      '99999999999999999999999999',
      '"1"',
      'null',
      '[1]',
      '{"valueOf":1}',
      '0x10',
      '1_000',
      '+1',
      '.5',
      '01',
    ])
      await post(event(number), {}, casePath(victim.cases.parcel, '/events/ownCourier'), victim.staff.upstream);
    // The shop of another, hidden where only a careless reader looks.
    const { orderId, customer } = thief.orders[0] ?? { orderId: 'x', customer: 'x' };
    const input = {
      customer,
      orderId,
      requestId: 'proto',
      requestedAt: new Date().toISOString(),
      lines: [{ line: 1, quantity: 1 }],
      reason: 'quality',
      wish: 'refund',
    };
    const start = '/v1/processes/return-exchange/cases';
    await post(`{"input":${JSON.stringify(input).replace(/}$/, `,"__proto__":{"shop":"${thief.shop}"}}`)}}`, {}, start, thief.staff.upstream);
    await post(`{"__proto__":{"input":${JSON.stringify({ ...input, shop: thief.shop })}}}`, {}, start, thief.staff.upstream);
    // What is wrong a hundred thousand times over.
    const many = (item: string, n: number): string => `[${`${item},`.repeat(n - 1)}${item}]`;
    const wasKeys = `{${Array.from({ length: 50_000 }, (_, i) => `"key-${i}":0`).join(',')}}`;
    const costly: readonly (readonly [string, string])[] = [
      ['/v1/tasks/bulk', `{"ids":${many('1', 400_000)},"action":"claim"}`],
      ['/v1/tasks/bulk', `{"ids":${many('"x"', 200_000)},"action":"claim"}`],
      [start, `{"input":{"lines":${many('1', 400_000)}}}`],
      [start, `{"input":{"lines":${many('{}', 200_000)}}}`],
      [start, `{"input":{"evidence":${many('7', 400_000)}}}`],
      [start, `{"input":${wasKeys}}`],
      [path, wasKeys],
      [`/v1/tasks/${encodeURIComponent(victim.tasks.review)}/complete`, `{"form":{"decision":"approve",${wasKeys.slice(1)}}`],
      [path, `{"words":"x","${'k'.repeat(900_000)}":1}`],
    ];
    for (const [to, body] of costly) {
      const asked = post(body, {}, to);
      const began = Date.now();
      await probe.ask({ path: '/healthz' });
      probe.must(Date.now() - began < mostMs / 2, `${to} with ${body.slice(0, 60)}…: somebody else waited ${Date.now() - began} ms`);
      await asked;
    }
  },
};
