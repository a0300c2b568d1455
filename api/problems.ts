/** Every problem this API answers with (RFC 9457), in one place: its status, and in words what it means and what to do. */
import type { Refusal, Refused } from '../db/refused.ts';
import type { Language, Text } from './language.ts';

interface Kind {
  readonly status: number;
  readonly title: Text;
  /** What to do; `{name}` is filled from the facts. */
  readonly detail: Text;
}

export const problems = {
  malformed: {
    status: 400,
    title: { zh: '请求无法读取', en: 'The request cannot be read' },
    detail: { zh: '请检查请求体是否为合法的 JSON，以及地址中的百分号编码。', en: 'Send well-formed JSON, and percent-encode ids in the address.' },
  },
  unauthenticated: {
    status: 401,
    title: { zh: '未登录或令牌无效', en: 'No valid token' },
    detail: {
      zh: '请在请求头 Authorization 中携带 "Bearer <令牌>"。令牌缺失、过期、签名不符或不是发给本服务的，都会被拒绝。',
      en: 'Send the header Authorization: Bearer <token>. A token that is missing, expired, not signed by us or meant for another service is refused.',
    },
  },
  badSignature: {
    status: 401,
    title: { zh: '签名无效或已过期', en: 'Signature bad or stale' },
    detail: {
      zh: '请按 Standard Webhooks 用约定的密钥对原始请求体签名，时间戳与当前时间相差不超过 5 分钟；重发时请重新签名。',
      en: 'Sign the raw body per Standard Webhooks with the agreed secret, with a timestamp within 5 minutes of now; sign again when you send again.',
    },
  },
  linkInvalid: {
    status: 401,
    title: { zh: '链接无效', en: 'The link is not valid' },
    detail: {
      zh: '请完整复制我们消息中的链接；如仍无法打开，请联系客服重新发送。',
      en: 'Copy the link from our message whole. If it still does not open, ask our service for a new one.',
    },
  },
  forbidden: {
    status: 403,
    title: { zh: '没有权限', en: 'Not allowed' },
    detail: {
      zh: '“{person}”没有此操作所需的角色（{needs}）。请由具备该角色的同事处理，或请经理调整角色。',
      en: '"{person}" has none of the roles that may do this ({needs}). Ask a colleague who has, or a manager to change the roles.',
    },
  },
  unknownPerson: {
    status: 403,
    title: { zh: '人员未登记或已停用', en: 'Person unknown or inactive' },
    detail: {
      zh: '令牌有效，但“{person}”未登记或已停用。请经理登记（PUT /v1/people）。',
      en: 'The token is valid, but "{person}" is not registered or not active. A manager can register them (PUT /v1/people).',
    },
  },
  otherShop: {
    status: 403,
    title: { zh: '不在您的店铺范围', en: 'Not your shop' },
    detail: {
      zh: '“{person}”不服务店铺 {shop}。请由该店铺的同事处理，或请经理调整店铺范围。',
      en: '"{person}" does not serve shop {shop}. Ask a colleague who does, or a manager to add it.',
    },
  },
  personTaken: {
    status: 403,
    title: { zh: '编号已被使用', en: 'The id is taken' },
    detail: {
      zh: '编号“{person}”属于您店铺范围以外的人。请使用其他编号，或请负责全部店铺的经理处理。',
      en: '"{person}" is somebody outside your shops. Use another id, or ask a manager of every shop.',
    },
  },
  notAuthorized: {
    status: 403,
    title: { zh: '权限不足', en: 'Not enough authority' },
    detail: { zh: '此任务现在由“{needs}”决定。', en: 'This task is now decided by the role "{needs}".' },
  },
  fourEyes: {
    status: 403,
    title: { zh: '须由他人决定', en: 'Someone else has to decide' },
    detail: {
      zh: '“{person}”参与过 {of}（{because}），不能再决定此任务。请由其他同事处理。',
      en: '"{person}" had a hand in {of} ({because}) and may not decide this one. Leave it to a colleague.',
    },
  },
  lookNotAllowed: {
    status: 403,
    title: { zh: '不能查看客户资料', en: 'Not yours to look at' },
    detail: {
      zh: '客户的文字和凭证只有客服人员，以及已领取案件 {case} 待办任务的人可以查看。请先领取任务。',
      en: 'What a customer wrote and sent is for the service desk, and for who has claimed an open task of case {case}. Claim the task first.',
    },
  },
  formForged: {
    status: 403,
    title: { zh: '请重新打开页面', en: 'Open the page again' },
    detail: { zh: '提交的内容不是来自本页面。请重新打开链接后再试。', en: 'What was sent did not come from our page. Open the link again and repeat it.' },
  },
  otherOrigin: {
    status: 403,
    title: { zh: '不允许此来源的页面', en: 'Not from this page' },
    detail: {
      zh: '来自“{origin}”的页面不能调用；允许：{known}。请以该地址打开 Temporal 页面，或更正 TEMPORAL_UI_URL。',
      en: 'Pages of "{origin}" may not call this; these may: {known}. Open Temporal\'s page by that address, or correct TEMPORAL_UI_URL.',
    },
  },
  otherNamespace: {
    status: 403,
    title: { zh: '命名空间不符', en: 'Another namespace' },
    detail: {
      zh: '请求头 X-Namespace 为“{namespace}”；此服务只处理命名空间 {own}。',
      en: 'X-Namespace says "{namespace}"; here only payloads of namespace {own} are opened.',
    },
  },
  notFound: {
    status: 404,
    title: { zh: '地址不存在', en: 'No such address' },
    detail: { zh: '请查看 /docs 中的地址。', en: 'The addresses that exist are at /docs.' },
  },
  unknownProcess: {
    status: 404,
    title: { zh: '没有此流程', en: 'No such process' },
    detail: { zh: '没有名为“{process}”的流程；现有：{known}。', en: 'There is no process "{process}"; there are: {known}.' },
  },
  caseNotFound: {
    status: 404,
    title: { zh: '没有此案件', en: 'No such case' },
    detail: { zh: '您的店铺范围内没有案件 {case}。', en: 'There is no case {case} in your shops.' },
  },
  taskNotFound: {
    status: 404,
    title: { zh: '没有此任务', en: 'No such task' },
    detail: { zh: '您的店铺范围内没有任务 {task}。', en: 'There is no task {task} in your shops.' },
  },
  unknownEvent: {
    status: 404,
    title: { zh: '没有此事件', en: 'No such event' },
    detail: { zh: '“{of}”不接收事件“{event}”；可接收：{known}。', en: '"{of}" takes no event "{event}" here; it takes: {known}.' },
  },
  unknownSource: {
    status: 404,
    title: { zh: '没有此来源', en: 'No such source' },
    detail: { zh: '没有名为“{source}”的外部系统。', en: 'There is no outside system "{source}".' },
  },
  linkNotFound: {
    status: 404,
    title: { zh: '没有此链接', en: 'No such link' },
    detail: { zh: '案件 {case} 没有链接 {link}。', en: 'Case {case} has no link {link}.' },
  },
  evidenceNotFound: {
    status: 404,
    title: { zh: '没有此凭证', en: 'No such evidence' },
    detail: { zh: '您的店铺范围内没有凭证 {evidence}。', en: 'There is no evidence {evidence} in your shops.' },
  },
  effectNotFound: {
    status: 404,
    title: { zh: '没有此操作记录', en: 'No such effect' },
    detail: { zh: '案件 {case} 没有记录 {effect}。', en: 'Case {case} has recorded no effect {effect}.' },
  },
  personNotFound: {
    status: 404,
    title: { zh: '没有此人', en: 'No such person' },
    detail: { zh: '没有登记“{person}”。', en: 'Nobody is registered as "{person}".' },
  },
  customerNotFound: {
    status: 404,
    title: { zh: '没有此客户', en: 'No such customer' },
    detail: { zh: '没有客户 {customer} 的案件。', en: 'There is no case of customer {customer}.' },
  },
  methodNotAllowed: {
    status: 405,
    title: { zh: '不支持此方法', en: 'Method not allowed' },
    detail: { zh: '此地址支持：{allow}。', en: 'This address takes: {allow}.' },
  },
  taskClosed: {
    status: 409,
    title: { zh: '任务已结束', en: 'The task is closed' },
    detail: { zh: '任务已于 {at} 结束（{status}，{by}）。无需再处理。', en: 'It was closed at {at} ({status}, by {by}). Nothing is left to do.' },
  },
  choiceMade: {
    status: 409,
    title: { zh: '已经处理过了', en: 'This was answered before' },
    detail: { zh: '此项已于 {at} 处理完毕，无需再操作。', en: 'It was answered or closed at {at}. Nothing is left to do.' },
  },
  taskClaimed: {
    status: 409,
    title: { zh: '任务已被领取', en: 'The task is claimed' },
    detail: { zh: '“{by}”已领取此任务。请其释放，或请主管改派。', en: '"{by}" has claimed it. Ask them to release it, or a supervisor to reassign it.' },
  },
  formChanged: {
    status: 409,
    title: { zh: '表单已变更', en: 'The form has changed' },
    detail: {
      zh: '此任务以第 {was} 版表单打开，现行为第 {now} 版，且不兼容。请运维处理该案件。',
      en: 'The task was opened with version {was} of its form, now version {now}, which it cannot take. Operations have to look at the case.',
    },
  },
  caseConflict: {
    status: 409,
    title: { zh: '同一业务键已有不同内容', en: 'Same key, other input' },
    detail: {
      zh: '案件 {case} 已以其他内容提交，差异见 differences。若为新的申请，请使用新的请求编号。',
      en: 'Case {case} was opened with another input; differences names where. If this is a new request, give it a key of its own.',
    },
  },
  eventConflict: {
    status: 409,
    title: { zh: '同一事件编号已有不同内容', en: 'Same event id, other content' },
    detail: {
      zh: '事件编号 {eventId} 已以其他内容提交，原内容有效。新的事件请使用新的编号。',
      en: 'Event id {eventId} was sent with another content, which stands. Give a new event an id of its own.',
    },
  },
  caseEnded: {
    status: 409,
    title: { zh: '案件已结束', en: 'The case has ended' },
    detail: { zh: '案件 {case} 已结束（{status}），不能再撤回。', en: 'Case {case} has ended ({status}) and cannot be withdrawn.' },
  },
  noReturn: {
    status: 409,
    title: { zh: '已不可撤回', en: 'Past withdrawal' },
    detail: {
      zh: '案件 {case} 已进入结算，不能再撤回。如需更正，请发起新的申请。',
      en: 'Case {case} is being settled and can no longer be withdrawn. To change something, open a new one.',
    },
  },
  effectNotDone: {
    status: 409,
    title: { zh: '操作尚未完成', en: 'The effect is not done' },
    detail: { zh: '{effect} 尚无结果，不能重做。请先处理其修复任务。', en: '{effect} has no answer yet and cannot be redone. Its repair task comes first.' },
  },
  redoAsked: {
    status: 409,
    title: { zh: '已有待审批的重做', en: 'A redo is waiting already' },
    detail: { zh: '{effect} 的重做正在等待审批：{task}。', en: 'A redo of {effect} waits for its approval: {task}.' },
  },
  customerHasOpenCases: {
    status: 409,
    title: { zh: '客户还有未结束的案件', en: 'The customer has open cases' },
    detail: {
      zh: '请先办完或撤回这些案件（POST /v1/cases/…/withdraw），再删除客户 {customer} 的资料：{cases}。',
      en: 'Finish or withdraw these first (POST /v1/cases/…/withdraw), then erase customer {customer}: {cases}.',
    },
  },
  tooManyLinks: {
    status: 409,
    title: { zh: '链接过多', en: 'Too many links' },
    detail: {
      zh: '案件 {case} 已有 {most} 个有效链接。请先撤销不再需要的链接。',
      en: 'Case {case} has {most} links that hold. Revoke those that nobody needs.',
    },
  },
  linkExpired: {
    status: 410,
    title: { zh: '链接已过期', en: 'The link has expired' },
    detail: { zh: '请使用我们最近一条消息中的链接，或联系客服重新发送。', en: 'Use the link in our latest message, or ask our service for a new one.' },
  },
  linkRevoked: {
    status: 410,
    title: { zh: '链接已停用', en: 'The link was withdrawn' },
    detail: { zh: '此链接已被客服停用。请联系客服获取新的链接。', en: 'Our service has withdrawn this link. Ask them for a new one.' },
  },
  evidenceErased: {
    status: 410,
    title: { zh: '内容已删除', en: 'The content was erased' },
    detail: { zh: '该客户的资料已按要求删除，凭证 {evidence} 不可恢复。', en: "The customer's data was erased; evidence {evidence} cannot be recovered." },
  },
  tooLarge: {
    status: 413,
    title: { zh: '请求过大', en: 'The request is too large' },
    detail: { zh: '请求体不得超过 1 MB。', en: 'A body may have 1 MB at most.' },
  },
  payloadsTooLarge: {
    status: 413,
    title: { zh: '请求过大', en: 'The request is too large' },
    detail: { zh: '一次最多 {megabytes} MB，请分次发送。', en: 'A call may have {megabytes} MB at most. Send the payloads in several.' },
  },
  fileTooLarge: {
    status: 413,
    title: { zh: '文件过大', en: 'The file is too large' },
    detail: {
      zh: '此类文件最大 {megabytes} MB。请压缩或截短后重新上传。',
      en: 'A file of this kind may have {megabytes} MB at most. Make it smaller or shorter.',
    },
  },
  fileType: {
    status: 415,
    title: { zh: '不支持此文件类型', en: 'This type of file is not taken' },
    detail: {
      zh: '请上传照片或视频（{types}）。类型以文件内容为准，与文件名无关。',
      en: 'Upload a photo or a video ({types}). What counts is what the file holds, not its name.',
    },
  },
  notMultipart: {
    status: 415,
    title: { zh: '请以表单方式上传', en: 'Upload as a form' },
    detail: {
      zh: '请求头 Content-Type 须为 multipart/form-data，每个文件一个 file 字段。',
      en: 'Content-Type has to be multipart/form-data, with a part named file for each file.',
    },
  },
  notForm: {
    status: 415,
    title: { zh: '请以表单方式提交', en: 'Send a form' },
    detail: { zh: '请求头 Content-Type 须为 application/x-www-form-urlencoded。', en: 'Content-Type has to be application/x-www-form-urlencoded.' },
  },
  notJson: {
    status: 415,
    title: { zh: '请发送 JSON', en: 'Send JSON' },
    detail: { zh: '请求头 Content-Type 须为 application/json，字符集 UTF-8。', en: 'Content-Type has to be application/json, in UTF-8.' },
  },
  invalid: {
    status: 422,
    title: { zh: '内容不符合要求', en: 'Some values do not fit' },
    detail: { zh: '请按 errors 中每个 path 的说明更正后重发。', en: 'Correct what errors names, path by path, and send again.' },
  },
  notOpened: {
    status: 422,
    title: { zh: '内容无法解密', en: 'A payload does not open' },
    detail: {
      zh: '第 {at} 个内容（从 0 起）无法解密：{why}。可能已被改动，或其密钥已停用（见 docs/keys.md）。',
      en: 'Payload {at}, counted from 0, does not open: {why}. It was changed, or its key has been retired (docs/keys.md).',
    },
  },
  noFile: {
    status: 422,
    title: { zh: '没有收到文件', en: 'No file came' },
    detail: { zh: '请选择至少一个非空的文件。', en: 'Choose at least one file that is not empty.' },
  },
  personNotFit: {
    status: 422,
    title: { zh: '此人不能接手', en: 'This person cannot take it' },
    detail: { zh: '“{person}”不能接手（{lacks}）。需要角色 {needs}。', en: '"{person}" cannot take it ({lacks}). It needs the role {needs}.' },
  },
  tooMany: {
    status: 429,
    title: { zh: '请求过于频繁', en: 'Too many requests' },
    detail: { zh: '请按 Retry-After 等待后重试。', en: 'Wait as Retry-After says, then go on.' },
  },
  inboxFull: {
    status: 429,
    title: { zh: '案件消息过多', en: 'Too many events for this case' },
    detail: { zh: '案件 {case} 已收到的事件达到上限，不再接收。请联系运维。', en: 'Case {case} has taken as many events as a case may. Talk to operations.' },
  },
  evidenceFull: {
    status: 429,
    title: { zh: '文件数量已达上限', en: 'Too many files for this case' },
    detail: { zh: '一个案件最多 {most} 个文件，已全部用完。', en: 'A case takes {most} files, and it has them.' },
  },
  internal: {
    status: 500,
    title: { zh: '内部错误', en: 'Internal error' },
    detail: {
      zh: '我们的程序出错，已记录。重试是安全的；请提供 requestId。',
      en: 'A fault of ours; it is logged. To repeat the request is safe; name the requestId when you report it.',
    },
  },
  keysAway: {
    status: 503,
    title: { zh: '暂时无法验证令牌', en: 'Tokens cannot be checked for the moment' },
    detail: {
      zh: '身份提供方的密钥暂时无法获取。请按 Retry-After 重试。',
      en: "The identity provider's keys cannot be reached. Try again as Retry-After says.",
    },
  },
  busy: {
    status: 503,
    title: { zh: '系统繁忙', en: 'Busy for the moment' },
    detail: {
      zh: '同一案件正被他人处理，本次未写入任何内容。请按 Retry-After 重试。',
      en: 'Others are at the same rows; nothing was written. Try again as Retry-After says.',
    },
  },
  overloaded: {
    status: 503,
    title: { zh: '请求过多，请稍候', en: 'More requests than can be worked on' },
    detail: {
      zh: '当前请求过多，本次未处理、未写入任何内容。请按 Retry-After 重试。',
      en: 'More came at once than can be worked on; nothing was written. Try again as Retry-After says.',
    },
  },
  backlogged: {
    status: 503,
    title: { zh: '暂不接收新案件', en: 'No new cases for the moment' },
    detail: {
      zh: '系统正在处理积压，暂不接收新案件；已受理案件的决定和事件照常接收。请按 Retry-After 重试。',
      en: 'The engine is behind with what it has; decisions and events of cases that were taken on still come in. Try again as Retry-After says.',
    },
  },
  unavailable: {
    status: 503,
    title: { zh: '暂时无法处理', en: 'Unavailable for the moment' },
    detail: {
      zh: '数据库暂时不可用，未写入任何内容。请按 Retry-After 重试。',
      en: 'The database cannot be reached; nothing was written. Try again as Retry-After says.',
    },
  },
} as const satisfies Record<string, Kind>;
export type ProblemCode = keyof typeof problems;

