/**
 * What happened in a case, as sentences that a layman reads. Everything that is a process's or a system's own comes from its declaration, contract and
 * `messages.yaml`; nothing here knows any process.
 */
import { z } from 'zod';
import type { EraseReason } from '../db/erasures.ts';
import type { TimelineFact } from '../db/timeline.ts';
import type { Policy, Wording } from '../policies/schema.ts';
import { policyFor, titlesOf } from '../policies/lookup.ts';
import type { OperationContract } from '../systems/contract.ts';
import { instant, parseInstant } from '../values/instant.ts';
import { roles, type Role } from '../values/role.ts';
import { instantSchema, moneySchema } from '../values/schemas.ts';
import type { Language, Text } from '../values/text.ts';
import { repairTask } from '../workflows/kit/protocol.ts';
import type { Processes, RegisteredProcess } from '../workflows/registry.ts';
import { fillText, instantText, kit, localeOf, messageOf, moneyText, renderMessage, textsOf } from '../workflows/texts.ts';
import { redoTask } from '../db/tasks.ts';
import type { Declared, Systems } from './forms.ts';

/** Who reads, and what the words come from. */
export interface Reader {
  readonly language: Language;
  readonly process: RegisteredProcess | undefined;
  readonly processes: Processes;
  readonly systems: Systems;
  /** The case's input, without words of people. */
  readonly input?: unknown;
  /** Names of people by id; who has none is shown by the id. */
  readonly names: ReadonlyMap<string, string>;
  /** Policy clock (T10) → its title. */
  readonly clocks: ReadonlyMap<string, Text>;
  /** The shop's own words for messages. */
  readonly wording: Wording;
  /** Codes that the policy has with their titles: a shop's own exceptions. */
  readonly titles: Readonly<Record<string, Text>>;
}

export function readerOf(
  of: { readonly process: string; readonly shop: string; readonly input?: unknown },
  { processes, systems }: Declared,
  language: Language,
  more: { readonly names?: ReadonlyMap<string, string>; readonly policy?: Policy } = {},
): Reader {
  const process = processes.get(of.process);
  const values = more.policy && policyFor(more.policy, of.shop);
  const clocks = new Map(Object.entries(values?.clocks ?? {}).map(([name, { title }]) => [name, title]));
  return {
    language,
    process,
    processes,
    systems,
    input: of.input,
    names: more.names ?? new Map(),
    clocks,
    wording: values?.messages.texts ?? {},
    titles: values ? titlesOf(values) : {},
  };
}

export const roleTexts: Readonly<Record<Role, Text>> = {
  agent: { zh: '客服', en: 'agent' },
  supervisor: { zh: '客服主管', en: 'supervisor' },
  manager: { zh: '客服经理', en: 'manager' },
  warehouse: { zh: '仓储', en: 'warehouse' },
  quality: { zh: '质检', en: 'quality team' },
  production: { zh: '生产', en: 'production team' },
  finance: { zh: '财务', en: 'finance team' },
  tech: { zh: '技术', en: 'technology team' },
  rnd: { zh: '研发', en: 'R&D team' },
  sales: { zh: '销售', en: 'sales team' },
  ops: { zh: '运维', en: 'operations team' },
  upstream: { zh: '上游系统', en: 'upstream system' },
  customer: { zh: '客户', en: 'customer' },
};
const isRole = (code: string): code is Role => roles.some((role) => role === code);

/** What stands under a name, and not what every object has. */
export const own = <T>(all: Readonly<Record<string, T>> | undefined, name: string): T | undefined =>
  all !== undefined && Object.hasOwn(all, name) ? all[name] : undefined;

