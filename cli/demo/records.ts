/** What our own records say when all is quiet, held against each other and against what the systems say: a part of the audit. */
import { z } from 'zod';
import { policyFor } from '../../policies/lookup.ts';
import { factsOf } from '../../systems/client.ts';
import { canonicalJson, contentHash } from '../../values/hash.ts';
import { parseInstant } from '../../values/instant.ts';
import type { AuditedCase, AuditRows, Finding, LedgerEntry, OwnRecords, TimelineRow } from './audit.ts';

type Rows = Pick<AuditRows, 'own' | 'cases' | 'ledger' | 'webhooks' | 'systems'>;
type Say = (kind: Finding['kind'], of: string, why: string) => Finding;
const say: Say = (kind, of, why) => ({ kind, case: of, why });

/** For good. A broken case keeps what it needs to go on once it is mended; that it is broken, the audit says elsewhere. */
export const hasEnded = (status: string): boolean => status !== 'open' && status !== 'broken';

/** What is wrong with everything that a case records besides its clocks. */
export function* ofRecords(rows: Rows): Generator<Finding> {
  const { own } = rows;
  const ended = new Set(own.cases.flatMap((row) => (hasEnded(row.status) ? [row.id] : [])));
  yield* ofInbox(rows, ended);
  yield* ofStates(rows);
  yield* ofEffects(rows, ended);
  yield* ofDecisions(own);
  yield* ofMessages(rows);
  yield* ofLimits(own, ended);
  yield* ofJobs(own, ended);
  const starters = new Map(own.cases.map((row) => [row.id, row.starter]));
  for (const row of rows.cases.values()) yield* ofTasks(row, starters);
  const undone = new Map(rows.ledger.flatMap(({ key, undoneAt }) => (undoneAt === null ? [] : [[key, undoneAt] as const])));
  for (const [of, timeline] of groupBy(own.timeline, (entry) => entry.case)) {
    yield* ofUndos(of, timeline, undone);
    yield* afterTheEnd(of, timeline);
  }
}

export function groupBy<T, K>(items: Iterable<T>, key: (item: T) => K): ReadonlyMap<K, readonly T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const at = key(item);
    const of = groups.get(at);
    if (of) of.push(item);
    else groups.set(at, [item]);
  }
  return groups;
}
const twice = <T>(items: Iterable<T>, key: (item: T) => string): (readonly [string, readonly T[]])[] =>
  [...groupBy(items, key)].filter(([, same]) => same.length > 1);

// ── what came in ───────────────────────────────────────────────────────────
/** Every webhook that was delivered is one row, every row was taken in or has become something, and no fact is two rows. */
function* ofInbox({ own, cases, webhooks }: Rows, ended: ReadonlySet<string>): Generator<Finding> {
  const known = new Set(own.cases.map((row) => row.id));
  const open = new Set(own.cases.flatMap((row) => (row.status === 'open' ? [row.id] : [])));
  for (const row of own.inbox) {
    const of = row.case ?? row.source;
    const name = `inbox row ${row.id} (${row.kind} ${row.name} of ${row.source})`;
    if (row.case !== null && ended.has(row.case) && !row.seen && row.became === null) yield say('lost', of, `${name} was never taken in`);
    if (row.case !== null && open.has(row.case) && !row.seen && row.became === null) yield say('stuck', of, `${name} was never brought to it`);
    if (row.kind === 'event' && row.became === 'late') yield say('lost', of, `${name} came late, and nothing became of it`);
    if (row.case === null && row.became === null && own.unclaimed.has(row.source)) yield say('lost', of, `${name} is nobody's, and no case was opened for it`);
    const opened = row.became?.startsWith('start:') === true ? row.became.slice('start:'.length) : undefined;
    if (opened !== undefined && !known.has(opened)) yield say('lost', of, `${name} opened ${opened}, which is not there`);
  }
  for (const [id, same] of twice(own.inbox, (row) => canonicalJson([row.source, row.eventId])))
    yield say('doubled', same[0]?.case ?? id, `${same.length} inbox rows are the same event ${id}`);
  const outside = own.inbox.filter((row) => row.key !== null);
  for (const [, same] of twice(outside, (row) => canonicalJson([row.source, row.key, row.bodyHash]))) {
    const [first] = same;
    if (first) yield say('doubled', first.case ?? first.source, `${same.length} inbox rows are the same ${first.name} of ${first.source} about ${first.key}`);
  }
  const here = new Set(own.inbox.flatMap((row) => [`${row.source} ${row.eventId}`, `${row.source} ${row.key} ${row.bodyHash}`]));
  for (const { system, event, id, subject, payload, delivered } of webhooks) {
    const source = `${system}.${event}`;
    if (!own.used.has(source)) continue;
    if (!delivered) yield say('stuck', subject, `webhook ${id} (${source}) was never taken from ${system}`);
    else if (!here.has(`${source} ${id}`) && !here.has(`${source} ${subject} ${hashOf(event, payload)}`))
      yield say('lost', subject, `webhook ${id} (${source}) was delivered, and the inbox does not have it`);
  }
  const decided = groupBy(
    own.inbox.filter((row) => row.source === 'task'),
    (row) => row.eventId,
  );
  for (const { id, tasks } of cases.values())
    for (const task of tasks)
      if (task.status === 'done' && task.name !== 'redo' && !decided.has(task.id)) yield say('lost', id, `the decision of ${task.path} never entered its case`);
}

