/** Evidence, for the people of the shop and for calling systems. */
import { z } from 'zod';
import { findCase } from '../../db/cases.ts';
import { evidenceOf } from '../../db/evidence.ts';
import { serves } from '../../db/people.ts';
import type { AppDeps } from '../deps.ts';
import { look, lookBody, whoLooks } from '../looking.ts';
import { route, type Route } from '../route.ts';
import type { Uploads } from '../uploads.ts';
import { arrivalSchema, evidenceSchema, evidenceView } from '../views.ts';
import { caseFor, caseParam } from './cases.ts';

/** How files come: a part each. For the document; the body is read as it comes. */
export const filesBody = z.object({
  file: z
    .array(z.string().meta({ format: 'binary' }))
    .min(1)
    .describe('One part named `file` for each photo or video'),
});
export const uploadedSchema = z.object({
  evidence: z.array(evidenceSchema),
  told: arrivalSchema.optional().describe('What became of the event that tells the case; absent where its process hears of no evidence, or had it'),
});
/** Its type is what its bytes are. */
export const fileReply = { description: 'The file', schema: z.string().meta({ format: 'binary' }), type: '*/*' } as const;

export const evidenceRoutes = ({ pool }: AppDeps, uploads: Uploads): Route[] => [
  route({
    id: 'addEvidence',
    method: 'post',
    path: '/v1/cases/{id}/evidence',
    tag: 'Cases',
    summary: 'Upload photos and videos into a case',
    description:
      'All of them, or none. What a file is, its bytes say. The same bytes again are the same evidence, so an upload that got no answer is simply sent again. The case hears of new evidence by the event that its process declares for it.',
    params: caseParam,
    body: filesBody,
    takes: 'upload',
    replies: { 201: { description: 'Kept', schema: uploadedSchema }, 200: { description: 'All of it was there before', schema: uploadedSchema } },
    problems: ['caseNotFound', 'inboxFull'],
    run: async ({ params, person, language, request }) => {
      const row = await caseFor(pool, person, params.id);
      const { evidence, repeated, told } = await uploads.take(request, row, { person, language });
      return { status: repeated ? 200 : 201, body: { evidence: evidence.map(evidenceView), ...(told ? { told } : {}) } };
    },
  }),
  route({
    id: 'listEvidence',
    method: 'get',
    path: '/v1/cases/{id}/evidence',
    tag: 'Cases',
    summary: 'What was uploaded into a case, in the order it came',
    params: caseParam,
    description: 'What was uploaded, by whom and when; who needs to see a file looks at it (`POST /v1/evidence/{evidence}/look`).',
    replies: { 200: { description: 'Files, without their bytes', schema: z.object({ items: z.array(evidenceSchema) }) } },
    problems: ['caseNotFound'],
    run: async ({ params, person }) => {
      const { id } = await caseFor(pool, person, params.id);
      return { status: 200, body: { items: (await evidenceOf(pool, id)).map(evidenceView) } };
    },
  }),
  route({
    id: 'lookAtEvidence',
    method: 'post',
    path: '/v1/evidence/{evidence}/look',
    tag: 'Privacy',
    summary: 'An uploaded photo or video',
    description: `It may show people and homes. ${whoLooks} Always to be saved, never shown as a page of ours.`,
    params: z.object({ evidence: z.string().min(1).max(100) }),
    body: lookBody,
    replies: { 200: fileReply },
    problems: ['evidenceNotFound', 'evidenceErased', 'lookNotAllowed'],
    run: async ({ params, body, person, log }) => {
      const { evidence: _, ...reply } = await uploads.give(params.evidence, async ({ id, caseId }) => {
        const row = await findCase(pool, caseId);
        if (row === undefined || !serves(person, row.shop)) return false;
        await look({ pool }, row, person, { what: 'evidence', evidence: id, why: body.why }, log);
        return true;
      });
      return reply;
    },
  }),
];
