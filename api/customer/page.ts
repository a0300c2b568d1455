/** The customer's page: HTML made on the server, that works without scripts. Generic: what it shows and asks comes from the case's process. */
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { formToken, linkUrl, type Link, type LinkMaking } from '../../db/links.ts';
import { parseInstant } from '../../values/instant.ts';
import { instantText, localeOf } from '../../workflows/texts.ts';
import type { Language, Text } from '../language.ts';
import { filled, problemBody, type Problem } from '../problems.ts';
import type { Reply } from '../route.ts';
import type { Follow, Followed, Put } from './follow.ts';
import { html, type Html } from './html.ts';
import type { Answering, Question, Sent } from './questions.ts';
import { done, problemText, texts, unclear, withdrawReasons, type Done } from './texts.ts';

export const style = readFileSync(new URL('./page.css', import.meta.url), 'utf8');
/** In the style's address, so that a new one is fetched and an old one is kept. */
const styleVersion = createHash('sha256').update(style).digest('hex').slice(0, 12);

/** A page loads our style and nothing else, runs nothing, sends its forms to us alone, and is shown nowhere else. */
export const pagePolicy = {
  'Content-Security-Policy': "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'X-Robots-Tag': 'noindex, nofollow',
} as const;

/** Where the page lives on this server: below the path of its public address, which a proxy may have put before it. */
export const pathOf = (links: LinkMaking, link: Pick<Link, 'id' | 'caseId' | 'expiresAt'>): string => new URL(linkUrl(links, link)).pathname;
const stylePath = ({ publicUrl }: LinkMaking): string => `${new URL(publicUrl).pathname.replace(/\/$/, '')}/c/page.css?v=${styleVersion}`;

/** What was sent and not taken: which form, why, and what stood in it. */
export interface NotTaken {
  readonly problem: Problem;
  /** `task:<path>`, `event:<name>`, `evidence`, `withdraw`. */
  readonly of?: string | undefined;
  readonly way?: number | undefined;
  readonly unclear?: readonly string[];
  readonly sent?: Sent;
}

export interface Shown {
  readonly links: LinkMaking;
  readonly link: Link;
  readonly language: Language;
  readonly followed: Followed;
  /** The second step of a withdrawal. */
  readonly withdrawing?: boolean;
  readonly done?: Done | undefined;
  readonly notTaken?: NotTaken | undefined;
}

const say = (text: Text, language: Language): string => text[language];
const tag = (language: Language): string => (language === 'zh' ? 'zh-CN' : 'en');

function document(language: Language, title: string, links: LinkMaking, body: Html): string {
  return html`<!doctype html>
    <html lang="${tag(language)}">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="robots" content="noindex, nofollow" />
        <meta name="format-detection" content="telephone=no" />
        <title>${title}</title>
        <link rel="stylesheet" href="${stylePath(links)}" />
      </head>
      <body>
        ${body}
      </body>
    </html> `.text;
}

/** What a problem means, in a customer's words. */
function problemWords(problem: Problem, language: Language): { readonly title: string; readonly detail: string } {
  const { title, detail } = problemBody(problem, language, '');
  const own = problemText(problem.code, language);
  return { title, detail: own === undefined ? detail : filled(own, problem) };
}

/** The page where there is no case to show: a link that opens nothing, an outage. */
export function failurePage(problem: Problem, language: Language, links: LinkMaking): string {
  const { title, detail } = problemWords(problem, language);
  return document(
    language,
    title,
    links,
    html`<main id="main" class="alone">
      <h1>${title}</h1>
      <p>${detail}</p>
    </main>`,
  );
}

