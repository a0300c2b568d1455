/** Money in integer minor units (分, cents) with its ISO 4217 currency. Never a float. */
export interface Money {
  readonly minor: number;
  readonly currency: string;
}

/** An amount of minor units; throws RangeError when `minor` is no safe integer. */
export function money(minor: number, currency: string): Money {
  if (!Number.isSafeInteger(minor)) throw new RangeError(`${minor} is no whole number of minor units`);
  return { minor, currency };
}

function sameCurrency(a: Money, b: Money): string {
  if (a.currency !== b.currency) throw new RangeError(`${a.currency} and ${b.currency} do not mix`);
  return a.currency;
}

export const add = (a: Money, b: Money): Money => money(a.minor + b.minor, sameCurrency(a, b));
export const subtract = (a: Money, b: Money): Money => money(a.minor - b.minor, sameCurrency(a, b));
export const least = (a: Money, b: Money): Money => (sameCurrency(a, b), a.minor <= b.minor ? a : b);
export const exceeds = (a: Money, b: Money): boolean => (sameCurrency(a, b), a.minor > b.minor);
export const sum = (amounts: readonly Money[], currency: string): Money => amounts.reduce(add, money(0, currency));

/**
 * Splits a whole number of minor units by weights so that the parts are whole and add up exactly: largest remainder, ties to the earlier part.
 * Weights are non-negative; when all are zero the total goes to the first part.
 */
export function prorate(total: number, weights: readonly number[]): number[] {
  const weight = weights.reduce((a, b) => a + b, 0);
  if (weights.length === 0) {
    if (total !== 0) throw new RangeError('nothing to spread the amount over');
    return [];
  }
  if (weight === 0) return weights.map((_, i) => (i === 0 ? total : 0));
  // BigInt: total × weight may pass 2^53 although each is a safe integer.
  const shares = weights.map((w) => (BigInt(total) * BigInt(w)) / BigInt(weight));
  const remainders = weights.map((w, i) => BigInt(total) * BigInt(w) - (shares[i] ?? 0n) * BigInt(weight));
  const parts = shares.map(Number);
  const rest = total - parts.reduce((a, b) => a + b, 0);
  const order = remainders.map((r, i) => ({ r: r < 0n ? -r : r, i })).sort((a, b) => (a.r === b.r ? a.i - b.i : a.r > b.r ? -1 : 1));
  for (const { i } of order.slice(0, Math.abs(rest))) parts[i] = (parts[i] ?? 0) + Math.sign(rest);
  return parts;
}

/** How many decimals a currency has, by ISO 4217: 2 of the yuan, none of the yen. */
export const decimalsOf = (currency: string): number =>
  new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? 2;

/** An amount from a decimal text (`12.50`), exactly. Throws RangeError when it is no such amount. */
export function parseMoney(text: string, currency: string): Money {
  const decimals = decimalsOf(currency);
  const [, whole = '', fraction = ''] = /^(\d{1,11})(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole === '' || fraction.length > decimals) throw new RangeError(`"${text}" is no amount of ${currency}`);
  return money(Number(whole + fraction.padEnd(decimals, '0')), currency);
}
