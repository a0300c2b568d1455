/** What cases tell people: sent once, in the reader's language, by the first channel that takes it; marketing only when it may be. */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { quietUntil, sendMessage } from '../../activities/outbox.ts';
import { openLink } from '../../db/links.ts';
import { queueMessage } from '../../db/messages.ts';
import { inTransaction } from '../../db/pool.ts';
import { crm } from '../../systems/crm/contract.ts';
import { notifications } from '../../systems/notifications/contract.ts';
import { orders } from '../../systems/orders/contract.ts';
import { BusinessError, defineSandbox, newId, type SandboxSystem } from '../../systems/sandbox/define.ts';
import type { CaseId } from '../../values/ids.ts';
import { instant, millis, parseInstant, plus, type Instant } from '../../values/instant.ts';
import { links, startKit, type Kit } from './harness.ts';
import { surroundings } from './surroundings.ts';

interface Sent {
  readonly channel: string;
  readonly to: string;
  readonly text: string;
}
const outbox: Sent[] = [];
const consenting = new Set<string>();
/** Only what these tests need of the systems; anything else that is called is a fault. */
const only = <S>(operations: Partial<S>): S => operations as S;
const contactOf = (language: 'zh' | 'en', phone: string | undefined) => ({
  customer: 'c',
  reach: { name: 'N', language, email: 'n@example.com', ...(phone === undefined ? {} : { phone }) },
});
const extra = {
  orders: defineSandbox({
    contract: orders,
    tables: '',
    undo: {},
    operations: only<SandboxSystem<typeof orders>['operations']>({
      contact: (args) =>
        Promise.resolve(
          'orderId' in args && args.orderId.includes('english')
            ? contactOf('en', undefined)
            : contactOf('zh', args && 'orderId' in args && args.orderId.includes('bad') ? 'none' : '13800000000'),
        ),
    }),
  }),
  crm: defineSandbox({
    contract: crm,
    tables: '',
    undo: {},
    operations: only<SandboxSystem<typeof crm>['operations']>({
      facts: ({ customer }) =>
        Promise.resolve({ customer, tier: 'new' as const, tenureDays: 1, orders: 1, spend: [], consent: { marketing: consenting.has(customer) } }),
    }),
  }),
  notifications: defineSandbox({
    contract: notifications,
    tables: '',
    undo: {},
    operations: {
      send: ({ channel, to, text }) => {
        if (to === 'none') throw new BusinessError('undeliverable', 'no such number');
        outbox.push({ channel, to, text });
        return Promise.resolve({ providerId: newId('m') });
      },
    },
  }),
};

let kit: Kit;
beforeAll(async () => {
  kit = await startKit(await surroundings(), extra);
});
afterAll(() => kit.stop());

/** A message of a case that waits for a decision; its id. */
async function queued(name: string, message: string, data: object, to: 'customer' | 'supervisor' = 'customer'): Promise<string> {
  const { id } = await kit.open('tiny', { id: name, shop: 's', script: 'windowed' });
  await inTransaction(kit.pool, async (tx) => queueMessage(tx, await kit.row(id), { path: 'm', message, to, data }));
  return `${id}:m`;
}
const status = async (id: string) =>
  (await kit.pool.query<{ status: string; trouble: string | null }>('select status, trouble from messages where id = $1', [id])).rows[0];

