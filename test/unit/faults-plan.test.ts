import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { allKinds, kinds, lastAt, planFaults, type Kind } from '../../cli/faults/plan.ts';

const anySeed = fc.integer({ min: 0, max: 2 ** 31 });
const counts = fc.record({ kills: fc.integer({ min: 0, max: 60 }), faults: fc.integer({ min: 0, max: 200 }) });
const tally = (names: readonly string[], of: readonly string[]): number[] => of.map((name) => names.filter((one) => one === name).length);
const spread = (numbers: readonly number[]): number => Math.max(...numbers) - Math.min(...numbers);

describe('planned faults', () => {
  test('are as many kills and other faults as were asked for, every kind and every target of a kind as often as the others, give or take one', () => {
    fc.assert(
      fc.property(anySeed, counts, (seed, wanted) => {
        const plan = planFaults(seed, wanted);
        const kills = plan.filter(({ kind }) => kind === 'kill');
        expect(kills).toHaveLength(wanted.kills);
        expect(plan).toHaveLength(wanted.kills + wanted.faults);
        const others = allKinds.filter((kind) => kind !== 'kill');
        expect(
          spread(
            tally(
              plan.filter(({ kind }) => kind !== 'kill').map(({ kind }) => kind),
              others,
            ),
          ),
        ).toBeLessThanOrEqual(1);
        for (const kind of allKinds) {
          const targets = plan.filter((one) => one.kind === kind).map(({ target }) => target);
          expect(spread(tally(targets, kinds[kind].targets))).toBeLessThanOrEqual(1);
          expect(kinds[kind].targets).toEqual(expect.arrayContaining(targets));
        }
      }),
    );
  });

  test('are spread over the run, one in each part of it, in order, and none begins where little is left to disturb', () => {
    fc.assert(
      fc.property(anySeed, counts, (seed, wanted) => {
        const plan = planFaults(seed, wanted);
        plan.forEach(({ at }, i) => {
          expect(at).toBeGreaterThanOrEqual((i / plan.length) * lastAt);
          expect(at).toBeLessThan(((i + 1) / plan.length) * lastAt);
        });
      }),
    );
  });

  test('last as long as their kind does, and a kill is over at once', () => {
    for (const { kind, forMs } of planFaults(3, { kills: 20, faults: 200 })) {
      expect(forMs).toBeGreaterThanOrEqual(kinds[kind].leastMs);
      expect(forMs).toBeLessThanOrEqual(kinds[kind].mostMs);
      expect(forMs === 0).toBe(kind === 'kill');
    }
  });

  test('are the same for the same seed, and others for another', () => {
    const wanted = { kills: 10, faults: 22 };
    expect(planFaults(1, wanted)).toEqual(planFaults(1, wanted));
    expect(planFaults(1, wanted)).not.toEqual(planFaults(2, wanted));
  });

  test('are of the kinds and of the processes that there are alone', () => {
    const only: readonly Kind[] = ['kill', 'cut'];
    const plan = planFaults(1, { kills: 6, faults: 6 }, only, ['worker', 'api']);
    expect(new Set(plan.map(({ kind }) => kind))).toEqual(new Set(only));
    expect(
      tally(
        plan.filter(({ kind }) => kind === 'kill').map(({ target }) => target),
        ['worker', 'api'],
      ),
    ).toEqual([3, 3]);
    expect(planFaults(1, { kills: 6, faults: 6 }, ['kill'])).toHaveLength(6);
  });
});
