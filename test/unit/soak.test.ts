/** The judge of a soak: what it lets pass, and that it convicts what it is there for. */
import { describe, expect, test } from '@jest/globals';
import { readArguments } from '../../cli/soak.ts';
import type { Finding } from '../../cli/demo/audit.ts';
import { caughtUpAfter, judge, memoryRows, queueRows, type Seen } from '../../cli/soak/judge.ts';
import { pictureOf } from '../../cli/soak/picture.ts';
import { lieIn, type Probe } from '../../cli/soak/probe.ts';
import { documentedIn, faultIn, Requests } from '../../cli/soak/requests.ts';
import type { Phase, Readiness, Sample } from '../../cli/soak/sample.ts';
import { binned, foretold, quantile, trendOf } from '../../cli/soak/trend.ts';
import { drawsFrom } from '../../systems/sandbox/faults.ts';

const minute = 60_000;
const ready: Readiness = { status: 'ready', load: { requests: 'ok', starts: 'ok', behindSeconds: 0 } };
const degraded: Readiness = { status: 'degraded', load: { requests: 'ok', starts: 'refused', behindSeconds: 9 } };

/** A soak in which all is well: ten minutes of load, a burst that fills the queues and is refused in part, five minutes of load again. `more`: what is otherwise. */
function samplesOf(more: (sample: Sample, minutes: number) => Partial<Sample> = () => ({})): Sample[] {
  const draw = drawsFrom(7);
  const phaseAt = (minutes: number): Phase => (minutes < 10 ? 'load' : minutes < 11 ? 'burst' : 'after');
  return Array.from({ length: 16 * 30 }, (_, i): Sample => {
    const minutes = i / 30;
    const phase = phaseAt(minutes);
    const busy = phase === 'burst' || (phase === 'after' && minutes < 11.5);
    const sample: Sample = {
      at: i * 2000,
      phase,
      rate: 2,
      started: i * 4,
      ended: i * 4,
      atTheDoor: busy ? 20 : 0,
      turnedAway: 0,
      requests: 100,
      refused: busy ? 30 : 0,
      p50: 10,
      p99: 80,
      // The ups and downs of a garbage collector.
      memory: { worker: 400 + 40 * draw(), api: 200 + 20 * draw() },
      queues: { inbox: busy ? 90 : Math.floor(6 * draw()), unstarted: busy ? 12 : 0, effects: 0, jobs: Math.floor(4 * draw()), temporal: busy ? 50 : 0 },
      ready: busy ? degraded : ready,
    };
    return { ...sample, ...more(sample, minutes) };
  });
}
const worked: Probe = { at: 0, became: 'worked', ms: 900, before: ready, after: ready };
const seen = (samples: readonly Sample[], more: Partial<Seen> = {}): Seen => ({ samples, probes: [worked], faults: new Map(), findings: [], ...more });
const failed = (of: Seen): string[] => judge(of).flatMap(({ what, holds }) => (holds ? [] : [what]));

