/** `npm run keys -- …`, in a container `node dist/cli/keys.js …`: makes the keys that the processes read, and exchanges them while the processes run. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { connectPool, inTransaction } from '../db/pool.ts';
import { keysByMaster, masterKeys, rewrapSome } from '../db/sealed.ts';
import { KeyRefusal, keyNamed, parseKeys, printKeys, promoted, withNext, without, type Key, type KeyRing } from '../keys/ring.ts';
import { systems } from '../systems/index.ts';
import { instant } from '../values/instant.ts';
import { editFile, ReadOnly } from './keys/edit.ts';
import { openNeeds, type Needs } from './keys/needs.ts';
import { placesOf, ringNames, rings, type Places, type RingName } from './keys/places.ts';
import { promoteTokens, retireTokens, rotateTokens, tokenKeys } from './keys/tokens.ts';
import { retireWebhook, rotateWebhook, secretsOf, systemsIn } from './keys/webhooks.ts';
import { ensureSecrets } from './stack/secrets.ts';

const help = `Makes the keys that the processes read, and exchanges them while the processes run. docs/keys.md says what each protects, and what to do when one leaks.

  npm run keys                                  makes the keys that are not there yet, readable by their owner alone. Keep a copy: what they seal,
                                                nothing else opens
  npm run keys -- status                        which keys there are, which one seals, and who needs the others
  npm run keys -- rotate codec|personal|link|jwt    adds a key that opens only
  npm run keys -- promote codec|personal|link|jwt   once every process has it: it seals from now on, and the one before opens only
  npm run keys -- rewrap                        seals customers' keys anew, under the personal key that seals now; may be broken off and repeated
  npm run keys -- retire codec|personal|link|jwt ID   removes a key that nobody needs any more
  npm run keys -- rotate webhook SYSTEM         adds a secret, which is taken from now on beside the one before
  npm run keys -- retire webhook SYSTEM ID      removes one; ID as \`status\` prints it

  --data FOLDER  data folder whose keys are meant, in FOLDER/secrets (default: the files that the environment names, or .data)
  --force        with \`retire link\`: although links that are out open nothing then
  --help

Processes read a changed file again within a second; they need no restart. Where each has a copy of its own, as in Kubernetes, promote only once all have it:
each then logs "keys read again" with the ids at its next use of the file.
Who needs a key is asked of Postgres and Temporal: those of the stack that runs on the folder, or DATABASE_URL and TEMPORAL_ADDRESS.
`;

const say = (line: string): void => console.log(line);
const minutes =
  'Where each process has a copy of the file (Kubernetes, a secret manager), wait until all have it; one that shares this file has it within a second.';

const readRing = (places: Places, ring: RingName): KeyRing => parseKeys(readFileSync(places[rings[ring].file], 'utf8'), rings[ring].purpose);

const editRing = (places: Places, ring: RingName, change: (keys: KeyRing) => KeyRing): Promise<KeyRing> =>
  editFile(places[rings[ring].file], (text) => {
    const result = change(parseKeys(text, rings[ring].purpose));
    return { text: printKeys(result), result };
  });

async function rotate(places: Places, kind: string, system: string | undefined): Promise<void> {
  if (kind === 'webhook') {
    const secret = await rotateWebhook(places, named(system, 'which system: rotate webhook finance'));
    return say(
      `A new secret of "${system}" is taken from now on, beside the one before:\n  ${secret}\nTell ${system} to sign with it. Then: npm run keys -- retire webhook ${system} <the one before, as status prints it>`,
    );
  }
  const id = kind === 'jwt' ? await rotateTokens(places) : (await editRing(places, ringOf(kind), withNext)).find(({ next }) => next)?.id;
  say(`Key "${id}" is added to the ${kind} keys, and opens only. ${minutes} Then: npm run keys -- promote ${kind}`);
}

async function promote(places: Places, kind: string): Promise<void> {
  if (kind === 'jwt') {
    const { id, before } = await promoteTokens(places);
    return say(
      `Key "${id}" signs tokens from now on. Those that "${before}" signed hold until they expire (12 h unless asked for otherwise). Then: npm run keys -- retire jwt ${before}`,
    );
  }
  const ring = ringOf(kind);
  const [sealing, before] = await editRing(places, ring, (keys) => promoted(keys, instant(Date.now())));
  const then = {
    codec: `What "${before?.id}" sealed is read with it for as long as Temporal keeps it; \`status\` says until when. Then: npm run keys -- retire codec ${before?.id}`,
    personal: 'Then: npm run keys -- rewrap',
    link: `Links that "${before?.id}" signed still open their case; \`status\` says until when. Then: npm run keys -- retire link ${before?.id}`,
  } as const satisfies Record<RingName, string>;
  say(`Key "${sealing.id}" seals from now on. ${then[ring]}`);
}

/** Often enough to see that it goes on. */
const progressEveryMs = 2000;

