/** The sandbox's own schema in Postgres. It stands for databases of other companies: nothing of the engine reads it. */
import pg from 'pg';

/** Something that runs statements. */
export type Sql = Pick<pg.ClientBase, 'query'>;
export type Pool = pg.Pool;

/** Connections of the sandbox. Ten: calls are short, and the engine needs the machine's others. */
export function connectSandbox(url: string): Pool {
  const pool = new pg.Pool({
    connectionString: url,
    application_name: 'kefu-sandbox',
    max: 10,
    connectionTimeoutMillis: 3000,
    // No statement of ours takes a second; one that hangs must not hold its locks.
    statement_timeout: 10_000,
    idle_in_transaction_session_timeout: 30_000,
    types: {
      // Amounts and counts are far below 2^53.
      getTypeParser: (oid: number, format?: 'text' | 'binary') => (oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format)) as never,
    },
  });
  // An idle connection that breaks is replaced at the next query; without a listener it would end the process.
  pool.on('error', () => undefined);
  return pool;
}

/** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
export async function inTransaction<T>(pool: Pool, work: (sql: Sql) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  // A connection that breaks between two statements says so by an event; without a listener it would end the process.
  const onBreak = (error: Error): void => {
    broken = error;
  };
  client.on('error', onBreak);
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    try {
      await client.query('rollback');
    } catch (rollback) {
      // The connection is gone, and the transaction with it: the first error is the one that tells.
      broken = rollback instanceof Error ? rollback : new Error(String(rollback));
    }
    throw error;
  } finally {
    client.off('error', onBreak);
    client.release(broken);
  }
}

const tables = `
create schema if not exists sandbox;

-- Every effect that was asked for under a key.
create table if not exists sandbox.ledger (
  seq bigint generated always as identity unique,
  system text not null,
  -- "C": prefixes are ranges of the primary key's index.
  key text collate "C" not null,
  -- Absent while a key is only barred: its undo came first.
  operation text,
  args jsonb,
  state text not null check (state in ('executed', 'refused', 'barred')),
  status int,
  answer jsonb,
  attempts int not null default 0,
  executions int not null default 0,
  undone_at timestamptz,
  first_at timestamptz not null default now(),
  last_at timestamptz not null default now(),
  primary key (system, key)
);

-- What we are told, until we said 2xx.
create table if not exists sandbox.webhooks (
  id text primary key,
  seq bigint generated always as identity unique,
  system text not null,
  event text not null,
  subject text not null,
  payload jsonb not null,
  at timestamptz not null,
  attempts int not null default 0,
  next_at timestamptz not null,
  delivered_at timestamptz,
  last_error text
);
create index if not exists webhooks_due on sandbox.webhooks (next_at) where delivered_at is null;

-- What happens later by itself: a refund that settles, a link that expires.
create table if not exists sandbox.steps (
  id bigint generated always as identity primary key,
  system text not null,
  step text not null,
  data jsonb not null,
  due_at timestamptz not null
);
create index if not exists steps_due on sandbox.steps (due_at);

-- Faults and settings, which survive a restart.
create table if not exists sandbox.settings (
  system text not null,
  name text not null,
  value jsonb not null,
  primary key (system, name)
);
`;

/** Creates what is missing. The lock keeps two starts from creating at once, which Postgres answers with an error. */
export async function createTables(pool: Pool, ddl: readonly string[]): Promise<void> {
  await inTransaction(pool, async (sql) => {
    await sql.query(`select pg_advisory_xact_lock(hashtext('sandbox.tables'))`);
    for (const statement of [tables, ...ddl]) await sql.query(statement);
  });
}

/** A setting, or undefined. */
export async function readSetting(sql: Sql, system: string, name: string): Promise<unknown> {
  const { rows } = await sql.query<{ value: unknown }>('select value from sandbox.settings where system = $1 and name = $2', [system, name]);
  return rows[0]?.value;
}

export async function writeSetting(sql: Sql, system: string, name: string, value: object): Promise<void> {
  await sql.query('insert into sandbox.settings (system, name, value) values ($1, $2, $3) on conflict (system, name) do update set value = excluded.value', [
    system,
    name,
    JSON.stringify(value),
  ]);
}
