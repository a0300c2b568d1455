/** The processes that exist: one per folder of workflows/ that has a `process.ts`. For the API, the activities and the worker; the bundle has `index.ts`. */
import { readdirSync, existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { LoadedPolicy } from '../policies/load.ts';
import { policyFor, windowOf } from '../policies/lookup.ts';
import type { SystemContract } from '../systems/contract.ts';
import type { ProcessDeclaration } from './kit/declare.ts';
import { kitVersion, type Manifest } from './kit/protocol.ts';
import type { RuleFunction } from './kit/rule.ts';

export type AnyRule = RuleFunction<never, unknown>;
export interface RegisteredProcess {
  readonly declaration: ProcessDeclaration;
  readonly rules: Readonly<Record<string, AnyRule>>;
  /** Text of its messages.yaml; parsed and checked by who sends. */
  readonly messages: string;
}
export type Processes = ReadonlyMap<string, RegisteredProcess>;

const isDeclaration = (value: unknown): value is ProcessDeclaration =>
  typeof value === 'object' && value !== null && 'stages' in value && 'tasks' in value && 'outcome' in value;
const ending = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

/** Loads every process of a folder like workflows/ (the tests have one of their own). Throws when a folder's `process` declares none, or another name than the folder's. */
export async function loadProcesses(folder: URL = new URL('./', import.meta.url)): Promise<Processes> {
  const names = readdirSync(fileURLToPath(folder), { withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && existsSync(new URL(`${entry.name}/process${ending}`, folder)),
  );
  const loaded = await Promise.all(names.map(async ({ name }) => [name, await loadProcess(new URL(`${name}/`, folder), name)] as const));
  return new Map(loaded);
}

async function loadProcess(folder: URL, name: string): Promise<RegisteredProcess> {
  const declared = Object.values((await import(new URL(`process${ending}`, folder).href)) as Record<string, unknown>).filter(isDeclaration);
  const [declaration] = declared;
  if (declaration === undefined || declared.length > 1 || declaration.name !== name)
    throw new Error(`workflows/${name}/process must export one declaration named "${name}"`);
  const rules = existsSync(new URL(`rules${ending}`, folder)) ? ((await import(new URL(`rules${ending}`, folder).href)) as Record<string, unknown>) : {};
  const messages = new URL('messages.yaml', folder);
  return {
    declaration,
    rules: Object.fromEntries(Object.entries(rules).filter((entry): entry is [string, AnyRule] => typeof entry[1] === 'function')),
    messages: existsSync(messages) ? readFileSync(messages, 'utf8') : '',
  };
}

/** The name a process's workflow has in the bundle: `return-exchange` → `returnExchange`. A test holds it. */
export const workflowType = (process: string): string => process.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());

/** What changes a case's commands, frozen when it opens. */
export function manifestOf(
  declaration: ProcessDeclaration,
  shop: string,
  { policy, version }: Pick<LoadedPolicy, 'policy' | 'version'>,
  systems: Readonly<Record<string, SystemContract>>,
): Manifest {
  const values = policyFor(policy, shop);
  const operations = Object.values(systems).flatMap((s) =>
    Object.entries(s.operations).map(([name, o]) => [`${s.name}.${name}`, { pace: o.pace, ...(o.undo === undefined ? {} : { undo: o.undo }) }] as const),
  );
  const events = Object.entries(declaration.events);
  return {
    kit: kitVersion,
    process: declaration.name,
    shop,
    policy: version,
    windows: Object.fromEntries(declaration.windows.map((name) => [name, windowOf(values, name)])),
    operations: Object.fromEntries(operations),
    ends: events.flatMap(([name, e]) => (e.ends ? [name] : [])),
    early: events.flatMap(([name, e]) => (e.early ? [name] : [])),
    repairAfter: values.cases.repairAfter.ms,
    historyLimit: values.cases.historyLimit,
  };
}