async function rewrap(places: Places): Promise<void> {
  if (places.DATABASE_URL === undefined) throw new Error("customers' keys are in Postgres: start the stack, or set DATABASE_URL");
  const ring = readRing(places, 'personal');
  const masters = masterKeys(printKeys(ring));
  const pool = connectPool(places.DATABASE_URL, 'kefu-keys', 1);
  let stopping = false;
  process.once('SIGINT', () => (stopping = true));
  const left = async (): Promise<number> => [...(await keysByMaster(pool))].reduce((sum, [id, { rows }]) => (id === ring[0].id ? sum : sum + rows), 0);
  try {
    const all = await left();
    let done = 0;
    const began = performance.now();
    let told = began;
    for (let more = 1; more > 0 && !stopping; done += more) {
      more = await inTransaction(pool, (tx) => rewrapSome(tx, masters));
      if (performance.now() - told < progressEveryMs) continue;
      told = performance.now();
      say(`  ${done} of ${all} customers' keys`);
    }
    const rest = await left();
    say(`${done} customers' keys are sealed anew under "${ring[0].id}", in ${((performance.now() - began) / 1000).toFixed(1)} s.`);
    if (rest > 0) {
      say(
        `${rest} are not: ${stopping ? 'it was broken off' : 'a process that had not read the file again made them meanwhile'}. Repeat: npm run keys -- rewrap`,
      );
      process.exitCode = 1;
    } else if (ring.some(({ until }) => until !== undefined))
      say(
        `Back-ups of Postgres from before open only with the key before: keep the copy of the key file that belongs to them. \`status\` says what may be retired.`,
      );
  } finally {
    await pool.end();
  }
}

async function retire(places: Places, needs: Needs, kind: string, rest: readonly string[], force: boolean): Promise<void> {
  const [first, second] = rest;
  if (kind === 'webhook') {
    const [system, id] = [
      named(first, 'which system, and which of its secrets: retire webhook finance 3fa1b2c4'),
      named(second, 'which of its secrets, as status prints it'),
    ];
    await retireWebhook(places, system, id);
    return say(`Secret "${id}" of "${system}" is removed: what is signed with it is refused from now on.`);
  }
  const id = named(first, `which key: retire ${kind} 1`);
  if (kind === 'jwt') {
    await retireTokens(places, id);
    return say(`Key "${id}" is removed: tokens that it signed are refused from now on.`);
  }
  const ring = ringOf(kind);
  const keys = readRing(places, ring);
  // Before who needs it is asked: the one that seals is needed by whatever comes next.
  without(keys, id);
  const { why, mayEnd } = await needs.of(ring, keyNamed(keys, id));
  if (why !== undefined && !(force && mayEnd)) throw new KeyRefusal(`key "${id}" is needed: ${why}${mayEnd ? '. To end them now: --force' : ''}`);
  await editRing(places, ring, (now) => without(now, id)).catch((error: unknown) => {
    if (!(error instanceof ReadOnly)) throw error;
    // Where the servers are known, the file often is not written, as in the API's container.
    throw new Error(
      `Nothing keeps key "${id}", but ${places[rings[ring].file]} cannot be written here: remove the line that begins with "${id}:" where the file is kept.`,
    );
  });
  say(
    `Key "${id}" is removed from the ${kind} keys.${why === undefined ? '' : ` It was needed: ${why}.`} A copy of the file that belongs to a back-up has it still: keep the two together.`,
  );
}

