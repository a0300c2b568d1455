import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Calendars, Explanation, LocalDate, StatutoryDays } from '../../activities/calendar.ts';
import { calendarsOf, deadline, elapsed, explain, isWorkingDay, statutoryDays } from '../../activities/calendar.ts';
import type { CalendarName, Duration } from '../../policies/duration.ts';
import { loadPolicy } from '../../policies/load.ts';
import type { Span, Week } from '../../policies/schema.ts';
import type { Instant } from '../../values/instant.ts';
import { instant, millis, parseInstant, plus } from '../../values/instant.ts';

const { policy } = loadPolicy(fileURLToPath(new URL('../../policies/default.yaml', import.meta.url)));
const split: readonly Span[] = [
  { from: 9 * 60, to: 12 * 60 },
  { from: 13 * 60 + 30, to: 18 * 60 },
];
const morning: readonly Span[] = [{ from: 9 * 60, to: 12 * 60 }];
const splitWeek: Week = {
  hours: { monday: split, tuesday: split, wednesday: split, thursday: split, friday: split, saturday: morning, sunday: [] },
  holidays: [],
  makeUpDays: split,
  special: { '2026-11-11': [{ from: 0, to: 1440 }] },
};
const calendars: Calendars = { ...calendarsOf(policy), service: splitWeek };

/** A time on the wall in Shanghai, which has been UTC+8 since 1992. */
const at = (local: string): Instant => parseInstant(`${local.replace(' ', 'T')}+08:00`);
const endOf = (date: LocalDate): Instant => at(`${date} 23:59:59.999`);
const due = (start: string, amount: Duration, calendar: CalendarName, of: Calendars = calendars) =>
  deadline({ start: at(start), amount, calendar, calendars: of });
const hours = (n: number): Duration => ({ ms: n * 3_600_000 });
const workingDays = (n: number): Duration => ({ workingDays: n });

describe('working days', () => {
  // From the notices of the State Council for 2024, 2025 and 2026.
  test.each([
    { start: '2026-11-23 10:00', n: 1, end: '2026-11-24', why: 'the day of the start does not count' },
    { start: '2026-11-20 23:59', n: 1, end: '2026-11-23', why: 'a weekend lies between' },
    { start: '2026-11-21 08:00', n: 1, end: '2026-11-23', why: 'the start is a Saturday' },
    { start: '2026-09-28 10:00', n: 7, end: '2026-10-13', why: 'National Day 2026, 1 to 7 October, and the make-up Saturday 10 October' },
    { start: '2024-09-27 18:00', n: 3, end: '2024-10-08', why: 'the make-up Sunday 29 September 2024, then 1 to 7 October off' },
    { start: '2025-09-30 09:00', n: 1, end: '2025-10-09', why: 'National Day and Mid-Autumn 2025, 1 to 8 October' },
    { start: '2025-01-24 15:00', n: 3, end: '2025-02-05', why: 'the make-up Sunday 26 January 2025, then Spring Festival until 4 February' },
    { start: '2024-04-27 12:00', n: 1, end: '2024-04-28', why: 'Sunday 28 April 2024 is worked' },
    { start: '2026-02-13 12:00', n: 2, end: '2026-02-24', why: 'Saturday 14 February 2026 is worked, Spring Festival lasts until 23 February' },
    { start: '2025-12-31 12:00', n: 1, end: '2026-01-04', why: 'New Year 2026, 1 to 3 January, and the make-up Sunday 4 January' },
  ])('$n after $start end with $end: $why', ({ start, n, end }) => {
    expect(due(start, workingDays(n), 'working-days')).toMatchObject({ deadline: endOf(end), provisional: false });
  });

  test('CL7: one working day is not 24 business hours', () => {
    const start = '2026-11-23 10:00';
    expect(due(start, workingDays(1), 'working-days').deadline).toBe(endOf('2026-11-24'));
    expect(due(start, hours(24), 'service').deadline).toBe(at('2026-11-26 11:30'));
  });

  test('the day is that of Shanghai, not of Greenwich', () => {
    // 2026-11-22 16:30 UTC is already Monday 00:30 in Shanghai.
    expect(deadline({ start: parseInstant('2026-11-22T16:30:00Z'), amount: workingDays(1), calendar: 'working-days', calendars }).deadline).toBe(
      endOf('2026-11-24'),
    );
  });

  test('the time zone of the machine does not matter', () => {
    const script = `import { isWorkingDay } from '${new URL('../../activities/calendar.ts', import.meta.url).href}';
      console.log(['2026-11-20', '2026-11-21', '2026-11-22', '2026-11-23', '2026-10-07', '2026-10-08', '2026-10-10'].map((d) => (isWorkingDay(d) ? 1 : 0)).join(''));`;
    const answers = ['UTC', 'America/Los_Angeles', 'Pacific/Kiritimati'].map((TZ) =>
      execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
        env: { ...process.env, TZ, NODE_OPTIONS: '' },
        encoding: 'utf8',
      }).trim(),
    );
    expect(answers).toEqual(['1001011', '1001011', '1001011']);
  });
});