describe('the judge of a soak', () => {
  test('passes a run whose memory and queues are back where they were', () => {
    expect(failed(seen(samplesOf()))).toEqual([]);
    expect(caughtUpAfter(samplesOf())).toBe(30);
  });

  test('convicts memory that stays above what it was, by its own ups and downs', () => {
    // 30 MB more in a process that moves within 40: nothing that one look could tell.
    const leaks = samplesOf(({ memory, phase }) => ({ memory: { ...memory, worker: (memory['worker'] ?? 0) + (phase === 'after' ? 30 : 0) } }));
    expect(failed(seen(leaks))).toEqual(['memory']);
    expect(judge(seen(leaks)).find(({ what }) => what === 'memory')?.says).toMatch(/^worker has \d+ MB/);
  });

  test('takes a rise that was there before the burst for what it is: its line is drawn on, and shown', () => {
    const rises = samplesOf(({ memory }, minutes) => ({ memory: { ...memory, worker: (memory['worker'] ?? 0) + 4 * minutes } }));
    expect(failed(seen(rises))).toEqual([]);
    const [row] = memoryRows(rises);
    expect(row?.process).toBe('worker');
    expect(row?.before.perHour).toBeGreaterThan(150);
    expect(row?.before.least).toBeGreaterThan(0);
  });

  test('convicts a queue that does not come back', () => {
    const longer = samplesOf(({ queues, phase }) => ({ queues: { ...queues, inbox: phase === 'after' ? 40 : (queues.inbox ?? 0) } }));
    expect(failed(seen(longer))).toEqual(['queues']);
    expect(queueRows(longer).find(({ queue }) => queue === 'inbox')).toMatchObject({ peak: 90, after: 40 });
    expect(caughtUpAfter(longer)).toBeUndefined();
  });

  test('convicts a burst of which nothing was refused, a fault of the server, and anything lost', () => {
    expect(failed(seen(samplesOf(() => ({ refused: 0 }))))).toEqual(['back-pressure']);
    expect(failed(seen(samplesOf(), { faults: new Map([['GET /v1/cases was answered 500', 1]]) }))).toEqual(['answers']);
    const lost: Finding = { kind: 'lost', case: 'c', why: 'its start was accepted, and the API has no such case' };
    expect(failed(seen(samplesOf(), { findings: [lost] }))).toEqual(['cases']);
  });

  test('convicts what was not measured: no samples are no proof', () => {
    expect(failed(seen([], { probes: [] }))).toEqual(['back-pressure', 'memory', 'queues', 'health']);
  });
});

describe('health', () => {
  const probe = (became: Probe['became'], before: Readiness | undefined, after = before): Probe => ({ at: 0, became, why: 'why', ms: 1, before, after });
  test('lies when it says ready and a case cannot be carried out, or says that all is taken and a case is refused', () => {
    expect(lieIn(probe('failed', ready))).toMatch(/said ready/);
    expect(lieIn(probe('refused', ready))).toMatch(/everything is taken/);
    expect(lieIn(probe('worked', { ...ready, status: 'unavailable' }))).toMatch(/unavailable/);
    expect(lieIn(probe('worked', undefined))).toMatch(/did not answer/);
  });
  test('tells the truth when it says that it is behind, or notices while the probe is under way', () => {
    expect(lieIn(probe('worked', ready))).toBeUndefined();
    expect(lieIn(probe('refused', degraded))).toBeUndefined();
    expect(lieIn(probe('refused', ready, degraded))).toBeUndefined();
    expect(lieIn(probe('failed', degraded, ready))).toBeUndefined();
  });
});

describe('a refusal', () => {
  const documented = documentedIn({
    paths: { '/v1/cases/{id}': { get: { responses: { '503': { description: '`overloaded`: More came' }, '429': { description: '`tooMany`: …' } } } } },
  });
  const answer = (status: number | undefined, more: object = {}) =>
    faultIn(
      {
        method: 'GET',
        path: '/v1/cases/a%2Fb?language=en',
        ...(status === undefined ? { reason: 'socket hang up' } : { status, text: JSON.stringify({ code: 'overloaded' }) }),
        retryAfter: '2',
        ms: 5,
        sinceMs: 5,
        again: true,
        ...more,
      },
      documented,
    );
  test('that is documented and says when to come again is no fault, and neither is a no', () => {
    expect(answer(503)).toBeUndefined();
    expect(answer(404)).toBeUndefined();
  });
  test('without Retry-After, of a kind that the document does not have, an answer that never came and a fault of the server are told, without ids', () => {
    for (const retryAfter of [null, '', '0', 'soon']) expect(answer(503, { retryAfter })).toMatch(/without Retry-After/);
    expect(answer(503, { text: JSON.stringify({ code: 'somethingElse' }) })).toMatch(/"somethingElse", which its document does not have/);
    expect(answer(503, { text: '<html>' })).toMatch(/does not have/);
    expect(answer(undefined)).toBe('GET /v1/cases/… had no answer: socket hang up');
    expect(answer(500)).toBe('GET /v1/cases/… was answered 500');
  });
  test('does not count among the times that answers took', () => {
    const requests = new Requests(documented, 'load');
    const path = '/v1/cases/x';
    for (const [status, ms] of [
      [200, 10],
      [200, 30],
      [503, 1],
    ] as const)
      requests.watch({ method: 'GET', path, status, text: '{"code":"overloaded"}', retryAfter: '1', ms, sinceMs: ms, again: status === 503 });
    expect(requests.take()).toEqual({ requests: 3, refused: 1, p50: 20, p99: 30 });
    expect(requests.take()).toMatchObject({ requests: 0 });
    expect(requests.summary()).toEqual([{ phase: 'load', kind: 'look', requests: 3, refused: 1, p50: 20, p95: 29, p99: 30 }]);
    expect([...requests.codes]).toEqual([
      ['200', 2],
      ['503 overloaded', 1],
    ]);
    expect(requests.faults.size).toBe(0);
  });
});

