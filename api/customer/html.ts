/** HTML that is escaped unless it was written here: a value in a template is text. */

export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Value = Html | string | number | false | null | undefined | readonly Value[];

const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (sign) => escapes[sign] ?? '');

function shown(value: Value): string {
  if (value instanceof Html) return value.text;
  if (typeof value === 'string' || typeof value === 'number') return escaped(String(value));
  if (value === false || value === null || value === undefined) return '';
  return value.map(shown).join('');
}

/** Values are escaped, in text and in quoted attributes; HTML of this kind stays as it is; `false` and nothing leave nothing. */
export const html = (strings: TemplateStringsArray, ...values: readonly Value[]): Html =>
  new Html(strings.map((text, i) => text + (i < values.length ? shown(values[i]) : '')).join(''));