describe('a transactional message', () => {
  test('is sent once, however often its job runs', async () => {
    const id = await queued('once', 'hello', { name: 'A-1' });
    await sendMessage(kit.engine, id);
    await sendMessage(kit.engine, id);
    expect(outbox.filter((m) => m.text === '您好 A-1')).toEqual([{ channel: 'sms', to: '13800000000', text: '您好 A-1' }]);
    expect(await status(id)).toEqual({ status: 'sent', trouble: null });
  });

  test('is sent once even when the answer was lost after the system had taken it', async () => {
    const id = await queued('lost', 'hello', { name: 'A-2' });
    kit.fault('notifications', { loseAnswerAfterCommit: 1 });
    await expect(sendMessage(kit.engine, id)).rejects.toThrow('no connection');
    kit.fault('notifications', {});
    await sendMessage(kit.engine, id);
    expect((await kit.ledger('notifications', id)).map((e) => e.executions)).toEqual([1]);
  });

  test('is not sent again in other words when the answer to the first was lost: it was told, and says so', async () => {
    const id = await queued('reworded', 'hello', { name: 'A-2b' });
    kit.fault('notifications', { loseAnswerAfterCommit: 1 });
    await expect(sendMessage(kit.engine, id)).rejects.toThrow('no connection');
    kit.fault('notifications', {});
    await kit.pool.query(`update messages set data = '{"name": "A-2c"}' where id = $1`, [id]);
    await sendMessage(kit.engine, id);
    expect(outbox.filter((m) => m.text.includes('A-2b') || m.text.includes('A-2c'))).toEqual([{ channel: 'sms', to: '13800000000', text: '您好 A-2b' }]);
    expect(await status(id)).toEqual({ status: 'sent', trouble: 'inOtherWords' });
  });

  test('is in the reader’s language, and goes by the next channel when one does not take it', async () => {
    await sendMessage(kit.engine, await queued('english-1', 'hello', { name: 'A-3' }));
    expect(outbox.at(-1)).toEqual({ channel: 'email', to: 'n@example.com', text: 'Hello A-3' });
    const id = await queued('bad-1', 'hello', { name: 'A-4' });
    await sendMessage(kit.engine, id);
    expect(outbox.at(-1)).toMatchObject({ channel: 'email', text: '您好 A-4' });
  });

  test('is in the shop’s own words where the policy that its case keeps has some', async () => {
    const id = await queued('worded', 'hello', { name: 'A-6' });
    await kit.pool.query(
      `insert into policies (version, source, document)
       select 'worded', source, jsonb_set(document, '{messages,texts}', '{"tiny": {"hello": {"zh": "亲，{name}"}}}') from policies limit 1`,
    );
    await kit.pool.query(`update cases set manifest = jsonb_set(manifest, '{policy}', '"worded"') where id = (select case_id from messages where id = $1)`, [
      id,
    ]);
    await sendMessage(kit.engine, id);
    expect(outbox.at(-1)).toMatchObject({ text: '亲，A-6' });
  });

  test('to a department goes to its board, in its shop', async () => {
    await sendMessage(kit.engine, await queued('board', 'kit.caseBroken', { case: 'tiny.x' }, 'supervisor'));
    expect(outbox.at(-1)).toMatchObject({ channel: 'wecom', to: 'role:supervisor@s' });
  });

  test('to a department is told with all others of its kind that wait there, and those are not told again (CL10)', async () => {
    const before = outbox.length;
    const notice = (name: string, message = 'kit.caseBroken') => queued(name, message, { case: name }, 'supervisor');
    const [first, second, third] = [await notice('group-1'), await notice('group-2'), await notice('group-3')];
    await Promise.all([sendMessage(kit.engine, second), sendMessage(kit.engine, second)]);
    for (const id of [first, second, third]) await sendMessage(kit.engine, id);
    expect(outbox.slice(before)).toEqual([{ channel: 'wecom', to: 'role:supervisor@s', text: expect.stringContaining('group-2') }]);
    expect(outbox.at(-1)?.text).toContain('另有 2 条');
    for (const id of [first, second, third]) expect(await status(id)).toEqual({ status: 'sent', trouble: null });
    // What came later goes by itself.
    await sendMessage(kit.engine, await notice('group-4'));
    expect(outbox.slice(before + 1)).toEqual([{ channel: 'wecom', to: 'role:supervisor@s', text: expect.not.stringContaining('另有') }]);
  });

  test('is queued with its case’s record and once per path, whatever is repeated', async () => {
    const id = await queued('twice', 'hello', { name: 'A-5' });
    const of = await kit.row(id.slice(0, -2) as CaseId);
    await inTransaction(kit.pool, (tx) => queueMessage(tx, of, { path: 'm', message: 'hello', to: 'customer', data: { name: 'other' } }));
    expect((await kit.pool.query('select data from messages where id = $1', [id])).rows).toEqual([{ data: { name: 'A-5' } }]);
  });
});

