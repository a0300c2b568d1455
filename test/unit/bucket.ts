/** A bucket of the S3 API, as much of it as we use, in memory: signed requests only; single puts, uploads in parts, gets, deletes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

export interface Bucket {
  readonly objects: ReadonlyMap<string, Buffer>;
  /** Uploads in parts that were neither completed nor given up: they cost money for ever. */
  unfinished(): number;
  readonly settings: {
    readonly EVIDENCE_S3_BUCKET: string;
    readonly EVIDENCE_S3_REGION: string;
    readonly EVIDENCE_S3_ENDPOINT: string;
    readonly EVIDENCE_S3_ACCESS_KEY_ID: string;
    readonly EVIDENCE_S3_SECRET_KEY_FILE: string;
  };
  stop(): Promise<void>;
}

export async function startBucket(): Promise<Bucket> {
  const objects = new Map<string, Buffer>();
  const parts = new Map<string, Map<number, Buffer>>();
  const folder = mkdtempSync(join(tmpdir(), 'kefu-bucket-'));
  const secret = join(folder, 's3.secret');
  writeFileSync(secret, 'a-secret\n');

  const server = createServer((request, response) => {
    const answer = (status: number, body: Buffer | string = '', headers: Record<string, string> = {}) => response.writeHead(status, headers).end(body);
    void buffer(request).then((body) => {
      const { pathname, searchParams } = new URL(request.url ?? '/', 'http://bucket');
      if (!/^AWS4-HMAC-SHA256 Credential=an-id\/\d{8}\/us-east-1\/s3\/aws4_request, /.test(request.headers.authorization ?? '')) return answer(403);
      const name = pathname.slice(1);
      const upload = searchParams.get('uploadId');
      const part = Number(searchParams.get('partNumber'));
      switch (request.method) {
        case 'POST': {
          if (upload === null) {
            const id = `u${parts.size + 1}`;
            parts.set(id, new Map());
            return answer(200, `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`, {
              'content-type': 'application/xml',
            });
          }
          const all = [...(parts.get(upload) ?? [])].toSorted(([a], [b]) => a - b).map(([, bytes]) => bytes);
          parts.delete(upload);
          objects.set(name, Buffer.concat(all));
          return answer(200, '<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>', { 'content-type': 'application/xml' });
        }
        case 'PUT':
          if (upload === null) objects.set(name, body);
          else parts.get(upload)?.set(part, body);
          return answer(200, '', { etag: '"x"' });
        case 'GET': {
          const found = objects.get(name);
          return found === undefined ? answer(404, '<Error><Code>NoSuchKey</Code></Error>', { 'content-type': 'application/xml' }) : answer(200, found);
        }
        case 'DELETE':
          if (upload === null) objects.delete(name);
          else parts.delete(upload);
          return answer(204);
        default:
          return answer(405);
      }
    });
  });
  await new Promise<void>((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  return {
    objects,
    unfinished: () => parts.size,
    settings: {
      EVIDENCE_S3_BUCKET: 'evidence',
      EVIDENCE_S3_REGION: 'us-east-1',
      EVIDENCE_S3_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      EVIDENCE_S3_ACCESS_KEY_ID: 'an-id',
      EVIDENCE_S3_SECRET_KEY_FILE: secret,
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise<void>((done) => {
        server.close(() => done());
      });
      rmSync(folder, { recursive: true });
    },
  };
}
