/** What callers lived through: every request, by what it was for, and whether refusals kept their word. */
import { z } from 'zod';
import type { Attempt } from '../demo/calls.ts';
import { quantile } from './trend.ts';

export const requestKinds = ['start', 'decision', 'event', 'list', 'look', 'other'] as const;
export type RequestKind = (typeof requestKinds)[number];

const kindOf = (method: string, path: string): RequestKind => {
  if (method === 'POST') {
    if (/^\/v1\/processes\/[^/]+\/cases$/.test(path)) return 'start';
    if (/^\/v1\/tasks\/[^/]+\/complete$/.test(path)) return 'decision';
    return /^\/v1\/cases\/[^/]+\/(events\/|withdraw$)/.test(path) ? 'event' : 'other';
  }
  if (/^\/v1\/(tasks|cases)(\?|$)/.test(path)) return 'list';
  return /^\/v1\/(tasks|cases)\//.test(path) ? 'look' : 'other';
};

const openApi = z.object({
  paths: z.record(z.string(), z.record(z.string(), z.object({ responses: z.record(z.string(), z.object({ description: z.string() })) }))),
});
/** Says whether the API's document has this answer of this route: `code` stands in the description of its status. */
export type Documented = (method: string, path: string, status: number, code: string) => boolean;

export function documentedIn(document: unknown): Documented {
  const routes = Object.entries(openApi.parse(document).paths).map(([path, methods]) => ({
    matches: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
    methods,
  }));
  return (method, path, status, code) => {
    const [plain = ''] = path.split('?');
    return routes.some(
      ({ matches, methods }) => matches.test(plain) && methods[method.toLowerCase()]?.responses[String(status)]?.description.includes(`\`${code}\``),
    );
  };
}

const problem = z.object({ code: z.string() });

export interface Counted {
  requests: number;
  refused: number;
  readonly ms: number[];
}
const nothing = (): Counted => ({ requests: 0, refused: 0, ms: [] });

export class Requests {
  readonly #documented: Documented;
  #since = new Map<RequestKind, Counted>();
  readonly #phases = new Map<string, Map<RequestKind, Counted>>();
  /** Answers by status and problem code. */
  readonly codes = new Map<string, number>();
  /** What no caller should have seen, by words, and how often. */
  readonly faults = new Map<string, number>();
  phase: string;

  constructor(documented: Documented, phase: string) {
    this.#documented = documented;
    this.phase = phase;
  }

  readonly watch = (attempt: Attempt): void => {
    const { method, path, status, ms } = attempt;
    const kind = kindOf(method, path);
    const refused = status === 429 || status === 503;
    const of = this.#phases.get(this.phase) ?? new Map<RequestKind, Counted>();
    this.#phases.set(this.phase, of);
    for (const counts of [this.#since, of]) {
      const counted = counts.get(kind) ?? nothing();
      counts.set(kind, counted);
      counted.requests += 1;
      if (refused) counted.refused += 1;
      else counted.ms.push(ms);
    }
    const fault = faultIn(attempt, this.#documented);
    if (fault !== undefined) count(this.faults, fault);
    count(this.codes, status === undefined ? 'no answer' : status < 400 ? String(status) : `${status} ${codeOf(attempt)}`);
  };

  /** What came since the last call, for the curve. */
  take(): { readonly requests: number; readonly refused: number; readonly p50: number; readonly p99: number } {
    const all = [...this.#since.values()];
    this.#since = new Map();
    const ms = all.flatMap((counted) => counted.ms);
    const sum = (of: (counted: Counted) => number): number => all.reduce((so, counted) => so + of(counted), 0);
    return { requests: sum((c) => c.requests), refused: sum((c) => c.refused), p50: whole(quantile(ms, 0.5)), p99: whole(quantile(ms, 0.99)) };
  }

  /** By phase and kind: how many, how many refused, and how long those took that were not. */
  summary(): { phase: string; kind: RequestKind; requests: number; refused: number; p50: number; p95: number; p99: number }[] {
    return [...this.#phases].flatMap(([phase, kinds]) =>
      requestKinds.flatMap((kind) => {
        const counted = kinds.get(kind);
        if (counted === undefined) return [];
        const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => whole(quantile(counted.ms, share)));
        return [{ phase, kind, requests: counted.requests, refused: counted.refused, p50: p50 ?? 0, p95: p95 ?? 0, p99: p99 ?? 0 }];
      }),
    );
  }
}

const count = (counts: Map<string, number>, name: string): void => void counts.set(name, (counts.get(name) ?? 0) + 1);
const whole = (ms: number): number => (Number.isNaN(ms) ? 0 : Math.round(ms));

function codeOf({ text }: Attempt): string {
  try {
    return problem.parse(JSON.parse(text ?? '')).code;
  } catch {
    return '';
  }
}

/** What is wrong with an answer, whatever it was about: a fault of the server, a refusal that does not say when to come again or is not in the document, no answer. */
export function faultIn(attempt: Attempt, documented: Documented): string | undefined {
  const { method, path, status, reason, retryAfter } = attempt;
  const what = `${method} ${path.split('?')[0]?.replaceAll(/\/(cases|tasks)\/[^/]+/g, '/$1/…')}`;
  if (status === undefined) return `${what} had no answer: ${reason}`;
  if (status >= 500 && status !== 503) return `${what} was answered ${status}`;
  if (status !== 503 && status !== 429) return undefined;
  const code = codeOf(attempt);
  if (!/^[1-9]\d*$/.test(retryAfter ?? '')) return `${what} was refused (${status} ${code}) without Retry-After`;
  return documented(method, path, status, code) ? undefined : `${what} was refused with ${status} "${code}", which its document does not have`;
}
