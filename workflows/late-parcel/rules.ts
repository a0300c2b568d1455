/** The one decision of a late parcel that needs no person: which of the answers about its goods can be carried out. */
import { defineRule } from '../kit/rule.ts';
import type { Unit } from './process.ts';

/** Every code a rule of this process gives as a reason; each has its texts in `messages.yaml`. */
export const reasonCodes = ['allSettled', 'leftOut', 'notOurGoods'] as const;

export interface DispositionFacts {
  readonly units: readonly Unit[];
  readonly said: readonly { readonly unitId: string; readonly disposition: 'restock' | 'refurbish' | 'scrap' }[];
}
export interface Dispositions {
  readonly settled: DispositionFacts['said'];
  /** Asked for again: nothing is thrown away because somebody forgot it. */
  readonly rest: readonly Unit[];
}

/** Splits the units into those whose answer holds and those that are asked for again: left out, or to be sold though we do not know the goods. */
export const dispositions = defineRule<DispositionFacts, Dispositions>(({ units, said }) => {
  const answers = new Map(said.map((answer) => [answer.unitId, answer]));
  const leftOut = units.filter((unit) => !answers.has(unit.unitId));
  const notOurs = units.filter((unit) => unit.sku === undefined && answers.get(unit.unitId)?.disposition === 'restock');
  const rest = [...leftOut, ...notOurs];
  return {
    settled: units.flatMap((unit) => (rest.includes(unit) ? [] : (answers.get(unit.unitId) ?? []))),
    rest,
    reasons: [...(leftOut.length > 0 ? ['leftOut'] : []), ...(notOurs.length > 0 ? ['notOurGoods'] : []), ...(rest.length === 0 ? ['allSettled'] : [])],
  };
});
