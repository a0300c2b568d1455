import { types } from 'node:util';
import pg from 'pg';

/** Something that runs statements: the pool, or a transaction. */
export type Sql = Pick<pg.ClientBase, 'query'>;
export type Pool = pg.Pool;

// bigint columns are counts and row ids far below 2^53; as text they would have to be parsed at every use.
pg.types.setTypeParser(pg.types.builtins.INT8, (text) => {
  const n = Number(text);
  if (!Number.isSafeInteger(n)) throw new RangeError(`bigint ${text} is no safe integer`);
  return n;
});

/**
 * Connections to Postgres. Time-outs are short on purpose: a caller learns of an outage in a second and decides itself what to do
 * (the API answers 503, a record goes on as an ordinary activity), instead of queueing behind a dead server.
 */
export function connectPool(url: string, name: string, max = 10): Pool {
  const pool = new pg.Pool({
    connectionString: url,
    application_name: name,
    max,
    connectionTimeoutMillis: 1000,
    statement_timeout: 5000,
    query_timeout: 6000,
    idle_in_transaction_session_timeout: 10_000,
  });
  // An idle connection that breaks is replaced at the next query; without a listener it would end the process.
  pool.on('error', () => undefined);
  return pool;
}

const onBreak = (): void => undefined;

/** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
export async function inTransaction<T>(pool: Pool, work: (tx: Sql) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  // The pool listens to idle connections only. One that breaks while its transaction waits for something else is found by the next statement; without a
  // listener it would end the process.
  client.on('error', onBreak);
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    client.off('error', onBreak);
    client.release();
    return result;
  } catch (error) {
    const failed = await client.query('rollback').then(
      () => false,
      () => true,
    );
    // A connection whose rollback fails is thrown away, with its listener: its transaction ends with it.
    if (!failed) client.off('error', onBreak);
    client.release(failed);
    throw error;
  }
}

/**
 * The code of an error by which Postgres refuses what it was given (a value it cannot hold, a constraint): the same statement is refused for ever. A key that
 * exists is none: another try of the same record may have been there first, and the next one finds it.
 */
export function refusalCode(error: unknown): string | undefined {
  const code = types.isNativeError(error) && 'code' in error ? String(error.code) : '';
  return /^2[23]\w{3}$/.test(code) && code !== '23505' ? code : undefined;
}

/** Whether Postgres cannot be reached or is going away, as opposed to refusing a statement. */
export function isAway(error: unknown): boolean {
  // Not `instanceof`: Node's own errors are of another realm inside a test's.
  if (!types.isNativeError(error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  return (
    /^(08|57P0|53)/.test(code) ||
    ['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EPIPE', 'ETIMEDOUT'].includes(code) ||
    /timeout exceeded when trying to connect|Connection terminated|Query read timeout|cannot use a pool after/i.test(error.message)
  );
}
