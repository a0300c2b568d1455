/** `npm run abuse`: attacks on an API of its own, each named; what they asked for, and what they got. */
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { connectPool, type Pool } from '../db/pool.ts';
import { drawsFrom } from '../systems/sandbox/faults.ts';
import type { Attack, Scene } from './abuse/attack.ts';
import { attacks } from './abuse/attacks.ts';
import { operationsOf } from './abuse/document.ts';
import { changes, fingerprint, type Fingerprint } from './abuse/fingerprint.ts';
import { makeGround, makePlayground, quiet, settingOf, type Ground } from './abuse/ground.ts';
import { fuzzers } from './abuse/fuzz.ts';
import { logs } from './abuse/logs.ts';
import { Probe, type Finding, type Target } from './abuse/probe.ts';
import { optionsOf, runMain, toldToStop, whole } from './demo/command.ts';
import { table } from './demo/report.ts';
import { startOwn, stopOwn } from './demo/stack.ts';
import { readStack, type StackState } from './stack/state.ts';

const help = `npm run abuse -- [options]

Starts a stack of its own, fills two shops with people and cases, and attacks its API: as nobody, as people of another shop and of other roles, as customers with
other links, as systems that are not who they say, with what no client would send; then has Schemathesis try the whole of its OpenAPI document. Every answer is
searched for what its reader may not see, and Postgres is compared before and after. The last line is
  N requests: 0 5xx, 0 changes, 0 leaks       (exit code 1 when something did not hold, and it is named)

  --only NAME     only this attack; may be given several times (--list names them)
  --list          what each attack tries, and what has to hold
  --minutes N     how long Schemathesis tries, in all; 0: not at all                    (3)
  --seed N        draws what is guessed and what is generated                           (1)
  --data FOLDER   where its stack keeps everything, deleted before                      (.data/abuse)
  --help          this text

Schemathesis is installed with pip, once, into KEFU_CACHE (~/.cache/kefu-flow); it needs Python 3.10 or newer.`;

const optionsSchema = z.object({
  only: z.array(z.string()).default([]),
  minutes: z.coerce.number({ error: '--minutes is a number' }).min(0, '--minutes is at least 0').max(600, '--minutes is at most 600').default(3),
  seed: whole(0, 2 ** 31, 'seed').default(1),
  data: z.string().default('.data/abuse'),
});

/** The limits are for real callers, who do not ask a thousand times a minute; that they hold is shown by tests. Here they would only hide what is behind them. */
const withoutLimits = { RATE_PER_MINUTE: '1000000', LINK_RATE_PER_MINUTE: '1000000' };
/** What an upload or a message leaves half-way is taken back within this. */
const settledWithinMs = 10_000;

interface Reported {
  readonly attack: Attack;
  readonly probe: Probe;
  readonly ms: number;
}

/** Waits until Postgres is as it was, or gives up and says what is not. */
async function left(before: Fingerprint, take: () => Promise<Fingerprint>, may: 'nothing' | 'rows'): Promise<ReturnType<typeof changes>> {
  for (const since = Date.now(); ; await pause(250)) {
    const now = changes(before, await take(), may);
    if (now.length === 0 || Date.now() - since > settledWithinMs) return now;
  }
}

