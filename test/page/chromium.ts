/** A real Chromium on a page of ours: as a phone or a desktop, in a language; what it shows is checked for who cannot see or point well. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe, { type AxeResults } from 'axe-core';
import { chromium, type BrowserContext, type Page } from 'playwright-core';

const known = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/usr/bin/google-chrome-stable'];
const remedy = 'Install it (apt-get install chromium fontconfig fonts-noto-cjk), or set CHROMIUM to the path of another.';

/** Where Chromium is. Throws, saying what to install, when there is none, or no font for Chinese: the pages would be boxes. */
export function chromiumPath(): string {
  const given = process.env['CHROMIUM'];
  const found = given ?? known.find((path) => existsSync(path));
  if (found === undefined || !existsSync(found))
    throw new Error(`The page is tested in Chromium, and there is none${given === undefined ? '' : ` at ${given}`}. ${remedy}`);
  if (!hasChineseFont()) throw new Error(`The page is tested with Chinese text, and there is no font for it. ${remedy}`);
  return found;
}

function hasChineseFont(): boolean {
  try {
    return execFileSync('fc-list', [':lang=zh-cn', 'family'], { encoding: 'utf8' }).trim() !== '';
  } catch {
    // No fontconfig: then Chromium finds no font either.
    return false;
  }
}

export const devices = {
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
  desktop: { viewport: { width: 1280, height: 800 } },
} as const;
export type Device = keyof typeof devices;

/** Pictures for the documents are taken when asked for: `npm run screenshots`. */
const pictures = process.env['SCREENSHOTS'] === '1' ? new URL('../../docs/screenshots/', import.meta.url).pathname : undefined;

export interface Browser {
  /** A window of its own: cookies, cache, language. */
  open(device: Device, language: 'zh-CN' | 'en'): Promise<Page>;
  stop(): Promise<void>;
}

export async function startBrowser(): Promise<Browser> {
  const folder = await mkdtemp(join(tmpdir(), 'kefu-chromium-'));
  const browser = await chromium.launch({
    executablePath: chromiumPath(),
    // Whatever it would ask of the world beside our page it cannot ask here.
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
    env: { ...process.env, HOME: folder },
  });
  const contexts: BrowserContext[] = [];
  return {
    async open(device, language) {
      const context = await browser.newContext({ ...devices[device], locale: language, timezoneId: 'Asia/Shanghai' });
      contexts.push(context);
      // No function of the page may need a script: it has none to run.
      const page = await context.newPage();
      page.setDefaultTimeout(20_000);
      return page;
    },
    async stop() {
      for (const context of contexts) await context.close();
      await browser.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface Finding {
  readonly rule: string;
  readonly impact: string;
  readonly where: readonly string[];
}
/** What axe finds wrong with the page as it is. Serious and critical findings keep somebody out. */
export async function findings(page: Page): Promise<Finding[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<AxeResults>('axe.run()');
  return violations.map(({ id, impact, nodes }) => ({ rule: id, impact: impact ?? 'none', where: nodes.map(({ html }) => html.slice(0, 200)) }));
}
export const grave = (all: readonly Finding[]): Finding[] => all.filter(({ impact }) => impact === 'serious' || impact === 'critical');

export interface Measured {
  /** Links, buttons and fields that a thumb would miss: lower or narrower than 44 px. */
  readonly small: readonly string[];
  /** How far the page reaches beyond the window's right edge, in px. */
  readonly overflow: number;
  readonly scripts: number;
}
// What runs in the page is a text: it is the browser's, and knows nothing of this module.
export const measure = (page: Page): Promise<Measured> =>
  page.evaluate<Measured>(`(() => {
    const targets = [...document.querySelectorAll('a:not(.skip), button, input:not([type=hidden]):not([type=radio]), select, textarea, label.choice')];
    const small = targets.flatMap((target) => {
      const { width, height } = target.getBoundingClientRect();
      // A link within a sentence is text.
      return (height < 44 || width < 44) && target.closest('.told') === null ? [target.outerHTML.slice(0, 80) + ' ' + Math.round(width) + ' x ' + Math.round(height)] : [];
    });
    return { small, overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth, scripts: document.scripts.length };
  })()`);

/** Keeps a picture of the page for the documents, when asked to. */
export async function picture(page: Page, name: string): Promise<void> {
  if (pictures === undefined) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
}
