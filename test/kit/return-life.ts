/** A return that lives by itself: people, carriers, banks and the customer each do what they can do next, as fates say, until nothing is left to do. */
import { Refused } from '../../db/refused.ts';
import type { CaseId } from '../../values/ids.ts';
import type { Role } from '../../values/role.ts';
import type { Kit } from './harness.ts';
import type { Remedy, returnsOf, Sku } from './returns.ts';

export interface Story {
  readonly remedy: Remedy;
  /** Units of each line of the order; none of any: one of the first. */
  readonly wants: readonly number[];
  readonly replacement: Sku | undefined;
  /** After how many moves the customer or the platform ends it; undefined: never. */
  readonly leaves: { readonly after: number; readonly how: 'withdraw' | 'closed' | 'refunded' } | undefined;
  /** Numbers below 100, taken in turn: what comes of each move. */
  readonly fates: readonly number[];
}
interface Parcel {
  readonly trackingNo: string;
  readonly goods: readonly Sku[];
  readonly fate: 'comes' | 'isLost';
}
interface Task {
  readonly path: string;
  readonly name: string;
  readonly role: Role;
  readonly context: { readonly match?: { readonly units: readonly { unitId: string; line: number }[] }; readonly units?: readonly { unitId: string }[] };
}
type Move = () => Promise<void>;

/** Lives a return to its end, and what of it is on its way to the end too. */
export async function live(kit: Kit, r: ReturnType<typeof returnsOf>, id: CaseId, story: Story, goods: readonly Sku[]): Promise<void> {
  let [moves, drawn] = [0, 0];
  const chance = (percent: number): boolean => (story.fates[drawn++ % story.fates.length] ?? 0) < percent;
  const done = new Set<string>();
  /** Goods that are not on their way yet. */
  let toSend = [...goods];
  const parcels: Parcel[] = [];

  /** What can be done once is done once, under a name. */
  const once = (name: string, move: Move): [string, Move][] => (done.has(name) ? [] : [[name, move]]);

  async function decide({ path, name, role, context }: Task): Promise<void> {
    const form = ((): object => {
      switch (name) {
        case 'review':
          return chance(90) ? { ...r.approve('quality', story.remedy) } : { decision: 'reject', reason: 'notAsDescribed' };
        case 'receiptProblem':
          return { units: context.match?.units ?? [] };
        case 'parcelTrouble':
          return { decision: chance(40) ? 'newLabel' : chance(50) ? 'asReceived' : 'end' };
        case 'inspect':
          return { units: (context.units ?? []).flatMap(({ unitId }) => (chance(10) ? [] : [chance(80) ? r.accept(unitId) : r.reject(unitId)])) };
        case 'ruleUnit':
          return chance(70) ? { verdict: 'accept', disposition: 'scrap', cause: 'transport' } : { verdict: 'reject', cause: 'customer' };
        case 'approveRefund':
          return { decision: chance(85) ? 'approve' : 'refuse' };
        case 'choose':
          return { choice: 'refund' };
        case 'otherRoute':
          return { via: chance(70) ? 'transfer' : 'none' };
        default:
          throw new Error(`nobody knows what to do about ${path}`);
      }
    })();
    // Four eyes: each task has a person of its own.
    await kit.decide(id, path, form, `${name}-${role}`, role);
  }

  /** The customer packs what is left into one parcel or two, with goods of another kind now and then. */
  async function pack(label: string): Promise<void> {
    // Who has withdrawn tells us of no courier.
    const cut = chance(40) && !done.has('leaves') ? Math.floor(toSend.length / 2) : 0;
    const [own, ours] = [toSend.slice(0, cut), toSend.slice(cut)];
    const fate = (): Parcel['fate'] => (chance(85) ? 'comes' : 'isLost');
    toSend = [];
    if (own.length > 0) parcels.push({ trackingNo: await r.ownCourier(id, 700), goods: own, fate: fate() });
    await r.scan(label, 'inTransit');
    parcels.push({ trackingNo: label, goods: chance(10) ? [...ours, 'pan'] : ours, fate: fate() });
  }

  async function next(): Promise<[string, Move][]> {
    const { status } = await kit.row(id);
    if (status === 'broken') throw new Error(`${id} is broken`);
    const travelling = parcels.flatMap((p) =>
      once(`parcel ${p.trackingNo}`, async () => {
        if (p.fate === 'comes') await r.receive(p.trackingNo, p.goods);
        else {
          toSend.push(...p.goods);
          await r.carrier(p.trackingNo, 'lost');
        }
      }),
    );
    if (status !== 'open') return travelling;
    const [tasks, effects, told] = await Promise.all([
      kit.rows<Task>(`select path, name, role, context from tasks where case_id = $1 and status = 'open'`, id),
      kit.rows<{ path: string; operation: string; answer: { trackingNo?: string; refundId?: string } }>(
        `select path, operation, answer from effects where case_id = $1 and status = 'done' and operation in ('label', 'refund', 'paymentLink', 'dispatch')`,
        id,
      ),
      r.told(id),
    ]);
    const labelled = told.filter((m) => m === 'sendGoods').length;
    return [
      ...travelling,
      ...tasks.flatMap((task) => once(`task ${task.path}`, () => decide(task))),
      ...effects.flatMap(({ path, operation, answer: { trackingNo = '', refundId = '' } }) => {
        switch (operation) {
          case 'label':
            return labelled >= Number(/label-(\d+)/.exec(path)?.[1] === '1' ? 1 : 2) && toSend.length > 0 ? once(path, () => pack(trackingNo)) : [];
          case 'refund':
            return once(path, () => r.bank(refundId, path.includes('route-1/') && chance(20) ? 'failed' : 'arrived'));
          case 'paymentLink':
            return told.includes('differenceDue') ? once(path, () => r.link(id, chance(70) ? 'paid' : 'expired')) : [];
          default:
            return told.includes('replacementSent') ? once(path, () => r.carrier(trackingNo, 'pickedUp')) : [];
        }
      }),
    ];
  }

  for (;;) {
    const { leaves } = story;
    if (leaves && !done.has('leaves') && moves >= leaves.after && (await kit.row(id)).status === 'open') {
      done.add('leaves');
      if (leaves.how === 'withdraw') await r.withdraw(id);
      else await r.tell(id, 'closedByPlatform', { how: leaves.how });
    }
    const moved = await kit.until(
      `something to do in ${id}`,
      async () => ({ can: await next(), open: (await kit.row(id)).status === 'open' }),
      ({ can, open }) => can.length > 0 || !open,
    );
    const [first] = moved.can;
    if (first === undefined) return;
    const [name, move] = first;
    done.add(name);
    moves += 1;
    try {
      await move();
    } catch (error) {
      // The case has gone on meanwhile: the task was closed by a withdrawal.
      if (!(error instanceof Refused && error.why === 'taskClosed')) throw error;
    }
  }
}
