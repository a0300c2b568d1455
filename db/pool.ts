import { types } from 'node:util';
import pg from 'pg';
import { instant, type Instant } from '../values/instant.ts';

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

/** Writes all rows of a kind that a transaction has gathered, in one statement. */
type Write<Row> = (tx: Sql, rows: readonly Row[]) => Promise<void>;
/** What an open transaction knows, and what it still has to write. */
interface Open {
  readonly known: Map<string, Promise<unknown>>;
  readonly gathered: Map<Write<never>, unknown[]>;
  readonly afterwards: (() => void)[];
}
const open = new WeakMap<Sql, Open>();

/**
 * Leaves a row to the end of the transaction, where all of its kind are one statement: for what the transaction itself does not read again. Outside
 * `inTransaction` there is no end to wait for, and it is written at once.
 */
export async function writeLast<Row>(sql: Sql, write: Write<Row>, row: Row): Promise<void> {
  const gathered = open.get(sql)?.gathered;
  if (gathered === undefined) return write(sql, [row]);
  const rows = gathered.get(write);
  if (rows) rows.push(row);
  else gathered.set(write, [row]);
}

async function writeGathered(tx: Sql, { gathered }: Open): Promise<void> {
  // One after the other: what one kind writes may ask for rows of another (a message for its job).
  for (const [write, rows] of gathered) {
    gathered.delete(write);
    await write(tx, rows as never[]);
  }
}

/** What the transaction has read once. */
export const whatIsKnown = (sql: Sql, key: string): Promise<unknown> | undefined => open.get(sql)?.known.get(key);

/** Reads something once in a transaction: for what it has locked, and what therefore only it can change. Outside `inTransaction` it is read each time. */
export async function readOnce<T>(sql: Sql, key: string, read: () => Promise<T>): Promise<T> {
  const before = whatIsKnown(sql, key);
  if (before) return before as Promise<T>;
  const now = read();
  open.get(sql)?.known.set(key, now);
  return now;
}

/** The transaction itself has changed, or found by another way, what it reads once. */
export function nowKnown(sql: Sql, key: string, value: unknown): void {
  open.get(sql)?.known.set(key, Promise.resolve(value));
}

/** What is to happen once the transaction has committed, and not at all when it is rolled back: counting, which a rollback does not undo. It may not fail. */
export function whenCommitted(sql: Sql, work: () => void): void {
  const afterwards = open.get(sql)?.afterwards;
  if (afterwards === undefined) work();
  else afterwards.push(work);
}

/** What time it is, by Postgres: what is written down is timed by one clock, however far those of our processes are off. In a transaction, when it began. */
export async function timeOf(sql: Sql): Promise<Instant> {
  const { rows } = await sql.query<{ now: Date }>('select now()');
  const [row] = rows;
  if (row === undefined) throw new Error('Postgres does not know what time it is');
  return instant(row.now);
}

const onBreak = (): void => undefined;

/** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
export async function inTransaction<T>(pool: Pool, work: (tx: Sql) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  // The pool listens to idle connections only. One that breaks while its transaction waits for something else is found by the next statement; without a
  // listener it would end the process.
  client.on('error', onBreak);
  const own: Open = { known: new Map(), gathered: new Map(), afterwards: [] };
  open.set(client, own);
  try {
    await client.query('begin');
    const result = await work(client);
    await writeGathered(client, own);
    await client.query('commit');
    open.delete(client);
    client.off('error', onBreak);
    client.release();
    for (const afterwards of own.afterwards) afterwards();
    return result;
  } catch (error) {
    open.delete(client);
    // One that does not answer would not answer to a rollback either, and take as long again to say so.
    const failed =
      isAway(error) ||
      (await client.query('rollback').then(
        () => false,
        () => true,
      ));
    // A connection that is of no use any more is thrown away, with its listener: its transaction ends with it.
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