describe('years without a notice', () => {
  const known = (years: readonly number[], days: Record<LocalDate, boolean> = {}): StatutoryDays => ({
    published: (year) => years.includes(year),
    day: (date) => (date in days ? { work: days[date] ?? false, name: { zh: '元旦', en: "New Year's Day" } } : undefined),
  });
  const before = { ...calendars, statutory: known([2030]) };

  test('are counted Monday to Friday and flagged', () => {
    const result = due('2030-12-26 10:00', workingDays(4), 'working-days', before);
    // 27; 30, 31; 1 January, which will surely be a holiday, but nobody has said so.
    expect(result).toMatchObject({ deadline: endOf('2031-01-01'), provisional: true });
    expect(result.explanation).toContainEqual({ what: 'unpublished', year: 2031 });
  });

  test('reach back to the last three days of December, which the next notice may take', () => {
    expect(due('2030-12-26 10:00', workingDays(1), 'working-days', before).provisional).toBe(false);
    expect(due('2030-12-27 10:00', workingDays(1), 'working-days', before).provisional).toBe(true);
  });

  test('CL6: are settled by the notice: later, earlier, or the same', () => {
    const start = '2030-12-30 10:00';
    const published = (days: Record<LocalDate, boolean>) => due(start, workingDays(3), 'working-days', { ...calendars, statutory: known([2030, 2031], days) });
    expect(due(start, workingDays(3), 'working-days', before)).toMatchObject({ deadline: endOf('2031-01-02'), provisional: true });
    expect(published({})).toMatchObject({ deadline: endOf('2031-01-02'), provisional: false });
    expect(published({ '2031-01-01': false })).toMatchObject({ deadline: endOf('2031-01-03'), provisional: false });
    expect(due('2031-01-03 10:00', workingDays(2), 'working-days', before)).toMatchObject({ deadline: endOf('2031-01-07'), provisional: true });
    const worked = { ...calendars, statutory: known([2030, 2031], { '2031-01-04': true }) };
    expect(due('2031-01-03 10:00', workingDays(2), 'working-days', worked)).toMatchObject({ deadline: endOf('2031-01-06'), provisional: false });
  });

  test('do not matter to clocks that run around the clock', () => {
    expect(due('2030-12-31 10:00', hours(240), '24/7', before).provisional).toBe(false);
  });

  test('come from the library: 2004 to its newest notice without a gap', () => {
    const years = Array.from({ length: 200 }, (_, i) => 1950 + i).filter((year) => statutoryDays.published(year));
    expect(years[0]).toBe(2004);
    expect(years.at(-1)).toBeGreaterThanOrEqual(2026);
    expect(years).toHaveLength((years.at(-1) ?? 0) - 2004 + 1);
  });
});

