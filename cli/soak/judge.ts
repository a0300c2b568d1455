/** What a soak has shown: a pure function of its samples, requests, probes and audit. */
import { counts, type Finding } from '../demo/audit.ts';
import type { Probe } from './probe.ts';
import { lieIn } from './probe.ts';
import { queues, type Queue, type Sample } from './sample.ts';
import { binned, foretold, median, quantile, trendOf, type Trend } from './trend.ts';

/** Long enough that a garbage collection is no trend. */
const binMs = 15_000;
/** What is looked at after the burst: the last two minutes, or the last half of what there is. */
const lastMs = 120_000;

export interface Verdict {
  readonly what: string;
  readonly holds: boolean;
  readonly says: string;
}

export interface Seen {
  readonly samples: readonly Sample[];
  readonly probes: readonly Probe[];
  /** What no caller should have seen, and how often. */
  readonly faults: ReadonlyMap<string, number>;
  readonly findings: readonly Finding[];
}

/** The second half of the steady load: caches are full by then. */
export function plateauOf(samples: readonly Sample[]): readonly Sample[] {
  const load = samples.filter(({ phase }) => phase === 'load');
  return load.slice(Math.floor(load.length / 2));
}
export function lastOf(samples: readonly Sample[]): readonly Sample[] {
  const after = samples.filter(({ phase }) => phase === 'after');
  const [first, last] = [after[0]?.at ?? 0, after.at(-1)?.at ?? 0];
  return after.filter(({ at }) => at >= Math.max(last - lastMs, (first + last) / 2));
}

export interface MemoryRow {
  readonly process: string;
  readonly before: Trend;
  readonly after: number;
  /** The most that the trend before the burst and its ups and downs foretell for then. */
  readonly foretold: number;
}

/** Memory of each process before the burst and after it. A process without enough samples has no row. */
export function memoryRows(samples: readonly Sample[]): readonly MemoryRow[] {
  const [plateau, last] = [plateauOf(samples), lastOf(samples)];
  const names = Object.keys(plateau.at(-1)?.memory ?? {});
  const middle = median(last.map(({ at }) => at));
  return names.flatMap((process) => {
    const points = plateau.flatMap(({ at, memory }) => (memory[process] === undefined ? [] : [{ at, value: memory[process] }]));
    const before = trendOf(binned(points, Math.min(binMs, binFor(points.length))));
    const values = last.flatMap(({ memory }) => memory[process] ?? []);
    return before === undefined || values.length === 0 ? [] : [{ process, before, after: median(values), foretold: foretold(before, middle) }];
  });
}
/** A short trial has few samples: they are taken as they are. */
const binFor = (samples: number): number => (samples < 60 ? 1 : binMs);

export interface QueueRow {
  readonly queue: Queue;
  readonly before: number;
  readonly usual: number;
  readonly peak: number;
  readonly after: number;
}
export const queueRows = (samples: readonly Sample[]): readonly QueueRow[] =>
  queues.flatMap((queue) => {
    const of = (some: readonly Sample[]): number[] => some.flatMap((sample) => sample.queues[queue] ?? []);
    const [plateau, last] = [of(plateauOf(samples)), of(lastOf(samples))];
    if (plateau.length === 0 || last.length === 0) return [];
    return [{ queue, before: median(plateau), usual: quantile(plateau, 0.975), peak: Math.max(...of(samples)), after: median(last) }];
  });

const mb = (value: number): string => `${Math.round(value)} MB`;
const list = (items: readonly string[], none: string): string => (items.length === 0 ? none : items.join('; '));

export function judge({ samples, probes, faults, findings }: Seen): readonly Verdict[] {
  const memory = memoryRows(samples);
  const grown = memory.filter((row) => row.after > row.foretold);
  const waiting = queueRows(samples);
  const longer = waiting.filter((row) => row.after > row.usual);
  const lies = probes.flatMap((probe) => lieIn(probe) ?? []);
  const failed = probes.filter(({ became }) => became === 'failed');
  const burst = samples.filter(({ phase }) => phase === 'burst');
  const refused = burst.reduce((so, sample) => so + sample.refused, 0);
  const { lost, doubled, abovePaid, stuck, wrong } = counts(findings);
  return [
    {
      what: 'cases',
      holds: findings.length === 0,
      says: `${lost} lost, ${doubled} doubled, ${abovePaid} above paid, ${stuck} stuck, ${wrong} wrong`,
    },
    {
      what: 'answers',
      holds: faults.size === 0,
      says: list(
        [...faults].map(([fault, times]) => `${times} × ${fault}`),
        'every refusal was documented and said when to come again; no fault of the server, no request without an answer',
      ),
    },
    { what: 'back-pressure', holds: refused > 0, says: `${refused} requests refused in the burst` },
    {
      what: 'memory',
      holds: memory.length > 0 && grown.length === 0,
      says: list(
        grown.map((row) => `${row.process} has ${mb(row.after)}, ${mb(row.before.level)} before the burst, at most ${mb(row.foretold)} were to be expected`),
        memory.length === 0
          ? 'was not measured: there are too few samples'
          : memory.map((row) => `${row.process} ${mb(row.before.level)} before, ${mb(row.after)} after`).join(', '),
      ),
    },
    {
      what: 'queues',
      holds: waiting.length > 0 && longer.length === 0,
      says: list(
        longer.map((row) => `${row.queue}: ${row.after} wait, up to ${Math.ceil(row.usual)} before the burst`),
        waiting.length === 0 ? 'were not measured' : waiting.map((row) => `${row.queue} ${row.before}, up to ${row.peak}, ${row.after} after`).join(', '),
      ),
    },
    {
      what: 'health',
      holds: probes.length > 0 && lies.length === 0,
      says: list([...new Set(lies)], `told the truth at ${probes.length} probes (${failed.length} failed, and it was not said to be ready)`),
    },
  ];
}

/** Seconds from the end of the burst until no queue was longer than it usually had been; undefined when that did not come. */
export function caughtUpAfter(samples: readonly Sample[]): number | undefined {
  const usual = new Map(queueRows(samples).map((row) => [row.queue, row.usual]));
  const after = samples.filter(({ phase }) => phase === 'after');
  const back = after.find((sample) => [...usual].every(([queue, most]) => (sample.queues[queue] ?? 0) <= most));
  const [first] = after;
  return back === undefined || first === undefined ? undefined : Math.round((back.at - first.at) / 1000);
}
