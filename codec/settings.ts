/** What the codec server is told, parsed once. */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { ownAudience, ownIssuer } from '../api/token.ts';
import { databaseSettings, withPassword, type DatabaseSettings } from '../db/settings.ts';

const file = z.string().min(1).refine(existsSync, 'no such file');
const loopback: readonly string[] = ['127.0.0.1', '::1', 'localhost'];

const common = z.object({
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: z.coerce.number().int().min(0).max(65_535),
  CODEC_KEY_FILE: file,
  TEMPORAL_NAMESPACE: z.string().min(1).default('default'),
  TEMPORAL_UI_URL: z.url({ protocol: /^https?$/, error: "the address of Temporal's page as browsers call it: no other page may have payloads opened" }),
  // A page of a long history asks once per event, and its reader for several pages.
  CODEC_RATE_PER_MINUTE: z.coerce.number().int().min(1).default(1200),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});
const forPeople = z.object({
  ...databaseSettings,
  JWT_JWKS_URL: z.url().optional(),
  JWT_PUBLIC_KEY_FILE: file.optional(),
  JWT_ISSUER: z.string().min(1).default(ownIssuer),
  JWT_AUDIENCE: z.string().min(1).default(ownAudience),
});
const auth = z.enum(['people', 'none']).default('people');

export type CodecSettings = z.output<typeof common> & { readonly people: (z.output<typeof forPeople> & DatabaseSettings) | undefined };

/** Throws an Error with one line per setting that does not hold. */
export function readSettings(env: NodeJS.ProcessEnv): CodecSettings {
  const wrong = (what: string): Error => new Error(`the codec server cannot start, its settings do not hold (cli/stack/README.md names them all):\n${what}`);
  const parse = <S extends z.ZodType>(schema: S, value: unknown): z.output<S> => {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw wrong(parsed.error.issues.map(({ path, message }) => `  ${path.join('.') || 'CODEC_AUTH'}: ${message}`).join('\n'));
  };
  const settings = parse(common, env);
  if (parse(auth, env['CODEC_AUTH']) === 'none') {
    if (!loopback.includes(settings.HOST))
      throw wrong(
        `  CODEC_AUTH: "none" opens histories to whoever reaches HOST, which is ${settings.HOST}: give it 127.0.0.1, or leave CODEC_AUTH at "people"`,
      );
    return { ...settings, people: undefined };
  }
  const people = parse(forPeople, env);
  if (people.JWT_JWKS_URL === undefined && people.JWT_PUBLIC_KEY_FILE === undefined)
    throw wrong("  JWT_PUBLIC_KEY_FILE: the public key that tokens are checked with, or JWT_JWKS_URL, the identity provider's keys");
  return { ...settings, people: withPassword(people) };
}
