/** A lock between processes that the system releases when its holder dies, however it dies: nothing stale is ever left to judge. */
import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';

export interface Lock {
  release: () => Promise<void>;
}

/** A name in Linux' abstract socket space, which takes 107 bytes; one per user, so that two users do not lock each other out. */
const socketName = (what: string): string => `\0kefu-flow-${process.getuid?.() ?? 0}-${createHash('sha256').update(what).digest('hex').slice(0, 40)}`;

/** Takes the lock, or returns `undefined` at once when another process (or another part of this one) holds it. */
export async function tryLock(what: string): Promise<Lock | undefined> {
  if (process.platform !== 'linux')
    throw new Error(`Kefu Flow's stack runs on Linux, not on ${process.platform}: run it in a container, or give it DATABASE_URL and TEMPORAL_ADDRESS.`);
  const waiting = new Set<Socket>();
  const server = createServer((socket) => {
    waiting.add(socket.unref());
    socket.on('error', () => undefined).on('close', () => waiting.delete(socket));
  });
  const held = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error)));
    server.listen(socketName(what), () => resolve(true));
  });
  if (!held) return undefined;
  server.unref();
  return {
    release: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of waiting) socket.destroy();
      }),
  };
}

/** Takes the lock, waiting for whoever holds it; `onWait` is told once, before the wait. */
export async function lock(what: string, onWait: () => void): Promise<Lock> {
  let told = false;
  for (;;) {
    const held = await tryLock(what);
    if (held !== undefined) return held;
    if (!told) onWait();
    told = true;
    // The holder never answers: the connection ends when it releases or dies.
    await new Promise<void>((resolve) => {
      connect(socketName(what))
        .on('error', () => undefined)
        .on('close', () => resolve())
        .resume();
    });
  }
}