/** As an inbox row is hashed: what it says and not who told it when. */
const hashOf = (name: string, body: unknown): string => contentHash({ kind: 'event', name, body });

/** Of the states of a thing outside the newest one is kept, whatever order they came in; what travels may have gone on since the webhooks were read. */
function* ofStates({ own, webhooks, systems }: Rows): Generator<Finding> {
  const newest = new Map<string, { readonly at: string; readonly rank: number; readonly state: string }>();
  for (const { system, event, subject, payload, delivered } of webhooks) {
    const state = delivered && own.used.has(`${system}.${event}`) ? systems[system]?.events[event]?.state?.(payload as never) : undefined;
    const key = `${system}.${event} ${subject}`;
    const before = newest.get(key);
    if (state && (before === undefined || before.at < state.at || (before.at === state.at && before.rank < state.rank))) newest.set(key, state);
  }
  const kept = new Map(own.states.map((row) => [`${row.source} ${row.key}`, row]));
  for (const [key, { state, at }] of newest) {
    const ours = kept.get(key);
    if (ours === undefined || (ours.state !== state && ours.at <= parseInstant(at)))
      yield say('wrong', key, `it is ${state} outside, and we have it as ${ours?.state ?? 'unknown'}`);
  }
}

// ── effects ────────────────────────────────────────────────────────────────
/** The case and the path of an effect's key; undefined for a message's, which has a colon before any slash. */
function parted(key: string): { readonly of: string; readonly path: string } | undefined {
  const at = key.search(/[/:]/);
  return at >= 0 && key[at] === '/' ? { of: key.slice(0, at), path: key.slice(at + 1) } : undefined;
}
const textOf = ({ data }: Pick<TimelineRow, 'data'>, name: string): string => (typeof data[name] === 'string' ? data[name] : '');
const isRedo = (path: string): boolean => /#\d+$/.test(path);

/** Operations that one case may do again with the same words: asked for by people, each time counted elsewhere in the audit. */
const again: ReadonlySet<string> = new Set(['logistics.label', 'finance.refund']);

