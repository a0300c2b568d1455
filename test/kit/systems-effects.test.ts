import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SystemRefused, SystemUnavailable } from '../../systems/client.ts';
import type { SandboxWorld } from './sandbox.ts';
import { cny, sandboxWorld } from './sandbox.ts';

let world: SandboxWorld;
beforeAll(async () => {
  world = await sandboxWorld();
});
afterAll(() => world.stop());

let cases = 0;
/** A new case's id: every test has keys of its own. */
const newCase = (): string => `case-${++cases}`;
const refundArgs = (orderId: string, minor: number, caseRef = 'c') => ({ caseRef, orderId, paymentId: `${orderId}-p1`, amount: cny(minor), reason: 'quality' });
const failure = async (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'no failure',
    (error: unknown) => error,
  );
const refundedOf = async (orderId: string): Promise<number[]> => {
  const answer = await world.call('finance', 'payments', undefined, { orderId });
  return answer.ok ? answer.result.payments.map((payment) => payment.refunded.minor) : [];
};
const stockOf = async (sku: string) => {
  const answer = await world.call('warehouse', 'stock', undefined, { skus: [sku] });
  const found = answer.ok ? answer.result.stock[0] : undefined;
  if (!found) throw new Error(`no stock of ${sku}`);
  return found;
};

describe('a key', () => {
  test('with the same body is answered the same and takes place once; the ledger counts the attempts', async () => {
    const c = newCase();
    const first = await world.call('finance', 'refund', `${c}/refund`, refundArgs('MX-2007', 100, c));
    const again = await world.call('finance', 'refund', `${c}/refund`, refundArgs('MX-2007', 100, c));
    expect(again).toEqual(first);
    expect(await world.ledger('finance', `${c}/`)).toMatchObject([{ key: `${c}/refund`, operation: 'refund', state: 'executed', attempts: 2, executions: 1 }]);
    expect(await refundedOf('MX-2007')).toEqual([100]);
  });

  test('used twenty times at once takes place once', async () => {
    const c = newCase();
    const answers = await Promise.all(Array.from({ length: 20 }, () => world.call('finance', 'refund', `${c}/refund`, refundArgs('MX-2014', 100, c))));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(await world.ledger('finance', `${c}/`)).toMatchObject([{ attempts: 20, executions: 1 }]);
    expect(await refundedOf('MX-2014')).toEqual([100]);
  });

  test('EF3: with another body, or for another operation, is refused and changes nothing', async () => {
    const c = newCase();
    await world.call('finance', 'refund', `${c}/refund`, refundArgs('MX-2021', 100, c));
    for (const other of [
      world.call('finance', 'refund', `${c}/refund`, refundArgs('MX-2021', 101, c)),
      world.call('finance', 'goodwill', `${c}/refund`, { caseRef: c, customer: 'x', amount: cny(100), reason: 'late' }),
    ])
      expect(await failure(other)).toMatchObject({ name: 'SystemRefused', status: 422, code: 'keyReused' });
    expect(await refundedOf('MX-2021')).toEqual([100]);
    expect(await world.ledger('finance', `${c}/`)).toMatchObject([{ attempts: 1, executions: 1 }]);
  });

  test('is needed by every effect', async () => {
    const { status, body } = await world.http('POST', 'finance/refund', refundArgs('MX-2021', 100));
    expect({ status, code: body['code'] }).toEqual({ status: 400, code: 'keyMissing' });
  });

  test('keeps a declared refusal: the same key hears it again, though the world has changed', async () => {
    const c = newCase();
    const reserve = () => world.call('warehouse', 'reserve', `${c}/reserve`, { caseRef: c, lines: [{ sku: 'QF-EAR-BLU', quantity: 1 }] });
    expect(await reserve()).toEqual({ ok: false, error: 'outOfStock' });
    await world.http('PUT', 'warehouse/acts/stock', { sku: 'QF-EAR-BLU', onHand: 5 });
    expect(await reserve()).toEqual({ ok: false, error: 'outOfStock' });
    expect(await world.ledger('warehouse', `${c}/`)).toMatchObject([{ state: 'refused', attempts: 2, executions: 0 }]);
    expect(await stockOf('QF-EAR-BLU')).toMatchObject({ onHand: 5, reserved: 0 });
  });

  test('of an impossible effect is not used up: it may be sent again once it is possible', async () => {
    const c = newCase();
    const issue = () => world.call('coupons', 'issue', `${c}/coupon`, { caseRef: c, customer: 'c_1', template: 'not-yet' });
    expect(await failure(issue())).toMatchObject({ code: 'unknownTemplate' });
    expect(await world.ledger('coupons', `${c}/`)).toEqual([]);
    await world.pool.query(`insert into sandbox.coupon_templates (template, title, amount, currency, remaining) values ('not-yet', 'x', 100, 'CNY', 1)`);
    expect(await issue()).toMatchObject({ ok: true });
  });

  test('can be looked up: the answer that was given, a refusal, or that nothing stands there', async () => {
    const c = newCase();
    const sent = await world.call('finance', 'refund', `${c}/refund`, refundArgs('MX-2021', 100, c));
    await world.call('finance', 'refund', `${c}/too-much`, refundArgs('MX-2021', 10_000_000, c));
    expect(await world.lookup('finance', 'refund', `${c}/refund`)).toEqual({ found: true, answer: sent });
    expect(await world.lookup('finance', 'refund', `${c}/too-much`)).toEqual({ found: true, answer: { ok: false, error: 'abovePayment' } });
    expect(await world.lookup('finance', 'refund', `${c}/never`)).toEqual({ found: false });
  });

  test('EF11: without the key, the negative control, the ledger reports the double', async () => {
    const c = newCase();
    await world.faults('finance', { ignoreKeys: true });
    await world.call('finance', 'refund', `${c}/refund`, refundArgs('MX-2035', 100, c));
    await world.call('finance', 'refund', `${c}/refund`, refundArgs('MX-2035', 100, c));
    await world.http('DELETE', 'finance/faults');
    expect(await world.ledger('finance', `${c}/`)).toMatchObject([{ attempts: 2, executions: 2 }]);
    expect(await refundedOf('MX-2035')).toEqual([200]);
  });
});

