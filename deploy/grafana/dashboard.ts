/**
 * The dashboard, as Grafana imports it: `node --import tsx deploy/grafana/dashboard.ts` writes kefu-flow.json beside it (then `npm run format`), and a test
 * holds that the file is what this makes. Titles are Chinese and English, since one file serves both.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Panel {
  readonly title: string;
  /** What it asks, and how each line is called. */
  readonly lines: readonly (readonly [expr: string, legend: string])[];
  readonly unit?: 'short' | 's' | 'reqps' | 'bytes' | 'percentunit';
  /** A single figure, red from `bad`; else lines over time. */
  readonly bad?: number;
  /** Of 24 columns. */
  readonly width?: number;
  /** Red below `bad`, not above. */
  readonly low?: true;
}

/** Every API shows the same figures of Postgres: the largest is the newest. */
const max = (metric: string, by = ''): string => (by === '' ? `max(${metric})` : `max by (${by}) (${metric})`);
const rate = (metric: string, by: string): string => `sum by (${by}) (rate(${metric}[$__rate_interval]))`;
const p95 = (metric: string, by = ''): string =>
  `histogram_quantile(0.95, sum by (le${by === '' ? '' : `, ${by}`}) (rate(${metric}_bucket[$__rate_interval])))`;
const stat = (title: string, expr: string, bad: number, more: Partial<Panel> = {}): Panel => ({ title, lines: [[expr, '']], bad, width: 3, ...more });

