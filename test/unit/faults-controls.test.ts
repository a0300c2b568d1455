import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Finding } from '../../cli/demo/audit.ts';
import { broken, controls, innocent, judged, runControls } from '../../cli/faults/controls.ts';
import { kinds } from '../../cli/faults/plan.ts';
import type { FaultOptions, Outcome } from '../../cli/faults/run.ts';

const root = resolve(import.meta.dirname, '../..');
const proofs: Readonly<Record<string, Finding>> = {
  key: { kind: 'doubled', case: 'c', why: 'finance did the same goodwill 2 times, under a, b' },
  dedupe: { kind: 'doubled', case: 'c', why: '2 inbox rows are the same event x' },
  sweeps: { kind: 'stuck', case: 'c', why: 'inbox row 7 (decision review of task) was never brought to it' },
  undo: { kind: 'wrong', case: 'c', why: 'it took back tally before label, which it had done later' },
};
const outcome = (findings: readonly Finding[]): Outcome => ({ findings, lines: [], ok: findings.length === 0, kills: 0, faults: 0 });

describe('negative controls', () => {
  test('break code that is there exactly once', () => {
    expect(controls.map(({ name }) => name)).toEqual(['key', 'dedupe', 'sweeps', 'undo']);
    for (const { breaks } of controls) {
      expect(breaks.length).toBeGreaterThan(0);
      for (const one of breaks) {
        const source = readFileSync(join(root, one.file), 'utf8');
        const changed = broken(source, one);
        expect(changed).not.toBe(source);
        expect(changed).not.toContain(one.text);
      }
    }
  });

  test('say that they have to be mended when the code that they break has changed', () => {
    const one = { file: 'a.ts', text: 'b', by: 'c' };
    expect(broken('abd', one)).toBe('acd');
    expect(() => broken('ad', one)).toThrow('a.ts: the code that this control breaks has changed: mend cli/faults/controls.ts');
    expect(() => broken('abbd', one)).toThrow('has changed');
  });

  test('are provoked by faults that there are', () => {
    for (const { faults } of [...controls, innocent]) {
      expect(faults.length).toBeGreaterThan(0);
      for (const { kind, target } of faults) expect(kinds[kind].targets).toContain(target);
    }
  });

  test.each(controls.map(({ name }) => name))('%s: only what it is about is a conviction', (name) => {
    const control = controls.find((one) => one.name === name) ?? controls[0];
    const proof = proofs[name];
    if (control === undefined || proof === undefined) throw new Error(`nobody knows ${name}`);
    expect(judged(control, [proof])).toMatchObject({ held: true, says: expect.stringMatching(/^convicted: .*: c: /) });
    expect(judged(control, [])).toMatchObject({ held: false, says: expect.stringMatching(/^NOT convicted/) });
    const others = Object.entries(proofs).flatMap(([of, finding]) => (of === name ? [] : [finding]));
    expect(judged(control, others).held).toBe(false);
    expect(judged(control, [{ ...proof, kind: 'lost' }]).held).toBe(false);
    expect(judged(innocent, [])).toMatchObject({ held: true });
    expect(judged(innocent, [proof])).toMatchObject({ held: false, says: expect.stringContaining('CONVICTED') });
  });
});

describe('a run of the controls', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kefu-controls-'));
    said.length = 0;
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const options = () => ({ cases: 3, seed: 1, folder });
  const said: string[] = [];
  const context = { say: (line: string) => void said.push(line), signal: new AbortController().signal };

  test('breaks a copy of the checkout, and takes it away again; the innocent is the checkout itself', async () => {
    const roots: string[] = [];
    const { lines, ok } = await runControls(options(), context, (of: FaultOptions) => {
      const name = of.folder.split('/').at(-1) ?? '';
      const control = controls.find((one) => one.name === name);
      expect(of.plan).toEqual((control ?? innocent).faults);
      if (control === undefined) {
        expect(of.root).toBe(root);
        return Promise.resolve(outcome([]));
      }
      const at = of.root ?? '';
      roots.push(at);
      expect(at).not.toBe(root);
      expect(existsSync(join(at, 'node_modules/zod/package.json'))).toBe(true);
      for (const one of control.breaks) {
        expect(readFileSync(join(at, one.file), 'utf8')).not.toContain(one.text);
        expect(readFileSync(join(root, one.file), 'utf8')).toContain(one.text);
      }
      // All else is as it is.
      expect(readFileSync(join(at, 'cli/start.ts'), 'utf8')).toBe(readFileSync(join(root, 'cli/start.ts'), 'utf8'));
      return Promise.resolve(outcome([proofs[name] ?? { kind: 'lost', case: 'c', why: '' }]));
    });
    expect(lines.at(-1)).toBe('4 controls: 4 convicted, the innocent not convicted');
    expect(ok).toBe(true);
    // What each is and what became of it, as it goes.
    expect(said).toHaveLength(10);
    expect(said[1]).toMatch(/^key +convicted: /);
    expect(readFileSync(join(folder, 'key/report.txt'), 'utf8')).toBe('\n');
    expect(roots).toHaveLength(4);
    for (const at of roots) expect(existsSync(at)).toBe(false);
  }, 60_000);

  test('fails when one is not convicted, or the innocent is', async () => {
    const blind = await runControls({ ...options(), only: ['undo'] }, context, () => Promise.resolve(outcome([])));
    expect(blind).toMatchObject({ ok: false });
    expect(blind.lines.at(-1)).toBe('1 controls: 0 convicted');
    const unjust = await runControls({ ...options(), only: ['innocent'] }, context, () => Promise.resolve(outcome([{ kind: 'lost', case: 'c', why: 'x' }])));
    expect(unjust).toMatchObject({ ok: false });
    expect(unjust.lines.at(-1)).toBe('0 controls: 0 convicted, the innocent CONVICTED');
    await expect(runControls({ ...options(), only: ['luck'] }, context)).rejects.toThrow(
      'There is no control luck; there are key, dedupe, sweeps, undo, innocent.',
    );
  }, 60_000);
});
