/** What watches over the engine holds together: alerts, their tests, the dashboard, the doctor and the runbook name each other's things. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { z } from 'zod';
import { findings, runbook } from '../../cli/doctor/findings.ts';
import { dashboard, dashboardFile } from '../../deploy/grafana/dashboard.ts';
import { namedIn } from '../stack/metrics.ts';

const root = resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

const alertSchema = z.strictObject({
  alert: z.string(),
  expr: z.string(),
  for: z
    .string()
    .regex(/^\d+[smh]$/)
    .optional(),
  labels: z.strictObject({ severity: z.enum(['critical', 'warning']) }),
  annotations: z.strictObject({ summary: z.string(), summary_zh: z.string().regex(/\p{Script=Han}/u), runbook: z.string() }),
});
const alerts = z
  .object({ groups: z.array(z.object({ name: z.string(), rules: z.array(alertSchema) })) })
  .parse(parse(read('deploy/prometheus/alerts.yml')))
  .groups.flatMap(({ rules }) => rules);

/** Headings as GitHub makes anchors of them. */
const chapters = new Set(
  [...read(runbook).matchAll(/^## (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  ),
);

describe('alerts', () => {
  test('each has its chapter in the runbook, which names it', () => {
    expect(alerts.length).toBeGreaterThan(15);
    for (const { alert, annotations } of alerts) {
      const [file, anchor = ''] = annotations.runbook.split('#');
      expect([alert, file, chapters.has(anchor)]).toEqual([alert, runbook, true]);
      expect([alert, read(runbook).includes(`\`${alert}\``)]).toEqual([alert, true]);
    }
  });

  test('each is tested by its name, when it speaks up and when it does not', () => {
    const tests = read('deploy/prometheus/tests/alerts.test.yml');
    for (const { alert } of alerts) expect([alert, tests.includes(`ALERTS{alertname="${alert}", alertstate="firing"`)]).toEqual([alert, true]);
  });
});

describe('the doctor', () => {
  test('has words in both languages and a chapter for everything that it finds', () => {
    for (const [what, { chapter, says, todo }] of Object.entries(findings)) {
      expect([what, chapters.has(chapter)]).toEqual([what, true]);
      for (const text of [says, todo]) expect([what, /\p{Script=Han}/u.test(text.zh), /\p{Script=Han}/u.test(text.en)]).toEqual([what, true, false]);
      const holes = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([hole]) => hole).toSorted();
      expect([what, holes(says.zh)]).toEqual([what, holes(says.en)]);
    }
  });
});

describe('the runbook', () => {
  test('links to chapters that are there', () => {
    for (const [, anchor = ''] of read(runbook).matchAll(/\]\(#([\w-]+)\)/g)) expect([anchor, chapters.has(anchor)]).toEqual([anchor, true]);
  });

  test('says only commands that there are', () => {
    const scripts = Object.keys((JSON.parse(read('package.json')) as { scripts: object }).scripts);
    for (const [, name = ''] of read(runbook).matchAll(/npm run (?:-s )?([a-z:]+)/g)) expect(scripts).toContain(name);
    for (const [, module = ''] of read(runbook).matchAll(/node dist\/([\w/]+)\.js/g))
      expect([module, existsSync(join(root, `${module}.ts`))]).toEqual([module, true]);
  });
});

describe('the dashboard', () => {
  test('is what deploy/grafana/dashboard.ts makes', () => {
    expect(JSON.parse(readFileSync(dashboardFile, 'utf8'))).toEqual(dashboard());
  });

  test('shows every figure of ours that an alert goes by', () => {
    const shown = namedIn(readFileSync(dashboardFile, 'utf8'));
    for (const { alert, expr } of alerts)
      expect([alert, [...namedIn(expr)].filter((name) => !shown.has(name) && !name.endsWith('_oldest_seconds') && name !== 'kefu_worker_up')]).toEqual([
        alert,
        [],
      ]);
  });
});