const rows: Readonly<Record<string, readonly Panel[]>> = {
  '概览 Overview': [
    stat('Postgres', max('kefu_postgres_up'), 1, { low: true }),
    stat('Temporal', max('kefu_temporal_up'), 1, { low: true }),
    stat('工作进程 Workers', 'sum(up{job="kefu-worker"})', 1, { low: true }),
    stat('接口 APIs', 'sum(up{job="kefu-api"})', 1, { low: true }),
    stat('中断案件 Broken cases', 'sum(max by (process) (kefu_cases_broken)) or vector(0)', 1),
    stat('待人工修复 To repair', 'sum(max by (system) (kefu_repairs_open)) or vector(0)', 1),
    stat('今日失败 Failed today', 'sum(max by (process) (kefu_cases_failed_today)) or vector(0)', 10),
    stat('清扫距今 Since last sweep', 'time() - max(kefu_sweep_last_success_seconds)', 300, { unit: 's' }),
    { title: '进行中案件 Open cases', lines: [[max('kefu_cases_open', 'process'), '{{process}}']], width: 12 },
    {
      title: '开立与结束 Started and ended',
      lines: [
        [rate('kefu_cases_started_total', 'process'), '{{process}} started'],
        [rate('kefu_cases_ended_total', 'process, status, result'), '{{process}} {{status}} {{result}}'],
      ],
      unit: 'reqps',
      width: 12,
    },
    {
      title: '接口请求 Requests',
      lines: [
        [rate('kefu_http_request_duration_seconds_count', 'status'), '{{status}}'],
        [rate('kefu_http_requests_refused_total', 'kind'), 'refused: {{kind}}'],
      ],
      unit: 'reqps',
      width: 12,
    },
    { title: '接口 95 % 响应时间 Answers, 95 %', lines: [[p95('kefu_http_request_duration_seconds', 'operation'), '{{operation}}']], unit: 's', width: 12 },
  ],
  '外部系统 Effects by system': [
    { title: '尝试 Tries', lines: [[rate('kefu_effect_tries_total', 'system, result'), '{{system}} {{result}}']], unit: 'reqps' },
    { title: '完成 Done', lines: [[rate('kefu_effects_done_total', 'system, operation, result'), '{{system}}.{{operation}} {{result}}']], unit: 'reqps' },
    { title: '95 % 耗时 Time of a try, 95 %', lines: [[p95('kefu_effect_try_seconds', 'system'), '{{system}}']], unit: 's' },
    { title: '熔断 Left alone', lines: [[max('kefu_breaker_open', 'system'), '{{system}}']] },
    {
      title: '无应答 Sent, no answer',
      lines: [
        [max('kefu_effects_sending', 'system'), '{{system}}'],
        [max('kefu_effects_sending_oldest_seconds', 'system'), '{{system}}: oldest, s'],
      ],
    },
    {
      title: '待人工修复 Wait for a person',
      lines: [
        [max('kefu_repairs_open', 'system'), '{{system}}'],
        [max('kefu_repairs_open_oldest_seconds', 'system'), '{{system}}: oldest, s'],
      ],
    },
  ],
  '人的工作 People’s work': [
    { title: '待办 Open tasks', lines: [[max('kefu_tasks_open', 'role'), '{{role}}']] },
    { title: '最久待办 Oldest open task', lines: [[max('kefu_tasks_open_oldest_seconds', 'role'), '{{role}}']], unit: 's' },
    { title: '决定 Decisions', lines: [[rate('kefu_tasks_decided_total', 'process, task'), '{{process}} {{task}}']], unit: 'reqps' },
    { title: '规则决定 Decisions of rules', lines: [[rate('kefu_rule_decisions_total', 'process, rule'), '{{process}} {{rule}}']], unit: 'reqps' },
    { title: '时限提醒与升级 Warnings and escalations', lines: [[rate('kefu_clock_notices_total', 'clock, kind'), '{{clock}} {{kind}}']], unit: 'reqps' },
  ],
  '投递与队列 Delivery and queues': [
    {
      title: '未收取的消息 Not taken in by their cases',
      lines: [
        [max('kefu_inbox_undelivered'), 'messages'],
        [max('kefu_inbox_undelivered_oldest_seconds'), 'oldest, s'],
        [max('kefu_cases_unstarted', 'process'), '{{process}}: not started'],
      ],
    },
    { title: '投递 Brought to Temporal', lines: [[rate('kefu_deliveries_total', 'what, result'), '{{what}} {{result}}']], unit: 'reqps' },
    { title: '回调 Webhooks', lines: [[rate('kefu_webhooks_total', 'source, result'), '{{source}} {{result}}']], unit: 'reqps' },
    { title: '无主事件 Claimed by no case', lines: [[max('kefu_events_unclaimed', 'source'), '{{source}}']] },
    {
      title: '任务队列 Jobs',
      lines: [
        [max('kefu_jobs_due', 'kind'), '{{kind}}: due'],
        [max('kefu_jobs_retried', 'kind'), '{{kind}}: failed, tried again'],
        [max('kefu_jobs_dead', 'kind'), '{{kind}}: given up'],
      ],
    },
    { title: '任务延误 Jobs late', lines: [[max('kefu_jobs_due_oldest_seconds', 'kind'), '{{kind}}']], unit: 's' },
    {
      title: '消息 Messages to people',
      lines: [
        [rate('kefu_messages_total', 'result'), '{{result}}'],
        [max('kefu_messages_queued'), 'waiting'],
        [max('kefu_messages_failed_today', 'recipient'), '{{recipient}}: failed today'],
      ],
    },
    {
      title: '清扫 Sweeps',
      lines: [
        [rate('kefu_sweeps_total', 'result'), '{{result}}'],
        [rate('kefu_sweep_found_total', 'what'), 'found: {{what}}'],
      ],
      unit: 'reqps',
    },
  ],
  Temporal: [
    { title: '等待工作进程 Wait for a worker', lines: [[max('kefu_engine_behind_seconds'), 'as Temporal has it']], unit: 's' },
    {
      title: '流程任务 Workflow tasks, 95 %',
      lines: [
        [p95('temporal_workflow_task_schedule_to_start_latency_seconds'), 'until begun'],
        [p95('temporal_workflow_task_execution_latency_seconds'), 'work'],
      ],
      unit: 's',
    },
    {
      title: '代码失败 Failures of code',
      lines: [[rate('temporal_workflow_task_execution_failed_total', 'workflow_type, failure_reason'), '{{workflow_type}} {{failure_reason}}']],
      unit: 'reqps',
    },
    { title: '工作槽 Slots in use', lines: [['sum by (worker_type) (temporal_worker_task_slots_used)', '{{worker_type}}']] },
    { title: '缓存的流程 Workflows in memory', lines: [['sum by (instance) (temporal_sticky_cache_size)', '{{instance}}']] },
    { title: '请求 Requests to Temporal', lines: [[rate('temporal_request_total', 'operation'), '{{operation}}']], unit: 'reqps' },
  ],
  Postgres: [
    {
      title: '连接 Connections',
      lines: [
        [max('kefu_postgres_connections'), 'in use'],
        [max('kefu_postgres_connections_max'), 'most'],
      ],
    },
    {
      title: '连接池 Pools',
      lines: [['max by (instance, pool) (kefu_pool_connections_used / kefu_pool_connections_max)', '{{instance}} {{pool}}']],
      unit: 'percentunit',
    },
    { title: '等待连接 Wait for a connection', lines: [['max by (instance, pool) (kefu_pool_waiting)', '{{instance}} {{pool}}']] },
  ],
  '进程 Processes': [
    { title: '内存 Memory', lines: [['process_resident_memory_bytes', '{{job}} {{instance}}']], unit: 'bytes' },
    { title: 'CPU', lines: [['rate(process_cpu_seconds_total[$__rate_interval])', '{{job}} {{instance}}']], unit: 'percentunit' },
    { title: '事件循环延迟 Event loop, 99 %', lines: [['nodejs_eventloop_lag_p99_seconds', '{{job}} {{instance}}']], unit: 's' },
  ],
};

