/** What the workflow and the world outside it say to each other: start arguments, inbound messages, and the records the kit asks for. JSON only. */
import type { CaseId } from '../../values/ids.ts';
import type { Instant } from '../../values/instant.ts';
import type { Money } from '../../values/money.ts';
import type { Role } from '../../values/role.ts';

/** Raised when the kit changes its commands; rides in every case's manifest and is kept for life. */
export const kitVersion = 1;
/** The task queue of cases and their activities. */
export const taskQueue = 'cases';
/** The one signal: everything that enters a running case. */
export const deliverSignal = 'deliver';

/** What changes a case's commands, frozen by the API when the case opens, so that no later deployment or policy changes a running case. */
export interface Manifest {
  readonly kit: number;
  readonly process: string;
  readonly shop: string;
  /** Version of the policy the case is pinned to. */
  readonly policy: string;
  /** Milliseconds of each window the process uses. */
  readonly windows: Readonly<Record<string, number>>;
  /** `<system>.<operation>` → how it is run and taken back. */
  readonly operations: Readonly<Record<string, { readonly pace: 'quick' | 'slow'; readonly undo?: string }>>;
  /** Events that end the case. */
  readonly ends: readonly string[];
  /** Events by case id that may come before the case waits for them, as those do that are found by their source's own key. Absent in cases that opened before there were any. */
  readonly early?: readonly string[];
  /** How long a failing effect is retried before a person is asked. */
  readonly repairAfter: number;
  /** Events of history after which a person is asked whether the case may go on. */
  readonly historyLimit: number;
}

/** The workflow's one argument. */
export interface CaseStart<I = unknown> {
  readonly manifest: Manifest;
  readonly input: I;
}

export interface TaskDecision {
  readonly form: unknown;
  readonly by: string;
  readonly role: Role;
  readonly decidedAt: Instant;
}

/** A stored inbox row on its way into the workflow; `id` is the row's. */
export type Inbound = { readonly id: string; readonly at: Instant } & (
  | { readonly kind: 'decision'; readonly task: string; readonly decision: TaskDecision }
  | { readonly kind: 'event'; readonly name: string; readonly payload: unknown; readonly correlated: boolean }
  | { readonly kind: 'withdraw'; readonly reason: string }
  | { readonly kind: 'outcome'; readonly of: CaseId; readonly outcome: unknown }
);

export interface ClockCommand {
  /** Scope path and name of the clock in the case: `parcel-1/inspect`. */
  readonly clock: string;
  /** Name in the declaration: what the policy is asked for. */
  readonly name: string;
  /** Position in the clock's own log: the command is recorded once, whatever is re-executed. */
  readonly seq: number;
  readonly at: Instant;
  readonly command:
    | { readonly kind: 'start' | 'stop' | 'restart' }
    | { readonly kind: 'pause' | 'resume'; readonly why: string }
    | { readonly kind: 'extend'; readonly to: Instant; readonly by: string; readonly why: string };
}

export interface Told {
  /** Scope path, message and count: written once, whatever is re-executed. */
  readonly path: string;
  readonly message: string;
  readonly to: Role;
  readonly data: object;
}

/** What has gathered since the last record and is written, in one transaction, with the next one. */
export interface Pending {
  /** Rises with every record of the case: of two that run side by side, the later one's stage stands. */
  readonly order: number;
  readonly stage?: string;
  readonly noReturn?: true;
  readonly clocks?: readonly ClockCommand[];
  readonly told?: readonly Told[];
  /** Inbox rows the case has taken in. */
  readonly seen?: readonly string[];
  /** Withdrawals that came past no return. */
  readonly refused?: readonly string[];
  /** The run, when an operator's reset began it: the case may have ended before, and goes on. */
  readonly reset?: string;
}

export interface Recorded {
  readonly case: CaseId;
  readonly pending: Pending;
}

