/**
 * Looks for what may not be there: strings, in every form in which they would be readable, in everything that a stack keeps.
 *
 * Searched: every row of every table of our database but those of the schema `sandbox`, where other companies' systems keep the same people by right; every
 * history, list entry and search attribute of Temporal, as it is stored and with every payload opened by the codec's keys; and every file of the stack's folder:
 * Temporal's own database, the logs of all processes, the evidence store, keys and state. Not searched: the files of the Postgres cluster, which hold the
 * sandbox's schema as well (our tables in them are read row by row; pages that a deletion has left behind are Postgres's to overwrite, and hold nothing but what
 * was in a row before), and the memory of processes.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import { Connection } from '@temporalio/client';
import type { Pool } from '../../db/pool.ts';

const { History } = proto.temporal.api.history.v1;
const { ListWorkflowExecutionsResponse } = proto.temporal.api.workflowservice.v1;

/** The base64 of some text wherever it stands among other bytes: of each of three places what depends on the text alone. */
const base64s = (text: Buffer): string[] =>
  [0, 1, 2].map((before) => {
    const whole = Buffer.concat([Buffer.alloc(before), text]).toString('base64');
    return whole.slice(Math.ceil((before * 4) / 3), Math.floor(((before + text.length) * 4) / 3));
  });
const escaped = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** How a string is still readable: as it is, in hexadecimal (what Postgres makes of bytes), base64, percent-encoded, escaped as JSON. */
function formsOf(canary: string): Buffer[] {
  const bytes = Buffer.from(canary);
  const encoded = base64s(bytes);
  const texts = [
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    ...encoded,
    ...encoded.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
    encodeURIComponent(canary),
    escaped(canary),
  ];
  return [bytes, ...texts.map((text) => Buffer.from(text))];
}

export interface Found {
  /** `table timeline`, `history return-exchange.…`, `file logs/api.log`. */
  readonly place: string;
  readonly canary: string;
}

type Look = (place: string, content: Buffer) => void;

/** Runs looks, and says where any of the canaries is. */
export async function search(canaries: readonly string[], looks: (look: Look) => Promise<void>): Promise<{ readonly found: Found[]; readonly places: number }> {
  const all = canaries.map((canary) => ({ canary, forms: formsOf(canary) }));
  const found: Found[] = [];
  let places = 0;
  await looks((place, content) => {
    places += 1;
    for (const { canary, forms } of all) if (forms.some((form) => content.includes(form))) found.push({ place, canary });
  });
  return { found, places };
}

/** Every row of every table outside some schemas. */
export async function lookAtTables(look: Look, pool: Pool, but: readonly string[]): Promise<void> {
  const { rows: tables } = await pool.query<{ schema: string; name: string }>(
    `select schemaname as schema, tablename as name from pg_tables where schemaname <> all($1) order by 1, 2`,
    [['pg_catalog', 'information_schema', ...but]],
  );
  for (const { schema, name } of tables) {
    // Names from the catalogue. As text a row has its bytes in hexadecimal.
    const { rows } = await pool.query<{ row: string }>(`select t::text as row from "${schema}"."${name}" t`);
    look(`table ${name}`, Buffer.from(rows.map(({ row }) => row).join('\n')));
  }
}

/** Every payload in a message of Temporal's. */
function payloadsIn(value: unknown): Payload[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return [];
  if (Array.isArray(value)) return value.flatMap(payloadsIn);
  if ('data' in value && 'metadata' in value && value.data instanceof Uint8Array) return [value as Payload];
  return Object.values(value).flatMap(payloadsIn);
}

/** Every history and list entry of a namespace: as stored, or, with a codec, what is in its payloads. */
export async function lookAtHistories(look: Look, { connection, workflow, options }: Client, codec?: PayloadCodec): Promise<void> {
  if (!(connection instanceof Connection)) throw new Error('a connection of its own is needed');
  const listed = await connection.workflowService.listWorkflowExecutions({ namespace: options.namespace, pageSize: 1000 });
  if (listed.nextPageToken && listed.nextPageToken.length > 0) throw new Error('there are more workflows than one page has');
  const open = async (message: unknown): Promise<Buffer> =>
    Buffer.concat((await codec?.decode(payloadsIn(message)))?.flatMap(({ data }) => [Buffer.from(data ?? []), Buffer.from('\n')]) ?? []);
  look('list of workflows', codec ? await open(listed) : Buffer.from(ListWorkflowExecutionsResponse.encode(listed).finish()));
  for (const { execution } of listed.executions ?? []) {
    const history = await workflow.getHandle(execution?.workflowId ?? '', execution?.runId ?? undefined).fetchHistory();
    look(`history ${execution?.workflowId}`, codec ? await open(history) : Buffer.from(History.encode(history).finish()));
  }
}

/** Every file below a folder, by name and content, but those of some folders in it. */
export function lookAtFiles(look: Look, folder: string, but: readonly string[] = []): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(folder.length + 1);
    if (!entry.isFile() || but.some((name) => path.startsWith(`${name}/`))) continue;
    look(`file ${path}`, Buffer.concat([Buffer.from(`${path}\n`), readFileSync(join(folder, path))]));
  }
}
