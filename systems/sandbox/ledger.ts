/** Every effect once: one transaction takes the key, does the work and keeps the answer. */
import { z } from 'zod';
import type { OperationContract, UndoResult } from '../contract.ts';
import { undoArgs } from '../contract.ts';
import type { AnySandbox, Call } from './define.ts';
import { BusinessError, Refusal } from './define.ts';
import type { Sql } from './database.ts';

/** An answer as it is sent and kept. */
export interface KeptAnswer {
  readonly status: number;
  readonly body: unknown;
}

interface LedgerRow {
  readonly operation: string | null;
  readonly same: boolean;
  readonly args: unknown;
  readonly state: 'executed' | 'refused' | 'barred';
  readonly status: number | null;
  readonly answer: unknown;
  readonly undone: boolean;
}

export const problem = (status: number, code: string, detail: string, errors?: readonly { path: string; message: string }[]): KeptAnswer => ({
  status,
  body: { type: 'about:blank', title: code, status, code, detail, ...(errors === undefined ? {} : { errors }) },
});

const undone = problem(409, 'undone', 'This key was taken back before the effect came');

/** Takes the key's row, waiting for whoever else is at it; `undefined` when the key is new and its row is now ours. */
async function takeKey(sql: Sql, system: string, key: string, operation: string, args: unknown, state: 'executed' | 'barred'): Promise<LedgerRow | undefined> {
  // A second call with the same key waits here until the first one has committed or rolled back.
  const { rowCount } = await sql.query(
    `insert into sandbox.ledger (system, key, operation, args, state) values ($1, $2, $3, $4, $5) on conflict (system, key) do nothing`,
    [system, key, state === 'barred' ? null : operation, state === 'barred' ? null : JSON.stringify(args), state],
  );
  if (rowCount === 1) return undefined;
  // jsonb compares by value, so the order of the fields and white space do not matter.
  const { rows } = await sql.query<LedgerRow>(
    `select operation, args is not distinct from $3::jsonb as same, args, state, status, answer, undone_at is not null as undone
       from sandbox.ledger where system = $1 and key = $2 for update`,
    [system, key, JSON.stringify(args)],
  );
  const row = rows[0];
  if (!row) throw new Error('a ledger row vanished while its key was taken');
  return row;
}

async function keep(sql: Sql, system: string, key: string, operation: string, args: unknown, state: LedgerRow['state'], answer: KeptAnswer): Promise<void> {
  await sql.query(
    `update sandbox.ledger set operation = $3, args = $4, state = $5, status = $6, answer = $7,
            attempts = attempts + 1, executions = executions + $8, last_at = clock_timestamp() where system = $1 and key = $2`,
    [system, key, operation, JSON.stringify(args), state, answer.status, JSON.stringify(answer.body), state === 'executed' ? 1 : 0],
  );
}

/** Answers an effect from its record, or does it and records it. Throws Refusal (nothing recorded) when the effect is impossible or the key is another effect's. */
export async function once(
  sandbox: AnySandbox,
  operation: string,
  contract: OperationContract,
  args: unknown,
  call: Call,
  ignoreKeys: boolean,
): Promise<KeptAnswer> {
  const { sql, key } = call;
  const system = sandbox.contract.name;
  const row = await takeKey(sql, system, key, operation, args, 'executed');
  if (row?.state === 'barred') {
    await keep(sql, system, key, operation, args, 'barred', undone);
    return undone;
  }
  if (row && (row.operation !== operation || !row.same))
    throw new Refusal('keyReused', `The key stands for another ${row.operation === operation ? 'body' : 'operation'}`);
  if (row && !(ignoreKeys && row.state === 'executed')) {
    await sql.query('update sandbox.ledger set attempts = attempts + 1, last_at = clock_timestamp() where system = $1 and key = $2', [system, key]);
    return { status: row.status ?? 500, body: row.answer };
  }
  // What a refused effect did before it was refused is taken back; its row in the ledger stays.
  await sql.query('savepoint effect');
  let answer: KeptAnswer;
  try {
    const take = sandbox.undo[operation];
    const work = sandbox.operations[operation];
    if (take) answer = { status: 200, body: { was: await takeBack(sandbox, operation, undoArgs.parse(args).of, take, call) } satisfies UndoResult };
    else if (work) answer = { status: 200, body: z.json().parse(contract.result.parse(await work(args as never, call))) };
    else throw new Error(`${system}.${operation} is declared and not written`);
  } catch (error) {
    if (!(error instanceof BusinessError)) throw error;
    await sql.query('rollback to savepoint effect');
    answer = problem(409, error.code, error.message);
  }
  await keep(sql, system, key, operation, args, answer.status === 200 ? 'executed' : 'refused', answer);
  return answer;
}

