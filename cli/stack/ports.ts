import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below the range from which Linux gives ports to outgoing connections (32768 and up): a server that is restarted must find its port free, and a client
 * that keeps asking a dead port of that range can connect to itself.
 */
const lowest = 20_000;
const highest = 32_000;

/** Whether a server could listen there now. */
export const isFree = (port: number, host: string): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });

/** A port of this machine that nothing listens on. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = randomInt(lowest, highest);
    if (await isFree(port, '127.0.0.1')) return port;
  }
  throw new Error(`No free port found between ${lowest} and ${highest}.`);
}
