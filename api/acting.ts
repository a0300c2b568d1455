/** What people, calling systems and customers do to a case: the same transaction, whoever asks and by whichever door. */
import { lockCase, type CaseRow } from '../db/cases.ts';
import { storeInbound, type Stored } from '../db/inbox.ts';
import type { Person } from '../db/people.ts';
import { inTransaction, type Sql } from '../db/pool.ts';
import { ownerOf, seal } from '../db/sealed.ts';
import { completeTask, type Task } from '../db/tasks.ts';
import { note } from '../db/timeline.ts';
import { settleLate } from '../delivery/late.ts';
import { policyFor } from '../policies/lookup.ts';
import type { CaseId, TaskId } from '../values/ids.ts';
import { instant, type Instant } from '../values/instant.ts';
import type { EventDeclaration } from '../workflows/kit/declare.ts';
import type { Bringing } from './bringing.ts';
import type { AppDeps } from './deps.ts';
import { parted, reader } from './forms.ts';
import type { Language } from './language.ts';
import { Problem } from './problems.ts';
import type { Arrived, Delivered } from './views.ts';
import type { Words } from './words.ts';

/** Who acts, and the language in which they are told what does not fit. */
export interface Actor {
  readonly person: Person;
  readonly language: Language;
}

export interface Happened {
  readonly event: string;
  /** The sender's own. */
  readonly eventId: string;
  readonly payload: unknown;
  readonly at?: Instant | undefined;
}
/** An event that fits its declaration, on its way into a case. */
export interface Fitting extends Happened {
  readonly words: Words | undefined;
}

export interface Acting {
  /** Tells a case that something happened. `duplicate`: it was told before. */
  send(row: CaseRow, declared: EventDeclaration | undefined, happened: Happened, actor: Actor): Promise<Arrived & { readonly duplicate: boolean }>;
  /** The same inside a transaction of the caller's, who calls `arrived` after its commit. */
  store(tx: Sql, row: CaseRow, happened: Fitting, person: Person): Promise<{ readonly stored: Kept; readonly opened: readonly CaseId[] }>;
  /** What became of an event that was stored; brings it to the case. */
  arrived(row: CaseRow, of: { readonly stored: Kept; readonly opened: readonly CaseId[] }): Promise<Arrived>;
  /** Asks a case to take everything back and end. */
  withdraw(row: CaseRow, why: { readonly reason: string; readonly note?: string | undefined }, person: Person): Promise<Arrived>;
  /** Decides a task of a case that runs. */
  complete(taskId: TaskId, form: unknown, actor: Actor): Promise<{ readonly task: Task; readonly delivery: Delivered }>;
}
type Kept = Extract<Stored, { status: 'stored' | 'duplicate' }>;

export function createActing(deps: AppDeps, bringing: Bringing): Acting {
  const { pool, processes, policy, master } = deps;

  const store: Acting['store'] = async (tx, row, { event, eventId, payload, words, at }, person) => {
    const stored = await storeInbound(tx, {
      source: `person:${person.id}`,
      eventId: `${row.id}:${eventId}`,
      kind: 'event',
      name: event,
      caseId: row.id,
      body: payload,
      at: at ?? instant(Date.now()),
      limit: policyFor(policy.policy, row.shop).cases.inboxLimit,
    });
    if (stored.status === 'differs') throw new Problem('eventConflict', { eventId });
    if (stored.status === 'tooMany') throw new Problem('inboxFull', { case: row.id });
    if (words && stored.status === 'stored')
      await seal(tx, master, { caseId: row.id, owner: ownerOf(row), path: `event:${stored.id}`, value: words, by: person.id });
    // What a late arrival makes, by its declaration; the cases that were opened for it.
    const opened = stored.status === 'stored' && stored.became === 'late' ? await settleLate(tx, processes, row.id) : [];
    return { stored, opened };
  };

  const arrived: Acting['arrived'] = async (row, { stored, opened }) => {
    await bringing.startAll(opened);
    const became = await whatBecame(pool, stored);
    return became === 'taken' ? { became, delivery: await bringing.deliver(row.id) } : { became };
  };

  return {
    store,
    arrived,
    async send(row, declared, happened, { person, language }) {
      if (declared === undefined) throw new Problem('unknownEvent', { event: happened.event, of: row.process, known: eventsByCase(deps, row.process) });
      const { kept, words } = parted(declared.payload, happened.payload, 'payload', language);
      const done = await inTransaction(pool, (tx) => store(tx, row, { ...happened, payload: kept, words }, person));
      return { ...(await arrived(row, done)), duplicate: done.stored.status === 'duplicate' };
    },
    async withdraw({ id }, why, person) {
      const became = await inTransaction(pool, (tx) => withdraw(tx, id, why, person));
      return became === 'withdrawn' ? { became } : { became, delivery: await bringing.deliver(id) };
    },
    async complete(taskId, form, { person, language }) {
      // Someone who has no row in `people` is a customer: they are who their link says.
      const { task } = await inTransaction(pool, (tx) =>
        completeTask(tx, { taskId, person, now: instant(Date.now()), master, read: reader(form, deps, language) }),
      );
      return { task, delivery: await bringing.deliver(task.caseId) };
    },
  };

  async function withdraw(
    tx: Sql,
    id: CaseId,
    { reason, note: words }: { readonly reason: string; readonly note?: string | undefined },
    person: Person,
  ): Promise<string> {
    // The lock holds off the record that would take the case past no return: either it is past it here, or the withdrawal is there first.
    const row = await lockCase(tx, id);
    if (row.status === 'withdrawn') return 'withdrawn';
    if (row.status !== 'open') throw new Problem('caseEnded', { case: id, status: row.status });
    if (row.no_return) throw new Problem('noReturn', { case: id });
    const stored = await storeInbound(tx, {
      source: 'withdraw',
      eventId: id,
      kind: 'withdraw',
      name: 'withdraw',
      caseId: id,
      body: { reason },
      at: instant(Date.now()),
    });
    if (stored.status === 'stored') {
      await note(tx, id, 'withdrawAsked', 'withdrawAsked', { by: person.id, reason });
      if (words !== undefined) await seal(tx, master, { caseId: id, owner: ownerOf(row), path: 'withdraw', value: { note: words }, by: person.id });
    }
    // The case has refused it meanwhile: it was past no return in the workflow, whose record of that is on its way.
    if (stored.status === 'duplicate' && stored.became === 'refused') throw new Problem('noReturn', { case: id });
    return 'taken';
  }
}

/** Events of a process that come by case id. What a system reports by webhook, nobody else may claim. */
export const eventsByCase = ({ processes }: Pick<AppDeps, 'processes'>, process: string): string[] =>
  Object.entries(processes.get(process)?.declaration.events ?? {}).flatMap(([name, event]) => (event.from === undefined ? [name] : []));

/** `taken`: by a case that runs. Otherwise what was made of an arrival that came late. */
export async function whatBecame(sql: Sql, stored: Kept): Promise<string> {
  const { rows } = await sql.query<{ became: string | null }>('select became from inbox where id = $1', [stored.id]);
  return rows[0]?.became ?? 'taken';
}

/** The customer of a case, as one who decides: no row in `people`, one role, the case's shop. The id is the pseudonym that histories may hold. */
export const customerOf = (row: Pick<CaseRow, 'id' | 'customer' | 'shop'>): Person => ({
  id: `customer:${row.customer ?? row.id}` as Person['id'],
  name: '',
  roles: ['customer'],
  shops: [row.shop],
  active: true,
  absentUntil: null,
});