/** Takes back the effect under a key if it is there; bars the key if it is not. */
async function takeBack(sandbox: AnySandbox, undo: string, of: string, take: AnySandbox['undo'][string], call: Call): Promise<UndoResult['was']> {
  const system = sandbox.contract.name;
  const row = await takeKey(call.sql, system, of, '', null, 'barred');
  if (!row || row.state === 'barred' || row.state === 'refused') return 'absent';
  if (row.undone) return 'undone';
  if (row.operation === null || sandbox.contract.operations[row.operation]?.undo !== undo)
    throw new Refusal('notTakenBackByThis', `What stands under the key is not taken back by ${undo}`);
  const was = await take({ operation: row.operation, args: row.args, result: row.answer }, call);
  await call.sql.query('update sandbox.ledger set undone_at = clock_timestamp() where system = $1 and key = $2', [system, of]);
  return was;
}

/** The recorded answer under a key; undefined when nothing stands there. A barred key answers `undone`: nothing will ever take place under it. */
export async function lookUp(sql: Sql, system: string, operation: string, key: string): Promise<KeptAnswer | undefined> {
  const { rows } = await sql.query<{ state: string; status: number | null; answer: unknown }>(
    `select state, status, answer from sandbox.ledger where system = $1 and key = $2 and (operation = $3 or operation is null)`,
    [system, key, operation],
  );
  const row = rows[0];
  if (!row) return undefined;
  return row.status === null ? undone : { status: row.status, body: row.answer };
}

export const ledgerQuery = z.object({
  key: z.string().max(700).optional(),
  prefix: z.string().max(700).optional().meta({ description: 'Keys that begin with this: all of one case' }),
  operation: z.string().max(100).optional(),
  after: z.coerce.number().int().min(0).optional().meta({ description: '`next` of the page before' }),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});
export const ledgerPage = z.object({
  entries: z.array(
    z.object({
      seq: z.int(),
      key: z.string(),
      operation: z.string().nullable(),
      args: z.unknown(),
      state: z.enum(['executed', 'refused', 'barred']).meta({ description: 'barred: its undo came first, it never took place' }),
      status: z.int().nullable(),
      answer: z.unknown(),
      attempts: z.int().meta({ description: 'Calls under this key that reached the ledger' }),
      executions: z.int().meta({ description: 'How often it took place: above 1 it was doubled' }),
      undoneAt: z.string().nullable(),
      firstAt: z.string(),
      lastAt: z.string(),
    }),
  ),
  next: z.int().optional(),
});

/** A page of the ledger, oldest first. */
export async function readLedger(sql: Sql, system: string, query: z.output<typeof ledgerQuery>): Promise<z.input<typeof ledgerPage>> {
  const { rows } = await sql.query<{
    seq: number;
    key: string;
    operation: string | null;
    args: unknown;
    state: 'executed' | 'refused' | 'barred';
    status: number | null;
    answer: unknown;
    attempts: number;
    executions: number;
    undone_at: Date | null;
    first_at: Date;
    last_at: Date;
  }>(
    `select seq, key, operation, args, state, status, answer, attempts, executions, undone_at, first_at, last_at from sandbox.ledger
      where system = $1 and ($2::text is null or key = $2) and ($3::text is null or (key >= $3 and key < $3 || chr(1114109)))
        and ($4::text is null or operation = $4) and seq > $5 order by seq limit $6`,
    [system, query.key ?? null, query.prefix ?? null, query.operation ?? null, query.after ?? 0, query.limit],
  );
  const last = rows.at(-1);
  return {
    entries: rows.map(({ undone_at, first_at, last_at, ...row }) => ({
      ...row,
      undoneAt: undone_at?.toISOString() ?? null,
      firstAt: first_at.toISOString(),
      lastAt: last_at.toISOString(),
    })),
    ...(last && rows.length === query.limit ? { next: last.seq } : {}),
  };
}
