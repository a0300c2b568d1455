/** The app on a real Postgres with a Temporal that only remembers what it was told. */
import { createHash, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Express } from 'express';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { Webhook } from 'standardwebhooks';
import request from 'supertest';
import { createAdmission } from '../../api/admission.ts';
import { createApp } from '../../api/app.ts';
import type { AppDeps, Delivery } from '../../api/deps.ts';
import { ownAudience, ownIssuer, signToken, tokenCheck } from '../../api/token.ts';
import { undelivered, markDelivered } from '../../db/inbox.ts';
import { linkKeys } from '../../db/links.ts';
import { putPerson } from '../../db/people.ts';
import { connectPool, inTransaction, type Pool } from '../../db/pool.ts';
import { masterKeys } from '../../db/sealed.ts';
import { deliverInbox } from '../../delivery/inbox.ts';
import { startWorkflow } from '../../delivery/start.ts';
import { openTask, type OpenTask } from '../../db/tasks.ts';
import { folderStore } from '../../evidence/folder.ts';
import type { EvidenceStore } from '../../evidence/store.ts';
import { loadPolicy } from '../../policies/load.ts';
import { callable } from '../../systems/index.ts';
import type { SystemContract } from '../../systems/contract.ts';
import { taskId, type CaseId, type PersonId, type TaskId } from '../../values/ids.ts';
import type { Role } from '../../values/role.ts';
import type { Inbound } from '../../workflows/kit/protocol.ts';
import { loadProcesses } from '../../workflows/registry.ts';
import { bench } from '../processes/bench.ts';
import { freshDatabase } from '../stack/env.ts';
import type { Kit } from './harness.ts';

/** Takes starts and signals, or is away. Marks what it took as the real delivery does. */
class RememberedTemporal implements Delivery {
  away = false;
  readonly started: CaseId[] = [];
  readonly signals: { readonly of: CaseId; readonly batch: readonly Inbound[] }[] = [];
  readonly #pool: Pool;
  constructor(pool: Pool) {
    this.#pool = pool;
  }
  async start(row: { readonly id: CaseId }): Promise<'started' | 'unreachable'> {
    if (this.away) return 'unreachable';
    this.started.push(row.id);
    await this.#pool.query('update cases set started_at = now() where id = $1', [row.id]);
    return 'started';
  }
  async deliver(of: CaseId): Promise<'delivered' | 'nothing' | 'unreachable'> {
    if (this.away) return 'unreachable';
    return inTransaction(this.#pool, async (tx) => {
      const batch = await undelivered(tx, of, 20_000);
      if (batch.length === 0) return 'nothing';
      this.signals.push({ of, batch });
      await markDelivered(
        tx,
        batch.map((m) => m.id),
      );
      return 'delivered';
    });
  }
  look() {
    return Promise.resolve({ temporal: !this.away, worker: !this.away, moves: !this.away, behindMs: 0 });
  }
}

export interface ApiKit {
  readonly app: Express;
  readonly deps: AppDeps;
  readonly pool: Pool;
  readonly temporal: RememberedTemporal;
  /** Every line of the app's log. */
  readonly logged: string[];
  /** The key file's private half, for tokens that are wrong in one thing. */
  readonly privateKey: string;
  token(user: string, ...roles: Role[]): Promise<string>;
  as(user: string): { get(path: string): request.Test; post(path: string, body?: object): request.Test; put(path: string, body?: object): request.Test };
  webhook(source: string, body: unknown, headers?: Readonly<Record<string, string>>): request.Test;
  openCase(input?: object): Promise<CaseId>;
  openTask(of: CaseId, more?: Partial<OpenTask>): Promise<TaskId>;
  /** Rows of every table: equal before and after means that nothing was written. */
  rowCounts(): Promise<Readonly<Record<string, number>>>;
  stop(): Promise<void>;
}

const real = ({ pool, temporal }: Kit): Delivery => ({
  start: (row) => startWorkflow(pool, temporal, row),
  deliver: (of) => deliverInbox(pool, temporal, of),
  look: () => Promise.resolve({ temporal: true, worker: true, moves: true, behindMs: 0 }),
});

const salt = randomBytes(16);
/** Each source has a secret of its own. */
export const secretOf = (source: string): string => `whsec_${createHash('sha256').update(salt).update(source).digest('base64')}`;
const path = (...ids: string[]): string => ids.map(encodeURIComponent).join('/');
export const caseUrl = (id: string, rest = ''): string => `/v1/cases/${path(id)}${rest}`;
export const taskUrl = (id: string, rest = ''): string => `/v1/tasks/${path(id)}${rest}`;

export interface ApiSettings {
  readonly ratePerMinute?: number;
  readonly linkRatePerMinute?: number;
  readonly evidence?: EvidenceStore;
  /** In front of a kit with a real Temporal and a worker, whose database it shares. */
  readonly on?: Kit;
}