export function page(shown: Shown): Reply {
  const { links, language, followed, notTaken, withdrawing } = shown;
  const { view } = followed;
  const title = view.order === null ? view.title : `${view.title} · ${say(texts.order, language)} ${view.order}`;
  const content = withdrawing === true && view.withdrawal === 'possible' ? withdrawalStep(shown) : caseContent(shown);
  return {
    status: notTaken === undefined ? 200 : problemBody(notTaken.problem, language, '').status,
    type: 'text/html',
    headers: { ...pagePolicy, ...notTaken?.problem.headers },
    body: document(
      language,
      notTaken === undefined ? title : `${say(texts.failed, language)} · ${title}`,
      links,
      html`<a class="skip" href="#main">${say(texts.skip, language)}</a>
        ${heading(shown)}
        <main id="main">${notices(shown)} ${content}</main>
        <footer><p>${say(texts.privacy, language)}</p></footer>`,
    ),
  };
}

/** The page's own address, in this language or another; only what differs from the link's own is said. */
function address({ links, link }: Shown, language: Language, more: Readonly<Record<string, string>> = {}, below = ''): string {
  const query = new URLSearchParams({ ...(language === link.language ? {} : { lang: language }), ...more }).toString();
  return `${pathOf(links, link)}${below}${query === '' ? '' : `?${query}`}`;
}
/** Where a browser goes once something was done: asking for the page again sends nothing twice. */
export const afterwards = (shown: Pick<Shown, 'links' | 'link' | 'language'>, what: Done): string => address(shown as Shown, shown.language, { done: what });
export const home = (shown: Pick<Shown, 'links' | 'link' | 'language'>): string => address(shown as Shown, shown.language);

function heading(shown: Shown): Html {
  const { language, followed } = shown;
  const { view } = followed;
  const other = language === 'zh' ? 'en' : 'zh';
  const facts = [
    ...(view.order === null
      ? []
      : [
          html`<div>
            <dt>${say(texts.order, language)}</dt>
            <dd>${view.order}</dd>
          </div>`,
        ]),
    html`<div>
      <dt>${say(texts.since, language)}</dt>
      <dd>${when(view.openedAt, language)}</dd>
    </div>`,
    ...(view.closedAt === null
      ? []
      : [
          html`<div>
            <dt>${say(texts.until, language)}</dt>
            <dd>${when(view.closedAt, language)}</dd>
          </div>`,
        ]),
  ];
  return html`<header>
    <nav aria-label="${say(texts.languages, language)}">
      <a href="${address(shown, other)}" lang="${tag(other)}" hreflang="${tag(other)}">${say(texts.other, language)}</a>
    </nav>
    <h1>${view.title}</h1>
    <dl class="facts">${facts}</dl>
  </header>`;
}

const when = (at: string, language: Language): Html => html`<time datetime="${at}">${instantText(parseInstant(at), localeOf(language))}</time>`;

function notices({ language, done: what, notTaken }: Shown): Html {
  if (notTaken !== undefined)
    return html`<div class="notice bad" role="alert">
      <h2>${say(texts.failed, language)}</h2>
      <p>${problemWords(notTaken.problem, language).detail}</p>
    </div>`;
  return what === undefined ? html`` : html`<p class="notice good" role="status">${say(done[what], language)}</p>`;
}

function caseContent(shown: Shown): Html {
  const { view } = shown.followed;
  return html`${view.outcome && outcome(view.outcome, shown.language)} ${view.tasks.map((task) => taskSection(shown, task))} ${progress(view, shown.language)}
  ${view.events.map((event) => eventSection(shown, event))} ${evidenceSection(shown)} ${ownWords(shown)} ${messages(shown)} ${withdrawal(shown)}`;
}

const outcome = ({ text }: NonNullable<Follow['outcome']>, language: Language): Html =>
  html`<section class="outcome">
    <h2>${say(texts.outcome, language)}</h2>
    <p>${text}</p>
  </section>`;

function progress({ stages }: Follow, language: Language): Html {
  if (stages.length === 0) return html``;
  const items = stages.map(
    ({ title, state }) =>
      html`<li class="${state}" ${state === 'current' && html` aria-current="step"`}><span>${title}</span> <small>${say(texts[state], language)}</small></li>`,
  );
  return html`<section>
    <h2>${say(texts.progress, language)}</h2>
    <ol class="stages">
      ${items}
    </ol>
  </section>`;
}

