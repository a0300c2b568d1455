/** What the sandbox does by itself: steps that fall due, and webhooks until somebody said 2xx. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { Webhook } from 'standardwebhooks';
import { instant } from '../../values/instant.ts';
import type { SystemContract, WebhookBody } from '../contract.ts';
import type { Pool, Sql } from './database.ts';
import { inTransaction } from './database.ts';
import type { AnySandbox, Call } from './define.ts';
import type { Faults } from './faults.ts';

/** A receiver that has not answered by then will not; it gets the webhook again. */
const webhookTimeoutMs = 5000;
/** Longer than the time-out: a webhook is sent twice only when we died between sending and writing that down. */
const leaseMs = 8000;
/** 0.2 s, 0.4 s … up to 15 s: a restarted API hears soon, one that is away is not flooded. */
const backOffMs = (attempts: number): number => Math.min(15_000, 200 * 2 ** Math.min(attempts, 10));
/** When nothing tells us earlier: rows that another process left. */
const idleMs = 1000;
/** Webhooks in flight at once: more than a case ever waits for, fewer than a small API's connections. */
const batch = 32;

/** Makes a system do a step `afterMs` after now, once this transaction is committed. */
export async function schedule(sql: Sql, system: string, step: string, data: object, afterMs: number): Promise<void> {
  await sql.query(`insert into sandbox.steps (system, step, data, due_at) values ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))`, [
    system,
    step,
    JSON.stringify(data),
    afterMs / 1000,
  ]);
}

/** The call of one transaction. */
export function callIn(contract: SystemContract, sql: Sql, key: string, faults: Faults): Call {
  const at = instant(Date.now());
  return {
    sql,
    at,
    key,
    async emit(name, input) {
      const event = contract.events[name];
      if (!event) throw new RangeError(`${contract.name} has no event ${name}`);
      const payload = event.payload.parse(input);
      await sql.query(
        `insert into sandbox.webhooks (id, system, event, subject, payload, at, next_at) values ($1, $2, $3, $4, $5, $6, clock_timestamp() + make_interval(secs => $7))`,
        [`evt_${randomUUID()}`, contract.name, name, event.key(payload as never), JSON.stringify(payload), at, faults.webhookDelay() / 1000],
      );
    },
    later: (step, data, afterMs) => schedule(sql, contract.name, step, data, afterMs),
  };
}

