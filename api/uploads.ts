/** Evidence on its way in and out, for customers, people and calling systems alike. */
import { Readable } from 'node:stream';
import { Busboy, type BusboyHeaders, type BusboyInstance } from '@fastify/busboy';
import type { Request } from 'express';
import type { CaseRow } from '../db/cases.ts';
import { findEvidence, keepEvidence, leavePlace, takePlace, unfinishedPlaces, type Evidence, type Place, type StoredEvidence } from '../db/evidence.ts';
import { erasedFiles, fileIsGone } from '../db/erasures.ts';
import { inTransaction } from '../db/pool.ts';
import { openFileKey } from '../db/sealed.ts';
import { NotTaken, receive, typesOf, type Received, type Uploads as Allowed } from '../evidence/receive.ts';
import { opened } from '../evidence/sealing.ts';
import { policyFor } from '../policies/lookup.ts';
import { contentHash } from '../values/hash.ts';
import type { Acting, Actor } from './acting.ts';
import type { AppDeps } from './deps.ts';
import { parted } from './forms.ts';
import { Problem } from './problems.ts';
import type { Reply } from './route.ts';
import type { Arrived } from './views.ts';

export interface Uploaded {
  readonly evidence: readonly Evidence[];
  /** All of it was there before. */
  readonly repeated: boolean;
  /** What became of the event that tells the case; absent where the process declares none. */
  readonly told?: Arrived;
}

export interface Uploads {
  /** What may be uploaded into a case. */
  allowed(row: Pick<CaseRow, 'shop'>): Allowed;
  /**
   * Takes the files of a multipart body: all of them, or none and a problem. The same bytes again are the same evidence. `check` sees the fields that come
   * before the files, and throws when they may not come.
   */
  take(request: Request, row: CaseRow, actor: Actor, check?: (fields: ReadonlyMap<string, string>) => void): Promise<Uploaded>;
  /** A file, to be sent: once `mayRead` has let it, which throws the problem or says no of a file that is not there for whoever asks. */
  give(id: string, mayRead: (evidence: Evidence) => Promise<boolean>): Promise<Reply & { readonly evidence: Evidence }>;
}

/** Fields of a form are small; a form has few files. */
const limits = { fieldSize: 10_000, fields: 20, parts: 60, headerPairs: 20, fieldNameSize: 100 };

/** Removes what uploads have left whose process died before they ended: places older than any upload may take. Returns how many. */
export async function removeUnfinished({ pool, evidence, log }: Pick<AppDeps, 'pool' | 'evidence' | 'log'>, olderThanMs: number): Promise<number> {
  const places = await unfinishedPlaces(pool, olderThanMs, 1000);
  for (const place of places) {
    await evidence.remove(place.storeKey);
    await leavePlace(pool, place);
  }
  if (places.length > 0) log.info({ count: places.length }, 'unfinished uploads removed');
  return places.length;
}

/**
 * Deletes the bytes of erased customers' files. The rows say which; one whose store does not answer stays for the next time and holds up no other. Returns how
 * many were deleted.
 */
export async function removeErased({ pool, evidence, log }: Pick<AppDeps, 'pool' | 'evidence' | 'log'>): Promise<number> {
  const files = await erasedFiles(pool, 1000);
  let [removed, failed] = [0, 0];
  for (const { id, storeKey } of files) {
    // A store that is away answers none of them, after half a minute each.
    if (failed === 3) break;
    try {
      await evidence.remove(storeKey);
      await fileIsGone(pool, id);
      removed += 1;
    } catch (error) {
      failed += 1;
      log.warn({ evidence: id, error: error instanceof Error ? error.message : String(error) }, 'an erased file could not be deleted; the next sweep will');
    }
  }
  if (removed > 0) log.info({ count: removed }, 'erased files deleted');
  return removed;
}

const endings: Readonly<Record<string, string>> = {
  'image/jpeg': 'jpg',
  'image/png': 'png',
  'image/webp': 'webp',
  'image/heic': 'heic',
  'video/mp4': 'mp4',
  'video/quicktime': 'mov',
  'video/webm': 'webm',
  'video/3gpp': '3gp',
};

interface Arriving {
  readonly place: Place;
  readonly received: Received;
}

