/** The connection to Temporal, with our codec and search attributes. */
import { Client, Connection, defaultGrpcRetryOptions, isGrpcServiceError, makeGrpcRetryInterceptor, ServiceError } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import type { Keys } from '../keys/ring.ts';
import { sealingCodec } from './codec.ts';

/** What operators search by in the Temporal UI. Ids, categories and pseudonyms only. */
export const searchAttributes = {
  process: defineSearchAttributeKey('KefuProcess', 'KEYWORD'),
  shop: defineSearchAttributeKey('KefuShop', 'KEYWORD'),
  stage: defineSearchAttributeKey('KefuStage', 'KEYWORD'),
  order: defineSearchAttributeKey('KefuOrder', 'KEYWORD'),
  customer: defineSearchAttributeKey('KefuCustomer', 'KEYWORD'),
} as const;

export interface TemporalConfig {
  readonly address: string;
  readonly namespace: string;
  readonly codecKeys: Keys;
}

/** gRPC's own pauses between tries to connect grow to two minutes: after a long outage nothing would be delivered for as long. */
const channelArgs = { 'grpc.initial_reconnect_backoff_ms': 500, 'grpc.max_reconnect_backoff_ms': 5000 };
/** Three tries in half a second bridge a lost connection. The SDK's ten take eight seconds, whatever the deadline of the call; what is not delivered now, the sweep delivers. */
const retry = makeGrpcRetryInterceptor(defaultGrpcRetryOptions({ maxAttempts: 3 }));

/** A client that connects at its first call, so that our processes start and serve while Temporal is away. */
export function connectTemporal({ address, namespace, codecKeys }: TemporalConfig): Client {
  return new Client({
    connection: Connection.lazy({ address, channelArgs, interceptors: [retry] }),
    namespace,
    dataConverter: { payloadCodecs: [sealingCodec(codecKeys)] },
  });
}

/** 2 s: a person waits for the answer, and what is not delivered now is delivered by the sweep. */
export const callDeadline = (): number => Date.now() + 2000;

/** gRPC's codes for a no to this very call: invalid argument, not found, exists, permission, precondition, out of range, unimplemented, unauthenticated. */
const refusals: readonly number[] = [3, 5, 6, 7, 9, 11, 12, 16];

/** Whether Temporal could not be reached or did not answer in time, as opposed to refusing the call. */
export function isTemporalAway(error: unknown): boolean {
  const cause = error instanceof ServiceError ? error.cause : error;
  return isGrpcServiceError(cause) && !refusals.includes(cause.code);
}