describe('a message that carries the customer’s link', () => {
  const linkIn = (text: string | undefined): string => /https:\/\/service\.example\.cn\/c\/([\w-]{38})/.exec(text ?? '')?.[1] ?? '';
  const sentTo = async (id: string): Promise<string> => {
    await sendMessage(kit.engine, id);
    return linkIn(outbox.at(-1)?.text);
  };
  const caseIn = (id: string): CaseId => id.slice(0, id.lastIndexOf(':')) as CaseId;

  test('carries one that opens the case, in its language, for as long as the policy says', async () => {
    const id = await queued('link-1', 'look', { name: 'A-6', link: 'https://elsewhere.example' });
    const token = await sentTo(id);
    expect(outbox.at(-1)?.text).toBe(`订单 A-6 请在此处理：https://service.example.cn/c/${token}`);
    const opened = await openLink(kit.pool, links.keys, token, instant(Date.now()));
    expect(opened).toMatchObject({ status: 'open', link: { language: 'zh', madeBy: 'message' }, case: { id: caseIn(id) } });
    if (opened.status !== 'open') return;
    expect(Date.parse(opened.link.expiresAt) - Date.now()).toBeGreaterThan(29 * 86_400_000);
    const late = await openLink(kit.pool, links.keys, token, plus(instant(Date.now()), 31 * 86_400_000));
    expect(late.status).toBe('expired');
    expect(await sentTo(await queued('english-link', 'look', { name: 'A-7' }))).not.toBe('');
    expect(outbox.at(-1)?.text).toMatch(/^See to A-7 here: /);
  });

  test('is good for as long as the policy says, also when the clock of the process that sends it is days off', async () => {
    const now = Date.now;
    for (const [days, name] of [
      [3, 'ahead'],
      [-3, 'behind'],
    ] as const) {
      const id = await queued(`link-${name}`, 'look', { name: 'A-11' });
      const off = jest.spyOn(Date, 'now').mockImplementation(() => now() + days * 86_400_000);
      try {
        await sendMessage(kit.engine, id);
      } finally {
        off.mockRestore();
      }
      const { rows } = await kit.pool.query<{ days: number }>(
        'select extract(epoch from expires_at - now())::float8 / 86400 as days from customer_links where case_id = $1',
        [caseIn(id)],
      );
      expect(rows.map((row) => Math.round(row.days))).toEqual([30]);
    }
  });

  test('sends the same one again after a crash, and with the next message; a new one once it was revoked or is nearly over', async () => {
    const id = await queued('link-2', 'look', { name: 'A-8' });
    kit.fault('notifications', { loseAnswerAfterCommit: 1 });
    await expect(sendMessage(kit.engine, id)).rejects.toThrow('no connection');
    kit.fault('notifications', {});
    // Another text under the same key would be refused.
    const first = await sentTo(id);
    expect((await kit.ledger('notifications', id)).map((e) => e.executions)).toEqual([1]);
    const of = await kit.row(caseIn(id));
    const next = async (path: string): Promise<string> => {
      await inTransaction(kit.pool, (tx) => queueMessage(tx, of, { path, message: 'look', to: 'customer', data: { name: 'A-9' } }));
      return sentTo(`${of.id}:${path}`);
    };
    expect(await next('m2')).toBe(first);
    await kit.pool.query('update customer_links set revoked_at = now() where case_id = $1', [of.id]);
    const second = await next('m3');
    expect(second).not.toBe(first);
    await kit.pool.query(`update customer_links set expires_at = now() + interval '14 days' where case_id = $1`, [of.id]);
    expect(await next('m4')).not.toBe(second);
    expect((await openLink(kit.pool, links.keys, first, instant(Date.now()))).status).toBe('invalid');
  });

  test('is stored nowhere but in what was sent', async () => {
    const token = await sentTo(await queued('link-3', 'look', { name: 'A-10' }));
    const { rows } = await kit.pool.query(
      `select 1 from customer_links l, messages m where l::text like $1 or m::text like $1 union all select 1 from timeline t where t::text like $1`,
      [`%${token.slice(16)}%`],
    );
    expect(rows).toEqual([]);
  });
});

describe('a marketing message', () => {
  test('is not sent without consent', async () => {
    const id = await queued('marketing-1', 'goodbye', {});
    await sendMessage(kit.engine, id);
    expect(await status(id)).toMatchObject({ status: 'held' });
  });

  test('with consent is sent by day, waits for the morning by night, and counts against the cap', async () => {
    consenting.add('customer-marketing-2');
    const id = await queued('marketing-2', 'goodbye', {});
    await sendMessage(kit.engine, id);
    const { rows } = await kit.pool.query<{ run_at: Date }>(`select run_at from graphile_worker.jobs where key = $1`, [`message:${id}`]);
    const first = await status(id);
    // By night the job waits for the end of the quiet hours; by day the message is out.
    if (first?.status === 'queued') expect(rows[0]?.run_at.getTime()).toBeGreaterThan(Date.now());
    else expect(first).toMatchObject({ status: 'sent' });
    await kit.pool.query(`update messages set status = 'sent', kind = 'marketing', sent_at = now() where id = $1`, [id]);
    const second = await queued('marketing-2b', 'goodbye', {});
    await kit.pool.query(`update cases set customer = 'customer-marketing-2' where id = $1`, [second.slice(0, -2)]);
    await sendMessage(kit.engine, second);
    expect(await status(second)).toMatchObject({ status: 'held' });
  });
});

describe('quiet hours', () => {
  const zone = 'Asia/Shanghai';
  const minuteOf = (at: Instant): number => {
    const [h = 0, m = 0] = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hour: '2-digit', minute: '2-digit' }).format(new Date(at)).split(':').map(Number);
    return h * 60 + m;
  };
  test('over midnight end the next morning', () => {
    const night = { from: 21 * 60, to: 9 * 60 };
    expect(quietUntil(parseInstant('2026-11-23T21:00:00+08:00'), night, zone)).toBe(parseInstant('2026-11-24T09:00:00+08:00'));
    expect(quietUntil(parseInstant('2026-11-24T08:59:59+08:00'), night, zone)).toBe(parseInstant('2026-11-24T09:00:00+08:00'));
    expect(quietUntil(parseInstant('2026-11-24T09:00:00+08:00'), night, zone)).toBeUndefined();
  });
  test('always end at their last minute, within a day, and never in the past', () => {
    const minute = fc.integer({ min: 0, max: 1439 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2_000_000_000 }), minute, minute, (seconds, from, to) => {
        const now = instant(seconds * 1000);
        const until = quietUntil(now, { from, to }, zone);
        if (until === undefined) return;
        // China kept summer time in 1986–1991: those days are 23 or 25 hours long.
        expect(millis(until) - millis(now)).toBeGreaterThan(0);
        expect(millis(until) - millis(now)).toBeLessThanOrEqual(25 * 3_600_000);
        expect(minuteOf(until)).toBe(to);
      }),
    );
  });
});
