/** Worker and API do not start on a policy that the processes would stumble over; they find out before they ask for any server. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ensureSecrets } from '../../cli/stack/secrets.ts';

const root = resolve(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'policy-start-'));
const file = join(folder, 'own.yaml');
let env: NodeJS.ProcessEnv;
beforeAll(async () => {
  const secrets = await ensureSecrets(folder, [], false);
  writeFileSync(file, 'extends: default\nmessages: { texts: { return-exchange: { thanks: { en: Thanks } } } }\n');
  env = {
    PATH: process.env['PATH'],
    // Nothing listens there.
    DATABASE_URL: 'postgres://u:p@127.0.0.1:1/kefu',
    TEMPORAL_ADDRESS: '127.0.0.1:1',
    PORT: '0',
    JWT_PUBLIC_KEY_FILE: join(secrets, 'jwt-public.jwk.json'),
    CODEC_KEY_FILE: join(secrets, 'codec.key'),
    PERSONAL_KEY_FILE: join(secrets, 'personal.key'),
    LINK_KEY_FILE: join(secrets, 'link.key'),
    PUBLIC_URL: 'http://127.0.0.1:1',
    SYSTEMS_URL: 'http://127.0.0.1:1',
    EVIDENCE_DIR: join(folder, 'evidence'),
    WEBHOOK_SECRETS_DIR: secrets,
    POLICY_FILE: file,
  };
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each(['api/main.ts', 'worker/main.ts'])('%s', (main) => {
  const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', join(root, main)], { cwd: root, env, encoding: 'utf8', timeout: 50_000 });
  expect(status).toBe(1);
  expect(stderr).toContain(`${file}:2:55 messages.texts.return-exchange.thanks.en: does not use {order}`);
});
