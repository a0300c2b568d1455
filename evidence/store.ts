/** Where the sealed bytes of evidence are: a folder, or a bucket that speaks the S3 API. What is in it is of no use without the keys, which are in Postgres. */
import type { Readable } from 'node:stream';
import { folderStore } from './folder.ts';
import type { StoreSettings } from './settings.ts';

export interface EvidenceStore {
  /** Keeps what comes under a key. Rejects, leaving nothing under it, when the source fails or the store does. */
  put(key: string, bytes: AsyncIterable<Buffer>): Promise<void>;
  /** Rejects when nothing is there. */
  get(key: string): Promise<Readable>;
  /** What is not there is as good as removed. */
  remove(key: string): Promise<void>;
}

/** The store that the settings name: a bucket, where one is named, else a folder. */
export async function openStore(settings: StoreSettings): Promise<EvidenceStore> {
  const { EVIDENCE_S3_BUCKET, EVIDENCE_DIR } = settings;
  if (EVIDENCE_S3_BUCKET === undefined) {
    if (EVIDENCE_DIR === undefined) throw new Error('evidence has no place: set EVIDENCE_DIR or EVIDENCE_S3_BUCKET');
    return folderStore(EVIDENCE_DIR);
  }
  // Loaded by whoever has a bucket: it takes some 200 ms and 20 MB.
  const { s3Store } = await import('./s3.ts');
  return s3Store({ ...settings, EVIDENCE_S3_BUCKET });
}
