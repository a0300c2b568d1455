/** Tokens: who is calling, and nothing else. What they may do is in `people`, read when they do it. */
import { readFileSync } from 'node:fs';
import { createRemoteJWKSet, importJWK, importPKCS8, importSPKI, jwtVerify, SignJWT, type JWK, type JWTVerifyGetKey } from 'jose';
import { z } from 'zod';

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
  /** A public key: JWK or SPKI PEM. */
  readonly keyFile?: string | undefined;
  readonly issuer: string;
  readonly audience: string;
}

const claims = z.object({ sub: z.string().min(1).max(200) });
export type TokenCheck = (token: string) => Promise<string>;

async function keyOf(file: string): Promise<JWTVerifyGetKey> {
  const text = readFileSync(file, 'utf8').trim();
  if (text.startsWith('{')) {
    const jwk = JSON.parse(text) as JWK;
    const algorithm = jwk.alg ?? (jwk.kty === 'OKP' ? 'EdDSA' : 'RS256');
    const key = await importJWK(jwk, algorithm);
    // Pinned to the key: an RSA key's bytes must never serve another algorithm.
    return pinned(algorithm, key);
  }
  for (const algorithm of algorithms) {
    try {
      return pinned(algorithm, await importSPKI(text, algorithm));
    } catch {
      // The key is of the other kind; when it is of none, the end of the loop says so.
    }
  }
  throw new Error(`${file} holds no public key: a JWK or an SPKI PEM, Ed25519 or RSA`);
}

const pinned =
  (algorithm: string, key: Awaited<ReturnType<typeof importJWK>>): JWTVerifyGetKey =>
  (header) => {
    if (header.alg !== algorithm) throw new Error(`signed with ${header.alg}, the key is for ${algorithm}`);
    return key;
  };

/** Makes the check of a token: answers its subject; rejects when it is not ours, not for us, expired or forged. */
export async function tokenCheck({ jwksUrl, keyFile, issuer, audience }: TokenConfig): Promise<TokenCheck> {
  // 3 s: a caller waits for the answer; keys are kept for ten minutes and asked for again when a token names an unknown one.
  const key = jwksUrl === undefined ? await keyOf(keyFile ?? '') : createRemoteJWKSet(new URL(jwksUrl), { timeoutDuration: 3000 });
  return async (token) => {
    const options = { issuer, audience, algorithms: [...algorithms], requiredClaims: ['sub', 'exp'], clockTolerance };
    // The two kinds of key source have overloads of their own.
    const { payload } = await jwtVerify(token, key, options);
    return claims.parse(payload).sub;
  };
}

/** A signed token for a person; `ttl` is a span such as `12h`. */
export async function signToken(options: {
  readonly privateKey: string;
  readonly subject: string;
  readonly ttl: string;
  readonly issuer?: string;
  readonly audience?: string;
}): Promise<string> {
  const key = await importPKCS8(options.privateKey, 'EdDSA');
  return new SignJWT({})
    .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT' })
    .setSubject(options.subject)
    .setIssuer(options.issuer ?? ownIssuer)
    .setAudience(options.audience ?? ownAudience)
    .setIssuedAt()
    .setExpirationTime(options.ttl)
    .sign(key);
}