describe('service hours', () => {
  test.each([
    { start: '2026-11-23 11:30', h: 1, end: '2026-11-23 14:00', why: 'the lunch break does not count' },
    { start: '2026-11-23 12:15', h: 1, end: '2026-11-23 14:30', why: 'it starts in the break' },
    { start: '2026-11-23 20:00', h: 1, end: '2026-11-24 10:00', why: 'it starts after hours' },
    { start: '2026-11-21 11:00', h: 2, end: '2026-11-23 10:00', why: 'Saturday is open in the morning, Sunday closed' },
    { start: '2026-09-30 17:00', h: 2, end: '2026-10-08 10:00', why: 'closed on statutory holidays' },
    { start: '2026-10-09 17:00', h: 7, end: '2026-10-10 16:30', why: 'the make-up Saturday has a whole day' },
    { start: '2026-11-10 17:00', h: 10, end: '2026-11-11 09:00', why: 'a special date is open all day' },
    { start: '2026-11-23 09:00', h: 3, end: '2026-11-23 12:00', why: 'it ends with the span, not with the next one' },
    { start: '2026-11-23 09:00', h: 7.5, end: '2026-11-23 18:00', why: 'it ends with the day, not with the next morning' },
  ])('$h h from $start end at $end: $why', ({ start, h, end }) => {
    expect(due(start, hours(h), 'service').deadline).toBe(at(end));
  });

  test('follow the wall clock where the zone changes to summer time', () => {
    // Berlin, 29 March 2026: 02:00 becomes 03:00, and the day has 23 hours.
    const berlin = (sunday: readonly Span[]): Calendars => ({
      ...calendars,
      zone: 'Europe/Berlin',
      service: { ...splitWeek, special: { '2026-03-29': sunday } },
    });
    const end = (amount: Duration, sunday: readonly Span[]) =>
      deadline({ start: parseInstant('2026-03-28T20:00:00+01:00'), amount, calendar: 'service', calendars: berlin(sunday) }).deadline;
    expect(end(hours(1), morning)).toBe(parseInstant('2026-03-29T10:00:00+02:00'));
    expect(end(hours(23), [{ from: 0, to: 1440 }])).toBe(parseInstant('2026-03-30T00:00:00+02:00'));
  });

  test('that follow no notice are never provisional', () => {
    const { hours: usual } = splitWeek;
    const own = { ...calendars, service: { hours: usual, special: {} }, statutory: { published: () => false, day: () => undefined } };
    expect(due('2026-11-23 10:00', hours(100), 'service', own).provisional).toBe(false);
  });

  test('that never open are refused instead of searched for ever', () => {
    const shut: Week = { hours: { monday: [], tuesday: [], wednesday: [], thursday: [], friday: [], saturday: [], sunday: [] }, special: {} };
    expect(() => due('2026-11-23 10:00', hours(1), 'service', { ...calendars, service: shut })).toThrow(/is it ever open/);
  });
});

