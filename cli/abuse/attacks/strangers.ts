/** People who have a token, and no business here: of another shop, of another role, with two hands in one decision. */
import { access, type OperationId } from '../../../api/access.ts';
import { roles, type Role } from '../../../values/role.ts';
import { casePath, forEach, idsFor, taskPath, type Attack, type Scene } from '../attack.ts';
import { addressOf, type Operation } from '../document.ts';
import type { Shop, Someone } from '../ground.ts';
import { multipart, pngWith } from '../multipart.ts';
import type { Answer, Asked, Probe } from '../probe.ts';

const staffRoles = roles.filter((role): role is Exclude<Role, 'customer'> => role !== 'customer');
const grantedTo = (operation: Operation): readonly Role[] => {
  const rule = access[operation.id as OperationId];
  return typeof rule === 'string' ? [] : rule;
};

/** A right request for an operation on these ids. */
function requestOf(operation: Operation, ids: Readonly<Record<string, string>>): Asked {
  const { method, bodyType, bodies } = operation;
  const path = addressOf(operation, ids);
  if (bodyType === 'multipart/form-data') return { method, path, ...multipart([{ filename: 'a.png', bytes: pngWith(path) }]) };
  const [body] = bodies;
  return { method, path, ...(body === undefined ? {} : { body: body as object }) };
}

/** What an answer says, without what differs by nature. */
function said({ status, headers, text }: Answer, ids: Readonly<Record<string, string>>): string {
  const named = Object.values(ids).reduce((so, id) => so.replaceAll(id, '<id>').replaceAll(encodeURIComponent(id), '<id>'), text);
  const told = Object.keys(headers).filter((name) => !name.startsWith('ratelimit') && name !== 'date' && name !== 'content-length');
  return `${status} ${told.toSorted().join(',')} ${named.replaceAll(/"requestId":"[^"]*"/g, '')}`;
}

/** Asks for what is there and for what is not: nobody learns which is which. */
async function alike(probe: Probe, of: (ids: Readonly<Record<string, string>>) => Asked, real: Readonly<Record<string, string>>, who: string): Promise<void> {
  const madeUp = Object.fromEntries(Object.entries(real).map(([name, id]) => [name, `${id.slice(0, -1)}${id.endsWith('x') ? 'y' : 'x'}`]));
  const [there, notThere] = [await probe.ask(of(real)), await probe.ask(of(madeUp))];
  const { method = 'GET', path } = of(real);
  probe.must(there.status >= 400 && there.status < 500, `${method} ${path} as ${who}: ${there.status}`, 'leak');
  const [a, b] = [said(there, real), said(notThere, madeUp)];
  probe.must(a === b, `${method} ${path} as ${who} tells what exists: ${a.slice(0, 300)} | ${b.slice(0, 300)}`, 'leak');
}

/** What else an operation may name of a shop. */
const idsOf = (shop: Shop): Readonly<Record<string, string>> => ({
  evidence: shop.evidence,
  link: shop.linkIds.open,
  effect: 'order',
  customer: shop.orders[0]?.customer ?? '',
});

