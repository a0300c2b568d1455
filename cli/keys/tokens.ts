/** The pair that our own tokens are signed and checked with. The public half is a set: those of the keys that signed before stay until they are retired. */
import { createPublicKey } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { calculateJwkThumbprint, exportJWK, exportPKCS8, generateKeyPair, type JWK } from 'jose';
import { publicKeys } from '../../api/token.ts';
import { KeyRefusal } from '../../keys/ring.ts';
import { editFile, replaceFile } from './edit.ts';
import type { Places } from './places.ts';

type Files = Pick<Places, 'JWT_PRIVATE_KEY_FILE' | 'JWT_PUBLIC_KEY_FILE'>;
/** The private half that waits to be promoted. */
const nextOf = ({ JWT_PRIVATE_KEY_FILE }: Files): string => `${JWT_PRIVATE_KEY_FILE.replace(/\.pem$/, '')}-next.pem`;

interface Named extends JWK {
  readonly kid: string;
}
const withId = async (jwk: JWK): Promise<Named> => ({ ...jwk, use: 'sig', kid: jwk.kid ?? (await calculateJwkThumbprint(jwk)) });
const read = async (text: string): Promise<Named[]> => Promise.all(publicKeys(text).keys.map(withId));
const print = (keys: readonly Named[]): string => `${JSON.stringify({ keys }, null, 1)}\n`;

/** The id of a private key's public half. */
async function idOf(privateFile: string): Promise<string | undefined> {
  if (!existsSync(privateFile)) return undefined;
  const [named] = await read(
    createPublicKey(await readFile(privateFile, 'utf8'))
      .export({ format: 'pem', type: 'spki' })
      .toString(),
  );
  return named?.kid;
}

export interface TokenKey {
  readonly id: string;
  /** `unknown`: it checks; whether it signs is not known without the private half, which only who issues tokens has. */
  readonly state: 'signs' | 'next' | 'checks' | 'unknown';
}
export async function tokenKeys(files: Files): Promise<TokenKey[]> {
  const [signing, next] = await Promise.all([idOf(files.JWT_PRIVATE_KEY_FILE), idOf(nextOf(files))]);
  const keys = await read(await readFile(files.JWT_PUBLIC_KEY_FILE, 'utf8'));
  return keys.map(({ kid: id }) => ({ id, state: signing === undefined ? 'unknown' : id === signing ? 'signs' : id === next ? 'next' : 'checks' }));
}

/** Makes a pair, whose public half checks from now on; the private one waits. Answers its id. */
export async function rotateTokens(files: Files): Promise<string> {
  const next = nextOf(files);
  const waiting = await idOf(next);
  if (waiting !== undefined) throw new KeyRefusal(`key "${waiting}" already waits to be promoted`);
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  const made = await withId({ ...(await exportJWK(publicKey)), alg: 'EdDSA' });
  await editFile(files.JWT_PUBLIC_KEY_FILE, async (text) => ({ text: print([...(await read(text)), made]), result: undefined }));
  // After the public half: a private key that nobody could check would be promoted all the same.
  await replaceFile(next, await exportPKCS8(privateKey), await stat(files.JWT_PRIVATE_KEY_FILE));
  return made.kid;
}

/** The key that waits signs from now on. Answers the ids of it and of the one before. */
export async function promoteTokens(files: Files): Promise<{ readonly id: string; readonly before: string | undefined }> {
  const next = nextOf(files);
  const [id, before] = await Promise.all([idOf(next), idOf(files.JWT_PRIVATE_KEY_FILE)]);
  if (id === undefined) throw new KeyRefusal('no key waits to be promoted: rotate adds one');
  await rename(next, files.JWT_PRIVATE_KEY_FILE);
  return { id, before };
}

/** Tokens that a key signed are refused from now on. */
export async function retireTokens(files: Files, id: string): Promise<void> {
  const state = (await tokenKeys(files)).find((key) => key.id === id)?.state;
  if (state === 'unknown') throw new KeyRefusal(`there is no ${files.JWT_PRIVATE_KEY_FILE}: which key signs is not known here`);
  if (state === 'signs') throw new KeyRefusal(`key "${id}" signs: rotate and promote another first`);
  await editFile(files.JWT_PUBLIC_KEY_FILE, async (text) => {
    const keys = await read(text);
    if (!keys.some(({ kid }) => kid === id)) throw new KeyRefusal(`there is no key "${id}"; there are ${keys.map(({ kid }) => `"${kid}"`).join(', ')}`);
    return { text: print(keys.filter(({ kid }) => kid !== id)), result: undefined };
  });
  if (state === 'next') await rm(nextOf(files));
}
