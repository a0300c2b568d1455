import { describe, expect, test } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { readConfig } from '../../worker/config.ts';

const root = resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

const serviceSchema = z.strictObject({
  image: z.string(),
  build: z.string().optional(),
  command: z.array(z.string()).optional(),
  entrypoint: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).optional(),
  depends_on: z.record(z.string(), z.strictObject({ condition: z.enum(['service_healthy', 'service_completed_successfully']) })).optional(),
  healthcheck: z.strictObject({ test: z.array(z.string()), interval: z.string(), retries: z.number() }).optional(),
  ports: z.array(z.string()).optional(),
  volumes: z.array(z.string()).optional(),
  restart: z.enum(['unless-stopped', 'on-failure:5']).optional(),
  stop_grace_period: z.string().optional(),
});
const composeSchema = z.looseObject({ services: z.record(z.string(), serviceSchema), volumes: z.record(z.string(), z.null()) });
const compose = composeSchema.parse(parse(read('docker-compose.yml'), { merge: true }));
const services = Object.entries(compose.services);
const ours = services.filter(([, { build }]) => build !== undefined);

describe('docker-compose.yml', () => {
  test('has Temporal as in production, and every process of ours', () => {
    expect(Object.keys(compose.services).toSorted((a, b) => a.localeCompare(b))).toEqual([
      'api',
      'keys',
      'migrate',
      'postgres',
      'systems',
      'temporal',
      'temporal-namespace',
      'temporal-schema',
      'temporal-ui',
      'worker',
    ]);
  });

  test('pins the images, and runs the server and the page that the development server has', () => {
    for (const [name, { image, build }] of services) if (build === undefined) expect([name, image]).toEqual([name, expect.stringMatching(/:\d+\.\d+/)]);
    const cli = read('cli/stack/temporal-cli/go.mod');
    const [server, ui] = [/go\.temporal\.io\/server v(\S+)/, /github\.com\/temporalio\/ui-server\/v2 v(\S+)/].map((line) => line.exec(cli)?.[1]);
    expect(compose.services['temporal']?.image).toBe(`temporalio/server:${server}`);
    expect(compose.services['temporal-schema']?.image).toBe(`temporalio/admin-tools:${server}`);
    expect(compose.services['temporal-ui']?.image).toBe(`temporalio/ui:${ui}`);
  });

  test('waits for services that are there: for one that ends to end well, for one that stays to be healthy', () => {
    for (const [name, { depends_on = {} }] of services)
      for (const [other, { condition }] of Object.entries(depends_on)) {
        const awaited = compose.services[other];
        expect([name, other, awaited]).toEqual([name, other, expect.anything()]);
        expect([other, condition]).toEqual([other, awaited?.healthcheck === undefined ? 'service_completed_successfully' : 'service_healthy']);
        // One that ends well and is started again for ever would never be awaited to its end.
        if (condition === 'service_completed_successfully') expect([other, awaited?.restart]).not.toEqual([other, 'unless-stopped']);
      }
  });

  test('opens ports on this machine alone', () => {
    for (const [name, { ports = [] }] of services) for (const port of ports) expect([name, port]).toEqual([name, expect.stringMatching(/^127\.0\.0\.1:/)]);
  });

  test('mounts folders and files that are there', () => {
    for (const [name, { volumes = [] }] of services)
      for (const [source = ''] of volumes.map((volume) => volume.split(':')))
        expect([name, source, source.startsWith('.') ? existsSync(join(root, source)) : source in compose.volumes]).toEqual([name, source, true]);
  });

  test('runs modules of ours that are there, with settings that the README names', () => {
    const named = new Set([...read('cli/stack/README.md').matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name]) => name));
    expect(named.size).toBeGreaterThan(10);
    for (const [name, { command = [], environment = {} }] of ours) {
      const [node, module = ''] = command;
      expect([name, node, existsSync(join(root, module.replace('dist/', '').replace(/\.js$/, '.ts')))]).toEqual([name, 'node', true]);
      expect([name, Object.keys(environment).filter((setting) => !named.has(setting))]).toEqual([name, []]);
    }
  });

  test('tells the worker everything that it needs', () => {
    const password = (text: string): string => text.replace(/\$\{POSTGRES_PASSWORD[^}]*\}/, 'secret');
    const environment = Object.fromEntries(
      Object.entries(compose.services['worker']?.environment ?? {}).map(([name, value]) => [name, password(value).replace(/\$\{PUBLIC_URL:-([^}]*)\}/, '$1')]),
    );
    const config = readConfig(environment);
    expect(config.DATABASE_URL).toBe('postgres://kefu:secret@postgres:5432/kefu');
    expect(config.systemUrl('finance')).toBe('http://systems:7500/finance');
  });
});
