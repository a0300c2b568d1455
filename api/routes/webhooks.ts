import { Counter } from 'prom-client';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import { z } from 'zod';
import { storeInbound } from '../../db/inbox.ts';
import { recordState } from '../../db/outside-states.ts';
import { inTransaction, type Sql } from '../../db/pool.ts';
import { note } from '../../db/timeline.ts';
import { settleLate } from '../../delivery/late.ts';
import { policyFor } from '../../policies/lookup.ts';
import { webhookBody, type SystemEventContract } from '../../systems/contract.ts';
import type { CaseId } from '../../values/ids.ts';
import { parseInstant } from '../../values/instant.ts';
import type { Bringing } from '../bringing.ts';
import type { AppDeps } from '../deps.ts';
import { fieldErrors } from '../fields.ts';
import { inLanguage } from '../language.ts';
import { Problem } from '../problems.ts';
import { route, type Reply, type Route } from '../route.ts';
import { delivery } from '../views.ts';
import { whatBecame } from '../acting.ts';

const reply = z.object({
  became: z
    .string()
    .describe(
      '`taken`: by its case; `waits`: no case has its key yet; `state`: its case waits for other states; `note`, `start:<case>`: its case has ended; `unused`: no process takes this event',
    ),
  delivery: delivery.optional(),
});

export function webhookRoutes(deps: AppDeps, bringing: Bringing): Route[] {
  const { pool, processes, systems, policy } = deps;
  /** `<system>.<event>` that any process declares: the others would wait for a case for ever. */
  const used: ReadonlySet<string> = new Set(
    [...processes.values()].flatMap(({ declaration }) => Object.values(declaration.events).flatMap(({ from }) => from ?? [])),
  );
  const limit = policyFor(policy.policy, '').cases.inboxLimit;
  const received = new Counter({
    name: 'kefu_webhooks_total',
    help: 'Webhooks by what came of each: stored, duplicate, or the problem for which it was refused',
    labelNames: ['source', 'result'],
    registers: [deps.metrics],
  });
  /** Counts what came of a webhook. Whoever calls may write any source into the address: one that we do not know has no label of its own. */
  async function counted(named: string, receive: () => Promise<Reply>): Promise<Reply> {
    const source = Object.hasOwn(systems, named) ? named : 'unknown';
    try {
      const answer = await receive();
      received.inc({ source, result: answer.status === 200 ? 'duplicate' : 'stored' });
      return answer;
    } catch (error) {
      received.inc({ source, result: error instanceof Problem ? error.code : 'fault' });
      throw error;
    }
  }

  return [
    route({
      id: 'receiveWebhook',
      method: 'post',
      path: '/v1/webhooks/{source}',
      tag: 'Webhooks',
      summary: 'What an outside system tells us',
      description:
        'Signed per Standard Webhooks over the raw body: headers webhook-id, webhook-timestamp, webhook-signature. `type` is an event of the contract, `data` its payload.',
      params: z.object({ source: z.string().min(1).max(100).meta({ example: 'finance' }) }),
      body: webhookBody,
      example: {
        type: 'refundState',
        timestamp: '2026-11-23T03:00:00.000Z',
        data: {
          refundId: 'RF-1',
          key: 'return-exchange.O-1.R-1/refund',
          orderId: 'O-1',
          paymentId: 'P-1',
          amount: { minor: 5000, currency: 'CNY' },
          state: 'arrived',
          at: '2026-11-23T03:00:00.000Z',
        },
      },
      replies: { 202: { description: 'Stored', schema: reply }, 200: { description: 'It was here before', schema: reply } },
      problems: ['badSignature', 'unknownSource', 'unknownEvent', 'eventConflict', 'inboxFull'],
      run: ({ params, body, request, language }) =>
        counted(params.source, async () => {
          const { source } = params;
          const system = Object.hasOwn(systems, source) ? systems[source] : undefined;
          if (system === undefined) throw new Problem('unknownSource', { source });
          const raw = body as unknown as Buffer;
          const eventId = verified(raw, request.headers, deps.webhookSecrets(source));
          const message = parsed(webhookBody, json(raw), '');
          const event = Object.hasOwn(system.events, message.type) ? system.events[message.type] : undefined;
          if (event === undefined) throw new Problem('unknownEvent', { event: message.type, of: source, known: Object.keys(system.events) });
          const payload = parsed(event.payload, message.data, 'data');

          const name = `${source}.${message.type}`;
          const at = parseInstant(message.timestamp);
          const key = event.key(payload as never);
          if (!used.has(name)) {
            await keepState(pool, event, { name, key, payload });
            return { status: 202, body: { became: 'unused' } };
          }
          const { stored, opened } = await inTransaction(pool, async (tx) => {
            const arrived = await storeInbound(tx, {
              source: name,
              eventId,
              kind: 'event',
              name: message.type,
              correlationKey: key,
              body: payload,
              at,
              state: event.state?.(payload as never).state,
              limit,
            });
            if (arrived.status === 'stored') await keepState(tx, event, { name, key, payload, of: arrived.caseId, row: arrived.id });
            const late = arrived.status === 'stored' && arrived.became === 'late' && arrived.caseId !== undefined;
            return { stored: arrived, opened: late ? await settleLate(tx, processes, arrived.caseId) : [] };
          });
          if (stored.status === 'differs') throw new Problem('eventConflict', { eventId });
          if (stored.status === 'tooMany') throw new Problem('inboxFull', { case: stored.caseId });
          await bringing.startAll(opened);
          const status = stored.status === 'duplicate' ? 200 : 202;
          if (stored.caseId === undefined) return { status, body: { became: 'waits' } };
          const became = await whatBecame(pool, stored);
          return { status, body: became === 'taken' ? { became, delivery: await bringing.deliver(stored.caseId) } : { became } };

          function parsed<S extends z.ZodType>(schema: S, value: unknown, prefix: string): z.output<S> {
            const result = schema.safeParse(value, inLanguage(language));
            if (!result.success) throw new Problem('invalid', {}, { errors: fieldErrors(result.error, prefix) });
            return result.data;
          }
        }),
    }),
  ];
}

