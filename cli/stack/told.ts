/** What an operator's command goes by: the stack of a data folder, or the environment of a worker or an API in production. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Environment } from './cache.ts';
import { readStack, stackFile } from './state.ts';

export interface Told {
  /** Settings by the names of cli/stack/README.md. */
  readonly settings: Environment;
  /** Where the API is asked from this machine. */
  readonly api: string | undefined;
}

/** A folder that is named is meant; without one the environment, where it says where Postgres is, and else `.data`. Throws, saying what to do, when there is neither. */
export function toldBy(folder: string | undefined, env: Environment): Told {
  if (folder === undefined && env['DATABASE_URL'] !== undefined) return { settings: env, api: env['API_URL'] };
  const data = resolve(folder ?? '.data');
  if (folder === undefined && !existsSync(stackFile(data)))
    throw new Error(
      'No stack runs on .data, and DATABASE_URL is not set. Name the data folder of a stack that runs (--data FOLDER), or set what a worker is told.',
    );
  const { settings, urls } = readStack(data);
  return { settings: { ...env, ...settings }, api: urls.api };
}
