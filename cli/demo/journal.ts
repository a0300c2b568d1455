/** What a run has to remember to be gone on with and audited: a line per fact, written before anything builds on it. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { Accepted } from './audit.ts';

const line = z.discriminatedUnion('what', [
  /** A start is about to be sent: sent again after a crash it must be the same. */
  z.object({ what: z.literal('starting'), case: z.string(), requestedAt: z.string() }),
  z.object({ what: z.literal('start'), case: z.string() }),
  z.object({ what: z.literal('decision'), case: z.string(), task: z.string(), by: z.string(), form: z.unknown() }),
  z.object({ what: z.literal('event'), case: z.string(), event: z.string(), eventId: z.string() }),
  z.object({ what: z.literal('withdrawal'), case: z.string() }),
  /** An act that was answered with a refusal, as it should be. */
  z.object({ what: z.literal('refused'), case: z.string(), act: z.string() }),
  /** A second start, decision, event or receipt on purpose. */
  z.object({ what: z.literal('repeated'), case: z.string(), act: z.string() }),
  z.object({ what: z.literal('kill'), process: z.string(), pid: z.int(), at: z.string() }),
]);
type Line = z.output<typeof line>;
export type Kill = Extract<Line, { what: 'kill' }>;

export class Journal {
  readonly #file: string;
  readonly #requestedAt = new Map<string, string>();
  readonly #accepted: Accepted[] = [];
  readonly #started = new Set<string>();
  readonly #repeated = new Map<string, number>();
  readonly #refused = new Map<string, Set<string>>();
  readonly kills: Kill[] = [];

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
      case 'kill':
        this.kills.push(fact);
        return;
      case 'repeated':
        this.#repeated.set(fact.act, (this.#repeated.get(fact.act) ?? 0) + 1);
        return;
      case 'refused':
        this.#refused.set(fact.case, (this.#refused.get(fact.case) ?? new Set()).add(fact.act));
        return;
      case 'start':
        this.#started.add(fact.case);
        this.#accepted.push(fact);
        return;
      default:
        this.#accepted.push(fact);
    }
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
  /** Cases whose start was accepted. */
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
