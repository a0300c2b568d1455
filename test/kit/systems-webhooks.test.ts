import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { trackingRank } from '../../systems/logistics/contract.ts';
import type { Received, SandboxWorld } from './sandbox.ts';
import { cny, newSecret, sandboxWorld } from './sandbox.ts';

let world: SandboxWorld;
beforeAll(async () => {
  world = await sandboxWorld();
});
afterAll(() => world.stop());
beforeEach(() => {
  world.received.length = 0;
  world.refused.length = 0;
});

let cases = 0;
const newCase = (): string => `case-${++cases}`;
const of = (key: string) => (): Received[] => world.received.filter((webhook) => webhook.data['key'] === key);
const about = (trackingNo: string) => (): Received[] => world.received.filter((webhook) => webhook.data['trackingNo'] === trackingNo);
const states = (webhooks: readonly Received[]): unknown[] => webhooks.map((webhook) => webhook.data['state']);
const refund = async (key: string, orderId: string, paymentId = `${orderId}-p1`, minor = 100, via: 'original' | 'transfer' = 'original'): Promise<string> => {
  const answer = await world.call('finance', 'refund', key, { caseRef: 'c', orderId, paymentId, amount: cny(minor), reason: 'quality', via });
  if (!answer.ok) throw new Error(answer.error);
  return answer.result.refundId;
};
const refundedOf = async (orderId: string): Promise<number | undefined> => {
  const answer = await world.call('finance', 'payments', undefined, { orderId });
  return answer.ok ? answer.result.payments[0]?.refunded.minor : undefined;
};

describe('a refund', () => {
  test('is accepted and then arrives, told by signed webhooks that name our key', async () => {
    const key = `${newCase()}/refund`;
    const refundId = await refund(key, 'MX-2014');
    const told = await world.until(of(key), (seen) => seen.length >= 2);
    expect(told).toMatchObject([
      { system: 'finance', type: 'refundState', data: { refundId, key, orderId: 'MX-2014', paymentId: 'MX-2014-p1', amount: cny(100), state: 'accepted' } },
      { system: 'finance', type: 'refundState', data: { refundId, state: 'arrived' } },
    ]);
    expect(new Set(told.map((webhook) => webhook.id)).size).toBe(2);
    expect(world.refused).toEqual([]);
  });

  test('to a card takes its time, to a wallet or a gift card it arrives at once', async () => {
    await world.http('PUT', 'finance/settings', { acceptMs: 0, settleMs: { card: 3_600_000 } });
    const [card, wallet] = [`${newCase()}/refund`, `${newCase()}/refund`];
    await refund(card, 'MX-2014');
    const refundId = await refund(wallet, 'MX-2021');
    await world.until(of(wallet), (seen) => states(seen).includes('arrived'));
    await world.until(of(card), (seen) => seen.length > 0);
    expect(states(of(card)())).toEqual(['accepted']);
    // The bank is quick for once.
    const { body } = await world.http('GET', 'finance/acts/refunds?orderId=MX-2014');
    const waiting = (body['refunds'] as { refundId: string; state: string }[]).find((row) => row.state === 'accepted');
    expect((await world.http('POST', 'finance/acts/settle', { refundId: waiting?.refundId })).body).toEqual({ changed: true });
    expect((await world.http('POST', 'finance/acts/settle', { refundId })).body).toEqual({ changed: false });
    await world.until(of(card), (seen) => states(seen).includes('arrived'));
    await world.http('PUT', 'finance/settings', {});
  });

  test('whose route fails comes back, and can then be sent by the route that finance chose', async () => {
    await world.http('PUT', 'finance/settings', { acceptMs: 0, settleMs: { card: 0, transfer: 0 }, failMethods: ['card'] });
    const c = newCase();
    const before = await refundedOf('MX-2028');
    await refund(`${c}/refund`, 'MX-2028');
    const failed = await world.until(of(`${c}/refund`), (seen) => seen.length >= 2);
    expect(states(failed)).toEqual(['accepted', 'failed']);
    expect(failed[1]?.data['reason']).toBe('routeClosed');
    expect(await refundedOf('MX-2028')).toBe(before);
    await refund(`${c}/other-route`, 'MX-2028', undefined, 100, 'transfer');
    await world.until(of(`${c}/other-route`), (seen) => states(seen).includes('arrived'));
    expect(await refundedOf('MX-2028')).toBe((before ?? 0) + 100);
    await world.http('PUT', 'finance/settings', {});
  });

  test('EF10: may settle before our reply returns', async () => {
    await world.http('PUT', 'finance/settings', { acceptMs: 0, settleMs: { card: 0 } });
    await world.faults('finance', { lateAnswerMs: 1500 });
    const key = `${newCase()}/refund`;
    let replied = false;
    const reply = refund(key, 'MX-2014').then((refundId) => {
      replied = true;
      return refundId;
    });
    const told = await world.until(of(key), (seen) => states(seen).includes('arrived'));
    expect(replied).toBe(false);
    expect(told[0]?.data['refundId']).toBe(await reply);
    await world.http('DELETE', 'finance/faults');
    await world.http('PUT', 'finance/settings', {});
  });

  test('under way survives a restart of the systems', async () => {
    await world.http('PUT', 'finance/settings', { acceptMs: 3000, settleMs: { card: 0 } });
    const key = `${newCase()}/refund`;
    await refund(key, 'MX-2014');
    await world.stopSystems();
    expect(of(key)()).toEqual([]);
    await world.startSystems();
    await world.until(of(key), (seen) => states(seen).includes('arrived'));
    await world.http('PUT', 'finance/settings', {});
  });
});

