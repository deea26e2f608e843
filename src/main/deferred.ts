import type { HealthReporter, Service } from '../base/service.ts';
import { orAborted } from './ending.ts';
import type { Shared } from './shared.ts';

export type Start = (health: HealthReporter) => Service;

/** Returns a service that is created when the topics and schemas exist. Until then it waits like a service that failed. */
export function deferred(
  name: string,
  shared: Shared,
  make: (shared: Shared, health: HealthReporter) => Promise<Service>,
): Start {
  return (health) => ({
    name,
    run: async (signal) => {
      const service = await orAborted(make(shared, health), signal);
      await service.run(signal);
    },
  });
}
