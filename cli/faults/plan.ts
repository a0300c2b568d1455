/** What goes wrong in a run, and when: a pure function of the seed, so that the same seed gives the same plan. */
import { systems } from '../../systems/index.ts';
import { drawsFrom } from '../../systems/sandbox/faults.ts';

/** The processes of the stack. */
export const processNames = ['worker', 'api', 'temporal', 'systems', 'postgres'] as const;
export type ProcessName = (typeof processNames)[number];
/** Who speaks to whom. Each pair has a proxy of its own between it. */
export const links = ['api-postgres', 'worker-postgres', 'api-temporal', 'worker-temporal', 'worker-systems', 'systems-api'] as const;
export type Link = (typeof links)[number];
/** Systems of the sandbox that a case calls. */
const systemNames = Object.keys(systems);

/** What can go wrong, at what, and for how long. */
export const kinds = {
  /** `kill -9`: no signal it could answer. It is over at once; the supervisor starts it again. */
  kill: { targets: processNames, title: 'killed with SIGKILL', leastMs: 0, mostMs: 0 },
  /** SIGSTOP … SIGCONT: it neither answers nor closes its connections. */
  pause: { targets: processNames, title: 'paused with SIGSTOP', leastMs: 1500, mostMs: 6000 },
  /** Every connection breaks, and new ones are refused. */
  cut: { targets: links, title: 'connections cut', leastMs: 1000, mostMs: 5000 },
  /** Connections stay and nothing comes through; what was sent meanwhile arrives late, when its sender may have given it up. */
  hang: { targets: links, title: 'connections hang', leastMs: 1500, mostMs: 8000 },
  /** Some hundred milliseconds more each way, and a few kilobytes a second. */
  slow: { targets: links, title: 'connections slow', leastMs: 3000, mostMs: 8000 },
  /** Answers come later than anyone waits for. */
  late: { targets: systemNames, title: 'answers late', leastMs: 3000, mostMs: 8000 },
  /** Half of all calls are answered 500. */
  fail: { targets: systemNames, title: 'answers 500', leastMs: 3000, mostMs: 8000 },
  /** Half of all calls are done, and their answers are lost. */
  lose: { targets: systemNames, title: 'does it and loses the answer', leastMs: 3000, mostMs: 8000 },
  /** Half of all webhooks come twice, and all in any order. */
  shuffle: { targets: ['warehouse', 'finance', 'logistics'], title: 'webhooks twice and in any order', leastMs: 4000, mostMs: 10_000 },
  /** Nobody there; its webhooks wait. */
  away: { targets: systemNames, title: 'away', leastMs: 2000, mostMs: 8000 },
  /** Others hold every connection that Postgres has. */
  connections: { targets: ['postgres'], title: 'connections of Postgres exhausted', leastMs: 2000, mostMs: 6000 },
  /** The worker's clock is an hour ahead or behind. */
  clock: { targets: ['+1h', '-1h'], title: "worker's clock moved", leastMs: 4000, mostMs: 12_000 },
} as const satisfies Readonly<
  Record<string, { readonly targets: readonly string[]; readonly title: string; readonly leastMs: number; readonly mostMs: number }>
>;
export type Kind = keyof typeof kinds;
export const allKinds = Object.keys(kinds) as readonly Kind[];

export interface Planned {
  readonly kind: Kind;
  readonly target: string;
  /** The share of the run's work after which it begins: one that slows the run does not bring the next one nearer. */
  readonly at: number;
  /** Not sooner than this after the one before. */
  readonly gapMs: number;
  /** For how long it lasts. */
  readonly forMs: number;
}

export interface Counts {
  readonly kills: number;
  /** Of all other kinds together. */
  readonly faults: number;
}

/** None begins in the last tenth, where little is left to disturb. */
export const lastAt = 0.9;
/** Two seconds on average: what was hit has begun to come back when the next one falls, and has not always got there. */
const leastGapMs = 500;
const mostGapMs = 3500;

function shuffled<T>(items: readonly T[], draw: () => number): T[] {
  return items
    .map((item) => ({ item, at: draw() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** Faults over the whole run, every kind as often as the others give or take one, and within a kind every target. `among`: the kinds that there are to be. */
export function planFaults(
  seed: number,
  counts: Counts,
  among: readonly Kind[] = allKinds,
  killable: readonly ProcessName[] = processNames,
): readonly Planned[] {
  const draw = drawsFrom(seed);
  const times = new Map<Kind, number>();
  const targets = new Map(allKinds.map((kind) => [kind, shuffled<string>(kind === 'kill' ? killable : kinds[kind].targets, draw)]));
  const one = (kind: Kind): { readonly kind: Kind; readonly target: string } => {
    const of = targets.get(kind) ?? [];
    const before = times.get(kind) ?? 0;
    times.set(kind, before + 1);
    return { kind, target: of[before % of.length] ?? '' };
  };
  const others = shuffled(
    among.filter((kind) => kind !== 'kill'),
    draw,
  );
  const kills = among.includes('kill') && killable.length > 0 ? counts.kills : 0;
  const wanted = [
    ...Array.from({ length: kills }, (): Kind => 'kill'),
    ...Array.from({ length: others.length === 0 ? 0 : counts.faults }, (_, i) => others[i % others.length] ?? 'pause'),
  ];
  return shuffled(wanted.map(one), draw).map(({ kind, target }, i) => {
    const { leastMs, mostMs } = kinds[kind];
    return {
      kind,
      target,
      at: ((i + draw()) / wanted.length) * lastAt,
      gapMs: Math.round(leastGapMs + draw() * (mostGapMs - leastGapMs)),
      forMs: Math.round(leastMs + draw() * (mostMs - leastMs)),
    };
  });
}
