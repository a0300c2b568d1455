/** What an attack is: a name, what it tries, what has to hold, and whether it may leave anything. */
import type { Operation } from './document.ts';
import type { Ground, Shop } from './ground.ts';
import type { Probe } from './probe.ts';

/** Where attacks are made whose requests somebody may make: a case of its own, so that what was there before stays as it was. */
export interface Playground {
  readonly case: string;
  readonly task: string;
  readonly evidence: string;
  readonly link: string;
  readonly linkId: string;
}

export interface Scene extends Ground {
  readonly operations: readonly Operation[];
  /** Numbers from 0 to 1, the same for the same seed. */
  readonly draw: () => number;
  readonly playground: () => Promise<Playground>;
}

export interface Attack {
  readonly name: string;
  readonly tries: string;
  readonly holds: string;
  /**
   * `nothing`: every row of every table is as it was. `rows`: what is sent is of a kind that is taken, so rows of its own may come; every row that was there
   * when the attacks began is as it was. `others`: whoever may, does, to cases of the own shop; every row about the other shop is as it was.
   */
  readonly leaves: 'nothing' | 'rows' | 'others';
  /** Its connections wait for most of its time: the attacks after it go on meanwhile. */
  readonly beside?: true;
  readonly run: (probe: Probe, scene: Scene) => Promise<void>;
}

/** As many at once: an attacker does not wait, and the API is to answer others meanwhile. */
const atOnce = 8;

/** Does the same with each item, several at once. */
export async function forEach<T>(items: Iterable<T>, work: (item: T) => Promise<unknown>): Promise<void> {
  const rest = items[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let next = rest.next(); next.done !== true; next = rest.next()) await work(next.value);
    }),
  );
}

/** What is there, for the path of any operation: a task's id where that is about tasks, else a case's. */
export const idsFor = ({ path }: Pick<Operation, 'path'>, { cases, tasks, evidence, linkIds }: Shop): Readonly<Record<string, string>> => ({
  id: path.startsWith('/v1/tasks') ? tasks.review : cases.review,
  evidence,
  process: 'return-exchange',
  event: 'ownCourier',
  link: linkIds.open,
  effect: 'order',
});

export const casePath = (id: string, rest = ''): string => `/v1/cases/${encodeURIComponent(id)}${rest}`;
export const taskPath = (id: string, rest = ''): string => `/v1/tasks/${encodeURIComponent(id)}${rest}`;
