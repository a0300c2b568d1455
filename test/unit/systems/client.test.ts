import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { callOperation, factsOf, lookupOperation, SystemRefused, SystemUnavailable } from '../../../systems/client.ts';
import { finance } from '../../../systems/finance/contract.ts';
import { orders } from '../../../systems/orders/contract.ts';

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;
let answer: Answer;
let asked = 0;
const server = createServer((request, response) => {
  asked++;
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => answer(request, response, Buffer.concat(chunks).toString()));
});
let baseUrl: string;
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/finance`;
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

const args = { caseRef: 'c', orderId: 'o', paymentId: 'p', amount: { minor: 100, currency: 'CNY' }, reason: 'quality' };
const refund = (over: { timeoutMs?: number; key?: string; args?: typeof args } = {}) =>
  callOperation(finance, 'refund', { baseUrl, timeoutMs: 2000, key: 'c/refund', args, ...over });
const says =
  (status: number, body: unknown, headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(typeof body === 'string' ? body : JSON.stringify(body));
const failure = async (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'no failure',
    (error: unknown) => error,
  );

describe('callOperation', () => {
  test('posts the arguments with the key and the token, and answers the result as the contract has it', async () => {
    let seen: { method: string | undefined; url: string | undefined; key: unknown; token: string | undefined; body: unknown } | undefined;
    answer = (request, response, body) => {
      seen = {
        method: request.method,
        url: request.url,
        key: request.headers['idempotency-key'],
        token: request.headers.authorization,
        body: JSON.parse(body),
      };
      says(200, { refundId: 'rf_1', state: 'submitted', more: 'than we read' })(request, response, body);
    };
    const got = await callOperation(finance, 'refund', { baseUrl, timeoutMs: 2000, key: 'c/refund', token: 's3cret', args });
    expect(got).toEqual({ ok: true, result: { refundId: 'rf_1', state: 'submitted' } });
    expect(seen).toEqual({ method: 'POST', url: '/finance/refund', key: 'c/refund', token: 'Bearer s3cret', body: { ...args, via: 'original' } });
  });

  test('a declared business error is an answer', async () => {
    answer = says(409, { code: 'abovePayment', status: 409 });
    expect(await refund()).toEqual({ ok: false, error: 'abovePayment' });
  });

  test.each([
    ['a 409 that the contract does not declare', 409, { code: 'undone' }, 'undone'],
    ['a declared code with another status', 422, { code: 'abovePayment' }, 'abovePayment'],
    ['a 422', 422, { code: 'unknownPayment', detail: 'Frau Li hat keine Zahlung' }, 'unknownPayment'],
    ['a 404 page of a proxy', 404, '<html>not here</html>', 'unknown'],
    ['a 401', 401, {}, 'unknown'],
    ['a result that breaks the contract', 200, { refundId: 7 }, 'badAnswer'],
    ['no JSON at all', 200, 'OK', 'badAnswer'],
    ['an answer without end', 200, `"${'x'.repeat(1100 * 1024)}"`, 'badAnswer'],
  ])('%s is a refusal: asking again does not help', async (_, status, body, code) => {
    answer = says(status, body);
    const error = await failure(refund());
    expect(error).toBeInstanceOf(SystemRefused);
    expect(error).toMatchObject({ status, code });
  });

  test("the system's own words stay out of the message, which goes to logs and histories", async () => {
    answer = says(422, { code: 'unknownPayment', detail: '林晓雨 has no such payment' });
    const error = await failure(refund());
    expect(error).toMatchObject({ message: 'finance.refund: answered 422 unknownPayment', detail: '林晓雨 has no such payment' });
    // Nor what a system puts where its code belongs.
    for (const code of ['林晓雨', '19900000001', 'Lin Xiaoyu has no such payment']) {
      for (const [status, message] of [
        [422, 'finance.refund: answered 422 unknown'],
        [503, 'finance.refund: answered 503'],
      ] as const) {
        answer = says(status, { code });
        expect(await failure(refund())).toMatchObject({ message });
      }
    }
  });

  test.each([500, 502, 503, 408, 425, 429])('%i is unavailable: ask again under the same key', async (status) => {
    answer = says(status, {});
    expect(await failure(refund())).toBeInstanceOf(SystemUnavailable);
  });

  test('Retry-After is told in milliseconds, from seconds or a date', async () => {
    answer = says(503, {}, { 'retry-after': '7' });
    expect(await failure(refund())).toMatchObject({ retryAfterMs: 7000 });
    answer = says(503, {}, { 'retry-after': new Date(Date.now() + 60_000).toUTCString() });
    const error = await failure(refund());
    expect(error).toBeInstanceOf(SystemUnavailable);
    expect((error as SystemUnavailable).retryAfterMs).toBeGreaterThan(55_000);
    expect((error as SystemUnavailable).retryAfterMs).toBeLessThanOrEqual(60_000);
  });

  test('no answer in time, a broken connection, half an answer and a refused connection are unavailable', async () => {
    answer = () => undefined;
    expect(await failure(refund({ timeoutMs: 50 }))).toMatchObject({ name: 'SystemUnavailable', message: 'finance.refund: no answer within 50 ms' });
    answer = (request) => request.socket.destroy();
    expect(await failure(refund())).toBeInstanceOf(SystemUnavailable);
    answer = (request, response) => {
      response.writeHead(200, { 'content-length': '1000' }).write('{"refundId":');
      setImmediate(() => request.socket.destroy());
    };
    expect(await failure(refund())).toBeInstanceOf(SystemUnavailable);
    expect(await failure(callOperation(finance, 'refund', { baseUrl: 'http://127.0.0.1:9', timeoutMs: 2000, key: 'k', args }))).toBeInstanceOf(
      SystemUnavailable,
    );
  });

  test('a redirect is not followed: it would repeat an effect elsewhere', async () => {
    const before = asked;
    answer = says(307, {}, { location: `${baseUrl}/elsewhere` });
    expect(await failure(refund())).toBeInstanceOf(SystemUnavailable);
    expect(asked).toBe(before + 1);
  });

  test('what does not fit the contract is not sent: arguments, an effect without a key, a key that cannot travel in a header', async () => {
    const before = asked;
    answer = says(200, {});
    expect(await failure(refund({ args: { ...args, amount: { minor: 0, currency: 'CNY' } } }))).toMatchObject({
      name: 'SystemRefused',
      status: 0,
      code: 'badArguments',
    });
    for (const key of ['', 'a b', '退款', 'a\nb', 'x'.repeat(701)]) expect(await failure(refund({ key }))).toBeInstanceOf(RangeError);
    expect(await failure(callOperation(finance, 'refund', { baseUrl, timeoutMs: 2000, args }))).toBeInstanceOf(RangeError);
    expect(asked).toBe(before);
  });

  test("the caller's own cancellation ends the call", async () => {
    answer = () => undefined;
    const cancel = new AbortController();
    const call = failure(callOperation(finance, 'refund', { baseUrl, timeoutMs: 10_000, key: 'k', args, signal: cancel.signal }));
    cancel.abort();
    expect(await call).toBeInstanceOf(SystemUnavailable);
  });

  test('a read needs no key, and its facts are what the contract lets a process see', async () => {
    answer = says(200, { customer: 'c_1', reach: { name: '林晓雨', phone: '19900000001', language: 'zh' } });
    const got = await callOperation(orders, 'contact', { baseUrl, timeoutMs: 2000, args: { orderId: 'o' } });
    expect(got).toMatchObject({ ok: true, result: { reach: { phone: '19900000001' } } });
    expect(factsOf(orders.operations.contact, got.ok ? got.result : undefined)).toEqual({ customer: 'c_1' });
  });
});

describe('lookupOperation', () => {
  const lookup = () => lookupOperation(finance, 'refund', { baseUrl, timeoutMs: 2000, key: 'c/退#1'.replace('退', '%E9') });

  test('answers what stands under the key', async () => {
    let url: string | undefined;
    answer = (request, response, body) => {
      url = request.url;
      says(200, { refundId: 'rf_1', state: 'submitted' })(request, response, body);
    };
    expect(await lookup()).toEqual({ found: true, answer: { ok: true, result: { refundId: 'rf_1', state: 'submitted' } } });
    expect(url).toBe('/finance/refund?key=c%2F%25E9%231');
    answer = says(409, { code: 'abovePayment' });
    expect(await lookup()).toEqual({ found: true, answer: { ok: false, error: 'abovePayment' } });
  });

  test('a 404 means "not found" only with its code: a wrong URL taken for it would send twice', async () => {
    answer = says(404, { code: 'unknownKey' });
    expect(await lookup()).toEqual({ found: false });
    answer = says(404, { code: 'noSuchRoute' });
    expect(await failure(lookup())).toBeInstanceOf(SystemRefused);
    answer = says(404, 'nginx');
    expect(await failure(lookup())).toBeInstanceOf(SystemRefused);
  });
});