export interface EffectRequest extends Recorded {
  readonly path: string;
  readonly system: string;
  readonly operation: string;
  readonly args: unknown;
  /** The path of the effect that this one takes back. */
  readonly undoes?: string;
  /** A person asked for another try in a repair task: nothing that was sent before this instant took place, they say. */
  readonly cleared?: Instant;
  /** An answer that a person entered in a repair task: recorded without a call, unless the system's own was recorded meanwhile. */
  readonly entered?: { readonly by: string } & ({ readonly result: unknown } | { readonly error: string });
}
export type EffectAnswer = { readonly ok: true; readonly result: unknown } | { readonly ok: false; readonly error: string };

export interface DecideRequest extends Recorded {
  readonly step: string;
  readonly process: string;
  readonly rule: string;
  readonly facts: unknown;
  readonly asOf: Instant;
}

export interface OpenTaskRequest extends Recorded {
  readonly path: string;
  readonly name: string;
  readonly context: object;
  readonly role?: Role;
  readonly amount?: Money;
  readonly clocks?: readonly string[];
  readonly expiresAt?: Instant;
}
export type TaskState = { readonly path: string } & (
  | { readonly status: 'open' | 'expired' | 'withdrawn' | 'lost' }
  | { readonly status: 'done'; readonly decision: TaskDecision }
);

export interface CloseTasksRequest extends Recorded {
  readonly paths: readonly string[];
  readonly as: 'expired' | 'withdrawn' | 'lost';
}
export interface ExpectRequest extends Recorded {
  readonly process: string;
  readonly event: string;
  readonly key: string;
}
export interface StartCaseRequest extends Recorded {
  readonly path: string;
  readonly process: string;
  readonly input: unknown;
  readonly at?: Instant;
}
export interface CloseCaseRequest extends Recorded {
  readonly status: 'completed' | 'withdrawn' | 'failed' | 'broken';
  readonly outcome: unknown;
  /** Inbox rows of events that came while the case ran and that nothing of it took. */
  readonly left?: readonly string[];
}

/** What the kit calls outside the bundle. Each call is one transaction and may be repeated: what stands is adopted. */
export interface KitActivities {
  record(request: Recorded): Promise<{ readonly refusedClocks: readonly string[] }>;
  runEffect(request: EffectRequest): Promise<EffectAnswer>;
  decide(request: DecideRequest): Promise<unknown>;
  openTask(request: OpenTaskRequest): Promise<TaskState>;
  closeTasks(request: CloseTasksRequest): Promise<readonly TaskState[]>;
  /** False when the key is another case's. */
  expect(request: ExpectRequest): Promise<boolean>;
  startCase(request: StartCaseRequest): Promise<CaseId>;
  closeCase(request: CloseCaseRequest): Promise<void>;
}

/**
 * Names of the failures that activities throw on purpose. `unavailable` and `recordsAway` (our own Postgres) are retried, the second one for as long as it takes;
 * the others of effects go to a person at once. `recordRefused` is a fault of the code: the workflow task fails until a deployment mends it, and the sweep tells
 * operators.
 */
export const failures = {
  unavailable: 'SystemUnavailable',
  recordsAway: 'RecordsAway',
  refused: 'SystemRefused',
  outcomeUnknown: 'OutcomeUnknown',
  keyReused: 'EffectKeyReused',
  recordRefused: 'RecordRefused',
} as const;

/** The built-in task of every process: an effect that neither succeeds nor is refused for a declared reason. */
export const repairTask = 'repair';
export type RepairForm =
  | { readonly action: 'retry' }
  | { readonly action: 'enterResult'; readonly result: unknown }
  /** The system has refused for a reason that the contract declares, as the person knows from elsewhere. */
  | { readonly action: 'enterError'; readonly error: string }
  | { readonly action: 'giveUp' };
/** What a repair task is about. `failure`: a name in `failures`, or `overlong`; `error` is for technicians. */
export interface RepairContext {
  readonly step: string;
  readonly failure: string;
  readonly error: string;
  readonly system?: string;
  readonly operation?: string;
  /** Ids, amounts and codes, as the effect was to be sent. */
  readonly args?: unknown;
  /** The step that it was to take back. */
  readonly undoes?: string;
}
