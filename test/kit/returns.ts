/** The people and systems around a return, for tests: customers buy and ask, people decide, carriers scan, the warehouse receives, banks report. */
import { couponsSandbox } from '../../systems/coupons/sandbox.ts';
import { crmSandbox } from '../../systems/crm/sandbox.ts';
import { financeSandbox } from '../../systems/finance/sandbox.ts';
import type { TrackingState } from '../../systems/logistics/contract.ts';
import { logisticsSandbox } from '../../systems/logistics/sandbox.ts';
import { loadShop, type ShopOrder } from '../../systems/orders/load.ts';
import { ordersSandbox } from '../../systems/orders/sandbox.ts';
import type { AnySandbox } from '../../systems/sandbox/define.ts';
import { warehouseSandbox } from '../../systems/warehouse/sandbox.ts';
import type { CaseId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import type { Role } from '../../values/role.ts';
import { locales, renderMessage } from '../../workflows/texts.ts';
import { timeSkipping } from '../stack/env.ts';
import { startKit, type Kit, type Surroundings } from './harness.ts';
import { surroundings } from './surroundings.ts';

export const day = 86_400_000;
export const cny = (minor: number) => ({ minor, currency: 'CNY' });
const shop = 'shop-1';
/** A pot is dearer than a cup, a pan cheaper. */
const sku = { cup: 'cup-1', pot: 'pot-1', pan: 'pan-1' } as const;
const priceOf = { cup: 10_000, pot: 13_000, pan: 7_000 } as const;
export type Sku = keyof typeof sku;

interface Bought {
  readonly lines?: readonly (readonly [of: Sku, quantity: number, price: number])[];
  readonly payments?: readonly (readonly [method: 'card' | 'wallet' | 'giftCard', minor: number])[];
  readonly freight?: number;
  readonly discounts?: ShopOrder['discounts'];
  readonly invoiced?: boolean;
  /** Default: somebody who has never bought before. */
  readonly customer?: string;
}

interface Asked {
  readonly reason?: string;
  readonly wish?: string;
  readonly lines?: readonly { readonly line: number; readonly quantity: number; readonly opened?: boolean; readonly replacement?: string }[];
  readonly evidence?: readonly string[];
  readonly received?: object;
}
type RefundState = 'accepted' | 'arrived' | 'failed';
export type Remedy = 'refund' | 'refundOnly' | 'exchange' | 'reissue';

const address = { country: '中国', province: '浙江', city: '杭州', street: '1' };

/** A kit with the systems that a return calls, and a shop. Their own timers stand still: what they report, the test says. */
export async function startReturns(around: Surroundings): Promise<Kit> {
  const systems: Readonly<Record<string, AnySandbox>> = {
    orders: ordersSandbox,
    warehouse: warehouseSandbox,
    finance: financeSandbox({ settleMs: day }),
    logistics: logisticsSandbox({ pickUpMs: null }),
    coupons: couponsSandbox,
    crm: crmSandbox,
  };
  const kit = await startKit(around, systems);
  await loadShop(kit.pool, {
    source: 'test',
    customers: [],
    products: (Object.keys(sku) as Sku[]).map((of) => ({
      sku: sku[of],
      productId: of,
      shop,
      name: of,
      category: 'kitchen',
      options: {},
      price: cny(priceOf[of]),
      exceptions: [],
      onHand: 100,
    })),
    orders: [],
    templates: [],
  });
  return kit;
}

/** Returns on a Temporal of their own that skips time. */
export async function returnsInTime() {
  const world = await timeSkipping();
  const kit = await startReturns({ ...(await surroundings()), temporal: { address: world.address, namespace: 'default', skipsTime: true } });
  return {
    kit,
    /** Moves time on, whatever waits. */
    skip: (ms: number): Promise<void> => world.sleep(ms),
    r: returnsOf(kit, () => world.currentTimeMs()),
    /** Moves time on, once the case waits for it: a window that opens while time is skipped would count from the other end. */
    pass: async (of: CaseId, ms: number): Promise<void> => {
      const pending = async () =>
        (await kit.history(of)).reduce(
          (so, e) => so + (e.timerStartedEventAttributes ? 1 : e.timerFiredEventAttributes || e.timerCanceledEventAttributes ? -1 : 0),
          0,
        );
      await kit.until(`a timer of ${of}`, pending, (timers) => timers > 0);
      await world.sleep(ms);
    },
    stop: async (): Promise<void> => {
      await kit.stop();
      await world.teardown();
    },
  };
}
export type ReturnsInTime = Awaited<ReturnType<typeof returnsInTime>>;

/** What a test says and sees of returns. `now` is the clock that the cases run on. */
export function returnsOf(kit: Kit, now: () => Promise<number>) {
  let count = 0;
  const customerOf = new Map<string, string>();

  async function buy({
    lines = [['cup', 1, 10_000]],
    freight = 0,
    payments,
    discounts = [],
    invoiced = false,
    customer = `c_${++count}`,
  }: Bought = {}): Promise<string> {
    const orderId = `W${++count}`;
    customerOf.set(orderId, customer);
    const listed = lines.map(([of, quantity, price], i) => ({
      line: i + 1,
      sku: sku[of],
      productId: of,
      name: of,
      category: 'kitchen',
      quantity,
      unitPrice: cny(price),
      listTotal: cny(price * quantity),
      returned: 0,
      exceptions: [],
    }));
    const total = listed.reduce((so, l) => so + l.listTotal.minor, freight) - discounts.reduce((so, d) => so + d.amount.minor, 0);
    const moment = await now();
    const order: ShopOrder = {
      orderId,
      shop,
      customer,
      currency: 'CNY',
      status: 'delivered',
      placedAt: instant(moment - 5 * day),
      paidAt: instant(moment - 5 * day),
      signedAt: instant(moment - 2 * day),
      lines: listed,
      discounts,
      ...(invoiced ? { invoice: { invoiceNo: `inv-${orderId}`, title: 'A', amount: cny(total), issuedAt: instant(moment - 5 * day) } } : {}),
      freight: { paid: cny(freight), returnInsured: false },
      total: cny(total),
      payments: (payments ?? [['card', total]]).map(([method, minor], i) => ({
        paymentId: `p${i + 1}`,
        method,
        amount: cny(minor),
        refunded: cny(0),
        paidAt: instant(moment - 5 * day + i),
      })),
      trackingNos: [],
      address,
    };
    const who = { customer, shop, account: 'a', reach: { name: 'A', language: 'zh' as const }, address, tier: 'new' as const, marketing: false };
    await loadShop(kit.pool, { source: 'test', customers: [who], products: [], orders: [order], templates: [] });
    return orderId;
  }

  async function ask(
    orderId: string,
    { reason = 'quality', wish = 'refund', lines = [{ line: 1, quantity: 1 }], evidence = ['photo-1'], received }: Asked = {},
  ): Promise<CaseId> {
    const requestedAt = instant(await now());
    const customer = customerOf.get(orderId) ?? 'c_unknown';
    const input = { shop, customer, orderId, requestId: `r${++count}`, requestedAt, lines, reason, wish, evidence, ...(received ? { received } : {}) };
    return (await kit.open('return-exchange', input)).id;
  }

  const approve = (reason = 'quality', remedy: Remedy = 'refund') => ({ decision: 'approve', reason, remedy });
  /** Decides once the task is open. */
  async function decide(of: CaseId, path: string, form: object, by = 'wang', role: Role = 'agent'): Promise<void> {
    await kit.opened(of, path);
    await kit.decide(of, path, form, by, role);
  }
  const call = async (method: 'POST' | 'PUT', system: string, what: string, body: object): Promise<Record<string, unknown>> => {
    const answer = await fetch(`${kit.engine.target(system).baseUrl}/${what}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const said = (await answer.json()) as Record<string, unknown>;
    if (!answer.ok) throw new Error(`${system} ${what}: ${JSON.stringify(said)}`);
    return said;
  };
  const act = (system: string, what: string, body: object) => call('POST', system, `acts/${what}`, body);
  const settings = (system: string, body: object) => call('PUT', system, 'settings', body);
  /** Something the outside world says at the moment that the cases' clock shows. */
  const say = async (
    event: { source: string; name: string; correlationKey?: string; caseId?: CaseId; body: object; state?: string },
    how: 'send' | 'store' = 'send',
  ): Promise<void> => {
    await kit[how]({ ...event, eventId: `e${++count}`, kind: 'event', at: instant(await now()) });
  };
  const tell = (of: CaseId, name: string, body: object) => say({ source: 'upstream', name, caseId: of, body });
  const withdraw = async (of: CaseId): Promise<void> => {
    await kit.send({ source: 'upstream', eventId: `w${++count}`, kind: 'withdraw', name: 'withdraw', caseId: of, body: { reason: 'changedMind' } });
  };

  async function answerOf(of: CaseId, path: string): Promise<Record<string, unknown>> {
    const [row] = await kit.until(
      `effect ${path} of ${of}`,
      () => kit.rows<{ answer: Record<string, unknown> }>(`select answer from effects where case_id = $1 and path = $2 and status = 'done'`, of, path),
      (rows) => rows.length === 1,
    );
    return row?.answer ?? {};
  }
  /** The tracking number of the case's nth label, once the case waits for its parcel. */
  async function label(of: CaseId, n = 1): Promise<string> {
    const trackingNo = String((await answerOf(of, `label-${n}/label`))['trackingNo']);
    await expected(trackingNo);
    return trackingNo;
  }
  /** Until a case waits for a parcel of this number: for its coming and for its failing. */
  const expected = (trackingNo: string) =>
    kit.until(
      `somebody expects ${trackingNo}`,
      () => kit.rows('select 1 from correlations where key = $1', trackingNo),
      (rows) => rows.length === 2,
    );
  const told = async (of: CaseId): Promise<string[]> =>
    (await kit.rows<{ message: string }>(`select data->>'message' as message from timeline where case_id = $1 and kind = 'told' order by id`, of)).map(
      (r) => r.message,
    );
  const isTold = (of: CaseId, message: string, times = 1) =>
    kit.until(
      `${message} told in ${of}`,
      () => told(of),
      (all) => all.filter((m) => m === message).length >= times,
    );
  /** What was taken back, in the order in which it was. */
  const undone = async (of: CaseId): Promise<string[]> =>
    (await kit.rows<{ path: string }>('select undoes as path from effects where case_id = $1 and undoes is not null order by done_at', of)).map((r) => r.path);
  const scan = (trackingNo: string, state: TrackingState) => act('logistics', 'scan', { trackingNo, state });

  /** The carrier reports to us. */
  async function carrier(trackingNo: string, state: TrackingState): Promise<void> {
    await scan(trackingNo, state);
    const body = { trackingNo, state, at: instant(await now()) };
    await say({ source: 'logistics.tracking', name: 'logistics.tracking', correlationKey: trackingNo, body, state });
  }
  /** The customer's own courier, whom our logistics knows nothing of; once the case has noted it. */
  async function ownCourier(of: CaseId, freight?: number): Promise<string> {
    const trackingNo = `YT${++count}`;
    await tell(of, 'ownCourier', { trackingNo, ...(freight === undefined ? {} : { freight: cny(freight) }) });
    await expected(trackingNo);
    return trackingNo;
  }

  /** The warehouse opens a parcel: the ids of its units. `store`: the case hears of it with whatever comes next. */
  async function receive(trackingNo: string, goods: readonly (Sku | undefined)[] = ['cup'], how: 'send' | 'store' = 'send'): Promise<string[]> {
    const units = goods.map((of) => (of === undefined ? {} : { sku: sku[of] }));
    const { receiptId, unitIds } = (await act('warehouse', 'receive', { trackingNo, units })) as { receiptId: string; unitIds: string[] };
    const body = {
      receiptId,
      trackingNo,
      receivedAt: instant(await now()),
      units: unitIds.map((unitId, i) => ({ unitId, ...units[i] })),
    };
    await say({ source: 'warehouse.parcelReceived', name: 'warehouse.parcelReceived', correlationKey: trackingNo, body }, how);
    return unitIds;
  }
  const accept = (unitId: string) => ({ unitId, verdict: 'accept', disposition: 'restock', cause: 'manufacturing' });
  const reject = (unitId: string) => ({ unitId, verdict: 'reject', cause: 'customer' });
  const inspect = (of: CaseId, units: readonly object[]) => decide(of, 'inspect', { units }, 'zhao', 'quality');

  const refundState = async (of: CaseId, state: RefundState, path = 'money/p1/route-1/refund'): Promise<void> =>
    bank(String((await answerOf(of, path))['refundId']), state);
  /** The payment system reports of a refund. */
  async function bank(refundId: string, state: RefundState): Promise<void> {
    if (state !== 'accepted') await act('finance', state === 'arrived' ? 'settle' : 'fail', { refundId });
    const body = { refundId, state, at: instant(await now()) };
    await say({ source: 'finance.refundState', name: 'finance.refundState', correlationKey: refundId, body });
  }
  /** What the payment system reports of the link for a difference. */
  async function link(of: CaseId, state: 'paid' | 'expired'): Promise<void> {
    const linkId = String((await answerOf(of, 'new-goods/difference'))['linkId']);
    await act('finance', state === 'paid' ? 'pay' : 'expire', { linkId });
    await say({ source: 'finance.paymentState', name: 'finance.paymentState', correlationKey: linkId, body: { linkId, state, at: instant(await now()) } });
  }
  /** The new goods of the case's nth try to send them: their tracking number, once the case waits for the carrier. */
  async function sent(of: CaseId, n = 1): Promise<string> {
    const trackingNo = String((await answerOf(of, `new-goods/send-${n}/dispatch`))['trackingNo']);
    await isTold(of, 'replacementSent');
    return trackingNo;
  }
  /** What is there of some goods, beside what cases hold. */
  const stock = (of: Sku, free: number) => kit.pool.query('update sandbox.stock set on_hand = reserved + $2 where sku = $1', [sku[of], free]);
  const reserved = async (of: Sku): Promise<number> =>
    (await kit.rows<{ reserved: number }>('select reserved from sandbox.stock where sku = $1', sku[of]))[0]?.reserved ?? 0;

  /** To the parcel: asked, approved, and the customer told where to send it. */
  async function toParcel(bought: Bought = {}, asked: Asked = {}, remedy: Remedy = 'refund', reviewer: Role = 'agent'): Promise<{ id: CaseId; label: string }> {
    const id = await ask(await buy(bought), asked);
    await decide(id, 'review-1/review', approve(asked.reason, remedy), 'wang', reviewer);
    const trackingNo = await label(id);
    await isTold(id, 'sendGoods');
    return { id, label: trackingNo };
  }
  /** All the way to the inspection: asked, approved, received. */
  async function toInspection(
    bought: Bought = {},
    asked: Asked = {},
    goods: readonly (Sku | undefined)[] = ['cup'],
    reviewer: Role = 'agent',
    remedy: Remedy = 'refund',
  ): Promise<{ id: CaseId; units: string[] }> {
    const opened = await toParcel(bought, asked, remedy, reviewer);
    return { id: opened.id, units: await receive(opened.label, goods) };
  }
  const refundsOf = async (of: CaseId): Promise<{ payment: string; minor: number; via: string; state: string }[]> =>
    kit.rows('select payment_id as payment, amount::int as minor, via, state from sandbox.refunds where case_ref = $1 order by payment_id, via', of);
  const allowanceOf = async (of: CaseId): Promise<string[]> =>
    (await kit.rows<{ status: string }>('select status from allowance_holds where hold like $1', `${of}/%`)).map((r) => r.status);
  const clocksOf = async (of: CaseId): Promise<Record<string, string>> =>
    Object.fromEntries(
      (await kit.rows<{ clock: string; status: string }>('select clock, status from clocks where case_id = $1', of)).map((r) => [r.clock, r.status]),
    );

  /** The late-parcel cases that took on parcels of this case. */
  const lateParcels = async (of: CaseId): Promise<{ id: CaseId; units: string[] }[]> =>
    kit.rows(
      `select id, (select array_agg(u->>'unitId') from jsonb_array_elements(input->'payload'->'units') u) as units
       from cases where process = 'late-parcel' and parent = $1 order by opened_at`,
      of,
    );
  /** What became of units: sent back, or the disposition; nothing of those that still lie there. */
  const fateOf = async (units: readonly string[]): Promise<(string | null)[]> =>
    (
      await kit.rows<{ fate: string | null }>(
        `select case when sent_back_by is not null then 'sentBack' else disposition end as fate from sandbox.units where unit_id = any($1) order by unit_id`,
        units,
      )
    ).map((u) => u.fate);
  /** Messages that cannot be read in both languages, with what is wrong; of all cases. */
  async function unreadable(): Promise<string[]> {
    const process = kit.processes.get('return-exchange');
    if (process === undefined) throw new Error('return-exchange is not registered');
    const rows = await kit.rows<{ message: string; data: object }>(
      `select m.message, m.data from messages m join cases c on c.id = m.case_id where c.process = 'return-exchange'`,
    );
    if (rows.length === 0) throw new Error('nothing was told');
    return rows.flatMap(({ message, data }) =>
      locales.flatMap((locale) => {
        try {
          return renderMessage(process, message, data as Record<string, unknown>, locale, {}, 'https://service.example.cn/c/x').text === ''
            ? [`${message}: empty`]
            : [];
        } catch (error) {
          return [String(error)];
        }
      }),
    );
  }

  return {
    now,
    buy,
    ask,
    approve,
    decide,
    tell,
    withdraw,
    answerOf,
    label,
    expected,
    told,
    isTold,
    undone,
    act,
    settings,
    scan,
    carrier,
    ownCourier,
    receive,
    accept,
    reject,
    inspect,
    refundState,
    bank,
    link,
    sent,
    stock,
    reserved,
    toParcel,
    toInspection,
    refundsOf,
    allowanceOf,
    clocksOf,
    lateParcels,
    fateOf,
    unreadable,
  };
}
