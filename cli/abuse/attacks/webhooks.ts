/** Webhooks that their source did not send, or not now, or not to be taken twice. */
import { Webhook } from 'standardwebhooks';
import { forEach, type Attack, type Scene } from '../attack.ts';
import type { Answer, Probe } from '../probe.ts';

const path = (source: string): string => `/v1/webhooks/${source}`;
const secondsAt = (at: Date): string => String(Math.floor(at.getTime() / 1000));

export const forgedWebhooks: Attack = {
  name: 'forged webhooks',
  tries: 'unsigned, under other secrets, for another source, stale, early, with another id, time or body, with headers twice',
  holds: '401; an unknown source 404',
  leaves: 'nothing',
  async run(probe, { webhookSecret }) {
    const now = new Date();
    const body = JSON.stringify({
      type: 'parcelReceived',
      timestamp: now.toISOString(),
      data: { receiptId: 'forged', trackingNo: 'forged', receivedAt: now.toISOString(), units: [{ unitId: 'forged-1' }] },
    });
    const signed = (id: string, at: Date, secret = webhookSecret('warehouse'), text = body) => ({
      'webhook-id': id,
      'webhook-timestamp': secondsAt(at),
      'webhook-signature': new Webhook(secret).sign(id, at, text),
    });
    const right = signed('forged', now);
    const minutes = (n: number): Date => new Date(now.getTime() + n * 60_000);
    const send = (headers: Record<string, string | string[]>, text: string = body, source = 'warehouse') =>
      probe.refused({ method: 'POST', path: path(source), headers, body: text }, 'badSignature');
    await send({});
    await send({ 'webhook-id': 'forged' });
    for (const without of Object.keys(right)) await send(Object.fromEntries(Object.entries(right).filter(([name]) => name !== without)));
    await send(signed('forged', now, `whsec_${Buffer.alloc(24, 1).toString('base64')}`));
    await send(signed('forged', now, `whsec_${Buffer.from(webhookSecret('warehouse')).toString('base64')}`));
    for (const source of ['finance', 'logistics', 'orders']) {
      await send(signed('forged', now, webhookSecret(source)));
      await send(right, body, source);
    }
    for (const n of [-6, -60, -1_000_000, 6, 60, 1_000_000]) await send(signed('forged', minutes(n)));
    await send({ ...right, 'webhook-id': 'another' });
    await send({ ...right, 'webhook-timestamp': secondsAt(minutes(1)) });
    await send(right, body.replace('forged-1', 'forged-2'));
    await send(right, `${body} `);
    await send(right, '');
    for (const at of ['', 'now', 'NaN', '1e999', '-1', '0', `${secondsAt(now)}.5x`, `${secondsAt(now)},${secondsAt(now)}`])
      await send({ ...right, 'webhook-timestamp': at });
    const [, sum = ''] = right['webhook-signature'].split(',');
    for (const signature of [
      '',
      'v1',
      'v1,',
      `v2,${sum}`,
      `v1a,${sum}`,
      sum,
      `v1,${sum.slice(0, -4)}`,
      `v1,${'A'.repeat(44)}`,
      Array.from({ length: 300 }, () => `v1,${'A'.repeat(40)}`).join(' '),
    ])
      await send({ ...right, 'webhook-signature': signature });
    // One header twice is neither of the two.
    await send({ ...right, 'webhook-id': ['forged', 'forged'] });
    await send({ ...right, 'webhook-timestamp': [right['webhook-timestamp'], right['webhook-timestamp']] });
    await send({ ...right, 'webhook-id': 'x'.repeat(250) });
    // An id of 250 characters that is signed.
    await send(signed('x'.repeat(250), now));
    for (const source of [
      'nobody',
      '__proto__',
      'constructor',
      'toString',
      '..%2fjwt-private',
      '..%2F..%2Fetc%2Fpasswd',
      'warehouse%2f',
      'WAREHOUSE',
      'warehouse%20',
      '%E4%BB%93%E5%BA%93',
    ])
      await probe.refused({ method: 'POST', path: path(source), headers: right, body }, 'unknownSource', 'badSignature');
    await probe.refused({ method: 'POST', path: path('warehouse%00'), headers: right, body }, 'malformed');
  },
};

