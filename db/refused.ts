/** Why the database layer refuses what someone asked. The API makes a problem of it; nothing was written. */
export type Refusal =
  | 'taskNotFound'
  | 'taskClosed'
  | 'taskClaimed'
  | 'notAuthorized'
  | 'formInvalid'
  | 'fourEyes'
  | 'personNotFound'
  | 'personNotFit'
  | 'caseNotFound'
  | 'effectNotFound'
  | 'effectNotDone'
  | 'redoAsked'
  | 'linkNotFound'
  | 'tooManyLinks'
  | 'evidenceNotFound'
  | 'evidenceFull'
  | 'customerNotFound'
  | 'customerHasOpenCases';

export class Refused extends Error {
  override readonly name = 'Refused';
  readonly why: Refusal;
  /** What the words of the problem name: ids, roles, instants; no personal data. */
  readonly facts: Readonly<Record<string, unknown>>;
  constructor(why: Refusal, facts: Readonly<Record<string, unknown>> = {}) {
    super(`${why} ${JSON.stringify(facts)}`);
    this.why = why;
    this.facts = facts;
  }
}
