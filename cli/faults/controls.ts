/**
 * Negative controls: the engine without one of the things that keep its promise, under faults that need it. The judge has to convict each; one that it lets pass says that
 * the judge is blind there. What is broken is a copy of the checkout: the engine itself has no switch for it.
 */
import { execFile } from 'node:child_process';
import { appendFileSync, mkdirSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Finding } from '../demo/audit.ts';
import type { Plan } from '../demo/plan.ts';
import { newRun, Progress, type Terminal } from '../demo/progress.ts';
import { returns } from '../demo/returns.ts';
import type { Prepare } from '../demo/run.ts';
import { stopOwn } from '../demo/stack.ts';
import { isSystemError } from '../stack/system-error.ts';
import { chargeOf, charged, charges, type Charge } from './judge.ts';
import type { Planned } from './plan.ts';
import { runFaults, type FaultOptions, type Outcome, type RunContext } from './run.ts';

/** A text of one file that is there exactly once, and what stands in the broken copy instead. */
export interface Break {
  readonly file: string;
  readonly text: string;
  readonly by: string;
}
export interface Control {
  readonly name: string;
  /** What is missing. */
  readonly title: string;
  readonly breaks: readonly Break[];
  /** Faults that are harmless with what is missing, and are not without. */
  readonly faults: readonly Planned[];
  /** Cases that need it. */
  readonly wants: (plan: Plan) => boolean;
  /** What the judge has to find. */
  readonly conviction: { readonly charge: Charge; readonly why: RegExp };
}

/** From the first case on, for so long: longer than the cases run. */
const throughout = (kind: Planned['kind'], target: string): Planned => ({ kind, target, at: 0, gapMs: 0, forMs: 10 * 60_000 });
const anyCase = (): boolean => true;

export const controls: readonly Control[] = [
  {
    name: 'key',
    title: 'without the idempotency key: each try of an effect has another one',
    breaks: [
      {
        file: 'activities/effects.ts',
        text: 'const key = effectKey(request.case, request.path);',
        by: 'const key = `${effectKey(request.case, request.path)}~${crypto.randomUUID()}`;',
      },
    ],
    // Half of all calls are done, and nobody hears of it.
    faults: [throughout('lose', 'logistics'), throughout('lose', 'finance'), throughout('lose', 'warehouse')],
    wants: anyCase,
    conviction: { charge: 'doubled', why: /labels, and|did the same|was refunded \d+ times|and finance refunded/ },
  },
  {
    name: 'dedupe',
    title: "without the inbox's dedupe: neither an event's id nor what it says is looked for among what came before",
    breaks: [
      { file: 'db/inbox.ts', text: 'if (told.rows[0]) return repeated(told.rows[0], hash);', by: '' },
      { file: 'db/inbox.ts', text: 'on conflict (source, event_id) do nothing returning id', by: 'returning id' },
      {
        file: 'db/migrations/0001_engine.sql',
        text: 'never enters a workflow\n  unique (source, event_id)\n',
        by: 'never enters a workflow\n  check (true)\n',
      },
    ],
    // Half of all webhooks come twice; customers' and upstream's events do by plan.
    faults: [throughout('shuffle', 'warehouse'), throughout('shuffle', 'finance'), throughout('shuffle', 'logistics')],
    wants: anyCase,
    conviction: { charge: 'doubled', why: /inbox rows are the same/ },
  },
  {
    name: 'sweeps',
    title: 'without the sweeps: nobody brings to a case what was stored while it could not be brought',
    breaks: [{ file: 'worker/main.ts', text: 'const sweeping = startSweeping(engine);', by: 'const sweeping = { stop: () => Promise.resolve() };' }],
    // When all have been started: the API takes decisions and webhooks all the same, and dies before it could bring them.
    faults: [
      { kind: 'cut', target: 'api-temporal', at: 0.5, gapMs: 0, forMs: 12_000 },
      { kind: 'kill', target: 'api', at: 0.5, gapMs: 6000, forMs: 0 },
    ],
    wants: anyCase,
    conviction: { charge: 'stuck', why: /was never brought to it/ },
  },
  {
    name: 'undo',
    title: 'without the order of undos: the oldest goes first',
    breaks: [{ file: 'workflows/kit/case.ts', text: ') && !off(u)).toReversed();', by: ') && !off(u));' }],
    faults: [{ kind: 'kill', target: 'worker', at: 0.4, gapMs: 0, forMs: 0 }],
    // Withdrawn, refused or decided by the platform when something had been done that is taken back.
    wants: (plan) => plan.ends !== undefined || plan.branches.includes('inspectionRejects'),
    conviction: { charge: 'wrong', why: /it took back/ },
  },
];

