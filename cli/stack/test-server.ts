/** Where the time-skipping test server comes from: a program named by the operator, or one that was downloaded or put together once. */
import { access, constants, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, cacheFolder, fromFirst, runCommand } from './cache.ts';
import type { Environment, Say, Source } from './cache.ts';
import { sdkDownload } from './sdk-source.ts';

/** The version of the Java SDK it belongs to; `test-server/pom.xml` names the same. */
const version = '1.38.0';
const program = 'temporal-test-server';
/** 39 files, 38 MB: seconds on a good line. */
const mavenLimitMs = 10 * 60_000;

// `exec`, so that the SDK, which ends the server by the id of the process that it started, ends Java and not the shell.
// The flags halve the start-up of a server that lives for one test file.
const launcher = `#!/bin/sh
exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx512m -cp "$(dirname "$0")/lib/*" io.temporal.testserver.TestServer "$@"
`;

const maven = (say: Say): Source => ({
  name: 'Maven',
  fill: async (empty) => {
    await runCommand('Looking for Java', 'java', ['-version'], { limitMs: 30_000 }, say);
    const pom = join(import.meta.dirname, 'test-server', 'pom.xml');
    const args = [
      '-B',
      '-f',
      pom,
      'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies',
      '-DincludeScope=runtime',
      `-DoutputDirectory=${join(empty, 'lib')}`,
    ];
    say('Getting the time-skipping test server with Maven, once: 38 MB.');
    await runCommand('Getting the test server', 'mvn', args, { limitMs: mavenLimitMs }, say);
    await writeFile(join(empty, program), launcher, { mode: 0o755 });
  },
});

/** The path of the time-skipping test server's program. Throws, saying what was tried and what to do, when there is none. */
export async function resolveTestServer(env: Environment, say: Say): Promise<string> {
  const given = env['TEMPORAL_TEST_SERVER'];
  if (given !== undefined) {
    await access(given, constants.X_OK).catch((error: unknown) => {
      throw new Error(`TEMPORAL_TEST_SERVER=${given} is no program that can be run.`, { cause: error });
    });
    return given;
  }
  const remedy = 'Install Java 11 or newer and Maven, or set TEMPORAL_TEST_SERVER to the path of the program temporal-test-server.';
  const folder = await cached(
    join(cacheFolder(env), `temporal-test-server-${version}-${process.platform}-${process.arch}`),
    (empty) => fromFirst('The time-skipping test server', [sdkDownload('test-server', `v${version}`, program, say), maven(say)], remedy, empty, say),
    say,
  );
  return join(folder, program);
}
