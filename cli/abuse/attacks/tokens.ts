/** Tokens that nobody issued, or not for this, or not for now; and operations without one. */
import { generateKeyPairSync } from 'node:crypto';
import { base64url, importPKCS8, SignJWT, type JWTHeaderParameters, type JWTPayload } from 'jose';
import { z } from 'zod';
import { ownAudience, ownIssuer } from '../../../api/token.ts';
import { addressOf } from '../document.ts';
import { casePath, forEach, idsFor, taskPath, type Attack, type Scene } from '../attack.ts';
import type { Asked, Who } from '../probe.ts';

const hour = 3600;

/** Forged tokens by what is wrong with them, and how each has to be refused. */
async function forged({ privateKey, publicKey, victim }: Scene): Promise<readonly (readonly [string, string, 'unauthenticated' | 'unknownPerson'])[]> {
  const ours = await importPKCS8(privateKey, 'EdDSA');
  const another = generateKeyPairSync('ed25519');
  const { x, kid } = z.object({ x: z.string(), kid: z.string() }).parse(JSON.parse(publicKey));
  const now = Math.floor(Date.now() / 1000);
  const right: JWTPayload = { sub: victim.staff.manager.id, iss: ownIssuer, aud: ownAudience, iat: now, exp: now + hour };
  const sign = (payload: JWTPayload, key: Parameters<SignJWT['sign']>[0] = ours, header: Partial<JWTHeaderParameters> = {}): Promise<string> =>
    new SignJWT(payload).setProtectedHeader({ alg: 'EdDSA', ...header }).sign(key);
  const without = (claim: string): JWTPayload => Object.fromEntries(Object.entries(right).filter(([name]) => name !== claim));
  const encoded = (value: unknown): string => base64url.encode(JSON.stringify(value));
  const [head = '', body = '', signature = ''] = victim.staff.manager.token.split('.');
  const unsigned = (alg: string, tail: string): string => `${encoded({ alg, typ: 'JWT' })}.${encoded(right)}.${tail}`;
  const secret = (text: string | Uint8Array): Promise<string> =>
    sign(right, typeof text === 'string' ? new TextEncoder().encode(text) : text, { alg: 'HS256' });
  const stranger = another.publicKey.export({ format: 'jwk' });
  const out = (what: string, token: string) => [what, token, 'unauthenticated'] as const;
  const unknown = (what: string, token: string) => [what, token, 'unknownPerson'] as const;
  return [
    ...['none', 'None', 'NONE', 'nOnE', ''].flatMap((alg) => [
      out(`alg ${alg}, no signature`, unsigned(alg, '')),
      out(`alg ${alg} with the signature of another token`, unsigned(alg, signature)),
    ]),
    out('HS256 under the text of the public key', await secret(publicKey)),
    out('HS256 under the trimmed text of the public key', await secret(publicKey.trim())),
    out('HS256 under the bytes of the public key', await secret(base64url.decode(x))),
    out('HS256 under nothing', await secret('').catch(() => unsigned('HS256', signature))),
    out('another key', await sign(right, another.privateKey)),
    out('another key under our key id', await sign(right, another.privateKey, { kid })),
    out('another key, sent along as jwk', await sign(right, another.privateKey, { jwk: stranger })),
    out('another key, at an address of its own (jku)', await sign(right, another.privateKey, { jku: 'http://127.0.0.1:1/keys.json' })),
    out('another key, at an address of its own (x5u)', await sign(right, another.privateKey, { x5u: 'http://127.0.0.1:1/key.pem' })),
    out('a key id that is a path', await sign(right, another.privateKey, { kid: '../../../../../../dev/null' })),
    out('a key id that is SQL', await sign(right, another.privateKey, { kid: "x' or '1'='1" })),
    out('RS256 named, EdDSA signed', `${encoded({ alg: 'RS256' })}.${body}.${signature}`),
    out('an extension that nobody knows', `${encoded({ alg: 'EdDSA', crit: ['abuse'], abuse: true })}.${body}.${signature}`),
    out('for another audience', await sign({ ...right, aud: 'another-service' })),
    out('for several audiences, none of them ours', await sign({ ...right, aud: ['one', 'two'] })),
    out('of another issuer', await sign({ ...right, iss: 'another-issuer' })),
    out('of no issuer', await sign(without('iss'))),
    out('for no audience', await sign(without('aud'))),
    out('expired', await sign({ ...right, exp: now - hour })),
    out('without an end', await sign(without('exp'))),
    out('whose end is a word', await sign({ ...right, exp: 'never' as unknown as number })),
    out('not yet valid', await sign({ ...right, nbf: now + hour })),
    out('of nobody', await sign(without('sub'))),
    out('of an empty name', await sign({ ...right, sub: '' })),
    out('of a name that is a list', await sign({ ...right, sub: [right.sub] as unknown as string })),
    out('of a name that is an object', await sign({ ...right, sub: { $ne: null } as unknown as string })),
    out('of a name of 10,000 characters', await sign({ ...right, sub: 'x'.repeat(10_000) })),
    out('whose payload was changed', `${head}.${encoded({ ...right, sub: 'somebody-else' })}.${signature}`),
    out('whose header was changed', `${encoded({ alg: 'EdDSA', typ: 'at+jwt' })}.${body}.${signature}`),
    out('whose signature was cut', `${head}.${body}.${signature.slice(0, -4)}`),
    out('whose signature is empty', `${head}.${body}.`),
    out('a link of a customer', victim.links.open),
    out('a link of a customer in three parts', `${victim.links.open}.${victim.links.open}.${victim.links.open}`),
    out('gibberish', 'gibberish'),
    out('dots', '..'),
    unknown('of a stranger', await sign({ ...right, sub: 'stranger' })),
    unknown('of someone who has left', victim.gone.token),
    unknown('of a name of the language', await sign({ ...right, sub: '__proto__' })),
    unknown('of SQL', await sign({ ...right, sub: "x' or '1'='1" })),
    unknown('of a customer', await sign({ ...right, sub: `customer:${victim.orders[0]?.customer ?? ''}` })),
  ];
}

