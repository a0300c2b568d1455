/** The bundle of the tests: the processes of the house, and those that only carry verbs. */
// house
export * from '../../workflows/index.ts';
export { errand } from './errand/case.ts';
export { tiny } from './tiny/case.ts';
