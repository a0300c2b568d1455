/** Who may call what, in one place. A route that is not here does not compile, and what is not granted is refused. */
import type { Role } from '../values/role.ts';

/** `public`: anyone. `signed`: whoever holds the source's webhook secret. `link`: whoever holds a customer's link, for its case. Otherwise: who has one of the roles. */
type Access = 'public' | 'signed' | 'link' | readonly Role[];

export const desk = ['agent', 'supervisor', 'manager'] as const satisfies readonly Role[];
const heads = ['supervisor', 'manager'] as const satisfies readonly Role[];
/** Everyone who works on cases in the service department and beside it. */
const staff = [...desk, 'warehouse', 'quality', 'production', 'finance', 'tech', 'rnd', 'sales', 'ops'] as const satisfies readonly Role[];

export const access = {
  health: 'public',
  ready: 'public',
  metrics: 'public',
  document: 'public',
  docs: 'public',
  docsFile: 'public',
  problemPage: 'public',

  listProcesses: [...staff, 'upstream'],
  getProcess: [...staff, 'upstream'],

  startCase: [...desk, 'upstream'],
  listCases: [...staff, 'upstream'],
  getCase: [...staff, 'upstream'],
  getTimeline: [...staff, 'upstream'],
  withdrawCase: [...desk, 'upstream'],
  sendEvent: [...desk, 'upstream'],
  addNote: [...staff, 'upstream'],
  // Masked: that there is something, not what.
  readNotes: staff,
  // Words and photos unmasked: the desk, and whoever is at work on a task of the case (looking.ts); each look is a row.
  lookAtCase: staff,
  lookAtEvidence: staff,
  redoEffect: [...heads, 'ops'],
  addEvidence: [...staff, 'upstream'],
  listEvidence: [...staff, 'upstream'],
  makeLink: [...desk, 'upstream'],
  listLinks: [...desk, 'upstream'],
  revokeLink: [...desk, 'upstream'],

  // A customer's tasks are completed by upstream systems on their behalf.
  listTasks: [...staff, 'upstream'],
  getTask: [...staff, 'upstream'],
  nextTask: staff,
  claimTask: staff,
  releaseTask: staff,
  delegateTask: staff,
  reassignTask: heads,
  holdTask: staff,
  completeTask: [...staff, 'upstream'],
  bulkTasks: staff,

  receiveWebhook: 'signed',

  customerFollow: 'link',
  customerComplete: 'link',
  customerEvent: 'link',
  customerUpload: 'link',
  customerEvidence: 'link',
  customerWithdraw: 'link',
  customerPage: 'link',
  customerPageAct: 'link',
  customerPageUpload: 'link',
  customerPageBack: 'link',
  customerStyle: 'public',

  listPeople: ['manager'],
  putPerson: ['manager'],

  listLooks: ['manager'],
  exportCustomer: ['manager'],
  eraseCustomer: ['manager'],

  reportReturns: heads,

  computeDeadline: [...staff, 'upstream'],
  computeElapsed: [...staff, 'upstream'],
} as const satisfies Record<string, Access>;
export type OperationId = keyof typeof access;
