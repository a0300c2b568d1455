/**
 * Tasks of people. The row decides: opening, claiming, deciding, expiring, withdrawing and escalating are statements on it, each under `status = 'open'`,
 * so of two that meet exactly one wins and the other sees who.
 *
 * Lock order, everywhere: the case's row, then the task's. The lock on the case is also what makes four eyes sound: hands of the case are written and
 * read under it, so two people cannot become each other's checker at the same moment.
 */
import { Counter } from 'prom-client';
import type { CaseId, PersonId, TaskId } from '../values/ids.ts';
import { taskId } from '../values/ids.ts';
import { contentHash } from '../values/hash.ts';
import { instant, type Instant } from '../values/instant.ts';
import type { Money } from '../values/money.ts';
import { above, covers, ladder, type Role } from '../values/role.ts';
import type { TaskDecision, TaskState } from '../workflows/kit/protocol.ts';
import { lockCase, nowLocked, type CaseRow } from './cases.ts';
import { findEffect } from './effects.ts';
import { storeInbound } from './inbox.ts';
import { addJob } from './jobs.ts';
import { decidable, everyShop, findPerson, serves, type Person } from './people.ts';
import { inTransaction, whenCommitted, type Pool, type Sql } from './pool.ts';
import { Refused } from './refused.ts';
import { open as openSealed, ownerOf, seal, type MasterKeys } from './sealed.ts';
import { note } from './timeline.ts';

/** The built-in task in which a second person decides whether an effect that was recorded is sent again. */
export const redoTask = 'redo';

export type TaskStatus = TaskState['status'];
export interface Task {
  readonly id: TaskId;
  readonly caseId: CaseId;
  readonly path: string;
  readonly name: string;
  readonly process: string;
  readonly shop: string;
  /** Who decides now; climbs on escalation. */
  readonly role: Role;
  readonly declaredRole: Role;
  readonly amount: Money | null;
  readonly context: Readonly<Record<string, unknown>>;
  readonly formVersion: number;
  readonly notBy: readonly string[];
  readonly clocks: readonly string[];
  readonly status: TaskStatus;
  readonly assignee: PersonId | null;
  readonly heldUntil: Instant | null;
  readonly openedAt: Instant;
  readonly expiresAt: Instant | null;
  readonly decidedBy: PersonId | null;
  readonly decidedRole: Role | null;
  readonly decidedAt: Instant | null;
  /** The decision without free text. */
  readonly form: unknown;
  readonly closedAt: Instant | null;
  /** Where the next page of a list goes on. */
  readonly cursor: readonly [openedAt: string, id: string];
}

interface TaskRow {
  readonly id: TaskId;
  readonly case_id: CaseId;
  readonly path: string;
  readonly name: string;
  readonly process: string;
  readonly shop: string;
  readonly role: Role;
  readonly declared_role: Role;
  readonly amount_minor: number | null;
  readonly currency: string | null;
  readonly context: Record<string, unknown>;
  readonly form_version: number;
  readonly not_by: string[];
  readonly clocks: string[];
  readonly status: TaskStatus;
  readonly assignee: PersonId | null;
  readonly held_until: Date | null;
  readonly opened_by_run: string;
  readonly opened_at: Date;
  readonly expires_at: Date | null;
  readonly decided_by: PersonId | null;
  readonly decided_role: Role | null;
  readonly decided_at: Date | null;
  readonly form: unknown;
  readonly closed_at: Date | null;
  /** Microseconds included: a cursor cut to milliseconds would repeat or leave out rows. */
  readonly opened_text: string;
}
const columns = 't.*, t.opened_at::text as opened_text';
const at = (date: Date | null): Instant | null => date && instant(date);
const task = (row: TaskRow): Task => ({
  id: row.id,
  caseId: row.case_id,
  path: row.path,
  name: row.name,
  process: row.process,
  shop: row.shop,
  role: row.role,
  declaredRole: row.declared_role,
  amount: row.amount_minor === null || row.currency === null ? null : { minor: row.amount_minor, currency: row.currency },
  context: row.context,
  formVersion: row.form_version,
  notBy: row.not_by,
  clocks: row.clocks,
  status: row.status,
  assignee: row.assignee,
  heldUntil: at(row.held_until),
  openedAt: instant(row.opened_at),
  expiresAt: at(row.expires_at),
  decidedBy: row.decided_by,
  decidedRole: row.decided_role,
  decidedAt: at(row.decided_at),
  form: row.form,
  closedAt: at(row.closed_at),
  cursor: [row.opened_text, row.id],
});

