/** What waits, hangs or has failed at this moment: for metrics and for who looks for a fault. Numbers only, by names that declarations and contracts fix. */
import type { Sql } from './pool.ts';

/** What is counted, and what its label is. */
export const counted = {
  undelivered: 'what came for an open case and has not been taken in',
  unstarted: 'cases that are due and that Temporal does not know, by process',
  sending: 'effects of open cases that were sent and not answered, by system',
  repair: 'open repair tasks, by system',
  task: 'open tasks, by role',
  open: 'open cases, by process',
  broken: 'broken cases that nobody has given up, by process',
  failed: 'cases that failed within a day, by process',
  queued: 'messages that wait to be sent',
  unsent: 'messages of the last day that nobody could be sent, by recipient',
  due: 'jobs that are due and have not begun, by kind',
  retried: 'jobs that have failed and are tried again, by kind',
  dead: 'jobs that have failed for the last time, by kind',
  unclaimed: 'events that no case has asked for, by what reported them; counted up to 10,000',
  connections: 'connections to the Postgres server, ours and others’',
  connectionsMax: 'connections that the Postgres server takes',
} as const;
export type Counted = keyof typeof counted;

export interface StateRow {
  readonly what: Counted;
  /** Process, system, role, kind of job or source; '' where there is nothing to tell apart. */
  readonly label: string;
  readonly n: number;
  /** Seconds since the oldest of them began to wait; null where that says nothing. */
  readonly oldest: number | null;
}

const age = (since: string): string => `extract(epoch from now() - min(${since}))::float8`;

/**
 * One statement, and each part of it a range of an index that is empty when all is quiet, or as long as what is open (cases_open, tasks_open_of_all): what has
 * ended, and jobs that wait for their time, cost it nothing. test/kit/engine-state.test.ts holds that no part reads a table from end to end.
 *
 * A job whose key is gone was replaced by a newer one while it ran; it is no job any more. All our jobs have the queue's default priority 0, the first column
 * of its index.
 */
const statement = `
  select 'undelivered' as what, '' as label, count(*)::int as n, ${age('i.received_at')} as oldest
    from inbox i join cases c on c.id = i.case_id and c.status = 'open' and c.started_at is not null
    where i.case_id is not null and i.seen_at is null and i.became is null
  union all select 'unstarted', process, count(*)::int, ${age('run_at')} from cases where started_at is null and status = 'open' and run_at < now() group by process
  union all select 'sending', e.system, count(*)::int, ${age('e.sent_at')}
    from effects e join cases c on c.id = e.case_id and c.status in ('open', 'broken') where e.status = 'sending' group by e.system
  union all select 'repair', coalesce(context->>'system', 'engine'), count(*)::int, ${age('opened_at')} from tasks where status = 'open' and name = 'repair' group by 2
  union all select 'task', role, count(*)::int, ${age('opened_at')} from tasks where status = 'open' group by role
  union all select 'open', process, count(*)::int, null from cases where status = 'open' group by process
  union all select 'broken', process, count(*)::int, ${age('closed_at')} from cases where status = 'broken' and outcome is null group by process
  union all select 'failed', process, count(*)::int, ${age('closed_at')} from cases where status = 'failed' and closed_at > now() - interval '1 day' group by process
  union all select 'queued', '', count(*)::int, ${age('queued_at')} from messages where status = 'queued' and bundle is null
  union all select 'unsent', recipient, count(*)::int, ${age('queued_at')}
    from messages where status = 'failed' and queued_at > now() - interval '1 day' group by recipient
  union all select 'due', t.identifier, count(*)::int, ${age('j.run_at')}
    from graphile_worker._private_jobs j join graphile_worker._private_tasks t on t.id = j.task_id
    where j.is_available and j.priority = 0 and j.run_at <= now() group by 2
  union all select case when j.attempts < j.max_attempts then 'retried' else 'dead' end, t.identifier, count(*)::int, ${age('j.created_at')}
    from graphile_worker._private_jobs j join graphile_worker._private_tasks t on t.id = j.task_id
    where j.attempts > 0 and j.locked_at is null and j.key is not null group by 1, 2
  union all select 'unclaimed', source, (select count(*)::int from (
      select 1 from inbox i where i.source = sources.source and i.case_id is null and i.became is null limit 10000) early), null
    from (
      -- From one source to the next: the many rows of one are not read to find its name.
      with recursive source_names as (
        (select source from inbox where case_id is null and became is null order by source limit 1)
        union all
        select (select i.source from inbox i where i.case_id is null and i.became is null and i.source > s.source order by i.source limit 1)
          from source_names s where s.source is not null
      ) select source from source_names where source is not null
    ) sources
  union all select 'connections', '', count(*)::int, null from pg_stat_activity where backend_type = 'client backend'
  union all select 'connectionsMax', '', current_setting('max_connections')::int, null`;

/** What there is; a kind of thing of which there is none has no row, or one with `n` 0. */
export async function engineState(sql: Sql): Promise<StateRow[]> {
  return (await sql.query<StateRow>(statement)).rows;
}
