/** Clocks of a case for people: computed from their logs at this moment, by the computation that warns and escalates, so that what is explained is what holds. */
import { z } from 'zod';
import { explain, type Explanation } from '../activities/calendar.ts';
import { clockState, declareClock, whatStands, type ClockState } from '../activities/clock.ts';
import type { LoggedClock } from '../db/clocks.ts';
import { durationText } from '../policies/duration.ts';
import type { PolicyValues } from '../policies/schema.ts';
import { parseInstant, type Instant } from '../values/instant.ts';
import { clockTitle, pick, valueText, whoText, wordOf, type Reader } from './sentences.ts';
import { roleSchema } from './views.ts';

const at = z.iso.datetime();
export const clockSchema = z
  .object({
    clock: z.string().describe('Its place in the case'),
    name: z.string(),
    title: z.string(),
    policyClock: z.string().describe('T1 … T17, L1'),
    status: z
      .enum(['running', 'paused', 'met', 'broken', 'stopped'])
      .describe('`broken` while `endedAt` is null: its deadline has passed, and it escalates. `stopped`: it ended with the case, in time'),
    startedAt: at.nullable(),
    endedAt: at.nullable(),
    deadline: at.nullable().describe('Null before its start and while it is paused'),
    provisional: z.boolean().describe('A year on the way is not published yet; the deadline may move'),
    remainingMs: z.int().nullable().describe('Open time that is left: now, at the pause, or at the end'),
    pausedFor: z.array(z.string()),
    notices: z
      .array(z.object({ at: at.nullable(), percent: z.int().optional(), to: roleSchema.optional(), given: z.boolean() }))
      .describe('When it warns, and where it climbs'),
    text: z.string().describe('How it stands, for people'),
    explanation: z.array(z.string()).describe('How its deadline came about: calendar, pauses, days that were skipped'),
  })
  .meta({ id: 'Clock' });
export type ClockView = z.output<typeof clockSchema>;

/** The state of a logged clock at `now`. */
export function stateOf({ policyClock, notices, log }: LoggedClock, policy: PolicyValues, now: Instant): ClockState {
  const entries = log.map((entry) => ({ ...entry, at: parseInstant(entry.at) }));
  return clockState(declareClock(policy, policyClock), whatStands(entries), now, notices);
}

/** People who agreed on a later date. */
export const peopleOf = (clocks: readonly LoggedClock[]): string[] =>
  clocks.flatMap(({ log }) => log.flatMap(({ command }) => (command.kind === 'extend' ? [command.by] : [])));

export function clockView(clock: LoggedClock, policy: PolicyValues, now: Instant, reader: Reader): ClockView {
  const state = stateOf(clock, policy, now);
  const { status, startedAt, endedAt, deadline, provisional, remaining } = state;
  const pausedFor = state.pausedFor.map((why) => whyText(reader, why));
  return {
    clock: clock.clock,
    name: clock.name,
    title: clockTitle(reader, clock.policyClock, clock.name),
    policyClock: clock.policyClock,
    status,
    startedAt,
    endedAt,
    deadline,
    provisional,
    remainingMs: remaining,
    pausedFor,
    notices: [
      ...state.warnPoints.map(({ at: due, percent, sent }) => ({ at: due, percent, given: sent })),
      ...state.escalationPoints.map(({ at: due, to, sent }) => ({ at: due, to, given: sent })),
    ],
    text: standsText(reader, clock, state, pausedFor),
    explanation: explain(
      state.explanation.map((step) => inWords(reader, step)),
      reader.language,
      policy.calendars.zone,
    ),
  };
}

const whyText = (reader: Reader, why: string): string => wordOf(reader, why, 'pause') ?? why;
function inWords(reader: Reader, step: Explanation): Explanation {
  if (step.what === 'paused') return { ...step, reasons: step.reasons.map((why) => whyText(reader, why)) };
  return step.what === 'extended' ? { ...step, by: whoText(reader, step.by), why: whyText(reader, step.why) } : step;
}

function standsText(reader: Reader, { policyClock, name }: LoggedClock, state: ClockState, pausedFor: readonly string[]): string {
  const title = clockTitle(reader, policyClock, name);
  const { status, deadline, endedAt, remaining } = state;
  const provisional = state.provisional ? pick(reader, '（暂定）', ' (provisional)') : '';
  const due = deadline === null ? '' : pick(reader, `截止 ${valueText(reader, deadline)}${provisional}`, `due ${valueText(reader, deadline)}${provisional}`);
  const left = remaining === null ? '' : durationText({ ms: remaining - (remaining % 60_000) }, reader.language);
  switch (status) {
    case 'running':
      return pick(reader, `${title}：进行中，${due}`, `${title}: running, ${due}`);
    case 'paused':
      return pick(reader, `${title}：已暂停（${pausedFor.join('、')}），剩余 ${left}`, `${title}: paused (${pausedFor.join(', ')}), ${left} left`);
    case 'met':
      return pick(reader, `${title}：按时完成`, `${title}: met`);
    case 'broken':
      return endedAt === null
        ? pick(reader, `${title}：已超时，${due}`, `${title}: broken, was ${due}`)
        : pick(reader, `${title}：超时后完成，${due}`, `${title}: ended after its deadline, was ${due}`);
    case 'stopped':
      return state.startedAt === null
        ? pick(reader, `${title}：未开始`, `${title}: not started`)
        : pick(reader, `${title}：随案件结束而停止`, `${title}: ended with the case`);
  }
}
