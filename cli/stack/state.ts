/** `stack.json`: what runs for a data folder. It is there while the stack runs; one that outlives its leader tells the next start what to clean up. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Say } from './cache.ts';
import { endGroup, isRunning } from './processes.ts';

const processSchema = z.object({ pid: z.int().positive(), started: z.string() });

/** What a cleaner has to know. A test run keeps no more than this. */
const runSchema = z.object({
  leader: processSchema,
  /** In order of start. */
  processes: z.record(z.string(), processSchema.extend({ log: z.string() })),
});
export type RunState = z.output<typeof runSchema>;

const stackSchema = runSchema.extend({
  startedAt: z.iso.datetime(),
  urls: z.object({
    api: z.url(),
    docs: z.url(),
    openapi: z.url(),
    /** Absent with a Temporal of the operator's own. */
    temporalUi: z.url().optional(),
    systems: z.url(),
    /** The worker's page for Prometheus; the API has its own. */
    workerMetrics: z.url(),
  }),
  /** What every process was told: DATABASE_URL, TEMPORAL_ADDRESS, where the keys are … (`cli/stack/README.md`). */
  settings: z.record(z.string(), z.string()),
});
export type StackState = z.output<typeof stackSchema>;

export const stackFile = (folder: string): string => join(folder, 'stack.json');

export function writeState(folder: string, state: RunState | StackState): void {
  // It names the database's password, and a reader never sees half of it.
  writeFileSync(`${stackFile(folder)}.new`, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${stackFile(folder)}.new`, stackFile(folder));
}

export const removeState = (folder: string): void => rmSync(stackFile(folder), { force: true });

function parseState<S extends typeof runSchema>(folder: string, schema: S): z.output<S> | undefined {
  if (!existsSync(stackFile(folder))) return undefined;
  const parsed = schema.safeParse(JSON.parse(readFileSync(stackFile(folder), 'utf8')));
  if (!parsed.success)
    throw new Error(`${stackFile(folder)} cannot be read:\n${z.prettifyError(parsed.error)}\nEnd what still runs by hand, then delete the file.`);
  return parsed.data;
}

/** What runs for this data folder. Throws, saying how to start it, when nothing does. */
export function readStack(folder: string): StackState {
  const state = parseState(folder, stackSchema);
  if (state === undefined || !isRunning(state.leader)) throw new Error(`No stack runs on ${folder}. Start it: npm start -- --data ${folder}`);
  return state;
}

/** Ends what a leader that was killed has left running. Throws when the leader still runs. */
export async function cleanUp(folder: string, say: Say): Promise<void> {
  const state = parseState(folder, runSchema);
  if (state === undefined) return;
  if (isRunning(state.leader)) throw alreadyRuns(folder);
  for (const [name, left] of Object.entries(state.processes).toReversed()) {
    if (!isRunning(left)) continue;
    say(`Ending ${name} (process ${left.pid}), left by a start that was killed.`);
    // Postgres takes SIGINT as "end now, cleanly"; on SIGTERM it would wait for clients.
    await endGroup(left, name.endsWith('postgres') ? 'SIGINT' : 'SIGTERM', 3000);
  }
  removeState(folder);
}

export function alreadyRuns(folder: string): Error {
  const state = parseState(folder, runSchema);
  const who = state === undefined ? 'is just starting' : `is process ${state.leader.pid} (${stackFile(folder)} has its addresses)`;
  return new Error(`The stack on ${folder} ${who}. Stop it first, or start another one with --data FOLDER --port PORT.`);
}
