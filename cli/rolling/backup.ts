/**
 * A base backup of a Postgres that runs, by its low-level API, and a cluster from it: what `pg_basebackup` does, which the embedded Postgres does not bring.
 * One backup of the whole cluster, and not a dump of each database: Temporal's and ours are then of one moment, and neither knows what the other does not.
 */
import { existsSync } from 'node:fs';
import { copyFile, chown, cp, lstat, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { z } from 'zod';
import { isSystemError } from '../stack/system-error.ts';

/** What is of the running server only, or is copied afterwards. */
const leftOut: ReadonlySet<string> = new Set(['pg_wal', 'postmaster.pid', 'postmaster.opts', 'pg_replslot', 'pg_stat_tmp', 'pg_subtrans', 'pg_notify']);
/** Folders that the server expects to find, empty. */
const emptied = ['pg_replslot', 'pg_stat_tmp', 'pg_subtrans', 'pg_notify', 'pg_wal/archive_status', 'pg_wal/summaries'];

const stopped = z.tuple([z.object({ labelfile: z.string() })]);

/** Copies a folder with its owners: Postgres runs as another user than root. What is deleted meanwhile is not missed: the log knows of it. */
async function copyAll(from: string, to: string, skip: ReadonlySet<string> = new Set()): Promise<void> {
  const { uid, gid, mode } = await lstat(from);
  await mkdir(to, { recursive: true, mode });
  await chown(to, uid, gid);
  // At once: there are thousands of small files, and what happens meanwhile makes the log longer.
  await Promise.all(
    (await readdir(from, { withFileTypes: true })).map(async (entry) => {
      if (skip.has(entry.name)) return;
      const [source, target] = [join(from, entry.name), join(to, entry.name)];
      try {
        if (entry.isDirectory()) await copyAll(source, target);
        else {
          await copyFile(source, target);
          await chown(target, uid, gid);
        }
      } catch (error) {
        if (!isSystemError(error, 'ENOENT')) throw error;
      }
    }),
  );
}

/** Copies the files of a running Postgres into a folder that is not there yet. */
export async function backUp(postgres: { readonly url: string; readonly folder: string }, target: string): Promise<void> {
  const client = new Client({ connectionString: postgres.url });
  await client.connect();
  try {
    // The connection has to stay: a backup ends with its session.
    await client.query(`select pg_backup_start('kefu-flow', true)`);
    await copyAll(postgres.folder, target, leftOut);
    const [{ labelfile }] = stopped.parse((await client.query('select labelfile from pg_backup_stop()')).rows);
    await writeFile(join(target, 'backup_label'), labelfile);
    const { uid, gid } = await lstat(target);
    await chown(join(target, 'backup_label'), uid, gid);
    // Last: the log up to the end of the backup makes the copies whole, which were taken while they changed.
    await copyAll(join(postgres.folder, 'pg_wal'), join(target, 'pg_wal'));
    for (const name of emptied) {
      await mkdir(join(target, name), { recursive: true, mode: 0o700 });
      await chown(join(target, name), uid, gid);
    }
  } finally {
    await client.end();
  }
}

/** What has to be there besides Postgres: without the keys nothing sealed can be read, and evidence is files. */
export async function backUpFiles(from: string, to: string): Promise<void> {
  for (const name of ['secrets', 'evidence'])
    // Nobody has uploaded anything: there is no folder yet.
    if (existsSync(join(from, name))) await cp(join(from, name), join(to, name), { recursive: true, preserveTimestamps: true });
}

/** Puts a backup where a cluster starts from. */
export const restore = (backup: string, folder: string): Promise<void> => copyAll(backup, folder);
