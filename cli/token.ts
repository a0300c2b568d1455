/** `npm run token -- --user wang --role supervisor`: prints a token, and makes or changes the person it is for. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { signToken } from '../api/token.ts';
import { everyShop, findPerson, putPerson } from '../db/people.ts';
import { connectPool } from '../db/pool.ts';
import type { PersonId } from '../values/ids.ts';
import { roles } from '../values/role.ts';
import { readStack } from './stack/state.ts';

const help = `Prints a token for a person or a calling system, for the stack that runs on a data folder.

  npm run token -- --user wang --role supervisor
  npm run token -- --user platform --role upstream --shop flagship --ttl 30d

  --user ID      who the token is for; the person is made when unknown
  --role ROLE    what they are from now on; may be given several times. Without it a known person stays as they are
                 ${roles.join(', ')}
  --shop SHOP    the shops they serve from now on; may be given several times (default: every shop)
  --name NAME    how they are called (default: the id)
  --ttl SPAN     how long the token holds: 30m, 12h, 30d (default 12h)
  --data FOLDER  data folder of the stack (default .data)
  --help

The token says who is calling. What they may do is read from the person's row at each call, so a change holds at once, also for tokens printed before.
`;

const argumentsSchema = z.object({
  user: z.string({ error: 'name who the token is for: --user wang' }).min(1).max(200),
  role: z.array(z.enum(roles, { error: `--role is one of ${roles.join(', ')}` })).default([]),
  shop: z.array(z.string().min(1).max(200)).optional(),
  name: z.string().min(1).max(200).optional(),
  ttl: z
    .string()
    .regex(/^[1-9]\d{0,4}[smhd]$/, '--ttl is a span such as 30m, 12h or 30d')
    .default('12h'),
  data: z.string().default('.data'),
});

function readArguments(argv: readonly string[]): z.output<typeof argumentsSchema> | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      user: { type: 'string' },
      role: { type: 'string', multiple: true },
      shop: { type: 'string', multiple: true },
      name: { type: 'string' },
      ttl: { type: 'string' },
      data: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return 'help';
  const parsed = argumentsSchema.safeParse(values);
  if (!parsed.success) throw new Error(parsed.error.issues.map((issue) => issue.message).join('\n'));
  return parsed.data;
}

/** A setting that the running stack was started with. */
function settingOf(settings: Readonly<Record<string, string>>, name: string): string {
  const value = settings[name];
  if (value === undefined) throw new Error(`the stack has no ${name}: stop it and start it again with this version`);
  return value;
}

async function main(): Promise<void> {
  const given = readArguments(process.argv.slice(2));
  if (given === 'help') {
    console.log(help);
    return;
  }
  const { settings } = readStack(resolve(given.data));
  const pool = connectPool(settingOf(settings, 'DATABASE_URL'), 'kefu-token', 1);
  try {
    const known = await findPerson(pool, given.user);
    if (known === undefined && given.role.length === 0) throw new Error(`"${given.user}" is not known yet: say what they are, --role agent`);
    await putPerson(pool, {
      id: given.user as PersonId,
      name: given.name ?? known?.name ?? given.user,
      roles: given.role.length > 0 ? given.role : (known?.roles ?? []),
      shops: given.shop ?? known?.shops ?? [everyShop],
      active: true,
      absentUntil: known?.absentUntil ?? null,
    });
    console.log(await signToken({ privateKey: readFileSync(settingOf(settings, 'JWT_PRIVATE_KEY_FILE'), 'utf8'), subject: given.user, ttl: given.ttl }));
  } finally {
    await pool.end();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  console.error('npm run token -- --help says how it is used.');
  process.exitCode = 1;
});
