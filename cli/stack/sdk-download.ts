/**
 * The SDK's own download of a server, in a process of its own: it can only be had by starting that server, and it loads the SDK's native part.
 * Arguments: `temporal` or `test-server`, the version, the folder to download into. Exits with 1 and the reason where the network does not allow it.
 */
import { TestWorkflowEnvironment } from '@temporalio/testing';

const [kind, version, downloadDir] = process.argv.slice(2);
if (version === undefined || downloadDir === undefined) throw new Error('usage: sdk-download.ts temporal|test-server <version> <folder>');
const server = { executable: { type: 'cached-download', version, downloadDir } } as const;
try {
  const environment = await (kind === 'test-server' ? TestWorkflowEnvironment.createTimeSkipping({ server }) : TestWorkflowEnvironment.createLocal({ server }));
  await environment.teardown();
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