function messages({ links, link, language, followed }: Shown): Html {
  const { told } = followed.view;
  const own = linkUrl(links, link);
  const items = told.toReversed().map(
    ({ at, text }) =>
      html`<li>
        ${when(at, language)}
        <p>${withLinks(text, own, language)}</p>
      </li>`,
  );
  return html`<section>
    <h2>${say(texts.told, language)}</h2>
    ${
      items.length > 0
        ? html`<ol class="told" reversed>
            ${items}
          </ol>`
        : html`<p>${say(texts.nothingTold, language)}</p>`
    }
  </section>`;
}

/** The customer's own words, for them alone. */
function ownWords({ language, followed }: Shown): Html {
  const { said } = followed.view;
  if (said.length === 0) return html``;
  return html`<section>
    <h2>${say(texts.said, language)}</h2>
    <ol class="told">
      ${said.map(
        ({ at, text }) =>
          html`<li>
            ${when(at, language)}
            <p>${text}</p>
          </li>`,
      )}
    </ol>
  </section>`;
}

/** Addresses in a message can be followed, that of a payment, say; the one of this page is named. */
const withLinks = (text: string, own: string, language: Language): Html[] =>
  text
    .split(/(https?:\/\/[^\s，。；、）)]+)/)
    .map((part, i) =>
      i % 2 === 0 ? html`${part}` : part === own ? html`${say(texts.thisPage, language)}` : html`<a href="${part}" rel="noreferrer">${part}</a>`,
    );