export async function startApi(settings: ApiSettings = {}): Promise<ApiKit> {
  const { on } = settings;
  const pool = on?.pool ?? connectPool(await freshDatabase(), 'api-test', 10);
  const folder = mkdtempSync(join(tmpdir(), 'kefu-api-'));
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const keyFile = join(folder, 'public.jwk.json');
  writeFileSync(keyFile, JSON.stringify({ ...publicKey.export({ format: 'jwk' }), alg: 'EdDSA' }));
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  const logged: string[] = [];
  const temporal = new RememberedTemporal(pool);
  const contracts: Readonly<Record<string, SystemContract>> = { ...callable, bench };
  const deps: AppDeps = {
    pool,
    processes: new Map([...(await loadProcesses()), ...(await loadProcesses(new URL('../processes/', import.meta.url)))]),
    systems: contracts,
    policy: loadPolicy(new URL('../../policies/default.yaml', import.meta.url).pathname),
    delivery: on ? real(on) : temporal,
    checkToken: await tokenCheck({ keyFile, issuer: ownIssuer, audience: ownAudience }),
    webhookSecrets: (source) => (source in contracts ? [secretOf(source)] : []),
    master: masterKeys(randomBytes(32).toString('base64')),
    log: pino({ level: 'info' }, { write: (line: string) => logged.push(line) }),
    metrics: new Registry(),
    ratePerMinute: settings.ratePerMinute ?? 100_000,
    links: { keys: linkKeys(randomBytes(32).toString('base64')), publicUrl: 'http://127.0.0.1:7400' },
    linkRatePerMinute: settings.linkRatePerMinute ?? 100_000,
    proxies: 0,
    evidence: settings.evidence ?? folderStore(join(folder, 'evidence')),
    // Crowds of these tests are about rows, not about places.
    admission: createAdmission({ inWork: 8, waiting: 10_000, waitMs: 60_000 }, new Registry()),
    backlogMost: 5000,
  };
  const app = createApp(deps);
  const tokens = new Map<string, string>();

  const kit: ApiKit = {
    app,
    deps,
    pool,
    temporal,
    logged,
    privateKey: pem,
    async token(user, ...roles) {
      await putPerson(pool, { id: user as PersonId, name: user, roles, shops: on ? ['*'] : ['main'], active: true, absentUntil: null });
      const token = await signToken({ privateKey: pem, subject: user, ttl: '1h' });
      tokens.set(user, token);
      return token;
    },
    as(user) {
      const call = (method: 'get' | 'post' | 'put', url: string) =>
        request(app)
          [method](url)
          .set('Authorization', `Bearer ${tokens.get(user) ?? ''}`)
          .set('Accept-Language', 'en');
      return {
        get: (url) => call('get', url),
        post: (url, body = {}) => call('post', url).send(body),
        put: (url, body = {}) => call('put', url).send(body),
      };
    },
    webhook(source, body, headers = {}) {
      const text = JSON.stringify(body);
      const id = headers['webhook-id'] ?? `msg_${randomUUID()}`;
      const at = new Date();
      return request(app)
        .post(`/v1/webhooks/${source}`)
        .set({
          'content-type': 'application/json',
          'accept-language': 'en',
          'webhook-id': id,
          'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
          'webhook-signature': new Webhook(secretOf(source)).sign(id, at, text),
          ...headers,
        })
        .send(text);
    },
    async openCase(input = {}) {
      const answer = await kit.as('platform').post('/v1/processes/tiny/cases', { input: { id: randomUUID(), shop: 'main', script: 'canonical', ...input } });
      if (answer.status !== 201) throw new Error(`not opened: ${answer.text}`);
      return (answer.body as { case: { id: CaseId } }).case.id;
    },
    async openTask(of, more = {}) {
      const open: OpenTask = {
        caseId: of,
        path: 'decide',
        name: 'decide',
        process: 'tiny',
        shop: 'main',
        role: 'agent',
        context: {},
        formVersion: 1,
        notBy: [],
        clocks: [],
        run: 'run-1',
        ...more,
      };
      await inTransaction(pool, (tx) => openTask(tx, open));
      return taskId(of, open.path);
    },
    async rowCounts() {
      const { rows } = await pool.query<{ name: string; n: number }>(
        `select format('%I.%I', schemaname, tablename) as name,
           (xpath('/row/n/text()', query_to_xml(format('select count(*) as n from %I.%I', schemaname, tablename), false, true, '')))[1]::text::int as n
         from pg_tables where schemaname not in ('pg_catalog', 'information_schema') order by 1`,
      );
      return Object.fromEntries(rows.map(({ name, n }) => [name, n]));
    },
    async stop() {
      if (!on) await pool.end();
      rmSync(folder, { recursive: true });
    },
  };
  await kit.token('platform', 'upstream');
  await kit.token('li', 'agent');
  await kit.token('wang', 'supervisor');
  await kit.token('chen', 'manager');
  return kit;
}