// ---------------------------------------------------------------------------------------------------------------- opened and closed by the case

export interface OpenTask {
  readonly caseId: CaseId;
  readonly path: string;
  readonly name: string;
  readonly process: string;
  readonly shop: string;
  /** Declared, or named by the body. */
  readonly role?: Role | undefined;
  readonly amount?: Money | undefined;
  /** The lowest role that may decide the amount alone, by the policy the case is pinned to. */
  readonly amountRole?: Role | undefined;
  readonly context: object;
  readonly formVersion: number;
  readonly notBy: readonly string[];
  readonly clocks: readonly string[];
  readonly expiresAt?: Instant | undefined;
  /** The workflow run that opens it. */
  readonly run: string;
}

/** Who decides: the amount's role on the ladder, never below the one that was named; a role beside the ladder stays what it is. */
function routed({ role, amountRole, path }: OpenTask): Role {
  const to = role === undefined || (amountRole !== undefined && covers(amountRole, role)) ? amountRole : role;
  if (to === undefined) throw new RangeError(`task ${path} has neither a role nor an amount to find one by`);
  return to;
}

/**
 * The first role from `role` upwards that somebody has who may decide here: four eyes leave some out, and a task that only they could decide would wait
 * for ever. Where nobody above is free either, the role stays: a climb to an empty rung helps nobody.
 */
async function climbed(tx: Sql, role: Role, of: CaseRow, notBy: readonly string[], asker?: PersonId): Promise<Role> {
  if (notBy.length === 0) return role;
  const rungs = [role];
  for (let next = above(role); !rungs.includes(next); next = above(next)) rungs.push(next);
  const { rows } = await tx.query<{ roles: Role[] }>(
    `select p.roles from people p where p.active and p.shops && $1 and p.id <> all($2)
     and not exists (select 1 from task_hands h where h.case_id = $3 and h.task_name = any($4) and h.person = p.id)`,
    [[of.shop, everyShop], [of.starter, ...(asker ? [asker] : [])], of.id, notBy],
  );
  return rungs.find((rung) => rows.some((free) => free.roles.includes(rung))) ?? role;
}

const decision = (row: TaskRow): TaskDecision => {
  if (row.decided_by === null || row.decided_role === null || row.decided_at === null) throw new Error(`task ${row.id} is done and nobody decided it`);
  return { form: row.form, by: row.decided_by, role: row.decided_role, decidedAt: instant(row.decided_at) };
};
const state = (row: TaskRow): TaskState =>
  row.status === 'done' ? { path: row.path, status: 'done', decision: decision(row) } : { path: row.path, status: row.status };

/**
 * Opens a task, or adopts what stands. A decision stands for ever: a workflow that was reset or replayed gets it again. An open row stays as people see it.
 * One that was closed undecided is opened again, but only for another run than the one that closed it: a late repetition of the first call must not bring
 * back a task that its own case has closed since.
 */
export async function openTask(tx: Sql, open: OpenTask): Promise<TaskState> {
  const of = await lockCase(tx, open.caseId);
  const id = taskId(open.caseId, open.path);
  const { rows } = await tx.query<TaskRow>(`select ${columns} from tasks t where id = $1`, [id]);
  const [stands] = rows;
  if (stands !== undefined && (stands.status === 'open' || stands.status === 'done' || stands.opened_by_run === open.run)) return state(stands);
  const declared = routed(open);
  await tx.query(
    `insert into tasks (id, case_id, path, name, process, shop, role, declared_role, amount_minor, currency, context, form_version, not_by, clocks, expires_at, opened_by_run)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
     on conflict (id) do update set role = excluded.role, declared_role = excluded.declared_role, amount_minor = excluded.amount_minor, currency = excluded.currency,
       context = excluded.context, form_version = excluded.form_version, not_by = excluded.not_by, clocks = excluded.clocks, expires_at = excluded.expires_at,
       opened_by_run = excluded.opened_by_run, status = 'open', assignee = null, held_until = null, closed_at = null, opened_at = excluded.opened_at`,
    [
      id,
      open.caseId,
      open.path,
      open.name,
      open.process,
      open.shop,
      await climbed(tx, declared, of, open.notBy),
      declared,
      open.amount?.minor ?? null,
      open.amount?.currency ?? null,
      JSON.stringify(open.context),
      open.formVersion,
      open.notBy,
      open.clocks,
      open.expiresAt ?? null,
      open.run,
    ],
  );
  await note(tx, open.caseId, `task:${open.path}:opened:${open.run}`, 'taskOpened', { task: open.path, name: open.name, ...(stands ? { again: true } : {}) });
  return { path: open.path, status: 'open' };
}

