/** Every fact of a case has a sentence that a layman reads, in both languages, whatever the process. */
import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { readerOf, sentence, wordOf, type Reader } from '../../api/sentences.ts';
import type { TimelineFact, TimelineKind } from '../../db/timeline.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { OperationContract, SystemContract } from '../../systems/contract.ts';
import { callable } from '../../systems/index.ts';
import { languages, type Language } from '../../values/text.ts';
import { loadProcesses, type RegisteredProcess } from '../../workflows/registry.ts';
import { placesOf, textsOf, wantingTexts } from '../../workflows/texts.ts';

const processes = await loadProcesses();
const { policy } = loadPolicy(new URL('../../policies/default.yaml', import.meta.url).pathname);
const systems: Readonly<Record<string, SystemContract>> = callable;
const names = new Map([
  ['wang', '王经理'],
  ['li', '李雷'],
]);
const readerIn = (language: Language, process = 'return-exchange', input?: unknown): Reader =>
  readerOf({ process, shop: 'main', input }, { processes, systems }, language, { names, policy });
const zh = readerIn('zh', 'return-exchange', { wish: 'refund', reason: 'quality', lines: [{ line: 1 }] });
const en = readerIn('en', 'return-exchange', { wish: 'refund', reason: 'quality', lines: [{ line: 1 }] });

const cny = (minor: number) => ({ minor, currency: 'CNY' });
const at = '2026-11-24T02:00:00.000Z';
const row = (kind: TimelineKind, data: Record<string, unknown>, more: Partial<TimelineFact> = {}): TimelineFact => ({
  id: 1,
  key: 'k',
  kind,
  data,
  at: new Date(at),
  effect: null,
  output: null,
  arrival: null,
  task: null,
  message: null,
  ...more,
});
const review = { name: 'review', role: 'agent', amount: null, context: null };
const approval = { name: 'approveRefund', role: 'manager', amount: cny(12_800), context: null };
const context = { system: 'finance', operation: 'refund', failure: 'SystemUnavailable', args: { paymentId: 'p1', amount: cny(12_800) } };
const repair = { name: 'repair', role: 'supervisor', amount: null, context };
const refunded = { args: { orderId: 'W1', paymentId: 'p1', amount: cny(12_800), via: 'original' }, ok: true, answer: { refundId: 'rf_1', state: 'submitted' } };
const refund = { system: 'finance', operation: 'refund', path: 'p1/refund' };
const receipt = { receiptId: 'rc_1', trackingNo: 'SF100', receivedAt: at, units: [{ unitId: 'u1' }, { unitId: 'u2' }] };

