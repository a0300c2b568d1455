/** What no answer may hold: data of somebody else, our secrets, and what tells how we are built. */
import type { Role } from '../../values/role.ts';

/** Who reads an answer. Nobody in particular where all of it is absent. */
export interface Viewer {
  /** Somebody who works for a shop. */
  readonly shop?: string;
  readonly role?: Role;
  /** A customer, by the case of their link. */
  readonly case?: string;
}

/** A text that was planted, or that we know to be somebody's: whoever may not see it must not find it in an answer. */
export interface Canary {
  readonly text: string;
  /** What it is, for the report. */
  readonly what: string;
  readonly seenBy: (viewer: Viewer) => boolean;
}

/** An answer as it came, and what was sent for it: what a caller gets back of their own words is no leak. */
export interface Exchange {
  readonly sent: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
}

/** Where this checkout is, which the API's stack traces would name. */
const root = new URL('../..', import.meta.url).pathname;

const traces: readonly (readonly [string, RegExp])[] = [
  ['a stack trace', /\bat (?:async )?[\w.<>$[\] ]*\(?(?:file:\/\/|node:|\/)[^\s()]*:\d+:\d+/],
  ['a path of the server', new RegExp(`file:///|/node_modules/|/usr/(?:lib|local|src)/|/home/\\w|/var/(?:lib|run)/|${root.replaceAll(/\W/g, '\\$&')}`)],
  [
    'an SQL text',
    /\bselect\s[\s\S]{1,200}\sfrom\s+\w+\s+(?:where|join|order|limit)\b|\binsert into \w+ ?\(|\bdelete from \w+ where\b|\bupdate \w+ set \w+ ?=|syntax error at or near|invalid input syntax for|violates (?:unique|foreign key|check|not-null) constraint|relation "\w+"/i,
  ],
  [
    'an error of a library',
    /\b(?:TypeError|ReferenceError|RangeError|SyntaxError|ZodError|DatabaseError|JOSEError|JW[ST]\w+Failed|ECONNREFUSED|ECONNRESET|ENOENT|EACCES)\b/,
  ],
  ['a version', /\b(?:PostgreSQL|Express|node(?:\.?js)?|Temporal|Debian|OpenSSL)[ /]v?\d+\.\d+|\bv?20\.\d+\.\d+\b/i],
];
/** Headers that name what serves. */
const tellingHeaders = ['x-powered-by', 'server', 'x-aspnet-version', 'x-runtime'];

/** What an answer gives away, in words; nothing when it is clean. */
export function leaksIn({ sent, headers, text }: Exchange, viewer: Viewer, canaries: readonly Canary[]): string[] {
  const found: string[] = [];
  const whole = `${Object.entries(headers)
    .map(([name, value]) => `${name}: ${String(value)}`)
    .join('\n')}\n${text}`;
  for (const canary of canaries) if (!canary.seenBy(viewer) && whole.includes(canary.text) && !sent.includes(canary.text)) found.push(canary.what);
  for (const [what, pattern] of traces) {
    const [hit] = pattern.exec(whole) ?? [];
    if (hit !== undefined && !sent.includes(hit)) found.push(`${what}: ${hit.slice(0, 120)}`);
  }
  for (const name of tellingHeaders) if (headers[name] !== undefined) found.push(`the header ${name}: ${String(headers[name])}`);
  return found;
}
