/**
 * Seals a stream under a key of its own, frame by frame (STREAM, as age and Tink have it): each frame of 64 KB is AES-256-GCM with its number as nonce and a mark
 * on the last one, so that no frame is opened before it is known to be ours, and none can be changed, moved, left out or cut off. The numbers may start at zero
 * for each file because each has a key of its own.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';

const frameBytes = 64 * 1024;
const tagBytes = 16;
/** Layout of a sealed file: its first byte. */
const layout = 1;

function nonceOf(number: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(number, 5, 6);
  nonce[11] = last ? 1 : 0;
  return nonce;
}

/** Regroups what comes into pieces of a size; the last one, which may be empty, is marked. */
async function* pieces(source: AsyncIterable<Buffer>, size: number): AsyncGenerator<{ readonly bytes: Buffer; readonly last: boolean }> {
  let held: Buffer[] = [];
  let length = 0;
  for await (const chunk of source) {
    held.push(chunk);
    length += chunk.length;
    // More than one piece: the last byte that came may be the last of all.
    if (length <= size) continue;
    const whole = Buffer.concat(held);
    let from = 0;
    for (; whole.length - from > size; from += size) yield { bytes: whole.subarray(from, from + size), last: false };
    held = [whole.subarray(from)];
    length = whole.length - from;
  }
  yield { bytes: Buffer.concat(held), last: true };
}

export async function* sealed(source: AsyncIterable<Buffer>, key: Buffer): AsyncGenerator<Buffer> {
  let number = 0;
  yield Buffer.of(layout);
  for await (const { bytes, last } of pieces(source, frameBytes)) {
    const cipher = createCipheriv('aes-256-gcm', key, nonceOf(number++, last));
    yield Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  }
}

/** Opens what was sealed; throws at the first frame that is not as it was written, before any of its bytes are given out. */
export async function* opened(source: AsyncIterable<Buffer>, key: Buffer): AsyncGenerator<Buffer> {
  let number = 0;
  for await (const { bytes, last } of pieces(withoutLayout(source), frameBytes + tagBytes)) {
    if (bytes.length < tagBytes) throw new RangeError('a sealed file was cut off');
    const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(number++, last)).setAuthTag(bytes.subarray(-tagBytes));
    yield Buffer.concat([decipher.update(bytes.subarray(0, -tagBytes)), decipher.final()]);
  }
}

async function* withoutLayout(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let seen = false;
  for await (const chunk of source) {
    if (!seen && chunk.length > 0 && chunk[0] !== layout) throw new RangeError(`sealed with layout ${chunk[0]}, this version opens ${layout}`);
    yield seen ? chunk : chunk.subarray(1);
    seen ||= chunk.length > 0;
  }
}