describe('the ledger', () => {
  test('pages oldest first, by prefix and by operation, without missing any', async () => {
    const c = newCase();
    const keys = Array.from({ length: 7 }, (_, index) => `${c}/note-${index}`);
    for (const key of keys) await world.call('crm', 'note', key, { caseRef: c, customer: 'c_1', outcome: 'refunded' });
    // A case whose id only begins the same is another one.
    await world.call('crm', 'note', `${c}x/note`, { caseRef: c, customer: 'c_1', outcome: 'refunded' });
    const seen: string[] = [];
    for (let after: number | undefined = 0; after !== undefined;) {
      const { body } = await world.http('GET', `crm/ledger?prefix=${c}/&operation=note&limit=3&after=${after}`);
      seen.push(...(body['entries'] as { key: string }[]).map((entry) => entry.key));
      after = body['next'] as number | undefined;
    }
    expect(seen).toEqual(keys);
  });
});

describe('an undo', () => {
  test('takes the effect back once; a second one finds it undone', async () => {
    const c = newCase();
    const before = await stockOf('MX-POT-700');
    await world.call('warehouse', 'reserve', `${c}/reserve`, { caseRef: c, lines: [{ sku: 'MX-POT-700', quantity: 2 }] });
    expect(await stockOf('MX-POT-700')).toMatchObject({ reserved: before.reserved + 2 });
    const release = (key: string) => world.call('warehouse', 'release', key, { of: `${c}/reserve` });
    expect(await release(`${c}/undo`)).toEqual({ ok: true, result: { was: 'done' } });
    expect(await release(`${c}/undo`)).toEqual({ ok: true, result: { was: 'done' } });
    expect(await release(`${c}/undo#2`)).toEqual({ ok: true, result: { was: 'undone' } });
    expect(await stockOf('MX-POT-700')).toEqual(before);
    expect((await world.ledger('warehouse', `${c}/reserve`))[0]?.undoneAt).not.toBeNull();
  });

  test('that comes before its effect bars the key: the effect that comes later is refused and never takes place', async () => {
    const c = newCase();
    const before = await stockOf('MX-POT-700');
    expect(await world.call('warehouse', 'release', `${c}/undo`, { of: `${c}/reserve` })).toEqual({ ok: true, result: { was: 'absent' } });
    const reserve = () => world.call('warehouse', 'reserve', `${c}/reserve`, { caseRef: c, lines: [{ sku: 'MX-POT-700', quantity: 2 }] });
    for (let n = 0; n < 2; n++) expect(await failure(reserve())).toMatchObject({ name: 'SystemRefused', status: 409, code: 'undone' });
    expect(await failure(world.lookup('warehouse', 'reserve', `${c}/reserve`))).toMatchObject({ code: 'undone' });
    expect(await world.ledger('warehouse', `${c}/reserve`)).toMatchObject([{ state: 'barred', attempts: 2, executions: 0 }]);
    expect(await stockOf('MX-POT-700')).toEqual(before);
  });

  test('racing its effect leaves nothing behind, whichever comes first', async () => {
    const before = await stockOf('MX-TWL-3');
    const was = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const c = newCase();
        const [, undone] = await Promise.all([
          failure(world.call('warehouse', 'reserve', `${c}/reserve`, { caseRef: c, lines: [{ sku: 'MX-TWL-3', quantity: 1 }] })),
          world.call('warehouse', 'release', `${c}/undo`, { of: `${c}/reserve` }),
        ]);
        return undone.ok ? undone.result.was : 'error';
      }),
    );
    expect(was.every((found) => found === 'done' || found === 'absent')).toBe(true);
    expect(await stockOf('MX-TWL-3')).toEqual(before);
  });

  test('of an effect that was refused finds nothing; of what another operation did is refused', async () => {
    const c = newCase();
    await world.call('warehouse', 'reserve', `${c}/reserve`, { caseRef: c, lines: [{ sku: 'MX-CUR-LIN', quantity: 1 }] });
    expect(await world.call('warehouse', 'release', `${c}/undo`, { of: `${c}/reserve` })).toEqual({ ok: true, result: { was: 'absent' } });
    await world.call('warehouse', 'dispatch', `${c}/dispatch`, { caseRef: c, orderId: 'MX-2007', lines: [{ sku: 'MX-TWL-3', quantity: 1 }] });
    expect(await failure(world.call('warehouse', 'release', `${c}/undo-2`, { of: `${c}/dispatch` }))).toMatchObject({ code: 'notTakenBackByThis' });
  });

  test('of a label cancels it while it is unused; of a used one nothing is left to cancel', async () => {
    const c = newCase();
    const label = async (key: string): Promise<string> => {
      const made = await world.call('logistics', 'label', key, { caseRef: c, orderId: 'MX-2007' });
      return made.ok ? made.result.trackingNo : '';
    };
    await label(`${c}/a`);
    const used = await label(`${c}/b`);
    await world.http('POST', 'logistics/acts/scan', { trackingNo: used, state: 'pickedUp' });
    expect(await world.call('logistics', 'cancelLabel', `${c}/undo-a`, { of: `${c}/a` })).toEqual({ ok: true, result: { was: 'done' } });
    expect(await world.call('logistics', 'cancelLabel', `${c}/undo-b`, { of: `${c}/b` })).toEqual({ ok: true, result: { was: 'spent' } });
  });

  test('of a dispatch brings the goods back, until the carrier has them', async () => {
    const c = newCase();
    const before = await stockOf('QF-PWR-20K');
    const dispatch = async (key: string): Promise<string> => {
      const sent = await world.call('warehouse', 'dispatch', key, { caseRef: c, orderId: 'QF-2042', lines: [{ sku: 'QF-PWR-20K', quantity: 1 }] });
      return sent.ok ? sent.result.trackingNo : '';
    };
    await dispatch(`${c}/a`);
    const gone = await dispatch(`${c}/b`);
    await world.http('POST', 'logistics/acts/scan', { trackingNo: gone, state: 'pickedUp' });
    expect(await world.call('warehouse', 'recall', `${c}/undo-a`, { of: `${c}/a` })).toEqual({ ok: true, result: { was: 'done' } });
    expect(await failure(world.call('warehouse', 'recall', `${c}/undo-b`, { of: `${c}/b` }))).toMatchObject({ code: 'pickedUp' });
    expect(await stockOf('QF-PWR-20K')).toMatchObject({ onHand: before.onHand - 1 });
  });

  test('of a dispatch keeps the carrier from coming; what is not recalled is picked up and delivered by itself', async () => {
    await world.http('PUT', 'logistics/settings', { pickUpMs: 300, deliverMs: 0 });
    const c = newCase();
    const dispatch = async (key: string): Promise<string> => {
      const sent = await world.call('warehouse', 'dispatch', key, { caseRef: c, orderId: 'QF-2042', lines: [{ sku: 'QF-PWR-20K', quantity: 1 }] });
      return sent.ok ? sent.result.trackingNo : '';
    };
    const recalled = await dispatch(`${c}/a`);
    expect(await world.call('warehouse', 'recall', `${c}/undo-a`, { of: `${c}/a` })).toEqual({ ok: true, result: { was: 'done' } });
    const goes = await dispatch(`${c}/b`);
    const states = (trackingNo: string): string[] =>
      world.received.filter((event) => event.type === 'tracking' && event.data['trackingNo'] === trackingNo).map((event) => String(event.data['state']));
    await world.until(
      () => states(goes),
      (seen) => seen.includes('delivered'),
    );
    await world.http('PUT', 'logistics/settings', {});
    expect(new Set(states(goes))).toEqual(new Set(['pickedUp', 'delivered']));
    // Its time had come before that of the other one.
    expect(states(recalled)).toEqual([]);
    expect(await world.call('logistics', 'parcel', undefined, { trackingNo: recalled })).toMatchObject({ ok: true, result: { state: 'labelled' } });
  });

  test('of a payment link voids it; what was paid by it goes back in full by the same call; of an expired one nothing is left', async () => {
    const c = newCase();
    const link = async (key: string): Promise<string> => {
      const made = await world.call('finance', 'paymentLink', key, { caseRef: c, orderId: 'QF-2042', amount: cny(500), reason: 'difference' });
      return made.ok ? made.result.linkId : '';
    };
    const voided = await link(`${c}/a`);
    const paid = await link(`${c}/b`);
    expect(await world.call('finance', 'voidLink', `${c}/undo-a`, { of: `${c}/a` })).toEqual({ ok: true, result: { was: 'done' } });
    expect((await world.http('POST', 'finance/acts/pay', { linkId: voided })).body).toEqual({ changed: false });
    expect((await world.http('POST', 'finance/acts/pay', { linkId: paid })).body).toEqual({ changed: true });
    const paymentOf = async (linkId: string, caseRef?: string) => {
      const found = await world.call('finance', 'payments', undefined, { orderId: 'QF-2042', caseRef });
      return found.ok ? found.result.payments.find((payment) => payment.paymentId === `pay_${linkId}`) : undefined;
    };
    expect(await paymentOf(paid)).toMatchObject({ amount: cny(500), refunded: cny(0) });
    const voidPaid = () => world.call('finance', 'voidLink', `${c}/undo-b`, { of: `${c}/b` });
    expect(await voidPaid()).toEqual({ ok: true, result: { was: 'done' } });
    expect(await voidPaid()).toEqual({ ok: true, result: { was: 'done' } });
    expect(await paymentOf(paid)).toMatchObject({ refunded: cny(500) });
    // It settles like any refund.
    const refunds = async () => {
      const { body } = await world.http('GET', 'finance/acts/refunds?orderId=QF-2042');
      return (body['refunds'] as { caseRef: string; paymentId: string; minor: number; state: string }[]).filter((refund) => refund.caseRef === c);
    };
    await world.until(refunds, ([refund]) => refund?.state === 'arrived');
    expect(await refunds()).toMatchObject([{ paymentId: `pay_${paid}`, minor: 500 }]);

    const expired = await link(`${c}/c`);
    expect((await world.http('POST', 'finance/acts/expire', { linkId: expired })).body).toEqual({ changed: true });
    expect((await world.http('POST', 'finance/acts/expire', { linkId: expired })).body).toEqual({ changed: false });
    expect((await world.http('POST', 'finance/acts/pay', { linkId: expired })).body).toEqual({ changed: false });
    expect(await world.call('finance', 'voidLink', `${c}/undo-c`, { of: `${c}/c` })).toEqual({ ok: true, result: { was: 'spent' } });

    // What finance has refunded of it already does not go back twice.
    const partly = await link(`${c}/d`);
    await world.http('POST', 'finance/acts/pay', { linkId: partly });
    await world.call('finance', 'refund', `${c}/part`, { caseRef: c, orderId: 'QF-2042', paymentId: `pay_${partly}`, amount: cny(200), reason: 'quality' });
    expect(await world.call('finance', 'voidLink', `${c}/undo-d`, { of: `${c}/d` })).toEqual({ ok: true, result: { was: 'done' } });
    expect(await paymentOf(partly)).toMatchObject({ refunded: cny(500), refundedByCase: cny(0) });
    // Of it the case has asked for so much; the rest went back with the link, and another case has had none.
    expect(await paymentOf(partly, c)).toMatchObject({ refunded: cny(500), refundedByCase: cny(200) });
    expect(await paymentOf(partly, newCase())).toMatchObject({ refunded: cny(500), refundedByCase: cny(0) });
  });

  test('of a payment link, racing the payment: the money is with us or was never paid, and never both sides keep it', async () => {
    const c = newCase();
    const links = await Promise.all(
      Array.from({ length: 10 }, async (_, n) => {
        const made = await world.call('finance', 'paymentLink', `${c}/${n}`, { caseRef: c, orderId: 'QF-2056', amount: cny(100), reason: 'difference' });
        if (!made.ok) throw new Error('no link');
        const [paid, voided] = await Promise.all([
          world.http('POST', 'finance/acts/pay', { linkId: made.result.linkId }),
          world.call('finance', 'voidLink', `${c}/undo-${n}`, { of: `${c}/${n}` }),
        ]);
        expect(voided).toEqual({ ok: true, result: { was: 'done' } });
        return { paymentId: `pay_${made.result.linkId}`, paid: paid.body['changed'] };
      }),
    );
    const found = await world.call('finance', 'payments', undefined, { orderId: 'QF-2056' });
    const payments = found.ok ? found.result.payments : [];
    for (const { paymentId, paid } of links) {
      const payment = payments.find((one) => one.paymentId === paymentId);
      expect(payment?.refunded).toEqual(paid === true ? cny(100) : undefined);
    }
  });

  test('of a coupon gives it back to its campaign; of coupons and points that were given back counts them as used again', async () => {
    const c = newCase();
    const issue = (key: string) => world.call('coupons', 'issue', key, { caseRef: c, customer: 'c_1', template: 'last-one' });
    expect(await issue(`${c}/1`)).toMatchObject({ ok: true, result: { amount: cny(500) } });
    expect(await issue(`${c}/2`)).toEqual({ ok: false, error: 'exhausted' });
    await world.call('coupons', 'revoke', `${c}/undo-1`, { of: `${c}/1` });
    expect(await issue(`${c}/3`)).toMatchObject({ ok: true });

    const giveBack = (key: string) =>
      world.call('coupons', 'giveBack', key, { caseRef: c, orderId: 'MX-2063', coupons: [{ couponId: 'cp-mx-2', amount: cny(1500) }], points: 333 });
    expect(await giveBack(`${c}/back-1`)).toMatchObject({ ok: true, result: { coupons: [{ replaces: 'cp-mx-2', amount: cny(1500) }], points: 333 } });
    expect(await giveBack(`${c}/back-2`)).toEqual({ ok: false, error: 'aboveUsed' });
    expect(await world.call('coupons', 'revoke', `${c}/undo-back`, { of: `${c}/back-1` })).toEqual({ ok: true, result: { was: 'done' } });
    expect(await giveBack(`${c}/back-3`)).toMatchObject({ ok: true });
  });
});

