/** The whole document tried by Schemathesis, as people who may: every answer is looked at as those of our own attacks are. */
import { join } from 'node:path';
import { z } from 'zod';
import type { Role } from '../../values/role.ts';
import type { Attack, Scene } from './attack.ts';
import { fuzz, type Exchanged } from './schemathesis.ts';
import { codeIn, type Answer } from './probe.ts';

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

const parameters = z.array(z.looseObject({ name: z.string(), schema: z.record(z.string(), z.unknown()) }));
const documented = z.looseObject({
  paths: z.record(z.string(), z.record(z.string(), z.looseObject({ parameters: parameters.optional(), responses: z.record(z.string(), z.unknown()) }))),
  components: z.looseObject({ schemas: z.record(z.string(), z.looseObject({ properties: z.record(z.string(), z.unknown()).optional() })) }),
});

/** The document with ids that are there among those to choose from: what is drawn at random would be refused at the door, each time. */
async function aimed({ stack, thief, playground }: Scene): Promise<object> {
  const document = documented.parse(await (await fetch(stack.urls.openapi)).json());
  const play = await playground();
  const known: Readonly<Record<string, readonly string[]>> = {
    process: ['return-exchange', 'late-parcel', 'none'],
    event: ['ownCourier', 'evidenceAdded', 'closedByPlatform', 'none'],
    evidence: [play.evidence, 'none'],
    link: [play.linkId, 'none'],
    token: [play.link, 'none'],
    effect: ['order', 'none'],
    customer: [thief.orders[0]?.customer ?? 'none', 'none'],
    task: ['review-1/review', 'none'],
  };
  for (const [path, methods] of Object.entries(document.paths))
    for (const operation of Object.values(methods)) {
      // The server's own answer to a head that is too long; no operation is asked.
      operation.responses['431'] = { description: 'Too long' };
      // Whoever opens a link sees their case: what is not understood of its query is left aside, not refused.
      if (path.includes('{token}')) operation.parameters = operation.parameters?.filter(({ name }) => path.includes(`{${name}}`));
      for (const parameter of operation.parameters ?? []) {
        const ids =
          parameter.name === 'id'
            ? path.startsWith('/v1/tasks')
              ? [play.task, 'none']
              : path.startsWith('/v1/cases')
                ? [play.case, 'none']
                : undefined
            : known[parameter.name];
        if (ids && path.includes(`{${parameter.name}}`)) parameter.schema = { type: 'string', enum: ids };
      }
    }
  for (const [name, { properties }] of Object.entries(document.components.schemas)) {
    if (!name.endsWith('Input') || properties === undefined) continue;
    if (properties['shop']) properties['shop'] = { type: 'string', enum: [thief.shop] };
    if (properties['orderId']) properties['orderId'] = { type: 'string', enum: thief.orders.map(({ orderId }) => orderId) };
  }
  return document;
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
        async run(probe, scene) {
          const { token, viewer } = scene.thief.staff[role];
          const seconds = Math.max(5, Math.round(options.seconds / who.length));
          const { exchanged, failures } = await fuzz({
            ...options,
            seconds,
            document: await aimed(scene),
            url: scene.stack.urls.api,
            token,
            folder: join(options.folder, role),
          });
          for (const { request, response } of exchanged) {
            const text =
              response.content.encoding === 'base64' ? Buffer.from(response.content.text ?? '', 'base64').toString('utf8') : (response.content.text ?? '');
            const sent = `${request.url} ${decoded(request.url)} ${JSON.stringify(request.headers)} ${request.postData?.text ?? ''}`;
            const authorized = request.headers.some(({ name }) => name.toLowerCase() === 'authorization');
            probe.saw(
              { method: request.method, path: new URL(request.url).pathname, sent, viewer: authorized ? viewer : {} },
              { status: response.status, headers: valueOf(response.headers), bytes: Buffer.alloc(0), text, json: undefined, code: codeIn(text) },
            );
          }
          probe.must(exchanged.length > 0, 'it sent nothing');
          for (const failure of failures) probe.found('wrong', failure);
        },
      }));