export function createUploads(deps: AppDeps, acting: Acting): Uploads {
  const { pool, master, evidence: store, processes, policy, log } = deps;
  const allowed = (row: Pick<CaseRow, 'shop'>): Allowed => policyFor(policy.policy, row.shop).evidence;

  async function drop(place: Pick<Place, 'id' | 'storeKey'>): Promise<void> {
    try {
      await store.remove(place.storeKey);
      await leavePlace(pool, place);
    } catch (error) {
      // The sweep finds the place and tries again.
      log.warn({ evidence: place.id, error: error instanceof Error ? error.message : String(error) }, 'an upload that did not end could not be removed');
    }
  }

  async function arrive(file: Readable, row: CaseRow, actor: Actor): Promise<Arriving> {
    const uploads = allowed(row);
    const place = await inTransaction(pool, (tx) => takePlace(tx, master, row, actor.person.id, uploads.maxFiles));
    try {
      return { place, received: await receive(file, { store, storeKey: place.storeKey, key: place.key, uploads }) };
    } catch (error) {
      await drop(place);
      throw error instanceof NotTaken ? asProblem(error, uploads) : error;
    }
  }

  /** Tells the case of its new evidence, by the event that its process declares for it. */
  function tell(row: CaseRow, files: readonly string[], { language }: Actor) {
    const declaration = processes.get(row.process)?.declaration;
    const event = declaration?.evidence;
    const declared = event === undefined ? undefined : declaration?.events[event];
    if (event === undefined || declared === undefined) return undefined;
    const { kept, words } = parted(declared.payload, { files }, 'payload', language);
    return { event, eventId: `evidence:${contentHash(files).slice(0, 32)}`, payload: kept, words };
  }

  return {
    allowed,
    async take(request, row, actor, check = () => undefined) {
      const arrived: Arriving[] = [];
      const done = await keep().catch(async (error: unknown) => {
        for (const { place } of arrived) await drop(place);
        throw error;
      });
      // Bytes that were there before; their places went with the transaction.
      for (const { place, spare } of done.kept) if (spare) await drop(place);
      const evidence = [...new Map(done.kept.map((k) => [k.evidence.id, k.evidence])).values()];
      return { evidence, repeated: done.kept.every((k) => k.spare), ...(done.told ? { told: await acting.arrived(row, done.told) } : {}) };

      async function keep() {
        await eachFile(request, check, async (file) => void arrived.push(await arrive(file, row, actor)));
        if (arrived.length === 0) throw new Problem('noFile');
        return inTransaction(pool, async (tx) => {
          const kept = [];
          for (const { place, received } of arrived) kept.push({ place, ...(await keepEvidence(tx, row.id, place, received)) });
          const fresh = kept.filter((k) => !k.spare).map((k) => k.evidence.id);
          const event = fresh.length > 0 ? tell(row, fresh, actor) : undefined;
          return { kept, told: event && (await acting.store(tx, row, event, actor.person)) };
        });
      }
    },
    async give(id, mayRead) {
      const found: StoredEvidence | undefined = await findEvidence(pool, id);
      if (found === undefined || !(await mayRead(found.evidence))) throw new Problem('evidenceNotFound', { evidence: id });
      const { evidence, stored } = found;
      const key = stored && (await openFileKey(pool, master, stored.sealed));
      if (stored === undefined || key === undefined) throw new Problem('evidenceErased', { evidence: id });
      const sealed = await store.get(stored.storeKey);
      return {
        status: 200,
        evidence,
        type: evidence.type,
        stream: Readable.from(opened(sealed, key)),
        headers: {
          'Content-Length': String(evidence.bytes),
          // Never shown as a document of ours, whatever its bytes also are.
          'Content-Disposition': `attachment; filename="${evidence.kind}-${evidence.id}.${endings[evidence.type] ?? 'bin'}"`,
          'Content-Security-Policy': "default-src 'none'; sandbox",
          'X-Content-Type-Options': 'nosniff',
        },
      };
    },
  };
}

function asProblem({ why, maxMegabytes }: NotTaken, uploads: Allowed): Problem {
  switch (why) {
    case 'empty':
      return new Problem('noFile');
    case 'tooLarge':
      return new Problem('fileTooLarge', { megabytes: maxMegabytes });
    case 'type':
      return new Problem('fileType', { types: typesOf(uploads) });
  }
}

/**
 * Goes through the files of a multipart body, one after the other, as they come. What `take` throws ends it; what is still on its way is then read and thrown away,
 * so that the sender hears the answer.
 */
async function eachFile(request: Request, check: (fields: ReadonlyMap<string, string>) => void, take: (file: Readable) => Promise<void>): Promise<void> {
  if (!request.is('multipart/form-data')) throw new Problem('notMultipart');
  let parser: BusboyInstance;
  try {
    parser = new Busboy({ headers: request.headers as BusboyHeaders, limits });
  } catch {
    throw new Problem('notMultipart');
  }
  const fields = new Map<string, string>();
  const coming = new Set<Readable>();
  let checked = false;
  let work: Promise<void> = Promise.resolve();
  let failed: { readonly error: unknown } | undefined;
  const checkOnce = (): void => {
    if (!checked) check(fields);
    checked = true;
  };
  await new Promise<void>((done) => {
    const stop = (error: unknown): void => {
      failed ??= { error };
      request.unpipe(parser);
      request.resume();
      for (const file of coming) file.destroy();
      done();
    };
    parser.on('field', (name, value) => void fields.set(name, value));
    parser.on('file', (_name, file, filename) => {
      // A form's file input that nobody used comes as a part without a name and without bytes.
      if (failed !== undefined || !filename) {
        file.resume();
        return;
      }
      coming.add(file);
      // One after the other, in the order in which they were chosen; the parser waits for whoever reads.
      work = work
        .then(async () => {
          if (failed !== undefined) return;
          checkOnce();
          await take(file);
          coming.delete(file);
        })
        .catch(stop);
    });
    parser.once('finish', done);
    // No multipart after all, or one that ends in the middle.
    parser.once('error', () => stop(new Problem('malformed')));
    request.once('close', () => {
      if (!request.complete) stop(new Problem('malformed'));
    });
    request.pipe(parser);
  });
  await work;
  if (failed !== undefined) throw failed.error;
  checkOnce();
}
