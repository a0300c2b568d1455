/** Faults on request: what other companies' systems do on bad days. */
import { z } from 'zod';

const rate = z.number().min(0).max(1);
const ms = z.int().min(0).max(600_000);

export const faultsSchema = z
  .object({
    latencyMs: ms.default(0).meta({ description: 'Waits before it does anything' }),
    lateAnswerMs: ms.default(0).meta({ description: 'Waits after the commit, before it answers' }),
    errorRate: rate.default(0).meta({ description: 'Answers 500 without doing anything' }),
    loseAnswerAfterCommit: rate.default(0).meta({ description: 'Does it, then breaks the connection' }),
    duplicateWebhooks: rate.default(0).meta({ description: 'Sends a webhook twice under the same id' }),
    delayWebhooksMs: ms.default(0).meta({ description: 'Holds each webhook for up to this long, so that they come in any order' }),
    outage: z.boolean().default(false).meta({ description: 'Breaks every connection; webhooks wait' }),
    ignoreKeys: z.boolean().default(false).meta({ description: 'Executes a repeated key again: the negative control, which the ledger must report' }),
    operations: z.array(z.string()).optional().meta({ description: 'Latency, errors and lost answers of these operations only' }),
    seed: z.int().default(1).meta({ description: 'The same seed draws the same fates for the same sequence of calls' }),
  })
  .strict();
export type FaultSettings = z.output<typeof faultsSchema>;

/** Mulberry32: small, seeded, good enough to draw fates. Numbers in [0, 1). */
export function drawsFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The faults of one system: settings and the fates drawn from them. */
export class Faults {
  settings: FaultSettings;
  #draw: () => number;
  constructor(settings: FaultSettings = faultsSchema.parse({})) {
    this.settings = settings;
    this.#draw = drawsFrom(settings.seed);
  }
  set(settings: FaultSettings): void {
    this.settings = settings;
    this.#draw = drawsFrom(settings.seed);
  }
  /** Whether this call is one of those that the faults are for. */
  concerns(operation: string): boolean {
    return this.settings.operations?.includes(operation) ?? true;
  }
  /** Whether a fate of this rate strikes now. A rate of 0 draws nothing, so other rates keep their sequence. */
  strikes(rateOf: 'errorRate' | 'loseAnswerAfterCommit' | 'duplicateWebhooks'): boolean {
    const chance = this.settings[rateOf];
    return chance > 0 && this.#draw() < chance;
  }
  webhookDelay(): number {
    return this.settings.delayWebhooksMs > 0 ? Math.floor(this.#draw() * this.settings.delayWebhooksMs) : 0;
  }
}
