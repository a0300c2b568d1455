/** Whether this is the system's own error with that code. Not by class: errors of Node's core are of another realm in a test. */
export const isSystemError = (error: unknown, code: string): boolean => typeof error === 'object' && error !== null && 'code' in error && error.code === code;
