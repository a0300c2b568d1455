/** The outside systems, by name. A new one is a folder with its contract, and a line here. */
import type { SystemContract } from './contract.ts';
import { coupons } from './coupons/contract.ts';
import { crm } from './crm/contract.ts';
import { finance } from './finance/contract.ts';
import { logistics } from './logistics/contract.ts';
import { notifications } from './notifications/contract.ts';
import { orders } from './orders/contract.ts';
import { warehouse } from './warehouse/contract.ts';

export const systems = { orders, warehouse, finance, logistics, notifications, crm, coupons } as const satisfies Readonly<Record<string, SystemContract>>;
export type SystemName = keyof typeof systems;
