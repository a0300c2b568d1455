/** What an audit is told of runs in which nothing happened: tests add what they are about. */
import type { OwnRecords } from '../../cli/demo/audit.ts';
import { parseInstant } from '../../values/instant.ts';

export const noRecords: OwnRecords = {
  at: parseInstant('2026-11-23T04:00:00.000Z'),
  cases: [],
  policies: new Map(),
  rules: () => undefined,
  used: new Set(),
  unclaimed: new Set(),
  undoOf: new Map(),
  timeline: [],
  clocks: [],
  clockLog: [],
  inbox: [],
  states: [],
  effects: [],
  decisions: [],
  messages: [],
  holds: [],
  tallies: [],
  jobs: [],
};
