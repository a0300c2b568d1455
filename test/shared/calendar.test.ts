import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { isWorkingDay, statutoryDays } from '../../activities/calendar.ts';

/** One file per notice; a day of December may stand in the next year's file. */
const notice = z.object({ year: z.int(), days: z.array(z.object({ date: z.iso.date(), isOffDay: z.boolean() })) });
const folder = new URL('../../../shared/data/holiday-cn/', import.meta.url);
const notices = readdirSync(folder)
  .filter((name) => /^\d{4}\.json$/.test(name))
  .map((name) => notice.parse(JSON.parse(readFileSync(new URL(name, folder), 'utf8'))));
const isOff = new Map(notices.flatMap(({ days }) => days.map(({ date, isOffDay }) => [date, isOffDay] as const)));
const published = notices.filter(({ days }) => days.length > 0).map(({ year }) => year);

test('every year that has a notice is known as published', () => {
  expect(published.length).toBeGreaterThanOrEqual(20);
  expect(published.filter((year) => !statutoryDays.published(year))).toEqual([]);
});

test('every day of every published year is a working day here and there, or neither', () => {
  const differing: string[] = [];
  let days = 0;
  for (const year of published) {
    for (let at = Date.UTC(year, 0, 1); at < Date.UTC(year + 1, 0, 1); at += 86_400_000) {
      const date = new Date(at).toISOString().slice(0, 10);
      const weekday = new Date(at).getUTCDay();
      const works = isOff.has(date) ? isOff.get(date) === false : weekday >= 1 && weekday <= 5;
      days += 1;
      if (works !== isWorkingDay(date)) differing.push(`${date}: ${works ? 'worked' : 'off'} by the notice`);
    }
  }
  expect(days).toBeGreaterThan(7_300);
  expect(differing).toEqual([]);
});

test('no notice reaches further back than the last three days of December', () => {
  const before = notices.flatMap(({ year, days }) => days.filter(({ date }) => !date.startsWith(`${year}-`)).map(({ date }) => date.slice(5)));
  expect(before.length).toBeGreaterThan(0);
  for (const day of before) expect(day >= '12-29').toBe(true);
});
