/** The customer's page in a real Chromium, state by state: works without scripts, on a phone and on a desktop, in both languages, and for everybody. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Page } from 'playwright-core';
import { queueMessage } from '../../db/messages.ts';
import { inTransaction } from '../../db/pool.ts';
import type { CaseId } from '../../values/ids.ts';
import { instant, plus } from '../../values/instant.ts';
import { caseUrl, startApi, type ApiKit } from '../kit/api-harness.ts';
import { jpeg, png } from '../unit/files.ts';
import { findings, grave, measure, startBrowser, type Browser, type Device } from './chromium.ts';

let kit: ApiKit;
let server: Server;
let base: string;
let browser: Browser;
let folder: string;
beforeAll(async () => {
  browser = await startBrowser();
  kit = await startApi();
  server = createServer(kit.app);
  await new Promise<void>((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  folder = mkdtempSync(join(tmpdir(), 'kefu-files-'));
});
afterAll(async () => {
  await browser.stop();
  server.closeAllConnections();
  server.close();
  await kit.stop();
  rmSync(folder, { recursive: true });
});

interface Opened {
  readonly of: CaseId;
  readonly id: string;
  readonly url: string;
}
async function opened(language: 'zh' | 'en'): Promise<Opened> {
  const of = await kit.openCase();
  const { id, url } = (await kit.as('li').post(caseUrl(of, '/links'), { language })).body as { id: string; url: string };
  return { of, id, url: `${base}/c/${url.split('/c/')[1]}` };
}
/** A case in which everything that a page can show and ask is there. */
async function busy(language: 'zh' | 'en'): Promise<Opened> {
  const made = await opened(language);
  await kit.pool.query(`update cases set stage = 'first' where id = $1`, [made.of]);
  const soon = plus(instant(Date.now()), 86_400_000);
  await kit.openTask(made.of, { path: 'offer', name: 'offer', role: 'customer', expiresAt: soon });
  await kit.openTask(made.of, { path: 'agree', name: 'agree', role: 'customer' });
  await inTransaction(kit.pool, async (tx) => {
    const of = { id: made.of, shop: 'main', customer: null };
    await queueMessage(tx, of, { path: 'm1', message: 'owed', to: 'customer', data: { amount: { minor: 12_850, currency: 'CNY' }, until: soon } });
    await queueMessage(tx, of, { path: 'm2', message: 'look', to: 'customer', data: { name: 'A-1' } });
    await queueMessage(tx, of, { path: 'm3', message: 'hello', to: 'customer', data: { name: 'https://pay.example.cn/x' } });
  });
  return made;
}
const file = (name: string, bytes: Buffer): string => {
  writeFileSync(join(folder, name), bytes);
  return join(folder, name);
};

/** Everybody can use the page as it is: no serious finding, no target too small for a thumb, nothing beyond the edge, nothing that has to run. */
async function mustServeEverybody(page: Page, state: string): Promise<void> {
  const { small, overflow, scripts } = await measure(page);
  expect({ state, findings: grave(await findings(page)), small, overflow: overflow > 0, scripts }).toEqual({
    state,
    findings: [],
    small: [],
    overflow: false,
    scripts: 0,
  });
}

test('axe would say so: a page with a picture without words and text that cannot be read has grave findings', async () => {
  const page = await browser.open('desktop', 'en');
  await page.setContent(
    '<html lang="en"><title>x</title><main><h1>x</h1><img src="x.png"><p style="color:#bbb;background:#fff">pale</p><a href="/x">x</a></main>',
  );
  const found = grave(await findings(page));
  expect(found.map(({ rule }) => rule)).toEqual(expect.arrayContaining(['color-contrast', 'image-alt']));
  expect((await measure(page)).small).toHaveLength(1);
});

