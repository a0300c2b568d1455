/** The end of a server without a request that fails by it: first it says that it goes, then it takes no more, then what runs is finished. */
import { createServer, type RequestListener, type Server } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

/** What runs when no more is taken has this long; the supervisor kills 10 s after SIGTERM, a deployment later (deploy/kubernetes, docker-compose.yml). */
export const drainMs = 4500;

const closeIdleEveryMs = 50;
/** How often connections are looked for that have sent no whole head in time: by its own default Node drops them up to 30 s late. */
const lookForLateMs = 5000;

export interface Draining {
  readonly server: Server;
  /**
   * From now on `/readyz` answers 503, and requests are still answered for `noticeMs`: a load balancer needs some seconds to look elsewhere, and whoever comes
   * meanwhile must not be refused. Then nothing more is taken. Resolves when every connection is closed.
   */
  stop(noticeMs: number): Promise<void>;
}

export function createDraining(app: RequestListener, finishWithinMs = drainMs): Draining {
  let stopping = false;
  const server = createServer({ connectionsCheckingInterval: lookForLateMs }, (request, response) => {
    if (stopping) {
      // Else the next request would come by this connection when it is just being closed: Node keeps those open that were busy at `close`.
      response.setHeader('Connection', 'close');
      if (request.url === '/readyz') {
        response.writeHead(503, { 'content-type': 'application/json', 'retry-after': '1' }).end('{"status":"stopping"}');
        return;
      }
    }
    app(request, response);
  });
  return {
    server,
    async stop(noticeMs) {
      stopping = true;
      await pause(noticeMs);
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      // Again and again: a connection that is busy now is idle once its answer is out, and would stay for its next request.
      const idle = setInterval(() => server.closeIdleConnections(), closeIdleEveryMs);
      const late = setTimeout(() => server.closeAllConnections(), finishWithinMs);
      await closed;
      clearInterval(idle);
      clearTimeout(late);
    },
  };
}
