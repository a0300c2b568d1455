import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { readSettings } from '../../api/settings.ts';

const here = fileURLToPath(import.meta.url);
const whole = {
  DATABASE_URL: 'postgres://u:p@127.0.0.1:5432/kefu',
  TEMPORAL_ADDRESS: '127.0.0.1:7233',
  PORT: '8080',
  JWT_PUBLIC_KEY_FILE: here,
  CODEC_KEY_FILE: here,
  PERSONAL_KEY_FILE: here,
  LINK_KEY_FILE: here,
  PUBLIC_URL: 'https://service.example.cn',
  EVIDENCE_DIR: '/var/lib/evidence',
  WEBHOOK_SECRETS_DIR: here,
  POLICY_FILE: here,
};

test('settings that hold are read, with what is usual for the rest', () => {
  expect(readSettings(whole)).toMatchObject({ PORT: 8080, HOST: '127.0.0.1', TEMPORAL_NAMESPACE: 'default', LOG_LEVEL: 'info' });
});

test('everything that is missing or wrong is named at once, and says what belongs there', () => {
  const { DATABASE_URL: _url, JWT_PUBLIC_KEY_FILE: _key, ...rest } = whole;
  const read = () => readSettings({ ...rest, PORT: 'many', TEMPORAL_ADDRESS: 'localhost', CODEC_KEY_FILE: '/nowhere/codec.key' });
  expect(read).toThrow(/DATABASE_URL is not set: a URL such as postgres:/);
  expect(read).toThrow(/PORT: /);
  expect(read).toThrow(/TEMPORAL_ADDRESS: host:port/);
  expect(read).toThrow(/CODEC_KEY_FILE: no such file/);
  expect(() => readSettings(rest)).toThrow(/DATABASE_URL/);
  expect(() => readSettings({ ...rest, DATABASE_URL: whole.DATABASE_URL })).toThrow(/JWT_PUBLIC_KEY_FILE is not set: .*JWT_JWKS_URL/);
});

test('evidence needs a place, and a key of a bucket its secret', () => {
  const { EVIDENCE_DIR: _folder, ...rest } = whole;
  expect(() => readSettings(rest)).toThrow(/EVIDENCE_DIR is not set: .*EVIDENCE_S3_BUCKET/);
  expect(readSettings({ ...rest, EVIDENCE_S3_BUCKET: 'evidence' })).toMatchObject({ EVIDENCE_S3_REGION: 'us-east-1' });
  expect(() => readSettings({ ...rest, EVIDENCE_S3_BUCKET: 'evidence', EVIDENCE_S3_ACCESS_KEY_ID: 'id' })).toThrow(/EVIDENCE_S3_SECRET_KEY_FILE is not set/);
});