/** Each row with what people read. */
const said: readonly (readonly [row: TimelineFact, zh: string, en: string])[] = [
  [
    row('opened', { by: 'li' }),
    '李雷开立了案件：退换货，申请退款，原因：质量问题，1 个商品行',
    '李雷 opened the case: Return or exchange, refund, reason: quality problem, 1 order line(s)',
  ],
  [row('stage', { stage: 'inspection' }), '进入“质检”阶段', 'Stage: inspection'],
  [row('noReturn', {}), '从这里起不能再撤回', 'From here it can no longer be withdrawn'],
  [
    row('effect', refund, { effect: refunded }),
    '已提交退款 ¥128.00（付款 p1，原路退回）',
    'A refund of CN¥128.00 was submitted (payment p1, the way it was paid)',
  ],
  [
    row('effect', { ...refund, error: 'abovePayment' }, { effect: { ...refunded, ok: false, answer: 'abovePayment' } }),
    '“退款 ¥128.00”没有办成：超过该笔付款的可退金额',
    '"Refund CN¥128.00" was refused: more than what is left of the payment',
  ],
  [
    row('effect', { ...refund, path: 'p1/refund#2' }, { effect: refunded }),
    '已提交退款 ¥128.00（付款 p1，原路退回）（再次执行）',
    'A refund of CN¥128.00 was submitted (payment p1, the way it was paid) (once more)',
  ],
  [
    row('effect', { ...refund, enteredBy: 'wang' }, { effect: refunded }),
    '已提交退款 ¥128.00（付款 p1，原路退回）（由王经理录入）',
    'A refund of CN¥128.00 was submitted (payment p1, the way it was paid) (entered by 王经理)',
  ],
  [
    row('undone', { system: 'logistics', operation: 'cancelLabel', path: 'label!undo' }, { effect: { args: { of: 'x' }, ok: true, answer: { was: 'spent' } } }),
    '作废寄回运单：已被使用，没有可撤回的',
    'Cancel the return label: used already, nothing was left to take back',
  ],
  [
    row('enteredTooLate', { ...refund, by: 'wang' }),
    '王经理录入的“退款”结果没有采用：对方的答复已先到',
    'What 王经理 entered for "Refund" was not used: the system\'s own answer had come first',
  ],
  [
    row('redoFailed', { ...refund, path: 'p1/refund#2', failure: 'SystemRefused' }),
    '再次执行“退款”没有办成：对方系统拒绝了请求，重试也不会改变',
    'Doing "Refund" once more failed: the system refuses the request, and would refuse it again',
  ],
  [
    row('decision', { rule: 'settlement', step: 'settlement', reasons: ['shareOfPaid', 'labelDeducted'] }, { output: { refund: cny(12_800) } }),
    '核算退款：¥128.00。理由：按实付金额分摊；已扣除寄回运费',
    'The refund was worked out: CN¥128.00. Reasons: the share of what was paid; the freight of our label was taken off',
  ],
  [row('taskOpened', { task: 'review', name: 'review' }, { task: review }), '等待客服：审核退换货申请', 'Waits for the agent: Review the request'],
  [
    row('taskOpened', { task: 'p1/refund!repair-1', name: 'repair' }, { task: repair }),
    '等待修复：修复“退款 ¥128.00”，因为对方系统一直没有回应',
    'Waits for repair: repair "Refund CN¥128.00", because the system does not answer',
  ],
  [
    row('taskOpened', { task: 'p1/refund#2!redo', name: 'redo', by: 'li' }, { task: { ...repair, name: 'redo' } }),
    '李雷申请，等待另一人决定：审批再次执行“退款 ¥128.00”',
    '李雷 asks, and another person decides: approve doing "Refund CN¥128.00" once more',
  ],
  [row('taskClaimed', { task: 'review', by: 'li' }, { task: review }), '李雷领取了任务：审核退换货申请', '李雷 claimed the task: Review the request'],
  [row('taskReleased', { task: 'review', by: 'li' }, { task: review }), '李雷退回了任务：审核退换货申请', '李雷 gave the task back: Review the request'],
  [
    row('taskDelegated', { task: 'review', by: 'li', to: 'wang' }, { task: review }),
    '李雷把任务交给王经理：审核退换货申请',
    '李雷 handed the task to 王经理: Review the request',
  ],
  [
    row('taskReassigned', { task: 'review', by: 'li', to: null }, { task: review }),
    '李雷把任务放回列表：审核退换货申请',
    '李雷 put the task back on the list: Review the request',
  ],
  [
    row('taskReassigned', { task: 'review', by: 'li', to: 'wang' }, { task: review }),
    '李雷把任务指派给王经理：审核退换货申请',
    '李雷 gave the task to 王经理: Review the request',
  ],
  [
    row('taskEscalated', { task: 'review', to: 'supervisor', clock: 'handle' }, { task: review }),
    '任务升级给客服主管，因为时限“退款申请处理”已超时：审核退换货申请',
    'The task climbs to the supervisor, because clock "Refund request decided" broke its deadline: Review the request',
  ],
  [
    row('taskDecided', { task: 'approveRefund', name: 'approveRefund', by: 'wang', role: 'manager', form: { decision: 'approve' } }, { task: approval }),
    '王经理（客服经理）审批退款 ¥128.00：批准',
    '王经理 (manager), Approve a refund above the limit CN¥128.00: approved',
  ],
  [
    row(
      'taskDecided',
      { task: 'review', name: 'review', by: 'li', role: 'agent', form: { what: ['photo', 'orderNumber'], decision: 'moreEvidence' } },
      { task: review },
    ),
    '李雷（客服）审核退换货申请：要求补充凭证，需补充：照片和订单号',
    '李雷 (agent), Review the request: more evidence needed, what is needed: photos and the order number',
  ],
  [
    row('taskDecided', { task: 'x!repair-1', name: 'repair', by: 'wang', role: 'manager', form: { action: 'giveUp' } }, { task: repair }),
    '王经理（客服经理）修复“退款 ¥128.00”：放弃这一步',
    '王经理 (manager), repair "Refund CN¥128.00": this step is given up',
  ],
  [
    row('taskClosed', { task: 'review', as: 'expired' }, { task: review }),
    '任务“审核退换货申请”到期未办，已关闭',
    'Task "Review the request": its time is over',
  ],
  [
    row('taskClosed', { task: 'review', as: 'lost' }, { task: review }),
    '任务“审核退换货申请”已不需要：事情以别的方式继续',
    'Task "Review the request": no longer needed: the case went on another way',
  ],
  [row('taskClosed', { task: 'review', as: 'withdrawn' }, { task: review }), '任务“审核退换货申请”已取消', 'Task "Review the request": cancelled'],
  [
    row('told', { message: 'refundApproved', to: 'customer' }, { message: { data: { order: 'W1', amount: cny(12_800) }, status: 'sent', sentAt: at } }),
    '告知客户：“订单 W1 的退款 ¥128.00 已审核通过，我们马上提交给支付系统。”（已于 2026年11月24日 10:00 发送）',
    'Told the customer: "The refund of CN¥128.00 for order W1 is approved. We are now submitting it to the payment system." (sent November 24, 2026 at 10:00 AM)',
  ],
  [
    row('told', { message: 'kit.caseBroken', to: 'ops' }, { message: { data: { case: 'return-exchange.W1.r1' }, status: 'failed', sentAt: null } }),
    '告知运维：“案件 return-exchange.W1.r1 无法继续，请在 Temporal 界面检查其运行。”（未送达）',
    'Told the operations team: "Case return-exchange.W1.r1 cannot go on. Look at its run in the Temporal UI." (could not be delivered)',
  ],
  [
    row(
      'told',
      { message: 'kit.clockEscalated', to: 'manager' },
      { message: { data: { case: 'c', clock: policy.clocks['T10']?.title, deadline: at, percent: 100 }, status: 'queued', sentAt: null } },
    ),
    '告知客服经理：“案件 c 的时限（退款申请处理）已超时（截止 2026年11月24日 10:00），请接手处理。”（待发送）',
    'Told the manager: "Case c: a clock (Refund request decided) broke its deadline November 24, 2026 at 10:00 AM. Please take over." (waits to be sent)',
  ],
  [
    row('clock', { clock: 'handle', policyClock: 'T10', command: 'start', status: 'running', deadline: at, provisional: true }),
    '时限“退款申请处理”开始计时，截止 2026年11月24日 10:00（暂定）',
    'Clock "Refund request decided" started, due November 24, 2026 at 10:00 AM (provisional)',
  ],
  [
    row('clock', { clock: 'handle', policyClock: 'T10', command: 'pause', why: 'photo', status: 'paused', deadline: null }),
    '时限“退款申请处理”暂停：照片',
    'Clock "Refund request decided" paused: photos',
  ],
  [
    row('clock', { clock: 'p1/arrival', policyClock: 'T11', command: 'stop', status: 'broken', deadline: at }),
    '时限“退款到账”停止：已超时',
    'Clock "Refund arrived" stopped: its deadline was broken',
  ],
  [
    row('clockWarned', { clock: 'handle', percent: 75, deadline: at, to: 'agent' }),
    '时限“退款申请处理”已用去 75%，截止 2026年11月24日 10:00，已提醒客服',
    'Clock "Refund request decided" has used 75% of its time and is due November 24, 2026 at 10:00 AM; the agent was reminded',
  ],
  [
    row('clockEscalated', { clock: 'handle', percent: 100, deadline: at, to: 'manager' }),
    '时限“退款申请处理”已超时（截止 2026年11月24日 10:00），已升级给客服经理',
    'Clock "Refund request decided" broke its deadline of November 24, 2026 at 10:00 AM; it went up to the manager',
  ],
  [
    row('event', { event: 'parcelReceived' }, { arrival: { source: 'warehouse.parcelReceived', body: receipt } }),
    '仓库收到包裹 SF100，共 2 件',
    'The warehouse received parcel SF100 with 2 item(s)',
  ],
  [
    row('event', { event: 'ownCourier', late: true }, { arrival: { source: 'person:li', body: { trackingNo: 'YT7' } } }),
    '案件结束后：客户自行寄回，运单号 YT7',
    'After the end: The customer sent the goods by a courier of their own, tracking number YT7',
  ],
  [
    row(
      'outsideState',
      { event: 'logistics.tracking', key: 'SF100', state: 'inTransit', at },
      { arrival: { source: 'logistics.tracking', body: { trackingNo: 'SF100', state: 'inTransit', at } } },
    ),
    '物流动态：包裹 SF100 运输中',
    'Carrier: parcel SF100 is on its way',
  ],
  [
    row('late', { event: 'parcelReceived', became: 'start:return-exchange.W2.r2' }, { arrival: { source: 'warehouse.parcelReceived', body: receipt } }),
    '案件结束后：仓库收到包裹 SF100，共 2 件（已为此开立案件“退换货”）',
    'After the end: The warehouse received parcel SF100 with 2 item(s) (a case "Return or exchange" was opened for it)',
  ],
  [row('note', { note: 'n', by: 'li' }), '李雷写了备注', '李雷 added a note'],
  [row('evidence', { evidence: 'e', kind: 'photo', by: 'customer:c_1' }), '客户上传了照片', 'the customer uploaded a photo'],
  [row('evidence', { evidence: 'e', kind: 'video', by: 'li' }), '李雷上传了视频', '李雷 uploaded a video'],
  [
    row('linkMade', { link: 'l', by: 'li', until: at }),
    '李雷生成了客户链接，有效至 2026年11月24日 10:00',
    '李雷 made a link for the customer, which holds until November 24, 2026 at 10:00 AM',
  ],
  [row('linkRevoked', { link: 'l', by: 'li' }), '李雷停用了客户链接', '李雷 withdrew a customer’s link'],
  [row('started', { case: 'return-exchange.W2.r2' }), '开立了关联案件“退换货”', 'A case "Return or exchange" was opened for this one'],
  [row('withdrawAsked', { by: 'li', reason: 'changedMind' }), '李雷要求撤回：客户改变主意', '李雷 asked for its withdrawal: the customer changed their mind'],
  [row('withdrawalRefused', {}), '没有撤回：案件已不能撤回', 'It was not withdrawn: it was past the point up to which it can be'],
  [row('reopened', { was: 'broken' }), '案件重新打开，继续办理', 'The case was opened again and goes on'],
  [row('broken', { trouble: 'x' }), '案件中断，已通知运维', 'The case stopped; operations have been told'],
  [
    row('closed', { status: 'completed', outcome: { result: 'refunded', amount: cny(12_800) } }),
    '案件结束：已退款 ¥128.00',
    'The case ended: CN¥128.00 refunded',
  ],
  [row('closed', { status: 'withdrawn', outcome: { result: 'withdrawn' } }), '案件结束：已撤回', 'The case ended: withdrawn'],
  [
    row('erased', { by: 'li', why: 'customerAsked' }),
    '李雷删除了客户的文字和凭证：客户要求',
    '李雷 erased what the customer wrote and sent: the customer asked for it',
  ],
];

