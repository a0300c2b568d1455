/** Changing a file of secrets: whole or not at all, by one at a time, readable by whom it was readable before. */
import { randomBytes } from 'node:crypto';
import { chown, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KeyRefusal } from '../../keys/ring.ts';
import { lock } from '../stack/lock.ts';
import { isSystemError } from '../stack/system-error.ts';

/** A file that is only read here: a volume that is mounted so, or one of somebody else's. */
export class ReadOnly extends Error {
  override readonly name = 'ReadOnly';
}

/** Writes a file beside another and puts it in its place. Who reads it meanwhile gets the old one or the new one. */
export async function replaceFile(file: string, text: string, like: { readonly mode: number; readonly uid: number; readonly gid: number }): Promise<void> {
  const written = `${file}.${randomBytes(4).toString('hex')}`;
  try {
    const handle = await open(written, 'wx', like.mode & 0o777);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // Whoever rotates as root must not take the file away from the processes.
    if (process.getuid?.() === 0) await chown(written, like.uid, like.gid);
    await rename(written, file);
  } catch (cause) {
    await rm(written, { force: true });
    if (isSystemError(cause, 'EROFS') || isSystemError(cause, 'EACCES') || isSystemError(cause, 'EPERM'))
      throw new ReadOnly(
        `${dirname(file)} cannot be written here. Where a secret manager or Kubernetes mounts it, run this command on a copy (--data FOLDER) and put the copy's file in its place (docs/keys.md).`,
        { cause },
      );
    throw cause;
  }
}

/** Reads a file, changes its text and writes it, while nobody else does. Answers what `change` answers besides the text. */
export async function editFile<T>(
  named: string,
  change: (text: string) => { readonly text: string; readonly result: T } | Promise<{ readonly text: string; readonly result: T }>,
): Promise<T> {
  const file = await realpath(named).catch((cause: unknown) => {
    throw isSystemError(cause, 'ENOENT') ? new KeyRefusal(`there is no ${named}: \`npm run keys\` makes the files that are not there yet`) : cause;
  });
  const held = await lock(`keys:${file}`, () => undefined);
  try {
    const { text, result } = await change(await readFile(file, 'utf8'));
    await replaceFile(file, text, await stat(file));
    return result;
  } finally {
    await held.release();
  }
}
