/** A checkout as it is deployed: built, without TypeScript. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Builds a checkout into a folder, as `npm run build -- --out FOLDER` does there. Throws with what the compiler said. */
export async function buildRelease(checkout: string, folder: string): Promise<void> {
  await promisify(execFile)(process.execPath, ['--import', 'tsx', join(checkout, 'deploy/build.ts'), '--out', folder], { cwd: checkout }).catch(
    (error: unknown) => {
      const said = error instanceof Error && 'stdout' in error ? String(error.stdout).trim() : '';
      throw new Error(`${checkout} cannot be built.\n${said}`, { cause: error });
    },
  );
}