describe('a payment link', () => {
  const link = async (key: string): Promise<string> => {
    const answer = await world.call('finance', 'paymentLink', key, { caseRef: 'c', orderId: 'QF-2042', amount: cny(700), reason: 'difference' });
    return answer.ok ? answer.result.linkId : '';
  };

  test('that is paid tells the payment, which can then be refunded like the others of the order', async () => {
    const linkId = await link(`${newCase()}/link`);
    await world.http('POST', 'finance/acts/pay', { linkId });
    const told = await world.until(
      () => world.received.filter((webhook) => webhook.data['linkId'] === linkId),
      (seen) => seen.length > 0,
    );
    expect(told).toMatchObject([{ type: 'paymentState', data: { state: 'paid', amount: cny(700), orderId: 'QF-2042', paymentId: `pay_${linkId}` } }]);
    await refund(`${newCase()}/refund`, 'QF-2042', `pay_${linkId}`, 700);
  });

  test('that nobody pays expires', async () => {
    await world.http('PUT', 'finance/settings', { linkMs: 50 });
    const linkId = await link(`${newCase()}/link`);
    const told = await world.until(
      () => world.received.filter((webhook) => webhook.data['linkId'] === linkId),
      (seen) => seen.length > 0,
    );
    expect(told).toMatchObject([{ data: { state: 'expired' } }]);
    expect((await world.http('POST', 'finance/acts/pay', { linkId })).body).toEqual({ changed: false });
    await world.http('PUT', 'finance/settings', {});
  });
});

describe('the outside world', () => {
  test('a received parcel is told with one entry per unit; received again it is not told again', async () => {
    const receive = (receiptId: string) =>
      world.http('POST', 'warehouse/acts/receive', { receiptId, trackingNo: 'SF1', orderId: 'MX-2014', units: [{ sku: 'MX-TWL-3', quantity: 2 }, {}] });
    const { body } = await receive('rc-1');
    expect(body).toEqual({ receiptId: 'rc-1', unitIds: ['rc-1-001', 'rc-1-002', 'rc-1-003'], changed: true });
    expect((await receive('rc-1')).body).toEqual({ ...body, changed: false });
    await receive('rc-2');
    const told = await world.until(about('SF1'), (seen) => seen.length >= 2);
    expect(told).toHaveLength(2);
    expect(told[0]).toMatchObject({
      system: 'warehouse',
      type: 'parcelReceived',
      data: {
        receiptId: 'rc-1',
        orderId: 'MX-2014',
        units: [{ unitId: 'rc-1-001', sku: 'MX-TWL-3' }, { unitId: 'rc-1-002', sku: 'MX-TWL-3' }, { unitId: 'rc-1-003' }],
      },
    });
  });

  test('an empty parcel has no units', async () => {
    await world.http('POST', 'warehouse/acts/receive', { trackingNo: 'SF-empty', units: [] });
    expect(await world.until(about('SF-empty'), (seen) => seen.length > 0)).toMatchObject([{ data: { units: [] } }]);
  });

  test('scans in any order: each is told once, and the parcel stands where the newest says', async () => {
    const scans = [
      { state: 'delivered', at: '2026-11-23T05:00:00.000Z' },
      { state: 'pickedUp', at: '2026-11-20T05:00:00.000Z' },
      { state: 'outForDelivery', at: '2026-11-23T05:00:00.000Z' },
      { state: 'pickedUp', at: '2026-11-20T05:00:00.000Z' },
    ] as const;
    for (const scan of scans) await world.http('POST', 'logistics/acts/scan', { trackingNo: 'YT-own', ...scan });
    const told = await world.until(about('YT-own'), (seen) => seen.length >= 3);
    expect(
      states(told)
        .map(String)
        .toSorted((a, b) => a.localeCompare(b)),
    ).toEqual(['delivered', 'outForDelivery', 'pickedUp']);
    // Of the same second the later step counts.
    expect(trackingRank('delivered')).toBeGreaterThan(trackingRank('outForDelivery'));
    expect(await world.call('logistics', 'parcel', undefined, { trackingNo: 'YT-own' })).toMatchObject({
      ok: true,
      result: { carrier: 'other', state: 'delivered', at: '2026-11-23T05:00:00.000Z' },
    });
  });
});

