/** Where a worker is asked how it does: its own figures and those of Temporal's SDK on one page, and whether it lives and polls. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createSocket, type AddressInfo } from 'node:net';
import type { RuntimeOptions } from '@temporalio/worker';
import type { Registry } from 'prom-client';

/** The SDK's page is on this machine, and it is there within milliseconds or not at all; Prometheus gives up after ten seconds. */
const sdkWithinMs = 2000;

export interface SdkMetrics {
  /** For the SDK's runtime. */
  readonly exporter: NonNullable<NonNullable<RuntimeOptions['telemetryOptions']>['metrics']>;
  readonly url: string;
}

/**
 * The SDK serves its metrics by itself and takes no port 0, so a free one is chosen for it; on the loopback only, since the worker's page has everything. Units
 * and `_total` in names, and seconds, as Prometheus has them.
 */
export async function sdkMetrics(): Promise<SdkMetrics> {
  const socket = createSocket().listen(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address() as AddressInfo;
  socket.close();
  await once(socket, 'close');
  const bindAddress = `127.0.0.1:${port}`;
  return {
    exporter: { prometheus: { bindAddress, countersTotalSuffix: true, unitSuffix: true, useSecondsForDurations: true } },
    url: `http://${bindAddress}/metrics`,
  };
}

export interface MetricsServer {
  readonly close: () => Promise<void>;
}

/** Serves `/metrics`, `/healthz` (the process answers) and `/readyz` (it polls for work: 200, else 503). */
export async function serveMetrics(
  where: { readonly port: number; readonly host: string },
  what: { readonly registry: Registry; readonly sdk: SdkMetrics; readonly polls: () => boolean },
): Promise<MetricsServer> {
  const { registry, sdk, polls } = what;
  /** Without the SDK's part rather than not at all: ours says what waits. */
  async function page(): Promise<string> {
    const theirs = await fetch(sdk.url, { signal: AbortSignal.timeout(sdkWithinMs) }).then(
      (answer) => answer.text(),
      () => "# the page of Temporal's SDK did not answer\n",
    );
    return `${await registry.metrics()}\n${theirs}`;
  }
  const server = createServer((request, response) => {
    const say = (status: number, type: string, body: string): void => {
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
    };
    if (request.method !== 'GET') return say(405, 'text/plain', 'GET only\n');
    switch (request.url) {
      case '/metrics':
        page().then(
          (text) => say(200, registry.contentType, text),
          () => say(500, 'text/plain', 'the metrics could not be read\n'),
        );
        return;
      case '/healthz':
        return say(200, 'application/json', '{"status":"live"}\n');
      case '/readyz':
        return polls() ? say(200, 'application/json', '{"status":"ready"}\n') : say(503, 'application/json', '{"status":"stopping"}\n');
      default:
        return say(404, 'text/plain', '/metrics, /healthz or /readyz\n');
    }
  });
  server.listen(where.port, where.host);
  await once(server, 'listening');
  return {
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
