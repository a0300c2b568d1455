/** A return from its customer's side, on the whole stack: the link comes with a message; evidence, a choice, a tracking number and a withdrawal go through the page. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Page } from 'playwright-core';
import { z } from 'zod';
import { signToken } from '../../api/token.ts';
import { putPerson } from '../../db/people.ts';
import { connectPool } from '../../db/pool.ts';
import type { PersonId } from '../../values/ids.ts';
import type { Role } from '../../values/role.ts';
import { until } from '../stack/until.ts';
import { wholeStack, type WholeStack } from '../stack/whole.ts';
import { jpeg } from '../unit/files.ts';
import { findings, grave, measure, picture, startBrowser, type Browser } from './chromium.ts';

let stack: WholeStack;
let browser: Browser;
let folder: string;
const tokens = new Map<string, string>();
beforeAll(async () => {
  browser = await startBrowser();
  stack = await wholeStack();
  folder = mkdtempSync(join(tmpdir(), 'kefu-files-'));
  const { settings } = stack.state();
  const pool = connectPool(settings['DATABASE_URL'] ?? '', 'test', 1);
  for (const [id, role] of [
    ['platform', 'upstream'],
    ['li', 'agent'],
  ] as const satisfies readonly (readonly [string, Role])[]) {
    await putPerson(pool, { id: id as PersonId, name: id, roles: [role], shops: ['*'], active: true, absentUntil: null });
    tokens.set(id, await signToken({ privateKey: readFileSync(settings['JWT_PRIVATE_KEY_FILE'] ?? '', 'utf8'), subject: id, ttl: '1h' }));
  }
  await pool.end();
}, 240_000);
afterAll(async () => {
  await browser.stop();
  await stack.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

async function call<T>(who: string, method: 'GET' | 'POST', path: string, body?: object): Promise<T> {
  const answer = await fetch(`${stack.state().urls.api}/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${tokens.get(who)}`, 'content-type': 'application/json', 'accept-language': 'en' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}
const system = async <T>(path: string, body: object): Promise<T> => {
  const answer = await fetch(`${stack.state().urls.systems}/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': path },
    body: JSON.stringify(body),
  });
  return (await answer.json()) as T;
};

/** The shop asks for a return of the first line of an order; the case's id. */
async function ask(orderId: string, more: object): Promise<string> {
  const { customer, shop } = z.looseObject({ customer: z.string(), shop: z.string() }).parse(await system('orders/facts', { orderId }));
  const input = { shop, customer, orderId, requestId: 'page', requestedAt: new Date().toISOString(), lines: [{ line: 1, quantity: 1 }], evidence: [], ...more };
  return (await call<{ case: { id: string } }>('platform', 'POST', '/processes/return-exchange/cases', { input })).case.id;
}
const encoded = encodeURIComponent;
async function opened(of: string, name: string): Promise<{ id: string; context: Record<string, unknown> }> {
  let found: { id: string; name: string; context: Record<string, unknown> } | undefined;
  await until(`the task ${name} is open`, async () => {
    const { items } = await call<{ items: { id: string; name: string; context: Record<string, unknown> }[] }>(
      'platform',
      'GET',
      `/tasks?case=${encoded(of)}&status=open`,
    );
    found = items.find((task) => task.name === name);
    return found !== undefined;
  });
  if (found === undefined) throw new Error(`no task ${name}`);
  return found;
}
const decide = async (of: string, name: string, form: object): Promise<void> => {
  await call('li', 'POST', `/tasks/${encoded((await opened(of, name)).id)}/complete`, { form });
};
/** The link in the newest message that was sent about an order. */
async function linkSent(order: string): Promise<string> {
  let link = '';
  await until('a message with a link was sent', async () => {
    const answer = await fetch(`${stack.state().urls.systems}/notifications/outbox?limit=100`);
    link = new RegExp(`${order}.*?(http://[^\\s"，。]+/c/[\\w-]{38})`).exec(await answer.text())?.[1] ?? '';
    return link !== '';
  });
  return link;
}
const mustServeEverybody = async (page: Page, state: string): Promise<void> => {
  const { small, overflow } = await measure(page);
  expect({ state, findings: grave(await findings(page)), small, overflow: overflow > 0 }).toEqual({ state, findings: [], small: [], overflow: false });
};
/** Loads the page until it shows something: what the case does next is not the page's to wait for. */
const shows = (page: Page, text: string): Promise<void> =>
  until(`the page shows ${text}`, async () => {
    await page.reload();
    return page.getByText(text).first().isVisible();
  });

