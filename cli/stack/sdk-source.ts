import { chmod, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from './cache.ts';
import { runModule } from './programs.ts';
import type { Say, Source } from './cache.ts';

/** How long a download of some 40 MB may take on a slow line. */
const downloadLimitMs = 5 * 60_000;

/** A server as the SDK downloads it, kept under the name `program`. */
export const sdkDownload = (kind: 'temporal' | 'test-server', version: string, program: string, say: Say): Source => ({
  name: "the SDK's own download",
  fill: async (empty) => {
    await runCommand(
      `Downloading ${program}`,
      process.execPath,
      [...runModule('cli/stack/sdk-download'), kind, version, empty],
      { limitMs: downloadLimitMs },
      say,
    );
    const files = await readdir(empty);
    const [file] = files;
    if (file === undefined || files.length > 1) throw new Error(`expected one file, found ${files.length === 0 ? 'none' : files.join(', ')}`);
    await rename(join(empty, file), join(empty, program));
    await chmod(join(empty, program), 0o755);
  },
});
