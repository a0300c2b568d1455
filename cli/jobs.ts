/** `npm run jobs`: messages and points of clocks that fail, and another try for them. */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { failingJobs, retryJobs } from '../db/jobs.ts';
import { connectPool } from '../db/pool.ts';
import { databaseSettings, withPassword } from '../db/settings.ts';
import { toldBy } from './stack/told.ts';

const help = `Shows the jobs that fail (messages to send, points of clocks, redos): 25 tries with growing pauses, about three days, then nobody tries any more.

  npm run jobs
  npm run jobs -- --retry

  --retry         all that have failed are tried again now, each from its first try, and clocks whose job is gone get one
  --data FOLDER   data folder of the stack; without it DATABASE_URL where it is set, else .data
  --help
`;

/** Lines that are printed: the kinds and their counts are complete. */
const shown = 20;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { retry: { type: 'boolean', default: false }, data: { type: 'string' }, help: { type: 'boolean', short: 'h', default: false } },
  });
  if (values.help) return console.log(help);
  const parsed = z.object(databaseSettings).safeParse(toldBy(values.data, process.env).settings);
  if (!parsed.success) throw new Error(z.prettifyError(parsed.error));
  const pool = connectPool(withPassword(parsed.data).DATABASE_URL, 'kefu-jobs', 1);
  try {
    if (values.retry) {
      const { retried, revived } = await retryJobs(pool);
      console.log(`${retried} jobs are tried again now; ${revived} clocks got a job again.`);
      return;
    }
    const { jobs, more } = await failingJobs(pool, shown);
    for (const { kind, about, attempts, dead, error } of jobs)
      console.log(`${dead ? '✗' : '…'} ${kind} ${about}: ${attempts} tries${dead ? ', none will follow' : ''}\n    ${error}`);
    if (more > 0) console.log(`and ${more} more`);
    if (jobs.length === 0) console.log('No job fails.');
  } finally {
    await pool.end();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  console.error('npm run jobs -- --help says how it is used.');
  process.exitCode = 1;
});
