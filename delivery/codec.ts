/** Seals every payload of a history: AES-256-GCM under a master key that can be rotated. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';

const encoding = 'binary/kefu-sealed';
const ivBytes = 12;
const tagBytes = 16;
const text = new TextEncoder();
// A CommonJS package: its names come with the default import only.
const { Payload: Sealed } = proto.temporal.api.common.v1;

/** Keys by id; the first one seals, all of them open. */
export type CodecKeys = readonly { readonly id: string; readonly key: Buffer }[];

/** Parses `<id>:<base64 of 32 bytes>` lines, newest first; blank lines are skipped. Throws when a line is no such key. */
export function parseCodecKeys(content: string): CodecKeys {
  const keys = content
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [id = '', base64 = ''] = line.includes(':') ? line.trim().split(':') : ['1', line.trim()];
      const key = Buffer.from(base64, 'base64');
      if (id === '' || key.length !== 32) throw new Error('a codec key is "<id>:<base64 of 32 bytes>", one per line, the newest first');
      return { id, key };
    });
  if (keys.length === 0) throw new Error('the codec key file is empty');
  return keys;
}

export const readCodecKeys = (file: string): CodecKeys => parseCodecKeys(readFileSync(file, 'utf8'));

/** The codec of client and worker. A payload it did not seal passes through, so that histories from before a key existed still read. */
export function sealingCodec(keys: CodecKeys): PayloadCodec {
  const [newest] = keys;
  if (newest === undefined) throw new Error('the codec has no key');
  const byId = new Map(keys.map((k) => [k.id, k.key]));
  return {
    // Async, so that what does not open rejects and does not throw at the caller.
    encode: async (payloads) => payloads.map((payload) => seal(payload, newest.id, newest.key)),
    decode: async (payloads) => payloads.map((payload) => open(payload, byId)),
  };
}

function seal(payload: Payload, id: string, key: Buffer): Payload {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  const sealed = Buffer.concat([iv, cipher.update(Sealed.encode(payload).finish()), cipher.final(), cipher.getAuthTag()]);
  return { metadata: { encoding: text.encode(encoding), 'key-id': text.encode(id) }, data: sealed };
}

function open(payload: Payload, keys: ReadonlyMap<string, Buffer>): Payload {
  const { metadata, data } = payload;
  if (!metadata?.['encoding'] || Buffer.from(metadata['encoding']).toString() !== encoding) return payload;
  const id = Buffer.from(metadata['key-id'] ?? []).toString();
  const key = keys.get(id);
  if (key === undefined || !data) throw new Error(`a payload is sealed under key "${id}", which this process does not have`);
  const bytes = Buffer.from(data);
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, ivBytes));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
  return Sealed.decode(Buffer.concat([decipher.update(bytes.subarray(ivBytes, bytes.length - tagBytes)), decipher.final()]));
}
