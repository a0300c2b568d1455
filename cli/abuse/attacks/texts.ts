/** Strings that are code to somebody, in every text of every operation; and what is shown of them. */
import { z } from 'zod';
import { access, type OperationId } from '../../../api/access.ts';
import { casePath, forEach, type Attack, type Playground, type Scene } from '../attack.ts';
import { addressOf, textsIn, withAt, type Operation } from '../document.ts';
import { nobody, type Answer, type Asked, type Probe, type Who } from '../probe.ts';

/** Well-formed text, every one of them: what somebody may have written. */
const texts: readonly string[] = [
  // Unicode
  '\u202E\u2066txt.exe\u2069',
  '\u200B\u200D\uFEFF\u2060x',
  '👩‍👩‍👧‍👦🏳️‍🌈',
  'Z\u0351\u036B\u0343\u036A\u0302a\u0363\u0367lgo',
  '\u{1F4A9}'.repeat(50),
  'ﷺ'.repeat(50),
  'İıſK',
  'e\u0301 é ﬁ ㎏',
  '\uFFFE\uFFFF\u{10FFFF}',
  '\u0001\u0008\u001B[31m\u007F\u0085',
  '\u2028\u2029',
  ' ',
  '',
  'x'.repeat(5000),
  // SQL
  "' or '1'='1' --",
  "'; drop table cases; --",
  '1); truncate tasks cascade; --',
  "$1 $2 :x ?::text \\' E'\\\\'",
  "' union all select null --",
  // HTML and templates
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "'-alert(1)-'",
  '</title></textarea><svg/onload=alert(1)>',
  'javascript:alert(1)',
  '{{7*7}} ${7*7} #{7*7} <%= 7*7 %> {order} {link} {__proto__}',
  '%s %n %x {0} %00',
  // Headers, logs, paths, shells, spreadsheets
  'a\r\nSet-Cookie: abuse=1\r\n\r\n<html>',
  'a\n{"level":60,"msg":"forged line"}',
  '../../../../etc/passwd',
  '..\\..\\windows\\win.ini',
  '`id` $(id) ; id | id && id',
  '=HYPERLINK("http://evil.example","x")',
  "@SUM(1+1)*cmd|' /C calc'!A0",
  // Names of the language
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'null',
  '{"$gt":""}',
  '-0',
  '1e999',
];
/** No text at all: half characters and NUL, which Postgres cannot keep. */
const halves = ['a\u0000b', '\uD800', 'a\uDC00b', '\uDC00\uD800'];

function whoMay(operation: Operation, { thief }: Scene): Who {
  const rule = access[operation.id as OperationId];
  if (typeof rule === 'string') return nobody;
  const role = (['manager', 'supervisor', 'agent', 'upstream'] as const).find((one) => (rule as readonly string[]).includes(one));
  return role === undefined ? nobody : thief.staff[role];
}

/** Right ids for every parameter, of a case that may be played with. */
const idsOf = (operation: Operation, play: Playground): Readonly<Record<string, string>> => ({
  id: operation.path.startsWith('/v1/tasks') ? play.task : operation.path.startsWith('/v1/people') ? 'played-with' : play.case,
  evidence: play.evidence,
  link: play.linkId,
  token: play.link,
  process: 'return-exchange',
  event: 'ownCourier',
  effect: 'order',
  source: 'finance',
  file: 'start.js',
  code: 'internal',
  task: 'review-1/review',
});

interface Spot {
  readonly what: string;
  readonly ask: (text: string) => Asked;
}

/** An address with a text in it, percent-encoded; half a character has no encoding, so its bytes are written as they would be. */
const encoded = (text: string): string =>
  text
    .split('')
    .every(
      (sign, i, all) =>
        !/[\uD800-\uDFFF]/.test(sign) ||
        /[\uD800-\uDBFF][\uDC00-\uDFFF]/.test(`${all[i - 1] ?? ''}${sign}`) ||
        /[\uD800-\uDBFF][\uDC00-\uDFFF]/.test(`${sign}${all[i + 1] ?? ''}`),
    )
    ? encodeURIComponent(text)
    : '%ED%A0%80';

