/** HTTP as a patient caller makes it: whatever is away is asked again, and only an answer counts. */
import { setTimeout as pause } from 'node:timers/promises';
import type { z } from 'zod';

/** A call that hangs is given up and made again: no answer of ours takes this long. */
const timeoutMs = 15_000;
const firstPauseMs = 100;
const longestPauseMs = 2000;
/** Away for longer than this, it does not come back by itself: a killed process is restarted within seconds. */
const patienceMs = 180_000;

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** What was answered and is neither success nor a reason to ask again. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;
  constructor(what: string, { status, body }: Answer) {
    const { code, detail } = (typeof body === 'object' && body !== null ? body : {}) as { code?: unknown; detail?: unknown };
    super(`${what} was answered ${status}${typeof code === 'string' ? ` ${code}` : ''}${typeof detail === 'string' ? `: ${detail}` : ''}`);
    this.status = status;
    this.code = typeof code === 'string' ? code : '';
  }
}

/** One request and what came of it. */
export interface Attempt {
  readonly method: string;
  readonly path: string;
  /** Absent: no answer came, for this reason. */
  readonly status?: number;
  readonly reason?: string;
  readonly retryAfter?: string | null;
  /** As it came, unparsed. */
  readonly text?: string;
  readonly ms: number;
  /** Since the call was made for the first time. */
  readonly sinceMs: number;
  /** Whether the caller makes it again: neither answered, nor out of patience. */
  readonly again: boolean;
}

export interface CallerOptions {
  /** A function, so that a server which came back elsewhere is found. */
  readonly url: () => string;
  readonly token?: string;
  readonly signal?: AbortSignal;
  readonly patienceMs?: number;
  /** Hears of every request, those that are made again too. */
  readonly watch?: ((attempt: Attempt) => void) | undefined;
}

/** Speaks to one server as one caller. */
export class Caller {
  readonly #options: CallerOptions;
  constructor(options: CallerOptions) {
    this.#options = options;
  }

  /** Calls until it is answered with less than 500; 429 waits as it was told. Throws when that takes longer than patience lasts. */
  async call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<Answer> {
    const { url, token, signal, patienceMs: patience = patienceMs, watch } = this.#options;
    const since = Date.now();
    const far = (answered: boolean) => ({ sinceMs: Date.now() - since, again: !answered && Date.now() - since <= patience });
    for (let wait = firstPauseMs; ; wait = Math.min(longestPauseMs, wait * 2)) {
      signal?.throwIfAborted();
      let trouble: string;
      let told = 0;
      const asked = performance.now();
      try {
        const response = await fetch(`${url()}${path}`, {
          method,
          headers: {
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]),
        });
        const text = await response.text();
        const answered = response.status < 500 && response.status !== 429;
        const retryAfter = response.headers.get('retry-after');
        watch?.({ method, path, status: response.status, retryAfter, text, ms: performance.now() - asked, ...far(answered) });
        if (answered) return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
        trouble = `answered ${response.status}`;
        told = Number(retryAfter ?? 0) * 1000;
      } catch (error) {
        signal?.throwIfAborted();
        trouble = reasonOf(error);
        watch?.({ method, path, reason: trouble, ms: performance.now() - asked, ...far(false) });
      }
      if (Date.now() - since > patience) throw new Error(`${method} ${path}: ${trouble}, for ${Math.round(patience / 1000)} s`);
      // Not all at the same moment: a server that has just come back is not met by everyone at once.
      await pause(Math.max(Number.isFinite(told) ? told : 0, wait * (0.5 + Math.random())), undefined, { signal });
    }
  }

  /** Asks and parses; throws Refused when the answer is no success. */
  async get<Z extends z.ZodType>(path: string, schema: Z): Promise<z.output<Z>> {
    return parsed(`GET ${path}`, await this.call('GET', path), schema);
  }

  async send<Z extends z.ZodType>(method: 'POST' | 'PUT' | 'DELETE', path: string, body: unknown, schema: Z): Promise<z.output<Z>> {
    return parsed(`${method} ${path}`, await this.call(method, path, body), schema);
  }

  /** All pages of a list of the API. */
  async all<Z extends z.ZodType<{ items: unknown[]; next?: string | undefined }>>(path: string, schema: Z): Promise<z.output<Z>['items']> {
    const items: z.output<Z>['items'] = [];
    const query = path.includes('?') ? '&' : '?';
    for (let cursor = ''; ;) {
      const page = await this.get(`${path}${query}limit=200${cursor}`, schema);
      items.push(...page.items);
      if (page.next === undefined) return items;
      cursor = `&cursor=${encodeURIComponent(page.next)}`;
    }
  }
}

function parsed<Z extends z.ZodType>(what: string, answer: Answer, schema: Z): z.output<Z> {
  if (answer.status >= 300) throw new Refused(what, answer);
  const result = schema.safeParse(answer.body);
  if (!result.success)
    throw new Error(`${what} was answered with something else than expected: ${result.error.issues[0]?.path.join('.')} ${result.error.issues[0]?.message}`);
  return result.data;
}

/** fetch says "fetch failed" and hides why in its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
