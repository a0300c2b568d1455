import { z } from 'zod';
import { everyShop, findPerson, listPeople, putPerson, serves, type Person } from '../../db/people.ts';
import type { PersonId } from '../../values/ids.ts';
import type { AppDeps } from '../deps.ts';
import { page, paging } from '../paging.ts';
import { Problem } from '../problems.ts';
import { route, type Route } from '../route.ts';
import { pageOf, personInput, personSchema, personView } from '../views.ts';

/** A shop that is not the manager's own to grant. */
const notOf = (manager: Person, shops: readonly string[]): string | undefined =>
  shops.find((shop) => (shop === everyShop ? !manager.shops.includes(everyShop) : !serves(manager, shop)));

export const peopleRoutes = ({ pool }: AppDeps): Route[] => [
  route({
    id: 'listPeople',
    method: 'get',
    path: '/v1/people',
    tag: 'People',
    summary: 'People and calling systems of your shops, by id',
    query: z.strictObject(paging),
    replies: { 200: { description: 'A page', schema: pageOf(personSchema) } },
    run: async ({ query: { cursor, limit }, person }) => {
      const rows = await listPeople(pool, person.shops, cursor?.[1] ?? '', limit + 1);
      return { status: 200, body: page(rows, limit, personView, ({ id }) => ['0', id]) };
    },
  }),
  route({
    id: 'putPerson',
    method: 'put',
    path: '/v1/people/{id}',
    tag: 'People',
    summary: 'Register or change a person or a calling system, whole',
    description: 'It holds for the next decision: roles are read when someone decides, not from their token.',
    params: z.object({ id: z.string().min(1).max(200).meta({ example: 'wang' }) }),
    body: personInput,
    example: { name: '王芳', roles: ['supervisor'], shops: ['*'] },
    replies: { 200: { description: 'As it stands now', schema: personSchema } },
    problems: ['otherShop', 'personTaken'],
    run: async ({ params, body, person }) => {
      const before = await findPerson(pool, params.id);
      // Nobody grants a shop that is not theirs, or changes someone of another shop; where that one works, they are not told.
      const granted = notOf(person, body.shops);
      if (granted !== undefined) throw new Problem('otherShop', { person: person.id, shop: granted });
      if (before !== undefined && notOf(person, before.shops) !== undefined) throw new Problem('personTaken', { person: params.id });
      const now: Person = { ...body, id: params.id as PersonId };
      await putPerson(pool, now);
      return { status: 200, body: personView(now) };
    },
  }),
];
