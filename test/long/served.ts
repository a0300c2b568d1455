/** The API on a kit's own Postgres and Temporal, listening, with pools as in production. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createAdmission } from '../../api/admission.ts';
import { createApp } from '../../api/app.ts';
import { ownAudience, ownIssuer, signToken, tokenCheck } from '../../api/token.ts';
import { putPerson } from '../../db/people.ts';
import { connectPool } from '../../db/pool.ts';
import { masterKeys } from '../../db/sealed.ts';
import { deliverInbox } from '../../delivery/inbox.ts';
import { startWorkflow } from '../../delivery/start.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { PersonId } from '../../values/ids.ts';
import type { Kit } from '../kit/harness.ts';

export interface Answered {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly ms: number;
}
export interface Served {
  /** Asks as the shop's platform, which may open cases, tell events and decide for customers. */
  ask(method: 'GET' | 'POST', path: string, body?: object): Promise<Answered>;
  stop(): Promise<void>;
}

export async function serve(kit: Kit, databaseUrl: string): Promise<Served> {
  const [pool, deliveryPool] = [connectPool(databaseUrl, 'kefu-api', 15), connectPool(databaseUrl, 'kefu-api-delivery', 5)];
  const folder = mkdtempSync(join(tmpdir(), 'kefu-served-'));
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const keyFile = join(folder, 'public.jwk.json');
  writeFileSync(keyFile, JSON.stringify({ ...publicKey.export({ format: 'jwk' }), alg: 'EdDSA' }));
  await putPerson(kit.pool, { id: 'platform' as PersonId, name: 'platform', roles: ['upstream'], shops: ['*'], active: true, absentUntil: null });
  const token = await signToken({ privateKey: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(), subject: 'platform', ttl: '1h' });
  const app = createApp({
    pool,
    processes: kit.processes,
    systems: kit.engine.systems,
    policy: loadPolicy(new URL('../../policies/default.yaml', import.meta.url).pathname),
    delivery: {
      start: (row) => startWorkflow(pool, kit.temporal, row),
      deliver: (of) => deliverInbox(deliveryPool, kit.temporal, of),
      look: () => Promise.resolve({ temporal: true, worker: true, moves: true, behindMs: 0 }),
    },
    checkToken: await tokenCheck({ keyFile, issuer: ownIssuer, audience: ownAudience }),
    webhookSecrets: () => [],
    master: masterKeys(randomBytes(32).toString('base64')),
    log: pino({ level: 'silent' }),
    metrics: new Registry(),
    ratePerMinute: 10_000_000,
    links: kit.engine.links,
    linkRatePerMinute: 10_000_000,
    proxies: 0,
    // Nobody uploads here.
    admission: createAdmission({ inWork: 12, waiting: 100 }, new Registry()),
    backlogMost: 5000,
    evidence: { put: () => Promise.resolve(), get: () => Promise.reject(new Error('nothing is kept here')), remove: () => Promise.resolve() },
  });
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    async ask(method, path, body) {
      const began = performance.now();
      const answer = await fetch(`${base}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'accept-language': 'en' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown>, ms: performance.now() - began };
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await pool.end();
      await deliveryPool.end();
      rmSync(folder, { recursive: true });
    },
  };
}
