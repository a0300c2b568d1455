/** The command that makes keys and exchanges them, on a folder of its own: what it writes, what it says, what it refuses. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { ownAudience, ownIssuer, signToken, tokenCheck } from '../../api/token.ts';
import { promoteTokens, retireTokens, rotateTokens, tokenKeys } from '../../cli/keys/tokens.ts';
import { fingerprint } from '../../cli/keys/webhooks.ts';
import { ensureSecrets, keySettings } from '../../cli/stack/secrets.ts';
import { codecKeyPurpose } from '../../delivery/codec.ts';
import { parseKeys } from '../../keys/ring.ts';

const root = resolve(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'kefu-keys-command-'));
const secrets = join(folder, 'secrets');
afterAll(() => rmSync(folder, { recursive: true }));

interface Ran {
  readonly code: number;
  readonly output: string;
}
/** Runs the command with nothing around it: no database, no Temporal, no keys in its environment. */
const keys = (...args: readonly string[]): Promise<Ran> =>
  new Promise((done) => {
    execFile(
      process.execPath,
      ['--import', 'tsx', join(root, 'cli/keys.ts'), '--data', folder, ...args],
      { cwd: root, env: { PATH: process.env['PATH'] }, timeout: 60_000 },
      (error, stdout, stderr) => done({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, output: stdout + stderr }),
    );
  });
const codecIds = (): string[] => parseKeys(readFileSync(join(secrets, 'codec.key'), 'utf8'), codecKeyPurpose).map(({ id, next }) => (next ? `${id} next` : id));

describe('npm run keys', () => {
  test('makes every key, readable by its owner alone, and none a second time', async () => {
    expect(await keys()).toEqual({ code: 0, output: `The keys are in ${secrets}.\n` });
    const names = readdirSync(secrets);
    expect(names).toEqual(
      expect.arrayContaining(['codec.key', 'personal.key', 'link.key', 'jwt-private.pem', 'jwt-public.jwk.json', 'webhook-finance.secret']),
    );
    for (const name of names) expect([name, statSync(join(secrets, name)).mode & 0o777]).toEqual([name, 0o600]);
    const before = names.map((name) => readFileSync(join(secrets, name), 'utf8'));
    expect((await keys()).code).toBe(0);
    expect(names.map((name) => readFileSync(join(secrets, name), 'utf8'))).toEqual(before);
  });

  test('adds a codec key that opens only, then has it seal, and says each time what comes next', async () => {
    const rotated = await keys('rotate', 'codec');
    expect(rotated).toEqual({
      code: 0,
      output: expect.stringMatching(/Key "2" is added to the codec keys, and opens only\..*Then: npm run keys -- promote codec/),
    });
    expect(codecIds()).toEqual(['1', '2 next']);
    expect(await keys('rotate', 'codec')).toEqual({ code: 1, output: expect.stringContaining('key "2" already waits to be promoted') });
    const promoted = await keys('promote', 'codec');
    expect(promoted).toEqual({ code: 0, output: expect.stringMatching(/Key "2" seals from now on\..*Then: npm run keys -- retire codec 1/) });
    expect(codecIds()).toEqual(['2', '1']);
    expect(statSync(join(secrets, 'codec.key')).mode & 0o777).toBe(0o600);
    // What needs it is not known here: then it stays.
    expect(await keys('retire', 'codec', '1')).toEqual({ code: 1, output: expect.stringContaining('set TEMPORAL_ADDRESS') });
    expect(await keys('retire', 'codec', '2')).toEqual({ code: 1, output: expect.stringContaining('key "2" seals: rotate and promote another first') });
    expect(codecIds()).toEqual(['2', '1']);
  }, 60_000);

  test('tells what there is without any server, and no key', async () => {
    const { code, output } = await keys('status');
    expect(code).toBe(0);
    expect(output).toMatch(/codec {2}.*codec\.key\n {2}2 +seals\n {2}1 +opens; sealed until \d{4}-.*\n +not known: .*TEMPORAL_ADDRESS/);
    expect(output).toMatch(/personal {2}.*\n {2}1 +seals\n/);
    expect(output).toMatch(/jwt {2}.*\n {2}[\w-]{43} signs\n/);
    const secret = readFileSync(join(secrets, 'webhook-finance.secret'), 'utf8').trim();
    expect(output).toContain(`finance        ${fingerprint(secret)}`);
    for (const name of readdirSync(secrets))
      for (const line of readFileSync(join(secrets, name), 'utf8').split('\n'))
        if (line.length > 30 && !name.startsWith('jwt-public')) expect(output).not.toContain(line.replace(/^\w+:/, '').slice(0, 40));
  });

  test('adds a secret of a webhook, prints it once, and removes the one before by its fingerprint', async () => {
    const file = join(secrets, 'webhook-finance.secret');
    const old = readFileSync(file, 'utf8').trim();
    const { output } = await keys('rotate', 'webhook', 'finance');
    const [fresh = '', ...others] = readFileSync(file, 'utf8').trim().split('\n');
    expect(others).toEqual([old]);
    expect(output).toContain(fresh);
    expect(await keys('retire', 'webhook', 'finance', fingerprint(old))).toMatchObject({ code: 0 });
    expect(readFileSync(file, 'utf8')).toBe(`${fresh}\n`);
    expect(await keys('retire', 'webhook', 'finance', fingerprint(fresh))).toEqual({
      code: 1,
      output: expect.stringContaining('is the only secret of "finance"'),
    });
    expect(await keys('rotate', 'webhook', 'fnance')).toEqual({ code: 1, output: expect.stringMatching(/no system "fnance" has a secret in .*finance/) });
  }, 60_000);

  test('refuses what it does not know, and --help lists everything', async () => {
    expect(await keys('rotate', 'codek')).toEqual({
      code: 1,
      output: expect.stringContaining('"codek" is no kind of key: codec, personal, link, jwt, webhook SYSTEM'),
    });
    expect(await keys('burn')).toEqual({ code: 1, output: expect.stringContaining('status, rotate, promote, rewrap, retire') });
    expect(await keys('rewrap')).toEqual({ code: 1, output: expect.stringContaining('set DATABASE_URL') });
    const { output } = await keys('--help');
    for (const word of ['status', 'rotate', 'promote', 'rewrap', 'retire', '--data', '--force']) expect(output).toContain(word);
  }, 60_000);
});

