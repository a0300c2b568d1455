/** The sandbox systems on a database of their own, and somebody who listens to their webhooks. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { callOperation, lookupOperation } from '../../systems/client.ts';
import type { Args, OperationName } from '../../systems/contract.ts';
import type { SystemName } from '../../systems/index.ts';
import { systems } from '../../systems/index.ts';
import type { SandboxOptions } from '../../systems/server.ts';
import { startSandbox } from '../../systems/server.ts';
import { freshDatabase } from '../stack/env.ts';

export interface Received {
  readonly system: string;
  readonly id: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface LedgerEntry {
  readonly key: string;
  readonly operation: string | null;
  readonly state: string;
  readonly status: number | null;
  readonly answer: unknown;
  readonly attempts: number;
  readonly executions: number;
  readonly undoneAt: string | null;
}

export type SandboxWorld = Awaited<ReturnType<typeof sandboxWorld>>;
type Systems = typeof systems;

export const newSecret = (): string => `whsec_${randomBytes(24).toString('base64')}`;
export const cny = (minor: number): { minor: number; currency: string } => ({ minor, currency: 'CNY' });

export async function sandboxWorld(options: Partial<SandboxOptions> = {}) {
  const databaseUrl = await freshDatabase();
  const secretsDir = await mkdtemp(join(tmpdir(), 'webhook-secrets-'));
  const secrets = new Map<string, string>();
  /** What the system signs with, and what the receiver verifies with. */
  const setSecret = async (system: string, sign: string, verify = sign): Promise<void> => {
    secrets.set(system, verify);
    await writeFile(join(secretsDir, `webhook-${system}.secret`), `${sign}\n`);
  };
  for (const system of ['finance', 'warehouse', 'logistics']) await setSecret(system, newSecret());

  const received: Received[] = [];
  /** What the receiver answers to the next webhooks; 204 when none are left. */
  const answers: number[] = [];
  const refused: string[] = [];
  const receiver = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const system = (request.url ?? '').split('/').at(-1) ?? '';
      const status = answers.shift() ?? 204;
      const id = String(request.headers['webhook-id']);
      try {
        const body = new Webhook(secrets.get(system) ?? '').verify(Buffer.concat(chunks).toString(), request.headers as Record<string, string>);
        if (status === 204) received.push({ system, id, ...(body as { type: string; data: Record<string, unknown> }) });
        else refused.push(id);
        response.writeHead(status).end();
      } catch {
        refused.push(id);
        response.writeHead(401).end();
      }
    });
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');

  const start = () =>
    startSandbox({
      databaseUrl,
      port: 0,
      settleMs: 50,
      webhookUrl: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hooks`,
      secretsDir,
      ...options,
    });
  let running: Awaited<ReturnType<typeof startSandbox>> | undefined = await start();
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 3 });
  const url = (): string => {
    if (!running) throw new Error('the sandbox is stopped');
    return running.url;
  };
  const target = (system: string) => ({ baseUrl: `${url()}/${system}`, timeoutMs: 5000 });

  const http = async (method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }> => {
    const response = await fetch(`${url()}/${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  return {
    databaseUrl,
    pool,
    received,
    answers,
    refused,
    setSecret,
    url,
    http,
    /** Calls an operation as the engine does. */
    call: <S extends SystemName, O extends OperationName<Systems[S]>>(system: S, operation: O, key: string | undefined, args: Args<Systems[S], O>) =>
      callOperation(systems[system], operation, { ...target(system), key, args }),
    lookup: <S extends SystemName, O extends OperationName<Systems[S]>>(system: S, operation: O, key: string) =>
      lookupOperation(systems[system], operation, { ...target(system), key }),
    async ledger(system: SystemName, prefix: string): Promise<LedgerEntry[]> {
      const { body } = await http('GET', `${system}/ledger?limit=1000&prefix=${encodeURIComponent(prefix)}`);
      return body['entries'] as LedgerEntry[];
    },
    faults: (system: SystemName, faults: object) => http('PUT', `${system}/faults`, faults),
    /** Waits for what a look shows; fails with what it last saw. */
    async until<T>(look: () => T | Promise<T>, holds: (seen: T) => boolean): Promise<T> {
      const deadline = Date.now() + 20_000;
      for (;;) {
        const seen = await look();
        if (holds(seen)) return seen;
        if (Date.now() > deadline) throw new Error(`it did not come about; last seen: ${JSON.stringify(seen)}`);
        await new Promise((resolve) => {
          setTimeout(resolve, 20);
        });
      }
    },
    async stopSystems(): Promise<void> {
      await running?.close();
      running = undefined;
    },
    async startSystems(): Promise<void> {
      running = await start();
    },
    async stop(): Promise<void> {
      await running?.close();
      await pool.end();
      receiver.closeAllConnections();
      receiver.close();
      await rm(secretsDir, { recursive: true });
    },
  };
}