describe.each([
  ['phone', 'zh'],
  ['desktop', 'zh'],
  ['phone', 'en'],
  ['desktop', 'en'],
] as const)('on a %s in %s', (device: Device, language) => {
  const zh = language === 'zh';
  const open = (): Promise<Page> => browser.open(device, zh ? 'zh-CN' : 'en');

  test('everything that a case can show and ask is there, for everybody', async () => {
    const { url } = await busy(language);
    const page = await open();
    const errors: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error') errors.push(message.text());
    });
    page.on('pageerror', (error) => errors.push(error.message));
    const outside: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(base)) outside.push(request.url());
    });
    await page.goto(url);
    await mustServeEverybody(page, 'busy');
    expect(await page.locator('html').getAttribute('lang')).toBe(zh ? 'zh-CN' : 'en');
    await page
      .getByRole('group', { name: zh ? '处理方式' : 'What shall happen' })
      .getByRole('radio')
      .first()
      .waitFor();
    expect(
      await page
        .getByRole('listitem')
        .filter({ hasText: zh ? '第一步' : 'first step' })
        .getAttribute('aria-current'),
    ).toBe('step');
    // The style came, and nothing that the policy forbids was tried.
    expect(await page.locator('main section').first().evaluate('(section) => getComputedStyle(section).borderRadius')).not.toBe('0px');
    expect(errors).toEqual([]);
    expect(outside).toEqual([]);
  });

  test('an answer that is not complete is marked, keeps what was filled in, and is taken once it is', async () => {
    const { of, url } = await busy(language);
    const page = await open();
    await page.goto(url);
    const offer = page.locator('form').filter({ has: page.locator('input[value=offer]') });
    await offer.getByLabel(zh ? '补充说明' : 'Anything else').fill('轻拿轻放 <b>');
    await offer.getByRole('button').click();
    await page.getByRole('alert').waitFor();
    await mustServeEverybody(page, 'not complete');
    expect(await offer.getByLabel(zh ? '补充说明' : 'Anything else').inputValue()).toBe('轻拿轻放 <b>');
    await offer.getByLabel(zh ? '再等一次换货' : 'try the exchange again').check();
    await offer.getByLabel(zh ? '是' : 'Yes', { exact: true }).check();
    await offer.getByRole('button').click();
    await page.getByRole('status').waitFor();
    await mustServeEverybody(page, 'answered');
    expect(await page.getByRole('status').textContent()).toContain(zh ? '已收到您的答复' : 'We have your answer');
    // Loading it again sends nothing again.
    await page.reload();
    const { rows } = await kit.pool.query<{ form: unknown }>('select form from tasks where id = $1', [`${of}:offer`]);
    expect(rows).toEqual([{ form: { choice: 'again', careful: true } }]);
  });

  test('photos are uploaded; what is none is refused in words', async () => {
    const { of, url } = await opened(language);
    const page = await open();
    await page.goto(url);
    const input = page.getByLabel(zh ? '选择照片或视频' : 'Choose photos or videos');
    const send = page.getByRole('button', { name: zh ? '上传' : 'Upload' });
    await input.setInputFiles([file('not-a-photo.jpg', Buffer.from('<html>'))]);
    await send.click();
    await page.getByRole('alert').waitFor();
    await mustServeEverybody(page, 'refused');
    await input.setInputFiles([file('a.png', png), file('b.jpg', jpeg(40_000))]);
    await send.click();
    await page.getByRole('status').waitFor();
    await mustServeEverybody(page, 'uploaded');
    expect(await page.locator('.files li').count()).toBe(2);
    const waiting = page.waitForEvent('download');
    await page.locator('.files a').nth(1).click();
    const download = await waiting;
    expect(download.suggestedFilename()).toMatch(/^photo-[\w-]+\.jpg$/);
    const { rows } = await kit.pool.query<{ body: { files: string[] } }>(`select body from inbox where case_id = $1`, [of]);
    expect(rows.map((row) => row.body.files.length)).toEqual([2]);
  });

  test('a file that is too large is answered in words while it is still on its way', async () => {
    const { url } = await opened(language);
    const page = await open();
    await page.goto(url);
    await page.getByLabel(zh ? '选择照片或视频' : 'Choose photos or videos').setInputFiles([file('large.jpg', jpeg(45_000_000))]);
    await page.getByRole('button', { name: zh ? '上传' : 'Upload' }).click();
    expect(await page.getByRole('alert').textContent()).toContain('20 MB');
  });

  test('something is told, with an amount as people write it', async () => {
    const { of, url } = await busy(language);
    const page = await open();
    await page.goto(url);
    await page.getByLabel(zh ? '运单号' : 'Tracking number').fill('SF 100-1');
    await page.getByLabel(zh ? '您垫付的运费' : 'What you paid the courier').fill('¥1,012.50');
    await page
      .locator('form')
      .filter({ has: page.locator('input[value=courier]') })
      .getByRole('button')
      .click();
    await page.getByRole('status').waitFor();
    const { rows } = await kit.pool.query<{ body: unknown }>('select body from inbox where case_id = $1', [of]);
    expect(rows).toEqual([{ body: { trackingNo: 'SF 100-1', freight: { minor: 101_250, currency: 'CNY' } } }]);
  });

  test('it is withdrawn in two steps, by keyboard alone', async () => {
    const { url } = await opened(language);
    const page = await open();
    await page.goto(url);
    const press = async (name: string, key: string): Promise<void> => {
      await page.getByText(name, { exact: true }).focus();
      await page.keyboard.press(key);
    };
    await press(zh ? '撤回申请' : 'Withdraw the request', 'Enter');
    await page.waitForURL(/step=withdraw/);
    await mustServeEverybody(page, 'withdrawing');
    await page.getByRole('button').click();
    await page.getByText(zh ? '请选择一项。' : 'Choose one.').waitFor();
    await mustServeEverybody(page, 'no reason');
    await page.getByRole('radio').first().focus();
    await page.keyboard.press('Space');
    await press(zh ? '确认撤回' : 'Yes, withdraw it', 'Enter');
    await page.getByRole('status').waitFor();
    await mustServeEverybody(page, 'withdrawn');
    await page.getByText(zh ? '已收到您的撤回申请，正在处理。' : 'You asked to withdraw it; we are seeing to it.').waitFor();
  });

  test('the other language is one press away, and stays', async () => {
    const { url } = await busy(language);
    const page = await open();
    await page.goto(url);
    await page.getByRole('link', { name: zh ? 'English' : '中文' }).click();
    await page.getByRole('heading', { name: zh ? 'What we told you' : '我们的消息' }).waitFor();
    await page.getByText(zh ? 'Withdraw the request' : '撤回申请').click();
    await page.getByRole('heading', { name: zh ? 'Withdraw the request' : '撤回申请' }).waitFor();
  });

  test('a case that has ended says how; links that open nothing say what to do', async () => {
    const ended = await opened(language);
    await kit.pool.query(
      `update cases set status = 'completed', closed_at = now(), stage = 'second', outcome = '{"result": "done", "log": []}' where id = $1`,
      [ended.of],
    );
    const page = await open();
    await page.goto(ended.url);
    await page.getByText(zh ? '办完了' : 'all done').waitFor();
    await mustServeEverybody(page, 'ended');
    expect(await page.locator('form').count()).toBe(0);

    await kit.as('li').post(caseUrl(ended.of, `/links/${ended.id}/revoke`));
    expect((await page.goto(ended.url))?.status()).toBe(410);
    await page.getByRole('heading', { name: zh ? '链接已停用' : 'The link was withdrawn' }).waitFor();
    await mustServeEverybody(page, 'revoked');

    const forged = `${ended.url.slice(0, -3)}AAA`;
    expect((await page.goto(forged))?.status()).toBe(401);
    await page.getByRole('heading', { name: zh ? '链接无效' : 'The link is not valid' }).waitFor();
    await mustServeEverybody(page, 'forged');

    const short = (await kit.as('li').post(caseUrl(ended.of, '/links'), { language, expiresIn: '1ms' })).body as { url: string };
    expect((await page.goto(`${base}/c/${short.url.split('/c/')[1]}`))?.status()).toBe(410);
    await page.getByRole('heading', { name: zh ? '链接已过期' : 'The link has expired' }).waitFor();
    await mustServeEverybody(page, 'expired');
  });
});
