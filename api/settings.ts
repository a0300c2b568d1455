/** What the API is told, parsed once. A setting that is missing or malformed ends the start with a line that names it. */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { ownAudience, ownIssuer } from './token.ts';

const file = z.string().min(1).refine(existsSync, 'no such file');
const port = z.coerce.number().int().min(0).max(65_535);

const schema = z
  .object({
    DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/, error: 'a URL such as postgres://user:password@host:5432/kefu' }),
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
    WEBHOOK_SECRETS_DIR: file,
    POLICY_FILE: file.default('policies/default.yaml'),
    // 200 a second: a demo's clients stay below it, a runaway loop does not.
    RATE_PER_MINUTE: z.coerce.number().int().min(1).default(12_000),
    LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  })
  .refine((env) => env.JWT_JWKS_URL !== undefined || env.JWT_PUBLIC_KEY_FILE !== undefined, {
    path: ['JWT_PUBLIC_KEY_FILE'],
    error: "the public key that tokens are checked with, or JWT_JWKS_URL, the identity provider's keys",
  });
export type Settings = z.output<typeof schema>;

/** Throws an Error with one line per setting that does not hold. */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const parsed = schema.safeParse(env);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => {
    const name = issue.path.join('.');
    return `  ${name}${env[name] === undefined ? ' is not set' : ''}: ${issue.message}`;
  });
  throw new Error(`the API cannot start, its settings do not hold (cli/stack/README.md names them all):\n${lines.join('\n')}`);
}
