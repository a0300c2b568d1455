import { once } from 'node:events';

/** Rejects as soon as the signal is given, whatever becomes of the work: for work that its caller ends afterwards, or that ends with this process. */
export async function unless<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const stopped = new Error('Stopped before everything was up.');
  if (signal.aborted) throw stopped;
  return Promise.race([
    work(),
    once(signal, 'abort').then(() => {
      throw stopped;
    }),
  ]);
}
