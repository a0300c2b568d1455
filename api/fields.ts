import type { z } from 'zod';
import type { FieldError } from './problems.ts';

/** More than this helps nobody to correct a request, and would make the answer larger than what was sent. */
const mostErrors = 50;

/** What does not fit, field by field: dotted paths as they stand in what was sent, below `prefix`. */
export function fieldErrors(error: z.ZodError, prefix = ''): FieldError[] {
  const at = (path: readonly PropertyKey[]): string => [...(prefix === '' ? [] : [prefix]), ...path.map(String)].join('.');
  const flat = (issues: readonly z.core.$ZodIssue[], above: readonly PropertyKey[]): FieldError[] =>
    issues.flatMap((issue) => {
      const path = [...above, ...issue.path];
      if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ path: at([...path, key]), message: issue.message }));
      // Of a union the option that comes nearest says more than "no option fits".
      const nearest = issue.code === 'invalid_union' ? issue.errors.toSorted((a, b) => a.length - b.length)[0] : undefined;
      return nearest && nearest.length > 0 ? flat(nearest, path) : [{ path: at(path), message: issue.message }];
    });
  const all = flat(error.issues, []);
  // The first of a field says what is wrong; zod goes on to measure what has the wrong type.
  return all.filter(({ path }, i) => all.findIndex((other) => other.path === path) === i).slice(0, mostErrors);
}
