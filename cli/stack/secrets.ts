/** The keys of a data folder, made at its first start, readable by their owner alone. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, exportPKCS8, generateKeyPair } from 'jose';
import { newRing, printKeys } from '../../keys/ring.ts';
import { isSystemError } from './system-error.ts';

/** Writes a file whole or not at all, and only when it is not there. */
async function writeOnce(file: string, text: string): Promise<void> {
  const written = `${file}.${randomBytes(4).toString('hex')}`;
  await writeFile(written, text, { mode: 0o600, flush: true });
  try {
    await link(written, file);
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw error;
  } finally {
    await rm(written);
  }
}

/** Keys that open what was sealed with them, and nothing else does. */
const sealing = ['codec.key', 'personal.key'];

function refuseLost(folder: string, files: readonly string[]): void {
  const lost = files.filter((name) => !existsSync(join(folder, name)));
  if (lost.length > 0)
    throw new Error(
      `${folder} has lost ${lost.join(', ')}, and the data beside it cannot be read without. Put it back from a backup, or begin with an empty folder: --data FOLDER.`,
    );
}

/**
 * The folder of the keys, with every key in it. `holdsData`: what is in the data folder was sealed with them already, so one that is missing is not made
 * anew but asked back.
 */
export async function ensureSecrets(dataFolder: string, systems: readonly string[], holdsData: boolean): Promise<string> {
  const folder = join(dataFolder, 'secrets');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (holdsData) refuseLost(folder, sealing);
  await writeOnce(join(folder, 'codec.key'), printKeys(newRing()));
  await writeOnce(join(folder, 'personal.key'), printKeys(newRing()));
  // Links that are out open nothing once it is lost; new ones do.
  await writeOnce(join(folder, 'link.key'), printKeys(newRing()));
  for (const system of systems) await writeOnce(join(folder, `webhook-${system}.secret`), `whsec_${randomBytes(32).toString('base64')}\n`);
  const [privateFile, publicFile] = [join(folder, 'jwt-private.pem'), join(folder, 'jwt-public.jwk.json')];
  if (!existsSync(privateFile) || !existsSync(publicFile)) {
    // A pair: half of one is of no use, and tokens of the old one were short-lived.
    await rm(privateFile, { force: true });
    await rm(publicFile, { force: true });
    const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
    const jwk = await exportJWK(publicKey);
    await writeOnce(publicFile, `${JSON.stringify({ ...jwk, alg: 'EdDSA', use: 'sig', kid: await calculateJwkThumbprint(jwk) })}\n`);
    await writeOnce(privateFile, await exportPKCS8(privateKey));
  }
  return folder;
}

/** Where each process finds its keys, as it is told. */
export const keySettings = (folder: string) => ({
  CODEC_KEY_FILE: join(folder, 'codec.key'),
  PERSONAL_KEY_FILE: join(folder, 'personal.key'),
  LINK_KEY_FILE: join(folder, 'link.key'),
  JWT_PRIVATE_KEY_FILE: join(folder, 'jwt-private.pem'),
  JWT_PUBLIC_KEY_FILE: join(folder, 'jwt-public.jwk.json'),
  WEBHOOK_SECRETS_DIR: folder,
});

/** The embedded Postgres' password, made with its cluster. */
export async function postgresPassword(secrets: string, holdsData: boolean): Promise<string> {
  if (holdsData) refuseLost(secrets, ['postgres.password']);
  const file = join(secrets, 'postgres.password');
  // Hexadecimal: it stands in a URL as it is.
  await writeOnce(file, randomBytes(24).toString('hex'));
  return readFile(file, 'utf8');
}