describe('the impossible is refused', () => {
  test('refunds of a payment never pass what was paid, however many come at once', async () => {
    const c = newCase();
    const before = await world.call('finance', 'payments', undefined, { orderId: 'QF-2063' });
    const payment = before.ok ? before.result.payments[0] : undefined;
    if (!payment) throw new Error('no payment');
    const part = Math.floor(payment.amount.minor / 3);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        world.call('finance', 'refund', `${c}/refund-${index}`, {
          caseRef: c,
          orderId: 'QF-2063',
          paymentId: payment.paymentId,
          amount: cny(part),
          reason: 'quality',
        }),
      ),
    );
    expect(answers.filter((answer) => answer.ok)).toHaveLength(3);
    expect(answers.filter((answer) => !answer.ok && answer.error === 'abovePayment')).toHaveLength(7);
    expect((await refundedOf('QF-2063'))[0]).toBe(part * 3);
  });

  test.each([
    [
      'a refund of a payment that the order does not have',
      () => world.call('finance', 'refund', `${newCase()}/x`, { ...refundArgs('MX-2007', 1), paymentId: 'MX-2014-p1' }),
      'unknownPayment',
    ],
    [
      'a refund in another currency',
      () => world.call('finance', 'refund', `${newCase()}/x`, { ...refundArgs('MX-2007', 1), amount: { minor: 1, currency: 'USD' } }),
      'otherCurrency',
    ],
    ['the payments of an unknown order', () => world.call('finance', 'payments', undefined, { orderId: 'nope' }), 'unknownOrder'],
    ['a label for an unknown order', () => world.call('logistics', 'label', `${newCase()}/x`, { caseRef: 'c', orderId: 'nope' }), 'unknownOrder'],
    [
      'a dispatch of an unknown reservation',
      () =>
        world.call('warehouse', 'dispatch', `${newCase()}/x`, {
          caseRef: 'c',
          orderId: 'MX-2007',
          reservationId: 'rs_nope',
          lines: [{ sku: 'MX-TWL-3', quantity: 1 }],
        }),
      'unknownReservation',
    ],
    [
      'a unit that was never received',
      () => world.call('warehouse', 'dispose', `${newCase()}/x`, { caseRef: 'c', unitId: 'nope', disposition: 'scrap' }),
      'unknownUnit',
    ],
    [
      'a red letter for an order without invoice',
      () => world.call('finance', 'redLetter', `${newCase()}/x`, { caseRef: 'c', orderId: 'MX-2007', amount: cny(1), reason: 'returned' }),
      'notInvoiced',
    ],
    [
      'a red letter above the invoice',
      () => world.call('finance', 'redLetter', `${newCase()}/x`, { caseRef: 'c', orderId: 'MX-2042', amount: cny(100_000_000), reason: 'returned' }),
      'aboveInvoice',
    ],
    [
      'a coupon that the order did not use',
      () => world.call('coupons', 'giveBack', `${newCase()}/x`, { caseRef: 'c', orderId: 'MX-2007', coupons: [{ couponId: 'no', amount: cny(1) }], points: 0 }),
      'notUsed',
    ],
    [
      "a gift for somebody else's order",
      () => world.call('crm', 'giftAndCard', `${newCase()}/x`, { caseRef: 'c', customer: 'c_other', orderId: 'MX-2007' }),
      'notTheBuyer',
    ],
  ])('%s', async (_, call, code) => {
    const error = await failure(call());
    expect(error).toBeInstanceOf(SystemRefused);
    expect(error).toMatchObject({ status: 422, code });
  });

  test('an unknown order and customer are answers to who reads them', async () => {
    expect(await world.call('orders', 'facts', undefined, { orderId: 'nope' })).toEqual({ ok: false, error: 'unknownOrder' });
    expect(await world.call('orders', 'contact', undefined, { customer: 'c_nope' })).toEqual({ ok: false, error: 'unknownCustomer' });
    expect(await world.call('logistics', 'parcel', undefined, { trackingNo: 'nope' })).toEqual({ ok: false, error: 'unknownParcel' });
    expect(await world.call('orders', 'prices', undefined, { shop: 'mingxi', skus: ['MX-MUG-SKY', 'QF-KEY-TEA', 'nope'] })).toEqual({
      ok: true,
      result: { prices: [{ sku: 'MX-MUG-SKY', unitPrice: cny(5900) }] },
    });
    expect(await world.call('crm', 'facts', undefined, { customer: 'c_nope' })).toMatchObject({ ok: true, result: { tier: 'new', orders: 0 } });
  });

  test('the last piece that two want goes to exactly one; a dispatch needs stock that nobody holds', async () => {
    await world.http('PUT', 'warehouse/acts/stock', { sku: 'QF-KEY-TEA', onHand: 2 });
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => {
        const c = newCase();
        return world.call('warehouse', 'reserve', `${c}/reserve`, {
          caseRef: c,
          lines: [
            { sku: 'QF-KEY-TEA', quantity: 1 },
            { sku: 'QF-MON-27', quantity: 1 },
          ],
        });
      }),
    );
    const held = answers.flatMap((answer) => (answer.ok ? [answer.result.reservationId] : []));
    expect(held).toHaveLength(2);
    expect(await stockOf('QF-KEY-TEA')).toMatchObject({ onHand: 2, reserved: 2, available: 0 });
    // Of a reservation that fails nothing stays held.
    expect(await stockOf('QF-MON-27')).toMatchObject({ reserved: 2 });
    const c = newCase();
    expect(await world.call('warehouse', 'dispatch', `${c}/lines`, { caseRef: c, orderId: 'QF-2056', lines: [{ sku: 'QF-KEY-TEA', quantity: 1 }] })).toEqual({
      ok: false,
      error: 'outOfStock',
    });
    const ofHeld = (key: string) =>
      world.call('warehouse', 'dispatch', `${c}/${key}`, {
        caseRef: c,
        orderId: 'QF-2056',
        reservationId: held[0] ?? '',
        lines: [{ sku: 'QF-KEY-TEA', quantity: 1 }],
      });
    expect(await ofHeld('held')).toMatchObject({ ok: true });
    expect(await ofHeld('again')).toEqual({ ok: false, error: 'outOfStock' });
    expect(await stockOf('QF-KEY-TEA')).toMatchObject({ onHand: 1, reserved: 1 });
    // The rest of its reservation is let go.
    expect(await stockOf('QF-MON-27')).toMatchObject({ reserved: 1 });
  });

  test('goods that were set aside and are not there after all cannot be sent, and are no longer in stock; a count that is repeated changes nothing', async () => {
    const c = newCase();
    const sku = 'MX-MUG-ASH';
    const before = await stockOf(sku);
    const reserved = await world.call('warehouse', 'reserve', `${c}/reserve`, { caseRef: c, lines: [{ sku, quantity: 2 }] });
    const reservationId = reserved.ok ? reserved.result.reservationId : '';
    expect((await world.http('POST', 'warehouse/acts/vanish', { reservationId })).body).toEqual({ changed: true });
    expect((await world.http('POST', 'warehouse/acts/vanish', { reservationId })).body).toEqual({ changed: false });
    expect(await stockOf(sku)).toMatchObject({ onHand: (before?.onHand ?? 0) - 2, reserved: before?.reserved });
    const lines = [{ sku, quantity: 1 }];
    expect(await world.call('warehouse', 'dispatch', `${c}/dispatch`, { caseRef: c, orderId: 'MX-2007', reservationId, lines })).toEqual({
      ok: false,
      error: 'outOfStock',
    });
  });

  test('a dispatch takes at most what its reservation holds; recalled, its goods are there again and the reservation is not', async () => {
    const c = newCase();
    const sku = 'MX-TWL-3';
    const before = await stockOf(sku);
    const reserved = await world.call('warehouse', 'reserve', `${c}/reserve`, { caseRef: c, lines: [{ sku, quantity: 3 }] });
    const reservationId = reserved.ok ? reserved.result.reservationId : '';
    const dispatch = (key: string, lines: { sku: string; quantity: number }[]) =>
      world.call('warehouse', 'dispatch', `${c}/${key}`, { caseRef: c, orderId: 'MX-2007', reservationId, lines });
    expect(await failure(dispatch('more', [{ sku, quantity: 4 }]))).toMatchObject({ code: 'aboveReservation' });
    expect(await failure(dispatch('other', [{ sku: 'MX-POT-700', quantity: 1 }]))).toMatchObject({ code: 'aboveReservation' });
    // What was refused has let nothing go.
    expect(await stockOf(sku)).toEqual({ ...before, reserved: before.reserved + 3, available: before.available - 3 });
    expect(await dispatch('part', [{ sku, quantity: 2 }])).toMatchObject({ ok: true });
    expect(await stockOf(sku)).toEqual({ ...before, onHand: before.onHand - 2, available: before.available - 2 });
    expect(await world.call('warehouse', 'release', `${c}/undo-reserve`, { of: `${c}/reserve` })).toEqual({ ok: true, result: { was: 'spent' } });
    expect(await world.call('warehouse', 'recall', `${c}/undo-part`, { of: `${c}/part` })).toEqual({ ok: true, result: { was: 'done' } });
    expect(await stockOf(sku)).toEqual(before);
  });

  test('what becomes of a received unit is settled once; restocked goods are for sale again; only what is still there goes back', async () => {
    const c = newCase();
    const before = await stockOf('MX-LAMP-WHT');
    const { body } = await world.http('POST', 'warehouse/acts/receive', { trackingNo: `T-${c}`, units: [{ sku: 'MX-LAMP-WHT', quantity: 3 }, {}] });
    const [a = '', b = '', third = '', unknown = ''] = body['unitIds'] as string[];
    const dispose = (key: string, unitId: string, disposition: 'restock' | 'scrap') =>
      world.call('warehouse', 'dispose', `${c}/${key}`, { caseRef: c, unitId, disposition });
    expect(await dispose('a', a, 'restock')).toMatchObject({ ok: true });
    expect(await failure(dispose('a2', a, 'scrap'))).toMatchObject({ code: 'alreadyDisposed' });
    expect(await failure(dispose('u', unknown, 'restock'))).toMatchObject({ code: 'unknownGoods' });
    expect(await stockOf('MX-LAMP-WHT')).toMatchObject({ onHand: before.onHand + 1 });
    const sendBack = (key: string, unitIds: string[]) => world.call('warehouse', 'sendBack', `${c}/${key}`, { caseRef: c, orderId: 'MX-2084', unitIds });
    expect(await failure(sendBack('back-a', [a, b]))).toMatchObject({ code: 'notThere' });
    expect(await sendBack('back', [b, third])).toMatchObject({ ok: true });
    expect(await failure(sendBack('back-2', [b]))).toMatchObject({ code: 'notThere' });
  });

  test('an order has one gift, whoever asks', async () => {
    const order = await world.call('orders', 'facts', undefined, { orderId: 'MX-2014' });
    if (!order.ok) throw new Error('no order');
    const gift = (key: string) => world.call('crm', 'giftAndCard', key, { caseRef: 'c', customer: order.result.customer, orderId: 'MX-2014' });
    expect(await gift(`${newCase()}/gift`)).toMatchObject({ ok: true });
    expect(await gift(`${newCase()}/gift`)).toEqual({ ok: false, error: 'alreadyGiven' });
  });

  test('goodwill above what finance pays without a paper is refused', async () => {
    const pay = (minor: number) => world.call('finance', 'goodwill', `${newCase()}/pay`, { caseRef: 'c', customer: 'c_1', amount: cny(minor), reason: 'late' });
    expect(await pay(200_000)).toMatchObject({ ok: true });
    expect(await pay(200_001)).toEqual({ ok: false, error: 'refused' });
  });
});

