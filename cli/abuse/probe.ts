/** Sends what an attack sends, and watches every answer: its status, and whether it gives anything away. */
import { Agent, request, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { problems } from '../../api/problems.ts';
import { leaksIn, type Canary, type Viewer } from './leaks.ts';

/** Somebody who calls: with a token, or with nothing. */
export interface Who {
  readonly name: string;
  readonly viewer: Viewer;
  readonly token?: string;
}
export const nobody: Who = { name: 'nobody', viewer: {} };

export interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly as?: Who;
  readonly headers?: OutgoingHttpHeaders;
  /** An object is sent as JSON. */
  readonly body?: Buffer | string | object;
  /** What the caller can work out from what they send: no leak when it comes back. */
  readonly knows?: readonly string[];
}
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  /** The problem's code; of a page or a success there is none. */
  readonly code: string | undefined;
  readonly json: unknown;
}

/** `5xx`: the API failed. `change`, `leak`: as they say. `wrong`: something else did not hold, a stranger who was let in for one. */
export interface Finding {
  readonly kind: '5xx' | 'change' | 'leak' | 'wrong';
  readonly attack: string;
  readonly what: string;
}

/** 503 of ours, which say what is the matter and when to come again. */
const documented503: ReadonlySet<string> = new Set(Object.entries(problems).flatMap(([code, { status }]) => (status === 503 ? [code] : [])));
/** No answer takes this long; one that does is a denial of service. */
const answerMs = 20_000;
/** What was started by the attacks before is done within this. */
const busyMs = 120_000;
/** So many findings of one kind are listed; the rest are counted. */
const mostListed = 20;

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly canaries: readonly Canary[];
}

