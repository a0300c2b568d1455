/** Payloads as Temporal's page and command line send them to a codec server: protobuf's JSON. */
import type { Payload, PayloadCodec } from '@temporalio/common';
import { z } from 'zod';
import { isSealed } from '../delivery/codec.ts';

/** An event has a handful of payloads; a history of ours some hundreds, and its page asks event by event. */
export const mostPayloads = 1000;

const base64 = z.string().regex(/^[A-Za-z0-9+/_-]*={0,2}$/, 'base64');
const payloadSchema = z.object({
  metadata: z.record(z.string().max(200), base64).optional(),
  data: base64.optional(),
  /** Of one that is kept outside Temporal: it goes back as it came. */
  externalPayloads: z
    .array(z.object({ sizeBytes: z.union([z.string(), z.number()]).optional() }))
    .max(100)
    .optional(),
});
export const payloadsSchema = z.object({ payloads: z.array(payloadSchema).max(mostPayloads) });
type JsonPayload = z.output<typeof payloadSchema>;

const fromJson = ({ metadata, data }: JsonPayload): Payload => ({
  metadata: Object.fromEntries(Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value, 'base64')])),
  ...(data === undefined ? {} : { data: Buffer.from(data, 'base64') }),
});

const toJson = ({ metadata, data }: Payload): JsonPayload => ({
  metadata: Object.fromEntries(Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString('base64')])),
  ...(data ? { data: Buffer.from(data).toString('base64') } : {}),
});

/** A payload that does not open: which of those that were sent, and why. */
export class NotOpened extends Error {
  override readonly name = 'NotOpened';
  readonly at: number;
  constructor(at: number, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.at = at;
  }
}

/** Opens what our codec has sealed; what it has not, stays as it is. Throws NotOpened. */
export const decoded = (codec: PayloadCodec, payloads: readonly JsonPayload[]): Promise<JsonPayload[]> =>
  Promise.all(
    payloads.map(async (json, at) => {
      const payload = fromJson(json);
      if (!isSealed(payload)) return json;
      try {
        const [opened] = await codec.decode([payload]);
        return opened === undefined ? json : toJson(opened);
      } catch (error) {
        throw new NotOpened(at, error);
      }
    }),
  );

/** Seals payloads that someone has written by hand. What is sealed already stays as it is. */
export const encoded = (codec: PayloadCodec, payloads: readonly JsonPayload[]): Promise<JsonPayload[]> =>
  Promise.all(
    payloads.map(async (json) => {
      const payload = fromJson(json);
      if (isSealed(payload)) return json;
      const [sealed] = await codec.encode([payload]);
      return sealed === undefined ? json : toJson(sealed);
    }),
  );
