/** The ways between the processes of a stack, each through a proxy, and where they are written down so that an interrupted run is gone on with. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { freePort } from '../stack/ports.ts';
import type { Routes } from '../stack/routes.ts';
import { clockEnv, findFaketime, inTime } from './inject.ts';
import { links, type Link } from './plan.ts';
import { proxyTo, type Proxy } from './proxy.ts';

const servers = ['api', 'systems', 'postgres', 'temporal'] as const;
const port = z.int().positive();
const waysSchema = z.object({
  /** Of the servers themselves. */
  ports: z.record(z.enum(servers), port),
  /** Of the proxy between each pair. */
  proxies: z.record(z.enum(links), port),
  /** The file that moves the worker's clock; absent where it cannot be moved. */
  clock: z.string().optional(),
});
export type Ways = z.output<typeof waysSchema>;

const distinct = async (count: number): Promise<number[]> => {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
};

/** The ways of the stack that a folder is for: as they were written down, or new ones. */
export async function waysOf(folder: string): Promise<Ways> {
  const file = join(folder, 'ways.json');
  if (existsSync(file)) return waysSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  const all = await distinct(servers.length + links.length);
  const clock = join(folder, 'clock');
  const ways = waysSchema.parse({
    ports: Object.fromEntries(servers.map((name, i) => [name, all[i]])),
    proxies: Object.fromEntries(links.map((name, i) => [name, all[servers.length + i]])),
    ...(findFaketime() === undefined ? {} : { clock }),
  });
  mkdirSync(folder, { recursive: true });
  writeFileSync(clock, inTime);
  writeFileSync(file, `${JSON.stringify(ways, null, 2)}\n`);
  return ways;
}

/** What each process is told instead of the others' own addresses. */
export function routesOf({ proxies, clock }: Ways): Routes {
  const library = findFaketime();
  return {
    worker: {
      ports: { postgres: proxies['worker-postgres'], temporal: proxies['worker-temporal'], systems: proxies['worker-systems'] },
      ...(clock === undefined || library === undefined ? {} : { env: clockEnv(library, clock) }),
    },
    api: { ports: { postgres: proxies['api-postgres'], temporal: proxies['api-temporal'] } },
    systems: { ports: { api: proxies['systems-api'] } },
  };
}

/** The proxies, which let everything through until they are told otherwise. */
export async function openWays({ ports, proxies }: Ways): Promise<Readonly<Record<Link, Proxy>>> {
  const between = async (link: Link, to: (typeof servers)[number]): Promise<Proxy> => proxyTo('127.0.0.1', ports[to], proxies[link]);
  return {
    'api-postgres': await between('api-postgres', 'postgres'),
    'worker-postgres': await between('worker-postgres', 'postgres'),
    'api-temporal': await between('api-temporal', 'temporal'),
    'worker-temporal': await between('worker-temporal', 'temporal'),
    'worker-systems': await between('worker-systems', 'systems'),
    'systems-api': await between('systems-api', 'api'),
  };
}
