/** The newest state of something outside: a parcel, a refund. */
import type { Sql } from './pool.ts';

export interface OutsideState {
  /** `<system>.<event>`. */
  readonly source: string;
  readonly key: string;
  readonly state: string;
  /** Of two states of the same moment the higher rank is the later one. */
  readonly rank: number;
  readonly at: string;
}

/** Keeps a state unless a newer one stands, whatever the order of arrival. One statement, so two that arrive at once cannot overtake each other. */
export async function recordState(tx: Sql, { source, key, state, rank, at }: OutsideState): Promise<void> {
  await tx.query(
    `insert into outside_states as s (source, key, state, rank, at) values ($1, $2, $3, $4, $5)
     on conflict (source, key) do update set state = excluded.state, rank = excluded.rank, at = excluded.at where (s.at, s.rank) < (excluded.at, excluded.rank)`,
    [source, key, state, rank, at],
  );
}
