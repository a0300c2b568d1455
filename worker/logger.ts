/** The SDK's log in ours: one JSON a line, so that one reader finds both. */
import { DefaultLogger, type LogLevel } from '@temporalio/worker';
import type { Logger } from 'pino';

const levels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const satisfies Record<LogLevel, keyof Logger>;

/** What the SDK and its core say; of which level, our log decides. */
export const sdkLogger = (log: Logger): DefaultLogger =>
  new DefaultLogger('TRACE', ({ level, message, meta: { error, ...about } = {} }) =>
    // `err` is what pino writes with its stack.
    log[levels[level]]({ ...about, ...(error === undefined ? {} : { err: error }) }, message),
  );
