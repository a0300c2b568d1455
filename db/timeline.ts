/** What a case did, for people: one row per fact, written by the transaction that did it. */
import type { CaseId } from '../values/ids.ts';
import type { Money } from '../values/money.ts';
import { writeLast, type Sql } from './pool.ts';

/** Every kind of fact. The API has a sentence for each (`api/sentences.ts`), or it does not compile. */
export type TimelineKind =
  | 'opened'
  | 'stage'
  | 'noReturn'
  | 'effect'
  | 'undone'
  | 'enteredTooLate'
  | 'redoFailed'
  | 'decision'
  | 'taskOpened'
  | 'taskClaimed'
  | 'taskReleased'
  | 'taskDelegated'
  | 'taskReassigned'
  | 'taskEscalated'
  | 'taskDecided'
  | 'taskClosed'
  | 'told'
  | 'clock'
  | 'clockWarned'
  | 'clockEscalated'
  | 'event'
  | 'outsideState'
  | 'late'
  | 'note'
  | 'evidence'
  | 'linkMade'
  | 'linkRevoked'
  | 'started'
  | 'withdrawAsked'
  | 'withdrawalRefused'
  | 'reopened'
  | 'broken'
  | 'closed'
  | 'erased';

interface Fact {
  readonly of: CaseId;
  readonly key: string;
  readonly kind: TimelineKind;
  readonly data: object;
}

/** Adds a fact once: the same key again, after a retry or a reset, changes nothing. Data are ids, amounts and codes. A transaction's facts are written at its end, in their order. */
export const note = (tx: Sql, of: CaseId, key: string, kind: TimelineKind, data: object): Promise<void> =>
  writeLast<Fact>(tx, writeFacts, { of, key, kind, data });

async function writeFacts(tx: Sql, facts: readonly Fact[]): Promise<void> {
  await tx.query(
    `insert into timeline (case_id, key, kind, data)
     select f.case_id, f.key, f.kind, f.data from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[]) with ordinality as f (case_id, key, kind, data, n)
     order by f.n on conflict (case_id, key) do nothing`,
    [facts.map((f) => f.of), facts.map((f) => f.key), facts.map((f) => f.kind), facts.map((f) => JSON.stringify(f.data))],
  );
}

export interface TimelineRow {
  readonly id: number;
  readonly key: string;
  readonly kind: TimelineKind;
  readonly data: Readonly<Record<string, unknown>>;
  readonly at: Date;
}

/** A row with what its sentence needs of the tables that the fact is kept in. */
export interface TimelineFact extends TimelineRow {
  /** Of an effect: what was asked and answered, the declared error as text. */
  readonly effect: { readonly args: unknown; readonly ok: boolean | null; readonly answer: unknown } | null;
  /** Of a rule's decision: what it decided. */
  readonly output: unknown;
  /** Of an event: what it said, and who said it. */
  readonly arrival: { readonly source: string; readonly body: unknown } | null;
  readonly task: {
    readonly name: string;
    readonly role: string;
    readonly amount: Money | null;
    readonly context: Readonly<Record<string, unknown>> | null;
  } | null;
  readonly message: {
    readonly data: Readonly<Record<string, unknown>>;
    readonly status: 'queued' | 'sent' | 'held' | 'failed';
    readonly sentAt: string | null;
  } | null;
}

/** The stages of a case as it entered them. Served by index timeline_of_case: a case has few rows. */
export async function stagesOf(sql: Sql, of: CaseId): Promise<{ stage: string; at: Date }[]> {
  const { rows } = await sql.query<{ stage: string; at: Date }>(
    `select data->>'stage' as stage, at from timeline where case_id = $1 and kind = 'stage' order by id`,
    [of],
  );
  return rows;
}

/**
 * A page of a case's timeline in order, after a row id, in one statement: the page by index timeline_of_case, all else by indexes of the case's own rows.
 * A state that also entered the case as an event is one fact, and the event tells it.
 */
export async function timelineOf(sql: Sql, of: CaseId, after: number, limit: number): Promise<TimelineFact[]> {
  const { rows } = await sql.query<TimelineFact>(
    `select t.id, t.key, t.kind, t.data, t.at,
       case when e.path is not null then jsonb_build_object('args', e.args, 'ok', e.ok, 'answer', e.answer) end as effect,
       d.output,
       case when i.id is not null then jsonb_build_object('source', i.source, 'body', i.body) end as arrival,
       case when k.id is not null then jsonb_build_object('name', k.name, 'role', k.role,
         'amount', case when k.currency is not null then jsonb_build_object('minor', k.amount_minor, 'currency', k.currency) end,
         'context', case when k.name in ('repair', 'redo') then k.context end) end as task,
       case when m.id is not null then jsonb_build_object('data', m.data, 'status', m.status, 'sentAt', m.sent_at) end as message
     from (
       select * from timeline l where l.case_id = $1 and l.id > $2
         and not (l.kind = 'outsideState' and exists (select 1 from timeline x where x.case_id = $1 and x.key = 'inbox:' || split_part(l.key, ':', 2)))
       order by l.id limit $3
     ) t
     left join effects e on t.kind in ('effect', 'undone') and e.case_id = $1 and e.path = t.data->>'path'
     left join decision_log d on t.kind = 'decision' and d.case_id = $1 and d.step = t.data->>'step'
     left join inbox i on i.case_id = $1 and i.id = case when t.kind in ('event', 'outsideState', 'late') then split_part(t.key, ':', 2)::bigint end
     left join tasks k on t.data ? 'task' and k.case_id = $1 and k.path = t.data->>'task'
     left join messages m on t.kind = 'told' and m.case_id = $1 and m.id = $1 || substr(t.key, 5)
     order by t.id`,
    [of, after, limit],
  );
  return rows;
}