describe('a webhook', () => {
  const scan = (trackingNo: string, state = 'inTransit') => world.http('POST', 'logistics/acts/scan', { trackingNo, state });

  test('is sent again until somebody says 2xx, under the same id', async () => {
    world.answers.push(503, 500, 404);
    await scan('T-retry');
    const told = await world.until(about('T-retry'), (seen) => seen.length > 0);
    expect(told).toHaveLength(1);
    expect(world.refused).toEqual([told[0]?.id, told[0]?.id, told[0]?.id]);
    const { body } = await world.http('GET', 'logistics/webhooks?subject=T-retry');
    expect(body['webhooks']).toMatchObject([{ id: told[0]?.id, attempts: 4, delivered: true }]);
  });

  test('is signed with the secrets that stand in the file now: while one is rotated, with both', async () => {
    const [old, next] = [newSecret(), newSecret()];
    const rotation: { sign: string; verify: string }[] = [
      { sign: old, verify: old },
      { sign: `${next}\n${old}`, verify: old },
      { sign: `${next}\n${old}`, verify: next },
      { sign: next, verify: next },
    ];
    for (const [index, { sign, verify }] of rotation.entries()) {
      await world.setSecret('logistics', sign, verify);
      await scan(`T-rotated-${index}`);
      await world.until(about(`T-rotated-${index}`), (seen) => seen.length > 0);
    }
    expect(world.refused).toEqual([]);
    // The receiver does refuse what another secret signed.
    await world.setSecret('logistics', old, next);
    await scan('T-forged');
    await world.until(
      () => world.refused,
      (refused) => refused.length > 0,
    );
    await world.setSecret('logistics', next);
    await world.until(about('T-forged'), (seen) => seen.length > 0);
  });

  test('is doubled on request, under the same id', async () => {
    await world.faults('logistics', { duplicateWebhooks: 1 });
    await scan('T-double');
    const told = await world.until(about('T-double'), (seen) => seen.length >= 2);
    expect(new Set(told.map((webhook) => webhook.id)).size).toBe(1);
    await world.http('DELETE', 'logistics/faults');
  });

  test('is held on request, so that what was first comes later', async () => {
    await world.faults('logistics', { delayWebhooksMs: 400, seed: 3 });
    const order = Array.from({ length: 12 }, (_, index) => `T-shuffle-${String(index).padStart(2, '0')}`);
    for (const trackingNo of order) await scan(trackingNo);
    await world.http('DELETE', 'logistics/faults');
    const told = await world.until(
      () => world.received.filter((webhook) => String(webhook.data['trackingNo']).startsWith('T-shuffle')),
      (seen) => seen.length >= order.length,
    );
    const got = told.map((webhook) => String(webhook.data['trackingNo']));
    expect(got.toSorted()).toEqual(order);
    expect(got).not.toEqual(order);
  });

  test('of a system that is away waits for its return', async () => {
    await world.faults('logistics', { outage: true });
    await scan('T-away');
    await world.http('POST', 'warehouse/acts/receive', { trackingNo: 'T-meanwhile', units: [] });
    await world.until(about('T-meanwhile'), (seen) => seen.length > 0);
    expect(about('T-away')()).toEqual([]);
    await world.http('DELETE', 'logistics/faults');
    await world.until(about('T-away'), (seen) => seen.length > 0);
  });
});

describe('the process', () => {
  const start = (env: Record<string, string>) =>
    spawn(process.execPath, ['--import', 'tsx', fileURLToPath(new URL('../../systems/server.ts', import.meta.url))], {
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });

  test('answers a request under way and then ends on SIGTERM', async () => {
    const child = start({ DATABASE_URL: world.databaseUrl, SYSTEMS_PORT: '0' });
    const lines: string[] = [];
    child.stdout.on('data', (chunk: Buffer) => lines.push(...chunk.toString().split('\n')));
    const line = await world.until(
      () => lines.find((text) => text.includes('"url"')),
      (text) => text !== undefined,
    );
    const { url } = JSON.parse(line ?? '{}') as { url: string };
    await fetch(`${url}/crm/faults`, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ lateAnswerMs: 1000 }) });
    const slow = fetch(`${url}/crm/note`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'drain/note' },
      body: JSON.stringify({ caseRef: 'c', customer: 'c_1', outcome: 'refunded' }),
    });
    await world.until(
      () => world.ledger('crm', 'drain/'),
      (entries) => entries.length === 1,
    );
    child.kill('SIGTERM');
    expect((await slow).status).toBe(200);
    expect(await once(child, 'exit')).toEqual([0, null]);
    await world.http('DELETE', 'crm/faults');
  });

  test('says which of its environment is missing', async () => {
    const child = start({ SYSTEMS_PORT: 'x' });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    expect(await once(child, 'exit')).toEqual([1, null]);
    expect(said).toContain('DATABASE_URL');
    expect(said).toContain('SYSTEMS_PORT');
  });
});
