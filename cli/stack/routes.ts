/** Ways of single processes to the others: where something stands between them, as in the fault harness. */
import { z } from 'zod';

const port = z.int().min(1).max(65_535);
const routeSchema = z.strictObject({
  /** On this machine, instead of the ports of the servers themselves. */
  ports: z.strictObject({ postgres: port, temporal: port, systems: port, api: port }).partial(),
  /** More of its environment. */
  env: z.record(z.string(), z.string()).optional(),
});
export const routesSchema = z.strictObject({ worker: routeSchema, api: routeSchema, systems: routeSchema }).partial();
export type Routes = z.output<typeof routesSchema>;

/** The settings of a process with its own ways in them. */
export function routed<S extends Readonly<Record<string, string>>>(settings: S, route: Routes[keyof Routes]): Record<string, string> {
  if (route === undefined) return settings;
  const { postgres, temporal, systems, api } = route.ports;
  const through = (name: string, at: number | undefined): Record<string, string> => {
    const url = settings[name];
    return at === undefined || url === undefined
      ? {}
      : { [name]: Object.assign(new URL(url), { hostname: '127.0.0.1', port: String(at) }).href.replace(/\/$/, '') };
  };
  return {
    ...settings,
    ...through('DATABASE_URL', postgres),
    ...(temporal === undefined ? {} : { TEMPORAL_ADDRESS: `127.0.0.1:${temporal}` }),
    ...through('SYSTEMS_URL', systems),
    ...through('WEBHOOK_URL', api),
    ...route.env,
  };
}
