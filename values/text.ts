/** Texts to people: Chinese first, English second. */
export const languages = ['zh', 'en'] as const;
export type Language = (typeof languages)[number];
export type Text = Readonly<Record<Language, string>>;
