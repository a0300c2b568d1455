/** `npm run doctor`: what of a running engine needs a person, and what they do. */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { connectPool } from '../db/pool.ts';
import { databaseSettings, withPassword } from '../db/settings.ts';
import { connectTemporal } from '../delivery/temporal.ts';
import { fixedKeys, newRing } from '../keys/ring.ts';
import { languages, type Language, type Text } from '../values/text.ts';
import { told, type Found } from './doctor/findings.ts';
import { look } from './doctor/look.ts';
import { toldBy } from './stack/told.ts';

const help = `Says what of a running engine needs a person, and which chapter of docs/operations.md tells what to do. It changes nothing.

  npm run doctor
  npm run doctor -- --data .data --json

  --data FOLDER   data folder of the stack; without it DATABASE_URL, TEMPORAL_ADDRESS and API_URL where DATABASE_URL is set, else .data
  --lang zh|en    language (default: as LANG says)
  --json          {"ok": …, "found": […], "there": […]} for programs
  --help

Exit code 0: nothing needs a person. 1: something does. 2: it could not look.
`;

const settingsSchema = z.object({
  ...databaseSettings,
  TEMPORAL_ADDRESS: z.string().regex(/^[^\s:]+:\d+$/, 'host:port, such as 127.0.0.1:7233'),
  TEMPORAL_NAMESPACE: z.string().min(1).default('default'),
});

const argumentsSchema = z.object({ data: z.string().optional(), lang: z.enum(languages, { error: '--lang is zh or en' }).optional(), json: z.boolean() });

/** As the terminal is set up: Chinese where it says so. */
const languageOfTerminal = (env: NodeJS.ProcessEnv): Language => (/^zh/i.test(env['LC_ALL'] ?? env['LC_MESSAGES'] ?? env['LANG'] ?? '') ? 'zh' : 'en');

const say = (text: Text, language: Language): string => text[language];

function printed(found: readonly Found[], there: readonly string[], language: Language): string {
  const lines = found.flatMap((one) => {
    const { says, todo, chapter } = told(one, language);
    const cases = one.cases === undefined || one.cases.length === 0 ? [] : [`    ${one.cases.join('\n    ')}${one.n > one.cases.length ? '\n    …' : ''}`];
    return [`✗ ${says}`, ...cases, `  → ${todo}: ${chapter}`];
  });
  const head =
    found.length === 0
      ? say({ zh: '一切正常，没有需要人处理的事。', en: 'All is well: nothing needs a person.' }, language)
      : say({ zh: `有 ${found.length} 件事需要人处理：`, en: `${found.length} ${found.length === 1 ? 'thing needs' : 'things need'} a person:` }, language);
  return [head, ...lines, ...(there.length === 0 ? [] : [`✓ ${there.join(', ')}`])].join('\n');
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string' },
      lang: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return console.log(help);
  const given = argumentsSchema.safeParse(values);
  if (!given.success) throw new Error(given.error.issues.map((issue) => issue.message).join('\n'));
  const { settings: stated, api } = toldBy(given.data.data, process.env);
  const parsed = settingsSchema.safeParse(stated);
  if (!parsed.success) throw new Error(`What is told does not hold:\n${z.prettifyError(parsed.error)}`);
  const settings = withPassword(parsed.data);
  const pool = connectPool(settings.DATABASE_URL, 'kefu-doctor', 2);
  const temporal = connectTemporal({
    address: settings.TEMPORAL_ADDRESS,
    namespace: settings.TEMPORAL_NAMESPACE,
    // It reads no payload: it needs none of ours.
    codecKeys: fixedKeys(newRing()),
  });
  try {
    const { found, there } = await look({ pool, temporal, namespace: settings.TEMPORAL_NAMESPACE, api });
    const language = given.data.lang ?? languageOfTerminal(process.env);
    console.log(
      given.data.json
        ? JSON.stringify({ ok: found.length === 0, found: found.map((one) => ({ ...one, ...told(one, language) })), there }, null, 2)
        : printed(found, there, language),
    );
    process.exitCode = found.length === 0 ? 0 : 1;
  } finally {
    await temporal.connection.close();
    await pool.end();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  console.error('npm run doctor -- --help says how it is used.');
  process.exitCode = 2;
});