describe('a message', () => {
  test('is in the outbox once per key, to be found by recipient and by message id', async () => {
    const send = () => world.call('notifications', 'send', 'm-1', { channel: 'sms', to: '19900000001', text: '您的退款已受理', messageId: 'm-1' });
    await Promise.all([send(), send(), send()]);
    for (const query of ['to=19900000001', 'messageId=m-1']) {
      const { body } = await world.http('GET', `notifications/outbox?${query}`);
      expect(body['messages']).toMatchObject([{ messageId: 'm-1', channel: 'sms', to: '19900000001', text: '您的退款已受理' }]);
    }
  });

  test('to what is no number or address is undeliverable', async () => {
    expect(await world.call('notifications', 'send', 'm-2', { channel: 'sms', to: 'nobody', text: 'x', messageId: 'm-2' })).toEqual({
      ok: false,
      error: 'undeliverable',
    });
    expect(await world.call('notifications', 'send', 'm-3', { channel: 'email', to: '19900000001', text: 'x', messageId: 'm-3' })).toEqual({
      ok: false,
      error: 'undeliverable',
    });
  });
});

describe('faults', () => {
  const note = (key: string) => world.call('crm', 'note', key, { caseRef: 'c', customer: 'c_1', outcome: 'refunded' });

  test('an error answers 500 and does nothing', async () => {
    const c = newCase();
    await world.faults('crm', { errorRate: 1 });
    expect(await failure(note(`${c}/note`))).toBeInstanceOf(SystemUnavailable);
    await world.http('DELETE', 'crm/faults');
    expect(await world.ledger('crm', `${c}/`)).toEqual([]);
  });

  test('EF1: an answer lost after the commit took place once: the same key, or a lookup, hears it', async () => {
    const c = newCase();
    await world.faults('crm', { loseAnswerAfterCommit: 1 });
    expect(await failure(note(`${c}/note`))).toBeInstanceOf(SystemUnavailable);
    await world.http('DELETE', 'crm/faults');
    const found = await world.lookup('crm', 'note', `${c}/note`);
    expect(await note(`${c}/note`)).toEqual(found.found ? found.answer : 'not found');
    expect(await world.ledger('crm', `${c}/`)).toMatchObject([{ attempts: 2, executions: 1 }]);
  });

  test('an outage breaks every connection, of reads and lookups too; ledger and faults still answer', async () => {
    await world.faults('crm', { outage: true });
    expect(await failure(note(`${newCase()}/note`))).toBeInstanceOf(SystemUnavailable);
    expect(await failure(world.lookup('crm', 'note', 'x'))).toBeInstanceOf(SystemUnavailable);
    expect(await failure(world.call('crm', 'facts', undefined, { customer: 'c_1' }))).toBeInstanceOf(SystemUnavailable);
    expect((await world.http('GET', 'crm/faults')).body).toMatchObject({ outage: true });
    expect((await world.http('GET', 'crm/ledger')).status).toBe(200);
    await world.http('DELETE', 'crm/faults');
    expect(await note(`${newCase()}/note`)).toMatchObject({ ok: true });
  });

  test('latency and a late answer are waited for; faults for some operations leave the others alone', async () => {
    const took = async (call: () => Promise<unknown>): Promise<number> => {
      const start = performance.now();
      await call();
      return performance.now() - start;
    };
    const facts = () => world.call('crm', 'facts', undefined, { customer: 'c_1' });
    await world.faults('crm', { latencyMs: 1000, operations: ['note'] });
    expect(await took(() => note(`${newCase()}/note`))).toBeGreaterThanOrEqual(999);
    expect(await took(facts)).toBeLessThan(999);
    const c = newCase();
    await world.faults('crm', { lateAnswerMs: 1500 });
    const late = note(`${c}/note`);
    // It is done long before it is answered.
    await world.until(
      () => world.ledger('crm', `${c}/`),
      (entries) => entries.length === 1,
    );
    expect(await Promise.race([late.then(() => 'answered'), Promise.resolve('still waiting')])).toBe('still waiting');
    expect(await late).toMatchObject({ ok: true });
    await world.http('DELETE', 'crm/faults');
  });

  test('the same seed gives the same calls the same fates', async () => {
    const fates = async (seed: number): Promise<string[]> => {
      await world.faults('crm', { errorRate: 0.5, seed });
      const seen: string[] = [];
      for (let n = 0; n < 20; n++) seen.push((await failure(note(`${newCase()}/note`))) === 'no failure' ? 'done' : 'failed');
      return seen;
    };
    const first = await fates(7);
    expect(await fates(7)).toEqual(first);
    expect(await fates(8)).not.toEqual(first);
    expect(new Set(first).size).toBe(2);
    await world.http('DELETE', 'crm/faults');
  });

  test('survive a restart, and unknown ones are refused', async () => {
    await world.faults('crm', { outage: true });
    await world.stopSystems();
    await world.startSystems();
    expect((await world.http('GET', 'crm/faults')).body).toMatchObject({ outage: true });
    await world.http('DELETE', 'crm/faults');
    expect(await world.http('PUT', 'crm/faults', { latency: 5 })).toMatchObject({ status: 422, body: { code: 'misfit' } });
    expect(await world.http('PUT', 'crm/faults', { errorRate: 1.5 })).toMatchObject({ status: 422, body: { errors: [{ path: 'errorRate' }] } });
  });
});

