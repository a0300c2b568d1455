import { expect, test } from '@jest/globals';
import { routed, routesSchema } from '../../cli/stack/routes.ts';

const settings = {
  DATABASE_URL: 'postgres://postgres:secret@127.0.0.1:5001/kefu',
  TEMPORAL_ADDRESS: '127.0.0.1:5002',
  SYSTEMS_URL: 'http://127.0.0.1:5003',
  WEBHOOK_URL: 'http://127.0.0.1:5004/v1/webhooks',
  POLICY_FILE: 'p.yaml',
};

test('a process with ways of its own finds the others there, and only there', () => {
  expect(routed(settings, { ports: { postgres: 1, temporal: 2, systems: 3, api: 4 }, env: { LD_PRELOAD: 'x.so' } })).toEqual({
    DATABASE_URL: 'postgres://postgres:secret@127.0.0.1:1/kefu',
    TEMPORAL_ADDRESS: '127.0.0.1:2',
    // Without a slash at its end: a system's name follows.
    SYSTEMS_URL: 'http://127.0.0.1:3',
    WEBHOOK_URL: 'http://127.0.0.1:4/v1/webhooks',
    POLICY_FILE: 'p.yaml',
    LD_PRELOAD: 'x.so',
  });
  expect(routed(settings, { ports: { temporal: 2 } })).toEqual({ ...settings, TEMPORAL_ADDRESS: '127.0.0.1:2' });
  expect(routed(settings, undefined)).toEqual(settings);
});

test('ways are refused that name no process of ours, or no port', () => {
  expect(routesSchema.safeParse({ worker: { ports: { postgres: 0 } } }).success).toBe(false);
  expect(routesSchema.safeParse({ temporal: { ports: {} } }).success).toBe(false);
  expect(routesSchema.safeParse({ api: { ports: { redis: 1 } } }).success).toBe(false);
});
