/** Whether health tells the truth: what it says before and after is held against a case that somebody starts and decides. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { OrderFacts } from '../../systems/orders/contract.ts';
import { nap } from '../demo/actors.ts';
import type { Caller } from '../demo/calls.ts';
import { readiness, type Readiness } from './sample.ts';

/** Started, decided and ended within this: twice the 6 s that a task may wait before all new cases are refused, and some for the rest. */
const withinMs = 20_000;
const lookEveryMs = 250;
/** What has not ended by then is not waited for; the audit says that it is stuck. */
const stuckMs = 300_000;

export interface Probe {
  readonly at: number;
  /** `refused`: with 429 or 503 at its start. */
  readonly became: 'worked' | 'refused' | 'failed';
  readonly why?: string;
  readonly ms: number;
  readonly before: Readiness | undefined;
  readonly after: Readiness | undefined;
}

const started = z.object({ case: z.object({ id: z.string() }) });
const stands = z.object({ status: z.string(), tasks: z.array(z.object({ id: z.string(), name: z.string() })) });

export class Prober {
  readonly #api: string;
  readonly #token: string;
  readonly #agent: Caller;
  readonly #signal: AbortSignal;
  readonly #slow: Promise<void>[] = [];
  /** `token`: of a calling system, which may open cases. */
  constructor(api: string, { token, agent }: { readonly token: string; readonly agent: Caller }, signal: AbortSignal) {
    this.#api = api;
    this.#token = token;
    this.#agent = agent;
    this.#signal = signal;
  }

  async probe(order: OrderFacts, onStart: (id: string) => void): Promise<Probe> {
    const at = Date.now();
    const before = await readiness(this.#api);
    const outcome = await this.#outcome(order, onStart);
    const ms = Date.now() - at;
    return { at, ...outcome, ms, before, after: await readiness(this.#api) };
  }

  /** Waits until the cases of probes that took too long have ended: they too are to be carried out. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#slow);
  }

  async #outcome(order: OrderFacts, onStart: (id: string) => void): Promise<Pick<Probe, 'became' | 'why'>> {
    const failed = (why: string) => ({ became: 'failed', why }) as const;
    try {
      const start = await this.#startOnce(order);
      if (start.status === 429 || start.status === 503) return { became: 'refused', why: String(start.status) };
      if (start.status !== 201) return failed(`its start was answered ${start.status}`);
      const { id } = started.parse(await start.json()).case;
      onStart(id);
      const over = new AbortController();
      const carried = this.#carryOut(id);
      const timer = nap(withinMs, AbortSignal.any([over.signal, this.#signal])).then(() => false);
      const inTime = await Promise.race([carried.then(() => true), timer]).finally(() => over.abort());
      if (inTime) return { became: 'worked' };
      this.#slow.push(carried);
      return failed(`it had not ended after ${withinMs / 1000} s`);
    } catch (error) {
      return failed(error instanceof Error ? error.message : String(error));
    }
  }

  /** Decides the case as soon as it asks, and waits for its end. */
  async #carryOut(id: string): Promise<void> {
    const path = `/v1/cases/${encodeURIComponent(id)}`;
    for (const since = Date.now(); Date.now() - since < stuckMs && !this.#signal.aborted; await nap(lookEveryMs, this.#signal)) {
      const seen = stands.parse((await this.#agent.call('GET', path)).body);
      if (seen.status !== 'open') return;
      const review = seen.tasks.find((task) => task.name === 'review');
      if (review === undefined) continue;
      const decided = await this.#agent.call('POST', `/v1/tasks/${encodeURIComponent(review.id)}/complete`, { form: { decision: 'reject', reason: 'other' } });
      // 409: it was decided at the look before, and the case has not taken that in yet.
      if (decided.status !== 200 && decided.status !== 409) throw new Error(`its decision was answered ${decided.status}`);
    }
  }

  /** Once only: what it is told is what counts. */
  #startOnce(order: OrderFacts): Promise<Response> {
    const input = {
      shop: order.shop,
      customer: order.customer,
      orderId: order.orderId,
      requestId: `probe-${randomUUID()}`,
      requestedAt: new Date().toISOString(),
      lines: [{ line: 1, quantity: 1 }],
      reason: 'other',
      wish: 'refund',
      evidence: [],
    };
    return fetch(`${this.#api}/v1/processes/return-exchange/cases`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ input }),
      signal: AbortSignal.timeout(withinMs),
    });
  }
}

/** What health said that was not so; undefined when it told the truth. */
export function lieIn({ became, why, before, after }: Probe): string | undefined {
  if (before === undefined || after === undefined) return 'health did not answer';
  const says = (word: (readiness: Readiness) => boolean): boolean => word(before) && word(after);
  if (became === 'failed' && says(({ status }) => status === 'ready')) return `health said ready, and a case failed: ${why}`;
  if (became === 'refused' && says(({ load }) => load.starts === 'ok' && load.requests === 'ok'))
    return 'health said that everything is taken, and a case was refused';
  if (became === 'worked' && says(({ status }) => status === 'unavailable')) return 'health said unavailable, and a case was taken and carried out';
  return undefined;
}
