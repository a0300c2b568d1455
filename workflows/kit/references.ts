/** How a body names operations, rules and processes: by typed references that carry names only, so the bundle never loads a contract, a rule or zod. */
import type { z } from 'zod';
import type { OperationContract, SystemContract } from '../../systems/contract.ts';
import type { Names, ProcessDeclaration } from './declare.ts';
import type { RuleFunction } from './rule.ts';

/** An operation of an outside system. `_types` exists for the compiler only. */
export interface Operation<A = never, R = unknown, E extends string = never> {
  readonly system: string;
  readonly operation: string;
  readonly _types?: (a: A) => [R, E];
}
export interface Rule<F = never, D = unknown> {
  readonly rule: string;
  readonly _types?: (f: F) => D;
}
export interface ProcessReference<Q extends ProcessDeclaration> {
  readonly process: string;
  readonly _types?: Q;
}

type Seen<O extends OperationContract> = O['facts'] extends { readonly of: (result: never) => infer F } ? F : z.output<O['result']>;
type Errors<O extends OperationContract> = O['errors'] extends readonly (infer E extends string)[] ? E : never;
export type Operations<S extends SystemContract> = {
  readonly [O in Names<S['operations']>]: Operation<z.input<S['operations'][O]['args']>, Seen<S['operations'][O]>, Errors<S['operations'][O]>>;
};
export type Rules<M> = {
  readonly [R in Names<M> as M[R] extends RuleFunction<never, unknown> ? R : never]: M[R] extends RuleFunction<infer F, infer D> ? Rule<F, D> : never;
};

const named = <T>(make: (name: string) => unknown): T => new Proxy({}, { get: (_, name) => make(String(name)) }) as T;

/** `const finance = system<typeof Finance>('finance')`, then `finance.refund` is a typed reference. */
export const system = <S extends SystemContract>(name: S['name']): Operations<S> => named((operation) => ({ system: name, operation }));

/** `const rules = rulesOf<typeof import('./rules.ts')>()`, then `rules.eligibility` is a typed reference to a rule of this process. */
export const rulesOf = <M>(): Rules<M> => named((rule) => ({ rule }));

/** A reference to another process, to start a case of it. */
export const processOf = <Q extends ProcessDeclaration>(name: Q['name']): ProcessReference<Q> => ({ process: name });
