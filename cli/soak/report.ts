/** What a soak has shown, in words and tables; the last line last. */
import type { Finding } from '../demo/audit.ts';
import { table } from '../demo/report.ts';
import { caughtUpAfter, memoryRows, queueRows, type Seen, type Verdict } from './judge.ts';
import type { Requests } from './requests.ts';
import { phases, type Sample } from './sample.ts';
import { median } from './trend.ts';

export interface Reported extends Seen {
  readonly verdicts: readonly Verdict[];
  /** Cases a second that it carries at most. */
  readonly most: number;
  readonly requests: ReturnType<Requests['summary']>;
  readonly codes: ReadonlyMap<string, number>;
}

const one = (value: number): string => value.toFixed(1);
const two = (value: number): string => value.toFixed(2);

function rates(samples: readonly Sample[]): string[][] {
  return phases.flatMap((phase) => {
    const of = samples.filter((sample) => sample.phase === phase);
    const [first, last] = [of[0], of.at(-1)];
    if (first === undefined || last === undefined || last.at === first.at) return [];
    const seconds = (last.at - first.at) / 1000;
    const ready = of.filter(({ ready: said }) => said?.status === 'ready').length;
    const loops = of.flatMap(({ loopP99Ms }) => loopP99Ms ?? []);
    return [
      [
        phase,
        `${Math.round(seconds)} s`,
        two((last.started - first.started) / seconds),
        two((last.ended - first.ended) / seconds),
        String(last.turnedAway - first.turnedAway),
        String(Math.round(of.reduce((so, sample) => so + sample.requests, 0) / seconds)),
        loops.length === 0 ? '–' : `${Math.round(median(loops))} ms`,
        `${Math.round((100 * ready) / of.length)} %`,
      ],
    ];
  });
}

export function report({ samples, probes, findings, verdicts, most, requests, codes, faults }: Reported): string[] {
  const last = samples.at(-1);
  const memory = memoryRows(samples);
  const caughtUp = caughtUpAfter(samples);
  const lines = [
    'Cases',
    ...table([
      ['', 'time', 'taken a second', 'ended a second', 'turned away', 'requests a second', "API's event loop, p99", 'health said ready'],
      ...rates(samples),
    ]),
    '',
    'Requests',
    ...table([
      ['', 'made', 'refused', 'p50', 'p95', 'p99'],
      ...requests.map((row) => [
        `${row.phase}: ${row.kind}`,
        String(row.requests),
        String(row.refused),
        ...[row.p50, row.p95, row.p99].map((ms) => (row.refused === row.requests ? '–' : `${ms} ms`)),
      ]),
    ]),
    '',
    'Answers',
    ...table([...codes].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([code, times]) => [code, String(times)])),
    '',
    'Memory, MB',
    ...table([
      ['', 'before the burst', 'an hour', '95 %', 'after', 'to be expected at most'],
      ...memory.map(({ process, before, after, foretold }) => [
        process,
        one(before.level),
        one(before.perHour),
        `${one(before.least)} to ${one(before.most)}`,
        one(after),
        one(foretold),
      ]),
    ]),
    '',
    'Queues',
    ...table([
      ['', 'before the burst', '97.5 % of the time at most', 'longest', 'after'],
      ...queueRows(samples).map(({ queue, before, usual, peak, after }) => [queue, one(before), one(usual), one(peak), one(after)]),
    ]),
    ...(last?.databaseMb === undefined ? [] : ['', `Postgres holds ${one(last.databaseMb)} MB for ${last.started} cases.`]),
    caughtUp === undefined ? 'The queues did not come back to what they were.' : `${caughtUp} s after the burst the queues were what they had been.`,
    `Probes: ${probes.length}, of which ${probes.filter(({ became }) => became === 'refused').length} were refused and ${probes.filter(({ became }) => became === 'failed').length} failed.`,
    '',
    'Verdicts',
    ...verdicts.map(({ what, holds, says }) => `  ${holds ? 'holds' : 'FAILS'}  ${what}: ${says}`),
    ...whatIsWrong(findings, faults),
    '',
  ];
  return [...lines, lastLine(last, most, verdicts)];
}

function whatIsWrong(findings: readonly Finding[], faults: ReadonlyMap<string, number>): string[] {
  const all = [...findings.map(({ kind, case: of, why }) => `${kind}: ${of}: ${why}`), ...[...faults].map(([fault, times]) => `${times} × ${fault}`)];
  return all.length === 0
    ? []
    : ['', 'What is wrong', ...all.slice(0, 50).map((line) => `  ${line}`), ...(all.length > 50 ? [`  … and ${all.length - 50} more`] : [])];
}

function lastLine(last: Sample | undefined, most: number, verdicts: readonly Verdict[]): string {
  const failed = verdicts.filter(({ holds }) => !holds).map(({ what }) => what);
  const cases = verdicts.find(({ what }) => what === 'cases')?.says ?? '';
  return `${last?.started ?? 0} cases, ${two(most)} a second at most: ${cases}${failed.length === 0 ? '; memory and queues are back where they were' : `; FAILS: ${failed.join(', ')}`}`;
}
