/** Business time: pure arithmetic over instants, in the calendars of a policy. No clock of the machine and none of its time zone enters it. */
import { createRequire } from 'node:module';
import { Temporal } from 'temporal-polyfill';
import { z } from 'zod';
import type { CalendarName, Duration, Language } from '../policies/duration.ts';
import { durationText, fits } from '../policies/duration.ts';
import type { PolicyValues, Week, Weekday } from '../policies/schema.ts';
import { wholeDay } from '../policies/schema.ts';
import type { Instant } from '../values/instant.ts';
import { instant, millis } from '../values/instant.ts';

/** `YYYY-MM-DD` in the policy's zone. */
export type LocalDate = string;
type Named = { readonly zh: string; readonly en: string };

/** The notices of the State Council: days off and make-up workdays (调休). */
export interface StatutoryDays {
  /** What a notice says of this date; undefined for a day like any other of its weekday. */
  day(date: LocalDate): { readonly work: boolean; readonly name: Named } | undefined;
  published(year: number): boolean;
}

/**
 * The table of chinese-days, date → "National Day,国庆节,3". Its functions are not asked: they build their table and read dates in the machine's time zone,
 * and answer for the day before on a machine west of Greenwich.
 */
const table = z
  .object({ holidays: z.record(z.string(), z.string()), workdays: z.record(z.string(), z.string()) })
  .parse(createRequire(import.meta.url)('chinese-days/dist/chinese-days.json'));

/** The notices that the installed chinese-days knows, from 2004 on. */
export const statutoryDays: StatutoryDays = {
  day(date) {
    const notice = table.workdays[date] ?? table.holidays[date];
    if (notice === undefined) return undefined;
    const [en = '', zh = en] = notice.split(',');
    return { work: date in table.workdays, name: { zh, en } };
  },
  // Every notice has the first of October; a year without it is not published, and would pass for Monday to Friday without a word.
  published: (year) => `${year}-10-01` in table.holidays,
};

/** The calendars that clocks count in. */
export interface Calendars {
  readonly zone: string;
  readonly service: Week;
  readonly warehouse: Week;
  readonly statutory: StatutoryDays;
}

/** A policy's calendars with the notices known today. A case pins the policy, never the notices: those are facts. */
export const calendarsOf = (policy: Pick<PolicyValues, 'calendars'>, statutory: StatutoryDays = statutoryDays): Calendars => ({
  ...policy.calendars,
  statutory,
});

const everyDay: Week['hours'] = {
  monday: wholeDay,
  tuesday: wholeDay,
  wednesday: wholeDay,
  thursday: wholeDay,
  friday: wholeDay,
  saturday: wholeDay,
  sunday: wholeDay,
};
const always: Week = { hours: everyDay, special: {} };
const workingDays: Week = { hours: { ...everyDay, saturday: [], sunday: [] }, holidays: [], makeUpDays: wholeDay, special: {} };

function weekOf(calendar: CalendarName, calendars: Calendars): Week {
  switch (calendar) {
    case 'working-days':
      return workingDays;
    case 'service':
      return calendars.service;
    case 'warehouse':
      return calendars.warehouse;
    case '24/7':
    case 'calendar-day':
    case 'calendar-month':
      return always;
  }
}

const weekdays: readonly Weekday[] = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];

const dayMs = 86_400_000;
// Dates alone have no zone: plain arithmetic, many times faster than Temporal's objects.
const shift = (date: LocalDate, days: number): LocalDate => new Date(Date.parse(date) + days * dayMs).toISOString().slice(0, 10);
/** 1 is Monday, 7 is Sunday. */
const weekdayNumber = (date: LocalDate): number => new Date(date).getUTCDay() || 7;

