/** A body of multipart/form-data, right or wrong in every part of it. */
import { randomBytes } from 'node:crypto';

export interface Part {
  readonly name?: string;
  readonly filename?: string;
  readonly type?: string;
  readonly bytes: Buffer | string;
}

export function multipart(parts: readonly Part[]): { readonly headers: { readonly 'content-type': string }; readonly body: Buffer } {
  const boundary = `abuse-${randomBytes(8).toString('hex')}`;
  const lines = parts.flatMap(({ name = 'file', filename, type, bytes }) => [
    `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${filename === undefined ? '' : `; filename="${filename}"`}\r\n`,
    type === undefined ? '\r\n' : `content-type: ${type}\r\n\r\n`,
    bytes,
    '\r\n',
  ]);
  return {
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    body: Buffer.concat([...lines, `--${boundary}--\r\n`].map((line) => Buffer.from(line))),
  };
}

/** One transparent pixel, and after its end whatever is given: still a PNG, and perhaps something else too. */
export const pngWith = (after: Buffer | string = ''): Buffer =>
  Buffer.concat([
    Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64'),
    Buffer.from(after),
  ]);