describe('sentences', () => {
  test.each(said.map(([fact, inZh, inEn]) => [fact.kind, fact, inZh, inEn] as const))('%s reads as people speak, in both languages', (_, fact, inZh, inEn) => {
    expect([sentence(zh, fact), sentence(en, fact)]).toEqual([inZh, inEn]);
  });

  test('no fact is left without one', () => {
    const kinds: Record<TimelineKind, true> = Object.fromEntries(said.map(([{ kind }]) => [kind, true])) as Record<TimelineKind, true>;
    // The type names every kind: one that is added has to be added above.
    const all: Record<TimelineKind, true> = {
      opened: true,
      stage: true,
      noReturn: true,
      effect: true,
      undone: true,
      enteredTooLate: true,
      redoFailed: true,
      decision: true,
      taskOpened: true,
      taskClaimed: true,
      taskReleased: true,
      taskDelegated: true,
      taskReassigned: true,
      taskEscalated: true,
      taskDecided: true,
      taskClosed: true,
      told: true,
      clock: true,
      clockWarned: true,
      clockEscalated: true,
      event: true,
      outsideState: true,
      late: true,
      note: true,
      evidence: true,
      linkMade: true,
      linkRevoked: true,
      started: true,
      withdrawAsked: true,
      withdrawalRefused: true,
      reopened: true,
      broken: true,
      closed: true,
      erased: true,
    };
    expect(kinds).toEqual(all);
  });

  test('what is not known any more is shown as it is, and breaks nothing', () => {
    const unknown = readerIn('en', 'gone');
    for (const [fact] of said) expect(sentence(unknown, fact)).not.toBe('');
    expect(sentence(en, row('told', { message: 'no-such', to: 'customer' }, { message: { data: {}, status: 'queued', sentAt: null } }))).toContain('no-such');
    expect(sentence(en, row('effect', { system: 'gone', operation: 'x', path: 'x' }))).toBe('gone.x');
  });
});

