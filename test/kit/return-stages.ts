/** Every point at which a return can be when its customer or the platform changes everything. */
import type { CaseId } from '../../values/ids.ts';
import type { ReturnsInTime } from './returns.ts';

export interface Reached {
  readonly id: CaseId;
  /** Units that are here, by parcel. */
  readonly here: readonly (readonly string[])[];
  /** Numbers of parcels that a carrier has. */
  readonly onTheWay: readonly string[];
  /** Tasks that are open. */
  readonly open: readonly string[];
}
type World = Pick<ReturnsInTime, 'kit' | 'r'>;

const two = { lines: [['cup', 2, 5_000]] } as const;
const both = { lines: [{ line: 1, quantity: 2 }] } as const;
const dearer = { wish: 'exchange', lines: [{ line: 1, quantity: 1, replacement: 'pot-1' }] } as const;
const at = (id: CaseId, more: Partial<Reached> = {}): Reached => ({ id, here: [], onTheWay: [], open: [], ...more });

async function inspected({ kit, r }: World, price = 10_000): Promise<{ id: CaseId; units: string[] }> {
  const { id, units } = await r.toInspection({ lines: [['cup', 1, price]] });
  await kit.opened(id, 'inspect');
  return { id, units };
}

/** Brings a return there; what is in `open` is open by then. All before the point of no return. */
export const stages: readonly (readonly [name: string, to: (world: World) => Promise<Reached>])[] = [
  [
    'before the review',
    async ({ r }) => {
      return at(await r.ask(await r.buy()), { open: ['review-1/review'] });
    },
  ],
  [
    'while evidence is awaited',
    async ({ r }) => {
      const id = await r.ask(await r.buy());
      await r.decide(id, 'review-1/review', { decision: 'moreEvidence', what: ['photo'] });
      await r.isTold(id, 'evidenceAsked');
      return at(id);
    },
  ],
  [
    'while the customer chooses, because the new goods are gone',
    async ({ r }) => {
      await r.stock('pot', 0);
      const id = await r.ask(await r.buy(), dearer);
      await r.decide(id, 'review-1/review', r.approve('quality', 'exchange'));
      return at(id, { open: ['new-goods/hold-1/choose'] });
    },
  ],
  ['with new goods held and the label unused', async ({ r }) => at((await r.toParcel({}, dearer, 'exchange')).id)],
  [
    'with the goods on their way',
    async ({ r }) => {
      const { id, label } = await r.toParcel();
      await r.scan(label, 'inTransit');
      return at(id, { onTheWay: [label] });
    },
  ],
  [
    'with one parcel here and another on its way',
    async ({ r }) => {
      const { id, label } = await r.toParcel(two, both);
      const own = await r.ownCourier(id);
      const units = await r.receive(label);
      await r.isTold(id, 'restAwaited');
      return at(id, { here: [units], onTheWay: [own] });
    },
  ],
  [
    'with two parcels on their way',
    async ({ r }) => {
      const { id } = await r.toParcel(two, both);
      return at(id, { onTheWay: [await r.ownCourier(id), await r.ownCourier(id)] });
    },
  ],
  [
    'while a lost parcel is looked into',
    async ({ r }) => {
      const { id, label } = await r.toParcel();
      await r.carrier(label, 'lost');
      return at(id, { open: ['parcel-1/parcelTrouble'] });
    },
  ],
  [
    'while a wrong parcel is looked into',
    async ({ r }) => {
      const { id, units } = await r.toInspection({}, {}, ['cup', 'pan']);
      return at(id, { here: [units], open: ['receiptProblem'] });
    },
  ],
  [
    'during inspection',
    async (world) => {
      const { id, units } = await inspected(world);
      return at(id, { here: [units], open: ['inspect'] });
    },
  ],
  [
    'while a supervisor rules on a unit',
    async (world) => {
      const { id, units } = await inspected(world);
      await world.r.inspect(id, []);
      return at(id, { here: [units], open: units.map((unit) => `${unit}/ruleUnit`) });
    },
  ],
  [
    'while the refund waits for approval',
    async (world) => {
      const { id, units } = await inspected(world, 30_000);
      await world.r.inspect(id, units.map(world.r.accept));
      return at(id, { here: [units], open: ['approveRefund'] });
    },
  ],
  [
    'while a difference waits to be paid',
    async ({ r }) => {
      const { id, units } = await r.toInspection({}, dearer, ['cup'], 'agent', 'exchange');
      await r.inspect(id, units.map(r.accept));
      await r.isTold(id, 'differenceDue');
      return at(id, { here: [units] });
    },
  ],
];

/** Past no return: the refund is under way. */
export async function settling({ r }: World): Promise<Reached> {
  const { id, units } = await r.toInspection();
  await r.inspect(id, units.map(r.accept));
  await r.isTold(id, 'refundSubmitted');
  return at(id, { here: [units] });
}