/** Runs `work` again and again: at once while it finds something, else when the next row is due, when woken, or after a second. */
class Loop {
  #stopped = false;
  #woken = false;
  #wakeUp: () => void = () => undefined;
  readonly #ended: Promise<void>;
  constructor(name: string, work: () => Promise<number>, log: Logger) {
    const run = async (): Promise<void> => {
      while (!this.#stopped) {
        this.#woken = false;
        let pauseMs = idleMs;
        try {
          pauseMs = await work();
        } catch (error) {
          // Postgres is away, most likely; the rows wait for it.
          log.warn({ loop: name, error: error instanceof Error ? error.message : String(error) }, 'sandbox loop failed');
        }
        if (pauseMs > 0 && !this.#stopped && !this.#woken) await this.#pause(Math.min(pauseMs, idleMs));
      }
    };
    this.#ended = run();
  }
  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
  wake(): void {
    this.#woken = true;
    this.#wakeUp();
  }
  async stop(): Promise<void> {
    this.#stopped = true;
    this.wake();
    await this.#ended;
  }
}

export interface LaterOptions {
  readonly pool: Pool;
  readonly sandboxes: Readonly<Record<string, AnySandbox>>;
  readonly faults: Readonly<Record<string, Faults>>;
  /** `<url>/<system>` gets the webhooks; without it they are kept and not sent. */
  readonly webhookUrl: string | undefined;
  /** Folder with `webhook-<system>.secret`: one `whsec_…` a line, more than one while a secret is rotated; read for every webhook, so that a new one is used at once. */
  readonly secretsDir: string | undefined;
  readonly log: Logger;
}

export interface Later {
  /** After a commit: there may be something due. */
  wake(): void;
  stop(): Promise<void>;
}

/** Milliseconds until something is due. Not under 20: a row that is due and was not found is locked by somebody who will be done soon. */
const pauseFor = (ms: number | null | undefined): number => Math.max(20, ms ?? idleMs);

const untilSql = (column: string): string => `(extract(epoch from ${column} - clock_timestamp()) * 1000)::float8`;

async function runSteps({ pool, sandboxes, faults, log }: LaterOptions, wake: () => void): Promise<number> {
  for (;;) {
    let failed: { id: number; error: unknown } | undefined;
    // One transaction per step: the row goes when its work is done.
    const found = await inTransaction(pool, async (sql) => {
      const { rows } = await sql.query<{ id: number; system: string; step: string; data: unknown }>(
        `select id, system, step, data from sandbox.steps where due_at <= clock_timestamp() order by due_at limit 1 for update skip locked`,
      );
      const row = rows[0];
      if (!row) return false;
      try {
        await sql.query('savepoint step');
        const sandbox = sandboxes[row.system];
        const fault = faults[row.system];
        const step = sandbox?.steps[row.step];
        if (!sandbox || !fault || !step) throw new Error(`${row.system} has no step ${row.step}`);
        await step(row.data as never, callIn(sandbox.contract, sql, '', fault));
        await sql.query('delete from sandbox.steps where id = $1', [row.id]);
      } catch (error) {
        failed = { id: row.id, error };
        await sql.query('rollback to savepoint step');
        // Kept, and tried again later: one broken step does not stop the others.
        await sql.query(`update sandbox.steps set due_at = clock_timestamp() + interval '5 seconds' where id = $1`, [row.id]);
      }
      return true;
    });
    if (failed) log.error({ step: failed.id, error: failed.error instanceof Error ? failed.error.message : String(failed.error) }, 'sandbox step failed');
    if (!found) {
      const { rows } = await pool.query<{ ms: number | null }>(`select ${untilSql('min(due_at)')} as ms from sandbox.steps`);
      return pauseFor(rows[0]?.ms);
    }
    wake();
  }
}

interface WebhookRow {
  readonly id: string;
  readonly seq: number;
  readonly system: string;
  readonly event: string;
  readonly subject: string;
  readonly payload: unknown;
  readonly at: Date;
  readonly attempts: number;
}

interface Sending extends LaterOptions {
  readonly webhookUrl: string;
  /** Ends what is in flight; it is sent again after the next start. */
  readonly stopping: AbortSignal;
}

async function post(row: WebhookRow, options: Sending): Promise<void> {
  if (options.secretsDir === undefined) throw new Error('WEBHOOK_SECRETS_DIR is not set');
  const secrets = (await readFile(join(options.secretsDir, `webhook-${row.system}.secret`), 'utf8')).split(/\s+/).filter((line) => line !== '');
  const body = JSON.stringify({ type: row.event, timestamp: row.at.toISOString(), data: row.payload } satisfies WebhookBody);
  const sentAt = new Date();
  const response = await fetch(`${options.webhookUrl}/${row.system}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': row.id,
      'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1000)),
      // The receiver takes any one that it knows.
      'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(row.id, sentAt, body)).join(' '),
    },
    body,
    redirect: 'error',
    signal: AbortSignal.any([AbortSignal.timeout(webhookTimeoutMs), options.stopping]),
  });
  // Read to the end, or the connection is not used again.
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`answered ${response.status}`);
}

async function deliver(row: WebhookRow, options: Sending): Promise<void> {
  try {
    await post(row, options);
    if (options.faults[row.system]?.strikes('duplicateWebhooks') === true) await post(row, options);
    await options.pool.query(`update sandbox.webhooks set delivered_at = clock_timestamp(), last_error = null where id = $1`, [row.id]);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    options.log.warn({ webhook: row.id, system: row.system, attempts: row.attempts, error: why }, 'webhook not delivered');
    await options.pool.query(`update sandbox.webhooks set next_at = clock_timestamp() + make_interval(secs => $2), last_error = $3 where id = $1`, [
      row.id,
      backOffMs(row.attempts) / 1000,
      why.slice(0, 500),
    ]);
  }
}

async function sendWebhooks(options: Sending): Promise<number> {
  const away = Object.entries(options.faults).flatMap(([system, faults]) => (faults.settings.outage ? [system] : []));
  // Leased by moving them on: whoever dies while sending leaves rows that fall due again.
  const { rows } = await options.pool.query<WebhookRow>(
    `update sandbox.webhooks set attempts = attempts + 1, next_at = clock_timestamp() + make_interval(secs => $1)
      where id in (select id from sandbox.webhooks where delivered_at is null and next_at <= clock_timestamp() and system <> all($2)
                    order by next_at, seq limit $3 for update skip locked)
      returning id, seq, system, event, subject, payload, at, attempts`,
    [leaseMs / 1000, away, batch],
  );
  if (rows.length === 0) {
    const next = await options.pool.query<{ ms: number | null }>(
      `select ${untilSql('min(next_at)')} as ms from sandbox.webhooks where delivered_at is null and system <> all($1)`,
      [away],
    );
    return pauseFor(next.rows[0]?.ms);
  }
  // What is said of one thing goes one after the other: a good day has no shuffling that nobody asked for.
  const subjects = new Map<string, WebhookRow[]>();
  for (const row of rows.toSorted((a, b) => a.seq - b.seq)) {
    const subject = `${row.system}/${row.subject}`;
    subjects.set(subject, [...(subjects.get(subject) ?? []), row]);
  }
  await Promise.all(
    [...subjects.values()].map(async (of) => {
      for (const row of of) await deliver(row, options);
    }),
  );
  return 0;
}

/** Starts both loops: apart, because a receiver that hangs must not hold up what happens inside the systems. */
export function startLater(options: LaterOptions): Later {
  const { webhookUrl } = options;
  const stopping = new AbortController();
  const sending =
    webhookUrl === undefined ? undefined : new Loop('webhooks', () => sendWebhooks({ ...options, webhookUrl, stopping: stopping.signal }), options.log);
  const steps = new Loop('steps', async () => runSteps(options, () => sending?.wake()), options.log);
  return {
    wake() {
      steps.wake();
      sending?.wake();
    },
    async stop() {
      stopping.abort();
      await steps.stop();
      await sending?.stop();
    },
  };
}
