/** The people and systems around a return, for tests: customers buy and ask, people decide, carriers scan, the warehouse receives, banks report. */
import { couponsSandbox } from '../../systems/coupons/sandbox.ts';
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
import { startKit, type Kit, type Surroundings } from './harness.ts';

export const day = 86_400_000;
export const cny = (minor: number) => ({ minor, currency: 'CNY' });
const customer = 'c_1';
const shop = 'shop-1';
const sku = { cup: 'cup-1', pot: 'pot-1', pan: 'pan-1' } as const;
type Sku = keyof typeof sku;

interface Bought {
  readonly lines?: readonly (readonly [of: Sku, quantity: number, price: number])[];
  readonly payments?: readonly (readonly [method: 'card' | 'wallet' | 'giftCard', minor: number])[];
  readonly freight?: number;
}

interface Asked {
  readonly reason?: string;
  readonly lines?: readonly { readonly line: number; readonly quantity: number }[];
  readonly evidence?: readonly string[];
}

/** A kit with the systems that a return calls, and a shop. Their own timers stand still: what they report, the test says. */
export async function startReturns(around: Surroundings): Promise<Kit> {
  const systems: Readonly<Record<string, AnySandbox>> = {
    orders: ordersSandbox,
    warehouse: warehouseSandbox,
    finance: financeSandbox({ settleMs: day }),
    logistics: logisticsSandbox({ pickUpMs: null }),
    coupons: couponsSandbox,
  };
  const kit = await startKit(around, systems);
  const address = { country: '中国', province: '浙江', city: '杭州', street: '1' };
  await loadShop(kit.pool, {
    source: 'test',
    customers: [{ customer, shop, account: 'a', reach: { name: 'A', language: 'zh' }, address, tier: 'new', marketing: false }],
    products: Object.values(sku).map((of) => ({
      sku: of,
      productId: of,
      shop,
      name: of,
      category: 'kitchen',
      options: {},
      price: cny(10_000),
      exceptions: [],
      onHand: 100,
    })),
    orders: [],
    templates: [],
  });
  return kit;
}

