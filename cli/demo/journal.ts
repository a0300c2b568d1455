/** What a run has to remember to be gone on with and audited: a line per fact, written before anything builds on it. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { allKinds, type Kind } from '../faults/plan.ts';
import type { Accepted } from './audit.ts';

const line = z.discriminatedUnion('what', [
  /** A start is about to be sent: sent again after a crash it must be the same. */
  z.object({ what: z.literal('starting'), case: z.string(), requestedAt: z.string() }),
  /** `probe`: started to see whether the engine works, and none of the run's own. */
  z.object({ what: z.literal('start'), case: z.string(), probe: z.literal(true).optional() }),
  z.object({ what: z.literal('decision'), case: z.string(), task: z.string(), by: z.string(), form: z.unknown() }),
  z.object({ what: z.literal('event'), case: z.string(), event: z.string(), eventId: z.string() }),
  z.object({ what: z.literal('withdrawal'), case: z.string() }),
  /** An act that was answered with a refusal, as it should be. */
  z.object({ what: z.literal('refused'), case: z.string(), act: z.string() }),
  /** A second start, decision, event or receipt on purpose. */
  z.object({ what: z.literal('repeated'), case: z.string(), act: z.string() }),
  /** The nth disturbance of the plan, from 0: about to begin; over; why it did not take place; how long afterwards the engine worked again. */
  z.object({ what: z.literal('fault'), n: z.int(), kind: z.enum(allKinds), target: z.string(), at: z.string() }),
  z.object({ what: z.literal('lifted'), n: z.int(), at: z.string() }),
  z.object({ what: z.literal('omitted'), n: z.int(), why: z.string() }),
  z.object({ what: z.literal('recovered'), n: z.int(), ms: z.int() }),
  /** How long a probe took while nothing was disturbed. */
  z.object({ what: z.literal('probed'), ms: z.int() }),
]);
type Line = z.output<typeof line>;

/** What was done to the stack on purpose. */
export interface Disturbed {
  readonly kind: Kind;
  readonly target: string;
  readonly at: string;
  readonly lifted?: string;
  /** Why it did not take place. */
  readonly omitted?: string;
  /** From its end until the engine worked again, as far as that was seen. */
  readonly recoveredMs?: number;
}

export class Journal {
  readonly #file: string;
  readonly #requestedAt = new Map<string, string>();
  readonly #accepted: Accepted[] = [];
  readonly #started = new Set<string>();
  readonly #repeated = new Map<string, number>();
  readonly #refused = new Map<string, Set<string>>();
  readonly #disturbed: Disturbed[] = [];
  readonly #probed: number[] = [];

  /** Opens the journal of a run, with what was written before. */
  constructor(file: string) {
    this.#file = file;
    mkdirSync(dirname(file), { recursive: true });
    if (!existsSync(file)) return;
    const lines = readFileSync(file, 'utf8').split('\n');
    // The last line is cut where the run was killed while it wrote: what it was to say has not been relied upon.
    const cut = lines.pop() ?? '';
    if (cut !== '') truncateSync(file, statSync(file).size - Buffer.byteLength(cut));
    for (const text of lines) this.#take(line.parse(JSON.parse(text)));
  }

  #take(fact: Line): void {
    switch (fact.what) {
      case 'starting':
        this.#requestedAt.set(fact.case, fact.requestedAt);
        return;
      case 'fault':
        this.#disturbed[fact.n] = { kind: fact.kind, target: fact.target, at: fact.at };
        return;
      case 'lifted':
        this.#more(fact.n, { lifted: fact.at });
        return;
      case 'omitted':
        this.#more(fact.n, { omitted: fact.why });
        return;
      case 'recovered':
        this.#more(fact.n, { recoveredMs: fact.ms });
        return;
      case 'probed':
        this.#probed.push(fact.ms);
        return;
      case 'repeated':
        this.#repeated.set(fact.act, (this.#repeated.get(fact.act) ?? 0) + 1);
        return;
      case 'refused':
        this.#refused.set(fact.case, (this.#refused.get(fact.case) ?? new Set()).add(fact.act));
        return;
      case 'start':
        if (fact.probe !== true) this.#started.add(fact.case);
        this.#accepted.push({ what: 'start', case: fact.case });
        return;
      default:
        this.#accepted.push(fact);
    }
  }

  #more(n: number, about: Partial<Disturbed>): void {
    const before = this.#disturbed[n];
    if (before === undefined) throw new Error(`The journal ${this.#file} tells of disturbance ${n} and not of its beginning.`);
    this.#disturbed[n] = { ...before, ...about };
  }

  write(fact: Line): void {
    // Synchronous: when it returns, a crash of ours does not forget it.
    appendFileSync(this.#file, `${JSON.stringify(fact)}\n`);
    this.#take(fact);
  }

  /** When a case's start was first sent; now, and written down, when it was not. */
  requestedAt(of: string): string {
    const before = this.#requestedAt.get(of);
    if (before !== undefined) return before;
    const now = new Date().toISOString();
    this.write({ what: 'starting', case: of, requestedAt: now });
    return now;
  }

  get accepted(): readonly Accepted[] {
    return this.#accepted;
  }
  /** By their number in the plan. */
  get disturbed(): readonly Disturbed[] {
    return this.#disturbed;
  }
  /** Milliseconds of each probe while nothing was disturbed. */
  get probed(): readonly number[] {
    return this.#probed;
  }
  /** Those that took place. */
  get tookPlace(): readonly Disturbed[] {
    return this.#disturbed.filter(({ omitted }) => omitted === undefined);
  }
  /** Cases of the run whose start was accepted. */
  get started(): ReadonlySet<string> {
    return this.#started;
  }
  /** What was refused, by case. */
  get refused(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#refused;
  }
  /** What was done twice on purpose, by act. */
  get repeated(): ReadonlyMap<string, number> {
    return this.#repeated;
  }
}
