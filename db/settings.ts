/** How a process is told of Postgres: a URL and, where secrets are mounted as files, the file with its password. */
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';

export const databaseSettings = {
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/, error: 'a URL such as postgres://user:password@host:5432/kefu' }),
  /** Takes the place of the password in the URL, so that none stands in an environment, which every child and every crash report sees. */
  DATABASE_PASSWORD_FILE: z.string().min(1).refine(existsSync, 'no such file').optional(),
} as const;
export type DatabaseSettings = z.output<z.ZodObject<typeof databaseSettings>>;

/** The settings with the password of the file in the URL. */
export function withPassword<T extends DatabaseSettings>(settings: T): T {
  if (settings.DATABASE_PASSWORD_FILE === undefined) return settings;
  const url = new URL(settings.DATABASE_URL);
  // Encoded by hand: the setter leaves a percent sign as it is.
  url.password = encodeURIComponent(readFileSync(settings.DATABASE_PASSWORD_FILE, 'utf8').trim());
  return { ...settings, DATABASE_URL: url.href };
}