describe('other calendars', () => {
  test('the next day the warehouse works skips Sunday and holidays', () => {
    expect(due('2026-11-23 17:00', { warehouseDays: 1 }, 'warehouse').deadline).toBe(endOf('2026-11-24'));
    expect(due('2026-11-21 17:00', { warehouseDays: 1 }, 'warehouse').deadline).toBe(endOf('2026-11-23'));
    expect(due('2026-09-30 17:00', { warehouseDays: 1 }, 'warehouse').deadline).toBe(endOf('2026-10-08'));
    expect(due('2026-09-19 17:00', { warehouseDays: 1 }, 'warehouse').deadline).toBe(endOf('2026-09-20'));
  });
  test('the same day ends with the day', () => {
    expect(due('2026-11-23 17:00', { calendarDays: 0 }, 'calendar-day').deadline).toBe(endOf('2026-11-23'));
  });
  test('seven calendar days count from the day after, holidays or not', () => {
    expect(due('2026-09-30 08:00', { calendarDays: 7 }, 'calendar-day').deadline).toBe(endOf('2026-10-07'));
  });
  test('a month ends with the same day of the next month, or with its last', () => {
    expect(due('2026-11-23 17:00', { calendarMonths: 1 }, 'calendar-month').deadline).toBe(endOf('2026-12-23'));
    expect(due('2026-01-31 17:00', { calendarMonths: 1 }, 'calendar-month').deadline).toBe(endOf('2026-02-28'));
  });
  test('24 hours are calendar hours', () => {
    expect(due('2026-10-01 17:00', hours(24), '24/7').deadline).toBe(at('2026-10-02 17:00'));
  });
  test('a calendar that does not count such an amount is refused', () => {
    expect(() => due('2026-11-23 10:00', workingDays(1), '24/7')).toThrow('the 24/7 calendar does not count 1 working day');
  });
  test('nothing passes when the end is not after the start', () => {
    const start = at('2026-11-23 10:00');
    expect(elapsed({ start, end: start, calendar: 'working-days', calendars })).toMatchObject({ amount: { workingDays: 0 }, ms: 0 });
    expect(elapsed({ start, end: plus(start, -5), calendar: 'service', calendars })).toMatchObject({ amount: { ms: 0 } });
  });
});

describe('always', () => {
  const starts = fc.integer({ min: millis(at('2024-01-01 00:00')), max: millis(at('2026-11-01 00:00')) }).map((ms) => instant(ms));
  const rules = fc.oneof(
    fc.record({
      calendar: fc.constantFrom<CalendarName>('24/7', 'service', 'working-days', 'warehouse'),
      amount: fc.record({ ms: fc.integer({ min: 0, max: 20 * 86_400_000 }) }),
    }),
    fc.record({ calendar: fc.constant<CalendarName>('working-days'), amount: fc.record({ workingDays: fc.integer({ min: 0, max: 30 }) }) }),
    fc.record({ calendar: fc.constant<CalendarName>('warehouse'), amount: fc.record({ warehouseDays: fc.integer({ min: 0, max: 30 }) }) }),
    fc.record({ calendar: fc.constant<CalendarName>('calendar-day'), amount: fc.record({ calendarDays: fc.integer({ min: 0, max: 60 }) }) }),
    fc.record({ calendar: fc.constant<CalendarName>('calendar-month'), amount: fc.record({ calendarMonths: fc.integer({ min: 0, max: 14 }) }) }),
  );

  test('a later start does not end earlier', () => {
    fc.assert(
      fc.property(starts, fc.integer({ min: 0, max: 10 * 86_400_000 }), rules, (start, shift, rule) => {
        expect(deadline({ start: plus(start, shift), ...rule, calendars }).deadline >= deadline({ start, ...rule, calendars }).deadline).toBe(true);
      }),
    );
  });

  test('what passes until the deadline is the amount', () => {
    fc.assert(
      fc.property(starts, rules, (start, { calendar, amount }) => {
        const { deadline: end } = deadline({ start, amount, calendar, calendars });
        const passed = elapsed({ start, end, calendar, calendars });
        if ('ms' in amount) expect(passed.ms).toBe(amount.ms);
        else expect(passed.amount).toEqual(amount);
      }),
    );
  });

  test('a millisecond before the deadline the amount is not used up', () => {
    fc.assert(
      fc.property(starts, rules, (start, { calendar, amount }) => {
        const { deadline: end } = deadline({ start, amount, calendar, calendars });
        if (end <= start) return;
        const passed = elapsed({ start, end: plus(end, -1), calendar, calendars });
        if ('ms' in amount) expect(passed.ms).toBeLessThan(amount.ms);
        else if (Object.values(amount)[0] !== 0) expect(passed.amount).not.toEqual(amount);
      }),
    );
  });

  const tomorrow = (date: LocalDate): LocalDate => new Date(Date.parse(date) + 86_400_000).toISOString().slice(0, 10);
  type DayStep = Extract<Explanation, { what: 'counted' | 'skipped' }>;
  const dayStepsOf = (steps: readonly Explanation[]) => steps.filter((s): s is DayStep => s.what === 'counted' || s.what === 'skipped');

  test('CL11: the explanation adds up to the computation and leaves no day out', () => {
    fc.assert(
      fc.property(starts, rules, (start, { calendar, amount }) => {
        const result = deadline({ start, amount, calendar, calendars });
        const steps = dayStepsOf(result.explanation);
        const counted = steps.filter((s) => s.what === 'counted');
        if ('ms' in amount) expect(counted.reduce((sum, s) => sum + s.ms, 0)).toBe(amount.ms);
        else if (!('calendarMonths' in amount)) expect(counted.reduce((sum, s) => sum + s.days, 0)).toBe(Object.values(amount)[0]);
        for (const [i, step] of steps.entries()) {
          expect((Date.parse(step.to) - Date.parse(step.from)) / 86_400_000 + 1).toBe(step.days);
          const next = steps[i + 1];
          if (next) expect(next.from).toBe(tomorrow(step.to));
        }
        const localDate = (moment: Instant): LocalDate => instant(millis(moment) + 8 * 3_600_000).slice(0, 10);
        const last = steps.at(-1);
        if (last) expect([steps[0]?.from, last.to]).toEqual([localDate(start), localDate(plus(result.deadline, 'ms' in amount ? -1 : 0))]);
        expect(result.explanation.at(-1)).toEqual({ what: 'deadline', at: result.deadline, provisional: result.provisional });
      }),
    );
  });

  test('a day skipped in a working-day explanation is no working day, a day counted is one', () => {
    fc.assert(
      fc.property(starts, fc.integer({ min: 1, max: 15 }), (start, n) => {
        for (const step of dayStepsOf(deadline({ start, amount: { workingDays: n }, calendar: 'working-days', calendars }).explanation)) {
          if (step.what === 'skipped' && step.why === 'startDay') continue;
          for (let date = step.from; date <= step.to; date = tomorrow(date)) expect([date, isWorkingDay(date)]).toEqual([date, step.what === 'counted']);
        }
      }),
    );
  });
});