/** Every place of an operation where a text stands: its parameters, its query, each text of each kind of body, and the name of a field. */
function spotsOf(operation: Operation, scene: Scene, play: Playground): readonly Spot[] {
  const { method, bodyType, params, query } = operation;
  const as = operation.params.includes('token') ? { name: 'a customer', viewer: { case: play.case } } : whoMay(operation, scene);
  const ids = idsOf(operation, play);
  const form = bodyType === 'application/x-www-form-urlencoded';
  const asked = (path: string, body: unknown): Asked => ({
    method,
    path,
    as,
    ...(body === undefined
      ? {}
      : form
        ? { headers: { 'content-type': bodyType }, body: new URLSearchParams(body as Record<string, string>).toString() }
        : { body: body as object }),
  });
  const path = addressOf(operation, ids);
  // Of the own shop, so that what is wrong is the text alone.
  const bodies = operation.bodies.map((body) =>
    textsIn(body).reduce<unknown>((so, at) => (at.at(-1) === 'shop' ? withAt(so, at, scene.thief.shop) : so), body),
  );
  const seen = new Set<string>();
  return [
    // A link's own text is its secret; the attack on links changes it.
    ...params
      .filter((name) => name !== 'token')
      .map((name): Spot => ({
        what: `path.${name}`,
        ask: (text) =>
          asked(
            operation.path.replaceAll(/\{(\w+)\}/g, (_, of: string) => (of === name ? encoded(text) : encodeURIComponent(ids[of] ?? 'x'))),
            bodies[0],
          ),
      })),
    ...Object.keys(query).map((name): Spot => ({ what: `query.${name}`, ask: (text) => asked(`${path}?${name}=${encoded(text)}`, bodies[0]) })),
    ...bodies.flatMap((body) =>
      textsIn(body).flatMap((at): Spot[] => {
        const what = at.map((key) => (typeof key === 'number' ? '*' : key)).join('.');
        // Alternatives have fields in common.
        if (seen.has(what)) return [];
        seen.add(what);
        return [{ what, ask: (text) => asked(path, withAt(body, at, text)) }];
      }),
    ),
    ...bodies.slice(0, 1).map((body): Spot => ({ what: 'the name of a field', ask: (text) => asked(path, { ...(body as object), [text]: 'x' }) })),
  ];
}

const looked = z.object({ words: z.array(z.object({ words: z.record(z.string(), z.unknown()).nullable() })) });

export const everyText: Attack = {
  name: 'texts',
  tries: 'strings of SQL, HTML, templates, headers, logs, paths, shells and all of Unicode, in every text of every operation, by somebody who may',
  holds: 'kept letter by letter or refused; nothing that was there changes',
  leaves: 'rows',
  async run(probe, scene) {
    const play = await scene.playground();
    const spots = scene.operations.flatMap((operation) => spotsOf(operation, scene, play));
    probe.must(spots.length > 80, `the document has only ${spots.length} places for a text`);
    await forEach(
      spots.flatMap((spot) => [...texts, ...halves].map((text) => ({ spot, text }))),
      async ({ spot, text }) => {
        const asked = spot.ask(text);
        const answer = await probe.ask(asked);
        const of = `${asked.method ?? 'GET'} ${asked.path.slice(0, 120)} with ${JSON.stringify(text).slice(0, 40)} as ${spot.what}`;
        noNewHeader(probe, answer, of);
        if (halves.includes(text))
          probe.must(answer.status >= 400 || asked.body === undefined || asked.headers !== undefined, `${of} was taken: ${answer.status}`);
      },
    );
    // Letter by letter: what was written is what is read.
    const path = casePath(play.case, '/notes');
    const readable = texts.filter((text) => text.trim() !== '' && text.length <= 4000);
    for (const words of readable) {
      const answer = await probe.askAgain({ method: 'POST', path, as: scene.thief.staff.agent, body: { words } });
      probe.must(answer.status === 201, `a note ${JSON.stringify(words).slice(0, 60)} was answered ${answer.status}`);
    }
    const look = await probe.ask({ method: 'POST', path: casePath(play.case, '/look'), as: scene.thief.staff.agent, body: { why: 'enquiry' } });
    const read = new Set((looked.safeParse(look.json).data?.words ?? []).map(({ words }) => words?.['words']));
    for (const words of readable) probe.must(read.has(words.trim()), `the note ${JSON.stringify(words).slice(0, 60)} was not read as it was written`);
  },
};

function noNewHeader(probe: Probe, { headers }: Answer, what: string): void {
  probe.must(headers['set-cookie'] === undefined && headers['abuse'] === undefined, `${what} has set a header of its own`);
}

