/** Edits (insert, drop, change, swap neighbours) that make one word of another. */
function distance(a: string, b: string): number {
  const rows: number[][] = [];
  const at = (i: number, j: number): number => (i === 0 ? j : j === 0 ? i : (rows[i]?.[j] ?? Infinity));
  for (let i = 1; i <= a.length; i++) {
    const row: number[] = [];
    rows[i] = row;
    for (let j = 1; j <= b.length; j++) {
      const change = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? at(i - 2, j - 2) + 1 : Infinity;
      row[j] = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, change, swap);
    }
  }
  return at(a.length, b.length);
}

/** What a misspelt word was likely meant to be, as the end of a sentence; without a likely one, what there is. At most a third of its letters are wrong. */
export function meant(word: string, known: readonly string[]): string {
  const [best] = known.map((name) => ({ name, far: distance(word.toLowerCase(), name.toLowerCase()) })).sort((a, b) => a.far - b.far);
  if (best !== undefined && best.far <= Math.max(1, Math.floor(best.name.length / 3))) return `; did you mean ${best.name}?`;
  return known.length > 0 ? `; it is one of ${known.join(', ')}` : '';
}
