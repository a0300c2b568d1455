/** `npm run import`: loads a shop of another source into the sandbox systems that run. */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { loadCounts, type LoadCounts } from '../systems/orders/load.ts';
import { tauFiles, type TauFiles } from '../systems/orders/tau-retail.ts';
import { Caller } from './demo/calls.ts';
import { amountText } from './demo/report.ts';
import { readStack } from './stack/state.ts';

const help = `npm run import -- tau-retail FOLDER [options]

Loads the orders, customers and products of tau-retail (orders.json, users.json and products.json in FOLDER) into the order, warehouse and payment systems of
the sandbox that runs. Ids are kept; what the data does not say (when goods were signed for, how many are in stock) is drawn from the seed. Loading it again
changes nothing.

  --data FOLDER   data folder of the running stack   (.data)
  --seed N        draws what the data does not say   (1)
  --help          this text`;

const names = ['orders', 'users', 'products'] as const;

/** Reads the three files of tau-retail; the error names what is missing or does not fit. */
export async function readTauFolder(folder: string): Promise<TauFiles> {
  const read = async (name: (typeof names)[number]): Promise<unknown> => {
    const file = join(folder, `${name}.json`);
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      const why = error instanceof Error && 'code' in error && error.code === 'ENOENT' ? 'is not there' : `cannot be read (${String(error)})`;
      throw new Error(`${file} ${why}. FOLDER has to hold ${names.map((n) => `${n}.json`).join(', ')} of tau-retail.`, { cause: error });
    }
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Error(`${file} is no JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  };
  const [orders, users, products] = await Promise.all(names.map(read));
  const parsed = tauFiles.safeParse({ orders, users, products });
  if (parsed.success) return parsed.data;
  const first = parsed.error.issues.slice(0, 5).map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
  throw new Error(`${folder} does not hold tau-retail as it should:\n${first.join('\n')}`);
}

/** Sends tau-retail to the sandbox. */
export const importTauRetail = (systems: Caller, files: TauFiles, seed: number): Promise<LoadCounts> =>
  systems.send('POST', '/orders/import', { source: 'tau-retail', seed, files }, loadCounts);

const orderRows = z.object({
  orders: z.array(
    z.object({
      orderId: z.string(),
      status: z.string(),
      currency: z.string(),
      total: z.object({ minor: z.int() }),
      payments: z.array(z.object({ refunded: z.object({ minor: z.int() }) })),
    }),
  ),
});

/** What is there now: orders by status, with what was paid and refunded. */
async function totals(systems: Caller, source: string): Promise<string[]> {
  const by = new Map<string, { count: number; paid: number; refunded: number; currency: string }>();
  for (let after = ''; ;) {
    const { orders } = await systems.get(`/orders/acts/orders?source=${source}&limit=500&after=${encodeURIComponent(after)}`, orderRows);
    for (const { orderId, status, currency, total, payments } of orders) {
      after = orderId;
      const row = by.get(`${status} ${currency}`) ?? { count: 0, paid: 0, refunded: 0, currency };
      row.count += 1;
      row.paid += total.minor;
      row.refunded += payments.reduce((so, payment) => so + payment.refunded.minor, 0);
      by.set(`${status} ${currency}`, row);
    }
    if (orders.length < 500) break;
  }
  return [...by]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { count, paid, refunded, currency }]) => {
      const amount = (minor: number): string => amountText(minor, currency).padStart(16);
      return `  ${(name.split(' ')[0] ?? '').padEnd(10)} ${String(count).padStart(6)} orders ${amount(paid)} paid ${amount(refunded)} refunded`;
    });
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { data: { type: 'string', default: '.data' }, seed: { type: 'string', default: '1' }, help: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  if (values.help) return console.log(help);
  const [source, folder, ...more] = positionals;
  if (source === undefined || folder === undefined || more.length > 0)
    throw new Error(`Name the source and its folder: npm run import -- tau-retail FOLDER\n\n${help}`);
  if (source !== 'tau-retail') throw new Error(`There is no source "${source}"; there is: tau-retail.`);
  const seed = Number(values.seed);
  if (!Number.isSafeInteger(seed)) throw new Error(`--seed ${values.seed}: a seed is a whole number.`);
  const { urls } = readStack(resolve(values.data));
  const files = await readTauFolder(resolve(folder));
  // The stack runs: what does not answer now is not waited for as in a demo.
  const systems = new Caller({ url: () => urls.systems, patienceMs: 10_000 });
  const { orders, newOrders, customers, products, unavailable } = await importTauRetail(systems, files, seed);
  const counted = `${orders} orders (${newOrders} new), ${customers} customers, ${products} variants (${unavailable} of them not in stock):`;
  console.log([counted, ...(await totals(systems, source))].join('\n'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
