/** What the page says of its own. What is a process's comes from its declaration and `messages.yaml`. */
import type { Language, Text } from '../language.ts';
import type { ProblemCode } from '../problems.ts';

export const texts = {
  skip: { zh: '跳到主要内容', en: 'Skip to the content' },
  other: { zh: 'English', en: '中文' },
  languages: { zh: '语言', en: 'Language' },
  order: { zh: '订单', en: 'Order' },
  since: { zh: '申请时间', en: 'Since' },
  until: { zh: '结束时间', en: 'Ended' },
  progress: { zh: '进度', en: 'Progress' },
  done: { zh: '已完成', en: 'done' },
  current: { zh: '进行中', en: 'now' },
  ahead: { zh: '待进行', en: 'to come' },
  outcome: { zh: '处理结果', en: 'Result' },
  yourTurn: { zh: '等您处理', en: 'Your turn' },
  answerBy: { zh: '请在此时间前答复：', en: 'Please answer by' },
  submit: { zh: '提交', en: 'Send' },
  confirm: { zh: '确认', en: 'Confirm' },
  optional: { zh: '选填', en: 'optional' },
  yes: { zh: '是', en: 'Yes' },
  no: { zh: '否', en: 'No' },
  currency: { zh: '币种', en: 'Currency' },
  amountHint: { zh: '例如 12.50', en: 'such as 12.50' },
  cannotAsk: { zh: '此项无法在页面上填写，请联系客服。', en: 'This cannot be answered here. Please talk to our service.' },
  tellUs: { zh: '告诉我们', en: 'Tell us' },
  evidence: { zh: '照片和视频', en: 'Photos and videos' },
  noEvidence: { zh: '还没有上传。', en: 'Nothing uploaded yet.' },
  photo: { zh: '照片', en: 'Photo' },
  video: { zh: '视频', en: 'Video' },
  view: { zh: '下载', en: 'Download' },
  choose: { zh: '选择照片或视频', en: 'Choose photos or videos' },
  upload: { zh: '上传', en: 'Upload' },
  told: { zh: '我们的消息', en: 'What we told you' },
  said: { zh: '您告诉我们的', en: 'What you told us' },
  thisPage: { zh: '本页面', en: 'this page' },
  nothingTold: { zh: '还没有消息。', en: 'No messages yet.' },
  withdraw: { zh: '撤回申请', en: 'Withdraw the request' },
  withdrawWhy: { zh: '请告诉我们原因', en: 'Please tell us why' },
  withdrawReally: {
    zh: '撤回后，我们会停止处理；已寄出的商品会寄回给您。撤回不能取消，如有需要可重新申请。',
    en: 'We stop working on it; goods that are on their way to us go back to you. This cannot be taken back, but you can ask again.',
  },
  withdrawYes: { zh: '确认撤回', en: 'Yes, withdraw it' },
  withdrawNo: { zh: '不撤回，返回', en: 'No, go back' },
  withdrawAsked: { zh: '已收到您的撤回申请，正在处理。', en: 'You asked to withdraw it; we are seeing to it.' },
  failed: { zh: '没有成功', en: 'That did not work' },
  privacy: {
    zh: '此链接仅供您本人使用，请勿转发。您上传的内容加密保存，只有处理您申请的客服可以查看。',
    en: 'This link is yours alone: please do not pass it on. What you upload is kept encrypted, and only those who work on your request see it.',
  },
  back: { zh: '返回', en: 'Back' },
} as const satisfies Record<string, Text>;

/** How every case can end; the other ends are its process's. */
export const ends = {
  withdrawn: { zh: '已按您的要求撤回。', en: 'Withdrawn as you asked.' },
  failed: { zh: '未能办成，已做的都已撤回。客服会与您联系。', en: 'It could not be done, and what was done was taken back. Our service will talk to you.' },
} as const satisfies Record<string, Text>;

/** Reasons to withdraw, as codes that are counted. */
export const withdrawReasons = {
  changedMind: { zh: '改变主意，不需要了', en: 'I changed my mind' },
  solvedOtherwise: { zh: '问题已通过其他方式解决', en: 'It was solved another way' },
  askedByMistake: { zh: '误操作提交', en: 'I asked by mistake' },
  otherReason: { zh: '其他原因', en: 'Another reason' },
} as const satisfies Record<string, Text>;