/** What a test says and sees of returns. `now` is the clock that the cases run on. */
export function returnsOf(kit: Kit, now: () => Promise<number>) {
  let count = 0;

  async function buy({ lines = [['cup', 1, 10_000]], freight = 0, payments }: Bought = {}): Promise<string> {
    const orderId = `W${++count}`;
    const listed = lines.map(([of, quantity, price], i) => ({
      line: i + 1,
      sku: sku[of],
      productId: sku[of],
      name: of,
      category: 'kitchen',
      quantity,
      unitPrice: cny(price),
      listTotal: cny(price * quantity),
      returned: 0,
      exceptions: [],
    }));
    const total = listed.reduce((so, l) => so + l.listTotal.minor, freight);
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
      discounts: [],
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
      address: { country: '中国', province: '浙江', city: '杭州', street: '1' },
    };
    await loadShop(kit.pool, { source: 'test', customers: [], products: [], orders: [order], templates: [] });
    return orderId;
  }

  async function ask(orderId: string, { reason = 'quality', lines = [{ line: 1, quantity: 1 }], evidence = ['photo-1'] }: Asked = {}): Promise<CaseId> {
    const requestedAt = instant(await now());
    const input = { shop, customer, orderId, requestId: `r${++count}`, requestedAt, lines, reason, wish: 'refund', evidence };
    return (await kit.open('return-exchange', input)).id;
  }

  const approve = (reason = 'quality') => ({ decision: 'approve', reason, remedy: 'refund' });
  /** Decides once the task is open. */
  async function decide(of: CaseId, path: string, form: object, by = 'wang', role: Role = 'agent'): Promise<void> {
    await kit.opened(of, path);
    await kit.decide(of, path, form, by, role);
  }
  const act = async (system: string, what: string, body: object): Promise<Record<string, unknown>> => {
    const answer = await fetch(`${kit.engine.target(system).baseUrl}/acts/${what}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const said = (await answer.json()) as Record<string, unknown>;
    if (!answer.ok) throw new Error(`${system} ${what}: ${JSON.stringify(said)}`);
    return said;
  };
  /** Something the outside world says at the moment that the cases' clock shows. */
  const say = async (event: { source: string; name: string; correlationKey?: string; caseId?: CaseId; body: object }): Promise<void> => {
    await kit.send({ ...event, eventId: `e${++count}`, kind: 'event', at: instant(await now()) });
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
  /** The label's tracking number, once the case waits for it. */
  async function label(of: CaseId): Promise<string> {
    const trackingNo = String((await answerOf(of, 'label'))['trackingNo']);
    await expected(trackingNo);
    return trackingNo;
  }
  const expected = (key: string) =>
    kit.until(
      `somebody expects ${key}`,
      () => kit.rows('select 1 from correlations where key = $1', key),
      (rows) => rows.length === 1,
    );
  const told = async (of: CaseId): Promise<string[]> =>
    (await kit.rows<{ message: string }>(`select data->>'message' as message from timeline where case_id = $1 and kind = 'told' order by id`, of)).map(
      (r) => r.message,
    );
  const isTold = (of: CaseId, message: string) =>
    kit.until(
      `${message} told in ${of}`,
      () => told(of),
      (all) => all.includes(message),
    );
  /** What was taken back, in the order in which it was. */
  const undone = async (of: CaseId): Promise<string[]> =>
    (await kit.rows<{ path: string }>('select undoes as path from effects where case_id = $1 and undoes is not null order by done_at', of)).map((r) => r.path);
  const scan = (trackingNo: string, state: TrackingState) => act('logistics', 'scan', { trackingNo, state });

  /** The warehouse opens a parcel: the ids of its units. */
  async function receive(trackingNo: string, goods: readonly (Sku | undefined)[] = ['cup']): Promise<string[]> {
    const units = goods.map((of) => (of === undefined ? {} : { sku: sku[of] }));
    const { receiptId, unitIds } = (await act('warehouse', 'receive', { trackingNo, units })) as { receiptId: string; unitIds: string[] };
    const body = {
      receiptId,
      trackingNo,
      receivedAt: instant(await now()),
      units: unitIds.map((unitId, i) => ({ unitId, ...units[i] })),
    };
    await say({ source: 'warehouse.parcelReceived', name: 'warehouse.parcelReceived', correlationKey: trackingNo, body });
    return unitIds;
  }
  const accept = (unitId: string) => ({ unitId, verdict: 'accept', disposition: 'restock', cause: 'manufacturing' });
  const reject = (unitId: string) => ({ unitId, verdict: 'reject', cause: 'customer' });
  const inspect = (of: CaseId, units: readonly object[]) => decide(of, 'inspect', { units }, 'zhao', 'quality');

  async function refundState(of: CaseId, state: 'accepted' | 'arrived' | 'failed', path = 'p1/route-1/refund'): Promise<void> {
    const refundId = String((await answerOf(of, path))['refundId']);
    if (state !== 'accepted') await act('finance', state === 'arrived' ? 'settle' : 'fail', { refundId });
    const body = { refundId, state, at: instant(await now()) };
    await say({ source: 'finance.refundState', name: 'finance.refundState', correlationKey: refundId, body });
  }
  /** All the way to the parcel: asked, approved, received. */
  async function toInspection(
    bought: Bought = {},
    asked: Asked = {},
    goods: readonly (Sku | undefined)[] = ['cup'],
    reviewer: Role = 'agent',
  ): Promise<{ id: CaseId; units: string[] }> {
    const id = await ask(await buy(bought), asked);
    await decide(id, 'review-1/review', approve(asked.reason), 'wang', reviewer);
    return { id, units: await receive(await label(id), goods) };
  }
  const refundsOf = async (of: CaseId): Promise<{ payment: string; minor: number; via: string; state: string }[]> =>
    kit.rows('select payment_id as payment, amount::int as minor, via, state from sandbox.refunds where case_ref = $1 order by payment_id, via', of);
  const allowanceOf = async (of: CaseId): Promise<string[]> =>
    (await kit.rows<{ status: string }>('select status from allowance_holds where hold like $1', `${of}/%`)).map((r) => r.status);
  const clocksOf = async (of: CaseId): Promise<Record<string, string>> =>
    Object.fromEntries(
      (await kit.rows<{ clock: string; status: string }>('select clock, status from clocks where case_id = $1', of)).map((r) => [r.clock, r.status]),
    );

  return {
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
    scan,
    receive,
    accept,
    reject,
    inspect,
    refundState,
    toInspection,
    refundsOf,
    allowanceOf,
    clocksOf,
  };
}
