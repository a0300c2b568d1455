/** The systems that cases call, by name. A new one is a folder with its contract, and a line here. */
import type { SystemContract } from './contract.ts';
import { allowance } from './allowance/contract.ts';
import { coupons } from './coupons/contract.ts';
import { crm } from './crm/contract.ts';
import { finance } from './finance/contract.ts';
import { logistics } from './logistics/contract.ts';
import { notifications } from './notifications/contract.ts';
import { orders } from './orders/contract.ts';
import { warehouse } from './warehouse/contract.ts';

/** Outside: each has a URL. */
export const systems = { orders, warehouse, finance, logistics, notifications, crm, coupons } as const satisfies Readonly<Record<string, SystemContract>>;
export type SystemName = keyof typeof systems;
/** What a case may call: the outside systems, and our own, which live in our Postgres. */
export const callable = { ...systems, allowance } as const satisfies Readonly<Record<string, SystemContract>>;