/** The event's id, once the signature over the raw bytes holds under one of the secrets and is at most five minutes old. */
function verified(raw: Buffer, headers: Readonly<Record<string, unknown>>, secrets: readonly string[]): string {
  const text = (name: string): string => (typeof headers[name] === 'string' ? headers[name] : '');
  const id = text('webhook-id');
  const signed = { 'webhook-id': id, 'webhook-timestamp': text('webhook-timestamp'), 'webhook-signature': text('webhook-signature') };
  // The check reads a number from whatever begins with one; only what was signed is taken.
  const holds =
    /^\d{1,12}$/.test(signed['webhook-timestamp']) &&
    secrets.some((secret) => {
      try {
        new Webhook(secret).verify(raw, signed, { jsonParse: false });
        return true;
      } catch (error) {
        if (error instanceof WebhookVerificationError) return false;
        throw error;
      }
    });
  if (!holds || id.length > 200) throw new Problem('badSignature');
  return id;
}

function json(raw: Buffer): unknown {
  try {
    return JSON.parse(raw.toString('utf8'));
  } catch {
    throw new Problem('malformed');
  }
}

async function keepState(
  tx: Sql,
  event: SystemEventContract,
  {
    name,
    key,
    payload,
    of,
    row,
  }: { readonly name: string; readonly key: string; readonly payload: unknown; readonly of?: CaseId | undefined; readonly row?: number },
): Promise<void> {
  if (event.state === undefined) return;
  const state = event.state(payload as never);
  await recordState(tx, { source: name, key, ...state });
  if (of !== undefined) await note(tx, of, `state:${row}`, 'outsideState', { event: name, key, state: state.state, at: state.at });
}