/** The text with a control's break in it. Throws where the text that it breaks is not there exactly once. */
export function broken(source: string, { file, text, by }: Break): string {
  const [before, after, ...more] = source.split(text);
  if (before === undefined || after === undefined || more.length > 0)
    throw new Error(`${file}: the code that this control breaks has changed: mend cli/faults/controls.ts`);
  return `${before}${by}${after}`;
}

const ownRoot = resolve(import.meta.dirname, '../..');

/** A copy of a checkout's files as they are, committed or not, with breaks in them, in a folder of its own; packages are those of the checkout. */
export async function brokenCheckout(root: string, breaks: readonly Break[]): Promise<string> {
  const listed = await promisify(execFile)('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    maxBuffer: 64 * 1024 * 1024,
  }).catch((error: unknown) => {
    throw new Error(`The controls copy the checkout's files, and ${root} is no git checkout.`, { cause: error });
  });
  const folder = await mkdtemp(join(tmpdir(), 'kefu-control-'));
  try {
    const files = listed.stdout.split('\0').filter((file) => file !== '');
    for (const at of new Set(files.map((file) => dirname(file)))) await mkdir(join(folder, at), { recursive: true });
    for (const file of files)
      await copyFile(join(root, file), join(folder, file)).catch((error: unknown) => {
        // Deleted and not committed yet.
        if (!isSystemError(error, 'ENOENT')) throw error;
      });
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    for (const one of breaks) await writeFile(join(folder, one.file), broken(await readFile(join(folder, one.file), 'utf8'), one));
    return folder;
  } catch (error) {
    await rm(folder, { recursive: true });
    throw error;
  }
}

export interface ControlsOptions {
  /** How many in each control. */
  readonly cases: number;
  readonly seed: number;
  /** Everything of their stacks, one below the other. */
  readonly folder: string;
  /** All unless given; `innocent` is the engine as it is. */
  readonly only?: readonly string[];
}
type Run = (options: FaultOptions, context: RunContext) => Promise<Outcome>;

/** So many returns are drawn for each case that is wanted: enough of those that wait for nobody. */
const drawnForEach = 6;
/** Its cases wait for nobody, so this is twice what they take. A broken engine may never be done: people repair for ever what cannot be repaired. */
const mostMs = 75_000;

/** The first returns of a draw that a control wants and that wait out no window: a control takes no longer than it must. */
const quick =
  (seed: number, cases: number, wants: Control['wants']): Prepare =>
  async (systems, policy, progress) => {
    const all = await returns({ files: undefined, seed, cases: cases * drawnForEach })(systems, policy, progress);
    const plans = all.plans.filter((plan) => plan.waitsMs === 0 && wants(plan)).slice(0, cases);
    const wanted = new Set(plans.map((plan) => plan.order));
    return { ...all, plans, orders: all.orders.filter((order) => wanted.has(order.orderId)) };
  };

/** The innocent: the engine as it is, under what all the others are provoked by. */
export const innocent = {
  name: 'innocent',
  title: 'the engine as it is, under the same faults',
  breaks: [],
  // In turn: a few at a time are had, and one at each place.
  faults: controls.flatMap((control) => control.faults.map((fault) => ({ ...fault, forMs: Math.min(fault.forMs, 8000) }))),
  wants: anyCase,
} as const satisfies Omit<Control, 'conviction'>;

interface Verdict {
  readonly name: string;
  readonly held: boolean;
  readonly says: string;
}
const lineOf = ({ name, says }: Verdict): string => `${name.padEnd(10)}${says}`;

