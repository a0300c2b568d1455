/**
 * Recorded histories: what the replay gate holds. `npm run histories` runs the tests of the kit and of the processes with recording on, and keeps one history of every shape that
 * their cases took: branches, windows, withdrawals, resets, repairs. They are sealed under a key that is no secret, as real ones are under theirs.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import { historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import proto from '@temporalio/proto';
import type { KeyRing } from '../../keys/ring.ts';
import { contentHash } from '../../values/hash.ts';

export const recording = process.env['RECORD_HISTORIES'] === '1';
export const testKeys: KeyRing = [{ id: 'test', key: Buffer.alloc(32, 'histories of tests, no secret') }];
const folder = new URL('../histories/', import.meta.url);

const { WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW: reset } = proto.temporal.api.enums.v1.WorkflowTaskFailedCause;
type History = ReturnType<typeof historyFromJSON>;

/** What the kit commanded, in order: two histories of the same shape hold the same. */
function shapeOf(process: string, history: History): string {
  const kinds = (history.events ?? []).map((event) => {
    const [kind = ''] = Object.keys(event).filter((key) => key.endsWith('EventAttributes'));
    const activity = event.activityTaskScheduledEventAttributes?.activityType?.name ?? '';
    return `${kind}${activity}`;
  });
  return contentHash([process, kinds]).slice(0, 12);
}

/** Without what says where it was recorded: paths in stack traces, names of machines. A replay needs neither. */
function anywhere(json: string): string {
  const strip = (key: string, value: unknown): unknown => (key === 'stackTrace' || key === 'identity' || key === 'binaryChecksum' ? undefined : value);
  return JSON.stringify(JSON.parse(json, strip), null, 1);
}

/** Code that threw: the story of a mended fault, which today's code does not tell. A reset leaves a failed task too, under its own cause. */
const isFault = ({ workflowTaskFailedEventAttributes: failed }: NonNullable<History['events']>[number]): boolean =>
  failed?.cause !== undefined && failed.cause !== reset;

/** Keeps the history of each case that has ended, unless one of its shape is kept already. */
export async function record(temporal: Client, cases: readonly { readonly id: string; readonly process: string }[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  const kept = new Set(await readdir(folder));
  for (const { id, process } of cases) {
    try {
      const history = await temporal.workflow.getHandle(id).fetchHistory();
      if ((history.events ?? []).some(isFault)) continue;
      const name = `${process}.${shapeOf(process, history)}.json`;
      if (kept.has(name)) continue;
      kept.add(name);
      await writeFile(new URL(name, folder), `${anywhere(historyToJSON(history))}\n`);
    } catch (error) {
      // A case whose workflow was never started has none.
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }
}

export interface Recorded {
  readonly name: string;
  readonly workflowId: string;
  readonly history: History;
}

export async function recorded(): Promise<Recorded[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.json')).toSorted();
  return Promise.all(
    names.map(async (name) => {
      const history = historyFromJSON(JSON.parse(await readFile(new URL(name, folder), 'utf8')));
      return { name, workflowId: history.events?.[0]?.workflowExecutionStartedEventAttributes?.workflowId ?? name, history };
    }),
  );
}
