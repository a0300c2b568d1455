/** Where a policy and the processes meet: what the policy says of processes is so, and what processes ask of it is there. */
import { PolicyError, type LoadedPolicy, type PolicyProblem } from '../policies/load.ts';
import { policyFor } from '../policies/lookup.ts';
import { meant } from '../policies/nearest.ts';
import type { Processes } from './registry.ts';
import { kit, misfits, textsOf } from './texts.ts';

/**
 * Checks a policy against the processes that run under it: clocks and windows that they declare exist, and wording is for messages that exist, with their places.
 * Throws PolicyError with all problems, so that neither worker nor API starts on a policy that a case would stumble over.
 */
export function checkPolicy(loaded: LoadedPolicy, processes: Processes): void {
  const { policy, at } = loaded;
  const problems: PolicyProblem[] = [...processes.values()].flatMap(({ declaration: { name, clocks, windows } }) => {
    const wanting = (section: 'clocks' | 'windows', names: readonly string[]) =>
      names
        .filter((n) => !Object.hasOwn(policy[section], n))
        .map((n) => ({ ...at([section], undefined, 'key'), path: section, reason: `has no ${n}, which the process ${name} declares` }));
    return [...wanting('clocks', Object.values(clocks)), ...wanting('windows', windows)];
  });
  const known = new Map([...processes, ['kit', kit] as const]);
  for (const shop of [undefined, ...Object.keys(policy.shops)])
    for (const [process, messages] of Object.entries(policyFor(policy, shop ?? '').messages.texts)) {
      const problem = (path: readonly string[], reason: string, spot: 'key' | 'value' = 'key'): void => {
        const full = ['messages', 'texts', process, ...path];
        const place = at(full, shop, spot);
        // What a shop has from everybody is told once.
        if (shop !== undefined && problems.some((p) => p.file === place.file && p.line === place.line && p.column === place.column && p.reason === reason))
          return;
        problems.push({ ...place, path: [...(shop === undefined ? [] : ['shops', shop]), ...full].join('.'), reason });
      };
      const of = known.get(process);
      if (of === undefined) {
        problem([], `there is no process of this name${meant(process, [...known.keys()])}`);
        continue;
      }
      const texts = textsOf(of).messages;
      for (const [message, words] of Object.entries(messages)) {
        const own = Object.hasOwn(texts, message) ? texts[message] : undefined;
        if (own === undefined) problem([message], `${process} tells no message of this name${meant(message, Object.keys(texts))}`);
        else
          for (const [language, text] of Object.entries(words))
            for (const reason of misfits(text, Object.keys(own.data))) problem([message, language], reason, 'value');
      }
    }
  if (problems.length > 0) throw new PolicyError(problems);
}
