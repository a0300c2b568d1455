/** The payload codec: what a history holds cannot be read or changed without the key, and old keys still open what they sealed. */
import { expect, test } from '@jest/globals';
import { defaultPayloadConverter } from '@temporalio/common';
import { codecKeyPurpose, sealingCodec } from '../../delivery/codec.ts';
import { fixedKeys, parseKeys, type KeyRing } from '../../keys/ring.ts';

const key = (fill: number) => Buffer.alloc(32, fill);
const plain = [defaultPayloadConverter.toPayload({ order: 'MX-2007', note: '退款' })].filter((p) => p !== undefined);
const codecOf = (...ring: KeyRing) => sealingCodec(fixedKeys(ring));
const read = (payloads: Parameters<ReturnType<typeof sealingCodec>['decode']>[0]) => payloads.map((p) => defaultPayloadConverter.fromPayload(p));

test('a sealed payload shows nothing of what it holds, and opens to the same', async () => {
  const codec = codecOf({ id: '1', key: key(1) });
  const sealed = await codec.encode(plain);
  const bytes = Buffer.concat(sealed.flatMap((p) => (p.data ? [Buffer.from(p.data)] : [])));
  expect(bytes.includes('MX-2007')).toBe(false);
  expect(read(await codec.decode(sealed))).toEqual([{ order: 'MX-2007', note: '退款' }]);
  expect((await codec.encode(plain))[0]?.data).not.toEqual(sealed[0]?.data);
});

test('after a rotation the new key seals and the old one still opens', async () => {
  const old = await codecOf({ id: '1', key: key(1) }).encode(plain);
  const rotated = codecOf({ id: '2', key: key(2) }, { id: '1', key: key(1) });
  expect(read(await rotated.decode(old))).toEqual([{ order: 'MX-2007', note: '退款' }]);
  const fresh = await rotated.encode(plain);
  await expect(codecOf({ id: '1', key: key(1) }).decode(fresh)).rejects.toThrow('key "2"');
});

test('a payload that was changed, or sealed under another key of the same name, does not open', async () => {
  const codec = codecOf({ id: '1', key: key(1) });
  const [sealed] = await codec.encode(plain);
  const data = Buffer.from(sealed?.data ?? []);
  data[20] = (data[20] ?? 0) ^ 1;
  await expect(codec.decode([{ ...sealed, data }])).rejects.toThrow('unable to authenticate');
  await expect(codecOf({ id: '1', key: key(9) }).decode(sealed ? [sealed] : [])).rejects.toThrow('unable to authenticate');
});

test('a payload that nobody sealed passes, and one that was cut off does not open', async () => {
  const codec = codecOf({ id: '1', key: key(1) });
  expect(await codec.decode(plain)).toEqual(plain);
  const [sealed] = await codec.encode(plain);
  await expect(codec.decode([{ ...sealed, data: Buffer.from(sealed?.data ?? []).subarray(0, 20) }])).rejects.toThrow('cut off');
});

test('a key file that holds no key is refused', () => {
  const parse = (text: string) => parseKeys(text, codecKeyPurpose);
  expect(() => parse('')).toThrow('empty');
  expect(() => parse('1:c2hvcnQ=')).toThrow('a codec key is 32 random bytes');
  expect(parse(`b:${key(2).toString('base64')}\na:${key(1).toString('base64')}\n`).map((k) => k.id)).toEqual(['b', 'a']);
});
