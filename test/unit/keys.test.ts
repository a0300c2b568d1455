/** Rings of keys in files: which key seals, which open, and that nothing fails to open while one is exchanged for another. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { editFile } from '../../cli/keys/edit.ts';
import { formToken, isFormToken, linkKeysOf } from '../../db/links.ts';
import { codecKeyPurpose, codecKeysOf, sealingCodec } from '../../delivery/codec.ts';
import { keysOfFile, type FileNews } from '../../keys/file.ts';
import { KeyRefusal, keyNamed, newRing, parseKeys, printKeys, promoted, withNext, without, type KeyRing } from '../../keys/ring.ts';
import { instant } from '../../values/instant.ts';

const folder = mkdtempSync(join(tmpdir(), 'kefu-keys-'));
afterAll(() => rmSync(folder, { recursive: true }));
const now = instant(Date.UTC(2026, 10, 23, 10));
const parse = (text: string): KeyRing => parseKeys(text, codecKeyPurpose);
const key = (fill: number): string => Buffer.alloc(32, fill).toString('base64');
const states = (ring: KeyRing): string[] => ring.map(({ id, next, until }) => `${id}${next ? ' next' : until === undefined ? '' : ` until ${until}`}`);

describe('a ring of keys', () => {
  test('goes from the only key to the next one in two steps, and the first may be removed then', () => {
    const one = newRing();
    const two = withNext(one);
    expect(states(two)).toEqual(['1', '2 next']);
    const three = promoted(two, now);
    expect(states(three)).toEqual(['2', `1 until ${now}`]);
    expect(keyNamed(three, '1').key).toEqual(one[0].key);
    expect(states(withNext(three))).toEqual(['2', '3 next', `1 until ${now}`]);
    expect(states(without(three, '1'))).toEqual(['2']);
    expect(states(promoted(withNext(three), now))).toEqual(['3', `2 until ${now}`, `1 until ${now}`]);
  });

  test('refuses what cannot be meant: two next ones, a promotion of none, the removal of the one that seals', () => {
    const one = newRing();
    expect(() => withNext(withNext(one))).toThrow('key "2" already waits to be promoted');
    expect(() => promoted(one, now)).toThrow('no key waits');
    expect(() => without(withNext(one), '1')).toThrow('key "1" seals');
    expect(() => without(one, '7')).toThrow(new KeyRefusal('there is no key "7"; there are "1"'));
    expect(states(without(withNext(one), '2'))).toEqual(['1']);
  });

  test('of a file from before keys had ids: a bare key is 1, and further ones count from the last', () => {
    expect(states(parse(key(1)))).toEqual(['1']);
    expect(states(parse(`${key(3)}\n${key(2)}\n${key(1)}\n`))).toEqual(['3', '2', '1']);
    expect(states(withNext(parse(`${key(2)}\n${key(1)}\n`)))).toEqual(['2', '3 next', '1']);
    // The next number is a new one, also beside names that people gave.
    expect(states(withNext(parse(`winter:${key(1)}`)))).toEqual(['winter', '1 next']);
  });

  test('is refused, with the line and what belongs there, when it is none', () => {
    for (const [text, why] of [
      ['', 'the file is empty'],
      ['1:c2hvcnQ=', 'line 1: a codec key is 32 random bytes'],
      [`1:${key(1)}\n2:${Buffer.alloc(31).toString('base64')}`, 'line 2'],
      [`1:${key(1)}\n2:${key(2)}:soon`, 'line 2'],
      [`1:${key(1)}\n2:${key(2)}:until=soon`, 'soon'],
      [`1:${key(1)}:next`, 'the first key seals'],
      [`1:${key(1)}\n1:${key(2)}`, 'two keys have the id "1"'],
      [`1:${key(1)}\n2:${key(2)}:next\n3:${key(3)}:next`, 'more than one key'],
    ] as const)
      expect(() => parse(text)).toThrow(why);
  });

  test('is what it was when it has been written and read, whatever was done with it', () => {
    const step = fc.constantFrom(
      (ring: KeyRing) => withNext(ring),
      (ring: KeyRing) => promoted(ring, now),
      (ring: KeyRing) => without(ring, ring.at(-1)?.id ?? ''),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        let ring: KeyRing = newRing();
        for (const change of steps) {
          try {
            ring = change(ring);
          } catch (error) {
            expect(error).toBeInstanceOf(KeyRefusal);
          }
          expect(parse(printKeys(ring))).toEqual(ring);
          expect(ring.filter(({ next }) => next).length).toBeLessThan(2);
          expect(ring[0].next).toBeUndefined();
        }
      }),
    );
  });
});

describe('a key file', () => {
  let file: string;
  const news: FileNews[] = [];
  const ids = (keys: { all(): KeyRing }): string[] => keys.all().map(({ id }) => id);
  const until = async (what: string, holds: () => boolean): Promise<void> => {
    const deadline = Date.now() + 10_000;
    while (!holds()) {
      if (Date.now() > deadline) throw new Error(`${what} did not come about`);
      await pause(20);
    }
  };
  beforeAll(() => {
    file = join(folder, 'codec.key');
    writeFileSync(file, printKeys(newRing()), { mode: 0o600 });
  });

  test('is read again once it has changed, without a restart, and whoever watches is told the ids and no key', async () => {
    const keys = keysOfFile(file, codecKeyPurpose, (one) => news.push(one));
    await editFile(file, (text) => ({ text: printKeys(withNext(parse(text))), result: undefined }));
    await until('the new key', () => ids(keys).length === 2);
    expect(keys.sealing().id).toBe('1');
    await editFile(file, (text) => ({ text: printKeys(promoted(parse(text), now)), result: undefined }));
    await until('the promotion', () => keys.sealing().id === '2');
    expect(news).toEqual([
      { file, keys: ['1', '2'] },
      { file, keys: ['2', '1'] },
    ]);
  });

  test('that was spoilt changes nothing but is reported once; mended, it holds again', async () => {
    const told: FileNews[] = [];
    const keys = keysOfFile(file, codecKeyPurpose, (one) => told.push(one));
    const whole = readFileSync(file, 'utf8');
    writeFileSync(file, 'no key\n');
    for (let looks = 0; looks < 3; looks++) expect(keys.find('none')).toBeUndefined();
    expect(ids(keys)).toEqual(['2', '1']);
    rmSync(file);
    expect(keys.find('none')).toBeUndefined();
    expect(told.map(({ error }) => error)).toEqual([expect.stringContaining('line 1: a codec key is'), expect.stringContaining('ENOENT')]);
    writeFileSync(file, whole, { mode: 0o600 });
    expect(keys.find('none')).toBeUndefined();
    expect(told.at(-1)).toEqual({ file, keys: ['2', '1'] });
  });

  test('that cannot be read at the start ends the start, and names the file', () => {
    expect(() => codecKeysOf(join(folder, 'none.key'), () => undefined)).toThrow(/no codec key in .*none\.key: .*ENOENT/);
  });

  test('is changed whole, keeps its mode, and leaves nothing beside it', async () => {
    const alone = mkdtempSync(join(folder, 'alone-'));
    const own = join(alone, 'personal.key');
    for (const mode of [0o600, 0o400, 0o640]) {
      writeFileSync(own, printKeys(newRing()), { mode });
      chmodSync(own, mode);
      await editFile(own, (text) => ({ text: printKeys(withNext(parse(text))), result: undefined }));
      expect(statSync(own).mode & 0o777).toBe(mode);
      rmSync(own);
    }
    writeFileSync(own, printKeys(newRing()));
    const before = readFileSync(own, 'utf8');
    await expect(editFile(own, (text) => ({ text: printKeys(promoted(parse(text), now)), result: undefined }))).rejects.toThrow('no key waits');
    expect(readFileSync(own, 'utf8')).toBe(before);
    // Two at once: one after the other, so that neither is lost.
    const add = (id: string) => editFile(own, (text) => ({ text: `${text}${id}:${randomBytes(32).toString('base64')}\n`, result: undefined }));
    await Promise.all(['a', 'b', 'c', 'd'].map(add));
    expect(
      parse(readFileSync(own, 'utf8'))
        .map(({ id }) => id)
        .toSorted(),
    ).toEqual(['1', 'a', 'b', 'c', 'd']);
  });
});

/** What a test that fails leaves running. */
const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** Two processes that seal and open each other's payloads without a pause, each with the keys of its file. */
async function traffic([first, second]: readonly [string, string]) {
  const codecs = [sealingCodec(codecKeysOf(first, () => undefined))];
  // They look at their files at different moments: for half a second after a change one knows what the other does not.
  await pause(500);
  codecs.push(sealingCodec(codecKeysOf(second, () => undefined)));
  const [plain] = [defaultPayloadConverter.toPayload({ order: 'MX-2007' })].filter((p) => p !== undefined);
  if (plain === undefined) throw new Error('nothing to seal');
  const sealed: Payload[] = [];
  const failures: string[] = [];
  let stopped = false;
  const idOf = (payload: Payload): string => Buffer.from(payload.metadata?.['key-id'] ?? []).toString();
  const run = async (): Promise<void> => {
    for (let turn = 0; !stopped; turn++) {
      const [one, other] = turn % 2 === 0 ? [codecs[0], codecs[1]] : [codecs[1], codecs[0]];
      const made = await one?.encode([plain]);
      if (made?.[0]) sealed.push(made[0]);
      await other?.decode(made ?? []).catch((error: unknown) => failures.push(String(error)));
      // Lets the one who rotates have a turn; a real payload waits for the network.
      await nextTurn();
    }
  };
  const running = run();
  ends.push(() => (stopped = true));
  return {
    failures,
    ids: () => [...new Set(sealed.map(idOf))],
    /** Until both have sealed so many more. */
    async more(count = 50): Promise<void> {
      const from = sealed.length;
      while (sealed.length < from + count) await pause(1);
    },
    /** Until what is sealed now is sealed with this key by both. */
    async sealsWith(id: string): Promise<void> {
      for (const deadline = Date.now() + 10_000; ; await pause(10)) {
        const last = sealed.slice(-4).map(idOf);
        if (last.length === 4 && last.every((one) => one === id)) return;
        if (Date.now() > deadline) throw new Error(`still sealed with ${last.join()}`);
      }
    },
    async end(): Promise<number> {
      stopped = true;
      await running;
      // What is old is read as what is new.
      for (const codec of codecs) expect(await codec.decode(sealed)).toHaveLength(sealed.length);
      return sealed.length;
    },
  };
}
const change = (file: string, how: (ring: KeyRing) => KeyRing): Promise<void> =>
  editFile(file, (text) => ({ text: printKeys(how(parse(text))), result: undefined }));

