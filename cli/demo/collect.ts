/** What the audit looks at: asked of the API and of the sandbox, and read in Postgres where there is no address to ask at. */
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { z } from 'zod';
import { caseSchema, entrySchema, pageOf, taskSchema } from '../../api/views.ts';
import { pinnedPolicy } from '../../db/policies.ts';
import { isAway } from '../../db/pool.ts';
import type { Policy } from '../../policies/schema.ts';
import { orders as ordersContract, type OrderFacts } from '../../systems/orders/contract.ts';
import { callable, systems as systemContracts } from '../../systems/index.ts';
import { instant, type Instant } from '../../values/instant.ts';
import { loadProcesses } from '../../workflows/registry.ts';
import type { StackState } from '../stack/state.ts';
import { nap, type Scene } from './actors.ts';
import type { AuditedCase, AuditedOrder, AuditRows, LedgerEntry, OwnRecords, RecordedCase, TimelineRow, WebhookSent } from './audit.ts';
import type { Caller } from './calls.ts';
import type { ClockLogRow, ClockRow } from './clocks.ts';

/** Processes that a run opens cases of. */
export const processes = ['return-exchange', 'late-parcel'] as const;
/** Webhooks and messages on their way when the last case has ended. */
const quietWithinMs = 90_000;

const ordersPage = z.object({ orders: z.array(z.unknown()) });
const factsSchema = ordersContract.operations.facts.facts.schema satisfies z.ZodType<OrderFacts>;

/** The delivered orders of a source, by id. */
export async function deliveredOrders(systems: Caller, source: string): Promise<OrderFacts[]> {
  const all: OrderFacts[] = [];
  for (let after = ''; ; after = all.at(-1)?.orderId ?? '') {
    const { orders } = await systems.get(`/orders/acts/orders?source=${source}&status=delivered&limit=500&after=${encodeURIComponent(after)}`, ordersPage);
    all.push(...orders.map((order) => factsSchema.parse(order)));
    if (orders.length < 500) return all;
  }
}

const ledgerRows = z.object({
  entries: z.array(
    z.object({
      seq: z.int(),
      key: z.string(),
      operation: z.string().nullable(),
      args: z.unknown(),
      answer: z.unknown(),
      state: z.enum(['executed', 'refused', 'barred']),
      attempts: z.int(),
      executions: z.int(),
      undoneAt: z.string().nullable(),
    }),
  ),
  next: z.int().optional(),
});
const webhookRows = z.object({
  webhooks: z.array(
    z.object({ seq: z.int(), id: z.string(), event: z.string(), subject: z.string(), payload: z.unknown(), attempts: z.int(), delivered: z.boolean() }),
  ),
});
const systemNames = Object.keys(systemContracts);

async function allLedgers(systems: Caller): Promise<LedgerEntry[]> {
  const all: LedgerEntry[] = [];
  for (const system of systemNames) {
    for (let after: number | undefined = 0; after !== undefined;) {
      const page: z.output<typeof ledgerRows> = await systems.get(`/${system}/ledger?after=${after}&limit=1000`, ledgerRows);
      all.push(...page.entries.map((entry) => ({ ...entry, system })));
      after = page.next;
    }
  }
  return all;
}

async function allWebhooks(systems: Caller): Promise<WebhookSent[]> {
  const all: WebhookSent[] = [];
  for (const system of systemNames) {
    for (let after = 0; ;) {
      const { webhooks } = await systems.get(`/${system}/webhooks?after=${after}&limit=1000`, webhookRows);
      all.push(...webhooks.map((webhook) => ({ ...webhook, system })));
      if (webhooks.length < 1000) break;
      after = webhooks.at(-1)?.seq ?? after;
    }
  }
  return all;
}

/**
 * Waits until every webhook is delivered, every message is out and the ledgers no longer grow; what is not by then, the audit tells. The jobs of a worker that was killed
 * are given back only after half a minute, in which nothing grows.
 */
export async function untilQuiet(systems: Caller, stack: StackState, signal: AbortSignal): Promise<void> {
  const once = async (): Promise<number> =>
    (await underWay(stack)) === 0 && (await allWebhooks(systems)).every((webhook) => webhook.delivered) ? (await allLedgers(systems)).length : -1;
  let before = -1;
  for (const since = Date.now(); Date.now() - since < quietWithinMs;) {
    const now = await once();
    if (now >= 0 && now === before) return;
    before = now;
    await nap(2000, signal);
    signal.throwIfAborted();
  }
}

const fullCase = caseSchema.omit({ links: true });
const tasksPage = pageOf(taskSchema);
const timelinePage = pageOf(entrySchema);
const casesPage = pageOf(caseSchema);
const refundRows = z.object({
  refunds: z.array(
    z.object({ refundId: z.string(), key: z.string(), caseRef: z.string(), paymentId: z.string(), minor: z.int(), currency: z.string(), state: z.string() }),
  ),
});

/** So many cases are looked at at once: enough to keep two cores busy. */
const lookers = 8;