/**
 * Closes those of the tasks that are still open, in one statement, and says how each one stands: a row that was completed first comes back with its decision.
 * A path that was never opened counts as closed.
 */
export async function closeTasks(tx: Sql, caseId: CaseId, paths: readonly string[], as: 'expired' | 'withdrawn' | 'lost'): Promise<TaskState[]> {
  if (paths.length === 0) return [];
  await lockCase(tx, caseId);
  const closed = await tx.query<{ path: string }>(
    `update tasks set status = $3, closed_at = now() where case_id = $1 and path = any($2) and status = 'open' returning path`,
    [caseId, paths, as],
  );
  for (const { path } of closed.rows) await note(tx, caseId, `task:${path}:${as}`, 'taskClosed', { task: path, as });
  // A statement of its own: one that closes and reads at once would read what stood before it waited for another's lock.
  const { rows } = await tx.query<TaskRow>(`select ${columns} from tasks t where case_id = $1 and path = any($2)`, [caseId, paths]);
  const stands = new Map(rows.map((row) => [row.path, state(row)]));
  return paths.map((path) => stands.get(path) ?? { path, status: as });
}

/** Closes every task that is still open when a case ends; redo tasks are no part of its run and stay. */
export async function closeAllTasks(tx: Sql, caseId: CaseId): Promise<void> {
  await lockCase(tx, caseId);
  const { rows } = await tx.query<{ path: string }>(
    `update tasks set status = 'withdrawn', closed_at = now() where case_id = $1 and status = 'open' and name <> $2 returning path`,
    [caseId, redoTask],
  );
  for (const { path } of rows) await note(tx, caseId, `task:${path}:withdrawn`, 'taskClosed', { task: path, as: 'withdrawn' });
}

/** Opens again what was withdrawn when the case broke at this instant, for a case that goes on. */
export async function reopenTasks(tx: Sql, caseId: CaseId, at: Date): Promise<void> {
  const { rows } = await tx.query<{ path: string }>(
    // To the millisecond: a Date has no more.
    `update tasks set status = 'open', closed_at = null where case_id = $1 and status = 'withdrawn' and date_trunc('milliseconds', closed_at) = $2 returning path`,
    [caseId, at],
  );
  for (const { path } of rows) await note(tx, caseId, `task:${path}:reopened:${at.toISOString()}`, 'taskOpened', { task: path, again: true });
}

/**
 * A clock has broken: the open tasks that name it climb to `to`, and whoever had claimed them below lets go of them. A task of a role beside the ladder
 * (quality, warehouse) stays there: a supervisor is told, but does not do their work.
 */
export async function escalateTasks(tx: Sql, caseId: CaseId, clock: string, to: Role): Promise<TaskId[]> {
  await lockCase(tx, caseId);
  const below = ladder.filter((role) => role !== to && covers(to, role));
  const { rows } = await tx.query<{ id: TaskId; path: string }>(
    `update tasks set role = $3, assignee = null, held_until = null where case_id = $1 and status = 'open' and $2 = any(clocks) and role = any($4) returning id, path`,
    [caseId, clock, to, below],
  );
  for (const { path } of rows) await note(tx, caseId, `task:${path}:escalated:${to}`, 'taskEscalated', { task: path, to, clock });
  return rows.map((row) => row.id);
}

// ---------------------------------------------------------------------------------------------------------------- what people do with a task

