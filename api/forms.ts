/** The forms of tasks: the declared ones, and those of the built-in tasks. */
import { z } from 'zod';
import { redoTask, type Filled, type Task } from '../db/tasks.ts';
import type { SystemContract } from '../systems/contract.ts';
import { freeText } from '../values/schemas.ts';
import { repairTask, type RepairForm } from '../workflows/kit/protocol.ts';
import type { Processes } from '../workflows/registry.ts';
import { inLanguage, type Language, type Text } from './language.ts';
import { fieldErrors } from './fields.ts';
import { Problem } from './problems.ts';
import { part, type Parted } from './words.ts';

export type Systems = Readonly<Record<string, SystemContract>>;
export interface Declared {
  readonly processes: Processes;
  readonly systems: Systems;
}

const note = freeText().describe('Why, in words; kept sealed, never part of the case');
const retry = z.object({ action: z.literal('retry'), note }).describe('Send it again, under the same key');
const giveUp = z.object({ action: z.literal('giveUp'), note }).describe('Nothing more is tried');
/** Of an operation whose result holds personal data, only the part that a process may see is asked for. */
const enterResult = (result: z.ZodType) =>
  z.object({ action: z.literal('enterResult'), result: result.describe("The operation's result, as the system would have answered"), note });

const enterError = (errors: readonly string[]) =>
  z.object({ action: z.literal('enterError'), error: z.enum(errors).describe('What the system refused it for'), note });

/** The repair of an operation whose result nobody knows (anything goes) or of a case that has grown too long (nothing to enter). */
const repairForm = z.discriminatedUnion('action', [
  retry,
  enterResult(z.unknown()),
  z.object({ action: z.literal('enterError'), error: z.string(), note }),
  giveUp,
]) satisfies z.ZodType<RepairForm>;
const redoForm = z.object({ decision: z.enum(['approve', 'refuse']), note });

export const builtIn: Readonly<Record<string, { readonly title: Text; readonly form: z.ZodType }>> = {
  [repairTask]: { title: { zh: '修复', en: 'Repair' }, form: repairForm },
  [redoTask]: { title: { zh: '审批重做', en: 'Approve a redo' }, form: redoForm },
};

const operationOf = (task: Task, systems: Systems) => systems[String(task.context['system'])]?.operations[String(task.context['operation'])];

/** The form that a task asks for. */
export function formOf(task: Task, { processes, systems }: Declared): z.ZodType {
  if (task.name === redoTask) return redoForm;
  if (task.name === repairTask) {
    const operation = operationOf(task, systems);
    if (operation === undefined) return z.discriminatedUnion('action', [retry, giveUp]);
    const entered = enterResult(operation.facts?.schema ?? operation.result);
    const { errors = [] } = operation;
    return errors.length === 0
      ? z.discriminatedUnion('action', [retry, entered, giveUp])
      : z.discriminatedUnion('action', [retry, entered, enterError(errors), giveUp]);
  }
  const declaration = processes.get(task.process)?.declaration;
  const form = declaration?.tasks[task.name]?.form;
  const now = declaration?.formVersion ?? 1;
  if (form === undefined || now !== task.formVersion)
    throw new Problem('formChanged', { task: task.id, was: task.formVersion, now: form === undefined ? null : now });
  return form;
}

export const titleOf = (task: Task, { processes }: Declared): Text =>
  processes.get(task.process)?.declaration.tasks[task.name]?.title ?? builtIn[task.name]?.title ?? { zh: task.name, en: task.name };

/** Checks what a person filled in against the task's form, and parts it. */
export const reader =
  (filled: unknown, declared: Declared, language: Language) =>
  (task: Task): Filled => {
    const form = formOf(task, declared);
    const parsed = form.safeParse(filled, inLanguage(language));
    if (!parsed.success) return { ok: false, errors: fieldErrors(parsed.error, 'form') };
    const { kept, words } = part(form, parsed.data);
    return { ok: true, form: kept, words };
  };

/** Parses by a declared schema and parts the words; the problem names the fields below `prefix`. */
export function parted(schema: z.ZodType, value: unknown, prefix: string, language: Language): Parted {
  const parsed = schema.safeParse(value, inLanguage(language));
  if (!parsed.success) throw new Problem('invalid', {}, { errors: fieldErrors(parsed.error, prefix) });
  return part(schema, parsed.data);
}