const receivedPayload = z.object({ units: z.array(z.object({ unitId: z.string() })) });
const linkPayload = z.object({ linkId: z.string(), state: z.enum(['paid', 'expired']) });
const stockRows = z.object({ stock: z.array(z.object({ sku: z.string(), reserved: z.int() })) });
const reservedLines = z.object({ lines: z.array(z.object({ sku: z.string() })) });

export interface Collecting {
  readonly scene: Pick<Scene, 'plans' | 'journal' | 'upstream' | 'systems'>;
  readonly stack: StackState;
  /** Every case of the stack belongs to the run; else those of its plans and orders. */
  readonly all: boolean;
  /** Under which the sandbox lists the orders. */
  readonly source: string;
  /** Ids of the run's orders. */
  readonly orders: readonly string[];
}

/** Everything that the audit is told, when all is quiet. */
export async function collect({ scene: { plans, journal, upstream, systems }, stack, all, source, orders: chosen }: Collecting): Promise<AuditRows> {
  const ledger = await allLedgers(systems);
  const webhooks = await allWebhooks(systems);
  const wanted = new Set(chosen);
  const opened = (await Promise.all(processes.map((process) => upstream.all(`/v1/cases?process=${process}`, casesPage)))).flat();
  const cases = new Map<string, AuditedCase>();
  // Also those that others opened.
  const queue = [...new Set([...plans.keys(), ...opened.filter((row) => all || (row.order !== null && wanted.has(row.order))).map((row) => row.id)])];
  const look = async (): Promise<void> => {
    for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
      const path = `/v1/cases/${encodeURIComponent(id)}`;
      const answer = await upstream.call('GET', path);
      if (answer.status === 404) continue;
      const { order, status, trouble, outcome } = fullCase.parse(answer.body);
      const tasks = await upstream.all(`/v1/tasks?case=${encodeURIComponent(id)}`, tasksPage);
      const timeline = await upstream.all(`${path}/timeline`, timelinePage);
      cases.set(id, { id, order, status, trouble, outcome, tasks, timeline });
    }
  };
  await Promise.all(Array.from({ length: lookers }, look));
  const orders = new Map<string, AuditedOrder>();
  for (const { orderId, ...order } of await deliveredOrders(systems, source)) {
    if (!wanted.has(orderId)) continue;
    const { refunds } = await systems.get(`/finance/acts/refunds?orderId=${encodeURIComponent(orderId)}`, refundRows);
    orders.set(orderId, { ...order, refunds });
  }
  const skus = [...new Set(ledger.flatMap((entry) => (entry.operation === 'reserve' ? reservedLines.parse(entry.args).lines.map((line) => line.sku) : [])))];
  const setAside: { sku: string; quantity: number }[] = [];
  for (let i = 0; i < skus.length; i += 200) {
    const { stock } = await systems.send('POST', '/warehouse/stock', { skus: skus.slice(i, i + 200) }, stockRows);
    setAside.push(...stock.flatMap(({ sku, reserved }) => (reserved > 0 ? [{ sku, quantity: reserved }] : [])));
  }
  return {
    planned: [...plans.keys()],
    accepted: journal.accepted,
    cases,
    ledger,
    orders,
    ...(await ownLimits(stack, [...wanted], [...cases.keys()])),
    own: await ownRecords(stack, [...cases.keys()], all),
    received: [
      ...new Set(
        webhooks.flatMap((webhook) => (webhook.event === 'parcelReceived' ? receivedPayload.parse(webhook.payload).units.map((unit) => unit.unitId) : [])),
      ),
    ],
    links: new Map(
      webhooks.flatMap((webhook) => {
        const { data } = webhook.event === 'paymentState' ? linkPayload.safeParse(webhook.payload) : {};
        return data ? [[data.linkId, data.state]] : [];
      }),
    ),
    setAside,
    webhooks,
    systems: systemContracts,
  };
}

/** Postgres may just be coming back, or have no connection left for a moment. */
const connectedWithinMs = 60_000;

/** What has no address to ask at is read where it is kept. */
async function read<T>(stack: Pick<StackState, 'settings'>, look: (client: pg.Client) => Promise<T>): Promise<T> {
  for (const since = Date.now(); ;) {
    const client = new pg.Client({ connectionString: stack.settings['DATABASE_URL'] ?? '', connectionTimeoutMillis: 5000 });
    // Without a listener a connection that breaks would end the process; the statement that meets it says so.
    client.on('error', () => undefined);
    try {
      await client.connect();
      return await look(client);
    } catch (error) {
      if (Date.now() - since > connectedWithinMs || !isAway(error)) throw error;
    } finally {
      await client.end().catch(() => undefined);
    }
    await pause(500);
  }
}

/** Messages and jobs that somebody should be at. */
const underWay = (stack: StackState): Promise<number> =>
  read(stack, async (client) => {
    const { rows } = await client.query<{ n: number }>(
      `select (select count(*) from messages where status = 'queued')::int
            + (select count(*) from graphile_worker.jobs where run_at <= now() and attempts < max_attempts)::int as n`,
    );
    return rows[0]?.n ?? 0;
  });