/** What a token says: who names somebody there knows the name. */
const spoken = (token = ''): string =>
  token
    .split('.')
    .map((part) => Buffer.from(part, 'base64url').toString('utf8'))
    .join(' ');

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** Of an answer as it came over the wire. */
export const codeIn = (text: string): string | undefined => /"code":"(\w+)"/.exec(text)?.[1];
export function headersIn(text: string): IncomingHttpHeaders {
  const [head = ''] = text.split('\r\n\r\n');
  return Object.fromEntries([...head.matchAll(/^([\w-]+): (.*)$/gm)].map(([, name = '', value = '']) => [name.toLowerCase(), value.trim()]));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** One attack's way to the API. */
export class Probe {
  readonly attack: string;
  readonly target: Target;
  requests = 0;
  worst = 0;
  readonly findings: Finding[] = [];
  readonly #counts = new Map<Finding['kind'], number>();
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 });

  constructor(attack: string, target: Target) {
    this.attack = attack;
    this.target = target;
  }

  count(kind: Finding['kind']): number {
    return this.#counts.get(kind) ?? 0;
  }
  close(): void {
    this.#agent.destroy();
  }

  found(kind: Finding['kind'], what: string): void {
    const so = this.count(kind) + 1;
    this.#counts.set(kind, so);
    if (so <= mostListed) this.findings.push({ kind, attack: this.attack, what });
  }
  /** What has to hold besides; `what` says it when it does not. */
  must(holds: boolean, what: string, kind: Finding['kind'] = 'wrong'): void {
    if (!holds) this.found(kind, what);
  }

  /** Whatever was sent: counts it, and looks at what came back. */
  saw(
    { method, path, sent, viewer }: { readonly method: string; readonly path: string; readonly sent: string; readonly viewer: Viewer },
    answer: Answer,
  ): void {
    this.requests += 1;
    this.worst = Math.max(this.worst, answer.status);
    const of = `${method} ${path.slice(0, 200)}`;
    const told = answer.status === 503 && documented503.has(answer.code ?? '') && answer.headers['retry-after'] !== undefined;
    if (answer.status >= 500 && !told) this.found('5xx', `${of} was answered ${answer.status}`);
    // What it serves of a public library is that library's.
    if (/javascript|css|image\/|video\//.test(answer.headers['content-type'] ?? '')) return;
    for (const leak of leaksIn({ sent, headers: answer.headers, text: answer.text }, viewer, this.target.canaries))
      this.found('leak', `${of} (${answer.status}) gave away ${leak}`);
  }

  /** Asks by a well-behaved client. No answer at all is a finding, and has the status 0. */
  async ask({ method = 'GET', path, as = nobody, headers = {}, body, knows = [] }: Asked): Promise<Answer> {
    const bytes = body === undefined || Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body);
    const all: OutgoingHttpHeaders = {
      ...(as.token === undefined ? {} : { authorization: `Bearer ${as.token}` }),
      'accept-language': 'en',
      ...(bytes === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(bytes) }),
      ...headers,
    };
    const sent = `${method} ${path} ${decoded(path)} ${decoded(decoded(path))} ${JSON.stringify(headers)} ${spoken(as.token)} ${knows.join(' ')} ${bytes?.toString().slice(0, 200_000) ?? ''}`;
    let answer: Answer;
    try {
      answer = await new Promise<Answer>((resolve, reject) => {
        const asked = request(
          { host: this.target.host, port: this.target.port, method, path, headers: all, agent: this.#agent, timeout: answerMs },
          (response) => {
            const chunks: Buffer[] = [];
            response.on('data', (chunk: Buffer) => chunks.push(chunk));
            response.once('error', reject);
            response.once('end', () => {
              const whole = Buffer.concat(chunks);
              const text = whole.toString('utf8');
              const json = jsonOf(text);
              const { code } = (typeof json === 'object' && json !== null ? json : {}) as { code?: unknown };
              resolve({
                status: response.statusCode ?? 0,
                headers: response.headers,
                bytes: whole,
                text,
                json,
                code: typeof code === 'string' ? code : undefined,
              });
            });
          },
        );
        asked.once('timeout', () => asked.destroy(new Error(`no answer within ${answerMs / 1000} s`)));
        asked.once('error', reject);
        asked.end(bytes);
      });
    } catch (error) {
      this.requests += 1;
      this.found('wrong', `${method} ${path.slice(0, 200)} got no answer: ${error instanceof Error ? error.message : String(error)}`);
      return { status: 0, headers: {}, bytes: Buffer.alloc(0), text: '', json: undefined, code: undefined };
    }
    this.saw({ method, path, sent, viewer: as.viewer }, answer);
    return answer;
  }

  /** Asks as a client does that does as it is told: where the API is busy, it comes again. */
  async askAgain(asked: Asked): Promise<Answer> {
    for (const since = Date.now(); ;) {
      const answer = await this.ask(asked);
      if (answer.status !== 503 || Date.now() - since > busyMs) return answer;
      await pause(Number(answer.headers['retry-after'] ?? 1) * 1000);
    }
  }

  /** Asks, and it has to be refused with this code. */
  async refused(asked: Asked, ...codes: readonly string[]): Promise<Answer> {
    const answer = await this.ask(asked);
    if (answer.status === 0) return answer;
    const got = answer.code ?? String(answer.status);
    // Let in is worse than refused in other words.
    this.must(
      codes.includes(got),
      `${asked.method ?? 'GET'} ${asked.path.slice(0, 200)} as ${asked.as?.name ?? 'nobody'}: ${got} instead of ${codes.join(' or ')}`,
      'wrong',
    );
    return answer;
  }

  /** Writes bytes to a socket as they are, the chunks `gapMs` apart, and reads until the API closes, or for `forMs`. */
  async raw(
    chunks: readonly (Buffer | string)[],
    {
      forMs = 1500,
      gapMs = 0,
      endAfter = false,
      viewer = {},
    }: { readonly forMs?: number; readonly gapMs?: number; readonly endAfter?: boolean; readonly viewer?: Viewer } = {},
  ): Promise<{ readonly statuses: readonly number[]; readonly text: string; readonly closed: boolean; readonly ms: number }> {
    const began = Date.now();
    const socket = connect({ host: this.target.host, port: this.target.port });
    const read: Buffer[] = [];
    let closed = false;
    socket.on('data', (chunk) => read.push(chunk));
    // A reset is one of the ways to be turned away.
    socket.on('error', () => (closed = true));
    socket.on('close', () => (closed = true));
    for (const chunk of chunks) {
      if (closed) break;
      socket.write(chunk);
      if (gapMs > 0) await pause(gapMs);
    }
    if (endAfter) socket.end();
    while (!closed && Date.now() - began < forMs) await pause(20);
    const ms = Date.now() - began;
    socket.destroy();
    const text = Buffer.concat(read).toString('utf8');
    const statuses = [...text.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map(([, status]) => Number(status));
    const sent = Buffer.concat(chunks.map((chunk) => Buffer.from(chunk)))
      .toString('utf8')
      .slice(0, 200_000);
    const [line = ''] = sent.split('\r\n');
    for (const status of statuses.length > 0 ? statuses : [0])
      this.saw(
        { method: 'raw', path: line.slice(0, 100), sent: `${sent} ${decoded(sent)}`, viewer },
        { status, headers: headersIn(text), bytes: Buffer.alloc(0), text, json: undefined, code: codeIn(text) },
      );
    return { statuses, text, closed, ms };
  }
}