/** A field that does not fit: its dotted path in what was sent, and why. */
export interface FieldError {
  readonly path: string;
  readonly message: string;
}

/** Thrown anywhere below a route; nothing was written, or what was is rolled back. */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: ProblemCode;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly errors: readonly FieldError[] | undefined;
  /** Further members of the answer, such as `differences`. */
  readonly members: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
  constructor(
    code: ProblemCode,
    facts: Readonly<Record<string, unknown>> = {},
    more: {
      readonly errors?: readonly FieldError[];
      readonly members?: Readonly<Record<string, unknown>>;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ) {
    super(code);
    this.code = code;
    this.facts = facts;
    this.errors = more.errors;
    this.members = more.members ?? {};
    this.headers = more.headers ?? {};
  }
}

/** The database layer's refusals as problems: each has one of the same name, but for the form, which is invalid like any other body. */
const ofRefusal = (why: Refusal): ProblemCode => (why === 'formInvalid' ? 'invalid' : why);

export function problemOf(refused: Refused): Problem {
  const { errors, ...facts } = refused.facts;
  // Who lost a race learns who decided what, and when.
  const members = refused.why === 'taskClosed' ? { decided: facts } : {};
  return new Problem(ofRefusal(refused.why), facts, { members, ...(Array.isArray(errors) ? { errors: errors as FieldError[] } : {}) });
}

const inWords = (fact: unknown): string =>
  Array.isArray(fact) ? fact.join(', ') : typeof fact === 'string' ? fact : fact === null || fact === undefined ? '–' : JSON.stringify(fact);

/** A text about a problem, with its facts. */
export const filled = (text: string, { facts }: Problem): string => text.replaceAll(/\{(\w+)\}/g, (_, name: string) => inWords(facts[name]));

export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ProblemCode;
  readonly requestId: string;
  readonly errors?: readonly FieldError[];
}

export function problemBody(problem: Problem, language: Language, requestId: string): ProblemBody {
  const kind: Kind = problems[problem.code];
  return {
    type: `/problems/${problem.code}`,
    title: kind.title[language],
    status: kind.status,
    detail: filled(kind.detail[language], problem),
    code: problem.code,
    requestId,
    ...(problem.errors ? { errors: problem.errors } : {}),
    ...problem.members,
  };
}