/** What the systems did is what the case knows it did, word for word; nothing is still on its way; nothing was done twice under two keys. */
function* ofEffects({ own, ledger, systems }: Rows, ended: ReadonlySet<string>): Generator<Finding> {
  const ours = new Set(own.cases.map((row) => row.id));
  const recorded = new Map(own.effects.map((effect) => [`${effect.system} ${effect.case}/${effect.path}`, effect]));
  const told = new Set(
    own.timeline.flatMap(({ case: of, kind, data }) => (kind === 'effect' || kind === 'undone' ? [`${of}/${textOf({ data }, 'path')}`] : [])),
  );
  for (const { case: of, path, status } of own.effects) {
    if (status === 'sending' && ended.has(of)) yield say('stuck', of, `its effect ${path} was sent, and nobody knows what came of it`);
    if (status === 'done' && !told.has(`${of}/${path}`)) yield say('lost', of, `its effect ${path} is recorded, and its timeline does not tell it`);
  }
  for (const entry of ledger) {
    const { of, path } = parted(entry.key) ?? { of: '', path: '' };
    if (!ours.has(of) || entry.executions === 0) continue;
    const effect = recorded.get(`${entry.system} ${entry.key}`);
    if (effect?.status !== 'done') yield say('lost', of, `${entry.system} did ${path}, and the case does not know`);
    else if (effect.enteredBy === null) yield* sameWords(effect, entry, systems);
  }
  for (const [of, entries] of groupBy(
    ledger.filter((entry) => entry.executions > 0 && entry.undoneAt === null && !isRedo(entry.key)),
    (entry) => parted(entry.key)?.of ?? '',
  )) {
    if (!ours.has(of)) continue;
    const once = entries.filter((entry) => !again.has(`${entry.system}.${entry.operation}`));
    for (const [, same] of twice(once, (entry) => canonicalJson([entry.system, entry.operation, entry.args]))) {
      const [first] = same;
      if (first)
        yield say('doubled', of, `${first.system} did the same ${first.operation} ${same.length} times, under ${same.map(({ key }) => key).join(', ')}`);
    }
  }
  yield* leftBehind(own);
}

/** Asked as we say we asked, answered as we say it was answered: an amount that differs is a wrong amount. */
function* sameWords(effect: OwnRecords['effects'][number], entry: LedgerEntry, systems: AuditRows['systems']): Generator<Finding> {
  const contract = systems[effect.system]?.operations[effect.operation];
  const answer = contract?.result.safeParse(entry.answer);
  if (contract === undefined || entry.operation !== effect.operation)
    yield say('wrong', effect.case, `its effect ${effect.path} is ${effect.operation}, and ${effect.system} did ${entry.operation ?? 'nothing'}`);
  else if (contentHash(contract.args.safeParse(effect.args).data ?? null) !== contentHash(entry.args))
    yield say('wrong', effect.case, `its effect ${effect.path} was done with other arguments than it has`);
  else if (effect.ok !== true) yield say('wrong', effect.case, `its effect ${effect.path} was refused as it says, and ${effect.system} did it`);
  else if (answer?.success !== true || contentHash(factsOf(contract, answer.data)) !== contentHash(effect.answer))
    yield say('wrong', effect.case, `its effect ${effect.path} was answered otherwise than it has`);
}

/** A case that ended before the point of no return has taken back all that can be taken back. */
function* leftBehind({ cases, effects, timeline, undoOf }: OwnRecords): Generator<Finding> {
  const past = new Set(timeline.flatMap((entry) => (entry.kind === 'noReturn' ? [entry.case] : [])));
  const undone = new Set(effects.flatMap(({ case: of, undoes, status }) => (undoes === null || status !== 'done' ? [] : [`${of}/${undoes}`])));
  const over = new Set(
    cases.flatMap(({ id, status }) => ((status === 'completed' || status === 'withdrawn' || status === 'failed') && !past.has(id) ? [id] : [])),
  );
  for (const { case: of, path, system, operation, ok } of effects)
    if (over.has(of) && ok === true && !isRedo(path) && undoOf.has(`${system}.${operation}`) && !undone.has(`${of}/${path}`))
      yield say('stuck', of, `it ended without no return, and its effect ${path} was not taken back`);
}

/** What the body of a case does next, so that undos before and after it are of two occasions. Repair tasks of the undos themselves, and what others say, are none. */
function goesOn({ kind, data }: TimelineRow): boolean {
  if (kind === 'taskOpened') return !textOf({ data }, 'task').includes('!');
  if (kind === 'told') return !textOf({ data }, 'message').startsWith('kit.');
  return kind === 'effect' || kind === 'decision' || kind === 'stage' || kind === 'noReturn' || kind === 'started';
}

