/** Kills processes of the stack at random moments, as a power cut or the kernel would: no signal they could answer. */
import { drawsFrom } from '../../systems/sandbox/faults.ts';
import { isRunning } from '../stack/processes.ts';
import { readStack } from '../stack/state.ts';
import { nap } from './actors.ts';
import type { Journal } from './journal.ts';

export const targets = ['worker', 'api', 'temporal'] as const;
export type Target = (typeof targets)[number];
export interface PlannedKill {
  readonly process: Target;
  /** The share of the run's work after which it falls: a kill that slows the run does not bring the next one nearer. */
  readonly at: number;
}

/** Kills over the whole run, every kind as often as the others give or take one; the same seed kills the same. `there`: what the stack runs itself. */
export function planKills(seed: number, count: number, there: readonly Target[] = targets): readonly PlannedKill[] {
  const draw = drawsFrom(seed);
  const kinds = Array.from({ length: count }, (_, i) => there[i % there.length] ?? 'worker');
  for (let i = kinds.length - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [kinds[i], kinds[j]] = [kinds[j] ?? 'worker', kinds[i] ?? 'worker'];
  }
  // One in each tenth (for ten), somewhere in it; none in the last twentieth, where nothing may be left to disturb.
  return kinds.map((process, i) => ({ process, at: ((i + draw()) / count) * 0.95 }));
}

export interface Killing {
  readonly folder: string;
  readonly plan: readonly PlannedKill[];
  readonly journal: Journal;
  /** How much of the run's work is done, 0 to 1. */
  readonly done: () => number;
  readonly onKill: (kill: PlannedKill, pid: number) => void;
  readonly signal: AbortSignal;
}

/** Carries out what is left of the plan, until the signal. The supervisor of the stack brings back what was killed. */
export async function killAlong({ folder, plan, journal, done, onKill, signal }: Killing): Promise<void> {
  for (const kill of plan.slice(journal.kills.length)) {
    while (!signal.aborted && done() < kill.at) await nap(50, signal);
    for (;;) {
      if (signal.aborted) return;
      const target = readStack(folder).processes[kill.process];
      if (target !== undefined && isRunning(target)) {
        process.kill(target.pid, 'SIGKILL');
        journal.write({ what: 'kill', process: kill.process, pid: target.pid, at: new Date().toISOString() });
        onKill(kill, target.pid);
        break;
      }
      // Killed before and not back yet.
      await nap(200, signal);
    }
  }
}
