import { defineSandbox, newId } from '../../systems/sandbox/define.ts';
import { bench } from './bench.ts';

const done = ({ what }: { what: string }) => Promise.resolve({ id: newId('b'), what });

/** The bench as a sandbox system: it does nothing but answer, and its ledger says what it was asked. */
export const benchSandbox = defineSandbox<typeof bench>({
  contract: bench,
  tables: '',
  operations: { look: done, grab: done, post: done, probe: done, shout: done },
  undo: { letGo: () => Promise.resolve('done' as const) },
});
