/** Calls an outside system as its contract says. Knows nothing of cases: retries, records and repair are the caller's. */
import type { z } from 'zod';
import type { Answer, Args, ErrorCode, OperationContract, OperationName, Result, SystemContract } from './contract.ts';

/** Answers are small; a system that sends more than this is broken, and must not fill our memory. */
const answerLimit = 1024 * 1024;

/** The system could not be reached, was too slow, or says that it cannot now (5xx, 408, 425, 429): ask again later, under the same key. Whether an effect took place is unknown. */
export class SystemUnavailable extends Error {
  override readonly name = 'SystemUnavailable';
  /** Milliseconds after which the system wants to be asked again, where it said so. */
  readonly retryAfterMs: number | undefined;
  constructor(call: string, why: string, options: { readonly retryAfterMs?: number | undefined; readonly cause?: unknown } = {}) {
    super(`${call}: ${why}`, { cause: options.cause });
    this.retryAfterMs = options.retryAfterMs;
  }
}

/**
 * The system understood and said no for no reason that the contract declares, or one side broke the contract: asking again does not help, a person has to look.
 */
export class SystemRefused extends Error {
  override readonly name = 'SystemRefused';
  readonly status: number;
  /** The problem's `code`; `badAnswer` when the answer does not fit the contract, `badArguments` (status 0, nothing was sent) when our arguments do not. */
  readonly code: string;
  /** The system's own words. They may hold personal data, so they are in no message and no log; show them to the person who repairs. */
  readonly detail: string | undefined;
  constructor(call: string, status: number, code: string, detail?: string) {
    super(status === 0 ? `${call}: ${code}, not sent` : `${call}: answered ${status} ${code}`);
    this.status = status;
    this.code = code;
    this.detail = detail?.slice(0, 1000);
  }
}

export interface CallTarget {
  /** The system's URL without the operation, from configuration. */
  readonly baseUrl: string;
  /** Until the whole answer is there. */
  readonly timeoutMs: number;
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string | undefined;
  /** Ends the call early: the caller's own cancellation. */
  readonly signal?: AbortSignal | undefined;
}

interface Reply {
  readonly status: number;
  readonly body: unknown;
  readonly retryAfterMs: number | undefined;
}