const midnights = new Map<string, number>();
/** The first moment of a date, in epoch milliseconds. Remembered: a clock's state asks for the same few days dozens of times. */
function midnight(date: LocalDate, zone: string): number {
  const key = `${date} ${zone}`;
  const known = midnights.get(key);
  if (known !== undefined) return known;
  const at = Temporal.PlainDate.from(date).toZonedDateTime(zone).epochMilliseconds;
  // Some 27 years of days: what real clocks touch fits, and what a caller may ask for cannot fill the memory.
  if (midnights.size >= 10_000) midnights.clear();
  midnights.set(key, at);
  return at;
}
/** The moment a clock on the wall shows this minute of a date. */
function wallTime(date: LocalDate, minute: number, zone: string): number {
  const [begins, ends] = [midnight(date, zone), midnight(shift(date, 1), zone)];
  if (minute === 1440) return ends;
  if (ends - begins === dayMs) return begins + minute * 60_000;
  // A day on which the zone changes its offset.
  const plainTime = new Temporal.PlainTime(Math.floor(minute / 60), minute % 60);
  return Temporal.PlainDate.from(date).toZonedDateTime({ timeZone: zone, plainTime }).epochMilliseconds;
}
const dateOf = (at: Instant, zone: string): LocalDate => Temporal.Instant.from(at).toZonedDateTimeISO(zone).toPlainDate().toString();
/** The last moment of a date: what is done in it is in time, a millisecond later is not. */
const endOf = (date: LocalDate, zone: string): Instant => instant(midnight(shift(date, 1), zone) - 1);

type DayKind = 'anyDay' | 'workday' | 'weekend' | 'holiday' | 'makeUpDay' | 'special';

/** One date in one calendar: when it is open, and why. */
interface Day {
  readonly date: LocalDate;
  readonly open: readonly (readonly [from: number, to: number])[];
  readonly kind: DayKind;
  readonly name?: Named;
  /** The year whose notice could still change this day. */
  readonly awaits?: number;
}

function dayIn(week: Week, calendars: Calendars, date: LocalDate): Day {
  const special = Object.hasOwn(week.special, date) ? week.special[date] : undefined;
  const weekday = weekdayNumber(date);
  const usual = week.hours[weekdays[weekday - 1] ?? 'monday'];
  const followsNotices = week.holidays !== undefined || week.makeUpDays !== undefined;
  const notice = followsNotices ? calendars.statutory.day(date) : undefined;
  const spans = special ?? (notice === undefined ? usual : ((notice.work ? week.makeUpDays : week.holidays) ?? usual));
  const plainKind: DayKind = week === always ? 'anyDay' : weekday > 5 ? 'weekend' : 'workday';
  const kind = special ? 'special' : notice ? (notice.work ? 'makeUpDay' : 'holiday') : plainKind;
  // A notice may take the days before its New Year too: 2018-12-29 to 31 are in the notice of 2019. It has never reached further back.
  const year = Number(shift(date, 3).slice(0, 4));
  const awaits = followsNotices && !special && !notice && !calendars.statutory.published(year) ? year : undefined;
  return {
    date,
    open: spans.map(({ from, to }) => [wallTime(date, from, calendars.zone), wallTime(date, to, calendars.zone)] as const),
    kind,
    ...(notice && !special ? { name: notice.name } : {}),
    ...(awaits === undefined ? {} : { awaits }),
  };
}

/** Ten years: no policy waits so long, and a request for more would occupy the process. */
const mostDays = 3660;

function* daysFrom(start: LocalDate, calendar: CalendarName, calendars: Calendars): Generator<Day, never> {
  const week = weekOf(calendar, calendars);
  for (let n = 0; n < mostDays; n++) yield dayIn(week, calendars, shift(start, n));
  throw new RangeError(`the ${calendar} calendar was followed for ${mostDays} days from ${start} without an end; is it ever open?`);
}

/** One step of how a deadline or a length came about. Together the steps add up to the result. */
export type Explanation =
  | { readonly what: 'rule'; readonly calendar: CalendarName; readonly amount: Duration; readonly start: Instant }
  | { readonly what: 'span'; readonly calendar: CalendarName; readonly start: Instant; readonly end: Instant }
  /** Days that count: their number for day and month rules, the open milliseconds used of them otherwise. */
  | {
      readonly what: 'counted';
      readonly from: LocalDate;
      readonly to: LocalDate;
      readonly days: number;
      readonly ms: number;
      readonly why: DayKind;
      readonly name?: Named;
    }
  | {
      readonly what: 'skipped';
      readonly from: LocalDate;
      readonly to: LocalDate;
      readonly days: number;
      readonly why: DayKind | 'startDay' | 'notOver' | 'outsideHours';
      readonly name?: Named;
    }
  | { readonly what: 'unpublished'; readonly year: number }
  /** Open time used between two changes of a clock. */
  | { readonly what: 'ran'; readonly from: Instant; readonly to: Instant; readonly ms: number }
  | { readonly what: 'paused'; readonly from: Instant; readonly to: Instant | null; readonly reasons: readonly string[]; readonly remaining: number }
  | { readonly what: 'extended'; readonly at: Instant; readonly to: Instant; readonly by: string; readonly why: string }
  | { readonly what: 'deadline'; readonly at: Instant; readonly provisional: boolean };

