import { defineCase } from '../../../workflows/kit/case.ts';
import { processOf, rulesOf, system } from '../../../workflows/kit/references.ts';
import type { Case } from '../../../workflows/kit/surface.ts';
import type { allowance as Allowance } from '../../../systems/allowance/contract.ts';
import type { bench as Bench } from '../bench.ts';
import type { Errand } from '../errand/process.ts';
import type { Tiny } from './process.ts';

const bench = system<typeof Bench>('bench');
const allowance = system<typeof Allowance>('allowance');
const rules = rulesOf<typeof import('./rules.ts')>();
const errand = processOf<Errand>('errand');
type C = Case<Tiny>;
type Script = (c: C, log: string[]) => Promise<void>;

async function rounds(c: C, log: string[]): Promise<void> {
  for (const n of [1, 2]) {
    const round = c.in(`round-${n}`);
    await round.task('decide', { n });
    const said = await round.event('said', { within: 'evidence' });
    log.push(said?.words ?? 'nothing');
  }
}

/** One short story per verb and fault; the input names it. */
const scripts: Readonly<Record<string, Script>> = {
  async canonical(c, log) {
    c.stage('first');
    c.clock('handle').start();
    const seen = await c.do('look', bench.look, { what: 'order' });
    const counted = await c.decide('count', rules.count, { items: c.input.items });
    const { form } = await c.task('decide', { seen, counted }, { clocks: ['handle'] });
    c.clock('handle').stop();
    log.push(form.answer, String(counted.count));
    c.stage('second');
    const grabbed = await c.do('grab', bench.grab, { what: 'label' });
    log.push(grabbed.ok ? 'grabbed' : grabbed.error);
    c.tell('hello', { name: 'x' });
  },
  async effects(c, log) {
    const first = await c.do('grab', bench.grab, { what: 'first' });
    log.push(first.ok ? 'first' : first.error);
    await c.do('post', bench.post, { what: 'second' });
    log.push('second');
    await c.do('probe', bench.probe, { what: 'third' });
    log.push('third');
  },
  async probe(c, log) {
    log.push((await c.do('probe', bench.probe, { what: 'x' })).what);
  },
  async shout(c, log) {
    log.push((await c.do('shout', bench.shout, { what: 'x' })).what);
  },
  async post(c, log) {
    log.push((await c.do('post', bench.post, { what: 'x' })).what);
  },
  async grab(c, log) {
    const answer = await c.do('grab', bench.grab, { what: 'x' });
    log.push(answer.ok ? answer.what : answer.error);
  },
  async grabThenProbe(c, log) {
    await c.do('grab', bench.grab, { what: 'a' });
    log.push((await c.do('probe', bench.probe, { what: 'x' })).what);
  },
  async grabLetGoThenProbe(c, log) {
    await c.do('a', bench.grab, { what: 'a' });
    await c.undo('a');
    log.push((await c.do('probe', bench.probe, { what: 'x' })).what);
  },
  async grabThenPost(c, log) {
    await c.do('a', bench.grab, { what: 'a' });
    log.push((await c.do('post', bench.post, { what: 'x' })).what);
  },
  async postThenWait(c, log) {
    await c.do('post', bench.post, { what: 'refund' });
    log.push((await c.task('decide', {})).form.answer);
  },
  async postWhen(c, log) {
    log.push((await c.do('post', bench.post, { what: new Date().toISOString() })).what);
    await c.task('decide', {});
  },
  async postWhatIsHere(c, log) {
    await c.do('look', bench.look, { what: 'x' });
    log.push((await c.do('post', bench.post, { what: `${c.arrived('said').length} here` })).what);
  },
  async grabWhatIsHere(c, log) {
    await c.do('look', bench.look, { what: 'x' });
    const answer = await c.do('grab', bench.grab, { what: `${c.arrived('said').length} here` });
    log.push(answer.ok ? answer.what : answer.error);
  },
  async settles(c, log) {
    const { what } = await c.do('post', bench.post, { what: c.input.id });
    await c.expect('rang', what);
    log.push(String((await c.event('rang')).times));
  },
  async reserve(c, log) {
    const [order = '', quantity = '1'] = c.input.items;
    const held = await c.do('units', allowance.reserve, { orderId: order, lines: [{ line: 1, bought: 3, returned: 0, quantity: Number(quantity) }] });
    log.push(held.ok ? held.units.map((u) => u.unit).join() : held.error);
    if (!held.ok) return;
    await c.task('decide', {});
    await c.do('post', bench.post, { what: 'x' });
    await c.do('commit', allowance.commit, {
      hold: held.hold,
      orderId: order,
      units: held.units,
      order: [{ line: 1, bought: 3, returned: 0 }],
      refunded: true,
    });
  },
  async grabAndWait(c, log) {
    await c.do('a', bench.grab, { what: 'a' });
    await c.do('b', bench.grab, { what: 'b' });
    const { form } = await c.task('decide', {});
    log.push(form.answer);
  },
  async noReturn(c, log) {
    await c.do('a', bench.grab, { what: 'a' });
    c.noReturn();
    const { form } = await c.task('decide', {});
    log.push(form.answer);
    await c.do('post', bench.post, { what: 'late' });
  },
  async undoInFlow(c, log) {
    await c.do('a', bench.grab, { what: 'a' });
    const round = c.in('round-1');
    await round.do('b', bench.grab, { what: 'b' });
    await round.do('c', bench.grab, { what: 'c' });
    await round.undo('b');
    await round.undo();
    await c.undo('a');
    await c.undo();
    log.push('undone');
  },
  async twice(c) {
    for (const what of c.input.items) await c.do('grab', bench.grab, { what });
  },
  async twiceInBranches(c) {
    await c.all({ left: (b) => b.do('grab', bench.grab, { what: 'left' }), right: (b) => b.do('grab', bench.grab, { what: 'right' }) });
    // Both at the path of the case itself, and not of their branch.
    await c.all({ left: () => c.do('post', bench.post, { what: 'left' }), right: () => c.do('post', bench.post, { what: 'right' }) });
  },
  async windowed(c, log) {
    const answer = await c.task('choose', {}, { within: 'customerChoice' });
    log.push(answer?.form.choice ?? 'silence');
  },
  async events(c, log) {
    await c.expect('rang', `bell-${c.input.id}`);
    const rang = await c.event('rang', { where: (e) => e.times > 1, within: 'parcelSent' });
    log.push(rang ? `rang ${rang.times}` : 'silence');
    const said = await c.in('later').event('said', { within: 'evidence' });
    log.push(said?.words ?? 'nothing said');
  },
  async grabAndRounds(c, log) {
    await c.do('grab', bench.grab, { what: 'x' });
    await rounds(c, log);
  },
  rounds,
  async conversation(c, log) {
    for (const item of c.input.items) log.push((await c.in(item).event('said', { within: 'evidence' }))?.words ?? 'nothing');
    log.push((await c.task('decide', {})).form.answer);
  },
  async first(c, log) {
    const won = await c.first({ person: (b) => b.task('decide', {}), bell: (b) => b.event('said', { within: 'evidence' }) });
    log.push(won.won, won.won === 'person' ? won.value.form.answer : (won.value?.words ?? 'silence'));
  },
  async all(c, log) {
    const both = await c.all({ left: (b) => b.do('grab', bench.grab, { what: 'left' }), right: async (b) => (await b.task('decide', {})).form.answer });
    log.push(both.left.ok ? 'left' : both.left.error, both.right);
  },
  async each(c, log) {
    const results = await c.each(
      c.input.items,
      (item) => item,
      async (b, item) => (await b.do('post', bench.post, { what: item })).what,
    );
    log.push(...results.map((r) => (r.ok ? r.value : r.error)));
  },
  async sleeps(c, log) {
    await c.sleep('evidence');
    log.push('woke');
  },
  async child(c, log) {
    const started = await c.start(errand, { shop: c.input.shop, of: c.id, eventId: 'child' });
    const outcome = await c.outcome(started, { within: 'parcelSent' });
    log.push(outcome === undefined ? 'no answer' : outcome.result === 'found' ? outcome.what : outcome.result);
  },
  async approval(c, log) {
    await c.task('decide', {});
    const { form, role } = await c.task('confirm', {}, c.input.amount ? { amount: c.input.amount } : { role: 'supervisor' });
    log.push(String(form.agreed), role);
  },
  async clocks(c, log) {
    const clock = c.clock('handle');
    clock.start();
    await c.task('decide', {}, { clocks: ['handle'] });
    clock.pause('customer');
    const said = await c.event('said', { within: 'evidence' });
    clock.resume('customer');
    log.push(said?.words ?? 'nothing');
    await c.in('again').task('decide', {}, { clocks: ['handle'] });
    clock.stop();
  },
  async fork(c, log) {
    const clock = c.clock('handle');
    clock.start();
    const said = await c.event('said', { within: 'evidence' });
    if (said?.words === 'wait') clock.pause('customer');
    else clock.stop();
    log.push((await c.task('decide', {})).form.answer);
  },
  async poison() {
    await Promise.resolve();
    throw new TypeError('a fault of the code');
  },
  async poisonWhenTold(c, log) {
    const { person } = await c.all({
      person: (b) => b.task('decide', {}),
      bell: async (b) => {
        if (await b.event('said', { within: 'evidence' })) throw new TypeError('a fault of the code');
      },
    });
    log.push(person.form.answer);
  },
  async poisonRecord(c) {
    // Postgres takes no zero character: this record fails for ever.
    c.tell('hello', { name: '\0' });
    await c.task('decide', {});
  },
};

export const tiny = defineCase<Tiny>(
  'tiny',
  async (c) => {
    const log: string[] = [];
    const script = scripts[c.input.script];
    if (script === undefined) throw new TypeError(`no script ${c.input.script}`);
    await script(c, log);
    return { result: 'done', log };
  },
  {
    shut: async (c, { how }) => {
      await c.undo('b');
      c.tell('goodbye', {});
      return { result: 'done', log: [`shut: ${how}`] };
    },
  },
);
