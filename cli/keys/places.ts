/** Where the keys are, and the servers that know who still needs them. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { linkKeyPurpose } from '../../db/links.ts';
import { masterKeyPurpose } from '../../db/sealed.ts';
import { databaseSettings, withPassword } from '../../db/settings.ts';
import { codecKeyPurpose } from '../../delivery/codec.ts';
import type { Purpose } from '../../keys/ring.ts';
import { keySettings } from '../stack/secrets.ts';
import { readStack } from '../stack/state.ts';

const schema = z.object({
  CODEC_KEY_FILE: z.string(),
  PERSONAL_KEY_FILE: z.string(),
  LINK_KEY_FILE: z.string(),
  JWT_PRIVATE_KEY_FILE: z.string(),
  JWT_PUBLIC_KEY_FILE: z.string(),
  WEBHOOK_SECRETS_DIR: z.string(),
  DATABASE_URL: databaseSettings.DATABASE_URL.optional(),
  DATABASE_PASSWORD_FILE: databaseSettings.DATABASE_PASSWORD_FILE,
  TEMPORAL_ADDRESS: z.string().optional(),
  TEMPORAL_NAMESPACE: z.string().default('default'),
});
export type Places = z.output<typeof schema>;

const servers = ['DATABASE_URL', 'DATABASE_PASSWORD_FILE', 'TEMPORAL_ADDRESS', 'TEMPORAL_NAMESPACE'];

/** Of a data folder that is named, its own; otherwise what the environment says, as in a container of ours, or else those of `.data`. */
export function placesOf(folder: string | undefined, env: NodeJS.ProcessEnv): Places {
  const data = resolve(folder ?? '.data');
  const own = keySettings(resolve(data, 'secrets'));
  const running = stackOf(data);
  const said = Object.fromEntries(
    Object.keys(schema.shape).flatMap((name) => (env[name] === undefined || (folder !== undefined && !servers.includes(name)) ? [] : [[name, env[name]]])),
  );
  const places = schema.parse(folder === undefined ? { ...own, ...running, ...said } : { ...own, ...said, ...running });
  return places.DATABASE_URL === undefined ? places : { ...places, ...withPassword({ ...places, DATABASE_URL: places.DATABASE_URL }) };
}

function stackOf(data: string): Readonly<Record<string, string>> {
  try {
    return readStack(data).settings;
  } catch {
    // None runs on it: then nothing is known but the files.
    return {};
  }
}

/** Files that hold rings. */
export const rings = {
  codec: { file: 'CODEC_KEY_FILE', purpose: codecKeyPurpose },
  personal: { file: 'PERSONAL_KEY_FILE', purpose: masterKeyPurpose },
  link: { file: 'LINK_KEY_FILE', purpose: linkKeyPurpose },
} as const satisfies Record<string, { readonly file: keyof Places; readonly purpose: Purpose }>;
export type RingName = keyof typeof rings;
export const ringNames = Object.keys(rings) as readonly RingName[];
