/** Effects: what was sent to an outside system, once, and what it answered. */
import { canonicalJson, contentHash } from '../values/hash.ts';
import type { CaseId } from '../values/ids.ts';
import type { EffectAnswer, EffectRequest } from '../workflows/kit/protocol.ts';
import type { Sql } from './pool.ts';

export interface EffectRow {
  readonly case_id: CaseId;
  readonly path: string;
  readonly system: string;
  readonly operation: string;
  readonly args_hash: string;
  readonly args: unknown;
  readonly status: 'sending' | 'done';
  readonly ok: boolean | null;
  readonly answer: unknown;
  readonly entered_by: string | null;
  readonly undoes: string | null;
  readonly sent_at: Date;
  readonly done_at: Date | null;
}

/** The same key with another payload: never sent, a person has to look. */
export class KeyReused extends Error {
  override readonly name = 'KeyReused';
}

export async function findEffect(sql: Sql, of: string, path: string): Promise<EffectRow | undefined> {
  return (await sql.query<EffectRow>('select * from effects where case_id = $1 and path = $2', [of, path])).rows[0];
}

/** The recorded answer, if there is one. Throws KeyReused when the key was used with other arguments, or for another operation. */
export function recordedAnswer(row: EffectRow | undefined, request: Pick<EffectRequest, 'system' | 'operation' | 'args'>): EffectAnswer | undefined {
  if (row === undefined) return undefined;
  if (row.system !== request.system || row.operation !== request.operation || row.args_hash !== contentHash(request.args))
    throw new KeyReused(`${row.path} was recorded with other arguments`);
  if (row.status === 'sending') return undefined;
  return row.ok ? { ok: true, result: row.answer } : { ok: false, error: String(row.answer) };
}

/** The intent, committed before the call where the system does not honour our key: true when this call made it, false when an earlier one did. */
export async function intend(sql: Sql, request: EffectRequest): Promise<boolean> {
  const { rowCount } = await sql.query(
    `insert into effects (case_id, path, system, operation, args_hash, args, undoes, status) values ($1, $2, $3, $4, $5, $6, $7, 'sending') on conflict do nothing`,
    [request.case, request.path, request.system, request.operation, contentHash(request.args), canonicalJson(request.args), request.undoes ?? null],
  );
  return rowCount === 1;
}

/**
 * Records an answer once: the first one stands, also against a result that a person enters while the reply is on its way.
 * Returns what stands, and whether this call wrote it. Throws KeyReused when the row is of another payload.
 */
export async function recordAnswer(
  tx: Sql,
  request: EffectRequest,
  answer: EffectAnswer,
  enteredBy?: string,
): Promise<{ answer: EffectAnswer; fresh: boolean }> {
  const written = await tx.query(
    `insert into effects (case_id, path, system, operation, args_hash, args, undoes, status, ok, answer, entered_by, done_at)
     values ($1, $2, $3, $4, $5, $6, $7, 'done', $8, $9, $10, now())
     on conflict (case_id, path) do update set status = 'done', ok = excluded.ok, answer = excluded.answer, entered_by = excluded.entered_by, done_at = now()
     where effects.status = 'sending' and effects.args_hash = excluded.args_hash and effects.operation = excluded.operation`,
    [
      request.case,
      request.path,
      request.system,
      request.operation,
      contentHash(request.args),
      canonicalJson(request.args),
      request.undoes ?? null,
      answer.ok,
      JSON.stringify(answer.ok ? (answer.result ?? null) : answer.error),
      enteredBy ?? null,
    ],
  );
  if (written.rowCount === 1) return { answer, fresh: true };
  const stands = recordedAnswer(await findEffect(tx, request.case, request.path), request);
  if (stands === undefined) throw new Error(`effect ${request.path} neither recorded nor found`);
  return { answer: stands, fresh: false };
}
