import { z } from 'zod';
import { serves } from '../../db/people.ts';
import { countedBy, countReturns, type CountedReturns } from '../../db/reports.ts';
import { instant, plus } from '../../values/instant.ts';
import { instantSchema, moneySchema } from '../../values/schemas.ts';
import type { AppDeps } from '../deps.ts';
import { Problem } from '../problems.ts';
import { route, type Route } from '../route.ts';

/** More than any shop has reasons or products of; a report is read, not paged through. */
const mostRows = 1000;
/** Without a beginning: a month and a day to compare it with. */
const usualMs = 32 * 24 * 3600_000;

const counted = z.object({
  key: z.string().describe('A code of the kind that was asked for, or the product’s id'),
  units: z.int().min(0),
  cases: z.int().min(0),
  loss: moneySchema.describe('What was paid for these units and is lost, by the policy’s `returns.lossPercent`'),
});

/** What a spreadsheet takes for the beginning of a formula; some take the wide signs too. */
const formula = /^(?=[=+\-@\t\r\n＝＋－＠])/;
/** A cell of RFC 4180. What a spreadsheet would take for a formula is text: ids come from outside. */
const cell = (text: string): string => (formula.test(text) || /[",\r\n]/.test(text) ? `"${text.replace(formula, "'").replaceAll('"', '""')}"` : text);

/** An amount as a plain decimal, in the decimals of its currency. */
function decimal({ minor, currency }: CountedReturns['loss']): string {
  const { maximumFractionDigits: digits = 2 } = new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions();
  return (minor / 10 ** digits).toFixed(digits);
}

const csv = (by: string, rows: readonly CountedReturns[]): string =>
  [[by, 'currency', 'units', 'cases', 'loss'], ...rows.map(({ key, units, cases, loss }) => [key, loss.currency, String(units), String(cases), decimal(loss)])]
    .map((line) => `${line.map(cell).join(',')}\r\n`)
    .join('');

export const reportRoutes = ({ pool }: AppDeps): Route[] => [
  route({
    id: 'reportReturns',
    method: 'get',
    path: '/v1/reports/returns',
    tag: 'Reports',
    summary: 'Why goods came back, and what it cost: 退换货原因与损失',
    description: `Units that cases settled in a time, counted by currency and by what is asked for, the most units first, at most ${mostRows} rows. With \`Accept: text/csv\` the same as a table.`,
    query: z
      .strictObject({
        by: z.enum(countedBy).default('reason').meta({ description: '`reason`: as the review established it; `cause`: as inspection found it' }),
        shop: z.string().min(1).max(200).optional().meta({ description: 'One of your shops; all of them without it' }),
        from: instantSchema.optional().meta({ description: 'Default: 32 days before `to`' }),
        to: instantSchema.optional().meta({ description: 'Not included. Default: now' }),
      })
      .refine(({ from, to }) => from === undefined || to === undefined || from < to, { error: 'from is before to', path: ['from'] }),
    replies: {
      200: {
        description: 'The report',
        schema: z.object({ by: z.enum(countedBy), from: z.iso.datetime(), to: z.iso.datetime(), items: z.array(counted) }),
      },
    },
    problems: ['otherShop'],
    run: async ({ query: { by, shop, ...span }, person, request }) => {
      if (shop !== undefined && !serves(person, shop)) throw new Problem('otherShop', { person: person.id, shop });
      const to = span.to ?? instant(Date.now());
      const from = span.from ?? plus(to, -usualMs);
      const items = await countReturns(pool, { shops: shop === undefined ? person.shops : [shop], from, to, by, limit: mostRows });
      const headers = { Vary: 'Accept, Accept-Language' };
      if (request.accepts(['application/json', 'text/csv']) !== 'text/csv') return { status: 200, headers, body: { by, from, to, items } };
      // The mark tells spreadsheets that it is UTF-8.
      return { status: 200, headers, type: 'text/csv; charset=utf-8', body: `\uFEFF${csv(by, items)}` };
    },
  }),
];
