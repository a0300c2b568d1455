/** `defineCase`: a body that reads like the business process, run as one durable workflow that always ends with a record. */
import {
  ApplicationFailure,
  CancelledFailure,
  CancellationScope,
  condition,
  defineSignal,
  isCancellation,
  setCurrentDetails,
  setHandler,
  sleep,
  TemporalFailure,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { defineSearchAttributeKey } from '@temporalio/common';
import { effectKey, type CaseId } from '../../values/ids.ts';
import { instant, later, millis, type Instant } from '../../values/instant.ts';
import type { Role } from '../../values/role.ts';
import type { ClockName, Ending, Input, Outcome, Payload, ProcessDeclaration } from './declare.ts';
import {
  deliverSignal,
  failures,
  repairTask,
  type CaseStart,
  type ClockCommand,
  type EffectAnswer,
  type EffectRequest,
  type Inbound,
  type Manifest,
  type RepairContext,
  type RepairForm,
  type TaskDecision,
} from './protocol.ts';
import { Recorder } from './records.ts';
import type { Operation, ProcessReference, Rule } from './references.ts';
import type { Decided } from './rule.ts';
import type { Answer, Case, ClockHandle, Decision, TaskOptions, Window, Windowed, Withdrawn } from './surface.ts';

const stageAttribute = defineSearchAttributeKey('KefuStage', 'KEYWORD');
type Event = Extract<Inbound, { kind: 'event' }>;
type Interruption = Extract<Inbound, { kind: 'event' | 'withdraw' }>;
type Effect = Pick<EffectRequest, 'path' | 'system' | 'operation' | 'args' | 'undoes'>;
interface Undo {
  readonly path: string;
  readonly system: string;
  readonly operation: string;
}

/** An operator gave an effect up in its repair task. */
export const gaveUp = 'GaveUp';
const isGaveUp = (error: unknown): boolean => error instanceof ApplicationFailure && error.type === gaveUp;
const broken = (message: string, type: string): ApplicationFailure => ApplicationFailure.nonRetryable(message, type);

/** What all scopes of a case share. */
class Run {
  readonly id: CaseId;
  readonly input: unknown;
  readonly manifest: Manifest;
  readonly records: Recorder;
  readonly decisions = new Map<string, TaskDecision>();
  readonly outcomes = new Map<string, unknown>();
  readonly clocks = new Map<string, number>();
  readonly openTasks = new Set<string>();
  /** Event → keys that the case expects it under. */
  readonly expected = new Map<string, readonly string[]>();
  /** Prefixes past no return: their undos are off. */
  readonly noReturn = new Set<string>();
  undos: Undo[] = [];
  events: Event[] = [];
  /** Events that scopes have taken, so that an overtaken branch can give its own back. */
  taken: { readonly path: string; readonly event: Event }[] = [];
  interruption: Interruption | undefined;
  /** Set while the body may be interrupted: does it. */
  interrupt: (() => void) | undefined;
  /** Inbox rows taken in that no wait asked for: their marks are written at once, or the sweep would send them again and again. */
  unasked = false;
  closing = false;
  readonly #steps = new Set<string>();
  readonly #told = new Map<string, number>();
  readonly #inbox = new Set<string>();
  readonly #waits = new Set<{ readonly wants: (message: Inbound) => boolean; readonly ready: () => boolean }>();
  #limit: number;
  #stage = '';

  constructor(start: CaseStart) {
    this.id = workflowInfo().workflowId as CaseId;
    this.input = start.input;
    this.manifest = start.manifest;
    this.records = new Recorder(this.id, start.manifest.repairAfter);
    this.#limit = start.manifest.historyLimit;
  }

  /** The signal's handler: takes in, once each. Synchronous, so no delivery can interleave with another. */
  deliver(batch: readonly Inbound[]): void {
    for (const message of batch) {
      if (this.#inbox.has(message.id)) continue;
      this.#inbox.add(message.id);
      this.records.seen(message.id);
      if (!this.#accept(message)) this.unasked = true;
    }
  }

  /** True when something of the case goes on because of this message and will write its mark. */
  #accept(message: Inbound): boolean {
    switch (message.kind) {
      case 'decision':
        this.decisions.set(message.task, message.decision);
        break;
      case 'outcome':
        this.outcomes.set(message.of, message.outcome);
        break;
      case 'withdraw':
        if (this.#interruptBy(message)) return true;
        this.records.refused(message.id);
        break;
      case 'event':
        if (this.manifest.ends.includes(message.name) && this.#interruptBy(message)) return true;
        this.events.push(message);
        break;
    }
    return [...this.#waits].some(({ wants }) => wants(message));
  }

  /**
   * Nothing can go on by what is here. Only then an interruption comes: what runs beside a workflow task is forgotten with the task when a worker is killed, and done
   * again when the task is. An interruption that came meanwhile would be first then, and nobody would know of the effects that it must take back.
   */
  get quiet(): boolean {
    return !this.records.busy && ![...this.#waits].some(({ ready }) => ready());
  }

  #interruptBy(message: Interruption): boolean {
    if (this.interrupt === undefined || this.interruption !== undefined || this.noReturn.size > 0) return false;
    this.interruption = message;
    return true;
  }

  /** Events that were taken below a path are there again, for whoever goes on instead. */
  giveBack(path: string): void {
    const back = this.taken.filter((t) => t.path.startsWith(path)).map((t) => t.event);
    this.taken = this.taken.filter((t) => !back.includes(t.event));
    this.events = [...back, ...this.events].toSorted((a, b) => Number(a.id) - Number(b.id));
  }

  /** Waits until `ready` or until the instant; what has gathered is written before the case blocks. */
  async wait(ready: () => boolean, wants: (message: Inbound) => boolean, until?: Instant): Promise<boolean> {
    const waiting = { wants, ready };
    this.#waits.add(waiting);
    try {
      await this.records.flush();
      if (until === undefined) {
        await condition(ready);
        return true;
      }
      const left = millis(until) - Date.now();
      return left > 0 ? await condition(ready, left) : ready();
    } finally {
      this.#waits.delete(waiting);
    }
  }

  /** Nothing new is begun once the case, or this branch of it, is interrupted. */
  guard(): void {
    if (CancellationScope.current().consideredCancelled) throw new CancelledFailure('interrupted');
  }

  /** Takes a step's path: no path is used twice. */
  async claim(path: string): Promise<string> {
    this.guard();
    if (this.#steps.has(path)) throw broken(`step "${path}" is used twice in ${this.id}: use in(key) for rounds, parcels and lines`, 'StepNameTwice');
    this.#steps.add(path);
    // A case never continues as new. One that grows without end is most likely a loop, and a person looks before it costs more.
    if (workflowInfo().historyLength > this.#limit) {
      this.#limit += this.manifest.historyLimit;
      await this.#repair(path, 'overlong', { step: path, failure: 'overlong', error: `history has passed ${workflowInfo().historyLength} events` });
    }
    return path;
  }

  stage(name: string): void {
    this.records.stage(name);
    if (name !== this.#stage) upsertSearchAttributes([{ key: stageAttribute, value: name }]);
    this.#stage = name;
    this.#describe();
  }

  /** Current details in the Temporal UI: read by query, so they cost no event. */
  #describe(): void {
    setCurrentDetails(
      `**${this.#stage || 'opened'}**${this.openTasks.size > 0 ? `, waiting for ${[...this.openTasks].map((t) => `\`${t}\``).join(', ')}` : ''}`,
    );
  }

  toldPath(path: string): string {
    const count = (this.#told.get(path) ?? 0) + 1;
    this.#told.set(path, count);
    return count === 1 ? path : `${path}~${count}`;
  }

  async openTask(
    request: { path: string; name: string; context: object; role?: Role; amount?: { minor: number; currency: string }; clocks?: readonly string[] },
    until?: Window,
  ): Promise<TaskDecision | undefined> {
    const { path } = request;
    const opened = await this.records.write('openTask', { ...request, ...(until ? { expiresAt: until.ends } : {}) });
    if (opened.status === 'done') return opened.decision;
    this.openTasks.add(path);
    this.#describe();
    try {
      const decided = await this.wait(
        () => this.decisions.has(path),
        (m) => m.kind === 'decision' && m.task === path,
        until?.ends,
      );
      if (decided) return this.decisions.get(path);
      // The row decides: a completion that was first wins over the window.
      const [closed] = await this.records.write('closeTasks', { paths: [path], as: 'expired' });
      return closed?.status === 'done' ? closed.decision : undefined;
    } finally {
      // After an interruption the row is still open: whoever interrupted closes it with all others in one statement.
      if (!CancellationScope.current().consideredCancelled) this.openTasks.delete(path);
      this.#describe();
    }
  }

  /** Closes the open tasks below a path in one statement; those that were completed meanwhile come back with their decision. */
  async closeBelow(prefixes: readonly string[], as: 'lost' | 'withdrawn'): Promise<readonly { path: string; decision: TaskDecision }[]> {
    const paths = [...this.openTasks].filter((path) => prefixes.some((prefix) => path.startsWith(prefix)));
    if (paths.length === 0) return [];
    const states = await this.records.write('closeTasks', { paths, as });
    for (const path of paths) this.openTasks.delete(path);
    return states.flatMap((s) => (s.status === 'done' ? [{ path: s.path, decision: s.decision }] : []));
  }

  /** An effect to its end: an answer, or a person's word in a repair task. */
  async effect(effect: Effect, pace: 'quick' | 'slow'): Promise<EffectAnswer> {
    let cleared: Instant | undefined;
    let repairs = 0;
    for (;;) {
      try {
        return await this.records.effect({ ...effect, ...(cleared ? { cleared } : {}) }, pace);
      } catch (failure) {
        const cause = failure instanceof TemporalFailure && failure.cause instanceof Error ? failure.cause : failure;
        // No person can do anything about an outage of ours, however long.
        if (cause instanceof ApplicationFailure && cause.type === failures.recordsAway) continue;
        const { system, operation, args, undoes } = effect;
        const context = {
          system,
          operation,
          args,
          ...(undoes === undefined ? {} : { undoes }),
          step: effect.path,
          // A try that Temporal ended is one more that the system has not answered.
          failure: cause instanceof ApplicationFailure && cause.type ? cause.type : failures.unavailable,
          error: cause instanceof Error ? cause.message : String(cause),
        };
        const { form, by, decidedAt } = await this.#repair(effect.path, `repair-${++repairs}`, context);
        switch (form.action) {
          case 'retry':
            cleared = decidedAt;
            break;
          case 'enterResult':
            return await this.records.effect({ ...effect, entered: { result: form.result, by } }, 'slow');
          case 'enterError':
            return await this.records.effect({ ...effect, entered: { error: form.error, by } }, 'slow');
          case 'giveUp':
            throw broken(`${effect.system}.${effect.operation} was given up at ${effect.path}`, gaveUp);
        }
      }
    }
  }

  /** Asks a person; never interrupted, because what the effect did has to be known before anything is taken back. */
  async #repair(path: string, name: string, context: RepairContext): Promise<{ form: RepairForm; by: string; decidedAt: Instant }> {
    return CancellationScope.nonCancellable(async () => {
      const decision = await this.openTask({ path: `${path}!${name}`, name: repairTask, context });
      if (decision === undefined) throw broken('a repair task has no window', 'KitFault');
      const form = decision.form as RepairForm;
      if (name === 'overlong' && form.action === 'giveUp') throw broken(`${this.id} was given up at ${path}`, gaveUp);
      return { form, by: decision.by, decidedAt: decision.decidedAt };
    });
  }

  /** Takes back what was done below `reach` (one path, or all), newest first, once each; nothing past no return. */
  async undo(reach: string, path?: string): Promise<void> {
    const off = (u: Undo) => [...this.noReturn].some((prefix) => u.path.startsWith(prefix));
    const chosen = this.undos.filter((u) => (path === undefined ? u.path.startsWith(reach) : u.path === path) && !off(u)).toReversed();
    this.undos = this.undos.filter((u) => !chosen.includes(u));
    for (const u of chosen) {
      try {
        const args = { of: effectKey(this.id, u.path) };
        await this.effect({ path: `${u.path}!undo`, system: u.system, operation: u.operation, args, undoes: u.path }, this.#pace(u.system, u.operation).pace);
      } catch (failure) {
        // A person has decided that this one stays as it is; the others are still taken back.
        if (!isGaveUp(failure)) throw failure;
      }
    }
  }

  #pace(system: string, operation: string): Manifest['operations'][string] {
    const declared = this.manifest.operations[`${system}.${operation}`];
    if (declared === undefined) throw broken(`${system}.${operation} is no operation of this case's manifest`, 'UnknownOperation');
    return declared;
  }

  async do(path: string, system: string, operation: string, args: unknown): Promise<EffectAnswer> {
    const { pace, undo } = this.#pace(system, operation);
    // Registered before the call: whatever becomes of the call, the undo means "take back by key if it exists".
    const registered: Undo | undefined = undo === undefined ? undefined : { path, system, operation: undo };
    if (registered) this.undos.push(registered);
    const answer = await CancellationScope.nonCancellable(() => this.effect({ path, system, operation, args }, pace));
    if (!answer.ok) this.undos = this.undos.filter((u) => u !== registered);
    return answer;
  }
}

interface Branch {
  readonly key: string;
  readonly path: string;
  readonly scope: CancellationScope;
  readonly ends: Promise<unknown>;
}

/** One scope of a case: the verbs, at a path. */
class Scope<P extends ProcessDeclaration> implements Case<P> {
  readonly #run: Run;
  readonly #path: string;
  /** Prefix of the effects that `undo` and `noReturn` of this scope mean: its own path, or the whole case for a handler. */
  readonly #reach: string;
  readonly #parent: Scope<P> | undefined;
  /** The latest fact this scope has acted on: clocks start and stop at it, and later events by case id count from it. */
  #moment: Instant;

  constructor(run: Run, path: string, parent?: Scope<P>, reach = path) {
    this.#run = run;
    this.#path = path;
    this.#reach = reach;
    this.#parent = parent;
    // Not the time of its first task: one that is done again, because its worker died or was too slow, is later than what people have decided meanwhile.
    this.#moment = parent ? parent.#moment : instant(workflowInfo().startTime);
  }

  get id(): CaseId {
    return this.#run.id;
  }
  get input(): Input<P> {
    return this.#run.input as Input<P>;
  }

  #at(fact: Instant): void {
    this.#moment = later(this.#moment, fact);
    if (this.#parent) this.#parent.#at(fact);
  }

  in(key: string): Scope<P> {
    return new Scope<P>(this.#run, `${this.#path}${encodeURIComponent(key)}/`, this);
  }

  stage(name: P['stages'][number]): void {
    this.#run.stage(name);
  }

  async decide<F, D>(step: string, rule: Rule<F, D>, facts: NoInfer<F>): Promise<Decided<D>> {
    const path = await this.#run.claim(this.#path + step);
    return (await this.#run.records.write('decide', {
      step: path,
      process: this.#run.manifest.process,
      rule: rule.rule,
      facts,
      asOf: instant(Date.now()),
    })) as Decided<D>;
  }

  async do<A, R, E extends string>(step: string, operation: Operation<A, R, E>, args: NoInfer<A>): Promise<Answer<R, E>> {
    const path = await this.#run.claim(this.#path + step);
    const answer = await this.#run.do(path, operation.system, operation.operation, args);
    // An operation without declared errors answers its bare result; the activity guarantees that it has no other answer.
    return (answer.ok ? { ...(answer.result as object), ok: true } : answer) as Answer<R, E>;
  }

  async undo(step?: string): Promise<void> {
    await this.#run.undo(this.#reach, step === undefined ? undefined : this.#reach + step);
  }

  task(name: string, context: object, options: TaskOptions<P> & Windowed<P>): Promise<Decision<never> | undefined>;
  task(name: string, context: object, options?: TaskOptions<P>): Promise<Decision<never>>;
  async task(
    name: string,
    context: object,
    options: TaskOptions<P> & Partial<{ within: P['windows'][number]; until: Window }> = {},
  ): Promise<Decision<never> | undefined> {
    const path = await this.#run.claim(this.#path + name);
    const until = this.#until(options);
    const { role, amount, clocks } = options;
    const request = {
      path,
      name,
      context,
      ...(role ? { role } : {}),
      ...(amount ? { amount } : {}),
      ...(clocks ? { clocks: clocks.map((clock) => this.#clockPath(clock)) } : {}),
    };
    const decision = await this.#run.openTask(request, until);
    if (decision === undefined) {
      if (until) this.#at(until.ends);
      return undefined;
    }
    this.#at(decision.decidedAt);
    return decision as Decision<never>;
  }

  event<E extends Extract<keyof P['events'], string>>(
    name: E,
    options: { readonly where?: (e: Payload<P, E>) => boolean } & Windowed<P>,
  ): Promise<Payload<P, E> | undefined>;
  event<E extends Extract<keyof P['events'], string>>(name: E, options?: { readonly where?: (e: Payload<P, E>) => boolean }): Promise<Payload<P, E>>;
  async event<E extends Extract<keyof P['events'], string>>(
    name: E,
    options: { readonly where?: (e: Payload<P, E>) => boolean } & Partial<{ within: P['windows'][number]; until: Window }> = {},
  ): Promise<Payload<P, E> | undefined> {
    const run = this.#run;
    run.guard();
    const since = this.#moment;
    const until = this.#until(options);
    // One sent by case id before the latest fact belongs to an earlier wait; one its source correlated may come early.
    const wants = (m: Inbound): boolean =>
      m.kind === 'event' &&
      m.name === name &&
      (m.correlated || run.manifest.early?.includes(name) || m.at >= since) &&
      (until === undefined || m.at <= until.ends) &&
      (options.where?.(m.payload as Payload<P, E>) ?? true);
    await run.wait(() => run.events.some(wants), wants, until?.ends);
    const found = run.events.find(wants);
    if (found === undefined) {
      if (until) this.#at(until.ends);
      return undefined;
    }
    run.events = run.events.filter((e) => e !== found);
    run.taken.push({ path: this.#path, event: found });
    this.#at(found.at);
    return found.payload as Payload<P, E>;
  }

  async expect(event: string, key: string): Promise<boolean> {
    this.#run.guard();
    const ours = await this.#run.records.write('expect', { process: this.#run.manifest.process, event, key });
    if (ours && !this.expected(event).includes(key)) this.#run.expected.set(event, [...this.expected(event), key]);
    return ours;
  }

  expected(event: string): readonly string[] {
    return this.#run.expected.get(event) ?? [];
  }

  arrived<E extends Extract<keyof P['events'], string>>(name: E): readonly Payload<P, E>[] {
    const run = this.#run;
    run.taken.push(...run.events.flatMap((event) => (event.name === name ? [{ path: this.#path, event }] : [])));
    run.events = run.events.filter((e) => e.name !== name);
    return run.taken.flatMap(({ event }) => (event.name === name ? [event.payload as Payload<P, E>] : []));
  }

  window(name: P['windows'][number]): Window {
    const length = this.#run.manifest.windows[name];
    if (length === undefined) throw broken(`"${name}" is no window of this case's manifest`, 'UnknownWindow');
    return { name, ends: instant(Date.now() + length) };
  }

  #until(options: Partial<{ within: P['windows'][number]; until: Window }>): Window | undefined {
    return options.until ?? (options.within === undefined ? undefined : this.window(options.within));
  }

  async sleep(name: P['windows'][number]): Promise<void> {
    const { ends } = this.window(name);
    await this.#run.records.flush();
    await sleep(Math.max(1, millis(ends) - Date.now()));
    this.#at(ends);
  }

  async first<B extends Record<string, (c: Case<P>) => Promise<unknown>>>(
    branches: B,
  ): Promise<{ [K in keyof B]: { readonly won: K; readonly value: Awaited<ReturnType<B[K]>> } }[keyof B]> {
    type Won = { [K in keyof B]: { readonly won: K; readonly value: Awaited<ReturnType<B[K]>> } }[keyof B];
    const { value, won, lost } = await this.#together(Object.entries(branches), async (runs) => {
      const ended = new Set<Branch>();
      const ends = runs.map((r) => r.ends.then(() => (ended.add(r), r)));
      const first = await Promise.race(ends);
      await allLook();
      // Of events that came together the earliest one wins, whatever its branch's place.
      const events = (r: Branch): number[] => this.#run.taken.flatMap((t) => (t.path.startsWith(r.path) ? [Number(t.event.id)] : []));
      const byEvent = runs.filter((r) => ended.has(r) && events(r).length > 0).toSorted((a, b) => Math.min(...events(a)) - Math.min(...events(b)));
      const fastest = (byEvent.includes(first) ? byEvent[0] : undefined) ?? first;
      const others = runs.filter((r) => r !== fastest);
      // One statement closes the others' tasks. A person's word that was already given is not thrown away for an event or a window.
      const completed = await this.#run.closeBelow(
        others.map((r) => r.path),
        'lost',
      );
      const person =
        byEvent.includes(fastest) || (await fastest.ends) === undefined ? others.find((r) => completed.some((c) => c.path.startsWith(r.path))) : undefined;
      const winner = person ?? fastest;
      if (person) for (const c of completed) this.#run.decisions.set(c.path, c.decision);
      return { won: winner.key, value: await winner.ends, lost: runs.filter((r) => r !== winner) };
    });
    // Of two events that came at once, the one that did not win is there for the next wait.
    for (const { path } of lost) this.#run.giveBack(path);
    return { won, value } as Won;
  }

  async all<B extends Record<string, (c: Case<P>) => Promise<unknown>>>(branches: B): Promise<{ [K in keyof B]: Awaited<ReturnType<B[K]>> }> {
    return this.#together(Object.entries(branches), async (runs) => {
      const values = await Promise.all(runs.map(async (r) => [r.key, await r.ends] as const));
      return Object.fromEntries(values) as { [K in keyof B]: Awaited<ReturnType<B[K]>> };
    });
  }

  async each<I, R>(
    items: readonly I[],
    key: (item: I) => string,
    run: (c: Case<P>, item: I) => Promise<R>,
  ): Promise<({ readonly ok: true; readonly value: R } | { readonly ok: false; readonly error: 'gaveUp' })[]> {
    return this.#together(
      items.map((item) => [key(item), (c: Case<P>) => run(c, item)] as const),
      (runs) =>
        Promise.all(
          runs.map((r) =>
            r.ends.then(
              (value) => ({ ok: true as const, value: value as R }),
              (failure: unknown) => {
                if (isGaveUp(failure)) return { ok: false as const, error: 'gaveUp' as const };
                throw failure;
              },
            ),
          ),
        ),
    );
  }

  /** Runs branches side by side until `work` has what it wants of them, and ends those that still run. */
  async #together<T>(branches: readonly (readonly [string, (c: Case<P>) => Promise<unknown>])[], work: (runs: readonly Branch[]) => Promise<T>): Promise<T> {
    const runs = this.#branches(branches);
    let result: T;
    try {
      result = await work(runs);
    } catch (failure) {
      // A fault of the code closes nothing: the workflow task fails, and once a deployment has mended it the branches go on where they are.
      if (failure instanceof TemporalFailure) await this.#stop(runs);
      throw failure;
    }
    await this.#stop(runs);
    return result;
  }

  #branches(branches: readonly (readonly [string, (c: Case<P>) => Promise<unknown>])[]): Branch[] {
    return branches.map(([key, body]) => {
      const c = this.in(key);
      const scope = new CancellationScope();
      const ends = scope.run(() => body(c));
      // Awaited by whoever started the branches; this only keeps a rejection meanwhile from counting as unhandled.
      ends.catch(() => undefined);
      return { key, path: c.#path, scope, ends };
    });
  }

  /** Ends branches that still run: their tasks closed in one statement, their effects finished. */
  async #stop(runs: readonly Branch[]): Promise<void> {
    // When this scope itself is being ended, whoever ends it closes all tasks below it at once.
    const outer = CancellationScope.current().consideredCancelled;
    for (const r of runs) r.scope.cancel();
    await CancellationScope.nonCancellable(async () => {
      await Promise.allSettled(runs.map((r) => r.ends));
      if (!outer)
        await this.#run.closeBelow(
          runs.map((r) => r.path),
          'lost',
        );
    });
  }

  /** The clock of the nearest scope that has started it, else this scope's own. */
  #clockPath(name: string): string {
    return this.#startedClock(name) ?? this.#path + name;
  }
  #startedClock(name: string): string | undefined {
    const own = this.#path + name;
    if (this.#run.clocks.has(own)) return own;
    return this.#parent === undefined ? undefined : this.#parent.#startedClock(name);
  }

  clock(name: ClockName<P>): ClockHandle {
    const send = (command: ClockCommand['command'], at: Instant = this.#moment): void => {
      const started = this.#startedClock(name);
      // A clock that never ran has nothing to stop: the goods that a refund's clock waits for need not come back.
      if (command.kind !== 'start' && started === undefined) return;
      const clock = command.kind === 'start' || started === undefined ? this.#path + name : started;
      const seq = (this.#run.clocks.get(clock) ?? 0) + 1;
      this.#run.clocks.set(clock, seq);
      this.#run.records.clock({ clock, name, seq, at, command });
    };
    return {
      start: (from) => send({ kind: 'start' }, from),
      pause: (why) => send({ kind: 'pause', why }),
      resume: (why) => send({ kind: 'resume', why }),
      stop: () => send({ kind: 'stop' }),
      restart: () => send({ kind: 'restart' }),
      extend: async (to, by, why) => {
        send({ kind: 'extend', to, by, why });
        return !(await this.#run.records.flush()).includes(this.#clockPath(name));
      },
    };
  }

  noReturn(): void {
    // What came before it interrupts now, while the undos are still on: nothing that follows has begun, in whatever execution, because no return is durable first.
    if (this.#run.interruption) this.#run.interrupt?.();
    this.#run.guard();
    this.#run.noReturn.add(this.#reach);
    this.#run.records.noReturn();
  }

  tell(message: P['messages'][number], data: object, options: { readonly to?: Role } = {}): void {
    this.#run.records.tell({ path: this.#run.toldPath(this.#path + message), message, to: options.to ?? 'customer', data });
  }

  async start<Q extends ProcessDeclaration>(
    process: ProcessReference<Q>,
    input: NoInfer<Input<Q>>,
    options: { readonly at?: Instant } = {},
  ): Promise<{ readonly id: CaseId }> {
    const path = await this.#run.claim(`${this.#path}start-${process.process}`);
    return { id: await this.#run.records.write('startCase', { path, process: process.process, input, ...(options.at ? { at: options.at } : {}) }) };
  }

  async outcome<Q extends ProcessDeclaration>(
    of: { readonly id: CaseId; readonly _types?: Q },
    options: { readonly within: P['windows'][number] },
  ): Promise<Outcome<Q> | Withdrawn | undefined> {
    const { ends } = this.window(options.within);
    this.#run.guard();
    const ended = await this.#run.wait(
      () => this.#run.outcomes.has(of.id),
      (m) => m.kind === 'outcome' && m.of === of.id,
      ends,
    );
    this.#at(instant(Date.now()));
    return ended ? (this.#run.outcomes.get(of.id) as Outcome<Q> | Withdrawn) : undefined;
  }
}

/** A handler for each event that ends the case, and, where undoing everything is not enough, one for the withdrawal. */
export type Handlers<P extends ProcessDeclaration> = { readonly [E in Ending<P>]: (c: Case<P>, payload: Payload<P, E>) => Promise<Outcome<P> | Withdrawn> } & {
  readonly withdrawn?: (c: Case<P>, payload: { readonly reason: string }) => Promise<Outcome<P> | Withdrawn>;
};

/**
 * Makes the workflow of a process. `name` equals the export's name: Temporal runs a workflow by it.
 * The case ends `completed` with its outcome, `withdrawn`, `failed` (an effect was given up before no return: all is taken back) or `broken` (given up after it).
 */
export function defineCase<P extends ProcessDeclaration>(
  name: string,
  body: (c: Case<P>) => Promise<Outcome<P>>,
  ...handlers: [Ending<P>] extends [never] ? [Handlers<P>?] : [Handlers<P>]
): (start: CaseStart<Input<P>>) => Promise<Outcome<P> | Withdrawn> {
  const on = (handlers[0] ?? {}) as Partial<Record<string, (c: Case<P>, payload: unknown) => Promise<Outcome<P> | Withdrawn>>>;
  const workflow = async (start: CaseStart<Input<P>>): Promise<Outcome<P> | Withdrawn> => {
    const run = new Run(start);
    const outer = CancellationScope.current();
    return CancellationScope.nonCancellable(async () => {
      const root = new Scope<P>(run, '');
      const main = new CancellationScope();
      run.interrupt = () => main.cancel();
      // Only now: what came with the start is handed over at once, and may be a withdrawal.
      setHandler(defineSignal<[readonly Inbound[]]>(deliverSignal), (batch) => run.deliver(batch));
      // An operator's "Cancel" in the Temporal UI is a withdrawal like any other: refused past no return.
      outer.cancelRequested.catch(() => run.deliver([{ id: 'cancel', at: instant(Date.now()), kind: 'withdraw', reason: 'cancelled by an operator' }]));
      void writeMarks(run);
      void interruptWhenQuiet(run);
      try {
        const outcome = await interruptible(run, root, main, body, on);
        await close(run, outcome.result === 'withdrawn' ? 'withdrawn' : 'completed', outcome);
        return outcome;
      } catch (failure) {
        // A plain error is a fault of the code: the workflow task fails and is retried, and a deployment mends it. Temporal's own failures end the case.
        if (!(failure instanceof TemporalFailure)) throw failure;
        const takeBack = isGaveUp(failure) && run.noReturn.size === 0;
        if (takeBack) {
          await run.undo('');
          // Nothing was dealt with, so goods that came are somebody's to look at.
          run.giveBack('');
        }
        await close(run, takeBack ? 'failed' : 'broken', { result: takeBack ? 'failed' : 'broken', reason: failure.message });
        throw failure;
      }
    });
  };
  Object.defineProperty(workflow, 'name', { value: name });
  return workflow;
}

async function interruptible<P extends ProcessDeclaration>(
  run: Run,
  root: Scope<P>,
  main: CancellationScope,
  body: (c: Case<P>) => Promise<Outcome<P>>,
  on: Partial<Record<string, (c: Case<P>, payload: unknown) => Promise<Outcome<P> | Withdrawn>>>,
): Promise<Outcome<P> | Withdrawn> {
  try {
    const outcome = await main.run(() => body(root));
    // It came while the last effect was finishing: the case has ended without it.
    if (run.interruption) run.records.refused(run.interruption.id);
    return outcome;
  } catch (failure) {
    const by = run.interruption;
    if (by === undefined || !isCancellation(failure)) throw failure;
    run.interrupt = undefined;
    await run.closeBelow([''], 'withdrawn');
    const name = by.kind === 'withdraw' ? 'withdrawn' : by.name;
    const handler = on[name];
    const scope = new Scope<P>(run, `${name}/`, root, '');
    // A handler sees what its source correlated to the case, also what the body has taken: the goods that are here.
    run.giveBack('');
    if (handler) return await handler(scope, by.kind === 'withdraw' ? { reason: by.reason } : by.payload);
    await scope.undo();
    return { result: 'withdrawn' };
  } finally {
    run.interrupt = undefined;
  }
}

async function close(run: Run, status: 'completed' | 'withdrawn' | 'failed' | 'broken', outcome: unknown): Promise<void> {
  // What comes from here on is not marked as taken in: the closing record finds it, and it is late.
  run.closing = true;
  const left = run.events.map((e) => e.id);
  await run.records.write('closeCase', { status, outcome, ...(left.length > 0 ? { left } : {}) });
}

/**
 * Until everything that a start, a timer, an answer or an event has just set going has gone on as far as it can: conditions are looked at again when it has. What lies
 * side by side in one step of the workflow then shows, and not only what is quickest by the number of its promises.
 */
async function allLook(): Promise<void> {
  let looks = 0;
  await condition(() => ++looks > 1);
}

/** Interrupts the body once nothing of it can go on by what is here. */
async function interruptWhenQuiet(run: Run): Promise<void> {
  do {
    await condition(() => run.interruption !== undefined && run.quiet);
    await allLook();
  } while (!run.quiet);
  run.interrupt?.();
}

/** Writes the marks of inbox rows that nothing waited for, for as long as the case runs. */
async function writeMarks(run: Run): Promise<never> {
  for (;;) {
    await condition(() => run.unasked && !run.closing);
    run.unasked = false;
    await run.records.flush();
  }
}
