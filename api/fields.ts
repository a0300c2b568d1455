import type { z } from 'zod';
import type { FieldError } from './problems.ts';

/** More than this helps nobody to correct a request, and would make the answer larger than what was sent. */
const mostErrors = 50;

/** A name longer than this is none of ours, and is not sent back whole. */
const longestName = 100;
const named = (key: PropertyKey): string => {
  const name = String(key);
  return name.length > longestName ? `${name.slice(0, longestName)}…` : name;
};

/**
 * What does not fit, field by field: dotted paths as they stand in what was sent, below `prefix`. The work and the answer are those of a few fields, however many
 * do not fit: what was sent may be wrong a hundred thousand times.
 */
export function fieldErrors(error: z.ZodError, prefix = ''): FieldError[] {
  // By path: the first of a field says what is wrong; zod goes on to measure what has the wrong type.
  const found = new Map<string, string>();
  const add = (path: readonly PropertyKey[], message: string): void => {
    const at = [...(prefix === '' ? [] : [prefix]), ...path.map(named)].join('.');
    if (!found.has(at)) found.set(at, message);
  };
  const walk = (issues: readonly z.core.$ZodIssue[], above: readonly PropertyKey[]): void => {
    for (const issue of issues) {
      if (found.size >= mostErrors) return;
      const path = [...above, ...issue.path];
      if (issue.code === 'unrecognized_keys') {
        // Its message goes on with all of them; which one is meant, the path says.
        const [message = ''] = issue.message.split(':');
        for (const key of issue.keys.slice(0, mostErrors)) add([...path, key], message);
        continue;
      }
      // Of a union the option that comes nearest says more than "no option fits".
      const nearest = issue.code === 'invalid_union' ? issue.errors.toSorted((a, b) => a.length - b.length)[0] : undefined;
      if (nearest && nearest.length > 0) walk(nearest, path);
      else add(path, issue.message);
    }
  };
  walk(error.issues, []);
  return [...found].slice(0, mostErrors).map(([path, message]) => ({ path, message }));
}