describe('over HTTP', () => {
  test('what does not fit is told by its path; what is unknown is 404; what is too big is 413; what is no JSON is 400', async () => {
    expect(await world.http('POST', 'orders/facts', { orderId: 7 })).toMatchObject({ status: 422, body: { code: 'misfit', errors: [{ path: 'orderId' }] } });
    expect(await world.http('POST', 'orders/nothing', {})).toMatchObject({ status: 404, body: { code: 'noSuchRoute' } });
    expect(await world.http('POST', 'nobody/facts', {})).toMatchObject({ status: 404 });
    expect(await world.http('POST', 'orders/facts', { orderId: 'x'.repeat(300_000) })).toMatchObject({ status: 413, body: { code: 'tooLarge' } });
    const broken = await fetch(`${world.url()}/orders/facts`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{' });
    expect(broken.status).toBe(400);
    // Postgres cannot hold a zero byte.
    expect(await world.http('POST', 'orders/facts', { orderId: 'a\0b' })).toMatchObject({ status: 422 });
  });

  test('every system serves its OpenAPI document, with the acts of the outside world marked as the sandbox’s', async () => {
    const { body } = await world.http('GET', 'warehouse/openapi.json');
    expect(body).toMatchObject({ openapi: '3.1.0', paths: { '/acts/receive': { post: { tags: ['sandbox only'] } }, '/reserve': { post: {} } } });
    expect((await world.http('GET', 'healthz')).body).toEqual({ status: 'ok' });
  });
});
