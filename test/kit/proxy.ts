/** A way to a server that a test can cut: what an outage looks like from our side. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Proxy {
  readonly port: number;
  /** Every connection breaks, and new ones are refused. */
  refuse(): Promise<void>;
  /** Connections stay, new ones are taken, and nothing comes through any more. */
  hang(): void;
  /** As before; what hung is broken. */
  restore(): Promise<void>;
  close(): Promise<void>;
}

export async function proxyTo(host: string, port: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let hanging = false;
  const server = createServer((client) => {
    const target = connect(port, host);
    for (const [socket, other] of [[client, target] as const, [target, client] as const]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('data', (bytes) => {
        if (!hanging) other.write(bytes);
      });
      // A broken side breaks the other one.
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  const cut = (): void => sockets.forEach((socket) => socket.destroy());
  const listen = async (at: number): Promise<void> => {
    server.listen(at, '127.0.0.1');
    await once(server, 'listening');
  };
  await listen(0);
  const own = (server.address() as AddressInfo).port;
  return {
    port: own,
    async refuse() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
    hang() {
      hanging = true;
    },
    async restore() {
      hanging = false;
      cut();
      if (!server.listening) await listen(own);
    },
    async close() {
      if (server.listening) server.close();
      cut();
      await Promise.resolve();
    },
  };
}
