import type { Request } from 'express';
import { z } from 'zod';
import type { Language } from '../values/text.ts';

export type { Language, Text } from '../values/text.ts';

/** The language a caller asks for by Accept-Language; Chinese when they say nothing. */
export const languageOf = (request: Request): Language => (request.acceptsLanguages('zh-CN', 'zh', 'en') === 'en' ? 'en' : 'zh');

/** zod's own words for what does not fit, in the caller's language. */
const fieldTexts = { zh: z.locales.zhCN().localeError, en: z.locales.en().localeError } as const satisfies Record<Language, z.core.$ZodErrorMap>;

/** How to parse so that messages are in a language. Schemas that bring a message of their own keep it. */
export const inLanguage = (language: Language): { readonly error: z.core.$ZodErrorMap } => ({ error: fieldTexts[language] });
