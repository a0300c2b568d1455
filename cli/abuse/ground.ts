/** The ground that attacks are made on: two shops with people of each role, cases at rest in several stages, and canaries in all that is theirs alone. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import { z } from 'zod';
import { signToken } from '../../api/token.ts';
import { caseSchema, pageOf, taskSchema } from '../../api/views.ts';
import { putPerson } from '../../db/people.ts';
import type { Pool } from '../../db/pool.ts';
import { orders as ordersContract, type OrderFacts } from '../../systems/orders/contract.ts';
import { caseId, type CaseId, type PersonId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import { roles, type Role } from '../../values/role.ts';
import { Caller } from '../demo/calls.ts';
import type { StackState } from '../stack/state.ts';
import type { Playground } from './attack.ts';
import { changes, fingerprint } from './fingerprint.ts';
import type { Canary, Viewer } from './leaks.ts';
import { multipart, pngWith } from './multipart.ts';
import type { Who } from './probe.ts';

/** A person of a shop, or a system that calls for it. */
export interface Someone extends Who {
  readonly id: PersonId;
  readonly role: Role;
  readonly token: string;
  readonly api: Caller;
}

const caseNames = ['review', 'parcel', 'approval', 'ended'] as const;
type CaseName = (typeof caseNames)[number];

export interface Shop {
  readonly shop: string;
  readonly staff: Readonly<Record<Exclude<Role, 'customer'>, Someone>>;
  /** A second one of each: four eyes need them. */
  readonly other: Readonly<Record<'agent' | 'supervisor', Someone>>;
  /** A supervisor who was an agent when they reviewed the case that now waits for approval. */
  readonly reviewer: Someone;
  /** Someone who has left. */
  readonly gone: Someone;
  readonly cases: Readonly<Record<CaseName, CaseId>>;
  /** Open tasks: the review, and the approval that its reviewer may not give. */
  readonly tasks: Readonly<Record<'review' | 'approval', string>>;
  readonly evidence: string;
  /** Tokens of links to the case under review. */
  readonly links: Readonly<Record<'open' | 'revoked' | 'expired', string>>;
  /** The ids of the same. */
  readonly linkIds: Readonly<Record<'open' | 'revoked' | 'expired', string>>;
  /** A token of a link to the case that waits for its parcel. */
  readonly parcelLink: string;
  readonly orders: readonly OrderFacts[];
}

export interface Ground {
  readonly stack: StackState;
  readonly pool: Pool;
  readonly privateKey: string;
  readonly publicKey: string;
  /** Whose data is hunted. */
  readonly victim: Shop;
  /** Who hunts it. */
  readonly thief: Shop;
  readonly canaries: readonly Canary[];
  readonly webhookSecret: (source: string) => string;
  /** A webhook that was taken before the attacks. */
  readonly taken: { readonly source: string; readonly id: string; readonly body: string };
}

const factsSchema = ordersContract.operations.facts.facts.schema satisfies z.ZodType<OrderFacts>;
const ordersPage = z.object({ orders: z.array(z.unknown()) });
const tasksPage = pageOf(taskSchema);
const opened = z.object({ case: caseSchema });
const madeLink = z.object({ id: z.string(), url: z.url() });
const uploaded = z.object({ evidence: z.array(z.object({ id: z.string() })).min(1) });

/** Nothing of the ground takes longer to come about, on a busy machine too. */
const patienceMs = 120_000;

async function until<T>(what: string, look: () => Promise<T | undefined>, signal: AbortSignal): Promise<T> {
  for (const since = Date.now(); ; await pause(200, undefined, { signal })) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() - since > patienceMs) throw new Error(`${what} did not come about within ${patienceMs / 1000} s; the logs of the stack say why.`);
  }
}

/** Makes the people of a shop. Straight into the table, as the token command does: somebody has to be the first. */
async function people(
  shop: string,
  privateKey: string,
  stack: StackState,
  pool: Pool,
  signal: AbortSignal,
): Promise<Pick<Shop, 'staff' | 'other' | 'reviewer' | 'gone'> & { readonly promote: () => Promise<void> }> {
  const someone = async (name: string, role: Role, active = true): Promise<Someone> => {
    const id = `${shop}-${name}` as PersonId;
    await putPerson(pool, { id, name: `${personCanary(shop)} ${name}`, roles: [role], shops: [shop], active, absentUntil: null });
    const token = await signToken({ privateKey, subject: id, ttl: '2h' });
    return { id, role, name: id, token, viewer: { shop, role }, api: new Caller({ url: () => stack.urls.api, token, signal }) };
  };
  const reviewer = await someone('reviewer', 'agent');
  const staff = await Promise.all(roles.flatMap((role) => (role === 'customer' ? [] : [someone(role, role)])));
  return {
    staff: Object.fromEntries(staff.map((one) => [one.role, one])) as Shop['staff'],
    other: { agent: await someone('agent-2', 'agent'), supervisor: await someone('supervisor-2', 'supervisor') },
    reviewer,
    gone: await someone('gone', 'manager', false),
    promote: async () => void (await someone('reviewer', 'supervisor')),
  };
}

