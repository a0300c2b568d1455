/** Makes the workflow bundle: ahead of time for an image, or at a worker's start. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

/** The code of every workflow of an index, ready to run in the sandbox. */
export async function bundleWorkflows(
  index: URL = new URL(import.meta.url.endsWith('.ts') ? '../workflows/index.ts' : '../workflows/index.js', import.meta.url),
): Promise<string> {
  const { code } = await bundleWorkflowCode({ workflowsPath: fileURLToPath(index), logger: new DefaultLogger('WARN') });
  return code;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const target = new URL('../workflow-bundle/', import.meta.url);
  mkdirSync(target, { recursive: true });
  const file = fileURLToPath(new URL('workflows.js', target));
  writeFileSync(file, await bundleWorkflows());
  process.stdout.write(`${file}\n`);
}