interface InHand {
  readonly of: CaseRow;
  readonly row: TaskRow;
  readonly person: Person;
}

/**
 * Locks case and task for a person, who is read as they are now; a customer, who has no row, comes as they are. What belongs to another shop does not exist for
 * them.
 */
async function takeInHand(tx: Sql, id: TaskId, who: PersonId | Person): Promise<InHand> {
  const { rows } = await tx.query<CaseRow>('select * from cases where id = (select case_id from tasks where id = $1) for no key update', [id]);
  const [of] = rows;
  if (of === undefined) throw new Refused('taskNotFound', { task: id });
  nowLocked(tx, of);
  const locked = await tx.query<TaskRow>(`select ${columns} from tasks t where id = $1 for no key update`, [id]);
  const [row] = locked.rows;
  const person = typeof who === 'string' ? await findPerson(tx, who) : who;
  if (row === undefined || !person?.active || !serves(person, row.shop)) throw new Refused('taskNotFound', { task: id });
  return { of, row, person };
}

function mustBeOpen(row: TaskRow): void {
  if (row.status === 'open') return;
  throw new Refused('taskClosed', { task: row.id, status: row.status, by: row.decided_by, form: row.form, at: at(row.closed_at) });
}

/** Whether these roles may decide a task. What failed is also mended by operations, whoever it has climbed to. */
const mayDecide = (has: readonly Role[], { role, name }: Pick<TaskRow, 'role' | 'name'>): boolean =>
  decidable(has).includes(role) || (name === 'repair' && has.includes('ops'));

function mustHaveRole(person: Person, row: TaskRow): void {
  if (!mayDecide(person.roles, row)) throw new Refused('notAuthorized', { task: row.id, needs: row.role });
}

function mustNotBeAnothers(person: Person, row: TaskRow): void {
  if (row.assignee !== null && row.assignee !== person.id) throw new Refused('taskClaimed', { task: row.id, by: row.assignee });
}

/**
 * Four eyes. Left out are who started the case and everyone with a hand in any task named in `notBy`: who decided it, who handed it to someone, and who
 * claimed it and did not give it back. Read from the hands and not from roles, so neither a delegation nor a change of role gets round it.
 * Who asked for a task himself (a redo) may not decide it either.
 */
async function mustBeOtherEyes(tx: Sql, personId: PersonId, { of, row }: Pick<InHand, 'of' | 'row'>): Promise<void> {
  // Nobody is left out of most tasks; a redo always leaves some out.
  if (row.not_by.length === 0) return;
  if (of.starter === personId) throw new Refused('fourEyes', { task: row.id, person: personId, because: 'started', of: of.id });
  const { rows } = await tx.query<{ task_id: string; how: string }>(
    `select task_id, how from task_hands where case_id = $1 and person = $2 and ((task_name = any($3) and task_id <> $4) or (task_id = $4 and how = 'asked')) limit 1`,
    [of.id, personId, row.not_by, row.id],
  );
  if (rows[0]) throw new Refused('fourEyes', { task: row.id, person: personId, because: rows[0].how, of: rows[0].task_id });
}

async function hand(tx: Sql, row: TaskRow, person: PersonId, how: 'asked' | 'claimed' | 'delegated' | 'decided'): Promise<void> {
  await tx.query('insert into task_hands (task_id, case_id, task_name, person, how) values ($1, $2, $3, $4, $5) on conflict do nothing', [
    row.id,
    row.case_id,
    row.name,
    person,
    how,
  ]);
}

async function update(tx: Sql, id: TaskId, set: string, values: readonly unknown[]): Promise<Task> {
  const { rows } = await tx.query<TaskRow>(`update tasks t set ${set} where id = $1 and status = 'open' returning ${columns}`, [id, ...values]);
  if (rows[0] === undefined) throw new Error(`task ${id} was locked open and is not`);
  return task(rows[0]);
}

export interface Act {
  readonly taskId: TaskId;
  readonly person: PersonId;
}

