/** Orders of the own shops, drawn from a seed: as many as a long run needs, with everything that orders have. The same seed draws the same orders. */
import type { Instant } from '../../values/instant.ts';
import { drawsFrom } from '../sandbox/faults.ts';
import { readCatalogue, shopOf, type Catalogue, type OrderEntry } from './catalogue.ts';
import type { ShopData } from './load.ts';

/** Where the orders of a seed are found again. */
export const drawnSource = (seed: number): string => `own-${seed}`;

/** So many come from customers who buy, and return, again and again: one in each shop. */
const regulars = 0.12;
const surnames = '王 李 张 刘 陈 杨 赵 黄 周 吴 徐 孙 胡 朱 高 林 何 郭 马 罗'.split(' ');
const givenNames = ['伟', '芳', '娜', '敏', '静', '强', '磊', '洋', '艳', '勇', '杰', '娟', '涛', '明', '超', '秀英', '建国', '雨桐', '子涵', '浩然'];
const companies = ['示例科技有限公司', '示例贸易有限公司', '示例文化传媒有限公司', '示例餐饮管理有限公司'];
const freights = [0, 0, 0, 600, 800, 1000, 1200, 1500];

type Draw = () => number;
type Customer = Catalogue['customers'][number];

const pick = <T>(draw: Draw, from: readonly T[]): T => {
  const found = from[Math.floor(draw() * from.length)];
  if (found === undefined) throw new RangeError('nothing to draw from');
  return found;
};
const between = (draw: Draw, least: number, most: number): number => least + Math.floor(draw() * (most - least + 1));

/** One order and who placed it, by number; what others there are makes no difference to it. */
function drawOrder({ products, customers }: Catalogue, seed: number, n: number): { readonly order: OrderEntry; readonly customer: Customer } {
  // Two primes keep the sequences of neighbours apart.
  const draw = drawsFrom((seed * 1_000_003 + n * 7919) >>> 0);
  const shop = pick(draw, [...new Set(products.map((product) => product.shop))]);
  const goods = products.filter((product) => product.shop === shop);
  const regular = customers.find((customer) => customer.shop === shop);
  if (regular === undefined) throw new Error(`${shop} has no customer`);
  const customer = draw() < regulars ? regular : drawCustomer(draw, regular, seed, Math.floor(n / 4));

  const lines = Array.from({ length: pick(draw, [1, 1, 2, 2, 2, 3, 3, 4, 5]) }, () => {
    const product = pick(draw, goods);
    const quantity = product.price > 100_000 ? pick(draw, [1, 1, 2]) : pick(draw, [1, 1, 1, 2, 2, 3, 4]);
    // What is sold out was seldom bought; what is made to order is never in stock.
    const variants = Object.entries(product.variants);
    const inStock = variants.filter(([, { stock }]) => stock > 0);
    const [sku] = pick(draw, inStock.length > 0 ? inStock : variants);
    return { sku, quantity, returned: quantity > 1 && draw() < 0.05 ? 1 : 0, total: product.price * quantity };
  });
  const list = lines.reduce((so, line) => so + line.total, 0);
  // At most half of the goods' price in all: what is left is always paid.
  const promotion =
    draw() < 0.25 ? { ref: `drawn-${shop}-promotion`, amount: between(draw, 1, Math.floor(list * 0.2)), threshold: Math.floor(list / 2) } : undefined;
  const only = lines.length > 1 && draw() < 0.25 ? [between(draw, 1, lines.length)] : undefined;
  const base = only === undefined ? list : (lines[(only[0] ?? 1) - 1]?.total ?? list);
  const coupon =
    draw() < 0.35 ? { ref: `cp-${seed}-${n}`, amount: between(draw, 1, Math.max(1, Math.floor(base * 0.2))), ...(only ? { lines: only } : {}) } : undefined;
  const spent = draw() < 0.3 ? between(draw, 1, Math.max(1, Math.min(5000, Math.floor(list * 0.1)))) : 0;
  const freight = pick(draw, freights);
  const total = list - (promotion?.amount ?? 0) - (coupon?.amount ?? 0) - spent + freight;
  const first = between(draw, 0, 2);
  const methods = (['wallet', 'card', 'giftCard', 'wallet', 'card'] as const).slice(first, first + (total < 3000 ? 1 : pick(draw, [1, 1, 1, 2, 2, 3])));
  return {
    customer,
    order: {
      order: `${lines[0]?.sku.slice(0, 2)}-${seed}-${String(n).padStart(4, '0')}`,
      shop,
      customer: customer.account,
      status: 'delivered',
      // Most are within the seven days of a return without a reason.
      daysAgo: Math.round((draw() < 0.9 ? draw() * 6.5 : 7 + draw() * 7) * 100) / 100,
      lines: lines.map(({ sku, quantity, returned }) => ({ sku, quantity, returned })),
      ...(promotion ? { promotion } : {}),
      ...(coupon ? { coupon } : {}),
      // A point is worth a fen.
      ...(spent > 0 ? { points: { points: spent, amount: spent } } : {}),
      freight,
      returnInsured: draw() < 0.15,
      pay: methods.map((method, i) => ({
        method,
        amount: i === methods.length - 1 ? ('rest' as const) : between(draw, 100, Math.floor(total / methods.length)),
      })),
      ...(draw() < 0.3 ? { invoice: draw() < 0.5 ? customer.name : pick(draw, companies) } : {}),
    },
  };
}

/** Somebody new: made-up name and number, at the address of somebody known. */
const drawCustomer = (draw: Draw, like: Customer, seed: number, n: number): Customer => ({
  ...like,
  account: `drawn-${seed}-${n}`,
  name: pick(draw, surnames) + pick(draw, givenNames),
  // 199 0000 …: numbers that belong to nobody.
  phone: `1990${String((seed * 10_000 + n) % 10_000_000).padStart(7, '0')}`,
  email: undefined,
  wechat: draw() < 0.5 ? `wx-drawn-${seed}-${n}` : undefined,
  tier: pick(draw, ['new', 'promising', 'vip'] as const),
  birthday: undefined,
  marketing: draw() < 0.5,
});

/** So many delivered orders of the own shops' goods, as of a day. */
export async function drawnShop({ seed, orders: count, asOf }: { readonly seed: number; readonly orders: number; readonly asOf: Instant }): Promise<ShopData> {
  const catalogue = await readCatalogue();
  const drawn = Array.from({ length: count }, (_, i) => drawOrder(catalogue, seed, i + 1));
  // A customer of several orders is one: as the first of them has it.
  const customers = new Map(drawn.toReversed().map(({ customer }) => [`${customer.shop}/${customer.account}`, customer]));
  return shopOf(drawnSource(seed), { ...catalogue, customers: [...customers.values()], orders: drawn.map(({ order }) => order), coupons: [] }, asOf);
}