export const idsOfAnotherShop: Attack = {
  name: 'ids of another shop',
  tries: 'every operation on cases, tasks, links, effects, photos and customers of another shop, by each role that may call it',
  holds: 'refused, in the same words as for an id that does not exist',
  leaves: 'nothing',
  async run(probe, { operations, victim, thief }) {
    const onIds = operations.filter(({ secured, path }) => secured && /^\/v1\/(?:cases|tasks)\/\{id\}|^\/v1\/(?:evidence|customers)\//.test(path));
    probe.must(onIds.length >= 15, `the document has only ${onIds.length} operations on ids`);
    const tries = onIds.flatMap((operation) => {
      const ids = operation.path.startsWith('/v1/tasks') ? Object.values(victim.tasks) : operation.params.includes('id') ? Object.values(victim.cases) : [''];
      const events = operation.params.includes('event') ? ['ownCourier', 'closedByPlatform'] : ['ownCourier'];
      return grantedTo(operation).flatMap((role) =>
        role === 'customer' ? [] : ids.flatMap((id) => events.map((event) => ({ operation, as: thief.staff[role], id, event }))),
      );
    });
    await forEach(tries, ({ operation, as, id, event }) => {
      const all: Readonly<Record<string, string>> = { ...idsOf(victim), id };
      const real = Object.fromEntries(operation.params.flatMap((name) => (all[name] === undefined ? [] : [[name, all[name]]])));
      // A form that fits what is asked would be the one that decides.
      const body = operation.id === 'completeTask' ? { form: { decision: 'reject', reason: 'other' } } : undefined;
      return alike(probe, (ids) => ({ ...requestOf(operation, { ...ids, event }), ...(body ? { body } : {}), as }), real, as.id);
    });
    // Ids that stand in a query or a body.
    for (const as of [thief.staff.agent, thief.staff.manager]) {
      await alike(probe, ({ id = '' }) => ({ path: `/v1/tasks?case=${encodeURIComponent(id)}`, as }), { id: victim.cases.review }, as.id);
      for (const action of ['claim', 'release', 'complete'] as const) {
        const bulk = (id: string) =>
          probe.ask({ method: 'POST', path: '/v1/tasks/bulk', as, body: { ids: [id], action, form: { decision: 'reject', reason: 'other' } } });
        const made = `${victim.tasks.review}x`;
        const [there, not] = [said(await bulk(victim.tasks.review), { id: victim.tasks.review }), said(await bulk(made), { id: made })];
        probe.must(
          there === not && there.includes('taskNotFound'),
          `bulk ${action} as ${as.id} tells what exists: ${there.slice(0, 300)} | ${not.slice(0, 300)}`,
          'leak',
        );
      }
    }
    // A link of one's own case does not revoke another's.
    await probe.refused(
      { method: 'POST', path: casePath(thief.cases.review, `/links/${victim.linkIds.open}/revoke`), as: thief.staff.manager },
      'linkNotFound',
    );
  },
};

export const listsOfAnotherShop: Attack = {
  name: 'lists of another shop',
  tries: 'lists, reports and next tasks with filters and cursors that name what is another shop’s',
  holds: 'nothing of the other shop is in any answer',
  leaves: 'nothing',
  async run(probe, { victim, thief }) {
    const order = victim.orders[0];
    const filters = [
      '',
      '?limit=200',
      `?customer=${order?.customer ?? ''}`,
      `?order=${order?.orderId ?? ''}`,
      '?process=return-exchange&status=open',
      '?stage=review',
      '?breached=false',
      '?status=completed',
    ];
    const theirs = await probe.ask({ path: '/v1/cases?limit=1', as: victim.staff.agent });
    const { next } = (theirs.json ?? {}) as { next?: string };
    const cursors = next === undefined ? [] : [`?cursor=${next}`];
    await forEach(
      staffRoles.flatMap((role) => [...filters, ...cursors].map((query) => ({ as: thief.staff[role], query }))),
      async ({ as, query }) => {
        const { json } = await probe.ask({ path: `/v1/cases${query}`, as });
        const { items = [] } = (json ?? {}) as { items?: { shop?: string }[] };
        probe.must(
          items.every((item) => item.shop === thief.shop),
          `a case of another shop in /v1/cases${query} as ${as.id}`,
          'leak',
        );
      },
    );
    await forEach(staffRoles, async (role) => {
      const as = thief.staff[role];
      for (const query of [
        '',
        '?mine=true',
        '?free=true',
        ...staffRoles.map((asked) => `?role=${asked}`),
        '?role=customer',
        `?process=return-exchange&limit=200`,
      ]) {
        const { json } = await probe.ask({ path: `/v1/tasks${query}`, as });
        const { items = [] } = (json ?? {}) as { items?: { shop?: string }[] };
        probe.must(
          items.every((item) => item.shop === thief.shop),
          `a task of another shop in /v1/tasks${query} as ${as.id}`,
          'leak',
        );
      }
    });
    for (const role of ['supervisor', 'manager'] as const) {
      const as = thief.staff[role];
      for (const by of ['reason', 'cause', 'product']) await probe.ask({ path: `/v1/reports/returns?by=${by}`, as });
      for (const shop of [victim.shop, 'no-such-shop', '*', '', `${thief.shop},${victim.shop}`])
        await probe.refused({ path: `/v1/reports/returns?shop=${encodeURIComponent(shop)}`, as }, 'otherShop', 'invalid');
      await probe.refused({ path: `/v1/reports/returns?shop=${thief.shop}&shop=${victim.shop}`, as }, 'invalid');
    }
    const people = await probe.ask({ path: '/v1/people?limit=200', as: thief.staff.manager });
    const { items = [] } = (people.json ?? {}) as { items?: { shops?: string[] }[] };
    probe.must(items.length > 10 && items.every((item) => item.shops?.includes(thief.shop)), 'people of another shop are listed, or none of the own', 'leak');
  },
};

/** A start of a case that is there, as the other shop's caller makes it. */
function startsFor({ victim, thief }: Scene): readonly (readonly [string, object])[] {
  const [order] = victim.orders.filter(({ orderId }) => victim.cases.review.includes(orderId));
  const base = {
    customer: order?.customer ?? 'c_x',
    orderId: order?.orderId ?? 'x',
    requestId: `${victim.shop}-review`,
    requestedAt: new Date().toISOString(),
    lines: [{ line: 1, quantity: 1 }],
    reason: 'quality',
    wish: 'refund',
  };
  return [
    ['the other shop', { ...base, shop: victim.shop }],
    ['the key of a case of the other shop', { ...base, shop: thief.shop, customer: 'c_guess' }],
    ['every shop', { ...base, shop: '*' }],
  ];
}

export const startsOfAnotherShop: Attack = {
  name: 'starts for another shop',
  tries: 'starting cases for a shop that is not one’s own, and with the key of a case that is another’s',
  holds: 'refused, and nothing is told of the case that has the key',
  leaves: 'nothing',
  async run(probe, scene) {
    const { thief, victim } = scene;
    for (const [, input] of startsFor(scene)) {
      for (const role of ['upstream', 'agent', 'manager'] as const) {
        const answer = await probe.refused(
          // The id is made of what they send.
          { method: 'POST', path: '/v1/processes/return-exchange/cases', as: thief.staff[role], body: { input }, knows: [victim.cases.review] },
          'otherShop',
          'caseConflict',
        );
        const { differences = [] } = (answer.json ?? {}) as { differences?: unknown[] };
        probe.must(
          differences.length === 0,
          `a start with the key of another shop's case tells what that case holds: ${JSON.stringify(differences).slice(0, 300)}`,
          'leak',
        );
      }
    }
    const parcel = { receiptId: 'x', trackingNo: 'x', receivedAt: new Date().toISOString(), units: [] };
    const late = { event: 'parcelReceived', eventId: 'abuse-late', payload: parcel };
    for (const shop of [victim.shop, '*'])
      await probe.refused(
        { method: 'POST', path: '/v1/processes/late-parcel/cases', as: thief.staff.upstream, body: { input: { ...late, shop } } },
        'otherShop',
      );
    // The one whose name comes last is the one that counts, for the check and for what is stored.
    const twice = JSON.stringify({ input: startsFor(scene)[1]?.[1] }).replace('}}', `,"shop":"${victim.shop}"}}`);
    await probe.refused({ method: 'POST', path: '/v1/processes/return-exchange/cases', as: thief.staff.upstream, body: twice }, 'otherShop');
    // Business time is computed by the policy of one's own shops.
    for (const body of [
      { start: '2026-11-23T10:00:00+08:00', clock: 'T10', shop: victim.shop },
      { start: '2026-11-23T10:00:00+08:00', within: '1 working day', calendar: 'working-days', shop: victim.shop },
    ])
      await probe.refused({ method: 'POST', path: '/v1/calendar/deadline', as: thief.staff.agent, body }, 'otherShop');
  },
};

export const peopleOfAnotherShop: Attack = {
  name: 'people of another shop',
  tries: 'changing, taking over, granting and handing tasks to people of another shop, and oneself more than one has',
  holds: 'refused, and nobody learns where somebody else works',
  leaves: 'nothing',
  async run(probe, { victim, thief }) {
    const { manager } = thief.staff;
    const put = (id: string, shops: readonly string[], code: 'otherShop' | 'personTaken') =>
      probe.refused({ method: 'PUT', path: `/v1/people/${encodeURIComponent(id)}`, as: manager, body: { name: 'mine', roles: ['manager'], shops } }, code);
    for (const one of Object.values(victim.staff)) {
      const { text } = await put(one.id, [thief.shop], 'personTaken');
      probe.must(!text.replaceAll(one.id, '').includes(victim.shop), `PUT /v1/people of another shop's ${one.role} tells where they work`, 'leak');
    }
    await put(manager.id, ['*'], 'otherShop');
    await put(manager.id, [thief.shop, victim.shop], 'otherShop');
    await put('somebody-new', [victim.shop], 'otherShop');
    await put('somebody-new', ['*'], 'otherShop');
    // Somebody of the other shop and nobody at all are the same to whoever hands a task on.
    const task = taskPath(thief.tasks.review, '/delegate');
    const hand = async (to: string): Promise<string> => said(await probe.ask({ method: 'POST', path: task, as: thief.staff.agent, body: { to } }), { to });
    const [there, not] = [await hand(victim.staff.agent.id), await hand('nobody-at-all')];
    probe.must(there === not, `delegating tells who works in another shop: ${there.slice(0, 200)} | ${not.slice(0, 200)}`, 'leak');
  },
};

export const roleByRole: Attack = {
  name: 'roles',
  tries: 'every operation by every role that it is not granted to, in the own shop',
  holds: '403',
  leaves: 'nothing',
  async run(probe, { operations, victim }) {
    const tries = operations
      .filter(({ secured }) => secured)
      .flatMap((operation) => staffRoles.filter((role) => !grantedTo(operation).includes(role)).map((role) => ({ operation, as: victim.staff[role] })));
    await forEach(tries, ({ operation, as }) => probe.refused({ ...requestOf(operation, idsFor(operation, victim)), as }, 'forbidden'));
    // Granted to all who work, and still not theirs to decide.
    const decide = (as: Someone, task: string, form: object, ...codes: string[]) =>
      probe.refused({ method: 'POST', path: taskPath(task, '/complete'), as, body: { form } }, ...codes);
    for (const role of ['warehouse', 'quality', 'finance', 'upstream', 'tech', 'ops'] as const)
      await decide(victim.staff[role], victim.tasks.review, { decision: 'reject', reason: 'other' }, 'notAuthorized');
    for (const role of ['agent', 'warehouse', 'upstream'] as const)
      await decide(victim.staff[role], victim.tasks.approval, { decision: 'approve' }, 'notAuthorized');
  },
};

export const fourEyes: Attack = {
  name: 'four eyes',
  tries: 'whoever reviewed decides the refund too: directly, in bulk, by handing it on, by being given it',
  holds: '403, whichever way',
  leaves: 'nothing',
  async run(probe, { victim }) {
    const [reviewer, colleague] = [victim.reviewer, victim.other.supervisor];
    const task = victim.tasks.approval;
    const post = (as: Someone, rest: string, body: object) => probe.refused({ method: 'POST', path: taskPath(task, rest), as, body }, 'fourEyes');
    await post(reviewer, '/complete', { form: { decision: 'approve' } });
    await post(reviewer, '/claim', {});
    await post(reviewer, '/hold', { until: new Date(Date.now() + 3_600_000).toISOString() });
    await post(reviewer, '/delegate', { to: colleague.id });
    await post(colleague, '/delegate', { to: reviewer.id });
    await post(victim.staff.manager, '/reassign', { to: reviewer.id });
    for (const dryRun of [true, false]) {
      const { json } = await probe.ask({
        method: 'POST',
        path: '/v1/tasks/bulk',
        as: reviewer,
        body: { ids: [task], action: 'complete', form: { decision: 'approve' }, dryRun },
      });
      const [result] = ((json ?? {}) as { results?: { status?: number; problem?: { code?: string } }[] }).results ?? [];
      probe.must(result?.problem?.code === 'fourEyes', `in bulk it was ${JSON.stringify(result).slice(0, 200)}`);
    }
  },
};