/** The task is the person's. Again by the same person: the same. */
export async function claimTask(tx: Sql, act: Act): Promise<Task> {
  const held = await takeInHand(tx, act.taskId, act.person);
  mustBeOpen(held.row);
  mustHaveRole(held.person, held.row);
  mustNotBeAnothers(held.person, held.row);
  await mustBeOtherEyes(tx, act.person, held);
  await hand(tx, held.row, act.person, 'claimed');
  await note(tx, held.of.id, `task:${held.row.path}:claimed:${act.person}`, 'taskClaimed', { task: held.row.path, by: act.person });
  return update(tx, act.taskId, 'assignee = $2', [act.person]);
}

/** Gives a claimed task back. Who looked and did not decide had no hand in it. */
export async function releaseTask(tx: Sql, act: Act): Promise<Task> {
  const { of, row, person } = await takeInHand(tx, act.taskId, act.person);
  mustBeOpen(row);
  mustNotBeAnothers(person, row);
  await tx.query(`delete from task_hands where task_id = $1 and person = $2 and how = 'claimed'`, [row.id, act.person]);
  await note(tx, of.id, `task:${row.path}:released:${act.person}`, 'taskReleased', { task: row.path, by: act.person });
  return update(tx, act.taskId, 'assignee = null, held_until = null', []);
}

/** Somebody who may get a task: known, at work, with the role, in the shop, and of other eyes. */
async function mustFit(tx: Sql, to: PersonId, held: InHand): Promise<void> {
  const person = await findPerson(tx, to);
  // Of somebody in other shops alone nobody learns that they exist.
  const known = person !== undefined && (serves(person, held.row.shop) || person.shops.some((shop) => serves(held.person, shop)));
  if (!known) throw new Refused('personNotFound', { person: to });
  const absent = person.absentUntil !== null && Date.parse(person.absentUntil) > Date.now();
  const lacks = !person.active
    ? 'active'
    : absent
      ? 'present'
      : !serves(person, held.row.shop)
        ? 'shop'
        : !decidable(person.roles).includes(held.row.role)
          ? 'role'
          : undefined;
  if (lacks !== undefined) throw new Refused('personNotFit', { person: to, lacks, needs: held.row.role });
  await mustBeOtherEyes(tx, to, held);
}

/** Hands one's own, or a free, task to a colleague. Whoever chooses the decider has had a hand in the decision. */
export async function delegateTask(tx: Sql, act: Act & { readonly to: PersonId }): Promise<Task> {
  const held = await takeInHand(tx, act.taskId, act.person);
  mustBeOpen(held.row);
  mustHaveRole(held.person, held.row);
  mustNotBeAnothers(held.person, held.row);
  await mustBeOtherEyes(tx, act.person, held);
  await mustFit(tx, act.to, held);
  await hand(tx, held.row, act.person, 'delegated');
  await note(tx, held.of.id, `task:${held.row.path}:delegated:${act.person}:${act.to}`, 'taskDelegated', { task: held.row.path, by: act.person, to: act.to });
  return update(tx, act.taskId, 'assignee = $2, held_until = null', [act.to]);
}

/** A supervisor gives a task to somebody, or back to the list: spreading work is no hand in its decision, unless it was his own task. */
export async function reassignTask(tx: Sql, act: Act & { readonly to: PersonId | null }): Promise<Task> {
  const held = await takeInHand(tx, act.taskId, act.person);
  mustBeOpen(held.row);
  if (!held.person.roles.some((role) => covers(role, 'supervisor'))) throw new Refused('notAuthorized', { task: held.row.id, needs: 'supervisor' });
  if (act.to !== null) await mustFit(tx, act.to, held);
  if (held.row.assignee === act.person && act.to !== null) await hand(tx, held.row, act.person, 'delegated');
  await note(tx, held.of.id, `task:${held.row.path}:reassigned:${act.person}:${act.to ?? ''}`, 'taskReassigned', {
    task: held.row.path,
    by: act.person,
    to: act.to,
  });
  return update(tx, act.taskId, 'assignee = $2, held_until = null', [act.to]);
}

/** Puts a task aside until an instant: it is the person's, and no list offers it before. Its clocks go on. */
export async function holdTask(tx: Sql, act: Act & { readonly until: Instant }): Promise<Task> {
  await claimTask(tx, act);
  return update(tx, act.taskId, 'held_until = $2', [act.until]);
}

