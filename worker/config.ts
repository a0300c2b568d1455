/** The worker's configuration: its environment, parsed once. */
import { z } from 'zod';
import { databaseSettings, withPassword } from '../db/settings.ts';

const schema = z.object({
  ...databaseSettings,
  TEMPORAL_ADDRESS: z.string().min(1),
  TEMPORAL_NAMESPACE: z.string().min(1).default('default'),
  CODEC_KEY_FILE: z.string().min(1),
  POLICY_FILE: z.string().min(1),
  LINK_KEY_FILE: z.string().min(1),
  /** What a customer's browser calls us: links begin with it. */
  PUBLIC_URL: z.url({ protocol: /^https?$/, error: 'a URL such as https://service.example.cn' }),
  /** Base of all systems; one that lives elsewhere has its own `SYSTEM_<NAME>_URL`. */
  SYSTEMS_URL: z.url().optional(),
  /** Prebuilt workflow bundle; without it the bundle is made at start. */
  WORKFLOW_BUNDLE: z.string().optional(),
  /** Where Prometheus and who looks after the process ask it: `/metrics`, `/healthz`, `/readyz`. Without it, nowhere. */
  METRICS_PORT: z.coerce.number().int().min(1).max(65_535).optional(),
  METRICS_HOST: z.string().min(1).default('127.0.0.1'),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});
export type WorkerConfig = z.output<typeof schema> & {
  readonly systemUrl: (name: string) => string;
  readonly systemToken: (name: string) => string | undefined;
};

/** Throws with one line per missing or wrong variable. */
export function readConfig(env: NodeJS.ProcessEnv): WorkerConfig {
  const parsed = schema.safeParse(env);
  if (!parsed.success) throw new Error(`the environment is incomplete:\n${parsed.error.issues.map((i) => `  ${i.path.join('.')}: ${i.message}`).join('\n')}`);
  const config = withPassword(parsed.data);
  return {
    ...config,
    systemUrl: (name) => {
      const url = env[`SYSTEM_${name.toUpperCase()}_URL`] ?? (config.SYSTEMS_URL && `${config.SYSTEMS_URL}/${name}`);
      if (url === undefined) throw new Error(`no URL for system "${name}": set SYSTEM_${name.toUpperCase()}_URL or SYSTEMS_URL`);
      return url;
    },
    systemToken: (name) => env[`SYSTEM_${name.toUpperCase()}_TOKEN`],
  };
}
