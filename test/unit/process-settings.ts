/** What a deployment file tells a process, against what the process knows: the names of cli/stack/README.md, and the settings that the process itself parses. */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readSettings as readApi } from '../../api/settings.ts';
import { ensureSecrets } from '../../cli/stack/secrets.ts';
import { readSettings as readCodec } from '../../codec/settings.ts';
import { systems } from '../../systems/index.ts';
import { readConfig as readWorker } from '../../worker/config.ts';

export const root = resolve(import.meta.dirname, '../..');
export const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** Our processes, by the module that is run. */
export const modules = {
  'dist/api/main.js': 'api',
  'dist/worker/main.js': 'worker',
  'dist/systems/server.js': 'systems',
  'dist/codec/main.js': 'codec',
  'dist/cli/migrate.js': 'migrate',
  'dist/cli/keys.js': 'keys',
} as const;
export type Process = (typeof modules)[keyof typeof modules];
export const processOf = (module: string | undefined): Process | undefined => Object.entries(modules).find(([file]) => file === module)?.[1];

/** Names by the process that they are given to; `all` of the table is all. */
const table = [...read('cli/stack/README.md').matchAll(/^\| (`[A-Z][A-Z0-9_]+`(?: · `[A-Z0-9_]+`)*) \| ([^|]+) \|/gm)].flatMap(([, names = '', to = '']) =>
  [...names.matchAll(/`([A-Z0-9_]+)`/g)].map(([, name = '']) => ({ name, to: to.split(',').map((process) => process.trim()) })),
);

/** Names that a process does not know: misspelt, or another's. */
export function unknownNames(process: Process, names: readonly string[]): string[] {
  if (table.length < 30) throw new Error('the table of settings in cli/stack/README.md was not found');
  // One that makes keys reads no settings; one that migrates reads those of all.
  const known = new Set(table.flatMap(({ name, to }) => (to.includes('all') || to.includes(process) ? [name] : [])));
  return names.filter((name) => !known.has(name));
}

export interface Files {
  /** Where the keys are mounted. */
  readonly keys: string;
  /** Where single secrets are mounted. */
  readonly secrets: string;
  readonly secretNames: readonly string[];
}

/** The environment with every file in it put where this machine has one, and values that an operator gives. */
export async function standIn(environment: Readonly<Record<string, string>>, { keys, secrets, secretNames }: Files): Promise<Record<string, string>> {
  const folder = mkdtempSync(join(tmpdir(), 'kefu-flow-deployment-'));
  const made = await ensureSecrets(folder, Object.keys(systems), false);
  for (const name of secretNames) {
    mkdirSync(join(folder, 'single', name, '..'), { recursive: true });
    writeFileSync(join(folder, 'single', name), 'secret');
  }
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [
      name,
      value
        .replace(/\$\{[A-Z_]+:-([^}]*)\}/, '$1')
        .replace(/^dist\/policies/, join(root, 'policies'))
        .replace(keys, made)
        .replace(secrets, join(folder, 'single')),
    ]),
  );
}

/** Parses the environment as the process does at its start; returns why it would not start. */
export function refusalOf(process: Process, environment: Readonly<Record<string, string>>): string | undefined {
  const parse = { api: readApi, worker: readWorker, codec: readCodec, systems: undefined, migrate: undefined, keys: undefined }[process];
  try {
    parse?.({ ...environment });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
