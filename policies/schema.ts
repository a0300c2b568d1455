/** The policy file's shape. Every number the business may want to change is here; each case pins the version it opened with. */
import { z } from 'zod';
import { decimalsOf, parseMoney } from '../values/money.ts';
import { type ReturnReason, returnReasons } from '../values/goods.ts';
import { ladder } from '../values/role.ts';
import type { Duration, PlainTime } from './duration.ts';
import { calendarNames, durationText, fits, parseDuration } from './duration.ts';
import { meant } from './nearest.ts';

const minutesPerDay = 1440;

/** Runs a parser that throws RangeError as a zod transform, so that its words become the issue's. */
const parsed = <T>(parse: (text: string) => T) =>
  z.string().transform((text, context): T => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });

const duration = parsed<Duration>(parseDuration);
/** Time that a plain timer counts: windows end waits by workflow timers, which know no calendar. */
const plainTime = parsed<PlainTime>((text) => {
  const amount = parseDuration(text);
  if (!('ms' in amount)) throw new RangeError(`"${text}" needs a calendar; here only plain time counts: write 30s, 10m, 24h or 7d`);
  return amount;
});
/** Days that count from the day after the start. */
const calendarDays = parsed<{ readonly calendarDays: number }>((text) => {
  const amount = parseDuration(text);
  if (!('calendarDays' in amount)) throw new RangeError(`"${text}" does not count from the day after signing: write "7 calendar days"`);
  return amount;
});
const positive = plainTime.refine((time) => time.ms > 0, 'must be more than nothing');

const title = z.strictObject({ zh: z.string().min(1), en: z.string().min(1) });
const date = z.iso.date('a date such as 2026-10-01');
const weekdays = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] as const;
const weekday = z.enum(weekdays);
export type Weekday = (typeof weekdays)[number];

/** Minutes after local midnight. */
function parseTimeOfDay(text: string): number {
  const [, hours = '', minutes = ''] = /^(\d\d):([0-5]\d)$/.exec(text) ?? [];
  const at = Number(hours) * 60 + Number(minutes);
  if (hours === '' || at > minutesPerDay) throw new RangeError(`"${text}" is no time of day: write 00:00 to 24:00, in quotes`);
  return at;
}
const timeOfDay = parsed(parseTimeOfDay);

/** Open from the first minute to before the second, in minutes after local midnight. */
export interface Span {
  readonly from: number;
  readonly to: number;
}
const span = parsed<Span>((text) => {
  const [from = '', to = '', ...more] = text.split('-');
  if (more.length > 0 || to === '') throw new RangeError(`"${text}" is no span of hours: write '09:00-12:00'`);
  const open = { from: parseTimeOfDay(from), to: parseTimeOfDay(to) };
  if (open.from >= open.to) throw new RangeError(`"${text}" ends before it begins`);
  return open;
});
const spans = z
  .array(span)
  .refine((all) => all.every((s, i) => i === 0 || s.from >= (all[i - 1]?.to ?? 0)), 'spans of a day stand in order and do not overlap');

/**
 * When a week is open, and what statutory holidays and make-up workdays do to it (absent: the day's usual hours). `special` dates win over both.
 * A day without spans is closed.
 */
export interface Week {
  readonly hours: Readonly<Record<Weekday, readonly Span[]>>;
  readonly holidays?: readonly Span[] | undefined;
  readonly makeUpDays?: readonly Span[] | undefined;
  readonly special: Readonly<Record<string, readonly Span[]>>;
}
export const wholeDay: readonly Span[] = [{ from: 0, to: minutesPerDay }];

const serviceHours = z
  .strictObject({
    hours: z.record(weekday, spans),
    holidays: spans.optional(),
    makeUpDays: spans.optional(),
    special: z.record(date, spans).default({}),
  })
  .refine((week) => Object.values(week.hours).some((s) => s.length > 0), {
    path: ['hours'],
    error: 'no weekday has any hours: a clock in this calendar would never end',
  });

