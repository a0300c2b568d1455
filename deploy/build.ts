/** `npm run build [-- --out FOLDER]`: everything that runs without TypeScript, in `dist/` or FOLDER: the modules, the files they read, and the workflow bundle. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { extname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const root = resolve(import.meta.dirname, '..');
const { out } = parseArgs({ options: { out: { type: 'string', default: join(root, 'dist') } } }).values;
const dist = resolve(out);
/** The rooms whose modules read files that lie beside them: the page's style, migrations, policies, messages, the sandbox's catalogue, the modules that fetch servers. */
const roomsWithFiles = ['api', 'cli', 'db', 'policies', 'systems', 'workflows'];
const compiledOrProse = new Set(['.ts', '.md']);

const run = (...args: readonly string[]): void => {
  execFileSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
};

if (existsSync(dist) && readdirSync(dist).length > 0 && !existsSync(join(dist, 'worker/bundle.js')))
  throw new Error(`${dist} holds something else than a build, and a build begins with an empty folder.`);
// A module that was deleted must not live on in the build.
rmSync(dist, { recursive: true, force: true });
run(join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json', '--outDir', dist);
for (const room of roomsWithFiles) {
  for (const entry of readdirSync(join(root, room), { withFileTypes: true, recursive: true })) {
    if (!entry.isFile() || compiledOrProse.has(extname(entry.name))) continue;
    const file = join(entry.parentPath, entry.name);
    cpSync(file, file.replace(root, dist));
  }
}
// Elsewhere it finds the dependencies no longer by itself.
if (dist !== join(root, 'dist')) symlinkSync(join(root, 'node_modules'), join(dist, 'node_modules'));
run(join(dist, 'worker/bundle.js'));
