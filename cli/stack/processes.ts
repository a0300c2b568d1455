/** Telling a process from another one that was given its id later, and ending a process with everything it started. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { isSystemError } from './system-error.ts';

/** A process of which we know more than its id, which is given to another process once this one is gone. */
export interface ProcessRef {
  readonly pid: number;
  /** When it started, in the system's own words: equal only for the same process. */
  readonly started: string;
}

/** When the process started; `undefined` when there is none with that id, or only its unreaped remains. */
function startedAt(pid: number): string | undefined {
  if (process.platform !== 'linux') {
    try {
      const [state, ...started] = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
        .trim()
        .split(/\s+/);
      return state === undefined || state === '' || state.startsWith('Z') ? undefined : started.join(' ');
    } catch {
      return undefined; // ps exits with 1 when there is no such process.
    }
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses, which may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, ticks] = [fields[0], fields[19]];
    if (state === undefined || ticks === undefined || state === 'Z' || state === 'X') return undefined;
    // Ticks count from boot, and a folder outlives a reboot.
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${ticks}`;
  } catch {
    return undefined;
  }
}

/** The running process with this id, if there is one. */
export function refTo(pid: number): ProcessRef | undefined {
  const started = startedAt(pid);
  return started === undefined ? undefined : { pid, started };
}

/** This process. Throws where the system does not tell one process from another. */
export function thisProcess(): ProcessRef {
  const self = refTo(process.pid);
  if (self === undefined) throw new Error('This process cannot be told from others: is /proc mounted?');
  return self;
}

export const isRunning = ({ pid, started }: ProcessRef): boolean => startedAt(pid) === started;

/** Sends a signal to a process group; that it is gone already is no error. */
export function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch (error) {
    if (!isSystemError(error, 'ESRCH')) throw error;
  }
}

/** Ends what is left of a process group whose leader we know: asks first, and after `graceMs` kills. */
export async function endGroup(leader: ProcessRef, signal: NodeJS.Signals, graceMs: number): Promise<void> {
  if (!isRunning(leader)) return;
  signalGroup(leader.pid, signal);
  const deadline = Date.now() + graceMs;
  while (Date.now() < deadline) {
    if (!isRunning(leader)) return;
    await pause(20);
  }
  signalGroup(leader.pid, 'SIGKILL');
  while (isRunning(leader)) await pause(20);
}
