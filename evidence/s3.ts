/** Evidence in a bucket that speaks the S3 API: Amazon's, MinIO, and those of the clouds. */
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { DeleteObjectCommand, GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import type { StoreSettings } from './settings.ts';
import type { EvidenceStore } from './store.ts';

export function s3Store(settings: StoreSettings & { readonly EVIDENCE_S3_BUCKET: string }): EvidenceStore {
  const { EVIDENCE_S3_BUCKET: Bucket, EVIDENCE_S3_ENDPOINT: endpoint, EVIDENCE_S3_ACCESS_KEY_ID: id, EVIDENCE_S3_SECRET_KEY_FILE: secret } = settings;
  const client = new S3Client({
    region: settings.EVIDENCE_S3_REGION,
    // Stores other than Amazon's seldom have a host name per bucket, and few of them know the checksums that it has added of late.
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    ...(id === undefined || secret === undefined ? {} : { credentials: { accessKeyId: id, secretAccessKey: readFileSync(secret, 'utf8').trim() } }),
    maxAttempts: 3,
    // Of each part, which is 5 MB: whoever uploads waits for it.
    requestHandler: { connectionTimeout: 2000, requestTimeout: 30_000 },
  });
  return {
    async put(Key, bytes) {
      const upload = new Upload({
        client,
        params: { Bucket, Key, Body: Readable.from(bytes), ContentType: 'application/octet-stream' },
        // One part in memory, not four.
        queueSize: 1,
      });
      await upload.done();
    },
    async get(Key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
      if (!(Body instanceof Readable)) throw new Error('the store answered without a body');
      return Body;
    },
    async remove(Key) {
      await client.send(new DeleteObjectCommand({ Bucket, Key }));
    },
  };
}
