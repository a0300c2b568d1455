/** Runs effects: once each, whatever crashes in between. */
import { Context } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { BrokenCircuitError, type CircuitBreakerPolicy } from 'cockatiel';
import { intend, intendAgain, KeyReused, recordAnswer, standingAnswer } from '../db/effects.ts';
import { inTransaction, isAway, whenCommitted } from '../db/pool.ts';
import { lockCase } from '../db/cases.ts';
import { note } from '../db/timeline.ts';
import { callOperation, factsOf, lookupOperation, SystemRefused, SystemUnavailable } from '../systems/client.ts';
import type { OperationContract } from '../systems/contract.ts';
import { effectKey } from '../values/ids.ts';
import { failures, type EffectAnswer, type EffectRequest } from '../workflows/kit/protocol.ts';
import { createBreaker } from './breaker.ts';
import type { Engine } from './context.ts';
import { breakerOpen, effectsDone, effectSeconds, effectTries } from './counted.ts';
import { applyPending } from './pending.ts';

/** Beside a workflow task: below the 1.5 s that the kit gives a try, so that we record what we know before it is over. */
const quickLimit = 1200;
/** As an activity of its own: below its 30 s. No system of ours needs longer for one call. */
const slowLimit = 25_000;

const breakers = new Map<string, CircuitBreakerPolicy>();
function breakerOf({ log }: Engine, system: string): CircuitBreakerPolicy {
  const known = breakers.get(system);
  if (known) return known;
  const made = createBreaker();
  breakers.set(system, made);
  breakerOpen.set({ system }, 0);
  made.onBreak(() => {
    breakerOpen.set({ system }, 1);
    log.warn({ system }, 'a system does not answer, and is left alone for a while');
  });
  made.onReset(() => {
    breakerOpen.set({ system }, 0);
    log.info({ system }, 'a system answers again');
  });
  return made;
}

const isLocal = (): boolean => {
  try {
    return Context.current().info.isLocal;
  } catch {
    // Outside an activity: the redo job.
    return false;
  }
};

/** The activity. Rejects with the failures of the protocol, whose messages hold ids and codes only. */
export async function runEffect(engine: Engine, request: EffectRequest): Promise<EffectAnswer> {
  const { system, operation } = request;
  // A name of no contract is a fault of the code, and could be anything.
  const known = engine.systems[system]?.operations[operation] === undefined ? { system: 'unknown', operation: 'unknown' } : { system, operation };
  const took = effectSeconds.startTimer({ system: known.system });
  const tried = (result: string): void => {
    effectTries.inc({ ...known, result });
    took();
  };
  try {
    const answer = await once(engine, request);
    tried(answer.ok ? 'ok' : 'error');
    return answer;
  } catch (error) {
    const failure = asFailure(error);
    tried(failure instanceof ApplicationFailure ? (failure.type ?? 'fault') : 'fault');
    throw failure;
  }
}

/** Tried again until it is back. Each try is counted, and who left whom alone is logged; a line for every try of every case would be a log of nothing else. */
const expected = ApplicationFailureCategory.BENIGN;

function asFailure(error: unknown): unknown {
  if (error instanceof KeyReused) return ApplicationFailure.create({ type: failures.keyReused, message: error.message, nonRetryable: true });
  if (error instanceof OutcomeUnknown) return ApplicationFailure.create({ type: failures.outcomeUnknown, message: error.message, nonRetryable: true });
  if (error instanceof SystemRefused) return ApplicationFailure.create({ type: failures.refused, message: error.message, nonRetryable: true });
  if (error instanceof SystemUnavailable)
    return ApplicationFailure.create({
      type: failures.unavailable,
      message: error.message,
      category: expected,
      ...(error.retryAfterMs === undefined ? {} : { nextRetryDelay: error.retryAfterMs }),
    });
  if (isAway(error)) return ApplicationFailure.create({ type: failures.recordsAway, message: 'our Postgres is away', category: expected });
  if (error instanceof BrokenCircuitError)
    return ApplicationFailure.create({ type: failures.unavailable, message: 'the system has been away; not asked', category: expected });
  return error;
}

