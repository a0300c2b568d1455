/** What a case did, for people: one row per fact, written by the transaction that did it. */
import type { CaseId } from '../values/ids.ts';
import type { Sql } from './pool.ts';

/** Adds a fact once: the same key again, after a retry or a reset, changes nothing. Data are ids, amounts and codes. */
export async function note(tx: Sql, of: CaseId, key: string, kind: string, data: object): Promise<void> {
  await tx.query('insert into timeline (case_id, key, kind, data) values ($1, $2, $3, $4) on conflict (case_id, key) do nothing', [
    of,
    key,
    kind,
    JSON.stringify(data),
  ]);
}

export interface TimelineRow {
  readonly id: number;
  readonly key: string;
  readonly kind: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly at: Date;
}

/** A page of a case's timeline in order, after a row id. Served by index timeline_of_case. */
export async function timelineOf(sql: Sql, of: CaseId, after: number, limit: number): Promise<TimelineRow[]> {
  return (await sql.query<TimelineRow>('select id, key, kind, data, at from timeline where case_id = $1 and id > $2 order by id limit $3', [of, after, limit]))
    .rows;
}
