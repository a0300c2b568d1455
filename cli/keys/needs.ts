/** Who still needs a key that seals no more. */
import { Connection } from '@temporalio/client';
import { casesOpenedBefore } from '../../db/cases.ts';
import { liveLinks } from '../../db/links.ts';
import { connectPool, type Pool } from '../../db/pool.ts';
import { keysByMaster } from '../../db/sealed.ts';
import type { Key } from '../../keys/ring.ts';
import { instant, plus, type Instant } from '../../values/instant.ts';
import type { Places, RingName } from './places.ts';

/**
 * A process reads a changed file within a second; one whose file is a copy that Kubernetes or a secret manager brings may seal with the old key for some
 * minutes more.
 */
export const spreadMs = 10 * 60_000;

export interface Need {
  /** What needs the key, in words; undefined when nothing does. */
  readonly why: string | undefined;
  /** Whether what needs it is only lost in part, so that somebody may decide to end it: links that are out. */
  readonly mayEnd?: true;
}
export interface Needs {
  /** Throws an Error that says what is missing when it cannot be known. */
  of(ring: RingName, key: Key): Promise<Need>;
  close(): Promise<void>;
}

const day = (at: Instant | Date): string => `${instant(new Date(at)).slice(0, 16).replace('T', ' ')} UTC`;
const many = (n: number, one: string, several: string): string => `${n.toLocaleString('en')} ${n === 1 ? one : several}`;

export function openNeeds(places: Places, now: Instant): Needs {
  let pool: Pool | undefined;
  let connection: Promise<Connection> | undefined;
  const database = (): Pool => {
    if (places.DATABASE_URL === undefined) throw new Error('who needs it is known to Postgres: start the stack, or set DATABASE_URL');
    // A count over a large table takes longer than a caller of the API would wait.
    return (pool ??= connectPool(places.DATABASE_URL, 'kefu-keys', 2));
  };
  const temporal = (): Promise<Connection> => {
    if (places.TEMPORAL_ADDRESS === undefined) throw new Error('which histories are kept is known to Temporal: start the stack, or set TEMPORAL_ADDRESS');
    return (connection ??= Connection.connect({ address: places.TEMPORAL_ADDRESS, connectTimeout: '5s' }));
  };

  /** What began before a key gave way to the next may hold payloads that it sealed, for as long as it runs or its history is kept. */
  async function histories(before: Instant): Promise<string | undefined> {
    const { workflowService } = await temporal();
    const namespace = places.TEMPORAL_NAMESPACE;
    const { config } = await workflowService.describeNamespace({ namespace });
    const keptMs = 1000 * Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0);
    const began = `StartTime < '${before}'`;
    const [running, ended] = await Promise.all(
      ["ExecutionStatus = 'Running'", "ExecutionStatus != 'Running'"].map(async (status) =>
        Number((await workflowService.countWorkflowExecutions({ namespace, query: `${began} AND ${status}` })).count),
      ),
    );
    // A run that a reset began starts later than the events that it took over: the case knows.
    const cases = await casesOpenedBefore(database(), before, plus(now, -keptMs));
    const open = Math.max(running ?? 0, cases.open);
    const kept = Math.max(ended ?? 0, cases.ended);
    if (open + kept === 0) return undefined;
    const last = cases.lastEnd && plus(cases.lastEnd, keptMs);
    const until =
      open > 0
        ? `until the open ones have ended and another ${keptMs / 86_400_000} days have passed`
        : `until ${last ? day(last) : `${keptMs / 86_400_000} days after the last of them ended`}`;
    return `${many(open, 'open case', 'open cases')} and ${many(kept, 'ended one', 'ended ones')} whose history Temporal keeps began while it sealed: they need it ${until}`;
  }

  async function of(ring: RingName, key: Key): Promise<Need> {
    // Of a key that somebody replaced by hand it is not known when; then it may be in anything that there is.
    const before = plus(key.until ?? now, spreadMs);
    // Nothing was ever sealed with one that waits.
    const settled = key.next || key.until === undefined || before <= now;
    const spreading = settled
      ? undefined
      : `it sealed until ${day(key.until ?? now)}, and a process that has not read the file again may seal with it until ${day(before)}`;
    switch (ring) {
      case 'personal': {
        const rows = (await keysByMaster(database())).get(key.id);
        return {
          why: rows
            ? `${many(rows.rows, "customer's key is", "customers' keys are")} sealed under it, the oldest of ${day(rows.oldest)}: npm run keys -- rewrap`
            : spreading,
        };
      }
      case 'codec':
        return { why: key.next ? undefined : ((await histories(before)) ?? spreading) };
      case 'link': {
        if (key.next) return { why: undefined };
        const { links, until } = await liveLinks(database(), before);
        return {
          why: links > 0 && until ? `${many(links, 'link', 'links')} that may be signed with it still open a case, the last until ${day(until)}` : spreading,
          mayEnd: true,
        };
      }
      default:
        return ring satisfies never;
    }
  }

  return {
    of,
    async close() {
      await pool?.end();
      if (connection) await connection.then((open) => open.close()).catch(() => undefined);
    },
  };
}