async function attackAll(chosen: readonly Attack[], ground: Ground, scene: Scene, target: Target, say: (line: string) => void): Promise<readonly Reported[]> {
  const evidence = settingOf(ground.stack, 'EVIDENCE_DIR');
  const take = (): Promise<Fingerprint> => fingerprint(ground.pool, evidence);
  const takeOthers = (): Promise<Fingerprint> => fingerprint(ground.pool, evidence, `${ground.victim.shop}-`);
  let [before, others] = [await take(), await takeOthers()];
  const done: Reported[] = [];
  const run = async (attack: Attack): Promise<void> => {
    const probe = new Probe(attack.name, target);
    const began = Date.now();
    try {
      await attack.run(probe, scene);
    } catch (error) {
      probe.found('wrong', `the attack broke off: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    }
    probe.close();
    done.push({ attack, probe, ms: Date.now() - began });
  };
  const compare = async ({ attack, probe, ms }: Reported): Promise<void> => {
    const of = attack.leaves === 'others' ? await left(others, takeOthers, 'nothing') : await left(before, take, attack.leaves);
    for (const { table: name, gone, come } of of) probe.found('change', `${name}: ${gone} rows are not as they were, ${come} are new`);
    // Told once: what comes after is compared with what is there now.
    if (of.length > 0) [before, others] = [await take(), await takeOthers()];
    const seconds = (ms / 1000).toFixed(1);
    say(`  ${attack.name}: ${probe.requests} requests, ${seconds} s${probe.findings.length === 0 ? '' : `, ${probe.findings.length} FINDINGS`}`);
  };
  const beside = chosen.filter((attack) => attack.beside).map((attack) => run(attack));
  const last = (name: string): Reported | undefined => done.find(({ attack }) => attack.name === name);
  for (const leaves of ['nothing', 'rows', 'others'] as const) {
    for (const attack of chosen.filter((one) => one.leaves === leaves && !one.beside)) {
      await run(attack);
      const reported = last(attack.name);
      if (reported) await compare(reported);
    }
    if (leaves === 'nothing') {
      await Promise.all(beside);
      for (const attack of chosen.filter((one) => one.beside)) {
        const reported = last(attack.name);
        if (reported) await compare(reported);
      }
    }
  }
  return done;
}

/** Whether the processes are those that were started: one that died was restarted, and nobody would see it. */
function stillTheSame(before: StackState, after: StackState): string[] {
  return Object.entries(before.processes).flatMap(([name, { pid }]) => (after.processes[name]?.pid === pid ? [] : [`the process ${name} died`]));
}

function report(reported: readonly Reported[], findings: readonly Finding[], count: (kind: Finding['kind']) => number): string {
  const rows = reported.map(({ attack, probe }) => [
    attack.name,
    String(probe.requests),
    probe.worst === 0 ? '–' : String(probe.worst),
    probe.findings.length === 0 ? 'held' : 'FAILED',
  ]);
  for (const line of table([['attack', 'requests', 'worst', ''], ...rows])) console.log(line);
  if (findings.length > 0) console.log('');
  for (const { kind, attack, what } of findings) console.log(`${kind} · ${attack}: ${what}`);
  const requests = reported.reduce((so, { probe }) => so + probe.requests, 0);
  const wrong = count('wrong');
  return `${requests} requests: ${count('5xx')} 5xx, ${count('change')} changes, ${count('leak')} leaks${wrong === 0 ? '' : `, ${wrong} otherwise wrong`}`;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      list: { type: 'boolean', default: false },
      minutes: { type: 'string' },
      seed: { type: 'string' },
      data: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(help);
    return 0;
  }
  const { only, minutes, seed, data } = optionsOf(optionsSchema, values);
  const folder = resolve(data);
  const all = [...attacks, ...fuzzers({ seconds: Math.round(minutes * 60), seed, folder: join(folder, 'schemathesis'), say: console.log })];
  if (values.list) {
    for (const { name, tries, holds } of all) console.log(`${name}\n  tries  ${tries}\n  holds  ${holds}`);
    return 0;
  }
  const unknown = only.find((name) => !all.some((attack) => attack.name === name));
  if (unknown !== undefined) throw new Error(`There is no attack "${unknown}". There are: ${all.map(({ name }) => name).join(', ')}.`);
  const chosen = all.filter((attack) => only.length === 0 || only.includes(attack.name));

  const signal = toldToStop('Interrupted.');
  await stopOwn(folder);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  let pool: Pool | undefined;
  try {
    // Days are days: what rests between two attacks changes nothing by itself.
    const stack = await startOwn({ folder, say: console.log, signal, policy: 'policies/default.yaml', env: { ...process.env, ...withoutLimits } });
    pool = connectPool(settingOf(stack, 'DATABASE_URL'), 'kefu-abuse', 4);
    const ground = await makeGround(stack, pool, console.log, signal);
    await quiet(ground, signal);
    const { hostname, port } = new URL(stack.urls.api);
    const target: Target = { host: hostname, port: Number(port), canaries: ground.canaries };
    const operations = operationsOf(await (await fetch(stack.urls.openapi)).json());
    let made: ReturnType<typeof makePlayground> | undefined;
    const scene: Scene = { ...ground, operations, draw: drawsFrom(seed), playground: () => (made ??= makePlayground(ground, signal)) };
    console.log(`${chosen.length} attacks on ${operations.length} operations:`);
    const reported = await unlessStopped(attackAll(chosen, ground, scene, target, console.log), signal);
    const after = new Probe('afterwards', target);
    for (const died of stillTheSame(stack, readStack(folder))) after.found('5xx', died);
    for (const finding of await logs(join(folder, 'logs'), ground.canaries)) after.found('leak', finding);
    const probes = [...reported.map(({ probe }) => probe), after];
    console.log('');
    const findings = probes.flatMap((probe) => probe.findings);
    const line = report(reported, findings, (kind) => probes.reduce((so, probe) => so + probe.count(kind), 0));
    console.log(`\n${line}`);
    return findings.length === 0 ? 0 : 1;
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    await pool?.end();
    await stopOwn(folder);
  }
}

/** What is under way when the signal comes is left to itself: its stack ends under it. */
async function unlessStopped<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const stopped = once(signal, 'abort').then(() => {
    throw new Error('Interrupted.');
  });
  return Promise.race([work, stopped]);
}

runMain(main);
