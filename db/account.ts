/** Money of a case, as its own records and what was reported of it say. */
import type { CaseId } from '../values/ids.ts';
import type { Money } from '../values/money.ts';
import type { Sql } from './pool.ts';

/** An operation that moves money. `source`: the event (`<system>.<event>`) that reports on it, found by the result's field `id`. */
export interface MoneyOperation {
  readonly system: string;
  readonly operation: string;
  readonly as: 'refund' | 'payout' | 'charge' | 'payments';
  readonly source: string | null;
  readonly id: string | null;
}

/** An effect that moved money, or that was refused. */
export interface MoneyRow {
  readonly path: string;
  readonly system: string;
  readonly operation: string;
  readonly as: MoneyOperation['as'];
  readonly source: string | null;
  readonly args: unknown;
  readonly status: 'sending' | 'done';
  readonly ok: boolean | null;
  readonly answer: unknown;
  readonly sentAt: Date;
  readonly doneAt: Date | null;
  /** The newest state that was reported, by whomever. */
  readonly state: string | null;
  readonly stateAt: Date | null;
  /** What was reported to the case, in order of arrival. */
  readonly reports: readonly unknown[];
  /** When it was taken back. */
  readonly undoneAt: Date | null;
}

/** Effects of a case that moved money, with what became of them, in one statement: each by its primary key but the reports, which are those of the case. */
export async function moneyOf(sql: Sql, of: CaseId, operations: readonly MoneyOperation[]): Promise<MoneyRow[]> {
  const { rows } = await sql.query<MoneyRow>(
    `select e.path, e.system, e.operation, m.kind as "as", m.source, e.args, e.status, e.ok, e.answer, e.sent_at as "sentAt", e.done_at as "doneAt",
       s.state, s.at as "stateAt", u.done_at as "undoneAt",
       coalesce((select jsonb_agg(i.body order by i.id) from inbox i
         where i.case_id = $1 and i.source = m.source and i.correlation_key = e.answer->>m.field), '[]') as reports
     from effects e
     join unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) as m (system, operation, kind, source, field) on m.system = e.system and m.operation = e.operation
     -- One look by the primary key for each: a join would read the states of all cases at once.
     left join lateral (select state, at from outside_states o where e.ok and o.source = m.source and o.key = e.answer->>m.field limit 1) s on true
     left join effects u on u.case_id = $1 and u.undoes = e.path and u.ok and u.answer->>'was' in ('done', 'undone')
     where e.case_id = $1 order by coalesce(e.done_at, e.sent_at), e.path`,
    [
      of,
      operations.map((o) => o.system),
      operations.map((o) => o.operation),
      operations.map((o) => o.as),
      operations.map((o) => o.source),
      operations.map((o) => o.id),
    ],
  );
  return rows;
}

export interface Approved {
  readonly step: string;
  readonly payment: string;
  readonly amount: Money;
  readonly method: string | null;
  readonly at: Date;
}

/** What rules approved, payment by payment: the `parts` (each with `paymentId` and `amount`) of a decision that has any. */
export async function approvedOf(sql: Sql, of: CaseId): Promise<Approved[]> {
  const { rows } = await sql.query<Approved>(
    `select d.step, d.at, p->>'paymentId' as payment, p->'amount' as amount, p->>'method' as method
     from decision_log d cross join lateral jsonb_array_elements(case when jsonb_typeof(d.output->'parts') = 'array' then d.output->'parts' else '[]' end) as p
     where d.case_id = $1 and p ? 'paymentId' and p ? 'amount' order by d.at, d.step`,
    [of],
  );
  return rows;
}