describe('an exchange of goods that are out of stock', () => {
  test('is followed, shown evidence of, chosen about and sent back through the page alone', async () => {
    const of = await ask('MX-2035', { reason: 'quality', wish: 'exchange' });
    const url = await linkSent('MX-2035');
    const phone = await browser.open('phone', 'zh-CN');
    await phone.goto(url);
    await phone.getByRole('heading', { name: '退换货' }).waitFor();
    await phone.getByText('换货申请').first().waitFor();
    await mustServeEverybody(phone, 'received');

    await decide(of, 'review', { decision: 'moreEvidence', what: ['photo', 'video'] });
    await shows(phone, '还需要您补充：照片和视频');
    await picture(phone, 'customer-evidence-asked-zh-phone');
    writeFileSync(join(folder, 'crack.jpg'), jpeg(180_000));
    await phone.getByLabel('选择照片或视频').setInputFiles([join(folder, 'crack.jpg')]);
    await phone.getByRole('button', { name: '上传' }).click();
    await phone.getByText('上传成功').waitFor();
    await mustServeEverybody(phone, 'uploaded');

    // The reviewer is asked again, with the evidence, and can look at it.
    let evidence: string[] = [];
    await until('the review is asked for again', async () => {
      ({ evidence } = z.looseObject({ evidence: z.array(z.string()) }).parse((await opened(of, 'review')).context));
      return evidence.length === 1;
    });
    const seen = await fetch(`${stack.state().urls.api}/v1/evidence/${evidence[0]}/look`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tokens.get('li')}`, 'content-type': 'application/json' },
      body: '{"why":"task"}',
    });
    expect((await seen.arrayBuffer()).byteLength).toBe(180_000);

    await decide(of, 'review', { decision: 'approve', reason: 'quality', remedy: 'exchange' });
    await shows(phone, '请选择处理方式');
    await mustServeEverybody(phone, 'to choose');
    await picture(phone, 'customer-choose-zh-phone');
    const desktop = await browser.open('desktop', 'en');
    await desktop.goto(`${url}?lang=en`);
    await mustServeEverybody(desktop, 'to choose, in English');
    await picture(desktop, 'customer-choose-en-desktop');
    await phone.getByLabel('改为退款').check();
    await phone.locator('section.turn').getByRole('button', { name: '提交' }).click();
    await phone.getByText('已收到您的答复').waitFor();

    await shows(phone, '填写运单号、查看进度');
    await phone.getByLabel('运单号').fill('SF-PAGE-1');
    await phone.getByLabel('您垫付的运费').fill('12.50');
    await picture(phone, 'customer-courier-zh-phone');
    await phone
      .locator('form')
      .filter({ has: phone.locator('input[value=ownCourier]') })
      .getByRole('button')
      .click();
    await phone.getByText('谢谢您告诉我们').waitFor();
    await shows(phone, '已记录您为订单 MX-2035 自行寄回的运单号 SF-PAGE-1');
    await mustServeEverybody(phone, 'on its way');
    // What people and calling systems see of it.
    const { items } = await call<{ items: { text: string }[] }>('li', 'GET', `/cases/${encoded(of)}/timeline?limit=200`);
    expect(items.map((entry) => entry.text)).toEqual(expect.arrayContaining(['the customer uploaded a photo']));
  }, 180_000);
});

describe('a return', () => {
  test('is withdrawn through the page, and says so', async () => {
    await ask('MX-2014', { reason: 'noReason', wish: 'refund' });
    const url = await linkSent('MX-2014');
    const desktop = await browser.open('desktop', 'en');
    await desktop.goto(`${url}?lang=en`);
    await picture(desktop, 'customer-follow-en-desktop');
    await desktop.getByText('Withdraw the request').click();
    await picture(desktop, 'customer-withdraw-en-desktop');
    await desktop.getByLabel('I changed my mind').check();
    await desktop.getByRole('button', { name: 'Yes, withdraw it' }).click();
    await desktop.getByText('We have your request to withdraw it.').waitFor();
    await shows(desktop, 'Withdrawn as you asked.');
    await mustServeEverybody(desktop, 'withdrawn');
    const phone = await browser.open('phone', 'zh-CN');
    await phone.goto(url);
    await picture(phone, 'customer-withdrawn-zh-phone');
  }, 120_000);
});
