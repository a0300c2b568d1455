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

const isFor = (row: EffectRow, { system, operation, args }: Pick<EffectRequest, 'system' | 'operation' | 'args'>): boolean =>
  row.system === system && row.operation === operation && row.args_hash === contentHash(args);

/** The recorded answer, if there is one. Throws KeyReused when the key was used with other arguments, or for another operation. */
function recordedAnswer(row: EffectRow | undefined, request: Pick<EffectRequest, 'system' | 'operation' | 'args'>): EffectAnswer | undefined {
  if (row === undefined) return undefined;
  if (!isFor(row, request)) throw new KeyReused(`${row.path} was recorded with other arguments`);
  if (row.status === 'sending') return undefined;
  return row.ok ? { ok: true, result: row.answer } : { ok: false, error: String(row.answer) };
}

/**
 * The answer that stands for a request, if there is one. Throws KeyReused when its key was used with other arguments, or when what was done under it was taken
 * back since: a run that was reset to before that would go on as if it still stood.
 */
export async function standingAnswer(
  sql: Sql,
  request: Pick<EffectRequest, 'case' | 'path' | 'system' | 'operation' | 'args'>,
): Promise<EffectAnswer | undefined> {
  const answer = recordedAnswer(await findEffect(sql, request.case, request.path), request);
  if (answer?.ok && (await wasTakenBack(sql, request))) throw new KeyReused(`${request.path} was done, and taken back since`);
  return answer;
}

async function wasTakenBack(sql: Sql, { case: of, path }: Pick<EffectRequest, 'case' | 'path'>): Promise<boolean> {
  const { rowCount } = await sql.query(`select 1 from effects where case_id = $1 and undoes = $2 and ok`, [of, path]);
  return rowCount !== 0;
}

/** The intent, committed before the call where the system does not honour our key: true when this call made it, false when an earlier one did. */
export async function intend(sql: Sql, request: EffectRequest): Promise<boolean> {
  const { rowCount } = await sql.query(
    `insert into effects (case_id, path, system, operation, args_hash, args, undoes, status) values ($1, $2, $3, $4, $5, $6, $7, 'sending') on conflict do nothing`,
    [request.case, request.path, request.system, request.operation, contentHash(request.args), canonicalJson(request.args), request.undoes ?? null],
  );
  return rowCount === 1;
}

/** The intent again, because a person says that nothing sent before `cleared` took place: true once for each such word, so a crash after it asks a person again. */
export async function intendAgain(sql: Sql, { case: of, path, cleared }: Pick<EffectRequest, 'case' | 'path' | 'cleared'>): Promise<boolean> {
  if (cleared === undefined) return false;
  // `greatest`: the person's clock may be ahead of the database's.
  const { rowCount } = await sql.query(
    `update effects set sent_at = greatest(now(), $3::timestamptz) where case_id = $1 and path = $2 and status = 'sending' and sent_at < $3`,
    [of, path, cleared],
  );
  return rowCount === 1;
}

/**
 * Records an answer once: the first one stands, also against a result that a person enters while the reply is on its way.
 * Returns what stands, and whether this call wrote it. Throws KeyReused when the row is of another payload. Where that, or an undo since, has
 * made it a person's question, their word answers it, and the row stays what it was.
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
  const row = await findEffect(tx, request.case, request.path);
  if (enteredBy !== undefined && row && (!isFor(row, request) || (await wasTakenBack(tx, request)))) return { answer, fresh: true };
  const stands = recordedAnswer(row, request);
  if (stands === undefined) throw new Error(`effect ${request.path} neither recorded nor found`);
  return { answer: stands, fresh: false };
}