const stateOf = ({ next, until }: Key, at: number): string =>
  at === 0
    ? 'seals'
    : next
      ? 'next: opens only, until it is promoted'
      : `opens; sealed until ${until === undefined ? 'nobody knows when' : `${until.slice(0, 16)}Z`}`;

async function ringStatus(places: Places, ring: RingName, needs: Needs): Promise<void> {
  for (const [at, key] of readRing(places, ring).entries()) {
    say(`  ${key.id.padEnd(4)} ${stateOf(key, at)}`);
    if (at === 0 || key.next) continue;
    const { why } = await needs.of(ring, key).catch((error: unknown) => ({ why: `not known: ${error instanceof Error ? error.message : String(error)}` }));
    say(`       ${why ?? `nothing needs it: npm run keys -- retire ${ring} ${key.id}`}`);
  }
}

async function tokenStatus(places: Places): Promise<void> {
  const words = { signs: 'signs', next: 'next: checks only, until it is promoted', checks: 'checks tokens that it signed before', unknown: 'checks' } as const;
  for (const { id, state } of await tokenKeys(places)) say(`  ${id} ${words[state]}`);
}

async function webhookStatus(places: Places): Promise<void> {
  for (const system of await systemsIn(places)) say(`  ${system.padEnd(14)} ${(await secretsOf(places, system)).join(', ')}`);
}

async function status(places: Places, needs: Needs): Promise<void> {
  const of = async (kind: string, file: string, print: () => Promise<void>): Promise<void> => {
    say(`${kind}  ${file}`);
    // A container has the files that its process needs, and no others.
    if (existsSync(file)) await print();
    else say('  not here');
  };
  for (const ring of ringNames) await of(ring, places[rings[ring].file], () => ringStatus(places, ring, needs));
  await of('jwt', places.JWT_PUBLIC_KEY_FILE, () => tokenStatus(places));
  await of('webhook', places.WEBHOOK_SECRETS_DIR, () => webhookStatus(places));
}

function named(value: string | undefined, what: string): string {
  if (value === undefined) throw new KeyRefusal(`say ${what}`);
  return value;
}

function ringOf(kind: string): RingName {
  const ring = ringNames.find((name) => name === kind);
  if (ring === undefined) throw new KeyRefusal(`"${kind}" is no kind of key: ${[...ringNames, 'jwt', 'webhook SYSTEM'].join(', ')}`);
  return ring;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { data: { type: 'string' }, force: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } },
  });
  if (values.help) return say(help);
  const [verb, kind, ...rest] = positionals;
  if (verb === undefined) return say(`The keys are in ${await ensureSecrets(resolve(values.data ?? '.data'), Object.keys(systems), false)}.`);
  const places = placesOf(values.data, process.env);
  const needs = openNeeds(places, instant(Date.now()));
  const of = (): string => named(kind, `which kind: ${[...ringNames, 'jwt', 'webhook SYSTEM'].join(', ')}`);
  try {
    switch (verb) {
      case 'status':
        return await status(places, needs);
      case 'rotate':
        return await rotate(places, of(), rest[0]);
      case 'promote':
        return await promote(places, of());
      case 'rewrap':
        return await rewrap(places);
      case 'retire':
        return await retire(places, needs, of(), rest, values.force);
      default:
        throw new KeyRefusal(`"${verb}" is nothing that is done with keys: status, rotate, promote, rewrap, retire`);
    }
  } finally {
    await needs.close();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  console.error('npm run keys -- --help says how it is used.');
  process.exitCode = 1;
});