/** What a person filled in: what the case may know, and the words, by their place in the form, that only Postgres keeps; or where it does not fit the form. */
export type Filled =
  | { readonly ok: true; readonly form: unknown; readonly words: Readonly<Record<string, unknown>> | undefined }
  | { readonly ok: false; readonly errors: readonly FormError[] };
export interface FormError {
  readonly path: string;
  readonly message: string;
}

export interface Completion {
  readonly taskId: TaskId;
  /** A customer comes whole: they have no row to read. */
  readonly person: PersonId | Person;
  readonly now: Instant;
  readonly master: MasterKeys;
  /** Checks what was filled in against the form of this task, and parts it. */
  readonly read: (of: Task) => Filled;
}

const tasksDecided = new Counter({ name: 'kefu_tasks_decided_total', help: 'Decisions of people', labelNames: ['process', 'task', 'role'] });

/**
 * Decides a task, in one transaction: role, shop, amount and four eyes as they are now, the form, the row, the free text sealed, the message to the case,
 * the timeline. Delivering the message is for after the commit. The same person with the same form again gets the same answer, and nothing is written.
 * The amount was checked when the task found its role; escalation and climbing only raise it.
 */
export async function completeTask(tx: Sql, c: Completion): Promise<{ readonly task: Task; readonly repeated: boolean }> {
  const held = await takeInHand(tx, c.taskId, c.person);
  const { of, row, person } = held;
  const filled = c.read(task(row));
  if (row.decided_by === person.id && filled.ok && (await isSame(tx, c.master, row, filled))) return { task: task(row), repeated: true };
  mustBeOpen(row);
  mustHaveRole(person, row);
  mustNotBeAnothers(person, row);
  await mustBeOtherEyes(tx, person.id, held);
  if (!filled.ok) throw new Refused('formInvalid', { task: row.id, errors: filled.errors });
  const { form, words } = filled;
  const decided: TaskDecision = { form, by: person.id, role: actingRole(person, row), decidedAt: c.now };
  const done = await update(tx, c.taskId, `status = 'done', decided_by = $2, decided_role = $3, decided_at = $4, closed_at = $4, form = $5`, [
    person.id,
    decided.role,
    c.now,
    JSON.stringify(form),
  ]);
  await hand(tx, row, person.id, 'decided');
  if (words !== undefined) await seal(tx, c.master, { caseId: of.id, owner: ownerOf(of), path: `task:${row.path}`, value: words, by: person.id });
  if (row.name === redoTask) await orderRedo(tx, row, form as RedoForm);
  else {
    const stored = await storeInbound(tx, {
      source: 'task',
      eventId: row.id,
      kind: 'decision',
      name: row.name,
      caseId: of.id,
      body: { task: row.path, decision: decided },
      at: c.now,
    });
    if (stored.status !== 'stored') throw new Error(`the decision of ${row.id} is ${stored.status} in the inbox`);
  }
  whenCommitted(tx, () => tasksDecided.inc({ process: row.process, task: row.name, role: decided.role }));
  await note(tx, of.id, `task:${row.path}:decided`, 'taskDecided', { task: row.path, name: row.name, by: person.id, role: decided.role, form });
  return { task: done, repeated: false };
}

/** The highest of the person's roles that lets them decide this: what the record says they acted as. */
function actingRole(person: Person, row: TaskRow): Role {
  const able = person.roles.filter((role) => mayDecide([role], row));
  const [role] = able.toSorted((a, b) => Number(covers(b, a)) - Number(covers(a, b)));
  if (role === undefined) throw new Error(`${person.id} decides without a role`);
  return role;
}

async function isSame(tx: Sql, master: MasterKeys, row: TaskRow, { form, words }: Extract<Filled, { ok: true }>): Promise<boolean> {
  if (contentHash(row.form) !== contentHash(form)) return false;
  const [said] = await openSealed(tx, master, row.case_id, `task:${row.path}`);
  return contentHash(said?.value ?? {}) === contentHash(words ?? {});
}

// ---------------------------------------------------------------------------------------------------------------- redo

/**
 * Asks for a recorded effect to be sent once more, on purpose, under a key of its own. Someone else has to agree: neither who asks, nor who started the case,
 * nor who mended an effect of it. One question at a time for each effect.
 */
