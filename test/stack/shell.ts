/** A shell like a reader's: the blocks of a document are pasted into it one after the other. */
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { until } from './until.ts';

const root = resolve(import.meta.dirname, '../..');

export class Shell {
  readonly #bash;
  #out = '';
  constructor(env: NodeJS.ProcessEnv = process.env) {
    this.#bash = spawn('bash', { cwd: root, env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#bash.stdout.on('data', (chunk: Buffer) => (this.#out += chunk.toString()));
  }
  /** What the block prints, once it is through. */
  async paste(block: string, withinMs?: number): Promise<string> {
    this.#out = '';
    // What a command would read from the terminal must not be the next block; in braces, since variables that are set hold for the blocks that follow.
    this.#bash.stdin.write(`{\n${block}\n} </dev/null\necho end-of-block\n`);
    await until(`the block is through: ${block}`, () => this.#out.includes('end-of-block'), withinMs);
    return this.#out.replace('end-of-block\n', '');
  }
  end(): void {
    this.#bash.stdin.end();
  }
}