/** What a page says once something was done. */
export const done = {
  answered: { zh: '已收到您的答复，谢谢。', en: 'We have your answer. Thank you.' },
  told: { zh: '已收到，谢谢您告诉我们。', en: 'We have it. Thank you for telling us.' },
  uploaded: { zh: '上传成功，我们会尽快查看。', en: 'Uploaded. We will look at it soon.' },
  repeated: { zh: '这些文件之前已经上传过了。', en: 'We have these files already.' },
  withdrawn: { zh: '已收到您的撤回申请。', en: 'We have your request to withdraw it.' },
} as const satisfies Record<string, Text>;
export type Done = keyof typeof done;

/** What is wrong with an answer, by the kind of its question. */
export const unclear = {
  choice: { zh: '请选择一项。', en: 'Choose one.' },
  yesNo: { zh: '请选择是或否。', en: 'Choose yes or no.' },
  text: { zh: '请填写，最多 {most} 字。', en: 'Fill it in, with {most} characters at most.' },
  number: { zh: '请填写数字。', en: 'Fill in a number.' },
  money: { zh: '请填写金额，例如 12.50。', en: 'Fill in an amount, such as 12.50.' },
  other: { zh: '请检查这一项。', en: 'Please check this.' },
} as const satisfies Record<string, Text>;

/** Problems in a customer's words; one that is not here is said as the API says it. */
const problemTexts: Partial<Record<ProblemCode, Text>> = {
  invalid: { zh: '有些内容需要更正，请查看下方标出的项目。', en: 'Some answers need another look; they are marked below.' },
  choiceMade: { zh: '此项已经处理过了，无需再操作。下面是最新进度。', en: 'This was answered or closed before. Below is where things stand now.' },
  taskNotFound: { zh: '此项已经处理过了，无需再操作。下面是最新进度。', en: 'This was answered or closed before. Below is where things stand now.' },
  unknownEvent: { zh: '现在不能提交此项内容。下面是最新进度。', en: 'This cannot be sent now. Below is where things stand now.' },
  eventConflict: { zh: '刚才已经提交过不同的内容，以先提交的为准。', en: 'You sent something else a moment ago; what came first stands.' },
  caseEnded: { zh: '申请已经结束，不能再撤回。', en: 'The request has ended and cannot be withdrawn any more.' },
  noReturn: {
    zh: '申请已进入结算，不能再撤回。如需更正，请联系客服。',
    en: 'It is being settled and cannot be withdrawn any more. To change something, talk to our service.',
  },
  formForged: { zh: '页面已过期，请重新提交一次。', en: 'The page was out of date. Please send it once more.' },
  noFile: { zh: '请先选择至少一个非空的文件。', en: 'Choose at least one file that is not empty first.' },
  fileType: { zh: '只能上传照片或视频。', en: 'Only photos and videos can be uploaded.' },
  evidenceFull: { zh: '文件数量已达上限（{most} 个），不能再上传。', en: 'There are {most} files already, as many as one request takes.' },
  inboxFull: { zh: '提交次数过多，请联系客服。', en: 'Too much was sent for this request. Please talk to our service.' },
  tooMany: { zh: '操作过于频繁，请一分钟后再试。', en: 'That was too fast. Please try again in a minute.' },
  tooLarge: { zh: '内容过长，请缩短后再提交。', en: 'That is too long. Make it shorter and send it again.' },
  malformed: { zh: '没有收到完整内容，请再试一次。', en: 'It did not arrive whole. Please try again.' },
  internal: { zh: '系统出错，已记录。请稍后再试。', en: 'A fault of ours; it is logged. Please try again later.' },
  unavailable: { zh: '系统暂时不可用，没有保存任何内容。请稍后再试。', en: 'We cannot be reached for the moment; nothing was saved. Please try again soon.' },
  busy: { zh: '系统繁忙，没有保存任何内容。请稍后再试。', en: 'We are busy for the moment; nothing was saved. Please try again.' },
};
export const problemText = (code: ProblemCode, language: Language): string | undefined => problemTexts[code]?.[language];
