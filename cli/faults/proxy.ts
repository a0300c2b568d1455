/** A way to a server that can be cut, held up and slowed: what an outage looks like from our side. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Slowness {
  /** Added to each way. */
  readonly ms: number;
  readonly bytesPerSecond: number;
}

export interface Proxy {
  readonly port: number;
  /** Every connection breaks, and new ones are refused. */
  refuse(): Promise<void>;
  /** Connections stay, new ones are taken, and nothing comes through any more. */
  hang(): void;
  /** All comes through, later. */
  slow(how: Slowness): void;
  /** As before, and nothing breaks: what was held comes now, also from who has given it up meanwhile. */
  release(): void;
  /** As before, and what hung is broken. */
  restore(): Promise<void>;
  close(): Promise<void>;
}

/** Held bytes of one connection: above this its sender waits, as it would for a full network buffer. */
const mostHeld = 1024 * 1024;

interface Conditions {
  hanging: boolean;
  slow: Slowness | undefined;
}

/** One direction of one connection. */
class Way {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #conditions: Conditions;
  /** What is under way, and when it may arrive. */
  readonly #held: { readonly bytes: Buffer; readonly due: number }[] = [];
  #heldBytes = 0;
  /** When a slow line has taken all that it was given. */
  #sentBy = 0;
  #ended = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, conditions: Conditions) {
    this.#from = from;
    this.#to = to;
    this.#conditions = conditions;
    from.on('data', (bytes: Buffer) => this.#take(bytes));
    from.on('close', () => {
      this.#ended = true;
      this.flow();
    });
    // The close that follows breaks the other side.
    from.on('error', () => undefined);
    to.on('drain', () => this.flow());
  }

  #take(bytes: Buffer): void {
    const { slow } = this.#conditions;
    if (slow !== undefined) this.#sentBy = Math.max(Date.now(), this.#sentBy) + (bytes.length / slow.bytesPerSecond) * 1000;
    this.#held.push({ bytes, due: slow === undefined ? 0 : this.#sentBy + slow.ms });
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > mostHeld) this.#from.pause();
    this.flow();
  }

  /** Passes on what may arrive by now. */
  flow(): void {
    clearTimeout(this.#timer);
    const { hanging, slow } = this.#conditions;
    if (hanging) return;
    for (let next = this.#held[0]; next !== undefined; next = this.#held[0]) {
      const wait = slow === undefined ? 0 : next.due - Date.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.flow(), wait);
        return;
      }
      if (this.#to.writableNeedDrain) return;
      this.#held.shift();
      this.#heldBytes -= next.bytes.length;
      this.#to.write(next.bytes);
      if (this.#heldBytes <= mostHeld && this.#from.isPaused()) this.#from.resume();
    }
    // A side that broke or ended breaks the other one, after what it had sent.
    if (this.#ended) this.#to.destroySoon();
  }

  drop(): void {
    clearTimeout(this.#timer);
    this.#held.length = 0;
    this.#from.destroy();
    this.#to.destroy();
  }
}

/** `at`: the port to listen on, any free one unless given. */
export async function proxyTo(host: string, port: number, at = 0): Promise<Proxy> {
  const conditions: Conditions = { hanging: false, slow: undefined };
  const ways = new Set<Way>();
  const server = createServer((client) => {
    const target = connect(port, host);
    for (const [socket, other] of [[client, target] as const, [target, client] as const]) {
      const way = new Way(socket, other, conditions);
      ways.add(way);
      socket.setNoDelay(true);
      other.once('close', () => ways.delete(way));
    }
  });
  const cut = (): void => ways.forEach((way) => way.drop());
  const flow = (): void => {
    conditions.hanging = false;
    conditions.slow = undefined;
    for (const way of ways) way.flow();
  };
  const listen = async (where: number): Promise<void> => {
    server.listen(where, '127.0.0.1');
    await once(server, 'listening');
  };
  await listen(at);
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
      conditions.hanging = true;
    },
    slow(how) {
      conditions.slow = how;
    },
    release: flow,
    async restore() {
      cut();
      flow();
      if (!server.listening) await listen(own);
    },
    async close() {
      cut();
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}