describe('the pair that tokens are signed with', () => {
  const data = join(folder, 'tokens');
  const files = keySettings(join(data, 'secrets'));
  const issue = (): Promise<string> => signToken({ privateKey: readFileSync(files.JWT_PRIVATE_KEY_FILE, 'utf8'), subject: 'wang', ttl: '1h' });
  let check: (token: string) => Promise<string>;
  beforeAll(async () => {
    await ensureSecrets(data, [], false);
    check = await tokenCheck({ keyFile: files.JWT_PUBLIC_KEY_FILE, issuer: ownIssuer, audience: ownAudience });
  });
  /** A process that runs sees a changed file within a second. */
  const settles = async (token: string, holds: boolean): Promise<void> => {
    for (const deadline = Date.now() + 10_000; ; await pause(25)) {
      const now = await check(token).then(
        (who) => who === 'wang',
        () => false,
      );
      if (now === holds) return;
      if (Date.now() > deadline) throw new Error(`the token ${holds ? 'does not hold' : 'still holds'}`);
    }
  };

  test('is exchanged while tokens of both hold, and those of the old one end when it is retired', async () => {
    const old = await issue();
    const [first] = await tokenKeys(files);
    // A file that holds one key is read as well as a set.
    expect(await check(old)).toBe('wang');
    const id = await rotateTokens(files);
    expect((await tokenKeys(files)).map(({ state }) => state)).toEqual(['signs', 'next']);
    await expect(rotateTokens(files)).rejects.toThrow(`key "${id}" already waits`);
    await promoteTokens(files);
    const fresh = await issue();
    await settles(fresh, true);
    await settles(old, true);
    await expect(retireTokens(files, id)).rejects.toThrow('signs: rotate and promote another first');
    await retireTokens(files, first?.id ?? '');
    await settles(old, false);
    expect(await check(fresh)).toBe('wang');
    for (const file of [files.JWT_PRIVATE_KEY_FILE, files.JWT_PUBLIC_KEY_FILE]) expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(data, 'secrets')).filter((name) => name.startsWith('jwt'))).toEqual(['jwt-private.pem', 'jwt-public.jwk.json']);
  });

  test('may be several, of which a token names none: it holds under the one that signed it, and under no other', async () => {
    const [one, two, stranger] = [0, 1, 2].map(() => generateKeyPairSync('ed25519'));
    const keyFile = join(folder, 'several.json');
    writeFileSync(keyFile, JSON.stringify({ keys: [one, two].map((pair) => ({ ...pair?.publicKey.export({ format: 'jwk' }), alg: 'EdDSA' })) }));
    const several = await tokenCheck({ keyFile, issuer: ownIssuer, audience: ownAudience });
    const token = (pair: typeof one, header: object = {}) =>
      new SignJWT({})
        .setProtectedHeader({ alg: 'EdDSA', ...header })
        .setSubject('wang')
        .setIssuer(ownIssuer)
        .setAudience(ownAudience)
        .setExpirationTime('1h')
        .sign(pair?.privateKey ?? new Uint8Array());
    expect(await several(await token(one))).toBe('wang');
    expect(await several(await token(two))).toBe('wang');
    // A name that no key has says nothing; the signature says it.
    expect(await several(await token(two, { kid: '../../etc/passwd' }))).toBe('wang');
    await expect(several(await token(stranger))).rejects.toThrow('signature verification failed');
    await expect(several(await token(stranger, { kid: 'x' }))).rejects.toThrow('signature verification failed');
  });

  test('is not taken from a file that holds another kind of key', async () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const keyFile = join(folder, 'other.pem');
    for (const text of [publicKey.export({ format: 'pem', type: 'spki' }).toString(), '{"keys":[]}', '{"kty":"oct","k":"c2VjcmV0"}', 'none', '{']) {
      writeFileSync(keyFile, text);
      await expect(tokenCheck({ keyFile, issuer: ownIssuer, audience: ownAudience })).rejects.toThrow(
        /no public key in .*other\.pem: .*a JWK set or an SPKI PEM/,
      );
    }
  });
});
