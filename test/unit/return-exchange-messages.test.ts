import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { checkMessages, codeText, instantText, locales, MessagesError, moneyText, renderMessage } from '../../workflows/texts.ts';
import { parseInstant } from '../../values/instant.ts';
import { money } from '../../values/money.ts';
import { loadProcesses, type RegisteredProcess } from '../../workflows/registry.ts';
import { reasonCodes } from '../../workflows/return-exchange/rules.ts';

const found = (await loadProcesses()).get('return-exchange');
if (found === undefined) throw new Error('return-exchange is not registered');
const process: RegisteredProcess = found;
const until = '2026-11-08T15:59:59.999Z';
const link = 'https://service.example.cn/c/x';

/** A value of every kind that data can have. */
const samples: Record<string, unknown> = {
  text: 'SF1234567890',
  code: 'quality',
  codes: ['photo', 'video'],
  money: { minor: 123_450, currency: 'CNY' },
  instant: until,
  count: 2,
};

/** What is told to a department instead of the customer. */
const internal: Record<string, string> = { freightOwed: 'finance', couponsOwed: 'agent' };

describe('the messages of a return', () => {
  const texts = checkMessages(process);

  test.each(process.declaration.messages.flatMap((name) => locales.map((locale) => [name, locale] as const)))(
    '%s is told in %s, with nothing left open',
    (name, locale) => {
      const data = Object.fromEntries(Object.entries(texts.messages[name]?.data ?? {}).map(([key, kind]) => [key, samples[kind]]));
      const { text, to, kind } = renderMessage(process, name, data, locale, {}, link);
      expect(text).not.toMatch(/[{}]|undefined|null|NaN/);
      expect(text.length).toBeGreaterThan(10);
      expect({ to, kind }).toEqual({ to: internal[name] ?? 'customer', kind: 'transactional' });
      // Chinese in the Chinese text, and none in the English one: neither was pasted into the other.
      expect(/\p{Script=Han}/u.test(text)).toBe(locale === 'zh-CN');
    },
  );

  test('every reason of a rule, and every code of forms and outcomes, has words in both languages', () => {
    const codes = (schema: z.ZodType): string[] => {
      const json = JSON.stringify(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
      const walk = (node: unknown): string[] =>
        typeof node !== 'object' || node === null
          ? []
          : Object.entries(node).flatMap(([key, inner]) => (key === 'enum' && Array.isArray(inner) ? (inner as string[]) : walk(inner)));
      return walk(JSON.parse(json));
    };
    const { review, choose } = process.declaration.tasks;
    const declared = [review, choose].flatMap((task) => (task ? codes(task.form) : []));
    expect(declared).toEqual(expect.arrayContaining(['noReason', 'pastWindow', 'video', 'exchange']));
    const outcomes = codes(process.declaration.outcome);
    for (const code of [...reasonCodes, ...declared, ...outcomes, 'merchantOverdue', 'refunded', 'closed', 'card', 'wallet', 'giftCard', 'transfer'])
      for (const locale of locales) expect(codeText(process, code, locale)).not.toBe('');
  });

  test('nothing promises when money arrives', () => {
    for (const { zh, en } of Object.values(texts.messages)) {
      expect(zh).not.toMatch(/肯定|保证|明天|工作日|\d+ ?(天|小时)/);
      expect(en).not.toMatch(/promise|guarantee|tomorrow|working day|\d+ (day|hour)/i);
    }
  });
});

describe('rendering', () => {
  test('writes money, moments and lists as the reader does, moments in China’s time', () => {
    const data = { order: 'W1', what: ['photo', 'orderNumber'], until };
    expect(renderMessage(process, 'evidenceAsked', data, 'zh-CN', {}, link).text).toBe(
      '订单 W1 的申请还需要您补充：照片和订单号。请在 2026年11月8日 23:59 前在此上传，我们收到后马上继续处理：https://service.example.cn/c/x',
    );
    expect(renderMessage(process, 'evidenceAsked', data, 'en', {}, link).text).toContain(
      'photos and the order number. Please upload it by November 8, 2026 at 11:59',
    );
    expect(instantText(parseInstant('2026-11-08T16:00:00Z'), 'zh-CN')).toBe('2026年11月9日 00:00');
  });

  test('writes amounts in the decimals of their currency', () => {
    expect([
      moneyText(money(123_450, 'CNY'), 'zh-CN'),
      moneyText(money(123_450, 'USD'), 'en'),
      moneyText(money(500, 'JPY'), 'en'),
      moneyText(money(7, 'CNY'), 'en'),
    ]).toEqual(['¥1,234.50', '$1,234.50', '¥500', 'CN¥0.07']);
  });

  test('takes a value as text, whatever it holds', () => {
    expect(renderMessage(process, 'expired', { order: '$& {order} $1' }, 'en').text).toContain('return order');
    expect(renderMessage(process, 'withdrawn', { order: '$&{units}' }, 'en').text).toContain('order $&{units} has been');
  });

  test('names the message and the placeholder when data is missing or of another kind, and does not repeat the value', () => {
    expect(() => renderMessage(process, 'refundApproved', { order: 'W1' }, 'en')).toThrow('message return-exchange.refundApproved: {amount} is no money');
    expect(() => renderMessage(process, 'refundApproved', { order: 'W1', amount: '13800000000' }, 'en')).toThrow(
      /^message return-exchange\.refundApproved: \{amount\} is no money$/,
    );
    expect(() => renderMessage(process, 'rejected', { order: 'W1', reason: 'constructor' }, 'en')).toThrow('{reason} is no code');
    expect(() => renderMessage(process, 'toString', {}, 'en')).toThrow('return-exchange has no message "toString"');
  });
});

describe('a messages.yaml that is not right is refused with every problem', () => {
  const declared = (messages: string[]) => ({ ...process.declaration, messages });
  const problems = (messages: string, names = ['hello']): readonly string[] => {
    try {
      checkMessages({ declaration: declared(names), messages });
    } catch (error) {
      if (error instanceof MessagesError) return error.problems;
      throw error;
    }
    return [];
  };
  const hello = (more: string) => `messages:\n  hello: { to: customer, kind: transactional, ${more} }\n`;

  test.each([
    ['a declared message without text', 'messages: {}', 'messages.hello: is declared and has no text'],
    ['no file at all', '', 'messages.hello: is declared and has no text'],
    [
      'a text nobody declared',
      `${hello('zh: 你好, en: Hello')}  bye: { to: customer, kind: transactional, zh: 再见, en: Bye }`,
      'messages.bye: is not declared',
    ],
    [
      'a link to a department',
      'messages:\n  hello: { to: agent, kind: transactional, data: { at: link }, zh: "{at}", en: "{at}" }\n',
      "messages.hello.data.at: a link is the customer's, and this goes to agent",
    ],
    ['a language missing', hello('zh: 你好'), 'messages.hello.en: Invalid input: expected string, received undefined'],
    ['an unknown placeholder', hello(`zh: '你好 {name}', en: Hello`), 'messages.hello.zh: {name} is no data of the message'],
    ['data that one language leaves out', hello(`data: { order: text }, zh: '你好 {order}', en: Hello`), 'messages.hello.en: does not use {order}'],
    ['a kind that does not exist', hello('data: { order: name }, zh: 你好, en: Hello'), /^messages\.hello\.data\.order: Invalid option/],
    ['another audience', 'messages: { hello: { to: everybody, kind: transactional, zh: 你好, en: Hello } }', /^messages\.hello\.to: Invalid option/],
    ['a misspelt field', hello('zh: 你好, en: Hello, urgent: true'), /^messages\.hello: Unrecognized key/],
    ['broken YAML', 'messages: {', /at line 1/],
    ['a code twice', `${hello('zh: 你好, en: Hello')}reasons: { a: { zh: 一, en: a } }\nwords: { a: { zh: 一, en: a } }`, 'words.a: is a reason too'],
  ])('%s', (_, yaml, problem) => {
    expect(problems(yaml)).toEqual([typeof problem === 'string' ? problem : expect.stringMatching(problem)]);
  });

  test('all problems at once, each with its place', () => {
    expect(problems(hello(`zh: '{a}', en: '{b}'`), ['hello', 'bye'])).toEqual([
      'messages.bye: is declared and has no text',
      'messages.hello.zh: {a} is no data of the message',
      'messages.hello.en: {b} is no data of the message',
    ]);
  });

  test('a right one is accepted', () => {
    expect(problems(hello(`data: { n: count }, zh: '{n} 件', en: '{n} items'`))).toEqual([]);
  });
});
