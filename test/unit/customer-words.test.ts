/** Whatever a process asks its customers can be asked on the page, in words. */
import { describe, expect, test } from '@jest/globals';
import { customerEvents } from '../../api/customer/follow.ts';
import { answerings } from '../../api/customer/questions.ts';
import { readerOf, wordOf } from '../../api/sentences.ts';
import { systems } from '../../systems/index.ts';
import { loadProcesses } from '../../workflows/registry.ts';

const processes = await loadProcesses();

describe.each([...processes])('%s', (name, { declaration }) => {
  const forms = [
    ...Object.entries(declaration.tasks).flatMap(([task, { role, form }]) => (role === 'customer' ? [[task, form] as const] : [])),
    ...customerEvents(declaration.events).map(([event, { payload }]) => [event, payload] as const),
  ];

  test('puts to its customers only what a page can ask', () => {
    expect(forms.filter(([, form]) => answerings(form) === undefined).map(([of]) => of)).toEqual([]);
  });

  test('has words in both languages for every field and every choice of those', () => {
    const wanting = (['zh', 'en'] as const).flatMap((language) => {
      const reader = readerOf({ process: name, shop: '' }, { processes, systems }, language);
      return forms.flatMap(([of, form]) =>
        (answerings(form) ?? []).flatMap(({ fixed, questions }) => [
          ...Object.entries(fixed).flatMap(([field, code]) =>
            wordOf(reader, String(code), field) === undefined ? [`${language} ${of}: ${field}.${code}`] : [],
          ),
          ...questions.flatMap((question) => [
            // A single question is what its title asks.
            ...(questions.length > 1 && wordOf(reader, `${question.name}:`) === undefined ? [`${language} ${of}: ${question.name}:`] : []),
            ...(question.kind === 'choice' ? question.options : []).flatMap((code) =>
              wordOf(reader, code, question.name) === undefined ? [`${language} ${of}: ${question.name}.${code}`] : [],
            ),
          ]),
        ]),
      );
    });
    expect(wanting).toEqual([]);
  });

  test('names an event of its own for evidence, that takes ids of files', () => {
    const { evidence, events } = declaration;
    if (evidence !== undefined) expect(events[evidence]?.payload.safeParse({ files: ['an-id'] })).toMatchObject({ success: true });
    else expect(evidence).toBeUndefined();
  });
});
