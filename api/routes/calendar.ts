import { z } from 'zod';
import { calendarsOf, deadline, elapsed, explain } from '../../activities/calendar.ts';
import { serves, type Person } from '../../db/people.ts';
import { calendarNames, durationText, fits, parseDuration, type Duration } from '../../policies/duration.ts';
import { clockOf, policyFor } from '../../policies/lookup.ts';
import { instantSchema } from '../../values/schemas.ts';
import type { AppDeps } from '../deps.ts';
import { Problem } from '../problems.ts';
import { route, type Route } from '../route.ts';

const shop = z.string().min(1).max(200).optional().describe('Whose calendars; default: those of every shop');
const calendar = z.enum(calendarNames);
const explanation = z.array(z.string()).describe('How it came about, step by step, in the language of the request');
const at = z.iso.datetime();

const within = z
  .string()
  .max(50)
  .transform((text, context): Duration => {
    try {
      return parseDuration(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
      return z.NEVER;
    }
  })
  .meta({
    override: { type: 'string' },
    example: '3 working days',
    description: '30s, 10m, 24h, 3d, "3 working days", "1 warehouse day", "7 calendar days", "1 month"',
  });

/** The values of the own shops alone: what another one promises is its own business. */
function mustServe(person: Person, asked: string | undefined): void {
  if (asked !== undefined && !serves(person, asked)) throw new Problem('otherShop', { person: person.id, shop: asked });
}

/** The calendar refuses what it cannot follow: more than ten years, or dates that no calendar has. */
function within10Years<T>(compute: () => T): T {
  try {
    return compute();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Problem('invalid', {}, { errors: [{ path: 'start', message: error.message }] });
  }
}

export const calendarRoutes = ({ policy }: AppDeps): Route[] => [
  route({
    id: 'computeDeadline',
    method: 'post',
    path: '/v1/calendar/deadline',
    tag: 'Calendar',
    summary: 'When a clock of the policy, or an amount of a calendar, is used up',
    body: z.union([
      z.strictObject({ start: instantSchema, shop, clock: z.string().max(20).meta({ example: 'T9' }) }),
      z.strictObject({ start: instantSchema, shop, within, calendar }),
    ]),
    example: { start: '2026-09-30T09:00:00+08:00', within: '7 working days', calendar: 'working-days' },
    replies: { 200: { description: 'The deadline', schema: z.object({ deadline: at, provisional: z.boolean(), explanation }) } },
    problems: ['otherShop'],
    run: ({ body, person, language }) => {
      mustServe(person, body.shop);
      const values = policyFor(policy.policy, body.shop ?? '');
      const known = Object.keys(values.clocks);
      if ('clock' in body && !known.includes(body.clock))
        throw new Problem('invalid', {}, { errors: [{ path: 'clock', message: `one of ${known.join(', ')}` }] });
      const rule = 'clock' in body ? clockOf(values, body.clock) : body;
      if (!fits(rule.within, rule.calendar))
        throw new Problem(
          'invalid',
          {},
          { errors: [{ path: 'calendar', message: `"${rule.calendar}" does not count ${durationText(rule.within, language)}` }] },
        );
      const found = within10Years(() => deadline({ start: body.start, amount: rule.within, calendar: rule.calendar, calendars: calendarsOf(values) }));
      return { status: 200, body: { ...found, explanation: explain(found.explanation, language, values.calendars.zone) } };
    },
  }),
  route({
    id: 'computeElapsed',
    method: 'post',
    path: '/v1/calendar/elapsed',
    tag: 'Calendar',
    summary: 'How much of a calendar passed between two instants',
    body: z.strictObject({ start: instantSchema, end: instantSchema, shop, calendar }),
    example: { start: '2026-09-30T09:00:00+08:00', end: '2026-10-09T18:00:00+08:00', calendar: 'working-days' },
    replies: {
      200: {
        description: 'What passed',
        schema: z.object({
          elapsed: z.string().describe("In the calendar's own unit"),
          ms: z.int().describe('Open milliseconds'),
          provisional: z.boolean(),
          explanation,
        }),
      },
    },
    problems: ['otherShop'],
    run: ({ body, person, language }) => {
      mustServe(person, body.shop);
      const values = policyFor(policy.policy, body.shop ?? '');
      const found = within10Years(() => elapsed({ start: body.start, end: body.end, calendar: body.calendar, calendars: calendarsOf(values) }));
      return {
        status: 200,
        body: {
          elapsed: durationText(found.amount, language),
          ms: found.ms,
          provisional: found.provisional,
          explanation: explain(found.explanation, language, values.calendars.zone),
        },
      };
    },
  }),
];
