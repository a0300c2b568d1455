import { describe, expect, test } from '@jest/globals';
import type { Finding } from '../../cli/demo/audit.ts';
import { charged, verdictLine } from '../../cli/faults/judge.ts';

const found = (kind: Finding['kind'], of: string): Finding => ({ kind, case: of, why: 'as it is' });
const run = { cases: 100, kills: 10, faults: 20 };

describe('the judge', () => {
  test('says that nothing was lost, doubled, stuck or wrong', () => {
    expect(verdictLine(run, [])).toBe('100 cases, 10 kills, 20 faults: 0 lost, 0 doubled, 0 stuck, 0 wrong');
  });

  test('charges more than was paid as a wrong amount, and a case once however much is wrong with it', () => {
    const findings = [found('abovePaid', 'a'), found('wrong', 'a'), found('wrong', 'b'), found('lost', 'a'), found('lost', 'a'), found('stuck', 'c')];
    expect(charged(findings)).toEqual({ lost: 1, doubled: 0, stuck: 1, wrong: 2 });
    expect(verdictLine(run, [...findings, found('doubled', 'd')])).toBe('100 cases, 10 kills, 20 faults: 1 lost, 1 doubled, 1 stuck, 2 wrong');
  });
});
