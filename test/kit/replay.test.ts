/** The replay gate: today's code takes every history that was recorded, command by command; and a change that it may not make is caught. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { sealingCodec } from '../../delivery/codec.ts';
import { fixedKeys } from '../../keys/ring.ts';
import { bundleWorkflows } from '../../worker/bundle.ts';
import { recorded, testKeys, type Recorded } from './histories.ts';

Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: 'ERROR' } } });
const root = resolve(import.meta.dirname, '../..');

/** Names of the histories that this code does not take, with why. */
async function refused(code: string, histories: readonly Recorded[]): Promise<Map<string, string>> {
  const options = { workflowBundle: { code }, dataConverter: { payloadCodecs: [sealingCodec(fixedKeys(testKeys))] } };
  const results = Worker.runReplayHistories(options, histories);
  const wrong = new Map<string, string>();
  const names = histories.map((h) => h.name);
  for await (const { error } of results) {
    const name = names.shift() ?? '';
    if (error) wrong.set(name, error.message);
  }
  return wrong;
}

let histories: Recorded[];
beforeAll(async () => {
  histories = await recorded();
});

describe('the replay gate', () => {
  test('holds histories of every process, and of every way the kit can go', () => {
    const kinds = new Set(
      histories.flatMap((h) => (h.history.events ?? []).flatMap((event) => Object.keys(event).filter((key) => key.endsWith('EventAttributes')))),
    );
    for (const kind of [
      'workflowExecutionSignaled',
      'markerRecorded',
      'timerFired',
      'timerCanceled',
      'activityTaskCompleted',
      'workflowExecutionCancelRequested',
      'workflowExecutionFailed',
      'workflowTaskFailed',
    ])
      expect(kinds).toContain(`${kind}EventAttributes`);
    for (const process of ['tiny.', 'errand.', 'return-exchange.']) expect(histories.filter((h) => h.name.startsWith(process)).length).toBeGreaterThan(0);
  });

  test('today’s code takes every recorded history', async () => {
    expect(await refused(await bundleWorkflows(new URL('../processes/index.ts', import.meta.url)), histories)).toEqual(new Map());
  }, 180_000);

  test('a change that a running case cannot take is caught', async () => {
    // Beside the original, so that its imports are the same.
    const changed = await mkdtemp(join(root, 'test', 'changed-'));
    try {
      await cp(join(root, 'test', 'processes'), changed, { recursive: true });
      const file = join(changed, 'tiny', 'case.ts');
      const before = await readFile(file, 'utf8');
      // Two steps of the canonical story change places.
      const after = before.replace(/( *const seen = .*\n)( *const counted = .*\n)/, '$2$1');
      expect(after).not.toBe(before);
      await writeFile(file, after);
      const wrong = await refused(await bundleWorkflows(pathToFileURL(join(changed, 'index.ts'))), histories);
      expect([...wrong.keys()].every((name) => name.startsWith('tiny.'))).toBe(true);
      expect([...wrong.values()].some((why) => /nondeterminism|TMPRL1100/i.test(why))).toBe(true);
    } finally {
      await rm(changed, { recursive: true, force: true });
    }
  }, 180_000);
});