const personCanary = (shop: string): string => `Colleague-of-${shop}`;
const wordsCanary = (shop: string): string => `words-only-for-the-desk-of-${shop}`;
/** What a customer wrote: theirs to read, and the desk's. */
const customersWords = (shop: string, name: string): string => `words-of-a-customer-of-${shop}-about-${name}`;
const fileCanary = (shop: string): string => `bytes-of-a-photo-of-${shop}`;

async function shopOf(shop: string, privateKey: string, stack: StackState, pool: Pool, signal: AbortSignal): Promise<Shop> {
  const systems = new Caller({ url: () => stack.urls.systems, signal });
  const { orders: rows } = await systems.get(`/orders/acts/orders?shop=${shop}&status=delivered&limit=500`, ordersPage);
  const all = rows.map((row) => factsSchema.parse(row));
  const { promote, ...made } = await people(shop, privateKey, stack, pool, signal);
  const { upstream, agent, manager } = made.staff;
  const waiting = (of: CaseId, name: string) =>
    until(
      `the task ${name} of ${of}`,
      async () => (await agent.api.get(`/v1/tasks?case=${encodeURIComponent(of)}&status=open`, tasksPage)).items.find((task) => task.name === name),
      signal,
    );
  const decide = async (of: CaseId, name: string, by: Someone, form: object) =>
    by.api.send('POST', `/v1/tasks/${encodeURIComponent((await waiting(of, name)).id)}/complete`, { form }, z.unknown());
  const start = async (order: OrderFacts | undefined, requestId: string): Promise<CaseId> => {
    const line = order?.lines[0];
    if (order === undefined || line === undefined) throw new Error(`The sandbox of this stack has no order of ${shop} for ${requestId}.`);
    const input = {
      shop,
      customer: order.customer,
      orderId: order.orderId,
      requestId,
      requestedAt: instant(Date.now()),
      lines: [{ line: line.line, quantity: 1 }],
      reason: 'quality',
      wish: 'refund',
      evidence: ['photo-1'],
      description: customersWords(shop, requestId.slice(shop.length + 1)),
    };
    await upstream.api.send('POST', '/v1/processes/return-exchange/cases', { input }, opened);
    return caseId('return-exchange', [order.orderId, requestId]);
  };
  const dear = (order: OrderFacts): boolean => order.currency === 'CNY' && (order.lines[0]?.unitPrice.minor ?? 0) > 30_000;
  const cheap = all.filter((order) => !dear(order));
  const cases = {
    review: await start(cheap[0], `${shop}-review`),
    parcel: await start(cheap[1], `${shop}-parcel`),
    approval: await start(all.find(dear), `${shop}-approval`),
    ended: await start(cheap[2], `${shop}-ended`),
  };
  await decide(cases.parcel, 'review', agent, { decision: 'approve', reason: 'quality', remedy: 'refund', note: wordsCanary(shop) });
  await decide(cases.approval, 'review', made.reviewer, { decision: 'approve', reason: 'quality', remedy: 'refundOnly' });
  await decide(cases.ended, 'review', agent, { decision: 'reject', reason: 'notAsDescribed' });
  await until(
    `the end of ${cases.ended}`,
    async () => ((await agent.api.get(`/v1/cases/${encodeURIComponent(cases.ended)}`, caseSchema)).status === 'completed' ? true : undefined),
    signal,
  );
  await until(
    `the parcel of ${cases.parcel}`,
    async () => ((await agent.api.get(`/v1/cases/${encodeURIComponent(cases.parcel)}`, caseSchema)).stage === 'parcel' ? true : undefined),
    signal,
  );
  const approval = (await waiting(cases.approval, 'approveRefund')).id;
  await promote();
  const review = `/v1/cases/${encodeURIComponent(cases.review)}`;
  await agent.api.send('POST', `${review}/notes`, { words: wordsCanary(shop) }, z.unknown());
  const evidence = await upload(stack, `${review}/evidence`, agent, pngWith(fileCanary(shop)));
  const link = async (of: CaseId, expiresIn: string): Promise<{ id: string; token: string }> => {
    const { id, url } = await agent.api.send('POST', `/v1/cases/${encodeURIComponent(of)}/links`, { language: 'en', expiresIn }, madeLink);
    return { id, token: url.split('/c/')[1] ?? '' };
  };
  const [open, revoked, expired, parcelLink] = [
    await link(cases.review, '1d'),
    await link(cases.review, '1d'),
    await link(cases.review, '1s'),
    await link(cases.parcel, '1d'),
  ];
  await manager.api.send('POST', `${review}/links/${revoked.id}/revoke`, undefined, z.unknown());
  return {
    shop,
    ...made,
    cases,
    tasks: { review: (await waiting(cases.review, 'review')).id, approval },
    evidence,
    links: { open: open.token, revoked: revoked.token, expired: expired.token },
    linkIds: { open: open.id, revoked: revoked.id, expired: expired.id },
    parcelLink: parcelLink.token,
    orders: all,
  };
}

