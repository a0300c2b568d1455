/** Carries out a plan of faults while cases run: each begins, lasts, is lifted, and then it is seen how long the engine takes to work again. */
import { nap } from '../demo/actors.ts';
import type { Journal } from '../demo/journal.ts';
import type { Around, Disturb } from '../demo/run.ts';
import { injector, type Injecting } from './inject.ts';
import type { Planned } from './plan.ts';

/** What ends a fault that has begun; nothing where it is over at once. */
export type Lift = () => Promise<void>;
/** Begins a fault. A string says why it cannot be had. Gives up at the signal. */
export type Inject = (planned: Planned, signal: AbortSignal) => Promise<Lift | string>;

export interface Disturbing {
  readonly plan: readonly Planned[];
  readonly journal: Journal;
  readonly inject: Inject;
  /** So many at the same moment. */
  readonly atOnce: number;
  /** How much of the run's work is done, 0 to 1. */
  readonly done: () => number;
  /** Resolves when the engine works, as seen from outside; undefined when that was not seen. */
  readonly works?: (n: number) => Promise<boolean>;
  /** Told when one begins and ends. */
  readonly say: (line: string) => void;
  readonly onChange: () => void;
  /** None begins any more, and those that last are lifted at once. */
  readonly over: AbortSignal;
}

/** What a fault is done to: there is one at a time there, so that lifting one does not end another. */
const placeOf = ({ kind, target }: Planned): string => (kind === 'clock' ? kind : target);

/** Carries out what is left of the plan. When it returns, all is lifted. */
export async function disturbAlong({ plan, journal, inject, atOnce, done, works, say, onChange, over }: Disturbing): Promise<void> {
  const hit = new Set<string>();
  const all: Promise<void>[] = [];

  const last = async (n: number, planned: Planned, lift: Lift): Promise<void> => {
    await nap(planned.forMs, over);
    await lift();
    journal.write({ what: 'lifted', n, at: new Date().toISOString() });
    if (planned.forMs > 0) say(`over: ${planned.kind} ${planned.target}`);
  };
  const recover = async (n: number): Promise<void> => {
    const since = Date.now();
    if ((await works?.(n)) === true) journal.write({ what: 'recovered', n, ms: Date.now() - since });
  };

  let before = 0;
  for (const [n, planned] of plan.entries()) {
    // Begun before this run was interrupted.
    if (n < journal.disturbed.length) continue;
    const place = placeOf(planned);
    const mayBegin = (): boolean => done() >= planned.at && Date.now() - before >= planned.gapMs && hit.size < atOnce && !hit.has(place);
    while (!over.aborted && !mayBegin()) await nap(50, over);
    if (over.aborted) break;
    before = Date.now();
    hit.add(place);
    // Written before it begins: whoever goes on after a crash of ours lifts it.
    journal.write({ what: 'fault', n, kind: planned.kind, target: planned.target, at: new Date().toISOString() });
    say(`${planned.kind} ${planned.target}${planned.forMs > 0 ? ` for ${(planned.forMs / 1000).toFixed(1)} s` : ''}`);
    all.push(
      inject(planned, over)
        .then(async (lift) => {
          if (typeof lift === 'string') {
            journal.write({ what: 'omitted', n, why: lift });
            say(`not to be had: ${planned.kind} ${planned.target}: ${lift}`);
            return;
          }
          onChange();
          await last(n, planned, lift);
          hit.delete(place);
          await recover(n);
        })
        .finally(() => hit.delete(place)),
    );
  }
  await Promise.all(all);
}

/** So many faults at the same moment: with more of them, hardly anything would be left that works, and hardly anything to be broken. */
const atOnce = 3;
const calmProbes = 3;

/**
 * Disturbs a run by a plan. `more`: what faults other than kills need. `works`: how it is seen that the engine works; the name is another one each time.
 */
export const disturbing =
  (
    folder: string,
    plan: readonly Planned[],
    more: Pick<Injecting, 'proxies' | 'clock' | 'throughout'> = { proxies: undefined, clock: 'the stack is not made for it', throughout: () => ({}) },
    works?: (around: Around, name: string) => Promise<boolean>,
  ): Disturb =>
  async (around) => {
    const { scene, progress, done, over } = around;
    const { journal } = scene;
    const count = (): void => {
      const killed = journal.tookPlace.filter(({ kind }) => kind === 'kill').length;
      progress.set({ kills: killed, faults: journal.tookPlace.length - killed });
    };
    const killsWanted = plan.filter(({ kind }) => kind === 'kill').length;
    progress.set({ killsWanted, faultsWanted: plan.length - killsWanted });
    count();
    // What it takes when nothing is wrong, to be compared with.
    for (let n = journal.probed.length; works !== undefined && n < calmProbes && !over.aborted; n++) {
      const since = Date.now();
      if (await works(around, `calm-${n}`)) journal.write({ what: 'probed', ms: Date.now() - since });
    }
    await disturbAlong({
      plan,
      journal,
      inject: injector({ folder, systems: scene.systems, ...more }),
      atOnce,
      done,
      ...(works === undefined ? {} : { works: (n: number) => works(around, String(n)) }),
      say: (line) => progress.say(line),
      onChange: count,
      over,
    });
  };
