/** What a route is: data, from which the Express handler and the OpenAPI document are made, so that neither can say what the other does not. */
import type { Readable } from 'node:stream';
import type { Request } from 'express';
import type { Logger } from 'pino';
import type { z } from 'zod';
import type { CaseRow } from '../db/cases.ts';
import type { Link } from '../db/links.ts';
import type { Person } from '../db/people.ts';
import type { OperationId } from './access.ts';
import type { Language } from './language.ts';
import type { ProblemCode } from './problems.ts';

export interface Reply {
  readonly status: number;
  /** JSON; text when `type` says another. */
  readonly body?: unknown;
  readonly type?: string;
  /** Path of a file of ours to send instead. */
  readonly file?: string;
  /** Bytes to send instead. */
  readonly stream?: Readable;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a route gets: parsed, authenticated, granted. */
export interface Call<P = unknown, Q = unknown, B = unknown> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly language: Language;
  readonly requestId: string;
  readonly log: Logger;
  readonly request: Request;
}
/** A call by a person or a calling system whose row was read. */
export interface PersonCall<P = unknown, Q = unknown, B = unknown> extends Call<P, Q, B> {
  readonly person: Person;
}

/** A call by the customer of a case, who has a link to it. */
export interface CustomerCall<P = unknown, Q = unknown, B = unknown> extends Call<P, Q, B> {
  readonly customer: { readonly link: Link; readonly row: CaseRow };
}

export interface Success {
  readonly description: string;
  readonly schema?: z.ZodType;
  readonly type?: string;
  /** What can be called next with what the answer holds: operations, with their parameters as runtime expressions of OpenAPI. */
  readonly leadsTo?: Readonly<Partial<Record<OperationId, Readonly<Record<string, string>>>>>;
}

interface Described<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  readonly id: OperationId;
  readonly method: 'get' | 'post' | 'put';
  /** OpenAPI's way: `/v1/cases/{id}`. */
  readonly path: string;
  readonly tag: 'Processes' | 'Cases' | 'Tasks' | 'Webhooks' | 'People' | 'Calendar' | 'Customers' | 'Privacy' | 'Reports' | 'Operation';
  readonly summary: string;
  readonly description?: string;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  /** How the body comes; default: JSON. An upload is read by its route, as it comes; `body` only describes it. */
  readonly takes?: 'json' | 'form' | 'upload';
  /** It is a page: its failures are pages too. */
  readonly page?: true;
  /** An example of the body, for the document. */
  readonly example?: unknown;
  readonly replies: Readonly<Record<number, Success>>;
  /** Problems of its own, beside those that every route of its kind has. */
  readonly problems?: readonly ProblemCode[];
}
export interface Route extends Described<z.ZodType, z.ZodType, z.ZodType> {
  readonly run: (call: PersonCall & CustomerCall) => Promise<Reply> | Reply;
}

type Out<S extends z.ZodType> = z.output<S>;
/** Declares a route whose call has the types of its schemas. Public and signed routes have no person: they take `Call`. */
export const route = <P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  described: Described<P, Q, B> & { readonly run: (call: PersonCall<Out<P>, Out<Q>, Out<B>>) => Promise<Reply> | Reply },
): Route => described as unknown as Route;

/** The same of a route whose caller has a link. */
export const customerRoute = <P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  described: Described<P, Q, B> & { readonly run: (call: CustomerCall<Out<P>, Out<Q>, Out<B>>) => Promise<Reply> | Reply },
): Route => described as unknown as Route;
