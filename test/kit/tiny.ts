/** What tests do with cases of the tiny process (test/processes/tiny). */
import type { Stored } from '../../db/inbox.ts';
import type { CaseId } from '../../values/ids.ts';
import type { Manifest } from '../../workflows/kit/protocol.ts';
import type { Kit } from './harness.ts';

export interface TinyCases {
  /** A new case that runs this script; `more` of its input, and other limits than the policy's. */
  readonly open: (script: string, more?: object, other?: Partial<Manifest>) => Promise<CaseId>;
  readonly withdraw: (of: CaseId) => Promise<Stored>;
  /** The event `said`, delivered; the same words again are the same event. */
  readonly say: (of: CaseId, words: string) => Promise<Stored>;
}

/** The kit is there once the file's `beforeAll` has run. */
export function tinyCases(kit: () => Kit): TinyCases {
  let count = 0;
  return {
    open: async (script, more = {}, other = {}) => (await kit().open('tiny', { id: `${script}-${++count}`, shop: 'shop-1', script, ...more }, other)).id,
    withdraw: (of) =>
      kit().send({ source: 'upstream', eventId: `w-${of}-${++count}`, kind: 'withdraw', name: 'withdraw', caseId: of, body: { reason: 'changed mind' } }),
    say: (of, words) => kit().send({ source: 'upstream', eventId: `${of}-${words}`, kind: 'event', name: 'said', caseId: of, body: { words } }),
  };
}
