/** What supervisors look at over many cases: 退换货原因与损失. */
import type { Money } from '../values/money.ts';
import type { Instant } from '../values/instant.ts';
import { everyShop } from './people.ts';
import type { Sql } from './pool.ts';

/** What causes and losses may be counted by: columns of return_causes. */
export const countedBy = ['reason', 'cause', 'product', 'disposition'] as const;
export type CountedBy = (typeof countedBy)[number];

export interface CountedReturns {
  /** A code, or a product's id. */
  readonly key: string;
  readonly units: number;
  readonly cases: number;
  readonly loss: Money;
}

export interface CountReturns {
  /** '*': every shop. */
  readonly shops: readonly string[];
  readonly from: Instant;
  /** Exclusive. */
  readonly to: Instant;
  readonly by: CountedBy;
  readonly limit: number;
}

/**
 * Units that came back in a time, how many cases they were of and what they cost, by reason, cause, product or disposition and by currency; most units first.
 * One range of index return_causes_of_shop per shop; whoever serves every shop asks that index which shops there are, one step for each.
 */
export async function countReturns(sql: Sql, { shops, from, to, by, limit }: CountReturns): Promise<CountedReturns[]> {
  const everywhere = shops.includes(everyShop);
  const { rows } = await sql.query<{ key: string; currency: string; units: number; cases: number; loss: number }>(
    `with recursive every (shop) as (
       select min(shop) from return_causes where $5
       union all select (select min(r.shop) from return_causes r where r.shop > every.shop) from every where every.shop is not null
     ), mine as (select shop from every where shop is not null union select unnest($1::text[]) where not $5)
     select c.${by} as key, c.currency, count(*)::int as units, count(distinct c.case_id)::int as cases, sum(c.loss_minor)::bigint as loss
     from mine cross join lateral (select * from return_causes r where r.shop = mine.shop and r.at >= $2 and r.at < $3) c
     group by 1, 2 order by units desc, loss desc, key, c.currency limit $4`,
    [shops, from, to, limit, everywhere],
  );
  return rows.map(({ key, currency, units, cases, loss }) => ({ key, units, cases, loss: { minor: loss, currency } }));
}