export async function askRedo(tx: Sql, ask: { readonly caseId: CaseId; readonly effect: string; readonly person: PersonId }): Promise<Task> {
  const of = await lockCase(tx, ask.caseId);
  const effect = await findEffect(tx, of.id, ask.effect);
  if (effect === undefined) throw new Refused('effectNotFound', { case: of.id, effect: ask.effect });
  if (effect.status !== 'done') throw new Refused('effectNotDone', { case: of.id, effect: ask.effect });
  // A redo of a redo is one more redo of the first.
  const first = ask.effect.replace(/#\d+$/, '');
  const before = await tx.query<{ id: string; status: TaskStatus }>(
    `select id, status from tasks where case_id = $1 and name = $2 and context->>'effect' = $3`,
    [of.id, redoTask, first],
  );
  const open = before.rows.find((row) => row.status === 'open');
  if (open) throw new Refused('redoAsked', { effect: first, task: open.id });
  const step = `${first}#${before.rows.length + 2}`;
  const path = `${step}!${redoTask}`;
  const notBy = ['repair'];
  const role = await climbed(tx, 'supervisor', of, notBy, ask.person);
  const inserted = await tx.query<TaskRow>(
    `insert into tasks as t (id, case_id, path, name, process, shop, role, declared_role, context, form_version, not_by, opened_by_run)
     values ($1, $2, $3, $4, $5, $6, $7, 'supervisor', $8, 1, $9, 'asked') returning ${columns}`,
    [
      taskId(of.id, path),
      of.id,
      path,
      redoTask,
      of.process,
      of.shop,
      role,
      JSON.stringify({ system: effect.system, operation: effect.operation, args: effect.args, effect: first, step, askedBy: ask.person }),
      notBy,
    ],
  );
  const [row] = inserted.rows;
  if (row === undefined) throw new Error(`redo task ${path} of ${of.id} was not inserted`);
  await hand(tx, row, ask.person, 'asked');
  await note(tx, of.id, `task:${path}:opened`, 'taskOpened', { task: path, name: redoTask, by: ask.person });
  return task(row);
}

/** What the second person says to a redo. */
export type RedoForm = { readonly decision: 'approve' } | { readonly decision: 'refuse' };

/** Approved: the queue sends the effect again. In the transaction of the decision, so neither exists without the other. */
async function orderRedo(tx: Sql, row: TaskRow, { decision }: RedoForm): Promise<void> {
  if (decision !== 'approve') return;
  await addJob(tx, 'redo-effect', `redo:${row.id}`, { caseId: row.case_id, path: String(row.context['step']) });
}

// ---------------------------------------------------------------------------------------------------------------- worklists

/** Whether a person has claimed an open task of a case, or was given one: they are at work on it. */
export async function isAtWorkOn(sql: Sql, of: CaseId, person: PersonId): Promise<boolean> {
  const { rowCount } = await sql.query(`select 1 from tasks where case_id = $1 and assignee = $2 and status = 'open' limit 1`, [of, person]);
  return rowCount === 1;
}

export async function findTask(sql: Sql, id: string): Promise<Task | undefined> {
  const { rows } = await sql.query<TaskRow>(`select ${columns} from tasks t where id = $1`, [id]);
  return rows[0] && task(rows[0]);
}

/** All tasks of a case in the order they were opened. Served by the unique index on (case_id, path): a case has few. */
export async function tasksOfCase(sql: Sql, caseId: CaseId): Promise<Task[]> {
  const { rows } = await sql.query<TaskRow>(`select ${columns} from tasks t where case_id = $1 order by opened_at, id`, [caseId]);
  return rows.map(task);
}

export type Cursor = readonly [at: string, id: string];
export interface Page {
  readonly after?: Cursor | undefined;
  readonly limit: number;
}
const start: Cursor = ['-infinity', ''];

/** A person's own open tasks, oldest first. Served by index tasks_mine. */
export async function tasksOf(sql: Sql, person: PersonId, { after = start, limit }: Page, process?: string): Promise<Task[]> {
  const { rows } = await sql.query<TaskRow>(
    `select ${columns} from tasks t where status = 'open' and assignee = $1 and (opened_at, id) > ($2::timestamptz, $3) and ($5::text is null or process = $5)
     order by opened_at, id limit $4`,
    [person, ...after, limit, process ?? null],
  );
  return rows.map(task);
}

/** Whose worklist it is, and what of it. */
export interface Worklist {
  readonly shops: readonly string[];
  readonly roles: readonly Role[];
  /** Roles of whose tasks only the repairs are wanted. */
  readonly repairsOf?: readonly Role[];
  readonly process?: string | undefined;
  /** Only what this person may take now: assigned to nobody, not put aside, of other eyes. */
  readonly freeFor?: PersonId | undefined;
}

/** What a person may decide, where they serve. */
export function worklistOf({ roles: has, shops }: Pick<Person, 'roles' | 'shops'>): Worklist {
  const roles = decidable(has);
  return { shops, roles, repairsOf: has.includes('ops') ? ladder.filter((role) => !roles.includes(role)) : [] };
}

/**
 * Open tasks of roles in shops, oldest first. One index range per role and shop (tasks_open; tasks_open_of_all for who serves every shop), each read no
 * further than the page, then merged: the cost does not depend on how many tasks are open.
 */
export async function openTasks(sql: Sql, list: Worklist, { after = start, limit }: Page): Promise<Task[]> {
  const everywhere = list.shops.includes(everyShop);
  const { repairsOf = [] } = list;
  const { rows } = await sql.query<TaskRow>(
    `select ${columns} from unnest($1::text[]) as shops(shop) cross join unnest($2::text[], $8::bool[]) as roles(role, whole) cross join lateral (
       select * from tasks i
       where i.status = 'open' and i.role = roles.role ${everywhere ? '' : 'and i.shop = shops.shop'} and (i.opened_at, i.id) > ($3::timestamptz, $4)
         and (roles.whole or i.name = 'repair') and ($6::text is null or i.process = $6)
         and ($7::text is null or (i.assignee is null and (i.held_until is null or i.held_until <= now())
           and not exists (select 1 from cases c where c.id = i.case_id and c.starter = $7 and cardinality(i.not_by) > 0)
           and not exists (select 1 from task_hands h where h.case_id = i.case_id and h.person = $7
             and ((h.task_name = any(i.not_by) and h.task_id <> i.id) or (h.task_id = i.id and h.how = 'asked')))))
       order by i.opened_at, i.id limit $5
     ) t order by t.opened_at, t.id limit $5`,
    [
      everywhere ? [everyShop] : list.shops,
      [...list.roles, ...repairsOf],
      ...after,
      limit,
      list.process ?? null,
      list.freeFor ?? null,
      [...list.roles.map(() => true), ...repairsOf.map(() => false)],
    ],
  );
  return rows.map(task);
}

/** What a person would do next: the oldest of their own that is not put aside, else the oldest that is free for them. Claims nothing. */
export async function peekNext(sql: Sql, person: Person, process?: string): Promise<Task | undefined> {
  const { rows } = await sql.query<TaskRow>(
    `select ${columns} from tasks t where status = 'open' and assignee = $1 and (held_until is null or held_until <= now()) and ($2::text is null or process = $2)
     order by opened_at, id limit 1`,
    [person.id, process ?? null],
  );
  if (rows[0]) return task(rows[0]);
  const [free] = await openTasks(sql, { ...worklistOf(person), process, freeFor: person.id }, { limit: 1 });
  return free;
}

/** How many of the oldest are tried when colleagues take them at the same moment. */
const tries = 10;

/** Gives a person their next task and claims it: their own first, so that asking again after a lost answer gives the same one. */
export async function nextTask(pool: Pool, person: Person, process?: string): Promise<Task | undefined> {
  const next = await peekNext(pool, person, process);
  if (next === undefined || next.assignee === person.id) return next;
  for (const { id } of await openTasks(pool, { ...worklistOf(person), process, freeFor: person.id }, { limit: tries })) {
    try {
      // A transaction each: a case locked for a task that a colleague got first must not be held while the next is tried.
      return await inTransaction(pool, (tx) => claimTask(tx, { taskId: id, person: person.id }));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
  }
  return undefined;
}
