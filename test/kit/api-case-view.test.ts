/** What agents and supervisors see of a case over HTTP: a whole return, told by its own page. The examples of docs/case-view.md are held to it. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { putPerson } from '../../db/people.ts';
import type { CaseId, PersonId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import type { Role } from '../../values/role.ts';
import type { Money } from '../../values/money.ts';
import { moneyText } from '../../workflows/texts.ts';
import { caseUrl, startApi, taskUrl, type ApiKit } from './api-harness.ts';
import type { Kit } from './harness.ts';
import { returnsOf, startReturns } from './returns.ts';
import { surroundings } from './surroundings.ts';

let kit: Kit;
let api: ApiKit;
let r: ReturnType<typeof returnsOf>;
beforeAll(async () => {
  kit = await startReturns(await surroundings());
  api = await startApi({ on: kit });
  r = returnsOf(kit, () => Promise.resolve(Date.now()));
  const people: readonly (readonly [id: string, name: string, role: Role])[] = [
    ['liting', '李婷', 'agent'],
    ['chenjing', '陈静', 'supervisor'],
    ['zhaoming', '赵明', 'quality'],
    ['sunli', '孙丽', 'finance'],
  ];
  for (const [id, name, role] of people) {
    await api.token(id, role);
    await putPerson(kit.pool, { id: id as PersonId, name, roles: [role], shops: ['*'], active: true, absentUntil: null });
  }
});
afterAll(async () => {
  await api.stop();
  await kit.stop();
});

interface View {
  readonly text: string;
  readonly status: string;
  readonly clocks: readonly { name: string; status: string; deadline: string | null; provisional: boolean; text: string; explanation: string[] }[];
  readonly money: {
    readonly payments: readonly {
      payment: string;
      method: string;
      paid: object;
      approved: { amount: object }[];
      refunds: { state: string; route: string; text: string; history: { state: string }[] }[];
    }[];
    readonly charges: readonly object[];
    readonly payouts: readonly object[];
    readonly sums: readonly { of: string; state: string; amount: object; text: string }[];
  };
  readonly diagram: {
    readonly nodes: readonly { id: string; state: string; title: string }[];
    readonly edges: readonly { from: string; to: string; taken: boolean }[];
  };
}
const cny = (minor: number) => ({ minor, currency: 'CNY' });
const viewOf = async (of: CaseId, language = 'zh'): Promise<View> => (await api.as('chenjing').get(caseUrl(of, `?language=${language}`))).body as View;
const timelineOf = async (of: CaseId, language = 'zh'): Promise<string[]> => {
  const { body } = (await api.as('chenjing').get(caseUrl(of, `/timeline?limit=200&language=${language}`))) as { body: { items: { text: string }[] } };
  return body.items.map(({ text }) => text);
};
const states = (view: View) => Object.fromEntries(view.diagram.nodes.map(({ id, state }) => [id, state]));
const decide = async (of: CaseId, path: string, by: string, form: object): Promise<void> => {
  await kit.opened(of, path);
  const answer = await api.as(by).post(taskUrl(`${of}:${path}`, '/complete'), { form });
  if (answer.status !== 200) throw new Error(`${path}: ${answer.text}`);
};
const report = async (source: string, type: string, data: object): Promise<void> => {
  const answer = await api.webhook(source, { type, timestamp: new Date().toISOString(), data });
  if (answer.status !== 202) throw new Error(`${type}: ${answer.text}`);
};
const post = async (system: string, act: string, body: object): Promise<unknown> => {
  const answer = await fetch(`${kit.engine.target(system).baseUrl}/acts/${act}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return answer.json();
};

/** The payment system reports on a refund of the case, as its webhook does. */
async function refundIs(of: CaseId, path: string, state: 'accepted' | 'arrived' | 'failed', amount: object): Promise<void> {
  const refundId = String((await r.answerOf(of, path))['refundId']);
  await kit.until(
    `the case expects ${refundId}`,
    () => kit.rows('select 1 from correlations where key = $1', refundId),
    (rows) => rows.length === 1,
  );
  if (state !== 'accepted') await post('finance', state === 'arrived' ? 'settle' : 'fail', { refundId });
  const [, paymentId = ''] = path.split('/');
  await report('finance', 'refundState', { refundId, key: `${of}/${path}`, orderId: 'W', paymentId, amount, state, at: instant(Date.now()) });
}

const amountText = (amount: object): string => moneyText(amount as Money, 'zh-CN');