test('an explanation reads as sentences in both languages', () => {
  const { explanation } = due('2026-09-28 10:00', workingDays(7), 'working-days');
  expect(explain(explanation, 'zh', calendars.zone)).toEqual([
    '自 2026-09-28 10:00:00 起算 7 个工作日，按法定工作日（含调休）计',
    '2026-09-28（起算当天不计）不计，1 天',
    '2026-09-29 至 2026-09-30（平日）计入 2 天',
    '2026-10-01 至 2026-10-07（国庆节放假）不计，7 天',
    '2026-10-08 至 2026-10-09（平日）计入 2 天',
    '2026-10-10（国庆节调休上班）计入 1 天',
    '2026-10-11（周末）不计，1 天',
    '2026-10-12 至 2026-10-13（平日）计入 2 天',
    '截止 2026-10-13 23:59:59',
  ]);
  expect(explain(explanation, 'en', calendars.zone)).toEqual([
    '7 working days from 2026-09-28 10:00:00, counted in statutory working days, make-up days included',
    '2026-09-28 (day of the start, not counted): 1 day not counted',
    '2026-09-29 to 2026-09-30 (weekday): 2 days counted',
    '2026-10-01 to 2026-10-07 (National Day, statutory holiday): 7 days not counted',
    '2026-10-08 to 2026-10-09 (weekday): 2 days counted',
    '2026-10-10 (National Day, make-up workday): 1 day counted',
    '2026-10-11 (weekend): 1 day not counted',
    '2026-10-12 to 2026-10-13 (weekday): 2 days counted',
    'due 2026-10-13 23:59:59',
  ]);
});
