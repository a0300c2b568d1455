/** Who decides and who calls: the service department's people, the customer, and systems upstream. */
export const roles = [
  'agent',
  'supervisor',
  'manager',
  'warehouse',
  'quality',
  'production',
  'finance',
  'tech',
  'rnd',
  'sales',
  'ops',
  'upstream',
  'customer',
] as const;
export type Role = (typeof roles)[number];

/** The ladder that authority and escalation climb: 客服 → 主管 → 经理. */
export const ladder = ['agent', 'supervisor', 'manager'] as const satisfies readonly Role[];

/** The next role up the ladder; a role beside it climbs to the supervisor; the manager is the top. */
export function above(role: Role): Role {
  const at = (ladder as readonly Role[]).indexOf(role);
  return at < 0 ? 'supervisor' : (ladder[at + 1] ?? 'manager');
}

/** Whether a person with role `has` may decide what asks for `needs`: the same, or higher on the ladder. */
export function covers(has: Role, needs: Role): boolean {
  const rank = (r: Role): number => (ladder as readonly Role[]).indexOf(r);
  return has === needs || (rank(needs) >= 0 && rank(has) > rank(needs));
}
