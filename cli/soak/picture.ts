/** The curves of a soak as a picture: made by ECharts, without a browser. */
import type { EChartsOption } from 'echarts';
import { queues, type Phase, type Sample } from './sample.ts';

const titles: Readonly<Record<Phase, string>> = { search: 'search', load: '70 %', burst: '3 ×', after: '70 %', end: 'end' };
const shades: Readonly<Record<Phase, string>> = { search: '#f2f2f2', load: '#eaf3ea', burst: '#fbe3df', after: '#eaf3ea', end: '#f2f2f2' };
const width = 1100;
const panel = { first: 70, height: 190, gap: 75 } as const;

interface Line {
  readonly name: string;
  readonly of: (sample: Sample, before: Sample | undefined) => number | undefined;
}
interface Panel {
  readonly title: string;
  /** Some queues are long when others are empty. */
  readonly log?: true;
  readonly lines: readonly Line[];
}

/** What there was a second, from one sample to the next. */
const perSecond =
  (what: (sample: Sample) => number) =>
  (sample: Sample, before: Sample | undefined): number | undefined =>
    before === undefined || sample.at === before.at ? undefined : ((what(sample) - what(before)) / (sample.at - before.at)) * 1000;

/** The mean of so many neighbours: starts and ends come in twos and threes. */
const smoothed = 10;

function panelsOf(samples: readonly Sample[]): readonly Panel[] {
  const processes = [...new Set(samples.flatMap(({ memory }) => Object.keys(memory)))];
  return [
    {
      title: 'cases a second',
      lines: [
        { name: 'to be started', of: ({ rate }) => (rate === 0 ? undefined : rate) },
        { name: 'taken', of: perSecond(({ started }) => started) },
        { name: 'ended', of: perSecond(({ ended }) => ended) },
        { name: 'turned away', of: perSecond(({ turnedAway }) => turnedAway) },
      ],
    },
    {
      title: 'answers, ms, but refusals',
      log: true,
      lines: [
        { name: 'p50', of: ({ p50 }) => p50 },
        { name: 'p99', of: ({ p99 }) => p99 },
      ],
    },
    { title: 'memory, MB', lines: processes.map((name) => ({ name, of: ({ memory }) => memory[name] })) },
    {
      title: 'waiting',
      log: true,
      lines: [
        ...queues.map((name) => ({ name: nameOf[name], of: ({ queues: waiting }: Sample) => waiting[name] })),
        { name: 'open cases', of: ({ openCases }) => openCases },
        { name: 'callers at the door', of: ({ atTheDoor }) => atTheDoor },
      ],
    },
  ];
}
const nameOf = {
  inbox: 'messages to cases',
  unstarted: 'cases to start',
  effects: 'effects under way',
  jobs: 'jobs due',
  temporal: "Temporal's tasks",
} as const satisfies Record<(typeof queues)[number], string>;

/** When each phase began and ended, in minutes. */
function spans(samples: readonly Sample[], minute: (at: number) => number): { phase: Phase; from: number; to: number }[] {
  const found: { phase: Phase; from: number; to: number }[] = [];
  for (const { at, phase } of samples) {
    const current = found.at(-1);
    if (current?.phase === phase) current.to = minute(at);
    else {
      if (current) current.to = minute(at);
      found.push({ phase, from: minute(at), to: minute(at) });
    }
  }
  return found;
}

function pointsOf(samples: readonly Sample[], { name, of }: Line, minute: (at: number) => number, { log, title }: Panel): [number, number | null][] {
  const values = samples.map((sample, i) => of(sample, samples[i - 1]));
  // What is to be started is known, and no mean.
  const mean = title.startsWith('cases') && name !== 'to be started';
  return samples.map(({ at }, i) => {
    const near = (mean ? values.slice(Math.max(0, i - smoothed + 1), i + 1) : [values[i]]).filter((value) => value !== undefined);
    const value = values[i] === undefined || near.length === 0 ? undefined : near.reduce((so, n) => so + n, 0) / near.length;
    // On a logarithmic axis nothing stands on its lowest line.
    return [minute(at), value === undefined ? null : log ? Math.max(1, value) : Math.round(value * 100) / 100];
  });
}

export function optionsOf(samples: readonly Sample[]): { readonly option: EChartsOption; readonly height: number } {
  const began = samples[0]?.at ?? 0;
  const minute = (at: number): number => Math.round((at - began) / 600) / 100;
  const last = minute(samples.at(-1)?.at ?? 0);
  const panels = panelsOf(samples);
  const top = (i: number): number => panel.first + i * (panel.height + panel.gap);
  const areas = spans(samples, minute).map(({ phase, from, to }) => [
    { name: titles[phase], xAxis: from, itemStyle: { color: shades[phase] }, label: { color: '#555', position: 'insideTop' as const } },
    { xAxis: to },
  ]);
  const option: EChartsOption = {
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: 'sans-serif' },
    legend: panels.map(({ lines }, i) => ({
      top: top(i) - 28,
      left: 260,
      itemWidth: 18,
      itemHeight: 8,
      itemGap: 20,
      textStyle: { fontSize: 11 },
      data: lines.map(({ name }) => ({ name })),
    })),
    title: panels.map(({ title }, i) => ({ text: title, left: 20, top: top(i) - 32, textStyle: { fontSize: 14 } })),
    grid: panels.map((_, i) => ({ left: 60, right: 25, top: top(i), height: panel.height })),
    xAxis: panels.map((_, i) => ({
      gridIndex: i,
      type: 'value' as const,
      min: 0,
      max: last,
      splitLine: { show: false },
      axisLabel: { showMaxLabel: false },
      name: i === panels.length - 1 ? 'minutes' : '',
      nameLocation: 'middle' as const,
      nameGap: 28,
    })),
    yAxis: panels.map(({ log }, i) => ({ gridIndex: i, type: log ? ('log' as const) : ('value' as const), min: log ? 1 : 0 })),
    series: panels.flatMap((shown, i) =>
      shown.lines.map((line, n) => ({
        name: line.name,
        type: 'line' as const,
        xAxisIndex: i,
        yAxisIndex: i,
        showSymbol: false,
        lineStyle: { width: 1.5 },
        data: pointsOf(samples, line, minute, shown),
        ...(n === 0 ? { markArea: { silent: true, data: areas as never } } : {}),
      })),
    ),
  };
  return { option, height: top(panels.length) - panel.gap + 60 };
}

/** The picture as SVG. Throws, saying what to do, where the library of development is not installed. */
export async function pictureOf(samples: readonly Sample[]): Promise<string> {
  const echarts = await import('echarts').catch((cause: unknown) => {
    throw new Error('The picture is drawn by a package of development: npm install, without --omit=dev.', { cause });
  });
  const { option, height } = optionsOf(samples);
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width, height });
  chart.setOption(option);
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}
