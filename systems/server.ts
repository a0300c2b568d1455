/** The sandbox: every outside system as a real HTTP server at `/<system>`, in one process, with its own schema in Postgres. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import express from 'express';
import type { Logger } from 'pino';
import { pino } from 'pino';
import { z } from 'zod';
import { instant } from '../values/instant.ts';
import { couponsSandbox } from './coupons/sandbox.ts';
import { crmSandbox } from './crm/sandbox.ts';
import { financeSandbox } from './finance/sandbox.ts';
import type { SystemName } from './index.ts';
import { logisticsSandbox } from './logistics/sandbox.ts';
import { notificationsSandbox } from './notifications/sandbox.ts';
import { ownShops } from './orders/catalogue.ts';
import { loadShop } from './orders/load.ts';
import { ordersSandbox } from './orders/sandbox.ts';
import { connectSandbox, createTables, inTransaction, readSetting } from './sandbox/database.ts';
import type { AnySandbox } from './sandbox/define.ts';
import { Faults, faultsSchema } from './sandbox/faults.ts';
import { endHandlers, systemRouter } from './sandbox/http.ts';
import { startLater } from './sandbox/later.ts';
import { warehouseSandbox } from './warehouse/sandbox.ts';

export interface SandboxOptions {
  readonly databaseUrl: string;
  /** 0: any free one. */
  readonly port: number;
  /** Loopback unless told otherwise: nobody has to sign in here. */
  readonly host?: string;
  /** `<url>/<system>` gets the webhooks; without it they are kept and not sent. */
  readonly webhookUrl?: string | undefined;
  readonly secretsDir?: string | undefined;
  /** Until a card refund arrives, in milliseconds. */
  readonly settleMs?: number;
  /** Until the carrier comes for a parcel to a customer, and again until it is delivered, in milliseconds; without it parcels stand still until they are scanned. */
  readonly pickUpMs?: number;
  readonly log?: Logger;
}

export interface Sandbox {
  /** Of the server: a system's is `<url>/<system>`. */
  readonly url: string;
  close(): Promise<void>;
}

/** Starts the sandbox: creates what is missing in its schema, loads the own shops at the first start, listens. */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const log = options.log ?? pino({ level: 'silent' });
  const sandboxes: Readonly<Record<SystemName, AnySandbox>> = {
    orders: ordersSandbox,
    warehouse: warehouseSandbox,
    // Five seconds: a person sees a card refund on its way, and need not wait for a bank.
    finance: financeSandbox({ settleMs: options.settleMs ?? 5000 }),
    logistics: logisticsSandbox({ pickUpMs: options.pickUpMs ?? null }),
    notifications: notificationsSandbox,
    crm: crmSandbox,
    coupons: couponsSandbox,
  };
  const pool = connectSandbox(options.databaseUrl);
  try {
    await createTables(
      pool,
      Object.values(sandboxes).map((sandbox) => sandbox.tables),
    );
    await inTransaction(pool, async (sql) => {
      if ((await sql.query('select 1 from sandbox.orders limit 1')).rowCount === 0)
        log.info(await loadShop(sql, await ownShops(instant(Date.now()))), 'own shops loaded');
    });
    const faults: Record<string, Faults> = {};
    for (const name of Object.keys(sandboxes)) faults[name] = new Faults(faultsSchema.parse((await readSetting(pool, name, 'faults')) ?? {}));

    const later = startLater({ pool, sandboxes, faults, webhookUrl: options.webhookUrl, secretsDir: options.secretsDir, log });
    const app = express();
    app.disable('x-powered-by');
    app.get('/healthz', async (_, response) => {
      try {
        await pool.query('select 1');
        response.json({ status: 'ok' });
      } catch {
        response.status(503).json({ status: 'postgres is away' });
      }
    });
    for (const [name, sandbox] of Object.entries(sandboxes))
      app.use(`/${name}`, systemRouter({ pool, sandbox, faults: faults[name] ?? new Faults(), wake: () => later.wake() }));
    app.use(...endHandlers(log));

    const host = options.host ?? '127.0.0.1';
    const server = createServer(app);
    try {
      server.listen(options.port, host);
      await once(server, 'listening');
    } catch (error) {
      await later.stop();
      throw error;
    }
    const { port } = server.address() as AddressInfo;
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
    log.info({ url }, 'sandbox systems are up');
    return {
      url,
      async close() {
        // Requests under way are answered; one that is slow on request is not waited for.
        const cutOff = setTimeout(() => server.closeAllConnections(), 3000);
        server.close();
        await once(server, 'close');
        clearTimeout(cutOff);
        await later.stop();
        await pool.end();
      },
    };
  } catch (error) {
    await pool.end();
    throw error;
  }
}

const environment = z.object({
  DATABASE_URL: z.url(),
  DATABASE_PASSWORD_FILE: z.string().min(1).optional(),
  SYSTEMS_PORT: z.coerce.number().int().min(0).max(65535),
  SYSTEMS_HOST: z.string().min(1).default('127.0.0.1'),
  WEBHOOK_URL: z.url().optional(),
  WEBHOOK_SECRETS_DIR: z.string().min(1).optional(),
  SETTLE_MS: z.coerce.number().int().min(0).default(5000),
  PICK_UP_MS: z.coerce.number().int().min(0).default(5000),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

async function main(): Promise<void> {
  const parsed = environment.safeParse(process.env);
  if (!parsed.success) throw new Error(`The sandbox needs its environment:\n${z.prettifyError(parsed.error)}`);
  const env = parsed.data;
  const log = pino({ level: env.LOG_LEVEL, base: { service: 'systems' } });
  const database = new URL(env.DATABASE_URL);
  if (env.DATABASE_PASSWORD_FILE !== undefined) database.password = encodeURIComponent(readFileSync(env.DATABASE_PASSWORD_FILE, 'utf8').trim());
  const sandbox = await startSandbox({
    databaseUrl: database.href,
    port: env.SYSTEMS_PORT,
    host: env.SYSTEMS_HOST,
    webhookUrl: env.WEBHOOK_URL,
    secretsDir: env.WEBHOOK_SECRETS_DIR,
    settleMs: env.SETTLE_MS,
    pickUpMs: env.PICK_UP_MS,
    log,
  });
  const stop = (signal: string): void => {
    log.info({ signal }, 'sandbox systems stop');
    void sandbox.close().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
}
