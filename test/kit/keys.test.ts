/** Keys that are exchanged while cases run: customers' keys in Postgres and payloads in Temporal, old and new, are read throughout. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { editFile } from '../../cli/keys/edit.ts';
import { openNeeds } from '../../cli/keys/needs.ts';
import { placesOf } from '../../cli/keys/places.ts';
import { makeLink } from '../../db/links.ts';
import { connectPool, inTransaction, type Pool } from '../../db/pool.ts';
import { keysByMaster, masterKeyPurpose, masterKeys, masterKeysOf, newFileKey, open, openFileKey, rewrapSome, seal, type MasterKeys } from '../../db/sealed.ts';
import { codecKeyPurpose, codecKeysOf, sealingCodec } from '../../delivery/codec.ts';
import { connectTemporal } from '../../delivery/temporal.ts';
import { fixedKeys, newRing, parseKeys, printKeys, promoted, withNext, without, type KeyRing, type Purpose } from '../../keys/ring.ts';
import type { CaseId } from '../../values/ids.ts';
import { instant, plus } from '../../values/instant.ts';
import { startKit, type Kit, type Surroundings } from './harness.ts';
import { keyIdOf, payloadsIn } from './payloads.ts';
import { freshDatabase, surroundings } from './surroundings.ts';
import { tinyCases } from './tiny.ts';

const folder = mkdtempSync(join(tmpdir(), 'kefu-keys-kit-'));
afterAll(() => rmSync(folder, { recursive: true }));
const change = (file: string, purpose: Purpose, how: (ring: KeyRing) => KeyRing): Promise<void> =>
  editFile(file, (text) => ({ text: printKeys(how(parseKeys(text, purpose))), result: undefined }));
const silent = (): void => undefined;
const longAgo = instant(Date.UTC(2026, 0, 1));

interface Ran {
  readonly code: number;
  readonly output: string;
}
/** `npm run keys` as in a container: told of its files and servers by the environment. */
const keysCommand = (env: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<Ran> =>
  new Promise((done) => {
    execFile(
      process.execPath,
      ['--import', 'tsx', resolve(import.meta.dirname, '../../cli/keys.ts'), ...args],
      { env: { PATH: process.env['PATH'], ...env }, timeout: 60_000 },
      (error, stdout, stderr) => done({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, output: stdout + stderr }),
    );
  });

describe('master keys', () => {
  let databaseUrl: string;
  let pool: Pool;
  let file: string;
  const bare = randomBytes(32).toString('base64');
  beforeAll(async () => {
    databaseUrl = await freshDatabase();
    pool = connectPool(databaseUrl, 'keys-test', 10);
    file = join(folder, 'personal.key');
    writeFileSync(file, `${bare}\n`, { mode: 0o600 });
  });
  afterAll(() => pool.end());

  /** A case of a customer, with a note of theirs and a file. */
  interface Said {
    readonly case: CaseId;
    readonly customer: string;
    readonly words: string;
    readonly file: { readonly id: string; readonly sealedKey: Buffer; readonly key: Buffer };
  }
  async function say(masters: MasterKeys, customer = `c_${randomUUID()}`): Promise<Said> {
    const of = `tiny.${randomUUID()}` as CaseId;
    const words = `words of ${customer}`;
    await pool.query(
      "insert into cases (id, process, shop, customer, input, input_hash, manifest, starter) values ($1, 'tiny', 'main', $2, '{}', '', '{}', 'test')",
      [of, customer],
    );
    const id = randomUUID();
    const { key, sealed } = await inTransaction(pool, async (tx) => {
      await seal(tx, masters, { caseId: of, owner: customer, path: 'note', value: { words }, by: 'test' });
      return newFileKey(tx, masters, customer, id);
    });
    return { case: of, customer, words, file: { id, sealedKey: sealed, key } };
  }
  async function reads(masters: MasterKeys, said: Said): Promise<void> {
    expect((await open(pool, masters, said.case)).map(({ value }) => value)).toEqual([{ words: said.words }]);
    expect(await openFileKey(pool, masters, { id: said.file.id, owner: said.customer, sealedKey: said.file.sealedKey, at: new Date() })).toEqual(said.file.key);
  }

  test('of an old folder, a bare key, open what they sealed, also in rows that a process of the version before made', async () => {
    const masters = masterKeysOf(file, silent);
    const said = await say(masters);
    const masterOf = async () => (await pool.query<{ master_key: string }>('select master_key from customer_keys where customer = $1', [said.customer])).rows;
    expect(await masterOf()).toEqual([{ master_key: '1' }]);
    // The version before does not name the column: what it makes meanwhile has this.
    await pool.query("update customer_keys set master_key = 'x' where customer = $1", [said.customer]);
    await expect(open(pool, masters, said.case)).rejects.toThrow('master key "x"');
    await pool.query('update customer_keys set master_key = default where customer = $1', [said.customer]);
    expect(await masterOf()).toEqual([{ master_key: '1' }]);
    await reads(masters, said);
  });

  test('are exchanged while customers are written, read and erased: every word and every file is read throughout, and in the end under the new key alone', async () => {
    const env = { PERSONAL_KEY_FILE: file, DATABASE_URL: databaseUrl };
    // Two processes of the API, each with its own look at the file.
    const [one, other] = [masterKeysOf(file, silent), masterKeysOf(file, silent)];
    const before = await Promise.all(Array.from({ length: 40 }, () => say(one)));
    // More than two batches.
    await inTransaction(pool, async (tx) => {
      for (let n = 0; n < 1200; n++) await newFileKey(tx, one, `quiet-${n}`, `file-${n}`);
    });
    const all = [...before];
    // Of customers of their own, so that nobody reads one who is just going.
    const going = await Promise.all(Array.from({ length: 20 }, () => say(one)));
    const erased = new Set<string>();
    const failures: unknown[] = [];
    let stopped = false;
    const load = async (turn: number): Promise<void> => {
      const [writes, looks] = turn % 2 === 0 ? [one, other] : [other, one];
      while (!stopped) {
        try {
          all.push(await say(writes));
          const some = all[Math.floor(Math.random() * all.length)];
          if (some) await reads(looks, some);
          const gone = going.find(({ customer }) => !erased.has(customer));
          if (gone) {
            erased.add(gone.customer);
            await pool.query('delete from customer_keys where customer = $1', [gone.customer]);
          }
        } catch (error) {
          failures.push(error);
          stopped = true;
        }
      }
    };
    const running = [load(0), load(1)];
    const sealing = async (id: string): Promise<void> => {
      const deadline = Date.now() + 20_000;
      while (one.sealing().id !== id || other.sealing().id !== id) {
        if (Date.now() > deadline) throw new Error(`nobody seals with ${id}`);
        await pause(20);
      }
    };

    expect(await keysCommand(env, 'rotate', 'personal')).toMatchObject({ code: 0, output: expect.stringContaining('Key "2" is added to the personal keys') });
    expect(await keysCommand(env, 'promote', 'personal')).toMatchObject({ code: 0, output: expect.stringContaining('Then: npm run keys -- rewrap') });
    await sealing('2');
    // Too early, twice: rows are sealed under it, and then a process might still seal with it.
    expect(await keysCommand(env, 'retire', 'personal', '1')).toEqual({
      code: 1,
      output: expect.stringMatching(/key "1" is needed: [\d,]+ customers' keys are sealed under it, .*rewrap/),
    });
    // Broken off after a batch, and taken up again by the command.
    const small = masterKeys(readFileSync(file, 'utf8'));
    expect(await inTransaction(pool, (tx) => rewrapSome(tx, small))).toBe(500);
    expect((await keysByMaster(pool)).get('1')?.rows).toBeGreaterThan(500);
    const rewrapped = await keysCommand(env, 'rewrap');
    expect(rewrapped).toMatchObject({ code: 0, output: expect.stringMatching(/^\d+ customers' keys are sealed anew under "2", in [\d.]+ s\./m) });
    expect([...(await keysByMaster(pool)).keys()]).toEqual(['2']);
    expect(await keysCommand(env, 'retire', 'personal', '1')).toEqual({
      code: 1,
      output: expect.stringContaining('a process that has not read the file again may seal with it until'),
    });
    stopped = true;
    await Promise.all(running);
    expect(failures).toEqual([]);
    expect(all.length).toBeGreaterThan(before.length);

    // Ten minutes later.
    await change(file, masterKeyPurpose, ([first, ...older]) => [first, ...older.map((key) => ({ ...key, until: longAgo }))]);
    expect(await keysCommand(env, 'status')).toMatchObject({
      output: expect.stringMatching(/1 +opens; sealed until 2026-01-01T00:00Z\n +nothing needs it: npm run keys -- retire personal 1/),
    });
    expect(await keysCommand(env, 'retire', 'personal', '1')).toMatchObject({
      code: 0,
      output: expect.stringContaining('Key "1" is removed from the personal keys.'),
    });
    const alone = masterKeys(readFileSync(file, 'utf8'));
    expect(alone.all().map(({ id }) => id)).toEqual(['2']);
    for (const said of all) await reads(alone, said);
    // An erased customer stays erased: no rewrap has brought a key back.
    expect(erased.size).toBe(going.length);
    expect((await pool.query('select 1 from customer_keys where customer = any($1)', [[...erased]])).rowCount).toBe(0);
  }, 120_000);

  test('that were removed before the customers’ keys were sealed anew (the control) open nothing, and the message says what to do', async () => {
    const ring = promoted(withNext(newRing()), longAgo);
    const said = await say(fixedKeys([ring[1] ?? ring[0]]));
    await expect(open(pool, fixedKeys(without(ring, '1')), said.case)).rejects.toThrow(
      'a customer\'s key is sealed under master key "1", which this process does not have: put it back into PERSONAL_KEY_FILE (docs/keys.md, "A key is missing")',
    );
    await reads(fixedKeys(ring), said);
  });
});

describe('codec keys', () => {
  let around: Surroundings;
  let kit: Kit;
  let file: string;
  beforeAll(async () => {
    around = await surroundings();
    file = join(folder, 'codec.key');
    writeFileSync(file, printKeys(around.codecKeys), { mode: 0o600 });
    kit = await startKit(around, {}, codecKeysOf(file, silent));
  });
  afterAll(() => kit.stop());
  const { open: openTiny } = tinyCases(() => kit);

  test('are exchanged while cases run: none fails a task, what is new is under the new key, and old histories are read by a process that starts later', async () => {
    // What the API is: a client in another process, with its own look at the file.
    const client = connectTemporal({ ...around.temporal, codecKeys: codecKeysOf(file, silent) });
    const waiting = await Promise.all(Array.from({ length: 4 }, () => openTiny('canonical')));
    for (const id of waiting) await kit.opened(id, 'decide');

    let stopped = false;
    const through: CaseId[] = [];
    const load = (async () => {
      while (!stopped) {
        const id = await openTiny('grab');
        expect(await client.workflow.getHandle(id).result()).toEqual({ result: 'done', log: ['x'] });
        through.push(id);
      }
    })();
    await change(file, codecKeyPurpose, withNext);
    await change(file, codecKeyPurpose, (ring) => promoted(ring, instant(Date.now())));
    const [sealing] = parseKeys(readFileSync(file, 'utf8'), codecKeyPurpose);
    const idsOf = async (id: CaseId): Promise<string[]> => [
      ...new Set(
        payloadsIn(await kit.history(id))
          .map(keyIdOf)
          .filter((key) => key !== ''),
      ),
    ];
    // Until a whole case went by under the new key.
    await kit.until(
      'a case under the new key',
      async () => (through.length === 0 ? [] : idsOf(through.at(-1) ?? ('' as CaseId))),
      (ids) => ids.length === 1 && ids[0] === sealing.id,
    );
    stopped = true;
    await load;

    const [old] = around.codecKeys;
    for (const id of waiting) {
      await kit.decide(id, 'decide', { answer: 'yes' });
      await client.workflow.getHandle(id).result();
      expect((await idsOf(id)).toSorted()).toEqual([old.id, sealing.id].toSorted());
      const failed = (await kit.history(id)).filter((event) => event.workflowTaskFailedEventAttributes || event.activityTaskFailedEventAttributes);
      expect(failed).toEqual([]);
    }
    // A worker that starts now replays from the first event, and whoever reads an old history has both keys.
    await kit.stopWorker();
    const late = await openTiny('grab');
    await kit.startWorker();
    expect(await client.workflow.getHandle(late).result()).toEqual({ result: 'done', log: ['x'] });
    const [first] = waiting;
    const payloads = payloadsIn(await kit.history(first ?? late)).map(({ payload }) => payload);
    expect(await sealingCodec(codecKeysOf(file, silent)).decode(payloads)).toHaveLength(payloads.length);
    await expect(sealingCodec(fixedKeys([sealing])).decode(payloads)).rejects.toThrow('which this process does not have: put it into CODEC_KEY_FILE');
    await client.connection.close();
  }, 120_000);

  test('stay as long as a case or a kept history may need them, and it is told until when', async () => {
    const places = {
      ...placesOf(folder, {}),
      DATABASE_URL: around.databaseUrl,
      TEMPORAL_ADDRESS: around.temporal.address,
      TEMPORAL_NAMESPACE: around.temporal.namespace,
    };
    const now = instant(Date.now());
    const needs = openNeeds(places, plus(now, 3_600_000));
    try {
      const key = { id: '1', key: randomBytes(32), until: now };
      const running = await openTiny('canonical');
      await kit.opened(running, 'decide');
      expect((await needs.of('codec', key)).why).toMatch(
        /^[\d,]+ open cases? and [\d,]+ ended ones? whose history Temporal keeps began while it sealed: they need it until the open ones have ended and another [\d.]+ days have passed$/,
      );
      // One that nobody marked may be anywhere; one that gave way before all of them is needed by none, nor is one that never sealed.
      expect((await needs.of('codec', { id: '1', key: key.key })).why).toMatch(/open case/);
      expect((await needs.of('codec', { ...key, until: longAgo })).why).toBeUndefined();
      expect((await needs.of('codec', { id: '3', key: key.key, next: true })).why).toBeUndefined();

      const link = await inTransaction(kit.pool, (tx) => makeLink(tx, { caseId: running, madeBy: 'wang', language: 'zh', expiresAt: plus(now, 86_400_000) }));
      expect(await needs.of('link', key)).toEqual({
        why: expect.stringMatching(/^1 link that may be signed with it still open a case, the last until .* UTC$/),
        mayEnd: true,
      });
      expect((await needs.of('link', { ...key, until: longAgo })).why).toBeUndefined();
      await kit.pool.query('update customer_links set revoked_at = now() where id = $1', [link.id]);
      expect((await needs.of('link', key)).why).toBeUndefined();
    } finally {
      await needs.close();
    }
  });
});
