/** Everything that Postgres and the evidence store hold, as hashes: equal before and after means that nothing was written. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Sql } from '../../db/pool.ts';

/** By table the hashes of its rows, and how often each is there. */
export type Fingerprint = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** Ours, and the sandbox systems': an effect that an attack had would be in their ledgers. */
const schemas = ['public', 'sandbox'];
/** What looking may write. */
const uncounted: Readonly<Record<string, readonly string[]>> = {
  // When a link was last used, to the minute.
  'public.customer_links': ['used_at'],
};

/** Reads every row of every table; with `about` only those that hold this text. */
export async function fingerprint(sql: Sql, evidenceFolder: string, about = ''): Promise<Fingerprint> {
  const { rows: tables } = await sql.query<{ name: string; quoted: string }>(
    `select schemaname || '.' || tablename as name, format('%I.%I', schemaname, tablename) as quoted from pg_tables where schemaname = any($1) order by 1`,
    [schemas],
  );
  const taken = new Map<string, ReadonlyMap<string, number>>();
  for (const { name, quoted } of tables) {
    // The name is Postgres' own, quoted by it.
    const { rows } = await sql.query<{ hash: string; n: number }>(
      `select md5((to_jsonb(t) - $1::text[])::text) as hash, count(*)::int as n from ${quoted} t where $2 = '' or strpos(to_jsonb(t)::text, $2) > 0 group by 1`,
      [[...(uncounted[name] ?? [])], about],
    );
    taken.set(name, new Map(rows.map(({ hash, n }) => [hash, n])));
  }
  if (about === '') taken.set('evidence store', await stored(evidenceFolder));
  return taken;
}

async function stored(folder: string): Promise<ReadonlyMap<string, number>> {
  // The folder is made with its first file.
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const sizes = await Promise.all(files.map(async (file) => `${file} ${(await stat(file)).size}`));
  return new Map(sizes.map((file) => [file, 1]));
}

/** How many rows of each table are not what they were. `rows`: new ones may have come, for they are what was asked for; those that were there have to be as they were. */
export function changes(
  before: Fingerprint,
  after: Fingerprint,
  may: 'nothing' | 'rows',
): { readonly table: string; readonly gone: number; readonly come: number }[] {
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((table) => {
    const [was, is] = [before.get(table) ?? new Map<string, number>(), after.get(table) ?? new Map<string, number>()];
    const missing = (here: ReadonlyMap<string, number>, there: ReadonlyMap<string, number>): number =>
      [...here].reduce((so, [hash, n]) => so + Math.max(0, n - (there.get(hash) ?? 0)), 0);
    const [gone, come] = [missing(was, is), may === 'rows' ? 0 : missing(is, was)];
    return gone + come > 0 ? [{ table, gone, come }] : [];
  });
}
