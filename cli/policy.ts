/** `npm run policy -- check own.yaml`: what is wrong with a policy, or what it changes; `show`: what holds in a shop, or for a case, and where it stands. */
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findCase } from '../db/cases.ts';
import { pinnedPolicy } from '../db/policies.ts';
import { connectPool } from '../db/pool.ts';
import type { Path, Place } from '../policies/layers.ts';
import { loadPolicy, PolicyError, type LoadedPolicy } from '../policies/load.ts';
import { policyFor } from '../policies/lookup.ts';
import { differenceLines, differences, printed } from '../policies/print.ts';
import { checkPolicy } from '../workflows/policy-check.ts';
import { loadProcesses } from '../workflows/registry.ts';
import { readStack } from './stack/state.ts';

const help = `Checks and shows policies: every clock, window, limit and threshold, and the words of messages.

  npm run policy -- check policies/own.yaml
  npm run policy -- show --shop mingxi --policy policies/own.yaml
  npm run policy -- show --case return-exchange.MX-2007.demo-1

  check [FILE]     prints what is wrong, each with file, line and reason, and fails; or else what differs from policies/default.yaml,
                   and in each shop from all others (default: policies/default.yaml)
  show             prints the values that hold, as YAML, each with the file and line it comes from
    --shop SHOP    in this shop (default: in every shop that the policy does not name)
    --policy FILE  of this policy (default: policies/default.yaml, or with --case the one that the stack runs on)
    --case ID      for this case of the stack that runs on a data folder: the version it opened with, whatever has changed since
    --data FOLDER  data folder of the stack (default .data)
  --help

docs/policy.md says how a policy is changed.
`;

const standard = fileURLToPath(new URL('../policies/default.yaml', import.meta.url));

/** Files are named as whoever asks would. */
const near = ({ file, line, column }: Place): Place => ({ line, column, file: relative(process.cwd(), file) || file });
const placeIn =
  ({ at }: LoadedPolicy, shop?: string) =>
  (path: Path): Place =>
    near(at(path, shop));

async function loaded(file: string): Promise<LoadedPolicy> {
  const policy = loadPolicy(resolve(file));
  checkPolicy(policy, await loadProcesses());
  return policy;
}

async function check(file: string): Promise<void> {
  const own = await loaded(file);
  const lines = differenceLines(differences(loadPolicy(standard).written(), own.written()), placeIn(own));
  console.log(`${file} is in order; version ${own.version}`);
  console.log(lines.length === 0 ? '\nNothing differs from policies/default.yaml.' : `\nDiffers from policies/default.yaml in ${lines.length}:`);
  for (const line of lines) console.log(`  ${line}`);
  for (const shop of Object.keys(own.policy.shops)) {
    const differing = differenceLines(differences(own.written(), own.written(shop)), placeIn(own, shop));
    console.log(`\nShop ${shop} differs from all others in ${differing.length}:`);
    for (const line of differing) console.log(`  ${line}`);
  }
}

const show = (own: LoadedPolicy, shop: string | undefined): void => console.log(printed(own.written(shop), placeIn(own, shop)).join('\n'));

function introduce({ policy, version }: LoadedPolicy, shop: string | undefined): void {
  const known = shop !== undefined && Object.hasOwn(policy.shops, shop);
  console.log(
    `# Version ${version}, ${shop === undefined || known ? `shop ${shop ?? 'that is not named'}` : `shop ${shop}: the policy does not name it, so it has everybody's values`}`,
  );
}

/** What a case keeps. Its version's text is not stored, so values that changed since are told as they were parsed: amounts in minor units, times in milliseconds. */
async function showCase(id: string, folder: string, file: string | undefined): Promise<void> {
  const { settings } = readStack(resolve(folder));
  const database = settings['DATABASE_URL'];
  if (database === undefined) throw new Error('the stack has no DATABASE_URL: stop it and start it again with this version');
  const now = await loaded(file ?? settings['POLICY_FILE'] ?? standard);
  const pool = connectPool(database, 'kefu-policy', 1);
  try {
    const of = await findCase(pool, id);
    if (of === undefined) throw new Error(`There is no case ${id}.`);
    const version = of.manifest.policy;
    const pinned = policyFor(await pinnedPolicy(pool, version), of.shop);
    if (version === now.version) {
      introduce(now, of.shop);
      return show(now, of.shop);
    }
    const current = policyFor(now.policy, of.shop);
    const lines = differenceLines(
      differences(JSON.parse(JSON.stringify(pinned)) as typeof pinned, JSON.parse(JSON.stringify(current)) as typeof current),
      placeIn(now, of.shop),
    );
    console.log(`# Case ${id} in shop ${of.shop} keeps version ${version}. It is ${now.version} now; what has changed since, and does not hold for this case:`);
    for (const line of lines) console.log(line);
    if (lines.length === 0) console.log('# nothing for this shop');
  } finally {
    await pool.end();
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      shop: { type: 'string' },
      policy: { type: 'string' },
      case: { type: 'string' },
      data: { type: 'string', default: '.data' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return console.log(help);
  const [command, file, ...more] = positionals;
  const { shop, policy } = values;
  if (command === 'check' && more.length === 0 && shop === undefined && policy === undefined && values.case === undefined)
    return check(file ?? relative(process.cwd(), standard));
  if (command === 'show' && file === undefined) {
    if (values.case !== undefined && shop !== undefined) throw new Error('A case has its shop: leave out --shop or --case.');
    if (values.case !== undefined) return showCase(values.case, values.data, policy);
    const own = await loaded(policy ?? standard);
    introduce(own, shop);
    return show(own, shop);
  }
  throw new Error(command === undefined ? 'Say what to do: check or show.' : `"${positionals.join(' ')}" with these options is nothing this command does.`);
}

main().catch((given: unknown) => {
  const error = given instanceof PolicyError ? new PolicyError(given.problems.map((problem) => ({ ...problem, ...near(problem) }))) : given;
  console.error(error instanceof Error ? error.message : String(error));
  if (error instanceof PolicyError)
    console.error(`${error.problems.length} problem${error.problems.length === 1 ? '' : 's'}; docs/policy.md says how a policy is written.`);
  else console.error('npm run policy -- --help says how it is used.');
  process.exitCode = 1;
});
