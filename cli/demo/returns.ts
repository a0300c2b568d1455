/** The demo of returns: a case for every order, so that every way is gone that a return can go. */
import { policyFor } from '../../policies/lookup.ts';
import { drawnShop, drawnSource } from '../../systems/orders/drawn.ts';
import { loadCounts } from '../../systems/orders/load.ts';
import { fromTauRetail, type TauFiles } from '../../systems/orders/tau-retail.ts';
import { instant } from '../../values/instant.ts';
import { importTauRetail } from '../import.ts';
import { deliveredOrders } from './collect.ts';
import { notInData, planReturns } from './plan.ts';
import { branchTable, missed, table } from './report.ts';
import type { Prepare } from './run.ts';

/** From so many cases on, every branch is to be gone so often: there is room for all of them. */
const fullSize = 300;
const leastOften = 5;
/** So many of the cases that went another way are named. */
const named = 30;

/** `files`: of tau-retail; absent for the own shops, whose orders are drawn. `cases`: at most; absent for all there are. */
export const returns =
  ({ files, seed, cases }: { readonly files: TauFiles | undefined; readonly seed: number; readonly cases: number | undefined }): Prepare =>
  async (systems, policy, progress) => {
    const source = files ? 'tau-retail' : drawnSource(seed);
    const { orders: loaded, newOrders } = files
      ? await importTauRetail(systems, files, seed)
      : await systems.send('POST', '/orders/import', { source: 'own', seed, orders: cases ?? 500 }, loadCounts);
    progress.say(`${loaded} orders of ${files ? source : 'the own shops drawn'}, ${newOrders} of them new.`);
    const orders = (await deliveredOrders(systems, source)).slice(0, cases);
    if (cases !== undefined && orders.length < cases) progress.say(`There are ${orders.length} delivered orders: that many cases.`);
    // What is sold does not depend on the day.
    const { products } = files ? fromTauRetail(files, { seed, asOf: instant(0) }) : await drawnShop({ seed, orders: 1, asOf: instant(0) });
    const goods = products.map(({ sku, shop, price, onHand }) => ({ sku, shop, price, stock: onHand }));
    const world = { goods, policyOf: (shop: string) => policyFor(policy, shop) };
    const plans = planReturns(seed, orders, world);
    return {
      source,
      orders,
      goods,
      plans,
      conclude(rows, { refused }) {
        const branches = branchTable(plans, rows, refused, notInData(orders, world));
        const others = missed(plans, rows, refused);
        const seldom = plans.length < fullSize ? [] : branches.filter((row) => row.why === undefined && row.reached < leastOften);
        return {
          lines: [
            'Branches: planned, gone',
            ...table(branches.map(({ branch, planned, reached, why }) => [branch, String(planned), String(reached), ...(why === undefined ? [] : [why])])),
            '',
            `Cases that did not go all that was planned for them: ${others.length}`,
            ...others.slice(0, named).map((line) => `  ${line}`),
            ...(others.length > named ? [`  … and ${others.length - named} more`] : []),
            ...(seldom.length > 0 ? ['', `Gone less than ${leastOften} times: ${seldom.map((row) => row.branch).join(', ')}`] : []),
          ],
          ok: seldom.length === 0,
        };
      },
    };
  };
