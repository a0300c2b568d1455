/** What a soak looks at every few seconds, from outside: memory, queues, what health says. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { Client as Temporal, Connection } from '@temporalio/client';
import { Pool } from 'pg';
import { z } from 'zod';
import { engineState } from '../../db/engine-state.ts';
import { lookAtQueue } from '../../delivery/queue.ts';
import { readStack, type StackState } from '../stack/state.ts';
import { memoryOf } from './memory.ts';

export const phases = ['search', 'load', 'burst', 'after', 'end'] as const;
export type Phase = (typeof phases)[number];

/** Queues, by what waits in them. */
export const queues = ['inbox', 'unstarted', 'effects', 'jobs', 'temporal'] as const;
export type Queue = (typeof queues)[number];

const readinessSchema = z.object({
  status: z.enum(['ready', 'degraded', 'unavailable']),
  load: z.object({ requests: z.enum(['ok', 'refused']), starts: z.enum(['ok', 'refused']), behindSeconds: z.number() }),
});
export type Readiness = z.output<typeof readinessSchema>;

const sampleSchema = z.object({
  at: z.number(),
  phase: z.enum(phases),
  /** Cases a second that are to be started; 0: as many at once as are said to run. */
  rate: z.number(),
  started: z.int(),
  ended: z.int(),
  /** Callers that were refused a start and try again. */
  atTheDoor: z.int(),
  turnedAway: z.int(),
  requests: z.int(),
  refused: z.int(),
  p50: z.number(),
  p99: z.number(),
  /** Megabytes, by process. */
  memory: z.record(z.string(), z.number()),
  queues: z.partialRecord(z.enum(queues), z.number()),
  behindSeconds: z.number().optional(),
  openCases: z.int().optional(),
  databaseMb: z.number().optional(),
  /** Of the API. */
  loopP99Ms: z.number().optional(),
  ready: readinessSchema.optional(),
});
export type Sample = z.output<typeof sampleSchema>;

/** What health says now; undefined when it does not answer. */
export async function readiness(api: string): Promise<Readiness | undefined> {
  try {
    const answer = await fetch(`${api}/readyz`, { signal: AbortSignal.timeout(10_000) });
    return readinessSchema.safeParse(await answer.json()).data;
  } catch {
    return undefined;
  }
}

async function loopDelay(api: string): Promise<number | undefined> {
  try {
    const text = await (await fetch(`${api}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
    const seconds = /^nodejs_eventloop_lag_p99_seconds (\S+)$/m.exec(text)?.[1];
    return seconds === undefined ? undefined : Math.round(Number(seconds) * 1000);
  } catch {
    return undefined;
  }
}

export type Look = Pick<Sample, 'memory' | 'queues' | 'behindSeconds' | 'openCases' | 'databaseMb' | 'loopP99Ms' | 'ready'>;

/** Looks at a stack. What does not answer is left out of a look, and seen as a gap in the curve. */
export class Looker {
  readonly #folder: string;
  readonly #stack: StackState;
  readonly #temporal: Temporal;
  readonly #pool: Pool;

  constructor(folder: string, stack: StackState) {
    this.#folder = folder;
    this.#stack = stack;
    this.#temporal = new Temporal({ connection: Connection.lazy({ address: stack.settings['TEMPORAL_ADDRESS'] ?? '' }) });
    this.#pool = new Pool({ connectionString: stack.settings['DATABASE_URL'], max: 2, application_name: 'kefu-soak', connectionTimeoutMillis: 5000 });
    this.#pool.on('error', () => undefined);
  }

  async look(): Promise<Look> {
    const { api } = this.#stack.urls;
    const [memory, state, size, queue, ready, loopP99Ms] = await Promise.all([
      // Processes that were restarted have another id.
      memoryOf(readStack(this.#folder)),
      engineState(this.#pool).catch(() => undefined),
      this.#pool.query<{ mb: number }>('select pg_database_size(current_database()) / 1048576.0::float8 as mb').then(
        ({ rows }) => rows[0]?.mb,
        () => undefined,
      ),
      lookAtQueue(this.#temporal, this.#stack.settings['TEMPORAL_NAMESPACE'] ?? 'default').catch(() => undefined),
      readiness(api),
      loopDelay(api),
    ]);
    const all = (what: string): number => (state ?? []).reduce((so, row) => (row.what === what ? so + row.n : so), 0);
    return {
      memory,
      queues: {
        ...(state === undefined ? {} : { inbox: all('undelivered'), unstarted: all('unstarted'), effects: all('sending'), jobs: all('due') }),
        ...(queue === undefined ? {} : { temporal: queue.waiting }),
      },
      ...(state === undefined ? {} : { openCases: all('open') }),
      ...(queue === undefined ? {} : { behindSeconds: queue.oldestMs / 1000 }),
      ...(size === undefined ? {} : { databaseMb: Math.round(size * 10) / 10 }),
      ...(loopP99Ms === undefined ? {} : { loopP99Ms }),
      ...(ready === undefined ? {} : { ready }),
    };
  }

  /** Cases that have ended since, with the moment of their end in milliseconds. */
  async endedSince(ms: number): Promise<{ readonly id: string; readonly at: number }[]> {
    const { rows } = await this.#pool.query<{ id: string; at: Date }>('select id, closed_at as at from cases where closed_at > $1', [new Date(ms)]);
    return rows.map(({ id, at }) => ({ id, at: at.getTime() }));
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#pool.end(), this.#temporal.connection.close()]);
  }
}

export const writeSample = (file: string, sample: Sample): void => appendFileSync(file, `${JSON.stringify(sample)}\n`);

/** The samples of a run, in order. A last line that was cut is left out. */
export function readSamples(file: string): Sample[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => sampleSchema.parse(JSON.parse(line)));
}
