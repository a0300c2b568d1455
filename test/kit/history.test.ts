/** What a history holds: sealed payloads without words that people wrote, and an end to its length. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WorkflowFailedError } from '@temporalio/client';
import { randomBytes } from 'node:crypto';
import { sealingCodec } from '../../delivery/codec.ts';
import { connectTemporal } from '../../delivery/temporal.ts';
import { fixedKeys } from '../../keys/ring.ts';
import type { CaseId } from '../../values/ids.ts';
import { startKit, type Kit, type Surroundings } from './harness.ts';
import { encodingOf, payloadsIn, type Found } from './payloads.ts';
import { surroundings } from './surroundings.ts';
import { tinyCases } from './tiny.ts';

let kit: Kit;
let around: Surroundings;
beforeAll(async () => {
  around = await surroundings();
  kit = await startKit(around);
});
afterAll(() => kit.stop());

const { open, say } = tinyCases(() => kit);

const bytes = (found: readonly Found[]): string => found.map(({ payload }) => Buffer.from(payload.data ?? []).toString()).join('\n');

describe('payloads', () => {
  test('are sealed, all but what operators search by and what the worker notes for itself; free text is in none of them', async () => {
    const id = await open('canonical', { items: ['goods-in-the-input'] });
    await kit.opened(id, 'decide');
    await kit.decide(id, 'decide', { answer: 'yes', note: 'call Ms Li' });
    await kit.outcome(id);
    const found = payloadsIn(await kit.history(id));
    const unsealed = found.filter((f) => encodingOf(f) !== 'binary/kefu-sealed');
    // A marker's `data` are the number and the times of a local activity; its result is sealed.
    expect(unsealed.filter(({ at }) => !/searchAttributes|\/markerRecordedEventAttributes\/details\/data\//.test(at)).map(({ at }) => at)).toEqual([]);
    expect(found.length - unsealed.length).toBeGreaterThan(8);
    for (const word of ['goods-in-the-input', 'Ms Li']) expect(bytes(found)).not.toContain(word);

    const decoded = await sealingCodec(fixedKeys(around.codecKeys)).decode(found.map(({ payload }) => payload));
    const plain = bytes(decoded.map((payload) => ({ at: '', payload })));
    expect(plain).toContain('goods-in-the-input');
    expect(plain).toContain('"answer":"yes"');
    expect(plain).not.toContain('Ms Li');
  });

  test('that were sealed before a rotation are read with both keys, and not without the old one', async () => {
    const id = await open('grab');
    await kit.outcome(id);
    const newer = { id: '2', key: randomBytes(32) };
    const outcome = async (codecKeys: Surroundings['codecKeys']): Promise<unknown> => {
      const temporal = connectTemporal({ ...around.temporal, codecKeys: fixedKeys(codecKeys) });
      try {
        return await temporal.workflow.getHandle(id).result();
      } finally {
        await temporal.connection.close();
      }
    };
    expect(await outcome([newer, ...around.codecKeys])).toEqual({ result: 'done', log: ['x'] });
    await expect(outcome([newer])).rejects.toThrow('which this process does not have');
  });
});

describe('a history that grows past its limit', () => {
  const overlong = async (): Promise<CaseId> => {
    const id = await open('grabAndRounds', {}, { historyLimit: 12 });
    await kit.opened(id, 'round-1/decide');
    await kit.decide(id, 'round-1/decide', { answer: 'yes' });
    await say(id, 'one');
    await kit.opened(id, 'round-2/decide!overlong');
    return id;
  };
  const look = (of: CaseId, form: object) => kit.decide(of, 'round-2/decide!overlong', form, 'lin', 'supervisor');

  test('is looked at by a person, who lets the case go on', async () => {
    const id = await overlong();
    await look(id, { action: 'retry' });
    await kit.opened(id, 'round-2/decide');
    await kit.decide(id, 'round-2/decide', { answer: 'yes' });
    await say(id, 'two');
    expect(await kit.outcome(id)).toEqual({ result: 'done', log: ['one', 'two'] });
  });

  test('or gives it up: what it did is taken back', async () => {
    const id = await overlong();
    await look(id, { action: 'giveUp' });
    await expect(kit.outcome(id)).rejects.toThrow(WorkflowFailedError);
    expect(await kit.row(id)).toMatchObject({ status: 'failed' });
    expect(await kit.executions(id)).toEqual({ grab: 1, 'grab!undo': 1 });
  });
});
