/** The secrets of webhooks: each system has its own, and signs with it; while it changes to another, both hold. */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyRefusal } from '../../keys/ring.ts';
import { editFile } from './edit.ts';
import type { Places } from './places.ts';

type Folder = Pick<Places, 'WEBHOOK_SECRETS_DIR'>;
const lines = (text: string): string[] => text.split(/\s+/).filter((line) => line !== '');
const print = (secrets: readonly string[]): string => secrets.map((secret) => `${secret}\n`).join('');
/** What both sides can compare without telling the secret. */
export const fingerprint = (secret: string): string => createHash('sha256').update(secret).digest('hex').slice(0, 8);

async function fileOf({ WEBHOOK_SECRETS_DIR: folder }: Folder, system: string): Promise<string> {
  const systems = await systemsIn({ WEBHOOK_SECRETS_DIR: folder });
  if (!systems.includes(system)) throw new KeyRefusal(`no system "${system}" has a secret in ${folder}; these have: ${systems.join(', ')}`);
  return join(folder, `webhook-${system}.secret`);
}

export const systemsIn = async ({ WEBHOOK_SECRETS_DIR: folder }: Folder): Promise<string[]> =>
  (await readdir(folder)).flatMap((name) => /^webhook-([\w-]+)\.secret$/.exec(name)?.[1] ?? []).toSorted();

/** Fingerprints of a system's secrets, the newest first. */
export const secretsOf = async (folder: Folder, system: string): Promise<string[]> =>
  lines(await readFile(await fileOf(folder, system), 'utf8')).map(fingerprint);

/** One more secret, that is taken from now on. Answers it: the other side has to be told. */
export const rotateWebhook = async (folder: Folder, system: string): Promise<string> =>
  editFile(await fileOf(folder, system), (text) => {
    const secret = `whsec_${randomBytes(32).toString('base64')}`;
    return { text: print([secret, ...lines(text)]), result: secret };
  });

/** What is signed with a secret is refused from now on. */
export const retireWebhook = async (folder: Folder, system: string, which: string): Promise<void> =>
  editFile(await fileOf(folder, system), (text) => {
    const secrets = lines(text);
    const left = secrets.filter((secret) => fingerprint(secret) !== which);
    if (left.length === secrets.length)
      throw new KeyRefusal(`"${system}" has no secret "${which}"; it has ${secrets.map((secret) => `"${fingerprint(secret)}"`).join(', ')}`);
    if (left.length === 0) throw new KeyRefusal(`"${which}" is the only secret of "${system}": rotate first`);
    return { text: print(left), result: undefined };
  });
