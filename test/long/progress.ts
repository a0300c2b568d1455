/** What a long test says while it runs: at once, since jest keeps a test's own output until its end. */
const began = Date.now();

export function say(line: string): void {
  process.stderr.write(`  ${Math.round((Date.now() - began) / 1000)} s  ${line}\n`);
}
