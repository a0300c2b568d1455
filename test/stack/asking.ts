/** People and calling systems of a whole stack, who ask its API. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import type { Role } from '../../values/role.ts';
import { until } from './until.ts';
import type { WholeStack } from './whole.ts';

const root = resolve(import.meta.dirname, '../..');

export type Body = Readonly<Record<string, unknown>>;
export interface Asking {
  /** An answer of the API, or nothing while it is away. */
  ask(user: string, path: string, body?: object): Promise<{ readonly status: number; readonly body: Body } | undefined>;
  /** What a case is now. */
  caseOf(id: string): Promise<Body | undefined>;
  /** A return of one mug, asked for by the shop's platform, whose review is open. */
  returned(requestId: string): Promise<{ readonly id: string; readonly review: string }>;
  /** Approves a review, as its agent. */
  approve(review: string): Promise<number | undefined>;
}

/** As `npm run token`, which makes the people: `shop-platform` is upstream, `wang` an agent. */
export function asking(stack: WholeStack): Asking {
  const tokens = new Map<string, string>();
  for (const [user, role] of [['shop-platform', 'upstream'] as const, ['wang', 'agent'] as const] satisfies readonly (readonly [string, Role])[]) {
    const made = spawnSync(process.execPath, ['--import', 'tsx', 'cli/token.ts', '--data', stack.folder, '--user', user, '--role', role], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    tokens.set(user, made.stdout.trim());
  }
  const asks: Asking = {
    async ask(user, path, body) {
      try {
        const answer = await fetch(`${stack.state().urls.api}${path}`, {
          method: body === undefined ? 'GET' : 'POST',
          headers: { authorization: `Bearer ${tokens.get(user) ?? ''}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        return { status: answer.status, body: (await answer.json()) as Body };
      } catch {
        return undefined;
      }
    },
    caseOf: async (id) => (await asks.ask('shop-platform', `/v1/cases/${encodeURIComponent(id)}`))?.body,
    async returned(requestId) {
      const input = {
        shop: 'mingxi',
        customer: 'c_82231706e1d8e2e20642',
        orderId: 'MX-2007',
        requestId,
        requestedAt: new Date().toISOString(),
        lines: [{ line: 1, quantity: 1 }],
        reason: 'quality',
        wish: 'refund',
        evidence: ['photo-1'],
      };
      const opened = await asks.ask('shop-platform', '/v1/processes/return-exchange/cases', { input });
      if (opened?.status !== 201) throw new Error(`not opened: ${JSON.stringify(opened)}`);
      const id = `return-exchange.MX-2007.${requestId}`;
      const review = `${id}:review-1/review`;
      await until('the review is open', async () => (await asks.ask('wang', `/v1/tasks/${encodeURIComponent(review)}`))?.status === 200, 60_000);
      return { id, review };
    },
    approve: async (review) =>
      (await asks.ask('wang', `/v1/tasks/${encodeURIComponent(review)}/complete`, { form: { decision: 'approve', reason: 'quality', remedy: 'refund' } }))
        ?.status,
  };
  return asks;
}
