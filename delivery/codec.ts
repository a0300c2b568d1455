/** Seals every payload of a history: AES-256-GCM under a master key that can be rotated. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import { keysOfFile, type Report } from '../keys/file.ts';
import type { Keys, Purpose } from '../keys/ring.ts';

const encoding = 'binary/kefu-sealed';
const ivBytes = 12;
const tagBytes = 16;
const text = new TextEncoder();
// A CommonJS package: its names come with the default import only.
const { Payload: Sealed } = proto.temporal.api.common.v1;

export const codecKeyPurpose: Purpose = { name: 'codec' };

/** The codec's keys in a file, read again when it changes; throws an Error that names the file when it cannot be read or holds none. */
export const codecKeysOf = (file: string, report: Report): Keys => keysOfFile(file, codecKeyPurpose, report);

/** The codec of client and worker. A payload it did not seal passes through, so that histories from before a key existed still read. */
export const sealingCodec = (keys: Keys): PayloadCodec => ({
  // Async, so that what does not open rejects and does not throw at the caller.
  encode: async (payloads) => {
    const { id, key } = keys.sealing();
    return payloads.map((payload) => seal(payload, id, key));
  },
  decode: async (payloads) => payloads.map((payload) => (isSealed(payload) ? open(payload, keys) : payload)),
});

/** Whether this codec has sealed it. */
export const isSealed = ({ metadata }: Payload): boolean => metadata?.['encoding'] !== undefined && Buffer.from(metadata['encoding']).toString() === encoding;

function seal(payload: Payload, id: string, key: Buffer): Payload {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  const sealed = Buffer.concat([iv, cipher.update(Sealed.encode(payload).finish()), cipher.final(), cipher.getAuthTag()]);
  return { metadata: { encoding: text.encode(encoding), 'key-id': text.encode(id) }, data: sealed };
}

function open({ metadata, data }: Payload, keys: Keys): Payload {
  const id = Buffer.from(metadata?.['key-id'] ?? []).toString();
  const found = keys.find(id);
  if (found === undefined)
    throw new Error(`a payload is sealed under key "${id}", which this process does not have: put it into CODEC_KEY_FILE (docs/keys.md, "A key is missing")`);
  const bytes = Buffer.from(data ?? []);
  if (bytes.length < ivBytes + tagBytes) throw new RangeError('a sealed payload is cut off');
  const decipher = createDecipheriv('aes-256-gcm', found.key, bytes.subarray(0, ivBytes));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
  return Sealed.decode(Buffer.concat([decipher.update(bytes.subarray(ivBytes, bytes.length - tagBytes)), decipher.final()]));
}
