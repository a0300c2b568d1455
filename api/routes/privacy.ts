/** What the department owes its customers: who looked at their data, all that is held on one of them, and its erasure. For managers. */
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import type { CaseRow } from '../../db/cases.ts';
import { casesOfCustomer, eraseCustomer, eraseReasons, filesLeft } from '../../db/erasures.ts';
import { listLooks, lookedAt, writeLook, type Look } from '../../db/looks.ts';
import { everyShop, serves, type Person } from '../../db/people.ts';
import { inTransaction, type Sql } from '../../db/pool.ts';
import type { AppDeps } from '../deps.ts';
import { exported, exportSchema } from '../export.ts';
import { inLanguageOf } from '../language.ts';
import { whyLook } from '../looking.ts';
import { page, pagingByRow } from '../paging.ts';
import { Problem } from '../problems.ts';
import { route, type Route } from '../route.ts';
import { removeErased } from '../uploads.ts';
import { pageOf, roleSchema } from '../views.ts';

const at = z.iso.datetime();
export const lookSchema = z
  .object({
    id: z.int(),
    person: z.string(),
    roles: z.array(roleSchema).describe('As they were'),
    case: z.string(),
    shop: z.string(),
    customer: z.string().nullable(),
    what: z
      .enum(lookedAt)
      .describe('`words`: all that people wrote in the case; `evidence`: one file; `export`: the case, as part of all that is held on its customer'),
    evidence: z.string().nullable().describe('Which file'),
    why: whyLook,
    at,
  })
  .meta({ id: 'Look', description: "Somebody saw a customer's data unmasked" });
const lookView = ({ roles, ...look }: Look): z.output<typeof lookSchema> => ({ ...look, roles: [...roles] });

const erasureSchema = z
  .object({
    customer: z.string(),
    at,
    by: z.string(),
    why: z.enum(eraseReasons),
    cases: z.int().describe('That it was about'),
    texts: z.int().describe('That were erased'),
    files: z.int().describe('That were erased'),
    links: z.int().describe('That were revoked'),
    filesLeft: z.int().describe('Files that nobody can open any more, whose bytes have still to be deleted from the store: ask again'),
  })
  .meta({ id: 'Erasure' });

/** A customer has a few files; a folder or a bucket deletes each in milliseconds. */
const removeWithinMs = 3000;

const customerParam = z.object({ customer: z.string().min(1).max(200).describe("The platform's pseudonym, percent-encoded").meta({ example: 'c_1001' }) });

/** All cases of a customer, for who serves every shop that they are of: half of a customer is neither told nor erased. */
async function wholeCustomer(sql: Sql, person: Person, customer: string): Promise<CaseRow[]> {
  const rows = await casesOfCustomer(sql, customer);
  // Of cases that are nobody's shop yet the customer is known by another of theirs.
  const shops = [...new Set(rows.map(({ shop }) => shop))].filter((shop) => shop !== everyShop);
  // Who serves none of them does not learn that they exist.
  if (!shops.some((shop) => serves(person, shop))) throw new Problem('customerNotFound', { customer });
  const other = shops.filter((shop) => !serves(person, shop));
  if (other.length > 0) throw new Problem('otherShop', { person: person.id, shop: other });
  return rows;
}

export function privacyRoutes(deps: AppDeps): Route[] {
  const { pool } = deps;
  return [
    route({
      id: 'listLooks',
      method: 'get',
      path: '/v1/looks',
      tag: 'Privacy',
      summary: "Who looked at customers' data unmasked, newest first",
      query: z.strictObject({
        person: z.string().max(200).optional(),
        customer: z.string().max(200).optional(),
        case: z.string().max(500).optional(),
        ...pagingByRow,
      }),
      replies: { 200: { description: 'A page', schema: pageOf(lookSchema) } },
      run: async ({ query: { cursor, limit, ...filter }, person }) => {
        const rows = await listLooks(pool, { ...filter, shops: person.shops }, cursor, limit + 1);
        return { status: 200, body: page(rows, limit, lookView, ({ id }) => [String(id), '']) };
      },
    }),
    route({
      id: 'exportCustomer',
      method: 'get',
      path: '/v1/customers/{customer}/export',
      tag: 'Privacy',
      summary: 'All that is held on a customer',
      description:
        'Every case in words, what was written in it, its files by name, links, and who looked. Logged as a look at each case. For a manager who serves every shop of the customer.',
      params: customerParam,
      query: z.strictObject({ why: whyLook.default('customerAsked'), ...inLanguageOf }),
      replies: { 200: { description: 'One JSON document, sent case by case', schema: exportSchema } },
      problems: ['customerNotFound', 'otherShop'],
      run: async ({ params: { customer }, query: { why }, person, language, log }) => {
        const rows = await inTransaction(pool, async (tx) => {
          const theirs = await wholeCustomer(tx, person, customer);
          for (const row of theirs) await writeLook(tx, row, person, { what: 'export', why });
          return theirs;
        });
        log.info({ audit: 'exported', customer, person: person.id, cases: rows.length }, 'a customer’s data was exported');
        return {
          status: 200,
          type: 'application/json',
          stream: Readable.from(exported(deps, customer, rows, language)),
          headers: { 'Content-Disposition': 'attachment; filename="customer.json"' },
        };
      },
    }),
    route({
      id: 'eraseCustomer',
      method: 'post',
      path: '/v1/customers/{customer}/erase',
      tag: 'Privacy',
      summary: 'Erase what a customer wrote and sent',
      description:
        "Their key is dropped, and with it every text and file of theirs; links are revoked, what was still to be sent to them is held. What stays are the records of the business: the platform's ids, goods, amounts, decisions. It cannot be taken back. Again, with nothing new since: the same answer. For a manager who serves every shop of the customer.",
      params: customerParam,
      body: z.strictObject({ reason: z.enum(eraseReasons) }),
      replies: { 201: { description: 'Erased', schema: erasureSchema }, 200: { description: 'It was done before', schema: erasureSchema } },
      problems: ['customerNotFound', 'otherShop', 'customerHasOpenCases'],
      run: async ({ params: { customer }, body, person, log }) => {
        const { erasure, again } = await inTransaction(pool, async (tx) => {
          await wholeCustomer(tx, person, customer);
          return eraseCustomer(tx, { customer, by: person.id, why: body.reason });
        });
        if (!again) log.info({ audit: 'erased', customer, person: person.id, erasure: erasure.id }, 'a customer was erased');
        // Gone by the answer, where the store answers soon; what is left the sweep deletes.
        const removing = removeErased(deps).catch((failure: unknown) =>
          log.warn({ error: failure instanceof Error ? failure.message : String(failure) }, 'erased files could not be deleted; the sweep will'),
        );
        await Promise.race([removing, pause(removeWithinMs, undefined, { ref: false })]);
        const { id: _, ...told } = erasure;
        const cases = await casesOfCustomer(pool, customer);
        return {
          status: again ? 200 : 201,
          body: {
            ...told,
            filesLeft: await filesLeft(
              pool,
              cases.map(({ id }) => id),
            ),
          },
        };
      },
    }),
  ];
}