/** The body up to the limit; throws past it. */
async function readBody(response: Response, call: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    const bytes = chunk as Uint8Array;
    size += bytes.byteLength;
    if (size > answerLimit) throw new SystemRefused(call, response.status, 'badAnswer', `more than ${answerLimit} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Seconds or an HTTP date, as RFC 9110 has it. */
function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/**
 * One request. Node's fetch keeps connections alive and apart per origin, so a system that hangs takes no other system's connections,
 * and drops an idle one after 4 s, before the server's 5 s end: no request meets a socket that is being closed.
 */
async function request(
  call: string,
  url: string,
  target: CallTarget,
  init: { readonly method: string; readonly headers?: Record<string, string>; readonly body?: string },
): Promise<Reply> {
  const limit = AbortSignal.timeout(target.timeoutMs);
  try {
    const response = await fetch(url, {
      ...init,
      headers: { accept: 'application/json', ...(target.token === undefined ? {} : { authorization: `Bearer ${target.token}` }), ...init.headers },
      // A redirect would repeat an effect elsewhere.
      redirect: 'error',
      signal: target.signal ? AbortSignal.any([limit, target.signal]) : limit,
    });
    const text = await readBody(response, call);
    let body: unknown;
    try {
      body = text === '' ? undefined : JSON.parse(text);
    } catch {
      // A proxy's HTML page; the status says what it means.
      body = undefined;
    }
    return { status: response.status, body, retryAfterMs: retryAfter(response.headers.get('retry-after')) };
  } catch (cause) {
    if (cause instanceof SystemRefused) throw cause;
    throw new SystemUnavailable(call, limit.aborted ? `no answer within ${target.timeoutMs} ms` : 'no connection', { cause });
  }
}

/** The code of a problem. What is no code, a sentence that names a customer perhaps, is none: codes go into messages, logs and histories. */
const codeIn = (body: unknown): string | undefined => {
  const code = field(body, 'code');
  return code !== undefined && /^[a-z][\w-]{0,63}$/i.test(code) ? code : undefined;
};
const field = (body: unknown, name: string): string | undefined => {
  const value: unknown = typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined;
  return typeof value === 'string' ? value : undefined;
};

/** Statuses that speak of now, not of the request. */
const temporary = (status: number): boolean => status >= 500 || status === 408 || status === 425 || status === 429;

/** Where something does not fit its schema: paths only, as the values may be personal. */
const brokenAt = (error: z.ZodError): string => error.issues.map((issue) => `${issue.path.join('.')}: ${issue.code}`).join('; ');

/** What a reply means: the operation's result, a declared error, or one of the two failures. */
function answer(call: string, operation: OperationContract, reply: Reply): Answer<unknown, string> {
  const { status, body } = reply;
  if (status === 200) {
    const parsed = operation.result.safeParse(body);
    if (parsed.success) return { ok: true, result: parsed.data };
    throw new SystemRefused(call, status, 'badAnswer', brokenAt(parsed.error));
  }
  const code = codeIn(body);
  if (status === 409 && code !== undefined && operation.errors?.includes(code) === true) return { ok: false, error: code };
  if (temporary(status)) throw new SystemUnavailable(call, `answered ${status}${code === undefined ? '' : ` ${code}`}`, { retryAfterMs: reply.retryAfterMs });
  throw new SystemRefused(call, status, code ?? 'unknown', field(body, 'detail'));
}

function contractOf(system: SystemContract, name: string): OperationContract {
  const operation = Object.hasOwn(system.operations, name) ? system.operations[name] : undefined;
  if (!operation) throw new RangeError(`${system.name} has no operation ${name}`);
  return operation;
}

/**
 * Calls an operation once. Answers the result or a business error that the contract declares; throws SystemUnavailable when it may be asked again under
 * the same key, SystemRefused when asking again does not help. An effect needs its key: 1 to 700 visible ASCII characters, as it travels in a header.
 */
export async function callOperation<const S extends SystemContract, O extends OperationName<S>>(
  system: S,
  operation: O,
  options: CallTarget & { readonly key?: string | undefined; readonly args: Args<S, O> },
): Promise<Answer<Result<S, O>, ErrorCode<S, O>>> {
  const contract = contractOf(system, operation);
  const call = `${system.name}.${operation}`;
  if (contract.kind === 'effect' && !/^[\x21-\x7e]{1,700}$/.test(options.key ?? ''))
    throw new RangeError(`${call} is an effect and needs a key of 1 to 700 visible ASCII characters`);
  const args = contract.args.safeParse(options.args);
  if (!args.success) throw new SystemRefused(call, 0, 'badArguments', brokenAt(args.error));
  const reply = await request(call, `${options.baseUrl}/${operation}`, options, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(options.key === undefined ? {} : { 'idempotency-key': options.key }) },
    body: JSON.stringify(args.data),
  });
  return answer(call, contract, reply) as Answer<Result<S, O>, ErrorCode<S, O>>;
}

/**
 * Asks what stands under a key: the recorded answer, or that nothing does. For systems that do not honour the key on a second call (`repeat: 'lookup'`), and
 * for people who repair. Throws like `callOperation`; a 404 without the code `unknownKey` (a wrong URL, a proxy) is a refusal: taken for "not found", it would send twice.
 */
export async function lookupOperation<const S extends SystemContract, O extends OperationName<S>>(
  system: S,
  operation: O,
  options: CallTarget & { readonly key: string },
): Promise<{ readonly found: false } | { readonly found: true; readonly answer: Answer<Result<S, O>, ErrorCode<S, O>> }> {
  const contract = contractOf(system, operation);
  const call = `${system.name}.${operation} lookup`;
  const reply = await request(call, `${options.baseUrl}/${operation}?key=${encodeURIComponent(options.key)}`, options, { method: 'GET' });
  if (reply.status === 404 && codeIn(reply.body) === 'unknownKey') return { found: false };
  return { found: true, answer: answer(call, contract, reply) as Answer<Result<S, O>, ErrorCode<S, O>> };
}

/** The part of a result that a process may see: the operation's `facts`, or all of it. */
export function factsOf(operation: OperationContract, result: unknown): unknown {
  return operation.facts ? operation.facts.of(result as never) : result;
}
