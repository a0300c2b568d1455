import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { loadPolicy } from '../../policies/load.ts';

const root = resolve(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'policy-command-'));
copyFileSync(join(root, 'policies/default.yaml'), join(folder, 'default.yaml'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The command, run in the folder that has the policies. */
const policy = (...given: string[]) =>
  spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), join(root, 'cli/policy.ts'), ...given], { cwd: folder, encoding: 'utf8' });
const write = (text: string, name = 'own.yaml') => writeFileSync(join(folder, name), text);
const own = `extends: default
windows:
  evidence: 7d
shops:
  tmall:
    windows: { evidence: 8d }
    returns: { thanksFor: [quality], categories: { shoes: { reasons: { noReason: { within: 30 calendar days } } } } }
`;

test('check says what differs from the default, and in each shop from all others, with file and line', () => {
  write(own);
  const { version } = loadPolicy(join(folder, 'own.yaml'));
  expect(policy('check', 'own.yaml')).toMatchObject({
    status: 0,
    stderr: '',
    stdout: `own.yaml is in order; version ${version}

Differs from policies/default.yaml in 1:
  windows.evidence: 3d → 7d  (own.yaml:3)

Shop tmall differs from all others in 3:
  windows.evidence: 7d → 8d  (own.yaml:6)
  returns.categories.shoes: (nothing) → { reasons: { noReason: { within: 30 calendar days } } }  (own.yaml:7)
  returns.thanksFor: [ quality, wrongItem ] → [ quality ]  (own.yaml:7)
`,
  });
});

test('check of the default says that nothing differs', () => {
  expect(policy('check')).toMatchObject({ status: 0, stdout: expect.stringContaining('Nothing differs from policies/default.yaml.') });
});

test('check fails with every problem, of values and of what processes know, by file and line', () => {
  write('extends: default\nwindows: { evidence: soon }\nreturns: { evidenceRound: 2 }\n', 'wrong.yaml');
  expect(policy('check', 'wrong.yaml')).toMatchObject({
    status: 1,
    stdout: '',
    stderr: expect.stringMatching(
      /^wrong\.yaml:2:22 windows\.evidence: "soon" is no duration: .*\nwrong\.yaml:3:12 returns\.evidenceRound: .*did you mean evidenceRounds\?\n2 problems; /,
    ),
  });
  write('extends: default\nmessages: { texts: { return-exchange: { thanks: { en: Thanks } } } }\n', 'wrong.yaml');
  expect(policy('check', 'wrong.yaml')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('wrong.yaml:2:55 messages.texts.return-exchange.thanks.en: does not use {order}'),
  });
});

test('show prints what holds in a shop as YAML that says the same, each value with where it stands', () => {
  write(own);
  const loaded = loadPolicy(join(folder, 'own.yaml'));
  const { status, stdout } = policy('show', '--shop', 'tmall', '--policy', 'own.yaml');
  expect(status).toBe(0);
  expect(parse(stdout)).toEqual(loaded.written('tmall'));
  expect(stdout).toMatch(/^# Version [0-9a-f]{16}, shop tmall$/m);
  expect(stdout).toContain('\n  evidence: 8d # own.yaml:6\n');
  expect(stdout).toMatch(/\n {2}parcelSent: 10d # default\.yaml:\d+\n/);
  expect(parse(policy('show', '--policy', 'own.yaml').stdout)).toEqual(loaded.written());
  expect(policy('show', '--shop', 'jd', '--policy', 'own.yaml').stdout).toContain('shop jd: the policy does not name it');
});

test('says how it is used, and what is wrong with what it was given', () => {
  expect(policy('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('npm run policy -- check policies/own.yaml') });
  for (const [given, says] of [
    [[], 'Say what to do: check or show.'],
    [['chek'], '"chek" with these options is nothing this command does.'],
    [['show', '--shop', 'a', '--case', 'b'], 'A case has its shop'],
    [['show', '--case', 'b', '--data', join(folder, 'no-stack-here')], 'Start it: npm start -- --data'],
    [['check', 'none.yaml'], 'none.yaml:1:1 cannot be read: ENOENT'],
    [['--shp', 'x'], '--shp'],
  ] as const)
    expect(policy(...given)).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining(says) });
});