/** Of what is taken back on one occasion the newest goes first: in our records, and as the systems saw it. */
function* ofUndos(of: string, timeline: readonly TimelineRow[], undoneAt: ReadonlyMap<string, string>): Generator<Finding> {
  const done = new Map<string, number>();
  let before: string | undefined;
  for (const entry of timeline.toSorted((a, b) => a.id - b.id)) {
    const path = textOf(entry, 'path');
    if (goesOn(entry)) before = undefined;
    if (entry.kind === 'effect') done.set(path, entry.id);
    if (entry.kind !== 'undone') continue;
    const undoes = path.replace(/!undo$/, '');
    if (before !== undefined) {
      // Own systems have no ledger: nothing is said of them.
      const sameToThem = (undoneAt.get(`${of}/${before}`) ?? '') <= (undoneAt.get(`${of}/${undoes}`) ?? '9');
      if ((done.get(undoes) ?? -1) > (done.get(before) ?? Infinity) || !sameToThem)
        yield say('wrong', of, `it took back ${before} before ${undoes}, which it had done later`);
    }
    before = undoes;
  }
}

/** A case that has ended does nothing more; what a person asks for again on purpose is no part of it. */
function* afterTheEnd(of: string, timeline: readonly TimelineRow[]): Generator<Finding> {
  const ordered = timeline.toSorted((a, b) => a.id - b.id);
  // A case that was reset goes on after its end, and ends again.
  const end = ordered.findLast((entry) => entry.kind === 'closed' || entry.kind === 'reopened');
  if (end?.kind !== 'closed') return;
  for (const entry of ordered) {
    const named = textOf(entry, 'path') || textOf(entry, 'task');
    const acts = entry.kind === 'undone' || entry.kind === 'clockWarned' || entry.kind === 'clockEscalated' || goesOn(entry);
    if (entry.id > end.id && acts && !named.includes('#')) yield say('wrong', of, `it had ended when it went on: ${entry.kind} ${named}`.trimEnd());
  }
}

// ── decisions ──────────────────────────────────────────────────────────────
/** The rules are pure: the facts and the policy of a decision make the same decision again. */
function* ofDecisions({ cases, decisions, policies, rules, timeline }: OwnRecords): Generator<Finding> {
  const shops = new Map(cases.map((row) => [row.id, row.shop]));
  const told = groupBy(
    timeline.filter((entry) => entry.kind === 'decision'),
    (entry) => `${entry.case}/${textOf(entry, 'step')}`,
  );
  const logged = new Set<string>();
  for (const { case: of, step, process, rule: name, policy: version, facts, output, asOf } of decisions) {
    logged.add(`${of}/${step}`);
    const [rule, policy, shop] = [rules(process, name), policies.get(version), shops.get(of)];
    if (shop === undefined) continue;
    if ((told.get(`${of}/${step}`)?.length ?? 0) !== 1) yield say('wrong', of, `its timeline does not tell its decision ${step} once`);
    if (rule === undefined || policy === undefined) yield say('wrong', of, `its decision ${step} is of a rule or of a policy that is not there`);
    else if (contentHash(rule(facts as never, { policy: policyFor(policy, shop), asOf })) !== contentHash(output))
      yield say('wrong', of, `its decision ${step} is another one than its facts and its policy make`);
  }
  for (const [step, [entry]] of told) if (entry && !logged.has(step)) yield say('lost', entry.case, `its decision ${step} is told and not logged`);
}

// ── what people were told ──────────────────────────────────────────────────
const sendArgs = z.object({ to: z.string(), text: z.string() });
/** The same place of the same case: told again there, the path gets a number. */
const family = (messageId: string): string => messageId.replace(/~\d+$/, '');
/** Each message carries a link of its own making. */
const wordsOf = (text: string): string => text.replaceAll(/https?:\/\/\S+/g, '');

