/** What the API is told, parsed once. A setting that is missing or malformed ends the start with a line that names it. */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { databaseSettings, withPassword } from '../db/settings.ts';
import { storeSettings } from '../evidence/settings.ts';
import { ownAudience, ownIssuer } from './token.ts';

const file = z.string().min(1).refine(existsSync, 'no such file');
const port = z.coerce.number().int().min(0).max(65_535);

const schema = z
  .object({
    ...databaseSettings,
    TEMPORAL_ADDRESS: z.string().regex(/^[^\s:]+:\d+$/, 'host:port, such as 127.0.0.1:7233'),
    TEMPORAL_NAMESPACE: z.string().min(1).default('default'),
    TEMPORAL_UI_URL: z.url().optional(),
    HOST: z.string().min(1).default('127.0.0.1'),
    PORT: port,
    JWT_JWKS_URL: z.url().optional(),
    JWT_PUBLIC_KEY_FILE: file.optional(),
    JWT_ISSUER: z.string().min(1).default(ownIssuer),
    JWT_AUDIENCE: z.string().min(1).default(ownAudience),
    CODEC_KEY_FILE: file,
    PERSONAL_KEY_FILE: file,
    LINK_KEY_FILE: file,
    PUBLIC_URL: z.url({ protocol: /^https?$/, error: "a URL such as https://service.example.cn: what a customer's browser calls us" }),
    ...storeSettings,
    WEBHOOK_SECRETS_DIR: file,
    POLICY_FILE: file.default('policies/default.yaml'),
    // 200 a second: a demo's clients stay below it, a runaway loop does not.
    RATE_PER_MINUTE: z.coerce.number().int().min(1).default(12_000),
    // 1 a second: a page with its pictures, twice over; a hand is slower.
    LINK_RATE_PER_MINUTE: z.coerce.number().int().min(1).default(60),
    // More in work would only share what two cores and Postgres give; a hundred wait for less than a second.
    REQUESTS_AT_ONCE: z.coerce.number().int().min(2).max(200).default(12),
    REQUESTS_WAITING: z.coerce.number().int().min(0).max(10_000).default(100),
    // What an outage leaves at 20 starts a second in four minutes; a sweep starts as many a second when it is over.
    BACKLOG_MOST: z.coerce.number().int().min(1).default(5000),
    TRUSTED_PROXIES: z.coerce.number().int().min(0).max(10).default(0),
    // Longer than a load balancer takes to see that we go; nobody balances on one machine.
    STOP_NOTICE_MS: z.coerce.number().int().min(0).max(60_000).default(0),
    LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  })
  .refine((env) => env.JWT_JWKS_URL !== undefined || env.JWT_PUBLIC_KEY_FILE !== undefined, {
    path: ['JWT_PUBLIC_KEY_FILE'],
    error: "the public key that tokens are checked with, or JWT_JWKS_URL, the identity provider's keys",
  })
  .refine((env) => (env.EVIDENCE_S3_ACCESS_KEY_ID === undefined) === (env.EVIDENCE_S3_SECRET_KEY_FILE === undefined), {
    path: ['EVIDENCE_S3_SECRET_KEY_FILE'],
    error: 'goes with EVIDENCE_S3_ACCESS_KEY_ID: give both, or neither where the machine has a role',
  })
  .refine((env) => env.EVIDENCE_DIR !== undefined || env.EVIDENCE_S3_BUCKET !== undefined, {
    path: ['EVIDENCE_DIR'],
    error: 'the folder that uploaded photos and videos are kept in, or EVIDENCE_S3_BUCKET',
  });
export type Settings = z.output<typeof schema>;

/** Throws an Error with one line per setting that does not hold. */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const parsed = schema.safeParse(env);
  if (parsed.success) return withPassword(parsed.data);
  const lines = parsed.error.issues.map((issue) => {
    const name = issue.path.join('.');
    return `  ${name}${env[name] === undefined ? ' is not set' : ''}: ${issue.message}`;
  });
  throw new Error(`the API cannot start, its settings do not hold (cli/stack/README.md names them all):\n${lines.join('\n')}`);
}
