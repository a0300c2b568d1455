/** `npm run close -- CASE`: gives up a broken case that nothing brings back, so that nobody waits for it any more. */
import { parseArgs } from 'node:util';
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { pino } from 'pino';
import { createActivities } from '../activities/index.ts';
import { findCase, type CaseRow } from '../db/cases.ts';
import { connectPool, type Pool } from '../db/pool.ts';
import { codecKeysOf } from '../delivery/codec.ts';
import { connectTemporal } from '../delivery/temporal.ts';
import { reportTo } from '../keys/file.ts';
import { loadPolicy } from '../policies/load.ts';
import { readConfig } from '../worker/config.ts';
import { createEngine } from '../worker/engine.ts';
import { toldBy } from './stack/told.ts';

const help = `Gives up a broken case that a reset does not bring back (docs/operations.md#broken-case): its clocks stop, what came for it is kept as a note, a case that
waits for its outcome hears of it, and it is no longer counted among those that cannot go on. Nothing is taken back: what it had done is printed, and is yours.

  npm run close -- return-exchange.MX-2007.demo-1 --by olga

  --by ID         who gives it up; kept with the case
  --data FOLDER   data folder of the stack; without it the environment of a worker where DATABASE_URL is set, else .data
  --help
`;

async function isRunning(temporal: Client, id: string): Promise<boolean> {
  try {
    return (await temporal.workflow.getHandle(id).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

async function closable(pool: Pool, temporal: Client, id: string): Promise<CaseRow> {
  const row = await findCase(pool, id);
  if (row === undefined) throw new Error(`There is no case ${id}.`);
  if (row.status !== 'broken')
    throw new Error(`${id} is ${row.status}: only a broken case is closed by hand. An open one is withdrawn (POST /v1/cases/{id}/withdraw).`);
  if (row.outcome !== null) throw new Error(`${id} was given up before.`);
  if (await isRunning(temporal, id)) throw new Error(`The workflow of ${id} runs, and would open it again: terminate it first, or let it go on.`);
  return row;
}

/** Effects that stand: done, and not taken back since. */
async function standing(pool: Pool, id: string): Promise<string[]> {
  const { rows } = await pool.query<{ line: string }>(
    `select e.system || '.' || e.operation || ' (' || e.path || ')' || case e.status when 'sending' then ': sent, no answer' else '' end as line
     from effects e where e.case_id = $1 and e.undoes is null and (e.ok or e.status = 'sending')
       and not exists (select 1 from effects u where u.case_id = e.case_id and u.undoes = e.path and u.ok) order by e.sent_at, e.path`,
    [id],
  );
  return rows.map(({ line }) => line);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { by: { type: 'string' }, data: { type: 'string' }, help: { type: 'boolean', short: 'h', default: false } },
  });
  if (values.help) return console.log(help);
  const [id, ...more] = positionals;
  if (id === undefined || more.length > 0) throw new Error('Name one case.');
  const { by } = values;
  if (by === undefined || !/^[\w.-]{1,100}$/.test(by)) throw new Error('Say who gives it up: --by olga');
  const config = readConfig({ ...toldBy(values.data, process.env).settings });
  const log = pino({ level: 'silent' });
  const pool = connectPool(config.DATABASE_URL, 'kefu-close', 2);
  const temporal = connectTemporal({
    address: config.TEMPORAL_ADDRESS,
    namespace: config.TEMPORAL_NAMESPACE,
    codecKeys: codecKeysOf(config.CODEC_KEY_FILE, reportTo(log)),
  });
  try {
    const row = await closable(pool, temporal, id);
    const activities = createActivities(await createEngine(config, loadPolicy(config.POLICY_FILE), pool, temporal, log));
    await activities.closeCase({ case: row.id, pending: { order: 0 }, status: 'broken', outcome: { result: 'broken', reason: 'closedByHand', by } });
    const left = await standing(pool, id);
    console.log(`${id} is closed.`);
    console.log(
      left.length === 0 ? 'It had done nothing that stands.' : `What it had done stands, and is yours to settle in those systems:\n  ${left.join('\n  ')}`,
    );
  } finally {
    await temporal.connection.close();
    await pool.end();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  console.error('npm run close -- --help says how it is used.');
  process.exitCode = 1;
});
