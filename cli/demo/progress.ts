/** How far a run is: a line on the terminal, and a file that `--status` and `--resume` read. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { isRunning, thisProcess } from '../stack/processes.ts';

const phases = ['stack', 'import', 'cases', 'quiet', 'audit', 'ended'] as const;
export type Phase = (typeof phases)[number];
const phaseText: Readonly<Record<Phase, string>> = {
  stack: 'starting the stack',
  import: 'loading orders and people',
  cases: 'cases run',
  quiet: 'waiting until all is quiet',
  audit: 'auditing the ledgers',
  ended: 'ended',
};

export const runState = z.object({
  /** What it was started with, so that `--resume` asks for nothing. */
  options: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  /** Whether the stack is the demo's to end. */
  own: z.boolean(),
  process: z.object({ pid: z.int(), started: z.string() }),
  startedAt: z.string(),
  endedAt: z.string().optional(),
  phase: z.enum(phases),
  cases: z.int(),
  started: z.int(),
  waiting: z.int(),
  ended: z.int(),
  kills: z.int(),
  killsWanted: z.int(),
  /** Other disturbances than kills. */
  faults: z.int().default(0),
  faultsWanted: z.int().default(0),
  /** How it ended: the audit's line, or what went wrong. */
  result: z.string().optional(),
  exitCode: z.int().optional(),
});
export type RunState = z.output<typeof runState>;

/** A run that this process begins, of which nothing has happened yet. */
export const newRun = (options: RunState['options'], own: boolean, startedAt = new Date().toISOString()): RunState => ({
  options,
  own,
  process: thisProcess(),
  startedAt,
  phase: 'stack',
  cases: 0,
  started: 0,
  waiting: 0,
  ended: 0,
  kills: 0,
  killsWanted: 0,
  faults: 0,
  faultsWanted: 0,
});

export function readRun(file: string): RunState | undefined {
  return existsSync(file) ? runState.parse(JSON.parse(readFileSync(file, 'utf8'))) : undefined;
}

export function writeRun(file: string, state: RunState): void {
  mkdirSync(dirname(file), { recursive: true });
  // Whole or not at all: a reader never sees half of it.
  writeFileSync(`${file}.new`, `${JSON.stringify(state, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

const duration = (ms: number): string => {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
};

/** One line: bar, cases started, waiting and ended, kills, faults, time. `width`: columns of the terminal. */
export function progressLine(state: RunState, now: number, width = 100): string {
  const { cases, started, waiting, ended, kills, killsWanted, faults, faultsWanted, phase, startedAt, endedAt } = state;
  const time = duration((endedAt === undefined ? now : Date.parse(endedAt)) - Date.parse(startedAt));
  if (cases === 0) return `${phaseText[phase]} · ${time}`;
  const figures = [
    `${ended}/${cases} ended`,
    `${waiting} waiting`,
    ...(started < cases ? [`${cases - started} to start`] : []),
    ...(killsWanted > 0 ? [`${kills} kills`] : []),
    ...(faultsWanted > 0 ? [`${faults} faults`] : []),
    phaseText[phase],
    time,
  ].join(' · ');
  const room = Math.min(30, width - figures.length - 4);
  if (room < 5) return figures.slice(0, width - 1);
  const full = Math.round((ended / cases) * room);
  return `[${'█'.repeat(full)}${'░'.repeat(room - full)}] ${figures}`;
}

/** What `--status` says. */
export function statusText(state: RunState, now: number): string {
  const alive = isRunning(state.process);
  const how =
    state.phase === 'ended' ? `ended: ${state.result ?? ''}` : alive ? `runs as process ${state.process.pid}` : 'was interrupted; go on with --resume';
  return `${progressLine(state, now)}\n${how}`;
}

/** Where to look while a plain file, not a person, reads what is printed. */
const plainEveryMs = 5000;
const stateEveryMs = 1000;

export interface Terminal {
  readonly isTTY: boolean;
  readonly columns: () => number;
  readonly write: (text: string) => void;
}
export const terminal: Terminal = {
  isTTY: process.stdout.isTTY,
  columns: () => process.stdout.columns || 100,
  write: (text) => void process.stdout.write(text),
};

/** Shows and stores a run's progress: one line that changes on a terminal, else a line every few seconds. */
export class Progress {
  #state: RunState;
  readonly #file: string;
  readonly #to: Terminal;
  #plainAt = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(file: string, first: RunState, to: Terminal = terminal) {
    this.#file = file;
    this.#to = to;
    this.#state = first;
    writeRun(file, first);
    this.#timer = setInterval(() => this.#show(), stateEveryMs);
  }

  get state(): RunState {
    return this.#state;
  }

  set(change: Partial<Omit<RunState, 'options' | 'process'>>): void {
    const phase = this.#state.phase;
    this.#state = { ...this.#state, ...change };
    if (this.#state.phase !== phase) this.#plainAt = 0;
  }

  /** A line of its own, above the bar. */
  say(line: string): void {
    this.#to.write(this.#to.isTTY ? `\r\u001b[K${line}\n` : `${line}\n`);
    if (this.#to.isTTY) this.#draw();
  }

  #draw(): void {
    this.#to.write(`\r\u001b[K${progressLine(this.#state, Date.now(), this.#to.columns())}`);
  }

  #show(): void {
    writeRun(this.#file, this.#state);
    if (this.#to.isTTY) return this.#draw();
    if (Date.now() - this.#plainAt < plainEveryMs) return;
    this.#plainAt = Date.now();
    this.#to.write(`${progressLine(this.#state, Date.now())}\n`);
  }

  /** The last word: the bar goes, the state stays. */
  end(result: string, exitCode: number): void {
    this.#state = { ...this.#state, phase: 'ended', endedAt: new Date().toISOString(), result, exitCode };
    this.interrupt();
  }

  /** Shows no more; where it stands is kept for `--resume`. */
  interrupt(): void {
    clearInterval(this.#timer);
    writeRun(this.#file, this.#state);
    if (this.#to.isTTY) this.#to.write('\r\u001b[K');
  }
}
