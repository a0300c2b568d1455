/** Who may have a payload opened. */
import type { Request } from 'express';
import { Problem } from '../api/problems.ts';
import { keysAreAway, type TokenCheck } from '../api/token.ts';
import { everyShop, findPerson } from '../db/people.ts';
import type { Pool } from '../db/pool.ts';
import type { Role } from '../values/role.ts';

/** Says who calls; throws a Problem when they may not. */
export type Callers = (request: Request) => Promise<string>;

/** Those who watch and mend runs in Temporal's page. */
const needs: readonly Role[] = ['manager', 'ops'];

/** People with a token of ours or of the identity provider, whose row says what they are now. */
export const people =
  (checkToken: TokenCheck, pool: Pool): Callers =>
  async (request) => {
    const [, token] = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(request.get('authorization') ?? '') ?? [];
    const subject = await checkToken(token ?? '').catch((error: unknown) => {
      throw keysAreAway(error)
        ? new Problem('keysAway', {}, { headers: { 'Retry-After': '2' } })
        : new Problem('unauthenticated', {}, { headers: { 'WWW-Authenticate': 'Bearer' } });
    });
    const person = await findPerson(pool, subject);
    if (!person?.active) throw new Problem('unknownPerson', { person: subject });
    if (!needs.some((role) => person.roles.includes(role))) throw new Problem('forbidden', { person: person.id, needs });
    // A payload does not say of which shop it is.
    if (!person.shops.includes(everyShop)) throw new Problem('otherShop', { person: person.id, shop: everyShop });
    return person.id;
  };

/** Whoever reaches the process: a developer on their own machine, whose page of Temporal knows no log-in. */
export const anyone: Callers = () => Promise.resolve('anyone on this machine');
