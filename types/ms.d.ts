/**
 * Temporal's `Duration` is `ms.StringValue | number`. Without types for `ms` it silently becomes `any`, and `sleep('nonsense')` compiles.
 */
declare module 'ms' {
  type Unit =
    | 'ms'
    | 's'
    | 'm'
    | 'h'
    | 'd'
    | 'w'
    | 'y'
    | ' milliseconds'
    | ' seconds'
    | ' second'
    | ' minutes'
    | ' minute'
    | ' hours'
    | ' hour'
    | ' days'
    | ' day';
  export type StringValue = `${number}` | `${number}${Unit}`;
  export default function ms(value: StringValue): number;
}
