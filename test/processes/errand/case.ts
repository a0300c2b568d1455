import { defineCase } from '../../../workflows/kit/case.ts';
import type { Errand } from './process.ts';

export const errand = defineCase<Errand>('errand', async (c) => {
  c.stage('going');
  const { form } = await c.task('run', {});
  return { result: 'found', what: form.found };
});
