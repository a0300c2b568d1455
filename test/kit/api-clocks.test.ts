/** Clocks as people see them over HTTP: what is shown is what the log says now, and the explanation adds up to it. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { CaseId } from '../../values/ids.ts';
import { caseUrl, startApi, type ApiKit } from './api-harness.ts';

let kit: ApiKit;
beforeAll(async () => {
  kit = await startApi();
  await kit.pool.query(`update people set name = '王芳' where id = 'wang'`);
});
afterAll(() => kit.stop());

interface Clock {
  readonly clock: string;
  readonly status: string;
  readonly deadline: string | null;
  readonly endedAt: string | null;
  readonly provisional: boolean;
  readonly remainingMs: number | null;
  readonly text: string;
  readonly explanation: string[];
  readonly notices: readonly { at: string | null; percent?: number; to?: string; given: boolean }[];
}
type Command = readonly [at: string, command: object];
/** A clock with this log; its row says nothing, as it does between a deadline and the job that is due then. */
async function clock(of: CaseId, name: string, policyClock: string, ...commands: readonly Command[]): Promise<void> {
  await kit.pool.query(`insert into clocks (case_id, clock, name, policy_clock, status, state) values ($1, $2, $2, $3, 'running', '{}')`, [
    of,
    name,
    policyClock,
  ]);
  for (const [n, [at, command]] of commands.entries())
    await kit.pool.query('insert into clock_log (case_id, clock, seq, command, at) values ($1, $2, $3, $4, $5)', [
      of,
      name,
      n + 1,
      JSON.stringify(command),
      at,
    ]);
}
const start = { kind: 'start' };
const view = async (of: CaseId, language: string): Promise<Clock[]> =>
  ((await kit.as('li').get(caseUrl(of, `?language=${language}`))).body as { clocks: Clock[] }).clocks;

describe('a clock (CL11)', () => {
  test('is broken the moment its deadline has passed, whether or not anybody was told yet', async () => {
    const of = await kit.openCase();
    await clock(of, 'handle', 'T10', ['2026-03-02T02:00:00Z', start]);
    const [shown] = await view(of, 'en');
    expect(shown).toMatchObject({ status: 'broken', deadline: '2026-03-03T02:00:00.000Z', endedAt: null, remainingMs: 0, provisional: false });
    expect(shown?.text).toBe('Refund request decided: broken, was due March 3, 2026 at 10:00 AM');
    expect(shown?.explanation).toEqual([
      '24h from 2026-03-02 10:00:00, counted in around the clock',
      '2026-03-02 to 2026-03-03 (every day counts): 2 days counted, 24h',
      'due 2026-03-03 10:00:00',
    ]);
    expect(shown?.notices.map(({ percent, to }) => percent ?? to)).toEqual([50, 75, 'agent', 'supervisor', 'manager']);
  });

  test('tells pauses, an agreed later date and who agreed on it, in words', async () => {
    const of = await kit.openCase();
    await clock(
      of,
      'handle',
      'T10',
      ['2026-03-02T02:00:00Z', start],
      ['2026-03-02T12:00:00Z', { kind: 'pause', why: 'changedMind' }],
      ['2026-03-03T12:00:00Z', { kind: 'resume', why: 'changedMind' }],
      ['2026-03-03T13:00:00Z', { kind: 'extend', to: '2026-03-05T02:00:00.000Z', by: 'wang', why: 'changedMind' }],
      ['2026-03-05T02:00:00Z', { kind: 'stop' }],
    );
    const [shown] = await view(of, 'zh');
    expect(shown).toMatchObject({ status: 'met', deadline: '2026-03-05T02:00:00.000Z', text: '退款申请处理：按时完成' });
    expect(shown?.explanation).toEqual([
      '自 2026-03-02 10:00:00 起算 24 小时，按全天候计',
      '2026-03-02 10:00:00 至 2026-03-02 20:00:00 计时 10 小时',
      '2026-03-02 20:00:00 至 2026-03-03 20:00:00 暂停（客户改变主意），剩余 14 小时',
      '2026-03-03 21:00:00 由 王芳 延期至 2026-03-05 10:00:00（客户改变主意）',
      expect.stringMatching(/^2026-03-03 至 2026-03-05（每天计）计入 3 天，38 小时$/),
      '截止 2026-03-05 10:00:00',
    ]);
  });

  test('names the days that it skips, and says when a year’s notice is not published yet', async () => {
    const of = await kit.openCase();
    await clock(of, 'arrival', 'T11', ['2026-02-13T02:00:00Z', start]);
    await clock(of, 'later', 'T11', ['2026-12-30T02:00:00Z', start]);
    const [festival, nextYear] = await view(of, 'zh');
    expect(festival?.explanation.join('\n')).toMatch(/春节放假）不计/);
    expect(festival?.explanation.at(-1)).toBe(`截止 ${String(festival?.deadline).slice(0, 10)} 23:59:59`);
    expect(nextYear).toMatchObject({ status: 'running', provisional: true });
    expect(nextYear?.text).toMatch(/^退款到账：进行中，截止 2027年1月\d+日 23:59（暂定）$/);
    expect(nextYear?.explanation).toEqual(expect.arrayContaining([expect.stringContaining('2027 年放假通知尚未公布'), expect.stringMatching(/（暂定）$/)]));
  });
});
