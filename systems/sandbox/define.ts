/** How a sandbox system is written: a contract, its tables, one function per operation. Idempotency, undo, ledger, faults and webhooks come with it. */
import { randomBytes } from 'node:crypto';
import type { z } from 'zod';
import type { Instant } from '../../values/instant.ts';
import type { ErrorCode, EventName, OperationName, SystemContract } from '../contract.ts';
import type { ExtraRoute } from '../openapi.ts';
import type { Sql } from './database.ts';

/** What a function of a sandbox system works with. All it does is one transaction with the ledger row and the webhooks. */
export interface Call<S extends SystemContract = SystemContract> {
  readonly sql: Sql;
  readonly at: Instant;
  /** The Idempotency-Key of the effect; empty for reads, routes and steps. */
  readonly key: string;
  /** Tells us by webhook, once the transaction is committed. */
  emit<E extends EventName<S>>(event: E, payload: z.input<S['events'][E]['payload']>): Promise<void>;
  /** Runs a step of this system `afterMs` after now. */
  later(step: string, data: object, afterMs: number): Promise<void>;
}

type UndoName<S extends SystemContract> = {
  [O in OperationName<S>]: S['operations'][O] extends { readonly undo: infer U extends string } ? U : never;
}[OperationName<S>];

/** An effect as the ledger has it. */
export interface RecordedEffect {
  readonly operation: string;
  readonly args: unknown;
  readonly result: unknown;
}

export interface SandboxSystem<S extends SystemContract> {
  readonly contract: S;
  /** Idempotent DDL in schema `sandbox`. */
  readonly tables: string;
  readonly operations: {
    readonly [O in Exclude<OperationName<S>, UndoName<S>>]: (
      args: z.output<S['operations'][O]['args']>,
      call: Call<S>,
    ) => Promise<z.input<S['operations'][O]['result']>>;
  };
  /** Takes back an effect that took place. Whether it did, and whether it was taken back before, is settled before. */
  readonly undo: { readonly [U in UndoName<S>]: (effect: RecordedEffect, call: Call<S>) => Promise<'done' | 'spent'> };
  /** What happens later by itself. */
  readonly steps?: Readonly<Record<string, (data: never, call: Call<NoInfer<S>>) => Promise<void>>>;
  /** What the outside world does, and what tests and the demo read. */
  readonly routes?: readonly Route<NoInfer<S>>[];
}

/** A route of the sandbox only. */
export interface Route<S extends SystemContract = SystemContract> extends ExtraRoute {
  /** Bytes of the body; 256 kB unless it says otherwise. */
  readonly limit?: number;
  /** Answers callers on this machine only. */
  readonly loopback?: true;
  readonly run: (input: { readonly query: never; readonly body: never }, call: Call<S>) => Promise<unknown>;
}

type Parsed<Z extends z.ZodType | undefined> = Z extends z.ZodType ? z.output<Z> : undefined;

/** `const route = routesOf<typeof finance>()` makes routes of a system, their input typed by their schemas. */
export const routesOf =
  <S extends SystemContract = SystemContract>() =>
  <R extends z.ZodType, Q extends z.ZodType | undefined = undefined, B extends z.ZodType | undefined = undefined>(
    made: Omit<Route<S>, 'query' | 'body' | 'result' | 'run'> & {
      readonly query?: Q;
      readonly body?: B;
      readonly result: R;
      readonly run: (input: { readonly query: Parsed<Q>; readonly body: Parsed<B> }, call: Call<S>) => Promise<z.input<R>>;
    },
  ): Route<S> =>
    made as unknown as Route<S>;

/** A sandbox system without its types: what the server hosts. The contract's schemas have parsed what its functions get. */
export interface AnySandbox {
  readonly contract: SystemContract;
  readonly tables: string;
  readonly operations: Readonly<Record<string, (args: never, call: Call) => Promise<unknown>>>;
  readonly undo: Readonly<Record<string, (effect: RecordedEffect, call: Call) => Promise<'done' | 'spent'>>>;
  readonly steps: Readonly<Record<string, (data: never, call: Call) => Promise<void>>>;
  readonly routes: readonly Route[];
}

export const defineSandbox = <const S extends SystemContract>(made: SandboxSystem<S>): AnySandbox => ({ steps: {}, routes: [], ...made });

/** A refusal that the contract declares: recorded under the key, answered the same for ever. */
export class BusinessError extends Error {
  readonly code: string;
  constructor(code: string, detail: string) {
    super(detail);
    this.code = code;
  }
}

/** Says no for a reason of the operation's contract. */
export const businessError = <S extends SystemContract, O extends OperationName<S>>(
  _: S,
  _operation: O,
  code: ErrorCode<S, O>,
  detail: string,
): BusinessError => new BusinessError(code, detail);

/** The impossible: refused, not recorded, nothing done. A person has to look. */
export class Refusal extends Error {
  readonly code: string;
  readonly status: number;
  constructor(code: string, detail: string, status = 422) {
    super(detail);
    this.code = code;
    this.status = status;
  }
}

/** An id as these systems give them: `rf_9f2c…`. */
export const newId = (prefix: string): string => `${prefix}_${randomBytes(8).toString('hex')}`;
