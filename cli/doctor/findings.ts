/** What may be wrong, in words, and which chapter of the runbook says more. */
import type { Language, Text } from '../../values/text.ts';

/** A place in docs/operations.md. */
export const runbook = 'docs/operations.md';

export interface Found {
  readonly what: Finding;
  /** How many; for `postgresAway` and its like 1. */
  readonly n: number;
  /** System, process or kind of job. */
  readonly of?: string;
  /** Seconds since the oldest began to wait. */
  readonly age?: number;
  /** Ids of a few cases. */
  readonly cases?: readonly string[];
}

interface Described {
  readonly chapter: string;
  readonly says: Text;
  readonly todo: Text;
}

/** `{n}`, `{of}` and `{age}` are filled in. */
export const findings = {
  postgresAway: {
    chapter: 'postgres-away',
    says: { zh: 'Postgres 无响应', en: 'Postgres does not answer' },
    todo: { zh: '恢复 Postgres；其余一切自行继续', en: 'Bring Postgres back; everything goes on by itself' },
  },
  schemaBehind: {
    chapter: 'upgrading',
    says: { zh: '数据库结构缺少 {n} 个版本', en: 'The schema lacks {n} migrations' },
    todo: { zh: '运行迁移命令', en: 'Run the migration' },
  },
  temporalAway: {
    chapter: 'temporal-away',
    says: { zh: 'Temporal 无响应', en: 'Temporal does not answer' },
    todo: { zh: '恢复 Temporal；已受理的请求随后自动执行', en: 'Bring Temporal back; what was taken meanwhile is carried out then' },
  },
  workerAway: {
    chapter: 'worker-away',
    says: { zh: '没有工作进程在运行', en: 'No worker polls for cases' },
    todo: { zh: '启动工作进程，查看其日志', en: 'Start a worker and read its log' },
  },
  apiAway: {
    chapter: 'api-away',
    says: { zh: '接口无响应', en: 'The API does not answer' },
    todo: { zh: '启动接口进程，查看其日志', en: 'Start the API and read its log' },
  },
  broken: {
    chapter: 'broken-case',
    says: { zh: '{n} 个案件无法继续', en: '{n} cases cannot go on' },
    todo: { zh: '查看原因，再重置或人工结案', en: 'Look why, then reset them or close them by hand' },
  },
  failing: {
    chapter: 'poison-case',
    says: { zh: '{n} 个流程的代码反复失败', en: '{n} workflows fail by their code at every try' },
    todo: { zh: '部署修正后的代码，案件随即自行继续', en: 'Deploy code that is mended; they go on by themselves' },
  },
  lost: {
    chapter: 'broken-case',
    says: { zh: '{n} 个进行中的案件在 Temporal 中没有运行的流程', en: '{n} open cases have no running workflow in Temporal' },
    todo: { zh: '逐一查看：重置，或在恢复备份后按手册处理', en: 'Look at each: reset it, or after a restore follow that chapter' },
  },
  repair: {
    chapter: 'stuck-effect',
    says: { zh: '{of} 有 {n} 个操作等待人工修复，最久 {age}', en: '{n} effects in {of} wait for a person to mend them, the oldest for {age}' },
    todo: { zh: '由主管在任务列表中处理', en: 'A supervisor decides the repair tasks' },
  },
  sending: {
    chapter: 'stuck-effect',
    says: { zh: '发往 {of} 的 {n} 个操作没有应答，最久 {age}', en: '{n} effects were sent to {of} and have no answer, the oldest for {age}' },
    todo: { zh: '确认该系统是否正常', en: 'See whether that system answers' },
  },
  undelivered: {
    chapter: 'messages-to-cases-not-taken-in',
    says: { zh: '{n} 条消息等待案件处理，最久 {age}', en: '{n} messages wait for their cases to take them in, the oldest for {age}' },
    todo: { zh: '查看工作进程日志中的清扫错误', en: 'Look for failing sweeps in the log of the worker' },
  },
  unstarted: {
    chapter: 'messages-to-cases-not-taken-in',
    says: { zh: '{of} 有 {n} 个案件等待启动，最久 {age}', en: '{n} cases of {of} wait for their start, the oldest for {age}' },
    todo: { zh: '查看工作进程日志中的清扫错误', en: 'Look for failing sweeps in the log of the worker' },
  },
  late: {
    chapter: 'messages-or-clocks-late',
    says: { zh: '{n} 个任务（{of}）已到期未执行，最久 {age}', en: '{n} jobs ({of}) are due and have not begun, the oldest for {age}' },
    todo: { zh: '查看工作进程是否在运行', en: 'See whether workers run' },
  },
  dead: {
    chapter: 'messages-or-clocks-late',
    says: { zh: '{n} 个任务（{of}）已停止重试', en: '{n} jobs ({of}) have failed for the last time' },
    todo: { zh: '查看原因，修正后重新安排', en: 'Look why, mend it, and give them another try' },
  },
  clockWithoutJob: {
    chapter: 'messages-or-clocks-late',
    says: { zh: '{n} 个时限已到期而没有任务', en: '{n} clocks have passed their point and have no job' },
    todo: { zh: '为它们重新安排任务', en: 'Give them a job again' },
  },
  unsent: {
    chapter: 'messages-or-clocks-late',
    says: { zh: '一天内有 {n} 条消息没有送达 {of}', en: '{n} messages of the last day reached nobody ({of})' },
    todo: { zh: '核对联系方式与消息渠道', en: 'Check the contacts and the channels' },
  },
  behind: {
    chapter: 'too-much-work',
    says: { zh: '任务需等待工作进程 {age}', en: 'Tasks wait {age} for a worker' },
    todo: { zh: '增加工作进程', en: 'Add workers' },
  },
  connections: {
    chapter: 'too-much-work',
    says: { zh: 'Postgres 连接数已达 {n}', en: 'Postgres has {n} connections, more than 85 % of what it takes' },
    todo: { zh: '减少进程或提高上限', en: 'Run fewer processes or raise the limit' },
  },
} as const satisfies Readonly<Record<string, Described>>;
export type Finding = keyof typeof findings;

function span(seconds: number, language: Language): string {
  const [unit, n] = seconds < 120 ? ['s', seconds] : seconds < 7200 ? ['m', seconds / 60] : seconds < 172_800 ? ['h', seconds / 3600] : ['d', seconds / 86_400];
  const words = { s: ['秒', 's'], m: ['分钟', 'min'], h: ['小时', 'h'], d: ['天', 'days'] } as const;
  const [zh, en] = words[unit as keyof typeof words];
  return `${Math.floor(n)} ${language === 'zh' ? zh : en}`;
}

/** A finding as it is told: what is wrong, what to do, and where more is written. */
export function told({ what, n, of, age }: Found, language: Language): { readonly says: string; readonly todo: string; readonly chapter: string } {
  const { says, todo, chapter } = findings[what];
  const filled = says[language]
    .replace('{n}', String(n))
    .replace('{of}', of ?? '')
    .replace('{age}', span(age ?? 0, language));
  return { says: filled, todo: todo[language], chapter: `${runbook}#${chapter}` };
}