describe('a trend', () => {
  const points = (value: (hours: number, n: number) => number, count = 60) =>
    Array.from({ length: count }, (_, n) => ({ at: n * minute, value: value(n / 60, n) }));
  test('is found through ups and downs and single high values, with the interval that it lies in', () => {
    const draw = drawsFrom(3);
    const trend = trendOf(points((hours, n) => 100 + 50 * hours + 10 * draw() + (n % 20 === 7 ? 300 : 0)));
    expect(trend?.least).toBeLessThan(50);
    expect(trend?.most).toBeGreaterThan(50);
    expect(trend?.perHour).toBeGreaterThan(40);
    expect(trend?.perHour).toBeLessThan(60);
  });
  test('of what only goes up and down has zero in its interval, and foretells no more than its ups', () => {
    const draw = drawsFrom(5);
    const trend = trendOf(points(() => 100 + 10 * draw()));
    if (trend === undefined) throw new Error('no trend');
    expect(trend.least).toBeLessThanOrEqual(0);
    expect(trend.most).toBeGreaterThanOrEqual(0);
    expect(foretold(trend, 60 * minute)).toBeLessThan(120);
  });
  test('is not seen in a handful of points', () => {
    expect(trendOf(points(() => 1, 7))).toBeUndefined();
  });
  test('of bins has one point in each; a quantile lies between its neighbours', () => {
    expect(
      binned(
        points((_, n) => n, 4),
        2 * minute,
      ),
    ).toEqual([
      { at: minute, value: 0.5 },
      { at: 3 * minute, value: 2.5 },
    ]);
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([], 0.5)).toBeNaN();
  });
});

describe('the command line', () => {
  test('has what is usual, and says what does not fit', () => {
    expect(readArguments([])).toEqual({ options: { minutes: 30, seed: 1 }, mode: 'run' });
    expect(readArguments(['--minutes', '2', '--rate', '3.5', '--detach'])).toMatchObject({ options: { minutes: 2, rate: 3.5 }, mode: 'detach' });
    expect(readArguments(['--picture'])).toMatchObject({ picture: 'docs/reliability/soak.svg' });
    expect(() => readArguments(['--minutes', '0'])).toThrow('--minutes is at least 0.5');
    expect(() => readArguments(['--seed', 'x'])).toThrow('--seed is a number');
    expect(() => readArguments(['--resume'])).toThrow(/not gone on with/);
    expect(() => readArguments(['--out', 'x.svg'])).toThrow('--out goes with --picture');
    expect(() => readArguments(['--picture', '--status'])).toThrow('--picture goes alone');
  });
});

test('the picture has a panel each for pace, answers, memory and queues, names every line and marks the phases', async () => {
  const svg = await pictureOf(samplesOf());
  expect(svg).toMatch(/^<svg /);
  const texts = [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);
  for (const name of ['cases a second', 'memory, MB', 'waiting', 'minutes', 'worker', 'api', 'messages to cases', 'turned away', '70 %', '3 ×'])
    expect(texts).toContain(name);
  expect(svg).not.toContain('NaN');
});
