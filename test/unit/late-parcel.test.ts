import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { loadPolicy } from '../../policies/load.ts';
import { clockOf, policyFor, windowOf } from '../../policies/lookup.ts';
import { instant } from '../../values/instant.ts';
import { lateParcel } from '../../workflows/late-parcel/process.ts';
import { dispositions, reasonCodes } from '../../workflows/late-parcel/rules.ts';
import { loadProcesses } from '../../workflows/registry.ts';
import { checkMessages, codeText, locales, renderMessage } from '../../workflows/texts.ts';

const { policy } = loadPolicy('policies/default.yaml');
const processes = await loadProcesses();
const context = { policy: policyFor(policy, '*'), asOf: instant(0) };
const parcel = { receiptId: 'rc_1', trackingNo: 'SF1', receivedAt: '2026-11-23T02:00:00.000Z', units: [{ unitId: 'u1', sku: 'cup' }, { unitId: 'u2' }] };

describe('a process that an event opens', () => {
  const named = [...processes.values()].flatMap(({ declaration }) =>
    Object.entries(declaration.events).flatMap(([event, { afterEnd, unclaimed, payload }]) =>
      [...new Set([afterEnd, unclaimed])].flatMap((what) =>
        what?.startsWith('start:') === true ? [{ of: declaration.name, event, successor: what.slice(6), payload }] : [],
      ),
    ),
  );

  test.each(named)('$successor, by $of.$event, is there, and takes what it is opened with', ({ successor, event }) => {
    const declaration = processes.get(successor)?.declaration;
    const opened = { shop: 'main', customer: 'c', order: 'W1', of: 'return-exchange.W1.r1', event, eventId: '7', payload: parcel };
    expect(declaration?.input.safeParse(opened).success).toBe(true);
    // Of one that nobody claimed there is the event only.
    expect(declaration?.input.safeParse({ shop: '*', event, eventId: '7', payload: parcel }).success).toBe(true);
  });
  test('is named by more than one event', () => expect(named.length).toBeGreaterThan(1));
});

describe('the declaration of a late parcel', () => {
  test('names clocks and windows that the policy has', () => {
    for (const clock of Object.values(lateParcel.clocks)) expect(clockOf(policy, clock).title.zh).not.toBe('');
    for (const window of lateParcel.windows) expect(windowOf(policy, window)).toBeGreaterThan(0);
  });

  test('takes a return with each line once, and an answer for each unit once', () => {
    const line = { line: 1, quantity: 1 };
    const decide = (lines: object[]) => lateParcel.tasks.decide.form.safeParse({ decision: 'takeBack', reason: 'quality', lines }).success;
    expect([decide([line]), decide([line, line]), decide([])]).toEqual([true, false, false]);
    const unit = { unitId: 'u1', disposition: 'scrap' };
    const dispose = (units: object[]) => lateParcel.tasks.dispose.form.safeParse({ units }).success;
    expect([dispose([unit]), dispose([unit, unit]), dispose([{ ...unit, disposition: 'returnToCustomer' }])]).toEqual([true, false, false]);
  });
});

describe('what becomes of the goods of a late parcel', () => {
  const unit = fc.record({ unitId: fc.stringMatching(/^u\d$/), sku: fc.option(fc.constant('cup'), { nil: undefined }) });
  const units = fc.uniqueArray(unit, { selector: (u) => u.unitId, maxLength: 8 });
  const answer = fc.record({ unitId: fc.stringMatching(/^u\d$/), disposition: fc.constantFrom('restock' as const, 'refurbish' as const, 'scrap' as const) });
  const said = fc.uniqueArray(answer, { selector: (a) => a.unitId, maxLength: 8 });

  test('is settled or asked for again, unit by unit; nothing that is not in the parcel is touched, nothing unknown is sold', () => {
    fc.assert(
      fc.property(units, said, (here, answers) => {
        const asked = here.map(({ unitId, sku }) => ({ unitId, ...(sku === undefined ? {} : { sku }) }));
        const { settled, rest, reasons } = dispositions({ units: asked, said: answers }, context);
        expect([...settled, ...rest].map((u) => u.unitId).toSorted()).toEqual(asked.map((u) => u.unitId).toSorted());
        for (const one of settled) expect(answers).toContainEqual(one);
        for (const { unitId, disposition } of settled) if (disposition === 'restock') expect(asked.find((u) => u.unitId === unitId)).toHaveProperty('sku');
        expect(reasons.includes('allSettled')).toBe(rest.length === 0);
      }),
    );
  });
});

describe('the messages of a late parcel', () => {
  const process = processes.get('late-parcel');
  if (process === undefined) throw new Error('late-parcel is not registered');
  const texts = checkMessages(process);
  const samples = { text: 'SF1234567890', count: 2 } as const;

  test.each(lateParcel.messages.flatMap((name) => locales.map((locale) => [name, locale] as const)))(
    '%s is told in %s, with nothing left open',
    (name, locale) => {
      const kinds = Object.entries(texts.messages[name]?.data ?? {});
      const { text, to, kind } = renderMessage(process, name, Object.fromEntries(kinds.map(([key, of]) => [key, samples[of as keyof typeof samples]])), locale);
      expect(text).not.toMatch(/[{}]|undefined|null|NaN/);
      expect({ to, kind }).toEqual({ to: 'customer', kind: 'transactional' });
      expect(/\p{Script=Han}/u.test(text)).toBe(locale === 'zh-CN');
    },
  );

  test('every reason of its rule has words in both languages', () => {
    for (const code of reasonCodes) for (const locale of locales) expect(codeText(process, code, locale)).not.toBe('');
  });
});
