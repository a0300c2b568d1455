import { describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { databaseSettings, withPassword } from '../../db/settings.ts';

describe('the password of Postgres in a file', () => {
  const schema = z.object(databaseSettings);
  const read = (env: Record<string, string>): string => withPassword(schema.parse(env)).DATABASE_URL;

  test('takes its place in the URL, whatever characters it has, and without the newline at its end', () => {
    const folder = mkdtempSync(join(tmpdir(), 'kefu-flow-password-'));
    try {
      const file = join(folder, 'password');
      const password = 'a/b@c:d%20 ü#?';
      writeFileSync(file, `${password}\n`);
      for (const url of ['postgres://kefu@postgres:5432/kefu', 'postgres://kefu:old@postgres:5432/kefu']) {
        const got = new URL(read({ DATABASE_URL: url, DATABASE_PASSWORD_FILE: file }));
        expect(decodeURIComponent(got.password)).toBe(password);
        expect([got.username, got.host, got.pathname]).toEqual(['kefu', 'postgres:5432', '/kefu']);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('is not needed: the URL stands as it is', () => {
    expect(read({ DATABASE_URL: 'postgres://kefu:pw@localhost/kefu' })).toBe('postgres://kefu:pw@localhost/kefu');
  });

  test('that is not there is named', () => {
    expect(schema.safeParse({ DATABASE_URL: 'postgres://kefu@localhost/kefu', DATABASE_PASSWORD_FILE: '/nowhere' }).error?.issues[0]?.path).toEqual([
      'DATABASE_PASSWORD_FILE',
    ]);
  });
});
