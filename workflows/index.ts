/** The workflow bundle: a line for each process. */
export { returnExchange } from './return-exchange/case.ts';
export { lateParcel } from './late-parcel/case.ts';
