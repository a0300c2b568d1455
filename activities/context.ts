/** What activities work with: made once per worker, passed in, so that tests bring their own systems and processes. */
import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { CaseRow } from '../db/cases.ts';
import type { LinkMaking } from '../db/links.ts';
import { pinnedPolicy } from '../db/policies.ts';
import type { Pool, Sql } from '../db/pool.ts';
import type { LoadedPolicy } from '../policies/load.ts';
import { policyFor } from '../policies/lookup.ts';
import type { PolicyValues } from '../policies/schema.ts';
import type { CallTarget } from '../systems/client.ts';
import type { SystemContract } from '../systems/contract.ts';
import type { CaseId, EffectKey } from '../values/ids.ts';
import type { EffectAnswer } from '../workflows/kit/protocol.ts';
import type { Processes } from '../workflows/registry.ts';

/** An operation of a system of our own, in Postgres: runs inside the transaction that records it. */
export type OwnOperation = (tx: Sql, call: { readonly case: CaseId; readonly key: EffectKey; readonly args: unknown }) => Promise<EffectAnswer>;

export interface Engine {
  readonly pool: Pool;
  readonly temporal: Client;
  readonly processes: Processes;
  readonly systems: Readonly<Record<string, SystemContract>>;
  /** In force now: what no case pins yet goes by it. */
  readonly policy: LoadedPolicy;
  /** `<system>.<operation>` of ours. */
  readonly own: Readonly<Record<string, OwnOperation>>;
  /** Where a system is, from configuration. */
  readonly target: (system: string) => Pick<CallTarget, 'baseUrl' | 'token'>;
  /** What customers' links are made with. */
  readonly links: LinkMaking;
  readonly log: Logger;
}

/** The policy values a case is pinned to, for its shop. */
export const policyOf = async (sql: Sql, row: Pick<CaseRow, 'manifest' | 'shop'>): Promise<PolicyValues> =>
  policyFor(await pinnedPolicy(sql, row.manifest.policy), row.shop);
