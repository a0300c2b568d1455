/** The kit's surface: the verbs that a body (`case.ts`) is written with. */
import type { CaseId } from '../../values/ids.ts';
import type { Instant } from '../../values/instant.ts';
import type { Money } from '../../values/money.ts';
import type { Role } from '../../values/role.ts';
import type { ClockName, Form, Input, Names, Outcome, Payload, ProcessDeclaration, WindowName } from './declare.ts';
import type { Operation, ProcessReference, Rule } from './references.ts';
import type { Decided } from './rule.ts';

/** What `do` answers: the result; with declared business errors, a union to branch on. */
export type Answer<R, E extends string> = [E] extends [never] ? R : ({ readonly ok: true } & R) | { readonly ok: false; readonly error: E };

/** A customer's or parcel's time from the pinned policy; several waits may share one. */
export interface Window {
  readonly name: string;
  readonly ends: Instant;
}

/** A person's decision: the form, who gave it, in which role, and when it was written. */
export interface Decision<F> {
  readonly form: F;
  readonly by: string;
  readonly role: Role;
  readonly decidedAt: Instant;
}

export interface TaskOptions<P extends ProcessDeclaration> {
  /** Overrides the declared role. */
  readonly role?: Role;
  /** Routes to the lowest role whose limit covers it. */
  readonly amount?: Money;
  /** Clocks that escalate this task while it is open. */
  readonly clocks?: readonly ClockName<P>[];
}
export type Windowed<P extends ProcessDeclaration> = { readonly within: WindowName<P> } | { readonly until: Window };

export interface ClockHandle {
  /** Starts counting `from` (default: the moment of the latest fact the case acts on). */
  start(from?: Instant): void;
  pause(why: string): void;
  resume(why: string): void;
  /** A later deadline agreed beforehand; false (and logged) when the clock has already breached. */
  extend(to: Instant, by: string, why: string): Promise<boolean>;
  stop(): void;
  restart(): void;
}

export interface Case<P extends ProcessDeclaration> {
  readonly id: CaseId;
  readonly input: Input<P>;
  /** Where the case is; part of the next record. May go back. */
  stage(name: P['stages'][number]): void;
  /** A rule's decision, run outside the workflow and logged with facts, reasons and policy version. */
  decide<F, D>(step: string, rule: Rule<F, D>, facts: NoInfer<F>): Promise<Decided<D>>;
  /** An effect that happens once. Declared business errors are answers; anything else retries and then becomes a repair task. */
  do<A, R, E extends string>(step: string, operation: Operation<A, R, E>, args: NoInfer<A>): Promise<Answer<R, E>>;
  /** Takes back one recorded effect of this scope, or all of them in reverse; each once. */
  undo(step?: string): Promise<void>;
  task<T extends Names<P['tasks']>>(name: T, context: object, options: TaskOptions<P> & Windowed<P>): Promise<Decision<Form<P, T>> | undefined>;
  task<T extends Names<P['tasks']>>(name: T, context: object, options?: TaskOptions<P>): Promise<Decision<Form<P, T>>>;
  /** Waits for a declared event: one that its source correlated to this case at any time, or one sent by case id since the latest fact. */
  event<E extends Names<P['events']>>(name: E, options: { readonly where?: (e: Payload<P, E>) => boolean } & Windowed<P>): Promise<Payload<P, E> | undefined>;
  event<E extends Names<P['events']>>(
    name: E,
    options?: { readonly where?: (e: Payload<P, E>) => boolean; readonly clocks?: readonly ClockName<P>[] },
  ): Promise<Payload<P, E>>;
  /** From now on, what the event's source calls `key` is this case's; false when it is another's, which keeps it. */
  expect(event: Names<P['events']>, key: string): Promise<boolean>;
  /** The keys under which this case expects an event, the first one first: how a handler knows what the body was waiting for. */
  expected(event: Names<P['events']>): readonly string[];
  /** Events of this name that have come, whether a wait has taken them or not: the goods that are here. It takes them: what is left untaken at the end is late. */
  arrived<E extends Names<P['events']>>(name: E): readonly Payload<P, E>[];
  window(name: WindowName<P>): Window;
  sleep(name: WindowName<P>): Promise<void>;
  /** The first branch to end wins; the others' tasks are closed in one statement and awaited; a task that was completed meanwhile wins over an event or a window. */
  first<B extends Record<string, (c: Case<P>) => Promise<unknown>>>(
    branches: B,
  ): Promise<{ [K in keyof B]: { readonly won: K; readonly value: Awaited<ReturnType<B[K]>> } }[keyof B]>;
  all<B extends Record<string, (c: Case<P>) => Promise<unknown>>>(branches: B): Promise<{ [K in keyof B]: Awaited<ReturnType<B[K]>> }>;
  /** In parallel per item, each in a scope of its key, with a result per item: one that was given up does not end the others. */
  each<I, R>(
    items: readonly I[],
    key: (item: I) => string,
    run: (c: Case<P>, item: I) => Promise<R>,
  ): Promise<({ readonly ok: true; readonly value: R } | { readonly ok: false; readonly error: 'gaveUp' })[]>;
  /** A keyed scope: a round, a parcel, a line. */
  in(key: string): Case<P>;
  clock(name: ClockName<P>): ClockHandle;
  /** Past this, withdrawal is refused and this scope's undos are off; sticky. */
  noReturn(): void;
  /** A message to the customer, a role or a department; written with the next record or before the case waits. */
  tell(message: P['messages'][number], data: object, options?: { readonly to?: Role }): void;
  start<Q extends ProcessDeclaration>(
    process: ProcessReference<Q>,
    input: NoInfer<Input<Q>>,
    options?: { readonly at?: Instant },
  ): Promise<{ readonly id: CaseId; readonly _types?: Q }>;
  outcome<Q extends ProcessDeclaration>(
    of: { readonly id: CaseId; readonly _types?: Q },
    options: { readonly within: WindowName<P> },
  ): Promise<Outcome<Q> | Withdrawn | undefined>;
}

/** How every case may end besides its declared outcomes. */
export interface Withdrawn {
  readonly result: 'withdrawn';
}
