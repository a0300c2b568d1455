/** How far back a sweep looks for workflows that ended without their last record. */
import { describe, expect, test } from '@jest/globals';
import type { Client } from '@temporalio/client';
import { pino } from 'pino';
import type { Engine } from '../../activities/context.ts';
import type { Pool } from '../../db/pool.ts';
import { loadPolicy } from '../../policies/load.ts';
import { startSweeping, sweepSettings } from '../../worker/sweeps.ts';
import { until } from '../stack/until.ts';

const ended = /CloseTime BETWEEN "([^"]+)"/;

/** An engine without cases, whose servers go away when they are told; and since when each look has asked Temporal for workflows that ended. */
function engine() {
  const away = { postgres: false, temporal: false };
  const looks: number[] = [];
  let asked = 0;
  const gone = (what: string): Error => Object.assign(new Error(`${what} is away`), { code: 'ECONNREFUSED' });
  const query = (sql: string): Promise<{ rows: unknown[]; rowCount: number }> => {
    if (away.postgres) return Promise.reject(gone('Postgres'));
    return Promise.resolve({ rows: sql === 'select now() as now' ? [{ now: new Date() }] : [], rowCount: 0 });
  };
  const list = async function* ({ query: text }: { readonly query: string }): AsyncGenerator<never> {
    asked += 1;
    if (away.temporal) throw Object.assign(new Error('14 UNAVAILABLE'), { code: 14, details: '', metadata: {} });
    const since = ended.exec(text)?.[1];
    if (since !== undefined) looks.push(Date.parse(since));
    yield* [];
  };
  const made: Partial<Engine> = {
    pool: { query } as unknown as Pool,
    temporal: { workflow: { list } } as unknown as Client,
    processes: new Map(),
    policy: loadPolicy('policies/default.yaml'),
    log: pino({ level: 'silent' }),
  };
  return { away, looks, asked: () => asked, engine: made as Engine };
}

describe('a sweep', () => {
  test.each(['postgres', 'temporal'] as const)('looks back over all the time in which %s was away, however long that was', async (server) => {
    const { away, looks, asked, engine: of } = engine();
    const lookBackMs = 20;
    const sweeping = startSweeping(of, { ...sweepSettings, intervalMs: 5, lookBackMs });
    try {
      await until('it has looked', () => looks.length > 2);
      const since = Date.now();
      // The first look of a process is a day's; then only what has not been looked at.
      expect(looks.at(0)).toBeLessThan(since - 3_600_000);
      expect(looks.at(-1)).toBeGreaterThan(since - 3_600_000);
      away[server] = true;
      const tried = asked();
      await until(
        'it was away for longer than a sweep looks back',
        () => Date.now() > since + 10 * lookBackMs && (server === 'postgres' || asked() > tried + 2),
      );
      const before = looks.length;
      away[server] = false;
      await until('it has looked again', () => looks.length > before + 1);
      expect(looks[before]).toBeLessThanOrEqual(since);
    } finally {
      await sweeping.stop();
    }
  });
});
