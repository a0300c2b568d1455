/** Connections that say little, slowly, for ever. */
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { casePath, type Attack } from '../attack.ts';
import { codeIn, headersIn } from '../probe.ts';

/** Of each kind. */
const sockets = 25;
/** The API gives headers and bodies 30 s, and looks every few seconds; on a busy machine a little later. */
const droppedWithinMs = 45_000;
const lookEveryMs = 250;
/** Others are served all the while, nineteen of twenty within this. */
const mostWaitMs = 3000;

export const slow: Attack = {
  name: 'slow senders',
  tries: 'a hundred and more connections that send nothing, or a header, a body or an upload byte by byte',
  holds: 'cut off within 45 s, uploads apart; others are answered all the while',
  leaves: 'nothing',
  beside: true,
  async run(probe, { victim }) {
    const { host, port } = probe.target;
    const note = casePath(victim.cases.review, '/notes');
    const post = (token: string): string =>
      [
        'POST ' + note + ' HTTP/1.1',
        'Host: a',
        ...(token === '' ? [] : [`Authorization: Bearer ${token}`]),
        'Content-Type: application/json',
        'Content-Length: 5000',
        '',
        '{"words":"',
      ].join('\r\n');
    const kinds: readonly (readonly [string, string])[] = [
      ['sends nothing', ''],
      ['sends a header slowly', 'GET /v1/cases HTTP/1.1\r\nHost: a\r\nX-A: '],
      ['sends a body slowly, with a token', post(victim.staff.agent.token)],
      ['sends a body slowly, without one', post('')],
      ['sends a body slowly to nowhere', post('').replace(note, '/v1/nothing')],
      [
        'sends a form slowly',
        `POST /c/${victim.links.open} HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000\r\n\r\ndo=`,
      ],
      ['sends a webhook slowly', 'POST /v1/webhooks/finance HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{'],
      ['sends an upload slowly, without a token', post('').replace('/notes', '/evidence').replace('application/json', 'multipart/form-data; boundary=x')],
    ];
    const open = new Map<Socket, string>();
    const read = new Map<Socket, string>();
    for (const [kind, beginning] of kinds)
      for (let i = 0; i < sockets; i++) {
        const socket = connect({ host, port });
        open.set(socket, kind);
        socket.on('error', () => open.delete(socket));
        socket.on('close', () => open.delete(socket));
        socket.on('data', (chunk) => read.set(socket, `${read.get(socket) ?? ''}${chunk.toString()}`));
        if (beginning !== '') socket.write(beginning);
      }
    const began = Date.now();
    const slowly = setInterval(() => {
      for (const [socket, kind] of open) if (kind !== 'sends nothing') socket.write('a');
    }, 1000);
    const waits: number[] = [];
    let served = 0;
    while (open.size > 0 && Date.now() - began < droppedWithinMs) {
      for (const path of ['/healthz', '/v1/tasks?limit=1']) {
        const asked = Date.now();
        const { status } = await probe.ask({ path, as: victim.staff.agent });
        waits.push(Date.now() - asked);
        if (status === 200) served += 1;
      }
      await pause(lookEveryMs);
    }
    clearInterval(slowly);
    for (const [kind] of kinds) {
      const left = [...open.values()].filter((one) => one === kind).length;
      probe.must(left === 0, `${left} of ${sockets} connections were still open after ${droppedWithinMs / 1000} s: one that ${kind}`);
    }
    // Now and then the door is full when all of them come at once, and says so.
    probe.must(served > waits.length * 0.9, `only ${served} of ${waits.length} requests of others were served`);
    const slowest = waits.toSorted((a, b) => a - b)[Math.floor(waits.length * 0.95)] ?? 0;
    probe.must(slowest < mostWaitMs, `one of twenty others waited ${slowest} ms or longer`);
    for (const [socket] of open) socket.destroy();
    for (const text of read.values()) {
      const [, status = '0'] = /^HTTP\/1\.1 (\d{3})/.exec(text) ?? [];
      probe.saw(
        { method: 'slow', path: '', sent: '', viewer: {} },
        { status: Number(status), headers: headersIn(text), bytes: Buffer.alloc(0), text, json: undefined, code: codeIn(text) },
      );
    }
  },
};
