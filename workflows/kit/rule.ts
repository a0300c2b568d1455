/** Rules: pure decisions of a process (`rules.ts`), run outside workflow code and logged, so that changing one never breaks a replay. */
import type { Instant } from '../../values/instant.ts';
import type { PolicyValues } from '../../policies/schema.ts';

/** What a rule answers: its decision, and the codes of its reasons (texts in `messages.yaml`, section `reasons`). */
export type Decided<D> = D & { readonly reasons: readonly string[] };

/** What a rule may know besides its facts: the policy the case is pinned to, for its shop, and the instant it decides as of. */
export interface RuleContext {
  readonly policy: PolicyValues;
  readonly asOf: Instant;
}

/** A rule is a function of facts (ids, amounts, categories: no names, addresses or free text), policy and `asOf`; nothing else. */
export type RuleFunction<F, D> = (facts: F, context: RuleContext) => Decided<D>;

export const defineRule = <F, D>(rule: RuleFunction<F, D>): RuleFunction<F, D> => rule;