/** A code in words: of its field first (`via.none`), of the system that speaks, of the process, of the policy, of the kit, of roles; undefined when nobody has any. */
export function wordOf(reader: Reader, code: string, field = '', system?: string): string | undefined {
  const places: readonly (Readonly<Record<string, Text>> | undefined)[] = [
    system === undefined ? undefined : reader.systems[system]?.words,
    reader.process && textsOf(reader.process).codes,
    reader.titles,
    textsOf(kit).codes,
    roleTexts,
  ];
  for (const name of [`${field}.${code}`, code])
    for (const words of places) {
      const found = own(words, name);
      if (found) return found[reader.language];
    }
  return undefined;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const fact = (data: unknown, name: string): unknown => (isObject(data) && Object.hasOwn(data, name) ? data[name] : undefined);

/** A sentence that lists more than this is no sentence any more; the data beside it has them all. */
const mostListed = 12;

/** A value as the reader writes it: money and moments in their locale, codes in words, lists as lists; an id stays what it is. */
export function valueText(reader: Reader, value: unknown, field = '', system?: string, names: readonly string[] = []): string {
  const locale = localeOf(reader.language);
  if (value === null || value === undefined || value === '') return '–';
  if (typeof value === 'string') return wordOf(reader, value, field, system) ?? (isInstant(value) ? instantText(parseInstant(value), locale) : value);
  if (typeof value === 'number') return new Intl.NumberFormat(locale).format(value);
  if (typeof value === 'boolean') return value ? pick(reader, '是', 'yes') : pick(reader, '否', 'no');
  if (Array.isArray(value)) {
    if (value.length === 0) return pick(reader, '无', 'none');
    const shown = value.slice(0, mostListed).map((one) => valueText(reader, one, field, system, names));
    const more = value.length - shown.length;
    if (more > 0) return `${shown.join(pick(reader, '；', '; '))}${pick(reader, `；另有 ${more} 项`, `; and ${more} more`)}`;
    return value.some(isObject) ? shown.join(pick(reader, '；', '; ')) : new Intl.ListFormat(locale, { type: 'conjunction' }).format(shown);
  }
  const amount = moneySchema.safeParse(value);
  if (amount.success && Object.keys(value).length === 2) return moneyText(amount.data, locale);
  return fieldsText(reader, value, system, names);
}

/** The fields of an object, each with its name where that has words, in the order of `names` where that is given: `批准，质量问题`. */
export function fieldsText(reader: Reader, value: unknown, system?: string, names: readonly string[] = []): string {
  if (!isObject(value)) return value === undefined ? '' : valueText(reader, value, '', system);
  const place = (field: string): number => (names.includes(field) ? names.indexOf(field) : names.length);
  return Object.entries(value)
    .toSorted(([a], [b]) => place(a) - place(b))
    .filter(([, inner]) => inner !== undefined && inner !== null)
    .map(([field, inner]) => {
      const shown = valueText(reader, inner, field, system, names);
      const label = fieldLabel(reader, field);
      return label === undefined ? shown : `${label}${pick(reader, '：', ': ')}${shown}`;
    })
    .join(pick(reader, '，', ', '));
}
/** Names of the fields that a form declares, in its order: a row keeps a decision without any. */
function namesIn(form: z.ZodType): readonly string[] {
  const known = formNames.get(form);
  if (known) return known;
  const walk = (node: unknown): string[] => {
    if (Array.isArray(node)) return node.flatMap(walk);
    if (!isObject(node)) return [];
    return Object.entries(node).flatMap(([key, inner]) =>
      key === 'properties' && isObject(inner) ? [...Object.keys(inner), ...Object.values(inner).flatMap(walk)] : walk(inner),
    );
  };
  const names = [...new Set(walk(z.toJSONSchema(form, { io: 'input', unrepresentable: 'any' })))];
  formNames.set(form, names);
  return names;
}
const formNames = new WeakMap<z.ZodType, readonly string[]>();

const fieldLabel = (reader: Reader, field: string): string | undefined => wordOf(reader, `${field}:`);

const isInstant = (value: string): boolean => /^\d{4}-\d\d-\d\dT/.test(value) && instantSchema.safeParse(value).success;
/** The text of the reader's language. */
export const pick = (reader: Reader, zh: string, en: string): string => (reader.language === 'zh' ? zh : en);
const say = (reader: Reader, of: Text, data: unknown, system?: string): string =>
  fillText(of[reader.language], data, (value, field) => valueText(reader, value, field, system));

const operationOf = (reader: Reader, data: unknown): { readonly system: string; readonly operation: OperationContract } | undefined => {
  const system = text(fact(data, 'system'));
  const operation = own(own(reader.systems, system)?.operations, text(fact(data, 'operation')));
  return operation && { system, operation };
};
/** What people call an operation that `data` names by system and operation. */
export const operationText = (reader: Reader, data: unknown): string =>
  operationOf(reader, data)?.operation.title[reader.language] ?? `${text(fact(data, 'system'))}.${text(fact(data, 'operation'))}`;
export const systemText = (reader: Reader, system: string): string => own(reader.systems, system)?.title[reader.language] ?? system;

/** An operation with what it is about, before it is done: `退款 ¥128.00`. */
export function intentText(reader: Reader, data: unknown, args: unknown): string {
  const amount = moneySchema.safeParse(fact(args, 'amount'));
  return `${operationText(reader, data)}${amount.success ? ` ${moneyText(amount.data, localeOf(reader.language))}` : ''}`;
}

export const stageText = (reader: Reader, stage: string): string => (reader.process && own(textsOf(reader.process).stages, stage)?.[reader.language]) ?? stage;
export const outcomeText = (reader: Reader, outcome: unknown): string => {
  const result = text(fact(outcome, 'result'));
  const told = reader.process && own(textsOf(reader.process).outcomes, result);
  return told ? say(reader, told, outcome) : (wordOf(reader, result, 'result') ?? result);
};
export const reasonsText = (reader: Reader, reasons: readonly string[]): string =>
  reasons.map((reason) => wordOf(reader, reason) ?? reason).join(pick(reader, '；', '; '));

/** Who did something: a person by name, a case by its process. */
export function whoText(reader: Reader, id: unknown): string {
  const who = text(id);
  if (who.startsWith('customer:')) return pick(reader, '客户', 'the customer');
  if (who.startsWith('case:')) return pick(reader, `案件“${caseTitle(reader, who.slice(5))}”`, `the case "${caseTitle(reader, who.slice(5))}"`);
  return reader.names.get(who) ?? wordOf(reader, who) ?? who;
}
const caseTitle = (reader: Reader, id: string): string =>
  reader.processes.get(decodeURIComponent(id.split('.')[0] ?? ''))?.declaration.title[reader.language] ?? id;
const roleText = (reader: Reader, role: unknown): string => {
  const code = text(role);
  return isRole(code) ? roleTexts[code][reader.language] : code;
};

/** What a task asks: its title, with the operation that a repair or a redo is about. */
export function taskText(reader: Reader, task: { readonly name: string; readonly context?: unknown; readonly amount?: unknown }): string {
  const { name, context, amount } = task;
  const about = (): string => intentText(reader, context, fact(context, 'args'));
  if (name === repairTask)
    return operationOf(reader, context) ? pick(reader, `修复“${about()}”`, `repair "${about()}"`) : pick(reader, '检查异常的案件', 'look into an unusual case');
  if (name === redoTask) return pick(reader, `审批再次执行“${about()}”`, `approve doing "${about()}" once more`);
  const title = own(reader.process?.declaration.tasks, name)?.title[reader.language] ?? name;
  return amount === null || amount === undefined ? title : `${title} ${valueText(reader, amount)}`;
}

/** What a task asks, of a repair also why: what a worklist shows. */
export function askText(reader: Reader, task: Parameters<typeof taskText>[1]): string {
  const what = taskText(reader, task);
  return task.name === repairTask
    ? pick(reader, `${what}，因为${failureText(reader, task.context)}`, `${what}, because ${failureText(reader, task.context)}`)
    : what;
}

/** Why an effect needs a person, in words. */
export const failureText = (reader: Reader, context: unknown): string =>
  wordOf(reader, text(fact(context, 'failure'))) ?? pick(reader, '没有办成', 'it could not be done');

/** What a repair or a redo is about and what each choice means, a sentence each; nothing for the tasks of a process, whose forms speak for themselves. */
export function helpText(reader: Reader, task: { readonly name: string; readonly context: Readonly<Record<string, unknown>> }): string[] {
  const { name, context } = task;
  const known = operationOf(reader, context);
  const what = intentText(reader, context, fact(context, 'args'));
  if (name === redoTask)
    return [
      pick(
        reader,
        `${whoText(reader, context['askedBy'])}要求再次执行“${what}”。它已经办成过一次；批准后会用新的编号再办一次，对方会当作另一件事处理。`,
        `${whoText(reader, context['askedBy'])} asks for "${what}" to be done once more. It was done before; once approved it is sent under a key of its own, and the system takes it for another one.`,
      ),
      pick(reader, '提出的人、开立案件的人和修复过本案步骤的人不能批准。', 'Who asked, who opened the case and who repaired a step of it may not approve.'),
    ];
  if (name !== repairTask) return [];
  const why = failureText(reader, context);
  if (known === undefined)
    return [
      pick(
        reader,
        `${why}。再试一次：案件继续；放弃：案件到此为止，已做的尽量撤回。`,
        `${why}. Try again: the case goes on. Give up: it ends here, and what was done is taken back where it can be.`,
      ),
    ];
  const { system, operation } = known;
  const where = systemText(reader, system);
  const undoing = typeof context['undoes'] === 'string';
  const retry = {
    keyed: pick(reader, '用同一个编号再次请求，对方不会重复办理', 'it is sent again under the same key, and the system does nothing twice'),
    lookup: pick(reader, '先查询对方是否已经办成，没有才再次请求', 'the system is first asked whether it was done, and only if not it is sent again'),
    never: pick(reader, '会再次发出请求；只有在对方确认没有办成时才选', 'it is sent again; choose this only when the system confirms that it was not done'),
  }[operation.repeat];
  return [
    pick(reader, `“${what}”（${where}）没有办成：${why}。`, `"${what}" (${where}) could not be done: ${why}.`),
    pick(reader, `再试一次：${retry}。`, `Try again: ${retry}.`),
    pick(
      reader,
      '录入结果：已从对方得知办成了，照对方的结果填写，案件照此继续；对方的答复若先到，以对方的为准。',
      "Enter the result: you know from the system that it was done; fill in what it says and the case goes on with it. If the system's own answer comes first, that one stands.",
    ),
    ...(operation.errors === undefined
      ? []
      : [
          pick(
            reader,
            `录入对方的答复：对方以约定的理由拒绝了（${operation.errors.map((error) => wordOf(reader, error, 'error', system) ?? error).join('、')}），案件照此继续。`,
            `Enter the refusal: the system has refused it (${operation.errors.map((error) => wordOf(reader, error, 'error', system) ?? error).join(', ')}), and the case goes on with that.`,
          ),
        ]),
    undoing
      ? pick(reader, '放弃：这一项保持原样，其余照常撤回。', 'Give up: this stays as it is; all else is still taken back.')
      : pick(
          reader,
          '放弃：这一步不再办。案件还能撤回时，已做的都会撤回并结束；已不能撤回时，案件中断并通知运维。',
          'Give up: this step is not done. While the case can be withdrawn, what was done is taken back and it ends; past that, it stops and operations are told.',
        ),
  ];
}

const clockText = (reader: Reader, data: unknown): string => {
  const name = text(fact(data, 'clock')).split('/').at(-1) ?? '';
  const policyClock = text(fact(data, 'policyClock')) || (own(reader.process?.declaration.clocks, name) ?? '');
  return clockTitle(reader, policyClock, name);
};
/** A clock's title in the policy; its name where the policy has none. */
export const clockTitle = (reader: Reader, policyClock: string, name: string): string => reader.clocks.get(policyClock)?.[reader.language] ?? name;
const moment = (reader: Reader, at: unknown): string => valueText(reader, at);

/** What a system or a caller reported, in words. */
export function eventText(reader: Reader, name: string, source: string, body: unknown): string {
  const [system = '', event = ''] = source.split('.');
  const told = own(own(reader.systems, system)?.events, event)?.told;
  if (told) return say(reader, told, body, system);
  const ours = reader.process && own(textsOf(reader.process).events, name);
  if (ours) return say(reader, ours, body);
  const title = own(reader.process?.declaration.events, name)?.title[reader.language] ?? name;
  return isObject(body) && Object.keys(body).length > 0 ? `${title}${pick(reader, '：', ': ')}${fieldsText(reader, body)}` : title;
}

/** What an effect did, or why it was refused. */
export function effectText(reader: Reader, row: Pick<TimelineFact, 'data' | 'effect'>): string {
  const { data, effect } = row;
  const known = operationOf(reader, data);
  const title = operationText(reader, data);
  const entered =
    data['enteredBy'] === undefined
      ? ''
      : pick(reader, `（由${whoText(reader, data['enteredBy'])}录入）`, ` (entered by ${whoText(reader, data['enteredBy'])})`);
  // A redo has the path of the effect that it repeats, with a number.
  const by = /#\d+$/.test(text(data['path'])) ? `${pick(reader, '（再次执行）', ' (once more)')}${entered}` : entered;
  if (data['error'] !== undefined) {
    const why = wordOf(reader, text(data['error']), 'error', known?.system) ?? text(data['error']);
    const what = intentText(reader, data, effect?.args);
    return pick(reader, `“${what}”没有办成：${why}${by}`, `"${what}" was refused: ${why}${by}`);
  }
  const done = known?.operation.done;
  const seen = { ...(isObject(effect?.args) ? effect.args : {}), ...(isObject(effect?.answer) ? effect.answer : {}) };
  const was = fact(effect?.answer, 'was');
  if (done) return `${say(reader, done, seen, known.system)}${by}`;
  return was === undefined ? `${title}${by}` : `${title}${pick(reader, '：', ': ')}${valueText(reader, was, 'was')}${by}`;
}

function decisionText(reader: Reader, { data, output }: TimelineFact): string {
  const rule = text(data['rule']);
  const told = reader.process && own(textsOf(reader.process).rules, rule);
  const decided = told ? say(reader, told, output) : rule;
  const reasons = Array.isArray(data['reasons']) ? data['reasons'].map(String) : [];
  return reasons.length === 0
    ? decided
    : pick(reader, `${decided}。理由：${reasonsText(reader, reasons)}`, `${decided}. Reasons: ${reasonsText(reader, reasons)}`);
}

function toldText(reader: Reader, { data, message }: TimelineFact): string {
  const [process, name] = messageOf(reader.process, text(data['message']));
  const to = roleText(reader, data['to']);
  let words: string;
  try {
    const link = pick(reader, '（客户链接）', '(the customer’s link)');
    words = process && message ? renderMessage(process, name, message.data, localeOf(reader.language), reader.wording, link).text : name;
  } catch (error) {
    // A text of another version of the process: what can be said is that something was told.
    if (!(error instanceof RangeError)) throw error;
    words = name;
  }
  const status = {
    queued: pick(reader, '待发送', 'waits to be sent'),
    sent: message?.sentAt
      ? pick(reader, `已于 ${moment(reader, new Date(message.sentAt).toISOString())} 发送`, `sent ${moment(reader, new Date(message.sentAt).toISOString())}`)
      : pick(reader, '已发送', 'sent'),
    held: pick(reader, '未发送：客户未同意或近期已发过多', 'not sent: no consent, or too many already'),
    failed: pick(reader, '未送达', 'could not be delivered'),
  }[message?.status ?? 'queued'];
  return pick(reader, `告知${to}：“${words}”（${status}）`, `Told the ${to}: "${words}" (${status})`);
}

function clockCommandText(reader: Reader, { data }: TimelineFact): string {
  const clock = clockText(reader, data);
  const due = data['deadline'] ? pick(reader, `，截止 ${moment(reader, data['deadline'])}`, `, due ${moment(reader, data['deadline'])}`) : '';
  const provisional = data['provisional'] === true ? pick(reader, '（暂定）', ' (provisional)') : '';
  const why = wordOf(reader, text(data['why']), 'pause') ?? text(data['why']);
  if (data['refused'] === true) return pick(reader, `时限“${clock}”不再改变：截止时间已过`, `Clock "${clock}" stays as it is: its deadline has passed`);
  switch (data['command']) {
    case 'start':
      return pick(reader, `时限“${clock}”开始计时${due}${provisional}`, `Clock "${clock}" started${due}${provisional}`);
    case 'restart':
      return pick(reader, `时限“${clock}”重新计时${due}${provisional}`, `Clock "${clock}" started anew${due}${provisional}`);
    case 'pause':
      return pick(reader, `时限“${clock}”暂停：${why}`, `Clock "${clock}" paused: ${why}`);
    case 'resume':
      return data['status'] === 'paused'
        ? pick(reader, `时限“${clock}”的一项暂停原因已消除：${why}`, `Clock "${clock}": one reason of its pause is over (${why})`)
        : pick(reader, `时限“${clock}”恢复计时${due}${provisional}`, `Clock "${clock}" goes on${due}${provisional}`);
    case 'extend':
      return pick(
        reader,
        `${whoText(reader, data['by'])}将时限“${clock}”延至 ${moment(reader, data['to'])}：${why}`,
        `${whoText(reader, data['by'])} extended clock "${clock}" to ${moment(reader, data['to'])}: ${why}`,
      );
    case 'abandon':
      return pick(reader, `时限“${clock}”随案件结束而停止`, `Clock "${clock}" ended with the case`);
    default:
      return data['status'] === 'broken'
        ? pick(reader, `时限“${clock}”停止：已超时`, `Clock "${clock}" stopped: its deadline was broken`)
        : pick(reader, `时限“${clock}”停止：按时完成`, `Clock "${clock}" stopped: met`);
  }
}

function closedText(reader: Reader, data: Readonly<Record<string, unknown>>): string {
  switch (data['status']) {
    case 'withdrawn':
      return pick(reader, '案件结束：已撤回', 'The case ended: withdrawn');
    case 'failed':
      return pick(reader, '案件结束：未能办成，已做的都已撤回', 'The case ended: it could not be done, and what had been done was taken back');
    case 'broken':
      return pick(reader, '案件中断：有一步被放弃，已通知运维', 'The case stopped: a step was given up; operations have been told');
    default:
      return pick(reader, `案件结束：${outcomeText(reader, data['outcome'])}`, `The case ended: ${outcomeText(reader, data['outcome'])}`);
  }
}

function lateText(reader: Reader, { data, arrival }: TimelineFact): string {
  const said = eventText(reader, text(data['event']), arrival?.source ?? '', arrival?.body);
  const became = text(data['became']);
  const what = became.startsWith('start:')
    ? pick(reader, `已为此开立案件“${caseTitle(reader, became.slice(6))}”`, `a case "${caseTitle(reader, became.slice(6))}" was opened for it`)
    : pick(reader, '仅作记录', 'kept as a note');
  return pick(reader, `案件结束后：${said}（${what}）`, `After the end: ${said} (${what})`);
}

/** The sentence of a row of the timeline. */
export function sentence(reader: Reader, row: TimelineFact): string {
  const { data } = row;
  const who = whoText(reader, data['by']);
  const task = (): string => taskText(reader, row.task ?? { name: text(data['name']) || text(data['task']) });
  switch (row.kind) {
    case 'opened': {
      const title = reader.process?.declaration.title[reader.language] ?? '';
      const asked = reader.process && textsOf(reader.process).opened;
      const what = asked && reader.input !== undefined ? pick(reader, `，${say(reader, asked, reader.input)}`, `, ${say(reader, asked, reader.input)}`) : '';
      return pick(reader, `${who}开立了案件：${title}${what}`, `${who} opened the case: ${title}${what}`);
    }
    case 'stage':
      return pick(reader, `进入“${stageText(reader, text(data['stage']))}”阶段`, `Stage: ${stageText(reader, text(data['stage']))}`);
    case 'noReturn':
      return pick(reader, '从这里起不能再撤回', 'From here it can no longer be withdrawn');
    case 'effect':
    case 'undone':
      return effectText(reader, row);
    case 'enteredTooLate':
      return pick(
        reader,
        `${who}录入的“${operationText(reader, data)}”结果没有采用：对方的答复已先到`,
        `What ${who} entered for "${operationText(reader, data)}" was not used: the system's own answer had come first`,
      );
    case 'redoFailed':
      return pick(
        reader,
        `再次执行“${operationText(reader, data)}”没有办成：${failureText(reader, data)}`,
        `Doing "${operationText(reader, data)}" once more failed: ${failureText(reader, data)}`,
      );
    case 'decision':
      return decisionText(reader, row);
    case 'taskOpened': {
      if (row.task?.name === repairTask) return pick(reader, `等待修复：${askText(reader, row.task)}`, `Waits for repair: ${askText(reader, row.task)}`);
      if (row.task?.name === redoTask) return pick(reader, `${who}申请，等待另一人决定：${task()}`, `${who} asks, and another person decides: ${task()}`);
      const again = data['again'] === true ? pick(reader, '再次', ' again') : '';
      return pick(reader, `${again}等待${roleText(reader, row.task?.role)}：${task()}`, `Waits${again} for the ${roleText(reader, row.task?.role)}: ${task()}`);
    }
    case 'taskClaimed':
      return pick(reader, `${who}领取了任务：${task()}`, `${who} claimed the task: ${task()}`);
    case 'taskReleased':
      return pick(reader, `${who}退回了任务：${task()}`, `${who} gave the task back: ${task()}`);
    case 'taskDelegated':
      return pick(reader, `${who}把任务交给${whoText(reader, data['to'])}：${task()}`, `${who} handed the task to ${whoText(reader, data['to'])}: ${task()}`);
    case 'taskReassigned':
      return data['to'] === null
        ? pick(reader, `${who}把任务放回列表：${task()}`, `${who} put the task back on the list: ${task()}`)
        : pick(reader, `${who}把任务指派给${whoText(reader, data['to'])}：${task()}`, `${who} gave the task to ${whoText(reader, data['to'])}: ${task()}`);
    case 'taskEscalated':
      return pick(
        reader,
        `任务升级给${roleText(reader, data['to'])}，因为时限“${clockText(reader, data)}”已超时：${task()}`,
        `The task climbs to the ${roleText(reader, data['to'])}, because clock "${clockText(reader, data)}" broke its deadline: ${task()}`,
      );
    case 'taskDecided': {
      const declared = own(reader.process?.declaration.tasks, row.task?.name ?? '')?.form;
      const form = fieldsText(reader, data['form'], text(fact(row.task?.context, 'system')) || undefined, declared ? namesIn(declared) : []);
      const role = roleText(reader, data['role']);
      return pick(reader, `${who}（${role}）${task()}：${form}`, `${who} (${role}), ${task()}: ${form}`);
    }
    case 'taskClosed': {
      const how = {
        expired: pick(reader, '到期未办，已关闭', 'its time is over'),
        lost: pick(reader, '已不需要：事情以别的方式继续', 'no longer needed: the case went on another way'),
        withdrawn: pick(reader, '已取消', 'cancelled'),
      }[text(data['as'])];
      return pick(reader, `任务“${task()}”${how ?? ''}`, `Task "${task()}": ${how ?? ''}`);
    }
    case 'told':
      return toldText(reader, row);
    case 'clock':
      return clockCommandText(reader, row);
    case 'clockWarned':
      return pick(
        reader,
        `时限“${clockText(reader, data)}”已用去 ${valueText(reader, data['percent'])}%，截止 ${moment(reader, data['deadline'])}，已提醒${roleText(reader, data['to'])}`,
        `Clock "${clockText(reader, data)}" has used ${valueText(reader, data['percent'])}% of its time and is due ${moment(reader, data['deadline'])}; the ${roleText(reader, data['to'])} was reminded`,
      );
    case 'clockEscalated':
      return pick(
        reader,
        `时限“${clockText(reader, data)}”已超时（截止 ${moment(reader, data['deadline'])}），已升级给${roleText(reader, data['to'])}`,
        `Clock "${clockText(reader, data)}" broke its deadline of ${moment(reader, data['deadline'])}; it went up to the ${roleText(reader, data['to'])}`,
      );
    case 'event': {
      const said = eventText(reader, text(data['event']), row.arrival?.source ?? '', row.arrival?.body);
      return data['late'] === true ? pick(reader, `案件结束后：${said}`, `After the end: ${said}`) : said;
    }
    case 'outsideState':
      return eventText(reader, text(data['event']), text(data['event']), row.arrival?.body ?? data);
    case 'late':
      return lateText(reader, row);
    case 'note':
      return pick(reader, `${who}写了备注`, `${who} added a note`);
    case 'evidence': {
      const what = data['kind'] === 'video' ? pick(reader, '视频', 'a video') : pick(reader, '照片', 'a photo');
      return pick(reader, `${who}上传了${what}`, `${who} uploaded ${what}`);
    }
    case 'linkMade':
      return pick(
        reader,
        `${who}生成了客户链接，有效至 ${moment(reader, data['until'])}`,
        `${who} made a link for the customer, which holds until ${moment(reader, data['until'])}`,
      );
    case 'linkRevoked':
      return pick(reader, `${who}停用了客户链接`, `${who} withdrew a customer’s link`);
    case 'started':
      return pick(
        reader,
        `开立了关联案件“${caseTitle(reader, text(data['case']))}”`,
        `A case "${caseTitle(reader, text(data['case']))}" was opened for this one`,
      );
    case 'withdrawAsked': {
      const reason = wordOf(reader, text(data['reason']), 'withdraw') ?? text(data['reason']);
      return pick(reader, `${who}要求撤回：${reason}`, `${who} asked for its withdrawal: ${reason}`);
    }
    case 'withdrawalRefused':
      return pick(reader, '没有撤回：案件已不能撤回', 'It was not withdrawn: it was past the point up to which it can be');
    case 'reopened':
      return pick(reader, '案件重新打开，继续办理', 'The case was opened again and goes on');
    case 'broken':
      return pick(reader, '案件中断，已通知运维', 'The case stopped; operations have been told');
    case 'closed':
      return closedText(reader, data);
    case 'erased': {
      const why = own(eraseTexts, text(data['why']))?.[reader.language] ?? text(data['why']);
      return pick(reader, `${who}删除了客户的文字和凭证：${why}`, `${who} erased what the customer wrote and sent: ${why}`);
    }
  }
}

const eraseTexts: Readonly<Record<EraseReason, Text>> = {
  customerAsked: { zh: '客户要求', en: 'the customer asked for it' },
  retentionOver: { zh: '保存期限已满', en: 'the time to keep it is over' },
  authority: { zh: '监管部门要求', en: 'an authority asked for it' },
};
/** That a case's customer was erased, and when; nothing while they were not. */
export const erasedText = (reader: Reader, at: Date | null): string[] =>
  at === null
    ? []
    : [pick(reader, `客户资料已于 ${moment(reader, instant(at))} 删除`, `what the customer wrote and sent was erased on ${moment(reader, instant(at))}`)];

/** Where a case stands, in one sentence. */
export function standsText(
  reader: Reader,
  of: { readonly status: string; readonly stage: string | null; readonly outcome: unknown },
  open: readonly { readonly name: string; readonly role: string; readonly context: unknown; readonly amount: unknown }[],
): string {
  // By a step that was given up, or because its workflow cannot go on: `trouble` says which, for who mends it.
  if (of.status === 'broken') return pick(reader, '案件中断，需要运维处理', 'The case stopped and needs operations');
  if (of.status !== 'open') return closedText(reader, { status: of.status, outcome: of.outcome });
  const stage =
    of.stage === null
      ? pick(reader, '已开立', 'opened')
      : pick(reader, `处于“${stageText(reader, of.stage)}”阶段`, `in the stage "${stageText(reader, of.stage)}"`);
  const waits = open.map((task) =>
    pick(reader, `等待${roleText(reader, task.role)}：${askText(reader, task)}`, `waits for the ${roleText(reader, task.role)}: ${askText(reader, task)}`),
  );
  return [pick(reader, `办理中，${stage}`, `Under way, ${stage}`), ...waits].join(pick(reader, '；', '; '));
}

/** Ids of people that rows speak of. */
export const peopleIn = (rows: readonly Pick<TimelineFact, 'data'>[]): string[] => [
  ...new Set(rows.flatMap(({ data }) => ['by', 'to', 'enteredBy'].flatMap((name) => (typeof data[name] === 'string' ? [data[name]] : [])))),
];
