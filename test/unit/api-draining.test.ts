import { afterEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { Agent, request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createDraining, type Draining } from '../../api/draining.ts';

/** A server whose requests at `/slow` are answered when they are let go. */
function slowServer(finishWithinMs?: number) {
  const held: (() => void)[] = [];
  let arrived: () => void = () => undefined;
  const draining = createDraining((incoming, response) => {
    const answer = (): void => void response.end('done');
    if (incoming.url !== '/slow') return answer();
    held.push(answer);
    arrived();
  }, finishWithinMs);
  const arrival = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  return { draining, arrival, letGo: () => held.forEach((answer) => answer()) };
}

const agents: Agent[] = [];
afterEach(() => agents.splice(0).forEach((agent) => agent.destroy()));

async function listen({ server }: Draining): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** As a client that keeps one connection. */
function client(port: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  agents.push(agent);
  return async (path: string): Promise<{ status: number | undefined; closes: boolean }> => {
    const asked = request({ port, path, host: '127.0.0.1', agent }).end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    answer.resume();
    await once(answer, 'end');
    return { status: answer.statusCode, closes: answer.headers.connection === 'close' };
  };
}

describe('a server that is told to stop', () => {
  test('says so first and takes requests meanwhile, then refuses new ones and finishes what runs', async () => {
    const { draining, arrival, letGo } = slowServer();
    const port = await listen(draining);
    const [one, other] = [client(port), client(port)];
    expect(await one('/readyz')).toEqual({ status: 200, closes: false });
    const slow = one('/slow');
    await arrival;

    let stopped = false;
    const stop = draining.stop(500).then(() => (stopped = true));
    // Whoever keeps a connection is told to open another one for the next request: elsewhere.
    expect(await other('/readyz')).toEqual({ status: 503, closes: true });
    expect(await other('/any')).toEqual({ status: 200, closes: true });

    for (;;) {
      const refused = await client(port)('/any').then(
        () => false,
        (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
      );
      if (refused) break;
    }
    expect(stopped).toBe(false);
    letGo();
    expect(await slow).toEqual(expect.objectContaining({ status: 200 }));
    await stop;
  });

  test('waits for nobody for ever', async () => {
    const { draining, arrival } = slowServer(200);
    const port = await listen(draining);
    const slow = client(port)('/slow');
    const outcome = slow.then(
      () => 'answered',
      (error: NodeJS.ErrnoException) => error.code,
    );
    await arrival;
    await draining.stop(0);
    expect(await outcome).toBe('ECONNRESET');
  });
});
