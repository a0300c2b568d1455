/** What the holder of a link may do to its case, for the JSON API and the page alike. */
import type { Request } from 'express';
import type { CaseRow } from '../../db/cases.ts';
import { Refused } from '../../db/refused.ts';
import { findTask } from '../../db/tasks.ts';
import { taskId } from '../../values/ids.ts';
import { customerOf, type Acting } from '../acting.ts';
import type { AppDeps } from '../deps.ts';
import type { Language } from '../language.ts';
import { Problem } from '../problems.ts';
import type { Uploaded, Uploads } from '../uploads.ts';
import type { Arrived, Delivered } from '../views.ts';
import { customerEvents } from './follow.ts';

export interface Customer {
  /** `path` is the task's place in its case. */
  complete(row: CaseRow, path: string, form: unknown, language: Language): Promise<Delivered>;
  tell(
    row: CaseRow,
    happened: { readonly event: string; readonly eventId: string; readonly payload: unknown },
    language: Language,
  ): Promise<Arrived & { readonly duplicate: boolean }>;
  upload(request: Request, row: CaseRow, language: Language, check?: (fields: ReadonlyMap<string, string>) => void): Promise<Uploaded>;
  withdraw(row: CaseRow, why: { readonly reason: string; readonly note?: string | undefined }): Promise<Arrived>;
}

export function createCustomer({ pool, processes }: AppDeps, acting: Acting, uploads: Uploads): Customer {
  return {
    async complete(row, path, form, language) {
      const task = await findTask(pool, taskId(row.id, path));
      // Of our own tasks a customer does not learn that they exist.
      if (task?.role !== 'customer') throw new Problem('taskNotFound', { task: path });
      try {
        const { delivery } = await acting.complete(task.id, form, { person: customerOf(row), language });
        return delivery;
      } catch (error) {
        // Nor who of us, or which system, has answered for them.
        if (error instanceof Refused && error.why === 'taskClosed') throw new Problem('choiceMade', { at: error.facts['at'] });
        throw error;
      }
    },
    async tell(row, happened, language) {
      const may = customerEvents(processes.get(row.process)?.declaration.events);
      const declared = may.find(([name]) => name === happened.event)?.[1];
      if (declared === undefined) throw new Problem('unknownEvent', { event: happened.event, of: row.process, known: may.map(([name]) => name) });
      return acting.send(row, declared, happened, { person: customerOf(row), language });
    },
    upload: (request, row, language, check) => uploads.take(request, row, { person: customerOf(row), language }, check),
    withdraw: (row, why) => acting.withdraw(row, why, customerOf(row)),
  };
}