async function upload({ urls }: StackState, path: string, by: Someone, bytes: Buffer): Promise<string> {
  const { headers, body } = multipart([{ filename: 'photo.png', type: 'image/png', bytes }]);
  const answer = await fetch(`${urls.api}${path}`, {
    method: 'POST',
    headers: { ...headers, authorization: `Bearer ${by.token}` },
    body: new Uint8Array(body),
  });
  if (answer.status !== 201) throw new Error(`The photo was answered ${answer.status}: ${await answer.text()}`);
  const [first] = uploaded.parse(await answer.json()).evidence;
  return first?.id ?? '';
}

const contacts = z.object({ rows: z.array(z.object({ name: z.string(), phone: z.string() })) });

/** What each may see, and nobody else. */
async function canariesOf(shops: readonly Shop[], secrets: string, pool: Pool): Promise<Canary[]> {
  const ofShop =
    ({ shop }: Shop) =>
    (viewer: Viewer): boolean =>
      viewer.shop === shop;
  const desk =
    (shop: Shop) =>
    (viewer: Viewer): boolean =>
      ofShop(shop)(viewer) && ['agent', 'supervisor', 'manager'].includes(viewer.role ?? '');
  const own = shops.flatMap((shop): Canary[] => {
    const byLink =
      (of: CaseId) =>
      (viewer: Viewer): boolean =>
        ofShop(shop)(viewer) || viewer.case === of;
    return [
      { text: personCanary(shop.shop), what: `a colleague's name of ${shop.shop}`, seenBy: ofShop(shop) },
      { text: wordsCanary(shop.shop), what: `words for the desk of ${shop.shop}`, seenBy: desk(shop) },
      {
        text: fileCanary(shop.shop),
        what: `a photo of ${shop.shop}`,
        seenBy: (viewer) => desk(shop)(viewer) || (ofShop(shop)(viewer) && viewer.role === 'quality') || viewer.case === shop.cases.review,
      },
      { text: shop.evidence, what: `the id of a photo of ${shop.shop}`, seenBy: byLink(shop.cases.review) },
      ...caseNames.flatMap((name): Canary[] => [
        { text: shop.cases[name], what: `the id of a case of ${shop.shop}`, seenBy: byLink(shop.cases[name]) },
        {
          text: customersWords(shop.shop, name),
          what: `words of a customer of ${shop.shop}`,
          seenBy: (viewer) => desk(shop)(viewer) || viewer.case === shop.cases[name],
        },
        { text: `${shop.shop}-${name}`, what: `a request of ${shop.shop}`, seenBy: byLink(shop.cases[name]) },
      ]),
      ...[...new Set(shop.orders.map((order) => order.customer))].map((customer): Canary => ({
        text: customer,
        what: `a customer of ${shop.shop}`,
        seenBy: ofShop(shop),
      })),
      ...Object.values(shop.links).map((token): Canary => ({
        text: token,
        what: `a link of ${shop.shop}`,
        seenBy: (viewer) => viewer.case === shop.cases.review,
      })),
      { text: shop.parcelLink, what: `a link of ${shop.shop}`, seenBy: (viewer) => viewer.case === shop.cases.parcel },
    ];
  });
  const nobodys = (): boolean => false;
  const { rows: named } = contacts.parse(await pool.query(`select reach->>'name' as name, reach->>'phone' as phone from sandbox.customers`));
  const persons = named.flatMap(({ name, phone }): Canary[] => [
    { text: name, what: "a customer's name", seenBy: nobodys },
    { text: phone, what: "a customer's number", seenBy: nobodys },
  ]);
  const files = await Promise.all(
    (await readdir(secrets)).filter((file) => !file.includes('public')).map(async (file) => ({ file, text: await readFile(join(secrets, file), 'utf8') })),
  );
  const keys = files.flatMap(({ file, text }) =>
    text
      .split('\n')
      .filter((line) => line.length >= 20 && !line.startsWith('-----'))
      .map((line): Canary => ({ text: line, what: `the secret ${file}`, seenBy: nobodys })),
  );
  return [...own, ...persons, ...keys];
}

/** A setting that the stack's processes were given. */
export function settingOf({ settings }: StackState, name: string): string {
  const value = settings[name];
  if (value === undefined) throw new Error(`The stack has no setting ${name}.`);
  return value;
}

