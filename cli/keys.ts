/** `node dist/cli/keys.js`: makes the keys that the processes read, where no secret manager does. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { systems } from '../systems/index.ts';
import { ensureSecrets } from './stack/secrets.ts';

const help = `node dist/cli/keys.js [--data FOLDER]

Makes the keys in FOLDER/secrets (.data/secrets) that are not there yet, readable by their owner alone. Keep a copy: what they seal, nothing else opens.`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { data: { type: 'string', default: '.data' }, help: { type: 'boolean', default: false } } });
  if (values.help) return console.log(help);
  console.log(`The keys are in ${await ensureSecrets(resolve(values.data), Object.keys(systems), false)}.`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
