/** Brings cases to the engine: so many at once, or so many a second whether or not it keeps up, as customers do. */
import { drawsFrom } from '../../systems/sandbox/faults.ts';
import { nap, play, type Outside, type Scene } from '../demo/actors.ts';
import type { Plan } from '../demo/plan.ts';
import type { Looker } from './sample.ts';

/** How often it is looked which cases have ended. */
const lookEveryMs = 500;
/** A row that was slower than its successors is looked for this far back. */
const lookBackMs = 10_000;

/** All cases of a soak, and who still waits at the door. */
export class Load {
  readonly #scene: Scene & { readonly plans: Map<string, Plan> };
  readonly #outside: Outside;
  readonly #looker: Looker;
  readonly #next: () => Plan;
  readonly #draw: () => number;
  readonly #running = new Map<string, AbortController>();
  /** The moment of each case's end, in milliseconds. */
  readonly ended = new Map<string, number>();
  /** Callers who were refused until their patience was over. */
  turnedAway = 0;
  #atTheDoor = 0;

  constructor(scene: Scene & { readonly plans: Map<string, Plan> }, outside: Outside, looker: Looker, next: () => Plan, seed: number) {
    this.#scene = scene;
    this.#outside = outside;
    this.#looker = looker;
    this.#next = next;
    this.#draw = drawsFrom(seed);
  }

  get running(): number {
    return this.#running.size;
  }
  get atTheDoor(): number {
    return this.#atTheDoor;
  }
  endedBetween(from: number, to: number): number {
    return [...this.ended.values()].filter((at) => at >= from && at < to).length;
  }

  /** Looks who has ended, until the signal. */
  async watchEnds(signal: AbortSignal): Promise<void> {
    for (let since = Date.now(); !signal.aborted;) {
      try {
        const found = await this.#looker.endedSince(since - lookBackMs);
        for (const { id, at } of found) {
          since = Math.max(since, at);
          const end = this.#running.get(id);
          if (end === undefined || this.ended.has(id)) continue;
          this.ended.set(id, at);
          end.abort();
        }
      } catch (error) {
        if (!signal.aborted) this.#scene.trouble(`ends: ${messageOf(error)}`);
      }
      await nap(lookEveryMs, signal);
    }
  }

  /** One case, from its customer's first try to its end. */
  async #one(): Promise<void> {
    const { plans, journal, signal, upstream, trouble } = this.#scene;
    const plan = this.#next();
    const end = new AbortController();
    plans.set(plan.caseId, plan);
    this.#running.set(plan.caseId, end);
    this.#atTheDoor += 1;
    let inside = false;
    const enter = (): void => {
      if (inside) return;
      inside = true;
      this.#atTheDoor -= 1;
    };
    // The start is written down the moment it is accepted.
    const seen = setInterval(() => void (journal.started.has(plan.caseId) && enter()), 100);
    try {
      await play(this.#scene, plan, this.#outside, end.signal);
    } catch (error) {
      if (signal.aborted) return;
      if (journal.started.has(plan.caseId)) trouble(`${plan.caseId}: ${messageOf(error)}`);
      else if ((await upstream.call('GET', `/v1/cases/${encodeURIComponent(plan.caseId)}`)).status === 404) {
        // Refused each time, and nothing was written: nobody has promised anything.
        this.turnedAway += 1;
        plans.delete(plan.caseId);
        this.#running.delete(plan.caseId);
        return;
      } else journal.write({ what: 'start', case: plan.caseId });
    } finally {
      clearInterval(seen);
      enter();
    }
    while (!end.signal.aborted && !signal.aborted) await nap(1000, AbortSignal.any([end.signal, signal]));
    this.#running.delete(plan.caseId);
  }

  #begin(): void {
    this.#one().catch((error: unknown) => void (this.#scene.signal.aborted || this.#scene.trouble(`a case: ${messageOf(error)}`)));
  }

  /** Keeps so many cases under way for so long: who ends makes room for the next. */
  async closed(atOnce: number, ms: number): Promise<void> {
    const { signal } = this.#scene;
    for (const since = Date.now(); Date.now() - since < ms && !signal.aborted; await nap(50, signal)) while (this.running < atOnce) this.#begin();
  }

  /** Begins cases at this rate for so long, at moments that are drawn: customers know nothing of each other, nor of how busy we are. */
  async open(perSecond: number, ms: number): Promise<void> {
    const { signal } = this.#scene;
    const until = Date.now() + ms;
    for (let next = Date.now(); ; this.#begin()) {
      next += (-Math.log(1 - this.#draw()) / perSecond) * 1000;
      if (next >= until) break;
      await nap(next - Date.now(), signal);
      if (signal.aborted) return;
    }
    await nap(until - Date.now(), signal);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
