/** Tokens: who is calling, and nothing else. What they may do is in `people`, read when they do it. */
import { createPublicKey } from 'node:crypto';
import { types } from 'node:util';
import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  importPKCS8,
  jwtVerify,
  SignJWT,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from 'jose';
import { z } from 'zod';
import { watched, type Report } from '../keys/file.ts';

/** Who issues and who is meant, unless configured: what our own `token` command writes. */
export const ownIssuer = 'kefu-flow';
export const ownAudience = 'kefu-flow-api';
/** Signatures we accept: public-key ones only, so that nobody who can check a token can make one, and never what a token's own header would like. */
const algorithms = ['EdDSA', 'RS256'] as const;
/** Clocks of issuer and API may differ by this many seconds. */
const clockTolerance = 5;

export interface TokenConfig {
  /** URL of the identity provider's keys. */
  readonly jwksUrl?: string | undefined;
  /** Public keys: a JWK, a JWK set or an SPKI PEM; read again when the file changes. */
  readonly keyFile?: string | undefined;
  /** Told when it does. */
  readonly report?: Report;
  readonly issuer: string;
  readonly audience: string;
}

const claims = z.object({ sub: z.string().min(1).max(200) });
export type TokenCheck = (token: string) => Promise<string>;

/** What of a key is public; a private half is not taken in. */
const jwkSchema = z.discriminatedUnion('kty', [
  z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: z.string(), alg: z.literal('EdDSA').default('EdDSA'), kid: z.string().optional() }),
  z.object({ kty: z.literal('RSA'), n: z.string(), e: z.string(), alg: z.literal('RS256').default('RS256'), kid: z.string().optional() }),
]);
const setSchema = z.object({ keys: z.array(jwkSchema).min(1) });

/** The public keys in a text. Throws an Error when it holds none. */
export function publicKeys(text: string): JSONWebKeySet {
  try {
    const json: unknown = text.trimStart().startsWith('{') ? JSON.parse(text) : createPublicKey(text).export({ format: 'jwk' });
    const { keys } = setSchema.parse(typeof json === 'object' && json !== null && 'keys' in json ? json : { keys: [json] });
    return {
      // Each pinned to its algorithm: an RSA key's bytes must never serve another.
      keys: keys.map(({ kid, ...jwk }) => {
        // Throws when it is no key.
        createPublicKey({ key: jwk, format: 'jwk' });
        return { ...jwk, ...(kid === undefined ? {} : { kid }) };
      }),
    };
  } catch (cause) {
    throw new Error('it holds no public key: a JWK, a JWK set or an SPKI PEM, Ed25519 or RSA', { cause });
  }
}

/** The keys of a file, of which a token names the one it was signed with. A name that none of them has says nothing: then each is tried. */
function keysIn(file: string, report: Report): JWTVerifyGetKey {
  const select = (keys: JSONWebKeySet): JWTVerifyGetKey => {
    const named = createLocalJWKSet(keys);
    return ({ kid, ...header }, token) =>
      named(keys.keys.some((key) => key.kid === kid) ? { ...header, ...(kid === undefined ? {} : { kid }) } : header, token);
  };
  const parse = (text: string) => {
    const keys = publicKeys(text);
    return { keys, select: select(keys) };
  };
  try {
    const set = watched(file, parse, report, ({ keys }) => keys.keys.map(({ kid }) => kid ?? '?'));
    const knows = (kid: string | undefined): boolean => kid === undefined || set.now().keys.keys.some((key) => key.kid === kid);
    // Another process may have begun to sign with a newer key a moment ago.
    return (header, token) => (knows(header.kid) ? set.now() : set.again()).select(header, token);
  } catch (cause) {
    throw new Error(`no public key in ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** Makes the check of a token: answers its subject; rejects when it is not ours, not for us, expired or forged. */
export async function tokenCheck({ jwksUrl, keyFile, report = () => undefined, issuer, audience }: TokenConfig): Promise<TokenCheck> {
  // 3 s: a caller waits for the answer; keys are kept for ten minutes and asked for again when a token names an unknown one.
  const key = jwksUrl === undefined ? keysIn(keyFile ?? '', report) : createRemoteJWKSet(new URL(jwksUrl), { timeoutDuration: 3000 });
  const options = { issuer, audience, algorithms: [...algorithms], requiredClaims: ['sub', 'exp'], clockTolerance };
  return async (token) => {
    const { payload } = await jwtVerify(token, key, options).catch(async (error: unknown) => {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      // It does not say which key signed it: one of those that could have is right, or none.
      for await (const one of error) {
        try {
          return await jwtVerify(token, one, options);
        } catch (wrong) {
          if (!(wrong instanceof errors.JWSSignatureVerificationFailed)) throw wrong;
        }
      }
      throw new errors.JWSSignatureVerificationFailed();
    });
    return claims.parse(payload).sub;
  };
}

/** Whether a token could not be checked because the identity provider did not give its keys, as opposed to a token that does not hold. */
export const keysAreAway = (error: unknown): boolean =>
  error instanceof errors.JWKSTimeout ||
  (types.isNativeError(error) && error.name === 'TypeError') ||
  (error instanceof errors.JOSEError && error.code === 'ERR_JOSE_GENERIC');

/** A signed token for a person; `ttl` is a span such as `12h`. */
export async function signToken(options: {
  readonly privateKey: string;
  readonly subject: string;
  readonly ttl: string;
  readonly issuer?: string;
  readonly audience?: string;
}): Promise<string> {
  const key = await importPKCS8(options.privateKey, 'EdDSA');
  // Names its key, so that while keys are exchanged it is checked with that one.
  const kid = await calculateJwkThumbprint(z.looseObject({ kty: z.string() }).parse(createPublicKey(options.privateKey).export({ format: 'jwk' })));
  return new SignJWT({})
    .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid })
    .setSubject(options.subject)
    .setIssuer(options.issuer ?? ownIssuer)
    .setAudience(options.audience ?? ownAudience)
    .setIssuedAt()
    .setExpirationTime(options.ttl)
    .sign(key);
}