const datasource = { type: 'prometheus', uid: '${datasource}' };

function panelOf({ title, lines, unit = 'short', bad, low }: Panel, id: number, gridPos: object): object {
  const thresholds = {
    mode: 'absolute',
    steps: low
      ? [
          { color: 'red', value: null },
          { color: 'green', value: bad },
        ]
      : [
          { color: 'green', value: null },
          { color: 'red', value: bad },
        ],
  };
  const single = bad !== undefined;
  return {
    id,
    type: single ? 'stat' : 'timeseries',
    title,
    datasource,
    gridPos,
    fieldConfig: {
      defaults: {
        unit,
        min: 0,
        ...(single ? { thresholds, color: { mode: 'thresholds' } } : { custom: { lineWidth: 1, fillOpacity: 10, showPoints: 'never' } }),
      },
      overrides: [],
    },
    options: single
      ? { reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false }, colorMode: 'background', graphMode: 'none' }
      : { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
    targets: lines.map(([expr, legendFormat], n) => ({
      refId: String.fromCodePoint(65 + n),
      datasource,
      expr,
      ...(legendFormat === '' ? {} : { legendFormat }),
    })),
  };
}

/** The whole dashboard, for Grafana 10 and newer. */
export function dashboard(): object {
  const panels: object[] = [];
  let y = 0;
  for (const [title, row] of Object.entries(rows)) {
    panels.push({ id: panels.length + 1, type: 'row', title, collapsed: false, gridPos: { h: 1, w: 24, x: 0, y }, panels: [] });
    y += 1;
    let [x, height] = [0, 0];
    for (const panel of row) {
      const [w, h] = [panel.width ?? 8, panel.bad === undefined ? 8 : 4];
      if (x + w > 24) [x, y, height] = [0, y + height, 0];
      panels.push(panelOf(panel, panels.length + 1, { h, w, x, y }));
      [x, height] = [x + w, Math.max(height, h)];
    }
    y += height;
  }
  return {
    uid: 'kefu-flow',
    title: 'Kefu Flow 客服流程引擎',
    tags: ['kefu-flow'],
    timezone: 'Asia/Shanghai',
    schemaVersion: 39,
    version: 1,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    templating: { list: [{ name: 'datasource', type: 'datasource', query: 'prometheus', label: 'Prometheus' }] },
    panels,
  };
}

export const dashboardFile = join(import.meta.dirname, 'kefu-flow.json');

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(dashboardFile, `${JSON.stringify(dashboard(), null, 2)}\n`);
