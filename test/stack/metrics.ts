/** Metrics by name: those that a page shows, and those that a rule or a dashboard asks for. */

/** Every series that a page of Prometheus' text format declares; a histogram has three. */
export async function exported(url: string): Promise<ReadonlySet<string>> {
  const page = await (await fetch(url)).text();
  return new Set(
    [...page.matchAll(/^# TYPE (\w+) (\w+)$/gm)].flatMap(([, name = '', type]) =>
      type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  );
}

/** Names of ours, of Temporal's SDK, and of Node in a text. */
export const namedIn = (text: string): ReadonlySet<string> =>
  new Set([...text.matchAll(/\b(?:kefu|temporal|nodejs|process)_[a-z0-9_]+\b/g)].map(([name]) => name));
