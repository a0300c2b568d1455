/** The customer's side over JSON: for an app or a platform that shows the case itself. Each call is for the case of its link alone. */
import { z } from 'zod';
import { linkUrl } from '../../db/links.ts';
import { createCustomer } from '../customer/acts.ts';
import { customerEvidence, customerEvidenceSchema, follow, followSchema } from '../customer/follow.ts';
import type { Acting } from '../acting.ts';
import type { AppDeps } from '../deps.ts';
import { customerRoute, type Route } from '../route.ts';
import type { Uploads } from '../uploads.ts';
import { arrivalSchema, delivery } from '../views.ts';
import { reasonCode } from './cases.ts';
import { fileReply, filesBody, uploadedSchema } from './evidence.ts';
import { freeText } from '../../values/schemas.ts';

export const tokenParam = z.object({ token: z.string().max(200).describe('The part of a link after `/c/`. Whoever has it acts for the customer') });
export const languageQuery = z.object({ lang: z.enum(['zh', 'en']).optional().describe("Instead of the link's language").catch(undefined) });

const customerUploaded = uploadedSchema.extend({ evidence: z.array(customerEvidenceSchema) });

export function customerRoutes(deps: AppDeps, acting: Acting, uploads: Uploads): Route[] {
  const { pool, links } = deps;
  const act = createCustomer(deps, acting, uploads);
  return [
    customerRoute({
      id: 'customerFollow',
      method: 'get',
      path: '/v1/c/{token}',
      tag: 'Customers',
      summary: 'The case as its customer sees it: where it stands, what they were told, what they may do',
      params: tokenParam,
      query: languageQuery,
      replies: { 200: { description: 'The case', schema: followSchema } },
      run: async ({ customer: { row, link }, language }) => ({
        status: 200,
        body: (await follow(pool, row, language, uploads.allowed(row), linkUrl(links, link), deps)).view,
      }),
    }),
    customerRoute({
      id: 'customerComplete',
      method: 'post',
      path: '/v1/c/{token}/tasks/{task}/complete',
      tag: 'Customers',
      summary: 'Answer what waits for the customer',
      description: 'The same answer again gets the same reply.',
      params: tokenParam.extend({ task: z.string().min(1).max(500).describe('Percent-encode it') }),
      query: languageQuery,
      body: z.strictObject({ form: z.unknown().describe("As the task's `schema` says") }),
      replies: { 200: { description: 'Answered', schema: z.object({ delivery }) } },
      problems: ['taskNotFound', 'choiceMade', 'formChanged'],
      run: async ({ customer: { row }, params, body, language }) => ({
        status: 200,
        body: { delivery: await act.complete(row, params.task, body.form, language) },
      }),
    }),
    customerRoute({
      id: 'customerEvent',
      method: 'post',
      path: '/v1/c/{token}/events/{event}',
      tag: 'Customers',
      summary: 'Tell us something',
      description: 'One of the `events` that the case names. The same id with the same payload is the same event.',
      params: tokenParam.extend({ event: z.string().min(1).max(100) }),
      query: languageQuery,
      body: z.strictObject({ eventId: z.string().min(1).max(200), payload: z.unknown() }),
      replies: { 202: { description: 'Stored', schema: arrivalSchema }, 200: { description: 'Sent before', schema: arrivalSchema } },
      problems: ['unknownEvent', 'eventConflict', 'inboxFull'],
      run: async ({ customer: { row }, params, body, language }) => {
        const { duplicate, ...arrived } = await act.tell(row, { event: params.event, ...body }, language);
        return { status: duplicate ? 200 : 202, body: arrived };
      },
    }),
    customerRoute({
      id: 'customerUpload',
      method: 'post',
      path: '/v1/c/{token}/evidence',
      tag: 'Customers',
      summary: 'Upload photos and videos: all of them, or none',
      params: tokenParam,
      query: languageQuery,
      body: filesBody,
      takes: 'upload',
      replies: { 201: { description: 'Kept', schema: customerUploaded }, 200: { description: 'All of it was there before', schema: customerUploaded } },
      problems: ['inboxFull'],
      run: async ({ customer: { row }, language, request }) => {
        const { evidence, repeated, told } = await act.upload(request, row, language);
        return { status: repeated ? 200 : 201, body: { evidence: evidence.map(customerEvidence(row)), ...(told ? { told } : {}) } };
      },
    }),
    customerRoute({
      id: 'customerEvidence',
      method: 'get',
      // The page's links lead here too: it has nothing else below its address.
      path: '/c/{token}/evidence/{evidence}',
      tag: 'Customers',
      summary: 'A photo or video of the case',
      params: tokenParam.extend({ evidence: z.string().min(1).max(100) }),
      query: languageQuery,
      replies: { 200: fileReply },
      problems: ['evidenceNotFound', 'evidenceErased'],
      run: async ({ customer: { row }, params }) => {
        const { evidence: _, ...reply } = await uploads.give(params.evidence, ({ caseId }) => Promise.resolve(caseId === row.id));
        return reply;
      },
    }),
    customerRoute({
      id: 'customerWithdraw',
      method: 'post',
      path: '/v1/c/{token}/withdraw',
      tag: 'Customers',
      summary: 'Withdraw the request',
      params: tokenParam,
      query: languageQuery,
      body: z.strictObject({ reason: reasonCode, note: freeText() }),
      replies: { 202: { description: 'Asked for', schema: arrivalSchema }, 200: { description: 'It was withdrawn before', schema: arrivalSchema } },
      problems: ['caseEnded', 'noReturn'],
      run: async ({ customer: { row }, body }) => {
        const arrived = await act.withdraw(row, body);
        return { status: arrived.became === 'withdrawn' ? 200 : 202, body: arrived };
      },
    }),
  ];
}
