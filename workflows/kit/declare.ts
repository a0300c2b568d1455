/** What a process declares about itself (`process.ts`) and what the kit derives from it. Types of zod only: the bundle reads these types and no schema. */
import type { z } from 'zod';
import type { Role } from '../../values/role.ts';

export interface TaskDeclaration {
  readonly title: { readonly zh: string; readonly en: string };
  /** The stage that it belongs to in the diagram of the process; a test holds that each has one. */
  readonly stage?: string;
  /** What the person decides. Words people write are `freeText()`: they stay in Postgres and never enter a history. */
  readonly form: z.ZodType;
  /** Who decides; absent when the body routes by amount or names the role. */
  readonly role?: Role;
  /** Whoever decided any of these tasks in the case may not decide this one (four eyes). */
  readonly notBy?: readonly string[];
}

export interface EventDeclaration {
  readonly title: { readonly zh: string; readonly en: string };
  readonly payload: z.ZodType;
  /** `<system>.<event>` of a contract when it comes by webhook and is found by the source's own key; absent when it comes by case id. */
  readonly from?: `${string}.${string}`;
  /** Of a thing with states only these enter the case; the others stay beside it. */
  readonly states?: readonly string[];
  /** Answers no question of ours, so one that comes by case id before the case waits for it is kept for the wait. */
  readonly early?: true;
  /** The customer may send it through their link: at any time while the case runs, or is offered it in these stages. */
  readonly byCustomer?: true | readonly string[];
  /** Interrupts the case's waits and runs the handler of its name. */
  readonly ends?: true;
  /** What becomes of one that no case has claimed for the policy's `inbox.unclaimedAfter`: goods that nobody asked about. */
  readonly unclaimed?: `start:${string}`;
  /** What becomes of one that arrives when the case has ended. */
  readonly afterEnd: 'note' | `start:${string}`;
}

export interface ProcessDeclaration {
  readonly name: string;
  readonly title: { readonly zh: string; readonly en: string };
  readonly input: z.ZodType;
  /** The business key: same key, same case. */
  readonly key: (input: never) => readonly string[];
  /** What the case is about; shop scopes people, policies and lists. */
  readonly subject: (input: never) => { readonly shop: string; readonly customer?: string; readonly order?: string };
  readonly stages: readonly string[];
  readonly tasks: Readonly<Record<string, TaskDeclaration>>;
  readonly events: Readonly<Record<string, EventDeclaration>>;
  /** The event, with `files` (ids) in its payload, that tells the case that evidence was uploaded; absent: files are kept with the case, which does not hear of them. */
  readonly evidence?: string;
  /** Name in the body → clock of the policy (T1 … T17, L1). */
  readonly clocks: Readonly<Record<string, string>>;
  /** Windows of the policy that the body uses. */
  readonly windows: readonly string[];
  /** Messages of `messages.yaml` that the body tells. */
  readonly messages: readonly string[];
  readonly outcome: z.ZodType<{ result: string }>;
  /** Version of the forms: raised when a form changes in a way that open tasks of the version before cannot take. */
  readonly formVersion?: number;
}

/** Declares a process: its input, people, events, clocks, messages and outcomes, as data that the API, the worklist and the body's types are made from. */
export const defineProcess = <const P extends ProcessDeclaration>(declaration: P): P => declaration;

export type Names<T> = Extract<keyof T, string>;
export type Input<P extends ProcessDeclaration> = z.output<P['input']>;
/** What a case ends with. Every case may also be withdrawn. */
export type Outcome<P extends ProcessDeclaration> = z.output<P['outcome']>;
export type Form<P extends ProcessDeclaration, T extends Names<P['tasks']>> = z.output<P['tasks'][T]['form']>;
export type Payload<P extends ProcessDeclaration, E extends Names<P['events']>> = z.output<P['events'][E]['payload']>;
export type Ending<P extends ProcessDeclaration> = { [E in Names<P['events']>]: P['events'][E] extends { ends: true } ? E : never }[Names<P['events']>];
export type ClockName<P extends ProcessDeclaration> = Names<P['clocks']>;
export type WindowName<P extends ProcessDeclaration> = P['windows'][number];
