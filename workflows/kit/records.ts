/** How a case writes: what has gathered rides in the next record, and no record holds a workflow task while Postgres is away. */
import { ActivityFailure, ApplicationFailure, CancellationScope, proxyActivities, proxyLocalActivities, workflowInfo } from '@temporalio/workflow';
import type { CaseId } from '../../values/ids.ts';
import { failures } from './protocol.ts';
import type { ClockCommand, EffectAnswer, EffectRequest, KitActivities, Pending, Recorded, Told } from './protocol.ts';

// Beside the workflow task: costs one event of history. Two tries in two seconds bridge a lost connection, no more: a task slot is held meanwhile.
const beside = proxyLocalActivities<KitActivities>({
  scheduleToCloseTimeout: '2s',
  startToCloseTimeout: '1500ms',
  retry: { maximumAttempts: 2, initialInterval: '100ms' },
});
// The same function as an ordinary activity: waits out any outage without an event of history, trying at least every 10 s.
const apart = proxyActivities<KitActivities>({
  startToCloseTimeout: '10s',
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '10s' },
});

/** What an activity threw. An exhausted local activity rejects with the bare ApplicationFailure. */
const causeOf = (failure: unknown): unknown => (failure instanceof ActivityFailure ? failure.cause : failure);

/** A failure that another try of ours cannot change. */
function isFinal(failure: unknown): boolean {
  const cause = causeOf(failure);
  return cause instanceof ApplicationFailure && cause.nonRetryable === true;
}

/** A record that Postgres refuses for what it holds is a fault of the code, and fails the workflow task as one. */
function faultOf(failure: unknown): unknown {
  const cause = causeOf(failure);
  return cause instanceof ApplicationFailure && cause.type === failures.recordRefused ? new Error(cause.message) : failure;
}

type Gathering = { -readonly [K in keyof Omit<Pending, 'clocks' | 'told' | 'seen' | 'refused' | 'reset'>]?: Pending[K] } & {
  clocks: ClockCommand[];
  told: Told[];
  seen: string[];
  refused: string[];
};
type Records = Omit<KitActivities, 'runEffect' | 'record'>;

export class Recorder {
  readonly #case: CaseId;
  /** How an effect that is not quick, or whose system is away, is tried until a person is asked. */
  readonly #effect: Pick<KitActivities, 'runEffect'>;
  #order = 0;
  /** The end of the line of calls beside the workflow task. */
  #last: Promise<unknown> = Promise.resolve();
  #beside = 0;
  #next: Gathering = { clocks: [], told: [], seen: [], refused: [] };

  constructor(of: CaseId, repairAfter: number) {
    this.#case = of;
    // 30 s: no outside call takes longer. Doubling to a minute: a system that comes back is met within one. The end is the policy's: then a person is asked.
    this.#effect = proxyActivities<KitActivities>({
      startToCloseTimeout: '30s',
      scheduleToCloseTimeout: repairAfter,
      retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '1m' },
    });
  }

  stage(name: string): void {
    this.#next.stage = name;
  }
  noReturn(): void {
    this.#next.noReturn = true;
  }
  clock(command: ClockCommand): void {
    this.#next.clocks.push(command);
  }
  tell(told: Told): void {
    this.#next.told.push(told);
  }
  seen(id: string): void {
    this.#next.seen.push(id);
  }
  refused(id: string): void {
    this.#next.refused.push(id);
  }

  /** Writes what has gathered, if anything has; names of clocks whose extension was refused. */
  async flush(): Promise<readonly string[]> {
    const { stage, noReturn, clocks, told, seen, refused } = this.#next;
    if (stage === undefined && !noReturn && clocks.length + told.length + seen.length + refused.length === 0) return [];
    const recorded = (await this.#either('record', { case: this.#case, pending: this.#take() })) as Awaited<ReturnType<KitActivities['record']>>;
    return recorded.refusedClocks;
  }

  write<K extends keyof Records>(kind: K, request: Omit<Parameters<KitActivities[K]>[0], keyof Recorded>): ReturnType<KitActivities[K]>;
  async write(kind: keyof Records, request: object): Promise<unknown> {
    return this.#either(kind, { ...request, case: this.#case, pending: this.#take() });
  }

  /** One effect: quick ones first beside the workflow task; then, or when slow, as an activity that retries until `repairAfter`. Effects finish: they are never cancelled. */
  async effect(request: Omit<EffectRequest, keyof Recorded>, pace: 'quick' | 'slow'): Promise<EffectAnswer> {
    return CancellationScope.nonCancellable(async () => {
      // Nothing that cannot be taken back happens before it is certain that it can not.
      if (this.#next.noReturn) await this.flush();
      if (pace === 'quick') {
        const pending = this.#take();
        try {
          return await this.#inTurn(() => beside.runEffect({ ...request, case: this.#case, pending }));
        } catch (failure) {
          // What had gathered must not wait for the system to come back: the customer is told, the stage shows.
          await this.#either('record', { case: this.#case, pending });
          if (isFinal(failure)) throw failure;
        }
      } else await this.flush();
      return this.#effect.runEffect({ ...request, case: this.#case, pending: this.#take() });
    });
  }

  #take(): Pending {
    const { stage, noReturn, clocks, told, seen, refused } = this.#next;
    this.#next = { clocks: [], told: [], seen: [], refused: [] };
    this.#order += 1;
    const { runId, firstExecutionRunId } = workflowInfo();
    return {
      order: this.#order,
      ...(runId === firstExecutionRunId ? {} : { reset: runId }),
      ...(stage === undefined ? {} : { stage }),
      ...(noReturn ? { noReturn } : {}),
      ...(clocks.length > 0 ? { clocks } : {}),
      ...(told.length > 0 ? { told } : {}),
      ...(seen.length > 0 ? { seen } : {}),
      ...(refused.length > 0 ? { refused } : {}),
    };
  }

  /**
   * One call beside the workflow task at a time. Several that end together are one step of the workflow when it runs and several, or one, when it is replayed; then
   * parallel branches would go on in another order than they did, and take each other's results (TMPRL1100). One after the other there is one order.
   */
  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    this.#beside += 1;
    const mine = this.#last.then(call, call).finally(() => (this.#beside -= 1));
    this.#last = mine.catch(() => undefined);
    return mine;
  }
  /** Something runs beside the workflow task. */
  get busy(): boolean {
    return this.#beside > 0;
  }

  async #either(kind: keyof KitActivities, request: Recorded): Promise<unknown> {
    // The callers' signatures hold the pairing of kind and request; the proxies' own types cannot express it for a union.
    const call = (by: typeof beside | typeof apart) => (by[kind] as unknown as (r: Recorded) => Promise<unknown>)(request);
    return CancellationScope.nonCancellable(async () => {
      try {
        // What runs beside a workflow task is forgotten with it when the worker is killed, and an event that came meanwhile then comes first. So the point of no
        // return is an activity of its own: from the moment it is written, history has it before all that comes later. So is the end, which settles what was late.
        if (!request.pending.noReturn && kind !== 'closeCase') return await this.#inTurn(() => call(beside));
      } catch (failure) {
        if (isFinal(failure)) throw faultOf(failure);
      }
      try {
        return await call(apart);
      } catch (failure) {
        throw faultOf(failure);
      }
    });
  }
}
