/** Evidence in a folder: the embedded stack's, and one machine's. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { EvidenceStore } from './store.ts';

/** Keys are made by us; one of another form would be a path. */
const keyForm = /^[\w-]+\/[\w-]+$/;

export function folderStore(folder: string): EvidenceStore {
  const path = (key: string): string => {
    if (!keyForm.test(key)) throw new RangeError('no key of evidence');
    return join(folder, key);
  };
  return {
    async put(key, bytes) {
      const file = path(key);
      const coming = `${file}.part`;
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      try {
        await pipeline(bytes, createWriteStream(coming, { mode: 0o600, flush: true }));
        await rename(coming, file);
        // The name has to survive a power cut as well as the bytes.
        const within = await open(dirname(file));
        try {
          await within.sync();
        } finally {
          await within.close();
        }
      } catch (error) {
        await rm(coming, { force: true });
        throw error;
      }
    },
    async get(key) {
      const file = await open(path(key));
      return createReadStream('', { fd: file });
    },
    async remove(key) {
      await rm(path(key), { force: true });
      await rm(`${path(key)}.part`, { force: true });
    },
  };
}
