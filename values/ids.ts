/** A case's id, which is its workflow's id: `<process>.<key parts>`, percent-encoded. */
export type CaseId = string & { readonly _: 'CaseId' };
export type TaskId = string & { readonly _: 'TaskId' };
export type PersonId = string & { readonly _: 'PersonId' };
/** The key under which an outside system sees an effect: case id and the step's path in it. */
export type EffectKey = string & { readonly _: 'EffectKey' };

/** The dot joins the parts, so a dot inside a part is encoded too: `a.b, c` and `a, b.c` are two cases. */
const part = (text: string): string => encodeURIComponent(text).replaceAll('.', '%2E');

/** The case id of a process and its business key. Same key, same id, whoever asks and whenever. */
export const caseId = (process: string, key: readonly string[]): CaseId => [process, ...key].map(part).join('.') as CaseId;

/** What an outside system gets as Idempotency-Key for a step of a case. */
export const effectKey = (of: CaseId, path: string): EffectKey => `${of}/${path}` as EffectKey;

/** The task row's id: the case and the task's path in it, so that a re-executed workflow finds the row it opened. */
export const taskId = (of: CaseId, path: string): TaskId => `${of}:${path}` as TaskId;
