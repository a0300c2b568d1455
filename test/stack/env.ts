/** What `npm test` has brought up, as a test gets at it. */
import { randomBytes } from 'node:crypto';
import { expect } from '@jest/globals';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { withClient } from '../../cli/stack/postgres.ts';
import { namespaceOf, templateDatabase, variables } from './names.ts';

function given(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run tests with npm test -- FILE, which brings up what they need.`);
  return value;
}

/** An empty database with every migration, nobody else's. It goes with the test run. */
export async function freshDatabase(): Promise<string> {
  const server = given(variables.postgres);
  const name = `test_${randomBytes(6).toString('hex')}`;
  // Both names are our own. Copying files is faster than logging every page of a template that hardly changes.
  await withClient(server, (client) => client.query(`create database ${name} template ${templateDatabase} strategy file_copy`));
  return Object.assign(new URL(server), { pathname: `/${name}` }).href;
}

/** A Temporal with real time, and in it a namespace of this test file's own. */
export function temporal(): { readonly address: string; readonly namespace: string } {
  const { testPath } = expect.getState();
  if (testPath === undefined) throw new Error('temporal() is for test files: jest has not said which one this is');
  return { address: given(variables.temporal), namespace: namespaceOf(testPath) };
}

/**
 * A Temporal of one's own that skips time while somebody awaits a result. Its clock is one for all its workflows, so a test file starts its own (2 s)
 * and ends it with `teardown()`.
 */
export async function timeSkipping(tries = 4): Promise<TestWorkflowEnvironment> {
  try {
    return await TestWorkflowEnvironment.createTimeSkipping({ server: { executable: { type: 'existing-path', path: given(variables.testServer) } } });
  } catch (error) {
    // The SDK gives Java five seconds to come up; on a busy machine of two cores it needs more, and less the next time, when its files are in memory.
    if (tries === 1 || !(error instanceof Error && error.message.includes('did not start within'))) throw error;
    return timeSkipping(tries - 1);
  }
}
