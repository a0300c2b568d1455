/** A kit to test on: real Postgres, real Temporal (or the time-skipping server), a real worker, a sandbox system with its faults. */
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection, WorkflowNotFoundError, type Client } from '@temporalio/client';
import proto, { type temporal as api } from '@temporalio/proto';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import express from 'express';
import { pino } from 'pino';
import { createActivities } from '../../activities/index.ts';
import type { Engine } from '../../activities/context.ts';
import { reader } from '../../api/forms.ts';
import { idOf, openCase, type CaseRow } from '../../db/cases.ts';
import { ownOperations } from '../../db/allowance.ts';
import { storeInbound, type Arrival, type Stored } from '../../db/inbox.ts';
import { linkKeys, type LinkMaking } from '../../db/links.ts';
import { putPerson } from '../../db/people.ts';
import { publishPolicy } from '../../db/policies.ts';
import { connectPool, inTransaction, isAway, type Pool } from '../../db/pool.ts';
import { masterKeys } from '../../db/sealed.ts';
import { completeTask } from '../../db/tasks.ts';
import { deliverInbox } from '../../delivery/inbox.ts';
import { sealingCodec } from '../../delivery/codec.ts';
import { settleLate } from '../../delivery/late.ts';
import { startWorkflow } from '../../delivery/start.ts';
import { connectTemporal, searchAttributes } from '../../delivery/temporal.ts';
import { fixedKeys, type KeyRing, type Keys } from '../../keys/ring.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { SystemContract } from '../../systems/contract.ts';
import { callable } from '../../systems/index.ts';
import { connectSandbox, createTables } from '../../systems/sandbox/database.ts';
import type { AnySandbox } from '../../systems/sandbox/define.ts';
import { Faults, faultsSchema } from '../../systems/sandbox/faults.ts';
import { endHandlers, systemRouter } from '../../systems/sandbox/http.ts';
import type { z } from 'zod';
import { taskId, type CaseId, type PersonId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import type { Role } from '../../values/role.ts';
import { taskQueue, type Manifest } from '../../workflows/kit/protocol.ts';
import { loadProcesses, manifestOf, type Processes } from '../../workflows/registry.ts';
import { bundleWorkflows } from '../../worker/bundle.ts';
import { workflowTasksAtOnce } from '../../worker/limits.ts';
import { registerSearchAttributes } from '../../worker/search-attributes.ts';
import { bench } from '../processes/bench.ts';
import { benchSandbox } from '../processes/bench-sandbox.ts';
import { record, recording } from './histories.ts';

export interface Surroundings {
  readonly databaseUrl: string;
  /** `skipsTime`: the time-skipping server, which cannot say which search attributes it has. */
  readonly temporal: { readonly address: string; readonly namespace: string; readonly skipsTime?: true };
  readonly codecKeys: KeyRing;
  /** Where the sandbox systems keep their state; default: beside ours. Tests in which our Postgres is away give another way to it. */
  readonly sandboxUrl?: string;
}

/** What customers' links are made with in these tests. */
export const links: LinkMaking = { keys: linkKeys(randomBytes(32).toString('base64')), publicUrl: 'https://service.example.cn' };

/** One event of a history, as the server has it: payloads are sealed. */
export type HistoryEvent = api.api.history.v1.IHistoryEvent;

export interface Kit {
  readonly pool: Pool;
  readonly engine: Engine;
  readonly temporal: Client;
  readonly processes: Processes;
  readonly faults: Readonly<Record<string, Faults>>;
  /** What the sandbox of a system did: per key, how often it was asked and how often it did it. */
  ledger(system: string, prefix: string): Promise<readonly { key: string; operation: string; attempts: number; executions: number }[]>;
  fault(system: string, settings: z.input<typeof faultsSchema>): void;
  /** Opens the case row and starts its workflow; the manifest may be given other limits than the policy's. */
  open(process: string, input: unknown, other?: Partial<Manifest>): Promise<CaseRow>;
  store(arrival: Omit<Arrival, 'at'> & { at?: Arrival['at'] }): Promise<Stored>;
  /** Stores and delivers. */
  send(arrival: Omit<Arrival, 'at'> & { at?: Arrival['at'] }): Promise<Stored>;
  /** A person's decision, written and committed as the API does it; nobody tells the case. */
  commitDecision(of: CaseId, path: string, form: unknown, by?: string, role?: Role): Promise<void>;
  /** The same, and delivered. */
  decide(of: CaseId, path: string, form: unknown, by?: string, role?: Role): Promise<void>;
  /** Polls a row until the condition holds; fails with what it last saw. */
  until<T>(what: string, look: () => Promise<T>, holds: (seen: T) => boolean): Promise<T>;
  openTasks(of: CaseId): Promise<string[]>;
  /** Until these tasks are open. */
  opened(of: CaseId, ...paths: string[]): Promise<void>;
  rows<R extends object>(text: string, ...values: unknown[]): Promise<R[]>;
  row(of: CaseId): Promise<CaseRow>;
  outcome(of: CaseId): Promise<unknown>;
  /** How often each effect of a case took place, by its path. */
  executions(of: CaseId, system?: string): Promise<Record<string, number>>;
  /** The history of the case's latest run. */
  history(of: CaseId): Promise<HistoryEvent[]>;
  /** As "Reset" in the Temporal UI: a new run from before the event of the latest one, which keeps the signals that came later unless told otherwise. */
  reset(of: CaseId, before: (event: HistoryEvent) => boolean, signals?: 'kept' | 'dropped'): Promise<string>;
  /** Until the case waits for something outside: no workflow task is under way. */
  parked(of: CaseId): Promise<void>;
  /** `mend` changes the workflows' code first: what a deployment does. */
  startWorker(mend?: (code: string) => string, atOnce?: number): Promise<void>;
  stopWorker(): Promise<void>;
  stop(): Promise<void>;
}

const silent = pino({ level: 'silent' });
let bundle: Promise<string> | undefined;
/** One bundle for all kits of a test file: making it takes seconds. */
const bundleOnce = (): Promise<string> => (bundle ??= bundleWorkflows(new URL('../processes/index.ts', import.meta.url)));

const { RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL: withoutSignals } = proto.temporal.api.enums.v1.ResetReapplyExcludeType;
const { INDEXED_VALUE_TYPE_KEYWORD: keyword } = proto.temporal.api.enums.v1.IndexedValueType;
// Failing workflows are what many tests are about. On load, because a test environment makes a runtime of its own when it finds none.
Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: 'ERROR' } } });

