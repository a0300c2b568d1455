/** The systems that bodies call, as typed references: names only, so the workflow bundle never loads a contract. */
import { system } from './kit/references.ts';

export const allowance = system<typeof import('../systems/allowance/contract.ts').allowance>('allowance');
export const coupons = system<typeof import('../systems/coupons/contract.ts').coupons>('coupons');
export const crm = system<typeof import('../systems/crm/contract.ts').crm>('crm');
export const finance = system<typeof import('../systems/finance/contract.ts').finance>('finance');
export const logistics = system<typeof import('../systems/logistics/contract.ts').logistics>('logistics');
export const orders = system<typeof import('../systems/orders/contract.ts').orders>('orders');
export const warehouse = system<typeof import('../systems/warehouse/contract.ts').warehouse>('warehouse');
