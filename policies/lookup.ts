/** What a case asks of its pinned policy. */
import type { ReturnReason } from '../values/goods.ts';
import type { Money } from '../values/money.ts';
import type { Role } from '../values/role.ts';
import type { Text } from '../values/text.ts';
import type { ClockPolicy, Policy, PolicyValues, ReturnTerms } from './schema.ts';

type Sections = Readonly<Record<string, unknown>>;
const isMap = (value: unknown): value is Sections => typeof value === 'object' && value !== null && !Array.isArray(value);
const sectionsOf = (pinned: Sections, now: Sections): Sections => ({
  ...pinned,
  ...Object.fromEntries(
    Object.entries(now).map(([section, value]) => {
      const own = pinned[section];
      return [section, own === undefined ? value : isMap(own) && isMap(value) ? { ...value, ...own } : own];
    }),
  ),
});
/**
 * A published version as this engine reads it: a section, or a value right in a section, that nobody knew when it was published is that of the policy in force,
 * so that an upgrade leaves no running case without it. What a version says is never changed, nor what it leaves out further down: a currency, a category.
 */
export function completed(pinned: Policy, now: Policy): Policy {
  const { shops, ...values } = pinned;
  const { shops: _, ...current } = now;
  const ofShops = Object.entries(shops).map(([shop, own]) => [shop, sectionsOf(own, policyFor(now, shop))] as const);
  // Both are whole policies, of this engine and of an older one; what is put together has every section.
  return { ...sectionsOf(values, current), shops: Object.fromEntries(ofShops) } as Policy;
}

/** The values that hold in a shop. */
export const policyFor = (policy: Policy, shop: string): PolicyValues => (Object.hasOwn(policy.shops, shop) ? policy.shops[shop] : undefined) ?? policy;

function named<T>(kind: string, all: Readonly<Record<string, T>>, name: string): T {
  const found = Object.hasOwn(all, name) ? all[name] : undefined;
  if (found === undefined) throw new RangeError(`the policy has no ${kind} "${name}"; it has ${Object.keys(all).join(', ')}`);
  return found;
}

/** A clock with its own warn points and escalation, or the policy's. */
export type ClockRules = ClockPolicy & Required<Pick<PolicyValues, 'warnAt' | 'escalation'>>;

/** A clock by its name in the policy (T1 … T17, L1), with the policy's warn points and escalation where it has none of its own; throws RangeError on an unknown one. */
export function clockOf(policy: PolicyValues, name: string): ClockRules {
  const clock = named('clock', policy.clocks, name);
  return { ...clock, warnAt: clock.warnAt ?? policy.warnAt, escalation: clock.escalation ?? policy.escalation };
}

/** A window's length in milliseconds; throws RangeError on an unknown one. */
export const windowOf = (policy: PolicyValues, name: string): number => named('window', policy.windows, name).ms;

/** The lowest role that may decide an amount alone: the manager above all limits and in a currency that has none. */
export function authorityFor(policy: PolicyValues, of: keyof PolicyValues['authority'], amount: Money): Role {
  const { agent, supervisor } = policy.authority[of];
  const within = (limits: Readonly<Record<string, number>>): boolean => amount.minor <= (limits[amount.currency] ?? -1);
  return within(agent) ? 'agent' : within(supervisor) ? 'supervisor' : 'manager';
}

/** What holds of a return for a reason, of goods of a category: the category's own terms before everybody's. */
export function returnTermsOf({ returns }: PolicyValues, reason: ReturnReason, category: string): ReturnTerms {
  const { title: _, ...terms } = returns.reasons[reason];
  return { ...terms, ...(Object.hasOwn(returns.categories, category) ? returns.categories[category]?.reasons[reason] : undefined) };
}

/** Codes that a policy names in words itself, so that it may have some of its own: what is excepted from the return without a reason. */
export const titlesOf = ({ returns }: PolicyValues): Readonly<Record<string, Text>> =>
  Object.fromEntries(Object.entries(returns.noReasonExceptions).map(([code, { title }]) => [code, title]));