/** Markup of ours that a text must not have become. */
const alive = [/<script>alert/, /<img src=x/, /<svg\/onload/, /onerror=alert\(1\)>/, /href="javascript:/];

export const shownTexts: Attack = {
  name: 'texts on pages',
  tries: 'the same strings as order, request and answers, on the customer’s page, in what it shows again, and in spreadsheets',
  holds: 'escaped wherever they are shown; no cell is a formula',
  leaves: 'rows',
  async run(probe, scene) {
    const { thief, playground } = scene;
    const { upstream, agent, manager } = thief.staff;
    const markup = texts.filter((text) => /[<"'{]|script:/.test(text) && text.length < 200);
    const safe = (of: string, { text, status }: Answer): void => {
      probe.must(status < 500, `${of} was answered ${status}`);
      for (const pattern of alive) probe.must(!pattern.test(text), `${of} has ${pattern.source} on its page`, 'leak');
      probe.must(
        !/(?<!\d)49(?!\d)/.test(text.replaceAll(/<style[\s\S]*?<\/style>|[\w-]{20,}|datetime="[^"]*"/g, '')) || !of.includes('7*7'),
        `${of} has computed 7*7`,
        'leak',
      );
    };
    for (const [i, text] of markup.entries()) {
      const input = {
        shop: thief.shop,
        customer: text,
        orderId: text,
        requestId: `shown-${i}`,
        requestedAt: new Date().toISOString(),
        lines: [{ line: 1, quantity: 1, replacement: text }],
        reason: 'quality',
        wish: 'exchange',
        evidence: [text],
        description: text,
      };
      const started = await probe.askAgain({ method: 'POST', path: '/v1/processes/return-exchange/cases', as: upstream, body: { input } });
      const { case: opened } = (started.json ?? {}) as { case?: { id: string } };
      probe.must(opened !== undefined, `a case of the order ${text} was answered ${started.status}`);
      if (opened === undefined) continue;
      const made = await probe.askAgain({ method: 'POST', path: casePath(opened.id, '/links'), as: agent, body: { language: i % 2 === 0 ? 'zh' : 'en' } });
      const { url = '' } = (made.json ?? {}) as { url?: string };
      const token = url.split('/c/')[1] ?? '';
      const as: Who = { name: 'a customer', viewer: { case: opened.id } };
      for (const query of ['', '?lang=en', '?step=withdraw']) safe(`the page of an order ${text}`, await probe.ask({ path: `/c/${token}${query}`, as }));
      const csrf = /name="csrf" value="([^"]+)"/.exec((await probe.ask({ path: `/c/${token}`, as })).text)?.[1] ?? '';
      for (const fields of [
        { do: 'event', of: 'ownCourier', eventId: text, 'a.trackingNo': text, 'a.freight': text },
        { do: 'complete', of: text, 'a.choice': text },
        { do: 'withdraw', 'a.reason': text },
        { do: text },
        { do: 'event', of: text },
      ])
        safe(
          `a form with ${text}`,
          await probe.ask({
            method: 'POST',
            path: `/c/${token}`,
            as,
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
            body: new URLSearchParams({ csrf, ...fields }).toString(),
          }),
        );
      for (const path of [casePath(opened.id), casePath(opened.id, '/timeline'), `/v1/c/${token}`]) {
        const answer = await probe.ask({ path, as: path.startsWith('/v1/c/') ? as : agent });
        probe.must(String(answer.headers['content-type']).startsWith('application/json'), `${path} comes as ${String(answer.headers['content-type'])}`);
      }
    }
    const { link } = await playground();
    safe('a failed page', await probe.ask({ path: `/c/${link}%3Cscript%3Ealert(1)%3C%2Fscript%3E` }));
    safe('a problem page', await probe.ask({ path: '/problems/%3Cscript%3Ealert(1)%3C%2Fscript%3E' }));
    // Ids that come from outside are cells of a table.
    const table = await probe.ask({ path: '/v1/reports/returns?by=product', as: manager, headers: { accept: 'text/csv' } });
    const cells = table.text.split('\r\n').slice(1).flatMap(firstCell);
    probe.must(cells.length >= 10, `the table has only ${cells.length} rows of the products that were planted`);
    for (const cell of cells) probe.must(!/^[=+\-@\t\r\n＝＋－＠]/.test(cell), `the cell ${JSON.stringify(cell)} is a formula`);
  },
};

/** The first cell of a line of RFC 4180, without its quotes. */
const firstCell = (line: string): string[] => (line === '' ? [] : [line.startsWith('"') ? line.slice(1) : (line.split(',')[0] ?? '')]);
