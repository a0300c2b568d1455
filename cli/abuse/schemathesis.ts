/** Schemathesis: where it comes from, and a run of it over the API's document. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { cached, cacheFolder, fromFirst, runCommand, type Environment, type Say } from '../stack/cache.ts';
import { contentHash } from '../../values/hash.ts';

/** Every package it needs, in its exact version, with the hashes of its files. */
const requirements = join(import.meta.dirname, 'requirements.txt');
/** 27 packages, some MB: half a minute on a good line. */
const installLimitMs = 10 * 60_000;

/** The Python that has schemathesis, of an environment of its own in the cache. Throws, saying what to install, when there is none. */
async function resolvePython(env: Environment, say: Say): Promise<string> {
  const text = readFileSync(requirements, 'utf8');
  const [, version = ''] = /^schemathesis==(\S+)/m.exec(text) ?? [];
  const folder = await cached(
    // Another set of packages is another folder.
    join(cacheFolder(env), `schemathesis-${version}-${contentHash(text).slice(0, 8)}-${process.platform}-${process.arch}`),
    (empty) =>
      fromFirst(
        'Schemathesis',
        [
          {
            name: 'pip',
            fill: async (place) => {
              await runCommand('Making an environment for Schemathesis', 'python3', ['-m', 'venv', place], { limitMs: installLimitMs }, say);
              say('Getting Schemathesis with pip, once.');
              const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--require-hashes', '--only-binary', ':all:', '-r', requirements];
              await runCommand('Getting Schemathesis', join(place, 'bin/python'), args, { limitMs: installLimitMs }, say);
            },
          },
        ],
        'Install Python 3.10 or newer with its venv and pip (Debian: apt-get install python3-venv), or leave this part out: --minutes 0.',
        empty,
        say,
      ),
    say,
  );
  // By module: the environment's scripts name the folder in which it was made, and it was moved.
  return join(folder, 'bin/python');
}

const headers = z.array(z.object({ name: z.string(), value: z.string() }));
/** The parts of an HTTP archive that matter here. */
const archive = z.object({
  log: z.object({
    entries: z.array(
      z.object({
        request: z.object({ method: z.string(), url: z.string(), headers, postData: z.object({ text: z.string().optional() }).optional() }),
        response: z.object({ status: z.int(), headers, content: z.object({ text: z.string().optional(), encoding: z.string().optional() }) }),
      }),
    ),
  }),
});
export type Exchanged = z.output<typeof archive>['log']['entries'][number];

export interface FuzzOptions {
  /** The API's document, and where the API is. */
  readonly document: object;
  readonly url: string;
  readonly token: string;
  readonly seed: number;
  readonly seconds: number;
  /** Where its reports go. */
  readonly folder: string;
  readonly say: Say;
}

/** What does not hold of a schema alone, or is no fault: each with its reason. */
const unasked: Readonly<Record<string, string>> = {
  // What fits the shapes may still be refused for what it says: an unknown sku, two lines alike, a task that is decided. The document says so by 404, 409 and 422.
  positive_data_acceptance: 'business rules refuse what fits the shapes',
};

/**
 * Statuses by which we refuse, beside those that it knows: a link that is over is refused before what else is wrong, and a head that is too long by the server itself.
 * A 503 says when to come again; that each is one that the document has, we judge ourselves (probe.ts).
 */
const settings = `[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 428, 429, 431, "5xx"]
`;

export interface Fuzzed {
  readonly exchanged: readonly Exchanged[];
  /** What it found, in its own words. */
  readonly failures: readonly string[];
}

/** The sections of its words that tell of failures: each names an operation and what did not hold there. */
function failuresIn(said: string): string[] {
  const [, told = ''] = /=+ (?:FAILURES|ERRORS) =+\n([\s\S]*)/.exec(said) ?? [];
  const sections = told.split(/^_{3,}.*_{3,}$/m).filter((section) => section.trim() !== '');
  return sections.length > 0 ? sections.map((section) => section.trim().slice(0, 1500)) : [said.slice(-2000)];
}

/** It ends what it is at when its time is over. */
const graceSeconds = 60;

export async function fuzz({ document, url, token, seed, seconds, folder, say }: FuzzOptions): Promise<Fuzzed> {
  const python = await resolvePython(process.env, say);
  await mkdir(folder, { recursive: true });
  const har = join(folder, 'exchanged.har');
  const file = join(folder, 'openapi.json');
  await writeFile(file, JSON.stringify(document));
  await writeFile(join(folder, 'schemathesis.toml'), settings);
  const flags = {
    url,
    header: `Authorization: Bearer ${token}`,
    checks: 'all',
    'exclude-checks': Object.keys(unasked).join(','),
    phases: 'examples,coverage,fuzzing,stateful',
    'max-time': String(seconds),
    seed: String(seed),
    'max-response-time': '10',
    'request-timeout': '20',
    'generation-database': 'none',
    'suppress-health-check': 'all',
    report: 'har',
    'report-har-path': har,
    'output-sanitize': 'false',
    warnings: 'off',
    // What is no JSON of ours: a library's page, and numbers.
    'exclude-path-regex': '^/(docs|metrics)',
  };
  const args = [
    '-m',
    'schemathesis.cli',
    'run',
    file,
    '--continue-on-failure',
    '--no-shrink',
    '--no-color',
    ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]),
  ];
  // A file, not a pipe: it says much where much does not hold, and somebody will want to read it.
  const log = join(folder, 'schemathesis.log');
  const output = openSync(log, 'w');
  const child = spawn(python, args, { cwd: folder, stdio: ['ignore', output, output], timeout: (seconds + graceSeconds) * 1000 });
  closeSync(output);
  say(`  Schemathesis, for ${seconds} s; what it says is in ${log}`);
  const [code] = (await once(child, 'exit')) as [number | null];
  const said = await readFile(log, 'utf8');
  const text = await readFile(har, 'utf8').catch(() => undefined);
  if (text === undefined) throw new Error(`Schemathesis did not run:\n${said.slice(-2000)}`);
  return { exchanged: archive.parse(JSON.parse(text)).log.entries, failures: code === 0 ? [] : failuresIn(said) };
}
