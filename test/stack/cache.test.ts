import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { cached, cacheFolder, fromFirst, runCommand } from '../../cli/stack/cache.ts';
import { tryLock } from '../../cli/stack/lock.ts';
import { resolveTemporal, temporalFolder } from '../../cli/stack/temporal.ts';
import { resolveTestServer } from '../../cli/stack/test-server.ts';
import { until } from './until.ts';

let folder: string;
let said: string[];
const say = (line: string): void => void said.push(line);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kefu-flow-cache-'));
  said = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const stackFolder = resolve(import.meta.dirname, '../../cli/stack');

/** Runs a script in a process of its own, with the cache's functions at hand. */
const process_ = (script: string) => {
  const source = `import { cached } from '${stackFolder}/cache.ts'; import { appendFileSync, existsSync, writeFileSync } from 'node:fs'; ${script}`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', source], {
    cwd: resolve(stackFolder, '../..'),
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return {
    child,
    ended: new Promise<number | null>((done) => {
      child.once('exit', done);
    }),
  };
};

describe('a cache entry', () => {
  test('is made once by two processes at once; both get it whole', async () => {
    const entry = join(folder, 'temporal-1');
    const makers = join(folder, 'makers');
    const script = `
      const made = await cached('${entry}', async (empty) => {
        appendFileSync('${makers}', 'maker ');
        writeFileSync(empty + '/program', 'half');
        await new Promise((done) => setTimeout(done, 1000));
        writeFileSync(empty + '/program', 'whole');
      }, () => {});
      process.exit((await import('node:fs')).readFileSync(made + '/program', 'utf8') === 'whole' ? 0 : 1);`;
    const two = [process_(script), process_(script)];
    expect(await Promise.all(two.map(({ ended }) => ended))).toEqual([0, 0]);
    expect(await readFile(makers, 'utf8')).toBe('maker ');
  });

  test('that a killed process has left half made is not used, and is removed', async () => {
    const entry = join(folder, 'temporal-1');
    const half = process_(
      `await cached('${entry}', async (empty) => { writeFileSync(empty + '/program', 'half'); await new Promise(() => setInterval(() => {}, 1000)); }, () => {});`,
    );
    const partial = async (): Promise<string | undefined> => (await readdir(folder)).find((name) => name.startsWith('temporal-1.partial-'));
    await until('it is half made', async () => {
      const name = await partial();
      return name !== undefined && (await readdir(join(folder, name))).includes('program');
    });
    half.child.kill('SIGKILL');
    await half.ended;
    const made = await cached(entry, (empty) => writeFile(join(empty, 'program'), 'whole'), say);
    expect(await readFile(join(made, 'program'), 'utf8')).toBe('whole');
    expect(await readdir(folder)).toEqual(['temporal-1']);
  });

  test('that could not be made leaves nothing behind, and can be made later', async () => {
    const entry = join(folder, 'temporal-1');
    await expect(
      cached(
        entry,
        async (empty) => {
          await writeFile(join(empty, 'program'), 'half');
          throw new Error('no network');
        },
        say,
      ),
    ).rejects.toThrow('no network');
    expect(await readdir(folder)).toEqual([]);
    await cached(entry, (empty) => writeFile(join(empty, 'program'), 'whole'), say);
    expect(await readdir(entry)).toEqual(['program']);
  });

  test('lies where KEFU_CACHE, then XDG_CACHE_HOME says, outside the checkout otherwise', () => {
    expect(cacheFolder({ KEFU_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a');
    expect(cacheFolder({ XDG_CACHE_HOME: '/b' })).toBe('/b/kefu-flow');
    expect(cacheFolder({})).toMatch(/\/\.cache\/kefu-flow$/);
  });
});

describe('a lock', () => {
  test('has one holder, and is free again when released', async () => {
    const held = await tryLock(folder);
    expect(await tryLock(folder)).toBeUndefined();
    await held?.release();
    const again = await tryLock(folder);
    expect(again).toBeDefined();
    await again?.release();
  });
});

describe('sources', () => {
  const broken = (name: string, reason: string) => ({
    name,
    fill: async (empty: string) => {
      await writeFile(join(empty, 'half'), '');
      throw new Error(reason);
    },
  });

  test('are tried in order until one works, each with an empty folder', async () => {
    const found: string[][] = [];
    await fromFirst(
      'Temporal',
      [broken('a download', 'no network'), { name: 'a build', fill: async (empty) => void found.push(await readdir(empty)) }, broken('never', '')],
      '',
      folder,
      say,
    );
    expect(found).toEqual([[]]);
    expect(said).toEqual(['Temporal: not by a download.']);
  });

  test('that all fail say each why, and what a person can do', async () => {
    const tried = fromFirst('Temporal', [broken('a download', 'no network'), broken('a Go build', 'go is not installed')], 'Install Go.', folder, say);
    await expect(tried).rejects.toThrow('Temporal could not be had.\n  a download: no network\n  a Go build: go is not installed\nInstall Go.');
  });
});

describe('a command', () => {
  test('that fails says so with its last lines', async () => {
    await expect(runCommand('Building', process.execPath, ['-e', "console.error('no space left'); process.exit(4)"], { limitMs: 20_000 }, say)).rejects.toThrow(
      /exited with 4: no space left/,
    );
  });
  test('that is not installed says that', async () => {
    await expect(runCommand('Building', 'no-such-compiler', [], { limitMs: 20_000 }, say)).rejects.toThrow('no-such-compiler is not installed');
  });
  test('that takes too long is killed', async () => {
    await expect(runCommand('Building', process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { limitMs: 300 }, say)).rejects.toThrow(
      'was ended by SIGKILL',
    );
  });
});

describe('Temporal', () => {
  const program = async (path: string, text: string): Promise<void> => {
    await mkdir(resolve(path, '..'), { recursive: true });
    await writeFile(path, text, { mode: 0o755 });
  };
  const works = '#!/bin/sh\necho temporal version 1\n';

  test('that runs already is used before any program', async () => {
    expect(await resolveTemporal({ TEMPORAL_ADDRESS: 'temporal:7233' }, say)).toEqual({ kind: 'running', address: 'temporal:7233' });
  });

  test('on the PATH is used before the cache', async () => {
    await program(join(folder, 'bin', 'temporal'), works);
    expect(await resolveTemporal({ PATH: `${join(folder, 'bin')}:/usr/bin:/bin`, KEFU_CACHE: join(folder, 'cache') }, say)).toEqual({
      kind: 'program',
      path: 'temporal',
    });
  });

  test('in the cache is used without asking any source', async () => {
    const env = { PATH: '/usr/bin:/bin', KEFU_CACHE: join(folder, 'cache') };
    const made = await temporalFolder(env, say, [{ name: 'a build', fill: (empty) => program(join(empty, 'temporal'), works) }]);
    expect(await resolveTemporal(env, say)).toEqual({ kind: 'program', path: join(made, 'temporal') });
    expect(said).toEqual([]);
  });

  test('that was downloaded for another kind of machine is not kept: the next source is asked', async () => {
    const env = { PATH: '/usr/bin:/bin', KEFU_CACHE: join(folder, 'cache') };
    const made = await temporalFolder(env, say, [
      { name: 'a download', fill: (empty) => program(join(empty, 'temporal'), '\0\0not for this machine') },
      { name: 'a build', fill: (empty) => program(join(empty, 'temporal'), works) },
    ]);
    expect(await readFile(join(made, 'temporal'), 'utf8')).toBe(works);
  });

  test('that cannot be had at all says what to install', async () => {
    const none = temporalFolder({ KEFU_CACHE: join(folder, 'cache') }, say, [
      { name: 'a Go build', fill: () => Promise.reject(new Error('go is not installed')) },
    ]);
    await expect(none).rejects.toThrow(/a Go build: go is not installed\nPut the Temporal CLI .* on the PATH, or install Go .*, or set TEMPORAL_ADDRESS/);
  });
});

test('a test server that is named but cannot be run is an error, not a reason to look elsewhere', async () => {
  await expect(resolveTestServer({ TEMPORAL_TEST_SERVER: join(folder, 'none') }, say)).rejects.toThrow(/TEMPORAL_TEST_SERVER=.* is no program/);
});