export const tokens: Attack = {
  name: 'tokens',
  tries: 'unsigned, signed with the public key, with other keys and key ids, for others, of others, expired, too early, cut, changed',
  holds: '401, or 403 where the token is right and the person is not',
  leaves: 'nothing',
  async run(probe, scene) {
    const { victim, thief } = scene;
    const doors: readonly Asked[] = [
      { path: '/v1/cases' },
      { path: casePath(victim.cases.review) },
      { method: 'POST', path: casePath(victim.cases.review, '/notes'), body: { words: 'in' } },
      { method: 'POST', path: taskPath(victim.tasks.review, '/complete'), body: { form: { decision: 'reject', reason: 'other' } } },
      { method: 'PUT', path: `/v1/people/${thief.staff.agent.id}`, body: { name: 'x', roles: ['manager'], shops: ['*'] } },
    ];
    await forEach(await forged(scene), async ([what, token, code]) => {
      const as: Who = { name: `a token ${what}`, viewer: {}, token };
      for (const door of doors) await probe.refused({ ...door, as }, code);
    });
    const { token } = victim.staff.agent;
    const schemes = [
      `Basic ${token}`,
      token,
      `Bearer`,
      `Bearer  ${token}`,
      `Bearer ${token} ${token}`,
      `Bearer ${token},`,
      `Token ${token}`,
      `Bearer "${token}"`,
    ];
    for (const authorization of schemes) await probe.refused({ path: '/v1/cases', headers: { authorization } }, 'unauthenticated');
    for (const path of [`/v1/cases?access_token=${token}`, `/v1/cases?token=${token}`]) await probe.refused({ path }, 'unauthenticated', 'invalid');
    for (const cookie of [`token=${token}`, `authorization=Bearer ${token}`])
      await probe.refused({ path: '/v1/cases', headers: { cookie } }, 'unauthenticated');
  },
};

export const noToken: Attack = {
  name: 'no token',
  tries: 'every operation that asks for a token, without one',
  holds: '401 each time',
  leaves: 'nothing',
  async run(probe, { operations, victim }) {
    const secured = operations.filter((operation) => operation.secured);
    probe.must(secured.length > 20, 'the document names hardly any operation that asks for a token');
    await forEach(secured, async ({ method, bodies, ...operation }) => {
      const of = idsFor(operation, victim);
      for (const body of bodies.length > 0 ? bodies.slice(0, 3) : [undefined])
        await probe.refused({ method, path: addressOf(operation, of), ...(body === undefined ? {} : { body: body as object }) }, 'unauthenticated');
    });
  },
};
