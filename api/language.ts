import type { Request } from 'express';
import { z } from 'zod';
import { languages, type Language } from '../values/text.ts';

export type { Language, Text } from '../values/text.ts';

/** The language a caller asks for by `?language=`, else by Accept-Language; Chinese when they say nothing. */
export function languageOf(request: Request): Language {
  const asked = languages.find((language) => language === request.query['language']);
  return asked ?? (request.acceptsLanguages('zh-CN', 'zh', 'en') === 'en' ? 'en' : 'zh');
}
/** The parameter of routes whose answers are sentences: for a link that a person opens. */
export const inLanguageOf = { language: z.enum(languages).optional().describe('Of the sentences; default: Accept-Language') };

/** zod's own words for what does not fit, in the caller's language. */
const fieldTexts = { zh: z.locales.zhCN().localeError, en: z.locales.en().localeError } as const satisfies Record<Language, z.core.$ZodErrorMap>;

/** How to parse so that messages are in a language. Schemas that bring a message of their own keep it. */
export const inLanguage = (language: Language): { readonly error: z.core.$ZodErrorMap } => ({ error: fieldTexts[language] });
