/** What Prometheus is shown of Postgres: what waits in it, and how our connections to it are used. */
import { Gauge, type Registry } from 'prom-client';
import { engineState, type Counted, type StateRow } from './engine-state.ts';
import type { Pool } from './pool.ts';

/** Several may scrape one process, and a person may reload the page: Postgres is asked no more often than this, in milliseconds. */
const readEvery = 5000;

/** Each gauge shows how many there are, and, where it says something, for how long the oldest has waited. */
const gauges: readonly { readonly of: Counted; readonly name: string; readonly help: string; readonly label?: string; readonly aged?: true }[] = [
  { of: 'undelivered', name: 'kefu_inbox_undelivered', help: 'Messages to open cases that they have not taken in', aged: true },
  { of: 'unstarted', name: 'kefu_cases_unstarted', help: 'Cases that are due and have no workflow', label: 'process', aged: true },
  { of: 'sending', name: 'kefu_effects_sending', help: 'Effects that were sent and have no answer', label: 'system', aged: true },
  { of: 'repair', name: 'kefu_repairs_open', help: 'Effects that wait for a person to mend them', label: 'system', aged: true },
  { of: 'task', name: 'kefu_tasks_open', help: 'Open tasks', label: 'role', aged: true },
  { of: 'open', name: 'kefu_cases_open', help: 'Open cases', label: 'process' },
  { of: 'broken', name: 'kefu_cases_broken', help: 'Cases that cannot go on', label: 'process', aged: true },
  { of: 'failed', name: 'kefu_cases_failed_today', help: 'Cases that failed within 24 hours', label: 'process' },
  { of: 'queued', name: 'kefu_messages_queued', help: 'Messages that wait to be sent, those that go with another not counted', aged: true },
  { of: 'unsent', name: 'kefu_messages_failed_today', help: 'Messages of the last 24 hours that no channel took', label: 'recipient' },
  { of: 'due', name: 'kefu_jobs_due', help: 'Jobs that are due and have not begun: messages to send, points of clocks', label: 'kind', aged: true },
  { of: 'retried', name: 'kefu_jobs_retried', help: 'Jobs that have failed and are tried again', label: 'kind', aged: true },
  { of: 'dead', name: 'kefu_jobs_dead', help: 'Jobs that have failed for the last time', label: 'kind', aged: true },
  { of: 'unclaimed', name: 'kefu_events_unclaimed', help: 'Events that no case has asked for, up to 10,000', label: 'source' },
  { of: 'connections', name: 'kefu_postgres_connections', help: 'Connections to the Postgres server, whoever has them' },
  { of: 'connectionsMax', name: 'kefu_postgres_connections_max', help: 'Connections that the Postgres server takes' },
];

/** Gauges of what waits in Postgres, read when Prometheus asks. `failed` hears why it could not be read, when Postgres is there. */
export function stateGauges(registry: Registry, pool: Pool, failed: (error: unknown) => void): void {
  const registers = [registry];
  let last: { readonly at: number; readonly rows: Promise<readonly StateRow[] | undefined> } | undefined;
  async function ask(): Promise<readonly StateRow[] | undefined> {
    try {
      return await engineState(pool);
    } catch (error) {
      failed(error);
      return undefined;
    }
  }
  const read = (): Promise<readonly StateRow[] | undefined> => {
    if (last === undefined || performance.now() - last.at > readEvery) last = { at: performance.now(), rows: ask() };
    return last.rows;
  };
  const up: Gauge = new Gauge({
    name: 'kefu_postgres_up',
    help: 'Whether Postgres has answered: 1 or 0',
    registers,
    collect: async () => {
      up.set((await read()) === undefined ? 0 : 1);
    },
  });
  for (const { of, name, help, label, aged } of gauges) {
    const gauge = (suffix: string, what: string, value: (row: StateRow) => number | null): void => {
      const shown: Gauge = new Gauge({
        name: `${name}${suffix}`,
        help: what,
        labelNames: label === undefined ? [] : [label],
        registers,
        collect: async () => {
          const rows = await read();
          // A label whose last one is gone is not shown any more. Neither is anything while Postgres is away: what kept its last value would say that all is well.
          shown.reset();
          if (rows === undefined) return shown.remove({});
          for (const row of rows.filter((r) => r.what === of)) shown.set(label === undefined ? {} : { [label]: row.label }, value(row) ?? 0);
        },
      });
    };
    gauge('', help, (row) => row.n);
    if (aged) gauge('_oldest_seconds', `${help}: seconds since the oldest began to wait`, (row) => row.oldest);
  }
}

/** How the connections of this process's pools are used. */
export function poolGauges(registry: Registry, pools: Readonly<Record<string, Pool>>): void {
  const named = Object.entries(pools);
  const gauge = (name: string, help: string, value: (pool: Pool) => number): void => {
    const shown: Gauge<'pool'> = new Gauge({
      name,
      help,
      labelNames: ['pool'],
      registers: [registry],
      collect: () => {
        for (const [pool, of] of named) shown.set({ pool }, value(of));
      },
    });
  };
  gauge('kefu_pool_connections_used', 'Connections of a pool that something uses now', (pool) => pool.totalCount - pool.idleCount);
  gauge('kefu_pool_connections_max', 'Connections that a pool may have', (pool) => pool.options.max);
  // Whatever asks waits until the end of its turn of the event loop, also for a connection that is free: that is no waiting.
  gauge('kefu_pool_waiting', 'What waits because all connections of a pool are in use', (pool) =>
    pool.idleCount === 0 && pool.totalCount >= pool.options.max ? pool.waitingCount : 0,
  );
}