export async function startKit(
  { databaseUrl, temporal: { address, namespace, skipsTime }, codecKeys: ring, sandboxUrl = databaseUrl }: Surroundings,
  extra: Readonly<Record<string, AnySandbox>> = {},
  /** Of a file, for tests in which they change. */
  codecKeys: Keys = fixedKeys(ring),
): Promise<Kit> {
  const pool = connectPool(databaseUrl, 'kit-test', 20);
  const dataConverter = { payloadCodecs: [sealingCodec(codecKeys)] };
  const temporal = connectTemporal({ address, namespace, codecKeys });
  if (skipsTime) {
    const named = Object.fromEntries(Object.values(searchAttributes).map((key) => [key.name, keyword] as const));
    const connection = await Connection.connect({ address });
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes: named });
    await connection.close();
  } else await registerSearchAttributes(address, namespace);
  const loaded = loadPolicy(new URL('../../policies/default.yaml', import.meta.url).pathname);
  await publishPolicy(pool, loaded);

  const sandboxes: Readonly<Record<string, AnySandbox>> = { bench: benchSandbox, ...extra };
  const sandboxPool = connectSandbox(sandboxUrl);
  await createTables(
    sandboxPool,
    Object.values(sandboxes).map((s) => s.tables),
  );
  const faults = Object.fromEntries(Object.keys(sandboxes).map((name) => [name, new Faults()]));
  const app = express();
  for (const [name, sandbox] of Object.entries(sandboxes))
    app.use(`/${name}`, systemRouter({ pool: sandboxPool, sandbox, faults: faults[name] ?? new Faults(), wake: () => undefined }));
  app.use(...endHandlers(silent));
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const processes = new Map([...(await loadProcesses()), ...(await loadProcesses(new URL('../processes/', import.meta.url)))]);
  const contracts: Readonly<Record<string, SystemContract>> = { ...callable, bench };
  const engine: Engine = {
    pool,
    temporal,
    processes,
    systems: contracts,
    policy: loaded,
    own: ownOperations,
    target: (name) => ({ baseUrl: `${base}/${name}` }),
    links,
    log: silent,
  };
  const master = masterKeys(randomBytes(32).toString('base64'));
  const native = await NativeConnection.connect({ address });
  let running: { worker: Worker; ended: Promise<void> } | undefined;

  const kit: Kit = {
    pool,
    engine,
    temporal,
    processes,
    faults,
    async ledger(system, prefix) {
      const answer = await fetch(`${base}/${system}/ledger?prefix=${encodeURIComponent(prefix)}&limit=500`);
      const page = (await answer.json()) as { entries: { key: string; operation: string; attempts: number; executions: number }[] };
      return page.entries;
    },
    fault: (system, settings) => faults[system]?.set(faultsSchema.parse(settings)),
    async open(process, input, other = {}) {
      const registered = processes.get(process);
      if (registered === undefined) throw new Error(`no process ${process}`);
      const { declaration } = registered;
      const valid: unknown = declaration.input.parse(input);
      const { shop } = declaration.subject(valid as never);
      const opened = await inTransaction(pool, (tx) =>
        openCase(tx, { declaration, input: valid, manifest: { ...manifestOf(declaration, shop, loaded, contracts), ...other }, starter: 'upstream' }),
      );
      if (opened.status === 'conflict') throw new Error(`${idOf(declaration, valid)} exists with another input`);
      await startWorkflow(pool, temporal, opened.case);
      return opened.case;
    },
    store: (arrival) =>
      inTransaction(pool, async (tx) => {
        const stored = await storeInbound(tx, { at: instant(Date.now()), ...arrival });
        if (stored.status === 'stored' && stored.became === 'late' && stored.caseId) await settleLate(tx, processes, stored.caseId);
        return stored;
      }),
    async send(arrival) {
      const stored = await kit.store(arrival);
      if (stored.status === 'stored' && stored.caseId) await deliverInbox(pool, temporal, stored.caseId);
      return stored;
    },
    async commitDecision(of, path, form, by = 'wang', role = 'agent') {
      const person = by as PersonId;
      await putPerson(pool, { id: person, name: by, roles: [role], shops: ['*'], active: true, absentUntil: null });
      const read = reader(form, { processes, systems: contracts }, 'en');
      await inTransaction(pool, (tx) => completeTask(tx, { taskId: taskId(of, path), person, now: instant(Date.now()), master, read }));
    },
    async decide(of, ...decision) {
      await kit.commitDecision(of, ...decision);
      await deliverInbox(pool, temporal, of);
    },
    async until(what, look, holds) {
      const deadline = Date.now() + 45_000;
      for (;;) {
        try {
          const seen = await look();
          if (holds(seen)) return seen;
          if (Date.now() > deadline) throw new Error(`${what} did not come about; last seen: ${JSON.stringify(seen)}`);
        } catch (error) {
          // A machine that is busy with other tests takes longer than our second to connect.
          if (!isAway(error) || Date.now() > deadline) throw error;
        }
        await sleep(25);
      }
    },
    async openTasks(of) {
      return (await kit.rows<{ path: string }>(`select path from tasks where case_id = $1 and status = 'open' order by path`, of)).map((r) => r.path);
    },
    async opened(of, ...paths) {
      await kit.until(
        `open tasks ${paths.join()} of ${of}`,
        () => kit.openTasks(of),
        (seen) => paths.every((path) => seen.includes(path)),
      );
    },
    rows: async <R extends object>(text: string, ...values: unknown[]) => (await pool.query<R>(text, values)).rows,
    async row(of) {
      const [row] = await kit.rows<CaseRow>('select * from cases where id = $1', of);
      if (row === undefined) throw new Error(`no case ${of}`);
      return row;
    },
    outcome: (of) => temporal.workflow.getHandle(of).result(),
    async executions(of, system = 'bench') {
      return Object.fromEntries((await kit.ledger(system, `${of}/`)).map((e) => [e.key.slice(of.length + 1), e.executions]));
    },
    async history(of) {
      return (await temporal.workflow.getHandle(of).fetchHistory()).events ?? [];
    },
    async reset(of, before, signals = 'kept') {
      const events = await kit.history(of);
      const at = events.findIndex(before);
      if (at < 0) throw new Error(`the history of ${of} has no such event`);
      const task = events.slice(0, at + 1).findLast((event) => event.workflowTaskCompletedEventAttributes);
      if (!task?.eventId) throw new Error(`${of} had no workflow task before that event`);
      const { runId } = await temporal.workflowService.resetWorkflowExecution({
        namespace,
        workflowExecution: { workflowId: of },
        reason: 'a test',
        requestId: randomUUID(),
        workflowTaskFinishEventId: task.eventId,
        ...(signals === 'dropped' ? { resetReapplyExcludeTypes: [withoutSignals] } : {}),
      });
      return runId;
    },
    async parked(of) {
      await kit.until(
        `${of} parked`,
        async () => (await temporal.workflow.getHandle(of).describe()).raw.pendingWorkflowTask,
        (task) => !task,
      );
    },
    async startWorker(mend = (code) => code, atOnce = workflowTasksAtOnce) {
      const worker = await Worker.create({
        connection: native,
        namespace,
        taskQueue,
        workflowBundle: { code: mend(await bundleOnce()) },
        activities: { ...createActivities(engine) },
        dataConverter,
        maxCachedWorkflows: 100,
        maxConcurrentWorkflowTaskExecutions: atOnce,
        shutdownGraceTime: '1s',
      });
      running = { worker, ended: worker.run() };
    },
    async stopWorker() {
      running?.worker.shutdown();
      await running?.ended;
      running = undefined;
    },
    async stop() {
      if (recording)
        await record(temporal, await kit.rows(`select id, process from cases where status <> 'open' and started_at is not null order by opened_at`));
      // What a test left open must not reach the worker of the next one: they share a server and its task queue.
      for (const { id } of (await pool.query<{ id: string }>(`select id from cases where status in ('open', 'broken')`)).rows)
        await temporal.workflow
          .getHandle(id)
          .terminate('the test is over')
          .catch((error: unknown) => {
            if (!(error instanceof WorkflowNotFoundError)) throw error;
          });
      await kit.stopWorker();
      server.closeAllConnections();
      server.close();
      await native.close();
      await temporal.connection.close();
      await sandboxPool.end();
      await pool.end();
    },
  };
  await kit.startWorker();
  return kit;
}