/** Nobody can tell whether it happened: the system neither honours keys nor answers what stands under one. */
class OutcomeUnknown extends Error {}

async function once(engine: Engine, request: EffectRequest): Promise<EffectAnswer> {
  const { pool } = engine;
  const contract = engine.systems[request.system]?.operations[request.operation];
  if (contract === undefined)
    throw ApplicationFailure.create({ type: failures.refused, message: `${request.system}.${request.operation} is in no contract`, nonRetryable: true });
  // The first answer stands, also when the system's own came while a person was entering one.
  const { entered } = request;
  if (entered) return record(engine, request, 'error' in entered ? { ok: false, error: entered.error } : { ok: true, result: entered.result }, entered.by);
  const recorded = await standingAnswer(pool, request);
  if (recorded) {
    await inTransaction(pool, (tx) => applyPending(engine, tx, request.case, request.pending));
    return recorded;
  }
  const own = engine.own[`${request.system}.${request.operation}`];
  if (own) {
    return inTransaction(pool, async (tx) => {
      // A try that was given up as too slow may still be at it: it is waited for, and its answer stands.
      await lockCase(tx, request.case);
      const meanwhile = await standingAnswer(tx, request);
      if (meanwhile) {
        await applyPending(engine, tx, request.case, request.pending);
        return meanwhile;
      }
      const answer = await own(tx, { case: request.case, key: effectKey(request.case, request.path), args: contract.args.parse(request.args) });
      return recordIn(engine, tx, request, answer);
    });
  }
  return record(engine, request, await send(engine, request, contract));
}

async function send(engine: Engine, request: EffectRequest, contract: OperationContract): Promise<EffectAnswer> {
  const system = engine.systems[request.system];
  if (system === undefined) throw new Error(`${request.system} vanished`);
  const key = effectKey(request.case, request.path);
  const target = { ...engine.target(request.system), timeoutMs: isLocal() ? quickLimit : slowLimit };
  const facts = (answer: EffectAnswer): EffectAnswer => (answer.ok ? { ok: true, result: factsOf(contract, answer.result) } : answer);
  return breakerOf(engine, request.system).execute(async () => {
    // The intent is committed before the call: after a crash the next try knows that one may have been sent.
    if (contract.repeat !== 'keyed' && !(await intend(engine.pool, request))) {
      if (contract.repeat === 'lookup') {
        const stands = await lookupOperation(system, request.operation, { ...target, key });
        if (stands.found) return facts(stands.answer);
      } else if (!(await intendAgain(engine.pool, request)))
        throw new OutcomeUnknown(`${request.system}.${request.operation} was sent and no answer came; whether it happened has to be looked up there`);
    }
    return facts(await callOperation(system, request.operation, { ...target, key, args: request.args }));
  });
}

const record = (engine: Engine, request: EffectRequest, answer: EffectAnswer, enteredBy?: string): Promise<EffectAnswer> =>
  inTransaction(engine.pool, (tx) => recordIn(engine, tx, request, answer, enteredBy));

async function recordIn(
  engine: Engine,
  tx: Parameters<typeof applyPending>[1],
  request: EffectRequest,
  answer: EffectAnswer,
  enteredBy?: string,
): Promise<EffectAnswer> {
  const stands = await recordAnswer(tx, request, answer, enteredBy);
  await applyPending(engine, tx, request.case, request.pending);
  if (stands.fresh) {
    const { system, operation, path } = request;
    await note(tx, request.case, `effect:${path}`, request.undoes === undefined ? 'effect' : 'undone', {
      system,
      operation,
      path,
      ...(stands.answer.ok ? {} : { error: stands.answer.error }),
      ...(enteredBy ? { enteredBy } : {}),
    });
    const result = enteredBy !== undefined ? 'entered' : stands.answer.ok ? 'ok' : 'error';
    whenCommitted(tx, () => effectsDone.inc({ system, operation, result }));
  } else if (enteredBy !== undefined) {
    const { system, operation, path } = request;
    await note(tx, request.case, `effect:${path}:tooLate:${enteredBy}`, 'enteredTooLate', { system, operation, path, by: enteredBy });
  }
  return stands.answer;
}
