/** After the commit: what was stored is brought to Temporal, or left to the sweep. */
import type { Logger } from 'pino';
import { Counter } from 'prom-client';
import { findCase, type CaseRow } from '../db/cases.ts';
import { publishPolicy } from '../db/policies.ts';
import type { CaseId } from '../values/ids.ts';
import type { AppDeps } from './deps.ts';
import type { Delivered } from './views.ts';

/** A failure that took this long is Temporal not answering; a quick one (no such workflow yet) says nothing about it. */
const slow = 500;
/** While Temporal does not answer, one request in this time waits to find out whether it is back; the others are left to the sweep at once. */
const askAgainAfter = 1000;

export interface Bringing {
  start(row: CaseRow): Promise<Delivered>;
  startAll(ids: readonly CaseId[]): Promise<void>;
  deliver(of: CaseId): Promise<Delivered>;
  /** The policy that new cases are pinned to is in Postgres. */
  policyIsThere(): Promise<void>;
}

export function createBringing({ pool, policy, delivery, log, metrics }: AppDeps): Bringing {
  const counter = new Counter({
    name: 'kefu_deliveries_total',
    help: 'Starts and messages brought to Temporal by the API',
    labelNames: ['what', 'result'],
    registers: [metrics],
  });
  // By the clock that nobody sets, as all that lasts: set back by an hour, the other one would have Temporal away for an hour.
  let awayUntil = -Infinity;
  let published = false;

  async function bring(what: 'start' | 'deliver', of: CaseId, work: () => Promise<'started' | 'delivered' | 'nothing' | 'unreachable'>): Promise<Delivered> {
    if (performance.now() < awayUntil) return counted(what, 'pending');
    const began = performance.now();
    try {
      const result = await work();
      if (result === 'unreachable' && performance.now() - began > slow) awayUntil = performance.now() + askAgainAfter;
      return counted(what, result === 'unreachable' ? 'pending' : 'delivered');
    } catch (error) {
      // It is committed, and the caller must not be told that it failed: the sweep brings it, and an operator sees why this could not.
      logFailure(log, what, of, error);
      return counted(what, 'pending');
    }
  }
  function counted(what: string, result: Delivered): Delivered {
    counter.inc({ what, result });
    return result;
  }
  const start = (row: CaseRow): Promise<Delivered> => bring('start', row.id, () => delivery.start(row));

  return {
    start,
    async startAll(ids) {
      for (const id of ids) {
        const row = await findCase(pool, id);
        if (row) await start(row);
      }
    },
    deliver: (of) => bring('deliver', of, () => delivery.deliver(of)),
    async policyIsThere() {
      if (published) return;
      await publishPolicy(pool, policy);
      published = true;
    },
  };
}

function logFailure(log: Logger, what: string, of: CaseId, error: unknown): void {
  log.error(
    { case: of, what, error: error instanceof Error ? { name: error.name, message: error.message, stack: error.stack } : String(error) },
    'not delivered; the sweep will',
  );
}
