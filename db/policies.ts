/** Published policies, by version. A version never changes, so one read is kept for the life of the process. */
import type { LoadedPolicy } from '../policies/load.ts';
import { completed } from '../policies/lookup.ts';
import type { Policy } from '../policies/schema.ts';
import type { Sql } from './pool.ts';

const known = new Map<string, Policy>();
let inForce: Policy | undefined;

/** What this process runs on: published versions that lack a value have it from here (`completed`). */
export function policyInForce(policy: Policy): void {
  inForce = policy;
  known.clear();
}

/** Stores a policy under its version, and runs on it; storing it again changes nothing. */
export async function publishPolicy(sql: Sql, loaded: LoadedPolicy): Promise<void> {
  policyInForce(loaded.policy);
  const source = loaded.source.map((s) => s.file.split('/').at(-1)).join(' < ');
  await sql.query('insert into policies (version, source, document) values ($1, $2, $3) on conflict (version) do nothing', [
    loaded.version,
    source,
    JSON.stringify(loaded.policy),
  ]);
}

/** The policy a case is pinned to; throws when it was never published here. */
export async function pinnedPolicy(sql: Sql, version: string): Promise<Policy> {
  const held = known.get(version);
  if (held) return held;
  const { rows } = await sql.query<{ document: Policy }>('select document from policies where version = $1', [version]);
  const [row] = rows;
  if (row === undefined) throw new Error(`policy ${version} was never published to this database`);
  const policy = inForce === undefined ? row.document : completed(row.document, inForce);
  known.set(version, policy);
  return policy;
}
