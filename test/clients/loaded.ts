import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { loadDirectory } from '../../src/client/load.ts';
import { Deployment } from '../faults/deployment.ts';
import { sharedStack } from '../support/stack.ts';

export const DATA = join(import.meta.dirname, '..', '..', 'data', 'synthea-10');

/** A Headwater with the synthetic patients in its database and, as capture is ready, in its log. The test removes it. */
export async function loadedHeadwater(settings: Readonly<Record<string, string>> = {}): Promise<Deployment> {
  const deployment = await Deployment.create(sharedStack(), settings);
  try {
    await loadDirectory({
      directory: DATA,
      sourceUrl: deployment.databaseUrl,
      table: 'public.resource',
      clock: systemClock,
      signal: AbortSignal.timeout(60_000),
    });
    deployment.start();
    await deployment.ready();
    return deployment;
  } catch (error) {
    await deployment.remove();
    throw error;
  }
}