/** Sends what is rightly signed: the source itself has been taken over, or is broken. */
const bySource = (probe: Probe, { webhookSecret }: Scene, source: string, body: string | Buffer, id: string): Promise<Answer> => {
  const at = new Date();
  return probe.ask({
    method: 'POST',
    path: path(source),
    headers: { 'webhook-id': id, 'webhook-timestamp': secondsAt(at), 'webhook-signature': new Webhook(webhookSecret(source)).sign(id, at, body.toString()) },
    body,
  });
};

export const replayedWebhooks: Attack = {
  name: 'replayed webhooks',
  tries: 'a webhook that was taken before: again, many times at once, under another id, with another body under its id',
  holds: 'the same is the same (200); another body under its id is refused (409)',
  leaves: 'nothing',
  async run(probe, scene) {
    const { taken } = scene;
    await forEach(Array.from({ length: 50 }), async () => {
      const answer = await bySource(probe, scene, taken.source, taken.body, taken.id);
      probe.must(answer.status === 200, `the same webhook again was answered ${answer.status}`);
    });
    // Another id, the same fact: it is here already.
    const again = await bySource(probe, scene, taken.source, taken.body, 'abuse-taken-again');
    probe.must(again.status === 200, `the same fact under another id was answered ${again.status}`);
    for (const body of [taken.body.replace('-1"', '-2"'), taken.body.replaceAll(taken.id, 'another')]) {
      const answer = await bySource(probe, scene, taken.source, body, taken.id);
      probe.must(answer.code === 'eventConflict', `another body under a known id was answered ${answer.status} ${answer.code ?? ''}`);
    }
  },
};

export const brokenWebhooks: Attack = {
  name: 'broken webhooks',
  tries: 'bodies that are rightly signed and no event: other types, other shapes, deep, huge, NUL and half characters',
  holds: 'refused as what they are',
  leaves: 'nothing',
  async run(probe, scene) {
    const at = new Date().toISOString();
    const event = (type: unknown, data: unknown, timestamp: unknown = at): string => JSON.stringify({ type, timestamp, data });
    const parcel = { receiptId: 'broken', trackingNo: 'broken', receivedAt: at, units: [{ unitId: 'broken-1' }] };
    const refused: readonly (string | Buffer)[] = [
      '',
      '{',
      'null',
      '[]',
      '"parcelReceived"',
      '0',
      event('__proto__', parcel),
      event('constructor', parcel),
      event('toString', parcel),
      event(['parcelReceived'], parcel),
      event('parcelReceived', null),
      event('parcelReceived', []),
      event('parcelReceived', { ...parcel, units: 'all' }),
      event('parcelReceived', { ...parcel, units: Array.from({ length: 300 }, (_, i) => ({ unitId: String(i) })) }),
      event('parcelReceived', { ...parcel, receivedAt: '+275760-09-13T00:00:00.000Z' }),
      event('parcelReceived', { ...parcel, receivedAt: 'yesterday' }),
      event('parcelReceived', { ...parcel, trackingNo: 'a\u0000b' }),
      event('parcelReceived', parcel, 'never'),
      event('parcelReceived', parcel, '9999-12-31T23:59:59-14:00'),
      event('parcelReceived', parcel).replace('"broken"', '"\\ud800"'),
      `{"type":"parcelReceived","timestamp":"${at}","data":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
      `${'{"data":'.repeat(50_000)}1${'}'.repeat(50_000)}`,
      event('parcelReceived', { ...parcel, receiptId: 'x'.repeat(900_000) }),
      event('parcelReceived', { ...parcel, receiptId: 'x'.repeat(1_200_000) }),
      event('parcelReceived', { ...parcel, units: Array.from({ length: 200_000 }, () => 1) }),
    ];
    let n = 0;
    for (const body of refused) {
      const answer = await bySource(probe, scene, 'warehouse', body, `abuse-broken-${n++}`);
      probe.must(answer.status >= 400, `${body.slice(0, 120).toString()} was answered ${answer.status}`);
    }
  },
};