/** Products as a shop may name them, that a spreadsheet would take for formulas: units of them came back. */
const formulas = ['=1+1', '+1+1', '-1+1', '@SUM(1)', '\t=1', '\r=1', '\n=1', '＝1', '＋1', '－1', '＠1', '=HYPERLINK("http://evil.example","x")'];
async function plantFormulas({ cases, shop }: Shop, pool: Pool): Promise<void> {
  await pool.query(
    `insert into return_causes (case_id, order_id, line, unit, shop, product, category, reason, cause, disposition, currency, loss_minor)
     select $1, 'formulas', 1, n, $2, product, 'x', 'quality', 'none', 'scrap', 'CNY', 100 from unnest($3::text[]) with ordinality as p (product, n)`,
    [cases.ended, shop, formulas],
  );
}

/** Makes the ground on a stack that has just come up. */
export async function makeGround(stack: StackState, pool: Pool, say: (line: string) => void, signal: AbortSignal): Promise<Ground> {
  const privateKey = await readFile(settingOf(stack, 'JWT_PRIVATE_KEY_FILE'), 'utf8');
  const publicKey = await readFile(settingOf(stack, 'JWT_PUBLIC_KEY_FILE'), 'utf8');
  const secrets = settingOf(stack, 'WEBHOOK_SECRETS_DIR');
  const texts = new Map(await Promise.all((await readdir(secrets)).map(async (file) => [file, (await readFile(join(secrets, file), 'utf8')).trim()] as const)));
  const webhookSecret = (source: string): string => texts.get(`webhook-${source}.secret`) ?? '';
  say('Two shops with people, cases, photos and links …');
  const [victim, thief] = [await shopOf('mingxi', privateKey, stack, pool, signal), await shopOf('qingfan', privateKey, stack, pool, signal)];

  await plantFormulas(thief, pool);
  const at = new Date();
  const [source, id] = ['warehouse', 'abuse-taken-before'];
  const body = JSON.stringify({
    type: 'parcelReceived',
    timestamp: at.toISOString(),
    data: { receiptId: id, trackingNo: id, receivedAt: at.toISOString(), units: [{ unitId: `${id}-1` }] },
  });
  const answer = await fetch(`${stack.urls.api}/v1/webhooks/${source}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(webhookSecret(source)).sign(id, at, body),
    },
    body,
  });
  if (answer.status !== 202) throw new Error(`The webhook that is to be replayed was answered ${answer.status}: ${await answer.text()}`);
  return {
    stack,
    pool,
    privateKey,
    publicKey,
    victim,
    thief,
    canaries: await canariesOf([victim, thief], secrets, pool),
    webhookSecret,
    taken: { source, id, body },
  };
}

/** How long nothing may have moved for it to be at rest: messages are sent and answers come within seconds. */
const restMs = 4000;

/** Waits until nothing in Postgres moves any more. */
export async function quiet({ stack, pool }: Ground, signal: AbortSignal): Promise<void> {
  const take = () => fingerprint(pool, settingOf(stack, 'EVIDENCE_DIR'));
  let [before, since] = [await take(), Date.now()];
  for (const began = Date.now(); Date.now() - since < restMs; await pause(500, undefined, { signal })) {
    const now = await take();
    if (changes(before, now, 'nothing').length > 0) [before, since] = [now, Date.now()];
    if (Date.now() - began > patienceMs) throw new Error(`The stack did not come to rest within ${patienceMs / 1000} s.`);
  }
}

/** A case of the thief's own shop, to try on it what somebody may do to it. */
export async function makePlayground({ stack, thief }: Ground, signal: AbortSignal): Promise<Playground> {
  const { upstream, agent } = thief.staff;
  const order = thief.orders.at(-1);
  if (order === undefined) throw new Error(`The sandbox of this stack has no orders of ${thief.shop}.`);
  const input = {
    shop: thief.shop,
    customer: order.customer,
    orderId: order.orderId,
    requestId: 'playground',
    requestedAt: instant(Date.now()),
    lines: [{ line: 1, quantity: 1 }],
    reason: 'quality',
    wish: 'refund',
    evidence: ['photo-1'],
  };
  const { case: row } = await upstream.api.send('POST', '/v1/processes/return-exchange/cases', { input }, opened);
  const path = `/v1/cases/${encodeURIComponent(row.id)}`;
  const task = await until(
    `a task of ${row.id}`,
    async () => (await agent.api.get(`/v1/tasks?case=${encodeURIComponent(row.id)}&status=open`, tasksPage)).items[0],
    signal,
  );
  const { id, url } = await agent.api.send('POST', `${path}/links`, { language: 'en' }, madeLink);
  return {
    case: row.id,
    task: task.id,
    evidence: await upload(stack, `${path}/evidence`, agent, pngWith('playground')),
    link: url.split('/c/')[1] ?? '',
    linkId: id,
  };
}
