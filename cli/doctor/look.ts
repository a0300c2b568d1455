/** Looks at a running engine from outside: what of it needs a person. It changes nothing. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Client } from '@temporalio/client';
import { engineState, type Counted, type StateRow } from '../../db/engine-state.ts';
import { isAway, type Pool } from '../../db/pool.ts';
import { lookAtQueue } from '../../delivery/queue.ts';
import { callDeadline, isTemporalAway } from '../../delivery/temporal.ts';
import type { Finding, Found } from './findings.ts';

export interface Looked {
  readonly found: readonly Found[];
  /** What answers, for a person to read. */
  readonly there: readonly string[];
}
export interface Engine {
  readonly pool: Pool;
  readonly temporal: Client;
  readonly namespace: string;
  /** The API's address, where it is known. */
  readonly api: string | undefined;
}

/** Ids that a finding names. */
const named = 5;
/** Open cases that are looked for in Temporal one by one: some seconds. */
const comparedMost = 5000;

/**
 * From when something needs a person. What a crash leaves is found within a minute, a system's outage is bridged for ten minutes (policy `repairAfter`); the
 * alerts of deploy/prometheus/alerts.yml go by the same.
 */
const limits: Partial<Record<Counted, { readonly as: Finding; readonly olderThan?: number; readonly labelled?: true }>> = {
  undelivered: { as: 'undelivered', olderThan: 120 },
  unstarted: { as: 'unstarted', olderThan: 120, labelled: true },
  sending: { as: 'sending', olderThan: 900, labelled: true },
  repair: { as: 'repair', labelled: true },
  due: { as: 'late', olderThan: 300, labelled: true },
  dead: { as: 'dead', labelled: true },
  unsent: { as: 'unsent', labelled: true },
};

/** Some of the cases that a finding is about. */
const examples: Partial<Record<Counted, string>> = {
  undelivered: `select distinct i.case_id as id from inbox i join cases c on c.id = i.case_id and c.status = 'open' where i.seen_at is null and i.became is null and i.case_id is not null limit $1`,
  unstarted: `select id from cases where started_at is null and status = 'open' and run_at < now() order by run_at limit $1`,
  sending: `select distinct e.case_id as id from effects e join cases c on c.id = e.case_id and c.status in ('open', 'broken') where e.status = 'sending' limit $1`,
  repair: `select case_id as id from tasks where status = 'open' and name = 'repair' order by opened_at limit $1`,
  unsent: `select case_id as id from messages where status = 'failed' and queued_at > now() - interval '1 day' limit $1`,
};

async function ids(pool: Pool, text: string, most = named): Promise<string[]> {
  return (await pool.query<{ id: string }>(text, [most])).rows.map(({ id }) => id);
}

async function inPostgres(pool: Pool): Promise<Found[]> {
  const found: Found[] = [];
  const wanting = (await missingMigrations(pool)).length;
  // The figures may be of columns that are not there yet.
  if (wanting > 0) return [{ what: 'schemaBehind', n: wanting }];
  const rows = await engineState(pool);
  for (const row of rows) {
    const limit = limits[row.what];
    if (limit === undefined || row.n === 0 || (limit.olderThan !== undefined && (row.oldest ?? 0) <= limit.olderThan)) continue;
    const query = examples[row.what];
    found.push({
      what: limit.as,
      n: row.n,
      ...(limit.labelled ? { of: row.label } : {}),
      ...(row.oldest === null ? {} : { age: row.oldest }),
      ...(query === undefined ? {} : { cases: await ids(pool, query) }),
    });
  }
  const broken = sumOf(rows, 'broken');
  if (broken > 0)
    found.push({ what: 'broken', n: broken, cases: await ids(pool, `select id from cases where status = 'broken' and outcome is null order by id limit $1`) });
  const connections = sumOf(rows, 'connections');
  if (connections > 0.85 * sumOf(rows, 'connectionsMax')) found.push({ what: 'connections', n: connections });
  const { rows: clocks } = await pool.query<{ id: string }>(
    // Too much to look at with every scrape: all clocks that run.
    `select k.case_id as id from clocks k join cases c on c.id = k.case_id and c.status = 'open'
     where k.next_point < now() - interval '5 minutes'
       and not exists (select 1 from graphile_worker._private_jobs j where j.key = 'clock:' || k.case_id || ':' || k.clock)`,
  );
  if (clocks.length > 0) found.push({ what: 'clockWithoutJob', n: clocks.length, cases: clocks.slice(0, named).map(({ id }) => id) });
  return found;
}

