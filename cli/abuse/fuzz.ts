/** The whole document tried by Schemathesis, as people who may: every answer is looked at as those of our own attacks are. */
import { join } from 'node:path';
import type { Role } from '../../values/role.ts';
import type { Attack } from './attack.ts';
import { fuzz, type Exchanged } from './schemathesis.ts';
import type { Answer } from './probe.ts';

/** Whose token: between them they may call all that has a role. */
const who: readonly Exclude<Role, 'customer'>[] = ['manager', 'upstream', 'agent'];

const valueOf = (headers: Exchanged['response']['headers']): Answer['headers'] =>
  Object.fromEntries(headers.map(({ name, value }) => [name.toLowerCase(), value]));
const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};
function codeOf(text: string): string | undefined {
  const [, code] = /"code":"(\w+)"/.exec(text) ?? [];
  return code;
}

export const fuzzers = (options: {
  readonly seconds: number;
  readonly seed: number;
  readonly folder: string;
  readonly say: (line: string) => void;
}): readonly Attack[] =>
  options.seconds === 0
    ? []
    : who.map((role): Attack => ({
        name: `schemathesis as ${role}`,
        tries: `every operation of the document with a token of this role: examples, edges of each value, what is drawn from the seed, and calls that follow from answers (start → case → tasks)`,
        holds: 'every answer is one that the document names, in its type and shape; nothing of the other shop is in it or changes',
        leaves: 'others',
        async run(probe, { stack, thief }) {
          const { token, viewer } = thief.staff[role];
          const seconds = Math.max(5, Math.round(options.seconds / who.length));
          const { exchanged, failures } = await fuzz({ ...options, seconds, document: stack.urls.openapi, token, folder: join(options.folder, role) });
          for (const { request, response } of exchanged) {
            const text =
              response.content.encoding === 'base64' ? Buffer.from(response.content.text ?? '', 'base64').toString('utf8') : (response.content.text ?? '');
            const sent = `${request.url} ${decoded(request.url)} ${JSON.stringify(request.headers)} ${request.postData?.text ?? ''}`;
            const authorized = request.headers.some(({ name }) => name.toLowerCase() === 'authorization');
            probe.saw(
              { method: request.method, path: new URL(request.url).pathname, sent, viewer: authorized ? viewer : {} },
              { status: response.status, headers: valueOf(response.headers), bytes: Buffer.alloc(0), text, json: undefined, code: codeOf(text) },
            );
          }
          probe.must(exchanged.length > 0, 'it sent nothing');
          for (const failure of failures) probe.found('wrong', failure);
        },
      }));
