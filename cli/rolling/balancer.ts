/** One address before several servers, as a Kubernetes Service is: connections go in turn to those that say they are ready. It knows nothing of HTTP but that question. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A tenth of what a cluster usually takes (deploy/kubernetes): a run lasts minutes, not days. */
const lookEveryMs = 250;
const answerWithinMs = 2000;

export interface Balancer {
  readonly url: string;
  /** Connections that found nobody ready. */
  readonly turnedAway: () => number;
  /** Sends connections to these from now on; `ready` is a path that answers 2xx. */
  serve(urls: readonly string[], ready: string): void;
  close(): void;
}

export async function startBalancer(port: number): Promise<Balancer> {
  let targets: readonly { readonly url: URL; ready: boolean }[] = [];
  let question = '/';
  let turn = 0;
  let turnedAway = 0;
  const sockets = new Set<Socket>();

  const look = async (): Promise<void> => {
    await Promise.all(
      targets.map(async (target) => {
        target.ready = await fetch(new URL(question, target.url), { signal: AbortSignal.timeout(answerWithinMs) }).then(
          async (response) => {
            await response.arrayBuffer();
            return response.ok;
          },
          () => false,
        );
      }),
    );
  };
  let looking: Promise<void> | undefined;
  const timer = setInterval(() => {
    looking ??= look().finally(() => (looking = undefined));
  }, lookEveryMs);

  const server = createServer((client) => {
    const ready = targets.filter((target) => target.ready);
    const target = ready[turn++ % ready.length];
    if (target === undefined) {
      turnedAway += 1;
      client.destroy();
      return;
    }
    const backend = connect(Number(target.url.port), target.url.hostname);
    for (const [socket, other] of [[client, backend] as const, [backend, client] as const]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.pipe(other);
      // A side that breaks breaks the other one; its reason is nobody's but theirs.
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${port}`,
    turnedAway: () => turnedAway,
    serve(urls, ready) {
      targets = urls.map((url) => ({ url: new URL(url), ready: false }));
      question = ready;
    },
    close() {
      clearInterval(timer);
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
