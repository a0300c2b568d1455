import { join, resolve } from 'node:path';

/** The folder of the sources, or of the build. */
export const root = resolve(import.meta.dirname, '../..');
const built = import.meta.filename.endsWith('.js');

/** Node's arguments to run a module of ours, named without its ending: from its source, or as built. */
export const runModule = (module: string): readonly string[] => (built ? [join(root, `${module}.js`)] : ['--import', 'tsx', join(root, `${module}.ts`)]);