/** Codes that a schema may hold: its enums and literals, with the field they stand in. */
function codesOf(schema: z.ZodType): { readonly field: string; readonly code: string }[] {
  const walk = (node: unknown, field: string): { field: string; code: string }[] => {
    if (typeof node !== 'object' || node === null) return [];
    if (Array.isArray(node)) return node.flatMap((inner) => walk(inner, field));
    return Object.entries(node).flatMap(([key, inner]) => {
      if (key === 'enum' && Array.isArray(inner)) return inner.map((code) => ({ field, code: String(code) }));
      if (key === 'const') return [{ field, code: String(inner) }];
      if (key === 'properties' && typeof inner === 'object' && inner !== null)
        return Object.entries(inner as Record<string, unknown>).flatMap(([name, at]) => walk(at, name));
      return walk(inner, field);
    });
  };
  return walk(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }), '');
}

describe.each([...processes])('the words of %s', (name, process: RegisteredProcess) => {
  test('every stage, event by case id, rule and outcome has its words in both languages', () => {
    expect(wantingTexts(process)).toEqual([]);
    for (const { zh: inZh, en: inEn } of [process.declaration, ...Object.values(process.declaration.tasks), ...Object.values(process.declaration.events)].map(
      (d) => d.title,
    )) {
      expect(inZh).toMatch(/\p{Script=Han}/u);
      expect(inEn).not.toMatch(/\p{Script=Han}|^$/u);
    }
    for (const clock of Object.values(process.declaration.clocks)) expect(policy.clocks[clock]?.title.zh).toMatch(/\p{Script=Han}/u);
  });

  test('every code of its forms, events and outcomes has words in both languages', () => {
    const { tasks, events, outcome } = process.declaration;
    const byCase = Object.values(events).flatMap((event) => (event.from === undefined ? [event.payload] : []));
    const codes = [...Object.values(tasks).map((task) => task.form), ...byCase, outcome].flatMap(codesOf);
    expect(codes.length).toBeGreaterThan(0);
    // A result has a whole sentence.
    const coded = codes.filter(({ field }) => field !== 'result');
    const wanting = coded.filter(({ field, code }) => languages.some((language) => wordOf(readerIn(language, name), code, field) === undefined));
    expect(wanting).toEqual([]);
  });

  test('every number and yes-or-no in its forms has a name: alone it would say nothing', () => {
    const plain = (node: unknown, field: string): string[] => {
      if (Array.isArray(node)) return node.flatMap((inner) => plain(inner, field));
      if (typeof node !== 'object' || node === null) return [];
      const { type, properties, ...rest } = node as { type?: unknown; properties?: Record<string, unknown> };
      const below = Object.entries(properties ?? {});
      // Money is written whole.
      if (below.some(([name]) => name === 'minor')) return [];
      const own = ['integer', 'number', 'boolean'].includes(String(type)) ? [field] : [];
      return [...own, ...below.flatMap(([name, inner]) => plain(inner, name)), ...Object.values(rest).flatMap((inner) => plain(inner, field))];
    };
    const fields = Object.values(process.declaration.tasks).flatMap(({ form }) => plain(z.toJSONSchema(form, { io: 'input', unrepresentable: 'any' }), ''));
    const wanting = fields.filter((field) => languages.some((language) => wordOf(readerIn(language, name), `${field}:`) === undefined));
    expect(wanting).toEqual([]);
  });

  test('its sentences take their values from places that are there', () => {
    const { opened, events, outcomes } = textsOf(process);
    const places = (of: { readonly zh: string; readonly en: string }) => [...new Set([...placesOf(of.zh), ...placesOf(of.en)])];
    const fields = (schema: z.ZodType): string => JSON.stringify(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
    const check = (of: { readonly zh: string; readonly en: string } | undefined, schema: z.ZodType | undefined): void => {
      for (const place of of && schema ? places(of) : []) expect(schema && fields(schema)).toContain(`"${place.split('.')[0] ?? ''}":`);
      // Both languages say the same things.
      if (of) expect(placesOf(of.zh).toSorted()).toEqual(placesOf(of.en).toSorted());
    };
    check(opened, process.declaration.input);
    for (const [event, of] of Object.entries(events)) check(of, process.declaration.events[event]?.payload);
    for (const of of Object.values(outcomes)) check(of, process.declaration.outcome);
  });
});

const operations = Object.values(systems).flatMap((system) =>
  Object.entries(system.operations).map(([name, operation]): [string, OperationContract, SystemContract] => [`${system.name}.${name}`, operation, system]),
);

describe('the words of systems', () => {
  test.each(operations)('%s has a title, a sentence for what it did, and words for its refusals', (name, operation, system) => {
    expect(operation.title.zh).toMatch(/\p{Script=Han}/u);
    expect(operation.title.en).not.toMatch(/\p{Script=Han}|^$/u);
    const isUndo = Object.values(system.operations).some(({ undo }) => `${system.name}.${undo ?? ''}` === name);
    expect(operation.done === undefined).toBe(isUndo);
    for (const error of operation.errors ?? []) expect(system.words[error]?.zh).toMatch(/\p{Script=Han}/u);
    if (operation.done === undefined) return;
    const { zh: inZh, en: inEn } = operation.done;
    expect(placesOf(inZh).toSorted()).toEqual(placesOf(inEn).toSorted());
    const there = [operation.args, operation.facts?.schema ?? operation.result].map((schema) =>
      JSON.stringify(z.toJSONSchema(schema, { unrepresentable: 'any' })),
    );
    for (const place of placesOf(inZh)) expect(there.join()).toContain(`"${place.split('.')[0] ?? ''}":`);
    const shown = [operation.args, operation.facts?.schema ?? operation.result].flatMap(codesOf).filter(({ field }) => placesOf(inZh).includes(field));
    for (const { field, code } of shown) expect(wordOf(zh, code, field, system.name)).toBeDefined();
  });

  test('every event has a sentence, and every code in it words', () => {
    const reader = readerIn('zh');
    for (const system of Object.values(systems))
      for (const { told, payload } of Object.values(system.events)) {
        expect(placesOf(told.zh).toSorted()).toEqual(placesOf(told.en).toSorted());
        for (const { field, code } of codesOf(payload)) expect(wordOf(reader, code, field, system.name)).toBeDefined();
      }
  });
});

test('a shop’s own exceptions and words are read as its policy has them', () => {
  const own: typeof policy = structuredClone(policy);
  own.returns.noReasonExceptions['hygiene'] = { title: { zh: '拆封的贴身用品', en: 'Opened, worn next to the skin' }, when: 'opened' };
  own.messages.texts['return-exchange'] = { withdrawn: { zh: '亲，{order} 已撤回哦' } };
  const reader = readerOf({ process: 'return-exchange', shop: 'main' }, { processes, systems }, 'zh', { policy: own });
  expect(wordOf(reader, 'hygiene')).toBe('拆封的贴身用品');
  expect(wordOf(zh, 'hygiene')).toBeUndefined();
  const told = row('told', { to: 'customer', message: 'withdrawn' }, { message: { data: { order: 'W1' }, status: 'sent', sentAt: at } });
  expect(sentence(reader, told)).toContain('亲，W1 已撤回哦');
  expect(sentence(zh, told)).not.toContain('哦');
});
