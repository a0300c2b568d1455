/** How much memory a process of the stack has, with everything that it started. Linux says so under /proc; elsewhere nothing is known. */
import { readdir, readFile } from 'node:fs/promises';
import type { StackState } from '../stack/state.ts';

const megabyte = 1024;

async function parents(): Promise<ReadonlyMap<number, number>> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid): Promise<readonly [number, number] | undefined> => {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
      // The second field is the program's name in parentheses, which may hold anything.
      const parent = stat === undefined ? undefined : Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      return parent === undefined ? undefined : [pid, parent];
    }),
  );
  return new Map(found.filter((pair) => pair !== undefined));
}

/** Its share: what several processes have in common (Postgres' buffers) is divided among them. In KB; 0 for one that has just ended. */
async function share(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0);
}

/** Megabytes by process of the stack; empty where the system does not say. */
export async function memoryOf({ processes }: Pick<StackState, 'processes'>): Promise<Record<string, number>> {
  if (process.platform !== 'linux') return {};
  const parentOf = await parents();
  const of = async ([name, { pid }]: readonly [string, { readonly pid: number }]): Promise<readonly [string, number]> => {
    const all = new Set([pid]);
    // Grandchildren come after their parents, whose ids may be higher: until nothing is added.
    for (let before = 0; before !== all.size;) {
      before = all.size;
      for (const [child, parent] of parentOf) if (all.has(parent)) all.add(child);
    }
    const shares = await Promise.all([...all].map(share));
    return [name, Math.round((shares.reduce((so, kb) => so + kb, 0) / megabyte) * 10) / 10];
  };
  return Object.fromEntries(await Promise.all(Object.entries(processes).map(of)));
}