/** Ids and moments differ from run to run: what is compared is what people read around them. */
const plain = (line: string): string =>
  line
    .replaceAll(/\d{4}年\d+月\d+日 \d\d:\d\d|[A-Z][a-z]+ \d+, \d{4} at \d+:\d\d\s?[AP]M/g, '<time>')
    .replaceAll(/\b[a-z]{1,3}_[0-9a-f]{8,}(?:-\d+)?\b|\b[A-Z]{2,}\d{6,}\b|\bW\d+\b/g, '<id>');
/** The lines of a block of docs/case-view.md, by the heading above it. */
function documented(heading: string): string[] {
  const text = readFileSync(new URL('../../docs/case-view.md', import.meta.url), 'utf8');
  const after = text.slice(text.indexOf(`\n## ${heading}\n`));
  return (/```text\n([^`]*)```/.exec(after)?.[1] ?? '').split('\n').filter((line) => line !== '');
}

describe('the view of a return', () => {
  test('tells it as people speak, from the request to the money, in both languages', async () => {
    const orderId = await r.buy({
      lines: [['pot', 1, 88_000]],
      payments: [
        ['card', 60_000],
        ['wallet', 28_000],
      ],
    });
    const id = await r.ask(orderId, { evidence: [] });

    await decide(id, 'review-1/review', 'liting', { decision: 'moreEvidence', what: ['photo'], note: '请补拍杯底' });
    await kit.until(
      'it waits for evidence',
      () => viewOf(id),
      ({ clocks }) => clocks.some(({ status }) => status === 'paused'),
    );
    const waiting = await viewOf(id);
    expect(waiting.clocks).toEqual([
      expect.objectContaining({
        name: 'handle',
        status: 'paused',
        deadline: null,
        text: expect.stringMatching(/^退款申请处理：已暂停（等待客户补充凭证），剩余 23 小时/),
      }),
    ]);
    expect(states(waiting)).toMatchObject({ start: 'done', 'stage:review': 'current', 'task:review': 'done', 'stage:parcel': 'ahead', end: 'ahead' });
    await api.as('liting').post(caseUrl(id, '/events/evidenceAdded'), { eventId: 'e1', payload: { files: ['photo-1'] } });
    await kit.opened(id, 'review-2/review');
    expect((await viewOf(id)).text).toBe('办理中，处于“审核”阶段；等待客服：审核退换货申请');
    await decide(id, 'review-2/review', 'liting', { decision: 'approve', reason: 'quality', remedy: 'refund' });

    const trackingNo = String((await r.answerOf(id, 'label-1/label'))['trackingNo']);
    await r.expected(trackingNo);
    await r.isTold(id, 'sendGoods');
    const { receiptId, unitIds } = (await post('warehouse', 'receive', { trackingNo, units: [{ sku: 'pot-1' }] })) as { receiptId: string; unitIds: string[] };
    const units = unitIds.map((unitId) => ({ unitId, sku: 'pot-1' }));
    await report('warehouse', 'parcelReceived', { receiptId, trackingNo, receivedAt: instant(Date.now()), units });
    await decide(id, 'inspect', 'zhaoming', {
      units: units.map(({ unitId }) => ({ unitId, verdict: 'accept', disposition: 'refurbish', cause: 'manufacturing' })),
    });
    await kit.opened(id, 'approveRefund');
    expect(states(await viewOf(id))).toMatchObject({ 'stage:inspection': 'current', 'task:approveRefund': 'current', 'task:ruleUnit': 'ahead', end: 'ahead' });
    await decide(id, 'approveRefund', 'chenjing', { decision: 'approve', note: '属质量问题' });

    const [card, wallet, transfer] = ['money/p1/route-1/refund', 'money/p2/route-1/refund', 'money/p2/route-2/refund'];
    await refundIs(id, card, 'accepted', cny(60_000));
    await refundIs(id, wallet, 'failed', cny(28_000));
    await decide(id, 'money/p2/route-1/otherRoute', 'sunli', { via: 'transfer' });
    await r.answerOf(id, transfer);
    const halfway = await viewOf(id);
    expect(halfway.money.sums.map(({ text }) => text).toSorted()).toEqual(
      ['退款，已受理：¥600.00', '退款，已提交：¥280.00', '退款，未成功：¥280.00', '已批准：¥880.00'].toSorted(),
    );
    await refundIs(id, card, 'arrived', cny(60_000));
    await refundIs(id, transfer, 'arrived', cny(28_000));
    expect(await kit.outcome(id)).toEqual({ result: 'refunded', amount: cny(88_000) });
    await kit.pool.query(`update messages set status = 'sent', sent_at = now() where case_id = $1`, [id]);
    // Steps that run side by side may change places: what is said is compared, and the order of what follows from each other.
    for (const [language, heading] of [
      ['zh', '中文'],
      ['en', 'English'],
    ] as const) {
      const told = await timelineOf(id, language);
      expect(told.map(plain).toSorted()).toEqual(documented(heading).map(plain).toSorted());
      for (const line of told) expect(/\p{Script=Han}/u.test(line.replaceAll(/李婷|陈静|赵明|孙丽|顺丰/g, ''))).toBe(language === 'zh');
    }
    const story = (await timelineOf(id)).map(plain);
    const places = [
      '李婷（客服）审核退换货申请：批准',
      '仓库收到包裹',
      '赵明（质检）',
      '陈静（客服主管）',
      '从这里起不能再撤回',
      '已提交退款',
      '孙丽（财务）',
      '案件结束',
    ].map((begins) => story.findIndex((line) => line.startsWith(begins)));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(places).not.toContain(-1);

    const ended = await viewOf(id);
    const money = ended.money.payments.flatMap(({ payment, method, paid, refunds }) =>
      refunds.map(({ text }) => `${payment} ${method} ${amountText(paid)}: ${text}`),
    );
    expect(money.map(plain)).toEqual(documented('Money, by payment').map(plain));
    expect(ended.money.payments.map(({ refunds }) => refunds.map(({ history }) => history.map(({ state }) => state)))).toEqual([
      [['submitted', 'accepted', 'arrived']],
      [
        ['submitted', 'failed'],
        ['submitted', 'arrived'],
      ],
    ]);
    expect(ended.money.sums).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ of: 'approved', amount: cny(88_000) }),
        expect.objectContaining({ of: 'refund', state: 'arrived', amount: cny(88_000) }),
        expect.objectContaining({ of: 'refund', state: 'failed', amount: cny(28_000) }),
      ]),
    );
    expect(ended.text).toBe('案件结束：已退款 ¥880.00');
    expect(states(ended)).toEqual({
      start: 'done',
      'stage:review': 'done',
      'task:review': 'done',
      'stage:parcel': 'done',
      'task:parcelTrouble': 'notTaken',
      'stage:inspection': 'done',
      'task:receiptProblem': 'notTaken',
      'task:inspect': 'done',
      'task:ruleUnit': 'notTaken',
      'task:choose': 'notTaken',
      'stage:settlement': 'done',
      'task:approveRefund': 'done',
      'task:otherRoute': 'done',
      end: 'done',
    });
    expect(ended.diagram.nodes.at(-1)?.title).toBe('已退款 ¥880.00');
    expect(ended.diagram.edges.every(({ taken }) => taken)).toBe(true);
  });

  test('that ends in its first stage shows what it never came to, and the way it took instead', async () => {
    const id = await r.ask(await r.buy(), {});
    await decide(id, 'review-1/review', 'liting', { decision: 'reject', reason: 'abuse' });
    expect(await kit.outcome(id)).toEqual({ result: 'rejected', reason: 'abuse' });
    const view = await viewOf(id, 'en');
    expect(view.text).toBe('The case ended: not granted: against the after-sales rules');
    expect(states(view)).toMatchObject({ 'stage:review': 'done', 'stage:parcel': 'notTaken', 'task:inspect': 'notTaken', end: 'done' });
    expect(view.diagram.edges).toEqual(
      expect.arrayContaining([
        { from: 'stage:review', to: 'stage:parcel', taken: false },
        { from: 'stage:review', to: 'end', taken: true },
      ]),
    );
    expect(view.money).toEqual({ payments: [], charges: [], payouts: [], sums: [] });
  });
});

test('a process shows the same diagram without a case, in the language of the reader', async () => {
  const { body } = (await api.as('liting').get('/v1/processes/return-exchange?language=zh')) as { body: { diagram: View['diagram']; mermaid: string } };
  expect(body.diagram.nodes.slice(0, 3)).toEqual([
    { id: 'start', kind: 'start', title: '退换货' },
    { id: 'stage:review', kind: 'stage', title: '审核' },
    { id: 'task:review', kind: 'task', title: '审核退换货申请', within: 'stage:review' },
  ]);
  const id = await r.ask(await r.buy(), {});
  const view = await viewOf(id);
  expect(view.diagram.nodes.map((node) => node.id)).toEqual(body.diagram.nodes.map((node) => node.id));
  expect(body.mermaid).toContain('stage_review --> stage_parcel');
});
