/** Milliseconds of plain or open time. */
export interface PlainTime {
  readonly ms: number;
}
/**
 * How long something may take, parsed once from the policy's text. N days (working, warehouse, calendar) end with the end of the Nth such day after
 * the day of the start; N months end with the end of the day N months later; milliseconds are time in which the calendar is open.
 */
export type Duration =
  | PlainTime
  | { readonly workingDays: number }
  | { readonly warehouseDays: number }
  | { readonly calendarDays: number }
  | { readonly calendarMonths: number };

/** What time is counted in. */
export const calendarNames = ['24/7', 'service', 'working-days', 'warehouse', 'calendar-day', 'calendar-month'] as const;
export type CalendarName = (typeof calendarNames)[number];

/** A wait longer than three years is a slip of the pen, and a walk over its days would not end in a moment. */
const longestDays = 1100;
const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const wanted = 'write 30s, 10m, 24h, 3d, "1 working day", "1 warehouse day", "7 calendar days", "same day" or "1 month"';

/** Parses `30s`, `10m`, `24h`, `3d` (72 hours), `7 working days`, `1 warehouse day`, `7 calendar days`, `same day`, `1 month`; throws RangeError that says what to write. */
export function parseDuration(text: string): Duration {
  if (text === 'same day') return { calendarDays: 0 };
  const [, digits = '', unit = ''] = /^(\d{1,9}) ?(ms|s|m|h|d|working days?|warehouse days?|calendar days?|months?)$/.exec(text) ?? [];
  const n = Number(digits);
  const days = unit.startsWith('month') ? n * 31 : unit in unitMs ? (n * unitMs[unit as keyof typeof unitMs]) / unitMs.d : n;
  if (digits === '') throw new RangeError(`"${text}" is no duration: ${wanted}`);
  if (days > longestDays) throw new RangeError(`"${text}" is longer than ${longestDays} days`);
  switch (unit) {
    case 'ms':
    case 's':
    case 'm':
    case 'h':
    case 'd':
      return { ms: n * unitMs[unit] };
    case 'working day':
    case 'working days':
      return { workingDays: n };
    case 'warehouse day':
    case 'warehouse days':
      return { warehouseDays: n };
    case 'calendar day':
    case 'calendar days':
      return { calendarDays: n };
    default:
      return { calendarMonths: n };
  }
}

/** Whether a calendar can count this: days and months belong to their own calendar; milliseconds of open time to any. */
export function fits(amount: Duration, calendar: CalendarName): boolean {
  if ('ms' in amount) return true;
  if ('workingDays' in amount) return calendar === 'working-days';
  if ('warehouseDays' in amount) return calendar === 'warehouse';
  if ('calendarDays' in amount) return calendar === 'calendar-day';
  return calendar === 'calendar-month';
}

export type Language = 'zh' | 'en';

/** A duration in words: `7 个工作日`, `7 working days`, `1 小时 30 分钟`. */
export function durationText(amount: Duration, language: Language): string {
  const zh = language === 'zh';
  const plural = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;
  if ('workingDays' in amount) return zh ? `${amount.workingDays} 个工作日` : plural(amount.workingDays, 'working day');
  if ('warehouseDays' in amount) return zh ? `${amount.warehouseDays} 个仓库工作日` : plural(amount.warehouseDays, 'warehouse day');
  if ('calendarMonths' in amount) return zh ? `${amount.calendarMonths} 个月` : plural(amount.calendarMonths, 'month');
  if ('calendarDays' in amount) {
    if (amount.calendarDays === 0) return zh ? '当天' : 'the same day';
    return zh ? `${amount.calendarDays} 个自然日` : plural(amount.calendarDays, 'calendar day');
  }
  const units = [
    [unitMs.h, ' 小时', 'h'],
    [unitMs.m, ' 分钟', 'm'],
    [unitMs.s, ' 秒', 's'],
    [1, ' 毫秒', 'ms'],
  ] as const;
  const parts: string[] = [];
  let rest = amount.ms;
  for (const [size, han, latin] of units) {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n > 0) parts.push(`${n}${zh ? han : latin}`);
  }
  return parts.length > 0 ? parts.join(' ') : zh ? '0 秒' : '0s';
}
