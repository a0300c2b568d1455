/** The demo of one order: many cases at it at once, that ask for more than was bought. In the end its units and its money are exactly those of the order. */
import { policyFor } from '../../policies/lookup.ts';
import type { OrderFacts } from '../../systems/orders/contract.ts';
import { drawsFrom } from '../../systems/sandbox/faults.ts';
import { caseId } from '../../values/ids.ts';
import { instant } from '../../values/instant.ts';
import { returnExchange } from '../../workflows/return-exchange/process.ts';
import { settlement } from '../../workflows/return-exchange/rules.ts';
import type { AuditedCase, AuditedOrder, AuditRows } from './audit.ts';
import { branchesOf } from './branches.ts';
import type { Act, Plan, PlannedUnit } from './plan.ts';
import { amountText, table } from './report.ts';
import { deliveredOrders } from './collect.ts';
import type { Prepare } from './run.ts';

/** Of the own shops: many units of a few lines, discounts of every kind, freight, three payments, an invoice. */
const orderId = 'QF-8001';

const unitCount = (order: Pick<OrderFacts, 'lines'>): number => order.lines.reduce((so, line) => so + line.quantity, 0);

/** The nth case: so many ask for one unit each that they could empty the order; the others ask for two or three, of one line or of two. */
function planCase(draw: () => number, seed: number, order: OrderFacts, n: number): Plan {
  const single = order.lines.flatMap(({ line, quantity }) => Array<number>(quantity).fill(line))[n];
  const pickLine = (): OrderFacts['lines'][number] => {
    const found = order.lines[Math.floor(draw() * order.lines.length)];
    if (found === undefined) throw new RangeError(`order ${order.orderId} has no lines`);
    return found;
  };
  const first = pickLine();
  const second = pickLine();
  const some = (): number => 2 + Math.floor(draw() * 2);
  const lines =
    single !== undefined
      ? [{ line: single, quantity: 1 }]
      : [{ line: first.line, quantity: some() }, ...(draw() < 0.4 && second.line !== first.line ? [{ line: second.line, quantity: some() }] : [])];
  // Some keep the goods, so that money and units of all kinds of cases meet; some ask for several units and are rejected before they hold anything.
  const kept = draw() < 0.4;
  const rejected = single === undefined && draw() < 0.15;
  const request: Plan['request'] = {
    shop: order.shop,
    customer: order.customer,
    orderId: order.orderId,
    requestId: `one-order-${seed}-${n + 1}`,
    lines,
    // The fault is ours: no label is taken off, and what goes back is what was paid.
    reason: 'quality',
    wish: 'refund',
    evidence: [`photo-${n + 1}`],
  };
  const accepted: Omit<PlannedUnit, 'sku'> = { verdict: 'accept', ruling: 'accept', disposition: draw() < 0.5 ? 'restock' : 'refurbish' };
  const units = lines.flatMap(({ line, quantity }) =>
    Array.from({ length: quantity }, () => ({ ...accepted, sku: order.lines.find((l) => l.line === line)?.sku ?? '' })),
  );
  const way: Act[] = [
    { act: 'scan', parcel: 'label-1', state: 'pickedUp' },
    { act: 'scan', parcel: 'label-1', state: 'delivered' },
    { act: 'receive', parcel: 'label-1', units },
  ];
  return {
    caseId: caseId(returnExchange.name, returnExchange.key(request)),
    order: order.orderId,
    branches: [],
    currency: order.currency,
    request,
    reviews: [rejected ? { decision: 'reject', reason: 'notAsDescribed' } : { decision: 'approve', reason: 'quality', remedy: kept ? 'refundOnly' : 'refund' }],
    evidenceComes: true,
    lacking: [],
    goodsVanish: false,
    choices: ['refund'],
    difference: 'never',
    way: kept ? [] : way,
    troubles: [],
    approval: 'approve',
    owner: 'unknown',
    late: 'sendBack',
    pauseMs: Math.floor(draw() * 200),
    waitsMs: 0,
    twice: { start: draw() < 0.2, decisions: draw() < 0.2 ? 'twoPeople' : 'no', events: false, receipt: draw() < 0.2 },
  };
}

/** `cases`: how many at the one order. */
export function planOneOrder(seed: number, order: OrderFacts, cases: number): readonly Plan[] {
  const draw = drawsFrom(seed);
  const plans = Array.from({ length: cases }, (_, n) => planCase(draw, seed, order, n));
  // In no order: who asks for one unit and who asks for three come as they come.
  return plans
    .map((plan) => ({ plan, at: draw() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ plan }) => plan);
}

