/** Links that open a case to its customer: made, listed and revoked by whoever serves the shop. */
import { z } from 'zod';
import { lockCase } from '../../db/cases.ts';
import { linksOf, linkUrl, makeLink, revokeLink, type Link } from '../../db/links.ts';
import { inTransaction } from '../../db/pool.ts';
import { durationText, parseDuration } from '../../policies/duration.ts';
import { policyFor } from '../../policies/lookup.ts';
import { instant, plus } from '../../values/instant.ts';
import type { AppDeps } from '../deps.ts';
import type { Language } from '../language.ts';
import { Problem } from '../problems.ts';
import { route, type Route } from '../route.ts';
import { caseFor, caseParam } from './cases.ts';

const at = z.iso.datetime();
const linkSchema = z
  .object({
    id: z.string(),
    madeBy: z.string().describe('A person, or `message`: made to be sent with one'),
    language: z.enum(['zh', 'en']),
    status: z.enum(['open', 'expired', 'revoked']),
    madeAt: at,
    expiresAt: at,
    revokedAt: at.nullable(),
    usedAt: at.nullable().describe('Last time, to the minute'),
  })
  .meta({ id: 'CustomerLink', description: 'Without its address, which is told once, when it is made' });

function linkView({ caseId: _caseId, ...link }: Link): z.output<typeof linkSchema> {
  return { ...link, status: link.revokedAt !== null ? 'revoked' : link.expiresAt <= instant(Date.now()) ? 'expired' : 'open' };
}

/** How long a link holds: what is asked for, up to the policy's lifetime. */
function lifetime(asked: string | undefined, most: number, language: Language): number {
  if (asked === undefined) return most;
  const refuse = (message: string): never => {
    throw new Problem('invalid', {}, { errors: [{ path: 'expiresIn', message }] });
  };
  try {
    const span = parseDuration(asked);
    if (!('ms' in span) || span.ms === 0) return refuse('30m, 12h, 7d');
    return span.ms <= most ? span.ms : refuse(`≤ ${durationText({ ms: most }, language)}`);
  } catch (error) {
    if (error instanceof RangeError) return refuse(error.message);
    throw error;
  }
}

export const linkRoutes = ({ pool, links, policy }: AppDeps): Route[] => [
  route({
    id: 'makeLink',
    method: 'post',
    path: '/v1/cases/{id}/links',
    tag: 'Customers',
    summary: "Make a link for the case's customer",
    description:
      'Whoever has it sees the case as its customer and acts for them: follow, choose, upload, tell, withdraw. Its address is told once and kept nowhere. Messages to the customer carry a link of their own.',
    params: caseParam,
    body: z.strictObject({
      language: z.enum(['zh', 'en']).default('zh'),
      expiresIn: z
        .string()
        .max(20)
        .optional()
        .describe("`30m`, `12h`, `7d`; at most, and by default, the policy's `customer.linkLifetime`")
        .meta({ example: '7d' }),
    }),
    replies: {
      201: {
        description: 'Made',
        schema: z.object({ id: z.string(), url: z.url(), language: z.enum(['zh', 'en']), expiresAt: at }),
        leadsTo: { listLinks: { id: '$request.path.id' }, revokeLink: { id: '$request.path.id', link: '$response.body#/id' } },
      },
    },
    problems: ['caseNotFound', 'tooManyLinks'],
    run: async ({ params, body, person, language }) => {
      const row = await caseFor(pool, person, params.id);
      const ms = lifetime(body.expiresIn, policyFor(policy.policy, row.shop).customer.linkLifetime.ms, language);
      const link = await inTransaction(pool, async (tx) => {
        // Under the case's lock, so that the most a case may have is the most it has.
        await lockCase(tx, row.id);
        return makeLink(tx, { caseId: row.id, madeBy: person.id, language: body.language, expiresAt: plus(instant(Date.now()), ms) });
      });
      return { status: 201, body: { id: link.id, url: linkUrl(links, link), language: link.language, expiresAt: link.expiresAt } };
    },
  }),
  route({
    id: 'listLinks',
    method: 'get',
    path: '/v1/cases/{id}/links',
    tag: 'Customers',
    summary: "Links of the case's customer, the newest first",
    params: caseParam,
    replies: { 200: { description: 'Links', schema: z.object({ items: z.array(linkSchema) }) } },
    problems: ['caseNotFound'],
    run: async ({ params, person }) => {
      const { id } = await caseFor(pool, person, params.id);
      return { status: 200, body: { items: (await linksOf(pool, id)).map(linkView) } };
    },
  }),
  route({
    id: 'revokeLink',
    method: 'post',
    path: '/v1/cases/{id}/links/{link}/revoke',
    tag: 'Customers',
    summary: 'Withdraw a link: from now on it opens nothing',
    params: caseParam.extend({ link: z.string().min(1).max(100) }),
    replies: { 200: { description: 'The link as it stands', schema: linkSchema } },
    problems: ['caseNotFound', 'linkNotFound'],
    run: async ({ params, person }) => {
      const { id } = await caseFor(pool, person, params.id);
      return { status: 200, body: linkView(await inTransaction(pool, (tx) => revokeLink(tx, id, params.link, person.id))) };
    },
  }),
];
