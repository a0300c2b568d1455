/** What the stack's logs may not hold, after all that was sent. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Canary } from './leaks.ts';

/** Ours write one JSON a line; a line that is none was forged, or is a crash. */
const ours = ['api.log', 'worker.log', 'systems.log'];
const isJson = (line: string): boolean => {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
};

/** Personal data, words, secrets and links in any log, and lines that nobody of us wrote. Ids of cases and people are what logs are for. */
export async function logs(folder: string, canaries: readonly Canary[]): Promise<string[]> {
  const found: string[] = [];
  const nobodys = canaries.filter(({ what }) => !/^(?:the id of|a request of|a customer of)/.test(what));
  for (const file of await readdir(folder)) {
    const text = await readFile(join(folder, file), 'utf8');
    for (const { text: canary, what } of nobodys) if (text.includes(canary)) found.push(`${file} holds ${what}`);
    if (/"msg":"forged line"|^\{"level":60/m.test(text)) found.push(`${file} has a line that was sent to us`);
    // `ready` is what the worker says to who has started it.
    const strange = ours.includes(file) ? text.split('\n').filter((line) => line !== '' && line !== 'ready' && !isJson(line)) : [];
    for (const line of strange.slice(0, 3)) found.push(`${file} has a broken line: ${line.slice(0, 120)}`);
  }
  return found;
}
