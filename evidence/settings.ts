/** Settings of the store, for the API's own. */
import { existsSync } from 'node:fs';
import { z } from 'zod';

export const storeSettings = {
  EVIDENCE_DIR: z.string().min(1).optional(),
  EVIDENCE_S3_BUCKET: z.string().min(1).optional(),
  EVIDENCE_S3_REGION: z.string().min(1).default('us-east-1'),
  /** Absent: Amazon's own. */
  EVIDENCE_S3_ENDPOINT: z.url({ protocol: /^https?$/, error: 'a URL such as https://minio.example.cn' }).optional(),
  /** Both or neither: without them the SDK looks for the machine's own role. */
  EVIDENCE_S3_ACCESS_KEY_ID: z.string().min(1).optional(),
  EVIDENCE_S3_SECRET_KEY_FILE: z.string().min(1).refine(existsSync, 'no such file').optional(),
} as const;
export type StoreSettings = z.output<z.ZodObject<typeof storeSettings>>;