/** Runs one control, and says whether the judge was right. */
async function tried(control: Control | typeof innocent, options: ControlsOptions, signal: AbortSignal, run: Run): Promise<Verdict> {
  const { cases, seed } = options;
  const folder = join(options.folder, control.name);
  await rm(folder, { recursive: true, force: true });
  const root = control.breaks.length === 0 ? ownRoot : await brokenCheckout(ownRoot, control.breaks);
  mkdirSync(folder, { recursive: true });
  // People at broken cases have much to say: it is kept, and not shown.
  const words: Terminal = { isTTY: false, columns: () => 160, write: (text) => appendFileSync(join(folder, 'run.log'), text) };
  const progress = new Progress(join(folder, 'run.json'), newRun({ control: control.name, cases, seed }, true), words);
  try {
    const { findings, lines } = await run(
      {
        cases,
        seed,
        folder,
        root,
        kills: 0,
        faults: 0,
        concurrency: cases,
        plan: control.faults,
        prepare: quick(seed, cases, control.wants),
        // The engine as it is gets all the time it wants.
        ...(control.breaks.length === 0 ? {} : { mostMs }),
      },
      { progress, journal: join(folder, 'run.ndjson'), signal },
    );
    await writeFile(join(folder, 'report.txt'), `${lines.join('\n')}\n`);
    const verdict = judged(control, findings);
    progress.end(verdict.says, verdict.held ? 0 : 1);
    return verdict;
  } catch (error) {
    progress.interrupt();
    throw error;
  } finally {
    await stopOwn(folder);
    if (root !== ownRoot) await rm(root, { recursive: true });
  }
}

/** Whether the findings are what the control expects: its conviction, or nothing of the innocent. */
export function judged(control: Pick<Control, 'name'> & Partial<Pick<Control, 'conviction'>>, findings: readonly Finding[]): Verdict {
  const { name, conviction } = control;
  const counts = charged(findings);
  const all = charges.map((charge) => `${counts[charge]} ${charge}`).join(', ');
  if (conviction === undefined) {
    const [first] = findings;
    return {
      name,
      held: first === undefined,
      says: first === undefined ? `not convicted, as it should be: ${all}` : `CONVICTED: ${all}: ${first.case}: ${first.why}`,
    };
  }
  const proofs = findings.filter((finding) => chargeOf(finding) === conviction.charge && conviction.why.test(finding.why));
  const [proof] = proofs;
  if (proof === undefined) return { name, held: false, says: `NOT convicted: nothing ${conviction.charge} that says ${String(conviction.why)}; ${all}` };
  return { name, held: true, says: `convicted: ${all}: ${proof.case}: ${proof.why}${proofs.length > 1 ? ` (and ${proofs.length - 1} more)` : ''}` };
}

/**
 * Tries every control, one after the other; what to print, and whether the judge has convicted each of them and not the innocent. What a control's run says, and its report,
 * are in its folder.
 */
export async function runControls(
  options: ControlsOptions,
  { say, signal }: { readonly say: (line: string) => void; readonly signal: AbortSignal },
  run: Run = runFaults,
): Promise<{ readonly lines: readonly string[]; readonly ok: boolean }> {
  const all = [...controls, innocent];
  const unknown = options.only?.filter((name) => all.every((control) => control.name !== name)) ?? [];
  if (unknown.length > 0) throw new Error(`There is no control ${unknown.join(', ')}; there are ${all.map(({ name }) => name).join(', ')}.`);
  const chosen = all.filter(({ name }) => options.only?.includes(name) ?? true);
  const verdicts: Verdict[] = [];
  for (const control of chosen) {
    signal.throwIfAborted();
    say(`${control.name}: ${control.title}; what its run says is in ${join(options.folder, control.name, 'run.log')}`);
    const verdict = await tried(control, options, signal, run);
    say(lineOf(verdict));
    verdicts.push(verdict);
  }
  const [guilty, free] = [verdicts.filter(({ name }) => name !== innocent.name), verdicts.filter(({ name }) => name === innocent.name)];
  const convicted = guilty.filter(({ held }) => held).length;
  const last = `${guilty.length} controls: ${convicted} convicted${free.map(({ held }) => `, the innocent ${held ? 'not convicted' : 'CONVICTED'}`).join('')}`;
  return { lines: [...verdicts.map(lineOf), '', last], ok: verdicts.every(({ held }) => held) };
}
