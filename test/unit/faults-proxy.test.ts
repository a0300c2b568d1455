import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { proxyTo, type Proxy } from '../../cli/faults/proxy.ts';
import { until } from '../stack/until.ts';

/** A server that answers what it was told, and keeps what it heard. */
let server: Server;
let heard = '';
let proxy: Proxy;
const clients: Socket[] = [];
beforeEach(async () => {
  heard = '';
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      heard += bytes.toString();
      socket.write(bytes);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy = await proxyTo('127.0.0.1', (server.address() as AddressInfo).port);
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy.close();
  server.close();
});

interface Client {
  readonly socket: Socket;
  readonly got: () => string;
  readonly closed: () => boolean;
}
async function open(): Promise<Client> {
  const socket = connect(proxy.port, '127.0.0.1');
  clients.push(socket);
  let got = '';
  let closed = false;
  socket.on('data', (bytes) => void (got += bytes.toString()));
  socket.on('error', () => undefined);
  socket.on('close', () => void (closed = true));
  await once(socket, 'connect');
  return { socket, got: () => got, closed: () => closed };
}
async function says(client: Client, text: string): Promise<void> {
  client.socket.write(text);
  await until(`the answer ${text}`, () => client.got().endsWith(text));
}

describe('the way to a server', () => {
  test('lets everything through', async () => {
    const client = await open();
    await says(client, 'one');
    await says(client, 'x'.repeat(5_000_000));
  });

  test('when cut breaks what is open and refuses what comes, until it is restored', async () => {
    const client = await open();
    await says(client, 'one');
    await proxy.refuse();
    await until('the connection is broken', client.closed);
    await expect(once(connect(proxy.port, '127.0.0.1'), 'connect')).rejects.toThrow('ECONNREFUSED');
    await proxy.restore();
    await says(await open(), 'two');
  });

  test('when hanging passes nothing on, and restored breaks what hung', async () => {
    const client = await open();
    await says(client, 'one');
    proxy.hang();
    client.socket.write('two');
    const another = await open();
    another.socket.write('three');
    await proxy.restore();
    await until('both are broken', () => client.closed() && another.closed());
    await says(await open(), 'four');
    expect(heard).toBe('onefour');
  });

  test('when released brings what was held, also from a client that has gone meanwhile', async () => {
    const client = await open();
    await says(client, 'one');
    proxy.hang();
    client.socket.end('two');
    await once(client.socket, 'close').catch(() => undefined);
    expect(heard).toBe('one');
    proxy.release();
    await until('the late word', () => heard === 'onetwo');
  });

  test('when slow delays each way and holds to its pace', async () => {
    const client = await open();
    await says(client, 'one');
    proxy.slow({ ms: 100, bytesPerSecond: 10_000 });
    const since = Date.now();
    await says(client, 'y'.repeat(2000));
    // 100 ms and the bytes' own 200 ms, there and back.
    expect(Date.now() - since).toBeGreaterThanOrEqual(590);
    proxy.release();
    await says(client, 'z');
    expect(client.closed()).toBe(false);
  });
});
