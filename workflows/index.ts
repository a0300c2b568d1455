/** The workflow bundle: a line for each process. */
export { returnExchange } from './return-exchange/case.ts';
