/** What the contract of an outside system is made from. */
import { z } from 'zod';
import { moneySchema } from '../values/schemas.ts';
import type { Text } from '../values/text.ts';

/**
 * What we ask of an outside system. An operation is one HTTP call: `POST <system url>/<operation>` with the arguments as JSON and our key as
 * `Idempotency-Key`; 200 with the result, or 409 with a problem (RFC 9457) whose `code` is one of `errors`. Everything else is a failure.
 * `GET <system url>/<operation>?key=` answers what stands under a key: the recorded answer, or 404 with the code `unknownKey`.
 */
export interface OperationContract {
  /** What people call it: `退款`, `Refund`. */
  readonly title: Text;
  /** What it does, for who implements it. */
  readonly about: string;
  /** What people read once it is done; the title alone where it is absent. `{amount}`, `{units.length}` are taken from the result, else from the arguments. */
  readonly done?: Text;
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
  /**
   * `quick` answers well within 2 s and runs beside the workflow task; `slow` is scheduled as an activity of its own. Slow is also what a process asks for by what has
   * arrived so far: its arguments are in the history before it is sent, and stay the same when a killed worker's step is done again.
   */
  readonly pace: 'quick' | 'slow';
  /**
   * The operation of the same system that takes this one back by its key: its arguments are `undoArgs`, its result is `undoResult`. It is `slow`: what it takes back is then
   * in the history before it is sent. Both beside one workflow task that is lost would be done again, and the first be found taken back.
   */
  readonly undo?: string;
  /**
   * The part of the result that a process may see, when the result holds personal data: ids, amounts, categories, pseudonyms.
   * The rest never enters a history, a log or an effect's record.
   */
  readonly facts?: { readonly schema: z.ZodType; readonly of: (result: never) => unknown };
  /** It moves money: the account of a case shows `amount` of its arguments as what this says. */
  readonly money?: MoneyContract;
}

/**
 * `refund` gives back `amount` of `paymentId`, `payout` pays beside any payment, `charge` asks the customer for it, `payments` lists what was paid.
 * `reports`: the event of the same system that tells what became of it, and the field of the result that the event's key is.
 */
export type MoneyContract =
  | { readonly as: 'payments' }
  | { readonly as: 'refund' | 'payout' | 'charge'; readonly reports?: { readonly event: string; readonly id: string } };

/** Something a system tells us: a webhook signed per Standard Webhooks, whose body is a `webhookBody` of this type and payload. */
export interface SystemEventContract {
  readonly title: Text;
  /** What people read when it comes; `{trackingNo}`, `{units.length}` are taken from the payload. */
  readonly told: Text;
  /** Says which fact it is, by its own id or its time: equal payloads are one fact, by whatever way and under whatever id they come. */
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
  readonly title: Text;
  readonly operations: Readonly<Record<string, OperationContract>>;
  readonly events: Readonly<Record<string, SystemEventContract>>;
  /** Its codes in words: declared errors, states, and what else its sentences show. */
  readonly words: Readonly<Record<string, Text>>;
}

/** Declares an outside system: what we call and what it tells us. From it come types, client, OpenAPI document and the sandbox's checks. */
export const defineSystem = <const S extends SystemContract>(system: S): S => system;

export type OperationName<S extends SystemContract> = Extract<keyof S['operations'], string>;
export type EventName<S extends SystemContract> = Extract<keyof S['events'], string>;
export type Args<S extends SystemContract, O extends OperationName<S>> = z.input<S['operations'][O]['args']>;
export type Result<S extends SystemContract, O extends OperationName<S>> = z.output<S['operations'][O]['result']>;
export type ErrorCode<S extends SystemContract, O extends OperationName<S>> = S['operations'][O] extends {
  readonly errors: readonly (infer E extends string)[];
}
  ? E
  : never;
/** What a system answers when it answers: its result, or one of the business errors that the contract declares. */
export type Answer<R, E extends string> = { readonly ok: true; readonly result: R } | { readonly ok: false; readonly error: E };

/** An id in an outside system's own words. */
export const idSchema = z.string().min(1).max(200);
/** What an effect is for, as a code that statistics count (`quality`, `wrongItem`): no free text, which could hold personal data. */
export const reasonSchema = z
  .string()
  .regex(/^[a-z][A-Za-z0-9-]{0,63}$/, 'a code such as wrongItem')
  .meta({ description: 'A code, no free text' });
/** The case an effect belongs to, so that the other department finds it: an id, shown and never interpreted. */
export const caseRefSchema = z.string().min(1).max(500).meta({ description: 'Our case id, for display' });
/** An amount that an effect moves: nothing moves for nothing. */
export const amountSchema = moneySchema.refine((amount) => amount.minor > 0, 'more than zero');
/** Goods by stock-keeping unit, each named once. 200 lines: more than any order of ours, little enough for one transaction. */
export const skuLinesSchema = z
  .array(z.object({ sku: idSchema, quantity: z.int().min(1).max(10_000) }))
  .min(1)
  .max(200)
  .refine((lines) => new Set(lines.map((line) => line.sku)).size === lines.length, 'each sku once');

/** The arguments of every undo: the key under which the effect was sent. */
export const undoArgs = z.object({ of: z.string().min(1).max(700).meta({ description: 'The Idempotency-Key of the effect to take back' }) });
export type UndoArgs = z.output<typeof undoArgs>;
/**
 * What an undo found under the key. `done`: it was there and is taken back. `spent`: it was there, and nothing is left of it to take back (a label that was
 * used). `undone`: it had been taken back before. `absent`: it was not there; the key is remembered, and an effect that comes later under it is refused (409, `undone`).
 */
export const undoResult = z.object({ was: z.enum(['done', 'spent', 'undone', 'absent']) });
export type UndoResult = z.output<typeof undoResult>;

/** The body of every webhook (the shape that Standard Webhooks recommends). Its id is in the header `webhook-id`: the same id is the same event. */
export const webhookBody = z.object({
  type: z.string().min(1).max(100).meta({ description: 'The event of the contract' }),
  timestamp: z.iso.datetime({ offset: true }).meta({ description: 'When it happened' }),
  data: z.unknown().meta({ description: "The event's payload" }),
});
export type WebhookBody = z.output<typeof webhookBody>;
