/** Uploaded files on their way in and out: sealed, sniffed, measured, kept. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { folderStore } from '../../evidence/folder.ts';
import { NotTaken, receive } from '../../evidence/receive.ts';
import { s3Store } from '../../evidence/s3.ts';
import { opened, sealed } from '../../evidence/sealing.ts';
import type { EvidenceStore } from '../../evidence/store.ts';
import { loadPolicy } from '../../policies/load.ts';
import { startBucket, type Bucket } from './bucket.ts';
import { jpeg, mp4, png } from './files.ts';

const key = randomBytes(32);
async function* from(...chunks: Buffer[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield await Promise.resolve(chunk);
}
const all = (source: AsyncIterable<Buffer>): Promise<Buffer> => buffer(source);

describe('a sealed stream', () => {
  test('opens to what went in, however both were cut into chunks', async () => {
    // Around the frame of 64 KB, and a few frames.
    const size = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 65_520, max: 65_560 }), fc.integer({ min: 131_000, max: 200_000 }));
    await fc.assert(
      fc.asyncProperty(size, fc.integer({ min: 7, max: 90_000 }), fc.integer({ min: 7, max: 90_000 }), async (length, cutIn, cutOut) => {
        const plain = randomBytes(length);
        const secret = await all(sealed(from(...cut(plain, cutIn)), key));
        expect(secret.includes(plain.subarray(0, 32)) && length > 31).toBe(false);
        expect((await all(opened(from(...cut(secret, cutOut)), key))).equals(plain)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('that was changed, cut off, lengthened, mixed up or is of another key is not opened, and nothing of a false frame comes out', async () => {
    const plain = randomBytes(200_000);
    const secret = await all(sealed(from(plain), key));
    const frame = 65_536 + 16;
    const at = (n: number) => secret.subarray(1 + n * frame, 1 + (n + 1) * frame);
    const changed = Buffer.from(secret);
    changed[100_000] = (changed[100_000] ?? 0) ^ 1;
    const wrong: Record<string, Buffer> = {
      changed,
      'cut in a frame': secret.subarray(0, 150_000),
      'cut between frames': secret.subarray(0, 1 + 2 * frame),
      'all but the first byte': secret.subarray(0, 1),
      lengthened: Buffer.concat([secret, randomBytes(40)]),
      'mixed up': Buffer.concat([secret.subarray(0, 1), at(1), at(0), secret.subarray(1 + 2 * frame)]),
      'a frame left out': Buffer.concat([secret.subarray(0, 1), at(0), secret.subarray(1 + 2 * frame)]),
      'of another layout': Buffer.concat([Buffer.of(9), secret.subarray(1)]),
    };
    for (const [how, bytes] of Object.entries(wrong)) {
      const out: Buffer[] = [];
      const run = (async () => {
        for await (const piece of opened(from(...cut(bytes, 50_000)), key)) out.push(piece);
      })();
      await expect(run.then(() => how)).rejects.toThrow(/unable to authenticate|cut off|layout/);
      const came = Buffer.concat(out);
      expect({ how, ours: plain.subarray(0, came.length).equals(came) }).toEqual({ how, ours: true });
    }
    await expect(all(opened(from(secret), randomBytes(32)))).rejects.toThrow('unable to authenticate');
  });
});

const cut = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));

describe.each(['folder', 'bucket'] as const)('a store that is a %s', (kind) => {
  let store: EvidenceStore;
  let folder: string;
  let bucket: Bucket;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kefu-evidence-'));
    bucket = await startBucket();
    store = kind === 'folder' ? folderStore(folder) : s3Store(bucket.settings);
  });
  afterAll(async () => {
    await bucket.stop();
    rmSync(folder, { recursive: true });
  });
  const kept = (): string[] =>
    kind === 'folder'
      ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(folder, name)).isFile())
      : [...bucket.objects.keys()].map((name) => name.replace('evidence/', ''));

  test('gives back what it was given, also of several parts, and forgets what it is told to', async () => {
    // Above the 5 MB of one part of a bucket's upload.
    const bytes = randomBytes(12_000_000);
    await store.put('ab/abc', from(...cut(bytes, 70_000)));
    expect(kept()).toEqual(['ab/abc']);
    expect((await all(await store.get('ab/abc'))).equals(bytes)).toBe(true);
    await store.remove('ab/abc');
    await store.remove('ab/abc');
    expect(kept()).toEqual([]);
    await expect(store.get('ab/abc').then(all)).rejects.toThrow(/ENOENT|UnknownError|NoSuchKey/);
  });

  test('keeps nothing of what did not come whole', async () => {
    async function* broken(): AsyncGenerator<Buffer> {
      for (let i = 0; i < 100; i++) yield randomBytes(70_000);
      await Promise.resolve();
      throw new NotTaken('tooLarge', 1);
    }
    await expect(store.put('cd/cde', broken())).rejects.toThrow(NotTaken);
    expect(kept()).toEqual([]);
    expect(bucket.unfinished()).toBe(0);
  });
});

test('a folder is asked for keys of ours only: none leads out of it', async () => {
  const store = folderStore('/nowhere');
  for (const wrong of ['../x', 'a/../../x', '/etc/passwd', 'a', 'a/b/c', 'a/b.part']) await expect(store.get(wrong)).rejects.toThrow('no key of evidence');
});

describe('a file that comes', () => {
  const { evidence: uploads } = loadPolicy(new URL('../../policies/default.yaml', import.meta.url).pathname).policy;
  const memory = (): EvidenceStore & { readonly held: Map<string, Buffer> } => {
    const held = new Map<string, Buffer>();
    return {
      held,
      put: async (name, bytes) => void held.set(name, await all(bytes)),
      get: (name) => Promise.resolve(Readable.from([held.get(name) ?? Buffer.alloc(0)])),
      remove: (name) => Promise.resolve(void held.delete(name)),
    };
  };
  const take = (source: AsyncIterable<Buffer>, store: EvidenceStore = memory()) => receive(source, { store, storeKey: 'a/b', key, uploads });

  test('is what its bytes are; hash and size are those of what was sent', async () => {
    for (const [bytes, kind, type] of [
      [jpeg(5000), 'photo', 'image/jpeg'],
      [png, 'photo', 'image/png'],
      [mp4(200_000), 'video', 'video/mp4'],
    ] as const) {
      const store = memory();
      const received = await take(from(...cut(bytes, 1000)), store);
      expect(received).toEqual({ kind, type, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
      expect(store.held.get('a/b')?.includes(bytes.subarray(0, 16))).toBe(false);
      expect((await all(opened(await store.get('a/b'), key))).equals(bytes)).toBe(true);
    }
  });

  test('is refused when it is none of the types, empty, or too large for what it is', async () => {
    const page = Buffer.from('<!doctype html><script>alert(1)</script>');
    for (const other of [
      page,
      Buffer.from('%PDF-1.7 ...'),
      Buffer.from('MZ' + 'x'.repeat(200)),
      Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'),
      Buffer.of(0),
    ])
      await expect(take(from(other))).rejects.toMatchObject({ name: 'NotTaken', why: 'type' });
    await expect(take(from())).rejects.toMatchObject({ why: 'empty' });
    await expect(take(from(...cut(jpeg(20_000_001), 65_536)))).rejects.toMatchObject({ why: 'tooLarge', maxMegabytes: 20 });
    // A video may be larger than a photo.
    expect(await take(from(...cut(mp4(20_000_001), 65_536)))).toMatchObject({ kind: 'video' });
  });

  test('is never whole in memory', async () => {
    const chunk = randomBytes(65_536);
    async function* video(): AsyncGenerator<Buffer> {
      yield mp4(65_536);
      for (let i = 0; i < 1500; i++) yield chunk;
      await Promise.resolve();
    }
    let most = 0;
    const store: EvidenceStore = {
      ...memory(),
      put: async (_, bytes) => {
        let n = 0;
        for await (const piece of bytes) {
          n += piece.length;
          most = Math.max(most, piece.length);
        }
        expect(n).toBeGreaterThan(98_000_000);
      },
    };
    await take(video(), store);
    // What is held at a time is a frame.
    expect(most).toBeLessThanOrEqual(65_536 + 16);
  });
});
