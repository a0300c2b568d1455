/** What the app works with: made by main.ts, or by a test. */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { CaseRow } from '../db/cases.ts';
import type { LinkMaking } from '../db/links.ts';
import type { Pool } from '../db/pool.ts';
import type { MasterKeys } from '../db/sealed.ts';
import type { EvidenceStore } from '../evidence/store.ts';
import type { LoadedPolicy } from '../policies/load.ts';
import type { CaseId } from '../values/ids.ts';
import type { Admission } from './admission.ts';
import type { Declared } from './forms.ts';
import type { TokenCheck } from './token.ts';

/** Brings what Postgres holds to Temporal. `unreachable`: stored all the same, and brought by a sweep. */
export interface Delivery {
  start(row: CaseRow): Promise<'started' | 'unreachable'>;
  deliver(of: CaseId): Promise<'delivered' | 'nothing' | 'unreachable'>;
  look(): Promise<Seen>;
}

/** What Temporal says of itself and its workers. */
export interface Seen {
  readonly temporal: boolean;
  /** One polls for cases. */
  readonly worker: boolean;
  /** A worker has taken something within the last half minute. */
  readonly moves: boolean;
  /** How long the oldest task has waited for a worker. */
  readonly behindMs: number;
}

export interface AppDeps extends Declared {
  readonly pool: Pool;
  readonly policy: LoadedPolicy;
  readonly delivery: Delivery;
  readonly checkToken: TokenCheck;
  /** The secrets of a source, the newest first; more than one while it changes them. */
  readonly webhookSecrets: (source: string) => readonly string[];
  readonly master: MasterKeys;
  readonly log: Logger;
  readonly metrics: Registry;
  /** Requests a minute of one caller. */
  readonly ratePerMinute: number;
  /** What customers' links are made and checked with. */
  readonly links: LinkMaking;
  /** Requests a minute with one link; ten times as many from one address, which many customers of a mobile network share. */
  readonly linkRatePerMinute: number;
  /** How many proxies of ours stand before us: the caller's address is what the outermost one saw. */
  readonly proxies: number;
  readonly evidence: EvidenceStore;
  readonly admission: Admission;
  /** Above so much that the engine has not taken in, new cases are refused: what an outage of minutes leaves is carried, a longer one is not hidden. */
  readonly backlogMost: number;
  /** Temporal's own page, for the link from a case to its run. */
  readonly temporalUi?: { readonly url: string; readonly namespace: string } | undefined;
}
