import type { z } from 'zod';

/**
 * What we ask of an outside system. An operation is one HTTP call: `POST <system url>/<operation>` with the arguments as JSON and our key as
 * `Idempotency-Key`; 200 with the result, or 409 with a problem whose `code` is one of `errors`. Everything else is a failure and is retried.
 */
export interface OperationContract {
  readonly title: string;
  readonly args: z.ZodType;
  readonly result: z.ZodType;
  /** Business refusals that a process branches on. All other failures retry and then become a repair task. */
  readonly errors?: readonly string[];
  /** `read` changes nothing and may be asked again at will. */
  readonly kind: 'read' | 'effect';
  /**
   * What we may do when an answer was lost. `keyed`: send again under the same key, the system answers the same. `lookup`: ask `GET <operation>?key=` first.
   * `never`: nobody can tell, a person decides.
   */
  readonly repeat: 'keyed' | 'lookup' | 'never';
  /** `quick` answers well within 2 s and runs beside the workflow task; `slow` is scheduled as an activity of its own. */
  readonly pace: 'quick' | 'slow';
  /** The operation of the same system that takes this one back by its key, if it exists there; its arguments are `{of: key}`. */
  readonly undo?: string;
  /**
   * The part of the result that a process may see, when the result holds personal data: ids, amounts, categories, pseudonyms.
   * The rest never enters a history, a log or an effect's record.
   */
  readonly facts?: (result: never) => unknown;
}

/** Something a system tells us by webhook. */
export interface SystemEventContract {
  readonly title: string;
  readonly payload: z.ZodType;
  /** What the event is about in the source's own words (a tracking number, a refund id): cases correlate on it. */
  readonly key: (payload: never) => string;
  /**
   * States of one thing that arrive in any order: sorted by event time, then by rank, and the newest kept in Postgres. Such an event enters a
   * workflow only where a process declares an event from it.
   */
  readonly state?: (payload: never) => { readonly at: string; readonly state: string; readonly rank: number };
}

export interface SystemContract {
  readonly name: string;
  readonly title: { readonly zh: string; readonly en: string };
  readonly operations: Readonly<Record<string, OperationContract>>;
  readonly events: Readonly<Record<string, SystemEventContract>>;
}

/** Declares an outside system: what we call and what it tells us. From it come types, client, OpenAPI document and the sandbox's checks. */
export const defineSystem = <const S extends SystemContract>(system: S): S => system;

/** The arguments of every undo: the key under which the effect was sent. The system takes it back if it exists, and remembers the key if it does not yet. */
export interface UndoArgs {
  readonly of: string;
}