const ownLimits = (stack: StackState, orders: readonly string[], cases: readonly string[]): Promise<Pick<AuditRows, 'units' | 'causes'>> =>
  read(stack, async (client) => {
    const units = await client.query<AuditRows['units'][number]>(
      'select order_id as "order", line, unit, hold, used, refunded from allowance_units where order_id = any($1)',
      [orders],
    );
    const causes = await client.query<AuditRows['causes'][number]>('select case_id as "case", line, unit from return_causes where case_id = any($1)', [cases]);
    return { units: units.rows, causes: causes.rows };
  });

type Row<T> = T extends readonly (infer R)[] ? R : never;
/** As node-postgres reads it: with dates. */
type Dated<R> = { readonly [K in keyof R]: R[K] extends Instant ? Date : R[K] extends Instant | null ? Date | null : R[K] };
const dated = <R extends object>(row: Dated<R>): R =>
  Object.fromEntries(Object.entries(row).map(([name, value]: [string, unknown]) => [name, value instanceof Date ? instant(value) : value])) as R;

/** Everything that our Postgres says of cases, all of one moment; `whole`: and what is no case's. */
export const ownRecords = (stack: Pick<StackState, 'settings'>, ids: readonly string[], whole: boolean): Promise<OwnRecords> =>
  read(stack, async (client) => {
    const processes = await loadProcesses();
    const all = async <R extends object>(sql: string, values: unknown[] = [ids]): Promise<R[]> => {
      const { rows } = await client.query<Dated<R>>(sql, values);
      return rows.map((row) => dated<R>(row));
    };
    await client.query('begin isolation level repeatable read read only');
    const [now] = await all<{ at: Instant }>('select now() as at', []);
    const cases = await all<RecordedCase>(`select id, shop, starter, status, manifest->>'policy' as policy from cases where id = any($1)`);
    const decisions = await all<Row<OwnRecords['decisions']>>(
      'select case_id as "case", step, process, rule, policy, facts, output, as_of as "asOf" from decision_log where case_id = any($1)',
    );
    const policies = new Map<string, Policy>();
    for (const version of new Set([...cases, ...decisions].map(({ policy }) => policy))) policies.set(version, await pinnedPolicy(client, version));
    const events = [...processes.values()].flatMap(({ declaration }) => Object.values(declaration.events));
    return {
      at: now?.at ?? instant(Date.now()),
      cases,
      policies,
      rules: (process, rule) => processes.get(process)?.rules[rule],
      used: new Set(whole ? events.flatMap(({ from }) => from ?? []) : []),
      unclaimed: new Set(events.flatMap(({ from, unclaimed }) => (from !== undefined && unclaimed !== undefined ? [from] : []))),
      undoOf: new Map(
        Object.values(callable).flatMap((system) =>
          Object.entries(system.operations).flatMap(([name, { undo }]: [string, { undo?: string }]) =>
            undo === undefined ? [] : [[`${system.name}.${name}`, undo] as const],
          ),
        ),
      ),
      timeline: await all<TimelineRow>('select case_id as "case", id, key, kind, data, at from timeline where case_id = any($1) order by id'),
      clocks: await all<ClockRow>(
        `select case_id as "case", clock, policy_clock as "policyClock", status, deadline, provisional, next_point as "nextPoint", state, notices
         from clocks where case_id = any($1)`,
      ),
      clockLog: await all<ClockLogRow>('select case_id as "case", clock, run, seq, at, command from clock_log where case_id = any($1)'),
      inbox: await all<Row<OwnRecords['inbox']>>(
        `select id, source, event_id as "eventId", body_hash as "bodyHash", kind, name, correlation_key as key, case_id as "case", at, seen_at is not null as seen, became
         from inbox where $2 or case_id = any($1) order by id`,
        [ids, whole],
      ),
      states: whole ? await all<Row<OwnRecords['states']>>('select source, key, state, at from outside_states', []) : [],
      effects: await all<Row<OwnRecords['effects']>>(
        'select case_id as "case", path, system, operation, args, undoes, status, ok, answer, entered_by as "enteredBy" from effects where case_id = any($1)',
      ),
      decisions,
      messages: await all<Row<OwnRecords['messages']>>('select id, case_id as "case", recipient, status, bundle from messages where case_id = any($1)'),
      holds: await all<Row<OwnRecords['holds']>>(`select hold, status from allowance_holds where split_part(hold, '/', 1) = any($1)`),
      tallies: await all<Row<OwnRecords['tallies']>>(`select tally, status from tallies where split_part(tally, '/', 1) = any($1)`),
      jobs: await all<Row<OwnRecords['jobs']>>(
        `select task_identifier as kind, key, attempts, max_attempts as most, run_at as "runAt" from graphile_worker.jobs where $2 or split_part(key, ':', 2) = any($1)`,
        [ids, whole],
      ),
    };
  });