export const oneOrder =
  ({ seed, cases }: { readonly seed: number; readonly cases: number }): Prepare =>
  async (systems, policy, progress) => {
    const order = (await deliveredOrders(systems, 'own')).find((one) => one.orderId === orderId);
    if (order === undefined) throw new Error(`The sandbox of this stack has no order ${orderId}: it was made by an older version. Use another --data.`);
    const plans = planOneOrder(seed, order, cases);
    const asked = plans.reduce((so, plan) => so + plan.request.lines.reduce((units, line) => units + line.quantity, 0), 0);
    progress.say(
      `Order ${orderId}: ${unitCount(order)} units, ${amountText(order.total.minor, order.currency)}. ${cases} cases ask for ${asked} units at once.`,
    );
    return {
      source: 'own',
      orders: [order],
      goods: [],
      plans,
      conclude: (rows) =>
        prove(rows, orderId, (facts) => settlement(facts, { policy: policyFor(policy, order.shop), asOf: instant(0) }).refund.minor, order, asked),
    };
  };

type Worth = (facts: Parameters<typeof settlement>[0]) => number;

/** What was paid for the units that came back, from the order alone, against what went back. */
export function prove(
  rows: AuditRows,
  of: string,
  worth: Worth,
  order: OrderFacts,
  asked: number,
): { readonly lines: readonly string[]; readonly ok: boolean } {
  const { currency } = order;
  const amount = (minor: number): string => amountText(minor, currency);
  const cases = [...rows.cases.values()].filter((row) => row.order === of);
  const ended = (result: string, reason?: string): AuditedCase[] =>
    cases.filter(({ status, outcome }) => {
      const said = (outcome ?? {}) as { result?: unknown; reason?: unknown };
      return status === 'completed' && said.result === result && (reason === undefined || said.reason === reason);
    });
  const refunded = ended('refunded');
  const refused = ended('rejected', 'alreadyReturned');
  const rejected = ended('rejected', 'notAsDescribed');
  const used = rows.units.filter((unit) => unit.order === of && unit.used);
  const bought = unitCount(order);
  const all = used.length === bought;
  const after: AuditedOrder | undefined = rows.orders.get(of);
  const refunds = (after?.refunds ?? []).filter((refund) => refund.state !== 'failed');
  const back = refunds.reduce((so, refund) => so + refund.minor, 0);
  const accepted = used.map(({ line }) => ({ line }));
  const goods = used.length === 0 ? 0 : worth({ order, held: used, asked: [], accepted, reason: 'quality', by: 'kept', freights: [] });
  const freight = all ? order.freight.paid.minor : 0;
  const carriers = refunded.filter((row) => branchesOf(row).includes('wholeOrder')).length;
  const alreadyFree = bought - used.length;

  const checks: readonly (readonly [string, string, boolean])[] = [
    [
      'cases',
      `${cases.length}: ${refunded.length} refunded, ${refused.length} refused as alreadyReturned, ${rejected.length} rejected in review`,
      refunded.length + refused.length + rejected.length === cases.length && (asked <= bought || refused.length > 0),
    ],
    [
      'units',
      `${used.length} of ${bought} used, each once, by one case`,
      new Set(used.map((unit) => `${unit.line}/${unit.unit}`)).size === used.length && alreadyFree >= 0,
    ],
    ...order.lines.map(({ line, sku, quantity }) => {
      const count = used.filter((unit) => unit.line === line).length;
      return [`  line ${line}`, `${count} of ${quantity} ${sku}`, count <= quantity] as const;
    }),
    ['money', `${amount(back)} refunded = ${amount(goods)} paid for these units + ${amount(freight)} original freight`, back === goods + freight],
    ...order.payments.map(({ paymentId, method, amount: paid }) => {
      const went = refunds.filter((refund) => refund.paymentId === paymentId).reduce((so, refund) => so + refund.minor, 0);
      return [`  ${method}`, `${amount(went)} of ${amount(paid.minor)}`, all ? went === paid.minor : went <= paid.minor] as const;
    }),
    ['freight', all ? `refunded by ${carriers} case` : 'stays: not all came back', carriers === (all ? 1 : 0)],
    ...(all ? ([['whole', `${amount(back)} of ${amount(order.total.minor)} paid in all`, back === order.total.minor]] as const) : []),
  ];
  return {
    lines: [
      `Proof: order ${of}, ${asked} units asked for, ${bought} bought`,
      ...table(checks.map(([what, says, holds]) => [what, holds ? 'holds' : 'FAILS', says])),
    ],
    ok: checks.every(([, , holds]) => holds),
  };
}
