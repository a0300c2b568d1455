/** A file on its way into the store: what it is, whether it may come, how large, its hash; sealed; never whole in memory. */
import { createHash } from 'node:crypto';
import { fileTypeFromBuffer } from 'file-type';
import type { PolicyValues } from '../policies/schema.ts';
import { sealed } from './sealing.ts';
import type { EvidenceStore } from './store.ts';

/** What the policy lets a customer upload. */
export type Uploads = PolicyValues['evidence'];
const kinds = ['photo', 'video'] as const satisfies readonly (keyof Uploads)[];
type Kind = (typeof kinds)[number];

export interface Received {
  readonly kind: Kind;
  readonly type: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Why a file may not come. */
export class NotTaken extends Error {
  override readonly name = 'NotTaken';
  readonly why: 'type' | 'tooLarge' | 'empty';
  /** The largest it may be. */
  readonly maxMegabytes: number | undefined;
  constructor(why: NotTaken['why'], maxMegabytes?: number) {
    super(why);
    this.why = why;
    this.maxMegabytes = maxMegabytes;
  }
}

/** Of a file's beginning this much tells its type. */
const headBytes = 4100;
export const megabyte = 1_000_000;

/** Every type that the policy takes. */
export const typesOf = (uploads: Uploads): string[] => kinds.flatMap((kind) => uploads[kind].types);

/**
 * Stores a file under a key, sealed. Its type is what its bytes are; what its sender calls it is not looked at. Throws NotTaken, leaving nothing, when it may
 * not come.
 */
export async function receive(
  source: AsyncIterable<Buffer>,
  to: { readonly store: EvidenceStore; readonly storeKey: string; readonly key: Buffer; readonly uploads: Uploads },
): Promise<Received> {
  const chunks = source[Symbol.asyncIterator]();
  const head: Buffer[] = [];
  let length = 0;
  while (length < headBytes) {
    const next = await chunks.next();
    if (next.done === true) break;
    head.push(next.value);
    length += next.value.length;
  }
  if (length === 0) throw new NotTaken('empty');
  const type = (await fileTypeFromBuffer(Buffer.concat(head)))?.mime;
  const kind = kinds.find((k) => type !== undefined && to.uploads[k].types.includes(type));
  if (type === undefined || kind === undefined) throw new NotTaken('type');
  const { maxMegabytes } = to.uploads[kind];

  const hash = createHash('sha256');
  let bytes = 0;
  async function* counted(): AsyncGenerator<Buffer> {
    for (const chunk of head) yield count(chunk);
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield count(next.value);
  }
  function count(chunk: Buffer): Buffer {
    bytes += chunk.length;
    if (bytes > maxMegabytes * megabyte) throw new NotTaken('tooLarge', maxMegabytes);
    hash.update(chunk);
    return chunk;
  }
  await to.store.put(to.storeKey, sealed(counted(), to.key));
  return { kind, type, bytes, sha256: hash.digest('hex') };
}