/** A form's hidden part: that it is ours, and what it is about. */
const hidden = ({ links, link }: Shown, fields: Readonly<Record<string, string>>): Html =>
  html`<input type="hidden" name="csrf" value="${formToken(links.keys, link)}" />${Object.entries(fields).map(
      ([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`,
    )}`;

function taskSection(shown: Shown, { task, title, expiresAt }: Follow['tasks'][number]): Html {
  const { language, followed } = shown;
  const by = expiresAt === null ? undefined : html`<p class="due">${say(texts.answerBy, language)} ${when(expiresAt, language)}</p>`;
  return html`<section class="turn">
    <p class="tag">${say(texts.yourTurn, language)}</p>
    <h2>${title}</h2>
    ${by}${forms(shown, `task:${task}`, title, followed.tasks.get(task), {
      do: 'complete',
      of: task,
    })}
  </section>`;
}

function eventSection(shown: Shown, { event, title }: Follow['events'][number]): Html {
  const { language, followed } = shown;
  return html`<section>
    <p class="tag">${say(texts.tellUs, language)}</p>
    <h2>${title}</h2>
    ${forms(shown, `event:${event}`, title, followed.events.get(event), {
      do: 'event',
      of: event,
      // Of this page alone: a form that is sent twice is one event.
      eventId: randomUUID(),
    })}
  </section>`;
}

/** One form per way to answer. */
function forms(shown: Shown, of: string, title: string, put: Put | undefined, fields: Readonly<Record<string, string>>): Html {
  const { language, notTaken } = shown;
  if (put?.ways === undefined) return html`<p>${say(texts.cannotAsk, language)}</p>`;
  return html`${put.ways.map((way, i) => {
    const again = notTaken?.of === of && (notTaken.way ?? 0) === i ? notTaken : undefined;
    // Names of fields may be the same in two forms; ids may not.
    const id = `${of}-${i}`.replaceAll(/[^\w-]/g, '-');
    return html`<form method="post" action="${address(shown, language)}" novalidate>
      ${hidden(shown, { ...fields, way: String(i) })}
      ${way.questions.map((question) => field(shown, id, put, question, way.questions.length === 1 ? title : undefined, again))}
      <button type="submit">${label(way, put) ?? say(way.questions.length === 0 ? texts.confirm : texts.submit, language)}</button>
    </form>`;
  })}`;
}

/** What is fixed is what the button says: 同意, 不同意. */
function label({ fixed }: Answering, put: Put): string | undefined {
  const [first] = Object.entries(fixed);
  return first && put.words(String(first[1]), first[0]);
}

/** `title`: what a question without a name of its own asks. */
function field(shown: Shown, form: string, put: Put, question: Question, title: string | undefined, again: NotTaken | undefined): Html {
  const { language, followed } = shown;
  const id = `${form}-${question.name}`;
  const was = again?.sent?.[question.name] ?? '';
  const wrong = again?.unclear?.includes(question.name) === true;
  const name = `a.${question.name}`;
  const error = wrong && html`<p class="error" id="${id}-error">${unclearText(question, language)}</p>`;
  const described = wrong && html` aria-invalid="true" aria-describedby="${id}-error"`;
  const known = fieldName(put, question);
  // The title above has said it; who cannot see the page hears it again.
  const named = html`${known ?? html`<span class="heard">${title ?? question.name}</span>`}${!question.required && html` <small>(${say(texts.optional, language)})</small>`}`;
  const required = question.required && html` required`;
  switch (question.kind) {
    case 'choice':
    case 'yesNo': {
      const options =
        question.kind === 'choice'
          ? question.options.map((code) => [code, put.words(code, question.name)] as const)
          : (['yes', 'no'] as const).map((code) => [code, say(texts[code], language)] as const);
      return html`<fieldset${wrong && html` aria-describedby="${id}-error"`}><legend>${named}</legend>${error}${options.map(
        ([code, word]) =>
          html`<label class="choice"
            ><input type="radio" name="${name}" value="${code}" ${was === code && html` checked`}${required} /> <span>${word}</span></label
          >`,
      )}</fieldset>`;
    }
    case 'text':
      return html`<div class="field">
        <label for="${id}">${named}</label>${error}${
          question.long
            ? html`<textarea id="${id}" name="${name}" rows="4" maxlength="${question.most}" ${required}${described}>${was}</textarea>`
            : html`<input id="${id}" name="${name}" type="text" maxlength="${question.most}" value="${was}" autocomplete="off" ${required}${described} />`
        }
      </div>`;
    case 'number':
      return html`<div class="field">
        <label for="${id}">${named}</label>${error}<input id="${id}" name="${name}" type="text" inputmode="decimal" value="${was}" ${required}${described} />
      </div>`;
    case 'money': {
      const { currencies } = followed;
      const chosen = again?.sent?.[`${question.name}.currency`] ?? currencies[0];
      return html`<div class="field">
        <label for="${id}">${named}</label>${error}
        <div class="amount">
          <input
            id="${id}"
            name="${name}"
            type="text"
            inputmode="decimal"
            placeholder="${say(texts.amountHint, language)}"
            value="${was}"
            ${required}${described}
          /><select name="${name}.currency" aria-label="${say(texts.currency, language)}">
            ${currencies.map((code) => html`<option value="${code}" ${code === chosen && html` selected`}>${currencyName(code, language)}</option>`)}
          </select>
        </div>
      </div>`;
    }
  }
}

const fieldName = (put: Put, { name }: Question): string | undefined => {
  const known = put.words(`${name}:`);
  return known === `${name}:` ? undefined : known;
};
const currencyName = (code: string, language: Language): string => `${new Intl.DisplayNames([tag(language)], { type: 'currency' }).of(code) ?? code} (${code})`;

function unclearText(question: Question, language: Language): string {
  return say(unclear[question.kind], language).replace('{most}', question.kind === 'text' ? String(question.most) : '');
}

function size(bytes: number, language: Language): string {
  const [unit, by] = bytes >= 100_000 ? (['megabyte', 1_000_000] as const) : (['kilobyte', 1000] as const);
  return new Intl.NumberFormat(localeOf(language), { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: 1 }).format(bytes / by);
}

function evidenceSection(shown: Shown): Html {
  const { language, followed, notTaken } = shown;
  const { evidence, upload } = followed.view;
  if (evidence.length === 0 && upload === null) return html``;
  const files = evidence.map(
    ({ id, kind, bytes, at }, i) =>
      html`<li>
        <span>${say(texts[kind], language)} ${i + 1} · ${size(bytes, language)} · ${when(at, language)}</span>
        <a href="${address(shown, language, {}, `/evidence/${id}`)}" aria-label="${say(texts.view, language)}: ${say(texts[kind], language)} ${i + 1}" download
          >${say(texts.view, language)}</a
        >
      </li>`,
  );
  const wrong = notTaken?.of === 'evidence';
  const form =
    upload &&
    html`<form method="post" action="${address(shown, language, {}, '/evidence')}" enctype="multipart/form-data" novalidate>
      ${hidden(shown, {})}
      <div class="field">
        <label for="file">${say(texts.choose, language)}</label>
        <p class="hint" id="file-hint">${limits(upload, language)}</p>
        ${wrong && html`<p class="error" id="file-error">${problemWords(notTaken.problem, language).detail}</p>`}
        <input
          id="file"
          name="file"
          type="file"
          multiple
          accept="${upload.types.join(',')}"
          required
          aria-describedby="file-hint${wrong && ' file-error'}"
          ${wrong && html` aria-invalid="true"`}
        />
      </div>
      <button type="submit" class="second">${say(texts.upload, language)}</button>
    </form>`;
  return html`<section id="evidence">
    <h2>${say(texts.evidence, language)}</h2>
    ${
      files.length > 0
        ? html`<ul class="files">
            ${files}
          </ul>`
        : html`<p>${say(texts.noEvidence, language)}</p>`
    }${form}
  </section>`;
}

const limits = ({ left, photoMegabytes, videoMegabytes }: NonNullable<Follow['upload']>, language: Language): string =>
  language === 'zh'
    ? `照片最大 ${photoMegabytes} MB，视频最大 ${videoMegabytes} MB，还可上传 ${left} 个文件。`
    : `Photos up to ${photoMegabytes} MB, videos up to ${videoMegabytes} MB; ${left} more file${left === 1 ? '' : 's'} can be uploaded.`;

function withdrawal(shown: Shown): Html {
  const { language, followed } = shown;
  switch (followed.view.withdrawal) {
    case 'possible':
      return html`<section class="last">
        <a class="button quiet" href="${address(shown, language, { step: 'withdraw' })}">${say(texts.withdraw, language)}</a>
      </section>`;
    case 'asked':
      return html`<section class="last"><p>${say(texts.withdrawAsked, language)}</p></section>`;
    case 'no':
      return html``;
  }
}

/** The second step: nobody withdraws by a slip of the thumb. */
function withdrawalStep(shown: Shown): Html {
  const { language, notTaken } = shown;
  const wrong = notTaken?.of === 'withdraw' && notTaken.unclear?.includes('reason') === true;
  return html`<section><h2>${say(texts.withdraw, language)}</h2><p>${say(texts.withdrawReally, language)}</p>
<form method="post" action="${address(shown, language)}" novalidate>
${hidden(shown, { do: 'withdraw' })}
<fieldset${wrong && html` aria-describedby="reason-error"`}><legend>${say(texts.withdrawWhy, language)}</legend>${
    wrong && html`<p class="error" id="reason-error">${say(unclear.choice, language)}</p>`
  }${Object.entries(withdrawReasons).map(
    ([code, word]) => html`<label class="choice"><input type="radio" name="a.reason" value="${code}" required /> <span>${say(word, language)}</span></label>`,
  )}</fieldset>
<button type="submit" class="danger">${say(texts.withdrawYes, language)}</button>
<a class="button quiet" href="${address(shown, language)}">${say(texts.withdrawNo, language)}</a>
</form></section>`;
}