/** Steps gathered day by day; equal neighbours become one. */
class Account {
  readonly steps: Explanation[] = [];
  readonly #awaited = new Set<number>();

  counted(day: Day, ms: number): void {
    this.#add(day, { what: 'counted', from: day.date, to: day.date, days: 1, ms, why: day.kind, ...(day.name ? { name: day.name } : {}) });
  }
  skipped(day: Day, why: Extract<Explanation, { what: 'skipped' }>['why'] = day.open.length > 0 ? 'outsideHours' : day.kind): void {
    this.#add(day, { what: 'skipped', from: day.date, to: day.date, days: 1, why, ...(day.name ? { name: day.name } : {}) });
  }
  get provisional(): boolean {
    return this.#awaited.size > 0;
  }
  explanation(): Explanation[] {
    return [...this.steps, ...[...this.#awaited].map((year) => ({ what: 'unpublished', year }) as const)];
  }

  #add(day: Day, step: Extract<Explanation, { what: 'counted' | 'skipped' }>): void {
    if (day.awaits !== undefined) this.#awaited.add(day.awaits);
    const last = this.steps.at(-1);
    const same = last?.what === step.what && last.why === step.why && last.name?.zh === step.name?.zh;
    if (!same) this.steps.push(step);
    else if (last.what === 'skipped') this.steps.splice(-1, 1, { ...last, to: step.to, days: last.days + 1 });
    else if (step.what === 'counted') this.steps.splice(-1, 1, { ...last, to: step.to, days: last.days + 1, ms: last.ms + step.ms });
  }
}

export interface Deadline {
  readonly deadline: Instant;
  /** A year on the way has no published notice: Monday to Friday was assumed, and the result may still move. */
  readonly provisional: boolean;
  readonly explanation: readonly Explanation[];
}

/** `ms` of open time after `start`: the first moment at which they are used up. */
function afterOpenTime(start: Instant, ms: number, calendar: CalendarName, calendars: Calendars, account: Account): Instant {
  let left = ms;
  if (left === 0) return start;
  for (const day of daysFrom(dateOf(start, calendars.zone), calendar, calendars)) {
    const before = left;
    for (const [from, to] of day.open) {
      const begins = Math.max(from, millis(start));
      if (begins + left <= to) {
        account.counted(day, before);
        return instant(begins + left);
      }
      left -= Math.max(0, to - begins);
    }
    if (left < before) account.counted(day, before - left);
    else account.skipped(day);
  }
  throw new RangeError('unreachable: the days have no end');
}

/**
 * When an amount that starts at `start` is used up. Milliseconds are open time of the calendar; N working, warehouse or calendar days end with the last
 * millisecond of the Nth such day after the day of the start; N months with that of the day N months later (31 January + 1 month: the end of February).
 * Throws RangeError when the calendar does not count such an amount, or when the end is more than ten years away.
 */
export function deadline(q: { readonly start: Instant; readonly amount: Duration; readonly calendar: CalendarName; readonly calendars: Calendars }): Deadline {
  const { start, amount, calendar, calendars } = q;
  if (!fits(amount, calendar)) throw new RangeError(`the ${calendar} calendar does not count ${durationText(amount, 'en')}`);
  const account = new Account();
  const at = 'ms' in amount ? afterOpenTime(start, amount.ms, calendar, calendars, account) : afterDays(start, amount, calendar, calendars, account);
  return {
    deadline: at,
    provisional: account.provisional,
    explanation: [{ what: 'rule', calendar, amount, start }, ...account.explanation(), { what: 'deadline', at, provisional: account.provisional }],
  };
}

function afterDays(start: Instant, amount: Exclude<Duration, { ms: number }>, calendar: CalendarName, calendars: Calendars, account: Account): Instant {
  const first = dateOf(start, calendars.zone);
  let left =
    'calendarMonths' in amount
      ? (Date.parse(monthsLater(first, amount.calendarMonths)) - Date.parse(first)) / dayMs
      : 'workingDays' in amount
        ? amount.workingDays
        : 'warehouseDays' in amount
          ? amount.warehouseDays
          : amount.calendarDays;
  for (const day of daysFrom(first, calendar, calendars)) {
    if (day.date === first) account.skipped(day, 'startDay');
    else if (day.open.length === 0) account.skipped(day);
    else {
      account.counted(day, openMs(day));
      left -= 1;
    }
    if (left === 0) return endOf(day.date, calendars.zone);
  }
  throw new RangeError('unreachable: the days have no end');
}

/** The same day some months later, or that month's last. */
const monthsLater = (date: LocalDate, months: number): LocalDate => Temporal.PlainDate.from(date).add({ months }).toString();
function wholeMonths(from: LocalDate, to: LocalDate): number {
  const [a, b] = [Temporal.PlainDate.from(from), Temporal.PlainDate.from(to)];
  const months = (b.year - a.year) * 12 + b.month - a.month;
  return monthsLater(from, months) > to ? months - 1 : months;
}

const openMs = (day: Day, from = -Infinity, to = Infinity): number =>
  day.open.reduce((sum, [opens, shuts]) => sum + Math.max(0, Math.min(shuts, to) - Math.max(opens, from)), 0);

export interface Elapsed {
  /** What has passed, in the calendar's own unit: open milliseconds, or whole days or months that are over. */
  readonly amount: Duration;
  /** Open milliseconds, whatever the unit. */
  readonly ms: number;
  readonly provisional: boolean;
  readonly explanation: readonly Explanation[];
}

/** How much of a calendar passed from `start` to `end`: the inverse of `deadline`. Nothing when `end` is not after `start`. */
export function elapsed(q: { readonly start: Instant; readonly end: Instant; readonly calendar: CalendarName; readonly calendars: Calendars }): Elapsed {
  const { start, end, calendar, calendars } = q;
  const account = new Account();
  const [first, last] = [dateOf(start, calendars.zone), dateOf(end, calendars.zone)];
  const inDays = calendar !== '24/7' && calendar !== 'service';
  let ms = 0;
  let days = 0;
  for (const day of daysFrom(first, calendar, calendars)) {
    if (end <= start || day.date > last) break;
    const open = openMs(day, millis(start), millis(end));
    ms += open;
    if (!inDays) {
      if (open > 0) account.counted(day, open);
      else account.skipped(day);
    } else if (day.date === first) account.skipped(day, 'startDay');
    else if (day.open.length === 0) account.skipped(day);
    else if (endOf(day.date, calendars.zone) > end) account.skipped(day, 'notOver');
    else {
      account.counted(day, open);
      days += 1;
    }
  }
  const amount = (): Duration => {
    switch (calendar) {
      case '24/7':
      case 'service':
        return { ms };
      case 'working-days':
        return { workingDays: days };
      case 'warehouse':
        return { warehouseDays: days };
      case 'calendar-day':
        return { calendarDays: days };
      case 'calendar-month':
        return { calendarMonths: wholeMonths(first, shift(first, days)) };
    }
  };
  return { amount: amount(), ms, provisional: account.provisional, explanation: [{ what: 'span', calendar, start, end }, ...account.explanation()] };
}

/** Whether people work on this date: the statutory calendar, make-up days included. */
export const isWorkingDay = (date: LocalDate, statutory: StatutoryDays = statutoryDays): boolean => statutory.day(date)?.work ?? weekdayNumber(date) <= 5;

const calendarText: Readonly<Record<CalendarName, Named>> = {
  '24/7': { zh: '全天候', en: 'around the clock' },
  service: { zh: '服务时间', en: 'service hours' },
  'working-days': { zh: '法定工作日（含调休）', en: 'statutory working days, make-up days included' },
  warehouse: { zh: '仓库工作日', en: 'days on which the warehouse works' },
  'calendar-day': { zh: '自然日', en: 'calendar days' },
  'calendar-month': { zh: '自然月', en: 'calendar months' },
};
const whyText: Readonly<Record<Extract<Explanation, { what: 'skipped' | 'counted' }>['why'], Named>> = {
  anyDay: { zh: '每天计', en: 'every day counts' },
  workday: { zh: '平日', en: 'weekday' },
  weekend: { zh: '周末', en: 'weekend' },
  holiday: { zh: '放假', en: 'statutory holiday' },
  makeUpDay: { zh: '调休上班', en: 'make-up workday' },
  special: { zh: '特别安排', en: 'special date' },
  startDay: { zh: '起算当天不计', en: 'day of the start, not counted' },
  notOver: { zh: '当天未结束', en: 'not over yet' },
  outsideHours: { zh: '非服务时段', en: 'outside hours' },
};

/** The steps as sentences for people, times in the given zone. */
export function explain(steps: readonly Explanation[], language: Language, zone: string): string[] {
  const zh = language === 'zh';
  const local = (at: Instant): string =>
    Temporal.Instant.from(at).toZonedDateTimeISO(zone).toPlainDateTime().toString({ smallestUnit: 'second' }).replace('T', ' ');
  const range = (from: LocalDate, to: LocalDate): string => (from === to ? from : zh ? `${from} 至 ${to}` : `${from} to ${to}`);
  const time = (ms: number): string => durationText({ ms }, language);
  const days = (n: number): string => (zh ? `${n} 天` : n === 1 ? '1 day' : `${n} days`);
  const why = (step: Extract<Explanation, { what: 'skipped' | 'counted' }>): string =>
    [...(step.name ? [step.name[language]] : []), whyText[step.why][language]].join(zh ? '' : ', ');
  const sentence = (step: Explanation): string => {
    switch (step.what) {
      case 'rule':
        return zh
          ? `自 ${local(step.start)} 起算 ${durationText(step.amount, 'zh')}，按${calendarText[step.calendar].zh}计`
          : `${durationText(step.amount, 'en')} from ${local(step.start)}, counted in ${calendarText[step.calendar].en}`;
      case 'span':
        return zh
          ? `自 ${local(step.start)} 至 ${local(step.end)}，按${calendarText[step.calendar].zh}计`
          : `from ${local(step.start)} to ${local(step.end)}, counted in ${calendarText[step.calendar].en}`;
      case 'counted': {
        const part = step.ms === step.days * dayMs ? '' : `${zh ? '，' : ', '}${time(step.ms)}`;
        return zh
          ? `${range(step.from, step.to)}（${why(step)}）计入 ${days(step.days)}${part}`
          : `${range(step.from, step.to)} (${why(step)}): ${days(step.days)} counted${part}`;
      }
      case 'skipped':
        return zh
          ? `${range(step.from, step.to)}（${why(step)}）不计，${days(step.days)}`
          : `${range(step.from, step.to)} (${why(step)}): ${days(step.days)} not counted`;
      case 'unpublished':
        return zh
          ? `${step.year} 年放假通知尚未公布，暂按周一至周五计算，公布后重新计算`
          : `the notice for ${step.year} is not published: Monday to Friday is assumed until it is`;
      case 'ran':
        return zh ? `${local(step.from)} 至 ${local(step.to)} 计时 ${time(step.ms)}` : `ran from ${local(step.from)} to ${local(step.to)}: ${time(step.ms)}`;
      case 'paused': {
        const until = step.to === null ? '' : zh ? ` 至 ${local(step.to)}` : ` to ${local(step.to)}`;
        const reasons = step.reasons.join(zh ? '、' : ', ');
        return zh
          ? `${local(step.from)}${until} 暂停（${reasons}），剩余 ${time(step.remaining)}`
          : `paused from ${local(step.from)}${until} (${reasons}), ${time(step.remaining)} left`;
      }
      case 'extended':
        return zh
          ? `${local(step.at)} 由 ${step.by} 延期至 ${local(step.to)}（${step.why}）`
          : `extended on ${local(step.at)} by ${step.by} to ${local(step.to)} (${step.why})`;
      case 'deadline':
        return zh ? `截止 ${local(step.at)}${step.provisional ? '（暂定）' : ''}` : `due ${local(step.at)}${step.provisional ? ' (provisional)' : ''}`;
    }
  };
  return steps.map(sentence);
}