/** Every message has gone out, by one channel, and nobody was told the same twice. */
function* ofMessages({ own, ledger }: Rows): Generator<Finding> {
  const sent = new Map<string, LedgerEntry[]>();
  for (const entry of ledger) {
    if (entry.system !== 'notifications' || entry.executions === 0) continue;
    const id = entry.key.slice(0, entry.key.lastIndexOf('/'));
    sent.set(id, [...(sent.get(id) ?? []), entry]);
  }
  for (const { id, case: of, recipient, status, bundle } of own.messages) {
    if (status === 'queued') yield say('stuck', of, `message ${id} is still to be sent`);
    if (status === 'failed' && recipient !== 'customer') yield say('lost', of, `notice ${id} could not be sent`);
    const leader = bundle ?? id;
    if (status === 'sent' && !sent.has(leader)) yield say('lost', of, `message ${id} counts as sent, and nobody got it`);
  }
  const known = new Map(own.messages.map((message) => [message.id, message]));
  for (const [id, entries] of sent)
    if (entries.length > 1) yield say('doubled', known.get(id)?.case ?? id, `message ${id} was sent by ${entries.length} channels`);
  const letters = [...sent].flatMap(([id, [entry]]) => {
    const args = sendArgs.safeParse(entry?.args).data;
    return known.get(id)?.recipient === 'customer' && args ? [{ id, text: wordsOf(args.text) }] : [];
  });
  for (const [, same] of twice(letters, ({ id, text }) => canonicalJson([family(id), text]))) {
    const [first] = same;
    if (first)
      yield say(
        'doubled',
        known.get(first.id)?.case ?? first.id,
        `the customer was told the same ${same.length} times: ${same.map(({ id }) => id).join(', ')}`,
      );
  }
}

// ── limits, jobs, people ───────────────────────────────────────────────────
/** What a case that has ended still holds back from others, and what counts although it was taken back. */
function* ofLimits({ effects, holds, tallies }: OwnRecords, ended: ReadonlySet<string>): Generator<Finding> {
  const undone = new Set(effects.flatMap(({ case: of, undoes, ok }) => (undoes !== null && ok === true ? [`${of}/${undoes}`] : [])));
  for (const { hold, status } of holds) {
    const of = parted(hold)?.of ?? hold;
    if (status === 'held' && ended.has(of)) yield say('stuck', of, `it has ended, and holds units of its order by ${hold}`);
  }
  for (const { tally, status } of tallies) {
    const of = parted(tally)?.of ?? tally;
    if (!ended.has(of)) continue;
    if (status === 'counted' && undone.has(tally)) yield say('wrong', of, `${tally} was taken back, and still counts`);
    if (status === 'released' && !undone.has(tally)) yield say('lost', of, `${tally} was not taken back, and does not count`);
  }
}

/** A job that is due is taken within seconds; one that a killed worker held, within a minute. */
const takenWithinMs = 90_000;

/** Nothing is left that nobody works at. */
function* ofJobs({ at, jobs }: OwnRecords, ended: ReadonlySet<string>): Generator<Finding> {
  for (const { kind, key, attempts, most, runAt } of jobs) {
    const of = key?.split(':')[1] ?? kind;
    const name = `job ${key ?? kind}`;
    if (attempts >= most) yield say('stuck', of, `${name} was given up after ${attempts} tries`);
    else if (kind === 'clock-due' && ended.has(of)) yield say('stuck', of, `${name} is of a case that has ended`);
    else if (Date.parse(runAt) + takenWithinMs < Date.parse(at)) yield say('stuck', of, `${name} was due at ${runAt}, and nobody took it`);
  }
}

/** Tasks as people see them: none open in a case that has ended, each decided by one who may. */
function* ofTasks(row: AuditedCase, starters: ReadonlyMap<string, string>): Generator<Finding> {
  const starter = starters.get(row.id);
  for (const task of row.tasks) {
    if (row.status !== 'open' && task.status === 'open' && task.name !== 'redo')
      yield say('stuck', row.id, `it has ended, and its task ${task.path} is open${task.assignee === null ? '' : ` and ${task.assignee}'s`}`);
    const checked = row.tasks.filter((one) => task.notBy.includes(one.name) && one.status === 'done' && one.id !== task.id);
    if (task.status !== 'done' || task.notBy.length === 0) continue;
    if (task.decidedBy === starter || checked.some((one) => one.decidedBy === task.decidedBy))
      yield say('wrong', row.id, `${task.decidedBy ?? 'nobody'} decided ${task.path}, and what it checks too`);
  }
}