const openOrClosed = z.enum(['open', 'closed']).transform((state) => (state === 'open' ? wholeDay : []));
/** A calendar whose days count whole, in the shape of a week. */
const workDays = z
  .strictObject({
    days: z.array(weekday).min(1, 'no weekday is open: a clock in this calendar would never end'),
    holidays: openOrClosed.optional(),
    makeUpDays: openOrClosed.optional(),
    special: z.record(date, openOrClosed).default({}),
  })
  .transform(({ days, ...rest }): Week => {
    const hours = (day: Weekday): readonly Span[] => (days.includes(day) ? wholeDay : []);
    return {
      ...rest,
      hours: {
        monday: hours('monday'),
        tuesday: hours('tuesday'),
        wednesday: hours('wednesday'),
        thursday: hours('thursday'),
        friday: hours('friday'),
        saturday: hours('saturday'),
        sunday: hours('sunday'),
      },
    };
  });

const timeZone = z.string().refine((name) => {
  try {
    Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}, 'is no IANA time zone: write one such as Asia/Shanghai');

const warnAt = z
  .array(z.number().gt(0).lt(100))
  .refine((all) => all.every((p, i) => i === 0 || p > (all[i - 1] ?? 0)), 'percentages rise')
  .describe('percent of the clock’s time');
const escalation = z
  .array(z.strictObject({ to: z.enum(ladder), after: plainTime }))
  .refine((steps) => steps.every((s, i) => i === 0 || s.after.ms >= (steps[i - 1]?.after.ms ?? 0)), 'steps stand in the order of their times');

const clock = z
  .strictObject({ title, within: duration, calendar: z.enum(calendarNames), warnAt: warnAt.optional(), escalation: escalation.optional() })
  .superRefine((c, context) => {
    if (!fits(c.within, c.calendar))
      context.addIssue({
        code: 'custom',
        path: ['calendar'],
        params: { other: ['within'] },
        message: `the calendar ${c.calendar} cannot count ${durationText(c.within, 'en')}`,
      });
    if ('ms' in c.within && c.within.ms === 0) context.addIssue({ code: 'custom', path: ['within'], message: 'must be more than nothing' });
  });

function parseAmount(text: string, currency: string): number {
  try {
    return parseMoney(text, currency).minor;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const decimals = decimalsOf(currency);
    throw new RangeError(`${error.message}: write '50${decimals > 0 ? `.${'0'.repeat(decimals)}` : ''}', in quotes`, { cause: error });
  }
}
const currencies = new Set(Intl.supportedValuesOf('currency'));
const currency = z.string().refine((code) => currencies.has(code), 'an ISO 4217 code such as CNY');
/** Currency → decimal text in the file, minor units once parsed. */
const amounts = z.record(currency, z.string()).transform((texts, context) => {
  const minor: Record<string, number> = {};
  for (const [code, text] of Object.entries(texts)) {
    try {
      minor[code] = parseAmount(text, code);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      context.addIssue({ code: 'custom', path: [code], message: error.message });
    }
  }
  return minor;
});
/** Highest amount a role may decide, in minor units per currency. The manager has no limit. */
const authority = z.strictObject({ agent: amounts, supervisor: amounts }).superRefine((limits, context) => {
  for (const [code, least] of Object.entries(limits.agent))
    if ((limits.supervisor[code] ?? Infinity) < least)
      context.addIssue({
        code: 'custom',
        path: ['supervisor', code],
        params: { other: ['agent', code] },
        message: 'a supervisor may not decide less than an agent',
      });
});
const percent = z.number().min(0).max(100);
const frequency = z.strictObject({ most: z.int().positive(), within: positive });
/** What a customer may upload of a kind: its types by what the bytes are, and how large one may be. */
const uploads = z.strictObject({
  types: z.array(z.string().regex(/^\w+\/[\w.+-]+$/, 'a type such as image/jpeg')).min(1),
  maxMegabytes: z.int().min(1).max(2000),
});

const returnTerms = {
  within: calendarDays,
  returnFreight: z.enum(['seller', 'customer']),
  evidence: z.enum(['required', 'optional']),
  /** Whether goods that are excepted from the return without a reason may not come back for this one either: where the fault is ours they may. */
  exceptions: z.enum(['hold', 'waived']),
};
/** What holds of a return for one reason. */
export type ReturnTerms = Omit<PolicyValues['returns']['reasons'][ReturnReason], 'title'>;

/** A message in words of our own, in one language or both. */
const wording = z
  .strictObject({ zh: z.exactOptional(z.string().min(1)), en: z.exactOptional(z.string().min(1)) })
  .refine((texts) => texts.zh !== undefined || texts.en !== undefined, 'has no text: give zh, en or both');

const values = {
  calendars: z.strictObject({ zone: timeZone, service: serviceHours, warehouse: workDays }),
  warnAt,
  escalation,
  clocks: z.record(z.string(), clock),
  windows: z.record(z.string(), positive),
  cases: z.strictObject({ repairAfter: positive, historyLimit: z.int().min(100).max(10_000), inboxLimit: z.int().min(10).max(5_000) }),
  inbox: z.strictObject({ unclaimedAfter: positive, keepUnclaimed: positive }),
  returns: z
    .strictObject({
      // Every reason that a return can have: one that is missing is named.
      reasons: z.record(z.enum(returnReasons), z.strictObject({ title, ...returnTerms })),
      noReasonExceptions: z.record(z.string(), z.strictObject({ title, when: z.enum(['always', 'opened']) })),
      categories: z
        .record(
          z.string(),
          z.strictObject({
            excepted: z.exactOptional(z.string()),
            reasons: z
              .partialRecord(
                z.enum(returnReasons),
                z.strictObject({
                  within: z.exactOptional(returnTerms.within),
                  returnFreight: z.exactOptional(returnTerms.returnFreight),
                  evidence: z.exactOptional(returnTerms.evidence),
                  exceptions: z.exactOptional(returnTerms.exceptions),
                }),
              )
              .default({}),
          }),
        )
        .default({}),
      originalFreight: z.enum(['wholeOrder', 'never']),
      freightPerReturn: amounts,
      keepGoodsUpTo: amounts,
      refundOnly: z.strictObject({ perCustomer: frequency, amountPerCustomer: amounts }),
      perCustomer: frequency,
      evidenceRounds: z.int().positive(),
      thanksFor: z.array(z.enum(returnReasons)),
      lossPercent: z.strictObject({ restock: percent, refurbish: percent, scrap: percent, kept: percent }),
    })
    .superRefine(({ categories, noReasonExceptions }, context) => {
      for (const [category, { excepted }] of Object.entries(categories))
        if (excepted !== undefined && !Object.hasOwn(noReasonExceptions, excepted))
          context.addIssue({
            code: 'custom',
            path: ['categories', category, 'excepted'],
            message: `"${excepted}" is none of the noReasonExceptions${meant(excepted, Object.keys(noReasonExceptions))}`,
          });
    }),
  refunds: z.strictObject({ arriveAtOnce: z.array(z.string()) }),
  authority: z.strictObject({ refund: authority }),
  customer: z.strictObject({ linkLifetime: positive }),
  evidence: z.strictObject({ maxFiles: z.int().min(1).max(200), photo: uploads, video: uploads }),
  messages: z.strictObject({
    // Process → message → its words; which there are, `checkPolicy` knows.
    texts: z.record(z.string(), z.record(z.string(), wording)).default({}),
    quietHours: z.strictObject({ from: timeOfDay, to: timeOfDay }),
    caps: z.strictObject({ marketing: frequency, survey: frequency }),
  }),
  periodic: z.record(
    z.string(),
    z.discriminatedUnion('every', [
      z.strictObject({ every: z.literal('day'), at: timeOfDay }),
      z.strictObject({ every: z.literal('week'), on: weekday, at: timeOfDay }),
      // The 29th to 31st do not exist in every month.
      z.strictObject({ every: z.literal('month'), on: z.int().min(1).max(28), at: timeOfDay }),
    ]),
  ),
};

/** The values of one shop, or of every shop that has no values of its own. */
export const valuesSchema = z.strictObject(values);
export type PolicyValues = z.output<typeof valuesSchema>;
/** Words of a shop's own, by process and message. */
export type Wording = PolicyValues['messages']['texts'];
export type ClockPolicy = PolicyValues['clocks'][string];

/** A whole policy: JSON, as stored with its version. */
export type Policy = PolicyValues & {
  /** All values of a shop that differs in some; read with `policyFor`. */
  readonly shops: Readonly<Record<string, PolicyValues>>;
};