describe('a rotation while processes seal and open', () => {
  test('with one file that all of them read: nothing fails to open, not even when it is promoted at once', async () => {
    const file = join(folder, 'shared.key');
    writeFileSync(file, printKeys(newRing()));
    const both = await traffic([file, file]);
    await both.more();
    for (const id of ['2', '3', '4']) {
      await change(file, withNext);
      await change(file, (ring) => promoted(ring, now));
      await both.sealsWith(id);
    }
    expect(both.failures).toEqual([]);
    expect(both.ids()).toEqual(['1', '2', '3', '4']);
    expect(await both.end()).toBeGreaterThan(100);
  });

  test('with a copy of the file for each, that comes when it comes: nothing fails when it is promoted once all have the key', async () => {
    const [here, there] = [join(folder, 'here.key'), join(folder, 'there.key')];
    writeFileSync(here, printKeys(newRing()));
    copyFileSync(here, there);
    const spread = (): void => {
      // As a volume is renewed: at once, and some time after.
      copyFileSync(here, `${there}.new`);
      renameSync(`${there}.new`, there);
    };
    const both = await traffic([here, there]);
    await both.more();
    await change(here, withNext);
    await both.more();
    spread();
    await both.more();
    await change(here, (ring) => promoted(ring, now));
    await both.more();
    expect(both.failures).toEqual([]);
    spread();
    await both.sealsWith('2');
    expect(both.failures).toEqual([]);
    expect(both.ids()).toEqual(['1', '2']);
    await both.end();
  });

  test('promoted before the other copy has it (the control): what it seals does not open there, and the message says what to do; it heals with the file', async () => {
    const [here, there] = [join(folder, 'early.key'), join(folder, 'late.key')];
    writeFileSync(here, printKeys(newRing()));
    copyFileSync(here, there);
    const both = await traffic([here, there]);
    await both.more();
    await change(here, withNext);
    await change(here, (ring) => promoted(ring, now));
    const deadline = Date.now() + 10_000;
    while (both.failures.length === 0 && Date.now() < deadline) await pause(5);
    expect(both.failures[0]).toContain('a payload is sealed under key "2", which this process does not have: put it into CODEC_KEY_FILE (docs/keys.md');
    copyFileSync(here, there);
    await both.sealsWith('2');
    const soFar = both.failures.length;
    await both.more();
    expect(both.failures).toHaveLength(soFar);
    await both.end();
  });

  test('of links, whose tokens name no key: what one process has just signed with the new key holds in another that has not looked since', async () => {
    const file = join(folder, 'link.key');
    writeFileSync(file, printKeys(newRing()));
    const old = linkKeysOf(file, () => undefined);
    const before = formToken(old, { id: 'link' });
    await change(file, withNext);
    await change(file, (ring) => promoted(ring, now));
    const fresh = formToken(
      linkKeysOf(file, () => undefined),
      { id: 'link' },
    );
    expect(fresh).not.toBe(before);
    expect([before, fresh, 'forged'].map((token) => isFormToken(old, { id: 'link' }, token))).toEqual([true, true, false]);
    await change(file, (ring) => without(ring, '1'));
    expect(
      isFormToken(
        linkKeysOf(file, () => undefined),
        { id: 'link' },
        before,
      ),
    ).toBe(false);
  });
});
