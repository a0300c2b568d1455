/** Who may call what, in one place. A route that is not here does not compile, and what is not granted is refused. */
import type { Role } from '../values/role.ts';

/** `public`: anyone. `signed`: whoever holds the source's webhook secret. `link`: whoever holds a customer's link, for its case. Otherwise: who has one of the roles. */
type Access = 'public' | 'signed' | 'link' | readonly Role[];

const desk = ['agent', 'supervisor', 'manager'] as const satisfies readonly Role[];
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
  // Words that people wrote may hold personal data: the desk only, and each look is logged.
  readNotes: desk,
  redoEffect: [...heads, 'ops'],
  addEvidence: [...staff, 'upstream'],
  listEvidence: [...staff, 'upstream'],
  // Photos show homes and people: the desk and who inspects the goods, and each look is logged.
  readEvidence: [...desk, 'quality'],
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

  reportReturns: heads,

  computeDeadline: [...staff, 'upstream'],
  computeElapsed: [...staff, 'upstream'],
} as const satisfies Record<string, Access>;
export type OperationId = keyof typeof access;
