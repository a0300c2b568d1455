/** Customers' links: guessed, forged, expired, revoked, of another case; and forms that our page did not make. */
import { forEach, type Attack } from '../attack.ts';
import { multipart, pngWith } from '../multipart.ts';
import type { Asked } from '../probe.ts';

const changed = (text: string, at: number): string => `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
const form = { 'content-type': 'application/x-www-form-urlencoded' };

/** What the holder of a link may call. */
const doors = (token: string): readonly Asked[] => [
  { path: `/v1/c/${token}` },
  { path: `/c/${token}` },
  { path: `/c/${token}/evidence/x` },
  { method: 'POST', path: `/v1/c/${token}/tasks/x/complete`, body: { form: {} } },
  { method: 'POST', path: `/v1/c/${token}/events/ownCourier`, body: { eventId: 'x', payload: { trackingNo: 'x' } } },
  { method: 'POST', path: `/v1/c/${token}/withdraw`, body: { reason: 'other' } },
  { method: 'POST', path: `/v1/c/${token}/evidence`, ...multipart([{ filename: 'a.png', bytes: pngWith('x') }]) },
  { method: 'POST', path: `/c/${token}`, headers: form, body: 'do=withdraw&a.reason=other' },
];
const isPage = ({ path }: Asked): boolean => path.startsWith('/c/') && !path.includes('/evidence/');

export const links: Attack = {
  name: 'links',
  tries: 'tokens of links changed in every place, put together from two, cut, expired, revoked, guessed; as a bearer token',
  holds: '401, and 410 only for who had the link',
  leaves: 'nothing',
  async run(probe, { victim, thief, draw }) {
    const { open, revoked, expired } = victim.links;
    const guess = (): string =>
      Array.from({ length: 38 }, () => 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'[Math.floor(draw() * 64)]).join('');
    const forged = [
      ...Array.from(open, (_, at) => changed(open, at)),
      ...[revoked, expired].flatMap((token) => [changed(token, 0), changed(token, token.length - 2)]),
      `${open.slice(0, 16)}${victim.parcelLink.slice(16)}`,
      `${victim.parcelLink.slice(0, 16)}${open.slice(16)}`,
      `${revoked.slice(0, 16)}${open.slice(16)}`,
      open.slice(0, -1),
      `${open}A`,
      open.slice(0, 16),
      open.toLowerCase(),
      `${open}%00`,
      `${open}%20`,
      `%20${open}`,
      '..',
      '%2e%2e',
      `${open}%2F..`,
      "'%20or%201=1--",
      '__proto__',
      'x'.repeat(200),
      ...Array.from({ length: 100 }, guess),
    ];
    await forEach(forged, async (token) => {
      const answer = await probe.ask({ path: `/v1/c/${token}` });
      probe.must(
        ['linkInvalid', 'malformed', 'notFound', 'invalid'].includes(answer.code ?? ''),
        `GET /v1/c/${token}: ${answer.status} ${answer.code ?? ''}`,
        'leak',
      );
    });
    for (const [token, code, status] of [
      [changed(open, 20), 'linkInvalid', 401],
      [expired, 'linkExpired', 410],
      [revoked, 'linkRevoked', 410],
    ] as const)
      for (const door of doors(token)) {
        const answer = await probe.ask(door);
        probe.must(
          isPage(door) ? answer.status === status : answer.code === code,
          `${door.method ?? 'GET'} ${door.path}: ${answer.status} ${answer.code ?? ''} instead of ${code}`,
        );
      }
    for (const token of [open, thief.links.open]) await probe.refused({ path: '/v1/cases', headers: { authorization: `Bearer ${token}` } }, 'unauthenticated');
  },
};

export const otherCasesByLink: Attack = {
  name: 'links of other cases',
  tries: 'a link that holds, for tasks, photos and events of other cases and for what is ours alone',
  holds: 'refused, in the same words as for what does not exist',
  leaves: 'nothing',
  async run(probe, { victim, thief }) {
    const token = victim.parcelLink;
    const as = { name: 'a customer', viewer: { case: victim.cases.parcel } };
    const photo = async (id: string): Promise<string> => {
      const { text } = await probe.refused({ path: `/c/${token}/evidence/${encodeURIComponent(id)}`, as }, 'evidenceNotFound');
      return text.replaceAll(id, '').replaceAll(/"requestId":"[^"]*"/g, '');
    };
    const seen = new Set<string>();
    for (const id of [victim.evidence, thief.evidence, `${victim.evidence}x`]) seen.add(await photo(id));
    probe.must(seen.size === 1, 'a photo of another case is refused in other words than one that does not exist', 'leak');
    const task = async (path: string): Promise<string> => {
      const { text } = await probe.refused(
        { method: 'POST', path: `/v1/c/${token}/tasks/${encodeURIComponent(path)}/complete`, as, body: { form: { decision: 'reject', reason: 'other' } } },
        'taskNotFound',
      );
      return text.replaceAll(path, '').replaceAll(/"requestId":"[^"]*"/g, '');
    };
    const said = new Set<string>();
    for (const path of ['review-1/review', 'review-9/review', victim.tasks.approval, `../${victim.cases.review}:review-1/review`, '__proto__'])
      said.add(await task(path));
    probe.must(said.size === 1, 'a task of ours is refused in other words than one that does not exist', 'leak');
    for (const event of ['closedByPlatform', 'evidenceAdded', 'parcelReceived', 'refundState', '__proto__', 'constructor', 'toString'])
      await probe.refused(
        { method: 'POST', path: `/v1/c/${token}/events/${event}`, as, body: { eventId: 'x', payload: { how: 'refunded', files: ['x'] } } },
        'unknownEvent',
      );
    // What the page and its JSON say is for the customer alone.
    for (const path of [
      `/v1/c/${token}`,
      `/c/${token}`,
      `/c/${token}?lang=en`,
      `/c/${token}?step=withdraw`,
      `/c/${token}?done=withdrawn`,
      `/c/${token}?done=__proto__`,
      `/c/${token}?lang[]=zh&step[x]=1`,
    ]) {
      const answer = await probe.ask({ path, as });
      probe.must(answer.status === 200, `${path} was answered ${answer.status}`);
    }
  },
};

export const foreignForms: Attack = {
  name: 'forms of other pages',
  tries: 'forms of the page without its secret, with another link’s, as other content types; framing, and reading across origins',
  holds: 'refused; no other origin may read or frame an answer',
  leaves: 'nothing',
  async run(probe, { victim, thief }) {
    const token = victim.links.open;
    const viewer = { case: victim.cases.review };
    const as = { name: 'a customer', viewer };
    const page = (of: string, who = as) => probe.ask({ path: `/c/${of}`, as: who });
    const secretOf = async (of: string, who = as): Promise<string> => /name="csrf" value="([^"]+)"/.exec((await page(of, who)).text)?.[1] ?? '';
    const own = await secretOf(token);
    probe.must(own.length > 10, 'the page has no secret in its forms');
    const strangers = [
      await secretOf(thief.links.open, { name: 'another customer', viewer: { case: thief.cases.review } }),
      await secretOf(victim.parcelLink, { name: 'another customer', viewer: { case: victim.cases.parcel } }),
    ];
    for (const csrf of ['', 'x', changed(own, 0), ...strangers]) {
      const answer = await probe.ask({
        method: 'POST',
        path: `/c/${token}`,
        as,
        headers: form,
        body: new URLSearchParams({ csrf, do: 'withdraw', 'a.reason': 'other' }).toString(),
      });
      probe.must(answer.status === 403, `a form with the secret "${csrf.slice(0, 8)}…" was answered ${answer.status}`);
      const upload = await probe.ask({
        method: 'POST',
        path: `/c/${token}/evidence`,
        as,
        ...multipart([
          { name: 'csrf', bytes: csrf },
          { filename: 'a.png', bytes: pngWith('forged form') },
        ]),
      });
      probe.must(upload.status === 403, `an upload with the secret "${csrf.slice(0, 8)}…" was answered ${upload.status}`);
    }
    for (const type of ['text/plain', 'application/json', 'multipart/form-data; boundary=x'])
      await probe.ask({ method: 'POST', path: `/c/${token}`, as, headers: { 'content-type': type }, body: `csrf=${own}&do=withdraw&a.reason=other` });
    for (const asked of [{ path: `/c/${token}`, as }, { path: '/v1/cases', as: victim.staff.agent }, { path: '/v1/cases' }]) {
      const answer = await probe.ask({ ...asked, headers: { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' } });
      probe.must(answer.headers['access-control-allow-origin'] === undefined, `${asked.path} lets another origin read it`, 'leak');
      probe.must(/frame-ancestors 'none'/.test(String(answer.headers['content-security-policy'])), `${asked.path} may be framed`);
      probe.must(answer.headers['x-content-type-options'] === 'nosniff', `${asked.path} may be sniffed`);
    }
    const preflight = await probe.ask({
      method: 'OPTIONS',
      path: '/v1/cases',
      headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
    });
    probe.must(preflight.headers['access-control-allow-origin'] === undefined, 'another origin may call the API');
  },
};

export const wayBack: Attack = {
  name: 'hosts and redirects',
  tries: 'hosts, forwarded hosts and languages that name another site, on pages, redirects and in what is linked',
  holds: 'no address of another site is in an answer, and no redirect leaves ours',
  leaves: 'nothing',
  async run(probe, { victim }) {
    const token = victim.links.open;
    const as = { name: 'a customer', viewer: { case: victim.cases.review } };
    const evil = 'evil.example';
    const hosts: readonly Asked['headers'][] = [
      { host: evil },
      { host: `${evil}:80@127.0.0.1` },
      { 'x-forwarded-host': evil, 'x-forwarded-proto': 'https' },
      { forwarded: `host=${evil};proto=https` },
      { 'x-original-url': '/v1/cases', 'x-rewrite-url': '/v1/cases', 'x-original-host': evil },
      { 'x-http-method-override': 'DELETE', 'x-forwarded-for': '127.0.0.1' },
      { referer: `https://${evil}/`, origin: `https://${evil}` },
    ];
    const paths = [
      `/c/${token}`,
      `/c/${token}/evidence`,
      `/c/${token}/evidence?lang=//${evil}`,
      `/c/${token}/evidence?lang=en%0d%0aLocation:%20https://${evil}`,
      `/v1/c/${token}`,
      '/docs',
      '/openapi.json',
      `//${evil}/..`,
      `/\\${evil}`,
      `/%2f%2f${evil}`,
    ];
    for (const path of paths)
      for (const headers of hosts) {
        const answer = await probe.ask({ path, as, headers: headers ?? {} });
        const { location = '' } = answer.headers;
        const told = answer.text.replaceAll(path, '');
        probe.must(!told.includes(evil) || path.includes(evil), `${path} names ${evil}, sent in ${Object.keys(headers ?? {}).join(', ')}`, 'leak');
        probe.must(!location.includes(evil) && !/^(?:https?:)?\/\/(?!127\.0\.0\.1)/.test(location), `${path} redirects to ${location}`);
        probe.must(answer.status < 400 || answer.status === 404 || answer.status === 400, `${path} was answered ${answer.status}`);
      }
  },
};