const sumOf = (rows: readonly StateRow[], what: Counted): number => rows.reduce((sum, row) => sum + (row.what === what ? row.n : 0), 0);

/** Migrations of this version that the database has not had. */
async function missingMigrations(pool: Pool): Promise<string[]> {
  const folder = fileURLToPath(new URL('../../db/migrations', import.meta.url));
  const ours = readdirSync(folder).flatMap((file) => (file.endsWith('.sql') ? [file.replace(/\.sql$/, '')] : []));
  const there = await pool.query<{ here: boolean }>(`select to_regclass('migrations') is not null as here`);
  if (there.rows[0]?.here !== true) return ours;
  const { rows } = await pool.query<{ name: string }>('select name from migrations');
  return ours.filter((name) => !rows.some((row) => row.name === name));
}

async function listed(temporal: Client, query: string, most: number): Promise<string[]> {
  const found: string[] = [];
  for await (const { workflowId } of temporal.workflow.list({ query })) if (found.push(workflowId) >= most) break;
  return found;
}

async function inTemporal({ temporal, namespace }: Engine): Promise<{ readonly found: Found[]; readonly workers: number }> {
  // One call, before several at once: of those that fail together the later ones would still be tried again when the connection is closed.
  await temporal.withDeadline(callDeadline(), () => temporal.workflowService.describeNamespace({ namespace }));
  const { pollers, oldestMs } = await lookAtQueue(temporal, namespace);
  const failing = await listed(temporal, 'ExecutionStatus = "Running" AND TemporalReportedProblems = "category=WorkflowTaskFailed"', 1000);
  const found: Found[] = [
    ...(pollers === 0 ? [{ what: 'workerAway', n: 1 } as const] : []),
    ...(failing.length === 0 ? [] : [{ what: 'failing', n: failing.length, cases: failing.slice(0, named) } as const]),
    ...(oldestMs > 5000 ? [{ what: 'behind', n: 1, age: oldestMs / 1000 } as const] : []),
  ];
  return { found, workers: pollers };
}

/** Cases that Postgres has open and started, and Temporal does not run: terminated and not yet found, or of a database that was restored alone. */
async function lost({ pool, temporal }: Engine): Promise<Found[]> {
  // A start, and an end whose record is written before the workflow's own, take moments.
  const open = await ids(
    pool,
    `select id from cases where status = 'open' and started_at < now() - interval '1 minute' order by opened_at desc limit $1`,
    comparedMost,
  );
  const gone: string[] = [];
  for (let from = 0; from < open.length; from += 100) {
    const some = open.slice(from, from + 100);
    // A quotation mark is percent-encoded in an id.
    const running = new Set(await listed(temporal, `ExecutionStatus = "Running" AND WorkflowId IN (${some.map((id) => `"${id}"`).join(', ')})`, some.length));
    gone.push(...some.filter((id) => !running.has(id)));
  }
  // Cases that ended while we looked.
  const { rows } = await pool.query<{ id: string }>(`select id from cases where id = any($1) and status = 'open'`, [gone]);
  return rows.length === 0 ? [] : [{ what: 'lost', n: rows.length, cases: rows.slice(0, named).map(({ id }) => id) }];
}

async function isUp(api: string): Promise<boolean> {
  try {
    return (await fetch(`${api}/healthz`, { signal: AbortSignal.timeout(5000) })).ok;
  } catch {
    return false;
  }
}

/** What needs a person, and what is there. An outage is a finding; any other failure is thrown. */
export async function look(engine: Engine): Promise<Looked> {
  const found: Found[] = [];
  const there: string[] = [];
  const unless = async (what: Finding, away: (error: unknown) => boolean, work: () => Promise<readonly Found[]>): Promise<boolean> => {
    try {
      found.push(...(await work()));
      return true;
    } catch (error) {
      if (!away(error)) throw error;
      found.push({ what, n: 1 });
      return false;
    }
  };
  const postgres = await unless('postgresAway', isAway, () => inPostgres(engine.pool));
  if (postgres) there.push('Postgres');
  const temporal = await unless('temporalAway', isTemporalAway, async () => {
    const { found: seen, workers } = await inTemporal(engine);
    there.push('Temporal', ...(workers === 0 ? [] : [workers === 1 ? '1 worker' : `${workers} workers`]));
    return seen;
  });
  if (postgres && temporal && !found.some(({ what }) => what === 'schemaBehind')) await unless('temporalAway', isTemporalAway, () => lost(engine));
  if (engine.api !== undefined) {
    if (await isUp(engine.api)) there.push('API');
    else found.push({ what: 'apiAway', n: 1 });
  }
  return { found, there };
}
