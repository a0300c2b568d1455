/** Whether a figure stays where it was: by its own ups and downs, not by a number that somebody thought of. */

export interface Point {
  /** Milliseconds. */
  readonly at: number;
  readonly value: number;
}

/** The value below which so much of them lies, 0 to 1; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)] ?? Number.NaN, sorted[Math.ceil(place)] ?? Number.NaN];
  return below + (above - below) * (place - Math.floor(place));
}
export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** One point per bin, the median of it: what a garbage collector does within a bin is no trend, and neighbours that repeat each other are no evidence. */
export function binned(points: readonly Point[], ms: number): Point[] {
  const bins = new Map<number, number[]>();
  for (const { at, value } of points) {
    const bin = Math.floor(at / ms);
    const values = bins.get(bin);
    if (values) values.push(value);
    else bins.set(bin, [value]);
  }
  return [...bins].map(([bin, values]) => ({ at: (bin + 0.5) * ms, value: median(values) }));
}

export interface Trend {
  /** The level in the middle of it. */
  readonly level: number;
  readonly middle: number;
  /** Change per hour: the median of all pairs' slopes (Theil and Sen), and the 95 % interval of it (Sen). */
  readonly perHour: number;
  readonly least: number;
  readonly most: number;
  /** How far 95 % of the points are from the line, at most. */
  readonly spread: number;
}
const hour = 3_600_000;
/** Of the normal distribution, for 95 % on both sides. */
const z = 1.96;

/** The trend of so many points; undefined below eight, which say nothing about one. */
export function trendOf(points: readonly Point[]): Trend | undefined {
  const n = points.length;
  if (n < 8) return undefined;
  const slopes = points.flatMap((a, i) => points.slice(i + 1).map((b) => (b.value - a.value) / ((b.at - a.at) / hour))).toSorted((a, b) => a - b);
  // Kendall's S has this variance where there is no trend; its interval holds so many of the ordered slopes.
  const half = (z * Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18)) / 2;
  const at = (place: number): number => slopes[Math.min(slopes.length - 1, Math.max(0, Math.round(place)))] ?? Number.NaN;
  const perHour = median(slopes);
  const middle = median(points.map((point) => point.at));
  const level = median(points.map((point) => point.value - (perHour * (point.at - middle)) / hour));
  const spread = quantile(
    points.map((point) => Math.abs(point.value - level - (perHour * (point.at - middle)) / hour)),
    0.95,
  );
  return { level, middle, perHour, least: at(slopes.length / 2 - half), most: at(slopes.length / 2 + half), spread };
}

/** The most that a trend foretells for a moment: its line at the upper end of what it may rise by, and the spread about it. */
export const foretold = ({ level, middle, most, spread }: Trend, at: number): number => level + (Math.max(0, most) * (at - middle)) / hour + spread;
